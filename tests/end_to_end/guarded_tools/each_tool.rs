//! For each tool: a second run beside the first, a file that is edited before or after it is applied, and a migration
//! that the command passes over.

use super::{Bench, judged, list};

/// A tool in a project, and how its migrations are written.
pub(super) struct Tool {
    pub(super) bench: Bench,
    pub(super) flags: &'static [&'static str],
    /// What the very first run has to say besides.
    pub(super) at_first: &'static [&'static str],
    /// The command, as `[migrations] commands` has it, too.
    pub(super) command: &'static [&'static str],
    /// Its migrations, in order: as they are named in a plan, and in the findings.
    names: [(&'static str, &'static str); 4],
    /// Writes the first of its migrations, all of them anew.
    pub(super) write: fn(&Bench, &[&str]),
    /// Whether an edited file is told once it is applied: the tool's table, or the ledger, has what it was.
    tells_edits: bool,
    /// The verdict of a run that did everything: without a rehearsal, a table of the tool's says so.
    all_of_it: &'static str,
}

const MAKES: &str = "CREATE TABLE public.first (id integer PRIMARY KEY);\n";
/// Stands still until nobody has the lock any more.
const STANDS: &str = "CREATE TABLE public.second (id integer);\nSELECT pg_advisory_xact_lock(7);\n";
const EDITED: &str = "CREATE TABLE public.edited (id integer);\n";
const THIRD: &str = "CREATE TABLE public.third (id integer);\n";
const FOURTH: &str = "CREATE TABLE public.fourth (id integer);\n";

impl Tool {
    #[track_caller]
    fn guard(&self, flags: &[&str], code: i32) -> serde_json::Value {
        self.bench.guard(&[self.flags, flags].concat(), self.command, code)
    }

    fn has(&self, table: &str) -> bool {
        self.bench.sql(&format!("SELECT to_regclass('public.{table}') IS NOT NULL")) == "t"
    }

    /// Two runs at a time: the second is told of the first, makes nothing, and the first goes on.
    fn second_beside_the_first(&self) {
        (self.write)(&self.bench, &[MAKES]);
        let report = self.guard(self.at_first, 0);
        assert_eq!(judged(&report), (self.all_of_it, true, "succeeded"), "{report:#}");
        (self.write)(&self.bench, &[MAKES, STANDS]);
        let held = self.bench.hold("SELECT pg_advisory_lock(7)");
        let mut first = self.bench.start(&[self.flags, &["--lock-timeout", "0"]].concat(), self.command);
        first.wait_until("the migration stands still", super::LONG, || self.bench.waits_for_a_lock());
        let listed = self.bench.scene.place.holdpoint(&["runs", "--json"]).ended_with(0).json();
        let (run, standing) = (listed["runs"][0]["run"].as_str().unwrap(), &listed["runs"][0]["standing"]);
        assert_eq!(standing, "running");
        let points = self.bench.scene.place.points();
        let second = self.bench.try_guard(self.flags, self.command).ended_with(14).failure();
        second.says(&["another guarded run", run, "process"]).hints(&["retry", "holdpoint runs"]);
        assert_eq!(self.bench.scene.place.points(), points, "nothing was made for it");
        held.release();
        let report = first.finish().ended_with(0).json();
        assert_eq!((judged(&report), &report["run"]), ((self.all_of_it, true, "succeeded"), &run.into()), "{report:#}");
        assert!(self.has("second"));
    }

    /// Once it is applied, a file that is edited is never run again; while it is pending, nothing runs but what was
    /// planned.
    fn edited_after_and_before(&self) {
        (self.write)(&self.bench, &[MAKES, EDITED]);
        let before = self.bench.contents();
        let report = self.guard(&[], 0);
        let told = report["warnings"].to_string();
        let name = self.names[1].1;
        assert_eq!(told.contains(&format!("{name} was edited after it was applied")), self.tells_edits, "{report:#}");
        self.bench.is_as_before(&before);

        (self.write)(&self.bench, &[MAKES, EDITED, THIRD]);
        let words = [&["guard", "--json"], &super::CHEAP[..], self.flags, &["--"], self.command].concat();
        let mut run = self.bench.scene.place.start_paused(&words, "taking-run-lock");
        run.wait_for_pause();
        (self.write)(&self.bench, &[MAKES, EDITED, "CREATE TABLE public.other (id integer);\n"]);
        run.go_on();
        let failure = run.finish().ended_with(3).failure();
        failure.says(&[self.names[2].0]).hints(&["run the same command again"]);
        self.bench.is_as_before(&before);
        (self.write)(&self.bench, &[MAKES, EDITED, THIRD]);
        let report = self.guard(&[], 0);
        assert!(self.has("third"), "{report:#}");
    }

    /// A command that says success and passes over what is pending.
    fn passed_over(&self) {
        (self.write)(&self.bench, &[MAKES, EDITED, THIRD, FOURTH]);
        self.bench.write("holdpoint.toml", "[migrations]\ncommands = [\"sh lies.sh\"]\n");
        self.bench.write("lies.sh", "echo done\n");
        let before = self.bench.contents();
        let report = self.bench.guard(self.flags, &["sh", "lies.sh"], 11);
        let (_, as_planned, state) = judged(&report);
        assert_eq!((as_planned, state, &report["exit_code"]), (false, "failed", &0.into()), "{report:#}");
        let words = [&["plan", "--json"], self.flags].concat();
        let plan = self.bench.scene.place.holdpoint(&words).json();
        assert_eq!(plan["pending"][0]["path"], self.names[3].0, "{plan:#}");
        if self.all_of_it == "fully_applied" {
            assert_eq!(list(&report, "still_pending"), [self.names[3].0], "{report:#}");
        }
        self.bench.is_as_before(&before);
    }

    fn all(&self) {
        self.second_beside_the_first();
        self.edited_after_and_before();
        self.passed_over();
    }

    pub(super) fn drizzle() -> Self {
        const TAGS: [&str; 4] = ["0000_first", "0001_second", "0002_third", "0003_fourth"];
        Self {
            bench: super::drizzle::bench(Bench::new()),
            flags: &[],
            at_first: &[],
            command: &["npx", "drizzle-kit", "migrate"],
            names: [
                ("0000_first.sql", TAGS[0]),
                ("0001_second.sql", TAGS[1]),
                ("0002_third.sql", TAGS[2]),
                ("0003_fourth.sql", TAGS[3]),
            ],
            write: |bench, all| {
                let named: Vec<(&str, &str)> = TAGS.into_iter().zip(all.iter().copied()).collect();
                super::drizzle::migrations(bench, &named);
            },
            tells_edits: true,
            all_of_it: "fully_applied",
        }
    }

    pub(super) fn node_pg_migrate() -> Self {
        const NAMES: [&str; 4] = ["1_first", "2_second", "3_third", "4_fourth"];
        Self {
            bench: super::node_pg_migrate::bench(Bench::new()),
            flags: &[],
            at_first: &[],
            command: &super::node_pg_migrate::UP,
            names: [
                ("1_first.sql", NAMES[0]),
                ("2_second.sql", NAMES[1]),
                ("3_third.sql", NAMES[2]),
                ("4_fourth.sql", NAMES[3]),
            ],
            write: |bench, all| {
                for (name, sql) in NAMES.into_iter().zip(all) {
                    super::node_pg_migrate::migration(bench, name, sql);
                }
            },
            // Its table holds names alone.
            tells_edits: false,
            all_of_it: "fully_applied",
        }
    }

    pub(super) fn prisma() -> Self {
        const NAMES: [&str; 4] =
            ["20240101000000_first", "20240102000000_second", "20240103000000_third", "20240104000000_fourth"];
        Self {
            bench: super::prisma::bench(),
            flags: &[],
            at_first: &[],
            command: &super::prisma::UP,
            names: [
                ("20240101000000_first/migration.sql", NAMES[0]),
                ("20240102000000_second/migration.sql", NAMES[1]),
                ("20240103000000_third/migration.sql", NAMES[2]),
                ("20240104000000_fourth/migration.sql", NAMES[3]),
            ],
            write: |bench, all| {
                for (name, sql) in NAMES.into_iter().zip(all) {
                    super::prisma::migration(bench, name, sql);
                }
            },
            tells_edits: true,
            all_of_it: "fully_applied",
        }
    }

    pub(super) fn plain_sql() -> Self {
        const NAMES: [&str; 4] = ["1_first.sql", "2_second.sql", "3_third.sql", "4_fourth.sql"];
        let bench = Bench::alone();
        // Its own list of what it has run: the team's, which holdpoint knows nothing of.
        bench.write(
            "apply.sh",
            "set -e\ntouch ran\nfor file in sql/*.sql; do\n  grep -qx $file ran && continue\n  \
             psql -X -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -1 -f $file\n  echo $file >> ran\ndone\n",
        );
        Self {
            bench,
            flags: &super::plain_sql::FLAGS,
            at_first: &["--applied-through", "none"],
            command: &["sh", "apply.sh"],
            names: NAMES.map(|name| (name, name)),
            write: |bench, all| {
                for (name, sql) in NAMES.into_iter().zip(all) {
                    bench.write(&format!("sql/{name}"), sql);
                }
            },
            tells_edits: true,
            all_of_it: "unknown",
        }
    }
}

#[test]
fn drizzle() {
    Tool::drizzle().all();
}

#[test]
fn node_pg_migrate() {
    Tool::node_pg_migrate().all();
}

#[test]
fn prisma() {
    Tool::prisma().all();
}

#[test]
fn plain_sql() {
    Tool::plain_sql().all();
}
