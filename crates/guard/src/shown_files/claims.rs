//! What has to be so once all files ran, claimed by their statements, and what of it is not.

use holdpoint_core::rehearsal::ObjectChange;
use holdpoint_review::{Finding, Kind, ObjectClass, ObjectName, Relation, StatementReview};

use super::There;

/// Something that has to be so once all files ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// A table, view or sequence is there, or not.
    Relation(ObjectName, bool),
    /// A table has a column, or not.
    Column(ObjectName, String, bool),
    /// There is an index of that name; with the name of its table.
    Index(String, String),
}

/// Notes what a finding claims, and takes back what it makes uncertain.
pub(super) fn claim(
    claims: &mut Vec<(usize, Claim)>,
    place: usize,
    statement: &StatementReview,
    finding: &Finding,
    text: &str,
) {
    let words = statement.words.as_str();
    let rolls_back = words.starts_with("ROLLBACK") || words.starts_with("ABORT");
    if rolls_back || finding.unreviewable.is_some() {
        return claims.clear();
    }
    // Perhaps it is never reached, and perhaps it takes back what was made before.
    if !finding.within.is_empty() {
        let adds =
            matches!(finding.kind, Kind::Read | Kind::AddRows | Kind::ChangeRows | Kind::UpdateAll | Kind::DeleteAll);
        if !adds {
            claims.clear();
        }
        return;
    }
    let Some(target) = &finding.target else { return };
    let name = &target.name;
    let takes_away = target.cascade
        || matches!(finding.kind, Kind::DropSchema | Kind::OwnedObjects)
        || (finding.kind == Kind::Rename && target.class == ObjectClass::Schema);
    if takes_away {
        claims.clear();
    }
    let is_relation = matches!(
        target.class,
        ObjectClass::Table | ObjectClass::View | ObjectClass::MaterializedView | ObjectClass::Sequence
    );
    // Where the run changed the search path, nobody can say which one a name means.
    let certain = finding.search_path.is_none();
    match finding.kind {
        // What is not there any more may be there again under the new name.
        Kind::Rename => claims.retain(|(_, one)| !one.mentions(&name.name) && one.says_there()),
        // Indexes go with their tables, columns and constraints, or become a constraint's.
        Kind::AddKey | Kind::DropConstraint => claims.retain(|(_, one)| !one.is_index_of(&name.name)),
        Kind::DropColumn => {
            claims.retain(|(_, one)| !one.is_index_of(&name.name));
            let Some(column) = &target.column else { return };
            claims.retain(|(_, one)| !matches!(one, Claim::Column(_, other, _) if other == column));
            if certain && !target.if_exists {
                claims.push((place, Claim::Column(name.clone(), column.clone(), false)));
            }
        }
        Kind::AddColumn | Kind::AddColumnRewrite | Kind::AddRequiredColumn | Kind::AddConstrainedColumn => {
            let Some(column) = &target.column else { return };
            claims.retain(|(_, one)| !matches!(one, Claim::Column(_, other, false) if other == column));
            if certain && !target.if_exists {
                claims.push((place, Claim::Column(name.clone(), column.clone(), true)));
            }
        }
        Kind::CreateIndex | Kind::Concurrently if words.starts_with("CREATE") => {
            if let Some(index) = target.column.as_ref().filter(|_| certain) {
                claims.push((place, Claim::Index(index.clone(), name.name.clone())));
            }
        }
        Kind::DropIndex | Kind::Concurrently => {
            claims.retain(|(_, one)| !matches!(one, Claim::Index(index, _) if *index == name.name));
        }
        // Whatever name it gets, the statement names the one that it had.
        _ if words.starts_with("ALTER INDEX") => {
            claims.retain(|(_, one)| !matches!(one, Claim::Index(index, _) if *index == name.name));
        }
        // The table on which they hang stays.
        _ if ["DROP TRIGGER", "DROP POLICY", "DROP RULE"].iter().any(|one| words.starts_with(one)) => {}
        _ if words.starts_with("DROP") => {
            claims.retain(|(_, one)| !one.mentions(&name.name));
            if is_relation && certain && !target.if_exists {
                claims.push((place, Claim::Relation(name.clone(), false)));
            }
        }
        _ if words.starts_with("CREATE") && is_relation && !is_temporary(statement, name, text) => {
            claims.retain(|(_, one)| !matches!(one, Claim::Relation(other, false) if other.name == name.name));
            if certain {
                claims.push((place, Claim::Relation(name.clone(), true)));
            }
        }
        _ => {}
    }
}

impl Claim {
    fn mentions(&self, object: &str) -> bool {
        match self {
            Self::Relation(name, _) | Self::Column(name, _, _) => name.name == object,
            Self::Index(index, table) => index == object || table == object,
        }
    }

    fn is_index_of(&self, table: &str) -> bool {
        matches!(self, Self::Index(_, of) if of == table)
    }

    fn says_there(&self) -> bool {
        !matches!(self, Self::Relation(_, false) | Self::Column(_, _, false))
    }

    /// What is not as claimed, in words. A name without a schema may be in any.
    pub(super) fn missing(&self, there: &There<'_>) -> Option<String> {
        let relations = &there.catalog.relations;
        let of = |name: &ObjectName| -> Vec<&Relation> {
            let is = |one: &&Relation| {
                one.name.name == name.name
                    && name.schema.as_ref().is_none_or(|schema| one.name.schema.as_ref() == Some(schema))
            };
            relations.iter().filter(is).collect()
        };
        let has = |relation: &Relation, column: &str| relation.columns.iter().any(|one| one.name == column);
        match self {
            Self::Relation(name, true) => of(name).is_empty().then(|| format!("{name} is not there")),
            Self::Relation(name, false) => {
                let gone = there.changed.iter().any(|one| {
                    one.change == ObjectChange::Gone && one.name.rsplit([' ', '.']).next() == Some(name.name.as_str())
                });
                (!of(name).is_empty() && !gone).then(|| format!("{name} is still there"))
            }
            Self::Column(table, column, true) => {
                let found = of(table);
                (!found.iter().any(|one| has(one, column))).then(|| format!("{table} has no column {column}"))
            }
            Self::Column(table, column, false) => {
                let found = of(table);
                (!found.is_empty() && found.iter().all(|one| has(one, column)))
                    .then(|| format!("{table} has its column {column} still"))
            }
            Self::Index(index, _) => {
                let found = relations.iter().any(|one| one.indexes.iter().any(|name| name == index));
                (!found).then(|| format!("index {index} is not there"))
            }
        }
    }
}

/// Whether what a statement makes goes with its session.
fn is_temporary(statement: &StatementReview, name: &ObjectName, text: &str) -> bool {
    let text = text.get(statement.offset..statement.offset + statement.length).unwrap_or_default();
    let first = text.split_ascii_whitespace().take(6).map(str::to_ascii_uppercase);
    name.schema.as_ref().is_some_and(|schema| schema.starts_with("pg_temp"))
        || first
            .take_while(|word| !matches!(word.as_str(), "TABLE" | "VIEW" | "SEQUENCE"))
            .any(|word| word.starts_with("TEMP"))
}

#[cfg(test)]
mod tests {
    use super::super::Shown;
    use super::super::fixture::{catalog, file, found};
    use super::*;

    #[test]
    fn a_file_that_never_ran_or_failed_half_way_is_missing() {
        let files = [
            file("001.sql", "CREATE TABLE one (id int);"),
            file(
                "002.sql",
                "CREATE TABLE two (id int); ALTER TABLE one ADD COLUMN b int; CREATE INDEX one_b ON one (b);",
            ),
            file("003.sql", "DROP TABLE old; ALTER TABLE other DROP COLUMN c;"),
        ];
        let all = catalog(&[("one", &["id", "b"]), ("two", &["id"])], "one_b");
        assert_eq!(found(&files, &all, &[], None), Shown::default());
        let half = catalog(&[("one", &["id"]), ("other", &["c"]), ("two", &["id"]), ("old", &[])], "one_pkey");
        let half = found(&files, &half, &[], None);
        assert_eq!(
            half.missing_words(),
            [
                "002.sql: one has no column b, index one_b is not there",
                "003.sql: old is still there, other has its column c still"
            ]
        );
        assert_eq!(half.not_shown(), ["002.sql", "003.sql"]);
    }

    #[test]
    fn what_a_later_statement_may_have_taken_back_is_claimed_by_none() {
        let nothing = catalog(&[("kept", &[])], "");
        for sql in [
            "CREATE TABLE a (id int); DROP TABLE a;",
            "CREATE TABLE a (id int); ALTER TABLE a RENAME TO kept;",
            "DROP TABLE kept; CREATE TABLE new (id int); ALTER TABLE new RENAME TO kept;",
            "CREATE TABLE s.a (id int); DROP SCHEMA s CASCADE;",
            "CREATE TEMP TABLE a (id int);",
            "DROP TABLE IF EXISTS kept;",
            "BEGIN; CREATE TABLE a (id int); ROLLBACK;",
            "CREATE TABLE a (id int); DO $$ BEGIN EXECUTE 'DROP TABLE a'; END $$;",
            "CREATE UNIQUE INDEX i ON kept (id); ALTER TABLE kept ADD CONSTRAINT c UNIQUE USING INDEX i;",
            "ALTER TABLE kept ADD COLUMN a int; ALTER TABLE kept DROP COLUMN a;",
            "DROP TRIGGER tr ON kept;",
            "CREATE INDEX i2 ON kept (a); ALTER INDEX i2 RENAME TO i1;",
            "CREATE INDEX i2 ON kept (a); DROP INDEX i1; ALTER INDEX i2 RENAME TO i1;",
            "ALTER TABLE IF EXISTS kept ADD COLUMN a int;",
            "ALTER TABLE IF EXISTS nix ADD COLUMN a int;",
            "DROP POLICY pp ON kept;",
            "DROP RULE rr ON kept;",
        ] {
            assert_eq!(found(&[file("1.sql", sql)], &nothing, &[], None).missing, [], "{sql}");
        }
        let dropped = [file("1.sql", "DROP TABLE kept;")];
        assert_eq!(found(&dropped, &nothing, &[("TABLE archive.kept", ObjectChange::Gone)], None).missing, []);
    }
}
