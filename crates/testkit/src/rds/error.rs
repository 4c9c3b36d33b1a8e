//! Errors with the codes and, where they are known, the words of AWS.

/// An error's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RdsError {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
}

impl RdsError {
    pub(super) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into() }
    }

    pub(super) fn value(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidParameterValue", message)
    }

    pub(super) fn combination(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidParameterCombination", message)
    }

    pub(super) fn instance_not_found(identifier: &str) -> Self {
        Self::new(404, "DBInstanceNotFound", format!("DBInstance {identifier} not found."))
    }

    pub(super) fn instance_exists() -> Self {
        Self::new(400, "DBInstanceAlreadyExists", "DB instance already exists")
    }

    pub(super) fn instance_state(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidDBInstanceState", message)
    }

    pub(super) fn snapshot_not_found(identifier: &str) -> Self {
        Self::new(404, "DBSnapshotNotFound", format!("DBSnapshot {identifier} not found."))
    }

    pub(super) fn snapshot_exists(identifier: &str) -> Self {
        let message =
            format!("Cannot create the snapshot because a snapshot with the identifier {identifier} already exists.");
        Self::new(400, "DBSnapshotAlreadyExists", message)
    }

    pub(super) fn cluster_not_found(identifier: &str) -> Self {
        Self::new(404, "DBClusterNotFoundFault", format!("DBCluster {identifier} not found."))
    }

    pub(super) fn denied(action: &str) -> Self {
        let message = format!(
            "User: arn:aws:iam::123456789012:user/tester is not authorized to perform: rds:{action} because no \
             identity-based policy allows the rds:{action} action"
        );
        Self::new(403, "AccessDenied", message)
    }
}
