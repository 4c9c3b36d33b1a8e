//! The restore into a new database, as commands that work when pasted into a shell.

use holdpoint_core::{Manifest, RunId};
use holdpoint_postgres::catalog::roles::own_rights;
use holdpoint_postgres::connection::{Host, Roots, SslMode};
use holdpoint_postgres::scratch::DatabaseLocale;
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};

use crate::Error;

/// The longest name of a database in bytes (`NAMEDATALEN` - 1).
const LONGEST_NAME: usize = 63;

/// Quotes a word for a POSIX shell, only where it must be.
pub fn shell_quote(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Says what restores the whole point into a new database beside the live one, and by which command.
///
/// `settings` are those of the live database as configured, and `powerless` is their role where it may not create
/// databases. No password is in the command: it takes it from PGPASSWORD or `.pgpass`.
pub(super) fn beside(
    run: &RunId,
    manifest: &Manifest,
    settings: &ConnectionSettings,
    own_flags: &[String],
    powerless: Option<&str>,
) -> (String, String) {
    let name = database_name(settings.database(), run);
    let create = DatabaseLocale::from(&manifest.server).statement(&name, manifest.major());
    let psql = ["psql", &url(settings), "-X", "-v", "ON_ERROR_STOP=1", "-c", &create].map(shell_quote).join(" ");
    let target = url(&settings.with_database(&name));
    let from = format!("before:{run}");
    let restore = ["holdpoint", "restore", "--from", &from, "--into", &target];
    let restore: Vec<String> =
        restore.into_iter().chain(own_flags.iter().map(String::as_str)).map(shell_quote).collect();
    let password = settings.servers().iter().any(|server| server.password.is_some());
    let asks = if password { " (set PGPASSWORD, or have the password in ~/.pgpass)" } else { "" };
    let as_another =
        powerless.map(|role| format!(" (as another role: {}; put one that may into both URLs)", may_not_create(role)));
    let as_another = as_another.unwrap_or_default();
    let title = format!("restore {} into a new database {name} beside the live one{as_another}{asks}", manifest.id);
    (title, format!("{psql} &&\n{}", restore.join(" ")))
}

/// Reads whether the way back's role may create the database that it restores into: its name where it may not.
pub(crate) async fn powerless(settings: &ConnectionSettings) -> Result<Option<String>, Error> {
    let session = Session::connect(settings, &SessionPurpose::new("holdpoint guard way back")).await?;
    let rights = own_rights(&session).await?;
    session.close().await;
    Ok((!rights.superuser && !rights.create_databases).then_some(rights.name))
}

/// Says what the role lacks.
pub(crate) fn may_not_create(role: &str) -> String {
    format!("role {role} may not create databases")
}

/// A name that tells where it came from: the database's, cut where it would be too long, and the run's.
fn database_name(database: &str, run: &RunId) -> String {
    let tail = format!("_restored_{}", run.as_str().to_ascii_lowercase().replace('-', "_"));
    let mut end = database.len().min(LONGEST_NAME - tail.len());
    while !database.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{tail}", &database[..end])
}

/// The URL without password, but with the files that checking the server needs.
fn url(settings: &ConnectionSettings) -> String {
    let mut url = settings.redacted();
    let tls = settings.tls();
    let over_tcp = settings.servers().iter().any(|server| matches!(server.host, Host::Tcp(_)));
    if !over_tcp || tls.mode == SslMode::Disable {
        return url;
    }
    let mut add = |name: &str, path: &std::path::Path| {
        let separator = if url.contains('?') { '&' } else { '?' };
        url.push_str(&format!("{separator}{name}={}", percent(&path.to_string_lossy())));
    };
    if let Roots::File(file) = &tls.roots {
        add("sslrootcert", file);
    }
    if let Some((certificate, key)) = &tls.client {
        add("sslcert", certificate);
        add("sslkey", key);
    }
    url
}

fn percent(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use holdpoint_postgres::connection::Environment;

    use super::*;

    fn settings(url: &str) -> ConnectionSettings {
        ConnectionSettings::resolve(url, &Environment::default()).unwrap()
    }

    fn run() -> RunId {
        "20261121T024300Z-k3f9".parse().unwrap()
    }

    #[test]
    fn words_survive_the_shell() {
        assert_eq!(shell_quote("--config"), "--config");
        assert_eq!(shell_quote("a b"), "'a b'");
        assert_eq!(shell_quote(""), "''");
        assert_eq!(shell_quote("it's"), r"'it'\''s'");
        for word in ["$HOME", "`id`", "a\nb", "a;b", "*", "~", "a&b", "\\", "\"", "!x", "#c", "é"] {
            assert_eq!(shell_quote(word), format!("'{word}'"));
        }
    }

    #[test]
    fn a_name_stays_within_the_limit() {
        assert_eq!(database_name("shop", &run()), "shop_restored_20261121t024300z_k3f9");
        let long = database_name(&"é".repeat(31), &run());
        assert!(long.len() <= LONGEST_NAME && long.ends_with("_restored_20261121t024300z_k3f9"), "{long}");
    }

    #[test]
    fn a_url_keeps_what_the_connection_needs_and_no_password() {
        let url_of = |text: &str| url(&settings(text));
        let tcp = url_of("postgresql://ann:hunter2@db.example.com/shop?sslmode=verify-full&sslrootcert=system");
        assert_eq!(tcp, "postgresql://ann@db.example.com:5432/shop?sslmode=verify-full");
        assert!(!url_of("postgresql://ann:hunter2@localhost/shop").contains("hunter2"));
        let socket = url_of("postgresql://ann@/shop?host=/run/postgresql");
        assert_eq!(socket, "postgresql://ann@%2Frun%2Fpostgresql:5432/shop");
    }
}
