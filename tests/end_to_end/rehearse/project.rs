//! A project with a real migration tool, on a shop.

use std::path::PathBuf;

use holdpoint_testkit::migration_tool;
use holdpoint_tests::{Outcome, shell};

use crate::scene::{Scene, name};

/// A project of node-pg-migrate in a scene's working directory.
pub(crate) struct Project {
    folder: PathBuf,
}

/// What plain SQL tells of a second run.
pub(crate) struct Truth {
    /// Rows of each table of the shop afterwards.
    pub(crate) rows: Vec<(String, u64)>,
    /// Tables that have another file.
    pub(crate) rewritten: Vec<String>,
    /// The strongest lock of each table that was there before, of those that stop somebody else's writing.
    pub(crate) locks: Vec<(String, String)>,
}

/// Remembers which tables there are.
const NOTE_TABLES: &str = "CREATE TEMPORARY TABLE there AS SELECT oid FROM pg_class \
                           WHERE relnamespace = 'shop'::regnamespace AND relkind = 'r';";

/// The strongest lock that this transaction has on each of them.
const STRONGEST: &str = "
SELECT l.relation::regclass, (array_agg(m.name ORDER BY m.strength DESC))[1]
FROM pg_locks l JOIN there ON there.oid = l.relation JOIN (VALUES
    ('RowExclusiveLock', 'ROW EXCLUSIVE', 1), ('ShareUpdateExclusiveLock', 'SHARE UPDATE EXCLUSIVE', 2),
    ('ShareLock', 'SHARE', 3), ('ShareRowExclusiveLock', 'SHARE ROW EXCLUSIVE', 4), ('ExclusiveLock', 'EXCLUSIVE', 5),
    ('AccessExclusiveLock', 'ACCESS EXCLUSIVE', 6)) m (mode, name, strength) ON m.mode = l.mode
WHERE l.pid = pg_backend_pid() GROUP BY 1 ORDER BY 1::text;";

pub(crate) const TOOL: &str = "node_modules/node-pg-migrate/bin/node-pg-migrate.js";

#[expect(clippy::disallowed_methods, reason = "Node.js is wherever the machine has it")]
fn path() -> String {
    std::env::var("PATH").unwrap()
}

impl Project {
    /// A project in which a tool is installed.
    pub(crate) fn with_tool(scene: &mut Scene, tool: &str) -> Self {
        scene.place.set("PATH", &path());
        let folder = scene.place.work();
        std::os::unix::fs::symlink(migration_tool(tool).join("node_modules"), folder.join("node_modules")).unwrap();
        Self { folder }
    }

    pub(crate) fn node_pg_migrate(scene: &mut Scene) -> Self {
        let project = Self::with_tool(scene, "node-pg-migrate");
        project.write("package.json", "{\"devDependencies\":{\"node-pg-migrate\":\"9.0.0\"},\"type\":\"module\"}");
        project
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn migration(&self, name: &str, up: &str, down: &str) {
        let down = if down.is_empty() { String::new() } else { format!("-- Down Migration\n{down}\n") };
        self.write(&format!("migrations/{name}.sql"), &format!("-- Up Migration\n{up}\n{down}"));
    }

    /// Runs the tool on production itself.
    #[track_caller]
    pub(crate) fn run_on_production(&self, scene: &Scene, more: &[&str]) {
        let script = format!("node {TOOL} up {}", more.join(" "));
        shell(&self.folder, &scene.place.environment(), &script).ended_with(0);
    }

    /// Rehearses the tool.
    pub(crate) fn rehearse(&self, scene: &Scene, flags: &[&str]) -> Outcome {
        self.rehearse_command(scene, flags, &["node", TOOL, "up"])
    }

    pub(crate) fn rehearse_command(&self, scene: &Scene, flags: &[&str], command: &[&str]) -> Outcome {
        scene.place.holdpoint(&[&["rehearse"], flags, &["--"], command].concat())
    }

    /// Runs SQL on another copy of the database and looks at it by SQL alone.
    pub(crate) fn truth(&self, scene: &Scene, sql: &str) -> Truth {
        let copy = name("truth");
        scene.cluster.create_database_with(&copy, &format!("TEMPLATE {}", scene.database));
        let files = "SELECT oid::regclass || ' ' || relfilenode FROM pg_class \
                     WHERE relnamespace = 'shop'::regnamespace AND relkind = 'r' ORDER BY oid";
        let before = scene.cluster.psql(&copy, files);
        let locks = scene.cluster.psql(&copy, &format!("{NOTE_TABLES} BEGIN; {sql} {STRONGEST} COMMIT;"));
        let pair = |(table, mode): (&str, &str)| (table.to_owned(), mode.to_owned());
        let mut locks: Vec<_> = locks.lines().filter_map(|line| line.split_once('|')).map(pair).collect();
        locks.sort();
        let after = scene.cluster.psql(&copy, files);
        let word = |line: &str| line.split(' ').next().unwrap().to_owned();
        let mut rewritten: Vec<String> = before.lines().filter(|line| !after.contains(*line)).map(word).collect();
        rewritten.sort();
        let names = scene
            .cluster
            .psql(&copy, "SELECT relname FROM pg_class WHERE relnamespace = 'shop'::regnamespace AND relkind = 'r'");
        let count =
            |name: &str| scene.cluster.psql(&copy, &format!("SELECT count(*) FROM shop.{name}")).parse().unwrap();
        let rows = names.lines().map(|name| (format!("shop.{name}"), count(name))).collect();
        scene.cluster.drop_database(&copy);
        Truth { rows, rewritten, locks }
    }
}
