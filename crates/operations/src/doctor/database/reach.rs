//! Reaching the right server: connection, TLS, poolers, identity.

use std::time::Instant;

use holdpoint_core::Identity;
use holdpoint_core::identity::IdentityMatch;
use holdpoint_postgres::connection::Host;
use holdpoint_postgres::{Session, identity, pooler};

use super::{ANSWER_WITHIN, CONNECT_WITHIN, Findings, Recorded, Running, Subject, ask_shortly, purpose};
use crate::Error;

/// Majors that the tests run on.
const TESTED_MAJORS: std::ops::RangeInclusive<u32> = 14..=18;

/// Connects as a backup does.
pub(super) async fn connect(findings: &mut Findings<'_>, subject: &Subject) -> Option<Session> {
    let settings = &subject.source.settings;
    for warning in settings.warnings() {
        findings.warning("connection string", warning.clone(), "leave the parameter out, or correct it");
    }
    let began = Instant::now();
    let purpose = purpose();
    let session = findings.tried("connection", CONNECT_WITHIN, Session::connect(settings, &purpose)).await?;
    let took = began.elapsed().as_millis();
    let (version, reached) = (session.server().clone(), session.settings());
    let address = reached.servers().first().and_then(|server| server.address);
    let resolved = address.map(|address| format!(" ({address})")).unwrap_or_default();
    let who = format!("role {}, database {}", settings.user(), settings.database());
    let place = reached.servers().first().map(|server| server.endpoint()).unwrap_or_default();
    let detail = format!("PostgreSQL {} at {place}{resolved} answered in {took} ms; {who}", version.text);
    if TESTED_MAJORS.contains(&version.major) {
        findings.ok("connection", detail);
    } else {
        let (first, last) = (TESTED_MAJORS.start(), TESTED_MAJORS.end());
        findings.warning(
            "connection",
            format!("{detail}; holdpoint is tested with {first} to {last}"),
            "prove the first restore point: holdpoint verify latest",
        );
    }
    // A refusal, as by some poolers, is found by the text form's check.
    ask_shortly(&session).await.ok();
    Some(session)
}

/// Looks for a pooler: by the address, and by what it does with two sessions.
pub(super) async fn direct(findings: &mut Findings<'_>, subject: &Subject, reachable: bool) {
    const NAME: &str = "direct connection";
    let settings = &subject.source.settings;
    let found = pooler::by_address(settings);
    let cure = found.as_ref().map_or_else(
        || "give the URL of PostgreSQL itself in DIRECT_URL".to_owned(),
        |pooler| format!("{}; set it as DIRECT_URL", pooler.cure),
    );
    if let Some(pooler) = found.as_ref().filter(|pooler| pooler.certain) {
        let detail = format!("the address is that of {}: no snapshot can be shared through it", pooler.kind);
        return findings.failure(NAME, detail, cure);
    }
    if !reachable {
        return findings.not_tried(NAME, "no connection");
    }
    match findings.tried(NAME, ANSWER_WITHIN, pooler::shares_connections(settings)).await {
        None => {}
        Some(true) => {
            let detail =
                "sessions share server connections: a transaction pooler, through which no snapshot can be shared";
            findings.failure(NAME, detail, cure);
        }
        Some(false) => match found {
            Some(pooler) => {
                findings.ok(
                    NAME,
                    format!("each session has a server process of its own, though it looks like {}", pooler.kind),
                );
            }
            None => findings.ok(NAME, "each session has a server process of its own"),
        },
    }
}

/// Tells how the connection is secured.
pub(super) async fn tls(findings: &mut Findings<'_>, session: &Session) {
    const NAME: &str = "TLS";
    let settings = session.settings();
    let server = settings.servers().first();
    if server.is_some_and(|server| matches!(server.host, Host::Socket(_))) {
        return findings.ok(NAME, "a unix socket needs none");
    }
    let sql = "SELECT ssl, version, cipher FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid()";
    let Some(rows) = findings.tried(NAME, ANSWER_WITHIN, session.query("reading how TLS is used", sql, &[])).await
    else {
        return;
    };
    let row = rows.first();
    let local = server.is_some_and(|server| server.is_local());
    if !row.is_some_and(|row| row.get(0)) {
        if local {
            return findings.ok(NAME, "none; the way does not leave this machine");
        }
        let detail = "none: password and rows cross the network in clear";
        return findings.warning(NAME, detail, "switch on TLS on the server and say sslmode=verify-full");
    }
    let text = |index| row.and_then(|row| row.get::<_, Option<String>>(index)).unwrap_or_default();
    let detail = format!("{}, {}, sslmode={}", text(1), text(2), settings.tls().mode.name());
    if local || settings.tls().checks_signer() {
        findings.ok(NAME, detail);
    } else {
        findings.warning(
            NAME,
            format!("{detail}: nobody checks that it is the right server"),
            "say sslmode=verify-full, with sslrootcert where the authority is not a public one",
        );
    }
}

/// Compares with the database that the folder belongs to; records nothing.
pub(super) async fn identity(
    findings: &mut Findings<'_>,
    session: &Session,
    recorded: Result<&Recorded, &Error>,
) -> Option<Running> {
    const NAME: &str = "identity";
    let server = findings.tried(NAME, ANSWER_WITHIN, identity::read(session)).await?;
    let (running, now) = (Running::from(&server), server.identity);
    match recorded {
        Err(_) => findings.not_tried(NAME, "the repository cannot be opened"),
        Ok(Err(why)) => findings.not_tried(NAME, why),
        Ok(Ok(None)) => findings.ok(NAME, "none is recorded; the first backup records this database"),
        Ok(Ok(Some(record))) => compare(findings, &record.identity, &now),
    }
    if server.in_recovery {
        findings.warning(
            "server",
            "it is a standby: rows of unlogged tables are not there, and replay may cancel a long backup",
            "give its max_standby_streaming_delay the time of a backup, or back up from the primary",
        );
    } else {
        findings.ok("server", format!("a primary, up since {}", server.started_at.format("%Y-%m-%d %H:%M:%S UTC")));
    }
    Some(running)
}

fn compare(findings: &mut Findings<'_>, recorded: &Identity, now: &Identity) {
    const NAME: &str = "identity";
    match Identity::compare(recorded, now) {
        IdentityMatch::Same => findings.ok(NAME, "the database that the folder belongs to"),
        IdentityMatch::TimelineChanged => findings.warning(
            NAME,
            format!(
                "on timeline {} now, was on {}: it was promoted or restored in place",
                now.timeline.unwrap_or_default(),
                recorded.timeline.unwrap_or_default()
            ),
            "if that is known, nothing: backups go on; to record it: holdpoint adopt --reason \"why\"",
        ),
        IdentityMatch::Different(differences) => findings.failure(
            NAME,
            format!("the folder belongs to another database: {}", differences.join("; ")),
            "if the database really moved: holdpoint adopt --reason \"why it moved\"; else name another folder with \
             --database",
        ),
    }
}
