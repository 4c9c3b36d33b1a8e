//! Cuts a text into statements, as the program that sends it does.

use std::ops::Range;

use super::token::{Token, token_at};

/// What reads the text before the server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reader {
    /// psql: lines that begin with a backslash, and `:variables`, are its own.
    pub(crate) psql: bool,
    /// Lines after `COPY … FROM stdin;` are data.
    pub(crate) copy_data: bool,
    /// `${…}` is replaced everywhere, also in quotes.
    pub(crate) replaces_in_quotes: bool,
}

/// A piece of the text that is not blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// One statement, its semicolon included.
    Statement {
        /// Where it stands, from its first token on.
        range: Range<usize>,
        /// Whether something has to be put in before it is SQL.
        placeholder: bool,
        /// Whether a quote or comment in it never ends.
        unterminated: bool,
    },
    /// A meta-command of psql, without its backslash and arguments.
    Meta {
        /// Where.
        range: Range<usize>,
        /// Its name.
        command: String,
    },
}

/// Cuts `text[within]`.
pub(crate) fn pieces(text: &str, within: Range<usize>, reader: Reader) -> Vec<Piece> {
    let mut cutter =
        Cutter { text, reader, pieces: Vec::new(), at: within.start, end: within.end, open: Open::default() };
    cutter.cut();
    cutter.pieces
}

/// The statement that is being read.
#[derive(Default)]
struct Open {
    start: Option<usize>,
    last: usize,
    words: Vec<String>,
    brackets: usize,
    squares: usize,
    atomic: usize,
    placeholder: bool,
    unterminated: bool,
}

struct Cutter<'a> {
    text: &'a str,
    reader: Reader,
    pieces: Vec<Piece>,
    at: usize,
    end: usize,
    open: Open,
}

impl Cutter<'_> {
    fn cut(&mut self) {
        // What lies behind the end belongs to another part and must not close a quote of this one.
        let text = &self.text[..self.end];
        while self.at < self.end {
            let (token, end) = token_at(text, self.at);
            let from = std::mem::replace(&mut self.at, end);
            if self.reader.psql && token == Token::Sign(b'\\') {
                self.meta(from);
                continue;
            }
            if token == Token::Blank {
                continue;
            }
            if token == Token::Sign(b';') && self.open.start.is_none() {
                continue;
            }
            self.open.start.get_or_insert(from);
            self.open.last = end;
            self.look(token, from, end);
            if token == Token::Sign(b';') && self.open.brackets == 0 && self.open.atomic == 0 {
                let data = self.reader.copy_data && self.open.reads_data();
                self.finish();
                if data {
                    self.rest_of_line();
                    self.skip_data();
                }
            }
        }
        self.finish();
    }

    fn look(&mut self, token: Token, from: usize, end: usize) {
        let text = &self.text[from..self.end];
        match token {
            Token::Word => self.open.word(&self.text[from..end]),
            Token::Unterminated | Token::Continued => self.open.unterminated = true,
            Token::Quoted if self.reader.replaces_in_quotes => {
                self.open.placeholder |= self.text[from..end].contains("${");
            }
            Token::Sign(b'(') => self.open.brackets += 1,
            Token::Sign(b')') => self.open.brackets = self.open.brackets.saturating_sub(1),
            Token::Sign(b'[') => self.open.squares += 1,
            Token::Sign(b']') => self.open.squares = self.open.squares.saturating_sub(1),
            Token::Sign(b'$') if text.starts_with("${") => self.open.placeholder = true,
            Token::Sign(b':') if self.reader.psql && self.open.squares == 0 => {
                let before = self.text[..from].ends_with(':');
                let next = text[1..].chars().next();
                let variable = next.is_some_and(|c| c.is_alphabetic() || matches!(c, '_' | '\'' | '"' | '{'));
                self.open.placeholder |= variable && !before;
            }
            _ => {}
        }
    }

    fn finish(&mut self) {
        let open = std::mem::take(&mut self.open);
        if let Some(start) = open.start {
            self.pieces.push(Piece::Statement {
                range: start..open.last,
                placeholder: open.placeholder,
                unterminated: open.unterminated,
            });
        }
    }

    /// A backslash outside quotes is psql's; what was typed before it is sent, as `\g` and its kin do.
    fn meta(&mut self, from: usize) {
        self.finish();
        let line_end = self.text[from..self.end].find('\n').map_or(self.end, |found| from + found);
        let line = &self.text[from + 1..line_end];
        let mut command: String = line.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        if command.is_empty() {
            command.extend(line.chars().next().filter(char::is_ascii_punctuation));
        }
        if line.contains('`') {
            // The shell runs what stands in there.
            command.push('`');
        } else if line.contains('\\') && command != "\\" {
            // What follows a further backslash is another command, or SQL again.
            command.push('\\');
        }
        self.at = line_end;
        self.pieces.push(Piece::Meta { range: from..line_end, command });
    }

    /// SQL that goes on behind `COPY … FROM stdin;` on the same line runs once the data are read.
    fn rest_of_line(&mut self) {
        let line_end = self.text[self.at..self.end].find('\n').map_or(self.end, |found| self.at + found);
        let mut place = self.at;
        while place < line_end {
            let (token, end) = token_at(&self.text[..line_end], place);
            if token != Token::Blank {
                self.pieces.push(Piece::Statement { range: place..line_end, placeholder: false, unterminated: true });
                return;
            }
            place = end;
        }
    }

    /// Data begin on the next line and end with `\.` on a line of its own, or with the file.
    fn skip_data(&mut self) {
        let line_end = self.text[self.at..self.end].find('\n').map_or(self.end, |found| self.at + found + 1);
        let mut place = line_end;
        for line in self.text[line_end..self.end].split_inclusive('\n') {
            place += line.len();
            if line.trim_end_matches(['\n', '\r']) == "\\." {
                break;
            }
        }
        self.at = place;
    }
}

impl Open {
    /// `BEGIN ATOMIC … END` holds semicolons. The rule is psql's (`psqlscan.l`): within CREATE FUNCTION or PROCEDURE, and
    /// outside brackets, BEGIN opens and END closes; CASE counts once one is open.
    fn word(&mut self, word: &str) {
        let word = word.to_ascii_lowercase();
        if self.brackets == 0 && self.creates_routine() {
            match word.as_str() {
                "begin" => self.atomic += 1,
                "case" if self.atomic > 0 => self.atomic += 1,
                "end" => self.atomic = self.atomic.saturating_sub(1),
                _ => {}
            }
        }
        if self.words.len() < 400 {
            self.words.push(word);
        }
    }

    fn creates_routine(&self) -> bool {
        let words: Vec<&str> = self.words.iter().take(4).map(String::as_str).collect();
        matches!(
            words.as_slice(),
            ["create", "function" | "procedure", ..] | ["create", "or", "replace", "function" | "procedure"]
        )
    }

    fn reads_data(&self) -> bool {
        let from = |pair: &[String]| pair[0] == "from" && pair[1] == "stdin";
        self.words.first().is_some_and(|word| word == "copy") && self.words.windows(2).any(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PSQL: Reader = Reader { psql: true, copy_data: true, replaces_in_quotes: false };
    const DRIVER: Reader = Reader { psql: false, copy_data: false, replaces_in_quotes: false };

    fn cut(text: &str, reader: Reader) -> Vec<String> {
        let show = |piece: Piece| match piece {
            Piece::Statement { range, placeholder, unterminated } => {
                format!(
                    "{}{}{}",
                    &text[range],
                    if placeholder { " [placeholder]" } else { "" },
                    if unterminated { " [open]" } else { "" }
                )
            }
            Piece::Meta { command, .. } => format!("\\{command}"),
        };
        pieces(text, 0..text.len(), reader).into_iter().map(show).collect()
    }

    #[test]
    fn statements_end_at_their_own_semicolons() {
        assert_eq!(cut("select 1; -- a;b\n;; select ';' ; x", DRIVER), ["select 1;", "select ';' ;", "x"]);
        assert_eq!(
            cut("do $$ begin a; b; end $$; drop table t", DRIVER),
            ["do $$ begin a; b; end $$;", "drop table t"]
        );
        assert_eq!(cut("create rule r as on insert to t do (a; b); c;", DRIVER).len(), 2);
        let atomic = "create function f() returns int begin atomic select case when true then 1 end; select 2; end; drop table t;";
        assert_eq!(cut(atomic, DRIVER)[1..], ["drop table t;"]);
        assert_eq!(cut("begin; drop table t; end;", DRIVER).len(), 3, "a transaction is no body");
    }

    #[test]
    fn data_of_copy_is_no_sql() {
        let text = "COPY t (a) FROM stdin;\nit's\nDROP TABLE x;\n\\N\tb\n\\.\nDROP TABLE after_copy;\n";
        assert_eq!(cut(text, PSQL), ["COPY t (a) FROM stdin;", "DROP TABLE after_copy;"]);
        assert_eq!(cut("copy t from stdin;\r\na'b\r\n\\.\r\nselect 1;", PSQL).len(), 2);
        assert_eq!(cut("copy t from stdin;\nnever ended", PSQL).len(), 1);
        assert_eq!(
            cut("copy t from stdin; drop table x;\n1\n\\.\nselect 1;", PSQL),
            ["copy t from stdin;", "drop table x; [open]", "select 1;"]
        );
        assert_eq!(cut("copy t from stdin; -- a\rdrop table x;\n1\n\\.\n", PSQL)[1..], ["drop table x; [open]"]);
        assert_eq!(cut("copy t from stdin; -- data\n1\n\\.\nselect 1;", PSQL)[1..], ["select 1;"]);
        assert_eq!(cut("copy (select 1) to stdout;\nselect 2;", PSQL).len(), 2);
    }

    #[test]
    fn psqls_own_words_are_seen() {
        assert_eq!(
            cut("\\set x 'it''s\nselect 1 \\gexec\nselect 2;", PSQL),
            ["\\set", "select 1", "\\gexec", "select 2;"]
        );
        assert_eq!(cut("drop table :name;", PSQL), ["drop table :name; [placeholder]"]);
        assert_eq!(cut("\\echo a \\\\ drop table t;\n\\echo b \\i c", PSQL), ["\\echo\\", "\\echo\\"]);
        assert_eq!(cut("select a::int, b[1:c] from t;", PSQL), ["select a::int, b[1:c] from t;"]);
        assert_eq!(cut("select ':x'; select '\\d';", PSQL).len(), 2);
    }

    #[test]
    fn what_never_ends_and_what_is_not_filled_in_is_marked() {
        assert_eq!(cut("drop table ${schema}.t;", DRIVER), ["drop table ${schema}.t; [placeholder]"]);
        assert_eq!(cut("select 'a; drop table t;", DRIVER), ["select 'a; drop table t; [open]"]);
        assert_eq!(cut("select '${x}'", DRIVER), ["select '${x}'"]);
        let flyway = Reader { psql: false, copy_data: true, replaces_in_quotes: true };
        assert_eq!(cut("select '${x}'", flyway), ["select '${x}' [placeholder]"]);
        assert_eq!(cut("-- ${x}\nselect 1", flyway), ["select 1"]);
    }
}
