//! Turning the SDK's errors into ours.

use std::error::Error as StdError;

use aws_sdk_rds::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::error::{Error, Thing};

/// What the SDK gives back.
pub(crate) type Failure<E> = SdkError<E, HttpResponse>;

/// Turns a failure of `action` on `subject` into the error that a person acts on.
pub(crate) fn classify<E>(failure: Failure<E>, action: &'static str, subject: &str) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    if !matches!(failure, SdkError::ServiceError(_)) {
        if let Some(detail) = credentials_detail(&failure) {
            return Error::Credentials { action, detail };
        }
        return Error::Network { action, source: network(failure) };
    }
    let status = failure.raw_response().map(|r| r.status().as_u16()).unwrap_or_default();
    let code = failure.code().map_or_else(|| format!("http status {status}"), str::to_owned);
    let message = failure.message().unwrap_or_default().to_owned();
    of_code(action, subject, status, code, message)
}

/// The error that RDS's code means. Codes stand in the API reference, "Common Errors" and with each action; most come
/// with and without the ending `Fault`.
fn of_code(action: &'static str, subject: &str, status: u16, code: String, message: String) -> Error {
    let subject = subject.to_owned();
    let plain = code.strip_suffix("Exception").unwrap_or(&code);
    let plain = plain.strip_suffix("Fault").unwrap_or(plain);
    match plain {
        "AccessDenied" | "UnauthorizedOperation" | "NotAuthorized" | "AuthorizationNotFound" => {
            Error::AccessDenied { subject, permission: permission(&message, action) }
        }
        "KMSKeyNotAccessible" => Error::AccessDenied { subject, permission: "kms:DescribeKey, kms:CreateGrant".into() },
        "ExpiredToken"
        | "InvalidClientTokenId"
        | "MissingAuthenticationToken"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "OptInRequired"
        | "UnrecognizedClient"
        | "RequestExpired" => Error::Credentials { action, detail: format!("{code}: {message}") },
        "Throttling"
        | "ThrottledException"
        | "Throttled"
        | "RequestLimitExceeded"
        | "TooManyRequests"
        | "RequestThrottled" => Error::Throttled { action },
        "InvalidDBInstanceState" if says_stopped(&message) => Error::Stopped { subject, thing: Thing::Instance },
        "InvalidDBClusterState" if says_stopped(&message) => Error::Stopped { subject, thing: Thing::Cluster },
        "PointInTimeRestoreNotEnabled" => Error::BackupsDisabled { source_name: subject },
        _ if plain.ends_with("QuotaExceeded")
            || plain.ends_with("InsufficientDBInstanceCapacity")
            || plain.ends_with("ProvisionedIopsNotAvailableInAZ")
            || plain.starts_with("InsufficientStorageClusterCapacity") =>
        {
            Error::Quota { subject, code, message }
        }
        _ if plain.ends_with("AlreadyExists") => Error::NameTaken { name: subject },
        // A group that is missing is told with the words of RDS, which name it.
        "DBInstanceNotFound" | "DBSnapshotNotFound" | "DBClusterNotFound" => Error::NotFound { subject },
        _ if plain.ends_with("NotFound") => {
            Error::NotFound { subject: if message.is_empty() { subject } else { message } }
        }
        _ if plain.starts_with("Invalid") && plain.ends_with("State") => Error::WrongState { subject, message },
        _ if status == 429 => Error::Throttled { action },
        _ if status == 403 => Error::AccessDenied { subject, permission: permission(&message, action) },
        _ => Error::Service { action, subject, code, message },
    }
}

fn says_stopped(message: &str) -> bool {
    message.to_ascii_lowercase().contains("stopped")
}

/// The missing permission: RDS names it (`… is not authorized to perform: rds:DescribeDBInstances on resource: …`); it
/// may be another than the action's own, such as `iam:PassRole`.
fn permission(message: &str, action: &str) -> String {
    let named = message.split_once("to perform: ").and_then(|(_, rest)| rest.split_whitespace().next());
    let named = named.map(|name| name.trim_end_matches([',', '.', ';']));
    named.filter(|name| name.contains(':')).map_or_else(|| format!("rds:{action}"), str::to_owned)
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

fn credentials_detail<E: StdError + 'static>(failure: &Failure<E>) -> Option<String> {
    let found = chain(failure).find(|e| e.is::<aws_credential_types::provider::error::CredentialsError>())?;
    Some(chain(found).map(ToString::to_string).collect::<Vec<_>>().join(": "))
}

/// The cause without the SDK's own layers, whose words say nothing.
fn network<E: StdError + Send + Sync + 'static>(failure: Failure<E>) -> Box<dyn StdError + Send + Sync> {
    match failure {
        SdkError::TimeoutError(_) => "timed out".into(),
        SdkError::DispatchFailure(dispatch) if dispatch.is_timeout() => "timed out".into(),
        other => other.into_source().unwrap_or_else(|unknown| Box::new(unknown)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: &str, message: &str) -> Error {
        of_code("RestoreDBInstanceToPointInTime", "shop", 400, code.to_owned(), message.to_owned())
    }

    #[test]
    fn every_refusal_is_a_fact_with_a_hint() {
        let cases: &[(&str, &str, &str)] = &[
            ("AccessDenied", "", "rds:RestoreDBInstanceToPointInTime is missing"),
            (
                "AccessDenied",
                "User: x is not authorized to perform: iam:PassRole on resource: y",
                "iam:PassRole is missing",
            ),
            ("KMSKeyNotAccessibleFault", "", "kms:DescribeKey"),
            ("ExpiredToken", "gone", "no usable credentials: ExpiredToken"),
            ("Throttling", "Rate exceeded", "throttles"),
            ("InvalidDBInstanceState", "Instance shop is stopped.", "shop is stopped"),
            ("InvalidDBInstanceState", "not available", "not in its present state (not available)"),
            ("InvalidDBClusterStateFault", "busy", "not in its present state (busy)"),
            ("PointInTimeRestoreNotEnabled", "", "keeps no automated backups"),
            ("InstanceQuotaExceeded", "40 of 40", "InstanceQuotaExceeded: 40 of 40"),
            ("StorageQuotaExceeded", "", "StorageQuotaExceeded"),
            ("InsufficientDBInstanceCapacity", "zone", "InsufficientDBInstanceCapacity"),
            ("DBInstanceAlreadyExists", "", "the name shop is taken"),
            ("DBClusterAlreadyExistsFault", "", "the name shop is taken"),
            ("DBInstanceNotFound", "", "shop does not exist"),
            ("DBSubnetGroupNotFoundFault", "DBSubnetGroup private", "DBSubnetGroup private does not exist"),
        ];
        for (code, message, expected) in cases {
            let error = of(code, message);
            assert!(error.to_string().contains(expected), "{code}: {error}");
            assert!(error.hint().is_some(), "{code} has no hint");
        }
        let other = of("InvalidParameterCombination", "no such thing");
        assert!(matches!(other, Error::Service { .. }), "{other}");
        assert!(of("Throttling", "").is_transient() && !other.is_transient());
    }
}
