//! Owner, grants, comment and settings of a database: applied under the name that it has, and compared by catalog.

mod differences;
mod grants;

use std::collections::BTreeSet;

use holdpoint_core::manifest::{DatabaseProperties, DatabaseSetting};
use holdpoint_core::name::{quote_identifier, quote_literal};
use holdpoint_postgres::Session;

pub(crate) use self::differences::compare;
pub(crate) use self::grants::default_grants;
use self::grants::{grant, split_grantee, unquoted};
use crate::Error;

/// Parameters whose value is a list, which `SET` takes element by element (`GUC_LIST_QUOTE` in PostgreSQL's source).
const LISTS: [&str; 7] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
    "oauth_validator_libraries",
];

/// Gives a database the recorded properties, by its actual name: an archive's own text names the one it was made from.
///
/// `session` must be connected to that server as a role that may alter the database. Every statement is tried; the
/// result says in words which failed, and why. What they left shows when the properties are read back and compared.
///
/// # Errors
/// When the server does not answer any more.
pub(crate) async fn apply(
    session: &Session,
    database: &str,
    properties: &DatabaseProperties,
) -> Result<Vec<String>, Error> {
    const WHAT: &str = "applying the database's properties";
    let mut failures = Vec::new();
    for statement in statements(database, properties) {
        if let Err(error) = session.run(WHAT, &statement).await {
            failures.push(told(&statement, error));
        }
    }
    if !failures.is_empty() {
        session.run(WHAT, "SELECT 1").await?;
    }
    Ok(failures)
}

/// Does the same in a transaction that is rolled back, to know early what would fail.
///
/// # Errors
/// When the server does not answer any more.
pub(crate) async fn rehearse(
    session: &Session,
    database: &str,
    properties: &DatabaseProperties,
) -> Result<Vec<String>, Error> {
    const WHAT: &str = "trying the database's properties out";
    let mut failures = Vec::new();
    session.run(WHAT, "BEGIN").await?;
    for statement in statements(database, properties) {
        session.run(WHAT, "SAVEPOINT one").await?;
        if let Err(error) = session.run(WHAT, &statement).await {
            failures.push(told(&statement, error));
            session.run(WHAT, "ROLLBACK TO one").await?;
        }
    }
    session.run(WHAT, "ROLLBACK").await?;
    Ok(failures)
}

/// Tells a statement that failed, without the value that it sets: a setting may be an application's secret.
fn told(statement: &str, error: holdpoint_postgres::Error) -> String {
    let shown = [" TO '", " IS '"].iter().filter_map(|before| statement.find(before)).min();
    format!("{}: {}", &statement[..shown.unwrap_or(statement.len())], Error::from(error).line())
}

/// Writes the statements that give a database its properties, one each, without semicolons.
pub(crate) fn statements(database: &str, properties: &DatabaseProperties) -> Vec<String> {
    let name = quote_identifier(database);
    let mut list = vec![format!("ALTER DATABASE {name} OWNER TO {}", quote_identifier(&properties.owner))];
    if properties.connection_limit >= 0 {
        list.push(format!("ALTER DATABASE {name} CONNECTION LIMIT {}", properties.connection_limit));
    }
    if let Some(comment) = &properties.comment {
        list.push(format!("COMMENT ON DATABASE {name} IS {}", quote_literal(comment)));
    }
    for setting in &properties.settings {
        let value = match elements(setting) {
            // An empty list is set as one empty element, which is how pg_dump writes it.
            Some(list) if list.is_empty() => "''".to_owned(),
            Some(list) => list.iter().map(|element| quote_literal(element)).collect::<Vec<_>>().join(", "),
            None => quote_literal(&setting.value),
        };
        let whom = match &setting.role {
            Some(role) => format!("ROLE {} IN DATABASE {name}", quote_identifier(role)),
            None => format!("DATABASE {name}"),
        };
        list.push(format!("ALTER {whom} SET {} TO {value}", parameter(&setting.name)));
    }
    if let Some(grants) = &properties.grants {
        list.push(format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"));
        list.push(format!("REVOKE ALL ON DATABASE {name} FROM {}", quote_identifier(&properties.owner)));
        list.extend(grants.iter().flat_map(|item| grant(&name, item)));
    }
    list
}

/// Writes the statements that take a database's settings and grants away, one each, without semicolons.
pub(crate) fn taken_away(database: &str, properties: &DatabaseProperties) -> Vec<String> {
    let name = quote_identifier(database);
    let mut whom: BTreeSet<String> = BTreeSet::new();
    for setting in &properties.settings {
        whom.insert(match &setting.role {
            Some(role) => format!("ROLE {} IN DATABASE {name}", quote_identifier(role)),
            None => format!("DATABASE {name}"),
        });
    }
    let mut list: Vec<String> = whom.into_iter().map(|whom| format!("ALTER {whom} RESET ALL")).collect();
    for item in properties.grants.iter().flatten() {
        let Some((grantee, _)) = split_grantee(item) else { continue };
        let from = if grantee.is_empty() { "PUBLIC".to_owned() } else { quote_identifier(&grantee) };
        list.push(format!("REVOKE ALL ON DATABASE {name} FROM {from}"));
    }
    list
}

/// Splits the stored value of a list parameter into its elements, as PostgreSQL's `SplitGUCList` does: separated by
/// commas, in double quotes where an element has odd characters.
///
/// `None` for other parameters, and for a value that is not written so.
fn elements(setting: &DatabaseSetting) -> Option<Vec<String>> {
    if !LISTS.iter().any(|name| name.eq_ignore_ascii_case(&setting.name)) {
        return None;
    }
    let mut rest = setting.value.trim();
    let mut list = Vec::new();
    while !rest.is_empty() {
        let element = if rest.starts_with('"') {
            let (element, after) = unquoted(rest)?;
            rest = after.trim_start();
            element
        } else {
            let end = rest.find(|c: char| c == ',' || c.is_ascii_whitespace()).unwrap_or(rest.len());
            let (element, after) = rest.split_at(end);
            rest = after.trim_start();
            (!element.is_empty()).then(|| element.to_owned())?
        };
        list.push(element);
        if let Some(after) = rest.strip_prefix(',') {
            rest = after.trim_start();
            if rest.is_empty() {
                return None;
            }
        } else if !rest.is_empty() {
            return None;
        }
    }
    Some(list)
}

/// A parameter's name; extensions' have dots, which separate quoted parts.
fn parameter(name: &str) -> String {
    name.split('.').map(quote_identifier).collect::<Vec<_>>().join(".")
}

/// Names the roles that grants and settings are for.
pub(crate) fn roles(properties: &DatabaseProperties) -> Vec<String> {
    let grants = properties.grants.iter().flatten().filter_map(|item| Some(split_grantee(item)?.0));
    let settings = properties.settings.iter().filter_map(|setting| setting.role.clone());
    grants.chain(settings).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_keep_lists_and_dots() {
        let setting = |name: &str, value: &str| holdpoint_core::manifest::DatabaseSetting {
            role: None,
            name: name.into(),
            value: value.into(),
        };
        let properties = DatabaseProperties {
            owner: "o".into(),
            connection_limit: -1,
            settings: vec![setting("search_path", "\"$user\", public"), setting("my.thing", "it's")],
            ..DatabaseProperties::default()
        };
        assert_eq!(
            statements("D", &properties)[1..],
            [
                "ALTER DATABASE \"D\" SET \"search_path\" TO '$user', 'public'",
                "ALTER DATABASE \"D\" SET \"my\".\"thing\" TO 'it''s'"
            ]
        );
    }

    #[test]
    fn what_a_database_has_is_taken_away() {
        let setting = |role: Option<&str>, name: &str| DatabaseSetting {
            role: role.map(str::to_owned),
            name: name.into(),
            value: "x".into(),
        };
        let properties = DatabaseProperties {
            settings: vec![setting(None, "a"), setting(Some("R"), "a"), setting(None, "b")],
            grants: Some(vec!["=c/o".into(), "app=CTc/o".into()]),
            ..DatabaseProperties::default()
        };
        assert_eq!(
            taken_away("D", &properties),
            [
                "ALTER DATABASE \"D\" RESET ALL",
                "ALTER ROLE \"R\" IN DATABASE \"D\" RESET ALL",
                "REVOKE ALL ON DATABASE \"D\" FROM PUBLIC",
                "REVOKE ALL ON DATABASE \"D\" FROM \"app\""
            ]
        );
        assert!(taken_away("D", &DatabaseProperties::default()).is_empty());
    }

    #[test]
    fn lists_are_split_as_they_are_stored() {
        let split = |value: &str| {
            let list = DatabaseSetting { role: None, name: "Search_Path".into(), value: value.into() };
            elements(&list)
        };
        let list = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(split("\"$user\", public"), list(&["$user", "public"]));
        assert_eq!(split("\"a, \"\"b\", \"C d\",e"), list(&["a, \"b", "C d", "e"]));
        assert_eq!(split("\"\""), list(&[""]));
        assert_eq!(split(""), list(&[]));
        for broken in ["a,", "\"a", "a b", ",a"] {
            assert_eq!(split(broken), None, "{broken}");
        }
        let plain = DatabaseSetting { role: None, name: "application_name".into(), value: "a, b".into() };
        assert_eq!(elements(&plain), None);
    }
}
