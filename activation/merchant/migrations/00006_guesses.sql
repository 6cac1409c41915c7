-- +goose Up
-- Who sent wrong codes lately, for all instances.
CREATE TABLE guesses (
    address TEXT PRIMARY KEY, -- HMAC: nobody's address is kept
    clear   BIGINT NOT NULL   -- when all of them are forgiven
);
CREATE INDEX guesses_clear ON guesses (clear);

-- +goose Down
DROP TABLE guesses;
