-- +goose Up
-- A value that this device showed has become popular since: its next contact
-- takes it out of what the device is recognised by.
ALTER TABLE activations ADD COLUMN crowded BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE activations DROP COLUMN crowded;
