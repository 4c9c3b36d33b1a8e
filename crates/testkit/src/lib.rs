//! Development only: private PostgreSQL clusters, the S3 engine, faults, sample databases, fake programs.
