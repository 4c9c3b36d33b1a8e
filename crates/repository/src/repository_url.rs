//! Where a repository is: `file:///directory` or `s3://bucket/prefix`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};
use crate::key::check_key;

/// The place of a repository.
///
/// Two forms exist: `file:///absolute/directory` and `s3://bucket[/prefix]`. Credentials never stand in it: a URL with
/// user information is refused, and the refusal does not repeat it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RepositoryUrl {
    /// A directory of this machine.
    Directory(PathBuf),
    /// A bucket and a prefix in it.
    Bucket {
        /// The bucket's name.
        bucket: String,
        /// The prefix without slashes at its ends; empty for the bucket's root.
        prefix: String,
    },
}

impl RepositoryUrl {
    /// Tells whether the repository is on this machine's own disk.
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Directory(_))
    }

    /// The directory of a local repository.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::Directory(path) => Some(path),
            Self::Bucket { .. } => None,
        }
    }

    /// The full URL of an object in the repository, as a person gives it to other programs.
    #[must_use]
    pub fn object(&self, key: &str) -> String {
        format!("{self}/{key}")
    }
}

impl FromStr for RepositoryUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fail = |reason: &str| Err(Error::InvalidUrl { url: without_user(text), reason: reason.to_owned() });
        if text.starts_with('/') || text.starts_with('.') {
            return fail("write a local directory as file:///directory");
        }
        let Some(url) = url::Url::parse(text).ok().filter(|_| text.contains("://")) else {
            return fail("expected file:///directory or s3://bucket/prefix");
        };
        if !url.username().is_empty() || url.password().is_some() {
            return fail("credentials do not belong into the url; use a profile or the environment");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return fail("settings do not belong into the url; use the configuration");
        }
        match url.scheme() {
            "file" => match url.to_file_path() {
                Ok(path) if path.parent().is_some() => Ok(Self::Directory(path)),
                Ok(_) => fail("the root directory cannot be a repository"),
                Err(()) => fail("a local repository has three slashes: file:///directory"),
            },
            "s3" => {
                // The scheme is not a web one, so the host keeps its case and the path its escapes.
                let rest = text.get("s3://".len()..).unwrap_or_default();
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
                if !(3..=255).contains(&bucket.len()) || !bucket.bytes().all(plain) {
                    return fail("the bucket's name has 3 to 255 letters, digits, dots, hyphens or underscores");
                }
                let prefix = prefix.trim_end_matches('/');
                if !prefix.is_empty() && check_key(prefix).is_err() {
                    return fail(
                        "the prefix has letters, digits, dots, hyphens and underscores between single slashes",
                    );
                }
                Ok(Self::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
            }
            _ => fail("expected file:///directory or s3://bucket/prefix"),
        }
    }
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => match url::Url::from_file_path(path) {
                Ok(url) => f.write_str(url.as_str().trim_end_matches('/')),
                Err(()) => write!(f, "file://{}", path.display()),
            },
            Self::Bucket { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::Bucket { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

impl Serialize for RepositoryUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RepositoryUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Takes everything before the last `@` of the authority out, so that an error never shows a password.
fn without_user(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.rsplit_once('@').map_or_else(|| text.to_owned(), |(_, shown)| format!("…@{shown}"));
    };
    match rest.rsplit_once('@') {
        Some((_, shown)) => format!("{scheme}://…@{shown}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RepositoryUrl> {
        text.parse()
    }

    #[test]
    fn reads_both_forms_and_writes_them_back() -> Result<()> {
        for text in ["file:///var/backups", "s3://acme-backups/pg/prod", "s3://acme.backups", "file:///a%20b/c"] {
            assert_eq!(parse(text)?.to_string(), text);
        }
        assert_eq!(parse("file:///a%20b/")?.directory(), Some(Path::new("/a b")));
        assert_eq!(parse("s3://Bucket-1/p/")?, RepositoryUrl::Bucket { bucket: "Bucket-1".into(), prefix: "p".into() });
        assert_eq!(parse("s3://bbb/p")?.object("x/y"), "s3://bbb/p/x/y");
        Ok(())
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "backups",
            "/var/backups",
            "./x",
            "file://relative/x",
            "file:///",
            "s3://",
            "s3://ab",
            "s3:bucket",
            "s3:///x",
            "s3://bucket//x",
            "s3://bucket/../x",
            "s3://bucket/ä",
            "http://host/x",
            "s3://bucket?region=x",
            "s3://bucket/x#y",
            "s3://bucket:9000/x",
        ] {
            assert!(matches!(parse(text), Err(Error::InvalidUrl { .. })), "{text} was taken");
        }
    }

    #[test]
    fn a_refusal_never_shows_a_password() {
        for text in ["s3://key:hush@bucket/x", "s3://key:hu@sh@bucket", "http://a:hush@h/"] {
            let error = parse(text).map(|u| u.to_string()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("sh@"), "{error}");
        }
    }
}
