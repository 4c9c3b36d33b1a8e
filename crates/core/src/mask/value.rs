//! Values of what is named like a secret.

use super::MASK;

/// Parts of names whose value is a secret, in any case: `--db-pass x`, `PGPASSWORD=x`, `?password=x`, `"token": "x"`.
const NAMES: [&str; 13] = [
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
    "accesskey",
    "accountkey",
];
/// Words before `key` that make it no secret: a table's, or one that is given away.
const OPEN_KEYS: [&str; 8] = ["primary", "public", "foreign", "unique", "sort", "partition", "cache", "on"];
/// Endings of the names of parameters that a message may repeat, as in connection strings and URLs.
const PARAMETERS: [&str; 5] = ["password", "secret_access_key", "session_token", "accountkey", "accesskey"];
/// Endings of names that have a secret after a colon, as in a header; `auth:migrate` is a script's name.
const BEFORE_A_COLON: [&str; 14] = [
    "pass",
    "password",
    "passwd",
    "pwd",
    "secret",
    "apikey",
    "api_key",
    "api-key",
    "access_key",
    "access-key",
    "secret_key",
    "secret-key",
    "accesskey",
    "accountkey",
];
/// Words that stand between `Authorization:` and its secret.
const SCHEMES: [&str; 4] = ["bearer", "basic", "digest", "token"];

/// What makes a name's value count as secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Introduction {
    /// `name=`, for the few parameters that messages repeat.
    Parameter,
    /// Anything that is named like a secret.
    Any,
}

pub(super) fn is_name(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

pub(super) fn is_secret(name: &str) -> bool {
    let name = name.trim_start_matches('-').to_ascii_lowercase();
    let is_switch = ["no-", "no_", "skip-", "without-"].iter().any(|no| name.starts_with(no));
    // Authors are no secret, and an authorization is one.
    let name = name.replace("authoriz", "auth").replace("author", "");
    !is_switch && (NAMES.iter().any(|secret| name.contains(secret)) || is_key(&name))
}

/// `KEY`, `--key`, `SSH_PRIVATE_KEY`; not `--keys`, nor a primary key.
fn is_key(name: &str) -> bool {
    let mut words = name.rsplit(['_', '-', '.']);
    match words.next() {
        Some("privatekey" | "secretkey") => true,
        Some("key") => !words.next().is_some_and(|before| OPEN_KEYS.contains(&before)),
        _ => false,
    }
}

pub(super) fn is_scheme(word: &str) -> bool {
    SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
}

/// Masks the value after every secret name: behind `=`, and in commands behind `:`, and behind a blank where the name
/// is a flag.
pub(super) fn values(text: &str, by: Introduction) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut from = 0;
    // A name that blanks follow, and perhaps its separator after them.
    let mut name = 0..0;
    while let Some(found) = text[from..].find(|c: char| matches!(c, '=' | ':') || c.is_whitespace()) {
        let at = from + found;
        let separator = text[at..].chars().next().unwrap_or(' ');
        let after = at + separator.len_utf8();
        if from == at && separator.is_whitespace() {
            masked.push_str(&text[at..after]);
            from = after;
            continue;
        }
        let rest = text[after..].trim_start();
        let introduced = if from == at {
            introduces_apart(&text[name.clone()], separator, by)
        } else {
            introduces(&text[from..at], separator, rest, by)
        };
        name = if separator.is_whitespace() { from..at } else { 0..0 };
        let length = match introduced {
            true if separator.is_whitespace() => of_sql(rest).unwrap_or_else(|| value(rest)),
            true => value(rest),
            false => 0,
        };
        let start = if length == 0 { after } else { text.len() - rest.len() };
        masked.push_str(&text[from..start]);
        if length > 0 {
            masked.push_str(MASK);
            name = 0..0;
        }
        from = start + length;
    }
    masked.push_str(&text[from..]);
    masked
}

/// Tells whether a secret value comes after the text, the separator, and perhaps blanks.
fn introduces(before: &str, separator: char, rest: &str, by: Introduction) -> bool {
    let bare = before.trim_end_matches(['"', '\'', '\\']);
    let quoted = bare.len() < before.len();
    let name = bare.rsplit(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-')).next().unwrap_or("");
    let lower = name.to_ascii_lowercase();
    if by == Introduction::Parameter {
        return separator == '=' && PARAMETERS.iter().any(|end| lower.ends_with(end));
    }
    if !is_secret(name) {
        return false;
    }
    match separator {
        '=' => true,
        ':' if rest.starts_with([':', '/']) => false,
        ':' => {
            quoted
                || name.starts_with('-')
                || BEFORE_A_COLON.iter().any(|end| lower.ends_with(end))
                || lower.ends_with("authorization")
        }
        // SQL's PASSWORD 'x', E'x', $$x$$.
        _ if lower.ends_with("password") && is_literal(rest) => true,
        _ => name.starts_with('-') && !rest.starts_with(['-', '=', ':']),
    }
}

/// The same where blanks stand before the separator: `"pass" : "x"`, `password = x`; a sentence may say "the pass : fails".
fn introduces_apart(before: &str, separator: char, by: Introduction) -> bool {
    let bare = before.trim_end_matches(['"', '\'', '\\']);
    let open = bare.rfind(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-')).map_or(0, |at| at + 1);
    let Some(name) = bare.get(open..) else { return false };
    let lower = name.to_ascii_lowercase();
    if by == Introduction::Parameter {
        return separator == '=' && PARAMETERS.iter().any(|end| lower.ends_with(end));
    }
    let quoted = bare.len() < before.len() && bare[..open].ends_with(['"', '\'']);
    let telling = lower != "pass" && BEFORE_A_COLON.iter().any(|end| lower.ends_with(end));
    is_secret(name) && (quoted || (separator == '=' && telling))
}

/// Whether a text begins as a literal of SQL, in quotes or in dollars.
fn is_literal(text: &str) -> bool {
    text.starts_with(['\'', '$']) || text.starts_with("E'") || text.starts_with("e'")
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

/// How many bytes SQL's own literals take, `E'x'`, `$$x$$` and `$tag$x$tag$`; all of the text where it is not closed.
fn of_sql(text: &str) -> Option<usize> {
    if text.starts_with("E'") || text.starts_with("e'") {
        return Some(1 + closed(&text[1..], '\''));
    }
    let tag = text.strip_prefix('$')?;
    let tag = &tag[..tag.find('$')?];
    let is_tag = !tag.starts_with(|c: char| c.is_ascii_digit()) && tag.chars().all(|c| c.is_alphanumeric() || c == '_');
    let open = tag.len() + 2;
    let end = |rest: &str| rest.find(&text[..open]).map_or(text.len(), |end| open + end + open);
    is_tag.then(|| end(&text[open..]))
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
