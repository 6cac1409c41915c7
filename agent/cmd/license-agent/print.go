package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"licenseagent.example/agent/api"
)

// json prints a value for programs.
func (a *app) json(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// lineWidth is where lines are folded: the width that every terminal and every
// ticket system shows without folding them itself.
const lineWidth = 80

// table is text in two columns.
type table struct {
	out  io.Writer
	rows [][2]string
}

func (a *app) table() *table { return &table{out: a.stdout} }

// row adds a line; a value without a name belongs to the line above.
func (t *table) row(name, value string) { t.rows = append(t.rows, [2]string{name, value}) }

// gap is an empty line between two groups.
func (t *table) gap() { t.row("", "") }

// optional adds a row unless the value is empty.
func (t *table) optional(name, value string) {
	if value != "" {
		t.row(name, value)
	}
}

func (t *table) print() error {
	width := 0
	for _, r := range t.rows {
		width = max(width, columns(r[0]))
	}
	for _, r := range t.rows {
		name := r[0]
		value := printable(r[1])
		for _, line := range fold(value, lineWidth-width-4) {
			text := "  " + name + strings.Repeat(" ", width-columns(name)) + "  " + line
			if _, err := fmt.Fprintln(t.out, strings.TrimRight(text, " ")); err != nil {
				return err
			}
			name = ""
		}
	}
	t.rows = nil
	return nil
}

// fold breaks a line between words, and between Chinese characters, so that no
// piece is wider than width unless a single word is: a serial or a path must
// stay in one piece to be copied. Pieces keep the indentation of the first.
func fold(s string, width int) []string {
	indent := s[:len(s)-len(strings.TrimLeft(s, " "))]
	var out []string
	line := ""
	for _, word := range words(s[len(indent):]) {
		if line != "" && columns(indent+line+strings.TrimRight(word, " ")) > width {
			out = append(out, indent+strings.TrimRight(line, " "))
			line = ""
		}
		line += word
	}
	return append(out, indent+strings.TrimRight(line, " "))
}

// words cuts a text where a line may end: after spaces, and around wide
// characters, except before punctuation that closes.
func words(s string) []string {
	var out []string
	start, last := 0, ' '
	for i, r := range s {
		ends := last == ' ' && r != ' ' || last != ' ' && r != ' ' && (r >= 0x1100 || last >= 0x1100) &&
			!strings.ContainsRune("，。；：！？、）》”’%)", r) && !strings.ContainsRune("（《“‘(", last)
		if i > start && ends {
			out, start = append(out, s[start:i]), i
		}
		last = r
	}
	return append(out, s[start:])
}

// columns is how wide a terminal shows text: Chinese characters take two.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r >= 0x1100 {
			n++
		}
	}
	return n
}

// printable keeps control characters away from the terminal: product names and
// sentences come from outside, and an escape sequence could rewrite the screen.
func printable(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "�")
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// when is an instant for people, "" for none.
func when(t int64) string {
	const noEnd = 253402300799 // 9999-12-31: a license without end
	if t == 0 || t >= noEnd {
		return ""
	}
	return time.Unix(t, 0).UTC().Format("2006-01-02 15:04 UTC")
}

// label is a word of the interface in the language in force.
func (a *app) label(id string) string {
	en, zh := labels(id)
	if a.lang == api.Chinese {
		return zh
	}
	return en
}

func labels(id string) (en, zh string) {
	switch id {
	case "cause":
		return "cause:  ", "原因："
	case "next":
		return "next:   ", "下一步："
	case "request":
		return "request:", "请求编号："
	case "config":
		return "configuration", "配置"
	case "state":
		return "state", "状态目录"
	case "socket":
		return "socket", "套接字"
	case "vendor":
		return "vendor", "厂商"
	case "none":
		return "none", "无"
	case "phase":
		return "phase", "阶段"
	case "flags":
		return "flags", "标记"
	case "days":
		return "days left", "剩余天数"
	case "ends":
		return "ends", "到期"
	case "never":
		return "never", "永不"
	case "renewby":
		return "renew by", "续期截止"
	case "grace":
		return "grace until", "宽限至"
	case "contact":
		return "last contact", "上次联系"
	case "nextcontact":
		return "next contact", "下次联系"
	case "error":
		return "last error", "最近错误"
	case "pending":
		return "waiting for", "等待应答"
	case "features":
		return "features", "功能"
	case "limits":
		return "limits", "限额"
	case "step":
		return "next step", "下一步"
	case "nothing":
		return "nothing to do", "无需操作"
	case "device":
		return "device", "设备"
	case "key":
		return "device key", "设备密钥"
	case "license":
		return "license", "许可证"
	case "nolicense":
		return "no license is held on this machine", "本机没有许可证"
	case "activate":
		return "run: license-agent activate", "请运行：license-agent activate"
	case "reason":
		return "reason", "原因"
	case "clock":
		return "clock", "时钟"
	case "points":
		return "points", "分数"
	case "pointsof":
		return "%d of %d match, %d are needed, %d may still be lost", "%d/%d 匹配，需要 %d，尚可失去 %d"
	case "then":
		return "then", "激活时"
	case "now":
		return "now ", "现在　"
	case "worseof":
		return "%d of the 3 that count, %s to %s", "%d 次（满 3 次且跨 24 小时才生效），%s 至 %s"
	case "hardware":
		return "hardware", "硬件"
	case "warning":
		return "warning: ", "警告："
	case "until":
		return "changes at", "下次变化"
	case "unchanged":
		return "nothing was changed", "未作任何更改"
	case "wall":
		return "the system says", "系统时间"
	case "behind":
		return "behind", "落后"
	case "provisional":
		return "not confirmed yet", "尚未确认"
	case "statushead":
		return "license-agent %s, %s, %s", "license-agent %s，%s，%s"
	case "worse":
		return "worse reads", "变差读数"
	case "settled":
		return "if it stays so", "若持续如此"
	case "assumed":
		return "assumed", "假设"
	case "failures":
		return "failed contacts", "联系失败次数"
	case "sent":
		return "This is sent:", "将发送以下内容："
	case "to":
		return "to", "发往"
	case "fingerprint":
		return "fingerprint", "指纹"
	case "environment":
		return "environment", "环境"
	case "code":
		return "authorization code", "授权码"
	case "codehidden":
		return "the code you enter (not shown)", "您输入的授权码（不显示）"
	case "ask":
		return "Send it? [y/N] ", "发送吗？[y/N] "
	case "prompt":
		return "Authorization code: ", "授权码："
	case "issuer":
		return "issuer", "发行者"
	case "product":
		return "product", "产品"
	}
	return id, id
}
