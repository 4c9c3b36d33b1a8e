//! `holdpoint guard`.

use std::sync::Arc;

use holdpoint_core::selector::RunSelector;
use holdpoint_core::undoing::Way;
use holdpoint_core::verification::Level;
use holdpoint_core::{DatabaseName, Mask};
use holdpoint_guard::run::{ExitKind, GuardOptions, GuardReport, guard};
use holdpoint_guard::undo::Scripts;
use holdpoint_guard::{OnFailure, Question, Rehearsing, RunOptions};
use holdpoint_operations::backup::BackupOptions;
use holdpoint_operations::rds::RdsSource;
use holdpoint_operations::verify::VerifyOptions;
use holdpoint_operations::{Context, Source};
use holdpoint_postgres::{ConnectionSettings, pooler};

use super::{confirm, printed, rehearse};
use crate::arguments::{GateArguments, GuardArguments, Jobs, OnFailure as Wished, ProjectArguments};
use crate::failure::Failure;
use crate::invocation::{Invocation, Verification, whole};
use crate::output;
use crate::settings::{Purpose, keep_output};
use holdpoint::exit_code;

pub(super) async fn run(invocation: &Invocation, arguments: &GuardArguments) -> Result<u8, Failure> {
    let outcome = report(invocation, arguments).await;
    if let Some(file) = &arguments.summary {
        let text = match &outcome {
            Ok((report, _)) => output::guard_markdown(report),
            Err(failure) => {
                output::not_guarded_markdown(&failure.told(&Mask::default(), invocation.cancel.is_cancelled()))
            }
        };
        // What happened to the database still decides, whoever reads of it.
        if let Err(error) = append(file, &text) {
            tracing::warn!(%error, file = %file.display(), "the summary could not be written");
        }
    }
    Ok(outcome?.1)
}

fn append(file: &std::path::Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    std::fs::File::options().append(true).create(true).open(file)?.write_all(text.as_bytes())
}

async fn report(invocation: &Invocation, arguments: &GuardArguments) -> Result<(GuardReport, u8), Failure> {
    // Before anything long: what cannot be undone then is known now.
    let on_failure = arguments.on_failure.or(invocation.settings.config.guard.on_failure).unwrap_or_default();
    if on_failure == Wished::Restore && arguments.accept_data_loss_since.is_none() {
        let hint = "say since when: --accept-data-loss-since INSTANT; or --on-failure rollback";
        return Err(Failure::usage("a restore after a failure loses what was written since", hint));
    }
    let mut guarding =
        Guarding::new(invocation, &arguments.gate, &arguments.command, arguments.unproven.clone()).await?;
    guarding.options.question = question(invocation, arguments.yes);
    guarding.options.run = invocation.settings.run_options(&arguments.run, guarding.options.operator.clone())?;
    let addresses = [arguments.run.notify.as_deref(), arguments.run.health_url.as_deref()];
    invocation.settings.without_flags(&mut guarding.options.environment, &addresses);
    keep_output(&mut guarding.options.run);
    if let Some(way) = on_failure.way() {
        guarding.options.on_failure = Some(undo_by(invocation, arguments, way)?);
    }
    let Guarding { context, source, verify, backup, options } = &guarding;
    let report = guard(context, source, verify, backup, options).await?;
    if let Err(failure) = printed(invocation.output.report(&report, output::guard_ended)) {
        // What happened to the database still decides, whoever reads of it.
        invocation.output.unprinted(&failure.told(&Mask::default(), false));
    }
    let code = code(&report);
    Ok((report, code))
}

/// What undoes a run that failed.
fn undo_by(invocation: &Invocation, arguments: &GuardArguments, way: Way) -> Result<OnFailure, Failure> {
    let wanted = super::undo::Wanted {
        run: RunSelector::Latest,
        way: Some(way),
        accept_data_loss_since: arguments.accept_data_loss_since,
        scripts: Scripts::LosingNothing,
        compare_limit: None,
        jobs: arguments.gate.limits.jobs.and_then(Jobs::number),
    };
    let undo = super::undo::options(invocation, &arguments.gate.project, wanted)?;
    let mask = super::runs::mask(invocation);
    let told = move |error: holdpoint_guard::Error| {
        let told = Failure::from(error).told(&mask, false);
        let hint = told.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{}{hint}", told.message)
    };
    let (next, ending) = (invocation.next_signal.clone(), invocation.ending.clone());
    // Whoever interrupted the command did not interrupt its undo, which has all of the time again.
    let goes_on = move || {
        let token = next.renew();
        ending.renew(token.clone());
        token
    };
    Ok(OnFailure { undo, told: Arc::new(told), cancel: Some(Arc::new(goes_on)) })
}

/// What `guard` and `prepare` work with.
pub(super) struct Guarding {
    pub(super) context: Context,
    pub(super) source: Source,
    pub(super) verify: VerifyOptions,
    pub(super) backup: BackupOptions,
    pub(super) options: GuardOptions,
}

impl Guarding {
    /// Reads flags and file, cheap things first; keeps stdout for the report.
    pub(super) async fn new(
        invocation: &Invocation,
        arguments: &GateArguments,
        command: &[String],
        unproven: Option<String>,
    ) -> Result<Self, Failure> {
        let settings = &invocation.settings;
        let repository = settings.repository()?;
        settings.demand_lasting(&repository, arguments.allow_local_repository)?;
        let policy = settings.gate_policy(arguments);
        let verify = invocation.verify_options(&Verification {
            level: policy.highest_level().unwrap_or(Level::Stored),
            scratch_url: arguments.scratch_url.as_deref(),
            replace_missing_locale: arguments.replace_missing_locale,
            jobs: arguments.limits.jobs.and_then(Jobs::number),
            sample: None,
            restore_as: None,
        })?;
        let mut backup = whole(arguments.compress, settings.limits(&arguments.limits));
        backup.retain_until = invocation.retain_until();
        let source = invocation.source()?;
        warn_of_another_database(invocation, &source);
        let migrations = settings.migrations(arguments, command)?;
        let context = invocation.context(true).await?;
        let options = GuardOptions {
            command: command.to_vec(),
            environment: settings.child_environment(!repository.url.is_local()),
            migrations,
            policy,
            window_policy: settings.window_policy(),
            rehearsal: rehearsing(invocation, arguments, command)?,
            deadline: arguments.deadline,
            question: None,
            unproven,
            operator: operator(invocation),
            own_flags: own_flags(invocation, &context.database),
            project_flags: project_flags(&arguments.project),
            way_back: way_back(invocation),
            on_failure: None,
            instance: super::rds::instance(invocation).await.unwrap_or_else(|failure| unreached(invocation, &failure)),
            run: RunOptions { origin: settings.origin(operator(invocation)), ..RunOptions::default() },
        };
        invocation.sweep().await;
        invocation
            .output
            .keep_for_the_document()
            .map_err(|source| Failure::Io { what: "keeping stdout for the report".to_owned(), source })?;
        Ok(Self { context, source, verify, backup, options })
    }
}

/// Warns of an RDS instance that cannot be asked for: then there is no such way back, and no window.
fn unreached(invocation: &Invocation, failure: &Failure) -> Option<RdsSource> {
    let told = failure.told(&Mask::default(), false).message;
    invocation.progress.note(&format!("the RDS instance of the database is no way back: {told}"));
    None
}

/// Asks at a terminal; elsewhere nobody could answer, and the policy alone decides.
fn question(invocation: &Invocation, yes: bool) -> Option<Question> {
    let what = "the command would run now, and data may be lost by it";
    if yes || confirm::somebody_is_there(invocation, false, what).is_err() {
        return None;
    }
    let (output, progress) = (invocation.output.clone(), Arc::clone(&invocation.progress));
    Some(Question(Arc::new(move |shown| {
        progress.rest();
        output.aside(&output::before_the_command(shown));
        confirm::answered(what)
    })))
}

/// How the command is rehearsed; no way without a connection of the migrating role past every pooler.
fn rehearsing(
    invocation: &Invocation,
    arguments: &GateArguments,
    command: &[String],
) -> Result<Result<Rehearsing, String>, Failure> {
    if arguments.no_rehearse {
        return Ok(Err("--no-rehearse".to_owned()));
    }
    if let Err(failure) = invocation.settings.migrating() {
        return Ok(Err(format!("how migrations connect is not known: {failure}")));
    }
    let jobs = arguments.limits.jobs.and_then(Jobs::number);
    let options = rehearse::options(invocation, command, &arguments.rehearsal, jobs)?;
    Ok(Ok(Rehearsing { options, unknown_commands: arguments.rehearse, older_proofs: false }))
}

/// A restore point of one database is no way back for another. Only a warning: a pooler may give names of its own.
fn warn_of_another_database(invocation: &Invocation, source: &Source) {
    let Ok(migrates) = invocation.settings.connection(Purpose::Migrate) else { return };
    if migrates.settings.database() != source.settings.database() {
        tracing::warn!(
            "{} names database {}, and the restore point will be of {}",
            migrates.from,
            migrates.settings.database(),
            source.settings.database()
        );
    }
}

/// The migrating role mostly may create databases, which one that only reads may not; a restore needs no pooler.
fn way_back(invocation: &Invocation) -> Option<ConnectionSettings> {
    let migrates = invocation.settings.connection(Purpose::Migrate).ok()?.settings;
    pooler::by_address(&migrates).is_none().then_some(migrates)
}

/// What happened to the database decides, not what the command said of itself.
fn code(report: &GuardReport) -> u8 {
    match report.exit_kind() {
        ExitKind::Done => exit_code::DONE,
        ExitKind::NotRecorded => exit_code::REPOSITORY,
        ExitKind::NothingApplied => exit_code::COMMAND_FAILED,
        ExitKind::AppliedInPart => exit_code::APPLIED_IN_PART,
        ExitKind::Interrupted => exit_code::INTERRUPTED,
        ExitKind::Undone => exit_code::UNDONE,
        ExitKind::WayBackFailed => exit_code::WAY_BACK_FAILED,
    }
}

/// Who runs it and where, in words.
pub(super) fn operator(invocation: &Invocation) -> Option<String> {
    let variables = &invocation.settings.variables;
    let user = ["GITHUB_ACTOR", "GITLAB_USER_LOGIN", "SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| variables.get(name));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let job = ["GITHUB_RUN_ID", "CI_JOB_URL", "BUILD_URL"].iter().find_map(|name| variables.get(name));
    let on = if host.is_empty() { String::new() } else { format!(" on {host}") };
    let by = job.map(|job| format!(", job {job}")).unwrap_or_default();
    let user = user.map_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()), str::to_owned);
    Some(format!("{user}{on}{by}"))
}

/// What `undo` must repeat to find the project again.
pub(super) fn project_flags(project: &ProjectArguments) -> Vec<String> {
    let path =
        |path: &std::path::PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string();
    let named = [
        ("--project", project.project.as_ref().map(path)),
        ("--tool", project.tool.map(|tool| tool.to_string())),
        ("--migrations", project.migrations.as_ref().map(path)),
        ("--migrations-table", project.migrations_table.as_ref().map(ToString::to_string)),
    ];
    named.into_iter().filter_map(|(flag, value)| Some([flag.to_owned(), value?])).flatten().collect()
}

/// What the way back must repeat to be pasteable in another shell than this one.
pub(super) fn own_flags(invocation: &Invocation, database: &DatabaseName) -> Vec<String> {
    let settings = &invocation.settings;
    let mut flags = Vec::new();
    if let Some(path) = &settings.config.path {
        flags.extend(["--config".to_owned(), path.display().to_string()]);
    }
    flags.extend(["--database".to_owned(), database.to_string()]);
    if let Some(url) = &settings.common.repository {
        flags.extend(["--repository".to_owned(), url.to_string()]);
    }
    flags
}
