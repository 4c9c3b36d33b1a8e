//! Projects and tables for the tests of the adapters.

use std::path::PathBuf;

use super::{
    Connection, Files, Finding, Found, Pending, ProjectFiles, Severity, TableName, Tool, Tracking, TrackingTable,
};

/// A project with a tool and files below its folder of migrations.
pub(super) struct Scene {
    pub(super) found: Found,
    files: ProjectFiles,
}

pub(super) fn scene(tool: Tool, files: &[(&str, &str)]) -> Scene {
    let found = Found {
        table: (!matches!(tool, Tool::PlainSql)).then(|| TableName::new("s", "journal")),
        tool,
        project: PathBuf::from("/project"),
        migrations: PathBuf::from("/project/migrations"),
        named_by: "a test".to_owned(),
        connection: Connection::default(),
    };
    let migrations = Files::new(files.iter().map(|(path, text)| ((*path).to_owned(), *text)));
    Scene { found, files: ProjectFiles { migrations, rollbacks: Files::default() } }
}

pub(super) fn table(columns: &[&str], rows: &[&[&str]]) -> Tracking {
    let value = |text: &&str| (*text != "NULL").then(|| (*text).to_owned());
    Tracking::Present(TrackingTable {
        name: TableName::new("s", "journal"),
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
        rows: rows.iter().map(|row| row.iter().map(value).collect()).collect(),
    })
}

impl Scene {
    pub(super) fn pending(&self, tracking: &Tracking) -> Pending {
        Pending::of(&self.found, &self.files, tracking)
    }

    pub(super) fn files(&self) -> &ProjectFiles {
        &self.files
    }

    /// SHA-256 of a file, as most tools record it.
    pub(super) fn hash(&self, path: &str) -> &str {
        &self.files.migrations.get(path).unwrap().sha256
    }
}

impl Pending {
    /// The names that are pending.
    pub(super) fn names(&self) -> Vec<&str> {
        self.migrations.iter().map(|migration| migration.name.as_str()).collect()
    }

    /// What was found, each with its severity, without that nothing undoes a migration.
    pub(super) fn said(&self) -> Vec<(Severity, String)> {
        let told = self.findings.iter().filter(|finding| !matches!(finding, Finding::NoRollback { .. }));
        told.map(|finding| {
            assert!(!finding.advice().is_empty());
            (finding.severity(), finding.to_string())
        })
        .collect()
    }
}
