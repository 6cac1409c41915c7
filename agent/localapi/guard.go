package localapi

import (
	"net/http"
	"strings"

	"licenseagent.example/agent/api"
)

// foreign reports whether a request shows a trace of a browser or a proxy. A
// browser cannot open a Unix socket, but a relay in front of it can be opened
// by one (Tailscale TS-2022-004: DNS rebinding), and then these are what gives
// it away. Only names are looked at: an empty Origin is an Origin.
func foreign(r *http.Request) bool {
	if r.Host != api.Host || r.RequestURI == "" || r.RequestURI[0] != '/' {
		return true // another name, or the absolute form that only proxies use
	}
	for name := range r.Header {
		if traceOfOthers(name) {
			return true
		}
	}
	return false
}

// traceOfOthers says whether a header, in canonical spelling, is one that
// browsers and proxies add and our clients never send.
func traceOfOthers(name string) bool {
	switch name {
	case "Origin", "Referer", "Forwarded", "Via", "Cookie", "Upgrade", "Dnt",
		"X-Real-Ip", "X-Original-Url", "X-Rewrite-Url", "X-Http-Method-Override", "X-Requested-With",
		"Proxy-Connection", "Proxy-Authorization", "Service-Worker", "Access-Control-Request-Method":
		return true
	}
	return strings.HasPrefix(name, "Sec-") || strings.HasPrefix(name, "X-Forwarded-")
}

// malformed reports whether a request leaves the minimal profile: the length
// of a body must be known beforehand, a GET has none, and a body is JSON. A
// form content type is what a web page can send without asking.
func malformed(r *http.Request) bool {
	if len(r.TransferEncoding) > 0 || r.ContentLength < 0 {
		return true
	}
	if r.Method == http.MethodGet {
		return r.ContentLength != 0
	}
	kind := r.Header["Content-Type"]
	if len(kind) == 0 {
		return false
	}
	media, _, _ := strings.Cut(kind[0], ";")
	return len(kind) > 1 || !strings.EqualFold(strings.TrimSpace(media), "application/json")
}
