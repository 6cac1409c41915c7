package admin

import (
	"errors"
	"net/http"

	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/protocol"
)

// The codes of this interface. A request file that is refused keeps the code of
// the protocol (protocol.Specs).
const (
	CodeBadValue       protocol.Code = "bad-value"
	CodeBadRequest     protocol.Code = "malformed"
	CodeTooLarge       protocol.Code = "too-large"
	CodeNoToken        protocol.Code = "no-token"
	CodeForbidden      protocol.Code = "role-too-weak"
	CodeNotFound       protocol.Code = "not-found"
	CodeNoRoute        protocol.Code = "no-such-address"
	CodeMethod         protocol.Code = "method-not-allowed"
	CodeState          protocol.Code = "wrong-state"
	CodeAuditBroken    protocol.Code = "audit-broken"
	CodeInternal       protocol.Code = "internal"
	CodeUnavailable    protocol.Code = "unavailable"
	CodeNotInitialised protocol.Code = "not-initialised"
)

// Exit classes of the command line beside those of the protocol.
const (
	exitUnexpected = 1
	exitUsage      = 2
	exitPermission = 5
)

// Specs is the table of the codes of this interface.
func Specs() []protocol.Spec {
	row := func(c protocol.Code, status, exit int, en, zh, hintEN, hintZH string) protocol.Spec {
		return protocol.Spec{
			Code: c, Status: status, Retry: status == http.StatusServiceUnavailable, Exit: exit,
			Message: protocol.Text{EN: en, ZH: zh}, Hint: protocol.Text{EN: hintEN, ZH: hintZH},
		}
	}
	return []protocol.Spec{
		row(CodeBadValue, http.StatusUnprocessableEntity, exitUsage,
			"A value is not acceptable", "某个值无效", "Correct the value.", "请更正该值。"),
		row(CodeBadRequest, http.StatusBadRequest, exitUsage,
			"The request cannot be read: not JSON, an unknown member, or an unknown parameter", "无法读取请求：不是 JSON，或含未知成员、未知参数",
			"Compare it with openapi.yaml; update license-merchant on the older side.", "请对照 openapi.yaml；并更新较旧一方的 license-merchant。"),
		row(CodeTooLarge, http.StatusRequestEntityTooLarge, exitUsage,
			"The body is larger than this interface takes", "请求体超过限制", "Send a smaller one; a request file is at most 64 KiB.", "请缩小内容；请求文件最大 64 KiB。"),
		row(CodeNoToken, http.StatusUnauthorized, exitPermission,
			"The request carries no valid token", "请求没有有效的令牌",
			"Give the file with your token (--token-file); an administrator makes one with license-merchant tokens add.", "请用 --token-file 指定令牌文件；管理员可用 license-merchant tokens add 创建。"),
		row(CodeForbidden, http.StatusForbidden, exitPermission,
			"The role of this token does not allow that", "该令牌的角色不允许此操作", "Ask somebody whose token has the role that openapi.yaml names.", "请联系拥有 openapi.yaml 所列角色的人员。"),
		row(CodeNotFound, http.StatusNotFound, protocol.ExitRefused,
			"There is no such thing", "不存在该对象", "Look for it with license-merchant find, or list what exists with codes list or devices list.", "请用 license-merchant find 查找，或用 codes list、devices list 列出。"),
		row(CodeNoRoute, http.StatusNotFound, exitUnexpected,
			"There is nothing at this address", "该地址没有内容", "Check --server: it is the address of serve --admin.", "请检查 --server：应为 serve --admin 的地址。"),
		row(CodeMethod, http.StatusMethodNotAllowed, exitUnexpected,
			"This address does not take that method", "该地址不支持此方法", "Compare it with openapi.yaml.", "请对照 openapi.yaml。"),
		row(CodeState, http.StatusConflict, protocol.ExitRefused,
			"That is not possible in the present state", "当前状态下无法执行", "Look at it with codes show or devices show.", "请用 codes show 或 devices show 查看。"),
		row(CodeAuditBroken, http.StatusConflict, protocol.ExitRefused,
			"The audit log was tampered with", "审计日志被篡改", "Somebody changed the database; compare with an export or a backup.", "数据库被改动过；请与导出或备份比对。"),
		row(CodeInternal, http.StatusInternalServerError, exitUnexpected,
			"The merchant service failed", "许可证服务内部出错", "Look for the request id in the log of the service.", "请在服务日志中查找请求编号。"),
		row(CodeUnavailable, http.StatusServiceUnavailable, protocol.ExitUnreachable,
			"The merchant service or its database is not available now", "许可证服务或其数据库暂不可用", "Look at the database server, its disk space and the network to it, and at license-merchant health; try again.", "请检查数据库服务器、磁盘空间及网络，并查看 license-merchant health，然后重试。"),
		row(CodeNotInitialised, http.StatusServiceUnavailable, protocol.ExitRefused,
			"The merchant service has no keys yet", "许可证服务尚未初始化密钥", "Run license-merchant init --issuer NAME on the server.", "请在服务器上执行 license-merchant init --issuer NAME。"),
	}
}

// Lookup returns the row of a code of this interface or of the protocol.
func Lookup(c protocol.Code) protocol.Spec {
	for _, s := range Specs() {
		if s.Code == c {
			return s
		}
	}
	return protocol.Lookup(c)
}

// Error is a request that was answered with an error. Detail says which one in
// English; it is empty for what the service keeps to itself.
type Error struct {
	Code      protocol.Code
	Detail    string
	RequestID string
	Message   string // the sentence as the service answered it, "" in the service
	Hint      string // the next step likewise
}

// Error is the sentence with its detail.
func (e *Error) Error() string {
	if e.Message != "" {
		return e.Message
	}
	return e.sentence("")
}

func (e *Error) sentence(lang string) string {
	text := Lookup(e.Code).Message.In(lang)
	if e.Detail != "" {
		return text + ": " + e.Detail
	}
	return text
}

func fault(c protocol.Code, detail string) error { return &Error{Code: c, Detail: detail} }

// faultOf turns an error of the service into one of this interface. The second
// result says that it is the service's own failure, which belongs into its log.
func faultOf(err error) (e *Error, own bool) {
	var refusal *merchant.Refusal
	switch {
	case errors.As(err, &e):
		return e, false
	case errors.As(err, &refusal):
		return &Error{Code: refusal.Code}, false
	case errors.Is(err, merchant.ErrInput):
		return &Error{Code: CodeBadValue, Detail: detail(err)}, false
	case errors.Is(err, merchant.ErrNotFound):
		return &Error{Code: CodeNotFound, Detail: detail(err)}, false
	case errors.Is(err, merchant.ErrState):
		return &Error{Code: CodeState, Detail: detail(err)}, false
	case errors.Is(err, merchant.ErrAudit):
		return &Error{Code: CodeAuditBroken, Detail: detail(err)}, false
	case errors.Is(err, merchant.ErrNotInitialised):
		return &Error{Code: CodeNotInitialised}, false
	case errors.Is(err, merchant.ErrUnavailable):
		return &Error{Code: CodeUnavailable, Detail: detail(err)}, true
	}
	return &Error{Code: CodeInternal}, true
}

// detail is the text of an error behind its sentinel.
func detail(err error) string {
	text := err.Error()
	for _, s := range []error{merchant.ErrInput, merchant.ErrNotFound, merchant.ErrState, merchant.ErrAudit, merchant.ErrUnavailable} {
		if prefix := s.Error() + ": "; len(text) > len(prefix) && text[:len(prefix)] == prefix {
			return text[len(prefix):]
		}
	}
	return text
}
