//! What a swap refuses, before anything is made.

use holdpoint_testkit::Cluster;
use holdpoint_tests::{Failure, Place};

use super::killed::{own_server, wait_until_none};
use super::{Damaged, others, server, text};
use crate::scene;

/// The swap is refused with this code, and nothing was made or changed.
#[track_caller]
fn refused(damaged: &Damaged, arguments: &[&str], code: i32) -> Failure {
    let scene = &damaged.scene;
    let tree = scene.place.tree();
    let all = [&["restore", "--json"], arguments].concat();
    let failure = scene.place.holdpoint(&all).ended_with(code).failure();
    damaged.assert_live_is(&damaged.after);
    assert_eq!(others(scene.cluster, &scene.database), [""; 0]);
    assert_eq!(tree, scene.place.tree());
    failure
}

const SWAP: [&str; 4] = ["--from", "latest", "--swap", "--yes"];

#[test]
fn nobody_confirmed() {
    let damaged = Damaged::on(server());
    refused(&damaged, &SWAP[..3], 16).says(&["nobody confirmed"]).hints(&["--yes"]);
}

#[test]
fn a_dry_run_lists_what_is_in_the_way() {
    let damaged = Damaged::on(server());
    let scene = &damaged.scene;
    // In this order: a slot waits for every transaction that is open.
    let slot = format!("slot_{}", scene.database);
    scene.sql(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'test_decoding')"));
    let gid = format!("left_{}", scene.database);
    scene.sql(&format!("BEGIN; DELETE FROM shop.new; PREPARE TRANSACTION '{gid}'"));
    refused(&damaged, &SWAP, 3)
        .says(&["prepared transactions", &gid, "replication slots", &slot])
        .hints(&["ROLLBACK PREPARED", "pg_drop_replication_slot"]);
    let dry = scene.place.holdpoint(&["restore", "--from", "latest", "--swap", "--dry-run", "--json"]);
    let plan = dry.ended_with(3).json();
    assert_eq!(plan["plan"]["obstacles"].as_array().unwrap().len(), 2, "{plan:#}");
    let shown = scene.place.holdpoint(&["restore", "--from", "latest", "--swap", "--dry-run"]).ended_with(3).stdout;
    assert!(shown.contains("in the way") && shown.contains("shop.order_lines: "), "{shown}");
    scene.sql(&format!("SELECT pg_drop_replication_slot('{slot}')"));
    scene.sql(&format!("ROLLBACK PREPARED '{gid}'"));
}

#[test]
fn a_subscription_writes_into_it() {
    let damaged = Damaged::on(server());
    let scene = &damaged.scene;
    let name = format!("sub_{}", scene.database);
    scene.sql(&format!(
        "CREATE SUBSCRIPTION {name} CONNECTION 'host=/nowhere dbname=x' PUBLICATION p WITH (connect = false); \
         ALTER SUBSCRIPTION {name} ENABLE"
    ));
    let swap = scene.place.holdpoint(&[&["restore", "--json"], &SWAP[..]].concat());
    swap.ended_with(3).failure().says(&["subscriptions", &name]).hints(&["DISABLE"]);
    scene.sql(&format!(
        "ALTER SUBSCRIPTION {name} DISABLE; ALTER SUBSCRIPTION {name} SET (slot_name = NONE); DROP SUBSCRIPTION {name}"
    ));
}

#[test]
fn a_role_that_may_not() {
    let mut damaged = Damaged::on(server());
    let cluster = damaged.scene.cluster;
    let live = damaged.scene.database.clone();
    let (plain, owner) = (format!("plain_{live}"), format!("owner_{live}"));
    cluster.psql(
        "postgres",
        &format!("CREATE ROLE {plain} LOGIN CREATEDB; CREATE ROLE {owner} LOGIN; GRANT pg_read_all_data TO {plain}"),
    );
    let admin = cluster.url(&live);
    let url = cluster.url_as(&plain, &live);
    // The URL of the target decides, not the one that backups use.
    refused(&damaged, &[&SWAP[..], &["--into", &url]].concat(), 3)
        .says(&[&plain, "may not rename"])
        .hints(&["GRANT", "--into"]);
    cluster.psql("postgres", &format!("ALTER DATABASE {live} OWNER TO {owner}"));
    let url = cluster.url_as(&owner, &live);
    damaged.scene.place.set("DATABASE_URL", &url);
    refused(&damaged, &SWAP, 3).says(&[&owner, "may not create databases"]).hints(&["CREATEDB", "--into URL"]);
    cluster.psql("postgres", &format!("ALTER ROLE {owner} CONNECTION LIMIT 6"));
    let failure = refused(&damaged, &[&SWAP[..], &["--jobs", "3"]].concat(), 3);
    failure.says(&[&owner, "connections left of its limit, the restore takes 7"]).hints(&["CONNECTION LIMIT"]);
    cluster.psql("postgres", &format!("ALTER ROLE {owner} CONNECTION LIMIT -1"));
    // And whose sessions it cannot end.
    let mut idle = cluster.program("psql");
    let mut idle = idle.args(["-X", "-d", &live, "-c", "SELECT pg_sleep(600)"]).spawn().unwrap();
    let there = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{live}' AND query ~ 'sleep.600'");
    while cluster.psql("postgres", &there) == "0" {
        assert!(idle.try_wait().unwrap().is_none(), "psql ended");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    refused(&damaged, &SWAP, 3).says(&["may not end the sessions of postgres"]);
    idle.kill().unwrap();
    idle.wait().unwrap();
    damaged.scene.place.set("DATABASE_URL", &admin);
}

/// Settings that only a superuser could give to the copy stop it before anything is made, or before the exchange.
#[test]
fn settings_that_a_plain_owner_may_not_give() {
    let cluster = server();
    let live = scene::name("settings");
    let (other, member) = (format!("other_{live}"), format!("member_{live}"));
    cluster.psql("postgres", &format!("CREATE ROLE {live} LOGIN CREATEDB; CREATE ROLE {other}; CREATE ROLE {member}"));
    cluster.psql("postgres", &format!("CREATE DATABASE {live} OWNER {live}"));
    cluster.psql_as(
        &live,
        &live,
        &format!(
            "CREATE TABLE t AS SELECT generate_series(1, 100) AS a; GRANT TEMPORARY ON DATABASE {live} TO {member}; \
             ALTER DATABASE {live} SET work_mem = '5MB'; ALTER ROLE {live} IN DATABASE {live} SET search_path = public"
        ),
    );
    let superusers = [
        (format!("ALTER ROLE {other} IN DATABASE {live} SET work_mem = '6MB'"), "work_mem of role"),
        (format!("ALTER DATABASE {live} SET log_statement = 'none'"), "log_statement"),
        (format!("ALTER DATABASE {live} SET app.token = 'verysecret'"), "app.token"),
    ];
    let reset = format!("ALTER DATABASE {live} RESET ALL; ALTER ROLE {other} IN DATABASE {live} RESET ALL");
    let mine = format!("ALTER DATABASE {live} SET work_mem = '5MB'");
    let mut place = Place::local();
    place.source(cluster, &live).set("DATABASE_URL", &cluster.url_as(&live, &live));
    place.backup();
    cluster.psql_as(&live, &live, "DELETE FROM t");
    let swap = ["restore", "--from", "latest", "--swap", "--yes", "--skip-compare", "--json"];
    for (setting, named) in &superusers {
        cluster.psql("postgres", setting);
        let failure = place.holdpoint(&swap).ended_with(3).failure();
        failure.says(&["may not set", named, "for the database"]).hints(&["superuser", "--into"]);
        place.holdpoint(&["restore", "--from", "latest", "--swap", "--dry-run", "--json"]).ended_with(3);
        cluster.psql("postgres", &reset);
        cluster.psql("postgres", &mine);
    }
    // Made after the plan: found out before the work, and again before the exchange.
    for phase in ["creating-database", "comparing"] {
        for (setting, _) in &superusers {
            let mut run = place.start_paused(&swap, phase);
            run.wait_for_pause();
            cluster.psql("postgres", setting);
            run.go_on();
            let failure = run.finish().ended_with(3).failure();
            assert!(!format!("{failure:?}").contains("verysecret"), "{failure:?}");
            failure.says(&["may not be swapped", &format!("\"{live}\" SET"), "permission denied"]).hints(&["--into"]);
            assert_eq!(others(cluster, &live), [""; 0], "{phase}");
            assert_eq!(cluster.psql_as(&live, &live, "SELECT count(*) FROM t"), "0");
            cluster.psql("postgres", &reset);
            cluster.psql("postgres", &mine);
        }
    }
    cluster.psql_as(&live, &live, &format!("ALTER ROLE {live} IN DATABASE {live} SET search_path = public"));
    let catalog = format!(
        "SELECT (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(datacl) a), \
           (SELECT array_agg(setrole || setconfig::text ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = d.oid) \
         FROM pg_database d WHERE datname = '{live}'"
    );
    let before = cluster.psql("postgres", &catalog);
    assert!(before.contains(&member) && before.contains("5MB") && before.contains("search_path"), "{before}");
    place.holdpoint(&swap).ended_with(0);
    assert_eq!(cluster.psql_as(&live, &live, "SELECT count(*) FROM t"), "100");
    assert_eq!(cluster.psql("postgres", &catalog), before);
}

#[test]
fn a_database_that_is_not_the_folders() {
    let damaged = Damaged::on(server());
    let scene = &damaged.scene;
    let other = scene.empty_database();
    let url = scene.cluster.url(&other);
    refused(&damaged, &[&SWAP[..], &["--into", &url]].concat(), 3)
        .says(&["not the database that the folder shop belongs to"])
        .hints(&["holdpoint adopt", "--replace"]);
    scene.cluster.drop_database(&other);
    // Another server altogether, with the same name; of a copy the system identifier would be the same, too.
    let elsewhere = Cluster::shared(holdpoint_testkit::NEWEST);
    elsewhere.create_database(&scene.database);
    let url = elsewhere.url(&scene.database);
    refused(&damaged, &[&SWAP[..], &["--into", &url]].concat(), 3).says(&["endpoint"]);
    elsewhere.drop_database(&scene.database);
}

/// Another name for the same server is no other server.
#[test]
fn another_way_to_the_same_server_is_taken() {
    let damaged = Damaged::on(server());
    let scene = &damaged.scene;
    let link = scene.place.path().join("socket");
    std::os::unix::fs::symlink(scene.cluster.socket_directory(), &link).unwrap();
    let url = scene.cluster.url(&scene.database);
    let directory = scene.cluster.socket_directory().to_string_lossy().into_owned();
    let escaped = directory.replace('/', "%2F");
    let other = link.to_string_lossy().into_owned();
    let there = if url.contains(&escaped) {
        url.replace(&escaped, &other.replace('/', "%2F"))
    } else {
        url.replace(&directory, &other)
    };
    assert_ne!(url, there);
    let swap = [&["restore", "--json", "--into", &there], &SWAP[..]].concat();
    scene.place.holdpoint(&swap).ended_with(0);
    damaged.assert_live_is(&damaged.before);
    scene.place.backup();
}

#[test]
fn points_that_hold_too_little() {
    let damaged = Damaged::on(server());
    let scene = &damaged.scene;
    let part = scene.place.holdpoint(&["backup", "--table", "shop.orders", "--json"]).ended_with(0).json();
    let part = part["manifest"]["id"].as_str().or(part["id"].as_str()).unwrap_or_else(|| panic!("{part:#}")).to_owned();
    refused(&damaged, &["--from", &part, "--swap", "--yes"], 3).says(&["a part of the database only"]);
    std::fs::write(scene.place.work().join("old.sql"), "CREATE TABLE t (a int);\n").unwrap();
    refused(&damaged, &["--from", "./old.sql", "--swap", "--yes"], 3)
        .says(&["no fingerprint"])
        .hints(&["empty database"]);
    refused(&damaged, &["--swap-in", "nothing_of_that_name", "--yes"], 3).hints(&["holdpoint leftovers"]);
    let rescue = format!("{}_rescue", scene.database);
    scene.cluster.create_database(&rescue);
    refused(&damaged, &["--swap-in", &rescue, "--yes"], 3).says(&["mark"]);
    scene.cluster.drop_database(&rescue);
}

/// Damage of the stored bytes shows while the copy is made, and costs the live database nothing.
#[test]
fn a_damaged_archive() {
    let damaged = Damaged::on(server());
    let place = &damaged.scene.place;
    let report = place.holdpoint(&["show", "--json"]).ended_with(0).json();
    let key = report["manifest"]["archive"]["key"].as_str().unwrap().to_owned();
    let whole = place.object(&key);
    let mut bytes = whole.clone();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    place.put_object(&key, &bytes);
    refused(&damaged, &SWAP, 4);
    place.put_object(&key, &whole);
    place.holdpoint(&[&["restore"], &SWAP[..]].concat()).ended_with(0);
    damaged.assert_live_is(&damaged.before);
}

/// One swap at a time, and a backup's folder never follows a copy.
#[test]
fn a_second_swap_at_the_same_time() {
    // It removes leftovers of the whole server.
    let damaged = Damaged::on(own_server());
    let scene = &damaged.scene;
    let swap = [&["restore", "--json"], &SWAP[..]].concat();
    let mut first = scene.place.start_paused(&swap, "fencing");
    first.wait_for_pause();
    let second = scene.place.holdpoint(&swap).ended_with(3).failure();
    second.says(&["another swap is at work"]).hints(&["wait"]);
    let report = scene.place.holdpoint(&["leftovers", "--remove", "--min-age", "0s", "--json"]).json();
    let copy = others(scene.cluster, &scene.database).remove(0);
    let listed = report["leftovers"].as_array().unwrap().iter().find(|one| one["id"] == copy.as_str()).unwrap();
    assert_eq!((&listed["dead"], &listed["removed"]), (&false.into(), &false.into()), "{listed:#}");
    first.go_on();
    first.finish().ended_with(0);
    damaged.assert_live_is(&damaged.before);
}

/// Neither puts aside what a guarded command is changing, nor lets one begin in what is about to be put aside.
#[test]
fn a_guarded_run_at_work() {
    let damaged = Damaged::on(server());
    let scene = &damaged.scene;
    let point = scene.place.points().remove(0);
    let swap = ["restore", "--from", &point, "--swap", "--yes", "--skip-compare", "--json"];
    let wait = "touch at-work; while [ ! -e go ]; do sleep 0.05; done";
    let mut guarded = scene.place.start(&["guard", "--json", "--", "sh", "-c", wait]);
    let marker = scene.place.work().join("at-work");
    guarded.wait_until("the command is at work", std::time::Duration::from_secs(120), || marker.exists());
    let failure = scene.place.holdpoint(&swap).ended_with(3).failure();
    failure
        .says(&["may not be swapped", "guarded run or swap is at this database"])
        .hints(&["retry", "pg_terminate_backend"]);
    assert_eq!(others(scene.cluster, &scene.database), [""; 0]);
    std::fs::write(scene.place.work().join("go"), "").unwrap();
    guarded.finish().ended_with(0);
    // Both ways in: the whole swap, and a copy that is put in.
    let mut run = scene.place.start_paused(&swap, "fencing");
    run.wait_for_pause();
    let guard = ["guard", "--json", "--", "touch", "ran"];
    scene.place.holdpoint(&guard).ended_with(14).failure().says(&["holdpoint swap (process"]).hints(&["retry"]);
    wait_until_none(
        scene.cluster,
        &format!("datname = '{}' AND application_name NOT LIKE 'holdpoint swap%'", scene.database),
    );
    run.go_on();
    let report = run.finish().ended_with(0).json();
    damaged.assert_live_is(&damaged.before);
    assert_eq!(report["sessions_ended"], 0, "its own are none: {report:#}");
    let back = ["restore", "--swap-in", text(&report, "kept_as"), "--yes", "--json"];
    let mut run = scene.place.start_paused(&back, "fencing");
    run.wait_for_pause();
    scene.place.holdpoint(&guard).ended_with(14).failure().says(&["holdpoint swap (process"]);
    run.go_on();
    run.finish().ended_with(0);
    damaged.assert_live_is(&damaged.after);
    assert!(!scene.place.work().join("ran").exists());
}
