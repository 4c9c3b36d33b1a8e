//! Tables out of a restore point: its archive's head, its index, and the tables' blocks.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use holdpoint_archive::{Codec, CopyStatement, Entry, EntryKind, Selection};
use holdpoint_core::PointId;
use holdpoint_core::digest::{ColumnOrder, RowDigest};
use holdpoint_core::manifest::{Manifest, PointFormat};
use holdpoint_core::name::archive_text;
use holdpoint_engine::{Contents, IndexReader, PartialArchive, RowOrders, fetch_head, load_block, table_blocks};

use super::RecoverError;
use super::catalogue::Catalogue;
use super::find::Known;
use super::leaves::rows_left_out;
use super::side::SideSchema;
use super::source::{Facts, Proof, Recovered, Rows};
use crate::{Context, Error, expected};

/// Loads of fewer bytes are not worth several sessions.
const WORTH_SESSIONS: u64 = 32 << 20;

/// A restore point's archive, of which only the head and the index are read.
pub(super) struct PointArchive {
    pub(super) facts: Facts,
    pub(super) catalogue: Catalogue,
    archive: PartialArchive,
    contents: Contents,
    index: bytes::Bytes,
    index_sha256: String,
    head_bytes: u64,
}

/// What is known of a restore point.
pub(super) fn facts(manifest: &Manifest, encoding: String) -> Facts {
    Facts {
        place: format!("restore point {}", manifest.id),
        from: format!("{} of {}", manifest.id, manifest.database),
        point: Some(manifest.id.clone()),
        encoding,
        lc_monetary: Some(manifest.server.lc_monetary.clone()),
        archive_bytes: manifest.archive.bytes,
    }
}

impl PointArchive {
    /// Reads manifest, index and head of a restore point; gives the manifest back of one that is stored as SQL text.
    pub(super) async fn open(context: &Context, point: &PointId) -> Result<Result<Self, Box<Manifest>>, Error> {
        let manifest = expected::manifest(context, point).await?.manifest;
        if manifest.stored_as == PointFormat::Plain {
            return Ok(Err(Box::new(manifest)));
        }
        let codec: Codec =
            manifest.codec.parse().map_err(|_| Error::Internal(format!("codec {} is unknown", manifest.codec)))?;
        let store = Arc::clone(context.repository.store());
        let key = manifest.index.key.clone();
        let index = expected::small(context, &key);
        let head = async { Ok::<_, Error>(fetch_head(Arc::clone(&store), &manifest.archive, codec).await?) };
        let (index, fetched) = tokio::try_join!(index, head)?;
        let contents = Contents::read(&fetched.head)?;
        Ok(Ok(Self {
            facts: facts(&manifest, contents.encoding.clone()),
            catalogue: Catalogue { head: Arc::new(fetched.head), encoding: contents.encoding.clone() },
            archive: fetched.archive,
            contents,
            index,
            index_sha256: manifest.index.sha256,
            head_bytes: fetched.fetched_bytes,
        }))
    }

    pub(super) fn fetched_bytes(&self) -> u64 {
        self.head_bytes + self.index.len() as u64
    }

    fn data<'a>(&'a self, selection: &'a Selection) -> impl Iterator<Item = &'a Entry> {
        let entries = self.catalogue.entries(&selection.entries);
        entries.filter(|entry| entry.kind() == EntryKind::TableData && entry.has_data)
    }

    /// Gathers what it takes to recover tables.
    pub(super) fn tables(&self, wanted: &[Known]) -> Result<Vec<Recovered>, Error> {
        let selections: Vec<(&Known, &Entry, Selection)> = wanted
            .iter()
            .filter_map(|known| self.catalogue.selection(known).map(|(entry, selection)| (known, entry, selection)))
            .collect();
        let ids: BTreeSet<i32> =
            selections.iter().flat_map(|(_, _, selection)| self.data(selection)).map(|entry| entry.dump_id).collect();
        let index = IndexReader::open(self.index.clone(), &self.index_sha256)?;
        let mut blocks = table_blocks(index, &ids)?;
        let mut found = Vec::new();
        for (known, entry, selection) in &selections {
            let mut columns: Option<(Vec<bytes::Bytes>, Option<String>)> = None;
            let mut own = Vec::new();
            let mut held: BTreeSet<Known> = BTreeSet::new();
            for data in self.data(selection) {
                let Some(block) = blocks.remove(&data.dump_id) else { continue };
                held.insert(self.catalogue.name_of(data));
                let statement = CopyStatement::parse(data.copy_statement.as_deref().unwrap_or_default())
                    .map_err(holdpoint_engine::Error::from)?;
                let list = statement.columns_list();
                let text = || statement.columns.as_ref().map(|list| archive_text(list, &self.facts.encoding));
                let (first, _) = columns.get_or_insert_with(|| (list.clone(), text()));
                let loaded = ColumnOrder::between(&list, first)?;
                let recorded = self.contents.tables.get(&data.dump_id).and_then(|plan| plan.order.clone());
                own.push((block, RowOrders { recorded, loaded }));
            }
            let leaves = self.catalogue.leaves(selection).map(|leaf| self.catalogue.name_of(leaf));
            let lacking: Vec<Known> = leaves.filter(|leaf| !held.contains(leaf)).collect();
            if own.is_empty() || !lacking.is_empty() {
                return Err(rows_left_out(known, &lacking, &self.facts.place).into());
            }
            let rows = Rows::Blocks(own, columns.and_then(|(_, text)| text));
            found.push(self.catalogue.recovered(known, entry, selection, rows));
        }
        Ok(found)
    }

    /// Loads the tables' blocks, and compares the rows of each with what was recorded.
    pub(super) async fn load(
        &self,
        context: &Context,
        side: &SideSchema,
        tables: &[Recovered],
        jobs: usize,
    ) -> Result<(u64, Vec<Proof>), Error> {
        let blocks = tables.iter().enumerate().flat_map(|(nth, table)| {
            let blocks = match &table.rows {
                Rows::Blocks(blocks, _) => blocks.as_slice(),
                Rows::Text(_) | Rows::Tables(_) => &[],
            };
            blocks.iter().map(move |(block, orders)| (nth, table.name(), block, orders))
        });
        let loads = blocks.map(|(nth, table, block, orders)| {
            let columns = block.record.columns.as_ref().map(|columns| format!(" ({columns})")).unwrap_or_default();
            let target = self.facts.target(side.settings(), format!("{}{columns}", side.quoted(nth)));
            let sessions = if block.record.data_bytes < WORTH_SESSIONS { 1 } else { jobs };
            async move {
                let progress = Arc::clone(&context.progress);
                let loaded =
                    load_block(&self.archive, block, orders, &target, sessions, progress, &context.cancel).await?;
                let expected = block.record.digest;
                if loaded.passed.recorded != expected || loaded.rows != expected.rows {
                    let found = RowDigest { rows: loaded.rows, ..loaded.passed.recorded };
                    return Err(Error::from(RecoverError::SideDiffers { table, expected, found }));
                }
                Ok((nth, loaded))
            }
        });
        let mut done = futures_util::stream::iter(loads).buffer_unordered(jobs.max(1));
        let mut proofs: Vec<Proof> = tables
            .iter()
            .map(|table| match &table.rows {
                Rows::Blocks(_, columns) => Proof { columns: columns.clone(), ..Proof::default() },
                Rows::Text(_) | Rows::Tables(_) => Proof::default(),
            })
            .collect();
        let mut bytes = 0;
        while let Some((nth, loaded)) = done.try_next().await? {
            bytes += loaded.fetched_bytes;
            if let Some(proof) = proofs.get_mut(nth) {
                proof.digest.merge(&loaded.passed.loaded);
            }
        }
        Ok((bytes, proofs))
    }
}
