//! Names from databases that do not say how they are encoded.

use std::error::Error;

use tokio_postgres::types::{FromSql, Type};

/// A name or text for people to read; bytes that are not UTF-8 (SQL_ASCII databases) become `\u{fffd}`.
///
/// Never used where the name goes back to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lossy(
    /// The text.
    pub String,
);

impl<'a> FromSql<'a> for Lossy {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(String::from_utf8_lossy(raw).into_owned()))
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::TEXT | Type::NAME | Type::VARCHAR)
    }
}
