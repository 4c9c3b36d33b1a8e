//! Names of objects, as PostgreSQL folds them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// PostgreSQL cuts longer identifiers (NAMEDATALEN - 1).
const LONGEST: usize = 63;

/// An object's name, folded: with its schema where one was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectName {
    /// The schema; none where the search path decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The name.
    pub name: String,
}

impl ObjectName {
    /// A name without a schema.
    pub fn unqualified(name: impl Into<String>) -> Self {
        Self { schema: None, name: cut(name.into()) }
    }

    /// A name with its schema.
    pub fn qualified(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self { schema: Some(cut(schema.into())), name: cut(name.into()) }
    }

    /// The name that `parts` make: at most database, schema and name.
    pub(crate) fn of_parts(mut parts: Vec<String>) -> Option<Self> {
        if parts.len() > 3 || parts.iter().any(String::is_empty) {
            return None;
        }
        let name = parts.pop()?;
        Some(Self { schema: parts.pop().map(cut), name: cut(name) })
    }

    /// Reads a name as a person types it, folded as SQL folds it; `None` for what is none.
    pub fn typed(text: &str) -> Option<Self> {
        let mut parts = vec![String::new()];
        let mut quoted = false;
        for sign in text.trim().chars() {
            quoted ^= sign == '"';
            match sign {
                '.' if !quoted => parts.push(String::new()),
                sign => parts.last_mut()?.push(sign),
            }
        }
        Self::of_parts(parts.iter().map(|part| fold(part)).collect::<Option<_>>()?)
    }

    /// The same schema with another name.
    pub(crate) fn renamed(&self, name: &str) -> Self {
        Self { schema: self.schema.clone(), name: name.to_owned() }
    }
}

impl fmt::Display for ObjectName {
    /// Writes it as SQL would need it: quoted where it must be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{}.", quoted(schema))?;
        }
        f.write_str(&quoted(&self.name))
    }
}

/// The identifier, in quotes where PostgreSQL would fold it otherwise.
pub(crate) fn quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Folds an identifier as it stands in SQL text; `None` for what is none, as a placeholder or a number.
pub(crate) fn fold(text: &str) -> Option<String> {
    if let Some(inner) = text.strip_prefix('"') {
        return Some(inner.strip_suffix('"')?.replace("\"\"", "\"")).filter(|name| !name.is_empty());
    }
    let mut signs = text.chars();
    let first = signs.next()?;
    let plain = (first.is_alphabetic() || first == '_') && signs.all(|c| c.is_alphanumeric() || c == '_' || c == '$');
    // What is left, as `U&"…"`, is written in a way that is not read here.
    plain.then(|| text.to_ascii_lowercase())
}

fn cut(mut name: String) -> String {
    if name.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
        name.truncate(end);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fold_and_are_cut_as_the_server_does() {
        assert_eq!(fold("Users").as_deref(), Some("users"));
        assert_eq!(fold("\"Us\"\"ers\"").as_deref(), Some("Us\"ers"));
        assert_eq!(fold("${table}"), None);
        assert_eq!(fold("$1"), None);
        assert_eq!(fold("U&\"d\\0061t\""), None);
        let long = ObjectName::unqualified("ä".repeat(40));
        assert_eq!(long.name.len(), 62, "63 bytes, at a sign's end");
        assert_eq!(ObjectName::qualified("App", "x").to_string(), "\"App\".x");
        let parts = |list: &[&str]| ObjectName::of_parts(list.iter().map(|part| (*part).to_owned()).collect());
        assert_eq!(parts(&["db", "s", "t"]), Some(ObjectName::qualified("s", "t")));
        assert_eq!(parts(&["a", "b", "c", "d"]), None);
    }

    #[test]
    fn typed_names_are_read_as_sql_reads_them() {
        assert_eq!(ObjectName::typed("Public.Users"), Some(ObjectName::qualified("public", "users")));
        assert_eq!(ObjectName::typed(" \"Odd.\"\"One\".x "), Some(ObjectName::qualified("Odd.\"One", "x")));
        for wrong in ["", "a.", ".b", "\"open", "a b", "a.b.c.d"] {
            assert_eq!(ObjectName::typed(wrong), None, "{wrong}");
        }
    }
}
