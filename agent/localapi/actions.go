package localapi

import (
	"context"
	"encoding/base64"
	"log/slog"
	"unicode/utf8"

	"licenseagent.example/agent/api"
)

// act runs one administrator's action with its deadline and writes down who
// did what with which outcome. The authorization code is never part of it.
func (x *exchange) act(name string, key api.KeyRequest, do func(context.Context) (any, error)) error {
	ctx, cancel := context.WithTimeout(x.r.Context(), x.s.limits.Action)
	defer cancel()
	v, err := do(ctx)
	outcome, level := "done", slog.LevelInfo
	if err != nil {
		outcome, level = translate(err, api.English).Code, slog.LevelWarn
	}
	x.s.log.Log(ctx, level, "action", "name", name, "user", x.caller.User, "pid", x.caller.PID,
		"issuer", printable(key.Issuer), "product", printable(key.Product), "outcome", outcome)
	if err != nil {
		return err
	}
	return x.reply(v)
}

// printable bounds what a caller can write into the log.
func printable(s string) string {
	const most = 64
	if len(s) > most || !utf8.ValidString(s) {
		return "(unusable)"
	}
	return s
}

func (s *Server) preview(x *exchange) error {
	key, err := x.key()
	if err != nil {
		return err
	}
	p, err := s.cfg.Licenses.Preview(x.r.Context(), key.Issuer)
	if err != nil {
		return err
	}
	return x.reply(p)
}

func (s *Server) activate(x *exchange) error {
	var q api.ActivateRequest
	if err := x.decode(&q, s.limits.Body); err != nil {
		return err
	}
	if q.Code == "" {
		return &api.Error{Code: api.CodeBadRequest}
	}
	return x.act("activate", api.KeyRequest{Issuer: q.Issuer}, func(ctx context.Context) (any, error) {
		return s.cfg.Licenses.Activate(ctx, q, x.lang())
	})
}

func (s *Server) renew(x *exchange) error {
	var q api.KeyRequest
	if err := x.decode(&q, s.limits.Body); err != nil {
		return err
	}
	return x.act("renew", q, func(ctx context.Context) (any, error) { return s.cfg.Licenses.Renew(ctx, q, x.lang()) })
}

func (s *Server) release(x *exchange) error {
	var q api.KeyRequest
	if err := x.decode(&q, s.limits.Body); err != nil {
		return err
	}
	return x.act("release", q, func(ctx context.Context) (any, error) { return s.cfg.Licenses.Release(ctx, q, x.lang()) })
}

func (s *Server) rebind(x *exchange) error {
	var q api.RebindRequest
	if err := x.decode(&q, s.limits.Body); err != nil {
		return err
	}
	return x.act("rebind", api.KeyRequest{Issuer: q.Issuer, Product: q.Product}, func(ctx context.Context) (any, error) {
		return s.cfg.Licenses.Rebind(ctx, q, x.lang())
	})
}

func (s *Server) request(x *exchange) error {
	var q api.OfflineRequest
	if err := x.decode(&q, s.limits.Body); err != nil {
		return err
	}
	switch q.Kind {
	case "activate", "renew", "release", "rebind":
	default:
		return &api.Error{Code: api.CodeBadRequest}
	}
	return x.act("request "+q.Kind, api.KeyRequest{Issuer: q.Issuer, Product: q.Product}, func(ctx context.Context) (any, error) {
		return s.cfg.Licenses.Request(ctx, q)
	})
}

func (s *Server) importAnswer(x *exchange) error {
	var q api.ImportRequest
	if err := x.decode(&q, s.limits.ImportBody); err != nil {
		return err
	}
	answer, err := base64.StdEncoding.Strict().DecodeString(q.Answer)
	if err != nil || len(answer) == 0 {
		return &api.Error{Code: api.CodeBadRequest}
	}
	return x.act("import", api.KeyRequest{}, func(ctx context.Context) (any, error) {
		return s.cfg.Licenses.Import(ctx, answer, x.lang())
	})
}

func (s *Server) diagnose(x *exchange) error {
	return x.act("diagnose", api.KeyRequest{}, func(ctx context.Context) (any, error) {
		return s.cfg.Licenses.Diagnose(ctx, x.lang())
	})
}
