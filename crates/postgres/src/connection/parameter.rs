//! The connection parameters that exist, and what becomes of each.
//!
//! Names and variables: PostgreSQL manual, "Parameter Key Words" and "Environment Variables" of libpq; Prisma's from
//! its page on PostgreSQL connection URLs.

use crate::Error;

/// What is done with a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Obeyed.
    Obeyed,
    /// Of no effect here, and harmless to leave out.
    LeftOut,
    /// Leaving it out would weaken or change what was asked for, so it is refused, with the reason.
    Refused(&'static str),
    /// Another client's: understood, never sent to the server.
    Foreign,
}

/// One parameter: its name, libpq's environment variable, its fate.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) variable: Option<&'static str>,
    pub(super) fate: Fate,
}

const fn obeyed(name: &'static str, variable: &'static str) -> Parameter {
    Parameter { name, variable: Some(variable), fate: Fate::Obeyed }
}

const fn left_out(name: &'static str, variable: Option<&'static str>) -> Parameter {
    Parameter { name, variable, fate: Fate::LeftOut }
}

const fn refused(name: &'static str, variable: Option<&'static str>, why: &'static str) -> Parameter {
    Parameter { name, variable, fate: Fate::Refused(why) }
}

const fn foreign(name: &'static str) -> Parameter {
    Parameter { name, variable: None, fate: Fate::Foreign }
}

const NOT_CHECKED: &str = "this program cannot enforce it";
const NO_OAUTH: &str = "OAuth is not supported";

pub(super) const PARAMETERS: &[Parameter] = &[
    obeyed("host", "PGHOST"),
    obeyed("hostaddr", "PGHOSTADDR"),
    obeyed("port", "PGPORT"),
    obeyed("dbname", "PGDATABASE"),
    obeyed("user", "PGUSER"),
    obeyed("password", "PGPASSWORD"),
    obeyed("passfile", "PGPASSFILE"),
    obeyed("service", "PGSERVICE"),
    obeyed("servicefile", "PGSERVICEFILE"),
    obeyed("sslmode", "PGSSLMODE"),
    obeyed("sslrootcert", "PGSSLROOTCERT"),
    obeyed("sslcert", "PGSSLCERT"),
    obeyed("sslkey", "PGSSLKEY"),
    obeyed("sslcrl", "PGSSLCRL"),
    obeyed("sslsni", "PGSSLSNI"),
    obeyed("sslnegotiation", "PGSSLNEGOTIATION"),
    obeyed("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    obeyed("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    obeyed("channel_binding", "PGCHANNELBINDING"),
    obeyed("connect_timeout", "PGCONNECT_TIMEOUT"),
    obeyed("application_name", "PGAPPNAME"),
    obeyed("options", "PGOPTIONS"),
    obeyed("target_session_attrs", "PGTARGETSESSIONATTRS"),
    Parameter { name: "fallback_application_name", variable: None, fate: Fate::Obeyed },
    Parameter { name: "keepalives", variable: None, fate: Fate::Obeyed },
    Parameter { name: "keepalives_idle", variable: None, fate: Fate::Obeyed },
    Parameter { name: "keepalives_interval", variable: None, fate: Fate::Obeyed },
    Parameter { name: "keepalives_count", variable: None, fate: Fate::Obeyed },
    // Restore and migration tools speak of `ssl=true`, as JDBC does; libpq takes it in URLs.
    Parameter { name: "ssl", variable: None, fate: Fate::Obeyed },
    // Back-pressure holds a COPY still on purpose; with this set the system would cut it.
    left_out("tcp_user_timeout", None),
    left_out("client_encoding", Some("PGCLIENTENCODING")),
    left_out("load_balance_hosts", Some("PGLOADBALANCEHOSTS")),
    left_out("sslcompression", Some("PGSSLCOMPRESSION")),
    left_out("sslkeylogfile", None),
    left_out("min_protocol_version", Some("PGMINPROTOCOLVERSION")),
    left_out("max_protocol_version", Some("PGMAXPROTOCOLVERSION")),
    left_out("gsslib", Some("PGGSSLIB")),
    left_out("gssdelegation", Some("PGGSSDELEGATION")),
    left_out("krbsrvname", Some("PGKRBSRVNAME")),
    Parameter { name: "gssencmode", variable: Some("PGGSSENCMODE"), fate: Fate::Obeyed },
    refused("requirepeer", Some("PGREQUIREPEER"), NOT_CHECKED),
    refused("require_auth", Some("PGREQUIREAUTH"), "this program cannot enforce it; channel_binding=require can be"),
    refused("sslcertmode", Some("PGSSLCERTMODE"), NOT_CHECKED),
    refused("sslcrldir", Some("PGSSLCRLDIR"), "give one file with sslcrl"),
    refused("requiressl", Some("PGREQUIRESSL"), "say sslmode=require"),
    refused("replication", None, "a replication connection cannot be backed up from"),
    refused("scram_client_key", None, NOT_CHECKED),
    refused("scram_server_key", None, NOT_CHECKED),
    refused("oauth_issuer", None, NO_OAUTH),
    refused("oauth_client_id", None, NO_OAUTH),
    refused("oauth_client_secret", None, NO_OAUTH),
    refused("oauth_scope", None, NO_OAUTH),
    foreign("schema"),
    foreign("connection_limit"),
    foreign("pool_timeout"),
    foreign("pgbouncer"),
    foreign("sslaccept"),
    foreign("sslidentity"),
    foreign("sslpassword"),
    foreign("socket_timeout"),
    foreign("statement_cache_size"),
    foreign("max_connection_lifetime"),
    foreign("max_idle_connection_lifetime"),
    foreign("single_use_connections"),
    // Vercel and Supabase add these to the URLs they hand out; node-postgres has the third.
    foreign("supa"),
    foreign("workaround"),
    foreign("uselibpqcompat"),
];

/// Variables that libpq and its programs read besides the parameters' own.
pub(super) const OTHER_VARIABLES: &[&str] =
    &["PGSYSCONFDIR", "PGDATESTYLE", "PGTZ", "PGGEQO", "PGREALM", "PGLOCALEDIR", "PGOAUTHDEBUG", "PGSSLKEYLOGFILE"];

/// Finds a parameter by its name.
pub(super) fn find(name: &str) -> Result<&'static Parameter, Error> {
    if let Some(known) = PARAMETERS.iter().find(|known| known.name == name) {
        return Ok(known);
    }
    let nearest = PARAMETERS
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known.name, &name.to_ascii_lowercase()), known.name))
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, known)| known.to_owned());
    Err(Error::UnknownParameter { name: name.to_owned(), nearest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_parameter_names_the_nearest() {
        let Err(error) = find("ssl_mode") else { panic!("accepted") };
        assert_eq!(error.to_string(), "unknown connection parameter \"ssl_mode\" (did you mean sslmode?)");
        let Err(error) = find("flavour_of_the_month") else { panic!("accepted") };
        assert_eq!(error.to_string(), "unknown connection parameter \"flavour_of_the_month\"");
    }

    #[test]
    fn every_parameter_and_variable_is_listed_once() {
        let mut names: Vec<_> = PARAMETERS.iter().map(|p| p.name).collect();
        names.extend(PARAMETERS.iter().filter_map(|p| p.variable));
        names.extend(OTHER_VARIABLES);
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
