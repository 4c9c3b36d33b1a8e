//! Classes of risk that a pending migration may have, and what a policy asks for each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::PointKind;
use crate::gate::Policy;
use crate::verification::Level;

/// A class of risk, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RiskClass {
    /// Acts beyond the database, or on all objects of a role.
    ServerWide,
    /// What it does cannot be read.
    Unreviewable,
    /// Rows, columns or tables are gone afterwards.
    DestroysData,
    /// Values of rows change.
    ChangesData,
    /// No statement takes it back.
    NoWayBack,
    /// Cannot run in a transaction: a failure leaves a part.
    NotAtomic,
    /// Writes a table anew, which takes time and space.
    RewritesTable,
    /// Nobody can write to a table meanwhile, or not even read it.
    BlocksTable,
    /// The running application may not know what it meets.
    BreaksApplication,
    /// Changes who may do what, or what happens by itself.
    Access,
    /// Only adds.
    Additive,
}

impl RiskClass {
    /// Every class, the worst first.
    pub const ALL: [Self; 11] = [
        Self::ServerWide,
        Self::Unreviewable,
        Self::DestroysData,
        Self::ChangesData,
        Self::NoWayBack,
        Self::NotAtomic,
        Self::RewritesTable,
        Self::BlocksTable,
        Self::BreaksApplication,
        Self::Access,
        Self::Additive,
    ];

    /// Its stable name, as configuration and `--json` write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::ServerWide => "server_wide",
            Self::Unreviewable => "unreviewable",
            Self::DestroysData => "destroys_data",
            Self::ChangesData => "changes_data",
            Self::NoWayBack => "no_way_back",
            Self::NotAtomic => "not_atomic",
            Self::RewritesTable => "rewrites_table",
            Self::BlocksTable => "blocks_table",
            Self::BreaksApplication => "breaks_application",
            Self::Access => "access",
            Self::Additive => "additive",
        }
    }
}

/// What a policy asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requirement {
    /// Nothing.
    Nothing,
    /// It is said.
    Warn,
    /// A restore point that is proven so far and so young.
    ProvenRestorePoint(Policy),
    /// Only a waiver lets it pass.
    Refuse,
}

impl Requirement {
    /// What satisfies both: of two restore points the level of the one and the age of the other, whichever is stricter. A
    /// snapshot of the instance and an archive are not stricter than each other: it is `self`'s kind that counts, so that what
    /// the worst class asks for is given first.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::ProvenRestorePoint(one), Self::ProvenRestorePoint(other)) if one.kind() != other.kind() => self,
            (Self::ProvenRestorePoint(one), Self::ProvenRestorePoint(other)) => Self::ProvenRestorePoint(Policy {
                level: one.level.max(other.level),
                max_age_seconds: one.max_age_seconds.min(other.max_age_seconds),
            }),
            (one, other) if one.rank() >= other.rank() => one,
            (_, other) => other,
        }
    }

    fn rank(self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::Warn => 1,
            Self::ProvenRestorePoint(_) => 2,
            Self::Refuse => 3,
        }
    }
}

/// What is asked for each class; a class that is not in it has the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RiskPolicy {
    /// By class.
    pub requirements: BTreeMap<RiskClass, Requirement>,
}

impl RiskPolicy {
    /// What is asked for a class.
    pub fn requirement(&self, class: RiskClass) -> Requirement {
        self.requirements.get(&class).copied().unwrap_or_else(|| default_requirement(class))
    }

    /// Gives another level, another age or both to every class that asks for a restore point; what refuses still does.
    #[must_use]
    pub fn asking(&self, level: Option<Level>, max_age_seconds: Option<i64>) -> Self {
        let asked = |class| match self.requirement(class) {
            Requirement::ProvenRestorePoint(own) => Requirement::ProvenRestorePoint(Policy {
                level: level.unwrap_or(own.level),
                max_age_seconds: max_age_seconds.unwrap_or(own.max_age_seconds),
            }),
            other => other,
        };
        Self { requirements: RiskClass::ALL.into_iter().map(|class| (class, asked(class))).collect() }
    }

    /// Whether any class asks for a snapshot of the instance: its proofs count then.
    pub fn asks_for_snapshots(&self) -> bool {
        let asks = |class| {
            matches!(self.requirement(class),
                Requirement::ProvenRestorePoint(policy) if policy.kind() == PointKind::RdsSnapshot)
        };
        RiskClass::ALL.into_iter().any(asks)
    }

    /// The highest level that any class asks an archive to be proven at; *instance* is that of snapshots, which no run makes.
    pub fn highest_level(&self) -> Option<Level> {
        let level = |class| match self.requirement(class) {
            Requirement::ProvenRestorePoint(policy) if policy.level != Level::Instance => Some(policy.level),
            _ => None,
        };
        RiskClass::ALL.into_iter().filter_map(level).max()
    }
}

/// A day, in seconds.
const DAY: i64 = 24 * 60 * 60;

/// The default: whatever may take data asks for a point made for this very run; what only locks or adds goes with an
/// older one, as long as the schema is unchanged since.
fn default_requirement(class: RiskClass) -> Requirement {
    let proven = |max_age_seconds| Requirement::ProvenRestorePoint(Policy { level: Level::Full, max_age_seconds });
    match class {
        RiskClass::ServerWide => Requirement::Refuse,
        RiskClass::Unreviewable | RiskClass::DestroysData | RiskClass::ChangesData | RiskClass::NoWayBack => proven(0),
        RiskClass::NotAtomic
        | RiskClass::RewritesTable
        | RiskClass::BlocksTable
        | RiskClass::BreaksApplication
        | RiskClass::Access => proven(DAY),
        RiskClass::Additive => proven(7 * DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_satisfies_both_is_the_stricter_of_each() {
        let proof = |level, max_age_seconds| Requirement::ProvenRestorePoint(Policy { level, max_age_seconds });
        let both = proof(Level::Full, 600).and(proof(Level::Stored, 0));
        assert_eq!(both, proof(Level::Full, 0));
        assert_eq!(Requirement::Warn.and(both), both);
        assert_eq!(both.and(Requirement::Refuse), Requirement::Refuse);
        assert_eq!(Requirement::Nothing.and(Requirement::Warn), Requirement::Warn);
        // An archive of the run's own cannot be asked of a snapshot, of which no run makes one.
        let snapshot = proof(Level::Instance, 86_400);
        assert_eq!((both.and(snapshot), snapshot.and(both)), (both, snapshot));
    }

    #[test]
    fn another_level_or_age_is_asked_of_all_and_a_refusal_stays() {
        let asked = RiskPolicy::default().asking(Some(Level::Stored), None);
        let of = |class| asked.requirement(class);
        let proof = |max_age_seconds| Requirement::ProvenRestorePoint(Policy { level: Level::Stored, max_age_seconds });
        assert_eq!((of(RiskClass::DestroysData), of(RiskClass::Additive)), (proof(0), proof(7 * DAY)));
        assert_eq!(of(RiskClass::ServerWide), Requirement::Refuse);
        assert_eq!(asked.asking(None, Some(60)).requirement(RiskClass::DestroysData), proof(60));
        assert_eq!(
            (asked.highest_level(), RiskPolicy::default().highest_level()),
            (Some(Level::Stored), Some(Level::Full))
        );
        assert!(!asked.asks_for_snapshots() && !RiskPolicy::default().asks_for_snapshots());
        let snapshots = RiskPolicy::default().asking(Some(Level::Instance), Some(60));
        assert!(snapshots.asks_for_snapshots());
        assert_eq!(snapshots.highest_level(), None, "no archive is asked for");
    }

    #[test]
    fn a_class_that_is_not_named_keeps_its_default() {
        let policy: RiskPolicy = serde_json::from_str(r#"{"requirements": {"changes_data": "warn"}}"#).unwrap();
        assert_eq!(policy.requirement(RiskClass::ChangesData), Requirement::Warn);
        assert_eq!(policy.requirement(RiskClass::ServerWide), Requirement::Refuse);
        for class in RiskClass::ALL {
            assert_eq!(serde_json::to_value(class).unwrap(), class.word());
            assert_eq!(RiskPolicy::default().requirement(class), default_requirement(class));
        }
        assert!(serde_json::from_str::<RiskPolicy>(r#"{"requirement": {}}"#).is_err());
    }
}
