//! The configuration, `holdpoint.toml`: found upward from the working directory, read strictly, never a place that must
//! hold a secret (any URL may be `env:NAME`).

mod find;
mod problem;
mod read;
mod timeouts;
mod value;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use holdpoint_archive::Codec;
use holdpoint_core::DatabaseName;
use holdpoint_core::risk::{Requirement, RiskClass};
use holdpoint_core::verification::Level;
use holdpoint_guard::tools::{TableName, ToolName};
use holdpoint_repository::S3Options;
use holdpoint_review::Waiver;
use serde::Deserialize;

use crate::arguments::{Jobs, OnFailure, Proof};

pub(crate) use find::{Sections, find, find_told};
pub(crate) use problem::{ConfigError, WrongSection};
pub(crate) use timeouts::TimeoutsSection;
pub(crate) use value::Value;

/// The file's name.
pub(crate) const FILE: &str = "holdpoint.toml";

/// What the file says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The database to work on where none is named.
    pub(crate) default_database: Option<DatabaseName>,
    /// A folder with PostgreSQL's programs, or one that holds `<major>/bin`.
    pub(crate) postgresql_directory: Option<PathBuf>,
    /// The databases, by their folder's name in the repository.
    pub(crate) database: BTreeMap<DatabaseName, DatabaseSection>,
    /// Sections of databases that are wrong, where [`Sections::OneByOne`] leaves them to whoever works on the others.
    #[serde(skip)]
    pub(crate) unreadable: BTreeMap<DatabaseName, WrongSection>,
    /// Databases to restore into, by a name for `--into`.
    pub(crate) target: BTreeMap<String, TargetSection>,
    /// Where restore points live.
    pub(crate) repository: RepositorySection,
    /// What a backup may ask of the server.
    pub(crate) backup: BackupSection,
    /// Where they are verified.
    pub(crate) scratch: ScratchSection,
    /// What the gate asks for.
    pub(crate) gate: GateSection,
    /// What is asked for each class of risk, where it is not the default.
    #[serde(deserialize_with = "read::risk")]
    pub(crate) risk: BTreeMap<RiskClass, Requirement>,
    /// Risks that somebody takes, by any name.
    pub(crate) waiver: BTreeMap<String, Waiver>,
    /// Where migrations are found.
    pub(crate) migrations: MigrationsSection,
    /// How commands are guarded.
    pub(crate) guard: GuardSection,
    /// What is kept of the restore points.
    pub(crate) retention: RetentionSection,
    /// What runs unattended.
    pub(crate) cron: CronSection,
    /// How the control plane of Amazon RDS is reached.
    pub(crate) rds: RdsSection,
    /// Where it was read; `None` where there is no file.
    #[serde(skip)]
    pub(crate) path: Option<PathBuf>,
}

/// A database.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DatabaseSection {
    /// How migrations connect.
    pub(crate) url: Option<Value>,
    /// How backups connect: a role with pg_read_all_data and BYPASSRLS.
    pub(crate) backup_url: Option<Value>,
    /// The same database without a pooler in between.
    pub(crate) direct_url: Option<Value>,
    /// A major of the client programs other than the server's.
    pub(crate) client_major: Option<u32>,
    /// A folder with PostgreSQL's programs for this database.
    pub(crate) postgresql_directory: Option<PathBuf>,
    /// What it is used for.
    pub(crate) environment: Environment,
    /// The name of the RDS instance that it is on.
    pub(crate) rds_instance: Option<String>,
    /// A PEM file of the authorities that sign its server's certificate.
    pub(crate) ca_bundle: Option<PathBuf>,
    /// IAM tokens are its passwords.
    pub(crate) iam_auth: bool,
}

/// What a database is used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Environment {
    /// Its rows matter: never replaced.
    #[default]
    Production,
    /// A copy for trying things: may be named by `--into` and replaced.
    Staging,
}

/// A database to restore into.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TargetSection {
    /// How to connect.
    pub(crate) url: Value,
    /// Whether its rows matter; only `false` lets it be replaced.
    #[serde(default = "matters")]
    pub(crate) production: bool,
}

fn matters() -> bool {
    true
}

/// Where restore points live.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RepositorySection {
    /// `file:///directory`, `s3://bucket/prefix`, or the variable that holds one.
    #[serde(deserialize_with = "read::repository")]
    pub(crate) url: Option<Value>,
    /// How a bucket is reached and written.
    pub(crate) s3: S3Options,
    /// How long a bucket may take.
    pub(crate) timeouts: TimeoutsSection,
}

/// What a backup may ask of the server.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BackupSection {
    /// How many pieces are worked on at a time.
    pub(crate) jobs: Option<Jobs>,
    /// Bytes of rows that are read in a second; zero sets no limit.
    #[serde(deserialize_with = "read::rate")]
    pub(crate) max_rate: Option<u64>,
    /// How long a backup may hold its snapshot.
    #[serde(deserialize_with = "read::duration")]
    pub(crate) max_snapshot_age: Option<Duration>,
    /// How long somebody may wait for a table behind the backup.
    #[serde(deserialize_with = "read::duration")]
    pub(crate) max_lock_wait: Option<Duration>,
}

/// Where restore points are verified.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ScratchSection {
    /// Which kind of server.
    pub(crate) kind: ScratchKind,
    /// Local: where scratch servers and their data are put.
    pub(crate) directory: Option<PathBuf>,
    /// Local: the user the server runs as, where holdpoint runs as root.
    pub(crate) user: Option<String>,
    /// Local: scratch servers are allowed on a CI runner, production rows and all.
    pub(crate) allow_ci: bool,
    /// A locale that the scratch server lacks is replaced by C, aloud.
    pub(crate) replace_missing_locale: bool,
    /// Url: a server on which databases may be created.
    pub(crate) url: Option<Value>,
    /// Command: a line for the shell that prints the URL of a fresh server last.
    pub(crate) up: Option<String>,
    /// Command: a line for the shell that removes it again.
    pub(crate) down: Option<String>,
}

/// Which kind of scratch server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ScratchKind {
    /// A private cluster of this machine.
    #[default]
    Local,
    /// A database of a given server.
    Url,
    /// One that commands bring up and down.
    Command,
}

/// What the gate asks for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GateSection {
    /// The level that a restore point must be proven at.
    #[serde(deserialize_with = "read::level")]
    pub(crate) level: Option<Level>,
    /// The greatest age of its snapshot; zero makes one for every run.
    #[serde(deserialize_with = "read::duration")]
    pub(crate) max_age: Option<Duration>,
    /// An older restore point is relied on only where a point-in-time window covers now.
    pub(crate) require_window: bool,
    /// How far the window's end may lag behind now.
    #[serde(deserialize_with = "read::duration")]
    pub(crate) max_window_lag: Option<Duration>,
    /// How long a run waits, right before its command, until RDS can restore the instant that it noted.
    #[serde(deserialize_with = "read::duration")]
    pub(crate) wait_for_instant: Option<Duration>,
}

/// How the control plane of Amazon RDS is reached; credentials come from AWS's own places.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RdsSection {
    /// The region of the instances.
    pub(crate) region: Option<String>,
    /// A profile of the AWS configuration files.
    pub(crate) profile: Option<String>,
    /// The address of an endpoint other than Amazon's.
    pub(crate) endpoint_url: Option<String>,
    /// A PEM file with certificates of that endpoint.
    pub(crate) ca_bundle: Option<PathBuf>,
    /// A PEM file of the authorities that sign the certificates of databases on RDS.
    pub(crate) database_ca_bundle: Option<PathBuf>,
    /// How long one call may take, with all its attempts.
    #[serde(deserialize_with = "read::short_duration")]
    pub(crate) answer_within: Option<Duration>,
    /// How often is looked while waiting.
    #[serde(deserialize_with = "read::pause")]
    pub(crate) poll: Option<Duration>,
    /// When waiting is given up.
    #[serde(deserialize_with = "read::duration")]
    pub(crate) wait_for: Option<Duration>,
}

/// Where migrations are found.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MigrationsSection {
    /// The project's folder, in which the tool is looked for.
    pub(crate) project: Option<PathBuf>,
    /// The tool.
    pub(crate) tool: Option<ToolName>,
    /// The folder of migrations.
    pub(crate) directory: Option<PathBuf>,
    /// The tracking table.
    #[serde(deserialize_with = "read::table")]
    pub(crate) table: Option<TableName>,
    /// A line for the shell that prints one pending migration file a line.
    pub(crate) pending_command: Option<String>,
    /// Commands, word by word, that run the pending migrations and do nothing else.
    pub(crate) commands: Vec<String>,
}

/// How commands are guarded.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GuardSection {
    /// Variables that the command keeps although holdpoint uses them itself, such as `AWS_PROFILE`.
    pub(crate) keep_environment: Vec<String>,
    /// How long the command's statements may wait for a lock.
    #[serde(deserialize_with = "read::duration")]
    pub(crate) lock_timeout: Option<Duration>,
    /// How long a statement of it may take.
    #[serde(deserialize_with = "read::duration")]
    pub(crate) statement_timeout: Option<Duration>,
    /// How long it may run.
    #[serde(deserialize_with = "read::duration")]
    pub(crate) command_timeout: Option<Duration>,
    /// How long others may wait behind a statement of it that waits itself.
    #[serde(deserialize_with = "read::duration")]
    pub(crate) cancel_blocked_after: Option<Duration>,
    /// A line for the shell before the command.
    pub(crate) before: Option<String>,
    /// A line for the shell after success.
    pub(crate) after: Option<String>,
    /// An address that must answer 2xx afterwards.
    pub(crate) health_url: Option<Value>,
    /// A line for the shell that must end with 0 afterwards.
    pub(crate) health_command: Option<String>,
    /// How often it is asked again.
    pub(crate) health_retries: Option<u32>,
    /// How long each try may take.
    #[serde(deserialize_with = "read::duration")]
    pub(crate) health_timeout: Option<Duration>,
    /// A webhook that is told of start and end.
    pub(crate) notify: Option<Value>,
    /// What is done where the command failed and left something.
    pub(crate) on_failure: Option<OnFailure>,
}

/// What is kept of the restore points; a rule that is not given keeps nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RetentionSection {
    /// So many of the newest proven ones.
    pub(crate) keep_last: Option<u32>,
    /// The newest proven one of so many hours.
    pub(crate) keep_hourly: Option<u32>,
    /// Of so many days.
    pub(crate) keep_daily: Option<u32>,
    /// Of so many weeks.
    pub(crate) keep_weekly: Option<u32>,
    /// Of so many months.
    pub(crate) keep_monthly: Option<u32>,
    /// Of so many years.
    pub(crate) keep_yearly: Option<u32>,
    /// Everything that is at most this much older than the newest proven one.
    #[serde(deserialize_with = "read::duration")]
    pub(crate) keep_within: Option<Duration>,
    /// Never fewer proven ones.
    pub(crate) minimum_count: Option<u32>,
    /// Nothing younger is dropped.
    #[serde(deserialize_with = "read::duration")]
    pub(crate) minimum_age: Option<Duration>,
    /// Whose calendar cuts days, weeks, months and years.
    #[serde(deserialize_with = "read::zone")]
    pub(crate) time_zone: Option<chrono_tz::Tz>,
}

/// What runs unattended.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CronSection {
    /// How restore points are compressed.
    #[serde(deserialize_with = "read::codec")]
    pub(crate) compress: Option<Codec>,
    /// How far each new restore point is proven.
    pub(crate) verify: Option<Proof>,
    /// None is proven while the newest proof is younger.
    #[serde(deserialize_with = "read::duration")]
    pub(crate) verify_every: Option<Duration>,
    /// No check while the last one is younger.
    #[serde(deserialize_with = "read::duration")]
    pub(crate) check_every: Option<Duration>,
    /// So many percent of the stored bytes are read again by each check.
    pub(crate) read_data: Option<u8>,
    /// An older proof, or none, is a finding.
    #[serde(deserialize_with = "read::duration")]
    pub(crate) max_proof_age: Option<Duration>,
    /// How long everything may take.
    #[serde(deserialize_with = "read::duration")]
    pub(crate) max_runtime: Option<Duration>,
    /// It begins after a random part of this time.
    #[serde(deserialize_with = "read::duration")]
    pub(crate) splay: Option<Duration>,
    /// So many databases at a time.
    pub(crate) parallel: Option<usize>,
    /// Where metrics are written.
    pub(crate) metrics_file: Option<PathBuf>,
    /// A webhook that is told of failure, recovery and the first proof.
    pub(crate) webhook: Option<Value>,
    /// What its messages are signed with.
    pub(crate) webhook_secret: Option<Value>,
    /// What messages are signed with cannot be read; see [`Self::told`].
    #[serde(skip)]
    pub(crate) unreadable_secret: bool,
    /// An address that is asked at start, success and failure.
    pub(crate) ping: Option<Value>,
}

#[cfg(test)]
mod tests;
