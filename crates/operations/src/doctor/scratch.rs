//! The scratch server: really started, compared with the source, and stopped.

use std::time::Duration;

use holdpoint_core::manifest::{Extension, ServerFacts};
use holdpoint_core::quantity::bytes;
use holdpoint_postgres::scratch::{DatabaseLocale, LOCAL_WAL_BYTES, ScratchOptions, ScratchServer, available_bytes};
use holdpoint_postgres::{Error as Postgres, Session, SessionPurpose, identity};
use tokio_util::sync::CancellationToken;

use super::Subject;
use super::database::{Running, SourceFacts};
use super::findings::Findings;
use crate::Error;
use crate::verify::{extension_obstacles, obstacle_to_start, preload};

/// An initdb on a slow disk takes a minute; a container image may have to be fetched.
const LOCAL_WITHIN: Duration = Duration::from_secs(180);
const COMMAND_WITHIN: Duration = Duration::from_secs(600);
/// A cancelled start still has to clean up.
const CLEAN_UP_WITHIN: Duration = Duration::from_secs(90);
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

const NEED_SERVER: [&str; 5] = ["major", "extensions", "encoding and locale", "rights", "stop"];

pub(super) async fn examine(mut findings: Findings<'_>, subject: &Subject, facts: Option<&SourceFacts>) {
    let findings = &mut findings;
    space(findings, subject, facts);
    let mut options = subject.scratch.clone();
    if let ScratchOptions::Local(local) = &mut options {
        let Some(facts) = facts else {
            findings.not_tried("start", "the server's major is not known");
            return not_tried(findings, "no scratch server");
        };
        local.major = facts.major;
        if let (Some(server), Some(extensions)) = (&facts.server, &facts.extensions) {
            local.preload_libraries = preload(server, extensions);
        }
    }
    let Some(server) = start(findings, subject, &options, facts).await else {
        return not_tried(findings, "no scratch server");
    };
    rights(findings, &server, facts).await;
    match facts {
        None => {
            for name in ["major", "extensions", "encoding and locale"] {
                findings.not_tried(name, "the source is not known");
            }
        }
        Some(facts) => compare(findings, &server, facts).await,
    }
    stop(findings, server).await;
}

fn not_tried(findings: &mut Findings<'_>, why: &str) {
    for name in NEED_SERVER {
        findings.not_tried(name, why);
    }
}

fn place(options: &ScratchOptions) -> String {
    match options {
        ScratchOptions::Local(local) => format!("a private one in {}", local.base_directory.display()),
        ScratchOptions::Url(given) => given.settings.redacted(),
        ScratchOptions::Command(_) => "brought up by its command".to_owned(),
    }
}

/// Starts the server; one that does not come in time is cancelled and cleaned up.
async fn start(
    findings: &mut Findings<'_>,
    subject: &Subject,
    options: &ScratchOptions,
    facts: Option<&SourceFacts>,
) -> Option<ScratchServer> {
    let limit = match options {
        ScratchOptions::Command(_) => COMMAND_WITHIN,
        ScratchOptions::Local(_) | ScratchOptions::Url(_) => LOCAL_WITHIN,
    };
    // Cancelled there, never dropped: a start that is dropped could not take down what a command brought up.
    findings.note("start");
    match within(options, limit, &subject.cancel).await {
        Err(NotStarted::Failed(_) | NotStarted::TooLate) if subject.cancel.is_cancelled() => {
            findings.not_tried("start", "interrupted");
            None
        }
        Ok(server) => {
            let took = server.started_in().as_millis();
            findings.ok("start", format!("{} answered in {took} ms", place(options)));
            Some(server)
        }
        Err(NotStarted::TooLate) => {
            let detail = format!("{} did not answer within {} s", place(options), limit.as_secs());
            findings.failure("start", detail, "look at the disk and the load of this machine, or at the command");
            None
        }
        Err(NotStarted::Failed(error)) => {
            let major = facts.map_or(0, |facts| facts.major);
            let obstacle = obstacle_to_start(&error, major);
            findings.failure(
                "start",
                obstacle.reason,
                match &*error {
                    Postgres::ProgramMissing(missing) => missing.name.cure(missing.major),
                    Postgres::Process(_) => "see the reason, which ends in the server's own words".to_owned(),
                    _ => obstacle.cure,
                },
            );
            None
        }
    }
}

enum NotStarted {
    TooLate,
    Failed(Box<Postgres>),
}

async fn within(
    options: &ScratchOptions,
    limit: Duration,
    cancel: &CancellationToken,
) -> Result<ScratchServer, NotStarted> {
    let token = cancel.child_token();
    let mut starting = std::pin::pin!(ScratchServer::start(options, &token));
    let failed = |error| NotStarted::Failed(Box::new(error));
    tokio::select! {
        started = &mut starting => return started.map_err(failed),
        () = tokio::time::sleep(limit) => token.cancel(),
        () = token.cancelled() => {}
    }
    match tokio::time::timeout(CLEAN_UP_WITHIN, starting).await {
        Ok(Ok(server)) => Ok(server),
        Ok(Err(_)) | Err(_) => Err(NotStarted::TooLate),
    }
}

async fn rights(findings: &mut Findings<'_>, server: &ScratchServer, facts: Option<&SourceFacts>) {
    if server.is_superuser() {
        findings.ok("rights", "its role is a superuser");
    } else {
        findings.warning(
            "rights",
            "its role is no superuser: event triggers, some extensions and owners cannot be restored",
            "give the scratch server's URL a superuser",
        );
    }
    // A given server may be any; production's own must not carry the load of verifications.
    if server.data_directory().is_none()
        && let Some(source) = facts.and_then(|facts| facts.running.as_ref())
        && let Some(own) = findings.tried("place", ANSWER_WITHIN, running(server)).await
    {
        if own == *source {
            findings.warning(
                "place",
                "it is the source's own server: verifications compete with production for its disk and memory",
                "give another server in scratch.url, or set scratch.kind = \"local\"",
            );
        } else {
            findings.ok("place", "another server than the source's");
        }
    }
}

async fn running(server: &ScratchServer) -> Result<Running, Postgres> {
    let session = Session::connect(server.settings(), &SessionPurpose::new("holdpoint doctor")).await?;
    let found = identity::read(&session).await?;
    session.close().await;
    Ok(Running::from(&found))
}

async fn compare(findings: &mut Findings<'_>, server: &ScratchServer, facts: &SourceFacts) {
    if server.major() == facts.major {
        findings.ok("major", format!("PostgreSQL {}, as the source", facts.major));
    } else {
        findings.failure(
            "major",
            format!("PostgreSQL {}, the source is {}", server.major(), facts.major),
            format!("give a scratch server of PostgreSQL {}", facts.major),
        );
    }
    match &facts.extensions {
        None => findings.not_tried("extensions", "the source's are not known"),
        Some(needed) => extensions(findings, server, needed).await,
    }
    match &facts.server {
        None => findings.not_tried("encoding and locale", "the source's are not known"),
        Some(source) => locale(findings, server, source).await,
    }
}

async fn extensions(findings: &mut Findings<'_>, server: &ScratchServer, needed: &[Extension]) {
    const NAME: &str = "extensions";
    let compared = extension_obstacles(needed, server);
    let Some(obstacles) = findings.tried(NAME, ANSWER_WITHIN, compared).await else { return };
    if obstacles.is_empty() {
        findings.ok(NAME, format!("it has all {} of the source, in their versions", needed.len()));
    }
    for obstacle in obstacles {
        findings.failure(NAME, obstacle.reason, obstacle.cure);
    }
}

async fn locale(findings: &mut Findings<'_>, server: &ScratchServer, source: &ServerFacts) {
    const NAME: &str = "encoding and locale";
    let wanted = DatabaseLocale::from(source);
    let made = async {
        match server.create_database("doctor", &wanted).await {
            Ok(database) => server.drop_database(&database).await.map(|()| None),
            Err(Postgres::LocaleMissing { locale, said }) => Ok(Some((locale, said))),
            Err(error) => Err(error),
        }
    };
    match findings.tried(NAME, ANSWER_WITHIN, made).await {
        None => {}
        Some(None) => {
            let locale = source.locale.as_deref().unwrap_or(&source.collate);
            findings.ok(NAME, format!("made and dropped a database of {}, {locale}", source.encoding));
        }
        Some(Some((locale, said))) => findings.failure(
            NAME,
            format!("{locale} is missing there: {said}"),
            "install the locale (Debian: locales-all; ICU: a server built with it), or accept C with \
             --replace-missing-locale",
        ),
    }
}

/// Compares the free disk with what a verification of level *full* takes.
fn space(findings: &mut Findings<'_>, subject: &Subject, facts: Option<&SourceFacts>) {
    const NAME: &str = "space";
    let ScratchOptions::Local(local) = &subject.scratch else { return };
    let directory = &local.base_directory;
    let free = match available_bytes(directory) {
        Ok(free) => free,
        Err(error) => {
            let detail = format!("{} cannot be asked: {error}", directory.display());
            return findings.failure(NAME, detail, "name another directory for scratch servers in the configuration");
        }
    };
    let Some(size) = facts.and_then(|facts| facts.size_bytes) else {
        return findings.not_tried(NAME, "the database's size is not known");
    };
    let needed = size + size / 10 + (size / 2).min(LOCAL_WAL_BYTES);
    let detail =
        format!("{} free in {}, a full verification takes {}", bytes(free), directory.display(), bytes(needed));
    if free < needed {
        findings.failure(
            NAME,
            detail,
            "make room, name another directory for scratch servers, or verify with --level stored",
        );
    } else {
        findings.ok(NAME, detail);
    }
}

/// Stops what was started, also when somebody cancelled.
async fn stop(findings: &mut Findings<'_>, server: ScratchServer) {
    const CURE: &str = "see what remains: holdpoint leftovers";
    match tokio::time::timeout(CLEAN_UP_WITHIN, server.stop()).await {
        Ok(Ok(())) => findings.ok("stop", "stopped, and everything of it removed"),
        Ok(Err(error)) => findings.failure("stop", Error::from(error).line(), CURE),
        Err(_) => findings.failure("stop", format!("it does not end within {} s", CLEAN_UP_WITHIN.as_secs()), CURE),
    }
}
