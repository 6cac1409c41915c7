package main

import (
	"log/slog"
	"os"
	"syscall"

	"licenseagent.example/agent/localapi"
	"licenseagent.example/agent/seats"
	"licenseagent.example/platform/ipc"
	"licenseagent.example/platform/service"
)

// keepSeats gives the connection and the process of each seat to the service
// manager, which holds them while this program is started anew.
func keepSeats(k *service.Keeper, log *slog.Logger) func(localapi.Holding) func() {
	if k == nil {
		return nil
	}
	return func(h localapi.Holding) func() {
		var files []syscall.Conn
		if c, ok := h.Conn.(syscall.Conn); ok {
			files = append(files, c)
		}
		if h.Process != nil && h.Process.File() != nil {
			files = append(files, h.Process.File())
		}
		if err := k.Keep(h.Held.ID, files...); err != nil {
			log.Warn("a seat is not kept by the service manager; a restart finds it by its process", "error", err)
		}
		return func() {
			if err := k.Forget(h.Held.ID); err != nil {
				log.Warn("the service manager keeps a seat that ended until its next look", "error", err)
			}
		}
	}
}

// resume takes up the seats of the last run: with the connection that the
// service manager kept, else by the process while it lives. What belongs to no
// seat is closed.
func resume(s *localapi.Server, held []*seats.Held, kept map[string][]*os.File, k *service.Keeper, log *slog.Logger) {
	for _, h := range held {
		holding := localapi.Holding{Held: h}
		lives, birth := true, h.Birth
		for _, f := range kept[h.ID] {
			lives = adopt(&holding, f, log) && lives
		}
		delete(kept, h.ID)
		if !lives { // a child may still have the connection: the process decides
			if holding.Conn != nil {
				holding.Conn.Close() //nolint:errcheck // the seat is over
			}
			holding.Conn, birth = nil, ""
		}
		if holding.Process == nil && birth != "" {
			// ErrNoProcess is the usual end: the program ended meanwhile.
			if p, err := ipc.FindProcess(h.PID, birth); err == nil {
				holding.Process = p
			}
		}
		if holding.Conn == nil && holding.Process == nil {
			log.Info("a seat ended while the agent was not running", "seat", h.Holder)
		}
		s.Hold(holding)
	}
	for id, files := range kept {
		for _, f := range files {
			f.Close() //nolint:errcheck // nobody needs it
		}
		k.Forget(id) //nolint:errcheck // it drops it by itself once it ends
	}
}

// adopt finds out which of the two kinds a kept descriptor is, and says whether
// the holder lives as far as that one tells.
func adopt(h *localapi.Holding, f *os.File, log *slog.Logger) bool {
	info, err := f.Stat()
	switch {
	case err == nil && info.Mode()&os.ModeSocket != 0:
		c, err := ipc.Adopt(f)
		if err != nil {
			log.Warn("a kept connection cannot be used", "error", err)
			return true
		}
		h.Conn = c
	default:
		p, err := ipc.ProcessFromFile(h.Held.PID, f)
		if err != nil {
			log.Warn("a kept process cannot be used", "error", err)
			return true
		}
		if !p.Alive() {
			p.Close() //nolint:errcheck // it is at its end
			return false
		}
		h.Process = p
	}
	return true
}
