//! The terminal's foreground group: lent to a child so that its prompts work, taken back afterwards.

use std::fs::{File, OpenOptions};

use nix::sys::signal::{SigSet, SigmaskHow, Signal as NixSignal};
use rustix::process::{Pid, Signal, getpgrp};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr, tcsetpgrp};

use crate::group;

/// The terminal while a child's group has its foreground. Dropping it takes the foreground back.
#[derive(Debug)]
pub(crate) struct Foreground {
    terminal: File,
    modes: Option<Termios>,
    child: Pid,
}

impl Foreground {
    /// Makes the child's group the foreground group, when ours is; otherwise there is nothing to lend.
    pub(crate) fn lend(child: Pid) -> Option<Self> {
        let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
        if tcgetpgrp(&terminal).ok()? != getpgrp() {
            return None;
        }
        let modes = tcgetattr(&terminal).ok();
        if let Err(error) = tcsetpgrp(&terminal, child) {
            tracing::debug!(%error, "the terminal's foreground could not be lent");
            return None;
        }
        // It may have touched the terminal, and been stopped for it, before it had the foreground.
        group::signal(child, Signal::CONT);
        Some(Self { terminal, modes, child })
    }

    /// Wakes the child when it was suspended: a suspended migration would keep its locks.
    pub(crate) fn refuse_suspension(&self) {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        if let Ok(Some(status)) = waitid(WaitId::Pid(self.child), options)
            && status.stopped()
        {
            tracing::warn!("the command was suspended and is resumed: it may hold locks");
            group::signal(self.child, Signal::CONT);
        }
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        // We are a background group now: changing the terminal would stop us by SIGTTOU.
        let mut ttou = SigSet::empty();
        ttou.add(NixSignal::SIGTTOU);
        let before = match ttou.thread_swap_mask(SigmaskHow::SIG_BLOCK) {
            Ok(before) => before,
            Err(error) => {
                tracing::debug!(%error, "SIGTTOU could not be blocked");
                return;
            }
        };
        if let Err(error) = tcsetpgrp(&self.terminal, getpgrp()) {
            tracing::debug!(%error, "the terminal's foreground could not be taken back");
        } else if let Some(modes) = &self.modes
            && let Err(error) = tcsetattr(&self.terminal, OptionalActions::Drain, modes)
        {
            tracing::debug!(%error, "the terminal's modes could not be set back");
        }
        if let Err(error) = before.thread_set_mask() {
            tracing::debug!(%error, "the signal mask could not be set back");
        }
    }
}
