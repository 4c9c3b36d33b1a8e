//! Which server and database a session is connected to.

use chrono::{DateTime, Utc};
use holdpoint_core::Identity;
use serde::Serialize;

use crate::Error;
use crate::connection::{ConnectionSettings, Host};
use crate::session::{ServerVersion, Session};

/// Who runs the server, as far as it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "provider")]
pub enum Provider {
    /// Nobody known: an own server.
    Unknown,
    /// Amazon RDS or Aurora.
    Rds {
        /// The instance or cluster identifier, where the host name tells it.
        instance: Option<String>,
        /// The region, where the host name tells it.
        region: Option<String>,
        /// Whether it is Aurora.
        aurora: bool,
    },
    /// Neon.
    Neon,
    /// Supabase.
    Supabase,
}

/// Everything that tells one server from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerIdentity {
    /// What a repository records.
    pub identity: Identity,
    /// When the server started: two sessions that differ here are on different servers.
    pub started_at: DateTime<Utc>,
    /// The version.
    pub version: ServerVersion,
    /// Whether the server is a standby.
    pub in_recovery: bool,
    /// Who runs it.
    pub provider: Provider,
}

/// Reads the identity. Call it outside a transaction, on a session made from the configured settings or narrowed ones.
///
/// What a managed server does not tell this role is left out.
pub async fn read(session: &Session) -> Result<ServerIdentity, Error> {
    const WHAT: &str = "reading the server's identity";
    let sql = "SELECT oid, datname::text, pg_catalog.pg_postmaster_start_time(), pg_catalog.pg_is_in_recovery(), \
                      pg_catalog.current_setting('neon.timeline_id', true), \
                      EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = 'rdsadmin'), \
                      EXISTS (SELECT FROM pg_catalog.pg_proc WHERE proname = 'aurora_version') \
               FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()";
    let row = session.query_one(WHAT, sql, &[]).await?;
    let in_recovery: bool = row.get(3);
    let neon: Option<String> = row.get::<_, Option<String>>(4).filter(|id| !id.is_empty());
    let control = "SELECT system_identifier::text FROM pg_catalog.pg_control_system()";
    let system = session.query_if_allowed(WHAT, control).await?;
    let settings = session.settings();
    let provider = if neon.is_some() { Provider::Neon } else { provider(settings, row.get(5), row.get(6)) };
    let identity = Identity {
        system_identifier: system.and_then(|row| row.get(0)),
        database_oid: row.get(0),
        database: row.get(1),
        timeline: crate::session::timeline(session, in_recovery).await?,
        endpoint: settings.endpoint(),
        resource_id: neon.or_else(|| (provider == Provider::Supabase).then(|| project(settings)).flatten()),
    };
    Ok(ServerIdentity { identity, started_at: row.get(2), version: session.server().clone(), in_recovery, provider })
}

fn hosts(settings: &ConnectionSettings) -> impl Iterator<Item = &str> {
    settings.servers().iter().filter_map(|server| match &server.host {
        Host::Tcp(host) => Some(host.as_str()),
        Host::Socket(_) => None,
    })
}

fn provider(settings: &ConnectionSettings, rdsadmin: bool, aurora: bool) -> Provider {
    for host in hosts(settings) {
        // instance.account.region.rds.amazonaws.com, for a cluster cluster.cluster-account.region.…
        if let Some(rest) =
            host.strip_suffix(".rds.amazonaws.com").or_else(|| host.strip_suffix(".rds.amazonaws.com.cn"))
        {
            let mut parts = rest.split('.');
            let instance = parts.next().map(str::to_owned);
            return Provider::Rds { instance, region: parts.next_back().map(str::to_owned), aurora };
        }
        if host.ends_with(".supabase.co") || host.ends_with(".supabase.com") {
            return Provider::Supabase;
        }
        if host.ends_with(".neon.tech") {
            return Provider::Neon;
        }
    }
    if rdsadmin { Provider::Rds { instance: None, region: None, aurora } } else { Provider::Unknown }
}

/// Supabase's project: in the host `db.PROJECT.supabase.co`, or in the pooler's user `role.PROJECT`.
fn project(settings: &ConnectionSettings) -> Option<String> {
    let in_host = hosts(settings).find_map(|host| host.strip_prefix("db.")?.strip_suffix(".supabase.co"));
    in_host.or_else(|| settings.user().split_once('.').map(|(_, project)| project)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Environment;

    fn settings(url: &str) -> ConnectionSettings {
        ConnectionSettings::resolve(url, &Environment::default()).unwrap()
    }

    #[test]
    fn providers_show_in_the_host_name() {
        let rds = provider(&settings("postgresql://u@shop.c9x.eu-west-1.rds.amazonaws.com/d"), true, false);
        let region = Some("eu-west-1".to_owned());
        assert_eq!(rds, Provider::Rds { instance: Some("shop".to_owned()), region, aurora: false });
        assert_eq!(provider(&settings("postgresql://u@10.0.0.1/d"), false, false), Provider::Unknown);
        let supabase = settings("postgresql://postgres@db.abcd.supabase.co/d");
        assert_eq!(provider(&supabase, false, false), Provider::Supabase);
        assert_eq!(project(&supabase).as_deref(), Some("abcd"));
        let pooled = settings("postgresql://postgres.abcd@aws-0.pooler.supabase.com/d");
        assert_eq!(project(&pooled).as_deref(), Some("abcd"));
    }
}
