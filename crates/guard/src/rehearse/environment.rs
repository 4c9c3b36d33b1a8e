//! The command's environment on the copy: everything that leads to production leads to the copy.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use super::Door;
use super::connection_string::ConnectionString;
use super::production::{Production, Telling};

/// A migration that waits longer for a lock holds up everybody who comes after it; as in a guarded run.
const LOCK_TIMEOUT: &str = "-c lock_timeout=5s";
/// What libpq and its like read, and what must not lead elsewhere.
const REMOVED: [&str; 19] = [
    "PGHOSTADDR",
    "PGSERVICE",
    "PGSSLROOTCERT",
    "PGSSLCERT",
    "PGSSLKEY",
    "PGSSLCRL",
    "PGSSLCRLDIR",
    "PGSSLNEGOTIATION",
    "PGSSLMINPROTOCOLVERSION",
    "PGSSLMAXPROTOCOLVERSION",
    "PGSSLCERTMODE",
    "PGSSLSNI",
    "PGCHANNELBINDING",
    "PGREQUIREAUTH",
    "PGREQUIREPEER",
    "PGREQUIRESSL",
    "PGTARGETSESSIONATTRS",
    "PGLOADBALANCEHOSTS",
    "PGKRBSRVNAME",
];
/// How variables that belong together end: the host, and what goes with it.
const HOST_ENDS: [&str; 5] = ["HOSTNAME", "HOST", "SERVER", "ADDRESS", "ENDPOINT"];

/// An environment, and which of its variables were changed.
#[derive(Clone, Default)]
pub(super) struct Rewritten {
    pub(super) variables: Vec<(OsString, OsString)>,
    /// Names of those that named production.
    pub(super) names: Vec<String>,
}

/// Rewrites an environment.
///
/// `token` is what the command's sessions are known by; `also` are variables that a file of the project would set to
/// production where the environment does not have them, and which are therefore set to the copy.
pub(super) fn rewritten(
    given: &[(OsString, OsString)],
    production: &Production,
    door: &Door,
    token: &str,
    also: &[(String, String)],
) -> Rewritten {
    let mut variables: BTreeMap<OsString, OsString> = given.iter().cloned().collect();
    let mut names = Vec::new();
    for (name, value) in also {
        variables.entry(name.into()).or_insert_with(|| value.into());
    }
    let texts: Vec<(String, String)> = variables
        .iter()
        .filter_map(|(name, value)| Some((name.to_str()?.to_owned(), value.to_str()?.to_owned())))
        .collect();
    for (name, value) in &texts {
        if name.starts_with("PG") && name != "PGOPTIONS" {
            continue;
        }
        match (production.is_host(value), value_for(value, production, door)) {
            (Some(telling), _) => {
                let others = beside(name, &texts, production, door);
                if telling == Telling::Alone || others.iter().any(|other| other.tells) {
                    variables.insert(name.into(), "127.0.0.1".into());
                    names.push(name.clone());
                    for other in others {
                        variables.insert(other.name.clone().into(), other.value.into());
                        names.push(other.name);
                    }
                }
            }
            (None, Some(new)) => {
                variables.insert(name.into(), new.into());
                names.push(name.clone());
            }
            (None, None) => {}
        }
    }
    names.extend(libpq(&mut variables, door, token));
    variables.entry("DATABASE_URL".into()).or_insert_with(|| door.url().into());
    names.sort_unstable();
    names.dedup();
    Rewritten { variables: variables.into_iter().collect(), names }
}

/// What a value becomes, where it names production.
pub(super) fn value_for(value: &str, production: &Production, door: &Door) -> Option<String> {
    if let Some(connection) = ConnectionString::read(value) {
        return production.is_named_by(&connection).then(|| connection.leading_to(door));
    }
    production.named_in(value).map(|_| production.replaced_in(value, door.port, &door.password))
}

/// A variable that goes with a host's.
struct Beside {
    name: String,
    value: String,
    /// It is production's port or database: the host is meant to be production.
    tells: bool,
}

/// The variables beside one that holds the host, such as `DB_PORT` beside `DB_HOST`.
fn beside(host: &str, texts: &[(String, String)], production: &Production, door: &Door) -> Vec<Beside> {
    let upper = host.to_uppercase();
    let Some(end) = HOST_ENDS.iter().find(|end| upper.ends_with(**end)) else { return Vec::new() };
    let prefix = &upper[..upper.len() - end.len()];
    let mut others = Vec::new();
    for (name, value) in texts {
        let upper = name.to_uppercase();
        let Some(rest) = upper.strip_prefix(prefix) else { continue };
        let new = match rest {
            "PORT" if production.places.iter().any(|place| place.port.to_string() == *value) => door.port.to_string(),
            "USER" | "USERNAME" | "LOGIN" if production.users.contains(value) => door.user.clone(),
            "PASSWORD" | "PASS" | "PASSWD" | "PW" | "PWD" => door.password.expose().to_owned(),
            "NAME" | "DB" | "DBNAME" | "DATABASE" if production.databases.contains(value) => door.database.clone(),
            "SSL" | "SSLMODE" | "SSL_MODE" => "disable".to_owned(),
            _ => continue,
        };
        let tells = matches!(rest, "PORT" | "NAME" | "DB" | "DBNAME" | "DATABASE");
        others.push(Beside { name: name.clone(), value: new, tells });
    }
    others
}

/// Sets what libpq reads, also where nothing was set: its files in the home folder may name production.
fn libpq(variables: &mut BTreeMap<OsString, OsString>, door: &Door, token: &str) -> Vec<String> {
    let had: Vec<String> = REMOVED
        .iter()
        .chain(&["PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"])
        .filter(|name| variables.contains_key(OsStr::new(name)))
        .map(|name| (*name).to_owned())
        .collect();
    for name in REMOVED {
        variables.remove(OsStr::new(name));
    }
    let options = variables.get(OsStr::new("PGOPTIONS")).map(|text| text.to_string_lossy().into_owned());
    let options = match options.unwrap_or_default() {
        own if own.contains("lock_timeout") => own,
        own if own.is_empty() => LOCK_TIMEOUT.to_owned(),
        own => format!("{own} {LOCK_TIMEOUT}"),
    };
    let port = door.port.to_string();
    for (name, value) in [
        ("PGHOST", "127.0.0.1"),
        ("PGPORT", &port),
        ("PGUSER", &door.user),
        ("PGPASSWORD", door.password.expose()),
        ("PGDATABASE", &door.database),
        ("PGSSLMODE", "disable"),
        ("PGGSSENCMODE", "disable"),
        ("PGAPPNAME", token),
        ("PGOPTIONS", &options),
        ("PGPASSFILE", "/dev/null"),
        ("PGSERVICEFILE", "/dev/null"),
        ("PGSYSCONFDIR", "/dev/null"),
    ] {
        variables.insert(name.into(), value.into());
    }
    had
}

#[cfg(test)]
mod tests {
    use holdpoint_core::Secret;
    use holdpoint_postgres::ConnectionSettings;
    use holdpoint_postgres::connection::Environment;

    use super::*;

    async fn rewritten_of(given: &[(&str, &str)]) -> (BTreeMap<String, String>, Vec<String>) {
        let url = "postgres://app:hunter2@db.example.invalid:6543/shop";
        let production = Production::of(&[ConnectionSettings::resolve(url, &Environment::default()).unwrap()]).await;
        let door = Door { port: 7, user: "app".into(), password: Secret::new("new"), database: "copy".into() };
        let given: Vec<_> = given.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let also = [("DATABASE_URL".to_owned(), door.url()), ("OTHER_URL".to_owned(), door.url())];
        let all = rewritten(&given, &production, &door, "token", &also);
        let text = |text: OsString| text.into_string().unwrap();
        (all.variables.into_iter().map(|(name, value)| (text(name), text(value))).collect(), all.names)
    }

    #[tokio::test]
    async fn what_names_production_leads_to_the_copy_and_the_rest_stays() {
        let (all, names) = rewritten_of(&[
            ("DATABASE_URL", "postgres://app:hunter2@db.example.invalid:6543/shop?schema=x"),
            ("DIRECT_URL", "postgres://app:hunter2@db.example.invalid/shop"),
            ("CACHE_URL", "redis://cache.example.com/1"),
            ("ANALYTICS_URL", "postgres://a@warehouse.example.com/x"),
            ("DB_HOST", "db.example.invalid"),
            ("DB_PORT", "6543"),
            ("DB_NAME", "shop"),
            ("DB_USER", "app"),
            ("DB_PASS", "hunter2"),
            ("SMTP_PORT", "6543"),
            ("CONFIG", "{\"url\":\"db.example.invalid:6543\"}"),
            ("PGSERVICE", "prod"),
            ("PGOPTIONS", "-c search_path=x"),
            ("PATH", "/usr/bin"),
        ])
        .await;
        assert_eq!(all["DATABASE_URL"], "postgres://app:new@127.0.0.1:7/copy?sslmode=disable&schema=x");
        assert_eq!(all["DIRECT_URL"], "postgres://app:new@127.0.0.1:7/copy?sslmode=disable");
        assert_eq!(all["OTHER_URL"], "postgresql://app:new@127.0.0.1:7/copy?sslmode=disable");
        assert_eq!(all["ANALYTICS_URL"], "postgres://a@warehouse.example.com/x");
        let parts = ["DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASS", "SMTP_PORT", "CONFIG", "PATH"];
        let want = ["127.0.0.1", "7", "copy", "app", "new", "6543", "{\"url\":\"127.0.0.1:7\"}", "/usr/bin"];
        assert_eq!(parts.map(|name| all[name].as_str()), want);
        assert_eq!((all["PGHOST"].as_str(), all["PGPASSFILE"].as_str()), ("127.0.0.1", "/dev/null"));
        assert_eq!(all["PGOPTIONS"], "-c search_path=x -c lock_timeout=5s");
        assert_eq!(all["PGAPPNAME"], "token");
        assert!(!all.contains_key("PGSERVICE"));
        assert!(!format!("{all:?}").contains("hunter2") && !format!("{all:?}").contains("db.example.invalid"));
        for name in ["CONFIG", "DATABASE_URL", "DB_PASS", "DB_PORT", "DIRECT_URL", "PGSERVICE"] {
            assert!(names.iter().any(|one| one == name), "{name}: {names:?}");
        }
        assert!(!names.iter().any(|one| ["ANALYTICS_URL", "SMTP_PORT", "PATH"].contains(&one.as_str())), "{names:?}");
    }
}
