//! Databases that a provider made and manages: renaming them breaks what the provider built around them.

use holdpoint_core::verification::Obstacle;
use holdpoint_postgres::identity::{Provider, ServerIdentity};

/// Says why the database cannot be renamed, and which way its provider offers instead.
pub(super) fn obstacle(server: &ServerIdentity) -> Option<Obstacle> {
    let name = server.identity.database.as_str();
    let (reason, cure) = match &server.provider {
        Provider::Supabase => (
            "Supabase's services, its pooler and its own roles are bound to this database's name".to_owned(),
            "restore it with Supabase (Database > Backups, or point-in-time recovery), or into a new project: \
             holdpoint restore --into URL",
        ),
        Provider::Neon => (
            "Neon keeps its own record of databases, and its branches are the faster way back".to_owned(),
            "restore the branch (neonctl branches restore), or restore into a new database and change the \
             application's URL: holdpoint restore --into URL",
        ),
        Provider::Rds { .. } if matches!(name, "rdsadmin" | "rdsproxy") => (
            format!("{name} is Amazon's own database"),
            "restore the instance: a snapshot or a point in time (aws rds restore-db-instance-to-point-in-time)",
        ),
        _ if matches!(name, "postgres" | "template0" | "template1") => (
            format!("{name} is the server's own database, which programs expect to be there"),
            "restore into a new database and change the application's URL: holdpoint restore --into URL",
        ),
        Provider::Rds { .. } | Provider::Unknown => return None,
    };
    Some(Obstacle { reason, cure: cure.to_owned() })
}

#[cfg(test)]
mod tests {
    use holdpoint_core::Identity;

    use super::*;

    fn server(provider: Provider, database: &str) -> ServerIdentity {
        ServerIdentity {
            identity: Identity {
                system_identifier: None,
                database_oid: 5,
                database: database.into(),
                timeline: None,
                endpoint: "db:5432".into(),
                resource_id: None,
            },
            started_at: chrono::DateTime::UNIX_EPOCH,
            version: holdpoint_postgres::session::ServerVersion { num: 180_000, major: 18, text: "18.0".into() },
            in_recovery: false,
            provider,
        }
    }

    #[test]
    fn a_provider_that_owns_the_name_is_named_with_its_way() {
        let rds = || Provider::Rds { instance: None, region: None, aurora: false };
        for (provider, database, way) in [
            (Provider::Supabase, "postgres", "Supabase"),
            (Provider::Neon, "shop", "neonctl"),
            (rds(), "rdsadmin", "aws rds"),
            (Provider::Unknown, "postgres", "holdpoint restore --into"),
        ] {
            let found = obstacle(&server(provider, database)).unwrap();
            assert!(found.cure.contains(way), "{found:?}");
        }
        assert_eq!(obstacle(&server(rds(), "shop")), None);
        assert_eq!(obstacle(&server(Provider::Unknown, "shop")), None);
    }
}
