//! Whether the snapshots that restore points are still lie in RDS, and can be restored.

use std::collections::BTreeMap;

use holdpoint_core::PointId;
use holdpoint_core::recorded::SnapshotFacts;
use holdpoint_rds::Error as Rds;

use super::findings::{Finding, FindingKind};
use crate::rds::{ControlPlane, is_the_recorded};
use crate::{Context, Error};

/// Asks RDS for snapshots, one client a region.
pub(super) struct Snapshots<'a> {
    context: &'a Context,
    planes: BTreeMap<String, ControlPlane>,
}

impl<'a> Snapshots<'a> {
    pub(super) fn new(context: &'a Context) -> Self {
        Self { context, planes: BTreeMap::new() }
    }

    /// Looks at one; what RDS does not tell is a finding, too.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub(super) async fn ask(&mut self, point: &PointId, recorded: &SnapshotFacts) -> Result<Option<Finding>, Error> {
        let finding = |kind, reason: String, cure: String| Some(Finding::new(kind, point.as_str(), reason, cure));
        let name = &recorded.name;
        let another = || "use another restore point: holdpoint list".to_owned();
        match self.find(recorded).await {
            Ok(found) if !is_the_recorded(recorded, &found) => {
                let reason = format!("the snapshot {name} is another one, made after it was recorded");
                Ok(finding(FindingKind::Missing, reason, another()))
            }
            Ok(found) if found.status != "available" => {
                let reason = format!("the snapshot {name} is {}: it cannot be restored", found.status);
                Ok(finding(
                    FindingKind::Snapshot,
                    reason,
                    "look again later; else use another restore point".to_owned(),
                ))
            }
            Ok(_) => Ok(None),
            Err(Error::Rds(error)) if matches!(*error, Rds::NotFound { .. }) => {
                let reason = format!("the snapshot {name} is not in {} any more", recorded.region);
                Ok(finding(FindingKind::Missing, reason, another()))
            }
            Err(Error::Interrupted) => Err(Error::Interrupted),
            Err(error) => {
                let cure = error.hint().unwrap_or_else(|| "see that RDS can be asked".to_owned());
                let reason = format!("whether the snapshot {name} is there is not known: {}", error.line());
                Ok(finding(FindingKind::Snapshot, reason, cure))
            }
        }
    }

    async fn find(&mut self, recorded: &SnapshotFacts) -> Result<holdpoint_rds::Snapshot, Error> {
        let region = &recorded.region;
        if !self.planes.contains_key(region) {
            let plane = ControlPlane::of(self.context, region).await?;
            self.planes.insert(region.clone(), plane);
        }
        let plane = &self.planes[region];
        plane.unless_ended(plane.rds.snapshot(&recorded.name)).await
    }
}
