//! Each tool's own command, as its script calls it: rehearsed alone and inside a guarded run.

use serde_json::{Value, json};

use super::project::Project;
use crate::scene::Scene;

/// A real tool and the layout of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    Drizzle0,
    Drizzle1,
    NodePgMigrate,
    Prisma,
}

const ALL: [Tool; 4] = [Tool::Drizzle0, Tool::Drizzle1, Tool::NodePgMigrate, Tool::Prisma];

const DRIZZLE: &str = "import { defineConfig } from 'drizzle-kit';\n\
    export default defineConfig({ dialect: 'postgresql', out: './drizzle', \
    dbCredentials: { url: process.env.DATABASE_URL! } });\n";
const PRISMA: &str = "import { defineConfig } from \"prisma/config\";\n\
    import { PrismaPg } from \"@prisma/adapter-pg\";\n\
    export default defineConfig({ experimental: { adapter: true }, engine: \"js\", schema: \"prisma/schema.prisma\", \
    adapter: async () => new PrismaPg({ connectionString: process.env.DATABASE_URL }) });\n";

impl Tool {
    fn script(self) -> &'static str {
        match self {
            Self::Drizzle0 | Self::Drizzle1 => "drizzle-kit migrate",
            Self::NodePgMigrate => "node-pg-migrate up",
            Self::Prisma => "prisma migrate deploy",
        }
    }

    /// The tracking table, and what recorded names are in it.
    fn recorded(self) -> &'static str {
        match self {
            Self::Drizzle0 | Self::Drizzle1 => "SELECT count(*) FROM drizzle.__drizzle_migrations",
            Self::NodePgMigrate => "SELECT count(*) FROM public.pgmigrations",
            Self::Prisma => "SELECT count(*) FROM public._prisma_migrations WHERE finished_at IS NOT NULL",
        }
    }
}

/// A project with some migrations, of which the first is applied in production and the database is backed up.
struct Team {
    scene: Scene,
    project: Project,
    tool: Tool,
}

impl Team {
    fn new(tool: Tool, pending: &[(&str, &str)]) -> Self {
        let mut scene = Scene::on(super::escapes::cluster(), holdpoint_tests::Place::local());
        scene.place.set("DATABASE_URL", &scene.cluster.tcp_url(&scene.database));
        let project = match tool {
            Tool::Drizzle0 => Project::with_tool(&mut scene, "drizzle-0"),
            Tool::Drizzle1 => Project::with_tool(&mut scene, "drizzle-1"),
            Tool::NodePgMigrate => Project::with_tool(&mut scene, "node-pg-migrate"),
            Tool::Prisma => Project::with_tool(&mut scene, "prisma"),
        };
        // Prisma fetches engines that are absent; with a driver adapter it uses none of these.
        for (name, value) in [
            ("NO_COLOR", "1"),
            ("CHECKPOINT_DISABLE", "1"),
            ("PRISMA_HIDE_UPDATE_MESSAGE", "1"),
            ("PRISMA_QUERY_ENGINE_LIBRARY", "/bin/true"),
            ("PRISMA_SCHEMA_ENGINE_BINARY", "/bin/true"),
        ] {
            scene.place.set(name, value);
        }
        let dependency = tool.script().split(' ').next().unwrap();
        let package = json!({
            "type": "module",
            "scripts": { "db:migrate": tool.script() },
            "devDependencies": { dependency: "1" },
        });
        project.write("package.json", &package.to_string());
        match tool {
            Tool::Drizzle0 | Tool::Drizzle1 => project.write("drizzle.config.ts", DRIZZLE),
            Tool::NodePgMigrate => {}
            Tool::Prisma => {
                project.write("prisma.config.mjs", PRISMA);
                let schema = "datasource db {\n  provider = \"postgresql\"\n  url = env(\"DATABASE_URL\")\n}\n";
                project.write("prisma/schema.prisma", schema);
                project.write("prisma/migrations/migration_lock.toml", "provider = \"postgresql\"\n");
            }
        }
        let team = Self { scene, project, tool };
        let first = ("first", "SELECT 1;");
        team.migrations(&[first]);
        let run = format!("npm run --silent db:migrate # {tool:?}");
        holdpoint_tests::shell(&team.scene.place.work(), &team.scene.place.environment(), &run).ended_with(0);
        team.scene.place.backup();
        team.migrations(&[&[first], pending].concat());
        team
    }

    /// Writes all migrations, each later than the one before, as the tool lays them out.
    fn migrations(&self, all: &[(&str, &str)]) {
        let mut entries = Vec::new();
        for (idx, (name, sql)) in all.iter().enumerate() {
            let stamp = format!("2024010{}000000", idx + 1);
            match self.tool {
                Tool::Drizzle0 => {
                    let tag = format!("{idx:04}_{name}");
                    self.project.write(&format!("drizzle/{tag}.sql"), sql);
                    entries.push(json!({ "idx": idx, "version": "7", "when": 1000 * (idx + 1), "tag": tag,
                        "breakpoints": true }));
                }
                Tool::Drizzle1 => self.project.write(&format!("drizzle/{stamp}_{name}/migration.sql"), sql),
                Tool::NodePgMigrate => {
                    let text = format!("-- Up Migration\n{sql}\n-- Down Migration\nSELECT 1;\n");
                    self.project.write(&format!("migrations/{stamp}000_{name}.sql"), &text);
                }
                Tool::Prisma => self.project.write(&format!("prisma/migrations/{stamp}_{name}/migration.sql"), sql),
            }
        }
        if self.tool == Tool::Drizzle0 {
            let journal = json!({ "version": "7", "dialect": "postgresql", "entries": entries });
            self.project.write("drizzle/meta/_journal.json", &journal.to_string());
        }
    }

    fn holdpoint(&self, verb: &str, code: i32) -> holdpoint_tests::Outcome {
        let words = [verb, "--json", "--", "npm", "run", "--silent", "db:migrate"];
        self.scene.place.holdpoint(&words).ended_with(code)
    }

    fn recorded(&self) -> u32 {
        self.scene.sql(self.tool.recorded()).parse().unwrap()
    }
}

const ADDS: (&str, &str) = (
    "adds",
    "ALTER TABLE shop.orders ADD COLUMN weight integer;\n--> statement-breakpoint\n\
     DELETE FROM shop.events WHERE id <= 7;\n",
);
const DROPS: (&str, &str) = ("drops", "ALTER TABLE shop.orders DROP COLUMN note;\n");
/// Only the data tell that it fails, and only after something was done.
const FAILS: (&str, &str) = (
    "fails",
    "CREATE TABLE shop.half (id integer);\n--> statement-breakpoint\n\
     ALTER TABLE shop.orders ADD CONSTRAINT small CHECK (id < 0);\n",
);

#[track_caller]
fn as_planned(rehearsal: &Value, recorded: usize) {
    assert_eq!(rehearsal["outcome"], "as_planned", "{rehearsal:#}");
    assert_eq!(rehearsal["tracking"]["exact"], true, "{rehearsal:#}");
    assert_eq!(rehearsal["tracking"]["recorded"].as_array().unwrap().len(), recorded, "{rehearsal:#}");
    let tables = rehearsal["tables"].as_array().unwrap();
    let of = |name: &str| tables.iter().find(|one| one["table"] == name).unwrap();
    assert_eq!(of("shop.orders")["columns_added"], json!(["weight"]), "{rehearsal:#}");
    assert_eq!(of("shop.events")["rows"], json!({ "inserted": 0, "updated": 0, "deleted": 7 }), "{rehearsal:#}");
}

#[test]
fn what_is_pending_is_rehearsed_alone_and_in_a_guarded_run() {
    for tool in ALL {
        let team = Team::new(tool, &[ADDS, DROPS]);
        let before = team.scene.before();
        let report = team.holdpoint("rehearse", 0).json();
        as_planned(&report["rehearsal"], 2);
        assert_eq!(report["pending"].as_array().unwrap().len(), 2, "{tool:?}: {report:#}");
        team.scene.assert_untouched_but_proof(&before);

        let report = team.holdpoint("guard", 0).json();
        as_planned(&report["rehearsal"], 2);
        assert_eq!(report["state"], "succeeded", "{tool:?}: {report:#}");
        assert_eq!(report["plan"]["verdict"], "new_restore_point", "{tool:?}: {report:#}");
        assert_eq!(team.recorded(), 3, "{tool:?}");
        let report = team.holdpoint("rehearse", 0).json();
        assert_eq!(report["verdict"], "nothing_pending", "{tool:?}: {report:#}");
    }
}

#[test]
fn what_fails_on_the_copy_never_runs_in_production() {
    for tool in ALL {
        let team = Team::new(tool, &[ADDS, FAILS]);
        let before = team.scene.before();
        let report = team.holdpoint("rehearse", 10).json();
        let rehearsal = &report["rehearsal"];
        assert_eq!(rehearsal["outcome"], "failed", "{tool:?}: {report:#}");
        team.scene.assert_untouched_but_proof(&before);
        // What the failure left on the copy is seen there: the tools differ in what they roll back.
        let objects = rehearsal["objects"].to_string();
        let leaves_a_part = objects.contains("shop.half");
        assert_eq!(leaves_a_part, tool == Tool::Prisma, "{tool:?}: {rehearsal:#}");
        if leaves_a_part {
            let failure = team.holdpoint("guard", 3).failure();
            failure.says(&["the rehearsal"]).hints(&["holdpoint rehearse --from", "--no-rehearse"]);
            assert_eq!(team.recorded(), 1);
            assert_eq!(team.scene.sql("SELECT to_regclass('shop.half') IS NULL"), "t");
        }
    }
}

/// Edited after it was applied: Drizzle, Prisma and node-pg-migrate go on, the copy shows it, and it is told.
#[test]
fn an_edited_migration_is_rehearsed_as_the_tool_takes_it() {
    for tool in ALL {
        let team = Team::new(tool, &[ADDS]);
        team.migrations(&[("first", "CREATE TABLE shop.edited (id integer);"), ADDS]);
        let report = team.holdpoint("guard", 0).json();
        as_planned(&report["rehearsal"], 1);
        assert!(!report["rehearsal"]["objects"].to_string().contains("shop.edited"), "{tool:?}: {report:#}");
        // node-pg-migrate keeps no checksum.
        let told = report["warnings"].to_string().contains("was edited after it was applied");
        assert_eq!(told, tool != Tool::NodePgMigrate, "{tool:?}: {report:#}");
    }
}

/// A row that failed in production stops the run before any copy is made.
#[test]
fn a_failed_row_of_prisma_stops_before_anything_is_rehearsed() {
    let team = Team::new(Tool::Prisma, &[ADDS]);
    team.scene.sql("UPDATE public._prisma_migrations SET finished_at = NULL");
    let before = team.scene.before();
    team.holdpoint("guard", 3).failure().says(&["failed earlier"]).hints(&["prisma migrate resolve"]);
    let tree = team.scene.place.tree();
    let new: Vec<&String> = tree.objects.keys().filter(|key| !before.tree.objects.contains_key(*key)).collect();
    assert!(new.iter().all(|key| key.contains("/runs/")), "{new:?}");
}
