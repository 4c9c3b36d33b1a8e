//! Whether the snapshots that restore points are still lie in RDS, and can be restored.

use std::collections::BTreeMap;

use holdpoint_core::PointId;
use holdpoint_core::recorded::SnapshotFacts;
use holdpoint_rds::Error as Rds;

use super::findings::{Finding, FindingKind};
use crate::rds::{ControlPlane, Found, recorded_snapshot};
use crate::{Context, Error};

/// Why a recorded snapshot cannot be restored now, as far as RDS tells; `None` where it is there and available.
///
/// # Errors
/// [`Error::Interrupted`].
pub(crate) async fn unusable(
    context: &Context,
    point: &PointId,
    recorded: &SnapshotFacts,
) -> Result<Option<String>, Error> {
    Ok(Snapshots::new(context).ask(point, recorded).await?.map(|finding| finding.reason))
}

/// Asks RDS for snapshots, one client a region.
pub(crate) struct Snapshots<'a> {
    context: &'a Context,
    planes: BTreeMap<String, ControlPlane>,
    /// Regions of which no answer came, with what was said: each call takes as long as one may.
    silent: BTreeMap<String, (String, String)>,
}

impl<'a> Snapshots<'a> {
    pub(crate) fn new(context: &'a Context) -> Self {
        Self { context, planes: BTreeMap::new(), silent: BTreeMap::new() }
    }

    /// Looks at one; what RDS does not tell is a finding, too.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub(crate) async fn ask(&mut self, point: &PointId, recorded: &SnapshotFacts) -> Result<Option<Finding>, Error> {
        let finding = |kind, reason: String, cure: String| Some(Finding::new(kind, point.as_str(), reason, cure));
        let name = &recorded.name;
        let not_known = |why: &str, cure: String| {
            let reason = format!("whether the snapshot {name} is there is not known: {why}");
            Ok(finding(FindingKind::Snapshot, reason, cure))
        };
        if let Some((why, cure)) = self.silent.get(&recorded.region) {
            return not_known(why, cure.clone());
        }
        let another = || "use another restore point: holdpoint list".to_owned();
        match self.find(recorded).await {
            Ok(Found::Another) => {
                let reason = format!("the snapshot {name} is another one, made after it was recorded");
                Ok(finding(FindingKind::Missing, reason, another()))
            }
            Ok(Found::Recorded(found)) if found.status != "available" => {
                let reason = format!("the snapshot {name} is {}: it cannot be restored", found.status);
                Ok(finding(
                    FindingKind::Snapshot,
                    reason,
                    "look again later; else use another restore point".to_owned(),
                ))
            }
            Ok(Found::Recorded(_)) => Ok(None),
            Ok(Found::Gone) => {
                let reason = format!("the snapshot {name} is not in {} any more", recorded.region);
                Ok(finding(FindingKind::Missing, reason, another()))
            }
            Err(Error::Interrupted) => Err(Error::Interrupted),
            Err(error) => {
                let cure = error.hint().unwrap_or_else(|| "see that RDS can be asked".to_owned());
                let why = error.line();
                if matches!(&error, Error::Rds(error) if matches!(**error, Rds::Network { .. } | Rds::Credentials { .. }))
                {
                    self.silent.insert(recorded.region.clone(), (why.clone(), cure.clone()));
                }
                not_known(&why, cure)
            }
        }
    }

    async fn find(&mut self, recorded: &SnapshotFacts) -> Result<Found, Error> {
        let region = &recorded.region;
        if !self.planes.contains_key(region) {
            let plane = ControlPlane::of(self.context, region).await?;
            self.planes.insert(region.clone(), plane);
        }
        recorded_snapshot(&self.planes[region], recorded).await
    }
}
