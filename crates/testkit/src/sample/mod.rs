//! Sample databases: an awkward one with everything that real schemas have, a plain one of any size, and traffic.

mod shop;
mod traffic;

use crate::cluster::Cluster;

pub use shop::{load_shop, shop_sql};
pub use traffic::{Traffic, load_traffic};

/// Returns the SQL of the roles that [`awkward_sql`] refers to; it may run any number of times on one server.
#[must_use]
pub fn roles_sql() -> &'static str {
    include_str!("roles.sql")
}

/// Returns the SQL of the awkward database, to be run by a superuser in an empty UTF8 database after [`roles_sql`].
///
/// Plain SQL without psql commands. It holds everything that a backup may stumble over, on each major what that major
/// has: several schemas, partitions (also hashed on an enum, and attached with another column order), inheritance,
/// identity and serial, generated columns, materialized views (one with `clock_timestamp()`, one not populated), large
/// objects (with object ids above 2^31), values of nearly every type, names with quotes, dots, parentheses, tabs and
/// letters beyond ASCII, empty tables and tables without columns, comments, forced row security, cycles of foreign
/// keys, triggers, rules, functions, extended statistics, an event trigger, publications, an extension with
/// configuration tables, foreign tables, default privileges, per-database settings, and checks, domains, views,
/// indexes and policies whose text changes once through a restore.
#[must_use]
pub fn awkward_sql(major: u32) -> String {
    let mut sql = include_str!("awkward.sql").to_owned();
    for (since, part) in [
        (15, include_str!("awkward-15.sql")),
        (17, include_str!("awkward-17.sql")),
        (18, include_str!("awkward-18.sql")),
    ] {
        if major >= since {
            sql += part;
        }
    }
    sql
}

/// Makes a database with the contents of [`awkward_sql`].
///
/// # Panics
/// When it cannot be made.
#[track_caller]
pub fn load_awkward(cluster: &Cluster, database: &str) {
    cluster.psql("postgres", roles_sql());
    cluster.create_database_with(database, "TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'");
    cluster.psql(database, &awkward_sql(cluster.major()));
}

/// Makes a database with encoding LATIN1, whose names and rows hold letters beyond ASCII.
///
/// # Panics
/// When it cannot be made.
#[track_caller]
pub fn load_latin1(cluster: &Cluster, database: &str) {
    cluster.create_database_with(database, "TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'");
    cluster.psql(database, include_str!("latin1.sql"));
}

/// Adds a row with one field of `bytes` bytes to the table `app.wide` of the awkward database: text that does not
/// compress to nothing, with the signs that COPY escapes.
///
/// # Panics
/// When it cannot be added.
#[track_caller]
pub fn add_wide_row(cluster: &Cluster, database: &str, bytes: u64) {
    cluster.psql(
        database,
        &format!(
            "INSERT INTO app.wide SELECT coalesce(max(id), 0) + 1, \
             left((SELECT string_agg(md5(n::text) || E'\\t\\\\', '') FROM generate_series(1, {bytes} / 34 + 1) n), {bytes}) \
             FROM app.wide"
        ),
    );
}
