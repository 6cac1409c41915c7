// Command udisks stands where UDisks would on a Linux desktop: Wine asks it for
// the drives of the machine, and passes its serial on to Windows programs. It
// tells of one fixed drive and serves until its input ends. Only for tests.
//
//	udisks SERIAL DEVICE <pipe     with DBUS_SYSTEM_BUS_ADDRESS; prints "ready"
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/godbus/dbus/v5"
)

func main() {
	if err := serve(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "udisks:", err)
		os.Exit(1)
	}
}

func serve(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: udisks SERIAL DEVICE")
	}
	c, err := dbus.Connect(os.Getenv("DBUS_SYSTEM_BUS_ADDRESS"))
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // the process ends
	if err := c.Export(drive{args[0], args[1]}, "/org/freedesktop/UDisks2", "org.freedesktop.DBus.ObjectManager"); err != nil {
		return err
	}
	got, err := c.RequestName("org.freedesktop.UDisks2", dbus.NameFlagDoNotQueue)
	if err != nil || got != dbus.RequestNameReplyPrimaryOwner {
		return fmt.Errorf("name: %v, %w", got, err)
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// drive is the one drive: its serial and a block device of the number that the
// file system has under which Wine keeps drive C:, for so it finds the two to be one.
type drive struct{ serial, device string }

// objects is what GetManagedObjects returns: path, interface, property, value.
type objects map[dbus.ObjectPath]map[string]map[string]dbus.Variant

// GetManagedObjects tells of the drive and of the file system on it.
func (d drive) GetManagedObjects() (objects, *dbus.Error) {
	const path = dbus.ObjectPath("/org/freedesktop/UDisks2/drives/one")
	v := func(x any) dbus.Variant { return dbus.MakeVariant(x) }
	text := func(s string) []byte { return append([]byte(s), 0) }
	return objects{
		path: {"org.freedesktop.UDisks2.Drive": {
			"Serial": v(d.serial), "Id": v(d.serial), "Model": v("Disk"), "Vendor": v("Test"), "Removable": v(false), "MediaRemovable": v(false),
			"Ejectable": v(false), "Media": v(""), "Size": v(uint64(64 << 20)), "ConnectionBus": v(""), "MediaCompatibility": v([]string{}),
		}},
		"/org/freedesktop/UDisks2/block_devices/one": {
			"org.freedesktop.UDisks2.Block": {
				"Device": v(text(d.device)), "PreferredDevice": v(text(d.device)), "Drive": v(path), "Id": v("by-uuid-0d9e1a2b-1111-2222-3333-444455556666"), "IdUUID": v("0d9e1a2b-1111-2222-3333-444455556666"),
				"IdType": v("ext4"), "IdUsage": v("filesystem"), "IdLabel": v(""), "Size": v(uint64(64 << 20)), "HintIgnore": v(false),
				"HintSystem": v(false), "ReadOnly": v(false), "CryptoBackingDevice": v(dbus.ObjectPath("/")),
			},
			"org.freedesktop.UDisks2.Filesystem": {"MountPoints": v([][]byte{text("/")})},
		},
	}, nil
}
