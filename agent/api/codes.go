package api

// Exit codes of license-agent and of programs that want the same convention.
const (
	ExitOK          = 0
	ExitUnexpected  = 1
	ExitUsage       = 2
	ExitNotLicensed = 3
	ExitNotRunning  = 4
	ExitPermission  = 5
	ExitUnreachable = 6
	ExitRefused     = 7
	ExitInterrupted = 130
)

// Error codes that the agent puts on the wire. They are stable: a program may
// switch on them.
const (
	CodeBadRequest       = "bad-request"        // the request cannot be understood
	CodeForeignRequest   = "foreign-request"    // Host, Origin or Referer show a browser or a proxy
	CodeNoIdentity       = "no-identity"        // the kernel did not say who is calling
	CodePermission       = "permission-denied"  // the caller is not an administrator
	CodeNotFound         = "not-found"          // no such path
	CodeMethod           = "method-not-allowed" // the path exists, the method does not
	CodeTooLarge         = "too-large"          // body over the limit
	CodeBusy             = "busy"               // this user's share is used up while others wait
	CodeNotActivated     = "not-activated"      // no license held for the product
	CodeAmbiguous        = "ambiguous-product"  // several licenses fit: say which
	CodeAlreadyActivated = "already-activated"  // a license for the product is held already
	CodeNotLicensed      = "not-licensed"       // a genuine answer that says no
	CodeSeatsTaken       = "seats-taken"        // every concurrent use that the license allows here is taken
	CodeOutstanding      = "request-outstanding"
	CodeAlreadyImported  = "already-imported"
	CodeWrongAnswer      = "wrong-answer"    // a valid answer, but not to this machine's request
	CodeBadFile          = "bad-file"        // the file is not what it should be, or was altered
	CodeUnknownIssuer    = "unknown-issuer"  // no trust anchor for the vendor
	CodeDamaged          = "license-damaged" // the remembered license does not verify any more
	CodeUnreachable      = "merchant-unreachable"
	CodeBadAnswer        = "merchant-bad-answer" // the merchant answered nonsense
	CodeRefused          = "merchant-refused"    // the merchant said no; Error.Cause says why
	CodeStorage          = "storage-failed"
	CodeStorageFull      = "storage-full"
	CodeDeviceKey        = "device-key-unusable" // damaged, of another machine, or in a TPM that does not answer
	CodeInternal         = "internal"
)

// Error codes that arise in a client or on the command line, never on the wire.
const (
	CodeNotRunning   = "agent-not-running"
	CodeTimeout      = "agent-timeout"
	CodeWrongOwner   = "agent-wrong-owner"  // somebody else listens on the agent's endpoint
	CodeNoAccess     = "agent-no-access"    // this account may not reach the agent's endpoint
	CodeAgentAnswer  = "agent-bad-answer"   // the agent's answer cannot be understood
	CodeUntrusted    = "agent-untrusted"    // the answer does not end in the vendor's key
	CodeWrongDevice  = "agent-wrong-device" // the answer is genuine, but for another machine
	CodeUsage        = "usage"
	CodeConfig       = "config-invalid"
	CodeStateInUse   = "state-in-use"    // another agent owns the state directory
	CodeStateUnsafe  = "state-unsafe"    // owner, mode or a link would let others change the state
	CodeSocketTaken  = "socket-taken"    // another user or agent holds the endpoint
	CodeStateNewer   = "state-newer"     // written by a newer version
	CodeInterrupted  = "interrupted"     // the operator stopped the command
	CodeNotConfirmed = "not-confirmed"   // the operator did not agree to send
	CodeFileAccess   = "file-access"     // a file named on the command line cannot be read or written
	CodeNoAnchor     = "no-trust-anchor" // no vendor is known to this instance
	CodeAnchor       = "anchor"          // the trust anchor that a program was built with is unusable
	CodeInstall      = "install-failed"  // install, upgrade or uninstall did not get to its end
)

// CodeInfo is one row of the table that maps a code to its HTTP status (0 for
// codes that never travel) and to the exit code of the command line.
type CodeInfo struct {
	Code string
	HTTP int
	Exit int
}

// Codes returns the whole table, in the order of the constants. openapi.yaml
// and the README carry the same rows; tests compare them.
func Codes() []CodeInfo {
	return []CodeInfo{
		{CodeBadRequest, 400, ExitUsage},
		{CodeForeignRequest, 403, ExitPermission},
		{CodeNoIdentity, 403, ExitPermission},
		{CodePermission, 403, ExitPermission},
		{CodeNotFound, 404, ExitUsage},
		{CodeMethod, 405, ExitUsage},
		{CodeTooLarge, 413, ExitUsage},
		{CodeBusy, 429, ExitUnexpected},
		{CodeNotActivated, 404, ExitNotLicensed},
		{CodeAmbiguous, 409, ExitUsage},
		{CodeAlreadyActivated, 409, ExitUsage},
		{CodeNotLicensed, 403, ExitNotLicensed},
		{CodeSeatsTaken, 409, ExitNotLicensed},
		{CodeOutstanding, 409, ExitUsage},
		{CodeAlreadyImported, 409, ExitUsage},
		{CodeWrongAnswer, 422, ExitUsage},
		{CodeBadFile, 422, ExitUsage},
		{CodeUnknownIssuer, 404, ExitUsage},
		{CodeDamaged, 500, ExitNotLicensed},
		{CodeUnreachable, 502, ExitUnreachable},
		{CodeBadAnswer, 502, ExitUnreachable},
		{CodeRefused, 422, ExitRefused},
		{CodeStorage, 503, ExitUnexpected},
		{CodeStorageFull, 507, ExitUnexpected},
		{CodeDeviceKey, 503, ExitUnexpected},
		{CodeInternal, 500, ExitUnexpected},

		{CodeNotRunning, 0, ExitNotRunning},
		{CodeTimeout, 0, ExitNotRunning},
		{CodeWrongOwner, 0, ExitPermission},
		{CodeNoAccess, 0, ExitPermission},
		{CodeAgentAnswer, 0, ExitUnexpected},
		{CodeUntrusted, 0, ExitNotLicensed},
		{CodeWrongDevice, 0, ExitNotLicensed},
		{CodeUsage, 0, ExitUsage},
		{CodeConfig, 0, ExitUsage},
		{CodeStateInUse, 0, ExitUnexpected},
		{CodeStateUnsafe, 0, ExitPermission},
		{CodeSocketTaken, 0, ExitPermission},
		{CodeStateNewer, 0, ExitUnexpected},
		{CodeInterrupted, 0, ExitInterrupted},
		{CodeNotConfirmed, 0, ExitUsage},
		{CodeFileAccess, 0, ExitUsage},
		{CodeNoAnchor, 0, ExitUsage},
		{CodeAnchor, 0, ExitUsage},
		{CodeInstall, 0, ExitUnexpected},
	}
}

// Lookup returns the row of code. An unknown code, as a newer agent may send
// it, is treated as internal: status 500, exit code 1.
func Lookup(code string) CodeInfo {
	for _, c := range Codes() {
		if c.Code == code {
			return c
		}
	}
	return CodeInfo{Code: code, HTTP: 500, Exit: ExitUnexpected}
}

// Exit says with which code a process should end after e; 0 for nil.
func Exit(e *Error) int {
	if e == nil {
		return ExitOK
	}
	return Lookup(e.Code).Exit
}
