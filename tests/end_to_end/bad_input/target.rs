//! What is wrong with the database to restore into.

use holdpoint_tests::{assert_same, contents};

use super::failed;
use crate::scene::Scene;

/// Restores into a target that must stay as it is.
fn target_untouched(scene: &Scene, target: &str, arguments: &[&str], code: i32) -> holdpoint_tests::Failure {
    let before = (contents(scene.cluster, target), scene.place.tree());
    let failure = failed(scene, arguments, code);
    assert_same("the target", &before.0, &contents(scene.cluster, target));
    assert_eq!(before.1, scene.place.tree());
    failure
}

#[test]
fn not_empty() {
    let scene = Scene::local();
    scene.place.backup();
    let target = scene.empty_database();
    let url = scene.cluster.url(&target);
    let restore = ["restore", "--from", "latest", "--into", &url];
    for (held, undo) in [
        ("CREATE TABLE t ()", "DROP TABLE t"),
        ("CREATE SCHEMA s", "DROP SCHEMA s"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "DROP FUNCTION f"),
        ("CREATE TYPE e AS ENUM ('a')", "DROP TYPE e"),
        ("SELECT lo_from_bytea(4200000000, 'x')", "SELECT lo_unlink(4200000000)"),
    ] {
        scene.cluster.psql(&target, held);
        target_untouched(&scene, &target, &restore, 3).says(&["not empty"]).hints(&["empty database"]);
        scene.cluster.psql(&target, undo);
    }
    scene.place.holdpoint(&restore).ended_with(0);
    scene.cluster.drop_database(&target);
}

/// Both have found it empty: the one that comes too late must not empty it of what the other one restored.
#[test]
fn two_restores_at_once() {
    let scene = Scene::local();
    scene.place.backup();
    let target = scene.empty_database();
    let url = scene.cluster.url(&target);
    let restore = ["restore", "--from", "latest", "--into", &url];
    let mut first = scene.place.start_paused(&restore, "restoring");
    first.wait_for_pause();
    failed(&scene, &restore, 14).says(&["another restore is at work"]).hints(&["wait"]);
    first.go_on();
    first.finish().ended_with(0);
    assert_same("the target", &contents(scene.cluster, &scene.database), &contents(scene.cluster, &target));
    scene.cluster.drop_database(&target);
}

/// Whoever lost its hold on the target must not empty it of what another one restores there by now.
#[test]
fn a_restore_whose_session_was_lost() {
    let scene = Scene::local();
    scene.place.backup();
    let target = scene.empty_database();
    let url = scene.cluster.url(&target);
    let restore = ["restore", "--from", "latest", "--into", &url, "--json"];
    let end = format!(
        "SELECT pg_terminate_backend(pid, 120000) FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
         WHERE locktype = 'advisory' AND datname = '{target}'"
    );
    // Alone, it leaves the target empty.
    let mut first = scene.place.start_paused(&restore, "restoring");
    first.wait_for_pause();
    assert_eq!(scene.cluster.psql("postgres", &end), "t");
    first.go_on();
    first.finish().ended_with(7);
    let mut first = scene.place.start_paused(&restore, "restoring");
    first.wait_for_pause();
    assert_eq!(scene.cluster.psql("postgres", &end), "t");
    let mut second = scene.place.start_paused(&restore, "restored");
    second.wait_for_pause();
    first.go_on();
    first.finish().ended_with(7).failure().says(&["another one is at work", "look before you drop anything"]);
    second.go_on();
    second.finish().ended_with(0);
    assert_same("the target", &contents(scene.cluster, &scene.database), &contents(scene.cluster, &target));
    scene.cluster.drop_database(&target);
}

/// Roles that own nothing, but stand in a grant, a policy or a default privilege of the restore point.
#[test]
fn roles_that_are_gone() {
    let scene = Scene::local();
    let role = |what: &str| format!("{what} of {}", scene.database);
    let (reader, member, owner) = (role("reader"), role("member"), role("owner"));
    scene.sql(&format!(
        "CREATE ROLE \"{reader}\"; CREATE ROLE \"{member}\"; CREATE ROLE \"{owner}\"; \
         GRANT SELECT (id) ON shop.orders TO \"{reader}\""
    ));
    let granted = scene.place.backup()["manifest"]["id"].as_str().unwrap().to_owned();
    scene.sql(&format!(
        "CREATE POLICY p ON shop.orders FOR SELECT TO \"{member}\" USING (true); \
         CREATE TABLE shop.theirs (); ALTER TABLE shop.theirs OWNER TO \"{owner}\""
    ));
    scene.place.backup();
    scene.sql("DROP POLICY p ON shop.orders; DROP TABLE shop.theirs");
    scene.sql(&format!("DROP OWNED BY \"{reader}\"; DROP ROLE \"{reader}\", \"{member}\", \"{owner}\""));
    let target = scene.empty_database();
    let url = scene.cluster.url(&target);
    let create = format!("CREATE ROLE \"{member}\"");
    for dry in [&["--dry-run"][..], &[]] {
        let restore = [&["restore", "--from", "latest", "--into", &url], dry].concat();
        target_untouched(&scene, &target, &restore, 3)
            .says(&[&reader, &member, &format!("own objects: {owner}"), "stand in grants"])
            .hints(&[&create, "globals.sql"]);
    }
    let swap = ["restore", "--from", "latest", "--swap", "--yes", "--skip-compare"];
    failed(&scene, &swap, 3).says(&["may not be swapped", &reader, &member, &owner]).hints(&[&create]);
    // Grants alone can be left out, and what is left out takes no role.
    let restore = ["restore", "--from", &granted, "--into", &url];
    target_untouched(&scene, &target, &restore, 3).says(&[&reader]).hints(&["--no-privileges"]);
    scene.place.holdpoint(&[&restore[..], &["--no-privileges"]].concat()).ended_with(0);
    scene.cluster.drop_database(&target);
}

#[test]
fn the_source_itself() {
    let scene = Scene::local();
    scene.place.backup();
    let url = scene.cluster.url(&scene.database);
    let restore = ["restore", "--from", "latest", "--into", &url];
    target_untouched(&scene, &scene.database, &restore, 3).says(&["not empty"]);
    target_untouched(&scene, &scene.database, &[&restore[..], &["--replace", "--yes"]].concat(), 3);
    // Marked by mistake: its identity decides.
    scene.place.write_config(&format!("[target.oops]\nurl = \"{url}\"\nproduction = false\n"));
    let restore = ["restore", "--from", "latest", "--into", "oops", "--replace", "--yes"];
    target_untouched(&scene, &scene.database, &restore, 3).says(&["may not be replaced"]);
}

#[test]
fn replaced_without_a_mark_or_without_a_word() {
    let scene = Scene::local();
    scene.place.backup();
    let target = scene.empty_database();
    scene.cluster.psql(&target, "CREATE TABLE mine AS SELECT 1 AS a");
    let url = scene.cluster.url(&target);
    let restore = ["restore", "--from", "latest", "--into", &url, "--replace"];
    target_untouched(&scene, &target, &[&restore[..], &["--yes"]].concat(), 3)
        .says(&["may not be replaced"])
        .hints(&["production = false"]);
    scene.place.write_config(&format!("[target.staging]\nurl = \"{url}\"\nproduction = false\n"));
    let restore = ["restore", "--from", "latest", "--into", "staging", "--replace"];
    target_untouched(&scene, &target, &restore, 16).hints(&["--yes"]);
    scene.place.holdpoint(&[&restore[..], &["--yes"]].concat()).ended_with(0);
    assert_eq!(scene.cluster.psql(&target, "SELECT count(*) > 0 FROM shop.orders"), "t");
    assert_eq!(scene.cluster.psql(&target, "SELECT to_regclass('mine') IS NULL"), "t");
    scene.cluster.drop_database(&target);
}

#[test]
fn masking_that_fails_leaves_the_old_one() {
    let scene = Scene::local();
    scene.place.backup();
    let target = scene.empty_database();
    scene.cluster.psql(&target, "CREATE TABLE mine AS SELECT 1 AS a");
    let url = scene.cluster.url(&target);
    scene.place.write_config(&format!("[target.staging]\nurl = \"{url}\"\nproduction = false\n"));
    std::fs::write(scene.place.work().join("mask.sql"), "UPDATE shop.customers SET email = 'x';\nSELECT 1 / 0;\n")
        .unwrap();
    let restore = ["restore", "--from", "latest", "--into", "staging", "--replace", "--after-sql", "mask.sql", "--yes"];
    target_untouched(&scene, &target, &restore, 7).says(&["division by zero"]);
    std::fs::write(scene.place.work().join("mask.sql"), "UPDATE shop.customers SET email = 'x';\n").unwrap();
    scene.place.holdpoint(&restore).ended_with(0);
    assert_eq!(scene.cluster.psql(&target, "SELECT DISTINCT email FROM shop.customers"), "x");
    scene.cluster.drop_database(&target);
}

#[test]
fn absent_or_unknown() {
    let scene = Scene::local();
    scene.place.backup();
    let url = scene.cluster.url("no such database");
    failed(&scene, &["restore", "--from", "latest", "--into", &url], 7).says(&["no such database"]);
    failed(&scene, &["restore", "--from", "latest", "--into", "stagign"], 2).says(&["--into"]);
}
