//! Which project, which tool, and what is asked of its migrations.

use std::path::{Path, PathBuf};

use holdpoint_core::Mask;
use holdpoint_guard::plan::{PendingCommand, PlanOptions};
use holdpoint_guard::tools::{Choice, ToolName};

use super::{Purpose, Settings};
use crate::arguments::{ProjectArguments, WaiverArguments};
use crate::failure::Failure;

impl Settings {
    /// The project's folder: flag, file, or the working directory.
    pub(crate) fn project(&self, arguments: &ProjectArguments) -> Result<PathBuf, Failure> {
        let folder = arguments.project.as_deref().or(self.config.migrations.project.as_deref());
        let folder = folder.unwrap_or(Path::new("."));
        std::path::absolute(folder)
            .map_err(|source| Failure::Io { what: format!("finding {}", folder.display()), source })
    }

    /// What is said about the tool, by flags and then by the file.
    pub(crate) fn choice(&self, arguments: &ProjectArguments) -> Choice {
        let file = &self.config.migrations;
        let listed = self.pending_command(arguments).is_some().then_some(ToolName::Command);
        // A flag's folder begins where the program is called, the file's at the file.
        let typed =
            arguments.migrations.as_ref().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
        Choice {
            tool: arguments.tool.or(file.tool).or(listed),
            migrations: typed.or_else(|| file.directory.clone()),
            table: arguments.migrations_table.clone().or_else(|| file.table.clone()),
            url_schema: self
                .connection(Purpose::Migrate)
                .ok()
                .and_then(|chosen| chosen.settings.schema().map(str::to_owned)),
        }
    }

    /// What is asked of a plan.
    pub(crate) fn plan_options(&self, arguments: &ProjectArguments, waivers: &WaiverArguments) -> PlanOptions {
        let mut all = waivers.waive.clone();
        all.extend(self.config.waiver.values().cloned());
        // Reasons are recorded and shown.
        let mask = Mask::new([crate::secrets::known(&self.variables), self.passwords()].concat());
        all.iter_mut().for_each(|waiver| waiver.reason = mask.script(&waiver.reason));
        let on_s3 = self.repository().is_ok_and(|repository| !repository.url.is_local());
        PlanOptions {
            pending_command: self
                .pending_command(arguments)
                .map(|line| PendingCommand::new(line, self.child_environment(on_s3))),
            applied_through: arguments.applied_through.clone(),
            policy: self.risk_policy(),
            waivers: all,
        }
    }

    fn pending_command<'a>(&'a self, arguments: &'a ProjectArguments) -> Option<&'a str> {
        let typed = arguments.pending_cmd.as_deref();
        // Whoever names a tool by a flag does not mean the file's command.
        typed.or_else(|| self.config.migrations.pending_command.as_deref().filter(|_| arguments.tool.is_none()))
    }
}
