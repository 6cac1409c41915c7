package embed_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"licenseagent.example/activation/activationtest"
	"licenseagent.example/agent/api"
	"licenseagent.example/agent/embed"
)

// activated is an opened instance with a license for some seats.
func activated(t testing.TB, seats int64) (*embed.Agent, *activationtest.Merchant) {
	t.Helper()
	m, anchor := merchant(t)
	m.AddCode("SEATS", activationtest.Offer{Product: "server", Seats: seats})
	a := open(t, filepath.Join(t.TempDir(), "state"), anchor, smbios(t))
	request, err := a.Request(t.Context(), api.OfflineRequest{Kind: "activate", Code: "SEATS"})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := m.File(request)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Import(t.Context(), answer); err != nil {
		t.Fatal(err)
	}
	return a, m
}

// The sessions of a server: two at a time, the third waits.
func TestSeatsOfNamedUsers(t *testing.T) {
	a, _ := activated(t, 2)
	alice, err := a.Seat(t.Context(), "server", "", "alice")
	if err != nil {
		t.Fatal(err)
	}
	again, err := a.Seat(t.Context(), "server", "", "alice")
	if err != nil || again.Info.ID != alice.Info.ID || again.Count.Used != 1 {
		t.Errorf("the same user: %+v %v", again, err)
	}
	bob, err := a.Seat(t.Context(), "server", "acme", "bob")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := a.Seat(ctx, "server", "", "carol"); !hasCode(err, api.CodeSeatsTaken) {
		t.Errorf("one more: %v", err)
	}
	got := make(chan *embed.Seat)
	go func() {
		s, _ := a.Seat(t.Context(), "server", "", "carol")
		got <- s
	}()
	if err := bob.Close(); err != nil {
		t.Error(err)
	}
	carol := <-got
	if carol == nil {
		t.Fatal("no seat after one came back")
	}
	list := a.Seats()
	if len(list.Counts) != 1 || list.Counts[0].Used != 2 || list.Counts[0].Peak != 2 || len(list.Seats) != 3 {
		t.Errorf("%+v", list)
	}
	if l := a.Status().Licenses[0]; l.SeatsUsed != 2 || l.Seats != 2 {
		t.Errorf("status %+v", l)
	}
	for _, s := range []*embed.Seat{alice, again, carol, carol} {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := a.Seats().Counts[0].Used; n != 0 {
		t.Errorf("%d left", n)
	}
	if _, err := a.Seat(t.Context(), "other", "", ""); !hasCode(err, api.CodeNotActivated) {
		t.Errorf("another product: %v", err)
	}
}

// A seat is lost with its license.
func TestSeatIsLostWithTheLicense(t *testing.T) {
	a, m := activated(t, 1)
	s, err := a.Seat(t.Context(), "server", "", "")
	if err != nil {
		t.Fatal(err)
	}
	request, err := a.Request(t.Context(), api.OfflineRequest{Kind: "release", Product: "server"})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := m.File(request)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Import(t.Context(), answer); err != nil {
		t.Fatal(err)
	}
	<-s.Lost()
	if _, err := a.Seat(t.Context(), "server", "", ""); !hasCode(err, api.CodeNotLicensed) {
		t.Errorf("after the release: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// A server that cannot install a service keeps its own license and counts the
// sessions of its users.
func ExampleAgent_Seat() {
	vendor := activationtest.NewMerchant("acme", func() int64 { return time.Now().Unix() }) // a product reaches a real one by HTTPS
	vendor.AddCode("CODE", activationtest.Offer{Product: "server", Seats: 2})
	anchor, _ := vendor.Anchor().Encode()
	dir, table := temporary()

	agent, err := embed.Open(embed.Config{Dir: dir, Anchors: [][]byte{anchor}, Product: "server", Version: "1.0", SMBIOSFile: table})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer agent.Close()
	request, _ := agent.Request(context.Background(), api.OfflineRequest{Kind: "activate", Code: "CODE"})
	answer, _ := vendor.File(request)
	license, err := agent.Import(context.Background(), answer)
	fmt.Println(license.Product, license.Verdict.Phase, err)
	session, err := agent.Seat(context.Background(), "server", "", "alice")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer session.Close()
	fmt.Println(session.Count.Used, "of", session.Count.Total)
	// Output:
	// server active <nil>
	// 1 of 2
}
