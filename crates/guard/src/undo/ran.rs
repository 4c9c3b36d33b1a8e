//! Which of a run's files ran, where no table of a tool's says so: as far as something of them shows in the schema.

use holdpoint_core::fingerprint::Difference;
use holdpoint_review::{MigrationSql, ReviewOptions, review};

/// What begins a statement that changes rows, or nothing: no schema shows it.
const OF_ROWS: [&str; 12] =
    ["INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "SELECT", "WITH", "VALUES", "TRUNCATE", "LOCK", "SET", "DO"];

/// Finds the last of the files, in the order in which they run, of which something shows in the changes: those before it
/// ran, since a run ends at its first failure. `None`: nothing shows that any did.
pub(super) fn last_shown(files: &[MigrationSql], changes: &[Difference]) -> Option<usize> {
    let options = ReviewOptions { advice: false, ..ReviewOptions::default() };
    let words: Vec<&str> = changes.iter().flat_map(|change| change.name.split([' ', '.'])).collect();
    let shows = |file: &MigrationSql| {
        let reviewed = review(std::slice::from_ref(file), &options);
        let statements = reviewed.files.iter().flat_map(|file| &file.statements);
        let of_schema = statements.filter(|one| !OF_ROWS.iter().any(|first| one.words.starts_with(first)));
        let mut targets = of_schema.flat_map(|one| &one.findings).filter_map(|finding| finding.target.as_ref());
        targets.any(|target| words.contains(&target.name.name.as_str()))
    };
    files.iter().rposition(shows)
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
            file("CREATE INDEX events_id ON shop.events (id); SELECT 1 / 0;"),
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
    }
}
