//! The next step after a failure of a server, a program or a store: each said once, for every verb and for `doctor`.

pub(crate) mod postgres;
pub(crate) mod repository;

pub use postgres::of_postgres;
pub use repository::of_repository;

use crate::Error;

impl Error {
    /// What to do next: a command to type, or a change to make.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::AnotherDatabase { .. } => Some(
                "if the database really moved, record it with: holdpoint adopt --reason \"why it moved\"; \
                 else name another folder with --database"
                    .to_owned(),
            ),
            Self::WrongClock { .. } => {
                Some("set the clocks, see: timedatectl; for a directory the store's is that of its file system".to_owned())
            }
            Self::Rds(error) => error.hint(),
            Self::Pooler { instead, .. } => Some(format!("{instead}; or set DIRECT_URL")),
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some("free some disk, or name another directory for temporary files in TMPDIR".to_owned())
            }
            Self::CannotRead { grant: Some(grant), .. } => Some(grant.clone()),
            Self::CannotRead { role, .. } => {
                Some(format!("GRANT pg_read_all_data TO {};", holdpoint_core::name::quote_identifier(role)))
            }
            Self::RowSecurity { role, .. } => {
                Some(format!("ALTER ROLE \"{role}\" BYPASSRLS; or connect as the tables' owner"))
            }
            Self::SourceChanged(_) => Some(
                "begin when nobody truncates or rewrites the table, or leave its rows out: \
                 holdpoint backup --exclude-table-data TABLE"
                    .to_owned(),
            ),
            Self::NoSuchDatabase { .. } => {
                Some("name one that there is: --database; a first restore point makes the folder: holdpoint backup".to_owned())
            }
            Self::NoSuchPoint { hidden: true, .. } => Some(repository::SHOWN_AGAIN.to_owned()),
            Self::NoSuchPoint { .. } | Self::Dropped { .. } => Some("see what there is: holdpoint list".to_owned()),
            Self::Engine(holdpoint_engine::Error::Spill { .. }) => {
                Some("make room there, set TMPDIR to another folder, or allow more memory: --memory".to_owned())
            }
            Self::CronRuns { until, .. } => Some(format!(
                "wait for it; if that machine is dead, its lease ends at {}",
                until.format("%Y-%m-%dT%H:%M:%SZ")
            )),
            Self::LeaseLost => Some("nothing that was begun is left half done: run it again".to_owned()),
            Self::NoConditionalWrites { .. } => {
                Some("where nobody else ever runs it on these databases: holdpoint cron --single-writer".to_owned())
            }
            Self::TimeOver => Some("what was made stands; give more time with --max-runtime".to_owned()),
            Self::NoSuchPin { point, .. } => Some(format!("see its pins: holdpoint show {point}")),
            Self::NothingAlive { .. } => Some(
                "look at the repository's URL and at: holdpoint list; where killed prunes hide all of them: holdpoint check"
                    .to_owned(),
            ),
            Self::AnotherRepository { .. } => Some(
                "look at the repository's URL: where restore points were copied into it, move them away; where its record was \
                 made anew by mistake, remove holdpoint.json and write it with the old id: holdpoint init --adopt"
                    .to_owned(),
            ),
            Self::Core(holdpoint_core::Error::EmptyRetention) => Some(
                "say what to keep: holdpoint prune --keep-daily 7 --keep-weekly 4, or [retention] in holdpoint.toml"
                    .to_owned(),
            ),
            Self::PointElsewhere { folder, .. } => Some(format!("name that database: --database {folder}")),
            Self::Compare(error) => error.hint(),
            Self::Watch(error) => error.hint(),
            Self::Backfill(error) => error.hint(),
            Self::UnsettledRun { back, .. } => Some(format!("use {back}")),
            Self::TargetNotEmpty { .. } => Some(
                "create an empty database and restore into that; a target marked as non-production may be replaced \
                 with --replace, the live database itself swapped with --swap"
                    .to_owned(),
            ),
            Self::TargetBusy { .. } => {
                Some("wait for it to end; or create another empty database and restore into that".to_owned())
            }
            Self::RunLockHeld { holder } => Some(format!(
                "retry when it has ended; what it does: holdpoint runs; if it hangs, end it where it runs, or its session: \
                 psql -c 'SELECT pg_terminate_backend({})'",
                holder.pid
            )),
            Self::RolesMissing { owners, named, without } => {
                let create = |role: &String| format!("CREATE ROLE {};", holdpoint_core::name::quote_identifier(role));
                let all: std::collections::BTreeSet<&String> = owners.iter().chain(named).collect();
                let some: Vec<String> = all.into_iter().take(5).map(create).collect();
                let without = without.as_ref().map(|flags| format!(", or {flags}")).unwrap_or_default();
                Some(format!(
                    "create them ({} …; globals.sql of the restore point has all){without}",
                    some.join(" ")
                ))
            }
            Self::SwapRefused { obstacles, .. } => {
                Some(obstacles.iter().map(|one| one.cure.clone()).collect::<Vec<_>>().join("; "))
            }
            Self::SessionsRemain { .. } => Some("end their work, then try again".to_owned()),
            Self::NotSwapped { failure, copy, .. } => {
                let first = failure.hint().map(|hint| format!("{hint}; then ")).unwrap_or_default();
                let copy = crate::backup::shell(copy);
                Some(format!(
                    "{first}put the copy in: holdpoint restore --swap-in {copy}; see also: holdpoint leftovers"
                ))
            }
            Self::CouldNotRun { obstacles } => obstacles.first().map(|one| one.cure.clone()),
            Self::Program { cure, .. } => cure.clone(),
            Self::SnapshotTooOld { .. } => Some(
                "allow more (--max-snapshot-age), or make it faster: more --jobs, a higher --max-rate, or a standby in \
                 backup_url"
                    .to_owned(),
            ),
            Self::InTheWay { .. } => Some(
                "run it again when that is done; to let others wait longer for a backup: --max-lock-wait".to_owned(),
            ),
            Self::AnotherInstance { .. } => {
                Some("name the instance that the database is on: rds_instance in holdpoint.toml".to_owned())
            }
            Self::PointOfAnotherServer { point, instance, .. } => Some(format!(
                "nothing was renamed; see holdpoint show {point}: where that server was replaced since, and no younger restore \
                 point is from before the instant, look at the data yourself, and say so: holdpoint rds cut-over {instance} \
                 --unchecked 'why the data are right'"
            )),
            Self::InstanceDisproved { name, .. } => Some(format!(
                "its source serves as before; look at it, restore to another instant, and drop this one: holdpoint rds drop \
                 {name}"
            )),
            Self::Recover(error) => error.hint(),
            Self::Unrecordable { failure } => failure.hint(),
            Self::LeftBehind { failure, .. } => {
                failure.hint().or_else(|| Some("see what remains: holdpoint leftovers".to_owned()))
            }
            // Other hints are of what was not begun.
            Self::Halfway { failure, next, .. } => Some(match (&**failure, failure.hint()) {
                (Self::Rds(error), Some(own)) if error.is_cured_outside() => format!("{own}; then {next}"),
                _ => next.clone(),
            }),
            Self::Postgres(error) | Self::Engine(holdpoint_engine::Error::Postgres(error)) => of_postgres(error),
            Self::Repository(error) | Self::Engine(holdpoint_engine::Error::Repository(error)) => {
                of_repository(error)
            }
            Self::Core(holdpoint_core::Error::NewerFormat { .. }) => Some(repository::NEWER.to_owned()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use holdpoint_postgres::Error as Postgres;

    use super::postgres::LOST;
    use super::*;

    /// Whoever passes an error on passes its hint on.
    #[test]
    fn a_hint_survives_what_the_error_is_wrapped_in() {
        let lost = || Postgres::ConnectionLost { what: "x".into(), reason: None };
        let wrapped = [Error::Postgres(lost()), Error::Engine(holdpoint_engine::Error::Postgres(lost()))];
        for error in wrapped {
            assert_eq!(error.hint().as_deref(), Some(LOST));
            let behind = Error::LeftBehind { failure: Box::new(error), remains: "y".into() };
            assert_eq!(behind.hint().as_deref(), Some(LOST));
        }
    }
}
