package protocol

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"licenseagent.example/activation"
)

// noticeWait is longer than any service holds a poll open.
const noticeWait = 75 * time.Second

// Notices asks whether the merchant has something new to say about a license;
// the service holds the question open for up to a minute. poll is the envelope
// of license.SealPoll. The answer is not signed: true means that a renewal is
// worth while, nothing else. One attempt is made. Errors are those of Send.
func (c *Client) Notices(ctx context.Context, licenseID string, poll []byte) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, noticeWait)
	defer cancel()
	req, err := c.request(ctx, http.MethodGet, PathNotices(licenseID), nil, ContentError)
	if err != nil {
		return false, err
	}
	req.Header.Set("Authorization", SchemePoll+" "+base64.StdEncoding.EncodeToString(poll))
	body, err := c.read(c.patient, req, ContentError)
	var f *failure
	if errors.As(err, &f) {
		return false, f.err
	}
	if err != nil {
		return false, err
	}
	var n News
	if err := json.Unmarshal(body, &n); err != nil {
		return false, fmt.Errorf("%w: %s", activation.ErrAnswer, jsonFault(err))
	}
	return n.News, nil
}
