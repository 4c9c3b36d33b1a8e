//! What a person sees before the command runs, and the question.

use std::sync::Arc;

use holdpoint_core::gate::pending::Decision;
use holdpoint_core::rehearsal::Rehearsal;
use holdpoint_core::risk::RiskClass;
use serde::Serialize;

use crate::plan::PlanReport;
use crate::proven::Proven;
use crate::run::WayBack;
use crate::tools::Finding;

/// Everything that is known before the command runs.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// What is pending; `None` where no project was read.
    pub plan: Option<PlanReport>,
    /// What the gate decided.
    pub decision: Decision,
    /// What the command did on the copy.
    pub rehearsal: Option<Box<Rehearsal>>,
    /// The ways back, best first.
    pub ways_back: Vec<WayBack>,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}

/// Asks a person whether the command may run; it may take as long as the person does.
#[derive(Clone)]
pub struct Question(pub Arc<dyn Fn(&Shown) -> bool + Send + Sync>);

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Question")
    }
}

impl Proven {
    /// Whether data may be lost, or nobody knows: then a person is asked. A waiver is an answer.
    pub(crate) fn is_grave(&self) -> bool {
        let grave = |class| class <= RiskClass::NoWayBack;
        let unread = self.planned.migrations.is_none();
        unread || self.planned.asked.iter().any(|one| grave(one.class) && one.waived.is_none())
    }

    /// Whether what is pending says already that the schema changed since a run.
    pub(crate) fn told_of_schema(&self) -> bool {
        let told = self.planned.report.iter().flat_map(|report| &report.findings);
        told.into_iter().any(|told| matches!(told.finding, Finding::SchemaChangedSince { .. }))
    }

    /// What a person is shown.
    pub(crate) fn shown(&self) -> Shown {
        Shown {
            plan: self.planned.report.clone(),
            decision: self.decision.clone(),
            rehearsal: self.relied.rehearsal.clone().parts().0,
            ways_back: self.ways_back.clone(),
            warnings: self.relied.warnings.clone(),
        }
    }
}
