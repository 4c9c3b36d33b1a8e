-- A database with the awkward things that real schemas have. Plain SQL, no psql commands; every major from 14 on.
SET client_min_messages = error;
SET search_path = '';
SET timezone = 'UTC';

-- Extensions, one of them with configuration tables.
CREATE SCHEMA ext;
CREATE EXTENSION citext SCHEMA ext;
CREATE EXTENSION hstore SCHEMA ext;
CREATE EXTENSION pg_trgm SCHEMA ext;
CREATE EXTENSION btree_gist SCHEMA ext;
CREATE EXTENSION file_fdw SCHEMA ext;
CREATE EXTENSION holdpoint_sample SCHEMA ext;
INSERT INTO ext.sample_setting (name, value, builtin) VALUES ('ours', 'a row of the user', false), ('tab', E'a\tb', false);
INSERT INTO ext.sample_rate VALUES ('EUR', 1.08), ('JPY', 0.0067);

CREATE SCHEMA app AUTHORIZATION awkward_owner;
CREATE SCHEMA "Ünïcode Schéma" AUTHORIZATION "Lesende ""Rolle""";
CREATE SCHEMA "dotted.schema";
CREATE SCHEMA empty_schema;
COMMENT ON SCHEMA app IS 'it''s the application''s schema';
GRANT USAGE ON SCHEMA app, "Ünïcode Schéma" TO awkward_reader;

ALTER DEFAULT PRIVILEGES FOR ROLE awkward_owner IN SCHEMA app GRANT SELECT ON TABLES TO awkward_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE awkward_owner IN SCHEMA app GRANT USAGE ON SEQUENCES TO awkward_group WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES FOR ROLE awkward_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

-- Types.
CREATE TYPE app.status AS ENUM ('new', 'paid', 'it''s shipped', 'gelöscht', 'tab	bed');
CREATE TYPE app."Mood (odd)" AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE app.address AS (street text, "zip code" varchar(10), tags text[]);
CREATE TYPE app.nested AS (home app.address, others app.address[]);
CREATE TYPE app.span AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE DOMAIN app.email AS ext.citext CHECK (VALUE OPERATOR(ext.~) '^[^@]+@[^@]+$'::ext.citext);
CREATE DOMAIN app.colour AS varchar(10) DEFAULT 'red' CHECK (VALUE IN ('red', 'green', 'blue'));
CREATE DOMAIN app.percent AS numeric CONSTRAINT within CHECK (VALUE BETWEEN 0 AND 100) NOT NULL;
COMMENT ON TYPE app.status IS 'an order''s status';
COMMENT ON DOMAIN app.colour IS 'one of three';
CREATE COLLATION app.plain (provider = libc, locale = 'C');

-- Functions, operators, aggregates, casts.
CREATE FUNCTION app.tax(net numeric, rate numeric DEFAULT 0.19) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT round(net * rate, 2) $$;
CREATE FUNCTION app.atomic(n integer) RETURNS integer LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT n + 1; END;
CREATE FUNCTION app."odd function"("in" text, VARIADIC rest integer[]) RETURNS TABLE (a text, b integer)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $body$
BEGIN
    /* a comment with $$ dollars $$ and the line that ends COPY:
\.
    */
    RETURN QUERY SELECT "in", unnest(rest);
END
$body$;
CREATE PROCEDURE app.nothing(INOUT n integer) LANGUAGE plpgsql AS $$ BEGIN n := n + 1; COMMIT; END $$;
CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.touched := coalesce(NEW.touched, 0) + 1;
    RETURN NEW;
END
$$;
CREATE FUNCTION app.log_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM tg_tag; END $$;
CREATE AGGREGATE app.product(numeric) (SFUNC = numeric_mul, STYPE = numeric, INITCOND = '1');
CREATE FUNCTION app.same_length(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT length($1) = length($2) $$;
CREATE OPERATOR app.=#= (LEFTARG = text, RIGHTARG = text, FUNCTION = app.same_length, COMMUTATOR = OPERATOR(app.=#=));
CREATE FUNCTION app.to_text(app.address) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT ($1).street $$;
CREATE CAST (app.address AS text) WITH FUNCTION app.to_text(app.address);
CREATE TEXT SEARCH DICTIONARY app.plain_words (TEMPLATE = pg_catalog.simple, STOPWORDS = 'english');
CREATE TEXT SEARCH CONFIGURATION app.words (COPY = pg_catalog.simple);
ALTER TEXT SEARCH CONFIGURATION app.words ALTER MAPPING FOR asciiword WITH app.plain_words;
COMMENT ON FUNCTION app.tax(numeric, numeric) IS 'tax of a net amount';
GRANT EXECUTE ON FUNCTION app.tax(numeric, numeric) TO awkward_reader;

-- Identity, serial, generated columns, checks whose text changes once through a restore, a cycle of foreign keys.
CREATE TABLE app.customers (
    id bigint GENERATED ALWAYS AS IDENTITY (START WITH 1000 INCREMENT BY 5) PRIMARY KEY,
    name varchar(100) NOT NULL,
    email app.email,
    kind varchar(10) NOT NULL DEFAULT 'person' CHECK (kind IN ('person', 'company', 'it''s odd')),
    rating integer CHECK (rating BETWEEN 1 AND 5 AND rating <> 3 OR rating IN (3, 33)),
    favourite_order integer,
    touched integer,
    upper_name text GENERATED ALWAYS AS (upper(name)) STORED
);
CREATE TABLE app.orders (
    id serial PRIMARY KEY,
    customer bigint NOT NULL REFERENCES app.customers ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    obsolete text,
    net numeric(12, 2) NOT NULL DEFAULT 0,
    tax numeric GENERATED ALWAYS AS (app.tax(net)) STORED,
    status app.status NOT NULL DEFAULT 'new',
    state varchar(8) DEFAULT 'open',
    placed timestamptz NOT NULL DEFAULT now(),
    touched integer,
    CONSTRAINT "state is known" CHECK (state IN ('open', 'closed') AND net BETWEEN -1000 AND 1000000)
);
ALTER TABLE app.orders DROP COLUMN obsolete;
ALTER TABLE app.customers ADD CONSTRAINT favourite FOREIGN KEY (favourite_order) REFERENCES app.orders
    DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE app.customers OWNER TO awkward_owner;
ALTER TABLE app.orders OWNER TO awkward_owner;
CREATE TABLE app.tree (id integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, parent integer REFERENCES app.tree, label text);
INSERT INTO app.customers (name, email, kind, rating)
    SELECT 'Customer ' || n, 'c' || n || '@example.org', (ARRAY['person', 'company', 'it''s odd'])[n % 3 + 1], n % 5 + 1
    FROM generate_series(1, 400) n;
INSERT INTO app.orders (customer, net, status, state, placed)
    SELECT 1000 + 5 * (n % 400), n / 7.0, (enum_range(NULL::app.status))[n % 5 + 1], (ARRAY['open', 'closed'])[n % 2 + 1],
           timestamptz '2026-03-28 23:30:00+00' + n * interval '17 min 3.25 s'
    FROM generate_series(1, 3000) n;
UPDATE app.customers SET favourite_order = (id - 1000) / 5 + 1 WHERE id % 3 = 0;
DELETE FROM app.orders WHERE id % 97 = 0 AND id > 400;
INSERT INTO app.tree (parent, label) SELECT nullif(n / 2, 0), 'node ' || n FROM generate_series(1, 100) n;
CREATE INDEX orders_open ON app.orders (customer) WHERE state IN ('open', 'late');
CREATE INDEX "orders by Müller (odd).index" ON app.orders ((net * 2), placed DESC NULLS LAST) INCLUDE (status);
CREATE INDEX customers_trgm ON app.customers USING gin (name ext.gin_trgm_ops);
CREATE UNIQUE INDEX customers_lower ON app.customers (lower(name) COLLATE app.plain);
ALTER TABLE app.customers CLUSTER ON customers_lower;
ALTER TABLE app.orders ALTER COLUMN net SET STATISTICS 500, SET (fillfactor = 90);
CREATE STATISTICS app.order_facts (ndistinct, dependencies, mcv) ON status, state FROM app.orders;
CREATE STATISTICS app.order_expressions ON (net * 2), (date_part('hour', placed AT TIME ZONE 'UTC')) FROM app.orders;
COMMENT ON TABLE app.orders IS E'orders;\nwith a second line and a tab\there';
COMMENT ON COLUMN app.orders.net IS 'without tax';
COMMENT ON CONSTRAINT "state is known" ON app.orders IS 'a check';
COMMENT ON INDEX app.orders_open IS 'partial';
COMMENT ON STATISTICS app.order_facts IS 'statistics';
GRANT SELECT (id, name), UPDATE (rating) ON app.customers TO awkward_reader;
GRANT ALL ON app.orders TO awkward_group WITH GRANT OPTION;

-- Triggers and rules.
CREATE TRIGGER touch BEFORE UPDATE ON app.orders FOR EACH ROW WHEN (OLD.net IS DISTINCT FROM NEW.net) EXECUTE FUNCTION app.touch();
CREATE TRIGGER "Disabled one" BEFORE UPDATE ON app.customers FOR EACH ROW EXECUTE FUNCTION app.touch();
ALTER TABLE app.customers DISABLE TRIGGER "Disabled one";
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON app.tree DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.label = 'never') EXECUTE FUNCTION app.touch();
CREATE TABLE app.order_log (id integer, at timestamptz DEFAULT now());
ALTER TABLE app.order_log OWNER TO awkward_owner;
CREATE RULE log_deletes AS ON DELETE TO app.orders WHERE OLD.net < 0 DO ALSO INSERT INTO app.order_log (id) VALUES (OLD.id);
COMMENT ON TRIGGER touch ON app.orders IS 'counts changes';
CREATE EVENT TRIGGER awkward_ddl ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'DROP TABLE') EXECUTE FUNCTION app.log_ddl();

-- Row security, forced for the owner too.
CREATE TABLE app.secrets (id integer PRIMARY KEY, owner name NOT NULL DEFAULT current_user, level varchar(8), n integer, body text);
INSERT INTO app.secrets SELECT n, (ARRAY['awkward_owner', 'awkward_reader'])[n % 2 + 1], (ARRAY['low', 'high'])[n % 2 + 1], n, md5(n::text)
    FROM generate_series(1, 200) n;
ALTER TABLE app.secrets OWNER TO awkward_owner;
ALTER TABLE app.secrets ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON app.secrets FOR SELECT TO awkward_reader
    USING (owner = current_user AND level IN ('low', 'mid') AND n BETWEEN 5 AND 150);
CREATE POLICY "no inserts (ever)" ON app.secrets AS RESTRICTIVE FOR INSERT TO PUBLIC WITH CHECK (level IN ('none', 'never'));
COMMENT ON POLICY own_rows ON app.secrets IS 'their own';

-- Partitions: by range with a default and two levels, by list, by hash, by hash on an enum; one attached with its
-- columns in another order and a dropped column.
CREATE TABLE app.events (id bigint NOT NULL, at timestamptz NOT NULL, kind text NOT NULL, body jsonb, PRIMARY KEY (id, at, kind)) PARTITION BY RANGE (at);
CREATE TABLE app.events_2025 PARTITION OF app.events FOR VALUES FROM ('2025-01-01 00:00:00+00') TO ('2026-01-01 00:00:00+00');
CREATE TABLE app.events_2026 PARTITION OF app.events FOR VALUES FROM ('2026-01-01 00:00:00+00') TO ('2027-01-01 00:00:00+00')
    PARTITION BY LIST (kind);
CREATE TABLE app.events_2026_click PARTITION OF app.events_2026 FOR VALUES IN ('click', 'it''s');
CREATE TABLE app.events_2026_rest (body jsonb, gone integer, kind text NOT NULL, at timestamptz NOT NULL, id bigint NOT NULL);
ALTER TABLE app.events_2026_rest DROP COLUMN gone;
ALTER TABLE app.events_2026 ATTACH PARTITION app.events_2026_rest DEFAULT;
CREATE TABLE app.events_other PARTITION OF app.events DEFAULT;
INSERT INTO app.events SELECT n, timestamptz '2024-11-01 00:00:00+00' + n * interval '6 hours',
        (ARRAY['click', 'it''s', 'view', 'buy'])[n % 4 + 1], jsonb_build_object('n', n, 'a', ARRAY[n, n + 1], 's', E'"\\' || n)
    FROM generate_series(1, 3000) n;
CREATE INDEX events_kind ON app.events (kind);
CREATE TABLE app.by_status (id integer, status app.status, note text) PARTITION BY HASH (status);
CREATE TABLE app.by_status_0 PARTITION OF app.by_status FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE app.by_status_1 PARTITION OF app.by_status FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE app.by_status_2 (note text, status app.status, id integer);
ALTER TABLE app.by_status ATTACH PARTITION app.by_status_2 FOR VALUES WITH (MODULUS 3, REMAINDER 2);
INSERT INTO app.by_status SELECT n, (enum_range(NULL::app.status))[n % 5 + 1], 'row ' || n FROM generate_series(1, 1000) n;
CREATE TABLE app.by_hash (id bigint PRIMARY KEY, v text) PARTITION BY HASH (id);
CREATE TABLE app.by_hash_0 PARTITION OF app.by_hash FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE app.by_hash_1 PARTITION OF app.by_hash FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO app.by_hash SELECT n, md5(n::text) FROM generate_series(1, 500) n;
CREATE TABLE app.no_partitions (a integer) PARTITION BY LIST (a);

-- Inheritance.
CREATE TABLE app.animals (id integer PRIMARY KEY, name text CHECK (name <> ''), legs integer DEFAULT 4);
CREATE TABLE app.birds (wings integer DEFAULT 2, PRIMARY KEY (id)) INHERITS (app.animals);
CREATE TABLE app.parrots (words text[]) INHERITS (app.birds);
ALTER TABLE app.birds ALTER COLUMN legs SET DEFAULT 2;
INSERT INTO app.animals VALUES (1, 'cat', 4), (2, 'dog', 4);
INSERT INTO app.birds VALUES (3, 'owl', 2, 2);
INSERT INTO app.parrots VALUES (4, 'ara', 2, 2, '{hello,"good bye",NULL,"NULL"}');

-- Values of every sort.
CREATE TABLE app.zoo (
    id integer PRIMARY KEY, b bytea, i int2, big int8, o oid, f4 real, f8 double precision, num numeric, cash money, t boolean,
    c char(5), vc varchar, tx text, nm name, d date, tm time, tmz time with time zone, ts timestamp, tsz timestamptz, iv interval,
    j json, jb jsonb, x xml, u uuid, ip inet, net cidr, mac macaddr, bits bit varying, ints integer[], texts text[][],
    r int4range, rr tstzrange, sp app.span, mr int4multirange, tsv tsvector, tq tsquery, pt point, bx box, lsn pg_lsn, h ext.hstore,
    ci ext.citext, addr app.address, nest app.nested, col app.colour, st app.status[], mood app."Mood (odd)", big_id xid8, rc regtype
);
INSERT INTO app.zoo VALUES (1,
    '\x00ff5c4e0a09', -32768, 9223372036854775807, 4294967295, '-0', 'NaN', 'Infinity', '-92233720368547758.08', true,
    'a', '', E'\\N', 'a name', '-infinity', '23:59:59.999999', '00:00:00+13:45', '0044-03-15 12:00:00 BC', 'infinity',
    '-1 year -2 mons +3 days -04:05:06.000007', '{"a" : 1, "a":  2}', '{"k": [null, true, "\u00e9\\\n"], "n": 1e400}', '<a b="c">&amp;é</a>',
    'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '::ffff:10.0.0.1/100', '10.0.0.0/8', '08:00:2b:01:02:03', B'10101', '[0:2]={1,NULL,3}',
    '{{"a","b,c"},{"d\"e","\\\\N"}}', 'empty', '["2026-03-29 01:30:00+00",)', '[1.5,2.5)', '{[1,3),[5,)}', 'a:1A fat:2 cat', 'a & !b',
    '(1e-300,-2)', '((0,0),(1,1))', '16/B374D848', '"a"=>"1", "b\"c"=>NULL', 'CamelCase', '("a, b",\\N,"{x,NULL}")',
    '("(s,1,)","{""(t,2,{a})""}")', 'blue', '{new,"it''s shipped"}', 'happy', '18446744073709551615', 'app.status');
INSERT INTO app.zoo (id) VALUES (2);
INSERT INTO app.zoo (id, tx, vc, texts, num, f8, iv, col) VALUES
    (3, E'tab\there\nnewline\rreturn\\backslash\\.\b\f\v', E'\\.', '{}', 'NaN', 1.7976931348623157e308, 'P1Y2M3DT4H5M6.7S', 'green'),
    (4, E'\\N\t\\N', 'NULL', '{{NULL,"NULL"}}', 1e-1000, 5e-324, '178000000 years', 'red'),
    (5, E'\n', ' ', NULL, 0.1000, -0.0, '0', 'red'),
    (6, repeat(E'\\\t\n', 20000), 'é漢字😀', NULL, 123456789012345678901234567890.123456789, 0.1, '1 mon', 'red');
INSERT INTO app.zoo (id, b) SELECT 100 + n, decode(string_agg(md5(n || ':' || k), ''), 'hex')
    FROM generate_series(1, 20) n, generate_series(1, 300 * (n % 5)) k GROUP BY n;
ALTER TABLE app.zoo ALTER COLUMN b SET STORAGE EXTERNAL;

-- Names.
CREATE TABLE "Ünïcode Schéma"."Tàblé ""quoted"" (with) parens" (
    "Spalte.mit.Punkten" integer PRIMARY KEY, "select" text, "tab	column" text, "ÄÖÜ" text DEFAULT 'ß', "a'b\c" integer
);
INSERT INTO "Ünïcode Schéma"."Tàblé ""quoted"" (with) parens" VALUES (1, 'x', E'\t', 'ü', 2), (2, NULL, '', 'é', NULL);
CREATE TABLE "dotted.schema"."dotted.table.with	tab" (a integer, b text);
INSERT INTO "dotted.schema"."dotted.table.with	tab" SELECT n, n::text FROM generate_series(1, 50) n;
CREATE TABLE "dotted.schema"."UPPER" ("Id" integer GENERATED ALWAYS AS IDENTITY, "FROM stdin;" text);
INSERT INTO "dotted.schema"."UPPER" ("FROM stdin;") VALUES ('COPY x FROM stdin;'), (E'\\.');
CREATE TABLE "dotted.schema".upper (id integer);
CREATE SEQUENCE "Ünïcode Schéma"."Séquence ""(odd)""" INCREMENT BY -3 MINVALUE -1000 MAXVALUE 10 START WITH 10 CYCLE;
SELECT nextval('"Ünïcode Schéma"."Séquence ""(odd)"""'), nextval('"Ünïcode Schéma"."Séquence ""(odd)"""');
CREATE SEQUENCE app.unused AS smallint START WITH 7 CACHE 10;
CREATE SEQUENCE app.ticks;
SELECT setval('app.ticks', 41);

-- Tables of odd shapes.
CREATE TABLE app.empty_table (id integer PRIMARY KEY, body text);
CREATE TABLE app.no_columns ();
INSERT INTO app.no_columns DEFAULT VALUES;
INSERT INTO app.no_columns DEFAULT VALUES;
INSERT INTO app.no_columns DEFAULT VALUES;
CREATE TABLE app.only_generated (n integer GENERATED ALWAYS AS (41 + 1) STORED);
INSERT INTO app.only_generated DEFAULT VALUES;
INSERT INTO app.only_generated DEFAULT VALUES;
CREATE UNLOGGED TABLE app.unlogged (id integer, body text);
INSERT INTO app.unlogged SELECT n, repeat('u', n) FROM generate_series(1, 50) n;
CREATE TABLE app.duplicates (a integer, b text);
INSERT INTO app.duplicates SELECT n % 3, 'same' FROM generate_series(1, 30) n;
CREATE TABLE app.wide (id integer PRIMARY KEY, body text);
CREATE TABLE app.bookings (room integer, during tstzrange, EXCLUDE USING gist (room WITH =, during WITH &&));
INSERT INTO app.bookings SELECT n, tstzrange('2026-01-01 00:00:00+00', '2026-01-02 00:00:00+00') FROM generate_series(1, 10) n;
CREATE TABLE app.typed OF app.address (PRIMARY KEY (street));
INSERT INTO app.typed VALUES ('Main St', '123', '{a,b}');

-- Views and materialized views.
CREATE VIEW app.open_orders AS SELECT id, net + tax AS gross FROM app.orders WHERE state IN ('open', 'late') AND net BETWEEN 1 AND 400
    WITH CASCADED CHECK OPTION;
ALTER VIEW app.open_orders RENAME TO "Open Orders";
CREATE VIEW app.guarded WITH (security_barrier) AS SELECT * FROM app.customers WHERE kind IN ('person', 'company');
CREATE RECURSIVE VIEW app.paths (id, path) AS
    SELECT id, label FROM app.tree WHERE parent IS NULL UNION ALL SELECT t.id, p.path || '/' || t.label FROM app.tree t JOIN paths p ON p.id = t.parent;
CREATE VIEW app.writable AS SELECT id, label FROM app.tree;
CREATE RULE writable_insert AS ON INSERT TO app.writable DO INSTEAD INSERT INTO app.tree (label) VALUES (NEW.label);
CREATE MATERIALIZED VIEW app.totals AS SELECT status, count(*) AS orders, sum(net) AS net FROM app.orders GROUP BY status;
CREATE UNIQUE INDEX totals_status ON app.totals (status);
CREATE MATERIALIZED VIEW app.totals_of_totals AS SELECT sum(orders) AS orders FROM app.totals;
CREATE MATERIALIZED VIEW app.refreshed AS SELECT clock_timestamp() AS at, count(*) AS customers FROM app.customers;
CREATE MATERIALIZED VIEW app.unpopulated AS SELECT 1 AS one WITH NO DATA;
COMMENT ON VIEW app."Open Orders" IS 'a view';
COMMENT ON MATERIALIZED VIEW app.totals IS 'a materialized view';
GRANT SELECT ON app."Open Orders", app.totals TO awkward_reader;

-- Foreign data.
CREATE SERVER elsewhere FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE app.far_away (id integer, body text) SERVER elsewhere OPTIONS (filename '/nonexistent/far', format 'csv');

-- Publications.
CREATE PUBLICATION awkward_all FOR ALL TABLES WITH (publish = 'insert');
CREATE PUBLICATION "awkward some" FOR TABLE app.customers, app.orders WITH (publish = 'insert, update');
COMMENT ON PUBLICATION awkward_all IS 'everything';

-- Large objects, with object ids below and above 2^31, of another owner, with grants and comments.
SELECT lo_create(200001), lo_from_bytea(200002, 'small'), lo_from_bytea(3000000001, '\x00010203ff'), lo_from_bytea(4294967294, 'last');
SELECT lo_from_bytea(3000000002, (SELECT decode(string_agg(md5(n::text), ''), 'hex') FROM generate_series(1, 40000) n));
SELECT lo_from_bytea(oid, convert_to('object ' || oid, 'UTF8')) FROM generate_series(210000, 210099) oid;
DO $sparse$
DECLARE
    fd integer := lo_open(lo_create(3000000003), x'60000'::integer);
BEGIN
    PERFORM lo_lseek64(fd, 3000000, 0), lowrite(fd, 'after a hole'), lo_close(fd);
END
$sparse$;
ALTER LARGE OBJECT 3000000001 OWNER TO awkward_owner;
GRANT SELECT ON LARGE OBJECT 200002 TO awkward_reader;
GRANT ALL ON LARGE OBJECT 3000000002 TO awkward_group;
COMMENT ON LARGE OBJECT 3000000001 IS 'its comment';

-- What sessions of this database get, as long as they do not say otherwise.
DO $settings$
BEGIN
    EXECUTE format('ALTER DATABASE %I SET timezone = %L', current_database(), 'Asia/Kathmandu');
    EXECUTE format('ALTER DATABASE %I SET datestyle = %L', current_database(), 'SQL, DMY');
    EXECUTE format('ALTER DATABASE %I SET intervalstyle = %L', current_database(), 'sql_standard');
    EXECUTE format('ALTER DATABASE %I SET bytea_output = %L', current_database(), 'escape');
    EXECUTE format('ALTER DATABASE %I SET extra_float_digits = 0', current_database());
    EXECUTE format('ALTER ROLE awkward_reader IN DATABASE %I SET search_path = app, "Ünïcode Schéma"', current_database());
    EXECUTE format('COMMENT ON DATABASE %I IS %L', current_database(), 'an awkward database');
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO awkward_reader', current_database());
END
$settings$;
