-- +goose Up
-- Bearer tokens of the admin API. Only a hash is kept: a token is 256 random
-- bits, so that a plain SHA-256 cannot be searched.
CREATE TABLE tokens (
    name    TEXT PRIMARY KEY,
    role    TEXT NOT NULL,           -- viewer, support, admin
    hash    TEXT NOT NULL UNIQUE,    -- hex SHA-256
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    revoked BIGINT NOT NULL          -- 0: not
);

-- Support may let the next contact of a device be taken as it stands.
ALTER TABLE activations ADD COLUMN open_until BIGINT NOT NULL DEFAULT 0;
-- The epoch in which the chain of the seat was last accepted, see settings.epoch.
ALTER TABLE activations ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;

-- What support lists must not read a million rows. The expression is the one of
-- codeEnd in admin.go, which a test holds against this file.
CREATE INDEX codes_created ON codes (created, id);
CREATE INDEX codes_product ON codes (product, created, id);
CREATE INDEX codes_end ON codes ((CASE
    WHEN ends > 0 AND (valid_days = 0 OR first_used = 0 OR ends <= first_used + valid_days * 86400) THEN ends
    WHEN valid_days > 0 AND first_used > 0 THEN first_used + valid_days * 86400
    ELSE 253402300799 END));
CREATE INDEX codes_hint ON codes (hint, created);
CREATE INDEX codes_note ON codes (note, created);
CREATE INDEX activations_created ON activations (created, license_id);
CREATE INDEX activations_of_device ON activations (device_id, created);
DROP INDEX activations_device;
CREATE INDEX activations_of_code ON activations (code_id, created, license_id);
CREATE INDEX activations_contested ON activations (contested) WHERE contested > 0;

-- +goose Down
DROP INDEX activations_contested;
DROP INDEX activations_of_code;
CREATE INDEX activations_device ON activations (device_id);
DROP INDEX activations_of_device;
DROP INDEX activations_created;
DROP INDEX codes_note;
DROP INDEX codes_hint;
DROP INDEX codes_end;
DROP INDEX codes_product;
DROP INDEX codes_created;
ALTER TABLE activations DROP COLUMN epoch;
ALTER TABLE activations DROP COLUMN open_until;
DROP TABLE tokens;
