//! Where tables come from: a restore point, a dump made elsewhere, or another database.

use std::collections::BTreeSet;
use std::sync::Arc;

use holdpoint_core::PointId;
use holdpoint_core::digest::RowDigest;
use holdpoint_core::fingerprint::qualified;
use holdpoint_core::name::archive_text;
use holdpoint_core::selector::Selector;
use holdpoint_engine::{LoadTarget, RowOrders, TableBlock};
use holdpoint_postgres::{ConnectionSettings, Session};
use holdpoint_repository::ObjectStore;

use super::RecoverOptions;
use super::database::OtherDatabase;
use super::dump::TextDump;
use super::find::Known;
use super::past::Past;
use super::point::PointArchive;
use super::side::SideSchema;
use crate::selection::{refuse_after_unsettled, resolve};
use crate::{Context, Error};

/// Where a person wants tables from.
#[derive(Clone, Debug)]
pub enum RecoverFrom {
    /// A restore point.
    Point(Selector),
    /// A dump that holdpoint did not make.
    Dump {
        /// Its path or URL.
        place: String,
        /// The store and the key in it, for one in S3.
        stored: Option<(Arc<dyn ObjectStore>, String)>,
    },
    /// Another database, such as an instance restored to a point in time.
    Database(Box<ConnectionSettings>),
    /// An RDS instance as it was at an instant.
    Rds(Box<Past>),
}

/// What is known of a source as a whole.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// How it is called in messages.
    pub(super) place: String,
    /// How reports name it.
    pub(super) from: String,
    pub(super) point: Option<PointId>,
    /// The encoding of its texts and rows.
    pub(super) encoding: String,
    /// The `lc_monetary` that its rows were written under, where that is known.
    pub(super) lc_monetary: Option<String>,
    /// Bytes of the whole archive or dump; 0 where that is not known.
    pub(super) archive_bytes: u64,
}

impl Facts {
    /// How rows are loaded into a table, named with its columns.
    pub(super) fn target(&self, settings: &ConnectionSettings, table: String) -> LoadTarget {
        LoadTarget {
            settings: settings.clone(),
            table,
            encoding: self.encoding.clone(),
            lc_monetary: self.lc_monetary.clone(),
        }
    }

    /// A text of the source, as text; `None` for what has none in its encoding and cannot be said to a server.
    pub(super) fn sql(&self, bytes: &[u8]) -> Option<String> {
        let text = archive_text(bytes, &self.encoding);
        let whole = text.as_bytes() == bytes || !text.contains("\\x");
        whole.then_some(text)
    }
}

/// A table to recover, and everything that it takes to make and load it.
#[derive(Debug)]
pub(super) struct Recovered {
    /// Schema and name where it comes from.
    pub(super) known: Known,
    /// Its name as statements there write it.
    pub(super) quoted: Vec<u8>,
    /// The statement that makes it.
    pub(super) definition: Vec<u8>,
    /// What must be there to make it, with what drops each again.
    pub(super) prerequisites: Vec<(Vec<u8>, Vec<u8>)>,
    /// Statements that make its indexes and unique constraints.
    pub(super) indexes: Vec<Vec<u8>>,
    /// Its rows.
    pub(super) rows: Rows,
    /// The partitions that hold its rows there; `None` for a table that holds them itself.
    pub(super) leaves: Option<Vec<Known>>,
}

/// Where a table's rows lie: in one place, or one for each of its partitions.
#[derive(Debug)]
pub(super) enum Rows {
    /// Blocks of an archive, and the columns that they are digested in.
    Blocks(Vec<(TableBlock, RowOrders)>, Option<String>),
    /// COPY statements of a text, by the tables' quoted names.
    Text(Vec<Vec<u8>>),
    /// Tables of another database, as statements write them.
    Tables(Vec<String>),
}

impl Recovered {
    /// The name for people.
    pub(super) fn name(&self) -> String {
        qualified(Some(&self.known.0), &self.known.1)
    }

    /// Rows, and bytes stored and of text, that were recorded; none are for a source that records nothing.
    pub(super) fn recorded(&self) -> (u64, u64, u64) {
        let Rows::Blocks(blocks, _) = &self.rows else { return (0, 0, 0) };
        blocks.iter().fold((0, 0, 0), |(rows, stored, text), (block, _)| {
            let record = &block.record;
            (rows + record.digest.rows, stored + block.stored_bytes(), text + record.data_bytes)
        })
    }
}

/// What loading a side table gave.
#[derive(Clone, Debug, Default)]
pub(super) struct Proof {
    /// The rows as they were read, in the order of `columns`.
    pub(super) digest: RowDigest,
    /// The columns, quoted.
    pub(super) columns: Option<String>,
    /// Statements that make indexes, where they are only known at the end of the rows.
    pub(super) indexes: Vec<Vec<u8>>,
}

/// A source of tables.
pub(super) enum Source {
    Point(Box<PointArchive>),
    Dump(Box<TextDump>),
    Database(Box<OtherDatabase>),
}

impl Source {
    /// Opens a restore point.
    pub(super) async fn point(context: &Context, selector: &Selector) -> Result<Self, Error> {
        let point = resolve(context, selector).await?;
        refuse_after_unsettled(context, selector, &point).await?;
        Ok(match PointArchive::open(context, &point).await? {
            Ok(archive) => Self::Point(Box::new(archive)),
            // Stored as SQL text: it is read like any other text, and compared with its index.
            Err(manifest) => Self::Dump(Box::new(TextDump::of_point(context, *manifest).await?)),
        })
    }

    /// Opens a source: reads what it says of its tables, and no rows.
    ///
    /// `live` is a session of the database that tables come back into.
    pub(super) async fn open(context: &Context, options: &RecoverOptions, live: &Session) -> Result<Self, Error> {
        let major = live.server().major;
        Ok(match &options.from {
            RecoverFrom::Point(selector) => Self::point(context, selector).await?,
            RecoverFrom::Dump { place, stored } => {
                Self::Dump(Box::new(TextDump::open(context, options, place, stored.clone(), major).await?))
            }
            RecoverFrom::Database(settings) => {
                Self::Database(Box::new(OtherDatabase::open(context, options, settings, live).await?))
            }
            RecoverFrom::Rds(past) => {
                let what = format!("{} is not made yet", past.source.instance);
                return Err(Error::Internal(what));
            }
        })
    }

    pub(super) fn facts(&self) -> &Facts {
        match self {
            Self::Point(archive) => &archive.facts,
            Self::Dump(dump) => &dump.facts,
            Self::Database(database) => &database.facts,
        }
    }

    /// Bytes read before any rows.
    pub(super) fn fetched_bytes(&self) -> u64 {
        match self {
            Self::Point(archive) => archive.fetched_bytes(),
            Self::Dump(_) | Self::Database(_) => 0,
        }
    }

    /// Every table that there is.
    pub(super) fn known(&self) -> Vec<Known> {
        match self {
            Self::Point(archive) => archive.catalogue.known(),
            Self::Dump(dump) => dump.known(),
            Self::Database(database) => database.known.clone(),
        }
    }

    /// What is worth knowing of the source.
    pub(super) fn notes(&self) -> &[String] {
        match self {
            Self::Point(_) | Self::Dump(_) => &[],
            Self::Database(database) => &database.notes,
        }
    }

    /// Which of these tables are partitions of another of them: they come back with it.
    pub(super) fn below(&self, all: &[Known]) -> BTreeSet<Known> {
        match self {
            Self::Point(archive) => archive.catalogue.below(all),
            Self::Dump(dump) => dump.below(all),
            Self::Database(database) => database.catalogue.below(all),
        }
    }

    /// Gathers what it takes to recover tables.
    pub(super) fn tables(&self, wanted: &[Known]) -> Result<Vec<Recovered>, Error> {
        match self {
            Self::Point(archive) => archive.tables(wanted),
            Self::Dump(dump) => dump.tables(wanted),
            Self::Database(database) => database.tables(wanted),
        }
    }

    /// Loads tables into their side tables; returns the bytes read and what came in.
    pub(super) async fn load(
        &self,
        context: &Context,
        side: &SideSchema,
        tables: &[Recovered],
        jobs: usize,
    ) -> Result<(u64, Vec<Proof>), Error> {
        match self {
            Self::Point(archive) => archive.load(context, side, tables, jobs).await,
            Self::Dump(dump) => dump.load(context, side, tables).await,
            Self::Database(database) => database.load(context, side, tables).await,
        }
    }

    /// Ends what the source holds open.
    pub(super) async fn close(self) {
        if let Self::Database(database) = self {
            database.close().await;
        }
    }
}
