// Package client lets a Go program ask the license agent of this machine, and
// check the answer itself. It is stable API.
//
// A program that wants to know whether it may run uses Check: it compiles the
// vendor's trust anchor in, and trusts nothing else, not the agent either. The
// other methods are what the command line uses; their answers prove nothing.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"licenseagent.example/activation/license"
	"licenseagent.example/agent/api"
	"licenseagent.example/platform/ipc"
	"licenseagent.example/platform/paths"
)

// DefaultTimeout bounds every call that does not wait on purpose.
const DefaultTimeout = 5 * time.Second

// maxAnswer bounds what is read of an answer: a fake agent must not be able to
// fill the memory of the program that asks it.
const maxAnswer = 1 << 20

// Client asks one instance of the agent. The zero value asks the machine's
// unnamed instance. A Client is safe for concurrent use and keeps connections;
// it must not be copied after first use.
type Client struct {
	// Instance names another instance of the agent: that of another vendor.
	Instance string
	// Socket overrides the endpoint that belongs to the instance.
	Socket string
	// Owners lists further user ids that the agent may run as; see
	// ipc.DialOptions. Empty suits an installed agent and one of this user.
	Owners []uint32
	// Timeout bounds each call; 0 means DefaultTimeout.
	Timeout time.Duration
	// Language is "en" or "zh-CN" for the sentences in answers and errors.
	Language string

	once  sync.Once
	links links
	dial  func(context.Context) (net.Conn, error)
	setup error
}

// prepare builds the HTTP client once.
func (c *Client) prepare() {
	path := c.Socket
	if path == "" {
		p, err := paths.For(c.Instance)
		if err != nil {
			c.setup = err
			return
		}
		path = p.Socket
	}
	c.dial = func(ctx context.Context) (net.Conn, error) {
		return ipc.Dial(ctx, path, ipc.DialOptions{ExpectOwner: c.Owners})
	}
}

// Close ends kept connections. The Client can still be used afterwards.
func (c *Client) Close() {
	c.links.closeAll()
}

// do sends one request. in and out may be nil; into a *[]byte goes the text of the
// answer. Errors hold an *api.Error, which errors.As finds.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, in, out any) error {
	return c.doWithin(ctx, c.timeout(), method, path, query, in, out)
}

func (c *Client) timeout() time.Duration {
	if c.Timeout == 0 {
		return DefaultTimeout
	}
	return c.Timeout
}

func (c *Client) doWithin(ctx context.Context, timeout time.Duration, method, path string, query url.Values, in, out any) error {
	c.once.Do(c.prepare)
	if c.setup != nil {
		return c.fail(api.CodeConfig, c.setup)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var body []byte
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return c.fail(api.CodeBadRequest, err)
		}
		body = b
	}
	request := c.request(method, path, query.Encode(), body)
	// An agent that is started anew hangs up on kept connections. What changes
	// something is sent on a new one, because nobody could say whether it was done.
	repeatable := method == http.MethodGet || path == api.PathCheck || path == api.PathSimulate
	if repeatable {
		if l := c.links.take(); l != nil {
			if again, err := c.converse(ctx, l, method, request, out); !again {
				return err
			}
		}
	}
	l, err := c.connect(ctx)
	if err != nil {
		return c.transport(err)
	}
	_, err = c.converse(ctx, l, method, request, out)
	return err
}

// converse is one exchange; it keeps the connection when that can be used again.
func (c *Client) converse(ctx context.Context, l *link, method string, request []byte, out any) (again bool, err error) {
	ends, silent, err := c.exchange(ctx, l, method, request, out)
	if ends {
		l.conn.Close() //nolint:errcheck // it is given up
	} else {
		c.links.keep(l)
	}
	return silent, err
}

// read takes a whole answer into out, or the error that it carries.
func (c *Client) read(resp *http.Response, out any) error {
	if resp.ContentLength > maxAnswer {
		return c.fail(api.CodeAgentAnswer, fmt.Errorf("answer over %d bytes", maxAnswer))
	}
	raw, whole := out.(*[]byte)
	var buffer []byte
	if whole {
		buffer = *raw
	}
	answer, err := readAnswer(resp, buffer)
	if err != nil {
		return c.transport(err)
	}
	if len(answer) > maxAnswer {
		return c.fail(api.CodeAgentAnswer, fmt.Errorf("answer over %d bytes", maxAnswer))
	}
	if resp.StatusCode != http.StatusOK {
		e, ok := readError(answer)
		if !ok {
			return c.fail(api.CodeAgentAnswer, fmt.Errorf("status %d without an error body", resp.StatusCode))
		}
		return e
	}
	if whole {
		*raw = answer
		return nil
	}
	if out != nil {
		if err := json.Unmarshal(answer, out); err != nil {
			return c.fail(api.CodeAgentAnswer, err)
		}
	}
	return nil
}

// readAnswer reads a body, at most a byte over maxAnswer, into b when it fits.
func readAnswer(resp *http.Response, b []byte) ([]byte, error) {
	if resp.ContentLength < 0 {
		return io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	}
	b = slices.Grow(b[:0], int(resp.ContentLength))[:resp.ContentLength]
	_, err := io.ReadFull(resp.Body, b)
	return b, err
}

// fail is a local failure: an *api.Error with the sentence for people, wrapped
// together with what caused it.
func (c *Client) fail(code string, cause error) error {
	if cause == nil {
		return api.NewError(code, c.language())
	}
	word := ""
	switch code {
	case api.CodeUntrusted:
		if word = license.Code(cause); word == "unexpected" {
			word = "" // not of the format: the error behind it says it
		}
	case api.CodeConfig:
		word = api.CauseArgument
	}
	return c.failBy(code, word, cause)
}

// failBy is fail with the word that stands in Cause.
func (c *Client) failBy(code, word string, cause error) error {
	e := api.NewError(code, c.language())
	e.Cause = word
	e.Message, e.Hint = api.SentenceFor(code, word, c.language())
	return fmt.Errorf("%w: %w", e, cause)
}

// words are the sentence and the next step of a verdict that says no, where no
// agent has said why.
func (c *Client) words(reason string) (message, next string) {
	return api.SentenceFor(api.CodeNotLicensed, reason, c.language())
}

func (c *Client) language() string {
	if c.Language == "" {
		return api.English
	}
	return api.Language(c.Language)
}

// transport names what went wrong before an answer was complete.
func (c *Client) transport(err error) error {
	var e net.Error
	switch {
	case errors.Is(err, ipc.ErrNotRunning):
		return c.fail(api.CodeNotRunning, err)
	case errors.Is(err, ipc.ErrForeignOwner), errors.Is(err, ipc.ErrNotSocket), errors.Is(err, ipc.ErrNoIdentity):
		return c.fail(api.CodeWrongOwner, err)
	case errors.Is(err, fs.ErrPermission):
		return c.fail(api.CodeNoAccess, err)
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &e) && e.Timeout():
		return c.fail(api.CodeTimeout, err)
	}
	return c.fail(api.CodeAgentAnswer, err)
}

// Version says what agent answers there.
func (c *Client) Version(ctx context.Context) (api.Version, error) {
	return get[api.Version](ctx, c, api.PathVersion, nil)
}

// Status lists the licenses of the instance and their verdicts. It is for
// people; a program uses Check.
func (c *Client) Status(ctx context.Context) (api.Status, error) {
	return get[api.Status](ctx, c, api.PathStatus, nil)
}

// Why explains the verdict of one license completely.
func (c *Client) Why(ctx context.Context, key api.KeyRequest) (api.Explanation, error) {
	return get[api.Explanation](ctx, c, api.PathWhy, keyQuery(key))
}

// Simulate says what the verdict would be if. It changes nothing.
func (c *Client) Simulate(ctx context.Context, q api.SimulateRequest) (api.Explanation, error) {
	return post[api.Explanation](ctx, c, api.PathSimulate, q)
}

// Files returns license and key set as the agent holds them, for CheckFiles.
func (c *Client) Files(ctx context.Context, key api.KeyRequest) (api.Files, error) {
	return get[api.Files](ctx, c, api.PathFiles, keyQuery(key))
}

// Preview says what an activation would send, and to whom. Administrators only.
func (c *Client) Preview(ctx context.Context, issuer string) (api.Preview, error) {
	return get[api.Preview](ctx, c, api.PathPreview, keyQuery(api.KeyRequest{Issuer: issuer}))
}

// Activate redeems an authorization code. Administrators only. It waits for the
// merchant: give ctx a deadline of half a minute, Timeout does not apply.
func (c *Client) Activate(ctx context.Context, q api.ActivateRequest) (api.Outcome, error) {
	return contact[api.Outcome](ctx, c, api.PathActivate, q)
}

// Renew contacts the merchant now. Administrators only; see Activate for time.
func (c *Client) Renew(ctx context.Context, key api.KeyRequest) (api.Outcome, error) {
	return contact[api.Outcome](ctx, c, api.PathRenew, key)
}

// Release gives the seat back. Administrators only; see Activate for time.
func (c *Client) Release(ctx context.Context, key api.KeyRequest) (api.Outcome, error) {
	return contact[api.Outcome](ctx, c, api.PathRelease, key)
}

// Rebind settles a contested seat on this device. Administrators only; see
// Activate for time.
func (c *Client) Rebind(ctx context.Context, q api.RebindRequest) (api.Outcome, error) {
	return contact[api.Outcome](ctx, c, api.PathRebind, q)
}

// Request makes a request file for a machine without network. Administrators only.
func (c *Client) Request(ctx context.Context, q api.OfflineRequest) (api.RequestFile, error) {
	return post[api.RequestFile](ctx, c, api.PathRequest, q)
}

// Import takes the merchant's answer file. Administrators only.
func (c *Client) Import(ctx context.Context, q api.ImportRequest) (api.Outcome, error) {
	return post[api.Outcome](ctx, c, api.PathImport, q)
}

// Diagnose returns what a support engineer needs. Administrators only.
func (c *Client) Diagnose(ctx context.Context) (api.Diagnosis, error) {
	return get[api.Diagnosis](ctx, c, api.PathDiagnose, nil)
}

// Seats lists who holds the concurrent uses that licenses allow here.
func (c *Client) Seats(ctx context.Context) (api.Seats, error) {
	return get[api.Seats](ctx, c, api.PathHolders, nil)
}

// Metrics returns the agent's metrics in the Prometheus text format.
func (c *Client) Metrics(ctx context.Context) ([]byte, error) {
	return get[[]byte](ctx, c, api.PathMetrics, nil)
}

// Events waits up to wait for something after since; see api.Events.
func (c *Client) Events(ctx context.Context, since uint64, wait time.Duration) (api.Events, error) {
	q := url.Values{"since": {strconv.FormatUint(since, 10)}, "wait": {wait.String()}}
	var out api.Events
	err := c.doWithin(ctx, wait+c.timeout(), http.MethodGet, api.PathEvents, q, nil, &out)
	return out, err
}

func keyQuery(k api.KeyRequest) url.Values {
	q := url.Values{}
	if k.Issuer != "" {
		q.Set("issuer", k.Issuer)
	}
	if k.Product != "" {
		q.Set("product", k.Product)
	}
	return q
}

func get[T any](ctx context.Context, c *Client, path string, q url.Values) (T, error) {
	var out T
	err := c.do(ctx, http.MethodGet, path, q, nil, &out)
	return out, err
}

func post[T any](ctx context.Context, c *Client, path string, in any) (T, error) {
	var out T
	err := c.do(ctx, http.MethodPost, path, nil, in, &out)
	return out, err
}

// contactTimeout is more than the agent itself gives a contact with the
// merchant, attempts and pauses included.
const contactTimeout = 3 * time.Minute

func contact[T any](ctx context.Context, c *Client, path string, in any) (T, error) {
	var out T
	err := c.doWithin(ctx, contactTimeout, http.MethodPost, path, nil, in, &out)
	return out, err
}
