//! Restoring as a role with fewer rights than a superuser's.

use std::fmt;
use std::str::FromStr;

use holdpoint_core::Secret;
use holdpoint_core::name::{quote_identifier, quote_literal};
use holdpoint_core::verification::Obstacle;
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};
use sha2::{Digest, Sha256};

use super::scratch::{Scratch, could_not_run};
use crate::expected::Expected;
use crate::{Context, Error};

/// Whose rights a restore has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreAs {
    /// The database's owner, who may act for every role of the archive that is no superuser.
    Owner,
    /// The same, and what the master user of Amazon RDS has as far as PostgreSQL itself can give it: CREATEDB,
    /// CREATEROLE, pg_monitor, pg_signal_backend, pg_checkpoint. What Amazon's own server allows beyond that, such as
    /// extensions of its list and event triggers, is not imitated: it may be reported as refused.
    Rds,
}

impl RestoreAs {
    /// The word of the flag.
    pub fn word(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Rds => "rds",
        }
    }
}

impl fmt::Display for RestoreAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for RestoreAs {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = [Self::Owner, Self::Rds].into_iter().find(|one| one.word() == text);
        known.ok_or_else(|| format!("\"{text}\" is no role to restore as: use owner or rds"))
    }
}

const WHAT: &str = "making a role with fewer rights";

/// Makes the role on the scratch server, lets it own `database`, and gives the settings to connect as it.
///
/// The role is the scratch server's to drop. Fails with [`Error::CouldNotRun`] where the scratch server's own role may
/// not do that.
pub(super) async fn role(
    context: &Context,
    expected: &Expected,
    scratch: &mut Scratch,
    database: &ConnectionSettings,
    kind: RestoreAs,
) -> Result<ConnectionSettings, Error> {
    if !scratch.server.is_superuser() {
        return Err(could_not_run(
            format!("the scratch server's role is no superuser and cannot make one like {kind}"),
            "use the local scratch server, or one given with a superuser",
        ));
    }
    let seed = [&context.seed.to_be_bytes()[..], expected.manifest.id.as_str().as_bytes()].concat();
    let random = hex::encode(Sha256::digest([&seed[..], &b"restorer"[..]].concat()));
    let name = format!("holdpoint_{kind}_{}", &random[..8]);
    let password = Secret::from(random[8..].to_owned());
    let session = Session::connect(database, &SessionPurpose::new("holdpoint scratch")).await?;
    let quoted = quote_identifier(&name);
    let more = if kind == RestoreAs::Rds { " CREATEDB CREATEROLE" } else { "" };
    let secret = quote_literal(password.expose());
    session.run(WHAT, &format!("CREATE ROLE {quoted} LOGIN NOSUPERUSER NOBYPASSRLS{more} PASSWORD {secret}")).await?;
    scratch.made_roles.push(name.clone());
    let mut groups: Vec<&str> =
        expected.role_rights.iter().filter(|role| !role.superuser).map(|role| role.name.as_str()).collect();
    if kind == RestoreAs::Rds {
        groups.extend(["pg_monitor", "pg_signal_backend"]);
        if session.server().major >= 15 {
            groups.push("pg_checkpoint");
        }
    }
    for group in groups.into_iter().filter(|group| *group != name) {
        session.run(WHAT, &format!("GRANT {} TO {quoted}", quote_identifier(group))).await?;
    }
    let owns = format!("ALTER DATABASE {} OWNER TO {quoted}", quote_identifier(database.database()));
    session.run(WHAT, &owns).await?;
    session.close().await;
    Ok(database.with_role(&name, password))
}

/// Reads what pg_restore said of each entry that it could not restore, as obstacles.
///
/// It names the entry first (`from TOC entry 3; 2615 2200 SCHEMA public postgres`), then the server's words. Statements
/// are left out: they may hold passwords of user mappings.
pub(crate) fn refused(said: &str) -> Vec<Obstacle> {
    let mut entry = String::new();
    let mut found = Vec::new();
    for line in said.lines() {
        if let Some((_, rest)) = line.split_once("from TOC entry ") {
            // Behind the two numbers of the catalog.
            entry =
                rest.split_once("; ").map_or(rest, |(_, named)| named).splitn(3, ' ').nth(2).unwrap_or("").to_owned();
        } else if let Some((_, words)) = line.split_once("could not execute query: ERROR:") {
            found.push(Obstacle {
                reason: format!("such a role cannot restore {entry}: {}", words.trim()),
                cure: "restore as a superuser, or leave it out of the restore point".to_owned(),
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_named_and_statements_are_not_repeated() {
        let said = "pg_restore: while PROCESSING TOC:\n\
            pg_restore: from TOC entry 4; 3079 16388 EXTENSION pg_stat_statements \n\
            pg_restore: error: could not execute query: ERROR:  permission denied to create extension\n\
            Command was: CREATE EXTENSION secret\n\n\
            pg_restore: from TOC entry 9; 3466 16400 EVENT TRIGGER on_ddl postgres\n\
            pg_restore: error: could not execute query: ERROR:  must be superuser\n";
        let reasons: Vec<String> = refused(said).into_iter().map(|one| one.reason).collect();
        assert_eq!(reasons.len(), 2);
        assert!(reasons[0].contains("EXTENSION pg_stat_statements") && reasons[0].contains("permission denied"));
        assert!(reasons[1].contains("EVENT TRIGGER on_ddl") && !reasons.join("").contains("secret"), "{reasons:?}");
        assert_eq!("rds".parse(), Ok(RestoreAs::Rds));
        assert!("postgres".parse::<RestoreAs>().is_err());
    }
}
