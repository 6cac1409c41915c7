//go:build e2e

package systemd

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"licenseagent.example/agent/api"
)

// holdSeat takes a seat by the bytes of the protocol alone and ends when its
// connection does: it would notice a restart of the agent.
func holdSeat(product string) int {
	c, err := net.Dial("unix", "/run/license-agent/agent.sock")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	body := `{"product":"` + product + `"}`
	fmt.Fprintf(c, "POST /v1/seats HTTP/1.1\r\nHost: license-agent\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	answer, err := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, string(answer), err)
	if resp.StatusCode != http.StatusOK {
		return 1
	}
	fmt.Println(io.Copy(io.Discard, c))
	return 1
}

// seats is the operator's list: holders by process, and how many are known by
// their process only.
func (m *machine) seats() (pids map[int]bool, detached int, used int64) {
	m.t.Helper()
	var list api.Seats
	out := m.run("license-agent", "seats", "list", "--output", "json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		m.t.Fatalf("%v in %s", err, out)
	}
	pids = map[int]bool{}
	for _, s := range list.Seats {
		pids[s.PID] = true
		if s.Detached {
			detached++
		}
	}
	for _, c := range list.Counts {
		used += c.Used
	}
	return pids, detached, used
}

// occupy starts programs of an ordinary user that hold a seat each.
func (m *machine) occupy(names ...string) {
	m.t.Helper()
	_, _, before := m.seats()
	for _, name := range names {
		m.run("systemd-run", "--quiet", "--unit="+name, "-p", "User=nobody", "-p", "Group=nogroup", "/usr/local/bin/seat", "seat", "studio")
	}
	m.wait("seats of "+strings.Join(names, ", "), func() bool { _, _, used := m.seats(); return used == before+int64(len(names)) })
}

func (m *machine) pid(unit string) int {
	m.t.Helper()
	n, err := strconv.Atoi(m.show(unit, "MainPID"))
	must(m.t, err)
	return n
}

// same says that exactly these programs hold seats, by the connections that
// they opened at first, and that none of them noticed anything.
func (m *machine) same(after string, names ...string) {
	m.t.Helper()
	pids, detached, used := m.seats()
	if int(used) != len(names) || len(pids) != len(names) || detached != 0 {
		m.t.Errorf("%s: %d used by %v, %d detached; want %d", after, used, pids, detached, len(names))
	}
	for _, name := range names {
		if state := m.show(name+".service", "ActiveState"); state != "active" || !pids[m.pid(name+".service")] {
			m.t.Errorf("%s: %s is %s, its seat: %v", after, name, state, pids)
		}
	}
}

// Programs keep their seats and their connections while the agent is restarted,
// killed and upgraded, because systemd keeps them. The control takes that away.
func TestSeats(t *testing.T) {
	m := inContainer(t, disk(t, base(t)), 7)
	vendor := startMerchant(t, m.host)
	m.dpkg("OLD")
	m.put("/etc/license-agent/anchors/acme.json", read(t, vendor.anchor), 0o644)
	m.put("/etc/dmi", dmi("SN-7Q4W-0042", "BN-9K2M-0077"), 0o644)
	m.put("/etc/systemd/system/license-agent.service.d/dmi.conf", []byte("[Service]\nLoadCredential=\nLoadCredential=dmi:/etc/dmi\n"), 0o644)
	self, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	m.put("/usr/local/bin/seat", self, 0o755)
	m.run("systemctl", "daemon-reload")
	m.run("systemctl", "restart", service)
	m.active()
	if out, err := m.feed(vendor.code(t, "--seats", "4")+"\n", "license-agent", "activate", "--yes", "--code-file", "-"); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	holders := []string{"seat-a", "seat-b", "seat-c"}
	m.occupy(holders...)
	m.same("at first", holders...)

	m.run("systemctl", "restart", service)
	m.active()
	m.same("after a restart", holders...)

	m.run("systemctl", "kill", "-s", "KILL", service)
	m.active()
	m.same("after kill -9", holders...)

	m.dpkg("NEW")
	m.active()
	m.same("after an upgrade", holders...)

	// A program dies while no agent runs: systemd starts it again after two seconds.
	m.run("systemctl", "kill", "-s", "KILL", service)
	m.run("systemctl", "kill", "-s", "KILL", "seat-a.service")
	m.active()
	m.same("after one was killed meanwhile", holders[1:]...)
	began := time.Now()
	m.run("systemctl", "kill", "-s", "KILL", "seat-b.service")
	m.wait("a seat that ends with its program", func() bool { _, _, used := m.seats(); return used == 1 })
	t.Logf("free %v after kill -9, as seen by two programs in a row", time.Since(began).Round(time.Millisecond))
	if text := m.run("license-agent", "seats", "list"); !strings.Contains(text, "1 of 4 seats taken") {
		t.Errorf("the list in words: %s", text)
	}

	m.put("/etc/systemd/system/license-agent.service.d/none.conf", []byte("[Service]\nFileDescriptorStoreMax=0\n"), 0o644)
	m.run("systemctl", "daemon-reload")
	m.run("systemctl", "restart", service) // what is kept already is handed over once more
	m.active()
	m.occupy("seat-d")
	m.run("systemctl", "restart", service)
	m.active()
	m.wait("the control: a program whose connection nobody keeps", func() bool { return m.show("seat-d.service", "ActiveState") != "active" })
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	must(t, err)
	return b
}
