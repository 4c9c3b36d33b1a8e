//! Secrets that are known by their shape, whatever stands before them: private keys in PEM, tokens after `Bearer`, the
//! addresses of chats' hooks.

use super::MASK;

/// What stands before a hook's secret path.
const HOOKS: [&str; 5] = [
    "hooks.slack.com/",
    "discord.com/api/webhooks/",
    "discordapp.com/api/webhooks/",
    ".webhook.office.com/",
    "api.telegram.org/bot",
];
const BEARER: &str = "bearer";
/// A shorter word after `Bearer` is no token.
const SHORTEST_TOKEN: usize = 6;
/// A word of letters alone that is longer is a token.
const LONGEST_WORD: usize = 20;
const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const KEY: &str = "PRIVATE KEY";
const DASHES: &str = "-----";
/// Longer than the name of any kind of key.
const LONGEST_NAME: usize = 40;

/// Bytes within which the end of a key is looked for. One of RSA with 16384 bits has less than half of that.
pub(super) const LONGEST_KEY: usize = 32 << 10;

pub(super) fn shapes(text: &str) -> String {
    bearer(&hooks(&private_keys(text)))
}

/// Whether a text may hold one of them: soon seen, and mostly not.
pub(super) fn may_hold_shape(text: &str) -> bool {
    text.contains(['-', '/']) || text.contains("earer") || text.contains("EARER")
}

/// Masks what is between the lines that begin and end a private key, and what follows where its end is not there.
fn private_keys(text: &str) -> String {
    let mut masked = String::new();
    let mut rest = text;
    while let Some(body) = key_body(rest) {
        masked.push_str(&rest[..body]);
        rest = &rest[body..];
        let length = match key_end(within(rest, LONGEST_KEY + LONGEST_NAME)) {
            Some(end) => end,
            // A stream that was masked before.
            None if rest.starts_with(MASK) => 0,
            None => within(rest, LONGEST_KEY).len(),
        };
        if length > 0 {
            masked.push_str(MASK);
        }
        rest = &rest[length..];
    }
    masked.push_str(rest);
    masked
}

/// Whether a text ends within a private key.
pub(super) fn opens_key(text: &str) -> bool {
    let mut rest = text;
    while let Some(body) = key_body(rest) {
        rest = &rest[body..];
        match key_end(within(rest, LONGEST_KEY + LONGEST_NAME)) {
            Some(end) => rest = &rest[end..],
            None => return rest.len() <= LONGEST_KEY,
        }
    }
    false
}

/// So many bytes of a text, or fewer.
fn within(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[..end]
}

/// Where the first private key's own text begins: behind `-----BEGIN RSA PRIVATE KEY-----`.
fn key_body(text: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let begin = from + text[from..].find(BEGIN)?;
        from = begin + BEGIN.len();
        let Some(length) = named(&text[from..]) else { continue };
        let body = from + length;
        // A sentence about such a line has a quote or a full stop there.
        let of_a_key = |c: char| c.is_whitespace() || c.is_ascii_alphanumeric() || matches!(c, '\\' | '+' | '/' | '*');
        if text[body..].chars().next().is_none_or(of_a_key) {
            return Some(body);
        }
    }
}

/// Where the line begins that ends a private key.
pub(super) fn key_end(text: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let end = from + text[from..].find(END)?;
        from = end + END.len();
        if named(&text[from..]).is_some() {
            return Some(end);
        }
    }
}

/// How long the rest of such a line is, where it names a private key: `RSA PRIVATE KEY-----`.
fn named(text: &str) -> Option<usize> {
    let name = text.find(DASHES).filter(|name| *name <= LONGEST_NAME && text[..*name].contains(KEY))?;
    Some(name + DASHES.len())
}

/// Masks what follows a hook's host: whoever knows it may write there.
fn hooks(text: &str) -> String {
    HOOKS.iter().filter(|hook| text.contains(**hook)).fold(text.to_owned(), |text, hook| behind(&text, hook))
}

fn behind(text: &str, hook: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(hook) {
        let path = at + hook.len();
        masked.push_str(&rest[..path]);
        rest = &rest[path..];
        let length = rest.find(ends_word).unwrap_or(rest.len());
        if length > 0 {
            masked.push_str(MASK);
        }
        rest = &rest[length..];
    }
    masked.push_str(rest);
    masked
}

/// Masks the token after every `Bearer`; words of prose stay.
fn bearer(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut masked = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(at) = after_bearer(&lower, from) {
        masked.push_str(&text[from..at]);
        let length = text[at..].find(ends_word).unwrap_or(text.len() - at);
        let token = is_token(&text[at..at + length]);
        masked.push_str(if token { MASK } else { &text[at..at + length] });
        from = at + length;
    }
    masked.push_str(&text[from..]);
    masked
}

/// Where a word after `Bearer` begins in which a text ends: more of it tells whether it is a token.
pub(super) fn open_bearer(text: &str) -> Option<usize> {
    let begin = text.rfind(ends_word).map_or(0, |end| end + text[end..].chars().next().map_or(1, char::len_utf8));
    let before = text[..begin].trim_end_matches([' ', '\t']);
    // With the sign before it.
    let from = (0..=before.len().saturating_sub(BEARER.len() + 1)).rev().find(|at| text.is_char_boundary(*at))?;
    let lower = text[from..].to_ascii_lowercase();
    (begin < text.len() && after_bearer(&lower, 0) == Some(begin - from)).then_some(begin)
}

/// Where the next word begins that stands after `bearer` and blanks.
fn after_bearer(lower: &str, from: usize) -> Option<usize> {
    lower[from..].match_indices(BEARER).find_map(|(at, _)| {
        let at = from + at;
        let alone = !lower[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let rest = &lower[at + BEARER.len()..];
        let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        (alone && blanks > 0).then_some(at + BEARER.len() + blanks)
    })
}

fn ends_word(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | ',' | ';' | '(' | ')' | '\\')
}

/// Whether a word is a token, not one of a sentence.
fn is_token(word: &str) -> bool {
    let word = word.trim_end_matches(['.', ':', '!', '?']);
    let of_a_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~' | '+' | '/' | '=');
    let mut rest = word.chars();
    let first = rest.next().is_some_and(|c| c.is_ascii_alphabetic());
    let rest = rest.as_str();
    let lower = rest.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_word = first && word.len() < LONGEST_WORD && (lower || word.bytes().all(|byte| byte.is_ascii_uppercase()));
    word.len() >= SHORTEST_TOKEN && word.chars().all(of_a_token) && !is_word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tokens_and_hooks_go_whatever_stands_before() {
        for (given, expected) in [
            ("Bearer hush-9f.x_y= x", "Bearer *** x"),
            ("sent 'bearer eyJhbGciOi.J9.x'", "sent 'bearer ***'"),
            ("the bearer of this, a Bearer token: BEARER TOKEN", "the bearer of this, a Bearer token: BEARER TOKEN"),
            (
                "Bearer authentication. forbearer hush-9f1 Bearers hush-9f1",
                "Bearer authentication. forbearer hush-9f1 Bearers hush-9f1",
            ),
            ("to https://hooks.slack.com/services/T0/B0/hush: 404", "to https://hooks.slack.com/*** 404"),
            ("<https://discord.com/api/webhooks/1/hush>", "<https://discord.com/api/webhooks/***>"),
            ("see https://hooks.slack.com/ or docs.slack.com/x", "see https://hooks.slack.com/ or docs.slack.com/x"),
            (
                "a\n-----BEGIN RSA PRIVATE KEY-----\nhush\nhush=\n-----END RSA PRIVATE KEY-----\nb",
                "a\n-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----\nb",
            ),
            (
                r#"{"k": "-----BEGIN PRIVATE KEY-----\nhush\n-----END PRIVATE KEY-----\n"}"#,
                r#"{"k": "-----BEGIN PRIVATE KEY-----***-----END PRIVATE KEY-----\n"}"#,
            ),
            ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nhush", "-----BEGIN PGP PRIVATE KEY BLOCK-----***"),
            ("no '-----BEGIN PRIVATE KEY-----' in x", "no '-----BEGIN PRIVATE KEY-----' in x"),
            ("-----BEGIN CERTIFICATE-----\nabc\n-----END", "-----BEGIN CERTIFICATE-----\nabc\n-----END"),
        ] {
            assert_eq!(shapes(given), expected);
            assert_eq!(shapes(expected), expected, "once more");
        }
    }

    #[test]
    fn a_key_without_an_end_hides_no_more_than_a_key_may_take() {
        let given = format!("-----BEGIN PRIVATE KEY-----{}after", "x".repeat(LONGEST_KEY));
        assert_eq!(shapes(&given), "-----BEGIN PRIVATE KEY-----***after");
        assert!(!opens_key(&given) && opens_key("-----BEGIN PRIVATE KEY-----\nx"));
        assert!(!opens_key("-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----"));
    }
}
