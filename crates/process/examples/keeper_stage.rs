//! The programs that the tests need: `keeper` is a scratch keeper, `parent SPEC` starts one from the spec in that
//! file, says "ready" and sleeps until it is killed, `cell …` is a rehearsal cell, `knock PLACE` tells what it reads at an
//! address or a unix socket, `terminal SCRIPT` lends the terminal to a shell and then reads
//! a line from it by itself.

#![expect(clippy::print_stdout, reason = "a program for tests")]

use std::io::{self, Read as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use holdpoint_process::cell;
use holdpoint_process::keeper::{self, Keeper, KeeperSpec};
use holdpoint_process::{Program, Stderr, Stdin, Stdout};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("keeper") => keeper::run(),
        Some("parent") => parent(&arguments[2]),
        Some("cell") => cell::run(&std::env::args_os().skip(2).collect::<Vec<_>>()),
        Some("knock") => {
            println!("{}", knock(&arguments[2]).unwrap_or_else(|error| error.to_string()));
            ExitCode::SUCCESS
        }
        Some("terminal") => terminal(&arguments[2]),
        _ => ExitCode::from(2),
    }
}

fn knock(place: &str) -> io::Result<String> {
    let mut said = String::new();
    if place.starts_with('/') {
        UnixStream::connect(place)?.read_to_string(&mut said)?;
    } else {
        TcpStream::connect(place)?.read_to_string(&mut said)?;
    }
    Ok(said)
}

#[tokio::main(flavor = "current_thread")]
async fn parent(spec: &str) -> ExitCode {
    let spec: KeeperSpec = serde_json::from_slice(&std::fs::read(spec).expect("spec is readable")).expect("a spec");
    let own = std::env::current_exe().expect("own path");
    let keeper = Keeper::start(&own, &["keeper".into()], &spec, &CancellationToken::new()).await.expect("keeper");
    println!("ready {} {}", keeper.pid(), keeper.server_pid());
    tokio::time::sleep(Duration::from_secs(300)).await;
    ExitCode::SUCCESS
}

#[tokio::main(flavor = "current_thread")]
async fn terminal(script: &str) -> ExitCode {
    let program = Program::new("/bin/sh").arguments(["-c", script]).variable("PATH", "/usr/bin:/bin");
    let program = program.stdin(Stdin::Inherit).stdout(Stdout::Inherit).stderr(Stderr::Inherit).in_foreground();
    let ended = program.start().expect("a shell").wait().await.expect("its end");
    println!("shell: {}", ended.status);
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("the terminal is ours again");
    println!("parent: {}", line.trim());
    ExitCode::SUCCESS
}
