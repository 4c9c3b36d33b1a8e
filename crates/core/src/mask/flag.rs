//! Secrets that short flags of known programs hold: `curl -u name:secret`, `mysql -psecret`, `-H 'X-Api-Key: secret'`.
//!
//! Which flags hold one depends on the program, whose name is any word before: `env X=1 sudo curl …` is still curl.

use super::MASK;
use super::value::is_secret;

/// Programs that take `name:secret` after `-u`, together with the flag or not.
const OF_HTTP: [&str; 4] = ["curl", "wget", "http", "https"];
/// Programs that take a password after `-p`, together with the flag or not; psql takes a port, which is a number.
const OF_DATABASES: [&str; 12] = [
    "psql",
    "pgcli",
    "usql",
    "mysql",
    "mysqldump",
    "mysqladmin",
    "mariadb",
    "mariadb-dump",
    "mycli",
    "mongo",
    "mongosh",
    "sshpass",
];
/// Those among them that take a port after `-p`.
const WITH_PORTS: [&str; 3] = ["psql", "pgcli", "usql"];
/// Flags of any program that take `name:secret`.
const PAIRS: [&str; 4] = ["-u", "--user", "--proxy-user", "--username"];
/// Headers whose value is a secret and whose name does not say so.
const HEADERS: [&str; 2] = ["cookie", "set-cookie"];

/// What is known from the words before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    http: bool,
    databases: bool,
    /// What follows `-p` may be a port.
    ports: bool,
    redis: bool,
    /// `-W` asks for a password.
    asks: bool,
    follows: Option<Follows>,
}

/// What the next word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Follows {
    Pair,
    Header,
    Password,
}

impl Flags {
    /// Takes the next word; gives it masked where such a flag lets it be a secret.
    pub(super) fn word(&mut self, word: &str) -> Option<String> {
        match self.follows.take() {
            Some(Follows::Pair) => return pair(word),
            Some(Follows::Header) => return header(word),
            Some(Follows::Password) if self.is_password(word) => return Some(MASK.to_owned()),
            Some(Follows::Password) | None => {}
        }
        let name = word.rsplit('/').next().unwrap_or(word);
        self.http |= OF_HTTP.contains(&name);
        self.databases |= OF_DATABASES.contains(&name);
        self.ports |= WITH_PORTS.contains(&name);
        self.asks |= WITH_PORTS.contains(&name) || name.starts_with("pg_");
        self.redis |= name == "redis-cli";
        self.follows = match word {
            "-H" | "--header" => Some(Follows::Header),
            "-U" if self.http => Some(Follows::Pair),
            "-p" if self.databases => Some(Follows::Password),
            "-a" if self.redis => Some(Follows::Password),
            // PostgreSQL's own programs ask for it at the terminal: there the flag takes no value.
            "-W" if !self.asks => Some(Follows::Password),
            word if PAIRS.contains(&word) => Some(Follows::Pair),
            _ => None,
        };
        if self.follows.is_some() {
            return None;
        }
        let within = |begin: &str| word.strip_prefix(begin).filter(|rest| !rest.is_empty());
        if let Some(rest) = PAIRS.iter().find_map(|flag| within(flag)?.strip_prefix('=')) {
            return pair(rest).map(|masked| format!("{}{masked}", &word[..word.len() - rest.len()]));
        }
        if let Some(rest) = within("-H").or_else(|| within("--header=")).filter(|_| self.http) {
            return header(rest).map(|masked| format!("{}{masked}", &word[..word.len() - rest.len()]));
        }
        if let Some(rest) = within("-u").filter(|_| self.http) {
            return pair(rest).map(|masked| format!("-u{masked}"));
        }
        let password = within("-p").filter(|_| self.databases).or_else(|| within("-a").filter(|_| self.redis));
        password.filter(|rest| self.is_password(rest)).map(|_| format!("{}{MASK}", &word[..2]))
    }

    /// Whether what follows a password's flag is one: neither another flag nor, where that may be, a port.
    fn is_password(&self, word: &str) -> bool {
        let is_port = self.ports && word.bytes().all(|byte| byte.is_ascii_digit());
        !word.is_empty() && !word.starts_with('-') && !is_port
    }
}

/// `name:secret`; a user's and a group's number are no such pair, and addresses are masked elsewhere.
fn pair(word: &str) -> Option<String> {
    let (name, secret) = word.split_once(':')?;
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let open = name.len() - name.trim_start_matches(['"', '\'']).len();
    let numbers = number(&name[open..]) && number(secret);
    let is_address = secret.starts_with("//");
    (!secret.is_empty() && !is_address && !numbers).then(|| format!("{name}:{MASK}{}", closing(word, open)))
}

/// `Name: secret`.
fn header(word: &str) -> Option<String> {
    let (name, value) = word.split_once(':')?;
    let open = name.len() - name.trim_start_matches(['"', '\'']).len();
    let bare = name[open..].to_ascii_lowercase();
    let holds = is_secret(&bare) || HEADERS.contains(&bare.as_str());
    (holds && !value.trim().is_empty()).then(|| format!("{name}: {MASK}{}", closing(word, open)))
}

/// The quote that ends a word which begins with one.
fn closing(word: &str, open: usize) -> &str {
    let quote = &word[..open];
    if !quote.is_empty() && word.len() > open && word.ends_with(quote) { quote } else { "" }
}

/// Masks such flags in a text of a shell; its words end at blanks outside of quotes.
pub(super) fn flags(text: &str) -> String {
    let mut flags = Flags::default();
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let blanks = rest.len() - rest.trim_start().len();
        masked.push_str(&rest[..blanks]);
        rest = &rest[blanks..];
        let word = &rest[..word_end(rest)];
        masked.push_str(&flags.word(word).unwrap_or_else(|| word.to_owned()));
        rest = &rest[word.len()..];
    }
    masked
}

/// Where the word ends that a text begins with. A quote inside of a word, as an apostrophe in prose, opens nothing.
fn word_end(text: &str) -> usize {
    let blank = |text: &str| text.find(char::is_whitespace).unwrap_or(text.len());
    match text.chars().next() {
        Some(quote @ ('"' | '\'')) => match text[1..].find(quote) {
            Some(end) => end + 2 + blank(&text[end + 2..]),
            None => blank(text),
        },
        _ => blank(text),
    }
}
