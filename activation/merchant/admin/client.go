package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"licenseagent.example/activation/protocol"
)

// ErrUnreachable is returned when the service cannot be reached, or something
// else answers at its address.
var ErrUnreachable = errors.New("admin: the merchant service cannot be reached")

// headerInterface is in every answer, so that the address of the agents, or a
// proxy's page, is told apart from an answer.
const headerInterface = "License-Merchant-Interface"

// maxAnswer bounds every answer but the audit export: a hundred thousand new
// codes fit.
const maxAnswer = 256 << 20

// Client calls the interface. Transport is that of an HTTPS server or of
// Server.Local.
type Client struct {
	Base      string // https://host:port; "" for a local transport
	Token     string // "" for a local transport
	Lang      string // of the sentences, "" for English
	Transport http.RoundTripper
}

// Call sends in as JSON (nil: no body) and decodes the answer into out. path is
// a Path constant, id what stands for its {id}. Errors are *Error for what the
// service answered, else wrap ErrUnreachable.
func (c *Client) Call(ctx context.Context, method, path, id string, query url.Values, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("admin: %w", err)
		}
	}
	text, err := c.Send(ctx, method, path, id, query, body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%w: the answer is not that of a license-merchant", ErrUnreachable)
	}
	return nil
}

// Send is Call with bytes on both sides.
func (c *Client) Send(ctx context.Context, method, path, id string, query url.Values, body []byte) ([]byte, error) {
	r, err := c.Open(ctx, method, path, id, query, body)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if err != nil || len(text) > maxAnswer {
		return nil, fmt.Errorf("%w: the answer ended early", ErrUnreachable)
	}
	return text, nil
}

// Open is Send for an answer that is read as it comes; the caller closes it.
func (c *Client) Open(ctx context.Context, method, path, id string, query url.Values, body []byte) (io.ReadCloser, error) {
	address := c.Base + strings.ReplaceAll(path, "{id}", url.PathEscape(id))
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: the address makes no sense", ErrUnreachable)
	}
	if body != nil {
		r.Header.Set("Content-Type", contentJSON)
	}
	if c.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if c.Lang != "" {
		r.Header.Set("Accept-Language", c.Lang)
	}
	// No redirects: a token goes to nobody but the server it was meant for.
	resp, err := c.Transport.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if resp.Header.Get(headerInterface) == "" {
		_ = resp.Body.Close() // nothing was written
		return nil, fmt.Errorf("%w: something else than the admin interface answers there (status %d)", ErrUnreachable, resp.StatusCode)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return nil, fmt.Errorf("%w: the answer ended early", ErrUnreachable)
	}
	var p protocol.Problem
	if json.Unmarshal(text, &p) != nil || p.Error.Code == "" {
		return nil, fmt.Errorf("%w: status %d from something that is no license-merchant", ErrUnreachable, resp.StatusCode)
	}
	return nil, &Error{Code: p.Error.Code, RequestID: p.Error.RequestID, Message: p.Error.Message, Hint: p.Error.Hint}
}

// noDeadline takes the time limit of one answer away.
func noDeadline(w http.ResponseWriter) error {
	return http.NewResponseController(w).SetWriteDeadline(time.Time{})
}
