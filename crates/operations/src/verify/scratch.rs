//! A scratch database for a verification, or the obstacles to one.

use std::time::Duration;

use holdpoint_core::manifest::{Extension, ServerFacts};
use holdpoint_core::verification::Obstacle;
use holdpoint_postgres::ConnectionSettings;
use holdpoint_postgres::programs::Cause;
use holdpoint_postgres::scratch::{DatabaseLocale, GapReason, ScratchOptions, ScratchServer, extension_gaps};
use tokio::time::timeout;

use super::VerifyOptions;
use super::roles::ScratchRoles;
use crate::error::chain;
use crate::expected::Expected;
use crate::{Context, Error};

/// The database that is restored into.
const RESTORED: &str = "restored";
/// How long a server that a command takes down is cleaned before.
const LEFT_WITHIN: Duration = Duration::from_secs(30);

/// A scratch server that can take the restore point.
#[derive(Debug)]
pub(super) struct Scratch {
    pub(super) server: ScratchServer,
    pub(super) locale: DatabaseLocale,
    /// An empty database of the source's encoding and locale.
    pub(super) restored: ConnectionSettings,
    pub(super) notes: Vec<String>,
    /// The archive's roles, once they are there.
    pub(super) roles: Option<ScratchRoles>,
}

pub(super) fn could_not_run(reason: impl Into<String>, cure: impl Into<String>) -> Error {
    Error::CouldNotRun { obstacles: vec![Obstacle { reason: reason.into(), cure: cure.into() }] }
}

impl Scratch {
    /// Starts the server and looks whether it has what the archive needs.
    ///
    /// Fails with [`Error::CouldNotRun`] for everything that says nothing about the restore point.
    pub(super) async fn start(context: &Context, expected: &Expected, options: &VerifyOptions) -> Result<Self, Error> {
        let manifest = &expected.manifest;
        let mut scratch =
            Self::fitting(context, options, manifest.client_major, &manifest.server, &manifest.extensions).await?;
        let roles = match ScratchRoles::hold(&scratch.server, &context.cancel).await {
            Ok(roles) => scratch.roles.insert(roles),
            Err(error) => return Err(scratch.stopped_after(error).await),
        };
        match roles.make(&scratch.server, expected, &context.cancel).await {
            Ok(()) => Ok(scratch),
            Err(error) => Err(scratch.stopped_after(error).await),
        }
    }

    /// Starts the server and looks whether it has what a database with these facts needs.
    ///
    /// Its major is that of the client programs: what a newer pg_dump wrote may not load into the source's major.
    pub(super) async fn fitting(
        context: &Context,
        options: &VerifyOptions,
        major: u32,
        facts: &ServerFacts,
        extensions: &[Extension],
    ) -> Result<Self, Error> {
        let mut scratch_options = options.scratch.clone();
        if let ScratchOptions::Local(local) = &mut scratch_options {
            local.major = major;
            local.preload_libraries = preload(facts, extensions);
        }
        let server = match ScratchServer::start(&scratch_options, &context.cancel).await {
            Ok(server) => server,
            Err(_) if context.cancel.is_cancelled() => return Err(Error::Interrupted),
            Err(error) => return Err(Error::CouldNotRun { obstacles: vec![obstacle_to_start(&error, major)] }),
        };
        match Self::fit(major, facts, extensions, options, &server).await {
            Ok((locale, restored, notes)) => Ok(Self { server, locale, restored, notes, roles: None }),
            Err(error) => Err(stopped(server, error).await),
        }
    }

    async fn fit(
        major: u32,
        facts: &ServerFacts,
        extensions: &[Extension],
        options: &VerifyOptions,
        server: &ScratchServer,
    ) -> Result<(DatabaseLocale, ConnectionSettings, Vec<String>), Error> {
        if server.major() != major {
            return Err(could_not_run(
                format!("the scratch server is PostgreSQL {}, the restore point needs {major}", server.major()),
                format!("give a scratch server of PostgreSQL {major}"),
            ));
        }
        let obstacles = extension_obstacles(extensions, server).await?;
        if !obstacles.is_empty() {
            return Err(Error::CouldNotRun { obstacles });
        }
        let locale = DatabaseLocale::from(facts);
        match server.create_database(RESTORED, &locale).await {
            Ok(restored) => Ok((locale, restored, Vec::new())),
            Err(holdpoint_postgres::Error::LocaleMissing { locale: name, said }) => {
                if options.replace_missing_locale {
                    let note = format!("proved, sort order not reproduced: {name} was replaced by C ({said})");
                    let locale = DatabaseLocale::c(&facts.encoding);
                    let restored = server.create_database(RESTORED, &locale).await?;
                    return Ok((locale, restored, vec![note]));
                }
                Err(could_not_run(
                    format!("locale {name} is missing on the scratch server: {said}"),
                    "install the locale (Debian: locales-all; ICU: a server built with it), or accept C with \
                     --replace-missing-locale",
                ))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a database of the source's encoding and locale.
    pub(super) async fn database(&self, name: &str) -> Result<ConnectionSettings, Error> {
        Ok(self.server.create_database(name, &self.locale).await?)
    }

    /// Stops the server and removes everything that was made.
    pub(super) async fn stop(self) -> Result<(), Error> {
        // What a command brought up may be a server that others use, and goes with the command that takes it down.
        let (given, local) = (self.server.is_given(), self.server.data_directory().is_some());
        let left = match self.roles {
            Some(roles) if given => left(roles, &self.server).await,
            Some(roles) if !local => {
                if let Ok(Err(error)) = timeout(LEFT_WITHIN, left(roles, &self.server)).await {
                    tracing::debug!(%error, "scratch roles are left to the command that takes the server down");
                }
                Ok(())
            }
            _ => Ok(()),
        };
        let stopped = self.server.stop().await;
        left.and(stopped.map_err(Error::from))
    }

    async fn stopped_after(self, error: Error) -> Error {
        with_what_remains(self.stop().await, error)
    }
}

/// Takes away what was made on a server: roles cannot go before what they own.
async fn left(roles: ScratchRoles, server: &ScratchServer) -> Result<(), Error> {
    let dropped = server.drop_databases().await.map_err(Error::from);
    dropped.and(roles.leave(server).await)
}

async fn stopped(server: ScratchServer, error: Error) -> Error {
    with_what_remains(server.stop().await.map_err(Error::from), error)
}

fn with_what_remains(stopped: Result<(), Error>, error: Error) -> Error {
    match stopped {
        Ok(()) => error,
        Err(remains) => Error::LeftBehind { failure: Box::new(error), remains: remains.to_string() },
    }
}

/// Extensions that Amazon builds for RDS and Aurora, and no package has ("Extension versions for Amazon RDS for PostgreSQL" and
/// "Extension versions for Amazon Aurora PostgreSQL", release notes of both).
const ONLY_ON_RDS: [&str; 10] = [
    "apg_plan_mgmt",
    "aws_commons",
    "aws_lambda",
    "aws_ml",
    "aws_s3",
    "flow_control",
    "pg_ad_mapping",
    "pg_transport",
    "rds_activity_stream",
    "rds_tools",
];
/// Libraries that some extension of the source needs loaded at start; others would only be in the way.
pub(crate) fn preload(server: &ServerFacts, extensions: &[Extension]) -> Vec<String> {
    const NEED_PRELOAD: [&str; 5] = ["timescaledb", "pg_stat_statements", "citus", "pg_cron", "pgaudit"];
    let wanted = |library: &&str| extensions.iter().any(|extension| extension.name == **library);
    let listed = server.preload_libraries.split(',').map(|name| name.trim().trim_matches('"'));
    listed.filter(|name| NEED_PRELOAD.contains(name)).filter(wanted).map(str::to_owned).collect()
}

/// What keeps a scratch server from having the extensions of a database, as it has them.
pub(crate) async fn extension_obstacles(needed: &[Extension], server: &ScratchServer) -> Result<Vec<Obstacle>, Error> {
    let available = server.extensions().await?;
    let wanted = needed.iter().map(|one| (one.name.as_str(), one.version.as_str()));
    let obstacle = |gap: holdpoint_postgres::scratch::ExtensionGap| match gap.reason {
        GapReason::Absent => Obstacle {
            reason: format!("extension {} {} is not installed on the scratch server", gap.name, gap.needed),
            cure: cure_of_absence(&gap.name),
        },
        GapReason::VersionDiffers { created } => Obstacle {
            reason: format!(
                "extension {} would be {} on the scratch server, the source has {}",
                gap.name,
                created.unwrap_or_else(|| "of no version".to_owned()),
                gap.needed
            ),
            cure: format!("install {} {}, or update the source's with ALTER EXTENSION", gap.name, gap.needed),
        },
    };
    Ok(extension_gaps(wanted, &available).into_iter().map(obstacle).collect())
}

/// How a scratch server comes to have an extension that it has not.
fn cure_of_absence(name: &str) -> String {
    if ONLY_ON_RDS.contains(&name) {
        return format!(
            "only Amazon RDS has {name}: give an instance of RDS as the scratch server (--scratch-url), prove a snapshot instead \
             (holdpoint rds snapshot create, holdpoint verify ID), or do without: DROP EXTENSION {name} where nothing needs it"
        );
    }
    format!("install the package that holds {name}, or give a scratch server that has it")
}

/// What keeps a scratch server of a major from starting.
pub(crate) fn obstacle_to_start(error: &holdpoint_postgres::Error, major: u32) -> Obstacle {
    use holdpoint_postgres::Error as Postgres;
    let reason = format!("the scratch server cannot start: {}", chain(error));
    let cure = match error {
        Postgres::ProgramMissing(_) => {
            format!(
                "install PostgreSQL {major}'s server (Debian: postgresql-{major}), or name its folder in the configuration"
            )
        }
        Postgres::ScratchPlace { .. } => {
            "let the server's user pass every folder on the way (chmod o+x), or name another directory for scratch servers: \
             scratch.directory"
                .to_owned()
        }
        Postgres::ProgramFailed { cause, .. } if **cause == Cause::OutOfDisk => "free some disk".to_owned(),
        _ => "see the reason; holdpoint doctor tries the scratch server alone".to_owned(),
    };
    Obstacle { reason, cure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_rds_has_no_package_brings() {
        assert!(cure_of_absence("aws_s3").starts_with("only Amazon RDS has aws_s3: "), "{}", cure_of_absence("aws_s3"));
        assert!(cure_of_absence("postgis").starts_with("install the package that holds postgis"));
    }
}
