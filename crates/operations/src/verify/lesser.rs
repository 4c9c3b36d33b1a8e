//! Restoring as a role with fewer rights than a superuser's.

use std::fmt;
use std::str::FromStr;

use holdpoint_core::Secret;
use holdpoint_core::name::{quote_identifier, quote_literal};
use holdpoint_core::verification::Obstacle;
use holdpoint_postgres::scratch::roles;
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
    if let Some(held) = &mut scratch.roles {
        held.own(&name);
    }
    let options = format!("LOGIN NOSUPERUSER NOBYPASSRLS{more} PASSWORD {secret}");
    roles::create(&session, &[(&name, options)]).await?;
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

/// Reads what pg_restore said of each statement that it could not run, as obstacles.
///
/// It repeats the statement behind the server's words. Only the statement's beginning is kept: what may hold a password
/// (options of user mappings, connections of subscriptions) or a text comes later.
pub(crate) fn refused(said: &str) -> Vec<Obstacle> {
    let mut found: Vec<Obstacle> = Vec::new();
    for line in said.lines() {
        if let Some((_, words)) = line.split_once("could not execute query: ERROR:") {
            found.push(Obstacle {
                reason: format!("such a role is refused: {}", words.trim()),
                cure: "restore as a superuser, or leave it out of the restore point".to_owned(),
            });
        } else if let (Some(statement), Some(last)) = (line.strip_prefix("Command was: "), found.last_mut()) {
            last.reason = format!("{} ({})", last.reason, beginning(statement));
        }
    }
    found
}

fn beginning(statement: &str) -> String {
    let ends = [" OPTIONS", " CONNECTION ", " IS '", ";"];
    let end = ends.iter().filter_map(|end| statement.find(end)).min().unwrap_or(statement.len());
    let kept: String = statement[..end].chars().take(160).collect();
    kept.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_named_without_what_may_be_secret() {
        let said = "pg_restore: error: could not execute query: ERROR:  permission denied for foreign server s\n\
            Command was: CREATE USER MAPPING FOR app SERVER s OPTIONS (password 'secret');\n\n\
            pg_restore: error: could not execute query: ERROR:  must be superuser\n\
            Command was: CREATE EVENT TRIGGER watched ON ddl_command_end\n   EXECUTE FUNCTION public.f();\n";
        let reasons: Vec<String> = refused(said).into_iter().map(|one| one.reason).collect();
        assert_eq!(
            reasons,
            [
                "such a role is refused: permission denied for foreign server s (CREATE USER MAPPING FOR app SERVER s)",
                "such a role is refused: must be superuser (CREATE EVENT TRIGGER watched ON ddl_command_end)",
            ]
        );
        assert_eq!("rds".parse(), Ok(RestoreAs::Rds));
        assert!("postgres".parse::<RestoreAs>().is_err());
    }
}
