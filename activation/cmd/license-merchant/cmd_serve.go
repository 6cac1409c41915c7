package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"licenseagent.example/activation/merchant"
)

type serveOptions struct {
	listen, metrics, admin, addressFile, url string
	marketplace                              string
	verbose                                  bool
}

func (a *app) serveCmd() *cobra.Command {
	var o serveOptions
	c := &cobra.Command{
		Use:   "serve",
		Short: "Answer agents over HTTPS",
		Long: `Serves the interface of activation/protocol/openapi.yaml until SIGTERM or
SIGINT; what was accepted is answered before it ends. Prints one line with the
address when it is ready. ` + exitHelp,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.runServe(c.Context(), o) },
	}
	f := c.Flags()
	f.StringVar(&o.listen, "listen", "", "address, port 0 for a free one (default 127.0.0.1:8443)")
	f.StringVar(&o.metrics, "metrics", "", "address for Prometheus /metrics, plain HTTP; keep it inside")
	f.StringVar(&o.admin, "admin", "", "address for the admin interface, HTTPS with tokens; keep it inside")
	f.StringVar(&o.addressFile, "address-file", "", "write the base URL to this file when ready")
	f.StringVar(&o.url, "url", "", "public base URL to put into anchor.json")
	f.StringVar(&o.marketplace, "marketplace", "", "koogallery, or simulated to try things out without one")
	f.BoolVar(&o.verbose, "verbose", false, "log each request to stderr")
	return c
}

func (a *app) runServe(ctx context.Context, o serveOptions) error {
	if err := a.onlyHere(); err != nil {
		return err
	}
	c, err := a.loadConfig()
	if err != nil {
		return err
	}
	for _, v := range []struct {
		flag string
		to   *string
	}{{o.listen, &c.Listen}, {o.metrics, &c.Metrics}, {o.admin, &c.Admin.Listen}, {o.url, &c.URL}, {o.marketplace, &c.Marketplace}} {
		if v.flag != "" {
			*v.to = v.flag
		}
	}
	cert, err := loadPair(a.path(c.TLS.Certificate), a.path(c.TLS.Key))
	if err != nil {
		return err
	}
	level := slog.LevelWarn
	if o.verbose {
		level = slog.LevelInfo
	}
	log := slog.New(slog.NewJSONHandler(a.stderr, &slog.HandlerOptions{Level: level}))
	var sim *simulator
	if c.market, sim, err = a.market(c, log); err != nil {
		return err
	}
	return a.withConfig(ctx, c, log, func(svc *merchant.Service, c config) error {
		if svc.Issuer() == "" {
			return merchant.ErrNotInitialised
		}
		return a.serve(ctx, svc, c, o, cert, log, sim)
	})
}

// serve listens and blocks until the context ends.
func (a *app) serve(ctx context.Context, svc *merchant.Service, c config, o serveOptions, cert *keyPair, log *slog.Logger, sim *simulator) error {
	defer svc.TuneRuntime(a.env)()
	ln, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return err
	}
	url := c.URL
	if url == "" {
		url = "https://" + ln.Addr().String()
	}
	if _, err := a.writeAnchor(ctx, svc, url); err != nil {
		return errors.Join(err, ln.Close())
	}
	if sim != nil {
		if err := sim.open(); err != nil {
			return errors.Join(err, ln.Close())
		}
	}
	server := svc.Server()
	server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cert.get}
	servers := []*http.Server{server}
	failed := make(chan error, 3)
	go func() { failed <- server.ServeTLS(ln, "", "") }()
	adminAddress := ""
	if c.Admin.Listen != "" {
		side, in, err := a.listenAdmin(svc, c, cert, log)
		if err != nil {
			return errors.Join(err, server.Close())
		}
		servers, adminAddress = append(servers, side), "https://"+in.Addr().String()
		go func() { failed <- side.ServeTLS(in, "", "") }()
	}
	watch, done := context.WithCancel(ctx)
	defer done()
	go watchService(watch, svc, cert, log)
	if c.Metrics != "" {
		m, err := net.Listen("tcp", c.Metrics)
		if err != nil {
			return errors.Join(err, server.Close())
		}
		mux := http.NewServeMux()
		mux.Handle("/metrics", svc.Metrics())
		side := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 8 << 10}
		servers = append(servers, side)
		go func() { failed <- side.Serve(m) }()
	}
	if o.addressFile != "" {
		if err := replaceFile(o.addressFile, []byte(url+"\n")); err != nil {
			return errors.Join(err, server.Close())
		}
	}
	if err := a.print(map[string]string{"url": url, "listen": ln.Addr().String(), "admin": adminAddress}, func(w io.Writer) {
		fmt.Fprintf(w, "serving %s (listening on %s)\n", url, ln.Addr())
		if adminAddress != "" {
			fmt.Fprintf(w, "admin %s\n", adminAddress)
		}
	}); err != nil {
		return errors.Join(err, server.Close())
	}
	stopWork := a.background(ctx, svc, c, sim, url)
	select {
	case err := <-failed:
		stopWork()
		return err
	case <-ctx.Done():
	}
	stopWork()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	var errs []error
	for _, s := range servers {
		errs = append(errs, s.Shutdown(stop))
	}
	return errors.Join(errs...)
}

// background starts what runs beside the answers: the marketplace's work, the
// notices and the simulator. The result ends it and waits for its end.
func (a *app) background(ctx context.Context, svc *merchant.Service, c config, sim *simulator, url string) func() {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	if c.Marketplace != "" {
		running.Go(func() { svc.Work(ctx) })
	}
	if c.Notices > 0 {
		running.Go(func() { svc.WatchNotices(ctx) })
	}
	if sim != nil {
		running.Go(func() {
			roots, err := x509.SystemCertPool()
			if err != nil {
				roots = x509.NewCertPool()
			}
			if ca, err := os.ReadFile(a.path(filepath.Join("tls", "ca.pem"))); err == nil {
				roots.AppendCertsFromPEM(ca)
			}
			if err := sim.run(ctx, url, roots); err != nil {
				sim.log.Error("simulated marketplace", "error", err)
			}
		})
	}
	return func() {
		cancel()
		running.Wait()
	}
}
