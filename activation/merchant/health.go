package merchant

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"sort"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
)

// Problem is something that an operator should put right, as the log, the
// metric license_merchant_problem and the admin API name it.
type Problem struct {
	Code    string        `json:"code"`              // stable, for alerts
	Subject string        `json:"subject,omitempty"` // id of a code or name of a product, for problems of one of many
	Detail  string        `json:"detail"`            // which one; never a code or a hardware value
	Since   int64         `json:"since"`             // UTC second at which it was first seen
	Message protocol.Text `json:"message"`
	Next    protocol.Text `json:"next"`
}

// The codes of problems.
const (
	problemDatabase       = "database-unavailable"
	problemBehind         = "database-behind"
	problemKeys           = "keys-expired"
	problemKeysSoon       = "keyset-expires-soon"
	problemKeyStore       = "key-store-unavailable"
	problemCertificate    = "certificate-expired"
	problemCertificateDay = "certificate-expires-soon"
)

// How long before the end somebody is told.
const (
	certificateWarning = 21 * 24 * time.Hour
	keySetWarning      = 45 * day
)

// Problems is the table of all problems without detail.
func Problems() []Problem {
	p := func(code, en, zh, nextEN, nextZH string) Problem {
		return Problem{Code: code, Message: protocol.Text{EN: en, ZH: zh}, Next: protocol.Text{EN: nextEN, ZH: nextZH}}
	}
	return append(marketProblems(), []Problem{
		p(problemDatabase,
			"The database does not take the service's transactions. Requests are answered with \"unavailable\" and tried again by the agents; nothing that was answered is lost.",
			"数据库无法完成服务的事务。请求会以“不可用”应答并由代理自动重试；已应答的内容不会丢失。",
			"Look at the database server, its disk space and the network to it; the service goes on by itself when it is back.",
			"请检查数据库服务器、磁盘空间及网络；恢复后服务会自动继续。"),
		p(problemBehind,
			"A device shows a position that this service signed and the database does not know: the database is older than its devices.",
			"某设备出示了本服务签发、但数据库中没有的状态：数据库比设备旧。",
			"If the database was put back to an earlier state, run license-merchant restore --epoch-only once; otherwise the device was copied.",
			"如果数据库曾被恢复到较早状态，请执行一次 license-merchant restore --epoch-only；否则说明该设备被复制。"),
		p(problemKeys,
			"There is no key in use that the key set allows: nothing can be signed. Existing licenses keep running until their grace ends.",
			"没有密钥集允许使用的密钥，无法签发。已有许可证在宽限期结束前继续有效。",
			"Run license-merchant keys publish with the root keys, or put the files of the online keys back.",
			"请使用根密钥执行 license-merchant keys publish，或恢复在线密钥文件。"),
		p(problemKeysSoon,
			"The key set ends soon; after that no license can be renewed.",
			"密钥集即将到期；到期后许可证将无法续约。",
			"Run license-merchant keys publish with the root keys.",
			"请使用根密钥执行 license-merchant keys publish。"),
		p(problemKeyStore,
			"The token that holds the online keys does not sign. Requests are answered with \"unavailable\" and tried again by the agents; existing licenses keep running until their grace ends.",
			"存放在线密钥的令牌无法签名。请求会以“不可用”应答并由代理自动重试；已有许可证在宽限期结束前继续有效。",
			"Look at the module, the token and its PIN ([pkcs11] in merchant.toml); the service goes on by itself when the token is back.",
			"请检查 PKCS#11 模块、令牌及其 PIN（merchant.toml 中的 [pkcs11]）；令牌恢复后服务会自动继续。"),
		p(problemCertificate,
			"The TLS certificate has expired: agents do not connect. Existing licenses keep running until their grace ends.",
			"TLS 证书已过期：代理无法连接。已有许可证在宽限期结束前继续有效。",
			"Put the renewed certificate in place; the running service takes it up within a minute.",
			"请替换为续期后的证书；运行中的服务会在一分钟内启用。"),
		p(problemCertificateDay,
			"The TLS certificate ends soon; after that agents do not connect.",
			"TLS 证书即将到期；到期后代理将无法连接。",
			"Renew it and put it in place; the running service takes it up within a minute.",
			"请续期并替换证书；运行中的服务会在一分钟内启用。"),
	}...)
}

// setProblem opens or closes a problem.
func (s *Service) setProblem(code, detail string, is bool) {
	if is {
		s.report(code, detail)
	} else {
		s.solved(code)
	}
}

// WatchCertificate tells the service when its TLS certificate ends.
func (s *Service) WatchCertificate(notAfter time.Time) {
	s.problems.mu.Lock()
	s.certificate = notAfter
	s.problems.mu.Unlock()
	s.metrics.certificate.Set(float64(notAfter.Unix()))
}

// Check looks at everything that can go wrong without a request and returns
// what is wrong now, by code.
func (s *Service) Check(ctx context.Context) []Problem {
	now := s.clock()
	if err := s.hearProblems(ctx); err != nil {
		s.log.Debug("what other instances met is not known", "error", err) // the next line tells more
	}
	var ends int64
	err := s.change(ctx, func(t *tx) error {
		if t.keys.set != nil {
			ends = t.keys.set.Expires
		}
		signer, err := t.keys.signer(license.UseLicense, t.now)
		if err != nil {
			return err
		}
		if _, err = signer.Sign([]byte("license-merchant asks whether this key signs")); err == nil {
			s.solved(problemKeyStore)
		}
		return err
	})
	var refusal *Refusal
	if err == nil || errors.As(err, &refusal) && refusal.Code == protocol.CodeKeysExpired {
		s.setProblem(problemKeys, keySetDetail(ends), err != nil)
		s.setProblem(problemKeysSoon, keySetDetail(ends), err == nil && ends-now.Unix() < keySetWarning)
		s.metrics.keySet.Set(float64(ends))
	}
	s.problems.mu.Lock()
	cert := s.certificate
	s.problems.mu.Unlock()
	left := cert.Sub(now)
	detail := "ends " + cert.UTC().Format(time.RFC3339)
	s.setProblem(problemCertificate, detail, !cert.IsZero() && left <= 0)
	s.setProblem(problemCertificateDay, detail, !cert.IsZero() && left > 0 && left < certificateWarning)
	return s.Open()
}

func keySetDetail(ends int64) string {
	return "ends " + time.Unix(ends, 0).UTC().Format(time.RFC3339)
}

// Open returns the problems that are known now, by code.
func (s *Service) Open() []Problem {
	s.problems.mu.Lock()
	defer s.problems.mu.Unlock()
	list := []Problem{}
	for _, p := range s.problems.open {
		list = append(list, p)
	}
	sort.Slice(list, func(i, j int) bool {
		return list[i].Code < list[j].Code || list[i].Code == list[j].Code && list[i].Subject < list[j].Subject
	})
	return list
}

// ErrUnavailable is returned when the database is not there, or has no room, or
// too much is waiting: a state of the world that passes, not a mistake of the
// request.
var ErrUnavailable = errors.New("merchant: not available now")

// away returns in words why an error says that the database is not there, ""
// when it says something else. The words hold nothing of the connection URL.
func away(err error) string {
	var pg *pgconn.PgError
	var lite *sqlite.Error
	var network net.Error
	var connect *pgconn.ConnectError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &pg): // classes of SQLSTATE, PostgreSQL appendix A
		switch pg.Code[:2] {
		case "08":
			return "connection failed (SQLSTATE " + pg.Code + ")"
		case "53":
			return "the database server has no room or connection left (SQLSTATE " + pg.Code + ")"
		case "57":
			return "the database server ended the connection (SQLSTATE " + pg.Code + ")"
		case "25":
			if pg.Code == "25P03" || pg.Code == "25006" {
				return "the transaction was cut off or the server is read-only (SQLSTATE " + pg.Code + ")"
			}
		}
		return ""
	case errors.As(err, &lite): // result codes, sqlite.org/rescode.html
		switch lite.Code() & 0xff {
		case 5, 6:
			return "another process keeps the database file locked"
		case 8, 14:
			return "the database file cannot be written or opened"
		case 10:
			return "the disk reports an error"
		case 13:
			return "the disk is full"
		case 11, 26:
			return "the database file is damaged"
		}
		return ""
	case errors.Is(err, context.DeadlineExceeded):
		return "the database server does not answer in time"
	case errors.As(err, &connect):
		return "no connection to the database server"
	case errors.Is(err, driver.ErrBadConn), errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return "the connection to the database server was lost"
	}
	return ""
}

// query reads without a transaction.
func (s *Service) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if s.db.asked != nil {
		s.db.asked(query, args)
	}
	rows, err := s.db.read.QueryContext(ctx, query, args...)
	return rows, s.databaseFailed(err)
}

// databaseFailed notes an error of a transaction. What says that the database or
// the key store is away is reported and becomes ErrUnavailable.
func (s *Service) databaseFailed(err error) error {
	if errors.Is(err, ErrKeyStore) {
		s.report(problemKeyStore, strings.TrimPrefix(err.Error(), "merchant: "))
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	why := away(err)
	if why == "" {
		return err
	}
	s.metrics.databaseErrors.Inc()
	s.report(problemDatabase, why)
	return fmt.Errorf("%w: %s", ErrUnavailable, why)
}
