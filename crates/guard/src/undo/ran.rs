//! Which of a run's migrations ran: as the tool's table says, and where none does, as far as something of them shows in the
//! schema.

use holdpoint_core::fingerprint::Difference;
use holdpoint_core::quantity::listed;
use holdpoint_core::undoing::Applied;
use holdpoint_review::{MigrationSql, ReviewOptions, StatementReview, review};

use super::migrations::{There, schema_changes};
use super::work::Work;
use crate::Error;
use crate::plan::Project;
use crate::plan::sql::file;
use crate::tools::{Migration, Transactions};

/// What begins a statement that changes rows, or nothing: no schema shows it.
const OF_ROWS: [&str; 12] =
    ["INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "SELECT", "WITH", "VALUES", "TRUNCATE", "LOCK", "SET", "DO"];

/// Which of the migrations ran, the oldest first; with `true` where one may not be there at all, or only a part of it.
pub(super) async fn ran<'a>(
    work: &Work<'_>,
    project: &Project,
    there: &'a There,
    warnings: &mut Vec<String>,
) -> Result<Vec<(&'a Migration, bool)>, Error> {
    let succeeded = work.steps.iter().any(|step| step.left() == Some(Applied::Fully));
    let mut found = Vec::new();
    let none_recorded = !there.recorded.contains(&Some(true));
    let atomic = matches!(project.found.tool.transactions(), Transactions::Batch | Transactions::Each);
    let mut first_open = true;
    let mut changed = None;
    // No table says it: what never ran must not be undone.
    let last_shown = if succeeded || !there.recorded.contains(&None) {
        Some(there.migrations.len())
    } else {
        let files: Vec<_> = there.migrations.iter().map(|one| file(&project.found.tool, one)).collect();
        let last = last_shown(&files, &schema_changes(work, project).await?);
        let (from, all) = (last.map_or(0, |last| last + 1), &there.migrations);
        let unshown: Vec<String> = all[from..].iter().map(|one| one.path.clone()).collect();
        if !unshown.is_empty() {
            warnings.push(format!(
                "nothing in the schema shows that these ran, and what undoes them is not run: {}",
                listed(&unshown, 5)
            ));
        }
        last
    };
    for (place, (migration, recorded)) in there.migrations.iter().zip(&there.recorded).enumerate() {
        let perhaps = match recorded {
            Some(true) => false,
            None if last_shown.is_none_or(|last| place > last) => continue,
            None => !succeeded,
            Some(false) if succeeded || !first_open || (atomic && !none_recorded) => continue,
            // It was not recorded, and yet a part of it may be there.
            Some(false) => {
                first_open = false;
                let changed = match changed {
                    Some(changed) => changed,
                    None => *changed.insert(!schema_changes(work, project).await?.is_empty()),
                };
                if !changed {
                    continue;
                }
                true
            }
        };
        found.push((migration, perhaps));
    }
    Ok(found)
}

/// Finds the last of the files, in the order in which they run, of which something shows in the changes: those before it
/// may have run, since a run goes on in order. `None`: nothing shows that any did.
fn last_shown(files: &[MigrationSql], changes: &[Difference]) -> Option<usize> {
    let options = ReviewOptions { advice: false, ..ReviewOptions::default() };
    let words: Vec<&str> = changes.iter().flat_map(|change| change.name.split([' ', '.'])).collect();
    let shows = |file: &MigrationSql| {
        let reviewed = review(std::slice::from_ref(file), &options);
        let statements = reviewed.files.iter().flat_map(|file| &file.statements);
        let mut of_schema = statements.filter(|one| !OF_ROWS.iter().any(|first| one.words.starts_with(first)));
        of_schema.any(|one| {
            let targets = one.findings.iter().filter_map(|finding| finding.target.as_ref());
            let mut names = targets.map(|target| target.name.name.as_str()).chain(index(&file.text, one));
            names.any(|name| words.contains(&name))
        })
    };
    files.iter().rposition(shows)
}

/// The name of the index that a statement makes; the review names its table.
fn index<'a>(text: &'a str, statement: &StatementReview) -> Option<&'a str> {
    let text = text.get(statement.offset..statement.offset + statement.length)?;
    let before = || text.split_ascii_whitespace().take_while(|word| !word.eq_ignore_ascii_case("ON"));
    if !statement.words.starts_with("CREATE") || !before().any(|word| word.eq_ignore_ascii_case("INDEX")) {
        return None;
    }
    let name = before().last()?;
    let unnamed = ["INDEX", "CONCURRENTLY", "EXISTS"].iter().any(|word| name.eq_ignore_ascii_case(word));
    (!unnamed).then(|| name.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use holdpoint_core::fingerprint::Aspect;
    use holdpoint_review::Dialect;

    use super::*;

    #[test]
    fn what_never_ran_is_told_from_what_did() {
        let file = |sql: &str| MigrationSql::new("x.sql", sql, Dialect::Psql);
        let files = [
            file("CREATE TABLE shop.tags (id int);"),
            file("UPDATE shop.orders SET note = '';"),
            file("CREATE INDEX\nevents_id ON shop.events (id); SELECT 1 / 0;"),
            file("ALTER TABLE shop.customers ADD COLUMN age int; INSERT INTO shop.tags VALUES (1);"),
        ];
        let change = |name: &str| Difference {
            aspect: Aspect::Object,
            name: name.to_owned(),
            expected: None,
            found: Some("x".to_owned()),
        };
        let shown = |names: &[&str]| last_shown(&files, &names.iter().map(|name| change(name)).collect::<Vec<_>>());
        assert_eq!(shown(&[]), None);
        assert_eq!(shown(&["TABLE shop.tags"]), Some(0), "rows of a later file show nothing");
        assert_eq!(shown(&["TABLE shop.tags", "INDEX shop.events_id"]), Some(2), "and the one between them ran");
        assert_eq!(shown(&["TABLE shop.customers"]), Some(3));
        assert_eq!(shown(&["TABLE shop.tags_2"]), None);
        let unnamed = [file("CREATE UNIQUE INDEX CONCURRENTLY ON shop.tags (id);")];
        assert_eq!(last_shown(&unnamed, &[change("INDEX shop.tags_id_idx")]), None);
        let unique = [file("CREATE UNIQUE INDEX IF NOT EXISTS tags_id ON shop.tags (id);")];
        assert_eq!(last_shown(&unique, &[change("INDEX shop.tags_id")]), Some(0));
    }
}
