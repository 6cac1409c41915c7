package koogallery

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	cbKey   = "11111111-2222-3333-4444-555555555555"
	cbNonce = "Of4lsV7H1qrzVDI52O5CFk2ofPcZRaA6"
)

func cbNow() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func query(signature, stamp string) url.Values {
	return url.Values{"signature": {signature}, "timestamp": {stamp}, "nonce": {cbNonce}}
}

func TestVerifyCallbackVectors(t *testing.T) {
	for _, c := range []struct{ body, signature string }{
		{`{"activity":"refreshLicenseCode","expireTime":"20270102030405","license":"PLTEST0001","orderId":"CS2601020304ABCDE","orderLineId":"CS2601020304ABCDE-000001","productId":"OFFI000000000000000001","scene":"RENEWAL","testFlag":"1"}`, "3bff7c1c0905f9b451bfed10b58534369f244e40af8a18ea9f5e648896bd2d6d"},
		{`{"activity":"updateLicenseCodeStatus","license":"PLTEST0001","status":"FREEZE","testFlag":"1"}`, "b4ef7f32c7b43bc8fd182bd8353374efaa8d63b724043fd4591163f40d8c1c27"},
		{`{"activity":"releaseLicenseCode","license":"PLTEST0001","orderId":"CS2601020304ABCDE","orderLineId":"CS2601020304ABCDE-000001","testFlag":"1"}`, "d8251364ce847b26e54ed0f58b4cab9cb21de291df3d74aaf472e73817870166"},
		{`{"activity":"getLicenseAsync","deviceFingerprint":"04:7C:16:5E:E3:5D|001B_444A_488B_5CEC.||BFEBFBFF00090672","effectiveTime":"2026-01-02 03:04:05 z","eventId":"87b94795-0603-4e24-8ae5-69420d60e3c8","expireTime":"2027-01-02 03:04:05 z","instanceId":"RA2601020304TEST"}`, "89b983f57fc99d99585248cd69c42b31f0f6a1e046edf9cca5b9e0ba37801c32"},
	} {
		for _, sig := range []string{c.signature, strings.ToUpper(c.signature)} {
			got, err := VerifyCallback(cbKey, query(sig, "1767323045000"), []byte(c.body), cbNow())
			if err != nil || got.Form != "raw" || got.Unit != "milliseconds" || got.Nonce != cbNonce {
				t.Errorf("%s: %v %+v", c.body, err, got)
			}
		}
		// One changed letter refuses.
		if _, err := VerifyCallback(cbKey, query(c.signature, "1767323045000"), []byte(strings.Replace(c.body, "activity", "Activity", 1)), cbNow()); !errors.Is(err, ErrSignature) {
			t.Errorf("altered body: %v", err)
		}
	}
}

func TestVerifyCallbackForms(t *testing.T) {
	sorted := `{"activity":"x","license":"中<&>","n":1}`
	unsorted := "{ \"license\" : \"\\u4e2d<&>\", \"gone\": null,\n\"n\": 1, \"activity\":\"x\"}"
	for _, stamp := range []string{"1767323045000", "1767323045"} {
		_, sig := callbackSignature(cbKey, cbNonce, stamp, []byte(sorted))
		for body, form := range map[string]string{sorted: "raw", unsorted: "canonical"} {
			got, err := VerifyCallback(cbKey, query(sig, stamp), []byte(body), cbNow())
			if err != nil || got.Form != form {
				t.Errorf("%s %s: %v, form %q\n%s", stamp, body, err, got.Form, strings.Join(got.Steps, "\n"))
			}
		}
	}
}

func TestVerifyCallbackWindow(t *testing.T) {
	body := []byte(`{"activity":"x"}`)
	for off, ok := range map[time.Duration]bool{
		0: true, 60 * time.Second: true, -60 * time.Second: true,
		60*time.Second + time.Millisecond: false, -60*time.Second - time.Millisecond: false, 24 * time.Hour: false,
	} {
		_, err := VerifyCallback(cbKey, SignCallback(cbKey, cbNonce, cbNow(), body), body, cbNow().Add(off))
		if ok != (err == nil) || !ok && !errors.Is(err, ErrStale) {
			t.Errorf("%s off: %v", off, err)
		}
	}
}

func TestVerifyCallbackParameters(t *testing.T) {
	body := []byte(`{"activity":"x"}`)
	good := SignCallback(cbKey, cbNonce, cbNow(), body)
	for name, change := range map[string]func(url.Values){
		"no signature":   func(v url.Values) { v.Del("signature") },
		"no nonce":       func(v url.Values) { v.Del("nonce") },
		"empty stamp":    func(v url.Values) { v.Set("timestamp", "") },
		"word for stamp": func(v url.Values) { v.Set("timestamp", "soon") },
		"negative stamp": func(v url.Values) { v.Set("timestamp", "-1") },
		"two nonces":     func(v url.Values) { v.Add("nonce", "other") },
		"huge nonce":     func(v url.Values) { v.Set("nonce", strings.Repeat("n", 257)) },
	} {
		v := url.Values{}
		for k, s := range good {
			v[k] = slices.Clone(s)
		}
		change(v)
		if _, err := VerifyCallback(cbKey, v, body, cbNow()); !errors.Is(err, ErrParameter) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := VerifyCallback("another key", good, body, cbNow()); !errors.Is(err, ErrSignature) || strings.Contains(strings.Join(got.Steps, " "), "another key") {
		t.Errorf("wrong key: %v %v", err, got.Steps)
	}
}

func TestBodySign(t *testing.T) {
	want := `sign_type="HMAC-SHA256", signature= "JlKwXWkh0Ut3KEMWxd0Q8cjpT9/KvMKX/y6SJ8PitkE="`
	if got := BodySign(cbKey, []byte(`{"resultCode":"000000","resultMsg":"success."}`)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func FuzzVerifyCallback(f *testing.F) {
	f.Add(`{"activity":"x","license":null}`, "1767323045000", "nonce", "00")
	f.Add("{", "9223372036854775807", "", "zz")
	f.Fuzz(func(t *testing.T, body, stamp, nonce, sig string) {
		if _, err := VerifyCallback(cbKey, url.Values{"signature": {sig}, "timestamp": {stamp}, "nonce": {nonce}}, []byte(body), cbNow()); err == nil {
			t.Errorf("accepted without the key: %q %q %q %q", body, stamp, nonce, sig)
		}
	})
}
