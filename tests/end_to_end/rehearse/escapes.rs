//! Commands that would reach production although their variables lead to the copy.

use std::sync::OnceLock;

use holdpoint_testkit::{Cluster, ClusterOptions, NEWEST};
use holdpoint_tests::{Outcome, Place};
use serde_json::{Value, json};

use super::project::{Project, TOOL};
use crate::scene::Scene;

/// A server that is reached by TCP and by its unix socket.
pub(super) fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(ClusterOptions::major(NEWEST).with_tcp()))
}

/// A project with one pending migration that destroys, on a server with TCP.
struct Danger {
    scene: Scene,
    project: Project,
}

const DESTROYS: &str = "DROP TABLE shop.events; CREATE TABLE shop.escaped (id integer);";

impl Danger {
    fn new() -> Self {
        let mut scene = Scene::on(cluster(), Place::local());
        let url = scene.cluster.tcp_url(&scene.database);
        scene.place.set("DATABASE_URL", &url);
        let project = Project::node_pg_migrate(&mut scene);
        project.migration("1_first", "SELECT 1;", "");
        project.run_on_production(&scene, &[]);
        scene.place.backup();
        project.migration("2_destroys", DESTROYS, "");
        Self { scene, project }
    }

    /// Writes a script outside of the project, where nobody looks.
    fn outside(&self, script: &str) -> String {
        let path = self.scene.place.path().join("outside.sh");
        std::fs::write(&path, script).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Rehearses a command, and demands that production is as it was.
    #[track_caller]
    fn rehearse(&self, flags: &[&str], command: &[&str], code: i32) -> Outcome {
        let before = self.scene.before();
        let outcome = self.project.rehearse_command(&self.scene, &[&["--json"], flags].concat(), command);
        let outcome = outcome.ended_with(code);
        self.scene.assert_untouched_but_proof(&before);
        outcome
    }

    /// A way to production past every name that holdpoint knows: a folder that leads to its socket.
    fn alias(&self) -> String {
        let alias = self.scene.place.path().join("alias");
        std::os::unix::fs::symlink(self.scene.cluster.socket_directory(), &alias).unwrap();
        let (port, user) = (self.scene.cluster.port(), self.scene.cluster.superuser());
        format!("postgresql://{user}@/{}?host={}&port={port}", self.scene.database, alias.display())
    }
}

const BOTH: [&[&str]; 2] = [&[], &["--shared-network"]];

/// The reasons of a rehearsal that escaped.
#[track_caller]
fn escaped(outcome: &Outcome, apart: bool) -> String {
    let report = outcome.json();
    let rehearsal = &report["rehearsal"];
    assert_eq!(rehearsal["outcome"], "escaped", "{report:#}");
    assert_eq!(rehearsal["isolation"]["namespace"], apart, "{rehearsal:#}");
    rehearsal["reasons"].to_string()
}

#[test]
fn a_file_that_wins_over_the_environment_is_refused() {
    let danger = Danger::new();
    let url = danger.scene.cluster.tcp_url(&danger.scene.database);
    danger.project.write(".env", &format!("# production\nDATABASE_URL={url}\n"));
    let code = "import { config } from 'dotenv';\nconfig({ override: true });\n";
    danger.project.write("migrate.mjs", code);
    for flags in BOTH {
        let refused = danger.rehearse(flags, &["node", "migrate.mjs"], 3);
        let failure = refused.failure().says(&[".env names production"]);
        failure.hints(&[".env:2: DATABASE_URL leads to production", "migrate.mjs:2", "take that out"]);
        danger.rehearse(flags, &["sh", "-c", "set -a; . ./.env; node migrate.mjs"], 3);
    }
    // Where the environment wins, the file does no harm: the variable is set to the copy before it is read.
    std::fs::remove_file(danger.scene.place.work().join("migrate.mjs")).unwrap();
    for flags in BOTH {
        let report = danger.rehearse(flags, &["node", "--env-file=.env", TOOL, "up"], 0).json();
        let rehearsal = &report["rehearsal"];
        assert_eq!(rehearsal["outcome"], "as_planned", "{report:#}");
        assert!(
            rehearsal["isolation"]["harmless"][0].as_str().unwrap().starts_with(".env (DATABASE_URL"),
            "{report:#}"
        );
    }
}

#[test]
fn a_hard_coded_string_is_refused_or_leads_into_a_trap() {
    let danger = Danger::new();
    let url = danger.scene.cluster.tcp_url(&danger.scene.database);
    let hard_coded = format!("DATABASE_URL='{url}' exec node {TOOL} up\n");
    danger.project.write("migrate.sh", &hard_coded);
    for flags in BOTH {
        let failure = danger.rehearse(flags, &["sh", "migrate.sh"], 3).failure();
        failure.says(&["migrate.sh names production"]).hints(&["migrate.sh:1", "DATABASE_URL"]);
        let word = format!("exec node {TOOL} up --database-url {url}");
        danger.rehearse(flags, &["sh", "-c", &word], 3).failure().says(&["the command itself names production"]);
    }
    std::fs::remove_file(danger.scene.place.work().join("migrate.sh")).unwrap();
    // Where no file shows it.
    let outside = danger.outside(&hard_coded);
    let told = escaped(&danger.rehearse(&[], &["sh", &outside], 13), true);
    assert!(told.contains("it reached for 127.0.0.1:") || told.contains("it reached for [::1]:"), "{told}");
    let told = escaped(&danger.rehearse(&["--shared-network"], &["sh", &outside], 13), false);
    assert!(told.contains("production"), "{told}");
}

#[test]
fn another_way_to_the_same_server_leads_into_a_trap_or_behind_the_lock() {
    let danger = Danger::new();
    let alias = danger.alias();
    let script = format!("DATABASE_URL='{alias}' exec node {TOOL} up\n");
    let outside = danger.outside(&script);
    let told = escaped(&danger.rehearse(&[], &["sh", &outside], 13), true);
    assert!(told.contains(".s.PGSQL."), "{told}");
    // In this machine's network the tool comes to production, and waits there before it can record anything.
    let told = escaped(&danger.rehearse(&["--shared-network"], &["sh", &outside], 13), false);
    assert!(told.contains("of production"), "{told}");

    // A second process, which daemonises and carries no mark of the first one.
    let psql = danger.scene.cluster.bin_directory().join("psql");
    let second =
        format!("setsid env -i {} '{alias}' -c 'DROP TABLE shop.events' &\nnode {TOOL} up\nwait\n", psql.display());
    let outside = danger.outside(&second);
    let told = escaped(&danger.rehearse(&[], &["sh", &outside], 13), true);
    assert!(told.contains(".s.PGSQL."), "{told}");
}

#[test]
fn what_production_and_the_report_hold_is_said() {
    let danger = Danger::new();
    let report = danger.rehearse(&[], &["node", TOOL, "up"], 0).json();
    let isolation = &report["rehearsal"]["isolation"];
    assert_eq!((&isolation["namespace"], &isolation["held"]), (&json!(true), &json!("public.pgmigrations")));
    assert_eq!((&isolation["watched"], &isolation["why_not"]), (&json!(true), &Value::Null));
    assert_eq!(isolation["rewritten"], json!(["DATABASE_URL"]), "{isolation:#}");
    let shared = danger.rehearse(&["--shared-network"], &["node", TOOL, "up"], 0).json();
    let isolation = &shared["rehearsal"]["isolation"];
    assert_eq!((&isolation["namespace"], &isolation["why_not"]), (&json!(false), &json!("so it was asked for")));
    let text = danger.project.rehearse(&danger.scene, &["--shared-network"]).ended_with(0).stdout;
    assert!(text.contains("NOT in a network of its own (so it was asked for)"), "{text}");
    // The production's password is nowhere.
    let password = danger.scene.cluster.password().unwrap();
    assert!(!report.to_string().contains(password) && !text.contains(password));
}
