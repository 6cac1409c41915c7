// Package localapi serves the agent's local API: HTTP/1.1 and JSON over a Unix
// socket or a named pipe (package agent/api has the wire types).
//
// What it defends against, in the order in which a connection meets it:
//
//   - a user who opens connections until nobody else gets one (FlexNet,
//     CVE-2018-20033, shows what a starved license daemon does to a plant):
//     limiter, with a queue for the many connections of honest jobs;
//   - a caller who claims to be somebody: identity comes from the kernel
//     through Config.Identify and from nowhere else; snapd parsed it out of
//     text and became CVE-2019-7304;
//   - a web page that was pointed at the endpoint (CVE-2020-14519, Tailscale
//     TS-2022-004): guard refuses a foreign Host, Origin, Referer and every
//     other trace of a browser or proxy before anything else is looked at;
//   - a user without rights: each route has an access class whose zero value
//     is invalid, so that nobody can forget the decision;
//   - large, slow and malformed requests: fixed limits, see Limits;
//   - a user who keeps the agent busy: gate shares the work between users.
//
// It is not stable API; the wire format is.
package localapi
