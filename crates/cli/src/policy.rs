//! The least S3 policy that a role needs on a repository, for `init --print-policy`.

use holdpoint_repository::{RepositoryUrl, S3Options, SseMode};
use serde_json::{Value, json};

use crate::arguments::PolicyRole;
use crate::failure::Failure;

/// What a role does with data keys of the key management service.
struct Keys {
    encrypt: bool,
}

/// Writes the policy as IAM reads it (IAM JSON policy reference; actions by Amazon S3's service authorization
/// reference).
///
/// # Errors
/// A usage failure for a local repository, whose rights are those of its files.
pub(crate) fn policy(role: PolicyRole, url: &RepositoryUrl, options: &S3Options) -> Result<Value, Failure> {
    let RepositoryUrl::Bucket { bucket, prefix } = url else {
        return Err(Failure::usage(
            format!("{url} is a local directory, which has no S3 policy"),
            "name the bucket: --repository s3://bucket/prefix",
        ));
    };
    let bucket_arn = format!("arn:aws:s3:::{bucket}");
    let root = if prefix.is_empty() { format!("{bucket_arn}/") } else { format!("{bucket_arn}/{prefix}/") };
    let below = |tail: &str| json!(format!("{root}{tail}"));
    let mut statements =
        vec![list(&bucket_arn, prefix), allow("Read", &["s3:GetObject", "s3:ListMultipartUploadParts"], &[below("*")])];
    let put = ["s3:PutObject", "s3:AbortMultipartUpload"];
    // Retention goes with the first write of an object, is extended with a pin, and needs a right of its own.
    let retention = options.object_lock_mode.is_some().then_some("s3:PutObjectRetention");
    let write: Vec<&str> = put.into_iter().chain(retention).collect();
    let keys = match role {
        PolicyRole::Writer => {
            let places = ["holdpoint.json", "*/restore-points/*", "*/identities/*"].map(below);
            statements.extend([allow("Write", &write, &places), create_only(&places), no_marks(&below)]);
            statements.extend(retention.map(|_| see_locks(&[below("*/restore-points/*")])));
            Keys { encrypt: true }
        }
        PolicyRole::Verifier => {
            let places = [below("*/restore-points/*/verifications/*")];
            statements.extend([allow("Record", &["s3:PutObject"], &places), create_only(&places)]);
            statements.extend([no_marks(&below), no_pins(&below)]);
            Keys { encrypt: true }
        }
        PolicyRole::Guard => {
            let places = ["holdpoint.json", "*/restore-points/*", "*/identities/*", "*/runs/*"].map(below);
            statements.extend([allow("Write", &write, &places), create_only(&places), no_marks(&below)]);
            statements.extend(retention.map(|_| see_locks(&[below("*/restore-points/*")])));
            Keys { encrypt: true }
        }
        PolicyRole::Pruner => {
            let marks = ["*/restore-points/*/withdrawn/*", "*/lease"].map(below);
            statements.extend([allow("Withdraw", &["s3:PutObject"], &marks), create_only(&marks[..1])]);
            let places = ["*/restore-points/*", "*/lease"].map(below);
            statements.push(allow("Delete", &["s3:DeleteObject", "s3:AbortMultipartUpload"], &places));
            statements.extend([see_locks(&places[..1]), see_versions(&bucket_arn)]);
            Keys { encrypt: true }
        }
        PolicyRole::Cron => {
            let made = ["holdpoint.json", "*/restore-points/*", "*/identities/*"].map(below);
            statements.extend([allow("Write", &write, &made), create_only(&made)]);
            statements.push(allow("Lease", &["s3:PutObject"], &[below("*/lease")]));
            let places = ["*/restore-points/*", "*/lease"].map(below);
            statements.push(allow("Delete", &["s3:DeleteObject"], &places));
            statements.extend([see_locks(&places[..1]), see_versions(&bucket_arn)]);
            Keys { encrypt: true }
        }
        PolicyRole::Restorer => Keys { encrypt: false },
    };
    // What doctor tries out, and removes again: nothing else lies there, as no database's name begins with a dot. A `*` crosses
    // folders.
    if keys.encrypt {
        let tried: Vec<&str> = write.iter().copied().chain(["s3:DeleteObject"]).collect();
        statements.push(allow("TryOut", &tried, &[below("*/.doctor/*")]));
    }
    if options.sse == SseMode::Kms {
        let key = options.kms_key_id.clone().unwrap_or_else(|| "*".to_owned());
        // Parts of an upload are decrypted again when they are put together.
        let actions: &[&str] = if keys.encrypt { &["kms:GenerateDataKey", "kms:Decrypt"] } else { &["kms:Decrypt"] };
        statements.push(allow("Keys", actions, &[json!(key)]));
    }
    Ok(json!({ "Version": "2012-10-17", "Statement": statements }))
}

fn allow(id: &str, actions: &[&str], resources: &[Value]) -> Value {
    json!({ "Sid": format!("Holdpoint{id}"), "Effect": "Allow", "Action": actions, "Resource": resources })
}

/// Lets a HEAD tell until when an object is locked, and of a legal hold: without these rights Amazon leaves the headers out
/// (Amazon S3 API, HeadObject). A deletion would then only write a delete marker over what is kept, and a pin would try to
/// shorten a lock.
fn see_locks(resources: &[Value]) -> Value {
    allow("SeeLocks", &["s3:GetObjectRetention", "s3:GetObjectLegalHold"], resources)
}

/// Lets whoever deletes tell whether the bucket keeps the bytes as versions.
fn see_versions(bucket_arn: &str) -> Value {
    allow("SeeVersions", &["s3:GetBucketVersioning"], &[json!(bucket_arn)])
}

/// Forbids marks of withdrawal, which lie among the objects of a restore point: a mark hides it, as good as a deletion. As a
/// `*` crosses folders, whatever else may be written there may be written below them, too.
fn no_marks(below: &dyn Fn(&'static str) -> Value) -> Value {
    json!({ "Sid": "HoldpointNoMarks", "Effect": "Deny", "Action": "s3:PutObject",
        "Resource": [below("*/restore-points/*/withdrawn/*")] })
}

/// Forbids pins to who makes none: one without an end keeps a restore point for ever.
fn no_pins(below: &dyn Fn(&'static str) -> Value) -> Value {
    json!({ "Sid": "HoldpointNoPins", "Effect": "Deny", "Action": "s3:PutObject",
        "Resource": [below("*/restore-points/*/pins/*")] })
}

/// Forbids to write over what is there: every object is made by a request that asks for that, and Amazon lets a policy
/// demand it (Amazon S3 User Guide, "Enforce conditional writes"). The beginning and the parts of an upload cannot ask, and
/// make no object. A store that does not know these keys does not apply the statement.
fn create_only(resources: &[Value]) -> Value {
    let condition = json!({ "Null": { "s3:if-none-match": "true" }, "Bool": { "s3:ObjectCreationOperation": "true" } });
    json!({ "Sid": "HoldpointCreateOnly", "Effect": "Deny", "Action": "s3:PutObject", "Resource": resources,
        "Condition": condition })
}

fn list(bucket_arn: &str, prefix: &str) -> Value {
    let actions = ["s3:ListBucket", "s3:ListBucketMultipartUploads"];
    let mut statement = allow("List", &actions, &[json!(bucket_arn)]);
    if !prefix.is_empty()
        && let Some(object) = statement.as_object_mut()
    {
        let prefixes = json!([format!("{prefix}/*"), prefix]);
        object.insert("Condition".to_owned(), json!({ "StringLike": { "s3:prefix": prefixes } }));
    }
    statement
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: [PolicyRole; 6] = [
        PolicyRole::Writer,
        PolicyRole::Verifier,
        PolicyRole::Guard,
        PolicyRole::Pruner,
        PolicyRole::Restorer,
        PolicyRole::Cron,
    ];

    fn text(role: PolicyRole, options: &S3Options) -> String {
        policy(role, &"s3://acme/pg".parse().unwrap(), options).unwrap().to_string()
    }

    #[test]
    fn only_who_prunes_deletes() {
        for role in ROLES {
            let text = text(role, &S3Options::default());
            let deletes = matches!(role, PolicyRole::Pruner | PolicyRole::Cron);
            let policy: Value = serde_json::from_str(&text).unwrap();
            let deleting =
                policy["Statement"].as_array().unwrap().iter().filter(|one| one.to_string().contains("s3:Delete"));
            let (own, others): (Vec<_>, Vec<_>) = deleting.partition(|one| one["Sid"] == "HoldpointTryOut");
            assert_eq!(!others.is_empty(), deletes, "{role:?}");
            let tried: Vec<_> = own.iter().map(|one| &one["Resource"]).collect();
            match role {
                PolicyRole::Restorer => assert!(tried.is_empty(), "{tried:?}"),
                _ => assert_eq!(tried, [&json!(["arn:aws:s3:::acme/pg/*/.doctor/*"])], "{role:?}"),
            }
            assert_eq!(
                text.contains("s3:GetObjectRetention"),
                deletes,
                "{role:?}: who deletes must see what is locked"
            );
            assert_eq!(text.contains("s3:GetBucketVersioning"), deletes, "{role:?}: and what becomes of the bytes");
            assert_eq!(text.contains("s3:PutObject\""), role != PolicyRole::Restorer, "{role:?}");
            assert!(!text.contains("s3:*") && !text.contains("\"*\""), "{role:?} {text}");
        }
    }

    /// As IAM compares: `*` is any number of characters, of folders, too.
    fn covers(pattern: &str, text: &str) -> bool {
        match pattern.split_once('*') {
            None => pattern == text,
            Some((head, rest)) => text.strip_prefix(head).is_some_and(|text| {
                (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| covers(rest, &text[at..]))
            }),
        }
    }

    #[test]
    fn what_doctor_may_remove_is_nothing_of_a_database() {
        for url in ["s3://acme", "s3://acme/pg"] {
            let policy = policy(PolicyRole::Writer, &url.parse().unwrap(), &S3Options::default()).unwrap();
            let tried =
                policy["Statement"].as_array().unwrap().iter().find(|one| one["Sid"] == "HoldpointTryOut").unwrap();
            let pattern = tried["Resource"][0].as_str().unwrap();
            let root = pattern.split_once('*').unwrap().0;
            assert!(covers(pattern, &format!("{root}shop/.doctor/0123/small")), "{pattern}");
            // Another repository below this one may hold a database of any name.
            for name in ["doctor", "x.doctor", "shop"] {
                assert!(name.parse::<holdpoint_core::DatabaseName>().is_ok());
                for below in ["restore-points/1/manifest.json", "doctor/x", "lease"] {
                    let key = format!("{root}eu/{name}/{below}");
                    assert!(!covers(pattern, &key), "{pattern} covers {key}");
                }
            }
            assert!(".doctor".parse::<holdpoint_core::DatabaseName>().is_err());
        }
    }

    #[test]
    fn nobody_hides_or_keeps_a_restore_point_by_what_else_may_be_written() {
        for role in ROLES {
            let policy = policy(role, &"s3://acme/pg".parse().unwrap(), &S3Options::default()).unwrap();
            let may = |key: &str| {
                let key = format!("arn:aws:s3:::acme/pg/shop/restore-points/P/{key}");
                let says = |effect: &str| {
                    let statements = policy["Statement"].as_array().unwrap().iter().filter(|one| {
                        // What asks for a condition is about requests, not about places.
                        one["Effect"] == effect
                            && one["Action"].to_string().contains("\"s3:PutObject\"")
                            && one["Condition"].is_null()
                    });
                    let mut places = statements.flat_map(|one| one["Resource"].as_array().unwrap());
                    places.any(|place| covers(place.as_str().unwrap(), &key))
                };
                says("Allow") && !says("Deny")
            };
            let prunes = matches!(role, PolicyRole::Pruner | PolicyRole::Cron);
            for key in ["withdrawn/x.json", "withdrawn/verifications/x.json", "withdrawn/.doctor/x"] {
                assert_eq!(may(key), prunes, "{role:?} {key}");
            }
            let pins = matches!(role, PolicyRole::Writer | PolicyRole::Guard | PolicyRole::Cron);
            assert_eq!((may("pins/x.json"), may("pins/verifications/x.json")), (pins, pins), "{role:?}");
            assert_eq!(
                may("verifications/x.json"),
                !matches!(role, PolicyRole::Pruner | PolicyRole::Restorer),
                "{role:?}"
            );
        }
    }

    #[test]
    fn whoever_writes_may_not_write_over() {
        for role in ROLES {
            let policy = policy(role, &"s3://acme/pg".parse().unwrap(), &S3Options::default()).unwrap();
            let statements = policy["Statement"].as_array().unwrap();
            let marks = statements.iter().any(|one| one["Sid"] == "HoldpointNoMarks");
            let marks_nothing = matches!(role, PolicyRole::Writer | PolicyRole::Guard | PolicyRole::Verifier);
            assert_eq!(marks, marks_nothing, "{role:?}");
            let places = |effect: &str| -> Vec<String> {
                let writes = |one: &&Value| {
                    one["Effect"] == effect
                        && !["HoldpointNoMarks", "HoldpointNoPins", "HoldpointTryOut"]
                            .iter()
                            .any(|id| one["Sid"] == *id)
                        && one["Action"].to_string().contains("\"s3:PutObject\"")
                };
                let found = statements.iter().filter(writes).filter_map(|one| one["Resource"].as_array());
                found.flatten().map(ToString::to_string).filter(|place| !place.contains("/lease")).collect()
            };
            assert_eq!(places("Allow"), places("Deny"), "{role:?}");
            // No engine of the tests knows these keys: the text is as Amazon's guide has it.
            for one in statements.iter().filter(|one| one["Sid"] == "HoldpointCreateOnly") {
                let condition =
                    json!({"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}});
                let text = (&one["Effect"], &one["Action"], &one["Condition"]);
                assert_eq!(text, (&json!("Deny"), &json!("s3:PutObject"), &condition), "{role:?}");
            }
        }
    }

    #[test]
    fn everything_stays_below_the_prefix() {
        for role in ROLES {
            let policy = policy(role, &"s3://acme/pg/prod".parse().unwrap(), &S3Options::default()).unwrap();
            for statement in policy["Statement"].as_array().unwrap() {
                for resource in statement["Resource"].as_array().unwrap() {
                    let whole_bucket = resource == "arn:aws:s3:::acme";
                    // A setting of the bucket tells nothing of what lies in it.
                    let is_setting = statement["Action"] == json!(["s3:GetBucketVersioning"]);
                    assert!(!whole_bucket || is_setting || statement["Condition"].is_object());
                    assert!(whole_bucket || resource.as_str().unwrap().starts_with("arn:aws:s3:::acme/pg/prod/"));
                }
            }
        }
    }

    #[test]
    fn locks_and_keys_need_their_own_rights() {
        let options = S3Options {
            sse: SseMode::Kms,
            kms_key_id: Some("arn:aws:kms:x".into()),
            object_lock_mode: Some(holdpoint_repository::LockMode::Governance),
            object_lock_days: Some(7),
            ..S3Options::default()
        };
        let writer = text(PolicyRole::Writer, &options);
        assert!(writer.contains("PutObjectRetention") && writer.contains("GenerateDataKey"));
        assert!(writer.contains("GetObjectRetention"), "whoever pins sees what is locked already");
        let restorer = text(PolicyRole::Restorer, &options);
        assert!(restorer.contains("kms:Decrypt") && !restorer.contains("GenerateDataKey"));
    }

    #[test]
    fn a_directory_has_no_policy() {
        let failure = policy(PolicyRole::Writer, &"file:///b".parse().unwrap(), &S3Options::default()).unwrap_err();
        assert_eq!(failure.exit_code(), holdpoint::exit_code::USAGE);
    }
}
