//! Takes secrets out of the words of a command before they are written into the ledger.

use holdpoint_postgres::ConnectionSettings;

/// What stands in a secret's place.
const MASK: &str = "***";

/// Names whose value is a secret, in any case: `--password=x`, `PGPASSWORD=x`, `-Ddb.password=x`, `?password=x`.
const NAMES: [&str; 8] = ["password", "passwd", "passphrase", "secret", "token", "api_key", "api-key", "access_key"];

/// Secrets that are known by their value, and the rules for those that are not.
pub(crate) struct Mask {
    known: Vec<String>,
}

impl Mask {
    /// Knows the passwords of a connection.
    pub(crate) fn of(settings: &ConnectionSettings) -> Self {
        let passwords = settings.servers().iter().filter_map(|server| server.password.as_ref());
        // Masking a short one would make every word unreadable.
        let known = passwords.map(|secret| secret.expose().to_owned()).filter(|secret| secret.len() >= 5).collect();
        Self { known }
    }

    /// Masks the words of a command.
    pub(crate) fn command(&self, words: &[String]) -> Vec<String> {
        let mut secret_follows = false;
        let mut masked = Vec::with_capacity(words.len());
        for word in words {
            if secret_follows && !word.starts_with('-') {
                masked.push(MASK.to_owned());
                secret_follows = false;
                continue;
            }
            secret_follows = word.starts_with("--") && !word.contains('=') && is_secret(word);
            masked.push(self.text(word));
        }
        masked
    }

    /// Masks a text: known secrets, passwords of URLs, values of secret names.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.known {
            text = text.replace(secret, MASK);
        }
        values(&urls(&text))
    }
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mask({} secrets)", self.known.len())
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    NAMES.iter().any(|secret| name.ends_with(secret))
}

/// Masks the password of every `scheme://user:password@host`; the last `@` counts, since many forget to encode one.
fn urls(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        masked.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>'));
        let end = end.unwrap_or(after.len());
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

/// Masks the value after every `name=` whose name ends like a secret's.
fn values(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('=') {
        let (name, value) = (&rest[..at], &rest[at + 1..]);
        masked.push_str(name);
        masked.push('=');
        let last = name.rsplit(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-')).next().unwrap_or("");
        if !is_secret(last) {
            rest = value;
            continue;
        }
        let end = match value.chars().next() {
            Some(quote @ ('\'' | '"')) => value[1..].find(quote).map_or(value.len(), |end| end + 2),
            _ => value.find(|c: char| c.is_whitespace() || matches!(c, '&' | ';' | '"' | '\'')).unwrap_or(value.len()),
        };
        if end > 0 {
            masked.push_str(MASK);
        }
        rest = &value[end..];
    }
    masked.push_str(rest);
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn secrets_in_every_usual_place_go() {
        let mask = Mask { known: vec!["known-secret".to_owned()] };
        for (given, expected) in [
            ("psql postgres://ann:hush@h/db", "psql postgres://ann:***@h/db"),
            ("psql postgres://ann:hu@sh@h/db?x=1", "psql postgres://ann:***@h/db?x=1"),
            ("migrate --password=hush up", "migrate --password=*** up"),
            ("migrate --db-password hush up", "migrate --db-password *** up"),
            ("migrate --password --force up", "migrate --password --force up"),
            ("env PGPASSWORD=hush psql", "env PGPASSWORD=*** psql"),
            ("flyway -Dflyway.password=hush", "flyway -Dflyway.password=***"),
            ("x API_KEY=a;b", "x API_KEY=***;b"),
            ("psql host=h\u{a0}password='two'", "psql host=h\u{a0}password=***"),
            ("a known-secret b", "a *** b"),
            ("psql -c select=1 --file=x.sql", "psql -c select=1 --file=x.sql"),
            ("tool --token=", "tool --token="),
        ] {
            assert_eq!(mask.command(&words(given)).join(" "), expected);
        }
    }

    #[test]
    fn a_shell_command_in_one_word_is_masked_too() {
        let mask = Mask { known: Vec::new() };
        let given = "PGPASSWORD='a b' psql -c 'select 1' && curl https://u:p@h/x";
        assert_eq!(mask.text(given), "PGPASSWORD=*** psql -c 'select 1' && curl https://u:***@h/x");
        assert!(!format!("{:?}", Mask { known: vec!["hush-hush".into()] }).contains("hush"));
    }
}
