package probe

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// rootDisks returns the kernel names of the whole disks behind the root file
// system, through partitions, LVM, encryption and software RAID. An empty
// result (an overlay, a network root) only means that no disk sorts first.
func (t *tree) rootDisks() []string {
	var start string // path of the block device below sys
	var st unix.Stat_t
	if !t.recorded() && unix.Stat("/", &st) == nil && unix.Major(st.Dev) != 0 {
		number := strconv.Itoa(int(unix.Major(st.Dev))) + ":" + strconv.Itoa(int(unix.Minor(st.Dev)))
		start, _ = t.resolve("sys/dev/block", number)
	} else {
		start = t.mountedRoot()
	}
	if start == "" {
		return nil
	}
	var disks []string
	t.holders(start, &disks, 0)
	return disks
}

// mountedRoot finds the root's block device in mountinfo (proc(5)). File
// systems with their own numbering (btrfs) have major 0 there, but name their
// device.
func (t *tree) mountedRoot() string {
	b, err := t.readAll("proc/self/mountinfo")
	if err != nil {
		return ""
	}
	var dir string
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 6 || f[4] != "/" {
			continue
		}
		if !strings.HasPrefix(f[2], "0:") {
			dir, _ = t.resolve("sys/dev/block", f[2])
			if dir == "" {
				dir = t.byNumber(f[2])
			}
			continue // a later mount on / hides an earlier one
		}
		dash := slices.Index(f, "-")
		if dash < 0 || dash+2 >= len(f) {
			continue
		}
		if source, ok := strings.CutPrefix(f[dash+2], "/dev/"); ok {
			dir = t.byName(source)
		}
	}
	return dir
}

// byNumber finds a block device by its dev attribute, for recorded machines
// without sys/dev/block and containers where it is masked.
func (t *tree) byNumber(number string) string {
	names, _ := t.list("sys/class/block")
	for _, n := range names {
		if dir, err := t.resolve("sys/class/block", n); err == nil && t.text(dir+"/dev") == number {
			return dir
		}
	}
	return ""
}

// byName finds the sysfs directory of /dev/<source>.
func (t *tree) byName(source string) string {
	mapped, ok := strings.CutPrefix(source, "mapper/")
	if !ok {
		dir, _ := t.resolve("sys/class/block", path.Base(source))
		return dir
	}
	names, _ := t.list(sysBlock)
	for _, n := range names {
		if strings.HasPrefix(n, "dm-") && t.text(sysBlock+"/"+n+"/dm/name") == mapped {
			dir, _ := t.resolve(sysBlock, n)
			return dir
		}
	}
	return ""
}

// holders descends from a block device to the whole disks that hold it.
func (t *tree) holders(dir string, disks *[]string, depth int) {
	if depth > 8 || len(*disks) > 64 {
		return // a loop, or not a machine of this world
	}
	if t.exists(dir + "/partition") {
		dir = path.Dir(dir)
	}
	slaves, _ := t.list(dir + "/slaves")
	for _, s := range slaves {
		if lower, err := t.resolve(dir+"/slaves", s); err == nil {
			t.holders(lower, disks, depth+1)
		}
	}
	if name := path.Base(dir); len(slaves) == 0 && !slices.Contains(*disks, name) {
		*disks = append(*disks, name)
	}
}
