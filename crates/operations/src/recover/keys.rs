//! Keys of a live table: by what its rows are found, what must stay unique, what refers to what.

use holdpoint_core::name::quote_identifier;
use holdpoint_postgres::{Row, Session};

use crate::Error;

/// A unique index of a live table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UniqueIndex {
    pub(super) name: String,
    /// The columns, where it is on columns alone.
    pub(super) columns: Vec<String>,
    /// What it is on, each as an expression over the table's columns.
    pub(super) expressions: Vec<String>,
    /// The operators by which it compares, as statements write them.
    pub(super) operators: Vec<String>,
    /// Which of the columns hold the same bytes wherever they are equal: numeric 1.0 and 1.00 are equal and do not,
    /// nor do texts of type `character` that end in another number of blanks.
    pub(super) exact: Vec<bool>,
    /// Which rows it is about.
    pub(super) condition: Option<String>,
    /// Every row has a key of its own: on columns alone, all of them not null. One that is DEFERRABLE is as good: what is
    /// committed keeps it.
    pub(super) is_key: bool,
    /// It is checked at once, and not at the end of a transaction.
    pub(super) immediate: bool,
    pub(super) nulls_not_distinct: bool,
}

/// A foreign key between live tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ForeignKey {
    pub(super) name: String,
    /// The table that refers.
    pub(super) from: u32,
    pub(super) from_quoted: String,
    pub(super) from_only: bool,
    /// This role sees all of its rows.
    pub(super) from_readable: bool,
    pub(super) from_columns: Vec<String>,
    /// The table that is referred to.
    pub(super) to: u32,
    /// Partitions of it that were asked for by their own name.
    pub(super) to_parts: Vec<u32>,
    pub(super) to_quoted: String,
    pub(super) to_only: bool,
    pub(super) to_columns: Vec<String>,
    /// Operators, the referred column to their left.
    pub(super) operators: Vec<String>,
    /// Operators between two referred rows.
    pub(super) among: Vec<String>,
    /// Every column must be null, or none.
    pub(super) full: bool,
    pub(super) deferrable: bool,
    /// What a DELETE does to rows that refer, in SQL's words.
    pub(super) on_delete: &'static str,
    /// What an UPDATE of what they refer to does to them.
    pub(super) on_update: &'static str,
}

impl UniqueIndex {
    /// Why rows are not found by it.
    pub(super) fn why_no_key(&self) -> &'static str {
        match (self.condition.is_some(), self.columns.is_empty(), self.is_key) {
            (true, ..) => "is on some rows only",
            (_, true, _) => "is on an expression",
            (.., false) => "allows NULL",
            (.., true) => "has a column that the restore point does not have",
        }
    }
}

/// Reads the unique indexes of a table, the primary key first, then those with fewer columns.
///
/// Keys over periods (`WITHOUT OVERLAPS`) are none of them: they forbid rows that overlap, and find no row.
pub(super) async fn unique_indexes(session: &Session, table: u32) -> Result<Vec<UniqueIndex>, Error> {
    let nulls = if session.server().major >= 15 { "i.indnullsnotdistinct" } else { "false" };
    let sql = format!(
        "SELECT ic.relname::text, \
           ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, nth) \
                 JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
                 WHERE k.nth <= i.indnkeyatts ORDER BY k.nth), \
           ARRAY(SELECT pg_get_indexdef(i.indexrelid, nth, true) FROM generate_series(1, i.indnkeyatts::int) nth), \
           ARRAY(SELECT format('OPERATOR(%I.%s)', s.nspname, o.oprname) \
                 FROM unnest(i.indclass::oid[]) WITH ORDINALITY k(class, nth) JOIN pg_opclass c ON c.oid = k.class \
                 JOIN pg_amop p ON p.amopfamily = c.opcfamily AND p.amoplefttype = c.opcintype \
                   AND p.amoprighttype = c.opcintype AND p.amopstrategy = 3 \
                 JOIN pg_operator o ON o.oid = p.amopopr JOIN pg_namespace s ON s.oid = o.oprnamespace \
                 WHERE k.nth <= i.indnkeyatts ORDER BY k.nth), \
           pg_get_expr(i.indpred, i.indrelid), \
           i.indexprs IS NULL AND i.indpred IS NULL AND NOT EXISTS ( \
             SELECT FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, nth) JOIN pg_attribute a \
               ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE k.nth <= i.indnkeyatts AND NOT a.attnotnull), \
           {nulls}, i.indexprs IS NULL, \
           ARRAY(SELECT NOT EXISTS (SELECT FROM pg_opclass c WHERE c.oid = k.class AND c.opcintype = 'pg_catalog.bpchar'::regtype) \
                 AND EXISTS (SELECT FROM pg_opclass c JOIN pg_amproc f ON f.amprocfamily = c.opcfamily \
                   AND f.amproclefttype = c.opcintype AND f.amprocrighttype = c.opcintype AND f.amprocnum = 4 \
                   WHERE c.oid = k.class) \
                 AND NOT EXISTS (SELECT FROM pg_collation l WHERE l.oid = k.rules AND NOT l.collisdeterministic) \
                 FROM unnest(i.indclass::oid[], i.indcollation::oid[]) WITH ORDINALITY k(class, rules, nth) \
                 WHERE k.nth <= i.indnkeyatts ORDER BY k.nth), \
           i.indimmediate \
         FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid \
         WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND NOT i.indisexclusion \
         ORDER BY i.indisprimary DESC, i.indimmediate DESC, i.indnkeyatts, 1"
    );
    let rows = session.query("reading a table's unique indexes", &sql, &[&table]).await?;
    let index = |row: &Row| UniqueIndex {
        name: row.get(0),
        columns: if row.get(7) { row.get(1) } else { Vec::new() },
        expressions: row.get(2),
        operators: row.get(3),
        condition: row.get(4),
        is_key: row.get(5),
        nulls_not_distinct: row.get(6),
        exact: row.get(8),
        immediate: row.get(9),
    };
    Ok(rows.iter().map(index).collect())
}

/// Reads the foreign keys of tables, both those that they have and those that point to them or their partitions.
pub(super) async fn foreign_keys(session: &Session, tables: &[u32]) -> Result<Vec<ForeignKey>, Error> {
    let enforced = if session.server().major >= 18 { "k.conenforced" } else { "true" };
    // Partitions repeat their root's: those copies are left out beside the original.
    let sql = format!(
        "WITH tree AS (SELECT t AS root, p.relid::oid AS relid FROM unnest($1::oid[]) t, pg_partition_tree(t::regclass) p \
                       WHERE NOT p.relid::oid = ANY ($1)), \
           ops AS (SELECT o.oid, format('OPERATOR(%I.%s)', s.nspname, o.oprname) AS name \
                   FROM pg_operator o JOIN pg_namespace s ON s.oid = o.oprnamespace) \
         SELECT k.conname::text, k.conrelid, format('%I.%I', n.nspname, c.relname), \
           coalesce((SELECT root FROM tree WHERE tree.relid = k.confrelid LIMIT 1), k.confrelid), \
           format('%I.%I', fn.nspname, fc.relname), fc.relkind <> 'p', \
           ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u(attnum, nth) \
                 JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum ORDER BY nth), \
           ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u(attnum, nth) \
                 JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum ORDER BY nth), \
           ARRAY(SELECT ops.name FROM unnest(k.conpfeqop) WITH ORDINALITY u(op, nth) JOIN ops ON ops.oid = u.op ORDER BY nth), \
           k.confmatchtype = 'f', k.condeferrable, k.confdeltype::text, c.relkind <> 'p', \
           ARRAY(SELECT ops.name FROM unnest(k.conppeqop) WITH ORDINALITY u(op, nth) JOIN ops ON ops.oid = u.op ORDER BY nth), \
           k.confupdtype::text, has_table_privilege(c.oid, 'SELECT') AND NOT row_security_active(c.oid), \
           ARRAY(SELECT t FROM unnest($1::oid[]) t WHERE t <> k.confrelid AND EXISTS ( \
             SELECT FROM pg_partition_ancestors(t::regclass) a(relid) WHERE a.relid::oid = k.confrelid)) \
         FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_class fc ON fc.oid = k.confrelid JOIN pg_namespace fn ON fn.oid = fc.relnamespace \
         WHERE k.contype = 'f' AND {enforced} AND (k.conrelid = ANY ($1) OR k.confrelid = ANY ($1) \
             OR (k.conparentid = 0 AND k.confrelid IN (SELECT relid FROM tree))) \
           AND NOT EXISTS (SELECT FROM pg_constraint p WHERE p.oid = k.conparentid AND ( \
             (p.conrelid = k.conrelid AND k.conrelid = ANY ($1)) \
             OR (p.confrelid = k.confrelid AND k.confrelid = ANY ($1) AND NOT k.conrelid = ANY ($1)))) \
         ORDER BY 3, 1"
    );
    let rows = session.query("reading foreign keys", &sql, &[&tables]).await?;
    let key = |row: &Row| ForeignKey {
        name: row.get(0),
        from: row.get(1),
        from_quoted: row.get(2),
        to: row.get(3),
        to_quoted: row.get(4),
        to_only: row.get(5),
        from_columns: row.get(6),
        to_columns: row.get(7),
        operators: row.get(8),
        full: row.get(9),
        deferrable: row.get(10),
        on_delete: action(row.get(11)),
        from_only: row.get(12),
        among: row.get(13),
        on_update: action(row.get(14)),
        from_readable: row.get(15),
        to_parts: row.get(16),
    };
    Ok(rows.iter().map(key).collect())
}

/// `pg_constraint.confdeltype` and `confupdtype`.
fn action(letter: &str) -> &'static str {
    match letter {
        "c" => "CASCADE",
        "n" => "SET NULL",
        "d" => "SET DEFAULT",
        "r" => "RESTRICT",
        _ => "NO ACTION",
    }
}

impl ForeignKey {
    /// Whether its rows may refer to rows of this table.
    pub(super) fn points_to(&self, table: u32) -> bool {
        self.to == table || self.to_parts.contains(&table)
    }

    /// What is selected from the table that refers.
    pub(super) fn referring(&self) -> String {
        format!("{}{}", if self.from_only { "ONLY " } else { "" }, self.from_quoted)
    }

    /// Whether the row `from` refers to the row `to`.
    pub(super) fn equal(&self, to: &str, from: &str) -> String {
        let pairs = self.to_columns.iter().zip(&self.operators).zip(&self.from_columns);
        let pairs = pairs.map(|((there, operator), here)| {
            format!("{to}.{} {operator} {from}.{}", quote_identifier(there), quote_identifier(here))
        });
        pairs.collect::<Vec<_>>().join(" AND ")
    }

    /// Whether it never changes rows that refer, whatever is done to those that they refer to.
    pub(super) fn only_refuses(&self) -> bool {
        [self.on_delete, self.on_update].iter().all(|action| matches!(*action, "NO ACTION" | "RESTRICT"))
    }
}
