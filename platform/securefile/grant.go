package securefile

// Grant is what the installer gives the service's account in one directory
// below ProgramData. SYSTEM and Administrators have full access and own all of
// them; nothing is inherited from above, because ProgramData lets every user
// create files.
type Grant string

// The grants, as security descriptors; %[1]s is the SID of the service.
const (
	// GrantState is for the state: nobody else may even read.
	GrantState Grant = "O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;%[1]s)"
	// GrantConfig is for what the administrator writes: the service and the
	// users of the machine read and execute (0x1200a9).
	GrantConfig Grant = "O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;%[1]s)(A;OICI;0x1200a9;;;BU)"
	// GrantPublic is for what the service writes for everybody to read.
	GrantPublic Grant = "O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;%[1]s)(A;OICI;0x1200a9;;;BU)"
)
