//! The comparison with the state after the command: changed, unchanged, or not known.

use std::collections::BTreeMap;

use holdpoint_core::quantity::listed;
use holdpoint_core::rehearsal::{ObjectChange, ObjectEffect};
use holdpoint_postgres::Session;

use super::counters::{self, Counters, HeldBack, counters, held_back, written};
use super::own_table::CameEmpty;
use super::transactions::Kept;
use super::{Change, DatabaseState, LISTED};
use crate::Error;
use crate::judgement::unlike::words;
use crate::rehearse::effects;
use crate::tools::TableName;

impl DatabaseState {
    /// Compares with the state after the command, as the documentation of [`state`](super) says; `patient`: the answer is worth
    /// waiting for the counters of others; `own`: the tool's own table.
    pub(crate) async fn compare(
        &self,
        after: &Self,
        session: &Session,
        patient: bool,
        own: Option<&TableName>,
    ) -> Result<Change, Error> {
        let came_empty = self.came_empty(after, own, session).await?;
        let mut change = self.visible_changes(after, came_empty.as_ref());
        let moved = |now: &BTreeMap<String, Counters>| {
            let mut moved = counters::moved(&self.counters, now);
            moved.retain(|name| came_empty.as_ref().is_none_or(|own| own.in_counters != *name));
            moved
        };
        let restarted = self.counting.started_at != after.counting.started_at;
        let counted = self.counting == after.counting && self.counting.trusted;
        change.counted = counted;
        change.lost_count =
            self.counting.started_at != after.counting.started_at || self.counting.reset_at != after.counting.reset_at;
        let mut touched = moved(&after.counters);
        if counted {
            let still = |name: &&String| after.counters.get(*name) == self.counters.get(*name);
            change.unmoved = self.counters.keys().filter(still).cloned().collect();
            change.written = written(&self.counters, &after.counters);
        }
        if restarted {
            change.warnings.push("the server was restarted while the command ran".to_owned());
        }
        if change.database == "changed" || restarted {
            return Ok(change);
        }
        let kept = self.transactions.kept(&after.transactions, session).await?;
        let not_read = self.unshown.not_read(&after.unshown);
        if !not_read.is_empty() {
            change.remarks.push(format!("not looked at, as this role may not read it: {}", not_read.join(", ")));
        }
        let own = came_empty.as_ref();
        change.remarks.extend(own.map(|own| format!("the tool made its own table {}, which is empty", own.table)));
        change.remarks.extend(self.sequences.moved_on(&after.sequences));
        change.remarks.extend(self.databases.changes(&after.databases));
        if kept == Kept::Nothing {
            change.database = "unchanged";
            return Ok(change);
        }
        if kept == Kept::Something && counted && touched.is_empty() {
            match held_back(session, patient).await? {
                HeldBack::Nothing => {}
                HeldBack::Passed => {
                    let now = counters(session).await?;
                    touched = moved(&now);
                    change.written = written(&self.counters, &now);
                }
                HeldBack::Perhaps => {
                    change
                        .remarks
                        .push("somebody else's session may have written rows that are not counted yet".to_owned());
                    return Ok(change);
                }
            }
            if touched.is_empty() {
                change.database = "unchanged";
                return Ok(change);
            }
            change.unmoved.retain(|name| !touched.contains(name));
        }
        if !touched.is_empty() {
            let names = listed(&touched, LISTED);
            change.remarks.push(format!("rows were written in {names} while the command ran, by it or by others"));
        }
        if kept == Kept::Open {
            change.remarks.push("a transaction that began while the command ran is still open".to_owned());
        }
        Ok(change)
    }

    /// What shows in the catalog: changed, or not known yet; that the tool's own table came, which is empty, is no change.
    fn visible_changes(&self, after: &Self, came_empty: Option<&CameEmpty<'_>>) -> Change {
        let objects = effects::objects(&self.schema, &after.schema);
        let of_the_tool = |one: &ObjectEffect| {
            one.change == ObjectChange::Added && came_empty.is_some_and(|own| own.table.names(&one.name))
        };
        let mut change = Change::unknown();
        let names: Vec<String> =
            objects.iter().filter(|one| !of_the_tool(one)).map(|one| words(&one.name, one.change)).collect();
        if !names.is_empty() {
            change.remarks.push(format!("changed in the schema: {}", listed(&names, LISTED)));
        }
        change.objects = Some(objects);
        if self.extensions != after.extensions {
            change.remarks.push("an extension or its version changed".to_owned());
        }
        let is_new = |name: &&String| !self.invalid_indexes.contains(name);
        change.invalid_indexes = after.invalid_indexes.iter().filter(is_new).cloned().collect();
        if change.invalid_indexes.is_empty() && self.invalid_indexes != after.invalid_indexes {
            change.remarks.push("an invalid index is gone".to_owned());
        }
        change.beside = self.unshown.changed_beside(&after.unshown);
        let unshown = self.unshown.changes(&after.unshown);
        if !unshown.is_empty() {
            change.remarks.push(format!("changed beside the schema: {}", listed(&unshown, LISTED)));
        }
        let exhausted = self.sequences.exhausted(&after.sequences);
        if !exhausted.is_empty() {
            let names = listed(&exhausted, LISTED);
            change
                .warnings
                .push(format!("nearly exhausted since, with less than a tenth of their values left: {names}"));
        }
        let behind = self.sequences.set_back(&after.sequences);
        if !behind.is_empty() {
            let names = listed(&behind, LISTED);
            change.remarks.push(format!("set back, so that numbers are given out again: {names}"));
        }
        change.unreadable = self.newly_unreadable(&after.unreadable);
        if !(change.remarks.is_empty() && change.invalid_indexes.is_empty()) {
            change.database = "changed";
        }
        change
    }
}
