-- +goose Up
-- Support looks at the work about one code.
CREATE INDEX jobs_goods ON jobs (goods);

-- +goose Down
DROP INDEX jobs_goods;
