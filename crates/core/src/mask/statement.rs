//! SQL statements as they may be shown: words and signs stay, every value goes.
//!
//! Source of the lexical rules: PostgreSQL's `scan.l`. A lexer of its own, because the text may be cut anywhere
//! (`track_activity_query_size`), need not be valid SQL, and where it is ambiguous everything that could be a value
//! must go.

use super::MASK;

/// Masks a statement for people: literals of every kind, numbers, and comments go; white space becomes single blanks.
///
/// Of what is longer than `longest` characters the rest is cut, with `…` at its end. Names stay, quoted ones too.
#[must_use]
pub fn statement(text: &str, longest: usize) -> String {
    let mut shown = Shown::default();
    let mut at = 0;
    while let Some(piece) = Piece::at(text, at) {
        match piece.kind {
            Kind::Blank => shown.blank = true,
            Kind::Value => shown.push(MASK),
            Kind::Plain => shown.push(&text[at..piece.end]),
            Kind::Rest => {
                shown.push(MASK);
                break;
            }
        }
        at = piece.end;
    }
    let text = shown.text;
    match text.char_indices().nth(longest) {
        Some((cut, _)) => format!("{}…", text[..cut].trim_end()),
        None => text,
    }
}

/// Blanks everything in which a sign is not SQL's own, byte for byte: literals, quoted names, comments. What stands where
/// in the shadow stands there in the text.
///
/// `None` where a literal or comment does not end, or where it ends differently by the session's settings.
#[must_use]
pub fn shadow(text: &str) -> Option<String> {
    let mut shadow = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(piece) = Piece::at(text, at) {
        let part = &text[at..piece.end];
        if piece.kind == Kind::Rest {
            return None;
        }
        let plain = piece.kind == Kind::Plain && !part.starts_with('"');
        if plain && part.is_ascii() {
            shadow.push_str(part)
        } else {
            shadow.push_str(&" ".repeat(part.len()))
        }
        at = piece.end;
    }
    Some(shadow)
}

/// What is shown so far; blanks at either end are left out.
#[derive(Default)]
struct Shown {
    text: String,
    blank: bool,
}

impl Shown {
    fn push(&mut self, piece: &str) {
        if std::mem::take(&mut self.blank) && !self.text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(piece);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// White space, a comment, a control character.
    Blank,
    /// A literal.
    Value,
    /// A word, a quoted name, a sign.
    Plain,
    /// From here on nobody can tell what is a value: something does not end, or ends where the session's settings say.
    Rest,
}

struct Piece {
    kind: Kind,
    end: usize,
}

impl Piece {
    /// Reads the piece that begins at `at`; `None` at the end.
    fn at(text: &str, at: usize) -> Option<Self> {
        let rest = &text[at..];
        let first = rest.chars().next()?;
        let next = rest[first.len_utf8()..].chars().next();
        let (kind, length) = match first {
            '-' if next == Some('-') => (Kind::Blank, rest.find(['\n', '\r']).unwrap_or(rest.len())),
            '/' if next == Some('*') => comment(rest),
            '\'' => string(rest, 0, false),
            '"' => name(rest),
            '$' => dollar_quoted(rest).unwrap_or_else(|| (Kind::Plain, 1 + number(&rest[1..]))),
            first if first.is_ascii_digit() => (Kind::Value, number(rest)),
            '.' if next.is_some_and(|next| next.is_ascii_digit()) => (Kind::Value, number(rest)),
            first if is_word(first) => word(rest),
            first if first.is_whitespace() || first.is_control() => (Kind::Blank, first.len_utf8()),
            first => (Kind::Plain, first.len_utf8()),
        };
        Some(Self { kind, end: at + length })
    }
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || (!letter.is_ascii() && !letter.is_whitespace())
}

/// A word, or a literal whose kind a letter before its quote says: `E'…'`, `b'…'`, `x'…'`, `n'…'`.
fn word(rest: &str) -> (Kind, usize) {
    let end = rest.find(|letter: char| !is_word(letter) && letter != '$').unwrap_or(rest.len());
    let introduces =
        end == 1 && rest[1..].starts_with('\'') && rest.starts_with(['e', 'E', 'b', 'B', 'x', 'X', 'n', 'N']);
    if introduces { string(rest, 1, rest.starts_with(['e', 'E'])) } else { (Kind::Plain, end) }
}

/// A number with its fraction and exponent, and whatever sticks to it.
fn number(rest: &str) -> usize {
    let mut before = ' ';
    let ends = |letter: char| {
        let goes_on = is_word(letter) || letter == '.' || (matches!(letter, '+' | '-') && matches!(before, 'e' | 'E'));
        before = letter;
        !goes_on
    };
    rest.find(ends).unwrap_or(rest.len())
}

/// A literal whose quote stands at `quote`.
///
/// Whether a backslash escapes in a literal without `E` depends on the session (`standard_conforming_strings`): where
/// that decides its end, all that follows counts as value.
fn string(rest: &str, quote: usize, escapes: bool) -> (Kind, usize) {
    let mut letters = rest.char_indices().skip(quote + 1).peekable();
    let mut backslash = false;
    while let Some((at, letter)) = letters.next() {
        match letter {
            _ if backslash && escapes => backslash = false,
            '\'' if backslash => return (Kind::Rest, rest.len()),
            '\'' if letters.peek().is_some_and(|(_, next)| *next == '\'') => drop(letters.next()),
            '\'' => return (Kind::Value, at + 1),
            letter => backslash = letter == '\\' && !backslash,
        }
    }
    (Kind::Rest, rest.len())
}

/// A quoted name; a doubled quote is a part of it.
fn name(rest: &str) -> (Kind, usize) {
    let mut from = 1;
    while let Some(found) = rest[from..].find('"') {
        from += found + 1;
        if !rest[from..].starts_with('"') {
            return (Kind::Plain, from);
        }
        from += 1;
    }
    (Kind::Rest, rest.len())
}

/// Comments may hold comments; they may hold values too.
fn comment(rest: &str) -> (Kind, usize) {
    let (mut depth, mut at) = (0_u32, 0);
    while let Some(found) = rest[at..].find(['/', '*']) {
        at += found;
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth = depth.saturating_sub(1);
            at += 2;
            if depth == 0 {
                return (Kind::Blank, at);
            }
        } else {
            at += 1;
        }
    }
    (Kind::Rest, rest.len())
}

/// `$tag$…$tag$`; a parameter such as `$1` is none, and is no value either.
fn dollar_quoted(rest: &str) -> Option<(Kind, usize)> {
    let tag_end = rest[1..].find('$')? + 1;
    let tag = &rest[1..tag_end];
    if tag.starts_with(|letter: char| letter.is_ascii_digit()) || !tag.chars().all(is_word) {
        return None;
    }
    let opener = &rest[..=tag_end];
    Some(match rest[opener.len()..].find(opener) {
        Some(found) => (Kind::Value, found + 2 * opener.len()),
        None => (Kind::Rest, rest.len()),
    })
}

#[cfg(test)]
mod tests {
    use super::{shadow, statement};

    #[test]
    fn the_shadow_has_signs_where_the_text_has_them() {
        for (text, expected) in [
            ("a = 'x, (y', \"b,\" = f(1)", "a = , = f( )"),
            ("a = 1 -- , b", "a ="),
            ("a = $$,$$ || E'\\',' /* ; */ + ü", "a = || +"),
        ] {
            let shadow = shadow(text).unwrap();
            assert_eq!(shadow.len(), text.len(), "{text}");
            assert_eq!(shadow.split_whitespace().collect::<Vec<_>>().join(" "), expected, "{text}");
            assert!(shadow.bytes().zip(text.bytes()).all(|(one, other)| one == b' ' || one == other), "{text}");
        }
        for text in [
            "a = 'x",
            "a = \"x",
            "a = /* x",
            "a = $$x",
            "a = $t$x$$",
            "a = 'x\\', b = 'y'",
            "a = E'x",
            "a = \"",
            "a = E'x\\'",
            "a = \"x\"\"",
        ] {
            assert_eq!(shadow(text), None, "{text}");
        }
    }

    #[test]
    fn values_go_and_words_stay() {
        for (given, expected) in [
            ("UPDATE t1 SET a = 'x''y', b=1.5e-3 WHERE id = $1", "UPDATE t1 SET a = ***, b=*** WHERE id = $1"),
            ("SELECT E'a\\'b', n'c', B'01', U&'d' ", "SELECT ***, ***, ***, U&***"),
            ("select  -- secret 'x\n 1 /* a /* b */ 'c' */ , .5", "select *** , ***"),
            ("DO $x$ BEGIN 'a' $$ END $x$; SELECT $$b$$", "DO ***; SELECT ***"),
            ("SELECT \"odd \"\"name 1\" FROM \"T 2\".x3$y", "SELECT \"odd \"\"name 1\" FROM \"T 2\".x3$y"),
            ("\u{7}SELECT\t'ä'\r\n, größe9", "SELECT *** , größe9"),
            ("ALTER ROLE ann PASSWORD 'hush", "ALTER ROLE ann PASSWORD ***"),
            ("SELECT $tag$ cut off", "SELECT ***"),
            ("SELECT 'a\\\\', b", "SELECT ***, b"),
            ("", ""),
        ] {
            assert_eq!(statement(given, 200), expected, "{given}");
        }
    }

    /// Read one way the literal ends at the escaped quote, read the other way it goes on.
    #[test]
    fn nothing_is_shown_where_the_sessions_settings_would_decide() {
        assert_eq!(statement(r"SELECT 'a\', hush, 'b' FROM t", 200), "SELECT ***");
        assert_eq!(statement("SELECT E'a' \n 'b\\'hush'", 200), "SELECT *** ***");
    }

    #[test]
    fn long_statements_are_cut() {
        assert_eq!(statement("SELECT ä, b, c", 9), "SELECT ä,…");
        assert_eq!(statement("SELECT a", 8), "SELECT a");
    }

    /// Whatever is between quotes, and however the text is cut, no value remains.
    #[test]
    fn cut_anywhere_no_value_shows() {
        let whole = "/*hush*/ INSERT INTO t VALUES ('hush', E'\\'hush', $q$hush$q$, $$hush$$, 'it''s hush') -- hush";
        for end in whole.char_indices().map(|(at, _)| at) {
            let shown = statement(&whole[..end], 500);
            assert!(!shown.contains("hu"), "{end}: {shown}");
        }
    }
}
