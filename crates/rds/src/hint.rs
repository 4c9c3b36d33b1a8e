//! What to do next after an error.

use crate::error::{Awaited, Error, Thing, told};

impl Error {
    /// What to do next, where that is known: the next command to type, or what to change.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::AccessDenied { permission, .. } => {
                format!("add {permission} to the policy of this identity; docs/rds.md has the least one")
            }
            Self::Credentials { .. } => "see which identity is in use: aws sts get-caller-identity".to_owned(),
            Self::NotFound { .. } => {
                "see whether name, account and --region are right: aws rds describe-db-instances".to_owned()
            }
            Self::AnotherAccount { made_in, .. } => {
                format!("ask with credentials of {made_in} (--profile, AWS_PROFILE): aws sts get-caller-identity")
            }
            Self::NameTaken { .. } => {
                "choose another name with --into; what holdpoint made: holdpoint rds list".to_owned()
            }
            Self::InvalidName { .. } => {
                "letters, digits and single hyphens, a letter first, no hyphen last, 63 at most".to_owned()
            }
            Self::WrongState { subject, .. } => {
                format!("nothing was stopped; go on waiting with: holdpoint rds wait {subject}")
            }
            Self::GaveUp { subject, awaited, .. } => match awaited {
                Awaited::Instance => format!("nothing was stopped; go on waiting with: holdpoint rds wait {subject}"),
                Awaited::Deletion => "RDS goes on with it; whether it is gone: holdpoint rds list".to_owned(),
                Awaited::Snapshot => {
                    "RDS goes on with it; whether it is available: holdpoint rds snapshot list; then the same command again"
                        .to_owned()
                }
                Awaited::Instant => format!(
                    "RDS stores logs every five minutes: once holdpoint rds window {subject} reaches that far, the same \
                     command again"
                ),
            },
            Self::Stopped { subject } => {
                format!("start it first: aws rds start-db-instance --db-instance-identifier {subject}")
            }
            Self::Quota { .. } => {
                "drop what is no longer needed (holdpoint rds list), take a smaller class, or ask AWS \
                                   for a higher quota"
                    .to_owned()
            }
            Self::Throttled { .. } => "nothing was changed by this call; try again in a minute".to_owned(),
            Self::OutsideWindow { source_name, earliest, latest, at } => match (earliest, latest) {
                (_, Some(latest)) if at > latest => format!(
                    "logs are stored every five minutes: wait until holdpoint rds window {source_name} says that {} is \
                     restorable, or take {}",
                    told(*at),
                    told(*latest)
                ),
                (Some(earliest), _) => format!(
                    "the earliest is {}; for older states: holdpoint rds snapshot list, holdpoint list",
                    told(*earliest)
                ),
                _ => format!("holdpoint rds window {source_name}"),
            },
            Self::InTheFuture { .. } => {
                "instants are UTC unless they say otherwise: 2026-11-21T02:43:00+01:00".to_owned()
            }
            Self::BackupsDisabled { source_name } => format!(
                "automated backups are switched on with: aws rds modify-db-instance --db-instance-identifier \
                 {source_name} --backup-retention-period 7 (which interrupts it); restorable is what is written after"
            ),
            Self::ReadReplica { primary, .. } => format!("name what it replicates: {primary}"),
            Self::ClusterMember { cluster, .. } => format!("name the cluster: {cluster}"),
            Self::ClusterSource { .. } => {
                "clusters have rds window, plan, restore, wait, list and drop; docs/rds.md, Aurora, has the rest".to_owned()
            }
            Self::UnknownCluster { subject, .. } => format!(
                "the AWS client restores it: aws rds restore-db-cluster-to-point-in-time --source-db-cluster-identifier \
                 {subject}"
            ),
            Self::WrongEngine { .. } => "holdpoint knows the engines postgres and aurora-postgresql".to_owned(),
            Self::Ended { subject, .. } => {
                format!("see why in its events, then remove it: holdpoint rds drop {subject}")
            }
            Self::Gone { .. } => "see what there is: holdpoint rds list".to_owned(),
            Self::Differs { subject, .. } => format!("let it be finished once more: holdpoint rds wait {subject}"),
            Self::NotOurs { .. } => {
                "only what carries holdpoint's tags is dropped or renamed back: holdpoint rds list".to_owned()
            }
            Self::Unready { subject } => format!("finish it: holdpoint rds wait {subject}"),
            Self::NotCutOver { .. } => "what is in service: holdpoint rds list".to_owned(),
            Self::IsSource { .. } => "holdpoint never drops a source; AWS's own console does".to_owned(),
            Self::InService { subject, thing: Thing::Instance } => format!(
                "take the cut-over back first: holdpoint rds cut-over {subject} --back, or the renames where it was made by hand"
            ),
            Self::InService { thing: Thing::Cluster, .. } => {
                "take the renames back first (aws rds modify-db-cluster --new-db-cluster-identifier); what is to stay loses \
                 holdpoint's tags: docs/rds.md, Aurora"
                    .to_owned()
            }
            Self::Protected { .. } => "say --lift-protection to drop it nevertheless".to_owned(),
            Self::Configuration { setting: "region", .. } => "name it: --region eu-central-1, or AWS_REGION".to_owned(),
            Self::Network { .. } => {
                "see whether the endpoint can be reached from here, and the proxy's settings".to_owned()
            }
            Self::NotPossible { .. }
            | Self::Configuration { .. }
            | Self::Service { .. }
            | Self::InvalidAnswer { .. } => {
                return None;
            }
        })
    }

    /// Whether another attempt later may go well although nothing is changed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Network { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gave_up_waiting_is_told_where_to_look_by_what_was_awaited() {
        let hint = |awaited| {
            let (subject, status) = ("shop".to_owned(), "creating".to_owned());
            Error::GaveUp { subject, awaited, status, waited_seconds: 60 }.hint().unwrap()
        };
        for (awaited, command) in [
            (Awaited::Instance, "holdpoint rds wait shop"),
            (Awaited::Deletion, "holdpoint rds list"),
            (Awaited::Snapshot, "holdpoint rds snapshot list"),
            (Awaited::Instant, "holdpoint rds window shop"),
        ] {
            assert!(hint(awaited).contains(command), "{awaited:?}");
        }
    }
}
