//! What to do about a failure of the store, and about a record in it that cannot be read.

use holdpoint_core::RunId;
use holdpoint_repository::Error as Repository;

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
}
