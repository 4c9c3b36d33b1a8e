//! Takes secrets out of texts that people or records get to see: the last net, after every place that should not have
//! let them in.
//!
//! Two kinds of text, two rules. A *message* is our own or a program's prose, which must stay readable: known secrets,
//! passwords of URLs and values of secret parameters go. A *command* is what somebody typed, where any flag may hold a
//! secret: what merely looks like one goes too.

mod address;
mod flag;
mod shape;
mod statement;
mod value;

use crate::Secret;
pub use statement::{shadow, statement};

use address::{open_address, urls, without_scheme};
use flag::{Flags, flags};
use shape::{is_of_key, key_end, may_hold_shape, open_token, opens_key, shapes};
use value::{Introduction, is_name, is_scheme, is_secret, values};

/// What stands in a secret's place.
const MASK: &str = "***";
/// Masking a shorter one would make every text unreadable.
const SHORTEST: usize = 5;
/// Words that are no secret even where they are a password: without them no text could be read.
const WORDS: &str = "postgresql password holdpoint database";

/// Bytes within which the end of a private key is looked for.
pub const LONGEST_KEY: usize = shape::LONGEST_KEY;

/// Secrets that are known by their value, and the rules for those that are not.
#[derive(Clone, Default)]
pub struct Mask {
    known: Vec<Secret>,
}

impl Mask {
    /// Collects known secrets. Short ones and everyday words are left out.
    #[must_use]
    pub fn new(secrets: impl IntoIterator<Item = impl Into<Secret>>) -> Self {
        let mut mask = Self::default();
        mask.learn(secrets);
        mask
    }

    /// Adds secrets that became known later.
    pub fn learn(&mut self, secrets: impl IntoIterator<Item = impl Into<Secret>>) {
        let telling = |secret: &Secret| secret.expose().len() >= SHORTEST && !WORDS.contains(secret.expose());
        for secret in secrets.into_iter().map(Into::into) {
            // Texts are looked at line by line, too; a key has several lines.
            let lines = secret.expose().lines().map(|line| Secret::new(line.trim().to_owned()));
            let lines: Vec<Secret> = lines.filter(|line| line.expose() != secret.expose()).filter(telling).collect();
            self.known.extend(lines.into_iter().chain(Some(secret).filter(telling)));
        }
        // The longest first, so that a secret that contains another goes whole.
        self.known.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        self.known.dedup();
    }

    /// Masks a message: known secrets, passwords of URLs, values of parameters such as `password=`.
    #[must_use]
    pub fn message(&self, text: &str) -> String {
        values(&urls(&shapes(&self.without_known(text))), Introduction::Parameter)
    }

    /// Masks a text in which somebody gives orders, such as a shell's: known secrets, addresses with passwords, values
    /// of whatever is named like a secret, and of flags of known programs that hold one.
    #[must_use]
    pub fn script(&self, text: &str) -> String {
        if !text.contains(['=', ':', '@', '%', '-', '\'', '+', '\\', '$'])
            && !may_hold_shape(text)
            && !self.known.iter().any(|one| text.contains(one.expose()))
        {
            return text.to_owned();
        }
        let text = shapes(&self.without_known(text));
        values(&without_scheme(&urls(&flags(&text))), Introduction::Any)
    }

    /// Finds up to where a text that goes on may be shown: from there on it may be the beginning of a secret that
    /// [`Mask::script`] would mask, were all of it there.
    #[must_use]
    pub fn open_at(&self, text: &str) -> usize {
        let until = [open_address(text), open_token(text)].into_iter().flatten().min().unwrap_or(text.len());
        let mut at = 0;
        while let Some(next) = text[at..].chars().next().filter(|_| at < until) {
            let rest = &text[at..];
            if self.known.iter().any(|secret| secret.may_begin_with(rest)) {
                return at;
            }
            // A secret that is all there hides whatever begins in it.
            let whole = self.known.iter().find_map(|secret| secret.length_in(rest));
            at += whole.unwrap_or(next.len_utf8());
        }
        until
    }

    /// Whether a text ends within a private key, so that what follows belongs to it.
    #[must_use]
    pub fn ends_in_key(text: &str) -> bool {
        opens_key(text)
    }

    /// Whether a line after the beginning of a private key, and before its end, may belong to it.
    #[must_use]
    pub fn is_of_key(line: &str) -> bool {
        is_of_key(line)
    }

    /// Whether a text ends with a word after which SQL, in its next line, may say a password: `ALTER ROLE a PASSWORD`.
    #[must_use]
    pub fn introduces_password(text: &str) -> bool {
        let word = text.trim_end().rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
        word.to_ascii_lowercase().ends_with("password")
    }

    /// Where the line begins in a text that ends a private key.
    #[must_use]
    pub fn end_of_key(text: &str) -> Option<usize> {
        key_end(text)
    }

    /// Masks the words of a command.
    #[must_use]
    pub fn command(&self, words: &[String]) -> Vec<String> {
        let mut flags = Flags::default();
        let mut secret_follows = false;
        let mut masked = Vec::with_capacity(words.len());
        for word in words {
            if let Some(secret) = flags.word(word).filter(|_| !secret_follows) {
                masked.push(self.without_known(&secret));
                continue;
            }
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
            _ => self.script(word),
        }
    }

    fn without_known(&self, text: &str) -> String {
        self.known.iter().fold(text.to_owned(), |text, secret| secret.masked_in(&text, MASK))
    }
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mask({} secrets)", self.known.len())
    }
}

#[cfg(test)]
mod tests;
