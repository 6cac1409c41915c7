-- +goose Up
-- Portable SQL only: BIGINT and TEXT exist in SQLite and PostgreSQL alike,
-- BLOB and BYTEA, AUTOINCREMENT and SERIAL do not. Times are UTC seconds, 0 is
-- "never". Lists and maps are JSON text; nothing queries inside them.

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE codes (
    id         TEXT PRIMARY KEY,
    lookup     TEXT NOT NULL UNIQUE, -- HMAC-SHA256 of the code under a key outside this database
    hint       TEXT NOT NULL,        -- last group, for support
    source     TEXT NOT NULL,        -- own
    product    TEXT NOT NULL,
    edition    TEXT NOT NULL,
    devices    BIGINT NOT NULL,      -- machines that may hold it at a time
    seats      BIGINT NOT NULL,      -- concurrent uses on each machine
    features   TEXT NOT NULL,
    limits     TEXT NOT NULL,
    valid_days BIGINT NOT NULL,      -- from the first activation, 0: see ends
    ends       BIGINT NOT NULL,      -- fixed end, 0: none
    renew      BIGINT NOT NULL,      -- seconds from an answer to renew-by, 0: service default
    grace      BIGINT NOT NULL,      -- seconds from renew-by to grace-until, 0: service default
    policy     TEXT NOT NULL,        -- name of the fingerprint policy
    unidentified BIGINT NOT NULL,    -- 1: machines without any serial of their own may hold it
    status     TEXT NOT NULL,        -- active, frozen, revoked
    note       TEXT NOT NULL,
    first_used BIGINT NOT NULL,
    created    BIGINT NOT NULL,
    updated    BIGINT NOT NULL
);

CREATE TABLE activations (
    license_id   TEXT PRIMARY KEY,
    code_id      TEXT NOT NULL REFERENCES codes (id),
    device_id    TEXT NOT NULL,
    device_alg   TEXT NOT NULL,
    device_pub   TEXT NOT NULL,
    env          TEXT NOT NULL,
    salt         TEXT NOT NULL,
    parts        TEXT NOT NULL,      -- salted hashes, never a raw value
    seen         TEXT NOT NULL,      -- the newest observation, in the same hashes
    seen_at      BIGINT NOT NULL,
    status       TEXT NOT NULL,      -- active, released, revoked
    reason       TEXT NOT NULL,
    seq          BIGINT NOT NULL,    -- the device chain
    head         TEXT NOT NULL,
    prev_seq     BIGINT NOT NULL,    -- the position the last request stood at
    prev_head    TEXT NOT NULL,
    last_nonce   TEXT NOT NULL,
    last_idem    TEXT NOT NULL,
    last_body    TEXT NOT NULL,
    last_license TEXT NOT NULL,      -- the last answer, byte for byte
    last_notice  TEXT NOT NULL,
    last_keyset  BIGINT NOT NULL,
    noticed      TEXT NOT NULL,      -- state of the last notice, '' after a license
    contested    BIGINT NOT NULL,    -- when a fork was seen, 0: not
    contest_why  TEXT NOT NULL,
    rebound      BIGINT NOT NULL,    -- last self-service re-bind
    rolled       BIGINT NOT NULL,    -- last roll-forward of a part
    last_day     TEXT NOT NULL,      -- newest day of use that was reported
    renewals     BIGINT NOT NULL,
    agent        TEXT NOT NULL,
    created      BIGINT NOT NULL,
    contact      BIGINT NOT NULL
);
-- One live seat per code and device, whatever the program does.
CREATE UNIQUE INDEX activations_live ON activations (code_id, device_id) WHERE status = 'active';
CREATE INDEX activations_code ON activations (code_id, status);
CREATE INDEX activations_device ON activations (device_id);

-- Answers to requests that must stay answered the same way: activations,
-- re-binds, releases, forks, files. They are kept: a recorded request must
-- never do anything a second time.
CREATE TABLE answers (
    nonce   TEXT PRIMARY KEY,        -- hash of device and nonce
    body    TEXT NOT NULL,           -- hash of the request
    license TEXT NOT NULL,
    notice  TEXT NOT NULL,
    keyset  BIGINT NOT NULL,
    created BIGINT NOT NULL
);

-- Idempotency-Key values of the last days, so that one is not used for two
-- different requests.
CREATE TABLE idempotency (
    name    TEXT PRIMARY KEY,        -- hash of device and key
    body    TEXT NOT NULL,
    created BIGINT NOT NULL
);
CREATE INDEX idempotency_age ON idempotency (created);

CREATE TABLE audit (
    seq     BIGINT PRIMARY KEY,
    at      BIGINT NOT NULL,
    actor   TEXT NOT NULL,
    action  TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail  TEXT NOT NULL,
    prev    TEXT NOT NULL,
    hash    TEXT NOT NULL
);
CREATE INDEX audit_subject ON audit (subject, seq);

-- The newest row of the audit chain; locked by whoever appends.
CREATE TABLE tips (
    name TEXT PRIMARY KEY,
    seq  BIGINT NOT NULL,
    hash TEXT NOT NULL
);
INSERT INTO tips (name, seq, hash) VALUES ('audit', 0, '');

CREATE TABLE keys (
    kid       TEXT PRIMARY KEY,
    key_use   TEXT NOT NULL,
    alg       TEXT NOT NULL,
    pub       TEXT NOT NULL,
    nbf       BIGINT NOT NULL,
    revoked   BIGINT NOT NULL,
    created   BIGINT NOT NULL
);

CREATE TABLE keysets (
    version  BIGINT PRIMARY KEY,
    envelope TEXT NOT NULL,
    created  BIGINT NOT NULL
);

-- Which hardware values are shared by how many devices, under a key that never
-- leaves the merchant: a serial that twenty machines carry identifies none.
CREATE TABLE popular (
    value  TEXT NOT NULL,
    device TEXT NOT NULL,
    PRIMARY KEY (value, device)
);

-- +goose Down
DROP TABLE popular;
DROP TABLE keysets;
DROP TABLE keys;
DROP TABLE tips;
DROP TABLE audit;
DROP TABLE idempotency;
DROP TABLE answers;
DROP TABLE activations;
DROP TABLE codes;
DROP TABLE settings;
