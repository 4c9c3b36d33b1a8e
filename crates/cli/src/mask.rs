//! Takes secrets out of texts for people: the last net, after every place that should not have let them in.

use holdpoint_postgres::connection::Secret;

/// What stands in a secret's place.
const MASK: &str = "***";
/// Parameters whose value is a secret, as in connection strings and URLs.
const NAMES: [&str; 6] =
    ["password=", "sslpassword=", "pgpassword=", "secret_access_key=", "session_token=", "aws_secret_access_key="];

/// Words that are no secret even where they are a password: without them no message could be read.
const WORDS: &str = "postgresql password holdpoint database";

/// Secrets that are known by their value.
#[derive(Clone, Default)]
pub(crate) struct Mask {
    secrets: Vec<Secret>,
}

impl Mask {
    /// Collects known secrets. Short ones are left out: masking `a` would make every message unreadable.
    pub(crate) fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut mask = Self::default();
        mask.learn(secrets);
        mask
    }

    /// Adds secrets that became known later.
    pub(crate) fn learn(&mut self, secrets: impl IntoIterator<Item = String>) {
        let telling = |secret: &String| secret.len() >= 6 && !WORDS.contains(secret.as_str());
        self.secrets.extend(secrets.into_iter().filter(telling).map(Secret::new));
        // The longest first, so that a secret that contains another goes whole.
        self.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        self.secrets.dedup();
    }

    /// Returns the text with known secrets, passwords of URLs and values of secret parameters masked.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            text = secret.masked_in(&text, MASK);
        }
        parameters(&urls(&text))
    }
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mask({} secrets)", self.secrets.len())
    }
}

/// Gives the password in a URL, as written and decoded; nothing where the text is none or has none.
pub(crate) fn passwords(url: &str) -> Vec<String> {
    let after = url.split_once("://").map_or("", |(_, after)| after);
    let user = after.rsplit_once('@').map_or("", |(user, _)| user);
    let Some((_, raw)) = user.split_once(':') else { return Vec::new() };
    let decoded = percent_encoding::percent_decode_str(raw).decode_utf8_lossy().into_owned();
    vec![raw.to_owned(), decoded]
}

/// Masks the password in every `scheme://user:password@host`. A password may hold an `@` that nobody encoded, so the
/// last one before a blank or quote counts.
fn urls(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        masked.push_str(before);
        let end =
            after.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>')).unwrap_or(after.len());
        // A second URL in the same word starts its own user part.
        let end = after[..end].find("://").unwrap_or(end);
        let word = &after[..end];
        match (word.find(':'), word.rfind('@')) {
            (Some(colon), Some(sign)) if colon < sign => {
                masked.push_str(&word[..=colon]);
                masked.push_str(MASK);
                masked.push_str(&word[sign..]);
            }
            _ => masked.push_str(word),
        }
        rest = &after[end..];
    }
    masked.push_str(rest);
    masked
}

fn parameters(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut masked = String::with_capacity(text.len());
    let mut from = 0;
    while let Some((start, name)) = NAMES.iter().filter_map(|name| Some((from + lower[from..].find(name)?, name))).min()
    {
        let value = start + name.len();
        masked.push_str(&text[from..value]);
        let rest = &text[value..];
        let length = match rest.chars().next() {
            Some(quote @ ('\'' | '"')) => rest[1..].find(quote).map_or(rest.len(), |end| end + 2),
            _ => rest.find(|c: char| c.is_whitespace() || matches!(c, '&' | '"' | '\'' | '`')).unwrap_or(rest.len()),
        };
        if length > 0 {
            masked.push_str(MASK);
        }
        from = value + length;
    }
    masked.push_str(&text[from..]);
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_urls_go() {
        let mask = Mask::default();
        for (text, masked) in [
            ("postgresql://ann:hush@h/db", "postgresql://ann:***@h/db"),
            ("at 'postgres://ann:hu@sh@h/db?x=1'.", "at 'postgres://ann:***@h/db?x=1'."),
            ("postgresql://ann@h:5432/db", "postgresql://ann@h:5432/db"),
            ("s3://k:s@b and file:///x:1/y", "s3://k:***@b and file:///x:1/y"),
            ("postgres://:hush@h", "postgres://:***@h"),
            ("no url: a@b", "no url: a@b"),
        ] {
            assert_eq!(mask.text(text), masked);
        }
    }

    #[test]
    fn values_of_secret_parameters_go() {
        let mask = Mask::default();
        for (text, masked) in [
            ("host=h password=hush user=u", "host=h password=*** user=u"),
            ("password='two words' x", "password=*** x"),
            ("?user=u&Password=hush&x=1", "?user=u&Password=***&x=1"),
            ("PGPASSWORD=hush pg_dump", "PGPASSWORD=*** pg_dump"),
            ("password=", "password="),
            ("password='open", "password=***"),
        ] {
            assert_eq!(mask.text(text), masked);
        }
    }

    #[test]
    fn the_password_of_a_url_is_known_as_written_and_decoded() {
        assert_eq!(passwords("postgresql://ann:hu%40shhush@h/db"), ["hu%40shhush", "hu@shhush"]);
        assert!(passwords("postgresql://ann@h/db").is_empty() && passwords("plain").is_empty());
        let mask = Mask::new(passwords("postgresql://ann:hu%40shhush@h/db"));
        assert_eq!(mask.text("hu%40shhush hu@shhush h%75@shhush"), "*** *** ***");
        assert_eq!(Mask::new(passwords("postgres://a:postgres@h")).text("postgres here"), "postgres here");
    }

    #[test]
    fn known_secrets_go_wherever_they_stand() {
        let mask = Mask::new(["hunter2x".to_owned(), "hunter2xlonger".to_owned(), "ab".to_owned()]);
        assert_eq!(mask.text("a hunter2xlonger, a hunter2x, ab"), "a ***, a ***, ab");
        assert!(!format!("{mask:?}").contains("hunter"));
    }
}
