-- Two tables whose rows pg_dump takes along (PostgreSQL manual, "Extension Configuration Tables"): of the first only
-- those of the user, of the second all.
CREATE TABLE sample_setting (name text PRIMARY KEY, value text, builtin boolean NOT NULL DEFAULT true);
INSERT INTO sample_setting (name, value) VALUES ('shipped', 'comes with the extension');
SELECT pg_catalog.pg_extension_config_dump('sample_setting', 'WHERE NOT builtin');

CREATE TABLE sample_rate (currency text, rate numeric);
SELECT pg_catalog.pg_extension_config_dump('sample_rate', '');

CREATE FUNCTION sample_answer() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 42';
