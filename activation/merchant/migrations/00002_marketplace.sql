-- +goose Up
-- What a marketplace sold. A code of its own is kept encrypted, because the
-- marketplace must be asked about it every day; the key is outside this database.

ALTER TABLE codes ADD COLUMN goods TEXT NOT NULL DEFAULT '';        -- goods.id, '' for the vendor's own codes
ALTER TABLE codes ADD COLUMN market TEXT NOT NULL DEFAULT '';       -- goods.standing, repeated for the renewals
ALTER TABLE codes ADD COLUMN bound TEXT NOT NULL DEFAULT '';        -- JSON: the only device that may hold it
ALTER TABLE codes ADD COLUMN news BIGINT NOT NULL DEFAULT 0;        -- grows with each change that devices should learn
ALTER TABLE codes ADD COLUMN news_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE activations ADD COLUMN told BIGINT NOT NULL DEFAULT 0;  -- codes.news at the last answer
CREATE INDEX codes_news ON codes (news_at);

CREATE TABLE goods (
    id         TEXT PRIMARY KEY,  -- HMAC of the code (as codes.lookup), or i: and that of the instance id
    kind       TEXT NOT NULL,     -- code, instance
    sealed     TEXT NOT NULL,     -- code or instance id, AES-256-GCM
    state      TEXT NOT NULL,     -- new, active
    standing   TEXT NOT NULL,     -- alive, frozen, expired, released: the marketplace's word
    product    TEXT NOT NULL,     -- of the marketplace
    order_id   TEXT NOT NULL,
    order_line TEXT NOT NULL,
    mode       TEXT NOT NULL,     -- charging mode of the order
    amount     BIGINT NOT NULL,   -- pricing quantity
    estimate   BIGINT NOT NULL,   -- end as the activation guessed it; decides nothing
    expires    BIGINT NOT NULL,   -- end by heartbeat or callback, 0: not told
    lease      BIGINT NOT NULL,   -- until when somebody is activating it
    owner      TEXT NOT NULL,
    activated  BIGINT NOT NULL,
    checked    BIGINT NOT NULL,   -- last heartbeat that was answered
    problem    TEXT NOT NULL,     -- why the last attempt failed
    created    BIGINT NOT NULL,
    updated    BIGINT NOT NULL
);

-- Callbacks that were carried out, so that a repeated order has one effect.
CREATE TABLE deeds (
    name    TEXT PRIMARY KEY,     -- hash of what makes two callbacks the same
    goods   TEXT NOT NULL,
    result  TEXT NOT NULL,
    created BIGINT NOT NULL
);

-- Nonces of callbacks, for all instances and across restarts.
CREATE TABLE nonces (
    nonce TEXT PRIMARY KEY,       -- hash
    seen  BIGINT NOT NULL
);
CREATE INDEX nonces_seen ON nonces (seen);

-- Days on which a device used what a marketplace sold.
CREATE TABLE uses (
    goods    TEXT NOT NULL,
    day      TEXT NOT NULL,       -- YYYY-MM-DD of the marketplace's calendar
    device   TEXT NOT NULL,
    reported BIGINT NOT NULL,     -- 0: not yet
    PRIMARY KEY (goods, day, device)
);
CREATE INDEX uses_day ON uses (day);

-- Work that must happen after an answer. A worker holds a job by its lease; a
-- killed worker's job is free again when that has passed.
CREATE TABLE jobs (
    id       TEXT PRIMARY KEY,    -- names the work: the same work waits once
    kind     TEXT NOT NULL,
    goods    TEXT NOT NULL,
    payload  TEXT NOT NULL,       -- JSON, nothing secret
    due      BIGINT NOT NULL,
    lease    BIGINT NOT NULL,
    owner    TEXT NOT NULL,
    round    BIGINT NOT NULL,     -- grows when the work is asked for again
    attempts BIGINT NOT NULL,
    failed   BIGINT NOT NULL,     -- 1: given up, a human must look
    problem  TEXT NOT NULL,
    created  BIGINT NOT NULL,
    updated  BIGINT NOT NULL
);
CREATE INDEX jobs_due ON jobs (failed, due);

-- What is wrong with the marketplace now, for all instances.
CREATE TABLE problems (
    code    TEXT NOT NULL,
    subject TEXT NOT NULL,        -- the id of a code, a product, or '': never a code
    detail  TEXT NOT NULL,
    since   BIGINT NOT NULL,
    PRIMARY KEY (code, subject)
);

-- +goose Down
DROP TABLE problems;
DROP TABLE jobs;
DROP TABLE uses;
DROP TABLE nonces;
DROP TABLE deeds;
DROP TABLE goods;
DROP INDEX codes_news;
ALTER TABLE activations DROP COLUMN told;
ALTER TABLE codes DROP COLUMN news_at;
ALTER TABLE codes DROP COLUMN news;
ALTER TABLE codes DROP COLUMN bound;
ALTER TABLE codes DROP COLUMN market;
ALTER TABLE codes DROP COLUMN goods;
