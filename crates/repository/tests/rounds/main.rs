//! Two that prune, two that back up, one that sweeps and one that checks, on one repository at once, as processes that are killed at
//! named phases: nothing published is lost, nothing half deleted is listed, and every orphan is found.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where anything is wrong")]
#![expect(clippy::print_stdout, reason = "seeds, by which a round can be run again")]

mod place;
mod round;
#[path = "../sample/mod.rs"]
#[allow(dead_code, reason = "restore points of a round have times of their own")]
mod sample;
mod told;
mod work;

use futures_util::{StreamExt as _, stream};
use holdpoint_testkit::S3Server;
use tokio::runtime::Builder;

use place::Place;

/// What a child reads its task from.
const TASK: &str = "HOLDPOINT_TEST_ROUND";
/// How many rounds there are on each adapter, and the first one's seed.
const ROUNDS: &str = "HOLDPOINT_TEST_ROUNDS";
const SEED: &str = "HOLDPOINT_TEST_SEED";
const USUAL: u64 = 100;
/// So many rounds at once, each in a repository of its own: a process waits as much as it works.
const AT_ONCE: usize = 3;

#[expect(clippy::disallowed_methods, reason = "a person says how many rounds there are")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

async fn rounds(name: &str, place: impl Fn(u64) -> Place) {
    let mut random = [0; 4];
    getrandom::fill(&mut random).unwrap();
    let first = number(SEED).unwrap_or(u32::from_le_bytes(random).into());
    let count = number(ROUNDS).unwrap_or(USUAL);
    let mut killed = std::collections::BTreeMap::<String, usize>::new();
    let mut sums = round::Sums::default();
    println!("{name}: {SEED}={first}, {count} rounds");
    let rounds = stream::iter(0..count).map(|n| {
        let (place, seed) = (place(n), first + n);
        // A round waits for its processes on the thread that runs it.
        let round =
            move || Builder::new_current_thread().enable_all().build().unwrap().block_on(round::run(&place, seed));
        async move { (seed, tokio::task::spawn_blocking(round).await) }
    });
    let mut rounds = rounds.buffer_unordered(AT_ONCE);
    while let Some((seed, ended)) = rounds.next().await {
        let ended = ended.unwrap_or_else(|error| panic!("{name}: {SEED}={seed}: {error}"));
        for phase in ended.killed {
            *killed.entry(phase).or_default() += 1;
        }
        sums += ended.sums;
    }
    println!("{name}: {count} rounds, {sums:?}, killed at {killed:?}");
    assert!(sums.killed > 0 && sums.published > 0 && sums.dropped > 0, "{sums:?}");
}

#[tokio::test]
async fn on_a_directory() {
    let held = tempfile::tempdir().unwrap();
    rounds("directory", |n| {
        let directory = held.path().join(n.to_string());
        std::fs::create_dir(&directory).unwrap();
        Place { url: format!("file://{}", directory.display()), endpoint: None }
    })
    .await;
}

#[tokio::test]
async fn on_s3() {
    let server = S3Server::shared();
    let bucket = server.new_bucket();
    rounds("s3", |n| Place { url: format!("s3://{bucket}/{n}"), endpoint: Some(server.endpoint()) }).await;
}

#[tokio::test]
#[ignore = "run by the rounds above, as a process that is killed"]
#[expect(clippy::disallowed_methods, reason = "the rounds above say what to do")]
async fn child() {
    let task = std::env::var(TASK).expect("a task");
    work::run(serde_json::from_str(&task).unwrap()).await;
}
