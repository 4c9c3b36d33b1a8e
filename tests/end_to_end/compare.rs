//! What a restore would lose, as a person asks it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use serde_json::Value;

use crate::scene::Scene;
use holdpoint_tests::{Place, shell};

fn names(list: &Value, key: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|one| one[key].as_str().unwrap().to_owned()).collect()
}

fn changed(scene: &Scene) {
    scene.sql(
        "UPDATE shop.orders SET note = 'a secret' WHERE id = 7; DELETE FROM shop.events WHERE id IN (1, 2);
         INSERT INTO shop.events (at, kind, body) VALUES (now(), 'new', '{}'); ALTER TABLE shop.products ADD COLUMN weight int;",
    );
}

#[test]
fn what_changed_is_told_and_nothing_is_touched() {
    for place in [Place::local(), Place::on_s3()] {
        let scene = Scene::with(place);
        scene.place.backup();
        let equal = scene.place.holdpoint(&["compare"]).ended_with(0);
        assert!(
            equal.stdout.starts_with("equal: restore point ") && equal.stdout.contains("5 of 5 tables equal"),
            "{equal:?}"
        );
        changed(&scene);
        let before = scene.before();
        let different = scene.place.holdpoint(&["compare", "latest", "--json"]).ended_with(15).json();
        assert_eq!(different["equal"], false);
        let tables = &different["tables"]["differences"];
        assert_eq!(names(tables, "table"), ["shop.events", "shop.orders", "shop.products"]);
        assert_eq!(names(tables, "change"), ["rows", "rows", "columns"]);
        assert_eq!(tables[0]["rows_then"].as_u64(), tables[0]["rows_now"].as_u64().map(|rows| rows + 1));
        assert_eq!(tables[1]["rows_then"], tables[1]["rows_now"], "changed in place");
        let text = scene.place.holdpoint(&["compare", "--definitions"]).ended_with(15).stdout;
        for words in [
            "different: restore point ",
            "shop.orders",
            "rows differ",
            "columns changed (+weight)",
            "+    weight integer",
        ] {
            assert!(text.contains(words), "{words} is not in:\n{text}");
        }
        assert!(!text.contains("secret"), "{text}");
        scene.assert_untouched(&before);
    }
}

#[test]
fn rows_are_told_by_key_and_values_on_a_terminal_alone() {
    let scene = Scene::local();
    scene.place.backup();
    changed(&scene);
    let before = scene.before();
    let rows = |words: &[&str], code| scene.place.holdpoint(&[&["compare", "--rows"], words].concat()).ended_with(code);
    let events = rows(&["events", "--json"], 15).json();
    assert_eq!(events["counts"]["missing"], 2, "{events:#}");
    assert_eq!((events["counts"]["changed"].as_u64(), events["counts"]["new"].as_u64()), (Some(0), Some(1)));
    assert_eq!(events["rows"][0]["key"][0], "1");
    let orders = rows(&["shop.orders"], 15).stdout;
    assert!(orders.contains("by id: 0 missing now, 1 changed, 0 new"), "{orders}");
    assert!(orders.contains("changed  7   note"), "{orders}");
    assert!(!orders.contains("secret"), "values stay where they are: {orders}");
    assert!(rows(&["shop.customers"], 0).stdout.starts_with("equal: shop.customers"));
    let few = rows(&["events", "--limit", "1"], 15).stdout;
    assert!(few.contains("and 1 more: --limit"), "{few}");
    for flags in [&["shop.orders", "--show-values"][..], &["shop.orders", "--show-values", "--json"]] {
        let refused = rows(flags, 2);
        assert!(format!("{refused:?}").contains("on a terminal alone"), "{refused:?}");
    }
    let script = format!(
        "script -qec \"'{}' compare --rows shop.orders --show-values\" /dev/null || true",
        holdpoint_tests::program().display()
    );
    let shown = shell(&scene.place.work(), &scene.place.environment(), &script).ended_with(0).stdout;
    assert!(shown.contains("-> a secret"), "{shown}");
    scene.assert_untouched(&before);
}

#[test]
fn two_tables_need_no_repository() {
    let mut scene = Scene::local();
    scene.sql(
        "CREATE TABLE shop.shadow AS SELECT * FROM shop.customers; UPDATE shop.shadow SET name = 'x' WHERE id = 3",
    );
    scene.place.set("HOLDPOINT_REPOSITORY", "file:///nonexistent/repository");
    let pair = ["compare", "--table", "shop.customers", "--with", "shop.shadow"];
    let text = scene.place.holdpoint(&pair).ended_with(15).stdout;
    assert!(text.starts_with("different: shop.customers and shop.shadow") && text.contains("1 changed"), "{text}");
    scene.sql("UPDATE shop.shadow s SET name = c.name FROM shop.customers c WHERE c.id = s.id");
    scene.place.holdpoint(&pair).ended_with(0);
}

#[test]
fn what_cannot_be_compared_is_refused_with_its_reason() {
    let scene = Scene::local();
    let none = scene.place.holdpoint(&["compare", "--json"]).ended_with(6).failure();
    assert!(none.told.contains("there is none yet"), "{none:?}");
    scene.place.holdpoint(&["backup", "--exclude-table-data", "shop.events"]).ended_with(0);
    let part = scene.place.points().remove(0);
    scene.sql("CREATE TABLE shop.no_key (a int)");
    scene.place.backup();
    let before = scene.before();
    let refused = |words: &[&str], code| {
        scene.place.holdpoint(&[&["compare"], words, &["--json"]].concat()).ended_with(code).failure()
    };
    let unknown = refused(&["--rows", "shop.ordres"], 6);
    assert!(unknown.hint.contains("did you mean shop.orders"), "{unknown:?}");
    assert!(refused(&["--rows", "no_key"], 2).hint.contains("--key"));
    assert!(refused(&["--rows", "orders", "--key", "idd"], 2).hint.contains("id, customer"));
    assert_eq!(refused(&["--against", "shop_old"], 2).kind, "usage");
    assert!(refused(&[&part, "--rows", "events"], 6).told.contains("holds no rows of shop.events"));
    assert_eq!(refused(&["20200101T000000Z-aaaa"], 6).kind, "not_found");
    assert_eq!(refused(&["--key", "id"], 2).kind, "usage");
    for words in [
        &["latest", "--table", "a", "--with", "b"][..],
        &["--table", "a"],
        &["--rows", "a", "--quick"],
        &["--rows", ""],
        &["--limit", "-1"],
        &["--quick=0"],
    ] {
        refused(words, 2);
    }
    scene.assert_untouched(&before);
}

/// A restore point, or any database by its URL: the other side is what a person names.
#[test]
fn the_other_side_is_a_point_or_a_database() {
    let mut scene = Scene::on_s3();
    scene.place.backup();
    scene.place.prove();
    let then = scene.place.points().remove(0);
    let copy = scene.empty_database();
    let url = scene.cluster.url(&copy);
    scene.place.holdpoint(&["restore", "--from", "latest", "--into", &url]).ended_with(0);
    changed(&scene);
    scene.place.backup();
    let now = scene.place.points().into_iter().find(|id| *id != then).unwrap();
    scene.place.set("COPY_URL", &url);
    let before = scene.before();
    let compared = |words: &[&str], code| {
        scene.place.holdpoint(&[&["compare", &then], words, &["--json"]].concat()).ended_with(code).json()
    };
    let points = compared(&["--against", &now], 15);
    assert_eq!(names(&points["tables"]["differences"], "table"), ["shop.events", "shop.orders", "shop.products"]);
    assert_eq!((&points["now"]["kind"], &points["now"]["name"]), (&"restore_point".into(), &now.as_str().into()));
    let rows = compared(&["--against", &now, "--rows", "events"], 15);
    assert_eq!((rows["counts"]["missing"].as_u64(), rows["counts"]["new"].as_u64()), (Some(2), Some(1)), "{rows:#}");
    compared(&["--against", &then], 0);
    for database in [url.as_str(), "env:COPY_URL"] {
        assert_eq!(compared(&["--against", database], 0)["now"]["kind"], "database");
        assert_eq!(compared(&["--against", database, "--rows", "events"], 0)["counts"]["changed"], 0);
    }
    scene.assert_untouched(&before);
}

#[test]
fn a_table_that_was_renamed_is_found_where_it_is_named() {
    let scene = Scene::local();
    scene.place.backup();
    scene.sql(
        "ALTER TABLE shop.orders RENAME TO orders_2; ALTER TABLE shop.orders_2 RENAME note TO remark;
         UPDATE shop.orders_2 SET remark = 'other' WHERE id = 7",
    );
    let before = scene.before();
    let gone = scene.place.holdpoint(&["compare", "--rows", "shop.orders", "--json"]).ended_with(6).failure();
    assert!(gone.told.contains("shop.orders is not in ") && gone.hint.contains("--as shop.orders_2"), "{gone:?}");
    let named = ["compare", "--rows", "shop.orders", "--as", "shop.orders_2"];
    let text = scene.place.holdpoint(&named).ended_with(15).stdout;
    for words in
        ["shop.orders and shop.orders_2", "note, only in shop.orders\n", "remark, only in shop.orders_2\n", "0 changed"]
    {
        assert!(text.contains(words), "{words} is not in:\n{text}");
    }
    let renamed = [&named[..], &["--renamed", "note=remark"]].concat();
    let text = scene.place.holdpoint(&renamed).ended_with(15).stdout;
    assert!(text.contains("1 changed") && text.contains("changed  7   note"), "{text}");
    scene.assert_untouched(&before);
}

#[test]
fn a_table_that_stays_locked_is_busy() {
    let scene = Scene::local();
    scene.place.backup();
    let mut holder = scene.cluster.program("psql");
    holder.args(["-X", "-q", "-d", &scene.database]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = holder.spawn().unwrap();
    // What psql echoes, it has done.
    let mut words = holder.stdin.take().unwrap();
    writeln!(words, "BEGIN; LOCK TABLE shop.orders IN ACCESS EXCLUSIVE MODE;\n\\echo held").unwrap();
    let mut held = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut held).unwrap();
    assert_eq!(held, "held\n");
    for words in [&["compare"][..], &["compare", "--rows", "shop.orders"]] {
        let busy = scene.place.holdpoint(&[words, &["--lock-wait", "1s", "--json"]].concat()).ended_with(14).failure();
        assert!(busy.told.contains("for 1 s") && busy.hint.contains("--lock-wait"), "{busy:?}");
    }
    drop(words);
    assert!(holder.wait().unwrap().success());
    scene.place.holdpoint(&["compare"]).ended_with(0);
}
