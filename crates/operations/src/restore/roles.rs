//! The roles that a restore takes: whoever owns something, or stands in a grant, a policy or a user mapping.

use std::collections::BTreeSet;

use holdpoint_postgres::Session;
use holdpoint_postgres::catalog::roles;

use super::RestoreOptions;
use super::run::Properties;
use crate::expected::Expected;
use crate::restored::HeadFile;
use crate::{Context, Error, database_properties};

const NO_OWNER: &str = "--no-owner";
const NO_PRIVILEGES: &str = "--no-privileges";

/// Refuses a server that lacks one of them, before anything is made: it would show after hours, at a GRANT.
///
/// Only where the server lacks a role of the source's at all, the archive's head is read.
///
/// # Errors
/// [`Error::RolesMissing`] names all of them.
pub(super) async fn must_be_there(
    context: &Context,
    session: &Session,
    expected: &Expected,
    options: &RestoreOptions,
    properties: Properties,
) -> Result<(), Error> {
    let there = roles::names(session).await?;
    // PostgreSQL's own (`pg_…`) are not among them: no later major has fewer.
    let gone: BTreeSet<&str> = expected.roles.iter().filter(|role| !there.contains(role)).map(String::as_str).collect();
    if gone.is_empty() {
        return Ok(());
    }
    let (mut owners, mut named, mut flags) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    if !options.no_owner {
        owners.extend(expected.objects.iter().filter_map(|object| object.owner.clone()));
        if properties == Properties::Recorded {
            let recorded = &expected.manifest.database_properties;
            owners.insert(recorded.owner.clone());
            named.extend(database_properties::roles(recorded));
        }
        owners.retain(|role| gone.contains(role.as_str()));
        named.retain(|role| gone.contains(role.as_str()));
        if !(owners.is_empty() && named.is_empty()) {
            flags.insert(NO_OWNER);
        }
    }
    let mut to_be_left_out = true;
    let head = HeadFile::fetch(context, expected).await?;
    for entry in head.head().entries() {
        let grant = matches!(&entry.description[..], b"ACL" | b"DEFAULT ACL");
        let told = matches!(&entry.description[..], b"POLICY" | b"USER MAPPING");
        let Some(definition) = &entry.definition else { continue };
        if !(told || grant && !options.no_privileges) {
            continue;
        }
        for role in named_in(&String::from_utf8_lossy(definition)) {
            if gone.contains(role.as_str()) {
                named.insert(role);
                to_be_left_out &= grant;
                flags.extend(grant.then_some(NO_PRIVILEGES));
            }
        }
    }
    if owners.is_empty() && named.is_empty() {
        return Ok(());
    }
    let flags: Vec<&str> = flags.into_iter().collect();
    Err(Error::RolesMissing {
        owners: owners.into_iter().collect(),
        named: named.into_iter().collect(),
        without: to_be_left_out.then(|| flags.join(" and ")),
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Quoted(&'a str),
    Sign(char),
}

/// Names the roles that a statement of pg_dump's names, in one of its forms: `GRANT … TO`, `REVOKE … FROM`, `ALTER
/// DEFAULT PRIVILEGES FOR ROLE`, `SET SESSION AUTHORIZATION`, `CREATE POLICY … TO`, `CREATE USER MAPPING FOR`.
///
/// Also gives words that stand in these places and are no roles, such as the command of a policy.
fn named_in(definition: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut expected = false;
    let mut after_role = false;
    for token in tokens(definition) {
        match token {
            // A policy's expression, which comes last.
            Token::Word("USING") => break,
            Token::Word("TO" | "FROM" | "FOR" | "ROLE" | "AUTHORIZATION") => (expected, after_role) = (true, false),
            Token::Word(name) if expected => {
                found.push(name.to_owned());
                (expected, after_role) = (false, true);
            }
            Token::Quoted(name) if expected => {
                found.push(name.replace("\"\"", "\""));
                (expected, after_role) = (false, true);
            }
            Token::Sign(',') if after_role => (expected, after_role) = (true, false),
            _ => (expected, after_role) = (false, false),
        }
    }
    found
}

/// Splits a statement into words, quoted names and signs; literals are left out.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => {
                let end = end_of_quoted(rest, '"');
                found.push(Token::Quoted(rest[1..end].strip_suffix('"').unwrap_or(&rest[1..end])));
                end
            }
            '\'' => end_of_quoted(rest, '\''),
            _ if is_word(first) => {
                let end = rest.find(|character| !is_word(character)).unwrap_or(rest.len());
                found.push(Token::Word(&rest[..end]));
                end
            }
            _ => {
                if !first.is_whitespace() {
                    found.push(Token::Sign(first));
                }
                first.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    found
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || character == '$'
}

/// Where a quoted text ends, with its quotes: a doubled one is part of it.
fn end_of_quoted(text: &str, quote: char) -> usize {
    let mut within = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = within.next() {
        if character == quote && within.next_if(|(_, next)| *next == quote).is_none() {
            return at + 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_found_where_pg_dump_names_them() {
        for (definition, roles) in [
            (
                "GRANT SELECT ON TABLE s.t TO app;\nGRANT ALL ON TABLE s.t TO \"A \"\"b\"\"\" WITH GRANT OPTION;\n",
                &["app", "A \"b\""][..],
            ),
            (
                "REVOKE ALL ON TABLE s.\"TO\" FROM owner;\nGRANT SELECT(a),UPDATE(b) ON TABLE s.t TO x;\n",
                &["owner", "x"],
            ),
            (
                "SET SESSION AUTHORIZATION admin;\nGRANT ALL ON SCHEMA s TO x;\nRESET SESSION AUTHORIZATION;\n",
                &["admin", "x"],
            ),
            ("ALTER DEFAULT PRIVILEGES FOR ROLE a IN SCHEMA s GRANT SELECT ON TABLES  TO b;", &["a", "b"]),
            (
                "CREATE POLICY p ON s.t FOR SELECT TO x, \"Y z\" USING ((who = 'TO nobody'::text));",
                &["SELECT", "x", "Y z"],
            ),
            ("CREATE POLICY p ON s.t USING ((a FROM b));", &[]),
            ("CREATE USER MAPPING FOR x SERVER f OPTIONS (\n    \"user\" 'it''s TO y'\n);", &["x"]),
        ] {
            assert_eq!(named_in(definition), roles, "{definition}");
        }
    }
}
