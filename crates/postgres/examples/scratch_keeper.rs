//! What the tests of scratch servers re-execute instead of the command line's program: the keeper, or with
//! `parent BIN-FOLDERS MAJOR BASE` a parent that starts a scratch server, says so and sleeps until it is killed.

#![expect(clippy::print_stdout, reason = "a program for tests")]

use std::process::ExitCode;
use std::time::Duration;

use holdpoint_postgres::programs::ProgramSearch;
use holdpoint_postgres::scratch::{DatabaseLocale, LocalOptions, ScratchOptions, ScratchServer};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("parent") => parent(&arguments),
        _ => holdpoint_process::keeper::run(),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn parent(arguments: &[String]) -> ExitCode {
    let search = ProgramSearch { cache: Some((&arguments[2]).into()), ..ProgramSearch::default() };
    let own = std::env::current_exe().expect("own path");
    let options = LocalOptions::new(search, arguments[3].parse().expect("a major"), &arguments[4], own, ["keeper"]);
    println!("starting");
    let options = ScratchOptions::Local(Box::new(options));
    let server = ScratchServer::start(&options, &CancellationToken::new()).await.expect("a scratch server");
    server.create_database("shop", &DatabaseLocale::c("UTF8")).await.expect("a database");
    println!("ready {}", server.pid().expect("a process id"));
    tokio::time::sleep(Duration::from_secs(300)).await;
    ExitCode::SUCCESS
}
