//! What a swap would do, and everything that could stop it, before anything is made.

use holdpoint_core::Identity;
use holdpoint_core::identity::IdentityMatch;
use holdpoint_core::progress::Phase;
use holdpoint_core::selector::Selector;
use holdpoint_core::verification::Obstacle;
use holdpoint_postgres::catalog::database;
use holdpoint_postgres::identity::{self, ServerIdentity};
use holdpoint_postgres::{ConnectionSettings, Session};

use super::{SwapOptions, SwapPlan, fitness, provider};
use crate::restore::{beside, maintenance, roles, run, target};
use crate::selection::{refuse_after_unsettled, resolve};
use crate::{Context, Error, Source, catalogue, expected, run_lock};

/// Looks at everything that could stop a swap, and changes nothing.
///
/// What stands in the way is in the plan, all of it at once.
///
/// # Errors
/// What keeps the plan itself from being made: no such restore point, no connection, a transaction pooler.
pub async fn plan(context: &Context, options: &SwapOptions) -> Result<SwapPlan, Error> {
    context.progress.phase(Phase::Preflight, None);
    if let Selector::Foreign(place) = &options.from {
        return Err(Error::SwapRefused {
            target: options.live.redacted(),
            obstacles: vec![Obstacle {
                reason: format!("{place} has no fingerprint, so nobody could tell whether all of it was restored"),
                cure: "restore it into an empty database, look at it, and change the application's URL: \
                       holdpoint restore --into URL"
                    .to_owned(),
            }],
        });
    }
    let point = resolve(context, &options.from).await?;
    refuse_after_unsettled(context, &options.from, &point).await?;
    let details = catalogue::show(context, &point).await?;
    let source = Source { settings: options.live.clone(), programs: options.programs.clone(), client_major: None };
    crate::backup::direct(&source).await?;
    let session = connect(&options.live).await?;
    let server = identity::read(&session).await?;
    let live = Seen { session: &session, server: &server, closed: false };
    let mut obstacles = live.obstacles(context, options.source.as_ref()).await?;
    let mut warnings = Vec::new();
    if !details.manifest.options.is_empty() {
        obstacles.push(Obstacle {
            reason: format!("{point} holds a part of the database only: {}", details.manifest.options.join(" ")),
            cure: "choose one of the whole database: holdpoint list".to_owned(),
        });
    }
    let manifest = details.manifest.clone();
    let stored = expected::Expected::read(context, &point).await?;
    match target::must_fit(&session, &manifest).await {
        Ok(fits) => warnings.extend(fits),
        Err(Error::Usage(reason)) => obstacles.push(Obstacle {
            reason,
            cure: "restore into a server that has it: holdpoint restore --into URL".to_owned(),
        }),
        Err(error) => return Err(error),
    }
    let restore = options.restore(&point);
    match roles::must_be_there(context, &session, &stored, &restore, run::Properties::Untouched).await {
        Ok(()) => {}
        Err(Error::RolesMissing { owners, named, .. }) => {
            // A live database is not put together without owners and grants.
            let error = Error::RolesMissing { owners, named, without: None };
            obstacles.push(Obstacle { reason: error.to_string(), cure: error.hint().unwrap_or_default() });
        }
        Err(error) => return Err(error),
    }
    obstacles.extend(fitness::settings(&session, &server.identity.database).await?);
    obstacles.extend(fitness::connections(&session, options.jobs).await?);
    let live_bytes = database::size_bytes(&session).await?;
    let free_bytes = fitness::free_bytes(&session).await;
    space(live_bytes, manifest.totals.data_bytes, free_bytes, &mut obstacles, &mut warnings);
    if !manifest.server.tablespaces.is_empty() {
        warnings.push(format!(
            "what lies in tablespaces ({}) will lie in the database's own one",
            manifest.server.tablespaces.join(", ")
        ));
    }
    if !manifest.not_covered.is_empty() {
        warnings.push(format!(
            "not in any restore point, so only in the kept database: {}",
            manifest.not_covered.join("; ")
        ));
    }
    warnings.push(
        "whoever reaches this database from another one (postgres_fdw, dblink) cannot be seen from here".to_owned(),
    );
    let name = server.identity.database.clone();
    let looking = maintenance::connect(session.settings(), &beside::name(context)).await?;
    match other_swaps(&looking, server.identity.database_oid).await? {
        Some(other) => obstacles.push(other),
        None => obstacles.extend(guarded_run(&session, server.identity.database_oid, options.held_by).await?),
    }
    let keep_as = beside::free_name(&looking, &name, Some(&point)).await?;
    looking.close().await;
    let plan = SwapPlan {
        point,
        snapshot_at: manifest.snapshot.at,
        standing: details.standing,
        live: session.settings().redacted(),
        database: name,
        database_oid: server.identity.database_oid,
        keep_as,
        sessions: fitness::sessions(&session).await?,
        live_bytes,
        free_bytes,
        obstacles,
        warnings,
    };
    session.close().await;
    Ok(plan)
}

/// Judges the disk by the live database's size and the rows' size as text: the copy has no bloat, but has indexes.
fn space(
    live_bytes: Option<u64>,
    data_bytes: u64,
    free_bytes: Option<u64>,
    obstacles: &mut Vec<Obstacle>,
    warnings: &mut Vec<String>,
) {
    let least = live_bytes.map_or(data_bytes, |live| live.min(data_bytes));
    let most = live_bytes.unwrap_or(0).max(data_bytes);
    match free_bytes {
        Some(free) if free < least => obstacles.push(Obstacle {
            reason: format!("a second copy takes {least} bytes at least, and {free} are free on the server's disk"),
            cure: "make room, or restore into another server: holdpoint restore --into URL".to_owned(),
        }),
        Some(free) if free < most => warnings.push(format!(
            "a second copy may take {most} bytes, and {free} are free on the server's disk: a full disk stops the \
             application too"
        )),
        Some(_) => {}
        None => warnings.push(format!(
            "the server's free disk cannot be known from here; a second copy may take {most} bytes, and a full disk \
             stops the application too: look before"
        )),
    }
}

/// Connects to the live database; one that a killed swap left closed says so.
pub(super) async fn connect(live: &ConnectionSettings) -> Result<Session, Error> {
    match target::connect(live).await {
        Err(Error::Postgres(error)) if error.sqlstate() == Some("55000") => Err(Error::SwapRefused {
            target: live.redacted(),
            obstacles: vec![Obstacle {
                reason: "it is closed to all connections, perhaps by a swap that was killed".to_owned(),
                cure: "see what is there, and how to go on: holdpoint leftovers".to_owned(),
            }],
        }),
        other => other,
    }
}

/// Reads who a database is from another one of its server: nobody gets into one that is closed.
pub(super) async fn seen_from_beside(session: &Session, database: &str) -> Result<ServerIdentity, Error> {
    let all = maintenance::databases(session).await?;
    let found = all.into_iter().find(|one| one.name == database).ok_or_else(|| Error::ReplaceRefused {
        target: session.settings().redacted(),
        why: format!("the server has no database {database}"),
    })?;
    let mut seen = identity::read(session).await?;
    seen.identity.database = found.name;
    seen.identity.database_oid = found.oid;
    Ok(seen)
}

/// The live database, and who it is.
pub(super) struct Seen<'a> {
    /// In the live database, or in another one of its server where it is closed.
    pub(super) session: &'a Session,
    pub(super) server: &'a ServerIdentity,
    /// A swap that was killed left it closed.
    pub(super) closed: bool,
}

impl Seen<'_> {
    /// What stands in the way whatever takes its place.
    pub(super) async fn obstacles(
        &self,
        context: &Context,
        source: Option<&ConnectionSettings>,
    ) -> Result<Vec<Obstacle>, Error> {
        let mut found = Vec::new();
        found.extend(self.stranger(context, source).await?);
        if self.server.in_recovery {
            found.push(Obstacle {
                reason: "the server is a standby, which nobody can write to".to_owned(),
                cure: "name the primary with --into".to_owned(),
            });
        }
        found.extend(provider::obstacle(self.server));
        let name = &self.server.identity.database;
        found.extend(fitness::rights(self.session, name).await?);
        found.extend(fitness::bound(self.session, name).await?);
        Ok(found)
    }

    /// The folder must be this very database's: its record would else follow a copy, and production's backups end.
    ///
    /// Another name for the same server is told by what only one running server has: when it started.
    async fn stranger(
        &self,
        context: &Context,
        source: Option<&ConnectionSettings>,
    ) -> Result<Option<Obstacle>, Error> {
        let Some(recorded) = context.repository.identity(&context.database).await? else { return Ok(None) };
        let differences = match Identity::compare(&recorded.identity, &self.server.identity) {
            IdentityMatch::Same | IdentityMatch::TimelineChanged => return Ok(None),
            IdentityMatch::Different(differences) => differences,
        };
        if let Some(source) = source {
            let (session, seen) = if self.closed {
                let session = maintenance::connect(source, &format!("{}?", source.database())).await?;
                let seen = seen_from_beside(&session, source.database()).await?;
                (session, seen)
            } else {
                let session = connect(source).await?;
                let seen = identity::read(&session).await?;
                (session, seen)
            };
            session.close().await;
            let recorded_one =
                !matches!(Identity::compare(&recorded.identity, &seen.identity), IdentityMatch::Different(_));
            let same_endpoint = Identity { endpoint: seen.identity.endpoint.clone(), ..self.server.identity.clone() };
            let same_server = seen.started_at == self.server.started_at
                && Identity::compare(&seen.identity, &same_endpoint) == IdentityMatch::Same;
            if recorded_one && same_server {
                return Ok(None);
            }
        }
        Ok(Some(Obstacle {
            reason: format!(
                "it is not the database that the folder {} belongs to: {}",
                context.database,
                differences.join("; ")
            ),
            cure: "if the database really moved: holdpoint adopt --reason \"why it moved\"; a database that is not \
                   production is replaced with --replace"
                .to_owned(),
        }))
    }
}

/// A guarded command may be changing the database right now, and its way back is the database's own restore point.
///
/// `own`: the server process that has the run lock for this very swap.
pub(super) async fn guarded_run(live: &Session, live_oid: u32, own: Option<i32>) -> Result<Option<Obstacle>, Error> {
    let holder = run_lock::holder(live, live_oid).await?;
    Ok(holder.filter(|holder| own != Some(holder.pid)).map(|holder| {
        let held = Error::RunLockHeld { holder };
        Obstacle { reason: held.to_string(), cure: held.hint().unwrap_or_default() }
    }))
}

/// Two swaps of one database at a time would each keep the other's.
pub(super) async fn other_swaps(maintenance: &Session, live_oid: u32) -> Result<Option<Obstacle>, Error> {
    for database in maintenance::databases(maintenance).await? {
        if database.mark().and_then(|mark| mark.takes()) == Some(live_oid)
            && let Some(pid) = maintenance::is_worked_on(maintenance, &database.name).await?
        {
            return Ok(Some(Obstacle {
                reason: format!("another swap is at work: process {pid} on the server restores into {}", database.name),
                cure: "wait for it to end".to_owned(),
            }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_disk_that_is_surely_too_small_stops_it() {
        let judge = |live, data, free| {
            let (mut obstacles, mut warnings) = (Vec::new(), Vec::new());
            space(live, data, free, &mut obstacles, &mut warnings);
            (obstacles.len(), warnings.len())
        };
        assert_eq!(judge(Some(900), 400, Some(300)), (1, 0));
        assert_eq!(judge(Some(900), 400, Some(500)), (0, 1), "bloat may be most of it");
        assert_eq!(judge(Some(10), 400, Some(300)), (0, 1), "the accident may have emptied it");
        assert_eq!(judge(Some(900), 400, Some(1000)), (0, 0));
        assert_eq!(judge(None, 400, None), (0, 1));
        assert_eq!(judge(None, 400, Some(300)), (1, 0));
    }
}
