//! The side that is a restore point: what its index recorded.

use std::collections::BTreeMap;

use holdpoint_archive::Head;
use holdpoint_core::PointId;
use holdpoint_core::index::{ObjectRecord, TableRecord};
use holdpoint_core::relation_name::columns_of_list;
use sha2::{Digest, Sha256};

use super::tables::{TableNow, TableThen};
use super::{Side, SideKind};
use crate::expected::{self, Expected};
use crate::restored::recorded_normal;
use crate::{Context, Error};

/// The largest head that is read: 100 million objects' worth.
const LARGEST_HEAD: u64 = 4 << 30;

/// What a restore point recorded.
#[derive(Clone, Debug)]
pub(super) struct Recorded {
    pub(super) expected: Expected,
    /// Texts that any restore writes differently, as the newest full proof found them.
    pub(super) normal: Vec<ObjectRecord>,
    /// There is such a proof.
    pub(super) proven: bool,
}

impl Recorded {
    /// Reads a restore point of the context's folder.
    ///
    /// Fails with [`Error::PointElsewhere`] for one of another folder.
    pub(super) async fn read(context: &Context, point: &PointId) -> Result<Self, Error> {
        let expected = match Expected::read(context, point).await {
            Err(error @ Error::NoSuchPoint { .. }) => return Err(elsewhere(context, point).await.unwrap_or(error)),
            read => read?,
        };
        let normal = recorded_normal(context, point).await?.texts;
        Ok(Self { expected, proven: normal.is_some(), normal: normal.unwrap_or_default() })
    }

    /// Names the side.
    pub(super) fn side(&self) -> Side {
        let manifest = &self.expected.manifest;
        Side {
            kind: SideKind::RestorePoint,
            name: manifest.id.to_string(),
            at: manifest.snapshot.at,
            server_version: manifest.server.version.clone(),
        }
    }

    /// Its tables by comparison group.
    pub(super) fn tables(&self) -> BTreeMap<String, TableThen> {
        let mut tables: BTreeMap<String, TableThen> = BTreeMap::new();
        for table in &self.expected.tables {
            let entry = tables
                .entry(table.group.clone())
                .or_insert_with(|| TableThen { columns: columns(table), digest: holdpoint_core::RowDigest::default() });
            entry.digest.merge(&table.digest);
        }
        tables
    }

    /// Its tables as the later side of a comparison with `then`.
    pub(super) fn tables_beside(&self, then: &Self) -> BTreeMap<String, TableNow> {
        let facts = |one: &Self| {
            let server = &one.expected.manifest.server;
            (server.encoding.clone(), server.lc_monetary.clone())
        };
        let same_form = facts(self) == facts(then);
        let before = then.tables();
        let now = |(name, table): (String, TableThen)| {
            let why = match before.get(&name) {
                Some(was) if !same_columns(was, &table) => None,
                Some(_) if !same_form => Some("the restore points differ in encoding or lc_monetary"),
                Some(was) if was.columns != table.columns => Some("its columns stand in another order"),
                _ => None,
            };
            let comparable = why.is_none() && before.get(&name).is_some_and(|was| was.columns == table.columns);
            let now = TableNow {
                rows: Some(table.digest.rows),
                digest: comparable.then_some(table.digest),
                estimated: false,
                why: why.map(str::to_owned),
                columns: table.columns,
            };
            (name, now)
        };
        self.tables().into_iter().map(now).collect()
    }

    /// Reads the archive's header and contents, and nothing of its rows.
    pub(super) async fn head(&self, context: &Context) -> Result<Head, Error> {
        let manifest = &self.expected.manifest;
        let store = context.repository.store();
        let (bytes, object, sha256) = match &manifest.contents {
            Some(contents) => (expected::small(context, &contents.key).await?, contents.key.clone(), &contents.sha256),
            None => {
                let archive = &manifest.archive;
                let reader = store.read(&archive.key, Some(0..archive.head_bytes), None).await?;
                (reader.read_to_end(LARGEST_HEAD).await?, archive.key.clone(), &archive.head_sha256)
            }
        };
        if hex::encode(Sha256::digest(&bytes)) != *sha256 {
            let reason = "the contents are not what was written".to_owned();
            return Err(holdpoint_engine::Error::Damaged { object, offset: 0, reason }.into());
        }
        Head::parse(&bytes).map_err(|error| holdpoint_engine::Error::from(error).into())
    }
}

/// The columns of a table as its rows have them.
pub(super) fn columns(table: &TableRecord) -> Vec<String> {
    table.columns.as_deref().map(columns_of_list).unwrap_or_default()
}

fn same_columns(one: &TableThen, other: &TableThen) -> bool {
    one.columns.len() == other.columns.len() && one.columns.iter().all(|column| other.columns.contains(column))
}

/// Looks for a restore point in the repository's other folders.
async fn elsewhere(context: &Context, point: &PointId) -> Option<Error> {
    for database in context.repository.databases().await.ok()? {
        if database != context.database && context.repository.points(&database).await.ok()?.contains(point) {
            return Some(Error::PointElsewhere {
                point: point.to_string(),
                database: context.database.to_string(),
                folder: database.to_string(),
            });
        }
    }
    None
}
