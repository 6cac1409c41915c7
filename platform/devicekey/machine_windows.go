package devicekey

import "golang.org/x/sys/windows/registry"

// MachineID is the number that the operating system has given this installation,
// "" for none. Copies of an image share it unless sysprep has made a new one, so
// that it tells copies apart and never proves that two machines are one.
func MachineID() string {
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, `SOFTWARE\Microsoft\Cryptography`, registry.QUERY_VALUE|registry.WOW64_64KEY)
	if err != nil {
		return ""
	}
	defer k.Close() //nolint:errcheck // read only
	id, _, err := k.GetStringValue("MachineGuid")
	if err != nil {
		return ""
	}
	return id
}
