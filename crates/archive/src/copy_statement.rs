//! The COPY statement of an entry of table data.

use bytes::Bytes;

use crate::Error;

/// A `COPY … FROM stdin;` as pg_dump writes it, taken apart but not unquoted.
///
/// With load through the partition root the target is the root, while the data come from the leaf: never read from the
/// target, read from the relation whose OID the entry names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyStatement {
    /// The table, quoted and with its schema as in the statement.
    pub target: Bytes,
    /// The text between the parentheses, or `None` where the table has no column to copy.
    pub columns: Option<Bytes>,
}

impl CopyStatement {
    /// Takes a statement apart. Errors with [`Error::CopyStatement`] where it is not of pg_dump's form.
    pub fn parse(statement: &[u8]) -> Result<Self, Error> {
        let mut scan = Scan { text: statement, at: 0 };
        scan.expect(b"COPY ")?;
        let target_at = scan.at;
        scan.identifier()?;
        while scan.skip(b".") {
            scan.identifier()?;
        }
        let target = Bytes::copy_from_slice(&statement[target_at..scan.at]);
        scan.expect(b" ")?;
        let columns = if scan.skip(b"(") {
            let columns_at = scan.at;
            scan.identifier()?;
            while scan.skip(b", ") {
                scan.identifier()?;
            }
            let columns = Bytes::copy_from_slice(&statement[columns_at..scan.at]);
            scan.expect(b") ")?;
            Some(columns)
        } else {
            // Without columns pg_dump leaves the two blanks that surround the list.
            let _: bool = scan.skip(b" ");
            None
        };
        scan.expect(b"FROM stdin;")?;
        if statement[scan.at..].iter().all(u8::is_ascii_whitespace) {
            Ok(Self { target, columns })
        } else {
            Err(scan.unexpected())
        }
    }

    /// Returns the columns' names, quoted as in the statement; none where there is no list.
    pub fn columns_list(&self) -> Vec<Bytes> {
        let Some(columns) = &self.columns else { return Vec::new() };
        let mut names = Vec::new();
        let mut scan = Scan { text: columns, at: 0 };
        loop {
            let from = scan.at;
            // `parse` has read the same names, so this cannot fail for its values.
            if scan.identifier().is_err() {
                return names;
            }
            names.push(columns.slice(from..scan.at));
            if !scan.skip(b", ") {
                return names;
            }
        }
    }
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn unexpected(&self) -> Error {
        Error::CopyStatement { at: self.at }
    }

    fn skip(&mut self, word: &[u8]) -> bool {
        let found = self.text[self.at..].starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn expect(&mut self, word: &[u8]) -> Result<(), Error> {
        if self.skip(word) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Passes one identifier, quoted (a doubled quote stands for a quote) or plain.
    fn identifier(&mut self) -> Result<(), Error> {
        let from = self.at;
        if !self.skip(b"\"") {
            let plain = |byte: &&u8| !byte.is_ascii_whitespace() && !b"\"().,;".contains(byte);
            self.at += self.text[self.at..].iter().take_while(plain).count();
            return if self.at > from { Ok(()) } else { Err(self.unexpected()) };
        }
        while let Some(byte) = self.text.get(self.at) {
            self.at += 1;
            if *byte == b'"' && !self.skip(b"\"") {
                return Ok(());
            }
        }
        Err(Error::CopyStatement { at: from })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(statement: &str) -> (String, Option<String>, Vec<String>) {
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        let parsed = CopyStatement::parse(statement.as_bytes()).unwrap();
        (text(&parsed.target), parsed.columns.as_ref().map(text), parsed.columns_list().iter().map(text).collect())
    }

    #[test]
    fn takes_names_of_every_kind() {
        let (target, columns, list) = parse("COPY public.orders (id, customer_id) FROM stdin;\n");
        assert_eq!((target.as_str(), columns.as_deref()), ("public.orders", Some("id, customer_id")));
        assert_eq!(list, ["id", "customer_id"]);

        let statement = "COPY \"a.b (x) FROM stdin;\".\"tab\there \"\"q\"\"\" (\"co,l\", \"p)a(\", \"a, b\", \"\"\"\", \"FROM stdin;\") FROM stdin;\n";
        let (target, _, list) = parse(statement);
        assert_eq!(target, "\"a.b (x) FROM stdin;\".\"tab\there \"\"q\"\"\"");
        assert_eq!(list, ["\"co,l\"", "\"p)a(\"", "\"a, b\"", "\"\"\"\"", "\"FROM stdin;\""]);
    }

    #[test]
    fn takes_a_table_without_columns() {
        assert_eq!(parse("COPY public.nothing  FROM stdin;\n"), ("public.nothing".to_owned(), None, Vec::new()));
    }

    #[test]
    fn takes_bytes_that_are_not_utf8() {
        let parsed = CopyStatement::parse(b"COPY \"sch\xe9ma\".t (\"\xff\") FROM stdin;\n").unwrap();
        assert_eq!(&parsed.target[..], b"\"sch\xe9ma\".t");
        assert_eq!(parsed.columns_list(), [&b"\"\xff\""[..]]);
    }

    #[test]
    fn refuses_what_pg_dump_does_not_write() {
        for statement in [
            "",
            "COPY ",
            "COPY t",
            "COPY t FROM stdin",
            "COPY t () FROM stdin;\n",
            "COPY t (a,b) FROM stdin;\n",
            "COPY t (a FROM stdin;\n",
            "COPY \"t (a) FROM stdin;\n",
            "COPY t. (a) FROM stdin;\n",
            "COPY t (a) FROM stdin; DROP TABLE t;\n",
            "COPY t (a) FROM stdin WITH CSV;\n",
            "INSERT INTO t",
        ] {
            assert!(CopyStatement::parse(statement.as_bytes()).is_err(), "{statement:?}");
        }
    }
}
