//! The next step after a failure of a server, a program or a store: each said once, for every verb and for `doctor`.

use holdpoint_core::RunId;
use holdpoint_postgres::Error as Postgres;
use holdpoint_postgres::preflight::UnreadableLargeObjects;
use holdpoint_postgres::programs::Cause;
use holdpoint_repository::Error as Repository;

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
            Self::NoSuchPoint { hidden: true, .. } => Some(SHOWN_AGAIN.to_owned()),
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
            Self::Core(holdpoint_core::Error::NewerFormat { .. }) => Some(NEWER.to_owned()),
            _ => None,
        }
    }
}

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

const LOST: &str = "check the server's log, then try again; nothing was published";

/// What to do about a step of a run that cannot be read.
pub(crate) fn step(run: &RunId, key: &str) -> String {
    format!(
        "bring it back from a version or copy, or read it with the newer holdpoint that wrote it; where there is neither, look \
         at what the run left (holdpoint show run:{run}), declare it done (holdpoint settle {run} --reason TEXT), and remove {key} then; where nothing of the run can be \
         read, remove its folder"
    )
}

/// The run to which a key belongs.
fn run_of(key: &str) -> Option<RunId> {
    key.split_once("/runs/")?.1.split('/').next()?.parse().ok()
}

/// Gives what to do about a failure of the repository; `None` where the message says all that is known.
pub fn of_repository(error: &Repository) -> Option<String> {
    if let Repository::InvalidRecord { key, .. } = error
        && key.ends_with("/lease")
    {
        return Some(
            "bring it back from a version or copy; else the next run that finds it a quarter of an hour old takes it over, \
             and has forgotten when runs failed and when a restore point was first proven"
                .to_owned(),
        );
    }
    if let Repository::TooLarge { key, .. } = error
        && key.ends_with("/lease")
    {
        return Some(format!(
            "see that no holdpoint cron of that database is at work, and remove {key}: the next run makes it anew, and has \
             forgotten when runs failed and when a restore point was first proven"
        ));
    }
    if let Repository::InvalidRecord { key, .. } | Repository::TooLarge { key, .. } = error
        && key.contains("/identities/")
    {
        return Some(IDENTITY.to_owned());
    }
    if let Repository::InvalidRecord { key, .. } | Repository::TooLarge { key, .. } = error
        && let Some(run) = run_of(key)
    {
        return Some(step(&run, key));
    }
    let hint = match error {
        Repository::IsSnapshot { snapshot, instance, .. } => {
            return Some(format!(
                "make an instance of it: holdpoint rds snapshot restore {snapshot} --into {instance}-restored; or name an \
                 archive: holdpoint list"
            ));
        }
        Repository::LinkLeadsNowhere { .. } => {
            "mount the disk that it leads to, or mend the link: what lies there is not gone; do not make an empty folder in its place"
        }
        Repository::BucketNotFound { .. } => {
            "create the bucket or directory and run: holdpoint init; or correct the repository's URL"
        }
        Repository::RecordLost { ids, .. } if ids.len() == 1 => {
            "bring holdpoint.json back from a version or copy; or write it anew with that id: holdpoint init --adopt; or \
             correct the repository's URL"
        }
        Repository::RecordLost { .. } => {
            "bring holdpoint.json back from a version or copy, and move away what belongs to another repository; or \
             correct the repository's URL"
        }
        // With the record still there init refuses as well.
        Repository::NotARepository { nothing: false, .. } => {
            "bring holdpoint.json back from a version or copy; where there is none, move it away, and write it anew with the id \
             that the restore points name: holdpoint init --adopt; or correct the repository's URL"
        }
        Repository::NotARepository { .. } => "make it one: holdpoint init; or correct the repository's URL",
        Repository::AccessDenied { code, .. } if *code == std::io::ErrorKind::ReadOnlyFilesystem.to_string() => {
            "it is mounted read-only: do this where it can be written; holdpoint check and holdpoint prune --dry-run only \
             read"
        }
        // The rights of a directory are those of its files.
        Repository::AccessDenied { code, .. } if of_files(code) => {
            "see who owns the repository's files and their mode (ls -l); run holdpoint as that user, or let this one in"
        }
        Repository::AccessDenied { action, key, .. } => {
            return Some(format!(
                "see what the credentials may do: holdpoint doctor; this needs those of another role: holdpoint init \
                 --print-policy {}",
                role_of(action, key)
            ));
        }
        Repository::Credentials { .. } => "log in (aws sso login), or set AWS_PROFILE or AWS_ACCESS_KEY_ID",
        Repository::WrongRegion { .. } => "set repository.s3.region in holdpoint.toml, or AWS_REGION",
        Repository::ClockSkew { .. } => "set this machine's clock (NTP)",
        Repository::Full { .. } => "make room, then see what an unfinished write left: holdpoint leftovers",
        Repository::Corrupt { .. } => "verify it again: holdpoint verify; if that fails too, use another restore point",
        Repository::NewerFormat { .. } => NEWER,
        Repository::InvalidRecord { .. } => {
            "it was changed or damaged after it was written: bring it back from a version or copy of the bucket, or \
             use another restore point: holdpoint list"
        }
        Repository::UploadGone { .. } => {
            "run it again; if it stood still (a suspended process, a machine asleep) for longer than a prune leaves \
             young uploads alone, let prunes wait longer: --sweep-min-age; a rule of the bucket that aborts unfinished \
             uploads must wait longer than a backup takes"
        }
        Repository::NotWhole { stays: None, .. } => {
            "run it again; if it stood still (a suspended process, a machine asleep) for longer than a prune leaves \
             young objects alone, let prunes wait longer: --sweep-min-age"
        }
        Repository::NotWhole { .. } => "look at what is there: holdpoint check",
        Repository::Hidden { .. } => SHOWN_AGAIN,
        Repository::ManifestLost { .. } => "what to do: holdpoint check",
        Repository::UploadLeftBehind { .. } => "remove what remains: holdpoint leftovers --remove",
        Repository::Throttled { action, .. } | Repository::Timeout { action, .. } if writes(action) => {
            "retry later, or set repository.s3.parallel_uploads lower"
        }
        Repository::Throttled { .. } => {
            "retry later; where it goes on, see what else asks the store, or do less at a time: --jobs, cron.parallel"
        }
        Repository::Timeout { .. } => {
            "retry later; where it goes on, see whether the store is reached: holdpoint doctor"
        }
        Repository::Service { status: 500.., .. } => {
            "the store failed by itself: retry later; where it goes on, ask whoever runs it"
        }
        Repository::Io { .. } => "look at the network or the disk, then run: holdpoint doctor",
        _ => return None,
    };
    Some(hint.to_owned())
}

/// What to do about an identity record that cannot be read.
pub(crate) const IDENTITY: &str = "bring it back from a version or copy of the repository; else, where the configured database is \
    the right one, record it anew: holdpoint adopt --reason \"the record was damaged\"";

/// What becomes of a restore point that a withdrawal hides.
pub(crate) const SHOWN_AGAIN: &str = "holdpoint prune, or holdpoint check --repair, shows it again a quarter of an hour after it \
    was hidden; prune does not where it is to go by the policy";

/// What to do about a record of a newer form.
pub(crate) const NEWER: &str = "install the newer holdpoint that wrote it";

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

/// The role whose printed policy allows what was denied: of those that do, the one with the fewest rights.
fn role_of(action: &str, key: &str) -> &'static str {
    let below = |folder: &str| key.contains(&format!("/{folder}/"));
    match action {
        _ if key.ends_with("/lease") || key.contains("/lease-") => "cron",
        "delete" => "pruner",
        _ if action.starts_with("read") || action == "list" || action == "head" => "restorer",
        _ if below("withdrawn") => "pruner",
        _ if below("verifications") => "verifier",
        _ if below("runs") => "guard",
        _ => "writer",
    }
}

/// Tells whether an action sends the bytes of an object: fewer at a time are then sooner through.
fn writes(action: &str) -> bool {
    ["upload part of", "write"].contains(&action)
}

/// Tells a refusal by the file system from one by a store: only the first speaks in the system's words.
pub(crate) fn of_files(code: &str) -> bool {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    [PermissionDenied, ReadOnlyFilesystem].iter().any(|kind| kind.to_string() == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_and_a_bucket_that_refuse_have_different_cures() {
        let denied = |code: String| Repository::AccessDenied { action: "write", key: "k".into(), code };
        let files = of_repository(&denied(std::io::ErrorKind::PermissionDenied.to_string())).unwrap();
        assert!(files.contains("owns") && !files.contains("policy"), "{files}");
        let mounted = of_repository(&denied(std::io::ErrorKind::ReadOnlyFilesystem.to_string())).unwrap();
        assert!(mounted.contains("mounted read-only"), "{mounted}");
        assert!(of_repository(&denied("AccessDenied".to_owned())).unwrap().contains("--print-policy"));
    }

    /// Whoever may read every table already is told what helps.
    #[test]
    fn large_objects_need_a_grant_of_their_own() {
        let few = UnreadableLargeObjects { count: 2, examples: vec![7, 9], owners: vec!["web".into()] };
        assert_eq!(large_objects(&few, "Few"), "GRANT SELECT ON LARGE OBJECT 7, 9 TO \"Few\";");
        let many = UnreadableLargeObjects { count: 11, ..few };
        let told = large_objects(&many, "it's");
        assert!(told.contains("LARGE OBJECT %s TO \"it''s\"', oid)") && told.contains("\\gexec"), "{told}");
    }

    #[test]
    fn what_a_store_denies_names_the_role_that_may() {
        for (action, key, role) in [
            ("write", "shop/restore-points/x/archive.dump", "writer"),
            ("begin upload of", "shop/restore-points/x/archive.dump", "writer"),
            ("write", "shop/restore-points/x/pins/audit.json", "writer"),
            ("write", "shop/restore-points/x/verifications/y.json", "verifier"),
            ("write", "shop/runs/x/0001-started.json", "guard"),
            ("write", "shop/restore-points/x/withdrawn/y.json", "pruner"),
            ("delete", "shop/restore-points/x/pins/audit.json", "pruner"),
            ("write", "shop/lease", "cron"),
            ("read", "shop/restore-points/x/manifest.json", "restorer"),
        ] {
            let denied = Repository::AccessDenied { action, key: key.into(), code: "AccessDenied".into() };
            let hint = of_repository(&denied).unwrap();
            assert!(hint.ends_with(&format!("--print-policy {role}")), "{action} {key}: {hint}");
        }
    }

    #[test]
    fn fewer_uploads_at_a_time_help_what_is_sent_alone() {
        let timeout = |action| Repository::Timeout { action, key: "k".into(), attempts: 8 };
        let throttled =
            |action| Repository::Throttled { action, key: "k".into(), code: "SlowDown".into(), attempts: 8 };
        for (action, uploads) in [("upload part of", true), ("write", true), ("read", false), ("list", false)] {
            for error in [timeout(action), throttled(action)] {
                let hint = of_repository(&error).unwrap();
                assert_eq!(hint.contains("parallel_uploads"), uploads, "{error}: {hint}");
            }
        }
    }

    /// Whoever passes an error on passes its hint on.
    #[test]
    fn a_hint_survives_what_the_error_is_wrapped_in() {
        use crate::Error;
        let lost = || Postgres::ConnectionLost { what: "x".into(), reason: None };
        let wrapped = [Error::Postgres(lost()), Error::Engine(holdpoint_engine::Error::Postgres(lost()))];
        for error in wrapped {
            assert_eq!(error.hint().as_deref(), Some(LOST));
            let behind = Error::LeftBehind { failure: Box::new(error), remains: "y".into() };
            assert_eq!(behind.hint().as_deref(), Some(LOST));
        }
    }
}
