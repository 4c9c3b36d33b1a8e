-- What came with PostgreSQL 18.
CREATE TABLE app.virtual (id integer PRIMARY KEY, n integer CONSTRAINT n_is_there NOT NULL, twice integer GENERATED ALWAYS AS (n * 2) VIRTUAL);
INSERT INTO app.virtual (id, n) SELECT n, n FROM generate_series(1, 20) n;
CREATE TABLE app.temporal (room integer, during daterange, PRIMARY KEY (room, during WITHOUT OVERLAPS));
INSERT INTO app.temporal VALUES (1, '[2026-01-01,2026-02-01)'), (1, '[2026-02-01,2026-03-01)');
ALTER TABLE app.tree ADD CONSTRAINT unenforced CHECK (label <> 'node 1') NOT ENFORCED;
