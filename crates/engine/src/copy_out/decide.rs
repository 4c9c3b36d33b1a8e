//! The decision, once the contents are read: copy in parallel, or keep reading the same pg_dump.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;

use holdpoint_archive::{CopyStatement, EntryKind, Head};
use holdpoint_core::fingerprint::qualified;
use holdpoint_core::name::decoded_text;
use holdpoint_postgres::catalog::relations::{self, DiskSize, Relation};
use holdpoint_postgres::{Session, Snapshot};
use tokio::task::JoinSet;

use super::plan::{Measured, Plan, Table};
use super::{CopyOutOptions, CopyPlan, large_objects, worker};
use crate::{Contents, Error, TablePlan};

/// How the rows are to be copied.
#[derive(Debug)]
pub enum Decision {
    /// By several sessions; pg_dump is to be stopped.
    Parallel(Box<CopyPlan>),
    /// By the pg_dump that runs; here is why.
    PassThrough(String),
}

/// Why not, or what went wrong.
enum Stop {
    Pass(String),
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<holdpoint_postgres::Error> for Stop {
    fn from(error: holdpoint_postgres::Error) -> Self {
        Self::Failed(error.into())
    }
}

fn pass(why: impl Into<String>) -> Stop {
    Stop::Pass(why.into())
}

/// Decides how the rows are copied, while pg_dump waits in its pipe with its locks held.
///
/// `has_ended` tells whether pg_dump has ended; it is asked after the locks are taken. On
/// [`Decision::Parallel`] the coordinator holds a lock on every table until its transaction ends, and the copying
/// sessions are open; on [`Decision::PassThrough`] nothing is held. Whatever the server refuses leads to the
/// pass-through: pg_dump then says what is wrong, or does it.
///
/// # Errors
/// [`Error::Rewritten`] when a table's rows are gone for the snapshot: only a new snapshot helps. A lost connection.
pub async fn decide(
    snapshot: &Snapshot,
    head: &Head,
    contents: &Contents,
    options: &CopyOutOptions,
    mut has_ended: impl FnMut() -> bool,
) -> Result<Decision, Error> {
    const WHAT: &str = "deciding how rows are copied";
    let session = snapshot.session();
    session.run(WHAT, "SAVEPOINT holdpoint_decision; SET LOCAL lock_timeout = '5s'").await?;
    let judged = judge(snapshot, head, contents, options, &mut has_ended).await;
    match judged {
        Ok(plan) => {
            session.run(WHAT, "SET LOCAL lock_timeout = 0; RELEASE SAVEPOINT holdpoint_decision").await?;
            Ok(Decision::Parallel(Box::new(plan)))
        }
        Err(stop) => {
            let back = "ROLLBACK TO SAVEPOINT holdpoint_decision; RELEASE SAVEPOINT holdpoint_decision";
            session.run(WHAT, back).await?;
            let why = match stop {
                Stop::Pass(why) => why,
                Stop::Failed(Error::Postgres(error)) if error.sqlstate().is_some() => refusal(&error),
                Stop::Failed(error) => return Err(error),
            };
            // pg_dump's own locks came after the snapshot, too.
            rewritten(session, contents).await?;
            Ok(Decision::PassThrough(why))
        }
    }
}

fn refusal(error: &holdpoint_postgres::Error) -> String {
    match error.sqlstate() {
        Some("55P03") => "somebody holds or waits for an exclusive lock on a table".to_owned(),
        Some("53200") => "the server's lock table is full".to_owned(),
        Some("53300") => "the server has no connections to spare".to_owned(),
        _ => error.to_string(),
    }
}

async fn judge(
    snapshot: &Snapshot,
    head: &Head,
    contents: &Contents,
    options: &CopyOutOptions,
    has_ended: &mut impl FnMut() -> bool,
) -> Result<CopyPlan, Stop> {
    let session = snapshot.session();
    let relations = relations(session, head, contents).await?;
    if options.jobs < 2 {
        return Err(pass("one job was asked for"));
    }
    known(head, contents, &relations)?;
    lock(session, &relations, has_ended).await?;
    rewritten(session, contents).await?;
    let oids: Vec<u32> = relations.keys().copied().collect();
    let sizes: BTreeMap<u32, DiskSize> = relations::disk_sizes(session, &oids).await?.into_iter().collect();
    let Some((blocks, objects)) = large_objects::blocks(session, head).await? else {
        return Err(pass("contents and catalog name different large objects"));
    };
    let tables = tables(head, contents, &relations, &sizes, options);
    let plan = Plan { tables, blocks, objects };
    if plan.total_bytes() < options.parallel_from_bytes {
        return Err(pass("the data are small"));
    }
    let sessions = sessions(snapshot, options).await?;
    let encoding = contents.encoding.clone();
    Ok(CopyPlan { plan, options: options.clone(), encoding, snapshot_id: snapshot.id().to_owned(), sessions })
}

/// Reads every table with data by its OID.
async fn relations(session: &Session, head: &Head, contents: &Contents) -> Result<BTreeMap<u32, Relation>, Stop> {
    let other = head
        .entries()
        .iter()
        .find(|entry| entry.has_data && !matches!(entry.kind(), EntryKind::TableData | EntryKind::LargeObjects));
    if let Some(entry) = other {
        return Err(pass(format!("the contents hold {}", String::from_utf8_lossy(&entry.description))));
    }
    let oids: Vec<u32> = contents.tables.values().map(|plan| plan.oid).collect();
    let relations = relations::by_oids(session, &oids).await?;
    Ok(relations.into_iter().map(|relation| (relation.oid, relation)).collect())
}

/// Passes only where every table is what the contents call it, and can be named in a statement.
fn known(head: &Head, contents: &Contents, relations: &BTreeMap<u32, Relation>) -> Result<(), Stop> {
    if relations.len() != contents.tables.len() {
        return Err(pass("contents and catalog name different tables"));
    }
    for (dump_id, plan) in &contents.tables {
        let name = qualified(Some(&plan.schema), &plan.name);
        let statement = head.entry(*dump_id).and_then(|entry| entry.copy_statement.as_deref()).unwrap_or_default();
        let columns = CopyStatement::parse(statement).map_err(Error::from)?.columns.unwrap_or_default();
        match relations.get(&plan.oid) {
            Some(found) if (&found.schema, &found.name) != (&plan.schema, &plan.name) => {
                return Err(pass(format!("the catalog has another name for {name}")));
            }
            Some(found) if found.kind != 'r' => return Err(pass(format!("{name} is no ordinary table"))),
            None => return Err(pass(format!("the catalog does not have {name}"))),
            Some(_) if decoded_text(&columns, &contents.encoding).is_none() => {
                return Err(pass(format!("a column of {name} has a name that is not in the archive's encoding")));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Takes the coordinator's locks, and makes sure that pg_dump's were held until then without a gap.
async fn lock(
    session: &Session,
    relations: &BTreeMap<u32, Relation>,
    has_ended: &mut impl FnMut() -> bool,
) -> Result<(), Stop> {
    let names: Vec<&str> = relations.values().map(|relation| relation.quoted.as_str()).collect();
    relations::lock(session, &names).await?;
    let oids: Vec<u32> = relations.keys().copied().collect();
    let (ours, _) = relations::held_by_us_and_another(session, &oids).await?;
    if !ours {
        return Err(pass("a table has changed its name since the snapshot"));
    }
    // Extensions' configuration tables are not locked by pg_dump before it copies them.
    let own: Vec<u32> =
        relations.values().filter(|relation| relation.extension.is_none()).map(|relation| relation.oid).collect();
    let (_, another) = relations::held_by_us_and_another(session, &own).await?;
    if !another || has_ended() {
        return Err(pass("pg_dump had everything written before the tables were locked"));
    }
    Ok(())
}

/// Fails when a table was truncated or rewritten between the snapshot and the locks: its rows are gone for the
/// snapshot, and pg_dump itself would store it as empty without a word.
async fn rewritten(session: &Session, contents: &Contents) -> Result<(), Error> {
    let oids: Vec<u32> = contents.tables.values().map(|plan| plan.oid).collect();
    let then: BTreeMap<u32, u32> = relations::file_nodes(session, &oids).await?.into_iter().collect();
    let now: BTreeMap<u32, u32> = relations::current_file_nodes(session, &oids).await?.into_iter().collect();
    let changed = |oid: &u32| match (then.get(oid), now.get(oid)) {
        (Some(then), Some(now)) => *then != 0 && then != now,
        _ => false,
    };
    match contents.tables.values().find(|plan| changed(&plan.oid)) {
        Some(plan) => Err(Error::Rewritten { table: qualified(Some(&plan.schema), &plan.name) }),
        None => Ok(()),
    }
}

/// Orders the tables: those that depend on each other's rows as the contents have them, then the largest first.
///
/// Leaves that are loaded through one root keep their order: the first one's columns are those of their digests.
fn tables(
    head: &Head,
    contents: &Contents,
    relations: &BTreeMap<u32, Relation>,
    sizes: &BTreeMap<u32, DiskSize>,
    options: &CopyOutOptions,
) -> Vec<Table> {
    let mut bound = BTreeSet::new();
    for entry in head.entries().iter().filter(|entry| contents.tables.contains_key(&entry.dump_id)) {
        for needed in entry.dependencies.iter().filter(|needed| contents.tables.contains_key(needed)) {
            bound.extend([entry.dump_id, *needed]);
        }
    }
    let size = |plan: &TablePlan| sizes.get(&plan.oid).copied().unwrap_or_default();
    let mut group_bytes: BTreeMap<&str, u64> = BTreeMap::new();
    for plan in contents.tables.values() {
        *group_bytes.entry(&plan.group).or_default() += size(plan).bytes();
    }
    let ordered = head.entries().iter().filter_map(|entry| contents.tables.get_key_value(&entry.dump_id));
    let mut ordered: Vec<_> = ordered.collect();
    // The sort keeps the contents' order among equals.
    ordered.sort_by_key(|(dump_id, plan)| {
        let bound = bound.contains(*dump_id);
        (!bound, Reverse(if bound { 0 } else { group_bytes.get(plan.group.as_str()).copied().unwrap_or(0) }))
    });
    let table = |(dump_id, plan): (&i32, &TablePlan)| {
        Some(table(*dump_id, plan, relations.get(&plan.oid)?, size(plan), options))
    };
    ordered.into_iter().filter_map(table).collect()
}

fn table(dump_id: i32, plan: &TablePlan, relation: &Relation, disk: DiskSize, options: &CopyOutOptions) -> Table {
    let filter = options.filters.get(&plan.oid).cloned();
    let heap = relation.access_method.as_deref() == Some("heap");
    Table {
        dump_id,
        name: qualified(Some(&plan.schema), &plan.name),
        source: relation.quoted.clone(),
        columns: plan.columns.clone(),
        by_pages: heap && filter.is_none() && plan.columns.is_some() && disk.pages > 1,
        filter,
        order: plan.order.clone(),
        disk,
        measured: Measured::default(),
        covered: AtomicU64::default(),
    }
}

/// Opens the copying sessions; fewer than asked for where the server has no more to give.
async fn sessions(snapshot: &Snapshot, options: &CopyOutOptions) -> Result<Vec<Session>, Stop> {
    let mut opening = JoinSet::new();
    for _ in 0..options.jobs {
        let (settings, id) = (snapshot.session().settings().clone(), snapshot.id().to_owned());
        opening.spawn(async move { worker::connect(&settings, &id).await });
    }
    let (mut sessions, mut refused) = (Vec::new(), None);
    while let Some(opened) = opening.join_next().await {
        match opened.map_err(Error::Worker)? {
            Ok(session) => sessions.push(session),
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) if sessions.len() < 2 => {
            Err(pass(format!("no further sessions could be opened in the snapshot: {error}")))
        }
        _ => Ok(sessions),
    }
}
