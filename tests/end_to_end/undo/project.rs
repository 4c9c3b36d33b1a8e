//! A project with a real migration tool on a shop, and holdpoint in it.

use std::sync::OnceLock;

use holdpoint_testkit::{Cluster, ClusterOptions, NEWEST, migration_tool};
use holdpoint_tests::{Outcome, Place, shell};
use serde_json::{Value, json};

use crate::scene::Scene;

const APPLY: [&str; 2] = ["sh", "apply.sh"];
const MIGRATE: &[&str] = &["npm", "run", "--silent", "db:migrate"];

/// A shop, and a project in the working directory.
pub(super) struct Project {
    pub(super) scene: Scene,
    command: Vec<String>,
    /// Flags by which the project is found.
    flags: Vec<String>,
}

#[expect(clippy::disallowed_methods, reason = "Node.js is wherever the machine has it")]
fn path(cluster: &Cluster) -> String {
    format!("{}:{}", cluster.bin_directory().display(), std::env::var("PATH").unwrap())
}

/// A server that a test may stop.
fn alone() -> &'static Cluster {
    let options = ClusterOptions::major(NEWEST).with_tcp().with_configuration("autovacuum = off");
    Box::leak(Box::new(Cluster::start(options)))
}

impl Project {
    fn new(tool: Option<&str>, command: &[&str]) -> Self {
        // One server for all of them: tools of Node.js come by TCP with a password.
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        let cluster = CLUSTER.get_or_init(|| Cluster::start(ClusterOptions::major(NEWEST).with_tcp()));
        Self::on(cluster, tool, command)
    }

    fn on(cluster: &'static Cluster, tool: Option<&str>, command: &[&str]) -> Self {
        let mut scene = Scene::on(cluster, Place::local());
        scene.place.set("DATABASE_URL", &scene.cluster.tcp_url(&scene.database));
        scene.place.set("PATH", &path(scene.cluster));
        scene.place.set("NO_COLOR", "1");
        if let Some(tool) = tool {
            let modules = migration_tool(tool).join("node_modules");
            std::os::unix::fs::symlink(modules, scene.place.work().join("node_modules")).unwrap();
        }
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        Self { scene, command, flags: Vec::new() }
    }

    /// drizzle-kit, with scripts in `drizzle/rollbacks`; the first migration is applied.
    pub(super) fn drizzle() -> Self {
        Self::new(Some("drizzle-0"), MIGRATE).with_drizzle()
    }

    /// As [`Self::drizzle`]; a table is to be added, and a script drops it again.
    pub(super) fn that_adds_a_table() -> Self {
        Self::drizzle().with_a_table()
    }

    /// The same, on a server of its own: roles that others make leave open what is unchanged.
    pub(super) fn that_adds_a_table_alone() -> Self {
        Self::drizzle_alone().with_a_table()
    }

    fn with_a_table(self) -> Self {
        let project = self;
        project.write("drizzle/0001_adds.sql", "CREATE TABLE shop.tags (id integer PRIMARY KEY);\n");
        project.write("drizzle/rollbacks/0001_adds.sql", "DROP TABLE shop.tags;\n");
        project.journal(&["0000_first", "0001_adds"]);
        project
    }

    /// Whether the table of [`Self::that_adds_a_table`] is there.
    pub(super) fn has_added_table(&self) -> bool {
        self.scene.sql("SELECT to_regclass('shop.tags') IS NOT NULL") == "t"
    }

    /// As [`Self::drizzle`], on a server of its own: what a kill leaves there is taken for dead, and removed.
    pub(super) fn drizzle_alone() -> Self {
        Self::on(alone(), Some("drizzle-0"), MIGRATE).with_drizzle()
    }

    fn with_drizzle(self) -> Self {
        let project = self;
        project.write("package.json", "{\"scripts\":{\"db:migrate\":\"drizzle-kit migrate\"}}");
        project.write(
            "drizzle.config.ts",
            "export default { dialect: 'postgresql', out: './drizzle', dbCredentials: { url: process.env.DATABASE_URL } };\n",
        );
        project.write("drizzle/0000_first.sql", "SELECT 1;\n");
        project.journal(&["0000_first"]);
        project.run_the_tool();
        project
    }

    /// node-pg-migrate, with a way down in each file; the first migration is applied.
    pub(super) fn node_pg_migrate() -> Self {
        let project = Self::new(Some("node-pg-migrate"), MIGRATE);
        let package = json!({ "devDependencies": { "node-pg-migrate": "9.0.0" }, "type": "module",
            "scripts": { "db:migrate": "node-pg-migrate up" } });
        project.write("package.json", &package.to_string());
        project.write("migrations/1_first.sql", "-- Up Migration\nSELECT 1;\n-- Down Migration\nSELECT 1;\n");
        project.run_the_tool();
        project
    }

    /// SQL files that a script applies, one psql each; holdpoint keeps the list of what is applied.
    pub(super) fn plain() -> Self {
        Self::new(None, &APPLY).with_folder()
    }

    /// The same, on a server of its own.
    pub(super) fn plain_alone() -> Self {
        Self::on(alone(), None, &APPLY).with_folder()
    }

    fn with_folder(mut self) -> Self {
        let project = &mut self;
        project.write(
            "apply.sh",
            "set -e\nfor file in $FILES; do psql -X -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -f $file; done\n",
        );
        project.flags = ["--tool", "plain-sql", "--migrations", "sql"].map(str::to_owned).to_vec();
        self
    }

    pub(super) fn write(&self, path: &str, text: &str) {
        let path = self.scene.place.work().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Names the migrations of Drizzle, each later than the one before.
    pub(super) fn journal(&self, tags: &[&str]) {
        let entry = |(idx, tag): (usize, &&str)| json!({ "idx": idx, "version": "7", "when": 1000 * (idx + 1), "tag": tag, "breakpoints": true });
        let entries: Vec<Value> = tags.iter().enumerate().map(entry).collect();
        let journal = json!({ "version": "7", "dialect": "postgresql", "entries": entries });
        self.write("drizzle/meta/_journal.json", &journal.to_string());
    }

    /// Runs the tool without holdpoint.
    #[track_caller]
    pub(super) fn run_the_tool(&self) -> Outcome {
        let place = &self.scene.place;
        shell(&place.work(), &place.environment(), &self.command.join(" ")).ended_with(0)
    }

    /// Guards the tool.
    #[track_caller]
    pub(super) fn guard(&self, flags: &[&str], code: i32) -> Value {
        let own: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        let command: Vec<&str> = self.command.iter().map(String::as_str).collect();
        let words = [&["guard", "--json", "--yes"], own.as_slice(), flags, &["--"], &command].concat();
        self.scene.place.holdpoint(&words).ended_with(code).json()
    }

    /// Undoes a run.
    #[track_caller]
    pub(super) fn undo(&self, run: &str, flags: &[&str], code: i32) -> Outcome {
        let own: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        self.scene
            .place
            .holdpoint(&[&["undo", run, "--json", "--yes"], own.as_slice(), flags].concat())
            .ended_with(code)
    }

    /// The newest run, as `runs` tells it: `[standing, unsettled]`.
    pub(super) fn stands(&self) -> (String, bool) {
        let report = self.scene.place.holdpoint(&["runs", "--json"]).ended_with(0).json();
        let run = &report["runs"][0];
        (run["standing"].as_str().unwrap().to_owned(), run["unsettled"].as_bool().unwrap())
    }

    /// What is pending, as `plan` reads it.
    pub(super) fn pending(&self) -> Vec<String> {
        let own: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        let report = self.scene.place.holdpoint(&[&["plan", "--json"], own.as_slice()].concat()).json();
        report["pending"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap().to_owned()).collect()
    }

    /// Rows and schema of the shop, but not of what the tool keeps for itself.
    pub(super) fn shop(&self) -> String {
        self.scene.sql(
            "SELECT string_agg(t || ' ' || (xpath('/row/d/text()', query_to_xml(format( \
               'SELECT md5(string_agg(r::text, chr(10) ORDER BY r::text)) AS d FROM (SELECT %s FROM shop.%I) r', \
               c, t), false, true, '')))[1]::text, chr(10) ORDER BY t) \
             FROM (SELECT table_name::text AS t, string_agg(quote_ident(column_name), ', ' ORDER BY column_name) AS c \
                   FROM information_schema.columns WHERE table_schema = 'shop' GROUP BY 1) AS tables",
        )
    }
}
