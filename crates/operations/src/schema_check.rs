//! The schema of a live database: what it is now, and whether it is still what a restore point recorded.
//!
//! Texts are compared as pg_dump writes them for the very same database, which is a fixed point; a database that came
//! out of a restore may differ in texts that every restore rewrites, and then counts as changed.

use std::collections::{BTreeMap, BTreeSet};

use holdpoint_core::fingerprint::{Difference, compare_objects, object_name, qualified};
use holdpoint_core::index::ObjectRecord;
use holdpoint_core::verification::Verdict;
use holdpoint_core::{PointId, PointKind};
use holdpoint_postgres::programs::ProgramName;
use holdpoint_postgres::{Session, SessionPurpose};
use sha2::{Digest, Sha256};

use crate::catalogue::show_any;
use crate::expected::Expected;
use crate::restored::observe;
use crate::{Context, Error, Source};

/// What the sessions of this check call themselves on the server.
pub const APPLICATION_NAME: &str = "holdpoint schema check";

/// The schema objects of a database at some moment, without what comes and goes with rows (large objects).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    objects: Vec<ObjectRecord>,
}

impl Schema {
    /// Reads the schema of a live database from the contents that pg_dump would write.
    ///
    /// pg_dump takes its shared locks for a moment, waits for them at most 30 s, and copies no rows; whatever it held
    /// is given back when the server has noticed its end, shortly after this returns.
    ///
    /// # Errors
    /// Those of connecting and of pg_dump; [`Error::Interrupted`].
    pub async fn live(context: &Context, source: &Source) -> Result<Self, Error> {
        let session = Session::connect(&source.settings, &SessionPurpose::new(APPLICATION_NAME)).await?;
        let major = session.server().major;
        let form = session.pin_text_form().await;
        session.close().await;
        let form = form?;
        let programs = &source.programs;
        let pg_dump =
            programs.find_for_server(ProgramName::PgDump, major, source.client_major, &context.cancel).await?;
        let settings = source.settings.with_application_name(APPLICATION_NAME);
        let observed = observe(context, &settings, &pg_dump, &form.pg_options()).await;
        match observed {
            Ok(observed) => Ok(Self::of(observed.contents.objects)),
            Err(_) if context.cancel.is_cancelled() => Err(Error::Interrupted),
            Err(error) => Err(error),
        }
    }

    /// Reads the schema that a restore point recorded; of a snapshot, the one that its newest proof found in it.
    ///
    /// # Errors
    /// [`Error::NoSuchPoint`], and those of the repository; a snapshot whose schema nobody read is refused as what is no
    /// archive.
    pub async fn recorded(context: &Context, point: &PointId) -> Result<Self, Error> {
        match Self::of_snapshot(context, point).await? {
            Some(schema) => Ok(schema),
            None => Ok(Self::of(Expected::read(context, point).await?.objects)),
        }
    }

    /// Reads the schema that the newest proof of a snapshot found in it; `None` where it is an archive, or nobody read it.
    ///
    /// # Errors
    /// As [`Self::recorded`].
    pub async fn of_snapshot(context: &Context, point: &PointId) -> Result<Option<Self>, Error> {
        let shown = show_any(context, point).await?;
        if shown.manifest.kind() == PointKind::Archive {
            return Ok(None);
        }
        let proofs = shown.verifications.into_iter().filter(|one| one.verdict == Verdict::Proved);
        Ok(proofs.max_by_key(|one| one.started_at).and_then(|one| one.schema).map(Self::of))
    }

    /// The objects, as a verification records them.
    pub(crate) fn into_objects(self) -> Vec<ObjectRecord> {
        self.objects
    }

    /// The schema that such objects make.
    pub(crate) fn of(objects: Vec<ObjectRecord>) -> Self {
        Self { objects: objects.into_iter().filter(|object| !comes_with_rows(object)).collect() }
    }

    /// Lists what differs in a later schema of the same database.
    ///
    /// A table is listed once, not again for the statement that copies its rows.
    pub fn changes(&self, later: &Self) -> Vec<Difference> {
        let mut changes = compare_objects(&self.objects, &later.objects);
        let names: BTreeSet<String> = changes.iter().map(|change| change.name.clone()).collect();
        let told = |name: &str| name.strip_prefix("TABLE DATA ").map(|table| format!("TABLE {table}"));
        changes.retain(|change| told(&change.name).is_none_or(|table| !names.contains(&table)));
        changes
    }

    /// SHA-256 over all objects, in lower-case hexadecimal: equal for equal schemas of one database, as long as one
    /// version of pg_dump writes them.
    pub fn sha256(&self) -> String {
        let mut objects: Vec<&ObjectRecord> = self.objects.iter().collect();
        objects.sort_by_key(|one| (&one.description, &one.namespace, &one.tag, &one.owner, &one.sha256));
        let mut digest = Sha256::new();
        for one in objects {
            let namespace = one.namespace.as_deref().unwrap_or_default();
            let owner = one.owner.as_deref().unwrap_or_default();
            for part in [one.description.as_str(), namespace, &one.tag, owner, &one.sha256] {
                digest.update(part.as_bytes());
                digest.update([0]);
            }
        }
        hex::encode(digest.finalize())
    }

    /// What the objects are, by the names that [`Self::changes`] gives them: the beginning of SHA-256 over definitions,
    /// without owners and grants, which a copy may have from another role.
    pub fn definitions(&self) -> BTreeMap<String, String> {
        let mut texts: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for one in self.objects.iter().filter(|one| !one.description.ends_with("ACL")) {
            texts.entry(object_name(one)).or_default().push(&one.sha256);
        }
        let hash = |mut texts: Vec<&str>| {
            texts.sort_unstable();
            let mut digest = Sha256::new();
            texts.iter().for_each(|text| digest.update(text.as_bytes()));
            hex::encode(&digest.finalize()[..8])
        };
        texts.into_iter().map(|(name, texts)| (name, hash(texts))).collect()
    }

    /// Who owns the objects, by the same names; what has no owner is left out.
    pub fn owners(&self) -> BTreeMap<String, String> {
        let mut owners: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for one in &self.objects {
            owners.entry(object_name(one)).or_default().extend(one.owner.as_deref());
        }
        owners.retain(|_, owners| !owners.is_empty());
        let all = |mut owners: Vec<&str>| {
            owners.sort_unstable();
            owners.join(", ")
        };
        owners.into_iter().map(|(name, owners)| (name, all(owners))).collect()
    }

    /// Whether a table of that name is in it, such as `shop.orders`.
    pub fn has_table(&self, name: &str) -> bool {
        let is = |object: &ObjectRecord| {
            object.description == "TABLE" && qualified(object.namespace.as_deref(), &object.tag) == name
        };
        self.objects.iter().any(is)
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there is no object at all.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }
}

/// Entries that are there because of rows: large objects, their grants and comments, statistics.
pub(crate) fn comes_with_rows(object: &ObjectRecord) -> bool {
    match object.description.as_str() {
        "BLOB" | "BLOBS" | "BLOB METADATA" | "BLOB COMMENTS" | "STATISTICS DATA" => true,
        "ACL" | "COMMENT" | "SECURITY LABEL" => object.tag.starts_with("LARGE OBJECT"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(description: &str, tag: &str, sha256: &str) -> ObjectRecord {
        let namespace = Some("public".to_owned());
        let owner = Some("app".to_owned());
        ObjectRecord { description: description.into(), namespace, tag: tag.into(), owner, sha256: sha256.into() }
    }

    #[test]
    fn a_new_large_object_is_no_change_of_the_schema() {
        let before = Schema::of(vec![object("TABLE", "orders", "1")]);
        let later = [object("BLOB", "16401", "2"), object("ACL", "LARGE OBJECT 16401", "3")];
        let after = Schema::of([vec![object("TABLE", "orders", "1")], later.to_vec()].concat());
        assert!(before.changes(&after).is_empty());
        assert_eq!((after.len(), after.is_empty()), (1, false));
        assert_eq!(before.sha256(), after.sha256());
        assert!(after.has_table("public.orders") && !after.has_table("orders") && !after.has_table("public.items"));
    }

    #[test]
    fn a_changed_text_is_named() {
        let schema = |text: &str| {
            let entries = [("TABLE", "orders"), ("TABLE DATA", "orders"), ("TABLE DATA", "items")];
            Schema::of(entries.map(|(description, tag)| object(description, tag, text)).into())
        };
        let (before, mut after) = (schema("1"), schema("2"));
        after.objects[2].sha256 = "1".into();
        let changes = before.changes(&after);
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].name, "TABLE public.orders");
        assert_ne!(before.sha256(), after.sha256());
        after.objects.reverse();
        assert_eq!(Schema { objects: after.objects.iter().rev().cloned().collect() }.sha256(), after.sha256());
    }
}
