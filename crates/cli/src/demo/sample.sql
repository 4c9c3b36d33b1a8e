-- A shop of some 200,000 rows, with the awkward things that real schemas have.
CREATE SCHEMA shop;
CREATE SCHEMA billing;
CREATE SCHEMA "Audit Log";

CREATE TYPE shop.order_status AS ENUM ('new', 'paid', 'shipped', 'returned');
CREATE DOMAIN shop.email AS text CHECK (VALUE ~ '^[^@]+@[^@]+$');

CREATE FUNCTION shop.initials(name text) RETURNS text LANGUAGE sql IMMUTABLE
    AS $$ SELECT upper(substr(name, 1, 1)) $$;

CREATE TABLE shop.customers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    email shop.email NOT NULL UNIQUE,
    tags text[] NOT NULL DEFAULT '{}',
    profile jsonb NOT NULL,
    initial text GENERATED ALWAYS AS (shop.initials(name)) STORED
);
INSERT INTO shop.customers (name, email, tags, profile)
    SELECT 'Customer ' || g % 500, 'customer' || g || '@example.com', ARRAY['t' || g % 7, E'tab\there'],
           jsonb_build_object('newsletter', g % 3 = 0, 'note', repeat('ü', g % 40))
    FROM generate_series(1, 10000) g;
CREATE INDEX customers_by_note ON shop.customers ((profile ->> 'note')) WHERE name LIKE '%7';

CREATE TABLE shop.orders (
    id bigserial PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES shop.customers ON DELETE CASCADE,
    status shop.order_status NOT NULL,
    total numeric(12, 2) NOT NULL CHECK (total BETWEEN 0 AND 100000)
);
INSERT INTO shop.orders (customer_id, status, total)
    SELECT 1 + g % 10000, (enum_range(NULL::shop.order_status))[1 + g % 4], (g * 37) % 9000 / 10.0
    FROM generate_series(1, 30000) g;
CREATE INDEX ON shop.orders (customer_id);

CREATE TABLE shop.order_items (
    order_id bigint NOT NULL REFERENCES shop.orders ON DELETE CASCADE,
    line integer NOT NULL,
    sku text NOT NULL,
    PRIMARY KEY (order_id, line)
) PARTITION BY HASH (order_id);
CREATE TABLE shop.order_items_0 PARTITION OF shop.order_items FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE shop.order_items_1 PARTITION OF shop.order_items FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO shop.order_items
    SELECT g, line, md5((g * line)::text) FROM generate_series(1, 30000) g, generate_series(1, 3) line;

CREATE TABLE "Audit Log"."What, when (by whom?)" (
    "At" timestamptz NOT NULL,
    "ändert" text,
    raw bytea
) PARTITION BY RANGE ("At");
CREATE TABLE "Audit Log"."2026 a" PARTITION OF "Audit Log"."What, when (by whom?)"
    FOR VALUES FROM ('2026-01-01+00') TO ('2026-07-01+00');
CREATE TABLE "Audit Log"."2026 b" PARTITION OF "Audit Log"."What, when (by whom?)"
    FOR VALUES FROM ('2026-07-01+00') TO ('2027-01-01+00');
INSERT INTO "Audit Log"."What, when (by whom?)"
    SELECT timestamptz '2026-01-01+00' + g * interval '7 minutes', CASE WHEN g % 5 > 0 THEN E'line\nbreak \\N ' || g END,
           decode(md5(g::text), 'hex')
    FROM generate_series(1, 68000) g;

CREATE TABLE billing.invoices (
    id integer PRIMARY KEY,
    customer_id bigint REFERENCES shop.customers ON DELETE SET NULL,
    due daterange NOT NULL,
    amount numeric NOT NULL,
    document oid
);
INSERT INTO billing.invoices
    SELECT g, g, daterange('2026-01-01', date '2026-01-02' + g % 300), g / 7.0 FROM generate_series(1, 2000) g;
UPDATE billing.invoices SET document = lo_from_bytea(0, convert_to('Invoice 1: ' || repeat('paid ', 9000), 'UTF8'))
    WHERE id = 1;
ALTER TABLE billing.invoices ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody_reads ON billing.invoices FOR SELECT USING (amount IN (SELECT amount FROM billing.invoices));

CREATE VIEW shop.turnover AS SELECT status, sum(total) AS total FROM shop.orders GROUP BY status;
CREATE MATERIALIZED VIEW shop.best_customers AS
    SELECT customer_id, sum(total) AS total FROM shop.orders GROUP BY customer_id ORDER BY 2 DESC LIMIT 100;

CREATE FUNCTION shop.no_empty_name() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN IF NEW.name = '' THEN RAISE 'a customer has a name'; END IF; RETURN NEW; END $$;
CREATE TRIGGER no_empty_name BEFORE INSERT OR UPDATE ON shop.customers
    FOR EACH ROW EXECUTE FUNCTION shop.no_empty_name();
COMMENT ON TABLE shop.orders IS 'what people bought; it''s "important"';
ANALYZE;
