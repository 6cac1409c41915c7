package devicekey

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"licenseagent.example/platform/securefile"
)

// CounterName is the file that says which counter of the chip was made for a key
// that is not on the disk yet:
//
//	license-agent counter 1
//	index 0x01812345
//
// It is on the disk before the counter is in the chip, so that a disk which takes
// nothing is noticed first, and goes when the key is there. Where it is left, the
// next key that is made takes the counter out of the chip: a service that is started
// again every two seconds would fill the chip's memory within the hour, and with it
// full no key can be made any more, whoever empties the disk.
const CounterName = "device.key.counter"

const counterHeader = "license-agent counter 1"

// claim is the counter of a key that is being made. Of two first starts at once one
// may take the other's counter out: a counter that is missed is made anew, see step.
type claim struct {
	dir   *securefile.Dir
	tpm   string
	turns *turns
	index atomic.Uint32 // 0: the chip was not asked for one
}

// take notes a counter that nobody has, before it is made.
func (c *claim) take(index uint32) error {
	text := fmt.Sprintf("%s\nindex 0x%08x\n", counterHeader, index)
	if err := c.dir.WriteFile(CounterName, []byte(text), securefile.PrivateFile); err != nil {
		return err
	}
	c.index.Store(index)
	return nil
}

// noted is the counter that the file names, 0 for none.
func (c *claim) noted() uint32 {
	b, err := c.dir.ReadFile(CounterName, maxFile)
	if err != nil {
		return 0
	}
	text, ours := strings.CutPrefix(string(b), counterHeader+"\nindex ")
	index, err := strconv.ParseUint(strings.TrimSuffix(text, "\n"), 0, 32)
	if !ours || err != nil {
		return 0
	}
	return uint32(index)
}

// recover takes out of the chip what an interrupted attempt has left there. What it
// cannot take out keeps nobody from trying to make a key.
func (c *claim) recover() {
	if index := c.noted(); index != 0 {
		takeOutInTurn(c.turns, c.tpm, index) //nolint:errcheck // see above
	}
}

// end closes the account: the counter stays for a key that was kept, and else goes.
// While the chip does not give it back the note stays, for the next attempt.
func (c *claim) end(kept bool) {
	index := c.index.Load()
	if index == 0 || !kept && takeOutInTurn(c.turns, c.tpm, index) != nil {
		return
	}
	if c.noted() == index {
		c.dir.Remove(CounterName) //nolint:errcheck // a note that stays is read when a key is made again
	}
}

// takeOutInTurn is takeOut of a chip that may not answer.
func takeOutInTurn(q *turns, tpm string, index uint32) error {
	_, err := inTurn(q, openLimit, func() (struct{}, error) { return struct{}{}, takeOut(tpm, index) })
	return err
}
