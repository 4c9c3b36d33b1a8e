//! A swap that is killed, or interrupted, at every named phase: one of the two is in service, or `leftovers` mends it.

use std::time::{Duration, Instant};

use holdpoint_testkit::{Cluster, ClusterOptions, NEWEST};
use holdpoint_tests::Place;
use serde_json::Value;

use super::{Damaged, is_open, others};
use crate::scene::Scene;

const GONE_WITHIN: Duration = Duration::from_secs(300);
pub(super) const SWAP: [&str; 6] = ["restore", "--from", "latest", "--swap", "--skip-compare", "--yes"];

/// A server of its own: `leftovers --remove` would take what other tests are working on.
pub(super) fn own_server() -> &'static Cluster {
    Box::leak(Box::new(Cluster::start(ClusterOptions::major(NEWEST))))
}

/// Waits until the server has noticed that the killed process is gone.
pub(super) fn wait_until_alone(cluster: &Cluster) {
    wait_until_none(cluster, "true");
}

/// Waits until the server has no other session of which a condition on `pg_stat_activity` is so.
pub(super) fn wait_until_none(cluster: &Cluster, which: &str) {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND {which}"
    );
    let deadline = Instant::now() + GONE_WITHIN;
    while cluster.psql("postgres", &sql) != "0" {
        assert!(Instant::now() < deadline, "{}", cluster.psql("postgres", "SELECT * FROM pg_stat_activity"));
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(super) fn kill_at(scene: &Scene, arguments: &[&str], phase: &str) {
    let mut run = scene.place.start_paused(arguments, phase);
    run.wait_for_pause();
    run.kill();
    run.finish().ended_with(137);
    wait_until_alone(scene.cluster);
}

pub(super) fn leftovers(scene: &Scene, arguments: &[&str]) -> Vec<Value> {
    let report = scene.place.holdpoint(&[&["leftovers", "--json"], arguments].concat()).ended_with(0).json();
    report["leftovers"].as_array().unwrap().clone()
}

pub(super) fn of_kind<'a>(leftovers: &'a [Value], kind: &str) -> Option<&'a Value> {
    leftovers.iter().find(|one| one["kind"] == kind)
}

/// Nothing is left after it, the live database is in service, and the next swap works.
fn mended(damaged: &Damaged) {
    let scene = &damaged.scene;
    for one in leftovers(scene, &["--remove", "--min-age", "0s"]) {
        assert_eq!(one["removed"], true, "{one:#}");
    }
    assert_eq!(leftovers(scene, &[]), [Value::Null; 0]);
    assert_eq!(others(scene.cluster, &scene.database), [""; 0]);
    assert!(is_open(scene.cluster, &scene.database));
    scene.place.backup();
}

#[test]
fn before_the_database_is_closed() {
    let damaged = Damaged::on(own_server());
    let scene = &damaged.scene;
    for phase in ["preflight", "creating-database", "restoring", "restored", "comparing", "fencing"] {
        kill_at(scene, &SWAP, phase);
        damaged.assert_live_is(&damaged.after);
        let left = leftovers(scene, &[]);
        assert_eq!(of_kind(&left, "closed_database"), None, "{phase}");
        let copy = of_kind(&left, "scratch_database");
        assert_eq!(copy.is_some(), !["preflight", "creating-database"].contains(&phase), "{phase}: {left:#?}");
        if phase == "fencing" {
            let reason = copy.unwrap()["reason"].as_str().unwrap();
            assert!(reason.contains("matched") && reason.contains("--swap-in"), "{reason}");
        } else if let Some(copy) = copy {
            assert_eq!(copy["dead"], true, "{phase}: worth nothing at any age: {copy:#}");
        }
        let old_point = scene.place.points();
        mended(&damaged);
        damaged.assert_live_is(&damaged.after);
        // That backup has the damage; the swap is for the first.
        assert_eq!(scene.place.points().len(), old_point.len() + 1);
    }
}

#[test]
fn while_the_database_is_closed() {
    for phase in ["ending-sessions", "swapping"] {
        let damaged = Damaged::on(own_server());
        let scene = &damaged.scene;
        kill_at(scene, &SWAP, phase);
        assert!(!is_open(scene.cluster, &scene.database), "{phase}");
        // Whoever meets the closed door is told where to look.
        let failure = scene.place.holdpoint(&["backup", "--json"]).ended_with(7).failure();
        failure.says(&["not currently accepting connections"]).hints(&["holdpoint leftovers"]);
        let left = leftovers(scene, &[]);
        let closed = of_kind(&left, "closed_database").unwrap_or_else(|| panic!("{phase}: {left:#?}"));
        assert_eq!(closed["id"], scene.database.as_str());
        let reason = closed["reason"].as_str().unwrap();
        assert!(reason.contains("--remove") && reason.contains("holdpoint restore --swap-in"), "{reason}");
        // A young copy that is ready is hours of work: it stays, and the live one is opened.
        let removed = leftovers(scene, &["--remove"]);
        assert_eq!(of_kind(&removed, "closed_database").unwrap()["removed"], true);
        assert_eq!(of_kind(&removed, "scratch_database").unwrap()["removed"], false);
        damaged.assert_live_is(&damaged.after);
        mended(&damaged);
        damaged.assert_live_is(&damaged.after);
    }
}

#[test]
fn going_on_where_it_was_killed() {
    for phase in ["fencing", "ending-sessions", "swapping"] {
        let damaged = Damaged::on(own_server());
        let scene = &damaged.scene;
        let name = &scene.database;
        scene.sql(&format!(
            "ALTER DATABASE {name} SET lock_timeout = '7s'; GRANT TEMPORARY ON DATABASE {name} TO pg_monitor"
        ));
        kill_at(scene, &SWAP, phase);
        // What is changed while the copy waits is the copy's, too.
        let change = format!(
            "ALTER DATABASE {name} RESET lock_timeout; ALTER DATABASE {name} SET work_mem = '9MB'; \
             ALTER ROLE postgres IN DATABASE {name} SET work_mem = '8MB'; ALTER DATABASE {name} CONNECTION LIMIT 55; \
             REVOKE TEMPORARY ON DATABASE {name} FROM pg_monitor; GRANT CONNECT ON DATABASE {name} TO pg_read_all_stats"
        );
        scene.cluster.psql("postgres", &change);
        let properties = damaged.properties().replacen("|f|", "|t|", 1);
        let left = leftovers(scene, &[]);
        let copy = of_kind(&left, "scratch_database").unwrap()["id"].as_str().unwrap().to_owned();
        scene.place.holdpoint(&["restore", "--swap-in", &copy, "--yes"]).ended_with(0);
        damaged.assert_live_is(&damaged.before);
        assert_eq!(damaged.properties(), properties, "{phase}");
        mended(&damaged);
        damaged.assert_live_is(&damaged.before);
    }
}

/// A live database that a kill left closed is looked at as any other: whose it is, and who may swap it.
#[test]
fn a_copy_that_was_never_ready_closed_nothing() {
    let damaged = Damaged::on(own_server());
    let scene = &damaged.scene;
    kill_at(scene, &SWAP, "restoring");
    assert!(of_kind(&leftovers(scene, &[]), "scratch_database").is_some());
    // A second swap goes through: the database before is kept, closed, and the dead copy names it.
    let swapped = scene.place.holdpoint(&[&SWAP[..], &["--json"]].concat()).ended_with(0).json();
    let kept = swapped["kept_as"].as_str().unwrap();
    let left = leftovers(scene, &[]);
    assert_eq!(of_kind(&left, "closed_database"), None, "{left:#?}");
    leftovers(scene, &["--remove"]);
    assert!(!is_open(scene.cluster, kept), "it is kept, closed and whole");
    mended(&damaged);
}

#[test]
fn going_on_takes_what_a_swap_takes() {
    let damaged = Damaged::on(own_server());
    let scene = &damaged.scene;
    kill_at(scene, &SWAP, "swapping");
    let copy = of_kind(&leftovers(scene, &[]), "scratch_database").unwrap()["id"].as_str().unwrap().to_owned();
    let plain = format!("plain_{}", scene.database);
    scene.cluster.psql("postgres", &format!("CREATE ROLE {plain} LOGIN CREATEDB"));
    let swap_in = |place: &Place, url: &str| {
        place.holdpoint(&["restore", "--swap-in", &copy, "--yes", "--json", "--into", url]).ended_with(3).failure()
    };
    let refused = swap_in(&scene.place, &scene.cluster.url_as(&plain, &scene.database));
    refused.says(&[&plain, "may not rename"]).hints(&["GRANT", "--into"]);
    let other = Scene::on(scene.cluster, Place::local());
    other.place.backup();
    let refused = swap_in(&other.place, &scene.cluster.url(&scene.database));
    refused.says(&["not the database that the folder"]).hints(&["holdpoint adopt"]);
    assert!(!is_open(scene.cluster, &scene.database) && others(scene.cluster, &scene.database).contains(&copy));
    scene.place.holdpoint(&["restore", "--swap-in", &copy, "--yes"]).ended_with(0);
    damaged.assert_live_is(&damaged.before);
}

#[test]
fn before_the_folder_follows() {
    let damaged = Damaged::on(own_server());
    let scene = &damaged.scene;
    kill_at(scene, &SWAP, "recording-identity");
    damaged.assert_live_is(&damaged.before);
    scene.place.holdpoint(&["backup", "--json"]).ended_with(3).failure().says(&["belongs to another database"]);
    let left = leftovers(scene, &[]);
    let stale = of_kind(&left, "stale_identity").unwrap_or_else(|| panic!("{left:#?}"));
    assert!(stale["reason"].as_str().unwrap().contains("--remove"), "{stale:#}");
    let kept = of_kind(&left, "replaced_database").unwrap()["id"].as_str().unwrap().to_owned();
    // The old one is young and stays.
    leftovers(scene, &["--remove"]);
    assert_eq!(others(scene.cluster, &scene.database), std::slice::from_ref(&kept));
    scene.place.backup();
    scene.place.holdpoint(&["restore", "--swap-in", &kept, "--yes"]).ended_with(0);
    damaged.assert_live_is(&damaged.after);
    mended(&damaged);
}

#[test]
fn putting_the_old_one_back() {
    for phase in ["preflight", "fencing", "ending-sessions", "swapping", "recording-identity"] {
        let damaged = Damaged::on(own_server());
        let scene = &damaged.scene;
        let report = scene.place.holdpoint(&[&SWAP[..], &["--json"]].concat()).ended_with(0).json();
        let kept = report["kept_as"].as_str().unwrap();
        let back = ["restore", "--swap-in", kept, "--yes"];
        kill_at(scene, &back, phase);
        let closed = of_kind(&leftovers(scene, &[]), "closed_database").is_some();
        assert_eq!(closed, ["ending-sessions", "swapping"].contains(&phase), "{phase}");
        if phase == "recording-identity" {
            damaged.assert_live_is(&damaged.after);
        } else {
            leftovers(scene, &["--remove"]);
            damaged.assert_live_is(&damaged.before);
            scene.place.holdpoint(&back).ended_with(0);
            damaged.assert_live_is(&damaged.after);
        }
        mended(&damaged);
        damaged.assert_live_is(&damaged.after);
    }
}

/// Ctrl-C undoes what was begun, by itself.
#[test]
fn interrupted() {
    let damaged = Damaged::on(own_server());
    let scene = &damaged.scene;
    for phase in ["creating-database", "restoring", "restored", "comparing", "fencing", "ending-sessions", "swapping"] {
        let mut run = scene.place.start_paused(&[&SWAP[..], &["--json"]].concat(), phase);
        run.wait_for_pause();
        run.interrupt();
        assert_eq!(run.finish().ended_with(130).failure().kind, "interrupted", "{phase}");
        damaged.assert_live_is(&damaged.after);
        let ready = ["fencing", "ending-sessions", "swapping"].contains(&phase);
        assert_eq!(others(scene.cluster, &scene.database).len(), usize::from(ready), "{phase}");
        wait_until_alone(scene.cluster);
        leftovers(scene, &["--remove", "--min-age", "0s"]);
    }
}
