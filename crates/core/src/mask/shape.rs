//! Secrets that are known by their shape, whatever stands before them: private keys in PEM, tokens after `Bearer`, names with
//! passwords after `Basic`, the addresses of chats' hooks.

use super::MASK;

/// What stands before a hook's secret path, and what of the path comes first, perhaps after a version such as `v10/`.
const HOOKS: [(&str, &str); 5] = [
    ("hooks.slack.com/", ""),
    ("discord.com/api/", "webhooks/"),
    ("discordapp.com/api/", "webhooks/"),
    (".webhook.office.com/", ""),
    ("api.telegram.org/bot", ""),
];
/// Whether a word is a secret.
type IsSecret = fn(&str) -> bool;

/// What stands before a token, or before a name with its password.
const SCHEMES: [(&str, IsSecret); 2] = [("bearer", is_token), ("basic", is_pair)];
/// A shorter word after `Bearer` is no token.
const SHORTEST_TOKEN: usize = 6;
/// A word of letters alone that is longer is a token.
const LONGEST_WORD: usize = 20;
/// A word of base64 at the end of a line that is longer is no word of a sentence.
const SHORTEST_LINE: usize = 16;
/// So many signs of base64 after each other are no word, wherever they stand; a line of PEM has 64.
const LONG_RUN: usize = 24;
/// What may stand before a key's own lines.
const KEY_HEADERS: [&str; 4] = ["Proc-Type", "DEK-Info", "Version", "Comment"];
const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const KEY: &str = "PRIVATE KEY";
const DASHES: &str = "-----";
/// Longer than the name of any kind of key.
const LONGEST_NAME: usize = 40;

/// Bytes within which the end of a key is looked for. One of RSA with 16384 bits has less than half of that.
pub(super) const LONGEST_KEY: usize = 32 << 10;

pub(super) fn shapes(text: &str) -> String {
    SCHEMES.iter().fold(hooks(&private_keys(text)), |text, (scheme, is_secret)| after_scheme(&text, scheme, *is_secret))
}

/// Whether a text may hold one of them: soon seen, and mostly not.
pub(super) fn may_hold_shape(text: &str) -> bool {
    text.contains(['-', '/']) || ["earer", "EARER", "asic", "ASIC"].iter().any(|part| text.contains(part))
}

/// Masks what is between the lines that begin and end a private key; where its end is not there, what follows and may belong
/// to it.
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
            None => {
                let open = within(rest, LONGEST_KEY);
                masked.push_str(&without_end(open));
                rest = &rest[open.len()..];
                continue;
            }
        };
        if length > 0 {
            masked.push_str(MASK);
        }
        rest = &rest[length..];
    }
    masked.push_str(rest);
    masked
}

/// Masks the rest of the line that begins a key, and the lines after it that may belong to it.
fn without_end(text: &str) -> String {
    let mut masked = String::new();
    let mut hides = false;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if number == 0 || is_of_key(line) && (hides || !line.trim().is_empty()) {
            if !std::mem::replace(&mut hides, true) {
                masked.push_str(MASK);
            }
            continue;
        }
        if std::mem::take(&mut hides) {
            masked.push('\n');
        }
        masked.push_str(line);
    }
    masked
}

/// Whether a line may belong to a private key: nothing, one of its headers, or signs of base64: many of them, or at the line's
/// end, whatever a log puts before them.
pub(super) fn is_of_key(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace();
    let Some(first) = words.next() else { return true };
    let last = words.next_back().unwrap_or(first);
    let header =
        first.strip_suffix(':').is_some_and(|name| KEY_HEADERS.iter().any(|one| name.eq_ignore_ascii_case(one)));
    let of_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    let alone = last.len() == line.trim().len();
    let telling = last.len() >= SHORTEST_LINE || last.ends_with('=');
    let many = line.split(|c: char| !of_base64(c)).any(|run| run.len() >= LONG_RUN);
    header || many || last.chars().all(of_base64) && (alone || telling)
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
    let there = HOOKS.iter().filter(|(host, _)| text.contains(host));
    there.fold(text.to_owned(), |text, (host, path)| behind(&text, host, path))
}

fn behind(text: &str, host: &str, path: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(host) {
        let at = at + host.len();
        let version = version(&rest[at..]);
        let known = [version, 0].into_iter().find(|version| rest[at + version..].starts_with(path));
        let secret = at + known.map_or(0, |version| version + path.len());
        masked.push_str(&rest[..secret]);
        rest = &rest[secret..];
        if known.is_none() {
            continue;
        }
        let length = rest.find(ends_word).unwrap_or(rest.len());
        if length > 0 {
            masked.push_str(MASK);
        }
        rest = &rest[length..];
    }
    masked.push_str(rest);
    masked
}

/// How long the version is that a path begins with, such as `v10/`; 0 where there is none.
fn version(path: &str) -> usize {
    let Some(rest) = path.strip_prefix('v') else { return 0 };
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if digits > 0 && rest[digits..].starts_with('/') { digits + 2 } else { 0 }
}

/// Masks the secret after every mention of a scheme; words of prose stay.
fn after_scheme(text: &str, scheme: &str, is_secret: IsSecret) -> String {
    let lower = text.to_ascii_lowercase();
    let mut masked = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(at) = word_after(&lower, scheme, from) {
        masked.push_str(&text[from..at]);
        let length = text[at..].find(ends_word).unwrap_or(text.len() - at);
        let word = &text[at..at + length];
        masked.push_str(if is_secret(word) { MASK } else { word });
        from = at + length;
    }
    masked.push_str(&text[from..]);
    masked
}

/// Where a word after `Bearer` or `Basic` begins in which a text ends: more of it tells whether it is a secret.
pub(super) fn open_token(text: &str) -> Option<usize> {
    let begin = text.rfind(ends_word).map_or(0, |end| end + text[end..].chars().next().map_or(1, char::len_utf8));
    let before = text[..begin].trim_end_matches([' ', '\t']);
    let introduces = |scheme: &str| {
        // With the sign before it.
        let from = (0..=before.len().saturating_sub(scheme.len() + 1)).rev().find(|at| text.is_char_boundary(*at));
        from.is_some_and(|from| word_after(&text[from..].to_ascii_lowercase(), scheme, 0) == Some(begin - from))
    };
    (begin < text.len() && SCHEMES.iter().any(|(scheme, _)| introduces(scheme))).then_some(begin)
}

/// Where the next word begins that stands after a scheme and blanks.
fn word_after(lower: &str, scheme: &str, from: usize) -> Option<usize> {
    lower[from..].match_indices(scheme).find_map(|(at, _)| {
        let at = from + at;
        let alone = !lower[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let rest = &lower[at + scheme.len()..];
        let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        (alone && blanks > 0).then_some(at + scheme.len() + blanks)
    })
}

fn ends_word(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | ',' | ';' | '(' | ')' | '\\')
}

/// Whether a word is a token, not one of a sentence.
fn is_token(word: &str) -> bool {
    let word = bare(word);
    word.len() >= SHORTEST_TOKEN && word.chars().all(|c| c.is_ascii_graphic()) && !is_word(word) && !is_variable(word)
}

/// A word without what closes a list or a sentence.
fn bare(word: &str) -> &str {
    word.trim_end_matches(['.', ':', '!', '?', ']', '}', '*'])
}

/// Whether it is a word of a sentence.
fn is_word(word: &str) -> bool {
    let mut rest = word.chars();
    let first = rest.next().is_some_and(|c| c.is_ascii_alphabetic());
    let lower = rest.as_str().bytes().all(|byte| byte.is_ascii_lowercase());
    first && word.len() < LONGEST_WORD && (lower || word.bytes().all(|byte| byte.is_ascii_uppercase()))
}

/// Whether a token's place is named and not the token: `$TOKEN`, `${TOKEN}`, `{token}`.
fn is_variable(word: &str) -> bool {
    let name = word.trim_start_matches(['$', '{']);
    let of_a_name = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.len() < word.len() && name.chars().all(of_a_name)
}

/// Whether a word is a name with its password in base64, as HTTP sends them.
fn is_pair(word: &str) -> bool {
    // Whatever follows at once is none of it: a sign of the text around it, or its padding in another form.
    let word = &word[..word.bytes().position(|sign| of_base64(sign).is_none()).unwrap_or(word.len())];
    let mut bits = 0_u32;
    let mut bytes = Vec::with_capacity(word.len());
    for (place, sign) in word.bytes().enumerate() {
        let Some(value) = of_base64(sign) else { return false };
        bits = (bits << 6) | u32::from(value);
        if place % 4 > 0 {
            bytes.push((bits >> (6 - place % 4 * 2)).to_le_bytes()[0]);
        }
    }
    // Of passwords in other encodings the bytes are no text; `echo` ends its line.
    let is_printed = bytes.trim_ascii_end().iter().all(|byte| *byte >= b' ');
    word.len() >= SHORTEST_TOKEN && is_printed && bytes.contains(&b':') && !is_word(word)
}

/// What a sign of base64 stands for.
fn of_base64(sign: u8) -> Option<u8> {
    Some(match sign {
        b'A'..=b'Z' => sign - b'A',
        b'a'..=b'z' => sign - b'a' + 26,
        b'0'..=b'9' => sign - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tokens_and_hooks_go_whatever_stands_before() {
        for (given, expected) in [
            ("Bearer hush-9f.x_y= x", "Bearer *** x"),
            ("Bearer 1|hushHUSH9 x, bearer a:b:c%2Fd", "Bearer *** x, bearer ***"),
            (
                "Bearer $TOKEN ${API_TOKEN} bearer {token} [a Bearer token]",
                "Bearer $TOKEN ${API_TOKEN} bearer {token} [a Bearer token]",
            ),
            ("[ 'Authorization', 'Basic YW5uOmh1c2g=' ]", "[ 'Authorization', 'Basic ***' ]"),
            (
                "map[Authorization:[Basic YW5uOmh1c2g=]] sent Basic YW5uOmh1c2g=.",
                "map[Authorization:[Basic *** sent Basic ***",
            ),
            ("Basic YW5uOmh1c2g x; BASIC YW5uOmjDvA==", "Basic *** x; BASIC ***"),
            ("Basic YW5uOmh1c2gK, Basic YW5uOmh1c2gNCg==", "Basic ***, Basic ***"),
            ("Basic YW5uOmh1c2g=|x Basic YW5uOmh1c2g%3D", "Basic *** Basic ***"),
            (
                "Basic authentication, a basic internal VISUAL Basic aHVzaGh1c2g=",
                "Basic authentication, a basic internal VISUAL Basic aHVzaGh1c2g=",
            ),
            ("sent 'bearer eyJhbGciOi.J9.x'", "sent 'bearer ***'"),
            ("the bearer of this, a Bearer token: BEARER TOKEN", "the bearer of this, a Bearer token: BEARER TOKEN"),
            (
                "Bearer authentication. forbearer hush-9f1 Bearers hush-9f1",
                "Bearer authentication. forbearer hush-9f1 Bearers hush-9f1",
            ),
            ("to https://hooks.slack.com/services/T0/B0/hush: 404", "to https://hooks.slack.com/*** 404"),
            ("<https://discord.com/api/webhooks/1/hush>", "<https://discord.com/api/webhooks/***>"),
            ("POST discord.com/api/v10/webhooks/1/hush?wait=1 ok", "POST discord.com/api/v10/webhooks/*** ok"),
            (
                "discord.com/api/v10/users/1 discord.com/api/vx/webhooks/",
                "discord.com/api/v10/users/1 discord.com/api/vx/webhooks/",
            ),
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
    fn a_sentence_that_ends_with_a_keys_first_line_hides_no_prose() {
        let begin = "it must begin with -----BEGIN PRIVATE KEY-----";
        for (given, expected) in [
            ("\nERROR: not applied\nHINT: try again\n", "***\nERROR: not applied\nHINT: try again\n"),
            ("\nhush\nERROR: 7\nhushHUSHhushHUSH\nin 9 ms\n", "***\nERROR: 7\n***\nin 9 ms\n"),
            ("\nProc-Type: 4,ENCRYPTED\n\nhush==\napp | at 9:00 hushHUSHhush/HUSH\nok then", "***\nok then"),
            ("\\n' +\n'hushHUSHhush/HUSHhush+HUSH\\n' +\nand prose", "***\nand prose"),
            (" hush hush\nand prose", "***\nand prose"),
        ] {
            let (given, expected) = (format!("{begin}{given}"), format!("{begin}{expected}"));
            assert_eq!(shapes(&given), expected);
            assert_eq!(shapes(&expected), expected, "once more");
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
