//! The ways back of a run, before its command runs: each with its time, its loss and its command, the best first.
//!
//! What is not listed is not there: a rollback needs something that undoes every pending migration, a recovery needs
//! tables at risk that are known, and whose rows can be found again.

mod beside;
mod instant;
mod rank;
mod recoverable;

use std::time::Duration;

use holdpoint_core::quantity::listed;
use holdpoint_core::rehearsal::{Rehearsal, RollbackEffect};
use holdpoint_core::undoing::{AtRisk, Loss, RiskRecord, ScriptsTake, TimeFrom, Way, WayBack};
use holdpoint_core::verification::{Level, Verdict, Verification};
use holdpoint_core::{Manifest, Recorded, RunId};
use holdpoint_operations::rds::{RdsSource, Restorable};
use holdpoint_postgres::ConnectionSettings;
use holdpoint_review::{Kind, Review, StatementReview, TableAtRisk};

pub use beside::shell_quote;
pub(crate) use beside::{may_not_create, powerless};
pub(crate) use instant::{Noted, no_way as no_instance, serves_another};
pub(crate) use rank::{UNKNOWN, real_losses, taken_by};
use rank::{loss_of_rollback, ranked, taken_from};
pub(crate) use recoverable::{renames, unrecoverable};

use crate::plan::{PlanReport, RollbackReview};
use crate::planned::Planned;
use crate::tools::Rollback;
use crate::undo::at_risk::{called, widened_by};

/// How many names a line holds.
const NAMED: usize = 3;

/// What is known of a run before its command.
pub(crate) struct Known<'a> {
    pub(crate) run: &'a RunId,
    pub(crate) recorded: &'a Recorded,
    pub(crate) verifications: &'a [Verification],
    /// How a database is restored beside the live one.
    pub(crate) settings: &'a ConnectionSettings,
    /// The role of these settings where it may not create databases.
    pub(crate) powerless: Option<&'a str>,
    /// Flags that every command repeats.
    pub(crate) flags: &'a [String],
    /// Flags by which `undo` finds the project.
    pub(crate) project_flags: &'a [String],
    pub(crate) planned: &'a Planned,
    pub(crate) rehearsal: Option<&'a Rehearsal>,
    /// Why a recovery can never work, where that is known.
    pub(crate) unrecoverable: Option<&'a str>,
    /// The RDS instance that the database is on, where one is configured and could be asked for.
    pub(crate) instance: Option<&'a (RdsSource, Restorable)>,
}

/// What a run puts at risk, as its plan says; without a plan, and where the command may do something else, everything.
pub(crate) fn risk(planned: &Planned) -> RiskRecord {
    let plan = match (&planned.report, planned.migrations) {
        (Some(plan), Some(_)) => plan,
        _ => return RiskRecord { everything: true, ..RiskRecord::default() },
    };
    let tables = plan.review.tables.iter();
    let tables = tables.map(|one| AtRisk {
        table: one.table.to_string(),
        columns: one.columns.clone(),
        rows_only_go: one.rows_only_go,
        by_triggers: one.by_triggers,
    });
    RiskRecord {
        everything: plan.review.everything_at_risk,
        tables: tables.collect(),
        written: plan.rollback.written.clone(),
        scripts_take: Some(scripts_take(&plan.rollback)),
    }
}

/// What scripts take or change of tables that were there before, as their review says.
pub(crate) fn scripts_take(review: &RollbackReview) -> ScriptsTake {
    let tables = review.tables.iter().map(|one| one.table.clone()).collect();
    ScriptsTake { anything: review.everything_at_risk, tables }
}

impl Known<'_> {
    /// Lists the ways back, the best first.
    pub(crate) fn ways_back(&self) -> Vec<WayBack> {
        let risk = risk(self.planned);
        let ways = match self.recorded {
            Recorded::Archive(manifest) => {
                let [beside, swap] = self.restores(manifest);
                let recovery = self.recovery(&risk, manifest);
                [self.rollback(&risk), recovery, self.instant(), Some(beside), Some(swap)]
            }
            // Nothing but the instance itself can be held against a snapshot, so no script undoes such a run with proof.
            Recorded::Snapshot(manifest) => [None, None, self.instant(), Some(self.snapshot(manifest)), None],
        };
        let mut ways: Vec<WayBack> = ways.into_iter().flatten().collect();
        let beside =
            self.planned.report.as_ref().map(|plan| beside_the_database(&plan.review.review)).unwrap_or_default();
        if !beside.is_empty() {
            let told = format!(
                "roles, subscriptions and the server's settings stay as the run leaves them: {}",
                listed(&beside, NAMED)
            );
            let with_the_server = |one: &WayBack| one.way == Way::Rds || self.is_snapshot();
            ways.iter_mut().filter(|one| !with_the_server(one)).for_each(|one| one.conditions.push(told.clone()));
        }
        ranked(ways)
    }

    /// What the team has to undo all of it.
    fn rollback(&self, risk: &RiskRecord) -> Option<WayBack> {
        let plan = self.planned.report.as_ref().filter(|plan| !plan.pending.is_empty())?;
        let script = |rollback: &Rollback| match rollback {
            Rollback::Script { path, .. } => Some(path.clone()),
            Rollback::SameFile | Rollback::Program => Some(format!("{} down", plan.tool)),
            Rollback::Ambiguous { .. } | Rollback::Missing => None,
        };
        let steps: Vec<String> = plan.pending.iter().rev().map(|one| script(&one.rollback)).collect::<Option<_>>()?;
        let rehearsed = self.rehearsal.and_then(|one| one.rollback.as_ref());
        let tried = self.tried(plan);
        let table = self.rehearsal.and_then(|one| one.tracking.table.as_deref());
        let loss = loss_of_rollback(tried, risk, &plan.rollback, table);
        let measured = tried.filter(|tried| tried.failure.is_none());
        let mut conditions = Vec::new();
        match tried {
            None if rehearsed.is_some() => conditions.push("nobody tried it: other scripts were rehearsed".to_owned()),
            None => conditions.push("nobody tried it: it was not rehearsed".to_owned()),
            Some(tried) => conditions.extend(tried.failure.iter().map(|why| format!("it failed on the copy: {why}"))),
        }
        if !loss.is_nothing() {
            conditions.push("--on-failure rollback does not go it: somebody has to look first".to_owned());
        }
        let lost: Vec<String> =
            tried.map(|tried| real_losses(tried, table).into_iter().map(str::to_owned).collect()).unwrap_or_default();
        let data_lost = match loss {
            Loss::Nothing => "nothing that was there before, as the rehearsal showed; what was written since into what the migration made goes".to_owned(),
            Loss::NothingAsReviewed => "what was written since into what the migration made".to_owned(),
            Loss::Known => listed(&lost, NAMED),
            Loss::OfTablesAtRisk => {
                let names = tried.map(|tried| taken_from(tried, &plan.rollback)).unwrap_or_default();
                let places = &plan.rollback.places;
                let places = if places.is_empty() { String::new() } else { format!(" ({})", listed(places, NAMED)) };
                let names = listed(&names, NAMED);
                format!("rows that others wrote since into {names}, as far as the scripts take or change them there{places}")
            }
            _ => Self::not_known(risk, &plan.rollback),
        };
        Some(WayBack {
            way: Way::Rollback,
            title: format!("undo the migrations, newest first: {}", listed(&steps, NAMED)),
            command: self.undo(Way::Rollback),
            seconds: measured.map(|tried| seconds(tried.took_ms)),
            time_from: measured.map(|_| TimeFrom::Measured),
            data_lost,
            loss: Some(loss),
            conditions,
        })
    }

    /// The trial of these scripts: one of others, such as a prepared run's, says nothing of them.
    fn tried(&self, plan: &PlanReport) -> Option<&RollbackEffect> {
        let rehearsed = self.rehearsal.and_then(|one| one.rollback.as_ref());
        rehearsed.filter(|tried| tried.scripts == plan.rollback.scripts)
    }

    /// What scripts that nobody tried may lose.
    fn not_known(risk: &RiskRecord, scripts: &RollbackReview) -> String {
        let destroyed = "what the migration destroyed or changed, as far as these scripts do not bring it back";
        let mut lost: Vec<String> = risk.any().then(|| destroyed.to_owned()).into_iter().collect();
        if scripts.everything_at_risk {
            lost.push(format!("whatever the scripts themselves do: {}", listed(&scripts.places, NAMED)));
        } else if !scripts.tables.is_empty() {
            let names: Vec<String> = scripts.tables.iter().map(name).collect();
            let (names, places) = (listed(&names, NAMED), listed(&scripts.places, NAMED));
            lost.push(format!("what the scripts themselves take or change in {names} ({places})"));
        }
        if !scripts.written.is_empty() {
            let names = listed(&scripts.written, NAMED);
            lost.push(format!("nothing, perhaps, but rows that are added to {names} may stay"));
        }
        if lost.is_empty() { destroyed.to_owned() } else { lost.join("; ") }
    }

    /// The tables at risk from the restore point, after whatever undoes the migrations.
    fn recovery(&self, risk: &RiskRecord, manifest: &Manifest) -> Option<WayBack> {
        let plan = self.planned.report.as_ref()?;
        let (tables, positions) = recoverable(risk, &plan.review.tables);
        if risk.everything || tables.is_empty() || self.unrecoverable.is_some() {
            return None;
        }
        let undone =
            plan.pending.iter().all(|one| !matches!(one.rollback, Rollback::Missing | Rollback::Ambiguous { .. }));
        let widened = |one: &AtRisk| widened_by(&called(&one.table), one.clone(), self.rehearsal);
        let names: Vec<String> = tables.into_iter().map(|one| name(&widened(one))).collect();
        let bytes: Option<u64> = plan.review.tables.iter().map(|one| one.bytes).sum();
        let seconds = bytes.and_then(|bytes| self.share(manifest, bytes));
        let mut conditions = Vec::new();
        let before = if undone {
            let taken = taken_by(&scripts_take(&plan.rollback), self.tried(plan));
            if !taken.is_empty() {
                conditions.push(format!(
                    "what undoes the migrations may take or change rows of {} that others wrote: \
                     --accept-data-loss-since says that it may",
                    listed(&taken, NAMED)
                ));
            }
            "undo the migrations, then bring back"
        } else {
            conditions
                .push("nothing undoes what the migrations added or altered: only what they took comes back".to_owned());
            "bring back"
        };
        if !positions.is_empty() {
            let names: Vec<String> = positions.into_iter().map(|one| one.table.clone()).collect();
            conditions.push(format!("where {} stands is put right by hand", listed(&names, NAMED)));
        }
        Some(WayBack {
            way: Way::Recover,
            title: format!("{before} {} from {}", listed(&names, NAMED), manifest.id),
            command: self.undo(Way::Recover),
            seconds,
            time_from: seconds.map(|_| TimeFrom::Estimated),
            data_lost: format!(
                "changes since {} of the same rows and columns in {}{}",
                self.since(),
                listed(&names, NAMED),
                if undone { "; what was written since into what the migration made goes" } else { "" }
            ),
            loss: Some(Loss::OfTablesAtRisk),
            conditions,
        })
    }

    /// The whole restore point: in a new database, or in the live one's place.
    fn restores(&self, manifest: &Manifest) -> [WayBack; 2] {
        let seconds = self.restore_seconds();
        let of = |way, title, command, conditions| {
            let data_lost = format!("everything written since {}", self.since());
            let time_from = seconds.map(|_| TimeFrom::Estimated);
            WayBack { way, title, command, seconds, time_from, data_lost, loss: Some(Loss::OfEverything), conditions }
        };
        let (title, command) = beside::beside(self.run, manifest, self.settings, self.flags, self.powerless);
        let swap = format!("restore {} and swap it for the live database, which is kept beside", manifest.id);
        let accept = manifest.snapshot.at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
        let swapping = format!("{} --accept-data-loss-since {accept}", self.undo(Way::Restore));
        let sessions = vec!["sessions are ended while the names are exchanged".to_owned()];
        [of(Way::Beside, title, command, Vec::new()), of(Way::Restore, swap, swapping, sessions)]
    }

    fn is_snapshot(&self) -> bool {
        matches!(self.recorded, Recorded::Snapshot(_))
    }

    fn undo(&self, way: Way) -> String {
        let words = ["holdpoint", "undo", self.run.as_str(), "--way", way.word()];
        let all = words.into_iter().chain(self.flags.iter().chain(self.project_flags).map(String::as_str));
        all.map(shell_quote).collect::<Vec<_>>().join(" ")
    }

    fn since(&self) -> String {
        self.recorded.snapshot_at().format("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// The time that the newest proof by restore took: on a scratch server, so an estimate for any other.
    fn restore_seconds(&self) -> Option<f64> {
        let proof = |one: &&Verification| one.level >= Level::Full && one.verdict == Verdict::Proved;
        let newest = self.verifications.iter().filter(proof).max_by_key(|one| one.started_at)?;
        newest.restore_took_ms.map(seconds)
    }

    /// The part of that time that so many bytes of the live database take.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn share(&self, manifest: &Manifest, bytes: u64) -> Option<f64> {
        let all = manifest.totals.data_bytes.max(1);
        // A recovery makes its side schema and compares, however little it is.
        self.restore_seconds().map(|seconds| 1.0 + seconds * (bytes as f64 / all as f64).min(1.0))
    }
}

/// The statements, with file and line, by whose words something is changed that is in no dump of the database.
fn beside_the_database(review: &Review) -> Vec<String> {
    let is_beside = |one: &StatementReview| {
        let Some((verb, what)) = one.words.split_once(' ') else { return false };
        // A mapping of a user is the database's own.
        let role = || what != "USER" || one.findings.iter().any(|finding| finding.kind == Kind::Access);
        ["CREATE", "ALTER", "DROP"].contains(&verb)
            && ["ROLE", "USER", "GROUP", "SUBSCRIPTION", "SYSTEM"].contains(&what)
            && role()
    };
    let statements = review.files.iter().flat_map(|file| file.statements.iter().map(move |one| (file, one)));
    let beside = statements.filter(|(_, one)| is_beside(one));
    beside.map(|(file, one)| format!("{}:{} {}", file.file, one.line, one.words)).collect()
}

/// What has rows that a recovery can bring back, and what has only a position, such as a sequence.
fn recoverable<'a>(risk: &'a RiskRecord, reviewed: &[TableAtRisk]) -> (Vec<&'a AtRisk>, Vec<&'a AtRisk>) {
    let position = |one: &&AtRisk| {
        let found = reviewed.iter().find(|table| table.table.to_string() == one.table);
        found.is_some_and(|table| table.loss == holdpoint_review::Loss::Position)
    };
    let (positions, tables) = risk.tables.iter().partition(position);
    (tables, positions)
}

fn name(one: &AtRisk) -> String {
    match one.columns.as_slice() {
        [] => one.table.clone(),
        columns => format!("{} ({})", one.table, columns.join(", ")),
    }
}

fn seconds(ms: u64) -> f64 {
    Duration::from_millis(ms).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use holdpoint_review::{Loss as Lost, ObjectName};

    use super::*;

    #[test]
    fn a_sequence_alone_is_nothing_that_a_recovery_brings_back() {
        let reviewed = |name: &str, loss| TableAtRisk {
            table: ObjectName::typed(name).unwrap(),
            loss,
            columns: Vec::new(),
            rows_only_go: false,
            by_triggers: false,
            through: None,
            bytes: None,
            rows: None,
        };
        let tables = [reviewed("s.orders", Lost::SomeRows), reviewed("s.orders_id_seq", Lost::Position)];
        let at_risk = |names: &[&str]| RiskRecord {
            tables: names.iter().map(|one| AtRisk { table: (*one).to_owned(), ..AtRisk::default() }).collect(),
            ..RiskRecord::default()
        };
        let both = at_risk(&["s.orders", "s.orders_id_seq"]);
        let (rows, positions) = recoverable(&both, &tables);
        assert_eq!((rows[0].table.as_str(), positions[0].table.as_str()), ("s.orders", "s.orders_id_seq"));
        assert!(recoverable(&at_risk(&["s.orders_id_seq"]), &tables).0.is_empty());
    }
}
