//! The statements that load a table.

use std::sync::atomic::{AtomicU64, Ordering};

use holdpoint_archive::{CopyStatement, Entry, EntryKind, Head};
use holdpoint_core::name::{is_decodable, quote_literal};
use holdpoint_core::progress::Progress;

use crate::{Contents, Error, TablePlan};

/// Tells whether a session of ours can name every table and column of an archive, which have to be said in UTF-8.
///
/// Where not (a database of encoding SQL_ASCII with other letters), only pg_restore can load it. Fails when the
/// contents do not parse.
pub fn can_be_loaded(head: &Head) -> Result<bool, Error> {
    let encoding = head.encoding()?.unwrap_or_else(|| "SQL_ASCII".to_owned());
    for entry in head.entries().iter().filter(|entry| entry.has_data) {
        match entry.kind() {
            EntryKind::TableData => {
                let statement = CopyStatement::parse(entry.copy_statement.as_deref().unwrap_or_default())?;
                if !is_decodable(&statement.target, &encoding)
                    || !is_decodable(statement.columns.as_deref().unwrap_or_default(), &encoding)
                {
                    return Ok(false);
                }
            }
            EntryKind::LargeObjects => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// A table that rows are loaded into.
#[derive(Debug)]
pub(super) struct LoadTarget {
    /// As the COPY statement names it.
    pub(super) name: String,
    copy: String,
    /// The table is the archive's own and empty, so it can be emptied again in the transaction that loads it.
    pub(super) own: bool,
    /// Its rows must come after those of other tables, and one piece after the other: an extension's tables have their
    /// foreign keys already.
    pub(super) in_order: bool,
    table_bytes: Option<u64>,
    loaded_bytes: AtomicU64,
}

impl LoadTarget {
    pub(super) fn new(
        head: &Head,
        contents: &Contents,
        entry: &Entry,
        plan: &TablePlan,
        table_bytes: Option<u64>,
    ) -> Self {
        let columns = plan.columns.as_ref().map(|columns| format!(" ({columns})")).unwrap_or_default();
        let copy =
            format!("COPY {}{columns} FROM STDIN WITH (ENCODING {}", plan.target, quote_literal(&contents.encoding));
        let depends_on = |fits: &dyn Fn(&Entry) -> bool| {
            let mut entries = entry.dependencies.iter().filter_map(|id| head.entry(*id));
            entries.any(fits)
        };
        let made = depends_on(&|on| {
            on.description.as_ref() == b"TABLE" && on.tag == entry.tag && on.namespace == entry.namespace
        });
        let in_order = !made || depends_on(&|on| on.kind() == EntryKind::TableData);
        Self {
            name: plan.target.clone(),
            copy,
            own: made && !plan.via_root,
            in_order,
            table_bytes,
            loaded_bytes: AtomicU64::new(0),
        }
    }

    /// The statement that takes rows; `frozen` only in the transaction that emptied the table.
    pub(super) fn copy(&self, frozen: bool) -> String {
        format!("{}{})", self.copy, if frozen { ", FREEZE true" } else { "" })
    }

    /// The statement that empties the table.
    pub(super) fn truncate(&self) -> String {
        format!("TRUNCATE TABLE ONLY {}", self.name)
    }

    /// Tells the progress that so many bytes more are in.
    pub(super) fn loaded(&self, bytes: u64, progress: &dyn Progress) {
        let done = self.loaded_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        progress.advance(bytes);
        progress.item(&self.name, done, self.table_bytes);
    }
}
