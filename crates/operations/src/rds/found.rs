//! A snapshot that was recorded, looked for by its name: it is there, it is gone, or nobody can tell.

use holdpoint_core::recorded::SnapshotFacts;
use holdpoint_rds::{Error as Rds, Owner, Snapshot};

use super::ControlPlane;
use crate::Error;

/// What RDS tells, in the account and region of the recorded snapshot, of the name that it had.
#[derive(Debug)]
pub(crate) enum Found {
    /// It is there, in whatever status.
    Recorded(Box<Snapshot>),
    /// Another one has its name: the recorded one is gone.
    Another,
    /// There is none of the name.
    Gone,
}

/// Asks RDS for a snapshot that was recorded. Whatever leaves in doubt whether it is there is an error: nothing may be dropped,
/// disproved or forgotten because of it.
///
/// # Errors
/// [`Rds::AnotherAccount`] where another account or region was asked than that of its ARN, or none can be told;
/// [`Rds::InvalidAnswer`] where it cannot be told from another one; what RDS refuses; [`Error::Interrupted`].
pub(crate) async fn recorded_snapshot(plane: &ControlPlane, recorded: &SnapshotFacts) -> Result<Found, Error> {
    let (name, made_in) = (&recorded.name, Owner::of(&recorded.arn));
    let elsewhere = |asked: Option<Owner>| {
        let made_in = made_in.as_ref().map_or_else(|| recorded.region.clone(), Owner::to_string);
        let subject = format!("the snapshot {name}");
        Error::from(Rds::AnotherAccount { subject, made_in, asked: asked.map(|asked| asked.to_string()) })
    };
    match plane.unless_ended(plane.rds.snapshot(name)).await {
        Ok(found) => {
            let asked = Owner::of(&found.arn);
            if asked.is_none() || asked != made_in {
                return Err(elsewhere(asked));
            }
            Ok(match is_the_recorded(recorded, &found)? {
                true => Found::Recorded(Box::new(found)),
                false => Found::Another,
            })
        }
        Err(Error::Rds(error)) if matches!(*error, Rds::NotFound { .. }) => {
            // Where nothing of the account is seen, nothing is known of what is not found.
            let asked = plane.unless_ended(plane.rds.seen_owner(&recorded.resource_id)).await?;
            if asked.is_none() || asked != made_in {
                return Err(elsewhere(asked));
            }
            Ok(Found::Gone)
        }
        Err(error) => Err(error),
    }
}

/// Whether a snapshot is the one that was recorded. Its ARN says no more than its name: when it was made tells it from another one.
///
/// # Errors
/// [`Rds::InvalidAnswer`] where that is not known.
pub(crate) fn is_the_recorded(recorded: &SnapshotFacts, found: &Snapshot) -> Result<bool, Error> {
    if recorded.arn != found.arn {
        return Ok(false);
    }
    match (recorded.created_at, found.created_at) {
        (Some(was), Some(is)) => Ok(was == is),
        _ => Err(Rds::InvalidAnswer { action: "DescribeDBSnapshots", lacks: "SnapshotCreateTime" }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_arn_and_instant_together_show_that_it_is_the_recorded_one() {
        let at = |text: &str| Some(text.parse().unwrap());
        let facts = SnapshotFacts {
            name: "held".to_owned(),
            arn: "arn:aws:rds:us-east-1:1:snapshot:held".to_owned(),
            region: "us-east-1".to_owned(),
            instance: "shop".to_owned(),
            resource_id: "db-1".to_owned(),
            engine: "postgres".to_owned(),
            engine_version: None,
            created_at: at("2026-11-21T02:43:00Z"),
            storage_gib: None,
            is_encrypted: false,
            kms_key: None,
        };
        let own = Snapshot { arn: facts.arn.clone(), created_at: facts.created_at, ..Snapshot::default() };
        assert!(is_the_recorded(&facts, &own).unwrap());
        let later = Snapshot { created_at: at("2026-11-21T02:43:01Z"), ..own.clone() };
        assert!(!is_the_recorded(&facts, &later).unwrap());
        let copy = Snapshot { arn: format!("{}-copy", facts.arn), ..own.clone() };
        assert!(!is_the_recorded(&facts, &copy).unwrap());
        let undated = Snapshot { created_at: None, ..own };
        assert!(is_the_recorded(&facts, &undated).is_err(), "what is not dated may be another one");
    }
}
