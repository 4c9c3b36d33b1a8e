//! Takes secrets out of the words of a command before they are written into the ledger.

use holdpoint_postgres::ConnectionSettings;
use holdpoint_postgres::connection::Secret;

/// What stands in a secret's place.
const MASK: &str = "***";

/// Parts of names whose value is a secret, in any case: `--db-pass x`, `PGPASSWORD=x`, `?password=x`, `"token": "x"`.
const NAMES: [&str; 11] = [
    "pass",
    "pwd",
    "secret",
    "token",
    "auth",
    "apikey",
    "api_key",
    "api-key",
    "credential",
    "access_key",
    "access-key",
];
/// Endings of names that have a secret after a colon without a blank; `auth:migrate` is a script's name.
const BEFORE_A_COLON: [&str; 7] = ["pass", "password", "passwd", "pwd", "secret", "apikey", "api_key"];
/// Words that are no secret even where they are a password: without them no command could be read.
const WORDS: &str = "postgresql password holdpoint database";
/// Words that stand between `Authorization:` and its secret.
const SCHEMES: [&str; 4] = ["bearer", "basic", "digest", "token"];

/// Secrets that are known by their value, and the rules for those that are not.
pub(crate) struct Mask {
    known: Vec<Secret>,
}

impl Mask {
    /// Knows the passwords of a connection.
    pub(crate) fn of(settings: &ConnectionSettings) -> Self {
        let passwords = settings.servers().iter().filter_map(|server| server.password.as_ref());
        // Masking a short one would make every word unreadable.
        let telling = |secret: &&Secret| secret.expose().len() >= 5 && !WORDS.contains(secret.expose());
        Self { known: passwords.filter(telling).cloned().collect() }
    }

    /// Masks the words of a command.
    pub(crate) fn command(&self, words: &[String]) -> Vec<String> {
        let mut secret_follows = false;
        let mut masked = Vec::with_capacity(words.len());
        for word in words {
            if secret_follows && is_scheme(word) {
                masked.push(word.clone());
                continue;
            }
            if secret_follows && !word.starts_with('-') {
                masked.push(MASK.to_owned());
                secret_follows = false;
                continue;
            }
            let name = word.strip_suffix(':').unwrap_or(word);
            let named = name.len() < word.len() || word.starts_with('-');
            secret_follows = named && is_name(name) && is_secret(name);
            masked.push(self.word(word));
        }
        masked
    }

    /// Masks one word: what follows `NAME=` is the value up to the word's end, whatever is in it. A word with blanks
    /// may be a script, so it is read as a text.
    fn word(&self, word: &str) -> String {
        match word.split_once('=') {
            Some((name, value)) if is_name(name) && is_secret(name) && !value.contains(char::is_whitespace) => {
                format!("{name}={}", if value.is_empty() { "" } else { MASK })
            }
            _ => self.text(word),
        }
    }

    /// Masks a text: known secrets, passwords of URLs, values of secret names.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.known {
            text = secret.masked_in(&text, MASK);
        }
        values(&without_scheme(&urls(&text)))
    }
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mask({} secrets)", self.known.len())
    }
}

fn is_name(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

fn is_secret(name: &str) -> bool {
    let name = name.trim_start_matches('-').to_ascii_lowercase();
    let is_switch = ["no-", "no_", "skip-", "without-"].iter().any(|no| name.starts_with(no));
    // Authors are no secret, and an authorization is one.
    let name = name.replace("authoriz", "auth").replace("author", "");
    !is_switch && NAMES.iter().any(|secret| name.contains(secret))
}

fn is_scheme(word: &str) -> bool {
    SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
}

/// Masks the password in every word `user:password@host/…`, `user:password@tcp(host)/…`, as Go's drivers write it.
fn without_scheme(text: &str) -> String {
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | '=');
    let masked = |word: &str| {
        let tail = word.find(ends).map_or("", |end| &word[end..]);
        let word = &word[..word.len() - tail.len()];
        match (word.find(':'), word.rfind('@')) {
            (Some(colon), Some(sign)) if colon < sign && !word.contains("://") && is_host(&word[sign + 1..]) => {
                format!("{}{MASK}{}{tail}", &word[..=colon], &word[sign..])
            }
            _ => format!("{word}{tail}"),
        }
    };
    text.split_inclusive(ends).map(masked).collect()
}

fn is_host(text: &str) -> bool {
    let length = text.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '.' | '_')).unwrap_or(text.len());
    let (host, rest) = text.split_at(length);
    let dotted = host.contains('.') && host.contains(|c: char| c.is_ascii_alphabetic());
    let port = rest.strip_prefix(':').is_some_and(|port| port.split('/').next().is_some_and(is_number));
    !host.is_empty() && (rest.starts_with(['/', '(']) || port || dotted || host == "localhost")
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
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

/// Masks the value after every secret name: behind `=`, behind `:`, and behind a blank where the name is a flag.
fn values(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(found) = text[from..].find(|c: char| matches!(c, '=' | ':') || c.is_whitespace()) {
        let at = from + found;
        let separator = text[at..].chars().next().unwrap_or(' ');
        let after = at + separator.len_utf8();
        let rest = text[after..].trim_start();
        let length = if introduces(&text[from..at], separator, rest) { value(rest) } else { 0 };
        let start = if length == 0 { after } else { text.len() - rest.len() };
        masked.push_str(&text[from..start]);
        if length > 0 {
            masked.push_str(MASK);
        }
        from = start + length;
    }
    masked.push_str(&text[from..]);
    masked
}

/// Tells whether a secret value comes after the text, the separator, and perhaps blanks.
fn introduces(before: &str, separator: char, rest: &str) -> bool {
    let bare = before.trim_end_matches(['"', '\'', '\\']);
    let quoted = bare.len() < before.len();
    let name = bare.rsplit(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-')).next().unwrap_or("");
    if !is_secret(name) {
        return false;
    }
    let lower = name.to_ascii_lowercase();
    match separator {
        '=' => true,
        ':' if rest.starts_with([':', '/']) => false,
        ':' => {
            quoted
                || name.starts_with('-')
                || BEFORE_A_COLON.iter().any(|end| lower.ends_with(end))
                || lower.ends_with("authorization")
        }
        // SQL's PASSWORD 'x'.
        _ if rest.starts_with('\'') && lower.ends_with("password") => true,
        _ => name.starts_with('-') && !rest.starts_with(['-', '=', ':']),
    }
}

/// How many bytes of a text are the value that it begins with: quoted as shells, SQL or JSON do, or a word.
fn value(text: &str) -> usize {
    let word = |text: &str| {
        let ends = |c: char| c.is_whitespace() || matches!(c, '&' | ';' | '"' | '\'' | '\\');
        text.find(ends).unwrap_or(text.len())
    };
    // JSON within a quoted word of a shell.
    let opener = &text[..text.len() - text.trim_start_matches('\\').len()];
    let inner = &text[opener.len()..];
    if !opener.is_empty() && inner.starts_with(['"', '\'']) {
        let close = format!("{opener}{}", &inner[..1]);
        return inner[1..].find(&close).map_or(text.len(), |end| opener.len() + 1 + end + close.len());
    }
    let mut length = 0;
    loop {
        let rest = &text[length..];
        let mut chars = rest.chars();
        match chars.next() {
            Some(quote @ ('"' | '\'')) if length == 0 || text[..length].ends_with('\'') => {
                length += closed(rest, quote);
            }
            Some('\\') => length += 1 + chars.next().map_or(0, char::len_utf8),
            _ => {
                let next = word(rest);
                let done = &rest[..next];
                length += next;
                let blanks = text[length..].len() - text[length..].trim_start().len();
                if is_scheme(done) && blanks > 0 {
                    length += blanks;
                    continue;
                }
            }
        }
        let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '\\' | '$' | '_');
        if !text[length..].starts_with(goes_on) && !text[..length].ends_with("\\'") {
            return length;
        }
    }
}

/// How many bytes a quoted text takes, with its quotes; all of it where it is not closed.
fn closed(text: &str, quote: char) -> usize {
    let mut escaped = true;
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn secrets_in_every_usual_place_go() {
        let mask = Mask { known: vec![Secret::new("known/secret")] };
        for (given, expected) in [
            ("psql postgres://ann:hush@h/db", "psql postgres://ann:***@h/db"),
            ("psql postgres://ann:hu@sh@h/db?x=1", "psql postgres://ann:***@h/db?x=1"),
            ("migrate --password=hush up", "migrate --password=*** up"),
            ("migrate --db-password hush up", "migrate --db-password *** up"),
            ("migrate --password --force up", "migrate --password --force up"),
            ("env PGPASSWORD=hush psql", "env PGPASSWORD=*** psql"),
            ("flyway -Dflyway.password=hush", "flyway -Dflyway.password=***"),
            ("x API_KEY=a;b&c", "x API_KEY=***"),
            ("psql host=h\u{a0}password='two'", "psql host=h\u{a0}password=***"),
            ("a known/secret b known%2fsecret", "a *** b ***"),
            ("psql -c select=1 --file=x.sql", "psql -c select=1 --file=x.sql"),
            ("tool --token=", "tool --token="),
            ("tool --db-pass hush up", "tool --db-pass *** up"),
            ("tool -token hush up", "tool -token *** up"),
            ("tool --auth=hush up", "tool --auth=*** up"),
            ("tool --password:hush up", "tool --password:*** up"),
            ("tool --pwd hush PWD=hush DB_PASS=hush", "tool --pwd *** PWD=*** DB_PASS=***"),
            ("curl -H Authorization: Bearer hush x", "curl -H Authorization: Bearer *** x"),
            ("goose mysql ann:hu@sh@tcp(h:1)/db", "goose mysql ann:***@tcp(h:1)/db"),
            ("goose ann:hush@db.example.com:5432/shop", "goose ann:***@db.example.com:5432/shop"),
            ("goose --dsn=ann:hush@localhost", "goose --dsn=ann:***@localhost"),
            ("npm run auth:migrate --author ann", "npm run auth:migrate --author ann"),
            ("psql --no-password shop db:migrate", "psql --no-password shop db:migrate"),
            ("docker run image:tag@sha256:0a git@h.example:x", "docker run image:tag@sha256:0a git@h.example:x"),
        ] {
            assert_eq!(mask.command(&words(given)).join(" "), expected);
        }
    }

    #[test]
    fn a_shell_command_in_one_word_is_masked_too() {
        let mask = Mask { known: Vec::new() };
        let given = "PGPASSWORD='a b' psql -c 'select 1' && curl https://u:p@h/x";
        assert_eq!(mask.text(given), "PGPASSWORD=*** psql -c 'select 1' && curl https://u:***@h/x");
        for (given, expected) in [
            (r#"curl -d '{"password":"hu sh", "x": 1}' h"#, r#"curl -d '{"password":***, "x": 1}' h"#),
            (r#"curl -d "{\"token\": \"hu sh\"}""#, r#"curl -d "{\"token\": ***}""#),
            ("curl -H 'Authorization: Bearer hush' h", "curl -H 'Authorization: ***' h"),
            ("password: hush, x", "password: *** x"),
            ("migrate --db-pass hush && x", "migrate --db-pass *** && x"),
            ("psql -c \"ALTER ROLE a PASSWORD 'hu sh'\"", "psql -c \"ALTER ROLE a PASSWORD ***\""),
            (r"PGPASSWORD='hu'\''sh sh' psql", "PGPASSWORD=*** psql"),
            ("a::pass::b tokens https://pass://x", "a::pass::b tokens https://pass://x"),
        ] {
            assert_eq!(mask.text(given), expected);
        }
        assert!(!format!("{:?}", Mask { known: vec![Secret::new("hush-hush")] }).contains("hush"));
    }
}
