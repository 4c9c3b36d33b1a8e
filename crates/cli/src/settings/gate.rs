//! What the gate asks for, and of which migrations.

use holdpoint_core::risk::RiskPolicy;
use holdpoint_guard::plan::Project;
use holdpoint_guard::tools::{Error as ToolsError, Tool};
use holdpoint_guard::{Migrations, ProjectMigrations};
use holdpoint_postgres::pooler;

use super::{ChosenConnection, Purpose, Settings};
use crate::arguments::{GateArguments, ProjectArguments};
use crate::failure::Failure;

impl Settings {
    /// What is asked for each class of risk: the default, the file's `[gate]` for all, its `[risk]` for single ones.
    pub(crate) fn risk_policy(&self) -> RiskPolicy {
        let gate = &self.config.gate;
        let mut policy = RiskPolicy::default().asking(gate.level, gate.max_age.map(seconds));
        policy.requirements.extend(self.config.risk.iter().map(|(class, asked)| (*class, *asked)));
        policy
    }

    /// As [`Self::risk_policy`], with what the flags ask for whatever the risk.
    pub(crate) fn gate_policy(&self, arguments: &GateArguments) -> RiskPolicy {
        self.risk_policy().asking(arguments.level, arguments.max_age.map(seconds))
    }

    /// Where a run learns what is pending: the project's tool, or nowhere.
    ///
    /// # Errors
    /// What was named and cannot be read, and several tools of which none was named.
    pub(crate) fn migrations(&self, arguments: &GateArguments, command: &[String]) -> Result<Migrations, Failure> {
        if arguments.no_plan {
            return Ok(Migrations::Unknown("--no-plan".to_owned()));
        }
        let own = &arguments.project;
        let folder = self.project(own)?;
        let project = match Project::open(&folder, &self.choice(own)) {
            Err(ToolsError::NoTool { .. }) if !self.names_a_project(own) => {
                return Ok(Migrations::Unknown(format!("no migration tool was found in {}", folder.display())));
            }
            opened => opened.map_err(|error| Failure::from(holdpoint_guard::Error::from(error)))?,
        };
        // A tool may be named only to tell it from others; a folder or a list beside the command is meant for it.
        let plain = project.found.tool == Tool::PlainSql && own.migrations.is_some();
        let by_flag = plain || own.pending_cmd.is_some();
        let stated = by_flag || self.config.migrations.commands.iter().any(|line| line.split_whitespace().eq(command));
        let folder = &project.found.migrations;
        if project.found.tool == Tool::PlainSql && !stated && !self.names_a_project(own) {
            // Any project may have one, whatever its migrations are.
            return Ok(Migrations::Unknown(format!("{} holds SQL files, and no tool was found", folder.display())));
        }
        Ok(Migrations::Of(Box::new(ProjectMigrations {
            project,
            options: self.plan_options(own, &arguments.waivers),
            connection: self.migrating()?.settings,
            folder: std::path::absolute(".")
                .map_err(|source| Failure::Io { what: "finding the working directory".to_owned(), source })?,
            stated,
        })))
    }

    /// Whether somebody said that there is a project.
    fn names_a_project(&self, own: &ProjectArguments) -> bool {
        let file = &self.config.migrations;
        let by_flag = own.project.is_some() || own.tool.is_some() || own.migrations.is_some();
        by_flag || file.project.is_some() || file.tool.is_some() || file.directory.is_some()
    }

    /// The URL of migrations, or past a transaction pooler, which keeps no session, the direct one.
    pub(crate) fn migrating(&self) -> Result<ChosenConnection, Failure> {
        let migrates = self.connection(Purpose::Migrate)?;
        if pooler::by_address(&migrates.settings).is_none() {
            return Ok(migrates);
        }
        self.connection(Purpose::Backup)
    }
}

fn seconds(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}
