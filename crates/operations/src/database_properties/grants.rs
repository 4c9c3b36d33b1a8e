//! Grants on a database as PostgreSQL's catalog has them: ACL items.

use std::collections::BTreeMap;

use holdpoint_core::name::quote_identifier;

/// Turns an ACL item, such as `app=CTc*/owner`, into grants (PostgreSQL manual, "Privileges").
pub(super) fn grant(database: &str, item: &str) -> Vec<String> {
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
pub(super) fn split_grantee(item: &str) -> Option<(String, &str)> {
    if item.starts_with('"') {
        let (grantee, rest) = unquoted(item)?;
        return Some((grantee, rest.strip_prefix('=')?));
    }
    let (grantee, rest) = item.split_once('=')?;
    Some((grantee.to_owned(), rest))
}

/// Reads what is in double quotes at the beginning, and gives what follows.
pub(super) fn unquoted(text: &str) -> Option<(String, &str)> {
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
pub(super) fn without_grantors(items: &[String]) -> String {
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
    fn grants_compare_without_their_grantor() {
        let items = |list: &[&str]| list.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
        let by_two = items(&["app=c/owner", "app=T*/admin", "=c/owner"]);
        assert_eq!(without_grantors(&by_two), without_grantors(&items(&["=c/postgres", "app=T*c/postgres"])));
        assert_ne!(without_grantors(&by_two), without_grantors(&items(&["=c/owner", "app=Tc/owner"])));
        assert_eq!(without_grantors(&items(&["\"a/b\"=c/o"])), "a/b=c");
    }
}
