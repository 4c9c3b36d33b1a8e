//! Writing what the sessions copied, in the archive's order.

use std::collections::BTreeSet;

use holdpoint_postgres::Snapshot;
use tokio::sync::mpsc;

use super::gather::Gather;
use super::output::{Outcome, Output, Part};
use super::plan::Portion;
use super::statement::Locks;
use super::window::Slot;
use super::worker::{Crew, copy, recover, refused};
use crate::{ArchiveWriter, Contents, Error};

/// How often the coordinator tries to read a range of pages whose table has an index that somebody holds: ten seconds
/// each. Waiting for ever could be a deadlock that PostgreSQL cannot see: they may wait for a session of ours that waits
/// until its rows are written, after these.
const TRIES: u32 = 6;

/// The one who writes.
pub(super) struct Writer<'a> {
    pub(super) crew: &'a Crew,
    pub(super) snapshot: &'a Snapshot,
    pub(super) contents: &'a Contents,
    pub(super) archive: &'a mut ArchiveWriter,
    pub(super) gather: Gather,
    /// Tables of whose lock was told.
    pub(super) noted: BTreeSet<i32>,
}

impl Writer<'_> {
    /// Writes portion after portion until the last; waits for ever where a session failed, whose error is reported.
    pub(super) async fn run(mut self, mut slots: mpsc::UnboundedReceiver<Slot>) -> Result<(), Error> {
        while let Some(Slot { outcome, permit }) = slots.recv().await {
            match outcome.await {
                Ok(Outcome::Whole(parts)) => {
                    for part in parts {
                        self.part(part).await?;
                    }
                }
                Ok(Outcome::Live(parts)) => self.live(parts).await?,
                Err(_) => std::future::pending().await,
            }
            drop(permit);
        }
        Ok(())
    }

    async fn live(&mut self, mut parts: mpsc::Receiver<Part>) -> Result<(), Error> {
        loop {
            match parts.recv().await {
                Some(Part::End) => return Ok(()),
                Some(part) => self.part(part).await?,
                None => std::future::pending().await,
            }
        }
    }

    async fn part(&mut self, part: Part) -> Result<(), Error> {
        match part {
            Part::Refused(portion) => self.by_coordinator(&portion).await,
            part => self.write(part).await,
        }
    }

    async fn write(&mut self, part: Part) -> Result<(), Error> {
        match part {
            Part::OpenTable(number) => self.archive.open_table(self.crew.plan.tables[number].dump_id).await,
            Part::CloseTable(number) => {
                let table = &self.crew.plan.tables[number];
                let plan = self.contents.tables.get(&table.dump_id);
                let plan = plan.ok_or(Error::Truncated("a table that the contents do not name"))?;
                self.archive.close_table(plan, table.filter.clone()).await
            }
            Part::Piece(piece) => self.archive.piece(piece).await,
            Part::OpenLargeObjects(dump_id) => self.archive.open_large_objects(dump_id).await,
            Part::OpenLargeObject(oid) => self.archive.open_large_object(oid).await,
            Part::CloseLargeObject(oid, digest) => self.archive.close_large_object(oid, digest).await,
            Part::CloseLargeObjects => self.archive.close_large_objects().await,
            Part::Refused(_) | Part::End => Ok(()),
        }
    }

    /// Copies what a session was refused over the coordinator's, whose locks let it through at once.
    ///
    /// It is done here, at the head: were it done earlier, window and lock could wait for each other.
    async fn by_coordinator(&mut self, portion: &Portion) -> Result<(), Error> {
        let crew = self.crew;
        if let Some(table) = crew.plan.table_of(portion)
            && self.noted.insert(table.dump_id)
        {
            let note = format!("somebody waits to lock {}: it is copied by the session that holds a lock", table.name);
            crew.progress.note(&note);
        }
        let (mut output, mut parts) = Output::live();
        let mut gather = std::mem::replace(&mut self.gather, crew.gather());
        let mut share = crew.share(portion);
        let session = self.snapshot.session();
        let copying = async {
            for tries in 1.. {
                let mark = output.mark();
                match copy(session, crew, &mut gather, portion, Locks::Held, &mut output, &mut share).await {
                    Err(error) if refused(&error) && tries < TRIES && output.back_to(mark) => {
                        recover(session, &mut gather).await?;
                    }
                    copied => {
                        copied?;
                        break;
                    }
                }
            }
            crew.complete(&mut share);
            gather.finish(&mut output).await?;
            output.end().await
        };
        let writing = async {
            while let Some(part) = parts.recv().await {
                self.write(part).await?;
            }
            Ok(())
        };
        tokio::try_join!(copying, writing)?;
        self.gather = gather;
        Ok(())
    }
}
