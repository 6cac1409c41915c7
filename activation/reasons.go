package activation

import (
	"strconv"
	"strings"
	"time"
)

// Reason codes. They are stable: programs and support people match on them.
const (
	ReasonNotActivated       = "not-activated"
	ReasonNotYetValid        = "not-yet-valid"
	ReasonRevokedByKeySet    = "revoked-by-keyset"
	ReasonRevoked            = "revoked-by-vendor"
	ReasonReleased           = "released"
	ReasonSuspended          = "suspended-by-vendor"
	ReasonClockBehind        = "clock-behind"
	ReasonEntitlementEnded   = "entitlement-ended"
	ReasonEntitlementEnds    = "entitlement-ends-soon"
	ReasonContestedEnded     = "contested-ended"
	ReasonGraceEnded         = "grace-ended"
	ReasonRenewalOverdue     = "renewal-overdue"
	ReasonOtherDevice        = "other-device"
	ReasonDeviceChanged      = "device-changed"
	ReasonDeviceUnreadable   = "device-unreadable"
	ReasonIndeterminateEnded = "device-indeterminate"
	ReasonUnidentifiedEnded  = "unidentified-machine"
	ReasonValid              = "valid"
)

// Codes of the next step.
const (
	NextActivate      = "activate"
	NextActivateHere  = "activate-here"
	NextWait          = "wait-for-start"
	NextRenew         = "renew-now"
	NextExtend        = "extend-entitlement"
	NextRebind        = "rebind"
	NextContactVendor = "contact-vendor"
	NextFixClock      = "fix-clock"
	NextCheckAccess   = "check-hardware-access"
	NextCheckDevice   = "check-hardware"
	NextGiveSerial    = "give-serial"
)

// Languages that Sentence speaks.
const (
	English = "en"
	Chinese = "zh-CN"
)

// Codes lists every reason and next-step code, reasons first.
func Codes() []string {
	return []string{
		ReasonNotActivated, ReasonNotYetValid, ReasonRevokedByKeySet, ReasonRevoked, ReasonReleased,
		ReasonSuspended, ReasonClockBehind, ReasonEntitlementEnded, ReasonEntitlementEnds,
		ReasonContestedEnded, ReasonGraceEnded, ReasonRenewalOverdue, ReasonOtherDevice,
		ReasonDeviceChanged, ReasonDeviceUnreadable, ReasonIndeterminateEnded, ReasonUnidentifiedEnded, ReasonValid,
		NextActivate, NextActivateHere, NextWait, NextRenew, NextExtend, NextRebind,
		NextContactVendor, NextFixClock, NextCheckAccess, NextCheckDevice, NextGiveSerial,
	}
}

// Sentence is the text of a reason or next-step code for people. lang is a
// BCP 47 tag: anything that starts with "zh" is Simplified Chinese, everything
// else English. Dates come from the verdict and are UTC. An unknown code gives
// the code itself, the empty code the empty text.
func Sentence(code, lang string, v Verdict) string {
	en, zh := texts(code)
	s := en
	if isChinese(lang) {
		s = zh
	}
	if !strings.Contains(s, "{") {
		return s
	}
	return strings.NewReplacer(
		"{expires}", day(v.Expires), "{renewby}", day(v.RenewBy), "{grace}", day(v.GraceUntil),
		"{until}", day(v.Until), "{days}", strconv.FormatInt(v.DaysLeft, 10),
	).Replace(s)
}

func isChinese(lang string) bool {
	l := strings.ToLower(lang)
	return l == "zh" || strings.HasPrefix(l, "zh-") || strings.HasPrefix(l, "zh_")
}

// day prints an instant for people, to the minute and with its zone named:
// operators compare it with logs of other machines.
func day(t int64) string {
	if t == 0 {
		return "?"
	}
	return time.Unix(t, 0).UTC().Format("2006-01-02 15:04 UTC")
}

// texts holds both languages of every code side by side, so that neither can
// be forgotten.
func texts(code string) (en, zh string) {
	switch code {
	case ReasonNotActivated:
		return "No license is held for this product.", "本机没有该产品的许可证。"
	case ReasonNotYetValid:
		return "The license is not valid before {until}.", "许可证自 {until} 起才生效。"
	case ReasonRevokedByKeySet:
		return "The vendor's key set has revoked this license or the key that signed it.", "供应商的密钥集已吊销该许可证或其签名密钥。"
	case ReasonRevoked:
		return "The vendor has revoked this license.", "供应商已吊销该许可证。"
	case ReasonReleased:
		return "This license was released from this machine.", "该许可证已从本机释放。"
	case ReasonSuspended:
		return "The vendor or the marketplace has suspended this license.", "供应商或云商店已冻结该许可证。"
	case ReasonClockBehind:
		return "The system clock is behind the time already seen; the answer follows within seconds, once the elapsed time is on record.", "系统时钟早于已记录的时间；记录下已过的时间后，数秒内即可给出结果。"
	case ReasonEntitlementEnded:
		return "The entitlement ended at {expires}.", "授权已于 {expires} 到期。"
	case ReasonEntitlementEnds:
		return "The entitlement ends at {expires}, in {days} days.", "授权将于 {expires} 到期，还剩 {days} 天。"
	case ReasonContestedEnded:
		return "Two copies of this license were seen, or its files were put back from an older copy, and it was not settled by {renewby}.", "发现该许可证有两份副本，或其文件被较旧的副本还原，且在 {renewby} 之前未处理。"
	case ReasonGraceEnded:
		return "The license was not renewed before its grace time ended at {grace}.", "许可证未在宽限期结束（{grace}）前续期。"
	case ReasonRenewalOverdue:
		return "The license should have been renewed by {renewby}; it keeps running until {grace} at the latest.", "许可证本应在 {renewby} 前续期；最迟可继续使用至 {grace}。"
	case ReasonOtherDevice:
		return "This is not the machine the license was issued for.", "本机不是该许可证所绑定的设备。"
	case ReasonDeviceChanged:
		return "Too much of the hardware has changed since the license was issued.", "自许可证签发以来，硬件变化过大。"
	case ReasonDeviceUnreadable:
		return "No serial number of this machine could be read for too long.", "长时间无法读取本机的任何硬件序列号。"
	case ReasonIndeterminateEnded:
		return "Too little of the hardware can be read to recognise this machine, and the time allowed for that ended at {renewby}.", "可读取的硬件信息过少，无法确认本机身份，允许的时间已于 {renewby} 结束。"
	case ReasonUnidentifiedEnded:
		return "This machine has no serial number of its own, so the license needed a contact with the vendor by {renewby}.", "本机没有自己的硬件序列号，许可证须在 {renewby} 前与供应商联系。"
	case ReasonValid:
		return "The license is valid.", "许可证有效。"
	case NextActivate:
		return "Activate this machine with an authorization code.", "请使用授权码激活本机。"
	case NextActivateHere:
		en, zh := onCopy()
		return "Go back to the original machine, or release the license there and activate this one. " + en, "请回到原设备使用，或在原设备上释放许可证后激活本机。" + zh
	case NextWait:
		return "Wait until {until}; nothing else needs to be done.", "请等到 {until}，无需其他操作。"
	case NextRenew:
		return "Renew now; without network, exchange a request file with the vendor.", "请立即续期；没有网络时，请与供应商交换请求文件。"
	case NextExtend:
		return "Extend the subscription with the vendor, then renew.", "请向供应商续订，然后执行续期。"
	case NextRebind:
		return SettleCopies()
	case NextContactVendor:
		return "Contact the vendor.", "请联系供应商。"
	case NextFixClock:
		return "Set the system clock to the right time; one contact with the vendor's server also settles it.", "请校正系统时钟；与供应商服务器成功联系一次也可解决。"
	case NextCheckAccess:
		return "Let the agent read the hardware serial numbers (see \"why\"), then start it again.", "请允许代理读取硬件序列号（见 why 命令），然后重新启动代理。"
	case NextCheckDevice:
		return "See \"why\" for the changed parts: put them back, or renew or rebind while it still runs.", "请用 why 命令查看变化的部件：恢复原部件，或在仍可使用时续期或重新绑定。"
	case NextGiveSerial:
		return "Nothing is urgent. Give the virtual machine a disk or board serial or an address of its own; the next contact enrols it. Until then only regular contact keeps the license.", "暂无需处理。请为虚拟机配置唯一的磁盘序列号、主板序列号或网卡地址，下次联系时会自动登记；在此之前许可证依靠定期联系维持。"
	}
	return code, code
}

// SettleCopies is the next step where one seat is used by a machine and a copy of
// it, in English and Chinese. The merchant service says the same words.
func SettleCopies() (en, zh string) {
	en, zh = onCopy()
	return "On the machine that keeps the seat: rebind. " + en, "在保留名额的设备上：执行 rebind。" + zh
}

// onCopy is how a copy becomes a device of its own. The state need not be moved:
// what was sealed under another key is put aside by the store.
func onCopy() (en, zh string) {
	return "On a copy of it: stop the agent, move device.key out of its state directory, start the agent and activate with a free seat; that leaves the original alone.",
		"在其克隆设备上：停止代理，将状态目录中的 device.key 移走，启动代理，再用空闲名额激活；原设备不受影响。"
}
