//! Telling apart the databases of one text: pg_dumpall writes many into it, each behind a `\connect`.

use crate::Error;

/// Watches which database a text's tables are of.
#[derive(Debug, Default)]
pub(crate) struct TextDatabases {
    /// What the last `\connect` named; a text without one is of one database.
    connected: Option<Vec<u8>>,
    /// The same when the first table was told of.
    of_tables: Option<Option<Vec<u8>>>,
}

impl TextDatabases {
    /// Looks at a line between statements; of interest are psql's commands that connect.
    pub(crate) fn line(&mut self, line: &[u8]) {
        let line = line.trim_ascii();
        let named = line.strip_prefix(b"\\connect").or_else(|| line.strip_prefix(b"\\c"));
        let named = named.filter(|rest| rest.first().is_some_and(u8::is_ascii_whitespace)).map(<[u8]>::trim_ascii);
        // A dash stands for the database of before: another role connects to it.
        if let Some(named) = named.filter(|named| *named != b"-" && !named.starts_with(b"- ")) {
            self.connected = Some(named.to_vec());
        }
    }

    /// Fails with [`Error::SeveralDatabases`] at a table of another database than that of the tables before it.
    ///
    /// Databases without tables do not count: pg_dumpall writes `template1` and `postgres` too.
    pub(crate) fn statement(&mut self, statement: &[u8]) -> Result<(), Error> {
        const OF_TABLES: [&[u8]; 4] = [b"COPY ", b"INSERT INTO ", b"CREATE TABLE ", b"CREATE UNLOGGED TABLE "];
        if !OF_TABLES.iter().any(|start| statement.starts_with(start)) {
            return Ok(());
        }
        let first = self.of_tables.get_or_insert_with(|| self.connected.clone());
        if *first == self.connected { Ok(()) } else { Err(Error::SeveralDatabases) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_of_one(text: &str) -> bool {
        let mut databases = TextDatabases::default();
        text.lines().all(|line| {
            databases.line(line.as_bytes());
            databases.statement(line.as_bytes()).is_ok()
        })
    }

    #[test]
    fn databases_with_tables_are_told_apart() {
        let table = "CREATE TABLE public.t (";
        let one = format!("\\connect template1\nSET x = 1;\n\\connect shop\nALTER x;\n\\connect shop\r\n{table}\n");
        assert!(is_of_one(&one));
        assert!(is_of_one(&format!("{one}\\connect - app\n\\conninfo\n\\copy x\n\\c\nCOPY public.t (a) FROM stdin;")));
        for connect in ["\\connect other", "\\c other", "\\connect -reuse-previous=on \"dbname='o t'\""] {
            assert!(is_of_one(&format!("{one}{connect}\nALTER x;")), "{connect}");
            for of_table in [table, "CREATE UNLOGGED TABLE t (", "COPY t FROM stdin;", "INSERT INTO t VALUES (1);"] {
                assert!(!is_of_one(&format!("{one}{connect}\n{of_table}")), "{connect} {of_table}");
            }
        }
        assert!(!is_of_one(&format!("{table}\n\\connect shop\n{table}")));
    }
}
