//! Guards that are ended from their command on: it runs, is judged and recorded, and what failed is undone at once.

use super::{ANEW, Bench, By, FROM_THE_COMMAND_ON, ROLLED_BACK, SWAPPED, no_other};

#[test]
fn ended_from_its_command_on_it_is_judged_afresh_and_undone_or_settled() {
    let bench = Bench::that_adds();
    for phase in FROM_THE_COMMAND_ON {
        let outcome = bench.ended(&ANEW, phase, By::Kill);
        outcome.ended_with(137);
        bench.assert_stands("interrupted", true, phase, By::Kill);
        let shown = bench.project.scene.place.holdpoint(&["show", "run:latest", "--json"]).ended_with(0).json();
        if phase == "running-command" {
            let found = (&shown["found"]["applied"], &shown["found"]["schema_changes"]);
            assert_eq!(found, (&"unchanged".into(), &serde_json::json!([])), "{:#}", shown["found"]);
            bench.assert_as_before(phase, By::Kill);
            let words = ["settle", "latest", "--reason", "nothing ran", "--json"];
            bench.project.scene.place.holdpoint(&words).ended_with(0);
        } else {
            // No table says that all of it was applied; the schema says that something was.
            let found = (&shown["found"]["applied"], shown["found"]["schema_changes"].to_string());
            assert!(found.0 == "partly" && found.1.contains("tags"), "{phase}: {:#}", shown["found"]);
            assert!(bench.project.has_added_table(), "{phase}");
            let undone = bench.project.undo("latest", &["--way", "rollback"], 0).json();
            assert_eq!(undone["state"], "undone", "{phase}: {undone:#}");
            bench.assert_as_before(phase, By::Kill);
        }
        // What has ended cannot be interrupted: it is told what it did.
        let outcome = bench.ended(&ANEW, phase, By::CtrlC);
        if phase == "running-command" {
            let report = outcome.ended_with(130).json();
            assert_eq!((&report["state"], &report["interrupted"]), (&"rolled_back".into(), &true.into()), "{report:#}");
            bench.assert_stands("rolled_back", false, phase, By::CtrlC);
        } else {
            let report = outcome.ended_with(0).json();
            assert_eq!((&report["state"], &report["interrupted"]), (&"succeeded".into(), &false.into()), "{report:#}");
            bench.assert_stands("succeeded", false, phase, By::CtrlC);
            bench.project.undo("latest", &["--way", "rollback"], 0);
        }
        bench.assert_as_before(phase, By::CtrlC);
    }
    assert_eq!(bench.project.pending(), ["1_adds.sql"]);
    bench.passes(&ANEW, 0);
    assert!(bench.project.has_added_table());
}

const ACCEPTED: [&str; 2] = ["--accept-data-loss-since", "2026-01-01T00:00:00Z"];
const AT_ONCE: [&str; 6] = ["--level", "stored", "--no-rehearse", "--progress", "json", "--on-failure"];

#[test]
fn ended_while_it_rolls_back_what_failed_the_undo_goes_on() {
    let bench = Bench::that_fails();
    let flags = [&AT_ONCE[..], &["rollback"]].concat();
    for phase in ROLLED_BACK {
        for by in [By::Kill, By::CtrlC] {
            let outcome = bench.ended(&flags, phase, by);
            outcome.ended_with(if by == By::Kill { 137 } else { 13 });
            bench.assert_stands("interrupted_in_undo", true, phase, by);
            let undone = bench.project.undo("latest", &[], 0).json();
            let how = (&undone["plan"]["way"], &undone["state"]);
            assert_eq!(how, (&"rollback".into(), &"undone".into()), "{phase}, {by:?}: {undone:#}");
            bench.assert_stands("undone", false, phase, by);
            bench.assert_as_before(phase, by);
        }
    }
    let passed = bench.passes(&flags, 12);
    bench.assert_as_before("the end", By::Kill);
    for phase in ROLLED_BACK {
        assert!(passed.contains(phase), "{phase}: {passed:?}");
    }
    no_other(&passed);
}

#[test]
fn ended_while_it_swaps_what_failed_the_undo_goes_on_or_is_settled() {
    let bench = Bench::that_fails();
    let (project, cluster) = (&bench.project, bench.project.scene.cluster);
    let open = format!("SELECT datallowconn FROM pg_database WHERE datname = '{}'", project.scene.database);
    let flags = [&AT_ONCE[..], &["restore"], &ACCEPTED].concat();
    for phase in SWAPPED {
        for by in [By::Kill, By::CtrlC] {
            let outcome = bench.ended(&flags, phase, by);
            let swapped = phase == "recording-identity";
            outcome.ended_with(if by == By::Kill { 137 } else { 13 });
            if by == By::Kill && ["ending-sessions", "swapping"].contains(&phase) {
                // Nobody can ask a database that is closed.
                bench.assert_stands("undoing_or_interrupted", true, phase, by);
                assert_eq!(cluster.psql("postgres", &open), "f", "{phase}");
                project.undo("latest", &[], 7).failure().hints(&["holdpoint leftovers"]);
                project.scene.place.holdpoint(&["leftovers", "--remove"]).ended_with(0);
            }
            assert_eq!(cluster.psql("postgres", &open), "t", "{phase}, {by:?}");
            assert_ne!(project.has_added_table(), swapped, "{phase}, {by:?}");
            if swapped && by == By::Kill {
                bench.assert_stands("interrupted_in_undo", true, phase, by);
                // Nothing is swapped again: the folder follows, and somebody declares it done.
                project.undo("latest", &[], 3).failure().says(&["its undo swapped the databases"]);
                project.scene.place.holdpoint(&["leftovers", "--remove"]).ended_with(0);
                let words = ["settle", "latest", "--reason", "the copy is in its place", "--json"];
                project.scene.place.holdpoint(&words).ended_with(0);
                bench.assert_stands("settled", false, phase, by);
            } else if swapped {
                // What came in between was not looked at; another undo finds nothing left to do, and compares all of it.
                bench.assert_stands("undo_failed", true, phase, by);
                let undone = project.undo("latest", &[], 0).json();
                assert_eq!(undone["state"], "undone", "{phase}, {by:?}: {undone:#}");
                bench.assert_stands("undone", false, phase, by);
            } else {
                bench.assert_stands("interrupted_in_undo", true, phase, by);
                let undone = project.undo("latest", &ACCEPTED, 0).json();
                let how = (&undone["plan"]["way"], &undone["state"]);
                assert_eq!(how, (&"restore".into(), &"undone".into()), "{phase}, {by:?}: {undone:#}");
                bench.assert_stands("undone", false, phase, by);
            }
            bench.assert_as_before(phase, by);
        }
    }
    let passed = bench.passes(&flags, 12);
    bench.assert_as_before("the end", By::Kill);
    for phase in SWAPPED {
        assert!(passed.contains(phase), "{phase}: {passed:?}");
    }
    no_other(&passed);
}
