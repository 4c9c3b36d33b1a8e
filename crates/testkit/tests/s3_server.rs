//! The S3 engine is there, keeps its rights, and survives a crash.

use holdpoint_testkit::{ADMIN, READ_ONLY, S3Server, STRANGER, WRITER, WRITER_BUCKET};

#[test]
fn objects_lists_and_rights() {
    let server = S3Server::shared();
    let bucket = server.new_bucket();
    assert_eq!(server.get_object(&bucket, "a/b"), None);
    let key = "some folder/é+&=.txt";
    server.put_object(&bucket, key, b"text");
    server.put_object(&bucket, "other", b"");
    assert_eq!(server.get_object(&bucket, key).as_deref(), Some(&b"text"[..]));
    let listed: Vec<_> =
        server.list_objects(&bucket, "some").into_iter().map(|object| (object.key, object.size)).collect();
    assert_eq!(listed, [(key.to_owned(), 4)]);
    server.flip_byte(&bucket, key, 1);
    assert_eq!(server.get_object(&bucket, key).as_deref(), Some(&b"t\x9axt"[..]));

    let path = format!("/{bucket}/other");
    assert_eq!(server.request(&READ_ONLY, "GET", &path, &[], &[], b"").status, 200);
    assert_eq!(server.request(&READ_ONLY, "PUT", &path, &[], &[], b"x").status, 403);
    assert_eq!(server.request(&WRITER, "PUT", &path, &[], &[], b"x").status, 403);
    assert_eq!(server.request(&WRITER, "PUT", &format!("/{WRITER_BUCKET}/x"), &[], &[], b"x").status, 200);
    assert_eq!(server.request(&STRANGER, "GET", &path, &[], &[], b"").elements("Code"), ["InvalidAccessKeyId"]);
    let missing = server.request(&ADMIN, "PUT", "/no-such-bucket/x", &[], &[], b"x");
    assert_eq!(missing.elements("Code"), ["NoSuchBucket"], "buckets are not made by writing");
    server.delete_object(&bucket, key);
    assert_eq!(server.list_objects(&bucket, "").len(), 1);
}

#[test]
fn lists_in_pages_and_unfinished_uploads() {
    let server = S3Server::shared();
    let bucket = server.new_bucket();
    for number in 0..1_005 {
        server.put_object(&bucket, &format!("k/{number:04}"), b"");
    }
    let objects = server.list_objects(&bucket, "k/");
    assert_eq!(objects.len(), 1_005);
    assert!(objects.is_sorted());
    let begun = server.request(&ADMIN, "POST", &format!("/{bucket}/big"), &[("uploads", "")], &[], b"");
    assert_eq!(begun.elements("UploadId").len(), 1);
    assert_eq!(server.list_uploads(&bucket), ["big"]);
}

/// However small the disk: one process of tests makes many buckets, and each takes a volume.
#[test]
fn many_buckets_can_be_written_to() {
    let server = S3Server::shared();
    for _ in 0..48 {
        server.put_object(&server.new_bucket(), "x", b"1");
    }
}

#[test]
fn append_only_and_object_lock() {
    let server = S3Server::shared();
    let bucket = server.new_bucket();
    server.put_object(&bucket, "x", b"1");
    server.forbid_delete(&bucket);
    assert_eq!(server.request(&ADMIN, "DELETE", &format!("/{bucket}/x"), &[], &[], b"").status, 403);
    assert!(server.get_object(&bucket, "x").is_some());

    let locked = format!("{bucket}-locked");
    server.create_bucket_with_lock(&locked);
    let until =
        [("x-amz-object-lock-mode", "COMPLIANCE"), ("x-amz-object-lock-retain-until-date", "2099-01-01T00:00:00Z")];
    let put = server.request(&ADMIN, "PUT", &format!("/{locked}/x"), &[], &until, b"1");
    let version = put.header("x-amz-version-id").expect("versions are on").to_owned();
    let delete = server.request(&ADMIN, "DELETE", &format!("/{locked}/x"), &[("versionId", &version)], &[], b"");
    assert_eq!(delete.status, 403, "{}", delete.text());
}

#[test]
fn a_crash_keeps_objects_and_address() {
    let server = S3Server::start();
    server.create_bucket("crash");
    server.put_object("crash", "x", b"1");
    let (endpoint, pid) = (server.endpoint(), server.pid());
    server.restart();
    assert_eq!(server.endpoint(), endpoint);
    assert_ne!(server.pid(), pid);
    assert_eq!(server.get_object("crash", "x").as_deref(), Some(&b"1"[..]));
    let directory = server.directory().to_owned();
    drop(server);
    assert!(!directory.exists());
}
