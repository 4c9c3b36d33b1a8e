//! The name under which a database is kept in a repository.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Error;

/// A database's folder in the repository: letters, digits, `.`, `_` and `-`, at most 200 bytes.
///
/// Object stores and file systems differ in what they accept in a key; this is what all of them keep unchanged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DatabaseName(String);

const LONGEST: usize = 200;

fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

impl DatabaseName {
    /// Makes the name that is used without configuration, `<host label>-<dbname>`.
    ///
    /// Characters that a key may not have become `_`; a short hash of the true text is then added, so that two
    /// databases never share a folder.
    pub fn unconfigured(host_label: &str, database: &str) -> Self {
        let wanted = format!("{host_label}-{database}");
        let cleaned: String = wanted.bytes().map(|b| if plain(b) { char::from(b) } else { '_' }).collect();
        if cleaned == wanted && wanted.len() <= LONGEST && !wanted.starts_with('.') {
            return Self(wanted);
        }
        let hash = hex::encode(&Sha256::digest(wanted.as_bytes())[..4]);
        let kept: String = cleaned.trim_start_matches('.').chars().take(LONGEST - 9).collect();
        Self(format!("{kept}-{hash}"))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DatabaseName {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let good = !text.is_empty() && text.len() <= LONGEST && !text.starts_with('.') && text.bytes().all(plain);
        if good { Ok(Self(text.to_owned())) } else { Err(Error::InvalidDatabaseName(text.to_owned())) }
    }
}

impl TryFrom<String> for DatabaseName {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<DatabaseName> for String {
    fn from(name: DatabaseName) -> String {
        name.0
    }
}

impl fmt::Display for DatabaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Turns a name's bytes as an archive holds them into text, without losing any.
///
/// UTF-8 stays as it is; LATIN1 is decoded; of any other encoding the bytes beyond ASCII are written `\xNN`.
pub fn archive_text(bytes: &[u8], encoding: &str) -> String {
    if let Ok(text) = std::str::from_utf8(bytes)
        && (text.is_ascii() || encoding == "UTF8")
    {
        return text.to_owned();
    }
    if encoding == "LATIN1" {
        return bytes.iter().map(|byte| char::from(*byte)).collect();
    }
    let mut text = String::with_capacity(bytes.len() + 8);
    for byte in bytes {
        if byte.is_ascii() { text.push(char::from(*byte)) } else { text.push_str(&format!("\\x{byte:02x}")) }
    }
    text
}

/// Quotes an identifier for SQL, always with quotes.
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a string for SQL as a literal; `standard_conforming_strings` must be on, as it is by default.
pub fn quote_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_get_folders_of_their_own() {
        let plain = DatabaseName::unconfigured("db1", "shop");
        assert_eq!(plain.as_str(), "db1-shop");
        let slash = DatabaseName::unconfigured("db1", "sh/op");
        let colon = DatabaseName::unconfigured("db1", "sh:op");
        assert_ne!(slash, colon);
        assert!(slash.as_str().starts_with("db1-sh_op-"));
        assert!(slash.as_str().parse::<DatabaseName>().is_ok());
    }

    #[test]
    fn refuses_what_a_key_may_not_hold() {
        for text in ["", ".", "..", ".hidden", "a/b", "a b", "naïve", &"x".repeat(201)] {
            assert!(text.parse::<DatabaseName>().is_err(), "{text}");
        }
    }

    #[test]
    fn decodes_latin1_and_escapes_the_unknown() {
        assert_eq!(archive_text(b"caf\xe9", "LATIN1"), "café");
        assert_eq!(archive_text("café".as_bytes(), "UTF8"), "café");
        assert_eq!(archive_text(b"caf\xe9", "SQL_ASCII"), "caf\\xe9");
        assert_eq!(archive_text(b"caf\xc3\xa9", "LATIN1"), "cafÃ©");
    }
}
