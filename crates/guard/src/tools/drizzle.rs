//! Drizzle: which of its two layouts a folder has.

use serde::{Deserialize, Serialize};

use super::pending::State;
use super::{Finding, ProjectFiles, Tracking, drizzle_folders, drizzle_journal};

/// What is known of a Drizzle project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrizzleOptions {
    /// The major version of drizzle-orm that is installed or asked for; `None` where that is not told.
    pub major: Option<u32>,
}

/// The journal of the 0.x layout.
pub(super) const JOURNAL: &str = "meta/_journal.json";

/// Compares by the layout: 0.x has a journal, 1.0 a folder for each migration.
pub(super) fn compare<'a>(options: &DrizzleOptions, files: &'a ProjectFiles, tracking: &Tracking) -> State<'a> {
    let has_journal = files.migrations.get(JOURNAL).is_some();
    let is_new = options.major.map_or(!has_journal, |major| major >= 1);
    let (what, cure) = match (is_new, has_journal) {
        (false, true) => return drizzle_journal::compare(files, tracking),
        (true, false) => return drizzle_folders::compare(files, tracking),
        (true, true) => (
            format!("{JOURNAL} is there, and Drizzle 1.0 refuses a folder with it"),
            "run drizzle-kit up, which gives each migration a folder of its own".to_owned(),
        ),
        (false, false) => (
            format!("{JOURNAL} is not there, and Drizzle 0.x runs nothing without it"),
            "check the folder (--migrations DIR), or run drizzle-kit generate".to_owned(),
        ),
    };
    let mut state =
        if has_journal { drizzle_journal::compare(files, tracking) } else { drizzle_folders::compare(files, tracking) };
    state.findings.push(Finding::UnsupportedLayout { what, cure });
    state
}
