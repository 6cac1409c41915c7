package admin

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"math"

	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/protocol"
)

//go:embed openapi.yaml
var files embed.FS

// listLimit is how many rows a list has when nobody says.
const listLimit = 100

func (s *Server) version(x *exchange) error {
	return x.reply(Version{API: "1", Program: s.opts.Program, Issuer: s.svc.Issuer(), Caller: x.caller.name, Role: x.caller.role})
}

func (s *Server) document(x *exchange) error {
	text, err := files.ReadFile("openapi.yaml")
	if err != nil {
		return err
	}
	return x.send(contentYAML, text)
}

func (s *Server) health(x *exchange) error {
	h := Health{Status: "ok", Problems: s.svc.Check(x.r.Context())}
	if len(h.Problems) > 0 {
		h.Status = "problems"
	}
	return x.reply(h)
}

// settle answers with what is wrong afterwards.
func (s *Server) settle(x *exchange) error {
	var in Settled
	if err := x.decode(&in); err != nil {
		return err
	}
	if len(in.Code) > maxWord || len(in.Subject) > maxWord || len(in.Reason) > maxReason {
		return fault(CodeBadValue, fmt.Sprintf("code and subject: at most %d bytes, reason: at most %d", maxWord, maxReason))
	}
	if err := s.svc.Settle(x.r.Context(), in.Code, in.Subject, in.Reason); err != nil {
		return err
	}
	return s.health(x)
}

// maxWord bounds the name of a problem and of what it is about.
const maxWord = 128

func (s *Server) find(x *exchange) error {
	var in FindRequest
	if err := x.decode(&in); err != nil {
		return err
	}
	found, err := s.svc.Find(x.r.Context(), in.What)
	return answer(x, found, err)
}

// answer replies with a value, or returns the error of getting it.
func answer(x *exchange, v any, err error) error {
	if err != nil {
		return err
	}
	return x.reply(v)
}

func (s *Server) codes(x *exchange) error {
	q, err := x.query("product", "limit")
	if err != nil {
		return err
	}
	limit, err := number(q, "limit", listLimit, merchant.MaxList)
	if err != nil {
		return err
	}
	list, err := s.svc.Codes(x.r.Context(), q["product"], int(limit))
	return answer(x, Codes{list}, err)
}

func (s *Server) addCodes(x *exchange) error {
	in := NewCodes{Count: 1}
	if err := x.decode(&in); err != nil {
		return err
	}
	codes, infos, err := s.svc.AddCodes(x.r.Context(), in.CodeSpec, in.Count)
	if err != nil {
		return err
	}
	var out MadeCodes
	for i, info := range infos {
		out.Codes = append(out.Codes, MadeCode{Code: codes[i], CodeInfo: info})
	}
	return x.reply(out)
}

// expiringWithin bounds the days of a look ahead: a hundred years.
const expiringWithin = 36500

func (s *Server) expiring(x *exchange) error {
	q, err := x.query("days", "limit")
	if err != nil {
		return err
	}
	days, err := number(q, "days", 30, expiringWithin)
	if err != nil {
		return err
	}
	limit, err := number(q, "limit", listLimit, merchant.MaxList)
	if err != nil {
		return err
	}
	list, err := s.svc.Expiring(x.r.Context(), days*86400, int(limit))
	return answer(x, Codes{list}, err)
}

func (s *Server) code(x *exchange) error {
	ctx, id := x.r.Context(), x.r.PathValue("id")
	info, err := s.svc.Code(ctx, id)
	if err != nil {
		return err
	}
	sale, err := s.svc.Sale(ctx, id)
	if err != nil {
		return err
	}
	devices, err := s.svc.Devices(ctx, id, historyRows)
	if err != nil {
		return err
	}
	history, err := s.svc.Audit(ctx, id, 0, historyRows)
	return answer(x, Code{info, sale, devices, history}, err)
}

// sale answers with what is written down now.
func (s *Server) sale(x *exchange) error {
	var in Sale
	if err := x.decode(&in); err != nil {
		return err
	}
	if len(in.Product) > maxWord || len(in.Reason) > maxReason {
		return fault(CodeBadValue, fmt.Sprintf("product: at most %d bytes, reason: at most %d", maxWord, maxReason))
	}
	sold, err := s.svc.SetSale(x.r.Context(), in.Which, in.Product, in.Amount, in.Reason)
	return answer(x, sold, err)
}

// action is what changes one code or device.
type action func(s *merchant.Service, ctx context.Context, id, reason string) error

// maxReason bounds a reason in the audit log.
const maxReason = 1000

func (s *Server) act(x *exchange, do action) error {
	var in Reason
	if err := x.decode(&in); err != nil {
		return err
	}
	if len(in.Reason) > maxReason {
		return fault(CodeBadValue, fmt.Sprintf("reason: at most %d bytes", maxReason))
	}
	return do(s.svc, x.r.Context(), x.r.PathValue("id"), in.Reason)
}

func (s *Server) codeAction(do action) func(*exchange) error {
	return func(x *exchange) error {
		if err := s.act(x, do); err != nil {
			return err
		}
		info, err := s.svc.Code(x.r.Context(), x.r.PathValue("id"))
		return answer(x, info, err)
	}
}

func (s *Server) deviceAction(do action) func(*exchange) error {
	return func(x *exchange) error {
		if err := s.act(x, do); err != nil {
			return err
		}
		info, err := s.svc.Device(x.r.Context(), x.r.PathValue("id"))
		return answer(x, info, err)
	}
}

func (s *Server) devices(x *exchange) error {
	q, err := x.query("code", "limit")
	if err != nil {
		return err
	}
	limit, err := number(q, "limit", listLimit, merchant.MaxList)
	if err != nil {
		return err
	}
	list, err := s.svc.Devices(x.r.Context(), q["code"], int(limit))
	return answer(x, Devices{list}, err)
}

func (s *Server) contested(x *exchange) error {
	q, err := x.query("limit")
	if err != nil {
		return err
	}
	limit, err := number(q, "limit", listLimit, merchant.MaxList)
	if err != nil {
		return err
	}
	list, err := s.svc.Contested(x.r.Context(), int(limit))
	return answer(x, Devices{list}, err)
}

func (s *Server) device(x *exchange) error {
	ctx := x.r.Context()
	var scenario Scenario
	why, err := s.why(x, scenario)
	if err != nil {
		return err
	}
	history, err := s.svc.Audit(ctx, why.Device.License, 0, historyRows)
	return answer(x, Device{why.Device, why, history}, err)
}

func (s *Server) simulate(x *exchange) error {
	var in Scenario
	if err := x.decode(&in); err != nil {
		return err
	}
	why, err := s.why(x, in)
	return answer(x, why, err)
}

func (s *Server) why(x *exchange, in Scenario) (merchant.Explanation, error) {
	scenario, err := in.text().Scenario()
	if err != nil {
		return merchant.Explanation{}, fault(CodeBadValue, err.Error())
	}
	return s.svc.Why(x.r.Context(), x.r.PathValue("id"), scenario)
}

// request reads the request file in a body.
func (x *exchange) request() ([]byte, error) {
	b, err := x.body()
	if err == nil && len(b) > protocol.MaxRequest {
		err = fault(CodeTooLarge, "")
	}
	return b, err
}

func (s *Server) answer(x *exchange) error {
	request, err := x.request()
	if err != nil {
		return err
	}
	a, err := s.svc.Process(x.r.Context(), request, "", "")
	if err != nil {
		return err
	}
	text, err := protocol.EncodeAnswer(a)
	if err != nil {
		return err
	}
	return x.send(contentAnswer, text)
}

func (s *Server) explain(x *exchange) error {
	request, err := x.request()
	if err != nil {
		return err
	}
	why, err := s.svc.Explain(x.r.Context(), request)
	return answer(x, why, err)
}

func (s *Server) audit(x *exchange) error {
	q, err := x.query("subject", "after", "limit")
	if err != nil {
		return err
	}
	after, err := number(q, "after", 0, math.MaxInt64)
	if err != nil {
		return err
	}
	limit, err := number(q, "limit", listLimit, merchant.MaxList)
	if err != nil {
		return err
	}
	rows, err := s.svc.Audit(x.r.Context(), q["subject"], after, int(limit))
	return answer(x, Audit{rows}, err)
}

func (s *Server) auditVerify(x *exchange) error {
	x.patient()
	n, err := s.svc.VerifyAudit(x.r.Context())
	return answer(x, Verified{n}, err)
}

// auditExport streams the whole chain, one row a line. A chain that is broken
// ends with a line that holds the error: whoever reads it must look at the end.
func (s *Server) auditExport(x *exchange) error {
	x.patient()
	x.w.Header().Set("Content-Type", contentLines)
	enc := json.NewEncoder(x.w)
	enc.SetEscapeHTML(false)
	n, err := s.svc.WalkAudit(x.r.Context(), func(r merchant.AuditRow) error { return enc.Encode(r) })
	if err != nil {
		e, _ := faultOf(err)
		s.log.Error("audit export ended early", "after", n, "error", err)
		return enc.Encode(protocol.Problem{Error: protocol.ProblemBody{Code: e.Code, Message: e.sentence("en"), Hint: Lookup(e.Code).Hint.EN}})
	}
	return enc.Encode(Verified{n})
}

// patient takes the time limit of the answer away: a chain of millions takes
// minutes. In-process writers have none.
func (x *exchange) patient() { _ = noDeadline(x.w) }

func (s *Server) tokens(x *exchange) error {
	list, err := s.svc.Tokens(x.r.Context())
	return answer(x, Tokens{list}, err)
}

func (s *Server) addToken(x *exchange) error {
	var in NewToken
	if err := x.decode(&in); err != nil {
		return err
	}
	token, info, err := s.svc.AddToken(x.r.Context(), in.Name, in.Role, in.Life)
	return answer(x, MadeToken{token, info}, err)
}

func (s *Server) revokeToken(x *exchange) error {
	if err := x.decode(new(struct{})); err != nil {
		return err
	}
	info, err := s.svc.RevokeToken(x.r.Context(), x.r.PathValue("id"))
	return answer(x, info, err)
}
