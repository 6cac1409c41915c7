package activation

import (
	"fmt"
	"strings"

	"licenseagent.example/fingerprint"
)

// Tolerance is what is left between a license and "this is another machine",
// fit for a status line, an event and a metric.
type Tolerance struct {
	Outcome    fingerprint.Outcome
	Left       int                // points that may still be lost; one more and the outcome may change
	Lost       []fingerprint.Kind // enrolled parts with points that are not there any more
	Unreadable []fingerprint.Kind // enrolled parts with points that cannot be read now
	// Single says that the loss of one part may be enough to change the outcome.
	Single bool
	// Warn says that somebody should look before it breaks: a part is lost, or
	// one cannot be read and the loss of another one would leave nothing to
	// spare, or the machine is not recognised any more. A machine on which
	// everything matches does not warn, however few parts it has.
	Warn bool
	// Unidentified says that there is nothing to lose: no part but the CPU was
	// ever enrolled.
	Unidentified bool
}

// ToleranceOf sums a comparison up.
func ToleranceOf(c fingerprint.Comparison) Tolerance {
	t := Tolerance{Outcome: c.Outcome, Left: c.Left, Unidentified: c.Unidentified()}
	heaviest := 0
	for _, p := range c.Parts {
		switch {
		case p.Result == fingerprint.ResultNotEnrolled:
		case p.Result == fingerprint.ResultMatch:
			heaviest = max(heaviest, p.Weight)
		case p.Weight == 0 && !p.Strong: // the CPU of a virtual machine changes with its host
		case p.Result == fingerprint.ResultUnreadable:
			t.Unreadable = append(t.Unreadable, p.Kind)
		default:
			t.Lost = append(t.Lost, p.Kind)
		}
	}
	if t.Unidentified {
		return t
	}
	same := c.Outcome == fingerprint.Same
	t.Single = same && heaviest > c.Left
	t.Warn = !same || c.Drift || len(t.Unreadable) > 0 && heaviest >= c.Left
	return t
}

// Sentence says it for people, lang as for the function Sentence.
func (t Tolerance) Sentence(lang string) string {
	zh := isChinese(lang)
	s := tolerated(zh)
	if t.Unidentified {
		return s.unidentified
	}
	var parts []string
	if len(t.Lost) > 0 {
		parts = append(parts, s.lost+kindNames(t.Lost, zh))
	}
	if len(t.Unreadable) > 0 {
		parts = append(parts, s.unread+kindNames(t.Unreadable, zh))
	}
	if len(parts) == 0 && t.Outcome == fingerprint.Same {
		parts = append(parts, s.all)
	}
	switch {
	case t.Outcome == fingerprint.Different:
		parts = append(parts, s.different)
	case t.Outcome != fingerprint.Same:
		parts = append(parts, s.indeterminate)
	case t.Left == 0:
		parts = append(parts, s.one)
	default:
		parts = append(parts, fmt.Sprintf(s.more, count(t.Left+1, zh)))
	}
	if t.Single {
		parts = append(parts, s.single)
	}
	return strings.Join(parts, s.join) + s.end
}

// phrases are the building blocks of Tolerance.Sentence.
type phrases struct {
	all, lost, unread, more, one, single, different, indeterminate, unidentified, join, end string
}

func tolerated(zh bool) phrases {
	if zh {
		return phrases{
			all: "登记的部件全部匹配", lost: "与登记时不同：", unread: "无法读取：", more: "再失去%s分即失效", one: "再失去 1 分即失效",
			single: "更换一个部件就可能失效", different: "剩余的登记部件过少", indeterminate: "可读取的部件过少，无法判断",
			unidentified: "本机没有自己的硬件序列号；许可证由设备密钥和定期联系维持。", join: "；", end: "。",
		}
	}
	return phrases{
		all: "every enrolled part matches", lost: "not as enrolled: ", unread: "not readable: ", more: "%s more points and it breaks", one: "one more point and it breaks",
		single: "one part can be enough", different: "too few enrolled parts are left", indeterminate: "too little can be read to tell",
		unidentified: "This machine has no serial of its own; device key and regular contact hold the license.", join: "; ", end: ".",
	}
}

// count writes small numbers out, as sentences do.
func count(n int, zh bool) string {
	words := [...]string{"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}
	if zh {
		return fmt.Sprintf(" %d ", n)
	}
	if n >= 0 && n < len(words) {
		return words[n]
	}
	return fmt.Sprint(n)
}

// kindNames names parts for people.
func kindNames(kinds []fingerprint.Kind, zh bool) string {
	names, join := make([]string, len(kinds)), ", "
	if zh {
		join = "、"
	}
	for i, k := range kinds {
		names[i] = KindName(k, zh)
	}
	return strings.Join(names, join)
}

// KindName is one part of the fingerprint in words.
func KindName(k fingerprint.Kind, zh bool) string {
	en, chinese := string(k), string(k)
	switch k {
	case fingerprint.MAC:
		en, chinese = "network address", "网卡地址"
	case fingerprint.Disk:
		en, chinese = "disk", "磁盘"
	case fingerprint.Board:
		en, chinese = "board", "主板"
	case fingerprint.CPU:
		en, chinese = "CPU", "处理器"
	}
	if zh {
		return chinese
	}
	return en
}

// Words lists the assumptions of a scenario for people, lang as for Sentence.
func (s Scenario) Words(lang string) []string {
	zh := isChinese(lang)
	w := []string{}
	say := func(yes bool, en, chinese string, args ...any) {
		if !yes {
			return
		}
		if zh {
			en = chinese
		}
		w = append(w, fmt.Sprintf(en, args...))
	}
	say(s.Clone, "the state was copied to another machine", "状态被复制到另一台设备")
	for _, k := range s.Replaced {
		say(true, "replaced: %s", "已更换：%s", KindName(k, zh))
	}
	for _, l := range s.Drop {
		say(l.Count == 0, "gone: every %s", "已移除：全部%s", KindName(l.Kind, zh))
		say(l.Count > 0, "gone: %[2]s × %[1]d, enrolled ones first", "已移除：%[2]s × %[1]d，优先移除已登记的", l.Count, KindName(l.Kind, zh))
	}
	for _, k := range s.Unreadable {
		say(true, "not readable: %s", "无法读取：%s", KindName(k, zh))
	}
	say(s.Offline != 0, "no contact for %s", "%s内没有联系", span(s.Offline, zh))
	say(s.ClockShift > 0, "the wall clock is put forward by %s", "系统时钟拨快 %s", span(s.ClockShift, zh))
	say(s.ClockShift < 0, "the wall clock is put back by %s", "系统时钟拨慢 %s", span(-s.ClockShift, zh))
	say(s.Behind, "the clock is behind and no tick is on disk", "时钟落后且尚无已过时间的记录")
	say(s.Contested, "a second copy of this license was seen", "发现该许可证的第二份副本")
	return w
}

// span is a number of seconds in the largest unit that divides it.
func span(seconds int64, zh bool) string {
	for _, u := range []struct {
		size        int64
		en, chinese string
	}{{86400, "day", "天"}, {3600, "hour", "小时"}, {60, "minute", "分钟"}, {1, "second", "秒"}} {
		if seconds%u.size != 0 {
			continue
		}
		n := seconds / u.size
		switch {
		case zh:
			return fmt.Sprintf("%d %s", n, u.chinese)
		case n == 1:
			return "1 " + u.en
		}
		return fmt.Sprintf("%d %ss", n, u.en)
	}
	return ""
}
