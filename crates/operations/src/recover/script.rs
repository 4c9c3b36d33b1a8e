//! Statements of pg_restore: text of some of an archive's entries, that a session can run.

use std::io::Write as _;
use std::time::Duration;

use holdpoint_archive::Head;
use holdpoint_postgres::programs::{ClientProgram, PgRestore, judge};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::source::Facts;
use crate::Error;

const GRACE: Duration = Duration::from_secs(5);

/// Whose owners and grants are made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ownership {
    Recorded,
    Ours,
}

/// What writes statements.
pub(super) struct Scripts<'a> {
    pub(super) pg_restore: &'a ClientProgram,
    pub(super) head: &'a Head,
    pub(super) facts: &'a Facts,
}

impl Scripts<'_> {
    /// Has pg_restore write the statements of some entries, in this order, as text that a session can run.
    pub(super) async fn of(&self, ids: &[i32], ownership: Ownership) -> Result<String, Error> {
        let Self { pg_restore, head, facts } = self;
        if ids.is_empty() {
            return Ok(String::new());
        }
        let failed = |source| Error::Io { what: "asking pg_restore for statements".to_owned(), source };
        let mut list = tempfile::NamedTempFile::new().map_err(failed)?;
        for id in ids {
            writeln!(list, "{id};").map_err(failed)?;
        }
        let mut call = PgRestore::of_stdin(pg_restore).use_list(list.path()).no_tablespaces();
        if ownership == Ownership::Ours {
            call = call.no_owner().no_privileges();
        }
        let mut running = call.into_script().start().map_err(holdpoint_postgres::Error::Process)?;
        let (stdin, stdout) = (running.take_stdin(), running.take_stdout());
        let (Some(mut stdin), Some(mut stdout)) = (stdin, stdout) else {
            return Err(Error::Internal("pg_restore has no pipes".to_owned()));
        };
        let bytes = head.bytes().clone();
        let feed = async move {
            // It stops reading when it has seen enough, and says itself where it has not.
            stdin.write_all(&bytes).await.ok();
            drop(stdin);
        };
        let mut text = Vec::new();
        let ((), read) = tokio::join!(feed, stdout.read_to_end(&mut text));
        read.map_err(failed)?;
        let ended = running.wait_or_cancel(&Default::default(), GRACE).await;
        judge(pg_restore, ended.map_err(holdpoint_postgres::Error::Process)?)?;
        let text = facts.sql(&text).ok_or_else(|| Error::Usage("the table's statements have no text".to_owned()))?;
        Ok(for_session(&text))
    }
}

/// Leaves out what is psql's alone, and of the settings at the beginning those that are this session's: its encoding,
/// since the text is decoded already, and how long it waits.
fn for_session(text: &str) -> String {
    const OURS: [&str; 3] = ["SET client_encoding = ", "SET statement_timeout = ", "SET lock_timeout = "];
    let token = text.lines().find_map(|line| line.strip_prefix("\\restrict "));
    let mut beginning = true;
    let mut kept = String::with_capacity(text.len());
    for line in text.lines() {
        beginning &= !line.starts_with("-- Name: ");
        let psql = token.is_some_and(|token| {
            line.strip_prefix("\\restrict ").or_else(|| line.strip_prefix("\\unrestrict ")) == Some(token)
        });
        if psql || (beginning && OURS.iter().any(|setting| line.starts_with(setting))) {
            continue;
        }
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_for_psql_becomes_one_for_a_session() {
        let text = "\\restrict abc\n\nSET statement_timeout = 0;\nSET client_encoding = 'LATIN1';\n-- Name: t\nCREATE TABLE \
                    s.t (\n);\nCOMMENT ON TABLE s.t IS '\nSET lock_timeout = 1;\n\\restrict x\n';\n\\unrestrict abc\n";
        let kept = "\n-- Name: t\nCREATE TABLE s.t (\n);\nCOMMENT ON TABLE s.t IS '\nSET lock_timeout = 1;\n\\restrict x\n';\n";
        assert_eq!(for_session(text), kept);
    }
}
