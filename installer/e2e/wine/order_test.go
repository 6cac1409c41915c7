//go:build e2e

package wine

import "time"

// order is what the Linux side wants of one start of the chosen machine.
type order struct {
	Dir     string `json:"dir"`     // of the agent, as Windows names it
	Anchor  string `json:"anchor"`  // file
	Code    string `json:"code"`    // file; "" to go on with the license that is held
	GUID    string `json:"guid"`    // MachineGuid
	Disk    bool   `json:"disk"`    // Wine learns of the disk a while after its start: wait for it
	Program string `json:"program"` // agent
}

// report is what the Windows side saw.
type report struct {
	Fingerprint string `json:"fingerprint"`
	Class       string `json:"class"` // vm or physical
	// How long one observation of the hardware took, the first one cold.
	Collected []time.Duration `json:"collected"`
	Phase     string          `json:"phase"`   // now
	Settled   string          `json:"settled"` // once the same hardware was read often enough
	Flags     []string        `json:"flags"`
	GUID      string          `json:"guid"` // as another program reads it
}
