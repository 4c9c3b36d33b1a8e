//! Writing a run's steps into the ledger, and reading what other runs did.

use holdpoint_core::ledger::{
    FORMAT, HookRecord, HookState, HooksRecord, JudgementRecord, MigrationRecord, Origin, OutputRecord, PlanRecord,
    Prepared, Process, RunState, RunStep, SeenTransactions, newest,
};
use holdpoint_core::rehearsal::Rehearsal;
use holdpoint_core::undoing::{Applied as Left, RiskRecord, WayBack};
use holdpoint_core::{Identity, PointId, RunId};
use holdpoint_operations::Context;
use holdpoint_repository::UnreadableStep;

use crate::Error;
use crate::runs::owed;
use crate::state::Change;
use crate::ways_back::Noted;

/// How many runs, newest first, are looked at for what they left.
const LOOKED_AT: usize = 20;

/// The ledger of one run: every step an object of its own that is created once.
///
/// What a step knows, the later ones repeat: each can be read alone.
#[derive(Debug)]
pub(crate) struct LedgerWriter<'a> {
    context: &'a Context,
    step: RunStep,
}

impl<'a> LedgerWriter<'a> {
    /// Begins the ledger of a run; nothing is written yet. Words of `command` must be masked already.
    pub(crate) fn new(
        context: &'a Context,
        run: RunId,
        identity: Identity,
        command: Vec<String>,
        operator: Option<String>,
    ) -> Self {
        let step = RunStep {
            format: FORMAT,
            run,
            n: 0,
            state: RunState::Started,
            at: (context.clock)(),
            identity,
            command,
            point: None,
            wal_position: None,
            instant: None,
            transactions: None,
            exit_code: None,
            signal: None,
            schema_sha256: None,
            operator,
            plan: None,
            prepared: None,
            relies_on_run: None,
            rehearsal: None,
            risk: None,
            ways_back: Vec::new(),
            undo: None,
            settlement: None,
            taken_back: None,
            origin: None,
            process: None,
            command_process: None,
            judgement: None,
            output: None,
            hooks: None,
            remarks: Vec::new(),
        };
        Self { context, step }
    }

    /// The run.
    pub(crate) fn run(&self) -> &RunId {
        &self.step.run
    }

    /// Notes the restore point that the run relies on.
    pub(crate) fn relies_on(&mut self, point: &PointId) {
        self.step.point = Some(point.clone());
    }

    /// The restore point that the run relies on.
    pub(crate) fn point(&self) -> Option<&PointId> {
        self.step.point.as_ref()
    }

    /// Notes what was pending.
    pub(crate) fn planned(&mut self, plan: Option<PlanRecord>) {
        self.step.plan = plan;
    }

    /// Notes until when others may rely on what this run prepared.
    pub(crate) fn offers(&mut self, prepared: Prepared) {
        self.step.prepared = Some(prepared);
    }

    /// Notes what a rehearsal saw: what is expected of production.
    pub(crate) fn rehearsed(&mut self, rehearsal: &Rehearsal) {
        self.step.rehearsal = Some(Box::new(rehearsal.clone()));
    }

    /// Notes the prepared run that this one relies on, and what was expected of it.
    pub(crate) fn relies_on_run(&mut self, run: &RunId, rehearsal: Option<Box<Rehearsal>>) {
        self.step.relies_on_run = Some(run.clone());
        self.step.rehearsal = rehearsal;
    }

    /// Notes the ways back, and what is at risk.
    pub(crate) fn goes_back_by(&mut self, ways: Vec<WayBack>, risk: RiskRecord) {
        self.step.ways_back = ways;
        self.step.risk = Some(risk);
    }

    /// Notes where the server stood right before the command.
    pub(crate) fn stands_at(&mut self, noted: Noted, wal_position: Option<String>) {
        self.step.instant = Some(noted.at);
        self.step.ways_back = self.step.ways_back.iter().map(|way| noted.put_into(way)).collect();
        self.step.wal_position = wal_position;
    }

    /// Notes which transactions the server had seen right before the command, and whether that says a word of what none of its
    /// own takes back.
    pub(crate) fn saw_before(&mut self, before: &str, outlives_transactions: bool) {
        self.step.transactions = Some(SeenTransactions {
            before: before.to_owned(),
            after: None,
            written: None,
            beside: Vec::new(),
            outlives_transactions,
        });
    }

    /// Notes which it had seen once the command had ended, of which tables rows were written meanwhile, and what was changed that
    /// no dump shows, where that could be read.
    pub(crate) fn saw_after(&mut self, change: &Change) {
        if let Some(seen) = &mut self.step.transactions {
            (seen.after, seen.written) = (change.transactions.clone(), change.written.clone());
            seen.beside.clone_from(&change.beside);
        }
    }

    /// Notes where the run came from.
    pub(crate) fn comes_from(&mut self, origin: Origin) {
        self.step.origin = Some(origin).filter(|origin| *origin != Origin::default());
    }

    /// Notes which process works on it.
    pub(crate) fn is_worked_on_by(&mut self, process: Option<Process>) {
        self.step.process = process;
    }

    /// Writes which process leads the group of the command that was just started.
    ///
    /// # Errors
    /// Those of the repository; the number of the step is not used again, because it may have been written all the same.
    pub(crate) async fn command_started(&mut self, leader: Process) -> Result<(), Error> {
        self.step.command_process = Some(leader);
        let n = self.step.n + 1;
        let written = self.write(RunState::Running, Vec::new()).await;
        self.step.n = n;
        written
    }

    /// Notes what runs before and after the command; secrets in the lines must be masked already.
    pub(crate) fn has_hooks(&mut self, before: Option<String>, after: Option<String>) {
        let hooks = HooksRecord { before: before.map(HookRecord::new), after: after.map(HookRecord::new) };
        self.step.hooks = Some(hooks).filter(|hooks| *hooks != HooksRecord::default());
    }

    /// Notes how far what runs before the command is.
    pub(crate) fn before_is(&mut self, state: HookState) {
        if let Some(before) = self.step.hooks.as_mut().and_then(|hooks| hooks.before.as_mut()) {
            before.state = state;
        }
    }

    /// Notes how far what runs after it is.
    pub(crate) fn after_is(&mut self, state: HookState) {
        if let Some(after) = self.step.hooks.as_mut().and_then(|hooks| hooks.after.as_mut()) {
            after.state = state;
        }
    }

    /// The step as it would be written now.
    pub(crate) fn step(&self) -> &RunStep {
        &self.step
    }

    /// Writes a step that leaves the run where it stands.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(crate) async fn remark(&mut self, remarks: Vec<String>) -> Result<(), Error> {
        self.write(self.step.state, remarks).await
    }

    /// Notes what the command did, and where what it wrote is kept.
    pub(crate) fn judged(&mut self, judgement: &JudgementRecord, output: Option<OutputRecord>) {
        self.step.judgement = Some(Box::new(judgement.clone()));
        self.step.output = output;
    }

    /// Notes how the command ended.
    pub(crate) fn ended(&mut self, exit_code: Option<i32>, signal: Option<i32>) {
        self.step.exit_code = exit_code;
        self.step.signal = signal;
    }

    /// Notes the schema as the command left it, where it could be read.
    pub(crate) fn left_schema(&mut self, sha256: Option<String>) {
        self.step.schema_sha256 = sha256;
    }

    /// Writes the next step.
    ///
    /// # Errors
    /// Those of the repository; also when the step is there already, which only happens when two runs have one id.
    pub(crate) async fn write(&mut self, state: RunState, remarks: Vec<String>) -> Result<(), Error> {
        let step = RunStep { n: self.step.n + 1, state, at: (self.context.clock)(), remarks, ..self.step.clone() };
        self.context.repository.record_step(&self.context.database, &step).await?;
        (self.step.n, self.step.state) = (step.n, state);
        Ok(())
    }
}

/// What is applied of a folder without a tool, as the ledger has it.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The run that says so.
    pub run: RunId,
    /// The files, oldest first.
    pub files: Vec<MigrationRecord>,
    /// SHA-256 over the schema as that run left it.
    pub schema_sha256: Option<String>,
    /// Whether the run may have applied some of its own files beside these: a person has to look.
    pub in_part: bool,
    /// Files that the run was to apply, and that nothing shows to have run.
    pub not_shown: Vec<String>,
}

impl Applied {
    /// The files that nothing shows to have run, with the run.
    pub fn without_evidence(&self) -> Vec<(RunId, String)> {
        self.not_shown.iter().map(|path| (self.run.clone(), path.clone())).collect()
    }

    /// The run, where it may have applied some of its own files.
    pub fn in_part_by(&self) -> Option<RunId> {
        self.in_part.then(|| self.run.clone())
    }
}

/// Reads what is applied of a folder without a tool: by the newest run whose command was started with one; `None` where
/// none was. A run that is shown to have left the database unchanged applied nothing, whatever its command said; of one
/// that failed or broke off otherwise, or whose last step cannot be read, nobody knows which of its own files it applied.
///
/// # Errors
/// Those of the repository, also where what a run was to apply cannot be read.
pub async fn applied_by_runs(context: &Context) -> Result<Option<Applied>, Error> {
    let runs = context.repository.runs(&context.database).await?;
    for run in runs.into_iter().rev() {
        let found = context.repository.readable_steps(&context.database, &run).await?;
        let hidden = found.hidden_end().map(|hidden| hidden.state);
        let ran = found.may_have_been(0, &[RunState::Running]);
        if ran && !found.unreadable.is_empty() && found.read.iter().all(|step| step.plan.is_none()) {
            // What it was to apply has to be known: the first that cannot be read is told.
            context.repository.steps(&context.database, &run).await?;
        }
        let steps = found.read;
        // A run that was undone left nothing: what was applied before it is what is applied.
        let end = hidden.unwrap_or_else(|| newest(&steps).map(|step| step.state));
        if end == Some(RunState::Undone) {
            match steps.iter().rev().find_map(|step| step.plan.as_ref()).and_then(|plan| plan.applied.clone()) {
                Some(files) => {
                    return Ok(Some(Applied {
                        run,
                        files,
                        schema_sha256: None,
                        in_part: false,
                        not_shown: Vec::new(),
                    }));
                }
                None => continue,
            }
        }
        let left = match hidden {
            Some(_) => newest(&steps).filter(|_| ran).map(|step| (Left::Unknown, step.clone())),
            None => left_by(steps, ran),
        };
        let Some((left, RunStep { plan: Some(plan), schema_sha256, judgement, .. })) = left else { continue };
        let mut not_shown = judgement.map(|judgement| judgement.not_shown).unwrap_or_default();
        let (files, schema_sha256, in_part) = match left {
            Left::Fully => (plan.applied_afterwards(&not_shown), schema_sha256, false),
            Left::Partly | Left::Unknown => {
                not_shown.clear();
                (plan.applied, None, true)
            }
            Left::Unchanged => continue,
        };
        if let Some(files) = files {
            return Ok(Some(Applied { run, files, schema_sha256, in_part, not_shown }));
        }
    }
    Ok(None)
}

/// What a run left whose command was started, with the step that says so.
///
/// A run that a person settled counts as applied only where its own end said so, and as nothing where it was found
/// unchanged: how it was found otherwise does not say which files ran. Of one that ran on an instance that went out of
/// service nothing is there, whatever its end said.
fn left_by(steps: Vec<RunStep>, ran: bool) -> Option<(Left, RunStep)> {
    if let Some(step) = newest(&steps).filter(|step| step.state == RunState::Settled && step.taken_back.is_some()) {
        return Some((Left::Unchanged, step.clone()));
    }
    if let Some(ended) = steps.iter().find_map(|step| Some((step.left()?, step.clone()))) {
        return Some(ended);
    }
    let step = newest(&steps).filter(|_| ran)?.clone();
    let settled = step.settlement.as_ref().map(|settlement| settlement.found.applied);
    let nothing = step.state == RunState::RolledBack || settled == Some(Left::Unchanged);
    Some((if nothing { Left::Unchanged } else { Left::Unknown }, step))
}

/// What other runs left or did.
#[derive(Debug, Default)]
pub(crate) struct OtherRuns {
    newest: Vec<(RunId, u32)>,
    /// The newest run that succeeded, with SHA-256 over the schema as it left it.
    left: Option<(RunId, String)>,
    /// Runs that nobody has settled.
    pub(crate) unsettled: Vec<RunStep>,
    /// What runs switched on that no newer one switched off, in words.
    pub(crate) owed: Vec<String>,
    /// Steps that cannot be read, in words.
    pub(crate) unreadable: Vec<String>,
}

impl OtherRuns {
    /// Reads the newest runs. A step that cannot be read hides nothing else: where a run's newest cannot, its key says whether
    /// it came to an end.
    ///
    /// # Errors
    /// [`Error::StepUnreadable`] where it did not, or that is not known: its command may be at work; else those of the
    /// repository.
    pub(crate) async fn read(context: &Context) -> Result<Self, Error> {
        let mut found = Self::default();
        let runs = context.repository.runs(&context.database).await?;
        let (mut over, mut schema_hidden) = (false, false);
        for run in runs.into_iter().rev().take(LOOKED_AT) {
            let steps = context.repository.readable_steps(&context.database, &run).await?;
            found.unreadable.extend(steps.unreadable.iter().map(UnreadableStep::words));
            if let Some(hidden) = steps.hidden_end() {
                if matches!(hidden.state, None | Some(RunState::Running | RunState::Undoing)) {
                    let (run, reason) = (run.to_string(), hidden.reason.clone());
                    return Err(Error::StepUnreadable { run, reason });
                }
                // As it left the schema, or took back what others left, nobody knows.
                schema_hidden |= steps.may_have_been(0, &[RunState::Running]);
                found.newest.push((run, hidden.n));
            } else if let Some(step) = steps.newest() {
                found.owed.extend(owed(step).filter(|_| !over));
                over |= step.hooks.as_ref().is_some_and(HooksRecord::is_over);
                found.newest.push((run, step.n));
                if let (RunState::Succeeded, Some(schema), None, false) =
                    (step.state, &step.schema_sha256, &found.left, schema_hidden)
                {
                    found.left = Some((step.run.clone(), schema.clone()));
                }
                if step.state.unsettled() {
                    found.unsettled.push(step.clone());
                }
            }
        }
        Ok(found)
    }

    /// The newest of them.
    pub(crate) fn last(&self) -> Option<&RunId> {
        self.newest.first().map(|(run, _)| run)
    }

    /// The newest run that succeeded, where the schema is another one than it left.
    pub(crate) fn schema_changed_since(&self, schema_sha256: &str) -> Option<&RunId> {
        self.left.as_ref().filter(|(_, left)| left != schema_sha256).map(|(run, _)| run)
    }

    /// Finds a run, other than `own`, whose command was started since this was read.
    pub(crate) async fn ran_since(&self, context: &Context, own: &RunId) -> Result<Option<RunId>, Error> {
        let runs = context.repository.runs(&context.database).await?;
        for run in runs.into_iter().rev().take(LOOKED_AT).filter(|run| run != own) {
            let seen = self.newest.iter().find(|(known, _)| *known == run).map_or(0, |(_, n)| *n);
            let steps = context.repository.readable_steps(&context.database, &run).await?;
            if steps.may_have_been(seen, &[RunState::Running, RunState::Undoing]) {
                return Ok(Some(run));
            }
        }
        Ok(None)
    }
}
