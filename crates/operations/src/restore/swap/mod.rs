//! `holdpoint restore --swap`: the emergency restore of the live database itself.
//!
//! Planned, shown, applied: [`plan`] looks at everything that could stop it and changes nothing, [`written_since()`] reads
//! what would stay behind, [`swap`] restores beside, matches, and exchanges the two in one transaction. The database
//! that was there is kept, and [`swap_in`] puts it back.

mod adoption;
mod fitness;
mod obstacles;
mod provider;
mod put_in;
mod run;
mod written_since;

use chrono::{DateTime, Utc};
use holdpoint_core::PointId;
use holdpoint_core::selector::Selector;
use holdpoint_core::verification::{Compared, Obstacle, Standing};
use holdpoint_postgres::ConnectionSettings;
use holdpoint_postgres::programs::ProgramSearch;
use serde::Serialize;

use super::RestoreOptions;

pub(crate) use adoption::follow;
pub use obstacles::plan;
pub use put_in::{SwapInOptions, SwapInPlan, plan_in, swap_in};
pub use run::{RestoredBeside, restore_beside, swap};
pub use written_since::{NotKnown, ObjectSince, TableSince, WrittenSince, written_since};

/// How the live database is swapped for a restored one.
#[derive(Clone, Debug)]
pub struct SwapOptions {
    /// The restore point.
    pub from: Selector,
    /// The live database, as a role that may rename it and create databases.
    pub live: ConnectionSettings,
    /// The same database by the URL that backups use, where another one is configured.
    pub source: Option<ConnectionSettings>,
    /// Where client programs are looked for.
    pub programs: ProgramSearch,
    /// How many sessions work at a time.
    pub jobs: usize,
    /// Tables with more bytes than this are not compared with the restore point; `None`: none is.
    pub compare_up_to: Option<u64>,
    /// The server process that has the run lock for this swap already, as that of the run that is undone by it.
    pub held_by: Option<i32>,
}

impl SwapOptions {
    /// The options of the restore beside: of that point, whatever the selector would choose by now.
    fn restore(&self, point: &PointId) -> RestoreOptions {
        RestoreOptions {
            from: Selector::Id(point.clone()),
            into: self.live.clone(),
            programs: self.programs.clone(),
            jobs: self.jobs,
            replace: None,
            no_owner: false,
            no_privileges: false,
            source: None,
            dry_run: false,
            foreign: None,
            parallel_above_bytes: crate::PARALLEL_ABOVE_BYTES,
        }
    }
}

/// What a swap would do, and what stands in its way.
#[derive(Clone, Debug, Serialize)]
pub struct SwapPlan {
    /// The restore point.
    pub point: PointId,
    /// Its snapshot: what was written since is not in it.
    pub snapshot_at: DateTime<Utc>,
    /// What its verifications say; the swap matches its fingerprint in any case.
    pub standing: Standing,
    /// The live database, without its password.
    pub live: String,
    /// Its name, which a person types to confirm.
    pub database: String,
    /// Its OID.
    pub database_oid: u32,
    /// Under which name it will be kept.
    pub keep_as: String,
    /// How many sessions are in it now; they are ended.
    pub sessions: u64,
    /// Bytes that the live database takes, so about what the second one will take, too.
    pub live_bytes: Option<u64>,
    /// Bytes that are free where the server keeps its data; known only on the server's own machine.
    pub free_bytes: Option<u64>,
    /// What stands in the way: with any of them nothing is begun.
    pub obstacles: Vec<Obstacle>,
    /// What is worth knowing before it is begun.
    pub warnings: Vec<String>,
}

/// A swap that was made.
#[derive(Clone, Debug, Serialize)]
pub struct SwapReport {
    /// The restore point; `None` when a database that was there took the live one's place.
    pub point: Option<PointId>,
    /// The live database, without its password.
    pub live: String,
    /// What was compared with the fingerprint before the swap.
    pub compared: Option<Compared>,
    /// When the names were exchanged, by the server's clock.
    pub swapped_at: DateTime<Utc>,
    /// For how many milliseconds nobody could connect.
    pub closed_for_ms: u64,
    /// How many sessions were ended.
    pub sessions_ended: usize,
    /// The name of the database that was there: closed, and whole.
    pub kept_as: String,
    /// What only that one holds; `None` where nobody asked.
    pub written_since: Option<WrittenSince>,
    /// The folder of the repository belongs to the new database; else backups are refused until `holdpoint adopt`.
    pub adopted: bool,
    /// The commands that undo it, and that open the database that was there.
    pub way_back: Vec<String>,
    /// Milliseconds.
    pub took_ms: u64,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}

/// The commands that lead back after a swap, and to the rows that stayed behind.
fn way_back(kept_as: &str) -> Vec<String> {
    use holdpoint_core::name::quote_identifier;
    vec![
        format!("holdpoint restore --swap-in {}", crate::backup::shell(kept_as)),
        format!("ALTER DATABASE {} ALLOW_CONNECTIONS true; -- to read it", quote_identifier(kept_as)),
        "holdpoint leftovers --remove".to_owned(),
    ]
}
