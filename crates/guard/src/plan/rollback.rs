//! The review of what undoes the pending migrations: what those scripts put at risk themselves.
//!
//! They are read after the migrations, newest first, as they would run: so what the migrations make is known to be new,
//! and nothing that was there before is lost where a script takes it away again. A program cannot be read; only a
//! rehearsal shows what it undoes.

use holdpoint_core::undoing::{AtRisk, RollbackScript};
use holdpoint_review::{
    Catalog, Dialect, Direction, Finding, Kind, Made, MigrationSql, ObjectClass, ObjectName, Reach, Review,
    ReviewOptions, Role, Target, Touch, Transaction, review, review_against,
};
use serde::Serialize;

use super::{Project, sql};
use crate::rehearse::rollback::scripts;
use crate::tools::{Language, Migration, Pending, Rollback, TableName};

/// What the scripts that undo the pending migrations put at risk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RollbackReview {
    /// The scripts, in the order in which they would run: what undoes the newest migration first.
    pub scripts: Vec<RollbackScript>,
    /// Something in them cannot be read: everything is at risk, and only a rehearsal shows what they do.
    pub everything_at_risk: bool,
    /// The tables whose contents they may take or change, and that were there before the migrations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<AtRisk>,
    /// The tables that were there before and get rows by the migrations, or get or lose some by the scripts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub written: Vec<String>,
    /// Where, and by what: file, line and words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<String>,
}

impl RollbackReview {
    /// Reviews what undoes `pending`; what nothing undoes is left out.
    pub(crate) fn of(project: &Project, pending: &Pending, catalog: Option<&Catalog>) -> Self {
        let undone: Vec<&Migration> = pending.migrations.iter().rev().collect();
        let scripts = scripts(project, &undone);
        let mut files = sql::files(&project.found.tool, pending);
        let migrations = files.len();
        files.extend(undone.iter().filter_map(|one| file(project, one, &scripts)));
        let options = ReviewOptions { advice: false, ..ReviewOptions::default() };
        let review = match catalog {
            Some(catalog) => review_against(&files, &options, catalog).review,
            None => review(&files, &options),
        };
        Self { scripts, ..Self::default() }.judged(&review, migrations, catalog, project.found.table.as_ref())
    }

    /// Whether they may take or change data that were there before.
    pub fn any(&self) -> bool {
        self.everything_at_risk || !self.tables.is_empty()
    }

    /// `own` is the tool's table: what scripts do there is what undoing a run does, too.
    fn judged(
        mut self,
        review: &Review,
        migrations: usize,
        catalog: Option<&Catalog>,
        own: Option<&TableName>,
    ) -> Self {
        // What has another name cannot be told from what is new.
        let renames = review.findings().any(|(_, one)| {
            one.kind == Kind::Rename && one.target.as_ref().is_some_and(|target| target.column.is_some())
        });
        for (place, file) in review.files.iter().enumerate() {
            for finding in file.statements.iter().flat_map(|one| &one.findings) {
                // What the migrations change is at risk, and told as that; what they made may go again.
                let changes = place >= migrations && !at_risk(finding, catalog, renames).is_empty();
                let touches = finding.touches.iter().filter(|one| one.made != Made::Yes);
                let written = touches.filter(|one| one.role == Role::Add || changes && one.role == Role::Write);
                self.written.extend(written.flat_map(|one| there_before(one, catalog)));
            }
        }
        self.written.sort();
        self.written.dedup();
        let parts = made_parts(review, migrations);
        for file in review.files.iter().skip(migrations) {
            for finding in file.statements.iter().flat_map(|one| &one.findings) {
                let mut tables = at_risk(finding, catalog, renames);
                let of_parts =
                    finding.touches.iter().filter(|one| takes_rows(one)).filter_map(|one| whole(one, &parts));
                let of_parts = of_parts.flat_map(|whole| there_before(whole, catalog));
                tables.extend(of_parts.map(|table| AtRisk { table, ..AtRisk::default() }));
                tables.retain(|table| own.is_none_or(|own| own.to_string() != table.table));
                let unread = finding.puts_everything_at_risk();
                if !unread && tables.is_empty() {
                    continue;
                }
                self.everything_at_risk |= unread;
                let why = finding.unreviewable.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                self.places.push(format!("{}:{} {}{why}", file.file, finding.line, finding.kind.label()));
                tables.into_iter().for_each(|table| put(&mut self.tables, table));
            }
        }
        self
    }
}

/// What a script takes along with `CASCADE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cascade {
    /// What depends on this.
    Drops(Target),
    /// The rows of every table that refers to this one.
    Empties(ObjectName),
}

/// What these scripts, which undo migrations of a run, say `CASCADE` to, each once.
pub(crate) fn cascades(project: &Project, ran: &[Migration], wanted: &[RollbackScript]) -> Vec<Cascade> {
    let undone: Vec<&Migration> = ran.iter().rev().collect();
    let scripts = scripts(project, &undone);
    let is_wanted = |one: &&&Migration| wanted.iter().any(|script| script.migration == one.path);
    let files: Vec<MigrationSql> =
        undone.iter().filter(is_wanted).filter_map(|one| file(project, one, &scripts)).collect();
    let review = review(&files, &ReviewOptions { advice: false, ..ReviewOptions::default() });
    let mut all: Vec<Cascade> = Vec::new();
    for one in review.findings().filter_map(|(_, finding)| cascade(finding)) {
        if !all.contains(&one) {
            all.push(one);
        }
    }
    all
}

fn cascade(finding: &Finding) -> Option<Cascade> {
    let mut target = finding.target.clone().filter(|target| target.cascade)?;
    match (finding.kind, target.class) {
        (Kind::Truncate, _) => return Some(Cascade::Empties(target.name)),
        // ALTER TYPE … ATTRIBUTE has the word, too, and drops nothing that depends.
        (_, ObjectClass::Type) if target.column.is_some() => return None,
        (Kind::DropConstraint, ObjectClass::Table) => target.class = ObjectClass::Constraint,
        _ => {}
    }
    Some(Cascade::Drops(target))
}

/// The partitions that the migrations made or attached, each with the table that it is one of.
fn made_parts(review: &Review, migrations: usize) -> Vec<(&ObjectName, &Touch)> {
    let findings = review.files.iter().take(migrations).flat_map(|file| &file.statements).flat_map(|one| &one.findings);
    let part = |one: &'_ &Finding| one.kind == Kind::Partition;
    findings.filter(part).filter_map(part_of).collect()
}

/// The partition that a finding makes or attaches, and the table that it is one of.
fn part_of(finding: &Finding) -> Option<(&ObjectName, &Touch)> {
    let child = &finding.target.as_ref()?.name;
    Some((child, finding.touches.iter().find(|touch| touch.table != *child)?))
}

/// Whether all or some rows of what is touched go.
fn takes_rows(touch: &Touch) -> bool {
    let goes = matches!(touch.reach, Reach::Delete | Reach::Truncate { .. } | Reach::Drop { .. });
    goes && touch.role == Role::Write
}

/// The table that was there before and that what the migrations made is a partition of: others write into it through that.
fn whole<'a>(touch: &'a Touch, parts: &[(&ObjectName, &'a Touch)]) -> Option<&'a Touch> {
    let same = |one: &ObjectName, other: &ObjectName| {
        one.name == other.name && (one.schema == other.schema || one.schema.is_none() || other.schema.is_none())
    };
    let above = |touch: &&'a Touch| parts.iter().find(|(child, _)| same(child, &touch.table)).map(|(_, whole)| *whole);
    let up = std::iter::successors(above(&touch), above).take(parts.len());
    up.filter(|_| touch.made != Made::No).find(|whole| whole.made != Made::Yes)
}

/// The tables that a finding puts at risk, without columns that the migrations made.
fn at_risk(finding: &Finding, catalog: Option<&Catalog>, renames: bool) -> Vec<AtRisk> {
    let Some(catalog) = catalog else {
        let tables = super::report::named(finding).filter(|one| one.loss.is_data());
        return tables
            .map(|one| AtRisk { table: one.table.to_string(), columns: one.columns, ..AtRisk::default() })
            .collect();
    };
    let was_there = |one: &&holdpoint_review::TableAtRisk| {
        let before = catalog.relations.iter().find(|relation| relation.name == one.table);
        let has = |column: &String| before.is_none_or(|before| before.columns.iter().any(|had| had.name == *column));
        one.loss.is_data() && (renames || one.columns.is_empty() || one.columns.iter().any(has))
    };
    let tables = finding.at_risk.iter().filter(was_there);
    tables
        .map(|one| AtRisk { table: one.table.to_string(), columns: one.columns.clone(), ..AtRisk::default() })
        .collect()
}

/// The tables that a touch means, of those that were there before; as the statement names it where no catalog tells.
fn there_before(touch: &Touch, catalog: Option<&Catalog>) -> Vec<String> {
    let name = touch.before.as_ref().unwrap_or(&touch.table);
    let Some(catalog) = catalog else { return vec![name.to_string()] };
    if let Some(found) = catalog.named(&name.to_string()) {
        return vec![found.to_string()];
    }
    // A tool may have a search path that nobody told.
    let of_name = catalog.relations.iter().filter(|one| name.schema.is_none() && one.name.name == name.name);
    of_name.map(|one| one.name.to_string()).collect()
}

/// Adds a table once; whole rows where one reason means all of them.
fn put(tables: &mut Vec<AtRisk>, table: AtRisk) {
    match tables.iter_mut().find(|one| one.table == table.table) {
        None => tables.push(table),
        Some(there) if there.columns.is_empty() || table.columns.is_empty() => there.columns.clear(),
        Some(there) => {
            there.columns.extend(table.columns);
            there.columns.sort();
            there.columns.dedup();
        }
    }
}

/// What undoes a migration, as the review reads it.
fn file(project: &Project, migration: &Migration, scripts: &[RollbackScript]) -> Option<MigrationSql> {
    let name = &scripts.iter().find(|one| one.migration == migration.path)?.path;
    let files = &project.files;
    let (file, dialect) = match &migration.rollback {
        // psql runs them, whatever runs the migrations.
        Rollback::Script { path, beside: true, .. } => (files.rollbacks.get(path), Dialect::Psql),
        Rollback::Script { path, beside: false, .. } => (files.migrations.get(path), Dialect::Psql),
        Rollback::SameFile if migration.language == Language::Sql => {
            (files.migrations.get(&migration.path), Dialect::NodePgMigrate)
        }
        Rollback::SameFile | Rollback::Program | Rollback::Ambiguous { .. } | Rollback::Missing => {
            (None, Dialect::Program)
        }
    };
    let (text, dialect) = file.map_or((String::new(), Dialect::Program), |file| (file.text(), dialect));
    let transaction = Transaction::None;
    Some(MigrationSql { transaction, direction: Direction::Down, ..MigrationSql::new(name, text, dialect) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::{Choice, ToolName, Tracking};

    /// Reviews what undoes one pending migration of a database that has `shop.orders (id, note)`.
    fn reviewed(up: &str, down: &str) -> RollbackReview {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("sql/rollback")).unwrap();
        std::fs::write(folder.path().join("sql/1_a.sql"), up).unwrap();
        std::fs::write(folder.path().join("sql/rollback/1_a.sql"), down).unwrap();
        let choice = Choice { tool: Some(ToolName::PlainSql), migrations: Some("sql".into()), ..Choice::default() };
        let project = Project::open(folder.path(), &choice).unwrap();
        let pending = Pending::of(&project.found, &project.files, &Tracking::Absent { others: false });
        let catalog: Catalog = serde_json::from_value(serde_json::json!({
            "server_major": 18, "search_path": ["public"], "standard_conforming_strings": "on",
            "relations": [{ "name": { "schema": "shop", "name": "orders" }, "kind": "table",
                "columns": [{ "name": "id", "type_name": "integer" }, { "name": "note", "type_name": "text" }] }]
        }))
        .unwrap();
        let found = RollbackReview::of(&project, &pending, Some(&catalog));
        assert_eq!(found.scripts.len(), 1);
        assert_eq!(found.scripts[0].path, "sql/rollback/1_a.sql");
        found
    }

    #[test]
    fn what_takes_away_what_the_migration_made_loses_nothing() {
        for (up, down) in [
            ("CREATE TABLE shop.tags (id integer);", "DROP TABLE shop.tags;"),
            ("ALTER TABLE shop.orders ADD COLUMN word text;", "ALTER TABLE shop.orders DROP COLUMN word;"),
            ("CREATE INDEX orders_note ON shop.orders (note);", "DROP INDEX shop.orders_note;"),
            ("CREATE TYPE shop.mood AS ENUM ('a');", "DROP TYPE shop.mood;"),
            ("CREATE SCHEMA more;", "DROP SCHEMA more;"),
            (
                "CREATE TABLE shop.parts (id integer) PARTITION BY LIST (id);\n\
                 CREATE TABLE shop.part PARTITION OF shop.parts FOR VALUES IN (1);",
                "DROP TABLE shop.part; DROP TABLE shop.parts;",
            ),
            (
                "ALTER TABLE shop.orders RENAME COLUMN note TO word;",
                "ALTER TABLE shop.orders RENAME COLUMN word TO note;",
            ),
            ("ALTER TABLE shop.orders RENAME TO sales;", "ALTER TABLE shop.sales RENAME TO orders;"),
            ("ALTER TABLE shop.orders DROP COLUMN note;", "ALTER TABLE shop.orders ADD COLUMN note text;"),
        ] {
            let found = reviewed(up, down);
            assert!(!found.any(), "{down}: {found:?}");
        }
    }

    #[test]
    fn whatever_says_cascade_is_looked_at() {
        let cascade = |sql: &str| {
            let review = review(&[MigrationSql::new("x.sql", sql, Dialect::Psql)], &ReviewOptions::default());
            let found = review.findings().find_map(|(_, finding)| cascade(finding))?;
            Some(match found {
                Cascade::Drops(target) => format!("{:?} {} {:?}", target.class, target.name, target.column),
                Cascade::Empties(table) => format!("empties {table}"),
            })
        };
        for (sql, found) in [
            ("ALTER TABLE s.t DROP CONSTRAINT k CASCADE;", "Constraint s.t Some(\"k\")"),
            ("ALTER TABLE s.t DROP COLUMN c CASCADE;", "Table s.t Some(\"c\")"),
            ("DROP COLLATION s.own CASCADE;", "Collation s.own None"),
            ("TRUNCATE s.t CASCADE;", "empties s.t"),
            ("DROP OPERATOR + (int, int) CASCADE;", "Other \"DROP OPERATOR\" None"),
        ] {
            assert_eq!(cascade(sql).as_deref(), Some(found), "{sql}");
        }
        for sql in
            ["TRUNCATE s.t;", "DROP COLLATION s.own;", "ALTER TYPE s.y DROP ATTRIBUTE a CASCADE;", "DROP TABLE s.t;"]
        {
            assert_eq!(cascade(sql), None, "{sql}");
        }
    }

    #[test]
    fn tables_that_were_there_and_get_rows_are_named() {
        for (up, down, written) in [
            ("INSERT INTO shop.orders VALUES (1);", "SELECT 1;", &["shop.orders"][..]),
            ("SELECT 1;", "INSERT INTO shop.orders VALUES (1);", &["shop.orders"]),
            ("SELECT 1;", "UPDATE shop.orders SET note = 'x';", &["shop.orders"]),
            ("UPDATE shop.orders SET note = 'x';", "SELECT 1;", &[]),
            ("ALTER TABLE shop.orders ADD COLUMN word text;", "ALTER TABLE shop.orders DROP COLUMN word;", &[]),
            ("CREATE TABLE shop.tags (id integer); INSERT INTO shop.tags VALUES (1);", "DROP TABLE shop.tags;", &[]),
        ] {
            assert_eq!(reviewed(up, down).written, written, "{up} {down}");
        }
    }

    #[test]
    fn what_takes_what_was_there_before_is_told_with_its_place() {
        for (up, down, table) in [
            ("SELECT 1;", "DELETE FROM shop.orders WHERE id < 3;", "shop.orders"),
            ("SELECT 1;", "TRUNCATE shop.orders;", "shop.orders"),
            ("SELECT 1;", "DROP TABLE shop.orders;", "shop.orders"),
            ("SELECT 1;", "UPDATE shop.orders SET note = 'x';", "shop.orders"),
            (
                "ALTER TABLE shop.orders ADD COLUMN word text;",
                "ALTER TABLE shop.orders DROP COLUMN note;",
                "shop.orders",
            ),
            // What has the new name is what was there before.
            (
                "ALTER TABLE shop.orders RENAME COLUMN note TO word;",
                "ALTER TABLE shop.orders DROP COLUMN word;",
                "shop.orders",
            ),
            ("ALTER TABLE shop.orders RENAME TO sales;", "DROP TABLE shop.sales;", "shop.orders"),
            // What others wrote through the table that was there lies in the partition.
            (
                "CREATE TABLE shop.orders_9 PARTITION OF shop.orders FOR VALUES IN (9);",
                "DROP TABLE shop.orders_9;",
                "shop.orders",
            ),
            (
                "CREATE TABLE shop.more (LIKE shop.orders);\nALTER TABLE shop.orders ATTACH PARTITION shop.more DEFAULT;",
                "ALTER TABLE shop.orders DETACH PARTITION shop.more; DROP TABLE shop.more;",
                "shop.orders",
            ),
        ] {
            let found = reviewed(up, down);
            assert!(found.tables.iter().any(|one| one.table == table), "{down}: {found:?}");
            assert!(found.places[0].starts_with("sql/rollback/1_a.sql:1 "), "{found:?}");
        }
        for down in ["DO $$ BEGIN EXECUTE 'DROP TABLE ' || 'x'; END $$;", "\\i other.sql\n", "DROP TABLE 'x"] {
            assert!(reviewed("SELECT 1;", down).everything_at_risk, "{down}");
        }
    }
}
