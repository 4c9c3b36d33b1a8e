//! What a [`FaultProxy`](crate::FaultProxy) does to one connection.

use std::time::Duration;

/// What happens to one connection (one request, in HTTP mode).
///
/// Bytes are counted from the first one after the HTTP head, or from the connection's first one in TCP mode; the head
/// passes whole. A reset is a TCP RST, a close an orderly end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: the connection passes.
    Pass,
    /// The proxy answers by itself and the server never sees the request (HTTP mode).
    Answer {
        /// The status code.
        status: u16,
        /// Header names and values.
        headers: Vec<(String, String)>,
        /// The body.
        body: String,
    },
    /// The connection is reset before anything is read from it (in HTTP mode: after the head).
    ResetAtOnce,
    /// The connection is closed in the same place.
    CloseAtOnce,
    /// Reset after so many bytes of the request reached the server.
    ResetAfterRequestBytes(u64),
    /// Reset after so many bytes of the answer reached the client.
    ResetAfterResponseBytes(u64),
    /// Closed after so many bytes of the answer reached the client: a truncated answer.
    CloseAfterResponseBytes(u64),
    /// After so many bytes of the answer nothing more reaches the client, and the connection stays open.
    StallAfterResponseBytes(u64),
    /// The answer's bytes reach the client one by one, each after such a pause.
    Trickle(Duration),
    /// A header of the answer arrives with another value (HTTP mode); one that is not there is not added.
    ReplaceHeader {
        /// Its name in lower case.
        name: &'static str,
        /// The value in its place.
        value: &'static str,
    },
    /// An answer "not found" arrives as Amazon's to who may list below a prefix only: "access denied", which to HEAD has no
    /// body (HTTP mode).
    HideAbsence,
    /// The byte of the answer at this offset arrives inverted.
    FlipResponseByte(u64),
    /// Both directions are slowed to so many bytes a second.
    Throttle(u64),
    /// The proxy reads nothing (in HTTP mode: nothing after the head) and keeps the connection open.
    StopReading,
    /// The server gets the request and does it; the client sees the connection reset in place of the answer.
    LoseResponse,
    /// The server gets the request and does it; the client never hears anything and the connection stays open.
    Silence,
}

impl Fault {
    /// Returns an answer in S3's form, such as `(503, "SlowDown")`.
    #[must_use]
    pub fn s3_error(status: u16, code: &str) -> Self {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{code} by the test</Message>\
             <RequestId>test</RequestId></Error>"
        );
        Self::Answer { status, headers: vec![("content-type".into(), "application/xml".into())], body }
    }

    /// Returns an answer with a body of plain text.
    #[must_use]
    pub fn answer(status: u16, body: &str) -> Self {
        Self::Answer { status, headers: Vec::new(), body: body.into() }
    }
}

/// The head of a request that a [`FaultProxy`](crate::FaultProxy) has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRequest {
    /// The method, such as `PUT`.
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The fault it met.
    pub fault: Fault,
}

impl SeenRequest {
    /// Reads a request head, which ends with an empty line.
    pub(crate) fn parse(head: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(head);
        let mut lines = text.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Some(Self { method, target, headers, fault: Fault::Pass })
    }

    /// Returns the first header of that name (given in lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the S3 operation of a multipart upload or plain object request: `CreateMultipartUpload`, `UploadPart`,
    /// `CompleteMultipartUpload`, `AbortMultipartUpload`, `ListMultipartUploads`, `ListParts`, `ListObjects`, `PutObject`,
    /// `GetObject`, `HeadObject`, `HeadBucket`, `DeleteObject`, `DeleteObjects`, or `Other`.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let has = |name: &str| query.split('&').any(|part| part.split('=').next() == Some(name));
        let object = path.trim_start_matches('/').split_once('/').is_some_and(|(_, key)| !key.is_empty());
        match (self.method.as_str(), object) {
            ("POST", true) if has("uploads") => "CreateMultipartUpload",
            ("PUT", true) if has("uploadId") => "UploadPart",
            ("POST", true) if has("uploadId") => "CompleteMultipartUpload",
            ("DELETE", true) if has("uploadId") => "AbortMultipartUpload",
            ("GET", true) if has("uploadId") => "ListParts",
            ("GET", false) if has("uploads") => "ListMultipartUploads",
            ("GET", false) if has("list-type") => "ListObjects",
            ("PUT", true) => "PutObject",
            ("GET", true) => "GetObject",
            ("HEAD", true) => "HeadObject",
            ("HEAD", false) => "HeadBucket",
            ("POST", false) if has("delete") => "DeleteObjects",
            ("DELETE", true) => "DeleteObject",
            _ => "Other",
        }
    }
}
