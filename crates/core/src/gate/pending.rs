//! The gate over pending migrations: what their risks ask for, against the restore points that are there.

use std::fmt;

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use super::{Candidate, Policy};
use crate::identity::IdentityMatch;
use crate::risk::{Requirement, RiskClass, RiskPolicy};
use crate::{PointId, PointKind};

/// A risk that the pending migrations have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// Its class.
    pub class: RiskClass,
    /// Where, as people find it: `0014_drop.sql:3`.
    pub place: String,
    /// The reason of the waiver that lets it pass; a blank one is none.
    pub waived: Option<String>,
}

/// Whether a restore point recorded the schema as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "schema", content = "first")]
pub enum SchemaSince {
    /// It did.
    Unchanged,
    /// It did not; what differs first, in words.
    Changed(String),
    /// Nobody compared them: then it is not relied on.
    NotCompared,
}

/// A restore point, with what only a look at the database tells.
#[derive(Clone, Debug)]
pub struct Point {
    /// The point.
    pub candidate: Candidate,
    /// Whether it was made of this database.
    pub identity: IdentityMatch,
    /// Whether the schema is unchanged since.
    pub schema: SchemaSince,
    /// What of it is not in the repository any more, in words.
    pub lost: Option<String>,
}

/// The instants that the server can be brought back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The first.
    pub earliest: DateTime<Utc>,
    /// The last; it lags behind now by minutes.
    pub latest: DateTime<Utc>,
}

/// What is asked of the point-in-time window before an older restore point is relied on, and before the command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WindowPolicy {
    /// Whether there must be one that covers now. A point that is made for the run needs none.
    pub required: bool,
    /// How far its end may lag behind now, in seconds, to cover it.
    pub max_lag_seconds: i64,
    /// How long a run waits, right before its command, until the window reaches the instant that it noted, in seconds; it
    /// is refused after that. 0 for no wait: then the instant can be restored some minutes after the command began.
    pub wait_seconds: u64,
}

impl Default for WindowPolicy {
    /// Not required, nor waited for: most servers have none. RDS lags by about five minutes.
    fn default() -> Self {
        Self { required: false, max_lag_seconds: 600, wait_seconds: 0 }
    }
}

/// Everything that the gate looks at.
#[derive(Clone, Debug)]
pub struct Pending<'a> {
    /// How many migrations are pending; none where nobody can say, and then they count as unreviewable.
    pub migrations: Option<usize>,
    /// Their risks.
    pub asked: &'a [Asked],
    /// What is asked for each class of risk.
    pub policy: &'a RiskPolicy,
    /// What is asked of the point-in-time window.
    pub window_policy: WindowPolicy,
    /// The restore points that are there.
    pub points: &'a [Point],
    /// The point-in-time window, where the server has one.
    pub window: Option<Window>,
    /// The source server's clock.
    pub now: DateTime<Utc>,
}

/// What the gate decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "decision")]
pub enum Decision {
    /// The migration may start.
    Go {
        /// The restore point that it relies on; none where nothing is pending, or nothing is asked for.
        point: Option<PointId>,
        /// Why.
        reasons: Vec<String>,
        /// What going back would lose, way by way.
        losses: Vec<String>,
    },
    /// A restore point has to be made and proven first.
    MakeRestorePoint {
        /// How far it must be proven.
        policy: Policy,
        /// What asks for it, and why no restore point that is there will do.
        reasons: Vec<String>,
    },
    /// Only a waiver lets it pass.
    Refuse {
        /// Why.
        reasons: Vec<String>,
    },
}

/// How many restore points say why they will not do.
const TOLD: usize = 5;

/// Decides whether pending migrations may start.
///
/// Nothing pending is *go* at once, whatever else is the case. Of all risks that are not waived the strictest level and
/// the smallest age count; whether it is an archive or a snapshot of the instance, the worst of them decides. Every decision has a reason.
pub fn decide(pending: &Pending<'_>) -> Decision {
    if pending.migrations == Some(0) {
        return Decision::Go { point: None, reasons: vec!["nothing is pending".to_owned()], losses: Vec::new() };
    }
    let asked = asked(pending);
    let requirement = |one: &Asked| pending.policy.requirement(one.class);
    let mut reasons: Vec<String> = asked.iter().filter_map(waived).collect();
    let open: Vec<&Asked> = asked.iter().filter(|one| waived(one).is_none()).collect();
    let all = open.iter().fold(Requirement::Nothing, |all, one| all.and(requirement(one)));
    match all {
        Requirement::Refuse => {
            let refused = open.into_iter().filter(|one| requirement(one) == Requirement::Refuse);
            reasons.extend(refused.map(|one| format!("{one} is refused, unless a waiver with a reason lets it pass")));
            Decision::Refuse { reasons }
        }
        Requirement::Nothing | Requirement::Warn => {
            let warned = open.into_iter().filter(|one| requirement(one) == Requirement::Warn);
            reasons.extend(warned.map(|one| format!("{one} asks for no restore point, but for a look")));
            if reasons.is_empty() {
                reasons.push("the policy asks for nothing".to_owned());
            }
            Decision::Go { point: None, reasons, losses: Vec::new() }
        }
        Requirement::ProvenRestorePoint(policy) => {
            reasons.extend(why(&open, policy, requirement));
            reasons.extend(of_the_other_kind(&open, policy, requirement));
            choose(pending, policy, reasons)
        }
    }
}

/// The risks that count: what nobody can list is unreviewable, and whatever runs adds something.
fn asked(pending: &Pending<'_>) -> Vec<Asked> {
    let mut asked = pending.asked.to_vec();
    let more = |class, place: &str| Asked { class, place: place.to_owned(), waived: None };
    let unread = |one: &Asked| one.class == RiskClass::Unreviewable && waived(one).is_none();
    if pending.migrations.is_none() && !asked.iter().any(unread) {
        asked.push(more(RiskClass::Unreviewable, "the list of pending migrations"));
    } else if asked.is_empty() {
        asked.push(more(RiskClass::Additive, "the pending migrations"));
    }
    asked.sort_by(|one, other| (one.class, &one.place).cmp(&(other.class, &other.place)));
    asked
}

fn waived(asked: &Asked) -> Option<String> {
    let reason = asked.waived.as_deref().map(str::trim).filter(|reason| !reason.is_empty())?;
    Some(format!("{asked} is waived: {reason}"))
}

/// The risks that make the policy as strict as it is.
fn why(open: &[&Asked], policy: Policy, requirement: impl Fn(&Asked) -> Requirement) -> Option<String> {
    let strictest = |one: &&&Asked| match requirement(one) {
        Requirement::ProvenRestorePoint(own) => {
            own.kind() == policy.kind() && (own.max_age_seconds == policy.max_age_seconds || own.level == policy.level)
        }
        _ => false,
    };
    let one = open.iter().filter(strictest).min_by_key(|one| match requirement(one) {
        Requirement::ProvenRestorePoint(own) => own.max_age_seconds,
        _ => i64::MAX,
    })?;
    Some(match policy.max_age_seconds {
        ..=0 => format!("{one} asks for a restore point made for this run and proven at level {}", policy.level),
        age => format!("{one} asks for a restore point proven at level {} and at most {age} s old", policy.level),
    })
}

/// That a risk asks for a restore point of the other kind, where a worse one decides which it is.
fn of_the_other_kind(open: &[&Asked], policy: Policy, requirement: impl Fn(&Asked) -> Requirement) -> Option<String> {
    let level = |one: &Asked| match requirement(one) {
        Requirement::ProvenRestorePoint(own) if own.kind() != policy.kind() => Some(own.level),
        _ => None,
    };
    let (one, level) = open.iter().find_map(|one| Some((one, level(one)?)))?;
    Some(format!("{one} asks for level {level}, and goes by what the worse risk asks for"))
}

/// The newest restore point that will do.
fn choose(pending: &Pending<'_>, policy: Policy, mut reasons: Vec<String>) -> Decision {
    // Those of the other kind would only be told as what they are.
    let of_kind = |one: &&Point| one.candidate.kind == policy.kind();
    let mut newest_first: Vec<&Point> = pending.points.iter().filter(of_kind).collect();
    let there_is_none = newest_first.is_empty();
    newest_first.sort_by_key(|one| (std::cmp::Reverse(one.candidate.snapshot_at), one.candidate.point.clone()));
    let mut told = 0;
    for one in newest_first {
        let id = &one.candidate.point;
        match refuse(pending, &policy, one) {
            None => {
                let age = (pending.now - one.candidate.snapshot_at).num_seconds();
                reasons.push(format!("{id} is proven ({}) and {age} s old", super::level(one.candidate.standing)));
                let losses = losses(pending, id, age);
                return Decision::Go { point: Some(id.clone()), reasons, losses };
            }
            Some(reason) if told < TOLD => {
                told += 1;
                reasons.push(format!("{id}: {reason}"));
            }
            Some(_) => {}
        }
    }
    match policy.kind() {
        PointKind::Archive => {
            if there_is_none {
                reasons.push("there is no restore point yet".to_owned());
            }
            Decision::MakeRestorePoint { policy, reasons }
        }
        // To make and prove one takes an instance, which costs: a person or a schedule does that before.
        PointKind::RdsSnapshot => {
            let none =
                if there_is_none { "there is no restore point yet that is a snapshot" } else { "no snapshot does" };
            reasons.push(format!("{none}, and no run makes one: holdpoint rds snapshot create, then holdpoint verify"));
            Decision::Refuse { reasons }
        }
    }
}

fn refuse(pending: &Pending<'_>, policy: &Policy, one: &Point) -> Option<String> {
    match &one.identity {
        IdentityMatch::Same => {}
        IdentityMatch::TimelineChanged => return Some("the server is on another timeline since".to_owned()),
        IdentityMatch::Different(differences) => {
            return Some(format!("of another database: {}", differences.join(", ")));
        }
    }
    if let Some(reason) = super::refuse(policy, &one.candidate, pending.now) {
        return Some(reason);
    }
    if let Some(lost) = &one.lost {
        return Some(format!("not whole in the repository: {lost}"));
    }
    match &one.schema {
        SchemaSince::Unchanged => {}
        SchemaSince::Changed(first) => return Some(format!("the schema changed since, such as {first}")),
        SchemaSince::NotCompared => return Some("the schema was not compared with now".to_owned()),
    }
    // Rows written since a snapshot come back by the window alone.
    let needs_window = pending.window_policy.required || one.candidate.kind == PointKind::RdsSnapshot;
    if needs_window && covering(pending).is_none() {
        return Some(match pending.window {
            None => "older than now, and no point-in-time window covers what was written since".to_owned(),
            Some(window) => format!("older than now, and the point-in-time window ends at {}", window.latest),
        });
    }
    None
}

/// The point-in-time window, where it covers now.
fn covering(pending: &Pending<'_>) -> Option<Window> {
    let lag = Duration::seconds(pending.window_policy.max_lag_seconds);
    let covers = |window: &Window| window.earliest <= window.latest && pending.now - window.latest <= lag;
    pending.window.filter(|window| covers(window) && window.earliest <= pending.now)
}

fn losses(pending: &Pending<'_>, point: &PointId, age: i64) -> Vec<String> {
    let by_point = format!("going back to {point} loses what was written since its snapshot, {age} s ago");
    let by_instant = match covering(pending) {
        Some(window) => {
            let lag = (pending.now - window.latest).num_seconds().max(0);
            format!("going back to an instant loses what was written after it, and the newest instant is {lag} s ago")
        }
        None => "no point-in-time window covers now".to_owned(),
    };
    vec![by_point, by_instant]
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.class.word(), self.place)
    }
}

#[cfg(test)]
mod tests;
