//! Live rows that are lost to what refers to them: deleted or given another value, by the change itself or by foreign
//! keys that it sets off (`ON DELETE CASCADE` and the like), from table to table.

use std::collections::BTreeMap;

use holdpoint_core::name::quote_identifier as quoted;

use super::RecoverMode;
use super::keys::ForeignKey;
use super::statements::Change;

/// What becomes of the rows of tables that change together.
///
/// What foreign keys between them take comes back in the same go, but not what goes with it in other tables.
pub(super) struct Losses<'a> {
    /// The tables that change, by their OID.
    pub(super) changes: BTreeMap<u32, &'a Change>,
    /// Foreign keys between them that delete or change rows.
    acting: Vec<&'a ForeignKey>,
    with: String,
}

impl<'a> Losses<'a> {
    pub(super) fn of(changes: &'a [Change], keys: &'a [ForeignKey]) -> Self {
        let changes: BTreeMap<u32, &Change> = changes.iter().map(|change| (change.live.oid, change)).collect();
        let within = |key: &&ForeignKey| changes.contains_key(&key.from) && !key.only_refuses();
        let acting = keys.iter().filter(within).collect();
        let mut losses = Self { changes, acting, with: String::new() };
        losses.with = losses.reached();
        losses
    }

    /// What statements begin with whose conditions are those of [`Losses::ways`].
    pub(super) fn with(&self) -> &str {
        &self.with
    }

    /// The ways in which what refers by a foreign key to the live row `t` of a table would lose it, as conditions; none
    /// where it cannot.
    pub(super) fn ways(&self, change: &Change, key: &ForeignKey) -> Vec<String> {
        let oid = change.live.oid;
        let mut events = self.renamings(change, key);
        if self.acting.iter().any(|other| other.from == oid && other.on_delete == "CASCADE") {
            events.push(deletion(oid));
        }
        let reached = (!self.with.is_empty() && !events.is_empty()).then(|| {
            format!(
                "(t.tableoid, t.ctid::text) IN (SELECT part, place FROM reached WHERE event IN ({}))",
                list(&events)
            )
        });
        gone(change, key).into_iter().chain(reached).collect()
    }

    /// The rows of these tables that foreign keys between them delete or change, as a common table expression; empty
    /// where there can be none.
    fn reached(&self) -> String {
        let (mut first, mut further) = (Vec::new(), Vec::new());
        for (nth, key) in self.acting.iter().enumerate() {
            let on_delete = match key.on_delete {
                "CASCADE" => Some(deletion(key.from)),
                action => acts(action).then(|| renaming(nth)),
            };
            let on_update = acts(key.on_update).then(|| renaming(nth));
            let from = key.referring();
            for to in self.changes.values().filter(|to| key.points_to(to.live.oid)) {
                let (table, refers) = (to.live.only(), key.equal("t", "c"));
                let both = [
                    (&on_delete, deleted(to), vec![deletion(to.live.oid)]),
                    (&on_update, renamed(to, key), self.renamings(to, key)),
                ];
                for (becomes, directly, after) in both {
                    let Some(becomes) = becomes else { continue };
                    let row = format!("SELECT '{becomes}'::text AS event, c.tableoid AS part, c.ctid::text AS place");
                    if let Some(directly) = directly {
                        first.push(format!(
                            "{row} FROM {from} c WHERE EXISTS (SELECT FROM {table} t WHERE {refers} AND {directly})"
                        ));
                    }
                    if !after.is_empty() {
                        further.push(format!(
                            "{row} FROM {table} t JOIN {from} c ON {refers} \
                             WHERE r.event IN ({}) AND t.tableoid = r.part AND t.ctid = r.place::tid",
                            list(&after)
                        ));
                    }
                }
            }
        }
        if first.is_empty() {
            return String::new();
        }
        let first = format!("SELECT event, part, place FROM ({}) first", first.join(" UNION ALL "));
        let further = match further.is_empty() {
            true => String::new(),
            false => format!(
                " UNION SELECT next.event, next.part, next.place FROM reached r CROSS JOIN LATERAL ({}) next",
                further.join(" UNION ALL ")
            ),
        };
        format!("WITH RECURSIVE reached(event, part, place) AS ({first}{further}) ")
    }

    /// What foreign keys do to this table's rows that changes values to which `key` points.
    fn renamings(&self, change: &Change, key: &ForeignKey) -> Vec<String> {
        let of_it = self.acting.iter().enumerate().filter(|(_, other)| other.from == change.live.oid);
        let renames = of_it.filter(|(_, other)| {
            let sets = acts(other.on_update) || matches!(other.on_delete, "SET NULL" | "SET DEFAULT");
            let same = other.from_columns.iter().any(|name| key.to_columns.contains(name));
            sets && (same || computed(change, key))
        });
        renames.map(|(nth, _)| renaming(nth)).collect()
    }
}

/// Rows of a table are deleted.
fn deletion(table: u32) -> String {
    format!("deleted {table}")
}

/// The columns with which a foreign key refers get other values.
fn renaming(nth: usize) -> String {
    format!("renamed {nth}")
}

fn list(events: &[String]) -> String {
    events.iter().map(|event| format!("'{event}'")).collect::<Vec<_>>().join(", ")
}

/// Whether an action of a foreign key deletes or changes rows.
fn acts(action: &str) -> bool {
    matches!(action, "CASCADE" | "SET NULL" | "SET DEFAULT")
}

/// Whether a foreign key points to values that follow other columns.
fn computed(change: &Change, key: &ForeignKey) -> bool {
    change.live.columns.iter().any(|column| column.generated && key.to_columns.contains(&column.name))
}

/// Which live rows `t` the change deletes.
fn deleted(change: &Change) -> Option<String> {
    (change.mode == RecoverMode::Replace).then(|| change.beyond())
}

/// What holds where the row `s` that comes back has the values of `t` to which a foreign key points; empty where no
/// change of a row sets them.
fn unchanged(change: &Change, key: &ForeignKey) -> Vec<String> {
    let same = key.to_columns.iter().zip(&key.among).filter(|(name, _)| change.sets(name));
    let same = same.map(|(name, operator)| format!("s.{n} {operator} t.{n}", n = quoted(name)));
    same.chain(computed(change, key).then(|| format!("NOT ({})", change.differs()))).collect()
}

/// Which live rows `t` the change gives other values to which a foreign key points.
fn renamed(change: &Change, key: &ForeignKey) -> Option<String> {
    let same = unchanged(change, key);
    let changes = matches!(change.mode, RecoverMode::Upsert | RecoverMode::Replace) && !same.is_empty();
    changes.then(|| {
        let (rows, same_key) = (change.mapped(), change.same_key());
        format!("EXISTS (SELECT FROM {rows} s WHERE {same_key} AND ({}) IS NOT TRUE)", same.join(" AND "))
    })
}

/// Whether the change itself takes from what refers to the live row `t`; `None` where it cannot.
fn gone(change: &Change, key: &ForeignKey) -> Option<String> {
    let row = format!("SELECT FROM {} s WHERE {}", change.mapped(), change.same_key());
    let same: String = unchanged(change, key).iter().map(|one| format!(" AND {one}")).collect();
    match change.mode {
        // Only what was null is filled by missing, and nothing refers to that.
        RecoverMode::Side | RecoverMode::Missing => None,
        RecoverMode::Replace => Some(format!("NOT EXISTS ({row}{same})")),
        RecoverMode::Upsert => renamed(change, key),
    }
}
