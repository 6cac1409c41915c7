package merchant

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
	"licenseagent.example/fingerprint"
)

// with exchanges parts of a hardware string: mac, disk, board, cpu.
func with(print string, parts map[int]string) string {
	list := strings.Split(print, "|")
	for i, v := range parts {
		list[i] = v
	}
	return strings.Join(list, "|")
}

func TestClonedStoreOnOtherHardware(t *testing.T) {
	b := newBed(t)
	code, _ := b.code(func(s *CodeSpec) { s.Devices = 3 })
	d := b.device(1)
	must0(t, d.activate(code))
	clone := d.copied()
	clone.print = hardware(2)
	wantCode(t, "renewal on other hardware", clone.renew(), protocol.CodeDeviceMismatch)
	wantCode(t, "activation with a copied device key", clone.activate(code), protocol.CodeDeviceMismatch)
	wantCode(t, "release from other hardware", clone.do(license.RequestRelease, ""), protocol.CodeDeviceMismatch)
	info := must(b.svc.Device(context.Background(), d.license))(t)
	if info.ContestBy != "other-hardware" || info.Status != "active" {
		t.Errorf("seat: %+v", info)
	}
	must0(t, d.renew())
	if d.state() != license.NoticeContested {
		t.Errorf("the original was told %s", d.state())
	}
	must0(t, d.do(license.RequestRebind, code))
	must0(t, d.renew())
	if d.state() != "license" {
		t.Errorf("after the re-bind: %s", d.state())
	}
}

// A new board with its network adapter is a re-bind by the buyer's code, once in
// thirty days; a machine that shares nothing strong stays another one.
func TestRebindAfterABoardSwap(t *testing.T) {
	b := newBed(t)
	code, _ := b.code()
	d := b.device(1)
	must0(t, d.activate(code))
	swap := func(i int) {
		d.print = with(d.print, map[int]string{0: fmt.Sprintf("3C:7C:3F:55:00:%02X", i), 2: fmt.Sprintf("BOARD-SWAPPED-77%02d", i)})
	}
	swap(1)
	wantCode(t, "renewal after the swap", d.renew(), protocol.CodeDeviceMismatch)
	must0(t, d.do(license.RequestRebind, code))
	must0(t, d.renew())
	if d.state() != "license" {
		t.Fatalf("after the re-bind: %s", d.state())
	}
	swap(2)
	wantCode(t, "a second swap within the month", d.do(license.RequestRebind, code), protocol.CodeRebindLimit)
	b.clock.Add(31 * 24 * time.Hour)
	must0(t, d.do(license.RequestRebind, code))
	d.print = hardware(3)
	b.clock.Add(31 * 24 * time.Hour)
	wantCode(t, "another machine", d.do(license.RequestRebind, code), protocol.CodeDeviceMismatch)
}

func TestUnreadableHardware(t *testing.T) {
	b := newBed(t)
	code, _ := b.code()
	d := b.device(1)
	must0(t, d.activate(code))
	d.print = "|||BFEBFBFF000906EA"
	d.states = map[fingerprint.Kind]fingerprint.State{fingerprint.MAC: fingerprint.Unreadable, fingerprint.Disk: fingerprint.Unreadable, fingerprint.Board: fingerprint.Unreadable}
	wantCode(t, "renewal without readable hardware", d.renew(), protocol.CodeDeviceUnread)
	if must(b.svc.Device(context.Background(), d.license))(t).Contested != 0 {
		t.Error("unreadable was taken for changed")
	}
	must0(t, d.do(license.RequestRelease, ""))
	if d.state() != license.NoticeReleased {
		t.Errorf("release of an unreadable machine: %s", d.state())
	}
}

// TestRollForward exchanges a machine part by part: one part a month is taken
// over, a second one within the month is not.
func TestRollForward(t *testing.T) {
	b := newBed(t)
	code, _ := b.code()
	d := b.device(1)
	must0(t, d.activate(code))
	before := d.claims.Device.Parts
	d.print = with(d.print, map[int]string{1: "NEW-DISK-7781"})
	must0(t, d.renew())
	if fmt.Sprint(before) == fmt.Sprint(d.claims.Device.Parts) {
		t.Fatal("the new disk was not taken over")
	}
	rolled := d.claims.Device.Parts
	d.print = with(d.print, map[int]string{0: "3C:7C:3F:99:99:99"})
	b.clock.Add(29 * 24 * time.Hour)
	must0(t, d.renew())
	if fmt.Sprint(rolled) != fmt.Sprint(d.claims.Device.Parts) {
		t.Fatal("a second part was taken over within the month")
	}
	b.clock.Add(24 * time.Hour)
	must0(t, d.renew())
	if fmt.Sprint(rolled) == fmt.Sprint(d.claims.Device.Parts) {
		t.Fatal("the address was not taken over after the month")
	}
	// What is enrolled now is the present machine.
	x := must(b.svc.Explain(context.Background(), d.request(license.RequestRenew, "")))(t)
	if x.Comparison.Drift || x.Comparison.Outcome != fingerprint.Same || x.Chain != "current" {
		t.Errorf("explanation: %+v", x)
	}
	// The raw values are nowhere in the database.
	text := b.raw()
	if !strings.Contains(text, d.license) {
		t.Fatal("this is not the database")
	}
	for _, secret := range []string{"NEW-DISK-7781", "WD-WMAM9X000001", "PF3N000001X", "3C:7C:3F:00:00:01", code, strings.ReplaceAll(code, "-", "")} {
		if strings.Contains(text, secret) {
			t.Errorf("the database holds %s", secret)
		}
	}
}

// A disk that is added while the old one still works is enrolled before the
// old one fails, and a CPU that changed by migration costs no allowance.
func TestRollForwardTakesNewMembers(t *testing.T) {
	b := newBed(t)
	code, _ := b.code()
	d := b.device(1)
	must0(t, d.activate(code))
	old := strings.Split(d.print, "|")[1]
	d.print = with(d.print, map[int]string{1: old + ",WD-SECOND-4711", 3: "178BFBFF00A20F12"})
	must0(t, d.renew())
	d.print = with(d.print, map[int]string{1: "WD-SECOND-4711"})
	x := must(b.svc.Explain(t.Context(), d.request(license.RequestRenew, "")))(t)
	if x.Comparison.Drift || x.Comparison.Outcome != fingerprint.Same {
		t.Errorf("after the first disk failed: %+v", x.Comparison)
	}
	must0(t, d.renew())
	if d.state() != "license" {
		t.Errorf("told %s", d.state())
	}
}

// raw is everything that the database holds.
func (b *bed) raw() string {
	b.t.Helper()
	var all strings.Builder
	if b.dsn == "" {
		for _, name := range []string{"merchant.db", "merchant.db-wal"} {
			all.Write(must(os.ReadFile(filepath.Join(b.dir, name)))(b.t))
		}
		return all.String()
	}
	for _, table := range []string{"codes", "activations", "answers", "idempotency", "audit", "popular"} {
		rows := must(b.db.read.Query("SELECT CAST(x AS TEXT) FROM " + table + " x"))(b.t)
		for rows.Next() {
			var row string
			must0(b.t, rows.Scan(&row))
			all.WriteString(row)
		}
		must0(b.t, errors.Join(rows.Err(), rows.Close()))
	}
	return all.String()
}

// TestPopularValues: the serial of a golden image identifies nobody.
func TestPopularValues(t *testing.T) {
	b := newBed(t)
	limit := int(DefaultTerms().PopularAt)
	code, _ := b.code(func(s *CodeSpec) { s.Devices = 1000 })
	parts := func(d *device) string {
		var list []string
		for _, p := range d.claims.Device.Parts {
			list = append(list, string(p.Kind))
		}
		return strings.Join(list, ",")
	}
	var first *device
	lone := b.device(7000)
	lone.print = "||CLONED-BOARD-5|BFEBFBFF000906EA"
	must0(t, lone.activate(code))
	limit-- // lone shows it as well
	for i := range limit + 2 {
		d := b.device(i)
		if i == 0 {
			first = d
		}
		d.print = with(d.print, map[int]string{2: "CLONED-BOARD-5"})
		must0(t, d.activate(code))
		want := "mac,disk,board,cpu"
		if i >= limit {
			want = "mac,disk,cpu"
		}
		if got := parts(d); got != want {
			t.Errorf("device %d is recognised by %s, want %s", i, got, want)
		}
	}
	// Those that came before are recognised by the rest from their next contact on.
	must0(t, first.renew())
	if got := parts(first); got != "mac,disk,cpu" {
		t.Errorf("after it became popular, the first device is recognised by %s", got)
	}
	must0(t, first.renew())
	if got := parts(first); got != "mac,disk,cpu" || first.state() != "license" {
		t.Errorf("a contact later: %s, %s", got, first.state())
	}
	must0(t, lone.renew())
	if got := parts(lone); got != "board,cpu" {
		t.Errorf("a device with nothing else is recognised by %s", got)
	}
	// A machine that has nothing else holds no seat.
	d := b.device(5000)
	d.print = "||CLONED-BOARD-5|BFEBFBFF000906EA"
	wantCode(t, "only a popular value", d.activate(code), protocol.CodeNoIdentity)
	// One device asking again and again does not make its own value popular.
	own := b.device(6000)
	for range limit + 5 {
		must0(t, own.activate(code))
		must0(t, own.do(license.RequestRelease, ""))
	}
	must0(t, own.activate(code))
	if got := parts(own); got != "mac,disk,board,cpu" {
		t.Errorf("its own serial became popular: %s", got)
	}
}
