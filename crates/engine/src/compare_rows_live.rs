//! The rows of a live table, for a comparison.

use std::collections::{BTreeSet, HashMap};

use holdpoint_core::digest::RowDigest;
use holdpoint_core::name::quote_literal;
use holdpoint_core::progress::Progress;
use holdpoint_postgres::copied_rows::{Copied, copied_rows};
use holdpoint_postgres::{ConnectionSettings, Session};

use crate::Error;
use crate::compare_rows::{BATCH, Batches};
use crate::compare_rows_form::{Lines, RowForm, RowHasher};
use crate::compare_rows_marks::{Hand, Mark};
use crate::compare_rows_sample::Samples;
use crate::digest::{DigestOptions, HeldSnapshot, Unread, open_in, rewritten, unread};

/// Rows that one statement fetches again.
const FETCHED: usize = 1000;
/// Where a row is comes before its columns: which table or partition, and where in it.
const PLACE_COLUMNS: usize = 2;

/// The rows of a live table.
///
/// The session is in a snapshot with the pinned text form, and stays there with its lock on the table until it is
/// dropped: a row is found again where it was.
#[derive(Debug)]
pub struct LiveRows {
    /// The session.
    pub session: Session,
    /// The table's name, for people.
    pub name: String,
    /// What is read: the table, quoted, with `ONLY` unless its partitions belong to it; or some partitions one by one.
    pub from: Vec<String>,
    /// A condition with its `WHERE`, where only some rows count.
    pub filter: Option<String>,
    /// The compared columns, quoted.
    pub columns: Vec<String>,
    /// Which of them are the key.
    pub key: Vec<usize>,
    /// The encoding that both sides are read in, such as `UTF8`.
    pub encoding: String,
}

impl LiveRows {
    fn form(&self) -> RowForm {
        RowForm {
            width: PLACE_COLUMNS + self.columns.len(),
            key: self.key.iter().map(|place| place + PLACE_COLUMNS).collect(),
            columns: (0..self.columns.len()).map(|place| place + PLACE_COLUMNS).collect(),
        }
    }

    fn statement(&self, condition: &str) -> String {
        let filter = self.filter.as_deref().unwrap_or_default();
        let columns: String = self.columns.iter().map(|column| format!(", {column}")).collect();
        let one = |from: &String| format!("SELECT tableoid, ctid{columns} FROM {from} {filter}");
        let mut rows = self.from.iter().map(one).collect::<Vec<_>>().join(" UNION ALL ");
        if !condition.is_empty() {
            // The table's own condition may be anything, so what is asked of its rows comes around it.
            rows = format!("SELECT * FROM ({rows}) AS listed WHERE {condition}");
        }
        format!("COPY ({rows}) TO STDOUT (ENCODING {})", quote_literal(&self.encoding))
    }

    /// Opens a session in a snapshot that somebody holds open, with the text form that rows are compared in.
    ///
    /// # Errors
    /// Those of connecting, and of a snapshot that is gone.
    pub async fn open(
        settings: &ConnectionSettings,
        snapshot: &HeldSnapshot,
        lc_monetary: Option<&str>,
    ) -> Result<Session, Error> {
        let options = DigestOptions {
            jobs: 1,
            encoding: String::new(),
            lc_monetary: lc_monetary.map(str::to_owned),
            large_objects: None,
            quiet: false,
            one_at_a_time: true,
        };
        open_in(settings, &options, Some(snapshot)).await
    }

    /// Takes the lock of a reader on a table, which then stays as the snapshot saw it; says what kept it from that.
    ///
    /// # Errors
    /// Those of PostgreSQL, such as missing rights.
    pub async fn lock(session: &Session, quoted: &str) -> Result<Option<Unread>, Error> {
        let what = format!("locking {quoted}");
        match session.run(&what, &format!("LOCK TABLE {quoted} IN ACCESS SHARE MODE")).await {
            Ok(()) => Ok(rewritten(session, quoted).await?.then_some(Unread::Rewritten)),
            Err(error) => match unread(&error) {
                Some(unread) => Ok(Some(unread)),
                None => Err(error.into()),
            },
        }
    }

    pub(crate) async fn read(&self, hand: Hand, send: &Batches, progress: &dyn Progress) -> Result<RowDigest, Error> {
        let mut hasher = RowHasher::new(self.form());
        let mut digest = RowDigest::default();
        let mut batch = Vec::with_capacity(BATCH);
        let mut lines = Lines::default();
        let what = format!("reading {}", self.name);
        let mut rows = copied_rows(&self.session, &what, self.statement(""));
        while let Some(copied) = rows.next().await? {
            let Copied::Rows(bytes) = copied else { continue };
            progress.advance(bytes.len() as u64);
            lines.push(&bytes, &mut |row| {
                let (key, columns) = hasher.hash(row)?;
                digest.add_hash(columns);
                batch.push(Mark::new(key, columns, self.place(row)?));
                Ok(())
            })?;
            if batch.len() >= BATCH {
                let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                send.send((hand, full)).await.map_err(|_| Error::NobodyReads)?;
            }
        }
        send.send((hand, batch)).await.map_err(|_| Error::NobodyReads)?;
        if lines.within_row() {
            return Err(self.cut());
        }
        match rows.rows() {
            Some(sent) if sent == digest.rows => Ok(digest),
            sent => Err(Error::RowsDiffer { what, sent: sent.unwrap_or(0), arrived: digest.rows }),
        }
    }

    fn cut(&self) -> Error {
        Error::RowCut { table: self.name.clone() }
    }

    fn place(&self, row: &[u8]) -> Result<u64, Error> {
        let mut parts = row.splitn(3, |byte| *byte == b'\t');
        let (table, tid) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        place(table, tid).ok_or_else(|| self.cut())
    }

    pub(crate) async fn fetch(&self, wanted: &HashMap<u128, u64>, samples: &mut Samples) -> Result<(), Error> {
        let form = self.form();
        let mut hasher = RowHasher::new(form.clone());
        let places: Vec<u64> = wanted.values().copied().collect();
        for places in places.chunks(FETCHED) {
            let tids: Vec<String> = places.iter().map(|place| format!("\"{}\"", tid(*place))).collect();
            let tables: BTreeSet<u64> = places.iter().map(|place| place >> 48).collect();
            let tables = tables.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
            let condition = format!(
                "ctid = ANY ('{{{}}}'::pg_catalog.tid[]) AND (tableoid::pg_catalog.int8 & 65535) IN ({tables})",
                tids.join(",")
            );
            let mut lines = Lines::default();
            let what = format!("reading {} again", self.name);
            let mut rows = copied_rows(&self.session, &what, self.statement(&condition));
            while let Some(copied) = rows.next().await? {
                let Copied::Rows(bytes) = copied else { continue };
                lines.push(&bytes, &mut |row| {
                    let (key, _) = hasher.hash(row)?;
                    if wanted.contains_key(&key) { samples.keep(key, &form, row) } else { Ok(()) }
                })?;
            }
        }
        Ok(())
    }
}

/// Packs where a row is: 16 bits of the table, 32 of the block, 16 of the row in it.
///
/// Two partitions may share the 16 bits; the key then says which row is meant.
fn place(table: &[u8], tid: &[u8]) -> Option<u64> {
    let table: u64 = std::str::from_utf8(table).ok()?.parse().ok()?;
    let tid = std::str::from_utf8(tid).ok()?.strip_prefix('(')?.strip_suffix(')')?;
    let (block, row) = tid.split_once(',')?;
    let (block, row): (u32, u16) = (block.parse().ok()?, row.parse().ok()?);
    Some((table & 0xffff) << 48 | u64::from(block) << 16 | u64::from(row))
}

fn tid(place: u64) -> String {
    format!("({},{})", (place >> 16) as u32, place as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_again() {
        let packed = place(b"4294967295", b"(4294967294,65535)").unwrap();
        assert_eq!((packed >> 48, tid(packed)), (65535, "(4294967294,65535)".to_owned()));
        for wrong in [&b"(1,2"[..], b"1,2", b"(1)", b"(x,1)", b""] {
            assert_eq!(place(b"1", wrong), None);
        }
    }
}
