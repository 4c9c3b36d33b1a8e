//! The first process of the cell's process namespace: when it ends, the kernel ends all others in it.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::signal::unix::{SignalKind, signal};

use super::{FAILED, note_end};
use crate::running::Status;

/// Runs the command: `arguments` are the cell's folder, the program, and its arguments.
pub(super) fn run(arguments: &[OsString]) -> Option<ExitCode> {
    let [folder, program, words @ ..] = arguments else { return None };
    let folder = Path::new(folder);
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        std::fs::write(folder.join(FAILED), format!("{what}: {error}")).ok();
        ExitCode::FAILURE
    };
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return Some(failed("watching the cell", &error));
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Some(failed("starting", &error)),
    };
    Some(runtime.block_on(async {
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup(), SignalKind::quit()];
        let handlers: Result<Vec<_>, _> = kinds.into_iter().map(signal).collect();
        let _handlers = match handlers {
            Ok(handlers) => handlers,
            Err(error) => return failed("watching signals", &error),
        };
        #[expect(clippy::disallowed_methods, reason = "it must stay in this process group")]
        let mut command = tokio::process::Command::new(program);
        let mut child = match command.args(words).spawn() {
            Ok(child) => child,
            Err(error) => return failed(&program.to_string_lossy(), &error),
        };
        match child.wait().await {
            Ok(status) => {
                let status = Status::from(status);
                if let Err(error) = note_end(folder, status) {
                    return failed("telling how the command ended", &error);
                }
                match status {
                    Status::Code(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
                    Status::Signal(_) => ExitCode::FAILURE,
                }
            }
            Err(error) => failed("waiting for the command", &error),
        }
    }))
}
