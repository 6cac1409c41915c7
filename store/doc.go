// Package store is the agent's memory: one bbolt file with sealed records, a
// sealed mirror beside it and public copies of what the vendor signed. It
// keeps what was acknowledged through kill -9, power cuts, damaged files, full
// disks and failing disks. FORMAT.md beside this file is the specification of
// everything it writes. It is not stable API.
package store
