//! The archive's roles on a scratch server, which has them only while somebody verifies there.
//!
//! Roles belong to the whole server. On one that is not ours alone other verifications may need the same ones at this moment:
//! each holds a shared advisory lock, those that are made bear a mark (a comment), and who ends last takes all away that bear
//! it, also what killed ones left. Locks are those of the database that the server's URL names.

use std::collections::BTreeSet;

use holdpoint_core::index::{ObjectRecord, RoleRecord};
use holdpoint_core::name::{quote_identifier, quote_literal};
use holdpoint_postgres::scratch::ScratchServer;
use holdpoint_postgres::{Session, SessionPurpose};

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
/// To make or to take away all of them takes moments.
const WAITS: &str = "60s";
/// The comment of a role that nobody but verifications has a use for.
const MARK: &str = "holdpoint scratch role: goes with the last verification on this server";

/// Roles that a verification needs on the scratch server. Ended with [`Self::leave`]; of dropped ones the next verification
/// takes away what bears the mark.
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
    /// [`Error::CouldNotRun`] where others take theirs away for a minute; those of PostgreSQL.
    pub(super) async fn hold(server: &ScratchServer) -> Result<Self, Error> {
        if server.data_directory().is_some() {
            return Ok(Self { session: None, own: Vec::new() });
        }
        let session = session(server).await?;
        session.run(MAKING, &format!("SET lock_timeout = '{WAITS}'")).await?;
        locked(
            session.query(MAKING, "SELECT pg_catalog.pg_advisory_lock_shared($1, $2)", &[&NAMESPACE, &NEEDED]).await,
        )?;
        Ok(Self { session: Some(session), own: Vec::new() })
    }

    /// Makes the roles that are missing, with what grants and owners hang on: memberships, and where it must be, superuser.
    ///
    /// # Errors
    /// [`Error::CouldNotRun`] where another one makes its own for a minute; those of PostgreSQL. Those that were made go
    /// with [`Self::leave`].
    pub(super) async fn make(&self, server: &ScratchServer, expected: &Expected) -> Result<(), Error> {
        let Some(shared) = &self.session else {
            let session = session(server).await?;
            let made = make(&session, true, expected).await;
            session.close().await;
            return made;
        };
        locked(shared.query(MAKING, "SELECT pg_catalog.pg_advisory_lock($1, $2)", &[&NAMESPACE, &MADE]).await)?;
        let made = make(shared, false, expected).await;
        let unlock = "SELECT pg_catalog.pg_advisory_unlock($1, $2)";
        let unlocked = shared.query(MAKING, unlock, &[&NAMESPACE, &MADE]).await;
        made.and(unlocked.map(drop).map_err(Error::from))
    }

    /// Remembers a role of this verification alone, and marks it for the case that this one is killed.
    pub(super) async fn own(&mut self, session: &Session, name: &str) -> Result<(), Error> {
        self.own.push(name.to_owned());
        Ok(session.run(MAKING, &marked(name)).await?)
    }

    /// Takes away its own roles, and where nobody else verifies, all that bear the mark. The databases must be gone.
    ///
    /// # Errors
    /// Those of PostgreSQL, for its own roles.
    pub(super) async fn leave(self, server: &ScratchServer) -> Result<(), Error> {
        let Some(held) = self.session else { return Ok(()) };
        // It waited while everything was verified.
        let held = if held.ping().await.is_ok() { held } else { session(server).await? };
        for role in &self.own {
            held.run(TAKING_AWAY, &format!("DROP ROLE IF EXISTS {}", quote_identifier(role))).await?;
        }
        held.run(TAKING_AWAY, "SELECT pg_catalog.pg_advisory_unlock_all()").await?;
        let alone = "SELECT pg_catalog.pg_try_advisory_lock($1, $2)";
        if held.query_one(TAKING_AWAY, alone, &[&NAMESPACE, &NEEDED]).await?.get(0) {
            take_away(&held).await?;
        }
        held.close().await;
        Ok(())
    }
}

async fn session(server: &ScratchServer) -> Result<Session, Error> {
    Ok(Session::connect(server.settings(), &SessionPurpose::new("holdpoint scratch")).await?)
}

/// What came of waiting for a lock.
fn locked<T>(waited: Result<T, holdpoint_postgres::Error>) -> Result<(), Error> {
    match waited {
        Err(error) if error.sqlstate() == Some("55P03") => Err(could_not_run(
            format!("another verification has the roles of the scratch server for {WAITS} and longer"),
            "wait until it ends, or give another scratch server",
        )),
        waited => Ok(waited.map(drop)?),
    }
}

fn marked(role: &str) -> String {
    format!("COMMENT ON ROLE {} IS {}", quote_identifier(role), quote_literal(MARK))
}

async fn names(session: &Session, which: &str) -> Result<BTreeSet<String>, Error> {
    let sql = format!(
        "SELECT r.rolname::text FROM pg_catalog.pg_roles r \
           LEFT JOIN pg_catalog.pg_shdescription d ON d.objoid = r.oid \
             AND d.classoid = 'pg_catalog.pg_authid'::pg_catalog.regclass WHERE {which}"
    );
    Ok(session.query(MAKING, &sql, &[]).await?.iter().map(|row| row.get(0)).collect())
}

fn that_are_marked() -> String {
    format!("d.description = {}", quote_literal(MARK))
}

async fn make(session: &Session, ours: bool, expected: &Expected) -> Result<(), Error> {
    let mut there = names(session, "true").await?;
    let of_others = names(session, &that_are_marked()).await?;
    // Only superusers may own these. Managed servers let others; on a server of our own that harms nobody.
    let demanding = |object: &ObjectRecord| {
        matches!(object.description.as_str(), "EVENT TRIGGER" | "FOREIGN DATA WRAPPER" | "SUBSCRIPTION")
    };
    let owners: BTreeSet<&str> =
        expected.objects.iter().filter(|one| demanding(one)).filter_map(|one| one.owner.as_deref()).collect();
    let roles = expected.role_rights.iter();
    let passing: Vec<&RoleRecord> =
        roles.filter(|role| !there.contains(&role.name) || of_others.contains(&role.name)).collect();
    for role in &passing {
        if !there.insert(role.name.clone()) {
            continue;
        }
        let superuser = ours && (role.superuser || owners.contains(role.name.as_str()));
        let rights = if superuser { " SUPERUSER" } else { "" };
        let create = format!("CREATE ROLE {}{rights}", quote_identifier(&role.name));
        // Both or none: statements sent together are one transaction.
        let sql = if ours { create } else { format!("{create}; {}", marked(&role.name)) };
        session.run(MAKING, &sql).await?;
    }
    for role in &passing {
        for group in role.member_of.iter().filter(|group| there.contains(*group)) {
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

/// Drops the marked roles, except those that somebody found another use for.
async fn take_away(session: &Session) -> Result<(), Error> {
    for role in names(session, &that_are_marked()).await? {
        match session.run(TAKING_AWAY, &format!("DROP ROLE IF EXISTS {}", quote_identifier(&role))).await {
            Err(error) if matches!(error.sqlstate(), Some("2BP01" | "42501" | "55006")) => {
                tracing::info!(role, %error, "a scratch role stays");
            }
            dropped => dropped?,
        }
    }
    Ok(())
}
