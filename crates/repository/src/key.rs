//! The plain form of keys that every store takes, so that no adapter has to escape.

use crate::error::{Error, Result};

/// The longest segment of a key. File systems and some stores stop at 255 bytes; the rest is for the temporary names
/// of the local directory.
pub const MAX_SEGMENT_BYTES: usize = 200;

/// The longest key, prefix included (S3 stops at 1024 bytes).
pub const MAX_KEY_BYTES: usize = 1000;

/// Names that begin so belong to the local directory's own temporary files.
pub(crate) const RESERVED: &str = ".holdpoint-";

/// Checks that `key` names an object: segments of `[A-Za-z0-9._-]`, none empty, `.`, `..` or longer than
/// [`MAX_SEGMENT_BYTES`], parted by `/`.
///
/// # Errors
/// [`Error::InvalidKey`] with the broken rule.
pub fn check_key(key: &str) -> Result<()> {
    let fail = |reason| Err(Error::InvalidKey { key: key.to_owned(), reason });
    if key.is_empty() {
        return fail("is empty");
    }
    if key.len() > MAX_KEY_BYTES {
        return fail("is longer than 1000 bytes");
    }
    for segment in key.split('/') {
        if segment.is_empty() {
            return fail("has an empty segment");
        }
        if segment == "." || segment == ".." {
            return fail("has a segment . or ..");
        }
        if segment.len() > MAX_SEGMENT_BYTES {
            return fail("has a segment longer than 200 bytes");
        }
        if segment.starts_with(RESERVED) {
            return fail("has a reserved segment");
        }
        if !segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
            return fail("has a character other than letters, digits, dot, underscore and hyphen");
        }
    }
    Ok(())
}

/// Checks that `prefix` is empty or a key followed by `/`.
///
/// # Errors
/// [`Error::InvalidKey`] with the broken rule.
pub fn check_prefix(prefix: &str) -> Result<()> {
    if prefix.is_empty() {
        return Ok(());
    }
    match prefix.strip_suffix('/') {
        Some(key) => check_key(key),
        None => Err(Error::InvalidKey { key: prefix.to_owned(), reason: "is a prefix that does not end in /" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_plain_keys_only() {
        for good in ["holdpoint.json", "shop/restore-points/20261121T024300Z-k3f9/archive.dump", "a-b/c_d/e.f"] {
            assert!(check_key(good).is_ok(), "{good}");
        }
        let long = "x".repeat(201);
        for bad in ["", "/a", "a/", "a//b", "a/./b", "../a", "a b", "ä", "a%2f", "a\\b", ".holdpoint-upload-1", &long]
        {
            assert!(check_key(bad).is_err(), "{bad}");
        }
        assert!(check_key(&["y"; 600].join("/")).is_err());
    }

    #[test]
    fn prefixes_end_in_a_slash() {
        assert!(check_prefix("").is_ok());
        assert!(check_prefix("a/b/").is_ok());
        assert!(check_prefix("a/b").is_err());
        assert!(check_prefix("/").is_err());
    }
}
