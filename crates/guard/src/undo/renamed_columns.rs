//! Columns to which the run gave another name: as its rehearsal saw, and as the review of its migrations says.

use holdpoint_core::fingerprint::schema_and_name;
use holdpoint_operations::recover::ColumnPair;
use holdpoint_review::{Review, ReviewOptions, review};

use super::comeback::Now;
use super::rollback::RollingBack;
use super::work::Work;
use crate::plan::sql::file;

/// The review of the run's migrations, without a catalog.
pub(super) fn reviewed(work: &Work<'_>, rollback: &RollingBack) -> Review {
    let tool = work.options.place.project.as_ref().map(|(project, _)| &project.found.tool);
    let files = tool.map(|tool| rollback.migrations.iter().map(|one| file(tool, one)).collect::<Vec<_>>());
    review(&files.unwrap_or_default(), &ReviewOptions { advice: false, ..ReviewOptions::default() })
}

/// The columns of a table that have another name by the run, or had one for a while.
pub(super) fn renamed_columns(work: &Work<'_>, reviewed: &Review, table: &str) -> Vec<ColumnPair> {
    let effects = work.step.rehearsal.iter().flat_map(|rehearsal| &rehearsal.tables);
    let seen = effects.filter(|effect| effect.table == table).flat_map(|effect| &effect.columns_renamed);
    let seen = seen.map(|one| ColumnPair { then: one.before.clone(), now: one.now.clone() });
    let named = schema_and_name(table);
    let is = |one: &&holdpoint_review::RenamedColumn| {
        let (other, schema) = (&one.table.name, &one.table.schema);
        named.as_ref().is_some_and(|(own, name)| other == name && schema.as_ref().is_none_or(|schema| schema == own))
    };
    let said = reviewed.renamed_columns.iter().filter(is);
    let said = said.map(|one| ColumnPair { then: one.before.clone(), now: one.now.clone() });
    let mut all: Vec<ColumnPair> = Vec::new();
    for pair in seen.chain(said) {
        if !all.contains(&pair) {
            all.push(pair);
        }
    }
    all
}

/// Those that have their other name now, and had the first one in the restore point.
pub(super) fn still_renamed(pairs: Vec<ColumnPair>, then: &[String], now: &Now) -> Vec<ColumnPair> {
    let there = |name: &String| now.columns.iter().any(|column| column.name == *name && !column.generated);
    let named = |name: &String| now.columns.iter().any(|column| column.name == *name);
    let mut all: Vec<ColumnPair> = Vec::new();
    for pair in pairs {
        let moved = then.contains(&pair.then) && !named(&pair.then) && there(&pair.now) && !then.contains(&pair.now);
        if moved && !all.iter().any(|one| one.then == pair.then || one.now == pair.now) {
            all.push(pair);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::undo::comeback::Column;

    #[test]
    fn a_column_has_another_name_only_where_that_is_there_and_its_own_is_not() {
        let list = |words: &str| words.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let still = |pairs: &[(&str, &str)], then: &str, now: &str| {
            let pair = |(then, now): &(&str, &str)| ColumnPair { then: (*then).to_owned(), now: (*now).to_owned() };
            let column = |name: String| Column { name, ..Column::default() };
            let now = Now { columns: list(now).into_iter().map(column).collect(), ..Now::default() };
            let found = still_renamed(pairs.iter().map(pair).collect(), &list(then), &now);
            found.into_iter().map(|one| format!("{} {}", one.then, one.now)).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(still(&[("w", "x"), ("w", "y")], "id w", "id y"), "w y", "by two steps");
        assert_eq!(still(&[("w", "x")], "id w", "id w"), "", "it has its name again");
        assert_eq!(still(&[("w", "x")], "id w", "id"), "", "it is gone");
        assert_eq!(still(&[("u", "w")], "id w", "id w"), "", "one that the run made took the name");
    }
}
