//! The tables that hold a table's rows: itself, or the partitions of one that is partitioned.
//!
//! A source may know a partition and hold none of its rows (`--exclude-table-data`), or not know it at all
//! (`--exclude-table`, or it came since). In neither case is anything known of its rows, least of all that there are none.

use holdpoint_core::fingerprint::qualified;
use holdpoint_postgres::Session;

use super::find::Known;
use super::source::Recovered;
use super::statements::Change;
use super::{RecoverError, RecoverMode};
use crate::Error;

/// How many partitions a message names.
const NAMED: usize = 5;

/// Whether a definition, as pg_dump writes it, makes a partitioned table, which holds no rows itself.
pub(super) fn is_partitioned(definition: &[u8]) -> bool {
    const CLAUSE: &[u8] = b"\nPARTITION BY ";
    definition.windows(CLAUSE.len()).any(|part| part == CLAUSE)
}

/// Says that a source does not hold all rows of a table; `lacking` are those of its leaves that it holds none of.
pub(super) fn rows_left_out(table: &Known, lacking: &[Known], place: &str) -> RecoverError {
    let name = |one: &Known| qualified(Some(&one.0), &one.1);
    let place = place.to_owned();
    match lacking {
        [] => RecoverError::NoRows { table: name(table), place },
        [one] if one == table => RecoverError::NoRows { table: name(table), place },
        parts => {
            let parts = few(parts.iter().map(name).collect());
            RecoverError::PartitionsWithoutRows { table: name(table), parts, place }
        }
    }
}

/// Names some of many.
fn few(mut names: Vec<String>) -> Vec<String> {
    if names.len() > NAMED {
        let more = names.len() - NAMED;
        names.truncate(NAMED);
        names.push(format!("{more} more"));
    }
    names
}

/// The partitions that hold a table's rows in its source.
#[derive(Clone, Debug)]
pub(super) struct SourceLeaves {
    leaves: Vec<Known>,
    /// How the source is called in messages.
    place: String,
    /// The table goes by another name now.
    renamed: bool,
}

impl SourceLeaves {
    /// Of a table; `None` for one that was not partitioned in the source.
    pub(super) fn of(table: &Recovered, place: &str, renamed: bool) -> Option<Self> {
        Some(Self { leaves: table.leaves.clone()?, place: place.to_owned(), renamed })
    }
}

/// Why rows of live partitions must not be deleted that the source does not know: it may have been made without them.
///
/// Asks only where `replace` would delete rows of a table that was partitioned in the source.
pub(super) async fn unknown(session: &Session, change: &Change, deleted: u64) -> Result<Option<String>, Error> {
    let Some(SourceLeaves { leaves, place, renamed }) = &change.source_leaves else { return Ok(None) };
    if change.mode != RecoverMode::Replace || deleted == 0 {
        return Ok(None);
    }
    let rows = session.query("counting rows of partitions", &change.count_beyond_by_leaf(), &[]).await?;
    let beyond = rows.iter().map(|row| ((row.get(0), row.get(1)), row.get::<_, i64>(2).unsigned_abs()));
    // A table that goes by another name now may be in another schema, with its partitions.
    let known = |one: &Known| leaves.iter().any(|leaf| leaf == one || (*renamed && leaf.1 == one.1));
    let unknown: Vec<(Known, u64)> = beyond.filter(|(leaf, _)| !known(leaf)).collect();
    if unknown.is_empty() {
        return Ok(None);
    }
    let count: u64 = unknown.iter().map(|(_, rows)| rows).sum();
    let names = few(unknown.iter().map(|(leaf, _)| qualified(Some(&leaf.0), &leaf.1)).collect());
    Ok(Some(format!(
        "{count} rows of {} would be deleted, and {place} does not have that partition: it was left out, or came since. \
         Use --mode upsert, or recover the partitions that are there by their own names",
        names.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(name: &str) -> Known {
        ("app".to_owned(), name.to_owned())
    }

    #[test]
    fn partitioned_tables_are_told_by_their_definition() {
        assert!(is_partitioned(b"CREATE TABLE app.part (\n    id integer\n)\nPARTITION BY RANGE (id);"));
        assert!(is_partitioned(b"CREATE TABLE app.part OF app.kind\nPARTITION BY LIST (id);\n"));
        assert!(!is_partitioned(b"CREATE TABLE app.part (\n    \"PARTITION BY \" integer\n);"));
    }

    #[test]
    fn what_lacks_rows_is_named() {
        let told = |lacking: &[Known]| rows_left_out(&known("part"), lacking, "d.sql").to_string();
        assert!(told(&[]).contains("no rows of app.part:"));
        assert!(told(&[known("part")]).contains("no rows of app.part:"));
        assert!(told(&[known("x"), known("y")]).contains("no rows of app.x, app.y,"));
        let many: Vec<Known> = (0..8).map(|nth| known(&format!("p{nth}"))).collect();
        assert!(told(&many).contains("app.p4, 3 more,"), "{}", told(&many));
    }
}
