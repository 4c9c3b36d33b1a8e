//! Whether a tool's own connection leads to the database that is guarded.
//!
//! A tool takes its connection from variables, files or configuration of its own. Where these lead to another database,
//! what is pending here says nothing about what the tool would do there, and no restore point holds it.

use std::ffi::OsString;

use holdpoint_core::Secret;
use holdpoint_core::identity::{Identity, IdentityMatch};
use holdpoint_postgres::connection::{Environment, Host};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose, identity};

use crate::Error;
use crate::tools::{Connection, Found, ToolName, flyway_url};

/// What is known of a tool's connection.
#[derive(Debug, PartialEq, Eq)]
enum Led {
    /// Nothing that the tool reads names one: it takes what holdpoint takes, or nothing.
    Nowhere,
    /// This URL, or the PG* variables where it is empty.
    To(String),
    /// It cannot be known without running the project's code.
    Unknown(String),
}

/// Makes sure that the tool's connection leads to the database of `start`.
///
/// Returns the reason where that cannot be told.
///
/// # Errors
/// [`Error::AnotherDatabase`] where it leads to another.
pub(crate) async fn elsewhere(
    found: &Found,
    environment: &[(OsString, OsString)],
    guarded: &ConnectionSettings,
    start: &Identity,
) -> Result<Option<String>, Error> {
    let variables = environment.iter().filter_map(|(name, value)| Some((name.to_str()?, value.to_str()?)));
    let variables = Environment::new(variables);
    let file = |path: &str| std::fs::read_to_string(found.project.join(path)).ok();
    let led = match found.tool.name() {
        ToolName::Flyway => of_flyway(variables.get("FLYWAY_URL"), flyway_url(&found.project)),
        _ => None,
    };
    let url = match led.unwrap_or_else(|| led_by(&found.connection, &variables, file)) {
        Led::Nowhere => return Ok(None),
        Led::Unknown(why) => return Ok(Some(why)),
        Led::To(url) => url,
    };
    let settings = match ConnectionSettings::resolve(&url, &variables) {
        Ok(settings) => settings,
        Err(error) => return Ok(Some(format!("its own connection cannot be read: {error}"))),
    };
    if found.tool.name() == ToolName::Prisma && schema(&settings) != schema(guarded) {
        return Ok(Some(format!("its own connection names schema {}", schema(&settings))));
    }
    if same_place(&settings, guarded) {
        return Ok(None);
    }
    let session = match Session::connect(&settings, &SessionPurpose::new("holdpoint guard plan")).await {
        Ok(session) => session,
        Err(error) => {
            return Ok(Some(format!("its own connection ({}) cannot be tried: {error}", settings.redacted())));
        }
    };
    let same = demand_same(&session, &settings, start).await;
    session.close().await;
    same.map(|()| None)
}

/// Makes sure that a session by these settings is at the database of `start`; one server may be reached by several names.
///
/// # Errors
/// [`Error::AnotherDatabase`].
pub(crate) async fn demand_same(
    session: &Session,
    settings: &ConnectionSettings,
    start: &Identity,
) -> Result<(), Error> {
    let found = identity::read(session).await?.identity;
    let found = Identity { endpoint: start.endpoint.clone(), ..found };
    match Identity::compare(start, &found) {
        IdentityMatch::Different(differences) => Err(Error::AnotherDatabase { url: settings.redacted(), differences }),
        IdentityMatch::Same | IdentityMatch::TimelineChanged => Ok(()),
    }
}

/// The schema in which Prisma keeps its table.
fn schema(settings: &ConnectionSettings) -> &str {
    settings.schema().unwrap_or("public")
}

fn same_place(one: &ConnectionSettings, other: &ConnectionSettings) -> bool {
    let places = |settings: &ConnectionSettings| -> Vec<(Host, u16)> {
        settings.servers().iter().map(|server| (server.host.clone(), server.port)).collect()
    };
    one.database() == other.database() && places(one) == places(other)
}

/// Parameters of a JDBC URL that lead nowhere else.
const JDBC: [&str; 6] = ["user", "password", "ssl", "sslmode", "sslrootcert", "ApplicationName"];

/// What Flyway would connect to: its variable, and then its configuration.
fn of_flyway(variable: Option<&str>, written: Option<Secret>) -> Option<Led> {
    let written = written.as_ref().map(Secret::expose);
    let url = variable.filter(|url| !url.is_empty()).or(written)?;
    let url = url.strip_prefix("jdbc:").unwrap_or(url);
    let (address, parameters) = url.split_once('?').unwrap_or((url, ""));
    let names = parameters.split('&').filter(|one| !one.is_empty()).map(|one| one.split('=').next().unwrap_or(one));
    match names.into_iter().find(|name| !JDBC.contains(name)) {
        Some(name) => Some(Led::Unknown(format!("its connection sets {name}"))),
        None => Some(Led::To(address.to_owned())),
    }
}

/// What the tool would connect to, by its variables, its files of variables and its configuration, in its order.
fn led_by(connection: &Connection, variables: &Environment, file: impl Fn(&str) -> Option<String>) -> Led {
    if let Some(place) = connection.literals.first() {
        return Led::Unknown(format!("its connection is written down in {}", place.path));
    }
    let set = |name: &String| variables.get(name).map(str::to_owned);
    let in_environment = connection.variables.iter().find_map(set);
    let files_win = !connection.overriding.is_empty();
    if let (Some(url), false) = (&in_environment, files_win && !connection.dotenv.is_empty()) {
        return Led::To(url.clone());
    }
    match connection.dotenv.as_slice() {
        [] => {}
        [only] if only.path == ".env" => {
            let text = file(&only.path).unwrap_or_default();
            let value = connection.variables.iter().find_map(|name| value_in(&text, name));
            return match value {
                Some(url) => Led::To(url),
                None => Led::Unknown(format!("{} sets a part of its connection", only.path)),
            };
        }
        several => {
            let paths: Vec<&str> = several.iter().map(|file| file.path.as_str()).collect();
            return Led::Unknown(format!("its connection may come from {}", paths.join(" or ")));
        }
    }
    if let Some(place) = connection.computed.first() {
        return Led::Unknown(format!("its connection is computed in {}", place.path));
    }
    let pg = ["PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGSERVICE"];
    if connection.pg_variables && pg.iter().any(|name| variables.get(name).is_some()) {
        return Led::To(String::new());
    }
    match connection.variables.first() {
        // What loads it from elsewhere is not seen.
        Some(name) => Led::Unknown(format!("{name} is not set")),
        None => Led::Nowhere,
    }
}

/// A plain value of a file of variables; one that refers to others is none.
fn value_in(text: &str, name: &str) -> Option<String> {
    let value = text.lines().rev().find_map(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        line.strip_prefix(name)?.trim_start().strip_prefix('=').map(str::trim)
    })?;
    let quoted = |sign: char| value.strip_prefix(sign).and_then(|rest| rest.split(sign).next());
    let value =
        quoted('"').or_else(|| quoted('\'')).unwrap_or_else(|| value.split(" #").next().unwrap_or(value).trim());
    (!value.is_empty() && !value.contains('$')).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::{ConfigPlace, DotenvFile};

    const URL: &str = "postgresql://app:x@db/shop";

    fn connection() -> Connection {
        Connection { variables: vec!["DATABASE_URL".into()], ..Connection::default() }
    }

    fn dotenv(path: &str) -> DotenvFile {
        DotenvFile { path: path.into(), variables: vec!["DATABASE_URL".into()] }
    }

    fn place(path: &str) -> ConfigPlace {
        ConfigPlace { path: path.into(), key: "url".into() }
    }

    #[test]
    fn the_environment_counts_before_a_file_unless_the_file_overrides() {
        let file = |_: &str| Some("# x\nexport DATABASE_URL=\"postgresql://other/shop\" # y\n".to_owned());
        let set = Environment::new([("DATABASE_URL", URL)]);
        let unset = Environment::default();
        let mut one = connection();
        assert_eq!(led_by(&one, &set, file), Led::To(URL.into()));
        assert!(matches!(led_by(&one, &unset, file), Led::Unknown(why) if why.contains("is not set")));
        assert_eq!(led_by(&Connection::default(), &unset, file), Led::Nowhere, "a folder without a tool");
        one.dotenv = vec![dotenv(".env")];
        assert_eq!(led_by(&one, &set, file), Led::To(URL.into()));
        assert_eq!(led_by(&one, &unset, file), Led::To("postgresql://other/shop".into()));
        one.overriding = vec!["drizzle.config.ts".into()];
        assert_eq!(led_by(&one, &set, file), Led::To("postgresql://other/shop".into()));
    }

    #[test]
    fn what_only_running_the_project_would_tell_is_unknown() {
        let none = |_: &str| None;
        let set = Environment::new([("DATABASE_URL", URL)]);
        for one in [
            Connection { literals: vec![place("drizzle.config.ts")], ..connection() },
            Connection {
                dotenv: vec![dotenv(".env"), dotenv(".env.local")],
                overriding: vec!["x".into()],
                ..connection()
            },
        ] {
            assert!(matches!(led_by(&one, &set, none), Led::Unknown(_)), "{one:?}");
        }
        let computed = Connection { computed: vec![place("drizzle.config.ts")], ..connection() };
        assert!(matches!(led_by(&computed, &Environment::default(), none), Led::Unknown(_)));
        let refers = |_: &str| Some("DATABASE_URL=postgresql://$HOST/shop".to_owned());
        let one = Connection { dotenv: vec![dotenv(".env")], ..connection() };
        assert!(matches!(led_by(&one, &Environment::default(), refers), Led::Unknown(_)));
    }

    #[test]
    fn pg_variables_count_where_the_tool_reads_them() {
        let set = Environment::new([("PGHOST", "db")]);
        let none = |_: &str| None;
        let reads = Connection { pg_variables: true, ..connection() };
        assert_eq!(led_by(&reads, &set, none), Led::To(String::new()));
        assert!(matches!(led_by(&connection(), &set, none), Led::Unknown(_)));
    }

    #[test]
    fn flyways_address_is_its_variable_or_its_configuration() {
        let written = || Some(Secret::from("jdbc:postgresql://db/shop?user=ann&password=hush".to_owned()));
        assert_eq!(of_flyway(None, written()), Some(Led::To("postgresql://db/shop".into())));
        let other = Some("jdbc:postgresql://other/shop");
        assert_eq!(of_flyway(other, written()), Some(Led::To("postgresql://other/shop".into())));
        assert_eq!(of_flyway(None, None), None);
        let schema = of_flyway(Some("jdbc:postgresql://db/shop?currentSchema=app"), None);
        assert_eq!(schema, Some(Led::Unknown("its connection sets currentSchema".into())));
    }
}
