//! What to do next after an error.

use crate::error::{Awaited, Error, Thing, told};
use crate::name::with_ending;

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
                "choose another name (--into, --aside or --name); what holdpoint made: holdpoint rds list, holdpoint rds snapshot \
                 list"
                    .to_owned()
            }
            Self::OwnName { .. } => "nothing was renamed; name another: --aside NAME".to_owned(),
            Self::InvalidName { .. } => {
                "letters, digits and single hyphens, a letter first, no hyphen last, 63 at most".to_owned()
            }
            Self::LastSnapshotTaken { .. } => "choose another name with --final-snapshot".to_owned(),
            // It may be the source, which nobody restores.
            Self::WrongState { subject, .. } => {
                format!("nothing was stopped; once {subject} is available, the same command again")
            }
            Self::GaveUp { subject, awaited, .. } => match awaited {
                Awaited::Instance => format!("nothing was stopped; go on waiting with: holdpoint rds wait {subject}"),
                Awaited::Rename => {
                    "RDS goes on with it; the same command again makes the renames that are left then".to_owned()
                }
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
            Self::Stopped { subject, thing: Thing::Instance } => {
                format!("start it first: aws rds start-db-instance --db-instance-identifier {subject}")
            }
            Self::Stopped { subject, thing: Thing::Cluster } => {
                format!("start it first: aws rds start-db-cluster --db-cluster-identifier {subject}")
            }
            Self::NoInstance { subject } => format!(
                "give it one (aws rds create-db-instance --db-cluster-identifier {subject}), or drop it: holdpoint rds drop \
                 {subject}"
            ),
            Self::DropUnfinished { command, failure, .. } => {
                let again = format!("the same command goes on with it: {command}");
                match (&**failure, failure.hint()) {
                    (Self::LastSnapshotTaken { .. }, own) => return own,
                    // They say how one waits, and how one drops.
                    (Self::GaveUp { .. } | Self::WrongState { .. } | Self::Ended { .. } | Self::Gone { .. }, _) => again,
                    (_, None) => again,
                    (_, Some(own)) => format!("{own}; then {again}"),
                }
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
            Self::NoBackupYet { source_name } => {
                format!("RDS makes the first one by itself; whether it is there: holdpoint rds window {source_name}")
            }
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
            Self::NotCutOver { .. } => {
                "nothing was renamed; what is in service: holdpoint rds list".to_owned()
            }
            Self::Serves { .. } => {
                "nothing of it was modified; what of holdpoint's is in service: holdpoint rds list".to_owned()
            }
            Self::LeftAside { aside, name, .. } => format!(
                "give it its name back: aws rds modify-db-instance --db-instance-identifier {aside} --new-db-instance-identifier \
                 {name} --apply-immediately"
            ),
            Self::SourceAside { serving, .. } => {
                format!("nothing was renamed; take that cut-over back first: holdpoint rds cut-over {serving} --back")
            }
            Self::Ambiguous { .. } => "name the one that is meant by its present name: holdpoint rds list".to_owned(),
            Self::Overtaken { .. } => {
                "nothing of it was renamed; see what serves now (holdpoint rds list), and what is left to do: holdpoint rds \
                 cut-over NAME --dry-run"
                    .to_owned()
            }
            Self::NameInTheWay { name, .. } => format!(
                "this command renamed nothing; give that one another name (aws rds modify-db-instance --db-instance-identifier {name} \
                 --new-db-instance-identifier {} --apply-immediately) or drop it (holdpoint rds drop {name}), then the same \
                 command again",
                with_ending(name, "-2")
            ),
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
        match self {
            Self::DropUnfinished { failure, .. } => failure.is_transient(),
            other => matches!(other, Self::Throttled { .. } | Self::Network { .. }),
        }
    }

    /// Whether it has to be solved elsewhere before anything goes on: the identity's, the network's, or an instance that is stopped.
    #[must_use]
    pub fn is_cured_outside(&self) -> bool {
        matches!(
            self,
            Self::AccessDenied { .. } | Self::Credentials { .. } | Self::Network { .. } | Self::Stopped { .. }
        )
    }

    /// Whether the call that failed so may have been done nevertheless.
    #[must_use]
    pub fn may_be_heard(&self) -> bool {
        match self {
            Self::Network { .. } | Self::InvalidAnswer { .. } => true,
            Self::Service { code, .. } => {
                ["Internal", "ServiceUnavailable", "http status 5"].iter().any(|begin| code.starts_with(begin))
            }
            _ => false,
        }
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
            (Awaited::Rename, "the same command again"),
            (Awaited::Snapshot, "holdpoint rds snapshot list"),
            (Awaited::Instant, "holdpoint rds window shop"),
        ] {
            assert!(hint(awaited).contains(command), "{awaited:?}");
        }
    }

    #[test]
    fn a_cluster_has_commands_of_its_own() {
        let subject = || "shop".to_owned();
        let stopped = |thing| Error::Stopped { subject: subject(), thing }.hint().unwrap();
        assert!(stopped(Thing::Cluster).ends_with("start-db-cluster --db-cluster-identifier shop"));
        assert!(stopped(Thing::Instance).ends_with("start-db-instance --db-instance-identifier shop"));
        let serves = |thing| Error::InService { subject: subject(), thing }.hint().unwrap();
        assert!(
            serves(Thing::Cluster).contains("modify-db-cluster")
                && serves(Thing::Instance).contains("cut-over shop --back")
        );
    }

    #[test]
    fn a_drop_that_did_not_come_to_its_end_goes_on_by_its_own_command() {
        let told = |failure: Error| {
            let command = "holdpoint rds drop shop --final-snapshot last".to_owned();
            let going = vec!["shop-1".to_owned()];
            Error::DropUnfinished { subject: "shop".to_owned(), going, command, failure: Box::new(failure) }
        };
        let (subject, status) = ("shop-1".to_owned(), "deleting".to_owned());
        let error = told(Error::GaveUp { subject, awaited: Awaited::Deletion, status, waited_seconds: 60 });
        assert_eq!(
            error.to_string(),
            "shop-1 is still deleting after 60 s; the drop of shop did not come to its end; gone, or going: shop-1"
        );
        let goes_on = "the same command goes on with it: holdpoint rds drop shop --final-snapshot last";
        assert_eq!(error.hint().unwrap(), goes_on);
        let (subject, message) = ("shop".to_owned(), "it is modifying".to_owned());
        assert_eq!(told(Error::WrongState { subject, message }).hint().unwrap(), goes_on);
        let (subject, permission) = ("shop".to_owned(), "rds:DeleteDBCluster".to_owned());
        let hint = told(Error::AccessDenied { subject, permission }).hint().unwrap();
        assert!(hint.starts_with("add rds:DeleteDBCluster") && hint.ends_with(goes_on), "{hint}");
        let hint = told(Error::LastSnapshotTaken { name: "last".to_owned() }).hint().unwrap();
        assert!(hint.contains("--final-snapshot") && !hint.contains("same command"), "{hint}");
    }
}
