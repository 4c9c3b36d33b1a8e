//! Flyway's history table: what of it still counts.

use std::collections::BTreeMap;

use super::flyway_name::Version;
use super::tracking::{Row, TrackingTable};

/// The rows that count: the last of each version, and the last of each repeatable migration.
#[derive(Default)]
pub(super) struct History<'a> {
    versions: Vec<(Version, Row<'a>)>,
    repeatables: BTreeMap<&'a str, Row<'a>>,
    /// The version that counts as the beginning.
    pub(super) baseline: Option<Version>,
    /// Rows that failed.
    pub(super) failed: Vec<Row<'a>>,
}

impl<'a> History<'a> {
    /// Sorts the rows; they come in the order of `installed_rank`.
    pub(super) fn read(table: &'a TrackingTable) -> Self {
        let mut history = Self::default();
        for row in table.rows() {
            let kind = row.text("type");
            if !row.is_true("success") {
                history.failed.push(row);
                continue;
            }
            let Some(version) = row.get("version") else {
                if kind == "DELETE" {
                    history.repeatables.remove(row.text("description"));
                } else if kind != "SCHEMA" {
                    history.repeatables.insert(row.text("description"), row);
                }
                continue;
            };
            let Some(version) = Version::read(version) else { continue };
            history.versions.retain(|(one, _)| *one != version);
            match kind {
                "DELETE" | "DELETED" => {}
                _ if kind.starts_with("UNDO") => {}
                "BASELINE" | "SQL_BASELINE" => {
                    history.baseline = Some(version.clone());
                    history.versions.push((version, row));
                }
                _ => history.versions.push((version, row)),
            }
        }
        history
    }

    /// The row of a version.
    pub(super) fn version(&self, version: &Version) -> Option<Row<'a>> {
        self.versions.iter().find(|(one, _)| one == version).map(|(_, row)| *row)
    }

    /// The row of a repeatable migration.
    pub(super) fn repeatable(&self, description: &str) -> Option<Row<'a>> {
        self.repeatables.get(description).copied()
    }

    /// The last version that is applied.
    pub(super) fn last(&self) -> Option<&(Version, Row<'a>)> {
        self.versions.iter().max_by(|one, other| one.0.cmp(&other.0))
    }

    /// The applied versions, without what only marks a beginning.
    pub(super) fn applied(&self) -> impl Iterator<Item = &(Version, Row<'a>)> {
        self.versions.iter().filter(|(_, row)| !row.text("type").contains("BASELINE"))
    }
}
