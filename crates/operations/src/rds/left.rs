//! What a verb that failed or was ended leaves in RDS: by name and region, with the commands that go on with it or drop it.

use holdpoint_rds::Error as Rds;

use super::ControlPlane;
use crate::Error;

/// What was made in RDS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// An instance, or a cluster.
    Instance,
    /// A snapshot.
    Snapshot,
}

impl Made {
    /// The next commands.
    fn commands(self, name: &str, region: &str) -> String {
        match self {
            Self::Instance => format!(
                "go on with holdpoint rds wait {name} --region {region}, or drop it: holdpoint rds drop {name} --region {region}"
            ),
            Self::Snapshot => format!(
                "see holdpoint rds snapshot list --region {region}, or drop it: holdpoint rds snapshot drop {name} --region \
                 {region}"
            ),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Instance => "",
            Self::Snapshot => "the snapshot ",
        }
    }

    /// Whether the error says itself what there is, with a hint that fits.
    fn is_told_by(self, error: &Error) -> bool {
        let Error::Rds(error) = error else { return matches!(error, Error::LeftBehind { .. }) };
        matches!(
            (self, &**error),
            (_, Rds::GaveUp { .. } | Rds::Gone { .. }) | (Self::Instance, Rds::Ended { .. } | Rds::Differs { .. })
        )
    }
}

impl ControlPlane {
    /// The failure of work on something that RDS was told to make, and what of it is there.
    pub(super) fn left(&self, made: Made, name: &str, failure: Error) -> Error {
        if made.is_told_by(&failure) {
            return failure;
        }
        self.left_behind(made, name, ["", "is there or being made", "costs"], failure)
    }

    /// The failure of the call that was to make something: where RDS may have heard it, with what may be there.
    pub(super) fn may_be_left(&self, made: Made, name: &str, failure: Error) -> Error {
        if !may_be_heard(&failure) {
            return failure;
        }
        self.left_behind(made, name, ["RDS may have heard of it: ", "may be there", "cost"], failure)
    }

    fn left_behind(&self, made: Made, name: &str, [why, is_there, costs]: [&str; 3], failure: Error) -> Error {
        let region = self.rds.region();
        let (word, commands) = (made.word(), made.commands(name, region));
        let remains = format!("{why}{word}{name} {is_there} in {region}, and {costs}: {commands}");
        Error::LeftBehind { failure: Box::new(failure), remains }
    }
}

/// Whether a call that failed so may have been done nevertheless.
pub(super) fn may_be_heard(failure: &Error) -> bool {
    match failure {
        Error::Interrupted => true,
        Error::Rds(error) => error.may_be_heard(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_heard_is_told_and_what_was_refused_is_not() {
        let service = |code: &str| Rds::Service {
            action: "CreateDBSnapshot",
            subject: "shop".to_owned(),
            code: code.to_owned(),
            message: String::new(),
        };
        let network = Rds::Network { action: "CreateDBSnapshot", source: "timed out".into() };
        for heard in [service("InternalFailure"), service("http status 502"), network] {
            assert!(may_be_heard(&heard.into()));
        }
        assert!(may_be_heard(&Error::Interrupted));
        for refused in [service("InvalidParameterValue"), Rds::Throttled { action: "CreateDBSnapshot" }] {
            assert!(!may_be_heard(&refused.into()));
        }
    }

    #[test]
    fn an_error_that_names_the_right_command_itself_is_left_as_it_is() {
        let ended = || Rds::Ended { subject: "shop".to_owned(), status: "failed".to_owned(), event: None };
        assert!(Made::Instance.is_told_by(&ended().into()));
        assert!(!Made::Snapshot.is_told_by(&ended().into()), "its hint drops an instance");
        assert!(!Made::Instance.is_told_by(&Error::Interrupted));
        let commands = Made::Snapshot.commands("held", "eu-central-1");
        assert!(commands.contains("rds snapshot drop held --region eu-central-1"), "{commands}");
    }
}
