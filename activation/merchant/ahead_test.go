package merchant

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
)

// ask is a renewal as Process would queue it, and what became of it.
func (d *device) ask(out *outcome, env []byte) *job {
	d.t.Helper()
	req := must(license.OpenRequest(env))(d.t)
	in := &incoming{req: req, device: must(observed(req))(d.t), body: hash(string(env))}
	return &job{ctx: context.Background(), lock: in.lock(d.bed.svc.pepper), seat: req.License, run: func(t *tx) (err error) {
		*out, err = t.answer(in)
		return err
	}}
}

// A batch answers every request as it would be answered alone: a seat that is
// asked for twice, the same request twice, a license nobody has, and a code that
// is frozen in the middle of the batch.
func TestBatchAnswersLikeOneByOne(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	devices := b.fleet(6)
	slices.SortFunc(devices, func(x, y *device) int { return strings.Compare(x.license, y.license) })
	codeOf := must(b.svc.Device(ctx, devices[3].license))(t).Code

	stranger := b.device(99)
	stranger.license = "lic-00000000000000000000"
	var jobs []*job
	out := make([]outcome, 10)
	add := func(d *device, env []byte) { jobs = append(jobs, d.ask(&out[len(jobs)], env)) }
	add(stranger, stranger.request(license.RequestRenew, ""))
	again := devices[0].request(license.RequestRenew, "")
	add(devices[0], again)
	add(devices[0], again)
	copied := devices[1].copied()
	add(devices[1], devices[1].request(license.RequestRenew, ""))
	add(copied, copied.request(license.RequestRenew, ""))
	add(devices[2], devices[2].request(license.RequestRenew, ""))
	// Sorted between two seats: not what the service does, but what it must stand.
	jobs = append(jobs, &job{ctx: ctx, lock: "seat " + devices[2].license + "~", run: func(x *tx) error {
		if b.db.postgres && (len(x.ahead.unsaved) == 0 || len(x.ahead.read) != 3) {
			t.Errorf("%d seats unsaved, %d read ahead: this test sees no batch", len(x.ahead.unsaved), len(x.ahead.read))
		}
		_, err := x.exec(`UPDATE codes SET status = 'frozen' WHERE id = $1`, codeOf)
		return err
	}})
	for _, d := range devices[3:] {
		add(d, d.request(license.RequestRenew, ""))
	}
	if !b.svc.attempt(jobs) {
		t.Fatal(jobs[0].err)
	}

	wantCode(t, "a license nobody has", jobs[0].err, protocol.CodeUnknownLicense)
	for i, j := range jobs[1:] {
		if j.err != nil {
			t.Errorf("job %d: %v", i+1, j.err)
		}
	}
	take := func(d *device, o outcome) string {
		d.take(protocol.Answer{License: []byte(o.license), Notice: []byte(o.notice), KeySet: b.svc.keys.envelope})
		return d.state()
	}
	if out[1] != out[2] || take(devices[0], out[1]) != "license" {
		t.Error("the same request twice in a batch got two answers")
	}
	if a, c := take(devices[1], out[3]), take(copied, out[4]); a != "license" || c != license.NoticeContested {
		t.Errorf("two copies in a batch: %s and %s", a, c)
	}
	if s := take(devices[2], out[5]); s != "license" {
		t.Errorf("before the freeze: %s", s)
	}
	for i, d := range devices[3:] {
		if s := take(d, out[7+i]); s != license.NoticeSuspended {
			t.Errorf("after the freeze: %s", s)
		}
	}
	// What was answered is what the database has: everybody can go on.
	must0(t, b.svc.Unfreeze(ctx, codeOf, ""))
	for i, d := range devices {
		must0(t, d.renew())
		want := "license"
		switch {
		case i == 1:
			want = license.NoticeContested
		case i >= 3: // was suspended
			want = license.NoticeActive
		}
		if d.state() != want {
			t.Errorf("device %d afterwards: %s, want %s", i, d.state(), want)
		}
	}
	must(b.svc.VerifyAudit(ctx))(t)
}

// A seat that cannot be written fails its batch, and the others are then written
// one by one.
func TestBatchWithOneSeatThatCannotBeWritten(t *testing.T) {
	b := newBed(t)
	devices := b.fleet(4)
	var jobs []*job
	out := make([]outcome, len(devices))
	for i, d := range devices {
		jobs = append(jobs, d.ask(&out[i], d.request(license.RequestRenew, "")))
		jobs[i].done = make(chan struct{})
	}
	good := jobs[1].run
	jobs[1].run = func(x *tx) error { // another program deletes the row
		if err := good(x); err != nil {
			return err
		}
		_, err := x.write(`DELETE FROM activations WHERE license_id = $1`, devices[1].license)
		return errors.Join(err, x.flush(), x.save(&seat{license: devices[1].license}), x.flush())
	}
	b.svc.commit(jobs)
	for i, d := range devices {
		if i == 1 {
			if jobs[i].err == nil {
				t.Error("a seat that is gone was written")
			}
			continue
		}
		if jobs[i].err != nil {
			t.Errorf("its neighbour: %v", jobs[i].err)
			continue
		}
		d.take(protocol.Answer{License: []byte(out[i].license), Notice: []byte(out[i].notice), KeySet: b.svc.keys.envelope})
		if got := must(b.svc.Device(context.Background(), d.license))(t).Seq; got != d.seq {
			t.Errorf("told %d, kept %d", d.seq, got)
		}
	}
	must0(t, devices[1].renew())
}
