//! What is wrong with the repository as a whole.

use holdpoint_testkit::{READ_ONLY, S3Server, STRANGER};
use holdpoint_tests::Place;

use super::{failed, refused};
use crate::scene::Scene;

#[test]
fn bucket_absent() {
    let mut place = Place::bare();
    let server = S3Server::shared();
    place.use_bucket(server, &server.new_bucket(), &server.endpoint());
    let mut scene = Scene::with(place);
    let text = format!(
        "[repository]\nurl = \"s3://no-such-bucket/x\"\n[repository.s3]\nendpoint = \"{}\"\npath_style = true\n",
        server.endpoint()
    );
    scene.place.write_config(&text);
    scene.place.use_identity(&holdpoint_testkit::ADMIN);
    refused(&scene, &["backup"], 8).says(&["no-such-bucket", "does not exist"]).hints(&["holdpoint init"]);
    failed(&scene, &["init"], 8).says(&["no-such-bucket"]);
}

#[test]
fn folder_absent() {
    let mut scene = Scene::with(Place::bare());
    let folder = scene.place.path().join("nowhere");
    scene.place.use_folder(&folder);
    refused(&scene, &["backup"], 8).says(&[&folder.to_string_lossy()]).hints(&["holdpoint init"]);
    assert!(!folder.exists());
}

#[test]
fn no_repository_there() {
    let scene = Scene::with(Place::bare());
    std::fs::write(scene.place.repository().join("somebody's.txt"), "other things").unwrap();
    refused(&scene, &["backup"], 8).says(&["holdpoint.json"]).hints(&["holdpoint init"]);
    refused(&scene, &["list"], 8).says(&["holdpoint.json"]);
}

#[test]
fn url_of_no_repository() {
    let mut scene = Scene::local();
    scene.place.set("HOLDPOINT_REPOSITORY", "ftp://backups.example.com/x");
    failed(&scene, &["backup"], 2).says(&["ftp"]);
}

#[test]
fn access_denied() {
    let mut scene = Scene::on_s3();
    scene.place.backup();
    scene.place.use_identity(&READ_ONLY);
    let failure = refused(&scene, &["backup"], 8).says(&["denied"]).hints(&["--print-policy"]);
    assert!(!failure.told.contains(READ_ONLY.secret_key), "{failure:?}");
    // Reading is allowed, and needs no more.
    assert_eq!(scene.place.points().len(), 1);
    scene.place.use_identity(&STRANGER);
    failed(&scene, &["list"], 8);
}

#[test]
fn no_credentials() {
    let mut scene = Scene::on_s3();
    scene.place.unset("AWS_ACCESS_KEY_ID").unset("AWS_SECRET_ACCESS_KEY");
    scene.place.set("AWS_EC2_METADATA_DISABLED", "true");
    failed(&scene, &["backup"], 8).hints(&["AWS_PROFILE"]);
}

#[test]
fn append_only() {
    let scene = Scene::on_s3();
    let (server, bucket) = scene.place.bucket().unwrap();
    server.forbid_delete(bucket);
    scene.place.backup();
    scene.place.prove();
    let before = scene.place.tree();
    scene.place.backup();
    scene.place.prove();
    let after = scene.place.tree();
    assert!(before.objects.iter().all(|(key, object)| after.objects.get(key) == Some(object)), "nothing is rewritten");
}

#[test]
fn format_that_is_newer() {
    let scene = Scene::local();
    scene.place.backup();
    let text = String::from_utf8(scene.place.object("holdpoint.json")).unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&text).unwrap();
    record["format"] = 99.into();
    scene.place.put_object("holdpoint.json", record.to_string().as_bytes());
    for verb in ["backup", "list", "verify", "status"] {
        refused(&scene, &[verb], 8).says(&["holdpoint.json", "format 99"]).hints(&["newer holdpoint"]);
    }
    refused(&scene, &["init"], 8).says(&["format 99"]);
}

#[test]
fn names_that_would_leave_the_folder() {
    let mut scene = Scene::local();
    for odd in ["../other", "a/b", "", ".", "with space"] {
        scene.place.set("HOLDPOINT_DATABASE", odd);
        if odd.is_empty() {
            continue;
        }
        refused(&scene, &["backup"], 2);
    }
}
