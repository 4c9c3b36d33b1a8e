//! The demonstration, on the real server that `scripts/setup` installed.

use super::{code, holdpoint, text};
use holdpoint::exit_code;

#[test]
fn the_demonstration_shows_damage_and_brings_everything_back() {
    // Not below a private folder: as root, the server runs as another user.
    let folder = tempfile::Builder::new().prefix("holdpoint-demo-test-").tempdir_in("/var/tmp").unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let cache = holdpoint_testkit::cache_directory();
    let variables = [("HOLDPOINT_CACHE", cache.to_str().unwrap()), ("PATH", "/usr/bin:/bin")];
    let output = holdpoint(folder.path(), &variables, &["demo", "--json"]);
    assert_eq!(code(&output), exit_code::DONE, "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["equal"], true);
    assert_eq!(report["before"], report["restored"]);
    assert_ne!(report["before"], report["damaged"]);
    assert_eq!(report["run"]["exit_code"], 0);
    assert_eq!(report["run"]["verification"]["verdict"], "proved");
    let rows: u64 = report["before"]["rows"].as_array().unwrap().iter().map(|row| row[1].as_u64().unwrap()).sum();
    assert!(rows >= 200_000, "{rows}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}
