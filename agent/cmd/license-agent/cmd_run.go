package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"licenseagent.example/agent"
	"licenseagent.example/platform/paths"
	"licenseagent.example/platform/securefile"
	"licenseagent.example/platform/service"
	"licenseagent.example/store"
)

type runOptions struct {
	check bool
	flags map[string]string
}

func (a *app) runCmd() *cobra.Command {
	o := runOptions{flags: map[string]string{}}
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the agent: the service itself",
		Long: `Runs until it is told to stop (SIGTERM, SIGINT or the service manager). Settings
come from the flag, else the environment (LICENSE_AGENT_LOG_LEVEL and so on),
else agent.toml in the configuration directory (log_level and so on), else the
default. Trust anchors are the files anchors/*.json of that directory.

` + exitHelp,
		Args: a.args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			for _, k := range knownSettings() {
				if c.Flags().Changed(k.name) {
					o.flags[k.name] = c.Flag(k.name).Value.String()
				}
			}
			return a.runRun(c.Context(), o)
		},
	}
	c.Flags().BoolVar(&o.check, "check-config", false, "read configuration and trust anchors, say what they mean, and end; refuse a state of a newer version")
	for _, k := range knownSettings() {
		c.Flags().String(k.name, k.def, k.help)
	}
	return c
}

func (a *app) runRun(ctx context.Context, o runOptions) error {
	p, err := a.layout()
	if err != nil {
		return err
	}
	if a.dir == "" {
		socket := p.Socket
		if p, err = p.WithUnitEnv(a.env); err != nil {
			return err
		}
		if a.socket != "" {
			p.Socket = socket
		}
	}
	s, err := a.resolve(p, o.flags)
	if err != nil {
		return err
	}
	if o.check {
		return a.checkConfig(p, s)
	}
	redact := agent.NewRedactor()
	handler := a.logHandler(s)
	// Windows has no journal that keeps what a service prints.
	watched, err := service.OpenLog(p.Service)
	switch {
	case a.dir != "" || errors.Is(err, service.ErrNoEventLog):
		watched = nil // a demonstration, or Linux
	case err != nil:
		return fmt.Errorf("event log: %w", err)
	default:
		defer watched.Close() //nolint:errcheck // the process ends
		handler = newEvents(handler, watched.Write)
	}
	log := slog.New(redact.Handler(handler))
	serve := func(ctx context.Context, ready func()) error { return a.serve(ctx, p, s, redact, log, ready) }
	// The service manager's signals and those of the terminal are one and the
	// same here; ctx ends for tests that call run directly.
	err = service.Run(p.Service, func(inner context.Context, ready func()) error {
		both, cancel := context.WithCancel(inner)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		return serve(both, ready)
	})
	if err != nil && watched != nil {
		err = errors.Join(err, watched.Write(ending(err, redact.Error(err))))
	}
	return err
}

func (a *app) logHandler(s settings) slog.Handler {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.get("log-level"))); err != nil {
		level = slog.LevelInfo // check has refused everything else
	}
	opts := &slog.HandlerOptions{Level: level}
	if s.get("log-format") == "json" {
		return slog.NewJSONHandler(a.stderr, opts)
	}
	return slog.NewTextHandler(a.stderr, opts)
}

// checkConfig shows what run would use. It opens no state, and refuses one that this
// program is too old for, if it may look.
func (a *app) checkConfig(p paths.Paths, s settings) error {
	if err := store.CheckVersion(p.State); errors.Is(err, store.ErrNewerSchema) {
		return err
	}
	anchors, err := readAnchors(filepath.Join(p.Config, "anchors"))
	if err == nil && a.dir == "" {
		err = serviceReads(p)
	}
	if err != nil {
		return a.configProblem(err)
	}
	if _, err := adminGroups(s); err != nil {
		return a.problem("config-invalid", err)
	}
	type vendor struct {
		Issuer   string `json:"issuer"`
		Merchant string `json:"merchant"`
	}
	vendors := []vendor{}
	for _, an := range anchors {
		vendors = append(vendors, vendor{an.Issuer, an.Merchant})
	}
	if a.output == "json" {
		return a.json(struct {
			Config   string   `json:"config"`
			State    string   `json:"state"`
			Socket   string   `json:"socket"`
			Settings any      `json:"settings"`
			Vendors  []vendor `json:"vendors"`
		}{p.Config, p.State, p.Socket, s.list(), vendors})
	}
	t := a.table()
	t.row(a.label("config"), p.Config)
	t.row(a.label("state"), p.State)
	t.row(a.label("socket"), p.Socket)
	for _, v := range s.list() {
		t.row(v.Name, fmt.Sprintf("%q (%s)", v.Value, v.Source))
	}
	for _, v := range vendors {
		t.row(a.label("vendor"), v.Issuer+" "+v.Merchant)
	}
	if len(vendors) == 0 {
		t.row(a.label("vendor"), a.label("none"))
	}
	return t.print()
}

// serviceReads names what root has read and the service's user could not: a file put
// down under a strict umask. Without such a user nothing is installed.
func serviceReads(p paths.Paths) error {
	u, err := user.Lookup(p.Service)
	if err != nil {
		return nil
	}
	ids, err := u.GroupIds()
	if err != nil {
		return err
	}
	var numbers []int
	for _, id := range append([]string{u.Uid, u.Gid}, ids...) {
		n, err := strconv.Atoi(id)
		if err != nil {
			return nil // a SID: Windows has lists instead of modes, and the installer sets them
		}
		numbers = append(numbers, n)
	}
	anchors := filepath.Join(p.Config, "anchors")
	files, err := filepath.Glob(filepath.Join(anchors, "*.json"))
	if err != nil {
		return err
	}
	return securefile.Readable(numbers[0], numbers[1:], append(files, anchors, filepath.Join(p.Config, configName))...)
}

// serve runs the service until ctx ends or a part of it fails.
func (a *app) serve(ctx context.Context, p paths.Paths, s settings, redact *agent.Redactor, log *slog.Logger, ready func()) error {
	parts, err := a.wire(p, s, redact, log)
	if err != nil {
		return err
	}
	err = parts.run(ctx, func() {
		log.Info(sayAnswers, "version", a.version, "instance", p.Instance, "socket", p.Socket, "state", p.State)
		ready()
	})
	log.Info(sayStopped)
	return err
}

// run keeps the parts alive until ctx ends or one of them fails, and closes
// them. It calls ready as soon as the first answer may be given: what a service
// manager starts after the agent is not told to wait, but answered.
func (p *parts) run(ctx context.Context, ready func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 2)
	go func() { failed <- p.server.Serve(p.listener) }()
	go func() { failed <- p.daemon.Run(ctx) }()
	if every, kick := service.Watchdog(); every > 0 {
		go p.daemon.Feed(ctx, every, kick)
	}
	select {
	case <-p.daemon.Settled():
		ready()
	case <-ctx.Done():
	}
	var errs []error
	ended := 0
	select {
	case <-ctx.Done():
	case err := <-failed: // neither ends by itself
		ended = 1
		errs = append(errs, err)
		cancel()
	}
	stop, release := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer release()
	errs = append(errs, p.server.Shutdown(stop))
	for ; ended < cap(failed); ended++ {
		select {
		case err := <-failed:
			errs = append(errs, err)
		case <-stop.Done():
			errs = append(errs, service.ErrStopTimeout)
		}
	}
	p.listener = nil // Shutdown has closed it
	errs = append(errs, p.close())
	return errors.Join(errs...)
}

// stopTimeout is less than what the service manager is told, so that the store
// is closed in order.
const stopTimeout = service.StopTimeout - time.Second
