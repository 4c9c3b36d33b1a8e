//! Where everything lies in a repository: keys below its root, as `docs/format.md` lists them.
//!
//! Keys are plain (`[A-Za-z0-9._/-]`, segments under 255 bytes, none empty, `.` or `..`), because stores differ in what
//! else they keep; the order of a listing is never relied on.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{DatabaseName, PointId, RunId};

/// Key of the repository's own record.
pub const REPOSITORY: &str = "holdpoint.json";
/// The newest form of a repository that this program knows.
pub const FORMAT: u32 = 1;

/// The repository's own record, created once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryRecord {
    /// Version of the repository's form.
    pub format: u32,
    /// A random id, by which a repository that was replaced is noticed.
    pub id: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// Prefix of everything of one database.
pub fn database(database: &DatabaseName) -> String {
    format!("{database}/")
}

/// Prefix of a database's restore points.
pub fn points(database: &DatabaseName) -> String {
    format!("{database}/restore-points/")
}

/// Prefix of one restore point.
pub fn point(database: &DatabaseName, id: &PointId) -> String {
    format!("{database}/restore-points/{id}/")
}

/// Key of a manifest.
pub fn manifest(database: &DatabaseName, id: &PointId) -> String {
    format!("{database}/restore-points/{id}/manifest.json")
}

/// Key of an index.
pub fn index(database: &DatabaseName, id: &PointId) -> String {
    format!("{database}/restore-points/{id}/index.jsonl.zst")
}

/// Key of an archive.
pub fn archive(database: &DatabaseName, id: &PointId) -> String {
    format!("{database}/restore-points/{id}/archive.dump")
}

/// Key of a plain dump.
pub fn plain(database: &DatabaseName, id: &PointId) -> String {
    format!("{database}/restore-points/{id}/dump.sql.gz")
}

/// Key of the contents of a plain dump: an archive without blocks.
pub fn contents(database: &DatabaseName, id: &PointId) -> String {
    format!("{database}/restore-points/{id}/contents.dump")
}

/// Key of the roles and database settings.
pub fn globals(database: &DatabaseName, id: &PointId) -> String {
    format!("{database}/restore-points/{id}/globals.sql")
}

/// Prefix of a restore point's verifications.
pub fn verifications(database: &DatabaseName, id: &PointId) -> String {
    format!("{database}/restore-points/{id}/verifications/")
}

/// Key of a verification: sorts by time.
pub fn verification(database: &DatabaseName, id: &PointId, at: DateTime<Utc>, verdict: &str) -> String {
    format!("{}{}-{verdict}.json", verifications(database, id), at.format(VERIFICATION_INSTANT))
}

const VERIFICATION_INSTANT: &str = "%Y%m%dT%H%M%S%3fZ";

/// The instant in a verification's key; `None` for what is no such key.
pub fn verification_instant(database: &DatabaseName, id: &PointId, key: &str) -> Option<DateTime<Utc>> {
    let (instant, _) = key.strip_prefix(&verifications(database, id))?.split_once('-')?;
    NaiveDateTime::parse_from_str(instant, VERIFICATION_INSTANT).ok().map(|at| at.and_utc())
}

/// Prefix of a restore point's pins.
pub fn pins(database: &DatabaseName, id: &PointId) -> String {
    format!("{database}/restore-points/{id}/pins/")
}

/// Key of a pin.
pub fn pin(database: &DatabaseName, id: &PointId, name: &str) -> String {
    format!("{}{name}.json", pins(database, id))
}

/// Prefix of the marks that withdraw a restore point; a point that has one is treated as absent.
pub fn withdrawn(database: &DatabaseName, id: &PointId) -> String {
    format!("{database}/restore-points/{id}/withdrawn/")
}

/// Prefix of the ledger.
pub fn runs(database: &DatabaseName) -> String {
    format!("{database}/runs/")
}

/// Prefix of one run.
pub fn run(database: &DatabaseName, id: &RunId) -> String {
    format!("{database}/runs/{id}/")
}

/// Key of a run's step.
pub fn run_step(database: &DatabaseName, id: &RunId, n: u32, state: &str) -> String {
    format!("{database}/runs/{id}/{n:04}-{state}.json")
}

/// The number and the state's word in the key of a run's step; `None` for what is no such key.
pub fn run_step_parts<'a>(database: &DatabaseName, id: &RunId, key: &'a str) -> Option<(u32, &'a str)> {
    let name = key.strip_prefix(&run(database, id))?.strip_suffix(".json")?;
    let (number, state) = name.split_once('-')?;
    let is_state = !state.is_empty() && state.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    let is_number = number.len() >= 4 && number.bytes().all(|b| b.is_ascii_digit());
    Some((number.parse().ok().filter(|_| is_state && is_number)?, state))
}

/// Key of what a run's command wrote, with secrets masked. Steps end in `.json`.
pub fn run_output(database: &DatabaseName, id: &RunId) -> String {
    format!("{database}/runs/{id}/output.txt")
}

/// Prefix of the records that say which database a folder belongs to.
pub fn identities(database: &DatabaseName) -> String {
    format!("{database}/identities/")
}

/// Key of an identity record: sorts by time; the newest counts.
pub fn identity(database: &DatabaseName, at: DateTime<Utc>) -> String {
    format!("{database}/identities/{}.json", at.format(IDENTITY_INSTANT))
}

const IDENTITY_INSTANT: &str = "%Y%m%dT%H%M%S%6fZ";

/// Key of the identity record by which a folder is claimed for the first time: it sorts before all others.
pub fn first_identity(database: &DatabaseName) -> String {
    format!("{database}/identities/00000000T000000000000Z.json")
}

/// The instant in an identity record's key; `None` for the first one's, and for what is no such key.
pub fn identity_instant(database: &DatabaseName, key: &str) -> Option<DateTime<Utc>> {
    let name = key.strip_prefix(&identities(database))?.strip_suffix(".json")?;
    NaiveDateTime::parse_from_str(name, IDENTITY_INSTANT).ok().map(|at| at.and_utc())
}

/// Key of the lease by which one unattended run keeps others off, and of what is remembered of such runs.
pub fn lease(database: &DatabaseName) -> String {
    format!("{database}/lease")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_identity_sorts_before_all_others_and_the_instants_of_those_can_be_read() {
        let database: DatabaseName = "shop".parse().unwrap();
        for at in ["1970-01-01T00:00:00Z", "2026-11-21T02:43:00.000125Z", "9999-12-31T23:59:59.999999Z"] {
            let at = at.parse().unwrap();
            assert!(first_identity(&database) < identity(&database, at));
            assert_eq!(identity_instant(&database, &identity(&database, at)), Some(at));
        }
        assert_eq!(identity_instant(&database, &first_identity(&database)), None);
        assert_eq!(identity_instant(&database, "shop/lease"), None);
    }

    #[test]
    fn keys_are_plain() {
        let database: DatabaseName = "shop".parse().unwrap();
        let at = "2026-11-21T02:43:00.125Z".parse().unwrap();
        let id = PointId::new(at, 1);
        let run_id = RunId::new(at, 1);
        for key in [
            manifest(&database, &id),
            verification(&database, &id, at, "proved"),
            pin(&database, &id, "run-1"),
            run_step(&database, &run_id, 3, "running"),
            run_output(&database, &run_id),
            identity(&database, at),
            first_identity(&database),
        ] {
            assert!(key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/-".contains(&b)), "{key}");
            assert!(key.split('/').all(|part| !part.is_empty() && part.len() < 255), "{key}");
        }
        for (n, state) in [(3, "rolled-back"), (12_345, "failed")] {
            let key = run_step(&database, &run_id, n, state);
            assert_eq!(run_step_parts(&database, &run_id, &key), Some((n, state)));
        }
        for other in [
            "output.txt",
            "notes.json",
            "0003-.json",
            "3-failed.json",
            "0003-failed.json.json",
            "0003-a b.json",
            "+003-failed.json",
        ] {
            let key = format!("{}{other}", run(&database, &run_id));
            assert_eq!(run_step_parts(&database, &run_id, &key), None, "{other}");
        }
        let made = verification(&database, &id, at, "proved");
        assert!(made.ends_with("/verifications/20261121T024300125Z-proved.json"));
        assert_eq!(verification_instant(&database, &id, &made), Some(at));
        for other in ["notes.json", "yesterday-proved.json"] {
            let key = format!("{}{other}", verifications(&database, &id));
            assert_eq!(verification_instant(&database, &id, &key), None, "{other}");
        }
    }
}
