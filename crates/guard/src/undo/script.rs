//! A script that undoes a migration, by psql: run so that whoever goes on after a kill knows whether it was committed.
//!
//! Wherever its SQL allows, it runs in one transaction with the statement that takes the migration out of the tool's table.
//! The number of that transaction is in the ledger before the script begins, and the server remembers how it ended.

use std::path::Path;
use std::time::Duration;

use holdpoint_core::undoing::BegunScript;
use holdpoint_postgres::programs::{ClientProgram, Psql};
use holdpoint_postgres::session::{Fate, TransactionId};
use holdpoint_postgres::{Session, SessionPurpose, identity};
use holdpoint_process::{Program, Running, Status, Stderr, Stdout};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStdin, ChildStdout};

use super::UndoOptions;
use super::messages::{LastState, Messages, is_not_there};
use super::record::Record;
use super::surroundings::{Surroundings, is_one_statement, surroundings_of};
use super::work::Work;
use crate::running::Channel;
use crate::running::output::Recorder;
use crate::{Error, sessions};

/// How long a cancelled program has to end by itself.
const GRACE: Duration = Duration::from_secs(10);
pub(super) const LOCK_TIMEOUT: &str = "-c lock_timeout=5s";
/// How long a transaction may take to end once its client has gone.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);
/// A line with the number of a transaction is not longer.
const NUMBER_BYTES: u64 = 64;
/// Begins the transaction, and says its number in a line of its own.
const BEGIN: &[u8] = b"BEGIN;\nSELECT pg_catalog.pg_current_xact_id() AS holdpoint_transaction \\gset\n\
                       \\echo :holdpoint_transaction\n\\unset holdpoint_transaction\n";

/// A script, and what psql does with it.
pub(super) struct Script<'a> {
    /// The script with its migration, as the ledger names it.
    pub(super) label: &'a str,
    pub(super) path: &'a Path,
    /// What puts the tool's table right.
    pub(super) repair: Option<&'a str>,
}

/// What numbers of transactions are told apart by: on another timeline, or after another start, a number may be somebody
/// else's.
#[derive(Debug, PartialEq, Eq)]
struct Server {
    timeline: Option<u32>,
    began: String,
}

impl Server {
    async fn of(session: &Session) -> Result<Self, Error> {
        let timeline = identity::read(session).await?.identity.timeline;
        Ok(Self { timeline, began: session.server_began().await? })
    }
}

/// How a program came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// It did what it was to do.
    Done,
    /// It failed, since what it works on is not there, or is there already: how it ended. It changed nothing.
    NotThere(String),
    /// It failed: how it ended. It changed nothing.
    Failed(String),
    /// Nobody can tell what it did: how it ended.
    Unknown(String),
}

impl Script<'_> {
    /// Runs it. Before it begins the ledger says so; where that fails, nothing runs.
    ///
    /// # Errors
    /// Where psql cannot be started, the ledger cannot be written, or the server cannot be asked how the transaction ended:
    /// the ledger then says that it had begun.
    pub(super) async fn run(
        &self,
        work: &Work<'_>,
        psql: &ClientProgram,
        record: &mut Record<'_>,
    ) -> Result<Came, Error> {
        let settings = work.options.live.with_application_name(sessions::token(&work.run));
        let psql = Psql::new(psql, &settings.with_appended_options(LOCK_TIMEOUT)).verbose();
        let text = std::fs::read_to_string(self.path).ok();
        // psql finds what a script includes from where it runs, which is where this program does.
        let surroundings = surroundings_of(&absolute(self.path), &absolute(Path::new(".")));
        let psql = match surroundings {
            Surroundings::Noted => return self.in_one_transaction(work, &psql, record).await,
            Surroundings::Unnoted => psql.single_transaction(),
            Surroundings::None => psql,
        };
        let unnoted = surroundings == Surroundings::Unnoted;
        let program = psql.script(self.path).await?.stderr(Stderr::Piped);
        record.begins(BegunScript { script: self.label.to_owned(), unnoted, ..BegunScript::default() }).await?;
        let program = match self.repair {
            Some(repair) => program.argument("--command").argument(repair),
            None => program,
        };
        let (status, state) = wait_for_psql(work, started(program)?).await?;
        // One statement that never came to work on anything left nothing, whatever is around it.
        let nothing_done = unnoted || text.is_some_and(|text| is_one_statement(&text));
        Ok(match status {
            Status::Code(0) => Came::Done,
            // psql itself says that the script failed.
            Status::Code(3) if nothing_done && state.as_deref().is_some_and(is_not_there) => {
                Came::NotThere(how(status, state))
            }
            // Its transaction ended with it. Without one, what came before the failure stays.
            Status::Code(1 | 3) if unnoted => Came::Failed(how(status, state)),
            status => Came::Unknown(how(status, state)),
        })
    }

    async fn in_one_transaction(&self, work: &Work<'_>, psql: &Psql, record: &mut Record<'_>) -> Result<Came, Error> {
        let server = {
            let session = connected(work).await?;
            let read = Server::of(&session).await;
            session.close().await;
            read?
        };
        let mut running = started(psql.piped().await?.stdout(Stdout::Piped).stderr(Stderr::Piped))?;
        let pipes = (running.take_stdin(), running.take_stdout());
        let (noted, ended) = tokio::join!(self.speak(record, &server, pipes), wait_for_psql(work, running));
        let (noted, (status, state)) = (noted?, ended?);
        let not_there = status == Status::Code(3) && state.as_deref().is_some_and(is_not_there);
        let how = how(status, state);
        let Some(number) = noted else { return Ok(Came::Failed(how)) };
        Ok(match fate_at_last(work, &number, &server).await? {
            // An error after that: it committed by itself, by something that nobody could read.
            Fate::Committed if status == Status::Code(3) => {
                Came::Unknown(format!("{how}, after a part of it was committed"))
            }
            Fate::Committed => Came::Done,
            Fate::Aborted if status == Status::Code(0) => {
                Came::Failed(format!("{how}, and what it did was rolled back"))
            }
            Fate::Aborted if not_there => Came::NotThere(how),
            Fate::Aborted => Came::Failed(how),
            Fate::InProgress | Fate::Forgotten => Came::Unknown(how),
        })
    }

    /// Has the transaction begun, writes its number into the ledger, and only then lets the script run. Whatever goes wrong
    /// before, psql's input ends without a COMMIT. `None`: psql never told a number.
    async fn speak(
        &self,
        record: &mut Record<'_>,
        server: &Server,
        (stdin, stdout): (Option<ChildStdin>, Option<ChildStdout>),
    ) -> Result<Option<TransactionId>, Error> {
        let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else { return Ok(None) };
        let mut stdout = BufReader::new(stdout);
        // Where psql takes nothing more, its own end says why.
        if stdin.write_all(BEGIN).await.is_err() {
            return Ok(None);
        }
        let Some(number) = number(&mut stdout).await else { return Ok(None) };
        let begun = BegunScript {
            script: self.label.to_owned(),
            transaction: Some(number.clone()),
            timeline: server.timeline,
            server_began: Some(server.began.clone()),
            ..BegunScript::default()
        };
        record.begins(begun).await?;
        let repair = self.repair.map(|repair| format!("{repair};\n")).unwrap_or_default();
        let rest = [&Psql::include(&absolute(self.path)), repair.as_bytes(), b"COMMIT;\n"].concat();
        if stdin.write_all(&rest).await.is_ok() {
            stdin.shutdown().await.ok();
        }
        drop(stdin);
        // What the script selects is nobody's concern, and must not stop it.
        tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await.ok();
        Ok(Some(TransactionId::numbered(number)))
    }
}

fn absolute(path: &Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Reads the number that psql tells first.
async fn number(stdout: &mut (impl AsyncBufRead + Unpin)) -> Option<String> {
    let mut line = String::new();
    stdout.take(NUMBER_BYTES).read_line(&mut line).await.ok()?;
    let number = line.strip_suffix('\n')?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then(|| number.to_owned())
}

/// What became of a script that had begun when an undo broke off; `None` where nobody can tell, with the reason.
pub(super) async fn came_to(work: &Work<'_>, begun: &BegunScript) -> Result<Result<bool, String>, Error> {
    let Some(number) = &begun.transaction else {
        let why = if begun.unnoted {
            "it runs in one transaction, and says itself what kind it is, so that nobody could ask for its number: all of it may \
             be there, or nothing"
        } else {
            "it runs in no transaction of its own, so that a part of it may be there"
        };
        return Ok(Err(why.to_owned()));
    };
    let session = connected(work).await?;
    let asked = async {
        let server = Server::of(&session).await?;
        if server.timeline.is_none() || server.timeline != begun.timeline {
            return Ok(None);
        }
        let is_same = begun.server_began.as_ref() == Some(&server.began);
        Ok::<_, Error>(Some((session.fate_of(&TransactionId::numbered(number)).await?, is_same)))
    };
    let asked = asked.await;
    session.close().await;
    Ok(match asked? {
        Some((Fate::Committed, true)) => Ok(true),
        Some((Fate::Committed, false)) => Err(format!(
            "the server was started again since transaction {number} began, and may have given its number to another one"
        )),
        Some((Fate::Aborted, _)) => Ok(false),
        Some((Fate::InProgress, _)) => {
            return Err(Error::StillAtWork {
                run: work.run.to_string(),
                what: format!("{} is at work on the server, in transaction {number}", begun.script),
            });
        }
        Some((Fate::Forgotten, _)) => Err(format!("the server does not remember transaction {number} any more")),
        None => Err(format!("transaction {number} was one of another server, or of another timeline of it")),
    })
}

/// How a transaction ended whose client has gone; waits a moment until the server has noticed that. Where the server was
/// started again since, *committed* is not known of this very transaction.
async fn fate_at_last(work: &Work<'_>, number: &TransactionId, server: &Server) -> Result<Fate, Error> {
    let session = connected(work).await?;
    let asked = async {
        let began = tokio::time::Instant::now();
        loop {
            let fate = session.fate_of(number).await?;
            if fate == Fate::Committed && Server::of(&session).await? != *server {
                return Ok(Fate::Forgotten);
            }
            if fate != Fate::InProgress || began.elapsed() >= ENDS_WITHIN {
                return Ok(fate);
            }
            tokio::time::sleep(POLL).await;
        }
    };
    let asked = asked.await;
    session.close().await;
    asked
}

async fn connected(work: &Work<'_>) -> Result<Session, Error> {
    Ok(Session::connect(&work.options.live, &SessionPurpose::new("holdpoint undo")).await?)
}

/// How psql ended, in words.
fn how(status: Status, state: Option<String>) -> String {
    state.map_or_else(|| status.to_string(), |state| format!("{status}, SQLSTATE {state}"))
}

/// Runs a program to its end, with its output passed on.
pub(super) async fn run(work: &Work<'_>, program: Program) -> Result<Status, Error> {
    wait(work, started(program)?).await
}

fn started(program: Program) -> Result<Running, Error> {
    program.start().map_err(failed)
}

fn failed(error: holdpoint_process::Error) -> Error {
    Error::Postgres(holdpoint_postgres::Error::Process(error))
}

/// Waits for psql, with what it says passed on; gives the SQLSTATE of its last message, too.
async fn wait_for_psql(work: &Work<'_>, mut running: Running) -> Result<(Status, Option<String>), Error> {
    let UndoOptions { tee, mask, .. } = work.options;
    let state = LastState::default();
    let messages = running.take_stderr().map(|stream| Messages::new(stream, state.clone()));
    let mut recorder = Recorder::of(&mut running, tee.as_ref(), mask);
    if let Some(messages) = messages {
        recorder.read(Channel::Err, messages, tee.clone(), mask);
    }
    let status = ended(work, running, recorder).await?;
    Ok((status, state.get()))
}

async fn wait(work: &Work<'_>, mut running: Running) -> Result<Status, Error> {
    let UndoOptions { tee, mask, .. } = work.options;
    let recorder = Recorder::of(&mut running, tee.as_ref(), mask);
    ended(work, running, recorder).await
}

async fn ended(work: &Work<'_>, mut running: Running, recorder: Recorder) -> Result<Status, Error> {
    let UndoOptions { mask, .. } = work.options;
    let ended = running.wait_or_cancel(&work.context.cancel, GRACE).await;
    recorder.finish(mask).await;
    match ended {
        Ok(ended) => Ok(ended.status),
        Err(error) if error.is_cancelled() => Err(Error::Interrupted),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_number_is_taken_for_one() {
        for (text, told) in [("748\nmore", Some("748")), ("", None), ("\n", None), ("7 8\n", None), ("x\n", None)] {
            let mut stream = text.as_bytes();
            assert_eq!(number(&mut stream).await.as_deref(), told, "{text:?}");
        }
        assert_eq!(number(&mut "9".repeat(1000).as_bytes()).await, None, "psql was cut off, or says something else");
    }
}
