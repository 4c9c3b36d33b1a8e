//! Roles with the rights that `init` prints, on an engine that knows these policies: each does its own work and no more.

use holdpoint_testkit::{ADMIN, Identity, S3Server};
use holdpoint_tests::Place;

use crate::scene::Scene;

const BUCKET: &str = "roles-bucket";
const ROLES: [&str; 6] = ["writer", "verifier", "guard", "pruner", "restorer", "cron"];
const FOLDER: &str = "backups/shop";

fn identity(role: &'static str) -> Identity {
    Identity { access_key: role, secret_key: role }
}

/// A server that knows every role by its printed policy.
fn server() -> &'static S3Server {
    let mut place = Place::bare();
    place.set("HOLDPOINT_REPOSITORY", &format!("s3://{BUCKET}/backups"));
    let policies = ROLES.map(|role| (role, place.holdpoint(&["init", "--print-policy", role]).ended_with(0).stdout));
    let policies: Vec<(&str, &str)> = policies.iter().map(|(role, policy)| (*role, policy.as_str())).collect();
    let server: &'static S3Server = Box::leak(Box::new(S3Server::start_with_policies(&policies)));
    server.create_bucket(BUCKET);
    server
}

/// What the engine answers to a request of a role.
fn answer(server: &S3Server, role: &'static str, method: &str, key: &str) -> u16 {
    let (headers, body): (&[(&str, &str)], &[u8]) =
        if method == "PUT" { (&[("if-none-match", "*")], b"x") } else { (&[], b"") };
    server.request(&identity(role), method, &format!("/{BUCKET}/{key}"), &[], headers, body).status
}

/// What a role is refused by the store.
fn refused(scene: &Scene, words: &[&str]) {
    refused_but_to(scene, words, "");
}

/// What a role is refused by the store, and which role may.
fn refused_but_to(scene: &Scene, words: &[&str], role: &str) {
    let outcome = scene.place.holdpoint(words).ended_with(8);
    let said = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(said.contains("denied"), "{words:?}: {said}");
    assert!(said.contains(&format!("--print-policy {role}")) || role.is_empty(), "{words:?}: {said}");
}

#[test]
fn each_does_its_own_work_and_no_more() {
    let server = server();
    let mut place = Place::bare();
    place.use_bucket(server, BUCKET, &server.endpoint()).use_identity(&identity("writer"));
    place.holdpoint(&["init"]).ended_with(0);
    let mut scene = Scene::with(place);
    let first = scene.place.backup()["manifest"]["id"].as_str().unwrap().to_owned();
    let archive = format!("{FOLDER}/restore-points/{first}/archive.dump");
    let manifest = format!("{FOLDER}/restore-points/{first}/manifest.json");

    // Nobody deletes but the pruner, and nobody writes outside of their places.
    for role in ["writer", "verifier", "guard", "restorer"] {
        for key in [&archive, &manifest] {
            assert_eq!(answer(server, role, "DELETE", key), 403, "{role} deletes {key}");
        }
        assert_eq!(answer(server, role, "GET", &manifest), 200, "{role} reads");
        assert_eq!(answer(server, role, "PUT", "backups/elsewhere"), 403, "{role}");
        assert_eq!(answer(server, role, "PUT", "another/shop/restore-points/x/manifest.json"), 403, "{role}");
        assert_eq!(answer(server, role, "GET", "another/secret"), 403, "{role}");
        assert_eq!(answer(server, role, "PUT", &format!("{FOLDER}/lease")), 403, "{role}");
    }
    for role in ["writer", "verifier", "pruner", "restorer"] {
        assert_eq!(answer(server, role, "PUT", &format!("{FOLDER}/runs/x/0001-started.json")), 403, "{role}");
    }
    // A mark would hide a restore point, also one below which lies what may be written.
    for role in ["writer", "verifier", "guard", "restorer"] {
        for mark in ["withdrawn/x.json", "withdrawn/verifications/x.json", "withdrawn/.doctor/x"] {
            assert_eq!(answer(server, role, "PUT", &archive.replace("archive.dump", mark)), 403, "{role} {mark}");
        }
    }
    for pin in ["pins/x.json", "pins/verifications/x.json"] {
        assert_eq!(answer(server, "verifier", "PUT", &archive.replace("archive.dump", pin)), 403, "{pin}");
    }
    for role in ["verifier", "pruner", "restorer"] {
        assert_eq!(answer(server, role, "PUT", &archive.replace(&first, "x")), 403, "{role}");
    }
    // What is there is not written over, as long as the writer asks for that; see docs/security.md.
    for role in ["writer", "guard"] {
        assert_eq!(answer(server, role, "PUT", &manifest), 412, "{role}");
    }

    // Who writes fails at nothing that a role by design may not do, and nothing stays of what was tried.
    for role in ROLES {
        scene.place.use_identity(&identity(role));
        let writes = role != "restorer";
        let report = scene.place.holdpoint(&["doctor", "--json"]).ended_with(if writes { 0 } else { 15 }).json();
        let text = report.to_string();
        assert_eq!(text.contains("\"failure\""), !writes, "{role}: {report:#}");
        assert_eq!(text.contains("if this identity is only to restore"), role == "restorer", "{role}: {report:#}");
    }
    let left = server.list_objects(BUCKET, "backups/");
    assert!(!left.iter().any(|one| one.key.contains("/.doctor/")), "everything is removed again: {left:?}");

    scene.place.use_identity(&identity("verifier"));
    // Neither of the next two may pin what it reads: it says so, once.
    let without = |outcome: holdpoint_tests::Outcome| {
        assert_eq!(outcome.stderr.matches("is read without a pin").count(), 1, "{outcome:?}");
    };
    without(scene.place.holdpoint(&["verify", "latest", "--level", "stored"]).ended_with(0));
    refused(&scene, &["backup"]);
    refused(&scene, &["pin", "latest", "--reason", "no"]);

    scene.place.use_identity(&identity("restorer"));
    let copy = crate::scene::name("copy");
    scene.cluster.create_database_with(&copy, "TEMPLATE template0");
    without(scene.place.holdpoint(&["restore", "--from", "latest", "--into", &scene.cluster.url(&copy)]).ended_with(0));
    scene.cluster.drop_database(&copy);
    refused_but_to(&scene, &["verify", "latest", "--level", "stored"], "verifier");
    refused(&scene, &["backup"]);

    // Backs up, proves, keeps its ledger, pins: and never deletes.
    scene.place.use_identity(&identity("guard"));
    scene.place.holdpoint(&["guard", "--json", "--level", "stored", "--", "true"]).ended_with(0);
    let run = scene.place.holdpoint(&["runs", "--json"]).ended_with(0).json();
    assert_eq!(run["runs"].as_array().map(Vec::len), Some(1), "{run:#}");
    let prune = ["prune", "--json", "--keep-last", "1", "--minimum-age", "0"];
    refused(&scene, &prune);
    assert_eq!(scene.place.points().len(), 2, "nothing is dropped, and nothing hidden");
    let plan = scene.place.holdpoint(&[&prune[..], &["--dry-run"]].concat()).ended_with(0).json();
    assert_eq!(plan["keeps_versions"], serde_json::Value::Null, "it may not know: {plan:#}");

    scene.place.use_identity(&identity("pruner"));
    let report = scene.place.holdpoint(&prune).ended_with(0).json();
    assert_eq!(
        (&report["dropped"][0]["outcome"], &report["keeps_versions"]),
        (&"gone".into(), &false.into()),
        "{report:#}"
    );
    assert_eq!(scene.place.points().len(), 1);
    refused(&scene, &["backup"]);

    // What runs unattended does all of it.
    scene.place.use_identity(&identity("cron"));
    let config = std::fs::read_to_string(scene.place.work().join("holdpoint.toml")).unwrap();
    scene.place.write_config(&format!(
        "{config}[retention]\nkeep_last = 1\nminimum_age = \"0\"\n[cron]\nverify = \"stored\"\n"
    ));
    let pinned = scene.place.points();
    for _ in 0..2 {
        let report = scene.place.holdpoint(&["cron", "--json"]).ended_with(0).json();
        let one = &report["databases"][0];
        let ends: Vec<&str> = one["steps"].as_array().unwrap().iter().map(|one| one["end"].as_str().unwrap()).collect();
        assert_eq!(ends, ["done"; 4], "{report:#}");
        // Others have proven restore points of it before.
        assert_eq!((&one["events"], &one["warnings"]), (&serde_json::json!([]), &serde_json::json!([])), "{report:#}");
    }
    assert_eq!(scene.place.points().len(), pinned.len() + 1, "the first night's goes in the second");
    assert_eq!(answer(server, "cron", "DELETE", "backups/holdpoint.json"), 403);

    // The engine does not know the condition by which the policies forbid to write over: versions keep what was there.
    let versions = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let bucket = format!("/{BUCKET}");
    assert_eq!(server.request(&ADMIN, "PUT", &bucket, &[("versioning", "")], &[], versions).status, 200);
    let key = format!("/{BUCKET}/{FOLDER}/restore-points/x/archive.dump");
    let write = |body: &[u8]| server.request(&identity("writer"), "PUT", &key, &[], &[], body);
    let (first, second) = (write(b"first"), write(b"second"));
    assert_eq!((first.status, second.status), (200, 200));
    let version = first.header("x-amz-version-id").unwrap();
    for role in ["writer", "guard"] {
        let words = [("versionId", version)];
        assert_eq!(server.request(&identity(role), "DELETE", &key, &words, &[], b"").status, 403, "{role}");
    }
    let read = server.request(&ADMIN, "GET", &key, &[("versionId", version)], &[], b"");
    assert_eq!((read.status, read.text().as_str()), (200, "first"));
}

#[test]
fn grants_in_postgresql_suffice() {
    let mut scene = Scene::local();
    scene.sql(
        "ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY; ALTER TABLE shop.orders FORCE ROW LEVEL SECURITY; \
         SELECT lo_from_bytea(4100000007, 'not for everybody')",
    );
    for role in ROLES {
        let script = scene.place.holdpoint(&["init", "--print-grants", role]).ended_with(0).stdout;
        // What is there already does no harm.
        for _ in 0..2 {
            scene.cluster.psql(&scene.database, &script);
        }
    }
    let (cluster, database) = (scene.cluster, scene.database.clone());
    let as_role = |place: &mut Place, role: &str| {
        place.set("DATABASE_URL", &cluster.url_as(&format!("holdpoint_{role}"), &database));
    };
    for role in ["writer", "guard"] {
        as_role(&mut scene.place, role);
        scene.place.backup();
        scene.place.holdpoint(&["verify", "latest", "--level", "full"]).ended_with(0);
    }
    as_role(&mut scene.place, "pruner");
    let report = scene.place.holdpoint(&["prune", "--json", "--keep-last", "1", "--minimum-age", "0"]);
    assert_eq!(report.ended_with(0).json()["dropped"][0]["outcome"], "gone");
    let copy = crate::scene::name("copy");
    cluster.psql("postgres", &format!("SET ROLE holdpoint_restorer; CREATE DATABASE {copy} TEMPLATE template0"));
    let into = cluster.url_as("holdpoint_restorer", &copy);
    let words = ["restore", "--from", "latest", "--into", &into, "--no-owner", "--no-privileges"];
    scene.place.holdpoint(&words).ended_with(0);
    cluster.drop_database(&copy);
    // Reading is all that they may.
    for role in ["writer", "guard", "pruner", "cron"] {
        let may = |right: &str| {
            let sql = format!("SELECT has_table_privilege('holdpoint_{role}', 'shop.orders', '{right}')");
            scene.sql(&sql).trim() == "t"
        };
        assert_eq!(may("SELECT"), role != "pruner", "{role}");
        assert!(!may("INSERT, UPDATE, DELETE, TRUNCATE"), "{role}");
    }
}
