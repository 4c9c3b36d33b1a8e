//! Recognises connection poolers, and names the host to use instead.
//!
//! A pooler that gives each transaction another server connection loses exported snapshots, session settings and
//! advisory locks without a word. It is recognised by its address before connecting, and by its behaviour after.

use serde::Serialize;

use crate::Error;
use crate::connection::{ConnectionSettings, Host};
use crate::session::{Session, SessionPurpose};

/// A pooler, and the way around it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pooler {
    /// What it is, such as "Neon's pooler".
    pub kind: String,
    /// Whether it is one for sure, or only looks like one: then [`shares_connections`] decides.
    pub certain: bool,
    /// `host:port` to use instead, where it follows from the address.
    pub endpoint: Option<String>,
    /// What to do, in a sentence.
    pub cure: String,
}

/// Recognises a pooler by host, port, database and what the URL says of itself.
pub fn by_address(settings: &ConnectionSettings) -> Option<Pooler> {
    settings
        .servers()
        .iter()
        .find_map(|server| match &server.host {
            Host::Tcp(host) => known(&host.to_ascii_lowercase(), server.port),
            Host::Socket(_) => None,
        })
        .or_else(|| said(settings))
}

fn instead(kind: &str, certain: bool, endpoint: String, note: &str) -> Option<Pooler> {
    let cure = format!("connect to {endpoint}{note}");
    Some(Pooler { kind: kind.to_owned(), certain, endpoint: Some(endpoint), cure })
}

fn known(host: &str, port: u16) -> Option<Pooler> {
    if host.ends_with(".pooler.supabase.com") && port == 6543 {
        return instead("Supabase's transaction pooler", true, format!("{host}:5432"), " (the session pooler)");
    }
    if host.ends_with(".supabase.co") && port == 6543 {
        return instead("Supabase's transaction pooler", true, format!("{host}:5432"), "");
    }
    if let Some((first, rest)) = host.split_once('.')
        && let Some(plain) = first.strip_suffix("-pooler")
    {
        // Neon's are sure; others copy the manner.
        let neon = host.ends_with(".neon.tech") || host.ends_with(".neon.build");
        let kind = if neon { "Neon's pooler" } else { "a pooler, by its name" };
        return instead(kind, neon, format!("{plain}.{rest}:{port}"), " (the same host without -pooler)");
    }
    if host.contains(".proxy-") && (host.ends_with(".rds.amazonaws.com") || host.ends_with(".rds.amazonaws.com.cn")) {
        return Some(Pooler {
            kind: "RDS Proxy".to_owned(),
            certain: true,
            endpoint: None,
            cure: "connect to the endpoint of the DB instance or cluster that the proxy stands before".to_owned(),
        });
    }
    if host.ends_with(".db.ondigitalocean.com") && port == 25061 {
        return instead(
            "DigitalOcean's connection pool",
            true,
            format!("{host}:25060"),
            " and name the database, not the pool",
        );
    }
    if host.ends_with(".postgres.database.azure.com") && port == 6432 {
        return instead("Azure's built-in PgBouncer", true, format!("{host}:5432"), "");
    }
    if port == 6432 {
        return instead(
            "PgBouncer, by its port",
            false,
            format!("{host}:5432"),
            " or wherever PostgreSQL itself listens",
        );
    }
    None
}

fn said(settings: &ConnectionSettings) -> Option<Pooler> {
    let (kind, certain) = if settings.database() == "pgbouncer" {
        ("PgBouncer's own console", true)
    } else if settings.said_to_be_pooled() {
        ("a pooler, since the URL says pgbouncer=true", false)
    } else {
        return None;
    };
    let cure = "give the direct URL (direct_url, DIRECT_URL, DATABASE_URL_UNPOOLED, POSTGRES_URL_NON_POOLING)";
    Some(Pooler { kind: kind.to_owned(), certain, endpoint: None, cure: cure.to_owned() })
}

/// Finds out by trying whether something shares server connections between sessions.
///
/// A session is asked several times for its server process, again while a second one holds a transaction. A direct
/// connection, and a pooler in session mode, give each session one process of its own for good. A pooler in
/// transaction mode lends the second the process that the first had, or the first another one each time
/// (`server_round_robin`); one in statement mode refuses the transaction. Tried with PgBouncer 1.18 in all modes.
/// Costs two connections.
pub async fn shares_connections(settings: &ConnectionSettings) -> Result<bool, Error> {
    const WHAT: &str = "checking for a pooler";
    let purpose = SessionPurpose::new("holdpoint pooler check");
    // Plain text statements: prepared ones already fail on some poolers, with words that do not help.
    let first = Session::connect_plain(settings, &purpose).await?;
    let before = first.process().await?;
    let mut moved = first.process().await? != before || first.process().await? != before;
    let second = Session::connect_plain(settings, &purpose).await?;
    match second.run(WHAT, "BEGIN").await {
        Err(error) if looks_pooled(&error) => return Ok(true),
        other => other?,
    }
    let other = second.process().await?;
    moved |= first.process().await? != before;
    second.run(WHAT, "ROLLBACK").await?;
    second.close().await;
    first.close().await;
    Ok(moved || before == other)
}

/// Tells whether an error is of the kind that poolers cause: a refused start-up parameter, a prepared statement that
/// is gone or already there, a protocol violation. Then [`shares_connections`] gives the answer.
pub fn looks_pooled(error: &Error) -> bool {
    matches!(error, Error::StartupRefused { .. }) || matches!(error.sqlstate(), Some("08P01" | "26000" | "42P05"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Environment;

    fn found(url: &str) -> Option<Pooler> {
        by_address(&ConnectionSettings::resolve(url, &Environment::default()).unwrap())
    }

    #[test]
    fn the_right_host_is_named() {
        for (url, endpoint) in [
            (
                "postgresql://postgres.ref@aws-0-eu.pooler.supabase.com:6543/postgres",
                "aws-0-eu.pooler.supabase.com:5432",
            ),
            ("postgresql://postgres@db.ref.supabase.co:6543/postgres", "db.ref.supabase.co:5432"),
            ("postgresql://u@ep-cool-1-pooler.eu.aws.neon.tech/d", "ep-cool-1.eu.aws.neon.tech:5432"),
            ("postgresql://u@x.b.db.ondigitalocean.com:25061/pool", "x.b.db.ondigitalocean.com:25060"),
            ("postgresql://u@x.postgres.database.azure.com:6432/d", "x.postgres.database.azure.com:5432"),
        ] {
            let pooler = found(url).expect(url);
            assert_eq!((pooler.endpoint.as_deref(), pooler.certain), (Some(endpoint), true), "{url}");
            assert!(pooler.cure.contains(endpoint));
        }
        let proxy = found("postgresql://u@p.proxy-c9x.eu-west-1.rds.amazonaws.com/d").unwrap();
        assert_eq!((proxy.endpoint, proxy.certain), (None, true));
    }

    #[test]
    fn what_only_looks_like_one_is_not_certain() {
        assert!(!found("postgresql://u@10.0.0.1:6432/d").unwrap().certain);
        assert!(!found("postgresql://u@db.example.com/d?pgbouncer=true").unwrap().certain);
        assert!(found("postgresql://u@db.example.com/pgbouncer").unwrap().certain);
        for direct in [
            "postgresql://postgres.ref@aws-0-eu.pooler.supabase.com:5432/postgres",
            "postgresql://u@ep-cool-1.eu.aws.neon.tech/d",
            "postgresql://u@shop.c9x.eu-west-1.rds.amazonaws.com/d",
            "host=/tmp user=u port=6432",
        ] {
            assert_eq!(found(direct), None, "{direct}");
        }
    }
}
