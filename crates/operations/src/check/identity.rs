//! Whether records say whose folder it is, and whether its restore points are of that database.

use holdpoint_core::layout;
use holdpoint_repository::Identities;

use super::findings::{Finding, FindingKind};
use crate::catalogue::{Owners, Surveyed};
use crate::{Context, hint};

/// Looks at the records and at what every manifest says.
pub(super) fn look(context: &Context, owners: &Owners, points: &[Surveyed]) -> Vec<Finding> {
    let database = &context.database;
    let Owners(Identities { records, unreadable, has_first }) = owners;
    let mut findings = Vec::new();
    for one in unreadable {
        let reason = format!("{}: whose the folder is, or was, cannot be compared", one.reason);
        let cure = format!("{}, and remove this one then", hint::repository::IDENTITY);
        findings.push(Finding::new(FindingKind::Unreadable, &one.key, reason, cure));
    }
    let newest = points.last().filter(|_| records.is_empty() && unreadable.is_empty());
    findings.extend(newest.map(|newest| {
        let (id, of) = (newest.id(), &newest.identity);
        let reason = format!(
            "no record says which database the folder belongs to; restore point {id} is of {} on {}",
            of.database, of.endpoint
        );
        let cure = "see who deletes objects here (a lifecycle rule?); bring the records back from a version or copy, or write one \
                    anew: holdpoint adopt --reason \"the record was lost\"";
        Finding::new(FindingKind::IdentityMissing, &layout::identities(database), reason, cure)
    }));
    findings.extend(points.iter().filter(|one| owners.never_had(&one.identity)).map(|one| {
        let of = &one.identity;
        let (no_record, cure) = match has_first {
            true => ("no record says", "look how it came here, and move its objects to where they belong"),
            // The oldest is what a lifecycle rule by age takes first.
            false => (
                "the first record of whose the folder was is lost; none that is left says",
                "bring the record back from a version or copy of the bucket, and see who deletes objects here (a lifecycle rule?); \
                 only where the folder never was that one's, look how it came here, and move its objects to where they belong",
            ),
        };
        let reason = format!(
            "it is of {} on {}, and {no_record} that the folder was ever that one's: nothing goes because of it",
            of.database, of.endpoint
        );
        Finding::new(FindingKind::AnotherDatabase, one.id().as_str(), reason, cure)
    }));
    findings
}
