//! An undo that is killed, or ended by Ctrl-C, at each of its named steps, by each way: `runs` tells the truth, and the
//! same undo goes on from there. The way by RDS is in `rds::undo`.

use serde_json::Value;

use super::project::Project;

/// How an undo is ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Kill,
    CtrlC,
}

const BOTH: [By; 2] = [By::Kill, By::CtrlC];
/// Nothing of the undo is in the ledger yet.
const BEFORE_IT: (&str, bool) = ("succeeded", false);
const BROKEN_OFF: (&str, bool) = ("interrupted_in_undo", true);

/// A run of Drizzle that dropped a column and added a table, with scripts that undo both.
fn dropped(project: Project) -> (Project, String, Value) {
    let before = project.shop();
    project.write("drizzle/0001_drops.sql", "ALTER TABLE shop.orders DROP COLUMN note;\n");
    project.write("drizzle/rollbacks/0001_drops.sql", "ALTER TABLE shop.orders ADD COLUMN note text;\n");
    project.write("drizzle/0002_adds.sql", "CREATE TABLE shop.tags (id integer PRIMARY KEY);\n");
    project.write("drizzle/rollbacks/0002_adds.sql", "DROP TABLE shop.tags;\n");
    project.journal(&["0000_first", "0001_drops", "0002_adds"]);
    let report = project.guard(&["--level", "stored"], 0);
    (project, before, report)
}

fn run(report: &Value) -> &str {
    report["run"].as_str().unwrap()
}

/// The words of a way that may lose what was written since.
fn accepting<'a>(report: &'a Value, way: &'a str) -> Vec<&'a str> {
    let found = report["ways_back"].as_array().unwrap().iter().find(|one| one["way"] == way).unwrap();
    let since = found["command"].as_str().unwrap().split("--accept-data-loss-since ").nth(1).unwrap();
    vec![way, "--accept-data-loss-since", since]
}

/// How the run stands once the server has noticed that nobody is at it any more.
fn stands(project: &Project) -> (String, bool) {
    let mut now = project.stands();
    while now.0 == "undoing" {
        std::thread::sleep(std::time::Duration::from_millis(50));
        now = project.stands();
    }
    now
}

/// Ends the undo at a phase, and says how its run stands then.
#[track_caller]
fn ended(project: &Project, run: &str, way: &[&str], phase: &str, by: By) -> (String, bool) {
    let words = [&["undo", run, "--json", "--yes", "--way"], way].concat();
    let mut undo = project.scene.place.start_paused(&words, phase);
    undo.wait_for_pause();
    match by {
        By::Kill => {
            undo.kill();
            undo.finish().ended_with(137);
        }
        By::CtrlC => {
            undo.interrupt();
            let outcome = undo.finish().ended_with(130);
            let told: Value = serde_json::from_str(&outcome.stdout).unwrap_or_default();
            // Before it begins there is no report of it.
            if told["state"].is_string() {
                assert_eq!((&told["state"], &told["interrupted"]), (&"undoing".into(), &true.into()), "{phase}");
                assert!(told["failure"].as_str().unwrap().contains("interrupted"), "{phase}: {told:#}");
            }
            assert_eq!(holdpoint_tests::alive_with(project.scene.place.path()), [], "{phase}");
        }
    }
    stands(project)
}

#[track_caller]
fn assert_stands(found: (String, bool), expected: (&str, bool), phase: &str, by: By) {
    assert_eq!((found.0.as_str(), found.1), expected, "{phase}, {by:?}");
}

/// Restore points with a label: those from before an undo.
fn labelled(project: &Project) -> usize {
    let made = project.scene.place.holdpoint(&["list", "--json"]).ended_with(0).json();
    made["points"].as_array().unwrap().iter().filter(|one| one["label"].is_string()).count()
}

/// Goes on without naming a way: by the one at which it broke off. A kill is gone on from with the restore point that is
/// there; what a person ended so many times has one more for each, as others may have written meanwhile.
#[track_caller]
fn goes_on(project: &Project, run: &str, way: &str, before: &str, ended: usize) {
    let undone = project.undo(run, &[], 0).json();
    assert_eq!((&undone["plan"]["way"], &undone["state"]), (&way.into(), &"undone".into()), "{undone:#}");
    assert_eq!(project.shop(), before);
    assert_eq!(project.stands(), ("undone".to_owned(), false));
    assert_eq!(project.pending(), ["0001_drops.sql", "0002_adds.sql"]);
    assert_eq!(labelled(project), 1 + ended, "one restore point before it, however often it was killed");
    project.run_the_tool();
    assert!(project.pending().is_empty());
}

#[test]
fn a_rollback_goes_on_from_any_step() {
    let project = Project::drizzle();
    let before = project.shop();
    project.write("drizzle/0001_drops.sql", "ALTER TABLE shop.orders ADD COLUMN weight integer;\n");
    project.write("drizzle/rollbacks/0001_drops.sql", "ALTER TABLE shop.orders DROP COLUMN weight;\n");
    project.write("drizzle/0002_adds.sql", "CREATE TABLE shop.tags (id integer PRIMARY KEY);\n");
    project.write("drizzle/rollbacks/0002_adds.sql", "DROP TABLE shop.tags;\n");
    project.journal(&["0000_first", "0001_drops", "0002_adds"]);
    let report = project.guard(&["--level", "stored"], 0);
    for phase in ["copying-data", "undoing", "proving-undo"] {
        for by in BOTH {
            let found = ended(&project, run(&report), &["rollback"], phase, by);
            assert_stands(found, if phase == "copying-data" { BEFORE_IT } else { BROKEN_OFF }, phase, by);
            let left = project.scene.sql("SELECT count(*) FROM pg_tables WHERE tablename = 'tags'");
            assert_eq!(left, if phase == "proving-undo" { "0" } else { "1" }, "{phase}, {by:?}");
        }
    }
    let text = project.scene.place.holdpoint(&["runs"]).ended_with(0).stdout;
    assert!(text.contains("INTERRUPTED in its undo"), "{text}");
    goes_on(&project, run(&report), "rollback", &before, 2);
}

#[test]
fn a_recovery_goes_on_from_any_step() {
    let (project, before, report) = dropped(Project::drizzle());
    for phase in [
        "copying-data",
        "undoing",
        "fetching-tables",
        "matching-tables",
        "counting-changes",
        "changing-tables",
        "committing-change",
        "removing-side",
        "proving-undo",
    ] {
        // What was changed is there by then, or is in the middle of a COMMIT: nothing is left for a second time.
        let once = ["committing-change", "removing-side"].contains(&phase);
        for by in BOTH.into_iter().take(if once { 1 } else { 2 }) {
            let found = ended(&project, run(&report), &["recover"], phase, by);
            assert_stands(found, if phase == "copying-data" { BEFORE_IT } else { BROKEN_OFF }, phase, by);
        }
    }
    let shown = project.scene.place.holdpoint(&["show", "run:latest", "--json"]).ended_with(0).json();
    assert_eq!(shown["standing"], "interrupted_in_undo", "{:#}", shown["found"]);
    goes_on(&project, run(&report), "recover", &before, 6);
}

#[test]
fn a_restore_goes_on_from_any_step_before_its_exchange() {
    let (project, before, report) = dropped(Project::drizzle_alone());
    let (cluster, after) = (project.scene.cluster, project.shop());
    let way = accepting(&report, "restore");
    let open = format!("SELECT datallowconn FROM pg_database WHERE datname = '{}'", project.scene.database);
    for phase in ["copying-data", "creating-database", "restoring", "fencing"] {
        for by in BOTH {
            let found = ended(&project, run(&report), &way, phase, by);
            assert_stands(found, if phase == "copying-data" { BEFORE_IT } else { BROKEN_OFF }, phase, by);
            assert_eq!(project.shop(), after, "{phase}, {by:?}: the live one is as it was");
        }
    }
    for phase in ["ending-sessions", "swapping"] {
        // Ctrl-C opens the live one again; a kill leaves it closed, and nobody can ask it.
        let found = ended(&project, run(&report), &way, phase, By::CtrlC);
        assert_stands(found, BROKEN_OFF, phase, By::CtrlC);
        assert_eq!((cluster.psql("postgres", &open).as_str(), project.shop()), ("t", after.clone()), "{phase}");
        let found = ended(&project, run(&report), &way, phase, By::Kill);
        assert_stands(found, ("undoing_or_interrupted", true), phase, By::Kill);
        assert_eq!(cluster.psql("postgres", &open), "f", "{phase}");
        project.undo(run(&report), &[], 7).failure().hints(&["holdpoint leftovers"]);
        project.scene.place.holdpoint(&["leftovers", "--remove"]);
        assert_stands(stands(&project), BROKEN_OFF, phase, By::Kill);
        assert_eq!(project.shop(), after, "{phase}");
    }
    // Once the two are exchanged, Ctrl-C ends the look at what came in between alone: that is told, and a person's to judge.
    let words = [&["undo", run(&report), "--json", "--yes", "--way"], &way[..]].concat();
    let mut undo = project.scene.place.start_paused(&words, "recording-identity");
    undo.wait_for_pause();
    undo.interrupt();
    let undone = undo.finish().ended_with(11).json();
    let open = undone["undo"]["not_as_before"].to_string();
    assert!(open.contains("what was written since is not known: interrupted"), "{undone:#}");
    assert_eq!((&undone["state"], project.shop()), (&"undo_failed".into(), before), "{undone:#}");
    assert_eq!((project.stands(), labelled(&project)), (("undo_failed".to_owned(), true), 1));
    let words = ["settle", run(&report), "--reason", "nobody wrote meanwhile", "--json"];
    project.scene.place.holdpoint(&words).ended_with(0);
    project.scene.place.backup();
    project.run_the_tool();
    assert!(project.pending().is_empty());
}

/// Two files, of which the second fails, and a script that takes the first back; the guarded run that undoes them at once.
fn undone_at_once(project: &mut Project, down: &str) -> Vec<&'static str> {
    project.write("sql/1_adds.sql", "CREATE TABLE shop.tags (id integer PRIMARY KEY);\n");
    project.write("sql/2_fails.sql", "SELECT 1 / 0;\n");
    project.write("sql/rollback/1_adds.sql", down);
    project.write("sql/rollback/2_fails.sql", "SELECT 1;\n");
    project.scene.place.set("FILES", "sql/1_adds.sql sql/2_fails.sql");
    let words = ["guard", "--json", "--yes", "--tool", "plain-sql", "--migrations", "sql", "--applied-through", "none"];
    let way = ["--level", "stored", "--no-rehearse", "--on-failure", "rollback", "--", "sh", "apply.sh"];
    [&words[..], &way].concat()
}

#[test]
fn an_undo_at_once_that_is_ended_by_ctrl_c_ends_the_run_with_13_and_goes_on() {
    let mut project = Project::plain();
    let before = project.shop();
    let undoes_at_once = undone_at_once(&mut project, "DROP TABLE shop.tags;\n");
    let mut guard = project.scene.place.start_paused(&undoes_at_once, "undoing");
    guard.wait_for_pause();
    guard.interrupt();
    let report = guard.finish().ended_with(13).json();
    let undo = &report["undo"];
    assert_eq!((&undo["state"], &undo["interrupted"]), (&"undoing".into(), &true.into()), "{report:#}");
    let told = undo["failure"].as_str().unwrap();
    assert!(told.contains(&format!("goes on from there: holdpoint undo {} --way rollback", run(&report))), "{told}");
    assert_stands(stands(&project), BROKEN_OFF, "undoing", By::CtrlC);
    let undone = project.undo(run(&report), &[], 0).json();
    assert_eq!((&undone["state"], project.shop()), (&"undone".into(), before), "{undone:#}");
}

#[test]
fn an_undo_at_once_that_is_ended_leaves_no_statement_at_work_though_the_lock_is_of_a_role_that_only_reads() {
    let mut project = Project::plain();
    project.scene.sql(
        "DO $$ BEGIN CREATE ROLE only_reads LOGIN PASSWORD 'only_reads' IN ROLE pg_read_all_data; \
         EXCEPTION WHEN duplicate_object THEN NULL; END $$",
    );
    let reader = project.scene.cluster.tcp_url_as("only_reads", "only_reads", &project.scene.database);
    project.scene.place.set("HOLDPOINT_BACKUP_URL", &reader);
    let undoes_at_once = undone_at_once(&mut project, "DROP TABLE shop.tags;\nSELECT pg_sleep(600);\n");
    let mut guard = project.scene.place.start(&undoes_at_once);
    let at_work = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND application_name LIKE 'holdpoint:%' AND state = 'active'";
    let sleeps = format!("{at_work} AND wait_event = 'PgSleep'");
    guard
        .wait_until("the script is at work", std::time::Duration::from_secs(300), || project.scene.sql(&sleeps) == "1");
    guard.interrupt();
    let report = guard.finish().ended_with(13).json();
    assert_eq!(project.scene.sql(at_work), "0", "{report:#}");
    let undo = &report["undo"];
    assert_eq!((&undo["state"], &undo["interrupted"]), (&"undoing".into(), &true.into()), "{report:#}");
    assert!(undo["warnings"].to_string().contains("cancelled the command's session"), "{report:#}");
    assert_eq!(project.scene.sql("SELECT to_regclass('shop.tags') IS NOT NULL"), "t", "its script went back");
}
