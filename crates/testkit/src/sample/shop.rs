//! A plain database of any size, as a web shop has it.

use crate::cluster::Cluster;

/// Returns the SQL of a web shop with about `rows` rows in all, the same at every run.
///
/// Some 130 bytes a row: customers, products, orders, order lines, and events with JSON. The table `shop.order_lines`
/// holds about half of all rows.
#[must_use]
pub fn shop_sql(rows: u64) -> String {
    let share = |parts: u64| (rows * parts / 100).max(1);
    let (customers, products, orders, lines, events) = (share(8), share(2), share(20), share(50), share(20));
    format!(
        r"
CREATE SCHEMA shop;
CREATE TYPE shop.status AS ENUM ('placed', 'paid', 'sent', 'returned');
CREATE TABLE shop.customers (
    id bigint GENERATED ALWAYS AS IDENTITY, name text NOT NULL, email text NOT NULL, country varchar(2) NOT NULL, since date NOT NULL);
CREATE TABLE shop.products (
    id bigint GENERATED ALWAYS AS IDENTITY, sku text NOT NULL, title text NOT NULL, price numeric(10, 2) NOT NULL,
    CHECK (price BETWEEN 0 AND 100000));
CREATE TABLE shop.orders (
    id bigint GENERATED ALWAYS AS IDENTITY, customer bigint NOT NULL, status shop.status NOT NULL, placed timestamptz NOT NULL, note text);
CREATE TABLE shop.order_lines (
    id bigint GENERATED ALWAYS AS IDENTITY, order_id bigint NOT NULL, product bigint NOT NULL, quantity integer NOT NULL,
    price numeric(10, 2) NOT NULL, token uuid NOT NULL);
CREATE TABLE shop.events (
    id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL, kind text NOT NULL, body jsonb NOT NULL, digest bytea);

INSERT INTO shop.customers (name, email, country, since)
    SELECT 'Customer ' || md5(n::text), n || '@' || (ARRAY['example.org', 'example.com', 'example.net'])[n % 3 + 1],
           (ARRAY['DE', 'FR', 'NL', 'PL', 'IT'])[n % 5 + 1], date '2015-01-01' + (n % 4000)::integer
    FROM generate_series(1, {customers}) n;
INSERT INTO shop.products (sku, title, price)
    SELECT 'SKU-' || lpad(n::text, 8, '0'), 'Product ' || md5('p' || n), (n * 7919 % 99999) / 100.0 FROM generate_series(1, {products}) n;
INSERT INTO shop.orders (customer, status, placed, note)
    SELECT n * 7919 % {customers} + 1, (enum_range(NULL::shop.status))[n % 4 + 1],
           timestamptz '2026-01-01 00:00:00+00' + n * interval '41 s', CASE WHEN n % 10 = 0 THEN E'leave it\nat the door ' || n END
    FROM generate_series(1, {orders}) n;
INSERT INTO shop.order_lines (order_id, product, quantity, price, token)
    SELECT n % {orders} + 1, n * 104729 % {products} + 1, n % 7 + 1, (n * 31 % 9999) / 100.0, md5('l' || n)::uuid
    FROM generate_series(1, {lines}::bigint) n;
INSERT INTO shop.events (at, kind, body, digest)
    SELECT timestamptz '2026-01-01 00:00:00+00' + n * interval '40 s', (ARRAY['view', 'cart', 'search', 'login'])[n % 4 + 1],
           jsonb_build_object('session', md5('s' || n / 9), 'path', '/p/' || n % 997, 'ms', n % 1337, 'tags', ARRAY['a', 'b' || n % 5]),
           decode(md5('e' || n), 'hex')
    FROM generate_series(1, {events}) n;

ALTER TABLE shop.customers ADD PRIMARY KEY (id);
ALTER TABLE shop.products ADD PRIMARY KEY (id), ADD UNIQUE (sku);
ALTER TABLE shop.orders ADD PRIMARY KEY (id), ADD FOREIGN KEY (customer) REFERENCES shop.customers;
ALTER TABLE shop.order_lines ADD PRIMARY KEY (id), ADD FOREIGN KEY (order_id) REFERENCES shop.orders,
    ADD FOREIGN KEY (product) REFERENCES shop.products;
ALTER TABLE shop.events ADD PRIMARY KEY (id);
CREATE INDEX ON shop.orders (customer);
CREATE INDEX ON shop.order_lines (order_id);
CREATE INDEX ON shop.events (at);
CREATE VIEW shop.turnover AS SELECT date_trunc('day', placed) AS day, sum(quantity * price) AS amount
    FROM shop.orders JOIN shop.order_lines ON order_id = orders.id WHERE status IN ('paid', 'sent') GROUP BY 1;
"
    )
}

/// Makes a database with the contents of [`shop_sql`], with statistics gathered.
///
/// # Panics
/// When it cannot be made.
#[track_caller]
pub fn load_shop(cluster: &Cluster, database: &str, rows: u64) {
    cluster.create_database(database);
    cluster.psql(database, &shop_sql(rows));
    cluster.psql(database, "ANALYZE");
}
