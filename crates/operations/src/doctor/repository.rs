//! The repository: opened, tried out below the database's own folder, and read.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use holdpoint_core::layout;
use holdpoint_core::quantity::{bytes, counted, listed};
use holdpoint_postgres::scratch::available_bytes;
use holdpoint_repository::{
    Error as Store, Leftover, Probe, ProbeOptions, ProbeOutcome, Repository, RepositoryUrl, probe,
};

use super::database::SourceFacts;
use super::findings::Findings;
use super::{Outcome, Subject};
use crate::Error;
use crate::error::LISTED;
use crate::leftovers::doctor_prefix;

const OPEN_WITHIN: Duration = Duration::from_secs(60);
/// The probes upload 11 MiB over what may be a slow line.
const PROBE_WITHIN: Duration = Duration::from_secs(300);
/// Reading all manifests of years; they are small.
const READ_WITHIN: Duration = Duration::from_secs(120);
/// What is younger may be a backup that runs now.
const LEFT_AFTER: TimeDelta = TimeDelta::hours(24);

/// A repository that could be opened, and which database the folder belongs to.
pub(super) struct Opened {
    repository: Repository,
    pub(super) identity: super::database::Recorded,
}

/// Opens the repository; makes nothing.
pub(super) async fn open(subject: &Subject) -> Result<Opened, Error> {
    let opening = async {
        let repository = Repository::open(Arc::clone(&subject.store)).await?;
        let identity = repository.identity(&subject.database).await;
        let identity = identity.map_err(|error| format!("the record of it: {}", Error::from(error).line()));
        Ok::<_, Error>(Opened { repository, identity })
    };
    let slow = || Store::Timeout { action: "open", key: layout::REPOSITORY.to_owned(), attempts: 0 };
    tokio::select! {
        biased;
        () = subject.cancel.cancelled() => Err(Error::Interrupted),
        opened = tokio::time::timeout(OPEN_WITHIN, opening) => opened.map_err(|_| Error::from(slow()))?,
    }
}

pub(super) async fn examine(
    mut findings: Findings<'_>,
    subject: &Subject,
    facts: Option<&SourceFacts>,
    opened: Result<Opened, Error>,
) {
    let findings = &mut findings;
    let place = subject.store.url().to_string();
    match &opened {
        Ok(opened) => {
            findings.ok("format", format!("{place}, format {}, id {}", layout::FORMAT, opened.repository.id()))
        }
        Err(error) => findings.failed("format", error),
    }
    // The rights of this role end at the folder, so that is where it is tried.
    let options = ProbeOptions {
        now: (subject.clock)(),
        scratch: doctor_prefix(&subject.database),
        retain_until: subject.retain_until,
    };
    match opened {
        // Nothing is there to be tried, and nothing shall be made.
        Err(Error::Repository(Store::BucketNotFound { .. } | Store::Credentials { .. })) => {
            findings.not_tried("write", "there is no such place, or no way to it");
            findings.not_tried("manifests", "the repository cannot be opened");
        }
        opened => {
            let probing = async { Ok::<_, Error>(probe(&*subject.store, &options).await) };
            if let Some(probes) = findings.tried("write", PROBE_WITHIN, probing).await {
                told(findings, probes);
            }
            match opened {
                Ok(opened) => read(findings, subject, &opened.repository).await,
                Err(_) => findings.not_tried("manifests", "the repository cannot be opened"),
            }
        }
    }
    space(findings, subject, facts);
}

fn told(findings: &mut Findings<'_>, probes: Vec<Probe>) {
    if probes.is_empty() {
        findings.failure("write", "nothing could be tried: this machine gives no random bytes", "look at /dev/urandom");
    }
    for probe in probes {
        let outcome = match probe.outcome {
            ProbeOutcome::Ok => Outcome::Ok,
            ProbeOutcome::Warning => Outcome::Warning,
            ProbeOutcome::Failure => Outcome::Failure,
        };
        findings.push(probe.name, outcome, probe.detail, probe.cure.unwrap_or_default());
    }
}

async fn read(findings: &mut Findings<'_>, subject: &Subject, repository: &Repository) {
    const NAME: &str = "manifests";
    if let Some((read, unreadable)) = findings.tried(NAME, READ_WITHIN, manifests(subject, repository)).await {
        if unreadable.is_empty() {
            findings.ok(NAME, format!("{}, every manifest can be read", counted(read as u64, "restore point")));
        } else {
            let detail = format!(
                "{} of {} cannot be read: {}",
                unreadable.len(),
                read + unreadable.len(),
                listed(&unreadable, LISTED)
            );
            findings.failure(
                NAME,
                detail,
                "one of a newer form: install the newer holdpoint; a changed one: bring it back from a copy of the bucket",
            );
        }
    }
    let left = async {
        let now = repository.store().server_time().await?;
        Ok::<_, Error>((now, repository.leftovers(&subject.database).await?))
    };
    if let Some((now, left)) = findings.tried("leftovers", READ_WITHIN, left).await {
        leftovers(findings, now, &left);
    }
}

async fn manifests(subject: &Subject, repository: &Repository) -> Result<(usize, Vec<String>), Error> {
    let (mut read, mut unreadable) = (0, Vec::new());
    for id in repository.points(&subject.database).await? {
        match repository.recorded(&subject.database, &id).await {
            Ok(_) => read += 1,
            // Withdrawn between the list and the read.
            Err(Store::NotFound { .. }) => {}
            Err(error) if error.is_of_record() => {
                unreadable.push(format!("{id} ({})", Error::from(error).line()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok((read, unreadable))
}

fn leftovers(findings: &mut Findings<'_>, now: DateTime<Utc>, left: &[Leftover]) {
    let old = left.iter().filter(|one| one.at().is_some_and(|at| now - at > LEFT_AFTER)).count();
    let young = left.len() - old;
    let running = if young > 0 { format!("; {young} younger, which may be running now") } else { String::new() };
    if old == 0 {
        return findings.ok("leftovers", format!("none older than a day{running}"));
    }
    let detail = format!("{old} of interrupted backups, older than a day{running}");
    findings.warning("leftovers", detail, "holdpoint leftovers, then holdpoint leftovers --remove");
}

/// A local repository can be asked for its space, a bucket cannot.
fn space(findings: &mut Findings<'_>, subject: &Subject, facts: Option<&SourceFacts>) {
    const NAME: &str = "space";
    let RepositoryUrl::Directory(directory) = subject.store.url() else { return };
    if !directory.is_dir() {
        return findings.not_tried(NAME, "there is no such directory");
    }
    let Ok(free) = available_bytes(directory) else {
        return findings.not_tried(NAME, "the file system does not say");
    };
    let Some(size) = facts.and_then(|facts| facts.size_bytes) else {
        return findings.ok(NAME, format!("{} free", bytes(free)));
    };
    let detail = format!("{} free; the database has {} before compression", bytes(free), bytes(size));
    if free < size {
        findings.warning(NAME, detail, "make room, or name a repository with more of it");
    } else {
        findings.ok(NAME, detail);
    }
}
