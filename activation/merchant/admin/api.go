// Package admin is the interface of the vendor's own people: find a code or a
// device, see why it runs or not, freeze, release, re-bind, issue codes. The
// commands of license-merchant are its first client, on the server itself and
// from another machine; openapi.yaml beside this file says the same for others.
// It is not stable API.
//
// Every route has an access class (see routes.go). Callers show a bearer token
// (merchant.Service.AddToken); the HTTPS listener may ask for a client
// certificate besides. What is changed stands in the audit log under the name
// of the token.
package admin

import (
	"licenseagent.example/activation"
	"licenseagent.example/activation/merchant"
)

// Paths of the interface. Words in braces are path parameters.
const (
	PathVersion        = "/admin/v1/version"
	PathOpenAPI        = "/admin/v1/openapi.yaml"
	PathHealth         = "/admin/v1/health"
	PathSettle         = "/admin/v1/health/settle"
	PathFind           = "/admin/v1/find"
	PathCodes          = "/admin/v1/codes"
	PathExpiring       = "/admin/v1/codes/expiring"
	PathCode           = "/admin/v1/codes/{id}"
	PathSales          = "/admin/v1/sales"
	PathFreeze         = "/admin/v1/codes/{id}/freeze"
	PathUnfreeze       = "/admin/v1/codes/{id}/unfreeze"
	PathRevoke         = "/admin/v1/codes/{id}/revoke"
	PathDevices        = "/admin/v1/devices"
	PathContested      = "/admin/v1/devices/contested"
	PathDevice         = "/admin/v1/devices/{id}"
	PathSimulate       = "/admin/v1/devices/{id}/simulate"
	PathRelease        = "/admin/v1/devices/{id}/release"
	PathRebind         = "/admin/v1/devices/{id}/rebind"
	PathRequestAnswer  = "/admin/v1/requests/answer"
	PathRequestExplain = "/admin/v1/requests/explain"
	PathAudit          = "/admin/v1/audit"
	PathAuditVerify    = "/admin/v1/audit/verify"
	PathAuditExport    = "/admin/v1/audit/export"
	PathTokens         = "/admin/v1/tokens"
	PathTokenRevoke    = "/admin/v1/tokens/{id}/revoke"
)

// Content types beside JSON.
const (
	contentJSON   = "application/json"
	contentLines  = "application/x-ndjson"
	contentYAML   = "application/yaml"
	contentAnswer = "application/vnd.license-agent.answer.v1+json"
)

// maxBody bounds every request body: a request file is the largest one.
const maxBody = 128 << 10

// historyRows is how much history is shown with a code or device.
const historyRows = 1000

// Version says what serves.
type Version struct {
	API     string        `json:"api"`
	Program string        `json:"program"`
	Issuer  string        `json:"issuer"`
	Caller  string        `json:"caller"` // name of the token
	Role    merchant.Role `json:"role"`
}

// Health is what is wrong now, worst first nothing: an empty list is good.
type Health struct {
	Status   string             `json:"status"` // ok, problems
	Problems []merchant.Problem `json:"problems"`
}

// Settled names a problem that was put right outside.
type Settled struct {
	Code    string `json:"code"`
	Subject string `json:"subject"` // what the problem is about
	Reason  string `json:"reason"`  // for the audit log
}

// FindRequest is what to look for. It travels in a body, because it may be a
// code: addresses end up in logs.
type FindRequest struct {
	What string `json:"what"`
}

// Codes is a list of codes.
type Codes struct {
	Codes []merchant.CodeInfo `json:"codes"`
}

// NewCodes asks for codes.
type NewCodes struct {
	merchant.CodeSpec
	Count int `json:"count"` // 1 to 100000
}

// MadeCodes are new codes: the only time they are seen.
type MadeCodes struct {
	Codes []MadeCode `json:"codes"`
}

// MadeCode is one new code.
type MadeCode struct {
	Code string `json:"code,omitempty"`
	merchant.CodeInfo
}

// Code is one code with what happened to it.
type Code struct {
	Code    merchant.CodeInfo     `json:"code"`
	Sale    *merchant.SaleInfo    `json:"sale,omitempty"` // of a marketplace's code
	Devices []merchant.DeviceInfo `json:"devices"`
	History []merchant.AuditRow   `json:"history"`
}

// Sale says what a code of the marketplace was bought as. It names the code in
// a body, because it may be the whole of it: addresses end up in logs.
type Sale struct {
	Which   string `json:"which"`   // the code, its id here, its last characters, or order/line of an instance
	Product string `json:"product"` // of the marketplace, "": as it is
	Amount  int64  `json:"amount"`  // quantity bought, 0: as it is
	Reason  string `json:"reason"`  // for the audit log
}

// Reason says why something is done, for the audit log.
type Reason struct {
	Reason string `json:"reason"`
}

// Devices is a list of devices.
type Devices struct {
	Devices []merchant.DeviceInfo `json:"devices"`
}

// Device is one device with what the device itself would say, and its history.
type Device struct {
	Device  merchant.DeviceInfo  `json:"device"`
	Why     merchant.Explanation `json:"why"`
	History []merchant.AuditRow  `json:"history"`
}

// Scenario is a "what if" as people type it.
type Scenario struct {
	Offline    string   `json:"offline"` // time from now without contact: 36h, 45d
	Clock      string   `json:"clock"`   // change of the wall clock: -3h, 30d
	Drop       []string `json:"drop"`    // PART, or PART=N
	Replace    []string `json:"replace"`
	Unreadable []string `json:"unreadable"`
	Behind     bool     `json:"behind"`
	Contested  bool     `json:"contested"`
	Clone      bool     `json:"clone"`
}

func (s Scenario) text() activation.ScenarioText {
	return activation.ScenarioText{
		Offline: s.Offline, Clock: s.Clock, Drop: s.Drop, Replace: s.Replace, Unreadable: s.Unreadable,
		Behind: s.Behind, Contested: s.Contested, Cloned: s.Clone,
	}
}

// Audit is a part of the audit log.
type Audit struct {
	Rows []merchant.AuditRow `json:"rows"`
}

// Verified says that the audit chain is intact.
type Verified struct {
	Rows int64 `json:"verified"`
}

// Tokens is a list of tokens.
type Tokens struct {
	Tokens []merchant.TokenInfo `json:"tokens"`
}

// NewToken asks for a token.
type NewToken struct {
	Name string        `json:"name"`
	Role merchant.Role `json:"role"`
	Life int64         `json:"life"` // seconds
}

// MadeToken is a new token: the only time it is seen.
type MadeToken struct {
	Token string `json:"token,omitempty"`
	merchant.TokenInfo
}
