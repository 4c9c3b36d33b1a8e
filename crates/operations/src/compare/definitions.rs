//! Definitions of schema objects, side by side.

use std::collections::BTreeMap;

use holdpoint_archive::{Entry, Head};
use holdpoint_core::fingerprint::object_name;
use holdpoint_core::index::ObjectRecord;
use holdpoint_core::name::archive_text;

use super::line_diff::unified;
use super::{ObjectChange, ObjectDifference};

/// Kinds of objects whose options or connection strings hold passwords.
const WITH_PASSWORDS: [&str; 4] = ["FOREIGN DATA WRAPPER ", "SERVER ", "SUBSCRIPTION ", "USER MAPPING "];

/// Gives each changed object the lines in which its definitions differ, and those of one side alone their text.
///
/// Definitions that may hold a password stay hidden; then a note says so.
pub(super) fn add(differences: &mut [ObjectDifference], then: &Head, now: &Head) -> Option<String> {
    let (then, now) = (texts(then), texts(now));
    let nothing = String::new();
    let mut hidden = false;
    for difference in differences.iter_mut().filter(|one| one.change != ObjectChange::Owner) {
        if WITH_PASSWORDS.iter().any(|kind| difference.object.starts_with(kind)) {
            hidden = true;
            continue;
        }
        let was = then.get(&difference.object).unwrap_or(&nothing);
        let is = now.get(&difference.object).unwrap_or(&nothing);
        // Equal texts of a changed object differ in how it is dropped or stored, which no statement shows.
        difference.definition = Some(unified(was, is)).filter(|diff| !diff.is_empty());
    }
    hidden.then(|| {
        "definitions of foreign servers, user mappings and subscriptions may hold passwords: not shown".to_owned()
    })
}

fn texts(head: &Head) -> BTreeMap<String, String> {
    let encoding = head.encoding().ok().flatten().unwrap_or_else(|| "SQL_ASCII".to_owned());
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for entry in head.entries() {
        let text = |bytes: &[u8]| archive_text(bytes, &encoding);
        let definition = text(entry.definition.as_deref().unwrap_or_default());
        texts.entry(name(entry, text)).or_default().push_str(&definition);
    }
    texts
}

fn name(entry: &Entry, text: impl Fn(&[u8]) -> String) -> String {
    object_name(&ObjectRecord {
        description: text(&entry.description),
        namespace: entry.namespace.as_deref().filter(|bytes| !bytes.is_empty()).map(&text),
        tag: text(&entry.tag),
        owner: None,
        sha256: String::new(),
    })
}
