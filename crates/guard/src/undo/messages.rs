//! What psql says while a script runs: passed on as a person reads it, with the SQLSTATE of its last message kept.
//!
//! psql tells the SQLSTATE of a message only with `VERBOSITY=verbose`, together with the place in the server's sources. Both are
//! taken out again of what is passed on. The last message is the error where psql stops at the first one (`ON_ERROR_STOP`).

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// How much of a line is looked at: it begins with the script's path, which may be long.
const HEAD_BYTES: usize = 8 << 10;
const CHUNK_BYTES: usize = 8 << 10;
/// How a line ends before its SQLSTATE begins, whatever the server's language (`libpq`'s `pqBuildErrorMessage3`).
const BEFORE_CODE: &[u8] = b":  ";
const PLACE: &[u8] = b"LOCATION:  ";

/// The SQLSTATE of psql's last message about the script itself.
#[derive(Clone, Debug, Default)]
pub(super) struct LastState(Arc<Mutex<Option<String>>>);

impl LastState {
    /// The five signs; `None` where psql said nothing, or its last message was its own.
    pub(super) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, state: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

/// Whether an error with this SQLSTATE says that what a statement works on is not there, or is there already (PostgreSQL
/// manual, appendix A): of class 42 those for undefined and duplicate objects, and the names of schemas and databases.
pub(super) fn is_not_there(state: &str) -> bool {
    matches!(
        state,
        // Undefined: table, column, object, function; schema; database.
        "42P01" | "42703" | "42704" | "42883" | "3F000" | "3D000"
        // Duplicate: table, column, object, function, schema, database.
        | "42P07" | "42701" | "42710" | "42723" | "42P06" | "42P04"
    )
}

/// A stream of psql's messages, as a person reads them.
pub(super) struct Messages<R> {
    from: R,
    reading: Reading,
    out: Vec<u8>,
    passed: usize,
    ended: bool,
}

impl<R: AsyncRead + Unpin> Messages<R> {
    /// Reads `from`; `state` is kept up to date with what went through.
    pub(super) fn new(from: R, state: LastState) -> Self {
        Self {
            from,
            reading: Reading { line: Vec::new(), rest: Rest::Whole, state },
            out: Vec::new(),
            passed: 0,
            ended: false,
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Messages<R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let own = self.get_mut();
        while own.passed == own.out.len() {
            if own.ended {
                return Poll::Ready(Ok(()));
            }
            own.out.clear();
            own.passed = 0;
            let mut chunk = [0; CHUNK_BYTES];
            let mut read = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut own.from).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                own.ended = true;
                own.reading.end(&mut own.out);
            } else {
                own.reading.take(read.filled(), &mut own.out);
            }
        }
        let count = buffer.remaining().min(own.out.len() - own.passed);
        buffer.put_slice(&own.out[own.passed..own.passed + count]);
        own.passed += count;
        Poll::Ready(Ok(()))
    }
}

/// What is done with the line that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// It is looked at once it is whole, or long.
    Whole,
    /// Its beginning was passed on already.
    Passed,
    /// Its beginning was left out already.
    LeftOut,
}

struct Reading {
    line: Vec<u8>,
    rest: Rest,
    state: LastState,
}

impl Reading {
    fn take(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            match self.rest {
                Rest::Whole => self.line.extend_from_slice(part),
                Rest::Passed => out.extend_from_slice(part),
                Rest::LeftOut => {}
            }
            if part.ends_with(b"\n") {
                self.end(out);
            } else if self.rest == Rest::Whole && self.line.len() >= HEAD_BYTES {
                self.rest = self.look(out);
            }
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if self.rest == Rest::Whole && !self.line.is_empty() {
            self.look(out);
        }
        self.rest = Rest::Whole;
    }

    /// Passes the line on, or what is there of it; says what is done with its rest.
    fn look(&mut self, out: &mut Vec<u8>) -> Rest {
        let line = std::mem::take(&mut self.line);
        if line.starts_with(PLACE) {
            return Rest::LeftOut;
        }
        let is_message = line.starts_with(b"psql:");
        match code(&line) {
            Some((at, state)) => {
                // What is piped in, such as what puts the tool's table right, is none of the script's.
                self.state.set(Some(state).filter(|_| is_message && !line.starts_with(b"psql:<stdin>")));
                out.extend_from_slice(&line[..at]);
                out.extend_from_slice(&line[at + "42P01: ".len()..]);
            }
            None => {
                if is_message {
                    self.state.set(None);
                }
                out.extend_from_slice(&line);
            }
        }
        Rest::Passed
    }
}

/// Finds the SQLSTATE of a message: `ERROR:  42P01: …`, behind psql's own words for where that was.
fn code(line: &[u8]) -> Option<(usize, String)> {
    let place = line.windows(BEFORE_CODE.len()).position(|found| found == BEFORE_CODE)? + BEFORE_CODE.len();
    let (state, rest) = line[place..].split_at_checked(5)?;
    let is_state = state.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    (is_state && rest.starts_with(b": ")).then(|| (place, String::from_utf8_lossy(state).into_owned()))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// What is passed on of the text, whatever pieces it comes in, and the SQLSTATE that is kept.
    async fn read(text: &str) -> (String, Option<String>) {
        let mut told = Vec::new();
        for size in [1, 7, text.len().max(1)] {
            let (mut writer, reader) = tokio::io::duplex(size);
            let state = LastState::default();
            let mut messages = Messages::new(reader, state.clone());
            let bytes = text.as_bytes().to_vec();
            let write = async {
                tokio::io::AsyncWriteExt::write_all(&mut writer, &bytes).await.unwrap();
                drop(writer);
            };
            let mut passed = Vec::new();
            let (count, ()) = tokio::join!(messages.read_to_end(&mut passed), write);
            count.unwrap();
            told.push((String::from_utf8(passed).unwrap(), state.get()));
        }
        assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");
        told.remove(0)
    }

    #[tokio::test]
    async fn a_message_is_passed_on_as_without_the_code_which_is_kept() {
        let (passed, state) = read(
            "psql:/a b/1.sql:2: NOTICE:  00000: table \"nix\" does not exist, skipping\n\
             LOCATION:  DropErrorMsgNonExistent, tablecmds.c:1506\n\
             psql:/a b/1.sql:5: ERROR:  42P01: relation \"a\" does not exist\nLINE 1: select a\n               ^\n\
             LOCATION:  parserOpenTable, parse_relation.c:1452\n",
        )
        .await;
        let plain = "psql:/a b/1.sql:2: NOTICE:  table \"nix\" does not exist, skipping\n\
                     psql:/a b/1.sql:5: ERROR:  relation \"a\" does not exist\nLINE 1: select a\n               ^\n";
        assert_eq!((passed.as_str(), state.as_deref()), (plain, Some("42P01")));
    }

    #[tokio::test]
    async fn only_the_last_message_about_the_script_tells_how_it_ended() {
        let notice = "psql:1.sql:1: NOTICE:  42P07: relation \"a\" already exists, skipping\nLOCATION:  f, g.c:1\n";
        for (after, state) in [
            ("", Some("42P07")),
            // psql's own words, without a code.
            ("psql:1.sql:2: error: nofile.sql: No such file or directory\n", None),
            ("psql:1.sql:2: ERREUR:  23505: la valeur existe\n", Some("23505")),
            ("psql:<stdin>:9: ERROR:  42P01: relation \"t\" does not exist\n", None),
            ("ERROR:  42703: column \"nix\" does not exist\n", None),
        ] {
            assert_eq!(read(&format!("{notice}{after}")).await.1.as_deref(), state, "{after}");
        }
        assert_eq!(read("").await, (String::new(), None));
    }

    #[tokio::test]
    async fn long_lines_go_through_and_are_not_kept() {
        let long = format!("psql:1.sql:1: ERROR:  P0001: {}\n", "x".repeat(3 * HEAD_BYTES));
        let (passed, state) = read(&format!("{long}LOCATION:  {}\nend", "y".repeat(3 * HEAD_BYTES))).await;
        assert_eq!((passed, state.as_deref()), (format!("{}end", long.replace("P0001: ", "")), Some("P0001")));
    }

    #[test]
    fn what_may_not_be_done_is_not_what_is_not_there() {
        for state in ["42P01", "42704", "3F000", "42710"] {
            assert!(is_not_there(state), "{state}");
        }
        for state in ["42501", "42601", "23505", "57P01", "25P02", "55P03", "00000"] {
            assert!(!is_not_there(state), "{state}");
        }
    }
}
