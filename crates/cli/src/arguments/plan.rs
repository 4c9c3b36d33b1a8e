//! Flags of `plan`, and those by which every verb finds a project's migrations.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use holdpoint_guard::plan::Verdict;
use holdpoint_guard::tools::{TableName, ToolName};
use holdpoint_review::Waiver;

/// Flags of `plan`.
#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is run and nothing is written: neither the project's code nor the database is touched.
Ends with 0, or with 15 where the plan comes to what --fail-on names, or worse.

Examples:
  holdpoint plan
  holdpoint plan --database shop --json
  holdpoint plan --tool prisma --migrations db/migrations
  holdpoint plan --pending-cmd './bin/pending'
  holdpoint plan --export facts.json
  holdpoint plan --offline facts.json --markdown
  holdpoint plan --waive destroys_data:public.legacy='copied to the archive, ticket 4711'")]
pub(crate) struct PlanArguments {
    #[command(flatten)]
    pub(crate) project: ProjectArguments,
    /// Print the plan as Markdown, for a pull request.
    #[arg(long)]
    pub(crate) markdown: bool,
    /// Take tracking table and catalog from this file, which --export wrote; no database is asked.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["export", "without_database"])]
    pub(crate) offline: Option<PathBuf>,
    /// Write tracking table and catalog into this file too: definitions, sizes and names of migrations, no rows.
    #[arg(long, value_name = "FILE", conflicts_with = "without_database")]
    pub(crate) export: Option<PathBuf>,
    /// Ask no database: all migrations count as pending, and no cascade and no size is known.
    #[arg(long)]
    pub(crate) without_database: bool,
    /// End with 15 where the plan comes to this, or worse.
    #[arg(long, value_enum, value_name = "VERDICT", default_value_t)]
    pub(crate) fail_on: FailOn,
    #[command(flatten)]
    pub(crate) waivers: WaiverArguments,
}

/// What lets a plan end with 15.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// Something to be looked at.
    Look,
    /// A proven restore point is needed, and an older one does.
    RestorePoint,
    /// A restore point has to be made for the run, and proven: data may be lost.
    #[default]
    NewRestorePoint,
    /// Something that only a waiver lets pass.
    Refused,
    /// The tool would refuse, or do something else than the files say.
    Stopped,
}

impl FailOn {
    /// The verdict that it names.
    pub(crate) fn verdict(self) -> Verdict {
        match self {
            Self::Look => Verdict::Look,
            Self::RestorePoint => Verdict::RestorePoint,
            Self::NewRestorePoint => Verdict::NewRestorePoint,
            Self::Refused => Verdict::Refused,
            Self::Stopped => Verdict::Stopped,
        }
    }
}

/// Flags by which a project's migrations are found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Migrations")]
pub(crate) struct ProjectArguments {
    /// Look for the migration tool in this folder [default: migrations.project, or here].
    #[arg(long, value_name = "DIR")]
    pub(crate) project: Option<PathBuf>,
    /// Take this tool: drizzle, prisma, flyway, node-pg-migrate or plain-sql.
    #[arg(long, value_name = "TOOL")]
    pub(crate) tool: Option<ToolName>,
    /// Take the migrations of this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) migrations: Option<PathBuf>,
    /// Take this tracking table.
    #[arg(long, value_name = "SCHEMA.TABLE")]
    pub(crate) migrations_table: Option<TableName>,
    /// Run this by the shell: it prints one pending migration file a line.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) pending_cmd: Option<String>,
    /// For a folder without a tool: the database has all files up to this one, or none.
    #[arg(long, value_name = "FILE")]
    pub(crate) applied_through: Option<String>,
}

/// Risks that somebody takes.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct WaiverArguments {
    /// Take a risk, and say why: a class of risk, or it for one object alone; recorded.
    #[arg(long = "waive", value_name = "CLASS[:OBJECT]=REASON", value_parser = waiver)]
    pub(crate) waive: Vec<Waiver>,
}

fn waiver(text: &str) -> Result<Waiver, String> {
    let form = "is CLASS=REASON or CLASS:OBJECT=REASON, such as destroys_data:public.legacy='copied, ticket 4711'";
    let (what, reason) = text.split_once('=').ok_or(form)?;
    let (class, object) = what.split_once(':').map_or((what, None), |(class, object)| (class, Some(object)));
    let rule = class.trim().replace('-', "_");
    let rule = serde_json::from_value(serde_json::Value::String(rule))
        .map_err(|_| format!("{class} is no class of risk: see docs/review.md"))?;
    match (reason.trim(), object.map(str::trim)) {
        ("", _) => Err("say in words why the risk is taken".to_owned()),
        (_, Some("")) => Err(form.to_owned()),
        (reason, object) => Ok(Waiver { rule, object: object.map(str::to_owned), reason: reason.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiver_has_a_class_and_a_reason() {
        let read = waiver("destroys-data:public.a=x=y").unwrap();
        assert_eq!((read.object.as_deref(), read.reason.as_str()), (Some("public.a"), "x=y"));
        assert_eq!(waiver("server_wide = agreed").unwrap().reason, "agreed");
        for wrong in ["destroys_data", "destroys_data=", "destroys_data= ", "other=x", "destroys_data:=x", "=x"] {
            assert!(waiver(wrong).is_err(), "{wrong}");
        }
    }
}
