//! What does not fit between migration files and tracking table, and what to do about it.

use serde::{Deserialize, Serialize};

/// What a finding means for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Note,
    /// A person should look; the run goes on.
    Warn,
    /// No run: the tool would refuse, or would do something else than the files say.
    Stop,
}

/// Why a tool will pass over a migration without a word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum SkipReason {
    /// Drizzle 0.x runs only what is later than the last row.
    NotAfterLast {
        /// The migration's `when` in the journal, in milliseconds.
        when: i64,
        /// The latest `created_at` of the table.
        last: i64,
    },
    /// A file that the journal does not name.
    NotInJournal,
    /// A file at a place where the tool does not look.
    NotLookedAt,
}

/// What a tool does with a migration that sorts before one that was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderEffect {
    /// Runs it, after the later one.
    Runs,
    /// Refuses to run anything.
    Refuses,
    /// Passes over it.
    Ignores,
}

/// A difference between files, tracking table and what the tool would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finding {
    /// The tool will not run it and will not say so.
    SilentlySkipped {
        /// Which.
        migration: String,
        /// Why.
        reason: SkipReason,
    },
    /// The tool will run it although it was applied.
    RunAgain {
        /// Which.
        migration: String,
        /// Why the tool takes it for pending.
        why: String,
    },
    /// The file is not the one that was applied.
    EditedAfterApplied {
        /// Which.
        migration: String,
        /// The recorded checksum.
        recorded: String,
        /// The file's.
        found: String,
        /// Whether the tool refuses to go on.
        refused: bool,
    },
    /// It sorts before one that was applied.
    OutOfOrder {
        /// Which.
        migration: String,
        /// The applied one that sorts after it.
        after: String,
        /// What the tool does.
        effect: OrderEffect,
    },
    /// A migration failed earlier, and that is not settled.
    FailedRow {
        /// Which.
        migration: String,
    },
    /// Several begin with the same number or version.
    DuplicatePrefix {
        /// The number.
        prefix: String,
        /// Which.
        migrations: Vec<String>,
        /// Whether one of them is pending.
        pending: bool,
        /// Whether the tool refuses to go on.
        refused: bool,
    },
    /// Several have the same time, by which the tool tells migrations apart.
    EqualTimestamps {
        /// The time in milliseconds.
        at: i64,
        /// Which.
        migrations: Vec<String>,
    },
    /// Recorded as applied, and there is no file.
    Orphan {
        /// How the table calls it.
        recorded: String,
        /// Whether the tool refuses to go on.
        refused: bool,
    },
    /// The tool expects a file that is not there.
    MissingFile {
        /// Which migration.
        migration: String,
        /// The path below the folder of migrations.
        path: String,
    },
    /// The files or the table are in a form that the tool does not take, or that is not known.
    UnsupportedLayout {
        /// What it is.
        what: String,
        /// What to do.
        cure: String,
    },
    /// There is no tracking table: all migrations are pending.
    NoTrackingTable {
        /// Its name.
        table: String,
        /// Whether the database holds other tables.
        others: bool,
        /// Whether the tool refuses to go on then.
        refused: bool,
    },
    /// No run recorded what was applied of a folder without a tool, and the database is not empty.
    NothingRecorded,
    /// The schema is not as the run left it by which the list of a folder without a tool is known.
    SchemaChangedSince {
        /// The run.
        run: String,
    },
    /// A run of a folder without a tool may have applied some of its files and not all.
    AppliedInPart {
        /// The run.
        run: String,
    },
    /// A run of a folder without a tool was to apply it, and nothing shows that it ran.
    WithoutEvidence {
        /// Which.
        migration: String,
        /// The run.
        run: String,
    },
    /// The tool will change its own tracking table first.
    TableUpgrade {
        /// Its name.
        table: String,
    },
    /// Not SQL: what it does cannot be read.
    Unreviewable {
        /// Which.
        migration: String,
        /// The way to see its SQL, with what that way does besides.
        way: String,
    },
    /// Placeholders without a value in the configuration.
    UnknownPlaceholder {
        /// Which migration.
        migration: String,
        /// Their names.
        names: Vec<String>,
    },
    /// Nothing undoes it.
    NoRollback {
        /// Which.
        migration: String,
    },
    /// Several scripts claim to undo it, or one claims several migrations.
    AmbiguousRollback {
        /// Which.
        migration: String,
        /// The scripts.
        paths: Vec<String>,
    },
    /// Their order depends on signs that locales order differently.
    OrderUncertain {
        /// The first.
        one: String,
        /// The second.
        other: String,
    },
    /// The folder holds no migration.
    NoMigrations,
    /// A file that the tool runs at every migration, whether anything is pending or not.
    Callback {
        /// Which.
        file: String,
    },
}

impl Finding {
    /// What it means for a run.
    ///
    /// *Stop*: the tool would refuse, or would leave the database otherwise than the files say without a word. *Warn*:
    /// the tool goes on and does what the files say, yet history and files differ. *Note*: normal, or only missing.
    pub fn severity(&self) -> Severity {
        match self {
            Self::SilentlySkipped { .. }
            | Self::RunAgain { .. }
            | Self::FailedRow { .. }
            | Self::MissingFile { .. }
            | Self::UnsupportedLayout { .. }
            | Self::NothingRecorded
            | Self::UnknownPlaceholder { .. } => Severity::Stop,
            Self::EditedAfterApplied { refused, .. } | Self::Orphan { refused, .. } => stop_if(*refused),
            Self::OutOfOrder { effect, .. } => stop_if(*effect != OrderEffect::Runs),
            Self::DuplicatePrefix { refused: true, .. } => Severity::Stop,
            Self::DuplicatePrefix { pending: false, .. } => Severity::Note,
            Self::NoTrackingTable { refused: true, .. } => Severity::Stop,
            Self::NoTrackingTable { others: false, .. } => Severity::Note,
            Self::NoTrackingTable { .. }
            | Self::DuplicatePrefix { .. }
            | Self::EqualTimestamps { .. }
            | Self::Unreviewable { .. }
            | Self::AmbiguousRollback { .. }
            | Self::OrderUncertain { .. }
            | Self::SchemaChangedSince { .. }
            | Self::AppliedInPart { .. }
            | Self::WithoutEvidence { .. }
            | Self::NoMigrations => Severity::Warn,
            Self::TableUpgrade { .. } | Self::NoRollback { .. } | Self::Callback { .. } => Severity::Note,
        }
    }

    /// What to do.
    pub fn advice(&self) -> String {
        match self {
            Self::SilentlySkipped { migration, reason } => match reason {
                SkipReason::NotAfterLast { last, .. } => format!(
                    "generate {migration} anew, so that its \"when\" in meta/_journal.json is later than {last}; a merge \
                     of two branches made it earlier"
                ),
                SkipReason::NotInJournal => format!(
                    "if it is to run, add {migration} to meta/_journal.json (drizzle-kit generate --custom makes the \
                     entry); if not, move it out of the folder"
                ),
                SkipReason::NotLookedAt => "move it to where the tool looks, or out of the folder".to_owned(),
            },
            Self::RunAgain { migration, .. } => format!(
                "make the \"when\" of {migration} in meta/_journal.json and the created_at of its row equal again"
            ),
            Self::EditedAfterApplied { refused: true, .. } => {
                "bring the applied file back and put the change into a new migration; or, where the database has the \
                 change already, let the tool repair its checksum"
                    .to_owned()
            }
            Self::EditedAfterApplied { .. } => {
                "bring the applied file back and put the change into a new migration: the edit will never reach this \
                 database"
                    .to_owned()
            }
            Self::OutOfOrder { effect: OrderEffect::Runs, .. } => {
                "make sure that it does not depend on the order; the rehearsal runs it as production will".to_owned()
            }
            Self::OutOfOrder { migration, .. } => {
                format!("give {migration} a later number, or let the tool take it out of order")
            }
            Self::FailedRow { migration } => format!(
                "look at what {migration} left, put it right, then settle the row: prisma migrate resolve \
                 --rolled-back or --applied, flyway repair"
            ),
            Self::DuplicatePrefix { .. } => {
                "check that none needs the other, and number one anew before it is applied".to_owned()
            }
            Self::EqualTimestamps { .. } => {
                "give them different times: where one is applied, the tool takes the other for applied too".to_owned()
            }
            Self::Orphan { .. } => {
                "check out the state that was deployed last; if the file was removed on purpose, remove its row"
                    .to_owned()
            }
            Self::MissingFile { .. } => "bring the file back".to_owned(),
            Self::UnsupportedLayout { cure, .. } => cure.clone(),
            Self::NoTrackingTable { refused: true, .. } => {
                "record the present state as the tool's baseline first: prisma migrate resolve --applied, flyway \
                 baseline"
                    .to_owned()
            }
            Self::NoTrackingTable { others: true, .. } => {
                "check that it is the right database and the right table (--migrations-table): everything would run \
                 from the beginning"
                    .to_owned()
            }
            Self::NoTrackingTable { .. } => "nothing; the tool makes it".to_owned(),
            Self::NothingRecorded => {
                "say which files this database has already: --applied-through FILE, or --applied-through none"
                    .to_owned()
            }
            Self::SchemaChangedSince { .. } | Self::AppliedInPart { .. } => {
                "see what changed (holdpoint compare), and say which files this database has: --applied-through FILE"
                    .to_owned()
            }
            Self::WithoutEvidence { migration, .. } => format!(
                "look whether what {migration} does is there; where it is, say so: --applied-through FILE; else see to it \
                 that the command runs it"
            ),
            Self::TableUpgrade { .. } => {
                "nothing; once it is done, do not go back to the older version of the tool".to_owned()
            }
            Self::Unreviewable { way, .. } => way.clone(),
            Self::UnknownPlaceholder { .. } => "give the values in the configuration file".to_owned(),
            Self::NoRollback { .. } => {
                "the way back is the restore point alone; write a script where one can be".to_owned()
            }
            Self::AmbiguousRollback { .. } => "name the scripts as their migrations, with all of the name".to_owned(),
            Self::OrderUncertain { .. } => "name them with plain letters".to_owned(),
            Self::NoMigrations => "check the folder: --migrations DIR".to_owned(),
            Self::Callback { .. } => "nothing; it is reviewed with what is pending".to_owned(),
        }
    }
}

fn stop_if(condition: bool) -> Severity {
    if condition { Severity::Stop } else { Severity::Warn }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SilentlySkipped { migration, reason } => {
                write!(f, "{migration} is not applied, and the tool will skip it silently: ")?;
                match reason {
                    SkipReason::NotAfterLast { when, last } => {
                        write!(f, "its \"when\" {when} is not later than the last applied {last}")
                    }
                    SkipReason::NotInJournal => f.write_str("meta/_journal.json does not name it"),
                    SkipReason::NotLookedAt => f.write_str("it lies where the tool does not look"),
                }
            }
            Self::RunAgain { migration, why } => {
                write!(f, "{migration} is applied, and the tool will run it again: {why}")
            }
            Self::EditedAfterApplied { migration, recorded, found, refused } => {
                let (recorded, found) = (short(recorded), short(found));
                write!(f, "{migration} was edited after it was applied: {recorded} is recorded, the file has {found}")?;
                if *refused { f.write_str("; the tool refuses to go on") } else { Ok(()) }
            }
            Self::OutOfOrder { migration, after, effect } => {
                write!(f, "{migration} is pending and comes before {after}, which is applied; ")?;
                f.write_str(match effect {
                    OrderEffect::Runs => "the tool runs it now",
                    OrderEffect::Refuses => "the tool refuses to go on",
                    OrderEffect::Ignores => "the tool ignores it",
                })
            }
            Self::FailedRow { migration } => {
                write!(f, "{migration} failed earlier; the tool goes on only when that is settled")
            }
            Self::DuplicatePrefix { prefix, migrations, .. } => {
                write!(f, "{} have the same number {prefix}", migrations.join(" and "))
            }
            Self::EqualTimestamps { at, migrations } => {
                write!(f, "{} have the same time {at}", migrations.join(" and "))
            }
            Self::Orphan { recorded, .. } => write!(f, "{recorded} is recorded as applied and has no file here"),
            Self::MissingFile { migration, path } => write!(f, "the file of {migration}, {path}, is missing"),
            Self::UnsupportedLayout { what, .. } => f.write_str(what),
            Self::NoTrackingTable { table, others, .. } => {
                let rest = if *others { ", yet the database holds tables" } else { "" };
                write!(f, "there is no {table}{rest}: nothing is recorded as applied")
            }
            Self::NothingRecorded => {
                f.write_str("the ledger knows of no file that was applied, yet the database holds tables")
            }
            Self::SchemaChangedSince { run } => {
                write!(f, "the schema is not as run {run} left it: something else than a guarded run changed it")
            }
            Self::AppliedInPart { run } => {
                write!(
                    f,
                    "run {run} failed, broke off or did not do all that was planned: which of its files ran is not known"
                )
            }
            Self::WithoutEvidence { migration, run } => {
                write!(f, "{migration} is pending still: run {run} was to apply it, and nothing shows that it ran")
            }
            Self::TableUpgrade { table } => write!(f, "the tool will add columns to {table} first"),
            Self::Unreviewable { migration, .. } => write!(f, "{migration} is a program: what it does cannot be read"),
            Self::UnknownPlaceholder { migration, names } => {
                write!(f, "{migration} has placeholders without a value: {}", names.join(", "))
            }
            Self::NoRollback { migration } => write!(f, "nothing undoes {migration}"),
            Self::AmbiguousRollback { migration, paths } => {
                write!(f, "it is not clear which of {} undoes {migration}", paths.join(", "))
            }
            Self::OrderUncertain { one, other } => {
                write!(f, "whether {one} or {other} comes first depends on the machine's language")
            }
            Self::NoMigrations => f.write_str("there is no migration"),
            Self::Callback { file } => write!(f, "{file} runs at every migration, whatever is pending"),
        }
    }
}

/// A checksum as far as a person compares it.
fn short(checksum: &str) -> &str {
    checksum.get(..12).filter(|_| checksum.len() > 16).unwrap_or(checksum)
}
