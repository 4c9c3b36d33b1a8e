//! The local directory.

use std::ops::Deref;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use chrono::TimeDelta;
use futures_util::TryStreamExt as _;
use holdpoint_core::layout;
use holdpoint_repository::{
    Error, Identities, LocalDirectory, ObjectStore, PutOptions, Repository, UnfinishedUpload, UploadOptions,
    Verifications, Withdrawal,
};

use crate::sample;
use crate::suite::{self, keys, noise, put};

struct Held {
    directory: tempfile::TempDir,
    store: LocalDirectory,
}

impl Deref for Held {
    type Target = LocalDirectory;

    fn deref(&self) -> &LocalDirectory {
        &self.store
    }
}

impl Held {
    fn root(&self) -> PathBuf {
        self.directory.path().join("a/repository")
    }
}

async fn store() -> Held {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalDirectory::new(directory.path().join("a/repository")).unwrap();
    store.ensure_root().await.unwrap();
    Held { directory, store }
}

suite::whole_contract!();

fn all_files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { all_files(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn files_are_for_their_owner_only() {
    let held = store().await;
    put(&*held, "shop/p/manifest.json", "x").await;
    suite::upload(&*held, "shop/p/archive.dump", &noise(10, 1), &noise(10, 1)).await;
    for (path, mode) in
        [("shop/p/manifest.json", 0o600), ("shop/p/archive.dump", 0o600), ("shop/p", 0o700), ("", 0o700)]
    {
        let found = std::fs::metadata(held.root().join(path)).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, mode, "{path}");
    }
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_not_made_by_a_write() {
    let held = store().await;
    std::fs::remove_dir(held.root()).unwrap();
    let errors = [
        held.put_new("a", Bytes::new(), PutOptions::default()).await.map(drop).unwrap_err(),
        held.begin_upload("a/b", UploadOptions::default()).await.map(drop).unwrap_err(),
        held.server_time().await.map(drop).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, Error::BucketNotFound { .. }), "{error:?}");
    }
    assert!(!held.root().exists());
    assert!(LocalDirectory::new("relative/path").is_err());
}

#[tokio::test]
async fn folders_that_hold_nothing_go_once_they_are_old() {
    let held = store().await;
    let root = held.root().join("shop/restore-points");
    for folder in ["killed/withdrawn", "killed/verifications", "young/pins", "alive/pins"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    put(&*held, "shop/restore-points/alive/manifest.json", "x").await;
    std::os::unix::fs::symlink(held.directory.path(), root.join("link")).unwrap();
    let now = held.server_time().await.unwrap();
    let old = std::time::SystemTime::from(now - TimeDelta::days(4));
    for folder in ["killed/withdrawn", "killed/verifications", "killed", "alive/pins", "alive", ""] {
        std::fs::File::open(root.join(folder)).unwrap().set_modified(old).unwrap();
    }
    held.remove_empty_folders("shop/restore-points/", now - TimeDelta::days(3)).await.unwrap();
    let there = |name: &str| root.join(name).symlink_metadata().is_ok();
    assert!(!there("killed") && !there("alive/pins"));
    assert!(there("young/pins") && there("alive/manifest.json") && there("link"));
    held.remove_empty_folders("crm/restore-points/", now).await.unwrap();
}

/// Runs the next test in a mount namespace of its own, which has a disk of 2 MiB and ends with it.
#[test]
#[expect(clippy::disallowed_methods, reason = "the test runs itself again in another namespace")]
fn a_full_disk_is_said_and_leaves_nothing() {
    let disk = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let script = "mount -t tmpfs -o size=2m none \"$1\" && HOLDPOINT_TEST_DISK=\"$1\" exec \"$2\" --exact local::on_a_small_disk --ignored";
    let output = std::process::Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .args([disk.path(), &program])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
#[ignore = "run by the test above, which makes the disk"]
#[expect(clippy::disallowed_methods, reason = "the test above says where the disk is")]
async fn on_a_small_disk() {
    let disk = PathBuf::from(std::env::var("HOLDPOINT_TEST_DISK").unwrap());
    let store = LocalDirectory::new(&disk).unwrap();
    let mut upload = store.begin_upload("shop/p/archive.dump", UploadOptions::default()).await.unwrap();
    let mut written = Ok(());
    for _ in 0..8 {
        written = upload.write(noise(1 << 20, 1)).await;
        if written.is_err() {
            break;
        }
    }
    let error = match written {
        Err(error) => {
            upload.abort().await.unwrap();
            error
        }
        Ok(()) => upload.finish(Bytes::new()).await.unwrap_err(),
    };
    assert!(matches!(error, Error::Full { ref key, .. } if key == "shop/p/archive.dump"), "{error:?}");
    assert!(all_files(&disk).is_empty());
    let error = store.put_new("big", noise(4 << 20, 1), PutOptions::default()).await.unwrap_err();
    assert!(matches!(error, Error::Full { .. }), "{error:?}");
    assert!(all_files(&disk).is_empty());
    // And there is room again.
    put(&store, "small", "x").await;
}

#[tokio::test]
async fn a_directory_of_somebody_else_is_refused() {
    let held = store().await;
    // Files of the kernel cannot be written even by root.
    let kernel = LocalDirectory::new("/proc/self").unwrap();
    let error = kernel.put_new("holdpoint.json", Bytes::new(), PutOptions::default()).await.unwrap_err();
    assert!(matches!(error, Error::AccessDenied { .. } | Error::NotFound { .. }), "{error:?}");
    // A file in the place of the directory.
    let file = held.root().join("file");
    std::fs::write(&file, "x").unwrap();
    let store = LocalDirectory::new(&file).unwrap();
    assert!(store.put_new("a", Bytes::new(), PutOptions::default()).await.is_err());
    assert!(store.ensure_root().await.is_err());
}

#[tokio::test]
async fn only_temporary_files_can_be_removed_as_uploads() {
    let held = store().await;
    put(&*held, "shop/manifest.json", "x").await;
    for id in ["shop/manifest.json", "../x", "/etc/passwd", "../.holdpoint-upload-1.x", "shop/../.holdpoint-upload-1.x"]
    {
        let upload = UnfinishedUpload { key: "k".into(), id: id.into(), worked_on_at: None, problem: None };
        let error = held.abort_upload(&upload).await.unwrap_err();
        assert!(matches!(error, Error::InvalidKey { .. }), "{id}: {error:?}");
    }
    assert_eq!(keys(&*held, "").await, ["shop/manifest.json"]);
}

#[tokio::test]
async fn links_are_not_followed_when_listing() {
    let held = store().await;
    put(&*held, "shop/x", "x").await;
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "s").unwrap();
    std::os::unix::fs::symlink(outside.path(), held.root().join("link")).unwrap();
    std::os::unix::fs::symlink(held.root(), held.root().join("loop")).unwrap();
    // Right below a database's folder, as editors leave them, too.
    std::os::unix::fs::symlink(outside.path().join("secret"), held.root().join("shop/README")).unwrap();
    std::os::unix::fs::symlink("nobody@nowhere", held.root().join("shop/.#notes")).unwrap();
    assert_eq!(held.list_uploads("shop/").await.unwrap().len(), 0);
    assert_eq!(keys(&*held, "").await, ["shop/x"]);
    assert_eq!(held.list_children("").await.unwrap(), ["shop"]);
}

/// Restore points on another disk.
#[tokio::test]
async fn a_link_right_below_a_databases_folder_is_followed_and_one_that_leads_nowhere_is_told() {
    let (held, disk) = (store().await, tempfile::tempdir().unwrap());
    let points = held.root().join("shop/restore-points");
    std::fs::create_dir(held.root().join("shop")).unwrap();
    let mounted = disk.path().join("mounted");
    std::os::unix::fs::symlink(&mounted, &points).unwrap();
    for prefix in ["shop/restore-points/", "shop/restore-points/1/pins/", ""] {
        let listed = held.list(prefix).try_collect::<Vec<_>>().await;
        assert!(
            matches!(listed, Err(Error::LinkLeadsNowhere { .. })),
            "a disk that is not there is not empty: {listed:?}"
        );
    }
    held.list_children("shop/restore-points/").await.unwrap_err();
    put(&*held, "crm/restore-points/1/manifest.json", "x").await;
    assert_eq!(held.list_children("").await.unwrap(), ["crm", "shop"], "it fails no other database");
    held.delete("crm/restore-points/1/manifest.json").await.unwrap();
    std::fs::create_dir(&mounted).unwrap();
    std::os::unix::fs::symlink(held.root(), mounted.join("loop")).unwrap();
    assert_eq!(held.list_children("").await.unwrap(), [""; 0]);
    put(&*held, "shop/restore-points/1/manifest.json", "x").await;
    let mut upload = held.begin_upload("shop/restore-points/2/archive.dump", UploadOptions::default()).await.unwrap();
    upload.write("rows".into()).await.unwrap();
    assert_eq!(held.list_uploads("shop/").await.unwrap().len(), 1);
    upload.finish(Bytes::new()).await.unwrap();
    let all = ["shop/restore-points/1/manifest.json", "shop/restore-points/2/archive.dump"];
    for prefix in ["", "shop/", "shop/restore-points/"] {
        assert_eq!(keys(&*held, prefix).await, all, "{prefix:?}");
    }
    assert_eq!(held.list_children("").await.unwrap(), ["shop"]);
    assert!(mounted.join("1/manifest.json").is_file());
    for key in all {
        held.delete(key).await.unwrap();
    }
    assert!(points.is_symlink() && mounted.is_dir(), "what is empty goes, and neither the link nor what it leads to");
}

#[tokio::test]
async fn an_upload_is_one_new_file_and_no_copy() {
    let held = store().await;
    let mut upload = held
        .begin_upload("shop/p/archive.dump", UploadOptions { held_back_bytes: 4, ..Default::default() })
        .await
        .unwrap();
    upload.write(noise(3 << 20, 1)).await.unwrap();
    let temporary = all_files(&held.root());
    assert_eq!(temporary.len(), 1);
    let inode = std::fs::metadata(&temporary[0]).unwrap().ino();
    upload.finish(Bytes::from_static(b"PGDM")).await.unwrap();
    let published = all_files(&held.root());
    assert_eq!(published, [held.root().join("shop/p/archive.dump")]);
    assert_eq!(std::fs::metadata(&published[0]).unwrap().ino(), inode);
}

#[tokio::test]
async fn names_that_are_no_keys_fail_nobody() {
    let held = store().await;
    let repository = Repository::init(Arc::new(held.store.clone()), sample::NOW.parse().unwrap()).await.unwrap().0;
    let (shop, id) = (sample::shop(), sample::point(1));
    for (key, text) in sample::objects(&id) {
        put(&held.store, &key, text).await;
    }
    repository.publish(&sample::manifest(&id), None).await.unwrap();
    let verification = layout::verification(&shop, &id, sample::NOW.parse().unwrap(), "proved");
    let point = layout::point(&shop, &id);
    let odd = [
        format!("{verification}~"),
        format!("{point}verifications/x y.json"),
        format!("{point}withdrawn/x y.json"),
        format!("{point}notes (1)"),
        format!("{}99999999T000000000000Z (1).json", layout::identities(&shop)),
        format!("{}copy.json", layout::identities(&shop)),
    ];
    for key in &odd {
        let path = held.root().join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "x").unwrap();
    }
    assert_eq!(repository.points(&shop).await.unwrap(), std::slice::from_ref(&id));
    repository.manifest(&shop, &id).await.unwrap();
    assert_eq!(repository.verifications(&shop, &id).await.unwrap(), Verifications::default());
    assert_eq!(repository.identities(&shop).await.unwrap(), Identities::default());
    assert_eq!(repository.identity(&shop).await.unwrap().unwrap().identity.database, "shop");
    // What holdpoint did not write stays, and is no leftover of a restore point.
    let gone = repository.withdraw(&shop, &id, &[]).await.unwrap();
    assert!(matches!(&gone, Withdrawal::Done { remains, .. } if remains.is_empty()), "{gone:?}");
    assert_eq!(repository.leftovers(&shop).await.unwrap(), []);
    for key in &odd {
        assert!(held.root().join(key).exists(), "{key}");
    }
}
