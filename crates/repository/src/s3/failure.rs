//! Turning the SDK's errors into ours.

use std::error::Error as StdError;
use std::io;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use chrono::{DateTime, Utc};

use crate::error::{BoxError, Error, Result};

/// What the SDK gives back.
pub(super) type Failure<E> = SdkError<E, HttpResponse>;

/// Tells whether other credentials may help: temporary ones end during a long backup.
pub(super) fn credentials_expired<E: ProvideErrorMetadata>(failure: &Failure<E>) -> bool {
    let SdkError::ServiceError(service) = failure else { return false };
    match failure.code() {
        Some(code) => matches!(code, "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired"),
        // The answer to HEAD has no body and so no code.
        None => service.raw().status().as_u16() == 400,
    }
}

/// Reads the `Date` that an error answer carries as any other.
pub(super) fn date_header<E>(failure: &Failure<E>) -> Option<String> {
    failure.raw_response().and_then(|r| r.headers().get("date")).map(str::to_owned)
}

/// Turns a failure that came after so many attempts into the error that a person acts on.
pub(super) fn classify<E>(
    failure: Failure<E>,
    action: &'static str,
    bucket: &str,
    subject: &str,
    attempts: u32,
) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let key = if subject.is_empty() { format!("bucket {bucket}") } else { subject.to_owned() };
    match &failure {
        SdkError::TimeoutError(_) => return Error::Timeout { action, key, attempts },
        SdkError::DispatchFailure(dispatch) => {
            if dispatch.is_timeout() {
                return Error::Timeout { action, key, attempts };
            }
            if let Some(detail) = credentials_detail(&failure) {
                return Error::Credentials { action, key, detail };
            }
            return Error::Io { action, key, attempts, source: network(failure) };
        }
        SdkError::ConstructionFailure(_) => {
            if let Some(detail) = credentials_detail(&failure) {
                return Error::Credentials { action, key, detail };
            }
            return Error::Io { action, key, attempts, source: plain_text(&failure) };
        }
        SdkError::ResponseError(_) => return Error::Io { action, key, attempts, source: network(failure) },
        SdkError::ServiceError(_) => {}
        _ => return Error::Io { action, key, attempts, source: plain_text(&failure) },
    }
    let status = failure.raw_response().map(|r| r.status().as_u16()).unwrap_or_default();
    let message = failure.message().map_or_else(|| words(&failure), str::to_owned);
    let request_id = failure.raw_response().and_then(|r| r.request_id()).map(str::to_owned);
    let code = failure.code().map_or_else(|| format!("http status {status}"), str::to_owned);
    let actual = failure.raw_response().and_then(|r| r.headers().get("x-amz-bucket-region")).map(str::to_owned);
    let bucket = bucket.to_owned();
    match code.as_str() {
        "NoSuchBucket" => Error::BucketNotFound { action, root: format!("bucket {bucket}") },
        "NoSuchKey" | "NotFound" | "NoSuchUpload" | "NoSuchVersion" => Error::NotFound { action, key },
        "RequestTimeTooSkewed" | "RequestExpired" => Error::ClockSkew { action, key },
        "PermanentRedirect" | "TemporaryRedirect" | "IllegalLocationConstraintException" => {
            Error::WrongRegion { bucket, actual }
        }
        "AuthorizationHeaderMalformed" if message.contains("region") => {
            Error::WrongRegion { bucket, actual: actual.or_else(|| expected_region(&message)) }
        }
        "PreconditionFailed" => Error::PreconditionFailed { action, key },
        "BadDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" | "InvalidDigest" => {
            let detail = format!("the bytes that arrived are not those that were sent ({code})");
            Error::Corrupt { action, key, detail }
        }
        "InvalidRange" => {
            Error::Corrupt { action, key, detail: "the object is shorter than its record says".to_owned() }
        }
        "SlowDown"
        | "ServiceUnavailable"
        | "Throttling"
        | "ThrottlingException"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded" => Error::Throttled { action, key, code, attempts },
        "NotImplemented" | "MethodNotAllowed" => {
            let detail = if message.is_empty() { code } else { message };
            Error::Unsupported { action, key, detail }
        }
        "InsufficientStorage" | "QuotaExceeded" | "XMinioStorageFull" | "EntityTooLarge" if status != 400 => {
            Error::Full { action, key }
        }
        "RequestTimeout" => Error::Timeout { action, key, attempts },
        "AccessDenied"
        | "AllAccessDisabled"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "AccountProblem"
        | "InvalidToken"
        | "NotSignedUp"
        | "UnauthorizedAccess"
        | "Forbidden" => Error::AccessDenied { action, key, code },
        "ExpiredToken" | "ExpiredTokenException" => {
            Error::Credentials { action, key, detail: "they expired and were not renewed".to_owned() }
        }
        _ => match status {
            301 | 307 => Error::WrongRegion { bucket, actual },
            403 | 401 => Error::AccessDenied { action, key, code },
            404 => Error::NotFound { action, key },
            412 => Error::PreconditionFailed { action, key },
            416 => Error::Corrupt { action, key, detail: "the object is shorter than its record says".to_owned() },
            429 | 503 => Error::Throttled { action, key, code, attempts },
            501 | 405 => Error::Unsupported { action, key, detail: code },
            507 => Error::Full { action, key },
            _ => Error::Service { action, key, status, code, message, request_id, attempts },
        },
    }
}

/// Tells whether the store said that it does not know a header or feature, rather than that the request failed.
pub(super) fn refuses_feature(error: &Error) -> bool {
    match error {
        Error::Unsupported { .. } => true,
        Error::Service { status: 400, code, .. } => matches!(
            code.as_str(),
            "InvalidArgument"
                | "InvalidRequest"
                | "InvalidHeader"
                | "UnsupportedHeader"
                | "MalformedXML"
                | "UnsupportedArgument"
        ),
        _ => false,
    }
}

/// "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'".
fn expected_region(message: &str) -> Option<String> {
    let (_, tail) = message.split_once("expecting '")?;
    tail.split_once('\'').map(|(region, _)| region.to_owned())
}

/// An error and what it stems from.
pub(super) fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |e: &&'a (dyn StdError + 'static)| (*e).source())
}

/// The words of a credentials provider that failed, if that is what happened.
fn credentials_detail<E: StdError + 'static>(failure: &Failure<E>) -> Option<String> {
    let found = chain(failure).find(|e| e.is::<aws_credential_types::provider::error::CredentialsError>())?;
    Some(chain(found).map(ToString::to_string).collect::<Vec<_>>().join(": "))
}

/// Keeps the system's own error where there is one, for its kind; else the words.
fn network<E: StdError + Send + Sync + 'static>(failure: Failure<E>) -> BoxError {
    let words = words(&failure);
    let kind = chain(&failure)
        .find_map(|e| e.downcast_ref::<io::Error>())
        .map_or(io::ErrorKind::ConnectionAborted, io::Error::kind);
    // A kind that the network does not give (an unexpected end, a TLS failure) is still a lost connection.
    let kind = if kind == io::ErrorKind::Other { io::ErrorKind::ConnectionAborted } else { kind };
    io::Error::new(kind, words).into()
}

fn plain_text<E: StdError + 'static>(failure: &Failure<E>) -> BoxError {
    io::Error::other(words(failure)).into()
}

fn words(error: &(dyn StdError + 'static)) -> String {
    let mut all: Vec<String> = Vec::new();
    for text in chain(error).map(ToString::to_string) {
        if !all.iter().any(|shown| shown.contains(&text)) {
            all.push(text);
        }
    }
    all.join(": ")
}

/// An answer of which nothing may be concluded.
pub(super) fn invalid(action: &'static str, key: &str, what: &str) -> Error {
    Error::Service {
        action,
        key: key.to_owned(),
        status: 200,
        code: "InvalidAnswer".to_owned(),
        message: what.to_owned(),
        request_id: None,
        attempts: 1,
    }
}

/// When an object was written. One whose age is not known could be taken for old, or for young.
pub(super) fn dated(
    action: &'static str,
    key: &str,
    modified: Option<&aws_smithy_types::DateTime>,
) -> Result<DateTime<Utc>> {
    modified.and_then(super::instant).ok_or_else(|| invalid(action, key, "it does not say when the object was written"))
}
