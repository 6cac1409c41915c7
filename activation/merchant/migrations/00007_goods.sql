-- +goose Up
-- Support looks at the sale of one code and the work about it. The partial
-- index cannot stand where its column is added: CockroachDB refuses that in one
-- transaction.
CREATE INDEX IF NOT EXISTS codes_goods ON codes (goods) WHERE goods <> '';
CREATE INDEX goods_order ON goods (order_id);
CREATE INDEX jobs_goods ON jobs (goods);

-- +goose Down
DROP INDEX jobs_goods;
DROP INDEX goods_order;
DROP INDEX codes_goods;
