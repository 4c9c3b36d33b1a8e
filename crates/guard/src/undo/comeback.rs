//! What comes back of a table at risk: rows or columns, by which key, and what has to be left out.

use holdpoint_core::fingerprint::qualified;
use holdpoint_core::undoing::AtRisk;
use holdpoint_operations::compare::StoredForm;
use holdpoint_operations::recover::ColumnPair;
use holdpoint_postgres::catalog::table_form::table_form;

use super::live::{connected, name};
use super::work::Work;
use crate::Error;

/// What comes back of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Comeback {
    /// The table, as it was called before.
    pub(super) table: String,
    pub(super) what: What,
    /// What is there already, and would be written over or beside; `None` where nothing is.
    pub(super) meets: Option<Meets>,
    /// The partitioned table that it is, or belongs to.
    pub(super) root: Option<String>,
    /// Where it is partitioned, the partitions that hold its rows.
    pub(super) parts: Vec<String>,
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Whole rows; only those that are gone, where the run changed none that stayed.
    Rows { only_gone: bool },
    /// Some columns: those that are filled, and those that are gone and may make their values themselves.
    Columns { filled: Vec<String>, computed: Vec<String> },
}

/// How rows are compared with those that are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meets {
    pub(super) key: Vec<String>,
    /// The columns that are set back; all that both have where there is none.
    pub(super) columns: Option<Vec<String>>,
    /// One of them was made again by an undo that broke off: rows that nobody wrote since have no values of others.
    pub(super) anew: bool,
    /// Columns that have another name now.
    pub(super) renamed: Vec<ColumnPair>,
}

/// A live table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Now {
    pub(super) columns: Vec<Column>,
    pub(super) keys: Vec<Vec<String>>,
    /// It has unique indexes that are no keys to every statement.
    pub(super) other_keys: bool,
    /// The partitioned table that it is, or belongs to.
    pub(super) root: Option<String>,
    /// Where it is partitioned, the partitions that hold its rows.
    pub(super) parts: Vec<String>,
    /// How many tables are above it, each a part or a child of the next: what one of them gets, it gets, too.
    pub(super) level: i32,
}

/// A column of a live table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) generated: bool,
    /// It must not be null, and gets no value by itself.
    pub(super) needed: bool,
}

/// What of the run bears on it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bearing<'a> {
    /// Something undoes the migrations first, and may alter the table again.
    pub(super) scripts: bool,
    /// Rows go, and none that stays is changed.
    pub(super) rows_only_go: bool,
    /// The rehearsal shows that rows got other keys.
    pub(super) keys_move: bool,
    /// The columns that have another name now, by the run.
    pub(super) renamed: &'a [ColumnPair],
}

impl Now {
    /// Reads a live table; `None` where there is none.
    pub(super) async fn read(work: &Work<'_>, table: &str) -> Result<Option<Self>, Error> {
        let session = connected(work).await?;
        let read = Self::read_by(&session, table).await;
        session.close().await;
        read
    }

    async fn read_by(session: &holdpoint_postgres::Session, table: &str) -> Result<Option<Self>, Error> {
        let named = name(table);
        let schema = named.schema.as_deref().unwrap_or("public");
        let Some(form) = table_form(session, schema, &named.name).await? else { return Ok(None) };
        let sql = "SELECT attname::pg_catalog.text, attgenerated <> '', \
                          attnotnull AND NOT atthasdef AND attidentity = '' \
                   FROM pg_catalog.pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
        let rows = session.query("reading the columns of a table at risk", sql, &[&form.oid]).await?;
        let column =
            |row: &holdpoint_postgres::Row| Column { name: row.get(0), generated: row.get(1), needed: row.get(2) };
        let columns = rows.iter().map(column).collect();
        let sql = "SELECT n.nspname::pg_catalog.text, c.relname::pg_catalog.text FROM pg_catalog.pg_class c \
                   JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                   WHERE c.oid = pg_catalog.pg_partition_root($1::pg_catalog.oid::pg_catalog.regclass)";
        let roots = session.query("reading the root of a table at risk", sql, &[&form.oid]).await?;
        let root = roots.first().map(|row| qualified(Some(row.get(0)), row.get(1)));
        let sql = "SELECT n.nspname::pg_catalog.text, c.relname::pg_catalog.text \
                   FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid::pg_catalog.regclass) t \
                   JOIN pg_catalog.pg_class c ON c.oid = t.relid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                   WHERE t.isleaf AND c.oid <> $1";
        let parts = session.query("reading the partitions of a table at risk", sql, &[&form.oid]).await?;
        let parts = parts.iter().map(|row| qualified(Some(row.get(0)), row.get(1))).collect();
        let sql = "WITH RECURSIVE above (oid, level) AS ( \
                     SELECT inhparent, 1 FROM pg_catalog.pg_inherits WHERE inhrelid = $1 \
                     UNION SELECT i.inhparent, a.level + 1 FROM above a JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.oid) \
                   SELECT coalesce(pg_catalog.max(level), 0) FROM above";
        let level = session.query_one("reading what a table at risk is a part of", sql, &[&form.oid]).await?.get(0);
        Ok(Some(Self { columns, keys: form.keys, other_keys: !form.no_keys.is_empty(), root, parts, level }))
    }

    /// Whether it is a table of its own, or a whole of which others are parts.
    pub(super) fn is_whole(&self, table: &str) -> bool {
        self.root.as_ref().is_none_or(|root| root == table)
    }

    fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|one| one.name == name)
    }

    /// The columns that hold values of their own.
    fn plain(&self, name: &str) -> bool {
        self.column(name).is_some_and(|one| !one.generated)
    }
}

impl Comeback {
    /// Decides what comes back, with what is left out in words; `None` where nothing has to.
    ///
    /// # Errors
    /// Why nothing can, in words.
    pub(super) fn decide(
        one: &AtRisk,
        then: &StoredForm,
        now: Option<&Now>,
        run: Bearing<'_>,
    ) -> Result<(Option<Self>, Vec<String>), String> {
        let table = &one.table;
        let root = now.and_then(|now| now.root.clone());
        let parts = now.map(|now| now.parts.clone()).unwrap_or_default();
        let comes =
            |what, meets| Some(Self { table: table.clone(), what, meets, root: root.clone(), parts: parts.clone() });
        let Some(now) = now else { return Ok((comes(What::Rows { only_gone: false }, None), Vec::new())) };
        if one.columns.is_empty() {
            let key = key(table, then, now, &[], run)?;
            let new = |column: &&Column| column.needed && !then.columns.contains(&column.name);
            if let Some(column) = now.columns.iter().find(new).filter(|_| !run.scripts) {
                return Err(format!(
                    "{} of {table} came since, must not be null and has no default, so that rows of before do not fit: \
                     give it one, or drop it",
                    column.name
                ));
            }
            let meets = Some(Meets { key, columns: None, anew: false, renamed: run.renamed.to_vec() });
            return Ok((comes(What::Rows { only_gone: run.rows_only_go }, meets), Vec::new()));
        }
        let (mut filled, mut computed, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
        for column in &one.columns {
            let makes_own = now.column(column).is_some_and(|one| one.generated);
            if let Some(pair) = run.renamed.iter().find(|pair| pair.then == *column && !run.scripts) {
                return Err(format!(
                    "the run renamed {column} of {table} to {}, and nothing is there that renames it back: give it its name of \
                     before, then this way again",
                    pair.now
                ));
            }
            match (then.columns.contains(column), now.column(column)) {
                (true, _) if makes_own && !run.scripts => {
                    left_out.push(format!("{column} of {table} is left out: it makes its values itself now"));
                }
                (true, _) => filled.push(column.clone()),
                (false, None) => computed.push(column.clone()),
                (false, Some(_)) if makes_own => {
                    left_out.push(format!("{column} of {table} is left out: it makes its values itself"));
                }
                (false, Some(_)) => left_out.push(format!(
                    "{column} of {table} is left out: the restore point holds no values of such a column"
                )),
            }
        }
        if filled.is_empty() && computed.is_empty() {
            return Ok((None, left_out));
        }
        let mut meets = None;
        if !filled.is_empty() {
            let key = key(table, then, now, &filled, run)?;
            let renamed = run.renamed.to_vec();
            let is = |column: &&String| now.plain(column) || renamed.iter().any(|pair| pair.then == **column);
            let there: Vec<String> = filled.iter().filter(is).cloned().collect();
            let columns = Some(there.clone());
            meets = Some(Meets { key, columns, anew: false, renamed }).filter(|_| !there.is_empty());
        }
        Ok((comes(What::Columns { filled, computed }, meets), left_out))
    }

    /// The step as the ledger names it.
    pub(super) fn label(&self) -> String {
        let table = &self.table;
        match &self.what {
            What::Rows { only_gone: true } => format!("rows of {table} that are gone{FROM_POINT}"),
            What::Rows { only_gone: false } => format!("rows of {table}{FROM_POINT}"),
            What::Columns { filled, computed } => {
                format!("{} of {table}{FROM_POINT}", [&filled[..], computed].concat().join(", "))
            }
        }
    }
}

/// How the steps that bring data back end.
const FROM_POINT: &str = " from the restore point";

/// Whether a step in the ledger brought data back: what another way does meanwhile may take them again.
pub(super) fn brings_back(step: &str) -> bool {
    step.ends_with(FROM_POINT)
}

/// The key by which rows are found, of columns that stay as they are.
fn key(table: &str, then: &StoredForm, now: &Now, filled: &[String], run: Bearing<'_>) -> Result<Vec<String>, String> {
    // Without anything that undoes the migrations the live table must have it.
    let known = if run.scripts || now.other_keys || !now.keys.is_empty() { &then.keys[..] } else { &[] };
    let both = |key: &&Vec<String>| key.iter().all(|column| then.columns.contains(column) && now.plain(column));
    let stays = |key: &&Vec<String>| !key.iter().any(|column| filled.contains(column));
    let found = now.keys.iter().chain(known).filter(both).find(stays);
    let changed = |columns: &str, how: &str| {
        Err(format!("{columns} of {table} is what its rows are told apart by, and {how}: they cannot be found again"))
    };
    match found {
        Some(key) if run.keys_move => changed(&key.join(", "), "the rehearsal shows that the run changes it"),
        Some(key) => Ok(key.clone()),
        None => match now.keys.iter().chain(&then.keys).find(|key| !stays(key)) {
            Some(key) => {
                let moved: Vec<String> = key.iter().filter(|column| filled.contains(column)).cloned().collect();
                changed(&moved.join(", "), "the run changes or takes it")
            }
            None => Err(format!(
                "rows of {table} cannot be told apart: it has no primary key and no unique index without NULL"
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &str) -> Vec<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    fn now(columns: &str, keys: &[&str]) -> Now {
        let column = |word: &str| Column {
            name: word.trim_matches(['=', '!']).to_owned(),
            generated: word.ends_with('='),
            needed: word.ends_with('!'),
        };
        Now {
            columns: columns.split_whitespace().map(column).collect(),
            keys: keys.iter().map(|key| list(key)).collect(),
            other_keys: false,
            ..Now::default()
        }
    }

    fn then(columns: &str, keys: &[&str]) -> StoredForm {
        StoredForm { columns: list(columns), keys: keys.iter().map(|key| list(key)).collect(), data_bytes: 0 }
    }

    fn at_risk(columns: &str) -> AtRisk {
        AtRisk { table: "s.t".to_owned(), columns: list(columns), ..AtRisk::default() }
    }

    #[test]
    fn columns_that_the_restore_point_lacks_or_that_are_computed_are_left_out() {
        let (then, live) = (then("id note", &["id"]), now("id note weight gross=", &["id"]));
        let decided = |columns: &str| Comeback::decide(&at_risk(columns), &then, Some(&live), Bearing::default());
        let (comeback, left_out) = decided("note weight gross").unwrap();
        let comeback = comeback.unwrap();
        assert_eq!(comeback.what, What::Columns { filled: list("note"), computed: Vec::new() });
        let meets = Meets { key: list("id"), columns: Some(list("note")), anew: false, renamed: Vec::new() };
        assert_eq!(comeback.meets, Some(meets));
        assert!(left_out[0].contains("weight of s.t is left out: the restore point holds no values"), "{left_out:?}");
        assert!(left_out[1].contains("gross of s.t is left out: it makes its values itself"), "{left_out:?}");
        let (comeback, left_out) = decided("weight gross").unwrap();
        assert_eq!((comeback, left_out.len()), (None, 2), "nothing of it comes back");
    }

    #[test]
    fn a_column_with_another_name_meets_what_is_there_under_that_name() {
        let (then, live) = (then("id note", &["id"]), now("id remark", &["id"]));
        let renamed = [ColumnPair { then: "note".into(), now: "remark".into() }];
        let decided = |scripts| {
            let run = Bearing { scripts, renamed: &renamed, ..Bearing::default() };
            Comeback::decide(&at_risk("note"), &then, Some(&live), run)
        };
        let meets = decided(true).unwrap().0.unwrap().meets.unwrap();
        assert_eq!((meets.columns, meets.renamed), (Some(list("note")), renamed.to_vec()));
        let why = decided(false).unwrap_err();
        assert!(
            why.starts_with("the run renamed note of s.t to remark, and nothing is there that renames it back"),
            "{why}"
        );
    }

    #[test]
    fn a_column_that_is_gone_meets_nothing() {
        let (then, live) = (then("id note", &["id"]), now("id", &["id"]));
        let (comeback, _) = Comeback::decide(&at_risk("note gross"), &then, Some(&live), Bearing::default()).unwrap();
        let comeback = comeback.unwrap();
        assert_eq!(comeback.what, What::Columns { filled: list("note"), computed: list("gross") });
        assert_eq!(
            (comeback.meets.as_ref(), comeback.label().as_str()),
            (None, "note, gross of s.t from the restore point")
        );
        let (gone, _) = Comeback::decide(&at_risk(""), &then, None, Bearing::default()).unwrap();
        assert_eq!(gone.unwrap().meets, None, "nor does a table that is gone");
    }

    #[test]
    fn a_key_that_the_run_changes_is_refused_by_its_column() {
        let then = then("id mail note", &["id"]);
        let told = |columns: &str, keys: &[&str], run| {
            Comeback::decide(&at_risk(columns), &then, Some(&now("id mail note", keys)), run).unwrap_err()
        };
        let why = told("id note", &["id"], Bearing::default());
        assert!(why.starts_with("id of s.t is what its rows are told apart by, and the run changes"), "{why}");
        let moved = Bearing { keys_move: true, ..Bearing::default() };
        assert!(told("", &["id"], moved).contains("the rehearsal shows"), "whole rows");
        assert!(told("note", &[], Bearing::default()).contains("cannot be told apart"));
        let other = now("id mail note", &["id", "mail"]);
        let (found, _) = Comeback::decide(&at_risk("id"), &then, Some(&other), Bearing::default()).unwrap();
        assert_eq!(found.unwrap().meets.unwrap().key, list("mail"), "another key stays as it is");
        let scripts = Bearing { scripts: true, ..Bearing::default() };
        let dropped = Comeback::decide(&at_risk("note"), &then, Some(&now("id mail note", &[])), scripts);
        assert_eq!(dropped.unwrap().0.unwrap().meets.unwrap().key, list("id"), "a script makes the key again");
    }

    #[test]
    fn rows_of_before_have_to_fit() {
        let (then, live) = (then("id", &["id"]), now("id weight!", &["id"]));
        let decided = |run| Comeback::decide(&at_risk(""), &then, Some(&live), run);
        let why = decided(Bearing::default()).unwrap_err();
        assert!(why.starts_with("weight of s.t came since, must not be null"), "{why}");
        let run = Bearing { scripts: true, rows_only_go: true, ..Bearing::default() };
        assert_eq!(decided(run).unwrap().0.unwrap().what, What::Rows { only_gone: true });
    }

    #[test]
    fn what_brought_data_back_is_told_from_scripts() {
        let what = What::Rows { only_gone: true };
        let one = Comeback { table: "s.t".into(), what, meets: None, root: None, parts: Vec::new() };
        assert!(brings_back(&one.label()) && !brings_back("sql/rollback/1.sql (1)"));
        assert!(!brings_back("found that note of s.t is gone"));
    }
}
