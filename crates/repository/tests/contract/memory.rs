//! The memory of an upload stays what the port's documentation says.

use holdpoint_repository::{ObjectStore, UploadOptions};

use crate::engine::direct;
use crate::suite::{noise, put};

/// In a process of its own: what other tests use at the same time must not count.
#[test]
#[expect(clippy::disallowed_methods, reason = "the test runs itself again in another process")]
fn an_upload_holds_no_more_than_it_says() {
    let program = std::env::current_exe().unwrap();
    let arguments = ["--exact", "memory::in_a_process_of_its_own", "--ignored", "--nocapture"];
    let output = std::process::Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the test above"]
async fn in_a_process_of_its_own() {
    let store = direct(|_| {}).await;
    put(&*store, "warm", "x").await;
    let piece = noise(64 << 10, 1);
    let before = peak_bytes();
    let options = UploadOptions { held_back_bytes: 10, ..UploadOptions::default() };
    let promised = store.upload_memory_bytes(&options);
    assert_eq!(promised, (5 * 4 + 5 + 5) * (1 << 20) + 10);
    let mut upload = store.begin_upload("large", options).await.unwrap();
    for _ in 0..(160 << 20) / piece.len() {
        upload.write(piece.clone()).await.unwrap();
    }
    upload.finish(noise(10, 1)).await.unwrap();
    let used = peak_bytes() - before;
    println!("160 MiB uploaded, {} KiB promised, {} KiB used", promised >> 10, used >> 10);
    // Connections and the allocator have some of their own.
    assert!(used < promised + (24 << 20), "{used} bytes instead of {promised}");
}

fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}
