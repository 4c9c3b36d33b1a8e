//! A session that copies portions: lock, copy, let go; a lost connection is replaced and its portion copied again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use holdpoint_core::progress::Progress;
use holdpoint_postgres::copied_rows::{Copied, copied_rows};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose, Snapshot};

use super::gather::Gather;
use super::output::{Output, Part};
use super::plan::{Plan, Portion, Table};
use super::statement::{self, BACK, Locks};
use super::window::{Dealt, Window};
use super::{CopyOutOptions, large_objects};
use crate::{Error, Pace};

/// How often a portion is copied again after its connection was lost.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);
/// Beyond the pinned text form: ranges of pages must be read as such, and compiling a plan costs more than a portion.
/// The time-out ends a wait that the NOWAIT before it could not foresee, such as for a table in a row filter.
const SETTINGS: &str = "SET jit = off; SET enable_tidscan = on; SET lock_timeout = '10s'";

/// What all sessions of one copy share.
pub(super) struct Crew {
    pub(super) plan: Plan,
    pub(super) options: CopyOutOptions,
    pub(super) encoding: String,
    pub(super) settings: ConnectionSettings,
    pub(super) snapshot_id: String,
    pub(super) window: Window,
    pub(super) pace: Arc<Pace>,
    pub(super) progress: Arc<dyn Progress>,
}

impl Crew {
    pub(super) fn gather(&self) -> Gather {
        Gather::new(self.options.codec, self.options.piece_bytes)
    }

    pub(super) fn share(&self, portion: &Portion) -> Share<'_> {
        let (disk_bytes, expected_bytes) = self.plan.expected(portion);
        Share {
            table: self.plan.table_of(portion),
            disk_bytes,
            expected_bytes,
            text_bytes: 0,
            told: 0,
            refused_bytes: 0,
        }
    }

    /// Hears of every byte that arrives, before it is worked on: the one place where reading is slowed down.
    pub(super) async fn arrived(&self, share: &mut Share<'_>, bytes: u64) {
        self.pace.read(bytes).await;
        share.text_bytes += bytes;
        let covered = share.disk_bytes as f64 * (share.text_bytes as f64 / share.expected_bytes.max(1) as f64);
        self.tell(share, (covered as u64).min(share.disk_bytes));
    }

    /// Says that the portion is copied.
    pub(super) fn complete(&self, share: &mut Share<'_>) {
        let covered = share.disk_bytes.saturating_sub(share.refused_bytes);
        self.tell(share, covered);
    }

    /// Says what is covered; never less than was said before, as when a portion is copied again.
    fn tell(&self, share: &mut Share<'_>, covered: u64) {
        let more = covered.saturating_sub(share.told);
        if more == 0 {
            return;
        }
        share.told = covered;
        self.progress.advance(more);
        if let Some(table) = share.table {
            let covered = table.covered.fetch_add(more, Ordering::Relaxed) + more;
            self.progress.item(&table.name, covered, Some(table.disk.bytes()));
        }
    }
}

/// How much of a portion has arrived, in bytes on disk that it covers.
pub(super) struct Share<'a> {
    /// The one table that the portion is of.
    table: Option<&'a Table>,
    disk_bytes: u64,
    expected_bytes: u64,
    text_bytes: u64,
    told: u64,
    /// What the coordinator is to copy, and to tell of.
    refused_bytes: u64,
}

/// Opens a session in the snapshot that reads as the coordinator does.
pub(super) async fn connect(settings: &ConnectionSettings, snapshot_id: &str) -> Result<Session, Error> {
    // Begins with the coordinator's name, by which those who wait for the backup are told from others.
    let name = format!("{} copy", settings.application_name().unwrap_or("holdpoint"));
    let session = Session::connect(settings, &SessionPurpose::new(name)).await?;
    session.pin_text_form().await?;
    session.run("setting up a copying session", SETTINGS).await?;
    Ok(Snapshot::import(session, snapshot_id).await?)
}

/// One session and what it works with.
pub(super) struct Worker {
    crew: Arc<Crew>,
    session: Option<Session>,
    gather: Gather,
}

impl Worker {
    pub(super) fn new(crew: Arc<Crew>, session: Session) -> Self {
        let gather = crew.gather();
        Self { crew, session: Some(session), gather }
    }

    /// Copies portions until all are dealt.
    pub(super) async fn run(mut self) -> Result<(), Error> {
        let crew = Arc::clone(&self.crew);
        loop {
            // Before a portion is taken: whoever has one never waits for a turn.
            let _turn = crew.pace.turn().await;
            let Some(Dealt { portion, to }) = crew.window.take(&crew.plan).await else { break };
            let mut output = Output::new(crew.options.buffer_bytes(), to);
            self.portion(&crew, &portion, &mut output).await?;
            self.gather.leave(output).await?;
        }
        self.gather.settle().await?;
        if let Some(session) = self.session {
            session.close().await;
        }
        Ok(())
    }

    async fn portion(&mut self, crew: &Crew, portion: &Portion, output: &mut Output) -> Result<(), Error> {
        let mut share = crew.share(portion);
        for tries in 1.. {
            match self.attempt(crew, portion, output, &mut share).await {
                Ok(()) => break,
                Err(Error::Postgres(lost)) if lost.is_transient() && tries < TRIES && !output.is_live() => {
                    crew.progress.note(&format!("a copying session was lost and is replaced: {lost}"));
                    self.session = None;
                    output.clear();
                    self.gather.reset().await;
                    share.text_bytes = 0;
                    tokio::time::sleep(PAUSE * (tries - 1)).await;
                }
                Err(error) => return Err(error),
            }
        }
        crew.complete(&mut share);
        Ok(())
    }

    async fn attempt(
        &mut self,
        crew: &Crew,
        portion: &Portion,
        output: &mut Output,
        share: &mut Share<'_>,
    ) -> Result<(), Error> {
        let session = match self.session.take() {
            Some(session) => session,
            None => connect(&crew.settings, &crew.snapshot_id).await?,
        };
        let session = self.session.insert(session);
        let mark = output.mark();
        match copy(session, crew, &mut self.gather, portion, Locks::Take, output, share).await {
            Err(error) if refused(&error) && output.back_to(mark) => {}
            copied => return copied,
        }
        recover(session, &mut self.gather).await?;
        let Portion::Tables(tables) = portion else {
            share.refused_bytes += share.disk_bytes;
            return output.put(Part::Refused(portion.clone())).await;
        };
        for table in tables.clone() {
            let one = Portion::Tables(table..table + 1);
            let mark = output.mark();
            match copy(session, crew, &mut self.gather, &one, Locks::Take, output, share).await {
                Err(error) if refused(&error) && output.back_to(mark) => {
                    recover(session, &mut self.gather).await?;
                    share.refused_bytes += crew.plan.expected(&one).0;
                    output.put(Part::Refused(one)).await?;
                }
                copied => {
                    copied?;
                    self.gather.finish(output).await?;
                }
            }
        }
        Ok(())
    }
}

/// Makes session and gather usable again after a refusal.
pub(super) async fn recover(session: &Session, gather: &mut Gather) -> Result<(), Error> {
    gather.reset().await;
    Ok(session.run("letting locks go", BACK).await?)
}

/// Somebody holds an exclusive lock on the table, or waits for one: nobody else may wait behind them.
pub(super) fn refused(error: &Error) -> bool {
    matches!(error, Error::Postgres(error) if error.sqlstate() == Some("55P03"))
}

/// Copies a portion over a session that is in the snapshot; its last piece may still be with `gather`.
pub(super) async fn copy(
    session: &Session,
    crew: &Crew,
    gather: &mut Gather,
    portion: &Portion,
    locks: Locks,
    output: &mut Output,
    share: &mut Share<'_>,
) -> Result<(), Error> {
    match portion {
        Portion::LargeObjects { block, objects } => {
            large_objects::copy(session, crew, gather, *block, objects.clone(), output, share).await
        }
        Portion::Tables(_) | Portion::Pages { .. } => {
            copy_rows(session, crew, gather, portion, locks, output, share).await
        }
    }
}

async fn copy_rows(
    session: &Session,
    crew: &Crew,
    gather: &mut Gather,
    portion: &Portion,
    locks: Locks,
    output: &mut Output,
    share: &mut Share<'_>,
) -> Result<(), Error> {
    let (mut number, from, to) = match portion {
        Portion::Tables(tables) => (tables.start, 0, None),
        Portion::Pages { table, from, to } => (*table, *from, *to),
        Portion::LargeObjects { .. } => return Ok(()),
    };
    let what = format!("copying {}", crew.plan.tables[number].name);
    let mut rows = copied_rows(session, &what, statement::copy(&crew.plan, portion, &crew.encoding, locks));
    let (mut began, mut text_bytes, mut counted) = (false, 0, 0);
    while let Some(copied) = rows.next().await? {
        let Some(table) = crew.plan.tables.get(number) else { break };
        if !began {
            began = true;
            gather.begin_rows(table.order.as_ref());
            if from == 0 {
                gather.put(Part::OpenTable(number), output).await?;
            }
        }
        match copied {
            Copied::Rows(batch) => {
                text_bytes += batch.len() as u64;
                crew.arrived(share, batch.len() as u64).await;
                gather.rows(&batch, output).await?;
            }
            Copied::End => {
                counted += gather.end_rows(&table.name, to.is_none(), output).await?;
                if to.is_none() {
                    gather.put(Part::CloseTable(number), output).await?;
                }
                (number, began) = (number + 1, false);
            }
        }
    }
    if rows.rows() != Some(counted) {
        return Err(Error::RowsDiffer { what, sent: rows.rows().unwrap_or(0), arrived: counted });
    }
    if let Portion::Pages { table, .. } = portion {
        crew.plan.tables[*table].measured.add(crew.plan.expected(portion).0, text_bytes);
    }
    Ok(())
}
