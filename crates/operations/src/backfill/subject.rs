//! The table that is filled, and the key by which it is walked.

use holdpoint_core::name::quote_identifier;
use holdpoint_core::relation_name::NoSingleTable;
use holdpoint_postgres::Session;

use super::standing::{KeyColumn, Standing};
use super::{BackfillError, BackfillOptions};
use crate::Error;

/// A table that can be filled.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) oid: u32,
    /// As reports write it.
    pub(super) name: String,
    /// As SQL takes it.
    pub(super) quoted: String,
    pub(super) bytes: u64,
    pub(super) rows: Option<u64>,
    pub(super) key: Vec<KeyColumn>,
    pub(super) index: String,
}

/// A unique index that could serve, as the catalog has it.
struct Candidate {
    name: String,
    columns: Vec<String>,
    is_primary: bool,
    /// Why it does not serve.
    unfit: Option<String>,
}

impl Subject {
    /// Finds the table and its key, and refuses what cannot be walked.
    pub(super) async fn find(session: &Session, options: &BackfillOptions) -> Result<Self, Error> {
        const WHAT: &str = "looking for the table";
        let sql = "SELECT n.nspname::text, c.relname::text, c.oid, c.relkind::text, \
                     c.relhassubclass AND EXISTS (SELECT FROM pg_catalog.pg_inherits WHERE inhparent = c.oid), \
                     c.reltuples::float8, pg_catalog.row_security_active(c.oid), pg_catalog.pg_is_in_recovery() \
                   FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                   WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";
        let rows = session.query(WHAT, sql, &[]).await?;
        let names: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let pairs: Vec<(&str, &str)> = names.iter().map(|(schema, name)| (schema.as_str(), name.as_str())).collect();
        let place = options.table.find(&pairs).map_err(|none| match none {
            NoSingleTable::Unknown(nearest) => {
                BackfillError::UnknownTable { table: options.table.to_string(), nearest }
            }
            NoSingleTable::Ambiguous(candidates) => {
                BackfillError::AmbiguousTable { table: options.table.to_string(), candidates }
            }
        })?;
        let (schema, table) = pairs[place];
        let row = &rows[place];
        let oid: u32 = row.get(2);
        let name = holdpoint_core::fingerprint::qualified(Some(schema), table);
        plain(&name, row.get(3), row.get(4))?;
        if row.get(7) {
            return Err(BackfillError::Standby.into());
        }
        if row.get(6) {
            return Err(BackfillError::RowSecurity { table: name, role: session.settings().user().to_owned() }.into());
        }
        // Only of this one: the size of a table that is dropped meanwhile is an error.
        let size = session.query_one(WHAT, "SELECT pg_catalog.pg_table_size($1::oid)", &[&oid]).await?;
        let tuples: f64 = row.get(5);
        let (index, key) = choose(&name, candidates(session, oid).await?, options.key.as_deref())?;
        let quoted = format!("{}.{}", quote_identifier(schema), quote_identifier(table));
        let key = Standing::read(session, oid, &quoted, &key).await?.key;
        Ok(Self {
            oid,
            quoted,
            bytes: size.get::<_, Option<i64>>(0).unwrap_or_default().unsigned_abs(),
            rows: known(tuples),
            name,
            key,
            index,
        })
    }

    /// Refuses columns that cannot be set, or that the walk goes by.
    pub(super) async fn refuse_columns(&self, session: &Session, columns: &[String]) -> Result<(), Error> {
        let sql = "SELECT a.attgenerated <> '', a.attidentity = 'a' FROM pg_catalog.pg_attribute a \
                   WHERE a.attrelid = $1 AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped";
        for column in columns {
            // A name without quotes means its lower-case form.
            let mut rows = session.query("looking at the columns", sql, &[&self.oid, column]).await?;
            let lower = column.to_lowercase();
            if rows.is_empty() {
                rows = session.query("looking at the columns", sql, &[&self.oid, &lower]).await?;
            }
            let why = match rows.first() {
                None => "it is not there",
                Some(row) if row.get(0) => "it is generated from others",
                Some(row) if row.get(1) => "it is an identity column that is always generated",
                Some(_) if self.key.iter().any(|key| key.name == *column || key.name == lower) => {
                    "it is part of the key by which the table is walked"
                }
                Some(_) => continue,
            };
            let (column, table) = (column.clone(), self.name.clone());
            return Err(BackfillError::ColumnNotSettable { column, table, why: why.to_owned() }.into());
        }
        Ok(())
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate; the sign was looked at")]
fn known(tuples: f64) -> Option<u64> {
    (tuples >= 0.0).then_some(tuples as u64)
}

fn plain(table: &str, kind: &str, has_children: bool) -> Result<(), BackfillError> {
    let (what, instead) = match (kind, has_children) {
        ("p", _) => ("partitioned", "fill its partitions one by one, each by its own name"),
        ("r", true) => ("the parent of other tables", "fill it under another name, and its child tables one by one"),
        ("r", false) => return Ok(()),
        ("v", _) => ("a view", "fill the table that it shows"),
        ("m", _) => ("a materialized view", "fill the table that it is made from, then REFRESH MATERIALIZED VIEW"),
        _ => ("a foreign table", "fill it where it lies"),
    };
    Err(BackfillError::NotAPlainTable { table: table.to_owned(), what: what.to_owned(), instead: instead.to_owned() })
}

async fn candidates(session: &Session, table: u32) -> Result<Vec<Candidate>, Error> {
    // The key's columns come first; what the index only includes is no part of it.
    let sql = "SELECT ic.relname::text, i.indisprimary, i.indisvalid AND i.indisready, i.indimmediate, i.indpred IS NULL, \
                 am.amname = 'btree', k.names, k.not_null, k.plain \
               FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid \
               JOIN pg_catalog.pg_am am ON am.oid = ic.relam \
               CROSS JOIN LATERAL (SELECT pg_catalog.array_agg(a.attname::text ORDER BY u.place) AS names, \
                   pg_catalog.bool_and(a.attnotnull) AS not_null, \
                   pg_catalog.bool_and(u.number > 0 AND u.opt = 0 AND o.opcdefault) AS plain \
                 FROM ROWS FROM (pg_catalog.unnest(i.indkey::int2[]), pg_catalog.unnest(i.indclass::oid[]), \
                   pg_catalog.unnest(i.indoption::int2[])) WITH ORDINALITY AS u (number, class, opt, place) \
                 LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.number AND u.number > 0 \
                 LEFT JOIN pg_catalog.pg_opclass o ON o.oid = u.class \
                 WHERE u.place <= i.indnkeyatts) k \
               WHERE i.indrelid = $1 AND i.indisunique";
    let rows = session.query("looking for a key", sql, &[&table]).await?;
    let candidate = |row: &holdpoint_postgres::Row| {
        // An expression has no name.
        let names = row.get::<_, Option<Vec<Option<String>>>>(6).unwrap_or_default();
        let yes = |place: usize| row.get::<_, Option<bool>>(place).unwrap_or_default();
        let unfit = [
            (yes(2), "is invalid"),
            (yes(3), "is deferrable"),
            (yes(4), "covers only some rows"),
            (yes(5), "is no btree"),
            (yes(8), "is over expressions, or has an order of its own"),
            (yes(7), "takes NULL"),
        ];
        let name: String = row.get(0);
        let unfit = unfit.iter().find(|(fits, _)| !fits).map(|(_, why)| format!("index {name} {why}"));
        Candidate { name, columns: names.into_iter().flatten().collect(), is_primary: row.get(1), unfit }
    };
    Ok(rows.iter().map(candidate).collect())
}

/// Chooses the primary key, else the unique index with the fewest columns, or the one that was named by its columns.
fn choose(
    table: &str,
    mut candidates: Vec<Candidate>,
    named: Option<&[String]>,
) -> Result<(String, Vec<String>), BackfillError> {
    candidates.sort_by_key(|one| (!one.is_primary, one.columns.len(), one.name.clone()));
    let no = |why: String| BackfillError::NoKey { table: table.to_owned(), why };
    if let Some(named) = named {
        let same = |one: &Candidate| {
            let mut names: Vec<&str> = one.columns.iter().map(String::as_str).collect();
            let mut wanted: Vec<&str> = named.iter().map(String::as_str).collect();
            names.sort_unstable();
            wanted.sort_unstable();
            names == wanted
        };
        candidates.retain(same);
        if candidates.is_empty() {
            return Err(no(format!("no unique index is over {}", named.join(", "))));
        }
    }
    let reasons: Vec<String> = candidates.iter().filter_map(|one| one.unfit.clone()).collect();
    match candidates.into_iter().find(|one| one.unfit.is_none() && !one.columns.is_empty()) {
        Some(fit) => Ok((fit.name, fit.columns)),
        None if reasons.is_empty() => Err(no("it has no unique index".to_owned())),
        None => Err(no(reasons.join("; "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(name: &str, columns: &[&str], unfit: Option<&str>) -> Candidate {
        Candidate {
            name: name.into(),
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            is_primary: name == "pk",
            unfit: unfit.map(str::to_owned),
        }
    }

    #[test]
    fn the_primary_key_is_taken_else_the_shortest_that_serves() {
        let all = || {
            vec![candidate("u2", &["a", "b"], None), candidate("u1", &["c"], None), candidate("pk", &["x", "y"], None)]
        };
        let named = |columns: &[&str]| columns.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(choose("t", all(), None).unwrap().0, "pk");
        assert_eq!(choose("t", all().into_iter().take(2).collect(), None).unwrap().0, "u1");
        assert_eq!(choose("t", all(), Some(&named(&["b", "a"]))).unwrap().0, "u2");
        let error = choose("t", all(), Some(&named(&["a"]))).unwrap_err().to_string();
        assert!(error.contains("no unique index is over a"), "{error}");
        let error =
            choose("t", vec![candidate("u", &["a"], Some("index u takes NULL"))], None).unwrap_err().to_string();
        assert_eq!(error, "t has no key to walk by: index u takes NULL");
        assert!(choose("t", Vec::new(), None).unwrap_err().to_string().contains("no unique index"));
    }
}
