//! Which tables a text's statements are about.

use holdpoint_core::name::archive_text;

/// The quoted name in a `CREATE TABLE`.
pub(crate) fn created_table(statement: &[u8]) -> Option<Vec<u8>> {
    let rest =
        statement.strip_prefix(b"CREATE TABLE ").or_else(|| statement.strip_prefix(b"CREATE UNLOGGED TABLE "))?;
    name_at(rest)
}

/// The partition and its table in an `ALTER TABLE ONLY … ATTACH PARTITION …`.
pub(crate) fn attached(statement: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let parent = name_at(statement.strip_prefix(b"ALTER TABLE ONLY ")?)?;
    let rest = &statement[b"ALTER TABLE ONLY ".len() + parent.len()..];
    let child = name_at(rest.strip_prefix(b" ATTACH PARTITION ")?)?;
    Some((child, parent))
}

/// A name of one or two parts at the beginning of a text.
fn name_at(text: &[u8]) -> Option<Vec<u8>> {
    let mut quoted = false;
    let end = text.iter().position(|byte| {
        if *byte == b'"' {
            quoted = !quoted;
        }
        !quoted && (byte.is_ascii_whitespace() || matches!(byte, b'(' | b';'))
    })?;
    (end > 0).then(|| text[..end].to_vec())
}

/// Schema and name of a quoted name; `public` where it names none.
pub(crate) fn known_as(quoted: &[u8], encoding: &str) -> (String, String) {
    let text = archive_text(quoted, encoding);
    let mut parts = vec![String::new()];
    let mut letters = text.chars().peekable();
    let mut within = false;
    while let Some(letter) = letters.next() {
        let part = parts.len() - 1;
        match letter {
            '"' if within && letters.next_if_eq(&'"').is_some() => parts[part].push('"'),
            '"' => within = !within,
            '.' if !within => parts.push(String::new()),
            letter => parts[part].push(letter),
        }
    }
    let name = parts.pop().unwrap_or_default();
    (parts.pop().unwrap_or_else(|| "public".to_owned()), name)
}
