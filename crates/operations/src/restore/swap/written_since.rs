//! What was written since a restore point: what a swap leaves behind in the database that it replaces.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use holdpoint_core::fingerprint::{Difference, compare_large_objects, groups, qualified};
use holdpoint_core::index::TableRecord;
use holdpoint_core::progress::Phase;
use holdpoint_engine::{DigestOptions, digest_database};
use holdpoint_postgres::catalog::relations::{self, Relation};
use holdpoint_postgres::{ConnectionSettings, preflight};
use serde::Serialize;

use super::{SwapOptions, SwapPlan};
use crate::compare::ObjectChange;
use crate::expected::Expected;
use crate::restore::target;
use crate::schema_check::Schema;
use crate::{Context, Error, Source};

/// What was written since a restore point, as far as it can be known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WrittenSince {
    /// Others could write while it was read: what is listed is the least.
    pub at_least: bool,
    /// Tables whose rows differ.
    pub tables: Vec<TableSince>,
    /// How many large objects differ.
    pub large_objects: u64,
    /// How many tables hold exactly the restore point's rows.
    pub unchanged: u64,
    /// Schema objects that differ: what came, went, or has another definition, owner or grants.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<ObjectSince>,
    /// Tables, and other things, of which nothing is known.
    pub not_known: Vec<NotKnown>,
    /// [`Schema::sha256`] of the schema that was compared; `None` where it was not read.
    #[serde(skip)]
    pub schema_sha256: Option<String>,
}

/// A schema object that is not as the restore point has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObjectSince {
    /// Its kind and name, such as `FUNCTION shop.total()`.
    pub object: String,
    /// How it differs; a change of its owner alone is one of its definition here.
    pub change: ObjectChange,
    /// What it is now, as [`Schema::definitions`] tells it; `None` of a grant, and of what is gone.
    #[serde(skip)]
    pub definition: Option<String>,
    /// Who owns it now, where that is somebody else than in the restore point.
    #[serde(skip)]
    pub owner: Option<String>,
}

/// A table whose rows differ from the restore point's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableSince {
    /// The table, or the root of partitions.
    pub name: String,
    /// Rows in the restore point; `None`: the table is new since.
    pub rows_then: Option<u64>,
    /// Rows now; `None`: it was dropped since, or is new and was not counted.
    pub rows: Option<u64>,
}

/// A table of which nothing is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotKnown {
    /// The table.
    pub name: String,
    /// Why.
    pub why: String,
}

/// Compares the live database's rows with the restore point's, while everybody goes on writing.
///
/// Row counts and digests alone are read, and the schema as pg_dump would write it; nothing is locked but against DDL.
/// `None` where the options leave it out.
pub async fn written_since(
    context: &Context,
    options: &SwapOptions,
    plan: &SwapPlan,
) -> Result<Option<WrittenSince>, Error> {
    let Some(limit) = options.compare_up_to else { return Ok(None) };
    let expected = Expected::read(context, &plan.point).await?;
    let found = compare(context, &expected, options, &options.live, limit).await?;
    Ok(Some(WrittenSince { at_least: true, ..found }))
}

/// A comparison group of the restore point that can be read now, or why not.
fn unreadable(
    table: &TableRecord,
    group_bytes: u64,
    live: &BTreeMap<String, &Relation>,
    denied: &BTreeSet<String>,
    limit: u64,
) -> Option<String> {
    let relation = live.get(&qualified(Some(&table.schema), &table.name));
    let now = relation.map_or(0, |found| found.estimated_bytes + found.estimated_toast_bytes);
    if group_bytes.max(now) > limit {
        return Some(format!("it is larger than {limit} bytes (--compare-limit)"));
    }
    (denied.contains(&table.target) || relation.is_some_and(|found| denied.contains(&found.quoted)))
        .then(|| "this role may not read it".to_owned())
}

pub(super) async fn compare(
    context: &Context,
    expected: &Expected,
    swap: &SwapOptions,
    settings: &ConnectionSettings,
    limit: u64,
) -> Result<WrittenSince, Error> {
    let session = target::connect(settings).await?;
    let relations = relations::tables(&session).await?;
    let denied = preflight::unreadable_relations(&session).await?;
    let large_objects = preflight::unreadable_large_objects(&session).await?.is_none().then_some(u64::MAX);
    session.close().await;
    let denied: BTreeSet<String> = denied.into_iter().map(|relation| relation.name).collect();
    let live: BTreeMap<String, &Relation> = relations
        .iter()
        .filter(|relation| relation.kind == 'r')
        .map(|relation| (qualified(Some(&relation.schema), &relation.name), relation))
        .collect();
    let mut group_bytes: BTreeMap<&str, u64> = BTreeMap::new();
    for table in &expected.tables {
        *group_bytes.entry(&table.group).or_default() += table.data_bytes;
    }
    let mut found = WrittenSince::default();
    let mut left_out: BTreeMap<&str, String> = BTreeMap::new();
    for table in &expected.tables {
        let bytes = group_bytes.get(table.group.as_str()).copied().unwrap_or_default();
        if let Some(why) = unreadable(table, bytes, &live, &denied, limit) {
            left_out.entry(&table.group).or_insert(why);
        }
    }
    let readable: Vec<TableRecord> =
        expected.tables.iter().filter(|table| !left_out.contains_key(table.group.as_str())).cloned().collect();
    context.progress.phase(Phase::Comparing, Some(readable.iter().map(|table| table.data_bytes).sum()));
    let options = DigestOptions {
        jobs: swap.jobs,
        encoding: expected.manifest.server.encoding.clone(),
        lc_monetary: Some(expected.manifest.server.lc_monetary.clone()),
        large_objects,
        // Others may write until the fence is up.
        quiet: false,
        one_at_a_time: false,
    };
    let progress = Arc::clone(&context.progress);
    let now = digest_database(settings, &readable, &options, progress, &context.cancel).await?;
    for (group, then) in groups(&readable) {
        let exists = expected
            .tables
            .iter()
            .any(|table| table.group == group && live.contains_key(&qualified(Some(&table.schema), &table.name)));
        match now.groups.get(&group) {
            Some(digest) if *digest == then => found.unchanged += 1,
            Some(digest) => {
                found.tables.push(TableSince { name: group, rows_then: Some(then.rows), rows: Some(digest.rows) });
            }
            None if exists => {
                let why = "its columns are others than the restore point's".to_owned();
                found.not_known.push(NotKnown { name: group, why });
            }
            None => found.tables.push(TableSince { name: group, rows_then: Some(then.rows), rows: None }),
        }
    }
    let recorded: BTreeSet<String> =
        expected.tables.iter().map(|table| qualified(Some(&table.schema), &table.name)).collect();
    let new = live.iter().filter(|(name, relation)| !recorded.contains(*name) && relation.extension.is_none());
    found.tables.extend(new.map(|(name, _)| TableSince { name: name.clone(), rows_then: None, rows: None }));
    found.not_known.extend(left_out.into_iter().map(|(group, why)| NotKnown { name: group.to_owned(), why }));
    if large_objects.is_some() {
        found.large_objects = compare_large_objects(&expected.large_objects, &now.large_objects).len() as u64;
    } else {
        let why = "this role may not read all of them".to_owned();
        found.not_known.push(NotKnown { name: "large objects".to_owned(), why });
    }
    let source = Source {
        settings: settings.clone(),
        programs: swap.programs.clone(),
        client_major: Some(expected.manifest.client_major),
    };
    match Schema::live(context, &source).await {
        Ok(now) => {
            let definitions = now.definitions();
            let then = Schema::of(expected.objects.clone());
            let (owners_then, owners) = (then.owners(), now.owners());
            let owner = |name: &String| {
                let (then, now) = (owners_then.get(name)?, owners.get(name)?);
                (then != now).then(|| now.clone())
            };
            let object = |change: Difference| ObjectSince { owner: owner(&change.name), ..since(change, &definitions) };
            found.objects = then.changes(&now).into_iter().map(object).collect();
            found.schema_sha256 = Some(now.sha256());
        }
        Err(Error::Interrupted) => return Err(Error::Interrupted),
        Err(error) => {
            found.not_known.push(NotKnown { name: "schema objects".to_owned(), why: error.line().to_string() });
        }
    }
    Ok(found)
}

fn since(difference: Difference, definitions: &BTreeMap<String, String>) -> ObjectSince {
    let change = match (&difference.expected, &difference.found) {
        (None, _) => ObjectChange::Added,
        (_, None) => ObjectChange::Gone,
        _ => ObjectChange::Definition,
    };
    let definition = definitions.get(&difference.name).filter(|_| difference.found.is_some()).cloned();
    ObjectSince { object: difference.name, change, definition, owner: None }
}
