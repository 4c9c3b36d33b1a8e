//! Five teams' runbooks from their first step to their last: each team's database, files and tool, and holdpoint.
//!
//! What a step may do wrong is tested elsewhere; here they are done one after the other, as on the day. The SQL is the
//! runbooks' own. `docs/runbook.md` has a row for every step.

mod drizzle_blue_green;
mod flyway_node_pg_migrate;
mod nuclom_drizzle;
mod prisma_dubbing_platform;
mod sdk_db_drizzle_rds;

use holdpoint_tests::Outcome;
use serde_json::{Value, json};

use crate::guarded_tools::Bench;

/// A team: its production database and its project.
struct Team {
    bench: Bench,
    command: Vec<&'static str>,
}

impl Team {
    /// Production as the team has it, and the command by which it migrates.
    fn new(runbook: &str, tool: &str, command: &[&'static str]) -> Self {
        let path = format!("{}/fixtures/plan/{runbook}.schema.sql", env!("CARGO_MANIFEST_DIR"));
        let bench = Bench::of_sql(&std::fs::read_to_string(path).unwrap()).with_tool(tool);
        Self { bench, command: command.to_vec() }
    }

    /// One with drizzle-kit behind `pnpm db:migrate`.
    fn with_drizzle(runbook: &str) -> Self {
        let team = Self::new(runbook, "drizzle-0", &["npm", "run", "--silent", "db:migrate"]);
        team.write("package.json", &json!({ "scripts": { "db:migrate": "drizzle-kit migrate" } }).to_string());
        team.write(
            "drizzle.config.ts",
            "export default { dialect: 'postgresql', out: './drizzle', dbCredentials: { url: process.env.DATABASE_URL } };\n",
        );
        team
    }

    fn write(&self, path: &str, text: &str) {
        self.bench.write(path, text);
    }

    fn sql(&self, sql: &str) -> String {
        self.bench.sql(sql)
    }

    /// Writes the files of Drizzle and the journal that names them, each later than the one before.
    fn drizzle(&self, all: &[(&str, &str)]) {
        let entry = |(idx, (tag, sql)): (usize, &(&str, &str))| {
            self.write(&format!("drizzle/{tag}.sql"), sql);
            json!({ "idx": idx, "version": "7", "when": 1000 * (idx + 1), "tag": tag, "breakpoints": true })
        };
        let entries: Vec<Value> = all.iter().enumerate().map(entry).collect();
        let journal = json!({ "version": "7", "dialect": "postgresql", "entries": entries });
        self.write("drizzle/meta/_journal.json", &journal.to_string());
    }

    #[track_caller]
    fn holdpoint(&self, words: &[&str], code: i32) -> Outcome {
        self.bench.scene.place.holdpoint(words).ended_with(code)
    }

    /// A verb with the team's command behind it.
    #[track_caller]
    fn with_command(&self, words: &[&str], code: i32) -> Value {
        self.holdpoint(&[words, &["--json", "--"], &self.command].concat(), code).json()
    }

    /// Production's newest proven restore point in a database of its own, `staging`.
    #[track_caller]
    fn staging(&self) -> String {
        let name = format!("{}_staging", self.bench.scene.database);
        let cluster = self.bench.scene.cluster;
        cluster.create_database_with(&name, "TEMPLATE template0");
        let url = cluster.url(&name);
        self.holdpoint(&["restore", "--from", "proven", "--into", &url, "--json"], 0);
        name
    }

    /// What is in a table, as one word.
    fn rows(&self, table: &str) -> String {
        self.sql(&format!("SELECT md5(string_agg(r::text, chr(10) ORDER BY r::text)) FROM {table} r"))
    }

    /// The paths of what is pending.
    #[track_caller]
    fn pending(&self) -> Vec<String> {
        let plan = self.bench.scene.place.holdpoint(&["plan", "--json"]).json();
        plan["pending"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap().to_owned()).collect()
    }
}

/// The word of a report's first way back.
fn first_way(report: &Value) -> &str {
    report["ways_back"][0]["way"].as_str().unwrap()
}
