//! The role and the door by which the command reaches the copy.

use holdpoint_core::Secret;
use holdpoint_core::name::{quote_identifier, quote_literal};
use holdpoint_operations::verify::KeptCopy;
use holdpoint_postgres::connection::Host;
use holdpoint_postgres::scratch::random_hex;
use holdpoint_postgres::{ConnectionSettings, Session};
use holdpoint_process::Destination;

use super::{Door, RehearseError, SESSIONS};
use crate::Error;

/// Groups in which a provider's administrators are: their rights come from the provider's own code.
const ADMINISTRATORS: [&str; 6] =
    ["rds_superuser", "cloudsqlsuperuser", "azure_pg_admin", "alloydbsuperuser", "neon_superuser", "supabase_admin"];

/// What production says about the role that migrates.
#[derive(Clone, Debug, Default)]
pub(super) struct MigratingRole {
    name: String,
    superuser: bool,
    create_role: bool,
    create_database: bool,
    bypass_security: bool,
    groups: Vec<String>,
    /// `name=value`, as the server keeps them.
    settings: Vec<String>,
}

impl MigratingRole {
    /// Reads the role of a session.
    pub(super) async fn read(session: &Session) -> Result<Self, Error> {
        const WHAT: &str = "reading the migrating role";
        let sql = "SELECT r.rolname::text, r.rolsuper, r.rolcreaterole, r.rolcreatedb, r.rolbypassrls, \
                          ARRAY(SELECT g.rolname::text FROM pg_catalog.pg_auth_members m \
                                JOIN pg_catalog.pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid), \
                          ARRAY(SELECT pg_catalog.unnest(s.setconfig) FROM pg_catalog.pg_db_role_setting s \
                                WHERE s.setrole = r.oid AND s.setdatabase IN (0, (SELECT d.oid FROM pg_catalog.pg_database d \
                                      WHERE d.datname = pg_catalog.current_database())) ORDER BY s.setdatabase) \
                   FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";
        let row = session.query_one(WHAT, sql, &[]).await?;
        Ok(Self {
            name: row.get(0),
            superuser: row.get(1),
            create_role: row.get(2),
            create_database: row.get(3),
            bypass_security: row.get(4),
            groups: row.get(5),
            settings: row.get(6),
        })
    }
}

/// How the command reaches the copy, and what that does not rehearse.
pub(super) struct Access {
    pub(super) user: String,
    pub(super) password: Secret,
    pub(super) database: String,
    pub(super) destination: Destination,
    pub(super) warnings: Vec<String>,
}

impl Access {
    /// Gives the copy production's name and the role that migrates, where the server is ours alone; else the
    /// command has the scratch server's own role.
    pub(super) async fn prepare(
        copy: &mut KeptCopy,
        role: &MigratingRole,
        production_database: &str,
    ) -> Result<Self, Error> {
        let mut warnings = Vec::new();
        if !copy.named(production_database).await? {
            let name = copy.settings().database();
            warnings.push(format!("the copy is called {name}: statements that name {production_database} fail on it"));
        }
        let settings = copy.settings().clone();
        let (user, password) = if copy.is_ours_alone() && copy.is_superuser() {
            let password = Secret::new(random_hex(24)?);
            let session = Session::connect(&settings, &SESSIONS.purpose()).await?;
            let made = make(&session, role, &password, &mut warnings).await;
            session.close().await;
            made?;
            (role.name.clone(), password)
        } else {
            warnings.push(format!(
                "the command has the role {} of the scratch server, not {}: what production's role may not do is not \
                 rehearsed",
                settings.user(),
                role.name
            ));
            let password = settings.servers().first().and_then(|server| server.password.clone());
            (settings.user().to_owned(), password.unwrap_or_else(|| Secret::new("")))
        };
        let destination = destination(&settings).await?;
        Ok(Self { user, password, database: settings.database().to_owned(), destination, warnings })
    }

    /// The door once the port is known.
    pub(super) fn door(&self, port: u16) -> Door {
        Door { port, user: self.user.clone(), password: self.password.clone(), database: self.database.clone() }
    }
}

/// Where the scratch server listens.
async fn destination(settings: &ConnectionSettings) -> Result<Destination, RehearseError> {
    let unknown = |source| RehearseError::Io { what: "finding the scratch server's address".to_owned(), source };
    let Some(server) = settings.servers().first() else {
        return Err(unknown(std::io::Error::other("it has none")));
    };
    match (&server.host, server.address) {
        (Host::Socket(folder), _) => Ok(Destination::Socket(folder.join(format!(".s.PGSQL.{}", server.port)))),
        (Host::Tcp(_), Some(address)) => Ok(Destination::Tcp((address, server.port).into())),
        (Host::Tcp(host), None) => {
            let mut found = tokio::net::lookup_host((host.as_str(), server.port)).await.map_err(unknown)?;
            let address = found.next().ok_or_else(|| unknown(std::io::Error::other("it has none")))?;
            Ok(Destination::Tcp(address))
        }
    }
}

/// Makes the role as production has it; it may log in with a password of this rehearsal's own.
async fn make(
    session: &Session,
    role: &MigratingRole,
    password: &Secret,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    const WHAT: &str = "making the migrating role on the copy";
    let name = quote_identifier(&role.name);
    let exists = |name: &str| format!("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = {}", quote_literal(name));
    if session.query(WHAT, &exists(&role.name), &[]).await?.is_empty() {
        session.run(WHAT, &format!("CREATE ROLE {name}")).await?;
    }
    let administrator = role.groups.iter().find(|group| ADMINISTRATORS.contains(&group.as_str()));
    if let Some(group) = administrator {
        warnings.push(format!(
            "{} is in {group}, whose rights only the provider's servers know: it is a superuser on the copy",
            role.name
        ));
    }
    let attribute = |has: bool, word: &str| if has { word.to_owned() } else { format!("NO{word}") };
    let attributes = [
        attribute(role.superuser || administrator.is_some(), "SUPERUSER"),
        attribute(role.create_role, "CREATEROLE"),
        attribute(role.create_database, "CREATEDB"),
        attribute(role.bypass_security, "BYPASSRLS"),
    ];
    let attributes = attributes.join(" ");
    let password = quote_literal(password.expose());
    session.run(WHAT, &format!("ALTER ROLE {name} LOGIN PASSWORD {password} {attributes}")).await?;
    for group in &role.groups {
        if session.query(WHAT, &exists(group), &[]).await?.is_empty() {
            session.run(WHAT, &format!("CREATE ROLE {}", quote_identifier(group))).await?;
        }
        session.run(WHAT, &format!("GRANT {} TO {name}", quote_identifier(group))).await?;
    }
    for setting in &role.settings {
        let Some((parameter, value)) = setting.split_once('=') else { continue };
        // Lists are kept as they are written: quoted as a whole they would be one name.
        let value = if matches!(parameter, "search_path" | "temp_tablespaces" | "DateStyle") {
            value.to_owned()
        } else {
            quote_literal(value)
        };
        let sql = format!("ALTER ROLE {name} SET {} = {value}", quote_identifier(parameter));
        if let Err(error) = session.run(WHAT, &sql).await {
            let said = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            warnings.push(format!("{parameter} of role {} could not be set on the copy: {said}", role.name));
        }
    }
    Ok(())
}
