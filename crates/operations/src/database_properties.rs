//! Owner, grants, comment and settings of a database: applied under the name that it has, and compared by catalog.

use std::collections::{BTreeMap, BTreeSet};

use holdpoint_core::fingerprint::{Aspect, Difference, compare_maps};
use holdpoint_core::manifest::{DatabaseProperties, DatabaseSetting, Extension};
use holdpoint_core::name::{quote_identifier, quote_literal};
use holdpoint_postgres::Session;

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

/// Turns an ACL item, such as `app=CTc*/owner`, into grants (PostgreSQL manual, "Privileges").
fn grant(database: &str, item: &str) -> Vec<String> {
    let Some((grantee, rest)) = split_grantee(item) else { return Vec::new() };
    let privileges = rest.split('/').next().unwrap_or_default();
    let to = if grantee.is_empty() { "PUBLIC".to_owned() } else { quote_identifier(&grantee) };
    let mut letters = privileges.chars().peekable();
    let mut grants = Vec::new();
    while let Some(letter) = letters.next() {
        let word = match letter {
            'C' => "CREATE",
            'T' => "TEMPORARY",
            'c' => "CONNECT",
            _ => continue,
        };
        let option = if letters.next_if_eq(&'*').is_some() { " WITH GRANT OPTION" } else { "" };
        grants.push(format!("GRANT {word} ON DATABASE {database} TO {to}{option}"));
    }
    grants
}

/// Splits an ACL item at its `=`; a grantee with odd characters is in double quotes.
fn split_grantee(item: &str) -> Option<(String, &str)> {
    if item.starts_with('"') {
        let (grantee, rest) = unquoted(item)?;
        return Some((grantee, rest.strip_prefix('=')?));
    }
    let (grantee, rest) = item.split_once('=')?;
    Some((grantee.to_owned(), rest))
}

/// Reads what is in double quotes at the beginning, and gives what follows.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let quoted = text.strip_prefix('"')?;
    let mut name = String::new();
    let mut characters = quoted.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if character != '"' {
            name.push(character);
        } else if characters.next_if(|(_, next)| *next == '"').is_some() {
            name.push('"');
        } else {
            return Some((name, &quoted[at + 1..]));
        }
    }
    None
}

/// Writes ACL items in one form: by grantee, each privilege once, without who granted it, which a restore cannot keep.
fn without_grantors(items: &[String]) -> String {
    let mut grants: BTreeMap<String, BTreeMap<char, bool>> = BTreeMap::new();
    for item in items {
        let Some((grantee, rest)) = split_grantee(item) else { continue };
        let mut letters = rest.split('/').next().unwrap_or_default().chars().peekable();
        let privileges = grants.entry(grantee).or_default();
        while let Some(letter) = letters.next() {
            let option = letters.next_if_eq(&'*').is_some();
            *privileges.entry(letter).or_default() |= option;
        }
    }
    let words = |privileges: &BTreeMap<char, bool>| -> String {
        privileges.iter().map(|(letter, option)| format!("{letter}{}", if *option { "*" } else { "" })).collect()
    };
    let all: Vec<String> = grants.iter().map(|(grantee, of)| format!("{grantee}={}", words(of))).collect();
    all.join(", ")
}

/// Names the roles that grants and settings are for.
pub(crate) fn roles(properties: &DatabaseProperties) -> Vec<String> {
    let grants = properties.grants.iter().flatten().filter_map(|item| Some(split_grantee(item)?.0));
    let settings = properties.settings.iter().filter_map(|setting| setting.role.clone());
    grants.chain(settings).collect()
}

/// Compares the properties and extensions of a restored database with the recorded ones.
///
/// Of settings only names are told: a value may be an application's secret.
pub(crate) fn compare(
    expected: (&DatabaseProperties, &[Extension]),
    found: (&DatabaseProperties, &[Extension]),
) -> Vec<Difference> {
    let map = |properties: &DatabaseProperties| -> BTreeMap<String, String> {
        let mut map = BTreeMap::from([
            ("owner of the database".to_owned(), properties.owner.clone()),
            ("comment of the database".to_owned(), properties.comment.clone().unwrap_or_default()),
        ]);
        let grants = properties.grants.clone().unwrap_or_else(|| default_grants(&properties.owner));
        map.insert("grants on the database".to_owned(), without_grantors(&grants));
        map
    };
    let mut differences = compare_maps(Aspect::DatabaseProperty, &map(expected.0), &map(found.0), Clone::clone);
    let settings = |properties: &DatabaseProperties| -> BTreeMap<String, String> {
        let named = properties.settings.iter().map(|setting| {
            let role = setting.role.as_deref().unwrap_or("all roles");
            // A list may be stored with or without quotes.
            let value = elements(setting).map_or_else(|| setting.value.clone(), |list| format!("{list:?}"));
            (format!("setting {} for {role}", setting.name), value)
        });
        named.collect()
    };
    let of_settings =
        compare_maps(Aspect::DatabaseProperty, &settings(expected.0), &settings(found.0), |_| "a value".to_owned());
    differences.extend(of_settings.into_iter().map(|one| {
        let found = one.found.map(|value| if one.expected.is_some() { "another".to_owned() } else { value });
        Difference { found, ..one }
    }));
    let versions = |extensions: &[Extension]| -> BTreeMap<String, String> {
        extensions.iter().map(|one| (format!("extension {}", one.name), one.version.clone())).collect()
    };
    differences.extend(compare_maps(Aspect::Extension, &versions(expected.1), &versions(found.1), Clone::clone));
    differences
}

/// What no ACL means (`acldefault('d', owner)`).
pub(crate) fn default_grants(owner: &str) -> Vec<String> {
    let plain = owner.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let owner = if plain { owner.to_owned() } else { quote_identifier(owner) };
    vec![format!("=Tc/{owner}"), format!("{owner}=CTc/{owner}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_written_from_acl_items() {
        assert_eq!(
            grant("\"d\"", "app=C*c/owner"),
            [
                "GRANT CREATE ON DATABASE \"d\" TO \"app\" WITH GRANT OPTION",
                "GRANT CONNECT ON DATABASE \"d\" TO \"app\""
            ]
        );
        assert_eq!(grant("\"d\"", "=c/owner"), ["GRANT CONNECT ON DATABASE \"d\" TO PUBLIC"]);
        assert_eq!(grant("\"d\"", "\"a=\"\"b\"=T/o"), ["GRANT TEMPORARY ON DATABASE \"d\" TO \"a=\"\"b\""]);
    }

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

    #[test]
    fn grants_compare_without_their_grantor() {
        let items = |list: &[&str]| list.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
        let by_two = items(&["app=c/owner", "app=T*/admin", "=c/owner"]);
        assert_eq!(without_grantors(&by_two), without_grantors(&items(&["=c/postgres", "app=T*c/postgres"])));
        assert_ne!(without_grantors(&by_two), without_grantors(&items(&["=c/owner", "app=Tc/owner"])));
        assert_eq!(without_grantors(&items(&["\"a/b\"=c/o"])), "a/b=c");
    }

    #[test]
    fn settings_that_differ_are_named_without_their_values() {
        let with = |settings: &[(&str, &str)]| DatabaseProperties {
            settings: settings
                .iter()
                .map(|(name, value)| DatabaseSetting { role: None, name: (*name).into(), value: (*value).into() })
                .collect(),
            ..DatabaseProperties::default()
        };
        let was = with(&[("app.key", "secret-1"), ("app.old", "secret-2"), ("search_path", "a,b")]);
        let is = with(&[("app.key", "secret-3"), ("app.new", "secret-4"), ("search_path", "\"a\", \"b\"")]);
        let lines: Vec<String> = compare((&was, &[]), (&is, &[])).iter().map(Difference::line).collect();
        assert_eq!(
            lines,
            [
                "setting app.key for all roles: expected a value, found another",
                "setting app.old for all roles: missing (expected a value)",
                "setting app.new for all roles: not in the restore point, found a value"
            ]
        );
    }

    #[test]
    fn default_grants_written_out_are_no_difference() {
        let default = DatabaseProperties { owner: "o".into(), ..DatabaseProperties::default() };
        let written = DatabaseProperties { grants: Some(default_grants("o")), ..default.clone() };
        assert!(compare((&default, &[]), (&written, &[])).is_empty());
        let fewer = DatabaseProperties { grants: Some(vec!["o=CTc/o".into()]), ..default.clone() };
        assert_eq!(compare((&default, &[]), (&fewer, &[])).len(), 1);
    }
}
