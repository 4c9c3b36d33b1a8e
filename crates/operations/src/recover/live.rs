//! What the catalog says about a live table that rows come back into.

use holdpoint_postgres::{Row, Session};

use super::find::Known;
use super::mapping::{Column, Identity};
use crate::Error;

/// A live table.
#[derive(Clone, Debug)]
pub(super) struct LiveTable {
    pub(super) oid: u32,
    /// As statements write it.
    pub(super) quoted: String,
    /// `pg_class.relkind`.
    pub(super) kind: char,
    /// It and its partitions, to the last level, by their OIDs.
    pub(super) tree: Vec<u32>,
    /// Row security would hide rows from this role.
    pub(super) row_security: bool,
    pub(super) is_owner: bool,
    /// Rights that this role lacks.
    pub(super) lacks: Vec<&'static str>,
    pub(super) columns: Vec<Column>,
    pub(super) triggers: Vec<Trigger>,
    pub(super) rules: Vec<Trigger>,
    pub(super) sequences: Vec<Sequence>,
    /// Publications that need to know which row an UPDATE or DELETE is about, where the table does not tell.
    pub(super) unidentified_for: Vec<String>,
    /// All publications that have it.
    pub(super) publications: Vec<String>,
    /// Subscriptions that write into it.
    pub(super) subscriptions: Vec<String>,
    /// Materialized views that read from it.
    pub(super) materialized_views: Vec<String>,
    /// It has children by inheritance, which are left alone.
    pub(super) has_children: bool,
    pub(super) checks: Vec<(String, String)>,
    pub(super) exclusions: Vec<String>,
    /// What its rows have to be to find a place: the bounds of its partitions, or its own; `None` where every row has one.
    pub(super) bounds: Option<String>,
    /// Unique indexes and checks that only some of its partitions have.
    pub(super) of_partitions: Vec<String>,
}

/// A trigger or rule that is enabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trigger {
    /// The table it is on, as statements write it: the live one or a partition.
    pub(super) table: String,
    pub(super) name: String,
    /// `pg_trigger.tgenabled`: `O`, `R` or `A`.
    pub(super) enabled: char,
    /// `pg_trigger.tgtype`.
    pub(super) kind: i32,
}

/// A sequence that numbers a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sequence {
    pub(super) column: String,
    /// As statements write it.
    pub(super) quoted: String,
    pub(super) increment: i64,
    pub(super) may_set: bool,
}

impl LiveTable {
    /// What is selected from or updated: an ordinary table without its children by inheritance.
    pub(super) fn only(&self) -> String {
        if self.kind == 'p' { self.quoted.clone() } else { format!("ONLY {}", self.quoted) }
    }

    /// The quoted name of a relation, where there is one.
    pub(super) async fn name(session: &Session, schema: &str, name: &str) -> Result<Option<String>, Error> {
        let sql = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c \
                   JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1::text AND c.relname = $2::text";
        let rows = session.query("looking for the live table", sql, &[&schema, &name]).await?;
        Ok(rows.first().map(|row| row.get(0)))
    }

    /// Tables with columns of just these names, which a table that is gone may be called now.
    pub(super) async fn alike(session: &Session, columns: &[Column]) -> Result<Vec<Known>, Error> {
        let sql = "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                   WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^(pg_|holdpoint_)' AND n.nspname <> 'information_schema' \
                     AND $1::text[] = ARRAY(SELECT attname::text COLLATE \"C\" FROM pg_attribute \
                       WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY 1) \
                   ORDER BY 1, 2";
        let mut names: Vec<&str> =
            columns.iter().filter(|column| !column.generated).map(|column| column.name.as_str()).collect();
        names.sort_unstable();
        let rows = session.query("looking for a table's other name", sql, &[&names]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Reads everything about a table; `None` where there is no relation of that name.
    pub(super) async fn read(session: &Session, schema: &str, name: &str) -> Result<Option<Self>, Error> {
        const WHAT: &str = "reading the live table";
        let sql = "SELECT c.oid, format('%I.%I', n.nspname, c.relname), c.relkind::text, row_security_active(c.oid), \
                     pg_has_role(c.relowner, 'USAGE'), \
                     ARRAY(SELECT p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p \
                           WHERE NOT has_table_privilege(c.oid, p)), \
                     c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits WHERE inhparent = c.oid), \
                     c.relreplident::text, \
                     EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary AND indimmediate) \
                   FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                   WHERE n.nspname = $1::text AND c.relname = $2::text";
        let rows = session.query(WHAT, sql, &[&schema, &name]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let oid: u32 = row.get(0);
        let lacks: Vec<String> = row.get(5);
        let publications = publications(session, oid).await?;
        let (identity, has_primary): (String, bool) = (row.get(7), row.get(8));
        let kind = letter(row, 2);
        let identified = kind != 'r' || matches!(identity.as_str(), "f" | "i") || (identity == "d" && has_primary);
        let unidentified_for = publications.iter().filter(|(_, rows)| *rows && !identified);
        Ok(Some(Self {
            oid,
            quoted: row.get(1),
            kind,
            tree: tree(session, oid).await?,
            row_security: row.get(3),
            is_owner: row.get(4),
            lacks: ["SELECT", "INSERT", "UPDATE", "DELETE"]
                .into_iter()
                .filter(|one| lacks.iter().any(|l| l == one))
                .collect(),
            columns: columns(session, oid).await?,
            triggers: triggers(session, oid).await?,
            rules: rules(session, oid).await?,
            sequences: sequences(session, oid).await?,
            unidentified_for: unidentified_for.map(|(name, _)| name.clone()).collect(),
            publications: publications.into_iter().map(|(name, _)| name).collect(),
            subscriptions: subscriptions(session, oid).await?,
            materialized_views: materialized_views(session, oid).await?,
            has_children: row.get(6),
            checks: checks(session, oid).await?,
            exclusions: exclusions(session, oid).await?,
            bounds: bounds(session, oid).await?,
            of_partitions: of_partitions(session, oid).await?,
        }))
    }
}

fn letter(row: &Row, at: usize) -> char {
    row.get::<_, String>(at).chars().next().unwrap_or('?')
}

/// Reads a table's and its partitions' OIDs.
pub(super) async fn tree(session: &Session, table: u32) -> Result<Vec<u32>, Error> {
    let sql = "SELECT $1::oid UNION SELECT relid::oid FROM pg_partition_tree($1::oid::regclass) ORDER BY 1";
    let rows = session.query("reading a table's partitions", sql, &[&table]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Reads the columns of a table, live or side.
pub(super) async fn columns(session: &Session, table: u32) -> Result<Vec<Column>, Error> {
    let sql = "SELECT attname::text, format_type(atttypid, atttypmod), attnotnull, atthasdef OR attidentity <> '', \
                 attidentity::text, attgenerated <> '', pg_get_expr(d.adbin, d.adrelid), \
                 ARRAY(SELECT f.attname::text FROM pg_depend p JOIN pg_attribute f ON f.attrelid = $1 \
                         AND f.attnum = p.refobjsubid AND f.attnum <> a.attnum \
                       WHERE attgenerated <> '' AND p.refclassid = 'pg_class'::regclass AND p.refobjid = $1 \
                         AND ((p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid) \
                           OR (p.classid = 'pg_class'::regclass AND p.objid = $1 AND p.objsubid = a.attnum)) \
                       GROUP BY f.attname ORDER BY 1) \
               FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = attrelid AND d.adnum = attnum \
               WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
    let rows = session.query("reading a table's columns", sql, &[&table]).await?;
    let column = |row: &Row| Column {
        name: row.get(0),
        type_name: row.get(1),
        not_null: row.get(2),
        filled: row.get(3),
        identity: match row.get(4) {
            "a" => Identity::Always,
            "d" => Identity::ByDefault,
            _ => Identity::None,
        },
        generated: row.get(5),
        default: row.get(6),
        generated_from: row.get(7),
    };
    Ok(rows.iter().map(column).collect())
}

/// Reads the triggers of a table and its partitions that are enabled.
pub(super) async fn triggers(session: &Session, table: u32) -> Result<Vec<Trigger>, Error> {
    // A partition's copy of its root's trigger follows the root's.
    let sql = "WITH tree AS (SELECT $1::oid AS relid UNION SELECT relid::oid FROM pg_partition_tree($1::oid::regclass)) \
               SELECT format('%I.%I', n.nspname, c.relname), t.tgname::text, t.tgenabled::text, t.tgtype::int \
               FROM pg_trigger t JOIN tree ON tree.relid = t.tgrelid JOIN pg_class c ON c.oid = t.tgrelid \
               JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND (t.tgparentid = 0 OR t.tgrelid = $1) ORDER BY 1, 2";
    let rows = session.query("reading a table's triggers", sql, &[&table]).await?;
    let trigger =
        |row: &Row| Trigger { table: row.get(0), name: row.get(1), enabled: letter(row, 2), kind: row.get(3) };
    Ok(rows.iter().map(trigger).collect())
}

/// Reads the rules of a table that are enabled.
pub(super) async fn rules(session: &Session, table: u32) -> Result<Vec<Trigger>, Error> {
    let sql = "SELECT ev_class::regclass::text, rulename::text, ev_enabled::text FROM pg_rewrite \
               WHERE ev_class = $1 AND rulename <> '_RETURN' AND ev_enabled <> 'D' ORDER BY 2";
    let rows = session.query("reading a table's rules", sql, &[&table]).await?;
    let rule = |row: &Row| Trigger { table: row.get(0), name: row.get(1), enabled: letter(row, 2), kind: 0 };
    Ok(rows.iter().map(rule).collect())
}

pub(super) async fn sequences(session: &Session, table: u32) -> Result<Vec<Sequence>, Error> {
    let sql = "WITH used AS ( \
                 SELECT d.refobjsubid AS attnum, d.objid AS seq FROM pg_depend d \
                 WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass \
                   AND d.refobjid = $1 AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0 \
                 UNION SELECT ad.adnum, d.refobjid FROM pg_attrdef ad JOIN pg_depend d \
                   ON d.classid = 'pg_attrdef'::regclass AND d.objid = ad.oid AND d.refclassid = 'pg_class'::regclass \
                 WHERE ad.adrelid = $1) \
               SELECT a.attname::text, format('%I.%I', n.nspname, c.relname), s.seqincrement, \
                      has_sequence_privilege(c.oid, 'UPDATE') AND has_sequence_privilege(c.oid, 'SELECT') \
               FROM used JOIN pg_class c ON c.oid = used.seq AND c.relkind = 'S' \
               JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_sequence s ON s.seqrelid = c.oid \
               JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = used.attnum ORDER BY 1, 2";
    let rows = session.query("reading a table's sequences", sql, &[&table]).await?;
    let sequence =
        |row: &Row| Sequence { column: row.get(0), quoted: row.get(1), increment: row.get(2), may_set: row.get(3) };
    Ok(rows.iter().map(sequence).collect())
}

/// Publications of the table or its partitions, and whether they send UPDATE or DELETE.
async fn publications(session: &Session, table: u32) -> Result<Vec<(String, bool)>, Error> {
    let sql = "WITH tree AS (SELECT $1::oid AS relid UNION SELECT relid::oid FROM pg_partition_tree($1::oid::regclass)) \
               SELECT DISTINCT p.pubname::text, p.pubupdate OR p.pubdelete FROM tree \
               JOIN pg_class c ON c.oid = tree.relid JOIN pg_namespace n ON n.oid = c.relnamespace \
               JOIN pg_publication_tables t ON t.schemaname = n.nspname AND t.tablename = c.relname \
               JOIN pg_publication p ON p.pubname = t.pubname ORDER BY 1";
    let rows = session.query("reading a table's publications", sql, &[&table]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn subscriptions(session: &Session, table: u32) -> Result<Vec<String>, Error> {
    let sql = "WITH tree AS (SELECT $1::oid AS relid UNION SELECT relid::oid FROM pg_partition_tree($1::oid::regclass)) \
               SELECT DISTINCT s.subname::text FROM tree JOIN pg_subscription_rel r ON r.srrelid = tree.relid \
               JOIN pg_subscription s ON s.oid = r.srsubid ORDER BY 1";
    let rows = session.query("reading a table's subscriptions", sql, &[&table]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn materialized_views(session: &Session, table: u32) -> Result<Vec<String>, Error> {
    let sql = "WITH RECURSIVE reads(oid) AS ( \
                 SELECT $1::oid UNION SELECT r.ev_class FROM reads JOIN pg_depend d ON d.refobjid = reads.oid \
                   AND d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_rewrite'::regclass \
                 JOIN pg_rewrite r ON r.oid = d.objid WHERE r.ev_class <> reads.oid) \
               SELECT format('%I.%I', n.nspname, c.relname) FROM reads JOIN pg_class c ON c.oid = reads.oid \
               JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'm' ORDER BY 1";
    let rows = session.query("reading the views of a table", sql, &[&table]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn checks(session: &Session, table: u32) -> Result<Vec<(String, String)>, Error> {
    let enforced = if session.server().major >= 18 { "conenforced" } else { "true" };
    let sql = format!(
        "SELECT conname::text, pg_get_expr(conbin, conrelid) FROM pg_constraint \
         WHERE conrelid = $1 AND contype = 'c' AND conbin IS NOT NULL AND {enforced} ORDER BY 1"
    );
    let rows = session.query("reading a table's checks", &sql, &[&table]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn exclusions(session: &Session, table: u32) -> Result<Vec<String>, Error> {
    let sql = "SELECT k.conname::text FROM pg_constraint k JOIN pg_index i ON i.indexrelid = k.conindid \
               WHERE k.conrelid = $1 AND k.contype IN ('x', 'p', 'u') AND i.indisexclusion ORDER BY 1";
    let rows = session.query("reading a table's exclusion constraints", sql, &[&table]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Reads where a table's rows may lie, as a condition over its columns.
async fn bounds(session: &Session, table: u32) -> Result<Option<String>, Error> {
    let sql = "SELECT pg_get_partition_constraintdef(c.oid) FROM pg_class c \
               WHERE c.relkind <> 'p' AND (c.oid = $1 OR c.oid IN (SELECT relid FROM pg_partition_tree($1::oid::regclass)))";
    let rows = session.query("reading a table's partitions", sql, &[&table]).await?;
    let leaves: Option<Vec<String>> = rows.iter().map(|row| row.get(0)).collect();
    // One that says nothing takes every row.
    Ok(leaves.map(|leaves| if leaves.is_empty() { "false".to_owned() } else { leaves.join("\nOR ") }))
}

async fn of_partitions(session: &Session, table: u32) -> Result<Vec<String>, Error> {
    let sql = "WITH parts AS (SELECT relid::oid FROM pg_partition_tree($1::oid::regclass) WHERE relid::oid <> $1) \
               SELECT format('unique index %I of %s', c.relname, relid::regclass) FROM parts \
               JOIN pg_index i ON i.indrelid = relid AND i.indisunique JOIN pg_class c ON c.oid = i.indexrelid \
               WHERE NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = i.indexrelid) \
               UNION ALL SELECT format('check %I of %s', k.conname, relid::regclass) FROM parts \
               JOIN pg_constraint k ON k.conrelid = relid AND k.contype = 'c' AND k.coninhcount = 0 ORDER BY 1";
    let rows = session.query("reading the constraints of partitions", sql, &[&table]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
