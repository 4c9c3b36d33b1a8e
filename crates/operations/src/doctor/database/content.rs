//! What is in the database that behaves differently in a backup or after a restore.

use holdpoint_core::manifest::ServerFacts;
use holdpoint_core::name::quote_identifier;
use holdpoint_core::quantity::{bytes, counted, listed};
use holdpoint_postgres::catalog::database;
use holdpoint_postgres::preflight::{self, ObjectCounts};
use holdpoint_postgres::{Error, Session};

use super::{ANSWER_WITHIN, Findings, Running, SourceFacts};
use crate::error::LISTED;

pub(super) async fn examine(findings: &mut Findings<'_>, session: &Session, running: Option<Running>) -> SourceFacts {
    let server = locale(findings, session).await;
    indexes(findings, session).await;
    if let Some(counts) = findings.tried("special objects", ANSWER_WITHIN, preflight::object_counts(session)).await {
        special(findings, counts);
    }
    let extensions = findings.tried("extensions", ANSWER_WITHIN, database::extensions(session)).await;
    if let Some(extensions) = &extensions {
        let names: Vec<String> = extensions.iter().map(|one| format!("{} {}", one.name, one.version)).collect();
        findings.ok("extensions", names.join(", "));
    }
    let size = findings.tried("size", ANSWER_WITHIN, database::size_bytes(session)).await.flatten();
    if let Some(size) = size {
        findings.ok("size", format!("{} on the server's disk", bytes(size)));
    }
    SourceFacts { major: session.server().major, running, server, extensions, size_bytes: size }
}

async fn locale(findings: &mut Findings<'_>, session: &Session) -> Option<ServerFacts> {
    const NAME: &str = "encoding and locale";
    let asked = async {
        let facts = database::server_facts(session).await?;
        Ok::<_, Error>((facts, database::changed_collation_version(session).await?))
    };
    let (facts, changed) = findings.tried(NAME, ANSWER_WITHIN, asked).await?;
    let locale = facts.locale.as_deref().unwrap_or(&facts.collate);
    let detail = format!("{}, {locale} ({})", facts.encoding, facts.locale_provider);
    if facts.encoding == "SQL_ASCII" {
        findings.warning(
            NAME,
            format!("{detail}: the server checks no encoding, so its bytes may be of several"),
            "nothing for backups, which keep the bytes; the way out is a database of UTF8",
        );
    } else {
        findings.ok(NAME, detail);
    }
    if let Some(version) = changed {
        let name = quote_identifier(session.settings().database());
        findings.warning(
            "collation version",
            format!("the system's is {version} now, not the recorded one: indexes on text may be out of order"),
            format!("REINDEX DATABASE {name}; ALTER DATABASE {name} REFRESH COLLATION VERSION;"),
        );
    }
    Some(facts)
}

async fn indexes(findings: &mut Findings<'_>, session: &Session) {
    const NAME: &str = "indexes";
    // Names travel as bytes: a database of SQL_ASCII may hold some that are no text.
    let sql = "SELECT pg_catalog.textsend(pg_catalog.format('%I.%I', n.nspname, c.relname)) \
               FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE NOT i.indisvalid AND c.relkind = 'i' AND n.nspname !~ '^pg_' ORDER BY 1";
    let asked = session.query("looking for invalid indexes", sql, &[]);
    let Some(rows) = findings.tried(NAME, ANSWER_WITHIN, asked).await else { return };
    let names: Vec<String> = rows.iter().map(|row| String::from_utf8_lossy(row.get(0)).into_owned()).collect();
    match names.first() {
        None => findings.ok(NAME, "all are valid"),
        Some(first) => findings.warning(
            NAME,
            format!("invalid, left by a broken CREATE INDEX CONCURRENTLY: {}", listed(&names, LISTED)),
            format!("DROP INDEX CONCURRENTLY {first}; or REINDEX INDEX CONCURRENTLY {first};"),
        ),
    }
}

fn special(findings: &mut Findings<'_>, counts: ObjectCounts) {
    let mut said = Vec::new();
    if counts.prepared_transactions > 0 {
        findings.warning(
            "prepared transactions",
            format!("{} hold locks without a session, and are in no backup", counts.prepared_transactions),
            "SELECT * FROM pg_prepared_xacts; then COMMIT PREPARED or ROLLBACK PREPARED",
        );
    }
    for (count, what, remark) in [
        (counts.foreign_tables, "foreign table", "rows are elsewhere and in no backup"),
        (counts.subscriptions, "subscription", "a restore leaves it disabled"),
        (counts.event_triggers, "event trigger", "only a superuser restores it"),
    ] {
        if count > 0 {
            said.push(format!("{} ({remark})", counted(count.unsigned_abs(), what)));
        }
    }
    match said.is_empty() {
        true => findings.ok("special objects", "none that a restore treats differently"),
        false => findings.ok("special objects", said.join("; ")),
    }
}
