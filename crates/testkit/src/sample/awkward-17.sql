-- What came with PostgreSQL 16 and 17.
GRANT MAINTAIN ON app.orders TO awkward_reader;
CREATE TABLE app.identity_parts (id integer GENERATED ALWAYS AS IDENTITY, body text STORAGE EXTERNAL) PARTITION BY RANGE (id);
CREATE TABLE app.identity_parts_1 PARTITION OF app.identity_parts FOR VALUES FROM (1) TO (100);
INSERT INTO app.identity_parts (body) VALUES ('a'), ('b');
