//! Pending lists against what the real tools then do.

mod drizzle;
mod flyway;
mod node_pg_migrate;
mod prisma;
mod repair;
mod tracking;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;

use holdpoint_guard::tools::{Choice, Finding, Found, Pending, ProjectFiles, Search, Severity, find, read_tracking};
use holdpoint_postgres::connection::Environment;
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};
use holdpoint_testkit::{Cluster, ClusterOptions, NEWEST, migration_tool};

/// A project with a real tool, and a database of its own.
pub(crate) struct Project {
    pub(crate) cluster: &'static Cluster,
    pub(crate) database: String,
    directory: tempfile::TempDir,
}

/// One server for all of them: tools of Node.js come by TCP with a password.
fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(ClusterOptions::major(NEWEST).with_tcp()))
}

impl Project {
    /// Makes a database and an empty project in which a tool is installed.
    pub(crate) fn open(tool: &str, database: &str) -> Self {
        let project = Self::bare(database);
        let modules = migration_tool(tool).join("node_modules");
        std::os::unix::fs::symlink(modules, project.path().join("node_modules")).unwrap();
        project
    }

    /// Makes a database and an empty project.
    pub(crate) fn bare(database: &str) -> Self {
        cluster().create_database(database);
        Self { cluster: cluster(), database: database.to_owned(), directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn remove(&self, path: &str) {
        let path = self.path().join(path);
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
    }

    /// Runs a program of Node.js in the project.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new("node");
        command.arg(self.path().join("node_modules").join(program)).args(arguments).current_dir(self.path());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.path());
        command.env("DATABASE_URL", self.cluster.tcp_url(&self.database)).env("CI", "true").env("NO_COLOR", "1");
        // Prisma fetches engines that are absent; with a driver adapter it uses none of these.
        command.env("PRISMA_QUERY_ENGINE_LIBRARY", "/bin/true").env("PRISMA_SCHEMA_ENGINE_BINARY", "/bin/true");
        command.env("CHECKPOINT_DISABLE", "1").env("PRISMA_HIDE_UPDATE_MESSAGE", "1");
        command.output().unwrap_or_else(|error| panic!("Node.js 20 is needed: {error}"))
    }

    pub(crate) fn psql(&self, sql: &str) -> String {
        self.cluster.psql(&self.database, sql)
    }

    pub(crate) fn settings(&self, url: &str) -> ConnectionSettings {
        ConnectionSettings::resolve(url, &Environment::default()).unwrap()
    }

    pub(crate) async fn session(&self) -> Session {
        let settings = self.settings(&self.cluster.url(&self.database));
        Session::connect(&settings, &SessionPurpose::new("test")).await.unwrap()
    }

    pub(crate) fn found(&self) -> Found {
        let search = find(self.path(), &Choice::default()).unwrap();
        let Search::Found(found) = search else { panic!("{search:?}") };
        *found
    }

    /// What is pending, by files and table.
    pub(crate) async fn pending(&self) -> Pending {
        let found = self.found();
        let session = self.session().await;
        let before = self.evidence();
        let tracking = read_tracking(&found, &session).await.unwrap();
        assert_eq!(self.evidence(), before, "looking changes nothing");
        session.close().await;
        Pending::of(&found, &ProjectFiles::read(&found).unwrap(), &tracking)
    }

    /// What making or dropping anything would change.
    fn evidence(&self) -> String {
        self.psql("SELECT count(*), max(oid) FROM pg_class")
    }

    /// The tables that migrations made, in the order in which they were made.
    fn made(&self) -> Vec<String> {
        let sql = "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                   WHERE c.relkind = 'r' AND n.nspname = 'public' AND c.relname LIKE 't\\_%' ORDER BY c.oid";
        self.psql(sql).lines().map(str::to_owned).collect()
    }

    /// Runs the tool and makes sure that it does exactly what was foreseen; gives what was foreseen.
    pub(crate) async fn check(&self, run: impl Fn(&Self) -> Output) -> Pending {
        let pending = self.pending().await;
        let before = self.made();
        let output = run(self);
        let made = self.made();
        let foreseen: Vec<String> = pending.runs.iter().map(|name| table_of(name)).collect();
        let told = format!("{pending:#?}\n{}", told(&output));
        assert_eq!(made[before.len()..], foreseen, "{told}");
        let refused = pending.stops().next().is_some() && !silent(&pending);
        assert_eq!(output.status.success(), !refused, "{told}");
        pending
    }
}

/// Whether the tool goes on without a word although a run must not begin.
fn silent(pending: &Pending) -> bool {
    let is_silent = |finding: &Finding| matches!(finding, Finding::SilentlySkipped { .. });
    pending.stops().all(is_silent)
}

pub(crate) fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The table that a migration of this name makes.
pub(crate) fn table_of(name: &str) -> String {
    let name = name.rsplit('/').next().unwrap().trim_end_matches(".sql");
    format!("t_{}", name.to_lowercase().replace(|sign: char| !sign.is_ascii_alphanumeric(), "_"))
}

/// A migration that makes its table.
pub(crate) fn sql(name: &str) -> String {
    format!("CREATE TABLE {} (id int);\n", table_of(name))
}

/// What was found, without that nothing undoes a migration.
pub(crate) fn kinds(pending: &Pending) -> Vec<(Severity, String)> {
    let kind = |finding: &Finding| serde_json::to_value(finding).unwrap()["kind"].as_str().unwrap().to_owned();
    let kinds = pending.findings.iter().map(|finding| (finding.severity(), kind(finding)));
    kinds.filter(|(_, kind)| kind != "no_rollback").collect()
}

/// `stop` and so on, for comparing with [`kinds`].
pub(crate) fn of(severity: Severity, kind: &str) -> (Severity, String) {
    (severity, kind.to_owned())
}
