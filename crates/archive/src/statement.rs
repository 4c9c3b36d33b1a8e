//! The statements that entries hold: where one ends, and which table it is about.
//!
//! An entry's definition may hold several statements (`CREATE INDEX …; ALTER TABLE … CLUSTER ON …;`), and pg_dump writes
//! each of them in one form. So a statement can be made about another table by replacing the name at the one place where
//! that form has it; nothing is searched for, and what has another form is refused.

/// Returns the first statement of a text, with its semicolon; `None` where it does not end.
///
/// Knows string literals (also `E'…'` and `$tag$…$tag$`), quoted identifiers and comments. Bytes of an encoding in which
/// ASCII stands for itself, as in every encoding that a server can have.
pub fn first_statement(text: &[u8]) -> Option<&[u8]> {
    let mut scan = StatementScan::default();
    text.iter().position(|byte| scan.push(*byte)).map(|end| &text[..=end])
}

/// Finds the ends of statements in SQL text that arrives byte by byte.
///
/// Does not know COPY data: whoever meets a `COPY … FROM stdin;` reads the rows before going on. Bodies between
/// `BEGIN ATOMIC` and `END` come in parts.
#[derive(Debug, Clone, Default)]
pub struct StatementScan {
    within: Within,
    /// The last three bytes outside of quotes, the newest first.
    before: [u8; 3],
    tag: Vec<u8>,
    matched: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Within {
    #[default]
    Nothing,
    Text,
    EscapedText,
    Escape,
    Identifier,
    LineComment,
    BlockComment(u32),
    /// Between the dollars that open a dollar-quoted text.
    Tag,
    DollarText,
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

impl StatementScan {
    /// Takes the next byte in; says whether it ends a statement.
    pub fn push(&mut self, byte: u8) -> bool {
        let [last, before_last, _] = self.before;
        match self.within {
            Within::Nothing => {
                match byte {
                    b'\'' if matches!(last, b'E' | b'e') && !is_word(before_last) => self.within = Within::EscapedText,
                    b'\'' => self.within = Within::Text,
                    b'"' => self.within = Within::Identifier,
                    b'-' if last == b'-' => self.within = Within::LineComment,
                    b'*' if last == b'/' => self.within = Within::BlockComment(1),
                    b'$' if !is_word(last) => {
                        self.within = Within::Tag;
                        self.tag = vec![b'$'];
                    }
                    _ => {}
                }
                self.remember(if self.within == Within::Nothing { byte } else { b' ' });
                return byte == b';' && self.within == Within::Nothing;
            }
            Within::Text if byte == b'\'' => self.within = Within::Nothing,
            Within::EscapedText => match byte {
                b'\\' => self.within = Within::Escape,
                // A doubled quote goes on with the same kind of text: the E is remembered for it.
                b'\'' => {
                    self.within = Within::Nothing;
                    self.before = [b'E', b' ', b' '];
                }
                _ => {}
            },
            Within::Escape => self.within = Within::EscapedText,
            Within::Identifier if byte == b'"' => self.within = Within::Nothing,
            Within::LineComment if byte == b'\n' => self.within = Within::Nothing,
            Within::BlockComment(depth) => {
                self.remember(byte);
                if last == b'*' && byte == b'/' {
                    self.within = if depth == 1 { Within::Nothing } else { Within::BlockComment(depth - 1) };
                    self.before = [b' '; 3];
                } else if last == b'/' && byte == b'*' {
                    self.within = Within::BlockComment(depth + 1);
                    self.before = [b' '; 3];
                }
            }
            Within::Tag => {
                self.tag.push(byte);
                if byte == b'$' {
                    self.within = Within::DollarText;
                    self.matched = 0;
                } else if !is_word(byte) || (self.tag.len() == 2 && byte.is_ascii_digit()) {
                    // A parameter or a lone dollar.
                    self.within = Within::Nothing;
                    self.remember(byte);
                    return byte == b';';
                }
            }
            Within::DollarText => {
                if byte == self.tag[self.matched] {
                    self.matched += 1;
                } else {
                    self.matched = usize::from(byte == b'$');
                }
                if self.matched == self.tag.len() {
                    self.within = Within::Nothing;
                }
            }
            Within::Text | Within::Identifier | Within::LineComment => {}
        }
        false
    }

    fn remember(&mut self, byte: u8) {
        self.before = [byte, self.before[0], self.before[1]];
    }
}

/// Makes a statement about another table.
///
/// `definition` is an entry's, of which only the first statement is taken; `table` the table's name as quoted there and
/// `to` the other's. Knows `CREATE TABLE`, `CREATE INDEX … ON` and `ALTER TABLE`; `None` for any other form, and for
/// statements about another table. Names within expressions and types are not touched.
pub fn retargeted(definition: &[u8], table: &[u8], to: &[u8]) -> Option<Vec<u8>> {
    let statement = first_statement(definition)?;
    let mut scan = Form { text: statement, at: 0 };
    if scan.skip(b"CREATE ") {
        if scan.skip(b"TABLE ") || scan.skip(b"UNLOGGED TABLE ") {
        } else {
            let _: bool = scan.skip(b"UNIQUE ");
            if !(scan.skip(b"INDEX ") && scan.identifier() && scan.skip(b" ON ")) {
                return None;
            }
            let _: bool = scan.skip(b"ONLY ");
        }
    } else if scan.skip(b"ALTER TABLE ") {
        let _: bool = scan.skip(b"ONLY ");
    } else {
        return None;
    }
    let from = scan.at;
    if !scan.skip(table) || !scan.text.get(scan.at).is_some_and(|next| matches!(next, b' ' | b'\n' | b'(')) {
        return None;
    }
    Some([&statement[..from], to, &statement[scan.at..]].concat())
}

/// Tells whether a statement gives a table a primary key or a unique constraint.
pub fn unique_constraint(definition: &[u8], table: &[u8]) -> bool {
    let mut scan = Form { text: definition, at: 0 };
    let added = scan.skip(b"ALTER TABLE ") && {
        let _: bool = scan.skip(b"ONLY ");
        scan.skip(table) && scan.skip(b"\n    ADD CONSTRAINT ") && scan.identifier()
    };
    added && (scan.skip(b" PRIMARY KEY ") || scan.skip(b" UNIQUE "))
}

/// Tells whether a statement begins as one that alters this table, or a column of it.
pub(crate) fn alters(definition: &[u8], table: &[u8], then: &[u8]) -> bool {
    let mut scan = Form { text: definition, at: 0 };
    scan.skip(b"ALTER TABLE ") && {
        let _: bool = scan.skip(b"ONLY ");
        scan.skip(table) && scan.skip(then)
    }
}

struct Form<'a> {
    text: &'a [u8],
    at: usize,
}

impl Form<'_> {
    fn skip(&mut self, word: &[u8]) -> bool {
        let found = self.text[self.at..].starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    /// Passes one identifier, quoted (a doubled quote stands for a quote) or plain.
    fn identifier(&mut self) -> bool {
        let rest = &self.text[self.at..];
        if rest.first() != Some(&b'"') {
            let length = rest.iter().take_while(|byte| is_word(**byte)).count();
            self.at += length;
            return length > 0;
        }
        let mut place = 1;
        while let Some(byte) = rest.get(place) {
            place += 1;
            if *byte == b'"' {
                if rest.get(place) != Some(&b'"') {
                    self.at += place;
                    return true;
                }
                place += 1;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str) -> Option<String> {
        first_statement(text.as_bytes()).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn a_statement_ends_at_its_own_semicolon() {
        for whole in [
            "CREATE TABLE s.t (\n    a text DEFAULT 'x;''y'::text\n);",
            "CREATE TABLE s.\"odd;name\"\"x\" (a int);",
            "CREATE TABLE s.t (a text DEFAULT E'it\\'s; \\\\'::text);",
            "CREATE TABLE s.t (a text DEFAULT E'doubled''; \\' still'::text);",
            "CREATE FUNCTION f() AS $_$ a; $x$ b; $_$;",
            "CREATE FUNCTION f() AS $$ a; $$;",
            "SELECT 1 -- no; end\n;",
            "SELECT /* no; /* inner; */ end; */ 1;",
            "SELECT name'x;y' ;",
            "SELECT 'a'--;'\n;",
            "SELECT a$b$;",
            "SELECT $1;",
        ] {
            assert_eq!(first(&format!("{whole} ALTER TABLE s.t CLUSTER ON i;")).as_deref(), Some(whole));
        }
        assert_eq!(first("SELECT 'a;"), None);
        assert_eq!(first(""), None);
    }

    fn about(definition: &str, table: &str) -> Option<String> {
        retargeted(definition.as_bytes(), table.as_bytes(), b"side.x").map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn statements_are_made_about_another_table_and_nothing_else_in_them_changes() {
        for (definition, table, made) in [
            (
                "CREATE TABLE public.t (\n    a public.t DEFAULT 'public.t'\n);\nALTER TABLE ONLY public.t REPLICA IDENTITY FULL;\n",
                "public.t",
                "CREATE TABLE side.x (\n    a public.t DEFAULT 'public.t'\n);",
            ),
            ("CREATE UNLOGGED TABLE s.\"o d\" (\n);\n", "s.\"o d\"", "CREATE UNLOGGED TABLE side.x (\n);"),
            (
                "CREATE UNIQUE INDEX \"i ON s.t\" ON s.t USING btree (a);\n\nALTER TABLE s.t CLUSTER ON \"i ON s.t\";\n",
                "s.t",
                "CREATE UNIQUE INDEX \"i ON s.t\" ON side.x USING btree (a);",
            ),
            ("CREATE INDEX i ON ONLY s.p USING btree (a);", "s.p", "CREATE INDEX i ON ONLY side.x USING btree (a);"),
            (
                "ALTER TABLE ONLY s.t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (id);\n",
                "s.t",
                "ALTER TABLE ONLY side.x\n    ADD CONSTRAINT t_pkey PRIMARY KEY (id);",
            ),
        ] {
            assert_eq!(about(definition, table).as_deref(), Some(made));
        }
    }

    #[test]
    fn unique_constraints_are_told_from_others() {
        let constraint = |kind: &str| format!("ALTER TABLE ONLY s.t\n    ADD CONSTRAINT \"c UNIQUE\" {kind};");
        assert!(unique_constraint(constraint("PRIMARY KEY (id)").as_bytes(), b"s.t"));
        assert!(unique_constraint(constraint("UNIQUE NULLS NOT DISTINCT (id)").as_bytes(), b"s.t"));
        assert!(!unique_constraint(constraint("FOREIGN KEY (id) REFERENCES s.u(id)").as_bytes(), b"s.t"));
        assert!(!unique_constraint(constraint("PRIMARY KEY (id)").as_bytes(), b"s.u"));
    }

    #[test]
    fn other_forms_and_other_tables_are_refused() {
        for definition in [
            "CREATE TABLE s.t2 (\n);",
            "CREATE VIEW s.t AS SELECT 1;",
            "CREATE FOREIGN TABLE s.t (\n);",
            "DROP TABLE s.t;",
            "CREATE INDEX i ON s.t2 USING btree (a);",
            "CREATE INDEX \"i ON s.t",
            "ALTER TABLE s.t",
            "",
        ] {
            assert_eq!(about(definition, "s.t"), None, "{definition}");
        }
    }
}
