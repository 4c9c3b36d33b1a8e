//! What the ledger keeps of the ways back of a run: what was at risk, which ways there were, and an undo's steps.

use serde::{Deserialize, Serialize};

use crate::{PointId, RunId};

/// A way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// The team's own scripts, or the tool's own way down.
    Rollback,
    /// As far as there are any the team's own scripts; then the tables at risk from the restore point.
    Recover,
    /// The whole restore point, swapped for the live database.
    Restore,
    /// The whole restore point in a new database beside the live one, which stays as it is.
    Beside,
    /// The whole RDS instance as it was right before the command, in the place of the live one.
    Rds,
}

impl Way {
    /// The way as `--way` names it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Recover => "recover",
            Self::Restore => "restore",
            Self::Beside => "beside",
            Self::Rds => "rds",
        }
    }
}

/// What going a way loses, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Nothing: it was tried on a copy, and everything was as before.
    Nothing,
    /// Nothing that was there before, as the review of migrations and scripts says; nobody tried it.
    NothingAsReviewed,
    /// What others wrote since into the tables at risk.
    OfTablesAtRisk,
    /// What anybody wrote since the instant before the command, into any database of the instance.
    OfInstance,
    /// What anybody wrote since the restore point.
    OfEverything,
    /// Data that were there before, as the trial showed.
    Known,
    /// Data may be lost, and nobody tried it.
    Unknown,
}

impl Loss {
    /// Whether nothing that was there before is lost, as a trial or the review says: only then may a rollback be gone
    /// with nobody looking.
    pub fn is_nothing(self) -> bool {
        matches!(self, Self::Nothing | Self::NothingAsReviewed)
    }
}

/// What undoes a migration, as it was when the run was planned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RollbackScript {
    /// The migration's path below the folder of migrations, with `/`.
    pub migration: String,
    /// The script's path below the project's folder, with `/`; the migration's own file where the way down is in it.
    pub path: String,
    /// SHA-256 of that file in lower-case hexadecimal.
    pub sha256: String,
    /// SHA-256 over what it includes; `None` where it includes nothing, and in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub included: Option<String>,
}

impl RollbackScript {
    /// Whether it is the recorded one, as far as the record tells: an older one says nothing of what a script includes.
    pub fn is_as(&self, recorded: &Self) -> bool {
        let older = Self { included: None, ..self.clone() };
        self == recorded || older == *recorded
    }
}

/// Where a duration comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeFrom {
    /// It was measured when this very way was tried on a copy.
    Measured,
    /// It is reckoned from what something like it took.
    Estimated,
}

/// A table whose data a run puts at risk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtRisk {
    /// The table, as it was called before, such as `shop.orders`.
    pub table: String,
    /// The columns; empty means whole rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// By the review, rows go and none that stays is changed: those that differ otherwise are others'.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rows_only_go: bool,
    /// By the review, triggers may set other columns of the same rows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_triggers: bool,
}

/// What a run puts at risk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RiskRecord {
    /// Nobody can tell what: everything.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub everything: bool,
    /// The tables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<AtRisk>,
    /// Tables that were there before and get rows by the migrations, or get or lose some by what undoes them: what is
    /// new there afterwards may be the run's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub written: Vec<String>,
    /// What of that which was there before the scripts take or change that undo the migrations; `None` in records of older
    /// versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scripts_take: Option<ScriptsTake>,
}

/// What scripts that undo migrations take or change of tables that were there before, as the review says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptsTake {
    /// Nobody can tell from the scripts: anything.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anything: bool,
    /// The tables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<String>,
}

impl RiskRecord {
    /// Whether any data may be lost or changed.
    pub fn any(&self) -> bool {
        self.everything || !self.tables.is_empty()
    }
}

/// A way back as it was told when the run began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WayBack {
    /// Which.
    pub way: Way,
    /// What it does.
    pub title: String,
    /// The command, ready to paste; it holds no password.
    pub command: String,
    /// Seconds that it takes; `None` where nothing was measured.
    pub seconds: Option<f64>,
    /// Where these come from.
    pub time_from: Option<TimeFrom>,
    /// What is lost by it.
    pub data_lost: String,
    /// The same as a word; `None` in records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
    /// What must hold for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<String>,
}

/// A script that undoes a migration, from when it is about to begin until the ledger says how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BegunScript {
    /// The script with its migration, as [`UndoRecord::done`] will name it.
    pub script: String,
    /// The number of the one transaction that it runs in, by which the server knows how it ended; `None` where its SQL
    /// allows no transaction around it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<String>,
    /// The server's timeline then: on another one, such as that of a standby which took over, the same number may be
    /// somebody else's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<u32>,
    /// When the server was started, as it says itself: after a crash a number whose records were lost is given out anew, so
    /// that *committed* may be another transaction's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_began: Option<String>,
    /// It runs in one transaction whose number could not be asked for first, as the script itself says what kind it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unnoted: bool,
    /// It ended with a failure, in these words, and nobody can tell what of it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// How far an undo is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UndoRecord {
    /// The way.
    pub way: Way,
    /// The restore point that was made before, with a label; `None` until it is there.
    pub point: Option<PointId>,
    /// For a restore: the OID of the copy that is about to take the live database's place. Where the live one has it,
    /// the two were exchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_oid: Option<u32>,
    /// What has been done, in order: a killed undo goes on after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub done: Vec<String>,
    /// The script that was about to begin: it may have been committed although nobody wrote so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<BegunScript>,
    /// What shows that the database is as before, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proof: Vec<String>,
    /// What is not as before, or is not known, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_as_before: Vec<String>,
}

/// How much of what was pending is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Applied {
    /// Everything is still pending, the schema is as before, and nothing was kept of any transaction since.
    Unchanged,
    /// A part of it is there.
    Partly,
    /// Nothing is pending any more.
    Fully,
    /// Nobody can tell.
    Unknown,
}

impl Applied {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Partly => "partly applied",
            Self::Fully => "fully applied",
            Self::Unknown => "unknown",
        }
    }
}

/// A database as it was found after a run whose own judgement is missing or old.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Afresh {
    /// How much is there.
    pub applied: Applied,
    /// Of the run's migrations those that are still pending; `None` where that cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub still_pending: Option<Vec<String>>,
    /// Schema objects that are not as the restore point recorded; `None` where that cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_changes: Option<Vec<String>>,
    /// What was not looked at, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_known: Vec<String>,
}

impl Afresh {
    /// Judges by what is still pending of `pending` migrations, by the schema, and by what became of the transactions
    /// since the command began: `nothing_kept` says that all of them were aborted.
    ///
    /// Neither a list nor a schema tells of rows: *unchanged* is said only where nothing was kept at all.
    pub fn judge(
        pending: Option<usize>,
        still: Option<Vec<String>>,
        schema: Option<Vec<String>>,
        nothing_kept: bool,
    ) -> Self {
        let same = schema.as_ref().map(Vec::is_empty);
        let left = still.as_ref().map(Vec::len);
        let applied = match (pending, left, same) {
            (Some(0), _, Some(true)) | (_, None, Some(true)) if nothing_kept => Applied::Unchanged,
            (Some(all), Some(left), Some(true)) if left == all && nothing_kept => Applied::Unchanged,
            (Some(all), Some(0), _) if all > 0 => Applied::Fully,
            (Some(all), Some(left), _) if left < all => Applied::Partly,
            (_, _, Some(false)) => Applied::Partly,
            _ => Applied::Unknown,
        };
        Self { applied, still_pending: still, schema_changes: schema, not_known: Vec::new() }
    }
}

/// How a person declared a run done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    /// Why; secrets in it are masked.
    pub reason: String,
    /// Who said so, and where.
    pub operator: Option<String>,
    /// How the database was found then.
    pub found: Afresh,
}

/// An undo by another RDS instance that was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenBack {
    /// The run whose undo it was: of another run it says that it ran on the instance that went out of service.
    pub run: RunId,
    /// The name that this instance has since.
    pub instance: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge_with(pending: Option<usize>, still: Option<usize>, changes: Option<usize>, nothing_kept: bool) -> Applied {
        let names = |count| (0..count).map(|n: usize| n.to_string()).collect::<Vec<_>>();
        Afresh::judge(pending, still.map(names), changes.map(names), nothing_kept).applied
    }

    fn judge(pending: Option<usize>, still: Option<usize>, changes: Option<usize>) -> Applied {
        judge_with(pending, still, changes, true)
    }

    #[test]
    fn what_is_pending_and_the_schema_tell_how_much_is_there() {
        assert_eq!(judge(Some(2), Some(2), Some(0)), Applied::Unchanged);
        assert_eq!(judge(Some(2), Some(2), Some(1)), Applied::Partly, "recorded nowhere, and yet there");
        assert_eq!(judge(Some(2), Some(1), Some(1)), Applied::Partly);
        assert_eq!(judge(Some(2), Some(1), None), Applied::Partly);
        assert_eq!(judge(Some(2), Some(0), Some(3)), Applied::Fully);
        assert_eq!(judge(Some(1), Some(0), Some(0)), Applied::Fully, "rows alone");
        assert_eq!(judge(Some(0), Some(0), Some(0)), Applied::Unchanged);
        assert_eq!(judge(Some(0), Some(0), Some(1)), Applied::Partly, "nothing was pending, and something is there");
        assert_eq!(judge(None, None, Some(1)), Applied::Partly);
        assert_eq!(judge(Some(2), Some(2), None), Applied::Unknown, "nobody looked at the schema");
    }

    #[test]
    fn unchanged_needs_the_evidence_that_no_row_was_kept() {
        for (pending, still) in [(None, None), (Some(2), None), (Some(2), Some(2)), (Some(0), Some(0)), (Some(0), None)]
        {
            assert_eq!(judge_with(pending, still, Some(0), true), Applied::Unchanged, "{pending:?} {still:?}");
            assert_eq!(judge_with(pending, still, Some(0), false), Applied::Unknown, "{pending:?} {still:?}");
        }
        assert_eq!(judge_with(Some(2), Some(0), Some(0), false), Applied::Fully);
        assert_eq!(judge_with(Some(2), Some(1), Some(0), false), Applied::Partly);
    }

    #[test]
    fn a_step_of_an_undo_reads_back() {
        let record = UndoRecord {
            way: Way::Recover,
            point: Some("20261121T024300Z-k3f9".parse().unwrap()),
            copy_oid: None,
            done: vec!["a".into()],
            begun: None,
            proof: vec![],
            not_as_before: vec![],
        };
        let json = serde_json::to_string(&record).unwrap();
        assert_eq!(json, r#"{"way":"recover","point":"20261121T024300Z-k3f9","done":["a"]}"#);
        assert_eq!(serde_json::from_str::<UndoRecord>(&json).unwrap(), record);
    }
}
