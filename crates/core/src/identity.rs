//! Which server and database this is, and whether it is still the one that a folder belongs to.

use serde::{Deserialize, Serialize};

/// Identifies one database of one server.
///
/// The system identifier alone does not suffice: a physical copy has the same one. Endpoint and resource id tell a
/// clone from its source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// `pg_control_system().system_identifier`; absent where the role may not read it.
    pub system_identifier: Option<String>,
    /// The database's OID in `pg_database`.
    pub database_oid: u32,
    /// The database's name on the server.
    pub database: String,
    /// The timeline; a promoted standby or a point-in-time restore has a new one.
    pub timeline: Option<u32>,
    /// `host:port`, or `socket-directory:port`.
    pub endpoint: String,
    /// The provider's name for the instance, such as the RDS resource id.
    pub resource_id: Option<String>,
}

/// How a database compares with the one that was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome", content = "differences")]
pub enum IdentityMatch {
    /// The same database.
    Same,
    /// The same database after a promotion or a point-in-time restore in place: worth a warning.
    TimelineChanged,
    /// Another database, with what differs, in words.
    Different(Vec<String>),
}

impl Identity {
    /// Compares the database seen now with the recorded one.
    pub fn compare(recorded: &Self, now: &Self) -> IdentityMatch {
        let mut differences = Vec::new();
        let mut differ = |what: &str, was: &str, is: &str| {
            if was != is {
                differences.push(format!("{what} was {was}, is {is}"));
            }
        };
        if let (Some(was), Some(is)) = (&recorded.system_identifier, &now.system_identifier) {
            differ("system identifier", was, is);
        }
        differ("database OID", &recorded.database_oid.to_string(), &now.database_oid.to_string());
        differ("database", &recorded.database, &now.database);
        differ("endpoint", &recorded.endpoint, &now.endpoint);
        if let (Some(was), Some(is)) = (&recorded.resource_id, &now.resource_id) {
            differ("resource id", was, is);
        }
        if !differences.is_empty() {
            IdentityMatch::Different(differences)
        } else if recorded.timeline.is_some() && now.timeline.is_some() && recorded.timeline != now.timeline {
            IdentityMatch::TimelineChanged
        } else {
            IdentityMatch::Same
        }
    }
}

/// A recorded answer to "which database does this folder belong to"; the newest one counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityRecord {
    /// Version of this document's form.
    pub format: u32,
    /// The database.
    pub identity: Identity,
    /// When it was recorded, by the source server's clock.
    pub recorded_at: chrono::DateTime<chrono::Utc>,
    /// Why: given with `adopt --reason`, or "first restore point".
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn production() -> Identity {
        Identity {
            system_identifier: Some("7400000000000000001".into()),
            database_oid: 16384,
            database: "shop".into(),
            timeline: Some(1),
            endpoint: "db.example.com:5432".into(),
            resource_id: None,
        }
    }

    #[test]
    fn a_physical_copy_elsewhere_is_another_database() {
        let clone = Identity { endpoint: "staging.example.com:5432".into(), ..production() };
        let IdentityMatch::Different(why) = Identity::compare(&production(), &clone) else {
            panic!("accepted a clone")
        };
        assert_eq!(why, ["endpoint was db.example.com:5432, is staging.example.com:5432"]);
    }

    #[test]
    fn a_new_timeline_alone_only_warns() {
        let promoted = Identity { timeline: Some(2), ..production() };
        assert_eq!(Identity::compare(&production(), &promoted), IdentityMatch::TimelineChanged);
        assert_eq!(Identity::compare(&production(), &production()), IdentityMatch::Same);
    }

    #[test]
    fn a_recreated_database_is_another_one() {
        let recreated = Identity { database_oid: 99999, ..production() };
        assert!(matches!(Identity::compare(&production(), &recreated), IdentityMatch::Different(_)));
    }

    #[test]
    fn what_a_role_may_not_read_is_not_a_difference() {
        let managed = Identity { system_identifier: None, ..production() };
        assert_eq!(Identity::compare(&managed, &production()), IdentityMatch::Same);
    }
}
