//! A table's columns and checks as a source has them, read from a table that its definition makes for that moment.

use std::collections::BTreeMap;

use holdpoint_archive::first_statement;
use holdpoint_core::name::quote_identifier;
use holdpoint_postgres::{Row, Session};

use super::find::{Known, find};
use super::side::{AS_DEFINED, as_defined, connect};
use super::source::{Facts, Recovered, Source};
use super::{RecoverOptions, run};
use crate::{Context, Error};

const WHAT: &str = "reading the columns of then";
/// A schema that nobody else sees: its transaction is taken back.
const SCHEMA: &str = "holdpoint_then";

/// A table as a source has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableThen {
    /// Statements that make what its definition needs and the database has lost: types, domains, functions.
    pub needed: Vec<String>,
    /// Its columns, in their order.
    pub columns: Vec<ColumnThen>,
    /// Its checks, by name.
    pub checks: Vec<CheckThen>,
}

/// A column as a source has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnThen {
    /// Its name.
    pub name: String,
    /// Its type, with its modifier and a collation that is not the type's own, as SQL writes it.
    pub kind: String,
    /// The default that its definition holds; a default of its own, such as a sequence's next value, is none of it.
    pub default: Option<String>,
    /// It holds no NULL.
    pub not_null: bool,
    /// Where that has a name of its own, or is not inherited (since PostgreSQL 18): what adds it, from `ADD` on.
    pub not_null_as: Option<String>,
    /// What makes its values, where it does so itself: the expression, and how they are kept.
    pub generated: Option<String>,
    /// How it is stored, compressed and counted where that was set, as `SET …` of an `ALTER COLUMN`.
    pub settings: Vec<String>,
}

/// A check as a source has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckThen {
    /// Its name.
    pub name: String,
    /// What it says, from `CHECK` on.
    pub definition: String,
}

/// Reads what a table's definition says of its columns and checks. Rows are not read, and nothing is left.
///
/// # Errors
/// [`RecoverError`](super::RecoverError) for a table that the source lacks or whose definition the server does not take,
/// and those of the repository and the server.
pub async fn table_then(context: &Context, options: &RecoverOptions) -> Result<TableThen, Error> {
    let session = connect(&options.into, options.lock_wait_seconds).await?;
    let source = Source::open(context, options, &session).await?;
    let work = Box::pin(read(&session, &source, options));
    let read = run::held(context, source.facts().point.as_ref(), work).await;
    source.close().await;
    session.close().await;
    read
}

async fn read(session: &Session, source: &Source, options: &RecoverOptions) -> Result<TableThen, Error> {
    let wanted: Vec<Known> = find(&options.wanted, &source.known(), &source.facts().place)?;
    let tables = source.tables(&wanted)?;
    let Some(table) = tables.first() else { return Ok(TableThen::default()) };
    session.run(WHAT, &format!("BEGIN; SET LOCAL search_path = ''; CREATE SCHEMA {SCHEMA}")).await?;
    let read = describe(session, source, table).await;
    session.run(WHAT, "ROLLBACK").await?;
    read
}

async fn describe(session: &Session, source: &Source, table: &Recovered) -> Result<TableThen, Error> {
    let defined = format!("{SCHEMA}.{AS_DEFINED}");
    let made = as_defined(session, source.facts(), table, &defined).await?;
    let sql = "SELECT a.attname::pg_catalog.text, pg_catalog.format_type(a.atttypid, a.atttypmod) \
                      || CASE WHEN a.attcollation <> t.typcollation \
                              THEN pg_catalog.format(' COLLATE %I.%I', n.nspname, c.collname) ELSE '' END, \
                      pg_catalog.pg_get_expr(d.adbin, d.adrelid), a.attnotnull, a.attgenerated::pg_catalog.text \
               FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
               LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
               LEFT JOIN pg_catalog.pg_collation c ON c.oid = a.attcollation \
               LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace \
               WHERE a.attrelid = $1::pg_catalog.text::pg_catalog.regclass AND a.attnum > 0 AND NOT a.attisdropped \
               ORDER BY a.attnum";
    let rows = session.query(WHAT, sql, &[&defined]).await?;
    let set_behind = statements(source.facts(), &table.definition);
    let named = not_null_as(session, &defined).await?;
    let column = |row| {
        let column = column(row, &set_behind);
        ColumnThen { not_null_as: named.get(&column.name).cloned(), ..column }
    };
    let columns = rows.iter().map(column).collect();
    let sql = "SELECT conname::pg_catalog.text, pg_catalog.pg_get_constraintdef(oid) FROM pg_catalog.pg_constraint \
               WHERE conrelid = $1::pg_catalog.text::pg_catalog.regclass AND contype = 'c' ORDER BY 1";
    let rows = session.query(WHAT, sql, &[&defined]).await?;
    let checks = rows.iter().map(|row| CheckThen { name: row.get(0), definition: row.get(1) }).collect();
    // Sequences come with what uses them.
    let needed = made.into_iter().map(|one| one.make).filter(|make| !make.starts_with("CREATE SEQUENCE")).collect();
    Ok(TableThen { needed, columns, checks })
}

/// What adds the bounds of columns that hold no NULL, by the column: of those that are not as `SET NOT NULL` makes them.
async fn not_null_as(session: &Session, defined: &str) -> Result<BTreeMap<String, String>, Error> {
    if session.server().major < 18 {
        return Ok(BTreeMap::new());
    }
    let sql = "SELECT a.attname::pg_catalog.text, k.conname::pg_catalog.text, k.connoinherit \
               FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1] \
               WHERE k.conrelid = $1::pg_catalog.text::pg_catalog.regclass AND k.contype = 'n'";
    let rows = session.query(WHAT, sql, &[&defined]).await?;
    Ok(rows.iter().filter_map(|row| Some((row.get(0), add_not_null(row.get(0), row.get(1), row.get(2))?))).collect())
}

/// What adds the bound of a column; `None` where `SET NOT NULL` does.
fn add_not_null(column: &str, name: &str, no_inherit: bool) -> Option<String> {
    // The server gave it a name of the table and the column, as it will of the live table.
    let given = name.starts_with(&format!("{AS_DEFINED}_")) && name.ends_with("_not_null");
    if given && !no_inherit {
        return None;
    }
    let named = if given { String::new() } else { format!("CONSTRAINT {} ", quote_identifier(name)) };
    let alone = if no_inherit { " NO INHERIT" } else { "" };
    Some(format!("ADD {named}NOT NULL {}{alone}", quote_identifier(column)))
}

fn column(row: &Row, set_behind: &[String]) -> ColumnThen {
    let expression: Option<String> = row.get(2);
    let kept = match row.get(4) {
        "s" => Some("STORED"),
        "v" => Some("VIRTUAL"),
        _ => None,
    };
    let name: String = row.get(0);
    ColumnThen {
        settings: settings(set_behind, &name),
        kind: row.get(1),
        generated: kept.and_then(|kept| Some(format!("({}) {kept}", expression.as_deref()?))),
        default: expression.filter(|_| kept.is_none()),
        not_null: row.get(3),
        not_null_as: None,
        name,
    }
}

/// The statements behind the one that makes the table.
fn statements(facts: &Facts, definition: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = definition;
    while let Some(statement) = first_statement(rest) {
        rest = &rest[statement.len()..];
        found.extend(facts.sql(statement));
    }
    found
}

/// What of these statements sets something for a column.
fn settings(statements: &[String], column: &str) -> Vec<String> {
    let written = [column.to_owned(), quote_identifier(column)];
    let set = |statement: &String| {
        let statement = statement.trim().trim_end_matches(';');
        let of_column = |name: &String| statement.split_once(&format!(" ALTER COLUMN {name} SET "));
        let (before, set) = written.iter().find_map(of_column)?;
        before.starts_with("ALTER TABLE ").then(|| format!("SET {set}"))
    };
    statements.iter().filter_map(set).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_added_by_name_where_the_server_did_not_give_it_one() {
        let add = |name: &str, no_inherit| add_not_null("A b", name, no_inherit);
        assert_eq!(add("holdpoint_definition_A b_not_null", false), None);
        assert_eq!(add("old_a_not_null", false).as_deref(), Some("ADD CONSTRAINT \"old_a_not_null\" NOT NULL \"A b\""));
        let alone = Some("ADD NOT NULL \"A b\" NO INHERIT");
        assert_eq!(add("holdpoint_definition_A b_not_null", true).as_deref(), alone);
    }

    #[test]
    fn what_is_set_for_a_column_is_found_behind_its_table() {
        let definition = b"CREATE TABLE s.t (\n    a text DEFAULT ';',\n    \"B c\" text\n);\nALTER TABLE ONLY s.t ALTER COLUMN a SET \
                           STORAGE EXTERNAL;\nALTER TABLE ONLY s.t ALTER COLUMN \"B c\" SET STATISTICS 500;\n\
                           ALTER TABLE ONLY s.t ALTER COLUMN a SET COMPRESSION pglz;\n\nALTER TABLE ONLY s.t FORCE ROW LEVEL SECURITY;\n";
        let facts = Facts { encoding: "UTF8".to_owned(), ..Facts::default() };
        let statements = statements(&facts, definition);
        assert_eq!(settings(&statements, "a"), ["SET STORAGE EXTERNAL", "SET COMPRESSION pglz"]);
        assert_eq!(settings(&statements, "B c"), ["SET STATISTICS 500"]);
        assert_eq!(settings(&statements, "c"), [""; 0]);
    }
}
