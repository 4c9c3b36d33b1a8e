//! Passwords in addresses: `scheme://user:password@host` and the forms without a scheme.

use super::MASK;

/// Masks the password of every `scheme://user:password@host`; the last `@` counts, since many forget to encode one.
pub(super) fn urls(text: &str) -> String {
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

/// Finds where the password would begin of an address that the text ends in, before its `@` has come.
pub(super) fn open_address(text: &str) -> Option<usize> {
    let begin = text.rfind("://")? + 3;
    let word = &text[begin..];
    let ended = word.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | '@'));
    let colon = word.find(':').filter(|_| !ended)?;
    Some(begin + colon + 1)
}

/// Masks the password in every word `user:password@host/…`, `user:password@tcp(host)/…`, as Go's drivers write it.
pub(super) fn without_scheme(text: &str) -> String {
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
