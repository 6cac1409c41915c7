package ipc

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Process is a handle of the process that made a connection (pidfd_open(2)).
// While it is open the process id cannot come to mean another process. It says
// nothing about who holds the connection: the descriptor may be in other hands
// by now.
type Process struct {
	PID  int // 0 when the process lives in a PID namespace that is not below ours
	file *os.File
}

// ProcessOf opens the process on the other side of a connection accepted by a
// listener of this package. The handle comes from the kernel with the
// connection where it can (SO_PEERPIDFD, Linux 6.5). On older kernels the
// process id is opened and compared with what the connection says: the owner
// must be the same and the process alive, which leaves a window only for a
// process of the same user.
func ProcessOf(c net.Conn) (*Process, error) {
	own, ok := c.(*conn)
	if !ok {
		return nil, ErrNoIdentity
	}
	fd := -1
	err := control(own.UnixConn, func(socket int) (err error) {
		fd, err = unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
		return err
	})
	if errors.Is(err, unix.ENOPROTOOPT) || errors.Is(err, unix.EINVAL) {
		fd, err = openByPID(own.id)
	}
	if err != nil {
		return nil, fmt.Errorf("ipc: process %d: %w", own.id.PID, err)
	}
	unix.CloseOnExec(fd)
	return newProcess(own.id.PID, fd)
}

// openByPID is the way of kernels before 6.5.
func openByPID(id Identity) (int, error) {
	if id.PID <= 0 {
		return -1, ErrNoIdentity
	}
	fd, err := unix.PidfdOpen(id.PID, 0)
	if err != nil {
		return -1, err
	}
	// The process may have ended and its number been given away between the
	// connection and PidfdOpen. /proc/PID is owned by the effective user.
	var st unix.Stat_t
	err = unix.Stat("/proc/"+strconv.Itoa(id.PID), &st)
	if err == nil && st.Uid != id.UID {
		err = ErrNoIdentity
	}
	if errors.Is(err, unix.ENOENT) {
		err = nil // ProtectProc=invisible hides other users' processes; alive decides
	}
	if err == nil && !alive(fd) {
		err = unix.ESRCH
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// FindProcess opens the process that had this number and this Birth earlier in
// the same boot. ErrNoProcess when it has ended, whoever has the number now.
func FindProcess(pid int, birth string) (*Process, error) {
	if pid <= 0 || birth == "" {
		return nil, fmt.Errorf("%w: %d", ErrNoProcess, pid)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %d: %w", ErrNoProcess, pid, err)
	}
	p, err := newProcess(pid, fd)
	if err != nil {
		return nil, err
	}
	if p.Birth() != birth || !p.Alive() {
		p.Close()
		return nil, fmt.Errorf("%w: %d is another process now", ErrNoProcess, pid)
	}
	return p, nil
}

// ProcessFromFile takes over a handle that File gave to a service manager. It
// owns f afterwards.
func ProcessFromFile(pid int, f *os.File) (*Process, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	f.Close()
	if err != nil {
		return nil, err
	}
	return newProcess(pid, fd)
}

// newProcess makes the handle known to the runtime's poller, so that waiting
// for thousands of processes takes no thread.
func newProcess(pid, fd int) (*Process, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("ipc: process %d: %w", pid, err)
	}
	return &Process{PID: pid, file: os.NewFile(uintptr(fd), "process "+strconv.Itoa(pid))}, nil
}

// File is the handle itself, for a service manager that keeps it. It stays the
// Process's.
func (p *Process) File() *os.File { return p.file }

// Wait returns nil when the process has ended, whatever way, and an error when
// Close was called before.
func (p *Process) Wait() error {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Read(func(fd uintptr) bool { return !alive(int(fd)) })
}

// Alive reports whether the process still runs.
func (p *Process) Alive() bool {
	running := false
	err := control(p.file, func(fd int) error { running = alive(fd); return nil })
	return err == nil && running
}

// alive asks whether the handle is readable, which it becomes when the process
// ends (pidfd_open(2)). Unlike sending signal 0 this needs no permission.
func alive(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n == 0
}

// pidfsMagic is PID_FS_MAGIC of include/uapi/linux/magic.h.
const pidfsMagic = 0x50494446

// Birth tells this process from every other one of this boot that had or will
// have the same number; "" when the kernel does not say. It is the number that
// pidfs gives each process (Linux 6.9), or the time of its start in
// /proc/PID/stat, which ProtectProc=invisible hides for other users' processes.
func (p *Process) Birth() string {
	birth := ""
	err := control(p.file, func(fd int) error {
		var fs unix.Statfs_t
		var st unix.Stat_t
		if unix.Fstatfs(fd, &fs) == nil && fs.Type == pidfsMagic && unix.Fstat(fd, &st) == nil {
			birth = "pidfs:" + strconv.FormatUint(st.Ino, 10)
			return nil
		}
		birth = startOf(p.PID)
		if !alive(fd) { // the text may have been another process's
			birth = ""
		}
		return nil
	})
	if err != nil {
		return ""
	}
	return birth
}

// startOf reads field 22 of /proc/PID/stat (proc_pid_stat(5)): clock ticks
// since boot. The name in field 2 may hold anything, so fields are counted
// after its last parenthesis.
func startOf(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 20 {
		return ""
	}
	return "start:" + string(fields[19])
}

// Executable is the path of the program, as far as this process may look: a
// service that is not root usually may not (ptrace(2)). The handle is checked
// after the look, so that the answer is never about another process.
func (p *Process) Executable() (string, error) {
	exe, err := os.Readlink("/proc/" + strconv.Itoa(p.PID) + "/exe")
	if err != nil {
		return "", fmt.Errorf("ipc: program of process %d: %w", p.PID, err)
	}
	if !p.Alive() {
		return "", fmt.Errorf("ipc: program of process %d: %w", p.PID, unix.ESRCH)
	}
	return exe, nil
}

// Close releases the handle and ends Wait.
func (p *Process) Close() error { return p.file.Close() }

// Adopt takes over the connection of a caller that an earlier process of this
// service accepted and that the service manager has kept. Who is on the other
// side is asked of the kernel, which still says who connected. It owns f.
func Adopt(f *os.File) (net.Conn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("ipc: adopt: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("%w: %s", ErrNotSocket, f.Name())
	}
	id, err := peer(u, uint32(os.Geteuid()))
	if err != nil {
		u.Close()
		return nil, err
	}
	return &conn{UnixConn: u, id: id}, nil
}

// Descriptors is how many files this process may have open.
func Descriptors() int {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil || l.Cur > maxDescriptors {
		return maxDescriptors
	}
	return int(l.Cur)
}
