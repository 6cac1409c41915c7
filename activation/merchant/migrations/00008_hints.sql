-- +goose Up
-- The last characters of a marketplace's code, by which problems name it before
-- a device has redeemed it. '' for instances, and where they are not known yet.
ALTER TABLE goods ADD COLUMN hint TEXT NOT NULL DEFAULT '';
CREATE INDEX goods_hint ON goods (kind, hint);

-- +goose Down
DROP INDEX goods_hint;
ALTER TABLE goods DROP COLUMN hint;
