//! PostgreSQL servers and client programs: connections, versions, snapshots, catalog, COPY, scratch servers, the one door to pg_dump and pg_restore.
