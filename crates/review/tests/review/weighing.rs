//! Policy and waivers.

use holdpoint_core::gate::Policy;
use holdpoint_core::verification::Level;
use holdpoint_review::{Requirement, RiskClass, RiskPolicy, Waiver, assess};

use crate::shown::of;

const DAY: i64 = 24 * 60 * 60;

fn proven(max_age_seconds: i64) -> Requirement {
    Requirement::ProvenRestorePoint(Policy { level: Level::Full, max_age_seconds })
}

fn waiver(rule: RiskClass, object: Option<&str>, reason: &str) -> Waiver {
    Waiver { rule, object: object.map(str::to_owned), reason: reason.to_owned() }
}

#[test]
fn the_default_asks_for_what_the_risk_needs() {
    for (sql, asked) in [
        ("create table t (id int)", proven(7 * DAY)),
        ("select 1", proven(7 * DAY)),
        ("insert into t values (1)", proven(7 * DAY)),
        ("alter table t add a int", proven(DAY)),
        ("create index concurrently on t (a)", proven(DAY)),
        ("grant select on t to public", proven(DAY)),
        ("drop table t", proven(0)),
        ("update t set a = 1 where b = 2", proven(0)),
        ("select unknown_function()", proven(0)),
        ("alter type t add value 'x'", proven(0)),
        ("drop owned by r", Requirement::Refuse),
        ("create table t (id int); drop table t", proven(DAY)),
        ("-- nothing", Requirement::Nothing),
    ] {
        let assessment = assess(&of(sql), &RiskPolicy::default(), &[], None);
        assert_eq!(assessment.requirement, asked, "{sql}: {:?}", assessment.risks);
    }
}

#[test]
fn only_a_waiver_with_a_reason_and_the_right_object_lets_a_risk_pass() {
    let review = of("drop table orders; reassign owned by ann to bob;");
    let policy = RiskPolicy::default();
    let server_wide = waiver(RiskClass::ServerWide, Some("ann"), "agreed");
    let assessment = assess(&review, &policy, std::slice::from_ref(&server_wide), None);
    assert_eq!(assessment.requirement, Requirement::Refuse, "the other role's objects stay");
    assert!(assessment.unused.is_empty());
    let all = waiver(RiskClass::ServerWide, None, "agreed");
    assert_eq!(assess(&review, &policy, &[all], None).requirement, proven(0), "the other risk stays");
    for wrong in [
        waiver(RiskClass::ServerWide, Some("ann"), "  "),
        waiver(RiskClass::ServerWide, Some("other"), "agreed"),
        waiver(RiskClass::DestroysData, Some("ann"), "agreed"),
    ] {
        let assessment = assess(&review, &policy, &[wrong], None);
        assert_eq!((assessment.requirement, assessment.unused), (Requirement::Refuse, vec![0]));
    }
    let waived = assess(&review, &policy, &[server_wide], None);
    assert!(waived.risks.iter().any(|risk| risk.waived.as_deref() == Some("agreed")), "the reason is recorded");
}

#[test]
fn a_policy_that_names_some_classes_keeps_the_default_for_the_rest() {
    let policy: RiskPolicy = serde_json::from_str(r#"{"requirements": {"changes_data": "warn"}}"#).expect("a policy");
    assert_eq!(assess(&of("update t set a = 1"), &policy, &[], None).requirement, Requirement::Warn);
    assert_eq!(assess(&of("drop table t"), &policy, &[], None).requirement, proven(0));
    assert!(serde_json::from_str::<Waiver>(r#"{"rule": "access", "reason": "x", "ojbect": "t"}"#).is_err());
}
