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
        wanted.parse().unwrap_or_else(|_| Self::in_place_of(&wanted))
    }

    /// Makes the name under which a text is told of that cannot be one itself; each has its own.
    pub fn in_place_of(text: &str) -> Self {
        let cleaned: String = text.bytes().map(|b| if plain(b) { char::from(b) } else { '_' }).collect();
        let hash = hex::encode(&Sha256::digest(text.as_bytes())[..4]);
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
/// `encoding` is a server encoding as PostgreSQL names it. UTF-8 stays as it is; encodings of which the tables are known
/// are decoded; of any other, and of text that is not in its encoding, the bytes beyond ASCII are written `\xNN`.
pub fn archive_text(bytes: &[u8], encoding: &str) -> String {
    if let Some(text) = decoded_text(bytes, encoding) {
        return text;
    }
    let mut text = String::with_capacity(bytes.len() + 8);
    for byte in bytes {
        if byte.is_ascii() { text.push(char::from(*byte)) } else { text.push_str(&format!("\\x{byte:02x}")) }
    }
    text
}

/// Tells whether a name that an archive holds can be said in UTF-8, so that a session of ours can name it.
pub fn is_decodable(bytes: &[u8], encoding: &str) -> bool {
    decoded_text(bytes, encoding).is_some()
}

/// Decodes a name's bytes; `None` where they are not in their encoding, or its tables are not known.
pub fn decoded_text(bytes: &[u8], encoding: &str) -> Option<String> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && (text.is_ascii() || encoding == "UTF8")
    {
        return Some(text.to_owned());
    }
    if encoding == "LATIN1" {
        return Some(bytes.iter().map(|byte| char::from(*byte)).collect());
    }
    let text = encoding_named(encoding)?.decode_without_bom_handling_and_without_replacement(bytes)?;
    Some(text.into_owned())
}

/// The decoder of a server encoding (PostgreSQL's documentation, "Character Set Support").
///
/// Where it is of a superset, such as windows-1254 for LATIN5, what PostgreSQL accepts as letters decodes alike.
fn encoding_named(name: &str) -> Option<&'static encoding_rs::Encoding> {
    Some(match name {
        "WIN1250" => encoding_rs::WINDOWS_1250,
        "WIN1251" => encoding_rs::WINDOWS_1251,
        "WIN1252" => encoding_rs::WINDOWS_1252,
        "WIN1253" => encoding_rs::WINDOWS_1253,
        "WIN1254" | "LATIN5" => encoding_rs::WINDOWS_1254,
        "WIN1255" => encoding_rs::WINDOWS_1255,
        "WIN1256" => encoding_rs::WINDOWS_1256,
        "WIN1257" => encoding_rs::WINDOWS_1257,
        "WIN1258" => encoding_rs::WINDOWS_1258,
        "WIN866" => encoding_rs::IBM866,
        "WIN874" => encoding_rs::WINDOWS_874,
        "KOI8R" => encoding_rs::KOI8_R,
        "KOI8U" => encoding_rs::KOI8_U,
        "LATIN2" => encoding_rs::ISO_8859_2,
        "LATIN3" => encoding_rs::ISO_8859_3,
        "LATIN4" => encoding_rs::ISO_8859_4,
        "LATIN6" => encoding_rs::ISO_8859_10,
        "LATIN7" => encoding_rs::ISO_8859_13,
        "LATIN8" => encoding_rs::ISO_8859_14,
        "LATIN9" => encoding_rs::ISO_8859_15,
        "LATIN10" => encoding_rs::ISO_8859_16,
        "ISO_8859_5" => encoding_rs::ISO_8859_5,
        "ISO_8859_6" => encoding_rs::ISO_8859_6,
        "ISO_8859_7" => encoding_rs::ISO_8859_7,
        "ISO_8859_8" => encoding_rs::ISO_8859_8,
        "EUC_JP" => encoding_rs::EUC_JP,
        "EUC_KR" => encoding_rs::EUC_KR,
        "EUC_CN" => encoding_rs::GBK,
        _ => return None,
    })
}

/// Tells how unlike two names are: how many letters to change, add, leave out or swap turn one into the other.
pub fn unlikeness(one: &str, other: &str) -> usize {
    strsim::damerau_levenshtein(one, other)
}

/// Quotes an identifier for SQL, always with quotes.
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a string for SQL as a literal, whatever `standard_conforming_strings` says, as libpq's `PQescapeLiteral` does.
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if text.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
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
        for text in ["", "..", "a b", "naïve", &"x".repeat(300), slash.as_str()] {
            let name = DatabaseName::in_place_of(text);
            assert_eq!(name.as_str().parse::<DatabaseName>().unwrap(), name);
            assert_ne!(name, DatabaseName::in_place_of("a_b"));
        }
    }

    #[test]
    fn literals_mean_the_same_under_every_setting() {
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal(r"\'; DROP"), r"E'\\''; DROP'");
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

    #[test]
    fn decodes_the_encodings_it_knows_and_loses_nothing_of_the_others() {
        for (bytes, encoding, text) in [
            (&b"\xe7\xe0\xea\xe0\xe7\xfb"[..], "WIN1251", "заказы"),
            (b"\xda\xc1\xcb\xc1\xda\xd9", "KOI8R", "заказы"),
            (b"\xa7\xa0\xaa\xa0\xa7\xeb", "WIN866", "заказы"),
            (b"\xd7\xd0\xda\xd0\xd7\xeb", "ISO_8859_5", "заказы"),
            (b"\x80uro", "WIN1252", "€uro"),
            (b"\xa4uro", "LATIN9", "€uro"),
            (b"\xb1\xb6", "LATIN2", "ąś"),
            (b"\xfe\xf0", "LATIN5", "şğ"),
            (b"\xc3\xed\xca\xb8", "EUC_JP", "注文"),
            (b"\xc1\xd6\xb9\xae", "EUC_KR", "주문"),
            (b"\xb6\xa9\xb5\xa5", "EUC_CN", "订单"),
            (b"a\xff", "EUC_JP", "a\\xff"),
            (b"a\x80", "EUC_TW", "a\\x80"),
            // Valid UTF-8 by chance, but the archive says what it is.
            (b"\xc3\xa9", "WIN1251", "Г©"),
        ] {
            assert_eq!(archive_text(bytes, encoding), text, "{encoding}");
        }
    }
}
