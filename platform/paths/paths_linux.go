package paths

import "path/filepath"

// system fills the layout of the Filesystem Hierarchy Standard 3.0: /etc,
// /var/lib, /run, /var/log. Never /tmp or /var/tmp: a directory there can be
// removed by systemd-tmpfiles and made again by somebody else (CVE-2026-3888).
func system(p *Paths) error {
	p.Config = filepath.Join("/etc", p.Service)
	p.State = filepath.Join("/var/lib", p.Service)
	p.Runtime = filepath.Join("/run", p.Service)
	p.Logs = filepath.Join("/var/log", p.Service)
	p.Socket = socketUnder(p.Runtime)
	return nil
}

// socketUnder names the socket inside a runtime directory. It is a path and
// never an abstract name: abstract sockets ignore file permissions and are
// reachable from containers on the host network (CVE-2020-15257).
func socketUnder(runtime string) string { return filepath.Join(runtime, SocketName) }
