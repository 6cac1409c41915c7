// Package merchant is the vendor's side of the licenses: it turns
// authorization codes into signed licenses, keeps the chain of every device,
// and serves both over HTTPS and as files. It is not stable API.
//
// State lives in an SQL database (SQLite beside the service, or PostgreSQL).
// All changes pass through one writer that puts many requests into one
// transaction and answers after the commit, so that nothing answered is ever
// lost and a disk that syncs 200 times a second still serves thousands.
//
// Every change of a code, a seat, a key or a device's standing is a row of the
// audit table, chained by hash. A renewal that changes nothing but the position
// of the chain is not: the activation's own row records it (contact, renewals).
//
// Neither codes nor raw hardware values are stored: codes as HMAC under a key
// outside the database, hardware values as salted hashes.
package merchant
