//! `holdpoint completions`.

use clap::CommandFactory as _;

use super::printed;
use crate::arguments::{Arguments, CompletionsArguments};
use crate::failure::Failure;
use crate::invocation::Invocation;
use holdpoint::exit_code;

pub(super) fn run(invocation: &Invocation, arguments: &CompletionsArguments) -> Result<u8, Failure> {
    printed(invocation.output.text(&script(arguments.shell)))?;
    Ok(exit_code::DONE)
}

fn script(shell: clap_complete::Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "holdpoint", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_shell_gets_every_verb() {
        for shell in clap_complete::Shell::value_variants() {
            let script = script(*shell);
            for verb in ["backup", "leftovers", "guard"] {
                assert!(script.contains(verb), "{shell} {verb}");
            }
        }
    }
}
