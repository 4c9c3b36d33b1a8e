//! The lexical rules that decide where a statement ends: quotes, comments, brackets, words.
//!
//! Source: PostgreSQL's `scan.l`. A lexer of its own, because a statement must be cut out before it is parsed: the
//! parser recovers from broken SQL by guessing, and a guess may swallow the next statement.

/// One token; only what splitting needs is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// White space or a comment.
    Blank,
    /// An identifier or key word.
    Word,
    /// A quoted thing of any sort.
    Quoted,
    /// A quote or comment that never ends.
    Unterminated,
    /// An escape string that goes on in a second quote, which the parser does not know: `E'a'` and, on the next line, `'b'`.
    Continued,
    /// One other byte or sign.
    Sign(u8),
}

/// Reads the token at `at`, and gives where it ends.
pub(crate) fn token_at(text: &str, at: usize) -> (Token, usize) {
    let bytes = text.as_bytes();
    let rest = &bytes[at..];
    match rest[0] {
        byte if byte.is_ascii_whitespace() || byte == 0x0b => {
            (Token::Blank, at + rest.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == 0x0b).count())
        }
        b'-' if rest.starts_with(b"--") => (Token::Blank, at + line_comment(rest)),
        b'/' if rest.starts_with(b"/*") => block_comment(bytes, at),
        b'\'' => string(bytes, at, false),
        b'"' => quoted_to(bytes, at + 1, b'"'),
        b'$' => dollar_quoted(text, at).unwrap_or((Token::Sign(b'$'), at + 1)),
        byte if is_word_start(byte) => {
            let end = at + rest.iter().take_while(|byte| is_word(**byte)).count();
            let prefix = &bytes[at..end];
            if bytes.get(end) == Some(&b'\'') && prefix.len() == 1 && b"eEbBxXnN".contains(&prefix[0]) {
                return string(bytes, end, prefix.eq_ignore_ascii_case(b"e"));
            }
            if prefix.eq_ignore_ascii_case(b"u") && bytes[end..].starts_with(b"&'") {
                return string(bytes, end + 1, false);
            }
            if prefix.eq_ignore_ascii_case(b"u") && bytes[end..].starts_with(b"&\"") {
                return quoted_to(bytes, end + 2, b'"');
            }
            (Token::Word, end)
        }
        // Letters after digits belong to the number, so that `1$a$` opens no quote.
        byte if byte.is_ascii_digit() => {
            (Token::Sign(byte), at + rest.iter().take_while(|byte| is_word(**byte)).count())
        }
        byte => (Token::Sign(byte), at + 1),
    }
}

fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_word(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

fn block_comment(bytes: &[u8], at: usize) -> (Token, usize) {
    let (mut depth, mut place) = (0_usize, at);
    while place < bytes.len() {
        if bytes[place..].starts_with(b"/*") {
            depth += 1;
            place += 2;
        } else if bytes[place..].starts_with(b"*/") {
            depth -= 1;
            place += 2;
            if depth == 0 {
                return (Token::Blank, place);
            }
        } else {
            place += 1;
        }
    }
    (Token::Unterminated, bytes.len())
}

fn quoted_to(bytes: &[u8], from: usize, quote: u8) -> (Token, usize) {
    let mut place = from;
    while let Some(found) = bytes[place..].iter().position(|byte| *byte == quote) {
        place += found + 1;
        if bytes.get(place) != Some(&quote) {
            return (Token::Quoted, place);
        }
        place += 1;
    }
    (Token::Unterminated, bytes.len())
}

/// How long a comment is that ends with its line: a carriage return ends it, too.
fn line_comment(rest: &[u8]) -> usize {
    rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len())
}

/// A string whose quote opens at `at`; a further part on a later line has the same rules as its first.
fn string(bytes: &[u8], at: usize, escapes: bool) -> (Token, usize) {
    let (mut open, mut token) = (at, Token::Quoted);
    loop {
        let end = match string_end(bytes, open + 1, escapes) {
            Some(end) => end,
            None => return (Token::Unterminated, bytes.len()),
        };
        match continued_at(bytes, end).filter(|_| escapes) {
            Some(next) => (open, token) = (next, Token::Continued),
            None => return (token, end),
        }
    }
}

/// Where a string that ended at `end` goes on: behind white space with a line end in it, and comments before or after
/// that.
fn continued_at(bytes: &[u8], end: usize) -> Option<usize> {
    let (mut place, mut new_line) = (end, false);
    loop {
        match bytes.get(place)? {
            b'\n' | b'\r' => (place, new_line) = (place + 1, true),
            byte if byte.is_ascii_whitespace() || *byte == 0x0b => place += 1,
            b'-' if bytes[place..].starts_with(b"--") => place += line_comment(&bytes[place..]),
            b'\'' if new_line => return Some(place),
            _ => return None,
        }
    }
}

fn string_end(bytes: &[u8], from: usize, escapes: bool) -> Option<usize> {
    let mut place = from;
    while let Some(byte) = bytes.get(place) {
        match byte {
            b'\\' if escapes => place += 2,
            b'\'' if bytes.get(place + 1) == Some(&b'\'') => place += 2,
            b'\'' => return Some(place + 1),
            _ => place += 1,
        }
    }
    None
}

/// `$tag$ … $tag$`; `None` where the sign opens no quote.
fn dollar_quoted(text: &str, at: usize) -> Option<(Token, usize)> {
    let bytes = text.as_bytes();
    let length = bytes[at + 1..].iter().take_while(|byte| is_word(**byte) && **byte != b'$').count();
    let tag = &bytes[at..at + 1 + length];
    let starts_well = length == 0 || is_word_start(tag[1]);
    if !starts_well || bytes.get(at + 1 + length) != Some(&b'$') {
        return None;
    }
    let inner = at + length + 2;
    let delimiter = &text[at..inner];
    Some(match text[inner..].find(delimiter) {
        Some(found) => (Token::Quoted, inner + found + delimiter.len()),
        None => (Token::Unterminated, bytes.len()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_end_where_the_servers_do() {
        for (text, token, length) in [
            ("'it''s' x", Token::Quoted, 7),
            (r"'back\' x", Token::Quoted, 7),
            (r"E'back\'s' x", Token::Quoted, 10),
            ("e'a'\n 'b\\'c' x", Token::Continued, 12),
            ("E'a' -- b\n'\\'' x", Token::Continued, 14),
            ("E'a'\r'\\'' x", Token::Continued, 9),
            ("E'a' -- b\n, x", Token::Quoted, 4),
            ("E'a' 'b' x", Token::Quoted, 4),
            ("'a'\n'b' x", Token::Quoted, 3),
            ("-- a\rx", Token::Blank, 4),
            ("U&'d\\0061' x", Token::Quoted, 10),
            ("\"a\"\"b\" x", Token::Quoted, 6),
            ("$$ ; $$ x", Token::Quoted, 7),
            ("$f$ $$ ; $f$ x", Token::Quoted, 12),
            ("$1 x", Token::Sign(b'$'), 1),
            ("/* a /* b */ ; */ x", Token::Blank, 17),
            ("-- it's\nx", Token::Blank, 7),
            ("a$b$c x", Token::Word, 5),
            ("1$a$ x", Token::Sign(b'1'), 4),
            ("'open", Token::Unterminated, 5),
            ("$$ open", Token::Unterminated, 7),
            ("/* open", Token::Unterminated, 7),
        ] {
            assert_eq!(token_at(text, 0), (token, length), "{text}");
        }
    }
}
