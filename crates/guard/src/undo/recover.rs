//! Bringing back what a run took: after whatever undoes the migrations, the tables and columns at risk.

use holdpoint_core::name::quote_identifier;
use holdpoint_core::rehearsal::TableEffect;
use holdpoint_core::selector::Selector;
use holdpoint_core::undoing::AtRisk;
use holdpoint_operations::recover::{
    ColumnPair, RecoverFrom, RecoverMode, RecoverOptions, TableName, Target, Triggers, Wanted, prepare,
};
use holdpoint_operations::schema_check::Schema;
use holdpoint_postgres::{Session, SessionPurpose};

use super::attempt::Work;
use super::record::Record;
use super::rollback::{RollingBack, no_way};
use crate::{Error, sessions};

/// What is brought back.
pub(super) struct Recovering {
    pub(super) rollback: RollingBack,
    tables: Vec<AtRisk>,
}

/// A column as the restore point has it.
struct Column {
    name: String,
    kind: String,
    default: Option<String>,
    not_null: bool,
    generated: bool,
}

impl Recovering {
    /// Finds what was at risk.
    ///
    /// # Errors
    /// [`Error::NoSuchWay`] where it is not known which tables are.
    pub(super) async fn plan(work: &Work<'_>) -> Result<Self, Error> {
        let step = &work.step;
        let mut tables = step.risk.as_ref().map(|risk| risk.tables.clone()).unwrap_or_default();
        let everything = step.risk.as_ref().is_none_or(|risk| risk.everything);
        let effects = step.rehearsal.as_ref().map(|one| one.tables.as_slice());
        match (everything, effects) {
            (true, None) => {
                let why =
                    "which tables are at risk is not known: the command was not read, and not rehearsed".to_owned();
                return Err(no_way(work, "recover", why));
            }
            (true, Some(effects)) => tables = effects.iter().filter_map(taken).collect(),
            (false, effects) => {
                let known = |one: &AtRisk| !tables.iter().any(|table| table.table == one.table);
                let more: Vec<AtRisk> = effects.unwrap_or_default().iter().filter_map(taken).filter(known).collect();
                tables.extend(more);
            }
        }
        let rollback = RollingBack::as_far_as_there_is(work).await?;
        let own = rollback.tracking().map(ToString::to_string);
        let then = Schema::recorded(work.context, &work.point).await?;
        tables.retain(|one| Some(&one.table) != own.as_ref() && then.has_table(&one.table));
        if tables.is_empty() {
            return Err(no_way(work, "recover", "the run puts no table's data at risk".to_owned()));
        }
        Ok(Self { rollback, tables })
    }

    pub(super) fn words(&self) -> Vec<String> {
        self.rollback.words().into_iter().chain(self.tables.iter().map(label)).collect()
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        self.rollback.warnings.clone()
    }

    pub(super) async fn go(&self, work: &Work<'_>, record: &mut Record<'_>) -> Result<(), Error> {
        self.rollback.go(work, record).await?;
        let (mut whole, mut columns) = (Vec::new(), Vec::new());
        for one in self.tables.iter().filter(|one| !record.has_done(&label(one))) {
            let there = live_columns(work, &one.table).await?;
            if one.columns.is_empty() || there.is_empty() { whole.push(one) } else { columns.push((one, there)) }
        }
        if !whole.is_empty() {
            let names = whole.iter().map(|one| name(&one.table)).collect();
            recover(work, Wanted::Tables(names), Vec::new()).await?;
            for one in whole {
                record.done(&label(one)).await?;
            }
        }
        for (one, there) in columns {
            for column in one.columns.iter().filter(|column| !there.contains(column)) {
                let gone = gone(column, &one.table);
                if !record.has_done(&gone) {
                    record.done(&gone).await?;
                }
            }
            // Also those that an undo added before it was killed: they have no default and no bound yet.
            let found_gone = |column: &&String| record.has_done(&gone(column, &one.table));
            let wanted: Vec<&String> = one.columns.iter().filter(found_gone).collect();
            let added = self.add(work, one, &wanted, &there).await?;
            let pair = |column: &String| ColumnPair { then: column.clone(), now: column.clone() };
            let pairs = one.columns.iter().map(pair).collect();
            recover(work, Wanted::Tables(vec![name(&one.table)]), pairs).await?;
            finish(work, &one.table, &added).await?;
            record.done(&label(one)).await?;
        }
        Ok(())
    }

    /// Adds those of the columns that are not there, as the restore point has them; without their defaults and bounds,
    /// which come last. Gives all of them.
    async fn add(
        &self,
        work: &Work<'_>,
        table: &AtRisk,
        wanted: &[&String],
        there: &[String],
    ) -> Result<Vec<Column>, Error> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let options = RecoverOptions { mode: RecoverMode::Side, ..options(work, &table.table) };
        let recovery = prepare(work.context, &options).await?;
        let side = recovery.plan().tables.first().and_then(|one| one.side.clone());
        let columns = match &side {
            Some(side) => described(work, side).await,
            None => Ok(Vec::new()),
        };
        recovery.abandon().await?;
        let mut added = Vec::new();
        for column in columns?.into_iter().filter(|column| wanted.contains(&&column.name)) {
            if column.generated {
                let why = format!("{} of {} makes its values itself: add it by hand", column.name, table.table);
                return Err(no_way(work, "recover", why));
            }
            if !there.contains(&column.name) {
                let add = format!("ADD COLUMN {} {}", quote_identifier(&column.name), column.kind);
                alter(work, &table.table, &add).await?;
            }
            added.push(column);
        }
        Ok(added)
    }
}

/// Gives columns their defaults and bounds back, once they are filled.
async fn finish(work: &Work<'_>, table: &str, columns: &[Column]) -> Result<(), Error> {
    for column in columns {
        let quoted = quote_identifier(&column.name);
        if let Some(default) = &column.default {
            alter(work, table, &format!("ALTER COLUMN {quoted} SET DEFAULT {default}")).await?;
        }
        if column.not_null {
            alter(work, table, &format!("ALTER COLUMN {quoted} SET NOT NULL")).await?;
        }
    }
    Ok(())
}

/// What a table's effect on the copy says that is gone or changed.
pub(super) fn taken(effect: &TableEffect) -> Option<AtRisk> {
    let rows = effect.rows.is_some_and(|rows| rows.updated + rows.deleted > 0);
    let fewer = effect.rows_after < effect.rows_before;
    if effect.added || !(effect.dropped || rows || fewer || !effect.columns_gone.is_empty()) {
        return None;
    }
    let columns = if effect.dropped || rows || fewer { Vec::new() } else { effect.columns_gone.clone() };
    Some(AtRisk { table: effect.table.clone(), columns })
}

fn label(one: &AtRisk) -> String {
    match one.columns.as_slice() {
        [] => format!("rows of {} from the restore point", one.table),
        columns => format!("{} of {} from the restore point", columns.join(", "), one.table),
    }
}

/// What is written into the ledger before a column is added: whoever goes on knows that it is not whole yet.
fn gone(column: &str, table: &str) -> String {
    format!("found that {column} of {table} is gone")
}

fn name(text: &str) -> TableName {
    match text.parse() {
        Ok(name) => name,
        Err(never) => match never {},
    }
}

fn quoted(table: &str) -> String {
    let TableName { schema, name } = name(table);
    let schema = schema.map(|schema| format!("{}.", quote_identifier(&schema))).unwrap_or_default();
    format!("{schema}{}", quote_identifier(&name))
}

async fn recover(work: &Work<'_>, wanted: Wanted, columns: Vec<ColumnPair>) -> Result<(), Error> {
    let options = RecoverOptions { wanted, columns, ..options(work, "") };
    let recovery = prepare(work.context, &options).await?;
    if recovery.plan().refusals().is_empty() && !recovery.plan().changes_anything() {
        recovery.abandon().await?;
        return Ok(());
    }
    recovery.apply(work.context).await?;
    Ok(())
}

fn options(work: &Work<'_>, table: &str) -> RecoverOptions {
    RecoverOptions {
        from: RecoverFrom::Point(Selector::Id(work.point.clone())),
        wanted: Wanted::Tables(vec![name(table)]),
        into: work.options.live.clone(),
        target: Target::SameDatabase,
        mode: RecoverMode::Upsert,
        condition: None,
        columns: Vec::new(),
        renamed: Vec::new(),
        now_named: None,
        triggers: Triggers::HeldBack,
        lock_wait_seconds: work.options.lock_wait_seconds,
        jobs: work.options.jobs,
        keep_side: false,
        dry_run: false,
        programs: work.options.place.source.programs.clone(),
    }
}

async fn connected(work: &Work<'_>) -> Result<Session, Error> {
    let settings = work.options.live.with_application_name(sessions::token(&work.run));
    Ok(Session::connect(&settings, &SessionPurpose::new("holdpoint undo")).await?)
}

/// The columns that a live table has; none where there is no such table.
async fn live_columns(work: &Work<'_>, table: &str) -> Result<Vec<String>, Error> {
    let session = connected(work).await?;
    let sql = "SELECT a.attname::pg_catalog.text FROM pg_catalog.pg_attribute a \
               WHERE a.attrelid = pg_catalog.to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped";
    let rows = session.query("looking for the tables at risk", sql, &[&quoted(table)]).await;
    session.close().await;
    Ok(rows?.iter().map(|row| row.get(0)).collect())
}

/// The columns of a side table.
async fn described(work: &Work<'_>, side: &str) -> Result<Vec<Column>, Error> {
    let session = connected(work).await?;
    let sql = "SELECT a.attname::pg_catalog.text, pg_catalog.format_type(a.atttypid, a.atttypmod) \
                      || CASE WHEN a.attcollation <> t.typcollation \
                              THEN pg_catalog.format(' COLLATE %I.%I', n.nspname, c.collname) ELSE '' END, \
                      pg_catalog.pg_get_expr(d.adbin, d.adrelid), a.attnotnull, \
                      a.attgenerated <> '' OR a.attidentity <> '' \
               FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
               LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
               LEFT JOIN pg_catalog.pg_collation c ON c.oid = a.attcollation \
               LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace \
               WHERE a.attrelid = pg_catalog.to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
    let rows = session.query("reading the columns of then", sql, &[&quoted(side)]).await;
    session.close().await;
    let column = |row: &holdpoint_postgres::Row| Column {
        name: row.get(0),
        kind: row.get(1),
        default: row.get(2),
        not_null: row.get(3),
        generated: row.get(4),
    };
    Ok(rows?.iter().map(column).collect())
}

async fn alter(work: &Work<'_>, table: &str, action: &str) -> Result<(), Error> {
    let session = connected(work).await?;
    let sql =
        format!("SET lock_timeout = '{}s'; ALTER TABLE {} {action}", work.options.lock_wait_seconds, quoted(table));
    let altered = session.run("bringing a column back", &sql).await;
    session.close().await;
    Ok(altered?)
}

#[cfg(test)]
mod tests {
    use holdpoint_core::rehearsal::RowEffect;

    use super::*;

    #[test]
    fn what_a_copy_lost_is_what_comes_back() {
        let effect = |change: &dyn Fn(&mut TableEffect)| {
            let mut effect = TableEffect { table: "a.b".into(), ..TableEffect::default() };
            change(&mut effect);
            taken(&effect).map(|one| one.columns)
        };
        let none: Vec<String> = Vec::new();
        assert_eq!(effect(&|_| {}), None);
        assert_eq!(effect(&|one| one.added = true), None);
        assert_eq!(effect(&|one| one.columns_added = vec!["c".into()]), None);
        assert_eq!(effect(&|one| one.dropped = true), Some(none.clone()));
        assert_eq!(effect(&|one| one.columns_gone = vec!["c".into()]), Some(vec!["c".to_owned()]));
        let rows = RowEffect { updated: 1, ..RowEffect::default() };
        assert_eq!(effect(&|one| one.rows = Some(rows)), Some(none.clone()));
        assert_eq!(effect(&|one| (one.rows_before, one.rows_after) = (Some(5), Some(0))), Some(none));
    }

    #[test]
    fn names_are_quoted_for_sql() {
        assert_eq!(quoted("shop.orders"), "\"shop\".\"orders\"");
        assert_eq!(quoted("\"Odd schema\".t"), "\"Odd schema\".\"t\"");
    }
}
