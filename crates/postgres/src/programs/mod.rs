//! The one door to PostgreSQL's own programs: found by major, called with a clean environment, their messages turned
//! into causes. No secret is ever an argument.

mod cause;
mod dump;
mod dumpall;
mod initdb;
mod name;
mod pattern;
mod psql;
mod restore;
mod search;
mod version;

pub use cause::Cause;
pub use dump::{DumpFormat, DumpSelection, PgDump};
pub use dumpall::PgDumpall;
pub use holdpoint_process::{Program, Running, make_fifo, open_fifo};
pub use initdb::Initdb;
pub use name::ProgramName;
pub use pattern::{exact_schema, exact_table};
pub use psql::Psql;
pub use restore::{PgRestore, RestoreSection};
pub use search::{ClientProgram, FoundProgram, ProgramSearch, ProgramsMissing};
pub use version::ProgramVersion;

pub use crate::child::judge;
