//! What a walk relies on: the table behind the name, the order of its key, and that it shows every row.
//!
//! It is read before the walk, and again within each batch, behind the statement that took the lock of the table: from then
//! on nobody changes it before the batch ends.

use std::path::Path;

use holdpoint_postgres::Session;
use serde::{Deserialize, Serialize};

use super::BackfillError;
use crate::Error;

/// A column of the key; the order of its values is that of its type and collation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeyColumn {
    pub(super) name: String,
    /// Its number in the table, which another column of the name does not get.
    pub(super) number: i16,
    /// Its type as SQL writes it, which may depend on the session's `search_path`.
    pub(super) kind: String,
    pub(super) type_oid: u32,
    /// Such as a length or precision; -1 for none.
    pub(super) modifier: i32,
    /// Where its type has one.
    pub(super) collation: Option<String>,
}

/// The table as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// The table, view or index that has the name.
    named: Option<u32>,
    /// Row security applies to this role.
    pub(super) hides_rows: bool,
    /// Other tables inherit from it.
    has_children: bool,
    /// The columns of the names asked for that are there, in their order.
    pub(super) key: Vec<KeyColumn>,
}

impl Standing {
    /// Reads what has the quoted name, and the table of that OID with the columns of those names.
    pub(super) async fn read(session: &Session, oid: u32, quoted: &str, key: &[String]) -> Result<Self, Error> {
        const WHAT: &str = "looking whether the table is the same";
        let sql = "SELECT pg_catalog.to_regclass($1::text)::oid, pg_catalog.row_security_active($2::oid), \
                     EXISTS (SELECT FROM pg_catalog.pg_inherits WHERE inhparent = $2::oid), \
                     a.attname::text, a.attnum, pg_catalog.format_type(a.atttypid, a.atttypmod), a.atttypid, a.atttypmod, \
                     pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.collname) \
                   FROM (SELECT) AS one LEFT JOIN pg_catalog.pg_attribute a \
                     ON a.attrelid = $2::oid AND a.attname = ANY ($3::text[]) AND a.attnum > 0 AND NOT a.attisdropped \
                   LEFT JOIN pg_catalog.pg_collation c ON c.oid = a.attcollation \
                   LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace \
                   ORDER BY pg_catalog.array_position($3::text[], a.attname::text)";
        let rows = session.query(WHAT, sql, &[&quoted, &oid, &key]).await?;
        let column = |row: &holdpoint_postgres::Row| {
            Some(KeyColumn {
                name: row.get::<_, Option<String>>(3)?,
                number: row.get(4),
                kind: row.get(5),
                type_oid: row.get(6),
                modifier: row.get(7),
                collation: row.get(8),
            })
        };
        Ok(Self {
            named: rows.first().and_then(|row| row.get(0)),
            hides_rows: rows.first().is_some_and(|row| row.get(1)),
            has_children: rows.first().is_some_and(|row| row.get(2)),
            key: rows.iter().filter_map(column).collect(),
        })
    }

    /// Refuses to go on where the walk of the table with that OID and key would leave rows out, or change them twice.
    ///
    /// # Errors
    /// [`BackfillError::TableChanged`]; [`BackfillError::RowSecurity`].
    pub(super) fn demand(
        &self,
        table: &str,
        oid: u32,
        key: &[KeyColumn],
        role: &str,
        file: &Path,
    ) -> Result<(), BackfillError> {
        let changed = |what: &str, instead: String| {
            Err(BackfillError::TableChanged { table: table.to_owned(), what: what.to_owned(), instead })
        };
        match self.named {
            Some(named) if named != oid => return Err(replaced(table)),
            None => {
                let instead = format!(
                    "where it was renamed, go on under its new name: --resume; where it was dropped, remove {}",
                    file.display()
                );
                return changed("nothing has its name any more", instead);
            }
            Some(_) => {}
        }
        demand_same_key(table, key, &self.key, file)?;
        if self.hides_rows {
            return Err(BackfillError::RowSecurity { table: table.to_owned(), role: role.to_owned() });
        }
        if self.has_children {
            let instead = "ALTER TABLE … NO INHERIT, then go on: --resume; its child tables are filled one by one";
            return changed("other tables inherit from it now", instead.to_owned());
        }
        Ok(())
    }
}

/// Says that another table has the name that the walk goes by.
pub(super) fn replaced(table: &str) -> BackfillError {
    BackfillError::TableChanged {
        table: table.to_owned(),
        what: "another table has its name now".to_owned(),
        instead:
            "go on with the one that was begun, under the name that it has now: --resume; or begin with the other one, \
                  without --resume"
                .to_owned(),
    }
}

/// Refuses to go on in another order than that of the key when the walk began: places of that order mean others now.
pub(super) fn demand_same_key(
    table: &str,
    then: &[KeyColumn],
    now: &[KeyColumn],
    file: &Path,
) -> Result<(), BackfillError> {
    let Some(what) = then.iter().find_map(|column| column.changed(now)) else { return Ok(()) };
    let instead = format!("begin anew: remove {}, and let --where leave out what is done", file.display());
    Err(BackfillError::TableChanged { table: table.to_owned(), what, instead })
}

impl KeyColumn {
    /// What is other about the column of that name, in words.
    fn changed(&self, now: &[Self]) -> Option<String> {
        let name = format!("column {} of its key", self.name);
        let Some(now) = now.iter().find(|now| now.name == self.name) else {
            return Some(format!("{name} is not there any more"));
        };
        let same_type = (self.type_oid, self.modifier) == (now.type_oid, now.modifier);
        let sorted = |column: &Self| column.collation.clone().unwrap_or_else(|| "no collation".to_owned());
        if !same_type && self.kind != now.kind {
            Some(format!("{name} was {} and is {}", self.kind, now.kind))
        } else if self.collation != now.collation {
            Some(format!("{name} was sorted by {} and is sorted by {}", sorted(self), sorted(now)))
        } else if !same_type || self.number != now.number {
            Some(format!("{name} is another column of that name"))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column() -> KeyColumn {
        let collation = Some("pg_catalog.\"C\"".to_owned());
        KeyColumn { name: "id".into(), number: 1, kind: "text".into(), type_oid: 25, modifier: -1, collation }
    }

    fn said(standing: &Standing) -> String {
        let file = Path::new("x.json");
        standing
            .demand("public.t", 7, &[column()], "app", file)
            .map_or_else(|error| error.to_string(), |()| "same".into())
    }

    #[test]
    fn a_table_that_is_not_what_it_was_is_not_walked_further() {
        let same = || Standing { named: Some(7), hides_rows: false, has_children: false, key: vec![column()] };
        let key = |key: KeyColumn| Standing { key: vec![key], ..same() };
        for (standing, expected) in [
            (same(), "same"),
            // Another `search_path` writes the same type in another way.
            (key(KeyColumn { kind: "other.text".into(), ..column() }), "same"),
            (Standing { named: Some(8), ..same() }, "another table has its name now"),
            (Standing { named: None, ..same() }, "nothing has its name any more"),
            (Standing { hides_rows: true, ..same() }, "row security hides rows of public.t from role app"),
            (Standing { has_children: true, ..same() }, "other tables inherit from it now"),
            (Standing { key: Vec::new(), ..same() }, "column id of its key is not there any more"),
            (
                key(KeyColumn { kind: "integer".into(), type_oid: 23, collation: None, ..column() }),
                "column id of its key was text and is integer",
            ),
            (
                key(KeyColumn { kind: "text(3)".into(), modifier: 7, ..column() }),
                "column id of its key was text and is text(3)",
            ),
            (
                key(KeyColumn { collation: Some("pg_catalog.\"POSIX\"".into()), ..column() }),
                "was sorted by pg_catalog.\"C\" and is sorted by pg_catalog.\"POSIX\"",
            ),
            (key(KeyColumn { number: 2, ..column() }), "column id of its key is another column of that name"),
        ] {
            let said = said(&standing);
            assert!(said.contains(expected), "{expected} is not in: {said}");
        }
    }
}
