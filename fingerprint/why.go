package fingerprint

import (
	"fmt"
	"strings"
)

// reason says which case of the policy decided.
type reason int

const (
	enough reason = iota
	nothingEnrolled
	noStrong
	nothingReadable
	requiredLost
	requiredUnread
	belowFloor
	unreadDecides
	tooFew
)

// why is the sentence for Comparison.Why, for people; programs use the other
// fields, and the agent translates outcomes by its own table.
func why(r reason, t tally, c Comparison) string {
	switch r {
	case nothingEnrolled:
		return "No board, disk or network address was usable when this device was enrolled."
	case noStrong:
		return fmt.Sprintf("No board, disk or network address matches; not the enrolled one: %s.", lostNames(c.Parts))
	case nothingReadable:
		return "None of the enrolled parts board, disk and network address could be read."
	case requiredLost:
		return fmt.Sprintf("The %s is required by the license and is not the enrolled one.", partName(t.requiredLost))
	case requiredUnread:
		return fmt.Sprintf("The %s is required by the license and could not be read.", partName(t.requiredUnread))
	case belowFloor:
		return fmt.Sprintf("Only %d of %d enrolled points could be read.", c.Available, c.Enrolled)
	case unreadDecides:
		return fmt.Sprintf("%d of %d points match and %d are needed, but the parts that could not be read would decide.",
			c.Matched, c.Available, c.Need)
	case tooFew:
		return fmt.Sprintf("%d of %d points match and %d are needed; not the enrolled one: %s.",
			c.Matched, c.Available, c.Need, lostNames(c.Parts))
	}
	if !c.Drift {
		return "All enrolled parts that count and could be read are still there."
	}
	return fmt.Sprintf("%d of %d points match and %d are needed; not the enrolled one: %s.",
		c.Matched, c.Available, c.Need, lostNames(c.Parts))
}

func lostNames(parts []PartResult) string {
	var names []string
	for _, p := range parts {
		switch p.Result {
		case ResultChanged, ResultAbsent, ResultPlaceholder:
			names = append(names, partName(p.Kind))
		}
	}
	return strings.Join(names, ", ")
}

func partName(k Kind) string {
	switch k {
	case MAC:
		return "network address"
	case Disk:
		return "disk"
	case Board:
		return "board"
	}
	return "CPU"
}
