//! Running one command on the copy: apart, with its locks sampled, and stopped at the first sign of production.

use std::time::Duration;

use holdpoint_core::Mask;
use holdpoint_operations::Context;
use holdpoint_operations::verify::KeptCopy;
use holdpoint_postgres::ConnectionSettings;
use holdpoint_process::Status;
use holdpoint_process::cell::CellSpec;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::apart::{Call, Way};
use super::child::{Child, ChildEnd, How, Stop};
use super::connections::Connections;
use super::environment::Rewritten;
use super::locks::Sampled;
use super::production::Production;
use super::watch::Watch;
use super::{RehearseError, RehearseOptions};
use crate::Error;

/// How often the cell's traps are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Everything that commands on the copy share.
pub(super) struct Commands<'a> {
    pub(super) context: &'a Context,
    pub(super) options: &'a RehearseOptions,
    pub(super) watch: &'a Watch<'a>,
    pub(super) way: &'a Way,
    pub(super) production: &'a Production,
    pub(super) environment: &'a Rewritten,
    pub(super) settings: &'a ConnectionSettings,
    pub(super) mask: &'a Mask,
}

/// A command that has ended.
pub(super) struct Ran {
    pub(super) end: ChildEnd,
    /// How the command itself ended.
    pub(super) status: Status,
    pub(super) sampled: Sampled,
    /// Signs that it reached for production.
    pub(super) signs: Vec<String>,
}

impl Commands<'_> {
    /// Runs a command to its end.
    ///
    /// Fails where nothing can be told of it: it could not be started, the scratch server or the connection to production
    /// was lost, or somebody asked for the end.
    pub(super) async fn run(&self, copy: &mut KeptCopy, command: &[String]) -> Result<Ran, Error> {
        let Call { program, arguments, cell } = self.way.call(command)?;
        let (leader, told) = tokio::sync::watch::channel(None);
        let child = Child {
            program,
            arguments,
            environment: self.environment.variables.clone(),
            folder: self.options.folder.clone(),
            time_limit: self.options.time_limit,
            mask: self.mask.clone(),
            listener: self.options.listener.clone(),
            leader,
        };
        // In a network of its own it has no connection to anything else.
        let connections = cell.is_none().then(|| Connections::of(told, self.production));
        let mut lost = None;
        let stop = async {
            tokio::select! {
                () = self.context.cancel.cancelled() => Stop::Interrupted,
                reason = copy.ended() => Stop::ScratchEnded(reason),
                sign = self.watch.escape(connections) => match sign {
                    Ok(sign) => Stop::Escaped(sign),
                    Err(error) => {
                        lost = Some(error);
                        Stop::WatchLost
                    }
                },
                sign = touched(cell.as_ref()) => Stop::Escaped(sign),
            }
        };
        let enough = CancellationToken::new();
        let ran = async {
            let end = child.run(stop).await;
            enough.cancel();
            end
        };
        let (end, sampled) = tokio::join!(ran, Sampled::watch(self.settings, &enough));
        let end = end?;
        match &end.how {
            How::Stopped(Stop::Interrupted) => {
                return Err(RehearseError::Interrupted { what: "the command ran on the copy" }.into());
            }
            How::Stopped(Stop::ScratchEnded(reason)) => {
                return Err(RehearseError::ScratchEnded { reason: reason.clone() }.into());
            }
            How::Stopped(Stop::WatchLost) => return Err(lost.unwrap_or_else(|| RehearseError::WatchLost.into())),
            How::Stopped(Stop::Escaped(_)) | How::TimedOut | How::ByItself => {}
        }
        if let Some(reason) = cell.as_ref().and_then(CellSpec::failure) {
            return Err(RehearseError::NotApart { reason }.into());
        }
        let status = cell.as_ref().and_then(CellSpec::ended).unwrap_or(end.ended.status);
        let signs = cell.iter().flat_map(CellSpec::touched).map(|name| reached(&name)).collect();
        Ok(Ran { end, status, sampled: sampled?, signs })
    }
}

fn reached(name: &str) -> String {
    format!("it reached for {name}, where production is, and found nothing there")
}

/// Waits until a trap is touched; never ends without a cell.
async fn touched(cell: Option<&CellSpec>) -> String {
    let Some(cell) = cell else { return std::future::pending().await };
    loop {
        if let Some(name) = cell.touched().first() {
            return reached(name);
        }
        sleep(LOOK_EVERY).await;
    }
}
