-- +goose Up
-- Apart from 00008: CockroachDB does not see a column in the transaction that
-- adds it. What no device has redeemed keeps '': only the service can open its seal.
UPDATE goods SET hint = (SELECT MAX(UPPER(c.hint)) FROM codes c WHERE c.goods = goods.id AND c.goods <> '')
    WHERE kind = 'code' AND hint = '' AND EXISTS (SELECT 1 FROM codes c WHERE c.goods = goods.id AND c.goods <> '');

-- +goose Down
UPDATE goods SET hint = '';
