//! Random names: for temporary files, and to know one's own writes again.

use crate::error::{Error, Result};

/// Sixteen random bytes in hexadecimal.
pub(crate) fn nonce() -> Result<String> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|source| Error::Io {
        action: "draw",
        key: "a random name".to_owned(),
        attempts: 0,
        source: source.into(),
    })?;
    Ok(hex::encode(bytes))
}
