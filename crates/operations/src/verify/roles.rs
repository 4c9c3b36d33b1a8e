//! The archive's roles on a scratch server, which has them only while somebody verifies there.
//!
//! Roles belong to the whole server. On one that is not ours alone other verifications may need the same ones at this moment:
//! each holds a shared advisory lock, those that are made bear a mark ([`holdpoint_postgres::scratch::roles`]), and who ends
//! last takes away all that bear it and that nobody else uses, also what killed ones left.
//!
//! Advisory locks belong to a database: they are taken in `postgres`, or where that cannot be entered, in the URL's.

use std::collections::BTreeSet;
use std::time::Duration;

use holdpoint_core::index::{ObjectRecord, RoleRecord};
use holdpoint_core::name::quote_identifier;
use holdpoint_postgres::scratch::{ScratchServer, roles};
use holdpoint_postgres::{Session, SessionPurpose};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::scratch::could_not_run;
use crate::Error;
use crate::expected::Expected;

/// What is being done, for errors.
const MAKING: &str = "creating the archive's roles";
const TAKING_AWAY: &str = "dropping a scratch role";
/// The first key of the locks, "hols"; the second is one of the next two.
const NAMESPACE: i32 = 0x686f_6c73;
/// Shared while a verification needs the roles, exclusive while the last one takes them away.
const NEEDED: i32 = 1;
/// Exclusive while one makes what is missing.
const MADE: i32 = 2;
/// How long a lock is tried for, and how often: a waiting statement would hold a snapshot.
const TRIED_FOR: Duration = Duration::from_secs(60);
const TRY_EVERY: Duration = Duration::from_millis(200);
/// Where every verification of the server looks for the others.
const COMMON: &str = "postgres";

/// Roles that a verification needs on the scratch server. Ended with [`Self::leave`]; of dropped ones the next verification
/// takes away what it made.
#[derive(Debug)]
pub(super) struct ScratchRoles {
    /// Holds the lock; `None` where the server is ours alone.
    session: Option<Session>,
    /// Those that no other verification can need.
    own: Vec<String>,
}

impl ScratchRoles {
    /// Has none made yet; holds those that are there.
    ///
    /// # Errors
    /// [`Error::CouldNotRun`] where others take theirs away for a minute; [`Error::Interrupted`]; those of PostgreSQL.
    pub(super) async fn hold(server: &ScratchServer, cancel: &CancellationToken) -> Result<Self, Error> {
        let mut session = None;
        if server.data_directory().is_none() {
            let shared = connect(server).await?;
            lock(&shared, "pg_try_advisory_lock_shared", NEEDED, cancel).await?;
            session = Some(shared);
        }
        Ok(Self { session, own: Vec::new() })
    }

    /// Makes the roles that are missing, with what grants and owners hang on: memberships, and where it must be, superuser.
    ///
    /// # Errors
    /// [`Error::CouldNotRun`] where another one makes its own for a minute; [`Error::Interrupted`]; those of PostgreSQL. Those
    /// that were made go with [`Self::leave`].
    pub(super) async fn make(
        &self,
        server: &ScratchServer,
        expected: &Expected,
        cancel: &CancellationToken,
    ) -> Result<(), Error> {
        let Some(shared) = &self.session else {
            let session = connect(server).await?;
            let made = make(&session, true, expected).await;
            session.close().await;
            return made;
        };
        lock(shared, "pg_try_advisory_lock", MADE, cancel).await?;
        let made = make(shared, false, expected).await;
        let unlock = "SELECT pg_catalog.pg_advisory_unlock($1, $2)";
        let unlocked = shared.query(MAKING, unlock, &[&NAMESPACE, &MADE]).await;
        made.and(unlocked.map(drop).map_err(Error::from))
    }

    /// Remembers a role that this verification alone makes.
    pub(super) fn own(&mut self, name: &str) {
        self.own.push(name.to_owned());
    }

    /// Takes away its own roles, and where nobody else verifies, all that verifications made. The databases should be gone.
    ///
    /// # Errors
    /// Those of PostgreSQL; the first, everything is tried.
    pub(super) async fn leave(self, server: &ScratchServer) -> Result<(), Error> {
        let Some(held) = self.session else { return Ok(()) };
        // It waited while everything was verified.
        let held = if held.ping().await.is_ok() { held } else { connect(server).await? };
        let mut left = Ok(());
        for role in &self.own {
            left = left.and(roles::drop_one(&held, role).await);
        }
        let unlock = "SELECT pg_catalog.pg_advisory_unlock_all()";
        held.run(TAKING_AWAY, unlock).await?;
        if is_last(&held).await? {
            match roles::take_away(&held).await {
                Ok(stay) if stay.is_empty() => {}
                Ok(stay) => tracing::warn!(roles = stay.join(", "), "scratch roles stay until the next verification"),
                Err(error) => left = left.and(Err(error)),
            }
        }
        held.run(TAKING_AWAY, unlock).await?;
        held.close().await;
        Ok(left?)
    }
}

async fn connect(server: &ScratchServer) -> Result<Session, Error> {
    let purpose = SessionPurpose::new("holdpoint scratch");
    let session = match Session::connect(&server.settings().with_database(COMMON), &purpose).await {
        Ok(session) => session,
        Err(_) => Session::connect(server.settings(), &purpose).await?,
    };
    // It waits for as long as the verification takes.
    session.run("lifting time limits", "SET idle_session_timeout = 0").await?;
    Ok(session)
}

/// Whether no other verification is at work; takes the lock, so that none begins.
async fn is_last(session: &Session) -> Result<bool, Error> {
    let sql = "SELECT pg_catalog.pg_try_advisory_lock($1, $2)";
    if !session.query_one(TAKING_AWAY, sql, &[&NAMESPACE, &NEEDED]).await?.get::<_, bool>(0) {
        return Ok(false);
    }
    // Also none that could not enter the same database.
    let sql = "SELECT count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND classid = $1 \
                 AND objid = $2 AND pid <> pg_catalog.pg_backend_pid()";
    let keys = [NAMESPACE, NEEDED].map(i32::cast_unsigned);
    Ok(session.query_one(TAKING_AWAY, sql, &[&keys[0], &keys[1]]).await?.get::<_, i64>(0) == 0)
}

/// Takes a lock by trying, until it is had, or for [`TRIED_FOR`].
async fn lock(session: &Session, function: &str, key: i32, cancel: &CancellationToken) -> Result<(), Error> {
    let sql = format!("SELECT pg_catalog.{function}($1, $2)");
    let began = Instant::now();
    while !session.query_one(MAKING, &sql, &[&NAMESPACE, &key]).await?.get::<_, bool>(0) {
        if began.elapsed() > TRIED_FOR {
            return Err(could_not_run(
                format!("other verifications have the roles of the scratch server for {} s", TRIED_FOR.as_secs()),
                "wait until they end, or give another scratch server",
            ));
        }
        tokio::select! {
            () = sleep(TRY_EVERY) => {}
            () = cancel.cancelled() => return Err(Error::Interrupted),
        }
    }
    Ok(())
}

async fn make(session: &Session, ours: bool, expected: &Expected) -> Result<(), Error> {
    let sql = "SELECT r.rolname::text, \
                 ARRAY(SELECT g.rolname::text FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid = m.roleid \
                       WHERE m.member = r.oid) \
               FROM pg_catalog.pg_roles r";
    let rows = session.query(MAKING, sql, &[]).await?;
    let mut there: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let marked = roles::list(session).await?;
    // Only superusers may own these. Managed servers let others; on a server of our own that harms nobody.
    let demanding = |object: &ObjectRecord| {
        matches!(object.description.as_str(), "EVENT TRIGGER" | "FOREIGN DATA WRAPPER" | "SUBSCRIPTION")
    };
    let owners: BTreeSet<&str> =
        expected.objects.iter().filter(|one| demanding(one)).filter_map(|one| one.owner.as_deref()).collect();
    let of_others = |name: &String| marked.iter().any(|one| one.name == *name && !one.adopted);
    let passing = expected.role_rights.iter().filter(|role| !there.contains(&role.name) || of_others(&role.name));
    let passing: Vec<&RoleRecord> = passing.collect();
    let missing = passing.iter().filter(|role| !there.contains(&role.name));
    let options = |role: &RoleRecord| {
        let superuser = ours && (role.superuser || owners.contains(role.name.as_str()));
        if superuser { "SUPERUSER".to_owned() } else { String::new() }
    };
    let missing: Vec<(&str, String)> = missing.map(|role| (role.name.as_str(), options(role))).collect();
    roles::create(session, &missing).await?;
    there.extend(missing.into_iter().map(|(name, _)| name.to_owned()));
    for role in passing {
        let has: Vec<String> =
            rows.iter().find(|row| row.get::<_, &str>(0) == role.name).map(|row| row.get(1)).unwrap_or_default();
        for group in role.member_of.iter().filter(|group| there.contains(*group) && !has.contains(group)) {
            let grant = format!("GRANT {} TO {}", quote_identifier(group), quote_identifier(&role.name));
            match session.run(MAKING, &grant).await {
                // On somebody else's server our role may not hand out every role, and one that another verification made may
                // be the group's group there; what then lacks rights says so.
                Err(error) if !ours && matches!(error.sqlstate(), Some("42501" | "0LP01")) => {}
                granted => granted?,
            }
        }
    }
    Ok(())
}
