//! What to do about a failure of PostgreSQL or its programs, and about what a role may not read there.

use holdpoint_postgres::Error as Postgres;
use holdpoint_postgres::preflight::UnreadableLargeObjects;
use holdpoint_postgres::programs::Cause;

/// Gives what to do about a failure of PostgreSQL or its programs; `None` where the message says all that is known.
pub fn of_postgres(error: &Postgres) -> Option<String> {
    let hint = match error {
        Postgres::BadConnectionString(_) | Postgres::UnknownParameter { .. } | Postgres::BadParameter { .. } => {
            "write postgresql://user:password@host:5432/database"
        }
        Postgres::UnknownHost { .. } => "check the host in the URL, and the network's names (DNS, VPN)",
        Postgres::HostUnreachable { .. } | Postgres::ConnectTimedOut { .. } => {
            "check host and port in the URL, whether the server runs, and the firewall"
        }
        Postgres::WrongPassword { .. } => {
            "check user and password in the URL (special characters are percent-encoded), PGPASSWORD or ~/.pgpass"
        }
        Postgres::PasswordMissing { .. } => "put the password into PGPASSWORD or ~/.pgpass",
        Postgres::TokenRefused { user, .. } => {
            return Some(format!(
                "GRANT rds_iam TO {}; IAM authentication must be on for the instance, and a policy must allow \
                 rds-db:connect on arn:aws:rds-db:REGION:ACCOUNT:dbuser:RESOURCE-ID/{user} to the credentials in use \
                 (docs/rds.md); the URL must name the instance's own endpoint, and this machine's clock be right",
                holdpoint_core::name::quote_identifier(user)
            ));
        }
        Postgres::PasswordNotMade { .. } => {
            "see which credentials AWS's own places give: aws sts get-caller-identity; the region is that of the \
             endpoint's name, else of [rds] or AWS_REGION"
        }
        Postgres::NotAllowed { .. } => {
            "let the role in with pg_hba.conf and SELECT pg_reload_conf(), or GRANT CONNECT ON DATABASE … TO …"
        }
        Postgres::NoSuchDatabase { .. } => {
            "check the database's name at the end of the URL; psql -l lists what there is"
        }
        Postgres::TooManyConnections { .. } => {
            "retry later or with fewer --jobs; else end idle connections, or raise max_connections or the role's \
             CONNECTION LIMIT"
        }
        Postgres::ServerNotReady { .. } => "retry in a moment; the server's log says what it is doing",
        Postgres::ConnectionLost { .. } => LOST,
        // The database does not accept connections.
        Postgres::ConnectFailed { .. } if error.sqlstate() == Some("55000") => {
            "a swap that was killed may have left it closed: holdpoint leftovers; else ALTER DATABASE … ALLOW_CONNECTIONS true"
        }
        Postgres::StartupRefused { .. } | Postgres::SettingDiffers { .. } => {
            "give the URL of PostgreSQL itself, past the pooler, in DIRECT_URL"
        }
        Postgres::TlsNotOffered { .. } => "switch on TLS on the server, or say sslmode=disable if the way is safe",
        Postgres::ClientTooOld { .. } => "leave out the client major, or name the server's",
        Postgres::ProgramMissing(missing) => {
            return Some(format!(
                "{}: HOLDPOINT_POSTGRESQL_DIRECTORY, or postgresql_directory in holdpoint.toml",
                missing.name.cure(missing.major)
            ));
        }
        Postgres::ProgramFailed { cause, .. } => match **cause {
            Cause::LockTimeout => "see who holds the lock (pg_stat_activity, pg_locks), or wait longer: --lock-wait 5m",
            Cause::ConnectionLost => LOST,
            Cause::OutOfDisk => "free some disk, here or at the server",
            _ => return None,
        },
        _ => return None,
    };
    Some(hint.to_owned())
}

pub(super) const LOST: &str = "check the server's log, then try again; nothing was published";

/// What lets a role read large objects, which `pg_read_all_data` does not cover: a statement to give by psql.
pub(crate) fn large_objects(unreadable: &UnreadableLargeObjects, role: &str) -> String {
    let role = holdpoint_core::name::quote_identifier(role);
    if unreadable.count == unreadable.examples.len() as u64 {
        let all: Vec<String> = unreadable.examples.iter().map(u32::to_string).collect();
        return format!("GRANT SELECT ON LARGE OBJECT {} TO {role};", all.join(", "));
    }
    let literal = role.replace('\'', "''").replace('%', "%%");
    format!(
        "SELECT format('GRANT SELECT ON LARGE OBJECT %s TO {literal}', oid) FROM pg_largeobject_metadata \\gexec (in psql; \
         pg_read_all_data does not cover them)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever may read every table already is told what helps.
    #[test]
    fn large_objects_need_a_grant_of_their_own() {
        let few = UnreadableLargeObjects { count: 2, examples: vec![7, 9], owners: vec!["web".into()] };
        assert_eq!(large_objects(&few, "Few"), "GRANT SELECT ON LARGE OBJECT 7, 9 TO \"Few\";");
        let many = UnreadableLargeObjects { count: 11, ..few };
        let told = large_objects(&many, "it's");
        assert!(told.contains("LARGE OBJECT %s TO \"it''s\"', oid)") && told.contains("\\gexec"), "{told}");
    }
}
