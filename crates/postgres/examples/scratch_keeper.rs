//! The keeper that the tests of scratch servers re-execute instead of the command line's program.

use std::process::ExitCode;

fn main() -> ExitCode {
    holdpoint_process::keeper::run()
}
