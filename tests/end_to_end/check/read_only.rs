//! A repository in which nothing can be written.

use std::collections::BTreeMap;
use std::path::Path;

use holdpoint_tests::is_root;
use serde_json::Value;

use super::{READ, private};

/// A directory in which nothing can be written, until it is dropped: mounted so, where this process may mount.
struct ReadOnly<'a>(&'a Path);

impl<'a> ReadOnly<'a> {
    fn made_of(folder: &'a Path) -> Self {
        match is_root() {
            true => system(&format!("mount --bind '{0}' '{0}' && mount -o remount,bind,ro '{0}'", folder.display())),
            false => system(&format!("chmod 500 '{}'", folder.display())),
        }
        Self(folder)
    }
}

impl Drop for ReadOnly<'_> {
    fn drop(&mut self) {
        match is_root() {
            true => system(&format!("umount -l '{}'", self.0.display())),
            false => system(&format!("chmod 700 '{}'", self.0.display())),
        }
    }
}

fn system(script: &str) {
    let path = BTreeMap::from([("PATH".to_owned(), "/usr/sbin:/usr/bin:/sbin:/bin".to_owned())]);
    let ended = holdpoint_tests::shell(Path::new("/"), &path, script);
    assert!(std::thread::panicking() || ended.code == 0, "{ended:?}");
}

#[test]
fn what_cannot_be_written_can_be_checked_and_planned_for() {
    let scene = private();
    for _ in 0..2 {
        let id = scene.place.backup()["manifest"]["id"].as_str().unwrap().to_owned();
        scene.prove_stored(&id);
    }
    let prune = ["prune", "--json", "--keep-last", "1", "--minimum-age", "0"];
    {
        let _mounted = ReadOnly::made_of(scene.place.repository());
        let report = scene.place.holdpoint(&READ).ended_with(0).json();
        let said = |what: &Value| {
            what.as_array().unwrap().iter().any(|one| one.as_str().unwrap().contains("this machine's clock"))
        };
        assert!(said(&report["notes"]) && report["last_proof"]["level"] == "stored", "{report:#}");
        let plan = scene.place.holdpoint(&[&prune[..], &["--dry-run"]].concat()).ended_with(0).json();
        assert!(said(&plan["warnings"]), "{plan:#}");
        let fates = plan["entries"].as_array().unwrap();
        assert_eq!(fates.iter().filter(|one| one["fate"] == "drop").count(), 1, "{plan:#}");
        // Whoever writes is refused.
        for writes in [&["check", "--repair"][..], &prune[..]] {
            scene.place.holdpoint(writes).ended_with(8);
        }
    }
    assert_eq!(scene.place.points().len(), 2);
    scene.place.holdpoint(&prune).ended_with(0);
    assert_eq!(scene.place.points().len(), 1);
}
