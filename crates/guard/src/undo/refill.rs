//! Columns that come back: added wherever they are gone, then filled, then given what they had besides.
//!
//! What a table gets, its partitions and the tables that inherit from it get, too: so those above come first, and nothing
//! gets a default or a bound before all of them are filled.

use holdpoint_operations::recover::{ColumnPair, RecoverOptions};

use super::columns::GoneColumns;
use super::comeback::{Comeback, Now, What};
use super::record::Record;
use super::recover::{options, recover};
use super::work::Work;
use crate::Error;

/// A table of which columns come back.
pub(super) struct Refilled<'a> {
    pub(super) one: &'a Comeback,
    /// Those that hold values.
    pub(super) filled: &'a [String],
    /// Those that are gone, and may make their values themselves.
    pub(super) computed: &'a [String],
    /// The table as it is before anything is added.
    pub(super) there: Now,
}

/// Columns that are added, and not filled yet.
pub(super) struct Refill<'a> {
    work: &'a Work<'a>,
    tables: Vec<(Refilled<'a>, Option<GoneColumns<'a>>)>,
}

impl<'a> Refill<'a> {
    /// Adds the columns that are gone of these tables; each is written into the ledger before.
    pub(super) async fn begin(
        work: &'a Work<'a>,
        record: &mut Record<'_>,
        mut tables: Vec<Refilled<'a>>,
    ) -> Result<Refill<'a>, Error> {
        tables.sort_by_key(|one| one.there.level);
        for one in &tables {
            let there = |column: &&String| one.there.columns.iter().any(|there| there.name == **column);
            for column in one.columns().filter(|column| !there(column)) {
                let gone = gone(column, one.table());
                if !record.has_done(&gone) {
                    record.done(&gone).await?;
                }
            }
        }
        let mut begun = Vec::new();
        for one in tables {
            let then = one.add(work, record).await?;
            begun.push((one, then));
        }
        Ok(Self { work, tables: begun })
    }

    /// Fills them, and gives them what they had besides; `all` is everything that comes back.
    pub(super) async fn go(self, record: &mut Record<'_>, all: &[Comeback]) -> Result<(), Error> {
        for (one, _) in self.tables.iter().filter(|(one, _)| !one.is_filled_by_its_root(all)) {
            one.fill(self.work).await?;
        }
        for (one, then) in &self.tables {
            if let Some(then) = then {
                one.finish(self.work, record, then).await?;
            }
            record.done(&one.one.label()).await?;
        }
        Ok(())
    }
}

impl<'a> Refilled<'a> {
    fn table(&self) -> &'a str {
        &self.one.table
    }

    fn columns(&self) -> impl Iterator<Item = &String> {
        self.filled.iter().chain(self.computed)
    }

    /// Adds those that are gone and hold values; gives how the restore point has all that are gone.
    async fn add(&self, work: &'a Work<'a>, record: &Record<'_>) -> Result<Option<GoneColumns<'a>>, Error> {
        // Also those that an undo added before it was killed: they have no default and no bound yet.
        let is_gone = |column: &str| record.has_done(&gone(column, self.table()));
        if !self.columns().any(|column| is_gone(column)) {
            return Ok(None);
        }
        let then = GoneColumns::read(work, self.table(), is_gone).await?;
        then.make_needed().await?;
        // A table above it may have brought it by now.
        let now = Now::read(work, self.table()).await?.unwrap_or_default();
        for column in then.columns.iter().filter(|one| one.generated.is_none()) {
            if !now.columns.iter().any(|there| there.name == column.name) {
                then.add(column).await?;
            }
            then.set(column).await?;
        }
        Ok(Some(then))
    }

    /// Whether what comes back of the partitioned table that it is a part of holds its values.
    fn is_filled_by_its_root(&self, all: &[Comeback]) -> bool {
        let root = self.one.root.as_ref().filter(|root| *root != self.table());
        let holds = |one: &Comeback| match &one.what {
            What::Columns { filled, .. } => self.filled.iter().all(|column| filled.contains(column)),
            What::Rows { .. } => false,
        };
        root.is_some_and(|root| all.iter().any(|one| one.table == *root && holds(one)))
    }

    async fn fill(&self, work: &Work<'_>) -> Result<(), Error> {
        let generated = |column: &&String| self.there.columns.iter().any(|one| one.name == **column && one.generated);
        let pair = |column: &String| ColumnPair { then: column.clone(), now: column.clone() };
        let columns: Vec<ColumnPair> = self.filled.iter().filter(|column| !generated(column)).map(pair).collect();
        if columns.is_empty() {
            return Ok(());
        }
        recover(work, RecoverOptions { columns, ..options(work, self.table()) }).await
    }

    /// Adds what makes its own values, and gives the others their defaults and bounds; last, what went with them.
    async fn finish(&self, work: &Work<'_>, record: &mut Record<'_>, then: &GoneColumns<'_>) -> Result<(), Error> {
        let now = Now::read(work, self.table()).await?.unwrap_or_default();
        for column in &then.columns {
            if column.generated.is_some() && !now.columns.iter().any(|there| there.name == column.name) {
                then.add(column).await?;
                then.set(column).await?;
            }
            then.finish(column).await?;
        }
        then.make_what_went(record).await
    }
}

/// What is written into the ledger before a column is added: whoever goes on knows that it is not whole yet.
fn gone(column: &str, table: &str) -> String {
    format!("found that {column} of {table} is gone")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &str) -> Vec<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_partition_is_filled_by_the_table_that_it_is_a_part_of() {
        let columns = |table: &str, filled: &str, root: Option<&str>| Comeback {
            table: table.to_owned(),
            what: What::Columns { filled: list(filled), computed: Vec::new() },
            meets: None,
            root: root.map(str::to_owned),
            parts: Vec::new(),
        };
        let by_root = |part: &Comeback, all: &[Comeback]| {
            let What::Columns { filled, computed } = &part.what else { panic!() };
            Refilled { one: part, filled, computed, there: Now::default() }.is_filled_by_its_root(all)
        };
        let root = columns("s.p", "a b", Some("s.p"));
        let all = [root.clone(), columns("s.child", "a", None)];
        assert!(by_root(&columns("s.p1", "a", Some("s.p")), &all));
        assert!(!by_root(&columns("s.p1", "a c", Some("s.p")), &all), "another column of its own");
        assert!(!by_root(&columns("s.q1", "a", Some("s.q")), &all), "nothing of its root comes back");
        assert!(!by_root(&root, &all) && !by_root(&all[1], &all), "tables of their own");
    }
}
