//! What a database server itself can reach. The copy's server runs outside of the cell in which a rehearsal keeps its
//! command, so a migration that makes the *server* act elsewhere is not rehearsed by itself.

use holdpoint_postgres::Session;

use crate::Error;

/// Words by which SQL makes a server start programs, connect to others, or run code without bounds.
const WORDS: [&str; 10] = [
    "subscription",
    "postgres_fdw",
    "dblink",
    "plpython3u",
    "plperlu",
    "pltclu",
    "plsh",
    "file_fdw",
    "pg_cron",
    "pg_net",
];
/// The same, as two words in a row.
const PAIRS: [(&str, &str); 8] = [
    ("to", "program"),
    ("from", "program"),
    ("create", "server"),
    ("alter", "server"),
    ("foreign", "table"),
    ("foreign", "schema"),
    ("foreign", "data"),
    ("language", "c"),
];

/// Finds in a migration's text, comments and all, by what it could make the server reach elsewhere.
pub(crate) fn of_text(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|one| !one.is_empty()).collect();
    // Functions of an extension begin with its name.
    let word = words.iter().find(|word| WORDS.iter().any(|known| word.starts_with(known)));
    let pair = words.windows(2).find(|two| PAIRS.iter().any(|(a, b)| two[0] == *a && two[1] == *b));
    word.map(|word| (*word).to_owned()).or_else(|| pair.map(|two| two.join(" ")))
}

/// Finds what the database already holds by which its server could reach elsewhere, such as from a trigger.
pub(crate) async fn of_database(session: &Session) -> Result<Vec<String>, Error> {
    let sql = "SELECT pg_catalog.format('foreign server %I', srvname) FROM pg_catalog.pg_foreign_server \
               UNION ALL SELECT DISTINCT pg_catalog.format('functions in %I', l.lanname) FROM pg_catalog.pg_proc p \
               JOIN pg_catalog.pg_language l ON l.oid = p.prolang \
               WHERE NOT l.lanpltrusted AND l.lanname NOT IN ('internal', 'c') \
               UNION ALL SELECT pg_catalog.format('extension %I', extname) FROM pg_catalog.pg_extension \
               WHERE extname IN ('dblink', 'pg_cron', 'pg_net', 'http', 'plsh') ORDER BY 1";
    let rows = session.query("looking for ways out of the server", sql, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_out_of_a_server_are_seen_in_any_text() {
        for text in [
            "COPY (SELECT 1) TO PROGRAM 'psql'",
            "copy t from\n  program 'curl'",
            "pgm.sql(`COPY t TO/**/PROGRAM 'x'`)",
            "SELECT dblink_exec('host=db', 'DELETE FROM t')",
            "CREATE FOREIGN TABLE f (i int) SERVER s",
            "CREATE EXTENSION postgres_fdw",
            "CREATE FUNCTION f() RETURNS int LANGUAGE plpython3u AS 'x'",
            "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p",
        ] {
            assert!(of_text(text).is_some(), "{text}");
        }
        for text in ["CREATE TABLE program (id int)", "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES b", "SELECT 1"] {
            assert_eq!(of_text(text), None, "{text}");
        }
    }
}
