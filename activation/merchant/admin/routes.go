package admin

import (
	"net/http"

	"licenseagent.example/activation/merchant"
)

// access says whose token opens a route. The zero value is no decision at all,
// and New refuses a table that contains it.
type access int

const (
	undecided access = iota
	viewer
	support
	administrator
)

// role is the weakest role with the access; none for undecided.
func (a access) role() merchant.Role {
	switch a {
	case viewer:
		return merchant.RoleViewer
	case support:
		return merchant.RoleSupport
	case administrator:
		return merchant.RoleAdmin
	}
	return ""
}

// route is one row of the access table.
type route struct {
	method string
	path   string
	access access
	serve  func(*exchange) error
}

// table is every route there is.
func (s *Server) table() []route {
	get, post := http.MethodGet, http.MethodPost
	return []route{
		{get, PathVersion, viewer, s.version},
		{get, PathOpenAPI, viewer, s.document},
		{get, PathHealth, viewer, s.health},
		{post, PathSettle, support, s.settle},
		{post, PathFind, viewer, s.find},

		{get, PathCodes, viewer, s.codes},
		{post, PathCodes, support, s.addCodes},
		{get, PathExpiring, viewer, s.expiring},
		{get, PathCode, viewer, s.code},
		{post, PathSales, support, s.sale},
		{post, PathFreeze, support, s.codeAction((*merchant.Service).Freeze)},
		{post, PathUnfreeze, support, s.codeAction((*merchant.Service).Unfreeze)},
		{post, PathRevoke, administrator, s.codeAction((*merchant.Service).Revoke)},

		{get, PathDevices, viewer, s.devices},
		{get, PathContested, viewer, s.contested},
		{get, PathDevice, viewer, s.device},
		{post, PathSimulate, viewer, s.simulate},
		{post, PathRelease, support, s.deviceAction((*merchant.Service).Release)},
		{post, PathRebind, support, s.deviceAction((*merchant.Service).Rebind)},

		{post, PathRequestAnswer, support, s.answer},
		{post, PathRequestExplain, viewer, s.explain},

		{get, PathAudit, viewer, s.audit},
		{get, PathAuditVerify, viewer, s.auditVerify},
		{get, PathAuditExport, viewer, s.auditExport},

		{get, PathTokens, administrator, s.tokens},
		{post, PathTokens, administrator, s.addToken},
		{post, PathTokenRevoke, administrator, s.revokeToken},
	}
}
