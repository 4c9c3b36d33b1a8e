-- What came with PostgreSQL 15.
CREATE TABLE app.nulls_equal (a integer, UNIQUE NULLS NOT DISTINCT (a));
INSERT INTO app.nulls_equal VALUES (NULL), (1);
CREATE VIEW app.invoked WITH (security_invoker = true) AS SELECT id FROM app.secrets WHERE level IN ('low', 'high');
CREATE PUBLICATION awkward_filtered FOR TABLE app.zoo (id, tx) WHERE (id BETWEEN 1 AND 5 AND id IN (1, 2, 3)) WITH (publish = 'insert');
CREATE PUBLICATION awkward_schema FOR TABLES IN SCHEMA "dotted.schema" WITH (publish = 'insert');
