//! A guard that is killed, or ended by Ctrl-C, at every phase that it passes: its restore point made and proven, its command
//! rehearsed and run, what it did judged and recorded, and undone at once. `runs` and `status` tell the truth, production is as it
//! was, nothing goes on, what is left is named, and the next guard comes further.
//!
//! Which phases those are, a guard itself says: what is not in these tables fails the test.

mod after;
mod before;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;

use holdpoint_tests::{Outcome, contents};
use serde_json::Value;

use super::project::Project;

/// How a guard is ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Kill,
    CtrlC,
}

/// Each guard is ended where it has not come to its command, in the order in which it passes them: the next comes as far, or
/// further.
const BEFORE_THE_COMMAND: [&str; 17] = [
    "planning",
    "preflight",
    "snapshot-exported",
    "reading-contents",
    "copying-data",
    "completing-upload",
    "storing-index",
    "publishing-manifest",
    "starting-scratch",
    "restoring",
    "restored",
    "comparing",
    "comparing-objects",
    "recording-verification",
    "rehearsing",
    "rehearsing-rollback",
    "taking-run-lock",
];
/// Of a proof whose archive has many objects, or rows, besides.
const LOADED_BY_SESSIONS: [&str; 2] = ["loading-rows", "building-indexes"];
const FROM_THE_COMMAND_ON: [&str; 3] = ["running-command", "judging", "recording-run"];
/// Where the command fails, and `--on-failure rollback` undoes what it left.
const ROLLED_BACK: [&str; 3] = ["undoing", "recording-undo", "proving-undo"];
/// Where the command fails, and `--on-failure restore` puts the restore point in its place.
const SWAPPED: [&str; 6] =
    ["creating-database", "analyzing", "fencing", "ending-sessions", "swapping", "recording-identity"];
/// Phases that no guard of these passes, with the test that ends them.
const ELSEWHERE: [(&str, &str); 10] = [
    // A guard that waits for Amazon RDS.
    ("waiting-for-instant", "rds/instant"),
    // An undo by the way recover, which no guard goes by itself.
    ("fetching-tables", "undo/each_step"),
    ("matching-tables", "undo/each_step"),
    ("counting-changes", "undo/each_step"),
    ("changing-tables", "undo/each_step"),
    ("committing-change", "undo/each_step"),
    ("removing-side", "undo/each_step"),
    // Other commands.
    ("checking-objects", "at_once"),
    ("pruning", "retention/mod"),
    ("filling-rows", "backfill/resume"),
];

const TABLE: &str = "CREATE TABLE shop.tags (id integer PRIMARY KEY);\n";
const FIRST: [&str; 2] = ["--applied-through", "none"];
/// A young proof would spare it another.
const ANEW: [&str; 5] = ["--rehearse", "--max-age", "0s", "--progress", "json"];

/// A folder of SQL files, on a server of its own; with what its migrations are.
struct Bench {
    project: Project,
    before: String,
}

impl Bench {
    fn new(files: &[(&str, &str, &str)]) -> Self {
        let mut project = Project::plain_alone();
        for (name, up, down) in files {
            project.write(&format!("sql/{name}"), up);
            project.write(&format!("sql/rollback/{name}"), down);
        }
        let all: Vec<String> = files.iter().map(|(name, ..)| format!("sql/{name}")).collect();
        project.scene.place.set("FILES", &all.join(" "));
        let before = contents(project.scene.cluster, &project.scene.database);
        Self { project, before }
    }

    /// One migration, which adds a table.
    fn that_adds() -> Self {
        Self::new(&[("1_adds.sql", TABLE, "DROP TABLE shop.tags;\n")])
    }

    /// The second migration fails, and leaves what the first did.
    fn that_fails() -> Self {
        let fails = ("2_fails.sql", "SELECT 1 / 0;\n", "SELECT 1;\n");
        Self::new(&[("1_adds.sql", TABLE, "DROP TABLE shop.tags;\n"), fails])
    }

    fn words<'a>(&'a self, flags: &[&'a str]) -> Vec<&'a str> {
        let own = ["guard", "--json", "--yes", "--tool", "plain-sql", "--migrations", "sql"];
        [&own[..], &FIRST, flags, &["--", "sh", "apply.sh"]].concat()
    }

    /// Guards to the end, and tells which phases that passes.
    #[track_caller]
    fn passes(&self, flags: &[&str], code: i32) -> BTreeSet<String> {
        let said = self.project.scene.place.holdpoint(&self.words(flags)).ended_with(code).stderr;
        let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|one| one["event"] == "phase").map(|one| one["phase"].as_str().unwrap().to_owned()).collect()
    }

    /// Guards until a phase begins, and ends it there.
    #[track_caller]
    fn ended(&self, flags: &[&str], phase: &str, by: By) -> Outcome {
        let mut guard = self.project.scene.place.start_paused(&self.words(flags), phase);
        guard.wait_for_pause();
        match by {
            By::Kill => guard.kill(),
            By::CtrlC => guard.interrupt(),
        }
        let outcome = guard.finish();
        if by == By::Kill {
            if LOADED_BY_SESSIONS.contains(&phase) {
                self.remove_the_archives_head();
            }
            // What it started notices within moments that it is gone, and so does the server.
            self.project.scene.assert_nothing_runs();
        } else {
            let left = holdpoint_tests::alive_with(self.project.scene.place.path());
            assert_eq!(left, [], "{phase}: it ends what it started before it ends");
            assert_eq!(self.project.scene.scratch_entries(), [""; 0], "{phase}");
            // Its sessions end by themselves, and until then the next guard may find its lock taken.
            self.project.scene.assert_nothing_runs();
        }
        outcome
    }

    /// What several sessions load has its head, and a list, in temporary files, which nobody but their owner can read.
    fn remove_the_archives_head(&self) {
        for name in self.project.scene.scratch_entries() {
            let path = self.project.scene.place.scratch().join(&name);
            let found = std::fs::metadata(&path).unwrap();
            assert!(found.is_file() && found.permissions().mode() & 0o077 == 0, "{name}: {found:?}");
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[track_caller]
    fn assert_as_before(&self, phase: &str, by: By) {
        let now = contents(self.project.scene.cluster, &self.project.scene.database);
        holdpoint_tests::assert_same(&format!("{phase}, {by:?}: production"), &self.before, &now);
    }

    /// The newest run in `runs`, and the runs that `status` says are unsettled.
    #[track_caller]
    fn assert_stands(&self, standing: &str, unsettled: bool, phase: &str, by: By) {
        assert_eq!(self.project.stands(), (standing.to_owned(), unsettled), "{phase}, {by:?}");
        let status = self.project.scene.place.holdpoint(&["status", "--json"]).ended_with(0).json();
        let told = status["unsettled"].as_array().unwrap().len();
        assert_eq!(told, usize::from(unsettled), "{phase}, {by:?}: {status:#}");
    }

    /// What is left is named, and removed where somebody asks for that; then whole restore points alone are there.
    #[track_caller]
    fn sweep(&self, points: usize, phase: &str, by: By) {
        let there = self.project.scene.place.points();
        assert_eq!(there.len(), points, "{phase}, {by:?}: {there:?}");
        if by == By::Kill {
            self.project.scene.sweep(&there);
        }
        let left = self.project.scene.place.holdpoint(&["leftovers", "--json"]).ended_with(0).json();
        assert_eq!(left["leftovers"], serde_json::json!([]), "{phase}, {by:?}");
    }

    /// Ends a guard before its command: nothing ran, and nothing is to be undone.
    #[track_caller]
    fn ended_before_its_command(&self, flags: &[&str], phase: &str, by: By) {
        let outcome = self.ended(flags, phase, by);
        let standing = match by {
            By::Kill => {
                outcome.ended_with(137);
                "interrupted_before_its_command"
            }
            By::CtrlC => {
                let failure = outcome.ended_with(130).failure();
                assert_eq!(failure.kind, "interrupted", "{phase}: {failure:?}");
                "refused"
            }
        };
        self.assert_stands(standing, false, phase, by);
        self.assert_as_before(phase, by);
        self.project.undo("latest", &[], 3).failure().says(&["cannot be undone"]);
    }
}

/// A guard passes no phase that is not in the tables.
#[track_caller]
fn no_other(passed: &BTreeSet<String>) {
    let known: BTreeSet<&str> = of_a_guard().collect();
    let others: Vec<&String> = passed.iter().filter(|one| !known.contains(one.as_str())).collect();
    assert!(others.is_empty(), "nobody ends a guard at {others:?}");
}

fn of_a_guard() -> impl Iterator<Item = &'static str> {
    let all = BEFORE_THE_COMMAND.iter().chain(&LOADED_BY_SESSIONS).chain(&FROM_THE_COMMAND_ON);
    all.chain(&ROLLED_BACK).chain(&SWAPPED).copied()
}

#[test]
fn every_phase_that_there_is_stands_in_a_table_and_its_test_ends_it() {
    let page = include_str!("../../../../docs/testing.md").split("## Named phases").nth(1).unwrap();
    let rows = page.split("\n## ").next().unwrap().lines().filter_map(|row| row.strip_prefix("| `")?.split('`').next());
    let there: BTreeSet<&str> = rows.collect();
    let tables: Vec<&str> = of_a_guard().chain(ELSEWHERE.iter().map(|(phase, _)| *phase)).collect();
    assert_eq!(tables.iter().copied().collect::<BTreeSet<_>>(), there);
    assert_eq!(tables.len(), there.len(), "one stands in two tables");
    for (phase, file) in ELSEWHERE {
        let path = format!("{}/end_to_end/{file}.rs", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap();
        let begins = if phase == "filling-rows" { "killed_in_the_middle" } else { phase };
        assert!(text.contains(begins), "{file} does not end anything at {phase}");
    }
}
