-- +goose Up
-- The most concurrent uses that the device reported with its last renewal, and ever.
ALTER TABLE activations ADD COLUMN uses BIGINT NOT NULL DEFAULT 0;
ALTER TABLE activations ADD COLUMN uses_most BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE activations DROP COLUMN uses_most;
ALTER TABLE activations DROP COLUMN uses;
