//! The faults, and the requests that meet them.

use std::time::Duration;

use holdpoint_repository::Timing;
use holdpoint_testkit::{Fault, Rule};

use crate::engine::timing;

/// A fault and what it needs of a request.
#[derive(Debug, Clone)]
pub(crate) struct Spoil {
    pub(crate) name: &'static str,
    pub(crate) fault: Fault,
    needs: Needs,
    /// Only a time-out ends it.
    pub(crate) stalls: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    /// Bytes behind the head of the request.
    Request,
    /// Bytes behind the head of the answer.
    Answer,
    /// Bytes whose checksum the store keeps.
    Checksum,
    /// An ETag in the head of the answer.
    Etag,
}

pub(crate) fn all() -> Vec<Spoil> {
    let one = |name, fault, needs, stalls| Spoil { name, fault, needs, stalls };
    let wrong_etag = Fault::ReplaceHeader { name: "etag", value: "\"00000000000000000000000000000000\"" };
    vec![
        one("500", Fault::s3_error(500, "InternalError"), Needs::Nothing, false),
        one("503 SlowDown", Fault::s3_error(503, "SlowDown"), Needs::Nothing, false),
        one("429", Fault::answer(429, ""), Needs::Nothing, false),
        one("expired credentials", Fault::s3_error(400, "ExpiredToken"), Needs::Nothing, false),
        one("reset", Fault::ResetAtOnce, Needs::Nothing, false),
        one("reset within the request", Fault::ResetAfterRequestBytes(30), Needs::Request, false),
        one("reset within the answer", Fault::ResetAfterResponseBytes(30), Needs::Answer, false),
        one("truncated answer", Fault::CloseAfterResponseBytes(30), Needs::Answer, false),
        one("lost answer", Fault::LoseResponse, Needs::Nothing, false),
        one("wrong etag", wrong_etag, Needs::Etag, false),
        one("flipped byte", Fault::FlipResponseByte(30), Needs::Checksum, false),
        one("stalled request", Fault::StopReading, Needs::Nothing, true),
        one("stalled answer", Fault::StallAfterResponseBytes(30), Needs::Answer, true),
        one("trickling answer", Fault::Trickle(Duration::from_millis(500)), Needs::Answer, true),
        one("no answer", Fault::Silence, Needs::Nothing, true),
    ]
}

impl Spoil {
    /// With time-outs that a test can wait for; where a second attempt is to succeed, there is time for it on a busy
    /// machine.
    pub(crate) fn timing(&self, always: bool) -> Timing {
        let seconds = match (self.stalls, always) {
            (true, true) => 3,
            (true, false) => 8,
            (false, _) => 60,
        };
        let answer_for = Duration::from_secs(seconds);
        Timing {
            answer_for,
            // No part has more time than any other request.
            slowest_bytes_per_second: 1 << 30,
            complete_for: answer_for,
            stall_for: answer_for / 2,
            request_for: answer_for * 3,
            attempts: if always { 2 } else { 6 },
            rounds: if always { 1 } else { 3 },
            ..timing()
        }
    }
}

/// A request of some work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Phase {
    pub(crate) flow: Flow,
    pub(crate) operation: &'static str,
    /// What its path and query hold.
    pub(crate) target: &'static str,
    /// Which of those that fit, from 1.
    pub(crate) nth: usize,
}

/// Work that makes requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Archive,
    Abort,
    Small,
    Publish,
    Head,
    Whole,
    Range,
    List,
    Withdraw,
    /// A withdrawal of what is pinned.
    Pinned,
    Sweep,
    /// A pin of a reader: written, renewed under another name, removed.
    Pin,
    /// The lease of an unattended run: taken, proven, renewed, released.
    Lease,
}

pub(crate) fn phases() -> Vec<Phase> {
    let at = |flow, operation, target, nth| Phase { flow, operation, target, nth };
    vec![
        at(Flow::Archive, "CreateMultipartUpload", "", 1),
        at(Flow::Archive, "UploadPart", "partNumber=1", 1),
        at(Flow::Archive, "UploadPart", "partNumber=2", 1),
        at(Flow::Archive, "CompleteMultipartUpload", "", 1),
        at(Flow::Archive, "HeadObject", "archive.dump", 1),
        at(Flow::Abort, "AbortMultipartUpload", "", 1),
        at(Flow::Abort, "ListParts", "", 1),
        at(Flow::Small, "PutObject", "globals.sql", 1),
        at(Flow::Small, "HeadObject", "globals.sql", 1),
        // What it is made of is looked at before and after.
        at(Flow::Publish, "ListObjects", "withdrawn", 1),
        at(Flow::Publish, "HeadObject", "archive.dump", 1),
        at(Flow::Publish, "PutObject", "manifest.json", 1),
        at(Flow::Publish, "ListObjects", "withdrawn", 2),
        at(Flow::Publish, "HeadObject", "archive.dump", 2),
        at(Flow::Head, "HeadObject", "", 1),
        at(Flow::Whole, "GetObject", "", 1),
        at(Flow::Range, "GetObject", "", 1),
        at(Flow::List, "ListObjects", "", 1),
        // Which objects there are, and which pins.
        at(Flow::Withdraw, "ListObjects", "", 1),
        at(Flow::Withdraw, "ListObjects", "pins", 1),
        at(Flow::Withdraw, "HeadBucket", "", 1),
        at(Flow::Withdraw, "HeadObject", "archive.dump", 1),
        at(Flow::Withdraw, "PutObject", "withdrawn", 1),
        at(Flow::Withdraw, "HeadObject", "withdrawn", 1),
        at(Flow::Withdraw, "DeleteObject", "manifest.json", 1),
        // The data, and then the mark.
        at(Flow::Withdraw, "DeleteObjects", "", 1),
        at(Flow::Withdraw, "DeleteObjects", "", 2),
        // Its mark is removed again.
        at(Flow::Pinned, "DeleteObjects", "", 1),
        at(Flow::Sweep, "ListMultipartUploads", "", 1),
        // When its newest part came.
        at(Flow::Sweep, "ListParts", "", 1),
        at(Flow::Sweep, "AbortMultipartUpload", "", 1),
        at(Flow::Sweep, "PutObject", "withdrawn", 1),
        at(Flow::Sweep, "HeadObject", "withdrawn", 1),
        // The data, and then the mark.
        at(Flow::Sweep, "DeleteObjects", "", 1),
        at(Flow::Sweep, "DeleteObjects", "", 2),
        at(Flow::Pin, "PutObject", "pins", 1),
        at(Flow::Pin, "ListObjects", "withdrawn", 1),
        at(Flow::Pin, "GetObject", "manifest.json", 1),
        at(Flow::Pin, "PutObject", "pins", 2),
        at(Flow::Pin, "DeleteObject", "pins", 1),
        at(Flow::Pin, "ListObjects", "pins", 1),
        // It is looked for, made, tried in vain, and replaced twice.
        at(Flow::Lease, "GetObject", "lease", 1),
        at(Flow::Lease, "PutObject", "lease", 1),
        at(Flow::Lease, "PutObject", "lease", 2),
        at(Flow::Lease, "GetObject", "lease", 2),
        at(Flow::Lease, "PutObject", "lease", 4),
        at(Flow::Lease, "PutObject", "lease", 5),
    ]
}

impl Phase {
    /// Whether the fault can happen to this request.
    pub(crate) fn can(&self, spoil: &Spoil) -> bool {
        let operation = self.operation;
        match spoil.needs {
            Needs::Nothing => true,
            Needs::Request => {
                matches!(operation, "UploadPart" | "PutObject" | "CompleteMultipartUpload" | "DeleteObjects")
            }
            Needs::Answer => {
                operation == "GetObject"
                    || operation.starts_with("List")
                    || matches!(operation, "CreateMultipartUpload" | "CompleteMultipartUpload" | "DeleteObjects")
            }
            Needs::Checksum => self.flow == Flow::Whole,
            Needs::Etag => matches!(operation, "UploadPart" | "PutObject" | "HeadObject" | "GetObject"),
        }
    }

    /// Whether one such fault must be got over.
    pub(crate) fn is_survived(&self, spoil: &Spoil) -> bool {
        match spoil.needs {
            // The store is told another part than it has, or the reader is given other bytes: both are refused.
            Needs::Etag => !(self.operation == "UploadPart" || self.flow == Flow::Head),
            Needs::Checksum => false,
            _ => true,
        }
    }

    pub(crate) fn rule(&self, spoil: &Spoil, always: bool) -> Rule {
        let rule = Rule::new(spoil.fault.clone()).operation(self.operation).target(self.target).from_nth(self.nth);
        if always { rule.always() } else { rule }
    }
}
