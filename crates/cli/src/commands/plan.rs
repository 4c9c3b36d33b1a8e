//! `holdpoint plan`.

use std::io::Read as _;
use std::path::Path;

use holdpoint_guard::plan::{Facts, KnownFrom, Project, markdown, plan};
use holdpoint_guard::tools::{Choice, Tool, ToolName};
use holdpoint_guard::{applied_by_runs, changed_since, who_migrates};
use holdpoint_postgres::{Session, SessionPurpose};

use super::printed;
use crate::arguments::PlanArguments;
use crate::failure::Failure;
use crate::invocation::{Invocation, now};
use crate::output;
use crate::settings::ChosenConnection;
use holdpoint::exit_code;

/// An export has names and definitions only.
const LIMIT_BYTES: u64 = 256 << 20;

pub(super) async fn run(invocation: &Invocation, arguments: &PlanArguments) -> Result<u8, Failure> {
    if arguments.markdown && invocation.output.json {
        return Err(Failure::usage("--markdown and --json are two forms of one report", "choose one"));
    }
    let settings = &invocation.settings;
    let options = settings.plan_options(&arguments.project, &arguments.waivers);
    let mut choice = settings.choice(&arguments.project);
    let exported = arguments.offline.as_deref().map(exported).transpose()?;
    if let Some(facts) = &exported {
        schema_of_export(facts, &mut choice);
    }
    let project = Project::open(&settings.project(&arguments.project)?, &choice).map_err(failed)?;
    let (facts, from) = match exported {
        Some(facts) => (Some(facts), KnownFrom::Export),
        None if arguments.without_database => (None, KnownFrom::Files),
        None => (Some(asked(invocation, &project).await?), KnownFrom::Database),
    };
    if let (Some(path), Some(facts)) = (&arguments.export, &facts) {
        let text = facts.to_json().map_err(failed)?;
        let written = std::fs::write(path, text + "\n");
        written.map_err(|source| Failure::Io { what: format!("writing {}", path.display()), source })?;
    }
    let report = plan(&project, facts.as_ref(), from, &options, &invocation.cancel).await.map_err(failed)?;
    if arguments.markdown {
        printed(invocation.output.text(markdown(&report).trim_end_matches('\n')))?;
    } else {
        printed(invocation.output.report(&report, output::migration_plan))?;
    }
    Ok(if report.verdict >= arguments.fail_on.verdict() { exit_code::FINDINGS } else { exit_code::DONE })
}

pub(super) fn failed(error: holdpoint_guard::tools::Error) -> Failure {
    holdpoint_guard::Error::from(error).into()
}

/// Prisma's table lies in the schema of a URL, and offline there is none.
fn schema_of_export(facts: &Facts, choice: &mut Choice) {
    if let (ToolName::Prisma, Some(table), None) = (facts.tool, &facts.table, &choice.table) {
        choice.url_schema = Some(table.schema.clone());
    }
}

fn exported(path: &Path) -> Result<Facts, Failure> {
    let cannot = |source| {
        // Typed by a person: a file that is not there is no defect.
        let hint = "write one where the database can be reached: holdpoint plan --export FILE";
        Failure::usage(format!("{} cannot be read: {source}", path.display()), hint)
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(LIMIT_BYTES).read_to_end(&mut bytes).map_err(cannot)?;
    Facts::from_json(&bytes).map_err(failed)
}

/// Asks the database as the role that migrates: its search path decides what names mean.
pub(super) async fn asked(invocation: &Invocation, project: &Project) -> Result<Facts, Failure> {
    let chosen = connection(invocation)?;
    for warning in chosen.settings.warnings() {
        tracing::warn!("{}: {warning}", chosen.from);
    }
    let read = async {
        let session = Session::connect(&chosen.settings, &SessionPurpose::new("holdpoint plan")).await?;
        let facts = Facts::read(project, &session, now()).await;
        if facts.is_ok() {
            match who_migrates(&session, &project.found).await {
                Ok(Some(holder)) => tracing::warn!("somebody is migrating with {} right now: {holder}", holder.tool),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "the tool's own lock could not be looked for"),
            }
        }
        session.close().await;
        facts
    };
    let mut facts = tokio::select! {
        facts = read => facts.map_err(failed)?,
        () = invocation.cancel.cancelled() => return Err(holdpoint_operations::Error::Interrupted.into()),
    };
    if project.found.tool == Tool::PlainSql {
        take_ledger(invocation, &mut facts).await;
    }
    Ok(facts)
}

/// Takes what the ledger knows of a folder without a tool. A plan needs no repository and nothing that makes backups, so
/// without them that is not known, which is said.
async fn take_ledger(invocation: &Invocation, facts: &mut Facts) {
    let read = async {
        let context = invocation.context(false).await?;
        let applied = applied_by_runs(&context).await?;
        Ok::<_, Failure>((context, applied))
    };
    let (context, applied) = match read.await {
        Ok((context, Some(applied))) => (context, applied),
        Ok((_, None)) => return,
        Err(failure) => {
            tracing::warn!("what guarded runs applied is not known: {failure}");
            return;
        }
    };
    facts.take_applied(Some(&applied.files));
    facts.applied_in_part_by = applied.in_part_by();
    facts.without_evidence = applied.without_evidence();
    let compared = async { Ok::<_, Failure>(changed_since(&context, &invocation.source()?, Some(&applied)).await?) };
    match compared.await {
        Ok(changed) => facts.schema_changed_since = changed,
        Err(failure) => {
            tracing::warn!("whether the schema is as run {} left it is not known: {failure}", applied.run);
        }
    }
}

pub(super) fn connection(invocation: &Invocation) -> Result<ChosenConnection, Failure> {
    invocation.settings.migrating().map_err(|failure| match failure {
        Failure::Usage { message, hint } => {
            Failure::usage(message, format!("{hint}; without a database: --offline FILE, or --without-database"))
        }
        other => other,
    })
}
