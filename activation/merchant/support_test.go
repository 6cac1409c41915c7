package merchant

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"licenseagent.example/activation/license"
)

// The index of the migration and the query use the same words: an index on
// another expression would not be used.
func TestEndOfCodesIsIndexed(t *testing.T) {
	text := string(must(os.ReadFile("migrations/00003_admin.sql"))(t))
	if !strings.Contains(text, "CREATE INDEX codes_end ON codes ("+codeEnd+")") {
		t.Error("codeEnd is not the expression of the index codes_end")
	}
}

// SQL and Go agree about when a code ends.
func TestEndOfCodes(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	now := b.clock.Now().Unix()
	want := map[string]int64{}
	i := 0
	for _, ends := range []int64{0, now + 5*day, now + 50*day} {
		for _, valid := range []int64{0, 10, 100} {
			for _, used := range []bool{false, true} {
				code, info := b.code(func(s *CodeSpec) { s.Ends, s.ValidDays = ends, valid })
				if used {
					i++
					must0(t, b.device(i).activate(code))
				}
				want[info.ID] = must(b.svc.Code(ctx, info.ID))(t).Expires
			}
		}
	}
	for _, within := range []int64{0, 4, 5, 9, 10, 49, 50, 99, 100, 1000} {
		n := 0
		for _, end := range want {
			if end <= now+within*day {
				n++
			}
		}
		list := must(b.svc.Expiring(ctx, within*day, 100))(t)
		if len(list) != n {
			t.Errorf("within %d days: %d, want %d", within, len(list), n)
		}
		last := int64(0)
		for _, c := range list {
			if c.Expires < last {
				t.Errorf("within %d days: not in order", within)
			}
			last = c.Expires
		}
	}
	list := must(b.svc.Expiring(ctx, 6*day, 100))(t)
	must0(t, b.svc.Revoke(ctx, list[0].ID, ""))
	if n := len(must(b.svc.Expiring(ctx, 6*day, 100))(t)); n != len(list)-1 {
		t.Error("a code taken back is listed")
	}
	b.clock.Add(6 * 24 * time.Hour)
	for _, c := range must(b.svc.Expiring(ctx, 1000*day, 100))(t) {
		if c.Expires <= b.clock.Now().Unix() {
			t.Error("a code that has ended is listed as ending")
		}
	}
}

// Lists are in order, bounded, and narrowed by what is asked.
func TestLists(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	var ids []string
	for i := range 6 {
		code, info := b.code(func(s *CodeSpec) {
			s.Devices, s.Note = 3, "n"
			if i%2 == 1 {
				s.Product = "printer"
			}
		})
		ids = append(ids, info.ID)
		if i%2 == 0 {
			must0(t, b.device(i).activate(code))
		}
		b.clock.Add(time.Second)
	}
	all := must(b.svc.Codes(ctx, "", 100))(t)
	if len(all) != 6 || all[0].ID != ids[5] || all[5].ID != ids[0] {
		t.Errorf("codes are not newest first: %v", all)
	}
	if list := must(b.svc.Codes(ctx, "printer", 2))(t); len(list) != 2 || list[0].ID != ids[5] || list[1].ID != ids[3] {
		t.Errorf("two of one product: %v", list)
	}
	devices := must(b.svc.Devices(ctx, "", 2))(t)
	if len(devices) != 2 || devices[0].Created < devices[1].Created || devices[0].Code != ids[4] {
		t.Errorf("devices: %v", devices)
	}
	if list := must(b.svc.Devices(ctx, ids[2], 10))(t); len(list) != 1 || list[0].Code != ids[2] {
		t.Errorf("devices of one code: %v", list)
	}
	if list := must(b.svc.Devices(ctx, ids[1], 10))(t); len(list) != 0 {
		t.Errorf("devices of an unused code: %v", list)
	}
	d := devices[0]
	for _, id := range []string{d.License, d.Device} {
		if got := must(b.svc.Device(ctx, id))(t); got.License != d.License {
			t.Errorf("device %s: %v", id, got)
		}
		if f := must(b.svc.Find(ctx, " "+id+"\n"))(t); len(f.Devices) != 1 || len(f.Codes) != 0 {
			t.Errorf("find %s: %+v", id, f)
		}
	}
	if f := must(b.svc.Find(ctx, "n"))(t); len(f.Codes) != 6 {
		t.Errorf("find by note: %d", len(f.Codes))
	}
	if f := must(b.svc.Find(ctx, "nothing"))(t); len(f.Codes)+len(f.Devices) != 0 {
		t.Errorf("find nothing: %+v", f)
	}
	rows := must(b.svc.Audit(ctx, ids[0], 0, 100))(t)
	if len(rows) != 1 || rows[0].Action != "code.add" || rows[0].Actor != "operator" {
		t.Errorf("history: %+v", rows)
	}
}

// Contested seats are listed while they are live, the newest case first.
func TestContestedList(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	devices := b.fleet(3)
	for _, d := range devices[:2] {
		twin := d.copied()
		must0(t, d.renew())
		must0(t, twin.renew())
		b.clock.Add(time.Second)
	}
	list := must(b.svc.Contested(ctx, 10))(t)
	if len(list) != 2 || list[0].License != devices[1].license || list[1].License != devices[0].license || list[0].ContestBy != "fork" {
		t.Fatalf("contested: %+v", list)
	}
	must0(t, b.svc.Release(ctx, devices[1].license, ""))
	if list := must(b.svc.Contested(ctx, 10))(t); len(list) != 1 {
		t.Errorf("after a release: %+v", list)
	}
	if devices[2].state() != "license" || devices[0].claims == nil {
		t.Error("the honest ones are told something else")
	}
	must0(t, devices[0].do(license.RequestRelease, ""))
}

// The audit log names who did it: the name in the context, or the operator.
func TestAuditNamesTheActor(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	_, info := b.code()
	must0(t, b.svc.Freeze(By(ctx, "ann"), info.ID, "unpaid"))
	must0(t, b.svc.Unfreeze(ctx, info.ID, ""))
	rows := must(b.svc.Audit(ctx, info.ID, 0, 10))(t)
	got := ""
	for _, r := range rows {
		got += r.Actor + " " + r.Action + "; "
	}
	if got != "operator code.add; ann code.frozen; operator code.active; " {
		t.Error(got)
	}
}
