//! The two programs that the keeper's tests need: `keeper` is a scratch keeper, `parent SPEC` starts one from the
//! spec in that file, says "ready" and sleeps until it is killed.

#![expect(clippy::print_stdout, reason = "a program for tests")]

use std::process::ExitCode;
use std::time::Duration;

use holdpoint_process::keeper::{self, Keeper, KeeperSpec};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("keeper") => keeper::run(),
        Some("parent") => parent(&arguments[2]),
        _ => ExitCode::from(2),
    }
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
