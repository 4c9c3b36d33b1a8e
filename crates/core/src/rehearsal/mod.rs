//! A rehearsal: what the team's own command did to a proven copy of the database, before production.
//!
//! It is kept as the outcome that is expected of production. It holds names, counts and durations, never a row's value,
//! and its size is bounded ([`Rehearsal::bound`]).

mod effects;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::PointId;
pub use effects::{LockEffect, ObjectChange, ObjectEffect, RenamedColumn, RollbackEffect, RowEffect, TableEffect};

/// The newest form of a rehearsal that this program knows.
pub const FORMAT: u32 = 1;
/// The most entries of a list that are kept.
pub const LISTED: usize = 100;
/// The most characters of a text that are kept.
pub const TEXT: usize = 240;

/// What a rehearsal came to, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RehearsalOutcome {
    /// The command succeeded, and recorded exactly what was pending.
    AsPlanned,
    /// The command succeeded, and recorded something else than what was pending.
    NotAsPlanned,
    /// The command failed.
    Failed,
    /// The command did not end in its time, and was ended.
    TimedOut,
    /// The command reached for production, or that cannot be excluded: it was ended.
    Escaped,
}

impl RehearsalOutcome {
    /// The outcome in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::AsPlanned => "as planned",
            Self::NotAsPlanned => "not as planned",
            Self::Failed => "failed",
            Self::TimedOut => "did not end in time",
            Self::Escaped => "escaped",
        }
    }
}

/// A rehearsal on a proven copy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rehearsal {
    /// Version of this document's form.
    pub format: u32,
    /// The restore point whose copy it was.
    pub point: PointId,
    /// When the command was started, by the rehearsing machine's clock.
    pub started_at: DateTime<Utc>,
    /// What it came to.
    pub outcome: RehearsalOutcome,
    /// Why it is not as planned.
    pub reasons: Vec<String>,
    /// The command, word by word; secrets in it are masked.
    pub command: Vec<String>,
    /// Exit code of the command.
    pub exit_code: Option<i32>,
    /// Signal that ended the command.
    pub signal: Option<i32>,
    /// Milliseconds that the command ran.
    pub took_ms: u64,
    /// Where that was measured: a scratch server is another machine than production.
    pub measured_on: String,
    /// The role that the command had on the copy.
    pub role: String,
    /// How the command was kept away from production.
    pub isolation: Isolation,
    /// What the migration tool recorded.
    pub tracking: TrackingGrowth,
    /// The tables that changed or were locked in a way that others notice.
    pub tables: Vec<TableEffect>,
    /// How locks were looked for.
    pub sampling: Sampling,
    /// Schema objects that changed.
    pub objects: Vec<ObjectEffect>,
    /// The copy's PostgreSQL major: definitions are compared with those of the same one alone. `None` in records of older
    /// versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub major: Option<u32>,
    /// Indexes that were left invalid.
    pub invalid_indexes: Vec<String>,
    /// Sequences that stand elsewhere.
    pub sequences: Vec<String>,
    /// What became of the large objects, where any changed.
    pub large_objects: Option<RowEffect>,
    /// What the way back by the team's own scripts brought back; `None` where it was not tried.
    pub rollback: Option<RollbackEffect>,
    /// What cannot be told, and why.
    pub not_told: Vec<String>,
    /// What is worth knowing.
    pub warnings: Vec<String>,
    /// Milliseconds that looking at everything took, beside the command.
    pub looked_for_ms: u64,
}

/// How the command was kept away from production.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isolation {
    /// It ran in a network namespace that reaches only the copy.
    pub namespace: bool,
    /// Why it did not.
    pub why_not: Option<String>,
    /// Variables that named production, and led to the copy instead; their names alone.
    pub rewritten: Vec<String>,
    /// Files that name production, and were judged to be harmless, with the reason.
    pub harmless: Vec<String>,
    /// The tracking table of production that was locked against writing meanwhile.
    pub held: Option<String>,
    /// Whether production's sessions were watched, and its schema and tracking rows compared.
    pub watched: bool,
}

/// What the migration tool recorded on the copy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackingGrowth {
    /// The tracking table; `None` where there is none that holdpoint knows.
    pub table: Option<String>,
    /// The migrations that were pending.
    pub pending: Vec<String>,
    /// Those that were recorded.
    pub recorded: Vec<String>,
    /// Whether they are the same; `None` where nobody can say.
    pub exact: Option<bool>,
}

/// How locks were looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampling {
    /// How often `pg_locks` was read.
    pub samples: u64,
    /// Microseconds between two looks, in the middle.
    pub every_us: u64,
    /// The longest time between two looks: what was held for less may have been missed.
    pub longest_gap_us: u64,
    /// Locks of every DDL statement were noted as it ended, however short they were.
    pub at_ddl: bool,
}

impl Rehearsal {
    /// Whether it left anything in the copy: schema, rows or large objects.
    pub fn left_something(&self) -> bool {
        !self.objects.is_empty() || self.large_objects.is_some() || self.tables.iter().any(TableEffect::changed)
    }

    /// Cuts every list and text to what is kept, and says in [`Self::not_told`] what that leaves out.
    pub fn bound(&mut self) {
        let mut left_out = Vec::new();
        let isolation = &mut self.isolation;
        cut(&mut isolation.rewritten, "variables", &mut left_out);
        cut(&mut isolation.harmless, "files", &mut left_out);
        cut(&mut self.command, "words of the command", &mut left_out);
        cut(&mut self.tracking.pending, "pending migrations", &mut left_out);
        cut(&mut self.tracking.recorded, "recorded migrations", &mut left_out);
        cut(&mut self.objects, "schema objects", &mut left_out);
        cut(&mut self.invalid_indexes, "invalid indexes", &mut left_out);
        cut(&mut self.sequences, "sequences", &mut left_out);
        cut(&mut self.tables, "tables", &mut left_out);
        for table in &mut self.tables {
            let name = format!("columns of {}", table.table);
            cut(&mut table.columns_added, &name, &mut left_out);
            cut(&mut table.columns_gone, &name, &mut left_out);
            cut(&mut table.columns_renamed, &name, &mut left_out);
            if let Some(changed) = &mut table.columns_changed {
                table.columns_sampled |= changed.len() > LISTED;
                cut(changed, &name, &mut left_out);
            }
            for text in table.columns_added.iter_mut().chain(&mut table.columns_gone).chain(&mut table.why) {
                shorten(text);
            }
        }
        if let Some(rollback) = &mut self.rollback {
            cut(&mut rollback.ran, "steps of the rollback", &mut left_out);
            cut(&mut rollback.scripts, "scripts of the rollback", &mut left_out);
            cut(&mut rollback.missing, "migrations without a rollback", &mut left_out);
            cut(&mut rollback.lost, "things that the rollback does not bring back", &mut left_out);
            if let Some(took_from) = &mut rollback.took_from {
                cut(took_from, "tables whose rows the rollback takes or changes", &mut left_out);
            }
            let texts = rollback.ran.iter_mut().chain(&mut rollback.missing).chain(&mut rollback.lost);
            texts.chain(&mut rollback.failure).for_each(shorten);
        }
        self.not_told.extend(left_out);
        cut(&mut self.reasons, "reasons", &mut Vec::new());
        cut(&mut self.warnings, "warnings", &mut Vec::new());
        cut(&mut self.not_told, "", &mut Vec::new());
        let lists = [
            &mut self.reasons,
            &mut self.command,
            &mut self.invalid_indexes,
            &mut self.sequences,
            &mut self.not_told,
            &mut self.warnings,
            &mut self.isolation.rewritten,
            &mut self.isolation.harmless,
            &mut self.tracking.pending,
            &mut self.tracking.recorded,
        ];
        lists.into_iter().flatten().chain(&mut self.isolation.why_not).for_each(shorten);
        self.objects.iter_mut().for_each(|object| shorten(&mut object.name));
    }

    /// Whether the rehearsal speaks against running the command on production.
    pub fn is_obstacle(&self) -> bool {
        self.outcome != RehearsalOutcome::AsPlanned
    }
}

fn cut<T>(list: &mut Vec<T>, what: &str, left_out: &mut Vec<String>) {
    if list.len() > LISTED {
        left_out.push(format!("{} more {what} are not listed", list.len() - LISTED));
        list.truncate(LISTED);
    }
}

fn shorten(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(TEXT) {
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rehearsal() -> Rehearsal {
        Rehearsal {
            format: FORMAT,
            point: "20261121T024300Z-k3f9".parse().unwrap(),
            started_at: DateTime::UNIX_EPOCH,
            outcome: RehearsalOutcome::AsPlanned,
            reasons: vec![],
            command: vec!["npm".into()],
            exit_code: Some(0),
            signal: None,
            took_ms: 12,
            measured_on: "local PostgreSQL 18".into(),
            role: "app".into(),
            isolation: Isolation::default(),
            tracking: TrackingGrowth::default(),
            tables: vec![],
            sampling: Sampling::default(),
            major: None,
            objects: vec![],
            invalid_indexes: vec![],
            sequences: vec![],
            large_objects: None,
            rollback: None,
            not_told: vec![],
            warnings: vec![],
            looked_for_ms: 3,
        }
    }

    #[test]
    fn reads_back_and_leaves_out_what_did_not_happen() {
        let table = TableEffect { table: "a.b".into(), rewritten: true, ..TableEffect::default() };
        let whole = Rehearsal {
            tables: vec![table],
            rollback: Some(RollbackEffect { lost: vec!["COLUMN a.b.c".into()], ..RollbackEffect::default() }),
            ..rehearsal()
        };
        let json = serde_json::to_string(&whole).unwrap();
        assert!(json.contains("\"tables\":[{\"table\":\"a.b\",\"rewritten\":true}]"), "{json}");
        assert_eq!(serde_json::from_str::<Rehearsal>(&json).unwrap(), whole);
    }

    #[test]
    fn stays_small_whatever_happened() {
        let long = "ä".repeat(5000);
        let mut large = rehearsal();
        large.warnings = vec![long.clone(); 5000];
        large.command = vec![long.clone(); 500];
        large.objects = vec![
            ObjectEffect {
                name: long.clone(),
                change: ObjectChange::Added,
                before: None,
                after: Some("0".repeat(16))
            };
            500
        ];
        let rollback =
            RollbackEffect { lost: vec![long.clone(); 500], failure: Some(long.clone()), ..RollbackEffect::default() };
        large.rollback = Some(rollback);
        large.tables = vec![TableEffect { why: Some(long), ..TableEffect::default() }; 500];
        large.bound();
        let bytes = serde_json::to_vec(&large).unwrap().len();
        assert!(bytes < 512 << 10, "{bytes}");
        assert_eq!(large.objects.len(), LISTED);
        let told = large.not_told.join("; ");
        assert!(told.contains("400 more schema objects") && told.contains("400 more tables"), "{told}");
    }

    #[test]
    fn the_worst_is_the_greatest() {
        assert!(RehearsalOutcome::Escaped > RehearsalOutcome::TimedOut);
        assert!(!rehearsal().is_obstacle());
        let failed = Rehearsal { outcome: RehearsalOutcome::Failed, ..rehearsal() };
        assert!(failed.is_obstacle());
    }
}
