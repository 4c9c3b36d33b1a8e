//! `pg_dump`.

use std::time::Duration;

use holdpoint_process::{Program, Stdout};

use crate::child::connected;
use crate::programs::ClientProgram;
use crate::{ConnectionSettings, Error};

/// What pg_dump writes to its stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpFormat {
    /// The custom archive, uncompressed: holdpoint compresses.
    Custom,
    /// SQL text.
    Plain,
}

/// What to dump, as patterns of pg_dump; all empty means everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DumpSelection {
    /// Schemas to dump.
    pub schemas: Vec<String>,
    /// Schemas to leave out.
    pub exclude_schemas: Vec<String>,
    /// Tables to dump.
    pub tables: Vec<String>,
    /// Tables to leave out.
    pub exclude_tables: Vec<String>,
    /// Tables to dump without their rows.
    pub exclude_table_data: Vec<String>,
    /// Extensions to dump.
    pub extensions: Vec<String>,
}

impl DumpSelection {
    fn arguments(&self) -> Vec<String> {
        let each = |option: &'static str, patterns: &[String]| -> Vec<String> {
            patterns.iter().map(|pattern| format!("--{option}={pattern}")).collect()
        };
        let mut arguments = each("schema", &self.schemas);
        arguments.extend(each("exclude-schema", &self.exclude_schemas));
        arguments.extend(each("table", &self.tables));
        arguments.extend(each("exclude-table", &self.exclude_tables));
        arguments.extend(each("exclude-table-data", &self.exclude_table_data));
        arguments.extend(each("extension", &self.extensions));
        if self.selects() {
            // A pattern that matches nothing must not give an empty backup of success.
            arguments.push("--strict-names".into());
        }
        arguments
    }

    fn selects(&self) -> bool {
        !(self.schemas.is_empty() && self.tables.is_empty() && self.extensions.is_empty())
    }
}

/// A call of pg_dump that writes to a pipe.
#[derive(Clone, Debug)]
pub struct PgDump {
    client: ClientProgram,
    settings: ConnectionSettings,
    session_options: String,
    format: DumpFormat,
    selection: DumpSelection,
    arguments: Vec<String>,
}

impl PgDump {
    /// Dumps the database of the settings. `session_options` are settings in the form of `PGOPTIONS`.
    #[must_use]
    pub fn new(client: &ClientProgram, settings: &ConnectionSettings, session_options: &str) -> Self {
        Self {
            client: client.clone(),
            settings: settings.clone(),
            session_options: session_options.to_owned(),
            format: DumpFormat::Custom,
            selection: DumpSelection::default(),
            arguments: Vec::new(),
        }
    }

    /// Sets the format; the custom archive by default.
    #[must_use]
    pub fn format(mut self, format: DumpFormat) -> Self {
        self.format = format;
        self
    }

    /// Dumps what an exported snapshot sees; its exporter must stay open until pg_dump has imported it.
    #[must_use]
    pub fn snapshot(mut self, id: &str) -> Self {
        self.arguments.push(format!("--snapshot={id}"));
        self
    }

    /// Gives up when a table's lock is not granted within this time.
    #[must_use]
    pub fn lock_wait_timeout(mut self, limit: Duration) -> Self {
        self.arguments.push(format!("--lock-wait-timeout={}", limit.as_millis()));
        self
    }

    /// Leaves out all rows, sequence values and large objects.
    #[must_use]
    pub fn schema_only(mut self) -> Self {
        self.arguments.push("--schema-only".into());
        self
    }

    /// Sets what is dumped.
    #[must_use]
    pub fn selection(mut self, selection: DumpSelection) -> Self {
        self.selection = selection;
        self
    }

    /// Gives the program, with a piped stdout that must be read to its end. End of file is not success: see
    /// [`super::judge`].
    ///
    /// # Errors
    /// [`Error::PasswordNotMade`].
    pub async fn program(&self) -> Result<Program, Error> {
        let format: &[&str] = match self.format {
            DumpFormat::Custom => &["--format=custom", "--compress=0"],
            DumpFormat::Plain => &["--format=plain"],
        };
        Ok(connected(&self.client, &self.settings, &self.session_options)
            .await?
            .arguments(format)
            .argument("--no-sync")
            .arguments(&self.arguments)
            .arguments(self.selection.arguments())
            .stdout(Stdout::Piped))
    }
}
