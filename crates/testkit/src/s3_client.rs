//! What a test itself does to an [`S3Server`], beside the program under test: look, spoil, forbid.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::http::{Response, exchange};
use crate::s3_server::{ADMIN, Identity, S3Server};
use crate::signature::{Request, encode, sign};

/// An object as a bucket lists it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedObject {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
}

/// Sends one signed request to the server at `address`; the rest is as for [`S3Server::request`].
pub(crate) fn send(
    address: SocketAddr,
    identity: &Identity,
    method: &str,
    path: &str,
    query: &[(&str, &str)],
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Response> {
    let (host, path) = (address.to_string(), encode(path, true));
    let request = Request { method, path: &path, query, host: &host, headers, body };
    let (query, headers) = sign(&request, identity);
    let target = if query.is_empty() { path.clone() } else { format!("{path}?{query}") };
    exchange(address, method, &target, &headers, body)
}

impl S3Server {
    /// Sends one signed request. `path` is `/bucket` or `/bucket/key`, not encoded.
    ///
    /// # Panics
    /// When no answer comes; a status of failure is returned.
    pub fn request(
        &self,
        identity: &Identity,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        send(self.address(), identity, method, path, query, headers, body)
            .unwrap_or_else(|error| panic!("no answer to {method} {path}: {error}"))
    }

    #[track_caller]
    fn admin(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let response = self.request(&ADMIN, method, path, query, headers, body);
        assert!(response.status < 300, "{method} {path}: {} {}", response.status, response.text());
        response
    }

    /// Makes a bucket.
    ///
    /// # Panics
    /// When it exists or cannot be made.
    #[track_caller]
    pub fn create_bucket(&self, name: &str) {
        self.admin("PUT", &format!("/{name}"), &[], &[], b"");
    }

    /// Makes a bucket with versions and Object Lock.
    ///
    /// # Panics
    /// When it exists or cannot be made.
    #[track_caller]
    pub fn create_bucket_with_lock(&self, name: &str) {
        self.admin("PUT", &format!("/{name}"), &[], &[("x-amz-bucket-object-lock-enabled", "true")], b"");
    }

    /// Makes a bucket with a name that no other test of this server has, and returns the name.
    ///
    /// # Panics
    /// When it cannot be made.
    #[track_caller]
    pub fn new_bucket(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("bucket-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        self.create_bucket(&name);
        name
    }

    /// Sets a bucket's policy (JSON). It binds the administrator too.
    ///
    /// # Panics
    /// When the server refuses it.
    #[track_caller]
    pub fn set_policy(&self, bucket: &str, policy: &str) {
        self.admin("PUT", &format!("/{bucket}"), &[("policy", "")], &[], policy.as_bytes());
    }

    /// Forbids everybody to delete objects of a bucket: what an append-only writer meets.
    ///
    /// # Panics
    /// When the server refuses the policy.
    #[track_caller]
    pub fn forbid_delete(&self, bucket: &str) {
        self.set_policy(
            bucket,
            &format!(
                r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Deny","Principal":"*",
                "Action":["s3:DeleteObject","s3:DeleteObjectVersion"],"Resource":"arn:aws:s3:::{bucket}/*"}}]}}"#
            ),
        );
    }

    /// Stores an object.
    ///
    /// # Panics
    /// When the server refuses it.
    #[track_caller]
    pub fn put_object(&self, bucket: &str, key: &str, body: &[u8]) {
        self.admin("PUT", &format!("/{bucket}/{key}"), &[], &[], body);
    }

    /// Returns an object's bytes, `None` when there is none of that key.
    ///
    /// # Panics
    /// On any other answer.
    #[track_caller]
    #[must_use]
    pub fn get_object(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        let path = format!("/{bucket}/{key}");
        let response = self.request(&ADMIN, "GET", &path, &[], &[], b"");
        match response.status {
            200 => Some(response.body),
            404 => None,
            status => panic!("GET {path}: {status} {}", response.text()),
        }
    }

    /// Removes an object.
    ///
    /// # Panics
    /// When the server refuses it.
    #[track_caller]
    pub fn delete_object(&self, bucket: &str, key: &str) {
        self.admin("DELETE", &format!("/{bucket}/{key}"), &[], &[], b"");
    }

    /// Stores an object again with one byte inverted, as if the disk had rotted. Metadata is lost.
    ///
    /// # Panics
    /// When there is no such object or byte.
    #[track_caller]
    pub fn flip_byte(&self, bucket: &str, key: &str, offset: usize) {
        let mut body = self.get_object(bucket, key).unwrap_or_else(|| panic!("no object {key} in {bucket}"));
        body[offset] ^= 0xff;
        self.put_object(bucket, key, &body);
    }

    /// Returns the objects below a prefix, sorted by key.
    ///
    /// # Panics
    /// When the server refuses to list.
    #[track_caller]
    #[must_use]
    pub fn list_objects(&self, bucket: &str, prefix: &str) -> Vec<ListedObject> {
        let mut objects = Vec::new();
        let mut token = String::new();
        loop {
            let mut query = vec![("list-type", "2"), ("prefix", prefix)];
            if !token.is_empty() {
                query.push(("continuation-token", &token));
            }
            let page = self.admin("GET", &format!("/{bucket}"), &query, &[], b"");
            for (key, size) in page.elements("Key").into_iter().zip(page.elements("Size")) {
                objects.push(ListedObject { key, size: size.parse().expect("a size is a number") });
            }
            match page.elements("NextContinuationToken").into_iter().next() {
                Some(next) if page.elements("IsTruncated") == ["true"] => token = next,
                _ => break,
            }
        }
        objects.sort();
        objects
    }

    /// Returns the keys of unfinished multipart uploads, one entry for each upload, sorted.
    ///
    /// # Panics
    /// When the server refuses to list.
    #[track_caller]
    #[must_use]
    pub fn list_uploads(&self, bucket: &str) -> Vec<String> {
        let page = self.admin("GET", &format!("/{bucket}"), &[("uploads", "")], &[], b"");
        let mut keys = page.elements("Key");
        keys.sort();
        keys
    }
}
