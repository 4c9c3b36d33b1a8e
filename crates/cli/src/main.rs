//! The `holdpoint` program: arguments, configuration, progress, output, exit codes and signals.
//!
//! The only crate that reads the environment and the wall clock, prints, and ends the process. It decides nothing about
//! backups, verifications or the gate: it gathers what was asked for, calls one function, and tells what came of it.

mod arguments;
mod commands;
mod config;
mod demo;
mod failure;
mod grants;
mod hint;
mod invocation;
mod logging;
mod output;
mod policy;
mod progress;
mod quantity;
mod secrets;
mod settings;
mod signals;
mod variables;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind as ClapKind;
use holdpoint::exit_code;
use holdpoint_core::Mask;
use holdpoint_operations::ErrorKind;
use holdpoint_repository::{ENDS_WITHIN, Ending};
use tokio_util::sync::CancellationToken;

use arguments::{Arguments, Verb};
use config::Sections;
use failure::{ErrorReport, Failure};
use invocation::Invocation;
use output::Output;
use progress::Screen;
use settings::Settings;
use variables::Variables;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return ExitCode::from(refuse(&error)),
    };
    if matches!(arguments.verb, Verb::ScratchKeeper) {
        // Before any thread: the keeper blocks signals for the ones it starts.
        return holdpoint_process::keeper::run();
    }
    if let Verb::RehearsalCell { words } = &arguments.verb {
        // Before any thread: a process of several may not enter a namespace of users.
        return holdpoint_process::cell::run(words);
    }
    let variables = Variables::of_process();
    let screen = Screen::new();
    logging::start(&arguments.common, &variables, &screen);
    let output = Output::new(arguments.common.json);
    let mut mask = Mask::new(secrets::known(&variables));
    let cancel = CancellationToken::new();
    let done = runtime().and_then(|runtime| {
        let done = runtime.block_on(work(arguments, variables, screen, output.clone(), cancel.clone(), &mut mask));
        // Blocking work that was cancelled is not waited for.
        runtime.shutdown_background();
        done
    });
    ExitCode::from(done.unwrap_or_else(|failure| {
        let told = failure.told(&mask, cancel.is_cancelled());
        output.failure(&told);
        told.exit_code
    }))
}

/// The stack of a worker in bytes: as the first thread has it. Builds without optimisation need more than tokio's 2 MiB
/// where a verb is run for each of several databases.
const STACK_BYTES: usize = 8 << 20;

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build()
        .map_err(|source| Failure::Io { what: "starting".to_owned(), source })
}

async fn work(
    arguments: Arguments,
    variables: Variables,
    screen: Screen,
    output: Output,
    cancel: CancellationToken,
    mask: &mut Mask,
) -> Result<u8, Failure> {
    let watch =
        signals::watch(&cancel).map_err(|source| Failure::Io { what: "watching signals".to_owned(), source })?;
    let folder = std::env::current_dir()
        .map_err(|source| Failure::Io { what: "finding the working directory".to_owned(), source })?;
    let progress = progress::make(&arguments.common, output::talks_to_a_person(), &screen, &variables, &cancel);
    let sections = match &arguments.verb {
        Verb::Cron(cron) if cron.all => Sections::OneByOne,
        _ => Sections::Together,
    };
    let settings = match Settings::gather(arguments.common.clone(), variables.clone(), &folder, sections) {
        Ok(settings) => settings,
        Err(failure) => {
            if matches!(arguments.verb, Verb::Cron(_)) {
                let settings = Settings::told(arguments.common, variables, &folder);
                commands::unbegun::tell(&settings, &cancel, &failure).await;
            }
            return Err(failure);
        }
    };
    mask.learn(settings.passwords());
    let ending = Ending::after(cancel.clone(), ENDS_WITHIN);
    let invocation = Invocation { settings, output, progress, cancel, next_signal: watch.next.clone(), ending };
    commands::run(&invocation, &arguments.verb).await
}

/// The lines up to the first blank one: what is wrong, without usage.
fn first_paragraph(text: &str) -> String {
    let lines = text.lines().map(str::trim).take_while(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

/// The same words with `--` before the command that `guard` is to run, where they lack it.
fn after_dashes(words: &[String], unknown: &str) -> Option<String> {
    let at = words.iter().position(|word| word == unknown).filter(|at| *at > 1)?;
    let lacks = words[1..at].iter().any(|word| word == "guard") && !unknown.starts_with('-');
    if !lacks || words.iter().any(|word| word == "--") {
        return None;
    }
    let quoted = |words: &[String]| words.iter().map(|word| holdpoint_guard::shell_quote(word)).collect::<Vec<_>>();
    let (flags, command) = (quoted(&words[1..at]).join(" "), quoted(&words[at..]).join(" "));
    Some(format!("the command comes after --: holdpoint {flags} -- {command}"))
}

/// Prints help and version as clap does, and everything else as an error of usage: masked, since clap repeats what was
/// typed, and as JSON where that was asked for.
fn refuse(error: &clap::Error) -> u8 {
    if matches!(error.kind(), ClapKind::DisplayHelp | ClapKind::DisplayVersion) {
        drop(error.print());
        return exit_code::DONE;
    }
    let json = std::env::args_os().take_while(|word| word != "--").any(|word| word == "--json");
    let text = Mask::default().message(&error.render().to_string());
    let text = text.trim().strip_prefix("error: ").unwrap_or(text.trim()).to_owned();
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let unknown = match error.get(clap::error::ContextKind::InvalidArg) {
        Some(clap::error::ContextValue::String(word)) => Some(word.as_str()),
        _ => None,
    };
    let tip = unknown.and_then(|word| after_dashes(&words, word)).map(|tip| Mask::default().message(&tip));
    if json {
        let message = first_paragraph(&text);
        let hint = tip.or_else(|| hint::of_kind(ErrorKind::Usage));
        let report =
            ErrorReport { kind: ErrorKind::Usage, message, causes: Vec::new(), hint, exit_code: exit_code::USAGE };
        Output::new(json).failure(&report);
    } else if error.kind() == ClapKind::DisplayHelpOnMissingArgumentOrSubcommand {
        drop(error.print());
    } else {
        let report = ErrorReport {
            kind: ErrorKind::Usage,
            message: text,
            causes: Vec::new(),
            hint: tip,
            exit_code: exit_code::USAGE,
        };
        Output::new(json).failure(&report);
    }
    exit_code::USAGE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_without_dashes_is_repeated_with_them() {
        let tip = |text: &str, unknown| after_dashes(&text.split(' ').map(str::to_owned).collect::<Vec<_>>(), unknown);
        assert_eq!(
            tip("holdpoint guard --json echo hi", "echo").as_deref(),
            Some("the command comes after --: holdpoint guard --json -- echo hi")
        );
        assert_eq!(tip("holdpoint guard --what echo", "--what"), None);
        assert_eq!(tip("holdpoint list echo", "echo"), None);
    }

    #[test]
    fn a_message_of_several_lines_is_whole() {
        let text = "these are missing:\n  --from <POINT>\n  --into <TARGET>\n\nUsage: x";
        assert_eq!(first_paragraph(text), "these are missing: --from <POINT> --into <TARGET>");
    }
}
