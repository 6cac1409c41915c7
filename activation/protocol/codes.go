package protocol

import (
	"net/http"

	"licenseagent.example/activation"
)

// Code is the stable word for one way a request can fail. Programs decide by
// it; message and hint are for people and may change.
type Code string

// The codes. Specs is the one table of what each means.
const (
	CodeBadRequest     Code = "bad-request"
	CodeBadSignature   Code = "bad-signature"
	CodeMediaType      Code = "unsupported-media-type"
	CodeTooLarge       Code = "too-large"
	CodeNotFound       Code = "not-found"
	CodeMethod         Code = "method-not-allowed"
	CodeTimeout        Code = "request-timeout"
	CodeIdempotency    Code = "idempotency-conflict"
	CodeRateLimited    Code = "rate-limited"
	CodeInternal       Code = "internal"
	CodeUnavailable    Code = "unavailable"
	CodeKeysExpired    Code = "keys-expired"
	CodeWrongIssuer    Code = "wrong-issuer"
	CodeUnknownCode    Code = "unknown-code"
	CodeWrongProduct   Code = "wrong-product"
	CodeUsedUp         Code = "code-used-up"
	CodeFrozen         Code = "code-frozen"
	CodeRevoked        Code = "code-revoked"
	CodeEnded          Code = "entitlement-ended"
	CodeUnknownLicense Code = "unknown-license"
	CodeDeviceMismatch Code = "device-mismatch"
	CodeDeviceUnread   Code = "device-unreadable"
	CodeNoIdentity     Code = "no-identity"
	CodeRebindLimit    Code = "rebind-limit"
	CodeNotReceived    Code = "code-not-received"
	CodeUnknown        Code = "unknown-error"
)

// Exit classes of the command line (0 ok … 7 refused, 6 unreachable).
const (
	ExitUnreachable = 6
	ExitRefused     = 7
)

// Text is a sentence in the two languages of the product.
type Text struct {
	EN string `json:"en"`
	ZH string `json:"zh-CN"`
}

// In returns the sentence in a language given as a BCP 47 tag; whatever is not
// Chinese is answered in English.
func (t Text) In(lang string) string {
	if len(lang) >= 2 && (lang[:2] == "zh" || lang[:2] == "ZH") {
		return t.ZH
	}
	return t.EN
}

// Spec is everything that depends on a code.
type Spec struct {
	Code    Code
	Status  int  // HTTP status
	Retry   bool // the same request may succeed later without anybody doing anything
	Exit    int  // exit status of a command that ends with it
	Message Text // what happened
	Hint    Text // the next step
}

// Lookup returns the row of a code; for a word that is not in the table it is
// the row of CodeUnknown with that word as its code.
func Lookup(c Code) Spec {
	for _, s := range Specs() {
		if s.Code == c {
			return s
		}
	}
	s := Lookup(CodeUnknown)
	s.Code = c
	return s
}

// Specs returns the table: code, HTTP status, whether to try again, exit
// status, message and next step. openapi.yaml is tested against it.
func Specs() []Spec {
	refused := func(c Code, status int, en, zh, hintEN, hintZH string) Spec {
		return Spec{c, status, false, ExitRefused, Text{en, zh}, Text{hintEN, hintZH}}
	}
	later := func(c Code, status int, en, zh, hintEN, hintZH string) Spec {
		return Spec{c, status, true, ExitUnreachable, Text{en, zh}, Text{hintEN, hintZH}}
	}
	settle, settleZH := activation.SettleCopies()
	return []Spec{
		refused(CodeBadRequest, http.StatusBadRequest,
			"The merchant service could not read the request.", "许可证服务无法读取该请求。",
			"Update license-agent; if it persists, report the request id to the vendor.", "请更新 license-agent；若仍出现，请将请求编号告知供应商。"),
		refused(CodeBadSignature, http.StatusBadRequest,
			"The request is not signed by the device key it carries.", "请求未由其所带的设备密钥签名。",
			"Send the request file unchanged; make a new one if it was edited.", "请原样发送请求文件；若被改动过，请重新生成。"),
		refused(CodeMediaType, http.StatusUnsupportedMediaType,
			"The content type is not the one of this interface.", "内容类型与该接口不符。",
			"Send "+ContentEnvelope+".", "请使用 "+ContentEnvelope+"。"),
		refused(CodeTooLarge, http.StatusRequestEntityTooLarge,
			"The request is larger than the service accepts.", "请求超过服务允许的大小。",
			"Update license-agent; a request of its own never gets this large.", "请更新 license-agent；正常请求不会这么大。"),
		refused(CodeNotFound, http.StatusNotFound,
			"There is nothing at this address.", "该地址没有内容。",
			"Check the merchant URL in the trust anchor file.", "请检查信任锚文件中的服务地址。"),
		refused(CodeMethod, http.StatusMethodNotAllowed,
			"This address does not take that method.", "该地址不支持此方法。",
			"Requests are sent with POST, the key set is read with GET.", "请求用 POST 发送，密钥集用 GET 读取。"),
		later(CodeTimeout, http.StatusRequestTimeout,
			"The request arrived too slowly.", "请求传输过慢。",
			"It is tried again by itself; check the network if it persists.", "会自动重试；若持续出现请检查网络。"),
		refused(CodeIdempotency, http.StatusUnprocessableEntity,
			"This request name was used before for a different request.", "该请求标识已用于另一个请求。",
			"Start the command again; it draws a new one.", "请重新执行命令，系统会生成新的标识。"),
		later(CodeRateLimited, http.StatusTooManyRequests,
			"Too many attempts from this address.", "该地址的尝试次数过多。",
			"Wait for the time given, then check the authorization code before trying again.", "请等待提示的时间，并在重试前核对授权码。"),
		later(CodeInternal, http.StatusInternalServerError,
			"The merchant service failed.", "许可证服务内部出错。",
			"It is tried again by itself; give the request id to the vendor if it persists.", "会自动重试；若持续出现，请将请求编号告知供应商。"),
		later(CodeUnavailable, http.StatusServiceUnavailable,
			"The merchant service is not ready.", "许可证服务暂不可用。",
			"It is tried again by itself; existing licenses keep running.", "会自动重试；已有许可证继续有效。"),
		later(CodeKeysExpired, http.StatusServiceUnavailable,
			"The signing keys of the merchant service are out of date.", "许可证服务的签名密钥已过期。",
			"The vendor must publish a new key set; existing licenses keep running.", "供应商需要发布新的密钥集；已有许可证继续有效。"),
		refused(CodeWrongIssuer, http.StatusForbidden,
			"The request is meant for another vendor.", "该请求是发给其他供应商的。",
			"Check which trust anchor file the agent was given.", "请检查代理使用的信任锚文件。"),
		refused(CodeUnknownCode, http.StatusForbidden,
			"The authorization code is not known.", "授权码不存在。",
			"Check the code for typing errors; ask the vendor if it is right.", "请核对授权码有无输入错误；确认无误请联系供应商。"),
		refused(CodeWrongProduct, http.StatusForbidden,
			"The authorization code is for another product.", "该授权码属于其他产品。",
			"Activate the product that the code was bought for.", "请激活该授权码对应的产品。"),
		refused(CodeUsedUp, http.StatusConflict,
			"All devices of this authorization code are in use.", "该授权码可用的设备数已用完。",
			"Release a device that is no longer used, or buy more.", "请释放不再使用的设备，或购买更多授权。"),
		refused(CodeFrozen, http.StatusForbidden,
			"The authorization code is frozen.", "授权码已被冻结。",
			"Ask the vendor why.", "请联系供应商了解原因。"),
		refused(CodeRevoked, http.StatusForbidden,
			"The authorization code was taken back.", "授权码已被收回。",
			"Ask the vendor for another one.", "请向供应商申请新的授权码。"),
		refused(CodeEnded, http.StatusForbidden,
			"The period that was bought has ended.", "购买的有效期已结束。",
			"Renew the subscription, then run renew.", "请续费后再执行续约。"),
		refused(CodeUnknownLicense, http.StatusNotFound,
			"The merchant service does not know this license.", "许可证服务没有该许可证的记录。",
			"Activate again with the authorization code.", "请用授权码重新激活。"),
		refused(CodeDeviceMismatch, http.StatusForbidden,
			"The request comes from different hardware than the license was issued for.", "请求来自与许可证不同的硬件。",
			settle, settleZH),
		refused(CodeDeviceUnread, http.StatusForbidden,
			"Too little of the hardware could be read to recognise the machine.", "可读取的硬件信息不足，无法识别该机器。",
			"Run license-agent fingerprint and give the service the rights it names.", "请运行 license-agent fingerprint，并按提示授予服务权限。"),
		refused(CodeNoIdentity, http.StatusUnprocessableEntity,
			"The machine shows no hardware value that tells it from others.", "该机器没有可用于区分的硬件标识。",
			"Give the machine a board or disk serial of its own, or let the service read it.", "请为该机器设置独有的主板或磁盘序列号，或允许服务读取。"),
		refused(CodeRebindLimit, http.StatusForbidden,
			"This seat was already re-bound within the last 30 days.", "该名额在最近 30 天内已重新绑定过。",
			"Ask the vendor to release the seat.", "请联系供应商释放该名额。"),
		refused(CodeNotReceived, http.StatusForbidden,
			"The authorization code was bought but not received yet.", "授权码已购买，但尚未领取。",
			"Receive it in My KooGallery, Purchased apps, then activate again.", "请先在云商店“我的云商店 > 已购买的资源”中领取，再重新激活。"),
		refused(CodeUnknown, http.StatusBadRequest,
			"The merchant service refused for a reason this version does not know.", "许可证服务以本版本未知的原因拒绝。",
			"Update license-agent, or ask the vendor.", "请更新 license-agent，或联系供应商。"),
	}
}

// Problem is the body of an error reply.
type Problem struct {
	Error ProblemBody `json:"error"`
}

// ProblemBody says what went wrong. Message is a sentence, Hint the next step,
// RequestID what support finds in the log of the service.
type ProblemBody struct {
	Code      Code   `json:"code"`
	Message   string `json:"message"`
	Hint      string `json:"hint"`
	RequestID string `json:"request_id"`
}
