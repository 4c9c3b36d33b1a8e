//! What a rehearsal comes to.

use holdpoint_core::rehearsal::{RehearsalOutcome, TrackingGrowth};
use holdpoint_process::Status;

use super::child::{How, Stop};

/// What is known when the command has ended.
pub(super) struct Evidence<'a> {
    pub(super) how: &'a How,
    pub(super) status: Status,
    pub(super) time_limit_seconds: u64,
    pub(super) growth: &'a TrackingGrowth,
    /// A session of the command was seen on the copy.
    pub(super) came_to_the_copy: bool,
    /// It ran in a network of its own.
    pub(super) apart: bool,
    /// What is not on the copy although the pending files say it, where no table of the tool's says what ran.
    pub(super) missing: Vec<String>,
    /// Signs that it reached for production, seen afterwards.
    pub(super) signs: Vec<String>,
}

/// Judges, with reasons where it is not as planned.
pub(super) fn judge(evidence: Evidence<'_>) -> (RehearsalOutcome, Vec<String>) {
    let Evidence { how, status, growth, .. } = evidence;
    let mut reasons = evidence.signs;
    if let How::Stopped(Stop::Escaped(why)) = how {
        reasons.insert(0, why.clone());
    }
    if !reasons.is_empty() {
        reasons.dedup();
        return (RehearsalOutcome::Escaped, reasons);
    }
    let list = |names: &[String]| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    let recorded = || format!("it recorded {}, and {} was pending", list(&growth.recorded), list(&growth.pending));
    match (how, status) {
        (How::TimedOut, _) => {
            reasons.push(format!("it did not end within {} s", evidence.time_limit_seconds));
            (RehearsalOutcome::TimedOut, reasons)
        }
        (_, Status::Code(0)) if growth.exact == Some(false) => {
            reasons.push(recorded());
            // Where did it go? Nothing kept it from production but its variables.
            let elsewhere = growth.recorded.is_empty() && !growth.pending.is_empty() && !evidence.apart;
            if elsewhere && !evidence.came_to_the_copy {
                reasons.push("it never came to the copy, and its network reaches others".to_owned());
                return (RehearsalOutcome::Escaped, reasons);
            }
            (RehearsalOutcome::NotAsPlanned, reasons)
        }
        (_, Status::Code(0)) if !evidence.missing.is_empty() => {
            reasons.push("it ended with success, and not everything is there that its files say".to_owned());
            reasons.extend(evidence.missing);
            (RehearsalOutcome::NotAsPlanned, reasons)
        }
        (_, Status::Code(0)) => (RehearsalOutcome::AsPlanned, reasons),
        (_, status) => {
            reasons.push(format!("the command ended with {status}"));
            if !evidence.came_to_the_copy {
                reasons.push("no session of it was seen on the copy".to_owned());
            }
            (RehearsalOutcome::Failed, reasons)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(how: &How, code: i32, recorded: &[&str], came: bool, apart: bool, signs: &[&str]) -> RehearsalOutcome {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let growth = TrackingGrowth {
            table: Some("t".into()),
            pending: names(&["1"]),
            recorded: names(recorded),
            exact: Some(recorded == ["1"]),
        };
        let evidence = Evidence {
            how,
            status: Status::Code(code),
            time_limit_seconds: 1,
            growth: &growth,
            came_to_the_copy: came,
            apart,
            missing: Vec::new(),
            signs: names(signs),
        };
        judge(evidence).0
    }

    #[test]
    fn success_that_left_a_file_out_is_not_as_planned() {
        let growth = TrackingGrowth::default();
        let evidence = Evidence {
            how: &How::ByItself,
            status: Status::Code(0),
            time_limit_seconds: 1,
            growth: &growth,
            came_to_the_copy: true,
            apart: true,
            missing: vec!["003.sql: three is not there".to_owned()],
            signs: Vec::new(),
        };
        let (outcome, reasons) = judge(evidence);
        assert_eq!(outcome, RehearsalOutcome::NotAsPlanned);
        assert_eq!(reasons[1], "003.sql: three is not there");
    }

    #[test]
    fn any_sign_of_production_beats_success() {
        use RehearsalOutcome::{AsPlanned, Escaped, Failed, NotAsPlanned, TimedOut};
        let by_itself = How::ByItself;
        assert_eq!(of(&by_itself, 0, &["1"], true, true, &[]), AsPlanned);
        assert_eq!(of(&by_itself, 0, &["1"], true, true, &["seen"]), Escaped);
        assert_eq!(of(&How::Stopped(Stop::Escaped("seen".into())), 0, &["1"], true, true, &[]), Escaped);
        assert_eq!(of(&by_itself, 0, &[], true, true, &[]), NotAsPlanned);
        assert_eq!(of(&by_itself, 0, &[], false, true, &[]), NotAsPlanned, "it cannot have gone elsewhere");
        assert_eq!(of(&by_itself, 0, &[], false, false, &[]), Escaped, "nothing says where it went");
        assert_eq!(of(&by_itself, 0, &["1", "2"], true, false, &[]), NotAsPlanned);
        assert_eq!(of(&by_itself, 3, &[], false, false, &[]), Failed);
        assert_eq!(of(&How::TimedOut, 0, &[], true, true, &[]), TimedOut);
    }
}
