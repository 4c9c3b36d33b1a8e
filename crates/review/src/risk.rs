//! The risks of a finding.

use holdpoint_core::risk::RiskClass;

use crate::{Finding, Kind, Loss, Rewrite};

/// The risks of a finding.
pub(crate) fn of_finding(finding: &Finding) -> Vec<RiskClass> {
    let mut risks = finding.kind.risks().to_vec();
    if finding.unreviewable.is_some() {
        risks.push(RiskClass::Unreviewable);
    }
    // What an earlier statement of the same run made holds nothing that could be lost, and nobody waits for it.
    let writes: Vec<_> = finding.touches.iter().filter(|touch| touch.role == crate::Role::Write).collect();
    let new_only = !writes.is_empty() && writes.iter().all(|touch| touch.made == crate::Made::Yes);
    match finding.loses {
        _ if new_only => {}
        Loss::Nothing | Loss::Definition => {}
        Loss::Unknown => risks.push(RiskClass::Unreviewable),
        Loss::Position | Loss::SomeRows if finding.kind != Kind::DeleteAll => risks.push(match finding.deletes() {
            true => RiskClass::DestroysData,
            false => RiskClass::ChangesData,
        }),
        Loss::Perhaps | Loss::Position | Loss::SomeRows | Loss::Column | Loss::AllRows | Loss::Tables => {
            risks.push(RiskClass::DestroysData);
        }
    }
    if !finding.transactional && finding.kind != Kind::TransactionControl {
        risks.push(RiskClass::NotAtomic);
    }
    let is_new = |table: &crate::ObjectName| {
        finding.touches.iter().any(|touch| touch.table == *table && touch.made == crate::Made::Yes)
    };
    let all_new = !finding.touches.is_empty() && finding.touches.iter().all(|touch| touch.made == crate::Made::Yes);
    if !matches!(finding.rewrite, Rewrite::No | Rewrite::Unknown)
        && !all_new
        && !finding.small
        && finding.kind != Kind::Truncate
    {
        risks.push(RiskClass::RewritesTable);
    }
    if !finding.small && finding.locks.iter().any(|lock| lock.mode.blocks_writes() && !is_new(&lock.table)) {
        risks.push(RiskClass::BlocksTable);
    }
    if risks.is_empty() {
        risks.push(RiskClass::Additive);
    }
    risks.sort();
    risks.dedup();
    risks
}

impl Finding {
    fn deletes(&self) -> bool {
        self.touches.iter().any(|touch| matches!(touch.reach, crate::Reach::Delete | crate::Reach::Truncate { .. }))
    }
}
