//! What shows that a folder's files ran, where no table of a tool's says so: what their SQL says, held against what is there.
//!
//! Only what is certain to be there once all of them ran counts as missing where it is not: a statement whose effect a
//! later one may have taken back, or that may have done nothing, claims nothing. What no claim, no changed object and no
//! written row speaks for is without evidence, which is not that it did not run.

use holdpoint_core::quantity::listed;
use holdpoint_core::rehearsal::{ObjectChange, ObjectEffect};
use holdpoint_review::{
    Catalog, FileReview, Finding, Kind, MigrationSql, ObjectClass, ObjectName, Relation, ReviewOptions, Role,
    StatementReview, review,
};

use crate::rows_written::{self, Kinds, Says};

/// How many missing things of a file are named.
const NAMED: usize = 3;

/// What is there, once the files ran.
pub(crate) struct There<'a> {
    /// The catalog as it is now.
    pub(crate) catalog: &'a Catalog,
    /// The schema objects that changed.
    pub(crate) changed: &'a [ObjectEffect],
    /// How rows of a table were written meanwhile, where that is known.
    pub(crate) wrote: &'a dyn Fn(&ObjectName) -> Option<Kinds>,
}

/// What was found of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Files of which something is not there that their SQL says, with what it is.
    pub(crate) missing: Vec<(String, String)>,
    /// Files for which nothing speaks, and nothing against.
    pub(crate) without_evidence: Vec<String>,
    /// Changes of rows that wrote none, or of which nobody can tell whose they are, in words.
    pub(crate) unwritten: Vec<String>,
}

impl Shown {
    /// What is missing, file by file.
    pub(crate) fn missing_words(&self) -> Vec<String> {
        self.missing.iter().map(|(file, what)| format!("{file}: {what}")).collect()
    }

    /// The files that nothing shows to have run.
    pub(crate) fn not_shown(&self) -> Vec<String> {
        let missing = self.missing.iter().map(|(file, _)| file.clone());
        missing.chain(self.without_evidence.iter().cloned()).collect()
    }
}

/// Something that has to be so once all files ran.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Claim {
    /// A table, view or sequence is there, or not.
    Relation(ObjectName, bool),
    /// A table has a column, or not.
    Column(ObjectName, String, bool),
    /// There is an index of that name; with the name of its table.
    Index(String, String),
}

/// Holds what the files say against what is there. The files come in the order in which they run.
pub(crate) fn shown(files: &[MigrationSql], there: &There<'_>) -> Shown {
    let reviewed = review(files, &ReviewOptions { advice: false, ..ReviewOptions::default() });
    let mut claims: Vec<(usize, Claim)> = Vec::new();
    for (place, (file, text)) in reviewed.files.iter().zip(files).enumerate() {
        for statement in &file.statements {
            for finding in &statement.findings {
                claim(&mut claims, place, statement, finding, &text.text);
            }
        }
    }
    let mut found = Shown::default();
    for (place, (file, text)) in reviewed.files.iter().zip(files).enumerate() {
        let own = || claims.iter().filter(|(of, _)| *of == place).map(|(_, claim)| claim);
        let missing: Vec<String> = own().filter_map(|claim| claim.missing(there)).collect();
        if !missing.is_empty() {
            found.missing.push((text.name.clone(), listed(&missing, NAMED)));
            continue;
        }
        let (mut wrote, mut several) = (false, Vec::new());
        for (table, what) in file.statements.iter().flat_map(rows_of) {
            let Some(kinds) = (there.wrote)(table) else { continue };
            let kinds_of =
                |of: &(&FileReview, &MigrationSql)| rows_written::of_file(&of.0.statements, table, &of.1.text);
            let others =
                || reviewed.files.iter().zip(files).enumerate().filter(|(of, _)| *of != place).map(|(_, of)| of);
            let by_others = others().map(|of| kinds_of(&of)).fold(Kinds::NONE, Kinds::or);
            match rows_written::says(kinds, kinds_of(&(file, text)), by_others) {
                Says::Ran => wrote = true,
                Says::NotRun => found.unwritten.push(format!("{}: its {what} of {table} wrote no rows", text.name)),
                Says::OneOfSeveral => {
                    let others: Vec<String> = others()
                        .filter(|of| kinds_of(of).and(kinds) != Kinds::NONE)
                        .map(|of| of.1.name.clone())
                        .collect();
                    let others = listed(&others, NAMED);
                    several.push(format!("{}: rows of {table} were written, by it or by {others}", text.name));
                }
            }
        }
        let changed =
            || file.statements.iter().any(|one| is_of_schema(one) && names_changed(one, &text.text, there.changed));
        if !wrote && own().next().is_none() && !changed() {
            found.without_evidence.push(text.name.clone());
            several.dedup();
            found.unwritten.append(&mut several);
        }
    }
    found
}

/// Notes what a finding claims, and takes back what it makes uncertain.
fn claim(claims: &mut Vec<(usize, Claim)>, place: usize, statement: &StatementReview, finding: &Finding, text: &str) {
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
    fn missing(&self, there: &There<'_>) -> Option<String> {
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

/// The tables whose rows a statement changes, with its first word.
fn rows_of(statement: &StatementReview) -> impl Iterator<Item = (&ObjectName, &str)> {
    let what = statement.words.split(' ').next().unwrap_or_default();
    let touches = statement.findings.iter().flat_map(|one| &one.touches);
    touches
        .filter(move |one| {
            ["INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "TRUNCATE", "WITH"].contains(&what)
                && matches!(one.role, Role::Add | Role::Write)
        })
        .map(move |one| (&one.table, what))
}

/// Whether a statement is one of the schema: rows show in no object's definition.
fn is_of_schema(statement: &StatementReview) -> bool {
    let first = statement.words.split(' ').next().unwrap_or_default();
    ["CREATE", "ALTER", "DROP", "COMMENT", "GRANT", "REVOKE", "REASSIGN"].contains(&first)
}

/// Whether a statement names an object that changed.
fn names_changed(statement: &StatementReview, text: &str, changed: &[ObjectEffect]) -> bool {
    let Some(text) = text.get(statement.offset..statement.offset + statement.length) else { return false };
    let is_part = |sign: char| sign.is_alphanumeric() || matches!(sign, '_' | '$');
    let parts = |text: &str| -> Vec<String> {
        text.split(|sign| !is_part(sign)).filter(|part| !part.is_empty()).map(str::to_lowercase).collect()
    };
    let words = parts(text);
    // The object's own name: what comes before it are kinds, schemas and tables, what comes after it types.
    let named = |one: &ObjectEffect| {
        let name = one.name.split('(').next()?.rsplit(['.', ' ']).next()?;
        Some(name.trim_matches('"').to_lowercase())
    };
    changed.iter().filter_map(named).any(|name| words.contains(&name))
}

/// Whether a table of that name, as the catalog quotes it, is the one that a statement names; without a schema any.
pub(crate) fn is_called(quoted: &str, table: &ObjectName) -> bool {
    ObjectName::typed(quoted).is_some_and(|is| {
        is.name == table.name && table.schema.as_ref().is_none_or(|schema| is.schema.as_ref() == Some(schema))
    })
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
    use holdpoint_review::{Column, Dialect, RelationKind};

    use super::*;

    fn file(name: &str, sql: &str) -> MigrationSql {
        MigrationSql { stops_on_error: false, ..MigrationSql::new(name, sql, Dialect::Psql) }
    }

    /// Relations with their columns, and an index of the first.
    fn catalog(relations: &[(&str, &[&str])], index: &str) -> Catalog {
        let one = |(name, columns): &(&str, &[&str])| Relation {
            name: ObjectName::qualified("public", *name),
            kind: RelationKind::Table,
            owner: String::new(),
            bytes: None,
            rows: None,
            columns: columns
                .iter()
                .map(|name| Column { name: (*name).to_owned(), type_name: "int".to_owned() })
                .collect(),
            parents: Vec::new(),
            default_partition: false,
            indexes: vec![index.to_owned()],
        };
        Catalog { relations: relations.iter().map(one).collect(), ..Catalog::default() }
    }

    fn found(
        files: &[MigrationSql],
        catalog: &Catalog,
        changed: &[(&str, ObjectChange)],
        wrote: Option<Kinds>,
    ) -> Shown {
        let effect = |(name, change): &(&str, ObjectChange)| ObjectEffect {
            name: (*name).to_owned(),
            change: *change,
            before: None,
            after: None,
        };
        let changed: Vec<ObjectEffect> = changed.iter().map(effect).collect();
        shown(files, &There { catalog, changed: &changed, wrote: &|_| wrote })
    }

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

    #[test]
    fn rows_alone_are_shown_by_what_was_written() {
        let files = [file("1.sql", "UPDATE orders SET country = upper(country);")];
        let none = catalog(&[("orders", &["country"])], "");
        let updated = Some(Kinds { updated: true, ..Kinds::NONE });
        assert_eq!(found(&files, &none, &[], updated), Shown::default());
        let unwritten = found(&files, &none, &[], Some(Kinds::NONE));
        assert_eq!(unwritten.unwritten, ["1.sql: its UPDATE of orders wrote no rows"]);
        assert_eq!(unwritten.not_shown(), ["1.sql"]);
        assert_eq!(found(&files, &none, &[], None).not_shown(), ["1.sql"], "nobody knows");
    }

    #[test]
    fn rows_that_several_files_may_have_written_show_none_of_them() {
        let files = |second: &str| {
            [
                file("1.sql", "INSERT INTO tags VALUES (1);"),
                file("2.sql", second),
                file("3.sql", "CREATE TABLE made ();"),
            ]
        };
        let there = catalog(&[("tags", &["id"]), ("made", &[])], "");
        let inserted = Kinds { inserted: true, ..Kinds::NONE };
        let either = found(&files("INSERT INTO tags VALUES (2);"), &there, &[], Some(inserted));
        assert_eq!(either.not_shown(), ["1.sql", "2.sql"], "a script that ran one of them leaves the same");
        assert_eq!(
            either.unwritten,
            [
                "1.sql: rows of tags were written, by it or by 2.sql",
                "2.sql: rows of tags were written, by it or by 1.sql"
            ]
        );
        let told_apart = Some(Kinds { deleted: true, ..inserted });
        assert_eq!(found(&files("DELETE FROM tags WHERE id = 7;"), &there, &[], told_apart), Shown::default());
        let one = found(&files("DELETE FROM tags WHERE id = 7;"), &there, &[], Some(inserted));
        assert_eq!(one.not_shown(), ["2.sql"]);
        // What else a file does shows that it ran, and not which of them wrote the rows.
        let with_more = files("CREATE TABLE IF NOT EXISTS made (); INSERT INTO tags VALUES (2);");
        assert_eq!(found(&with_more, &there, &[], Some(inserted)).not_shown(), ["1.sql"]);
        let anything = files("DO $$ BEGIN EXECUTE 'INSERT INTO tags VALUES (2)'; END $$;");
        assert_eq!(found(&anything, &there, &[], Some(inserted)).not_shown(), ["1.sql", "2.sql"]);
    }

    #[test]
    fn what_no_catalog_of_tables_has_is_shown_by_the_objects_that_changed() {
        let nothing = Catalog::default();
        for (sql, object) in [
            ("COMMENT ON TABLE tags IS 'seen';", "COMMENT public.TABLE tags"),
            ("CREATE FUNCTION add(a int) RETURNS int LANGUAGE sql AS 'SELECT a';", "FUNCTION public.add(a.integer)"),
            ("CREATE TYPE colour AS ENUM ('red');", "TYPE public.colour"),
        ] {
            let of = |changed: &[(&str, ObjectChange)]| found(&[file("1.sql", sql)], &nothing, changed, None);
            assert_eq!(of(&[]).not_shown(), ["1.sql"], "{sql}");
            assert_eq!(of(&[("TYPE public.other", ObjectChange::Added)]).not_shown(), ["1.sql"], "{sql}");
            assert_eq!(of(&[(object, ObjectChange::Added)]), Shown::default(), "{sql}");
        }
    }
}
