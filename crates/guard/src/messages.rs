//! What is sent to whoever wants to know of a run: that its command begins, and how it ended.

use holdpoint_core::ledger::{JudgementRecord, RunState};

use crate::ending::Undone;
use crate::guarded::Guarded;
use crate::ledger_writer::LedgerWriter;
use crate::run::WayBack;
use crate::running::notify::Message;
use crate::undo::{UndoEnd, UndoReport};

impl Guarded<'_> {
    /// Tells that the command begins; why nobody could be told, in words.
    pub(crate) async fn tell_start(&self, ledger: &LedgerWriter<'_>) -> Option<String> {
        let to = self.preparation.options.run.notify.as_ref()?;
        self.message("started", ledger, RunState::Running).send(to, &self.mask).await
    }

    /// A message with what is known of the run.
    pub(crate) fn message(&self, event: &'static str, ledger: &LedgerWriter<'_>, state: RunState) -> Message {
        let options = self.preparation.options;
        let database = self.preparation.context.database.to_string();
        let command = self.mask.command(&options.command);
        Message::new(event, ledger.run().as_str(), &database, state, command)
            .by(options.operator.as_deref().map(|text| self.mask.script(text)))
            .relying_on(ledger.point().map(ToString::to_string))
    }

    /// Tells how it all ended.
    #[expect(clippy::too_many_arguments, reason = "everything that a message tells")]
    pub(crate) async fn tell_end(
        &self,
        ledger: &LedgerWriter<'_>,
        state: RunState,
        undone: Option<&Undone>,
        judgement: &JudgementRecord,
        exit_code: Option<i32>,
        ways_back: &[WayBack],
        warnings: &mut Vec<String>,
    ) {
        let Some(to) = &self.preparation.options.run.notify else { return };
        let mut reasons = judgement.reasons.clone();
        let (state, ways_back) = match undone {
            None => (state, ways_back.to_vec()),
            Some(Ok(report)) if report.end() == UndoEnd::Done => {
                reasons.insert(0, format!("its command failed, and it was undone by {}", report.plan.way.word()));
                (report.state.unwrap_or(state), Vec::new())
            }
            Some(undone) => {
                let (state, why) = match undone {
                    Ok(report) => (report.state.unwrap_or(state), failure(report)),
                    Err(why) => (state, why.clone()),
                };
                reasons.insert(0, format!("the undo failed: {why}"));
                (state, ways_back.to_vec())
            }
        };
        reasons.extend(warnings.iter().filter(|warning| warning.contains("--after")).cloned());
        let message = self.message("ended", ledger, state).because(reasons);
        let message = message.ended(judgement.verdict.words(), exit_code, ways_back);
        warnings.extend(message.send(to, &self.mask).await);
    }
}

/// Why an undo did not come to its end, or what is not as before.
fn failure(report: &UndoReport) -> String {
    let left = report.undo.as_ref().map(|undo| undo.not_as_before.join("; ")).unwrap_or_default();
    report.failure.clone().unwrap_or(left)
}
