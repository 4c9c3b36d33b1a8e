//! The databases that a folder belonged to, by its records: whose restore points count there.

use holdpoint_core::Identity;
use holdpoint_core::identity::IdentityMatch;
use holdpoint_core::retention::Aside;
use holdpoint_repository::Identities;

use super::Surveyed;
use crate::{Context, Error};

/// The databases that a folder belonged to.
#[derive(Debug)]
pub(crate) struct Owners(pub(crate) Identities);

impl Owners {
    /// Reads every record.
    pub(crate) async fn read(context: &Context) -> Result<Self, Error> {
        Ok(Self(context.repository.identities(&context.database).await?))
    }

    /// Whether the records tell that the folder never was this database's; where one is lost or cannot be read, nobody knows.
    pub(crate) fn never_had(&self, identity: &Identity) -> bool {
        let Identities { records, unreadable, .. } = &self.0;
        let is_another =
            |recorded: &Identity| matches!(Identity::compare(recorded, identity), IdentityMatch::Different(_));
        !records.is_empty() && unreadable.is_empty() && records.iter().all(|one| is_another(&one.identity))
    }

    /// Sets restore points of other databases aside: nothing goes because of them.
    pub(crate) fn set_aside_others(&self, points: &mut [Surveyed]) {
        for point in points {
            if self.never_had(&point.identity) {
                point.aside = Some(Aside::AnotherDatabase);
            }
        }
    }
}
