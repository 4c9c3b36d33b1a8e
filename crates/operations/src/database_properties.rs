//! Owner, grants, comment and settings of a database: applied under the name that it has, and compared by catalog.

use std::collections::BTreeMap;

use holdpoint_core::fingerprint::{Aspect, Difference, compare_maps};
use holdpoint_core::manifest::{DatabaseProperties, Extension};
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
/// `session` must be connected to that database as a role that may alter it.
pub(crate) async fn apply(session: &Session, database: &str, properties: &DatabaseProperties) -> Result<(), Error> {
    const WHAT: &str = "applying the database's properties";
    for statement in statements(database, properties) {
        session.run(WHAT, &statement).await?;
    }
    Ok(())
}

fn statements(database: &str, properties: &DatabaseProperties) -> Vec<String> {
    let name = quote_identifier(database);
    let mut list = vec![format!("ALTER DATABASE {name} OWNER TO {}", quote_identifier(&properties.owner))];
    if properties.connection_limit >= 0 {
        list.push(format!("ALTER DATABASE {name} CONNECTION LIMIT {}", properties.connection_limit));
    }
    if let Some(comment) = &properties.comment {
        list.push(format!("COMMENT ON DATABASE {name} IS {}", quote_literal(comment)));
    }
    for setting in &properties.settings {
        let value = if LISTS.contains(&setting.name.as_str()) {
            // Stored quoted as a list already.
            if setting.value.is_empty() { "''".to_owned() } else { setting.value.clone() }
        } else {
            quote_literal(&setting.value)
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
    let Some(quoted) = item.strip_prefix('"') else {
        let (grantee, rest) = item.split_once('=')?;
        return Some((grantee.to_owned(), rest));
    };
    let mut name = String::new();
    let mut characters = quoted.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if character != '"' {
            name.push(character);
        } else if characters.next_if(|(_, next)| *next == '"').is_some() {
            name.push('"');
        } else {
            return Some((name, quoted[at + 1..].strip_prefix('=')?));
        }
    }
    None
}

/// Compares the properties and extensions of a restored database with the recorded ones.
pub(crate) fn compare(
    expected: (&DatabaseProperties, &[Extension]),
    found: (&DatabaseProperties, &[Extension]),
) -> Vec<Difference> {
    let map = |properties: &DatabaseProperties| -> BTreeMap<String, String> {
        let mut map = BTreeMap::from([
            ("owner of the database".to_owned(), properties.owner.clone()),
            ("comment of the database".to_owned(), properties.comment.clone().unwrap_or_default()),
        ]);
        for setting in &properties.settings {
            let role = setting.role.as_deref().unwrap_or("all roles");
            map.insert(format!("setting {} for {role}", setting.name), setting.value.clone());
        }
        let mut grants = properties.grants.clone().unwrap_or_else(|| default_grants(&properties.owner));
        grants.sort();
        map.insert("grants on the database".to_owned(), grants.join(", "));
        map
    };
    let mut differences = compare_maps(Aspect::DatabaseProperty, &map(expected.0), &map(found.0), Clone::clone);
    let versions = |extensions: &[Extension]| -> BTreeMap<String, String> {
        extensions.iter().map(|one| (format!("extension {}", one.name), one.version.clone())).collect()
    };
    differences.extend(compare_maps(Aspect::Extension, &versions(expected.1), &versions(found.1), Clone::clone));
    differences
}

/// What no ACL means (`acldefault('d', owner)`).
fn default_grants(owner: &str) -> Vec<String> {
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
                "ALTER DATABASE \"D\" SET \"search_path\" TO \"$user\", public",
                "ALTER DATABASE \"D\" SET \"my\".\"thing\" TO 'it''s'"
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
