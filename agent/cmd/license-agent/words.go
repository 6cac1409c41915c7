package main

import "licenseagent.example/agent/api"

// in picks the language in force.
func (a *app) in(en, zh string) string {
	if a.lang == api.Chinese {
		return zh
	}
	return en
}

// flagText says what a flag beside the phase means.
func (a *app) flagText(flag string) string {
	switch flag {
	case "indeterminate":
		return a.in("too little of the hardware can be read to tell; it keeps running for a limited time", "可读取的硬件信息过少，无法判断；仍可使用一段时间")
	case "drift":
		return a.in("hardware differs from what the license was issued for", "硬件与签发许可证时不同")
	case "contested":
		return a.in("a second copy of this license was seen; rebind settles it", "发现该许可证的第二份副本；可用 rebind 解决")
	case "provisional-clock":
		return a.in("the system clock jumped far ahead and nobody has confirmed it yet", "系统时钟大幅跳前，尚未得到确认")
	}
	return flag
}

// outcomeText says what came of comparing the hardware.
func (a *app) outcomeText(outcome string) string {
	switch outcome {
	case "same":
		return a.in("the machine that the license was issued for", "是签发许可证的设备")
	case "different":
		return a.in("not the machine that the license was issued for", "不是签发许可证的设备")
	case "indeterminate":
		return a.in("cannot be told: too little can be read", "无法判断：可读取的信息过少")
	}
	return outcome
}

// resultText is the result for one part in Chinese; in English the codes are words.
func resultText(result string) string {
	switch result {
	case "match":
		return "匹配"
	case "changed":
		return "已更换"
	case "absent":
		return "缺失"
	case "unreadable":
		return "无法读取"
	case "placeholder":
		return "无效占位值"
	case "not-enrolled":
		return "未登记"
	}
	return result
}

// instanceText names an instance; nearly everybody has only one, without a name.
func (a *app) instanceText(name string) string {
	if name == "" || name == "default" {
		return a.in("default instance", "默认实例")
	}
	return a.in("instance "+name, "实例 "+name)
}

// tierText says where the device key lives, because that is how well a copy of
// the machine's files is kept from being a second machine.
func (a *app) tierText(tier string) string {
	switch tier {
	case "file":
		return a.in("device key in a file", "设备密钥存于文件")
	case "os":
		return a.in("device key kept by the operating system", "设备密钥由操作系统保管")
	case "tpm":
		return a.in("device key in the TPM", "设备密钥存于 TPM")
	}
	return tier
}
