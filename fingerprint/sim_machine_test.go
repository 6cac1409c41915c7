package fingerprint

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
)

// population draws machines as the simulations need them. All probabilities
// are per mille and integer, so that a seed gives the same machines anywhere.
type population struct {
	cpus, unset frequencies
	machines    int // dumps behind the counts
}

// frequencies are texts with their counts and the sum of the counts.
type frequencies struct {
	texts  []string
	counts []int
	total  int
}

func (f *frequencies) UnmarshalJSON(raw []byte) error {
	var rows [][2]any
	if err := json.Unmarshal(raw, &rows); err != nil {
		return err
	}
	for _, row := range rows {
		text, ok1 := row[0].(string)
		n, ok2 := row[1].(float64)
		if !ok1 || !ok2 {
			return fmt.Errorf("row %v is not [text, count]", row)
		}
		f.texts, f.counts, f.total = append(f.texts, text), append(f.counts, int(n)), f.total+int(n)
	}
	return nil
}

// draw picks a text; rest is what stands for the counts up to total.
func (f frequencies) draw(r *rand.Rand, total int, rest func() string) string {
	n := r.IntN(total)
	for i, c := range f.counts {
		if n -= c; n < 0 {
			return f.texts[i]
		}
	}
	return rest()
}

func readPopulation(t testing.TB) population {
	t.Helper()
	raw, err := os.ReadFile("testdata/cpuid-frequency.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Machines int
		CPUIDs   frequencies `json:"cpu_ids"`
		Unset    frequencies `json:"unset_texts"`
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	return population{cpus: file.CPUIDs, unset: file.Unset, machines: file.Machines}
}

// machine is one simulated machine. "" is absent.
type machine struct {
	class       string // laptop, desktop, server, vm, micro-vm
	macs, disks []string
	board, cpu  string
	dockMAC     string // seen while docked
}

func (m machine) env() EnvKind {
	if m.class == "vm" || m.class == "micro-vm" {
		return Virtual
	}
	return Physical
}

// observe is what the collector reports of the machine.
func (m machine) observe(docked bool) Device {
	macs := m.macs
	if docked && m.dockMAC != "" {
		macs = append([]string{m.dockMAC}, macs...)
	}
	return Device{
		MAC: sees(MAC, macs...), Disk: sees(Disk, m.disks...), Board: sees(Board, m.board), CPU: sees(CPU, m.cpu),
		Env: Environment{Kind: m.env()},
	}
}

func sees(k Kind, texts ...string) Component {
	c := Component{Kind: k, State: Absent}
	for _, text := range texts {
		if text != "" {
			c.State = OK
			c.Values = append(c.Values, Value{Text: text})
		}
	}
	return c
}

// with returns per-mille truth.
func perMille(r *rand.Rand, p int) bool { return r.IntN(1000) < p }

// classPhysical and classAll are shares in per mille.
func (p population) draw(r *rand.Rand) machine {
	switch n := r.IntN(1000); {
	case n < 270:
		return p.laptop(r)
	case n < 520:
		return p.desktop(r)
	case n < 800:
		return p.server(r)
	case n < 980:
		return p.vm(r)
	}
	return p.microVM(r)
}

func (p population) laptop(r *rand.Rand) machine {
	m := machine{class: "laptop", disks: p.newDisks(r, 1), board: p.newBoard(r), cpu: p.newCPU(r)}
	switch n := r.IntN(1000); {
	case n < 550:
		m.macs = []string{newMAC(r), newMAC(r)} // Ethernet and Wi-Fi
	default:
		m.macs = []string{newMAC(r)} // Wi-Fi only
	}
	// Half dock daily. The adapter of a USB dock is left out by rule; that of a
	// Thunderbolt dock (one in five) is a PCI device like any other.
	if perMille(r, 500) && perMille(r, 200) {
		m.dockMAC = newMAC(r)
	}
	return m
}

func (p population) desktop(r *rand.Rand) machine {
	m := machine{class: "desktop", disks: p.newDisks(r, 1+r.IntN(2)), board: p.newBoard(r), cpu: p.newCPU(r)}
	for range 1 + r.IntN(2) {
		m.macs = append(m.macs, newMAC(r))
	}
	return m
}

// server: a fifth shows one logical disk of a RAID controller.
func (p population) server(r *rand.Rand) machine {
	m := machine{class: "server", disks: p.newDisks(r, 1+r.IntN(8)), board: p.newBoard(r), cpu: p.newCPU(r)}
	if perMille(r, 200) {
		m.disks = m.disks[:1]
	}
	for range 2 + r.IntN(3) {
		m.macs = append(m.macs, newMAC(r))
	}
	return m
}

// vm: identity in the board slot by the chain (UUID where there is no board
// serial), disks mostly nameless or with a hypervisor default.
func (p population) vm(r *rand.Rand) machine {
	m := machine{class: "vm", cpu: p.newCPU(r), macs: []string{vmMAC(r)}}
	if perMille(r, 970) {
		m.board = fmt.Sprintf("%08X-%04X-4%03X-8%03X-%012X", r.Uint32(), r.IntN(1<<16), r.IntN(1<<12), r.IntN(1<<12), r.Int64N(1<<48))
	} else {
		m.board = p.unsetText(r)
	}
	if perMille(r, 300) {
		m.macs = append(m.macs, vmMAC(r))
	}
	switch n := r.IntN(1000); {
	case n < 400: // none
	case n < 650:
		m.disks = []string{"QM00001"}
	case n < 750:
		m.disks = []string{"drive-scsi0"}
	default:
		m.disks = p.newDisks(r, 1)
	}
	if perMille(r, 20) {
		m.cpu = "0000000000000000"
	}
	return m
}

// microVM has no SMBIOS at all and the defaults of its manager.
func (p population) microVM(r *rand.Rand) machine {
	m := machine{class: "micro-vm", cpu: p.newCPU(r), macs: []string{"02:fc:00:00:00:01"}, disks: []string{"overlayblk"}}
	if perMille(r, 500) {
		m.macs = []string{vmMAC(r)}
	}
	if perMille(r, 200) {
		m.disks = p.newDisks(r, 1)
	}
	return m
}

func newMAC(r *rand.Rand) string {
	makers := []string{"00:1b:21", "3c:ec:ef", "04:7c:16", "f8:bc:12", "00:25:90", "d4:be:d9", "a0:36:9f", "00:0c:29"}
	return fmt.Sprintf("%s:%02x:%02x:%02x", makers[r.IntN(len(makers))], r.IntN(256), r.IntN(256), r.IntN(256))
}

// vmMAC: one in ten is QEMU's default (10 of 19 recorded cloud images had it).
func vmMAC(r *rand.Rand) string {
	if perMille(r, 100) {
		return "52:54:00:12:34:56"
	}
	return newVMMAC(r)
}

func newVMMAC(r *rand.Rand) string {
	return fmt.Sprintf("fa:16:3e:%02x:%02x:%02x", r.IntN(256), r.IntN(256), r.IntN(256))
}

func newSerial(r *rand.Rand, prefix string) string {
	const alphabet = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
	out := []byte(prefix)
	for range 10 {
		out = append(out, alphabet[r.IntN(len(alphabet))])
	}
	return string(out)
}

// newDisks: 15 per mille carry a serial shared by many that no list knows, as
// cheap SSD controllers do.
func (p population) newDisks(r *rand.Rand, n int) []string {
	var out []string
	for range n {
		if perMille(r, 15) {
			out = append(out, fmt.Sprintf("AA00000000000%05d", r.IntN(50)))
			continue
		}
		out = append(out, newSerial(r, "S"))
	}
	return out
}

// newBoard: after the chain of sources 78 % have a serial (36 of 46 recorded
// machines); 5 per mille carry one shared by many that no list knows.
func (p population) newBoard(r *rand.Rand) string {
	switch n := r.IntN(1000); {
	case n < 20:
		return ""
	case n < 220:
		return p.unsetText(r)
	case n < 225:
		return fmt.Sprintf("PROTO-%02d", r.IntN(50))
	}
	return newSerial(r, "CZ")
}

func (p population) unsetText(r *rand.Rand) string {
	return p.unset.draw(r, p.unset.total, func() string { return "" })
}

// newCPU draws by frequency, without the zeros: they are empty sockets, and on
// real hardware CPUID decides. The models that the figures leave out are spread
// over 350 values, as 409 distinct ones were counted.
func (p population) newCPU(r *rand.Rand) string {
	for {
		id := p.cpus.draw(r, p.machines, func() string { return fmt.Sprintf("BFEBFBFF%08X", 0x000F0000+r.IntN(350)) })
		if id != "0000000000000000" {
			return id
		}
	}
}

func TestPopulationIsWhatItSays(t *testing.T) {
	p, r := readPopulation(t), rand.New(rand.NewPCG(7, 7))
	count := map[string]int{}
	const n = 20000
	for range n {
		m := p.draw(r)
		count[m.class]++
		if _, yes := IsPlaceholder(Board, m.board); yes && m.env() == Physical {
			count["board unusable"]++
		}
		if m.cpu == "BFEBFBFF000306A9" {
			count["commonest cpu"]++
		}
	}
	physical := n - count["vm"] - count["micro-vm"]
	for name, c := range map[string]struct{ got, of, lo, hi int }{
		"physical board unusable":      {count["board unusable"], physical, 200, 240},
		"commonest CPU (10431/162853)": {count["commonest cpu"], n, 55, 73},
		"virtual machines":             {count["vm"], n, 165, 195},
	} {
		if share := c.got * 1000 / c.of; share < c.lo || share > c.hi {
			t.Errorf("%s: %d per mille, want %d..%d", name, share, c.lo, c.hi)
		}
	}
}
