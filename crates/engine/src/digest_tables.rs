//! Digesting what a live database holds: rows by comparison group, large objects.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use holdpoint_core::digest::{RowDigest, RowDigester, StreamHash};
use holdpoint_core::index::{LargeObjectRecord, TableRecord};
use holdpoint_core::progress::Progress;
use holdpoint_postgres::copy::copy_out;
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Error;

/// How a database is digested.
#[derive(Clone, Debug)]
pub struct DigestOptions {
    /// How many sessions read at a time.
    pub jobs: usize,
    /// The encoding that rows were digested in, such as `UTF8`.
    pub encoding: String,
    /// The value of `lc_monetary` that rows were digested under.
    pub lc_monetary: Option<String>,
    /// Read large objects too.
    pub large_objects: bool,
}

/// What a database holds.
#[derive(Clone, Debug, Default)]
pub struct LiveDigests {
    /// Rows and digest by comparison group; a group whose table does not exist is absent.
    pub groups: BTreeMap<String, RowDigest>,
    /// Every large object, by OID.
    pub large_objects: Vec<LargeObjectRecord>,
}

/// The statement that reads a comparison group in the order and form in which it was digested.
#[derive(Clone, Debug, PartialEq, Eq)]
struct GroupQuery {
    group: String,
    sql: String,
    bytes: u64,
}

fn group_queries(tables: &[TableRecord], encoding: &str) -> Vec<GroupQuery> {
    let mut groups: BTreeMap<&str, GroupQuery> = BTreeMap::new();
    for table in tables {
        groups.entry(&table.group).and_modify(|group| group.bytes += table.data_bytes).or_insert_with(|| {
            let source = match (&table.columns, &table.filter, table.via_root) {
                (Some(columns), None, false) => format!("{} ({columns})", table.target),
                (None, None, false) => table.target.clone(),
                (columns, filter, _) => format!(
                    "(SELECT {} FROM {} {})",
                    columns.as_deref().unwrap_or(""),
                    table.target,
                    filter.as_deref().unwrap_or("")
                ),
            };
            let sql = format!("COPY {source} TO STDOUT (ENCODING '{encoding}')");
            GroupQuery { group: table.group.clone(), sql, bytes: table.data_bytes }
        });
    }
    let mut queries: Vec<GroupQuery> = groups.into_values().collect();
    queries.sort_by_key(|query| std::cmp::Reverse(query.bytes));
    queries
}

/// Work that sessions take from, largest first.
type Queue<T> = Arc<Mutex<VecDeque<T>>>;

fn next<T>(queue: &Queue<T>) -> Option<T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

/// Digests the tables of the index in a live database, and its large objects.
///
/// Every session pins the text form first. Memory: one row a session; the list of large objects.
pub async fn digest_database(
    settings: &ConnectionSettings,
    tables: &[TableRecord],
    options: &DigestOptions,
    progress: Arc<dyn Progress>,
    cancel: &CancellationToken,
) -> Result<LiveDigests, Error> {
    let work = async {
        let queries: Queue<GroupQuery> = Arc::new(Mutex::new(group_queries(tables, &options.encoding).into()));
        let mut sessions = JoinSet::new();
        for _ in 0..options.jobs.max(1) {
            let (settings, options, queries) = (settings.clone(), options.clone(), Arc::clone(&queries));
            let progress = Arc::clone(&progress);
            sessions.spawn(async move { digest_groups(&settings, &options, &queries, progress.as_ref()).await });
        }
        let mut found = LiveDigests::default();
        while let Some(joined) = sessions.join_next().await {
            found.groups.extend(joined.map_err(Error::Worker)??);
        }
        if options.large_objects {
            found.large_objects = digest_large_objects(settings, options, progress).await?;
        }
        Ok(found)
    };
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::Cancelled),
        outcome = work => outcome,
    }
}

async fn open(settings: &ConnectionSettings, options: &DigestOptions) -> Result<Session, Error> {
    let session = Session::connect(settings, &SessionPurpose::new("holdpoint digest")).await?;
    session.pin_text_form().await?;
    if let Some(lc_monetary) = &options.lc_monetary {
        let value = holdpoint_core::name::quote_literal(lc_monetary);
        session.run("setting lc_monetary", &format!("SET lc_monetary = {value}")).await?;
    }
    Ok(session)
}

async fn digest_groups(
    settings: &ConnectionSettings,
    options: &DigestOptions,
    queries: &Queue<GroupQuery>,
    progress: &dyn Progress,
) -> Result<Vec<(String, RowDigest)>, Error> {
    let mut found = Vec::new();
    let mut session = None;
    while let Some(query) = next(queries) {
        let session = match &session {
            Some(session) => session,
            None => session.insert(open(settings, options).await?),
        };
        match digest_one(session, &query, progress).await {
            Ok(digest) => found.push((query.group, digest)),
            Err(Error::Postgres(error)) if matches!(error.sqlstate(), Some("42P01" | "42703" | "3F000")) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

async fn digest_one(session: &Session, query: &GroupQuery, progress: &dyn Progress) -> Result<RowDigest, Error> {
    let mut rows = std::pin::pin!(copy_out(session, &format!("reading {}", query.group), &query.sql).await?);
    let mut digester = RowDigester::default();
    while let Some(bytes) = rows.next().await {
        let bytes = bytes?;
        progress.advance(bytes.len() as u64);
        digester.push(&bytes)?;
    }
    digester.finish().ok_or_else(|| Error::RowCut { table: query.group.clone() })
}

/// How many large objects are read by one statement, each up to [`STEP`] bytes of it.
const BATCH: usize = 16;
const STEP: i32 = 1 << 20;
const LIST: &str = "SELECT oid FROM pg_catalog.pg_largeobject_metadata ORDER BY oid";

async fn digest_large_objects(
    settings: &ConnectionSettings,
    options: &DigestOptions,
    progress: Arc<dyn Progress>,
) -> Result<Vec<LargeObjectRecord>, Error> {
    let session = open(settings, options).await?;
    let rows = session.query("listing large objects", LIST, &[]).await?;
    let oids: Vec<u32> = rows.iter().map(|row| row.get(0)).collect();
    let batches: Queue<Vec<u32>> = Arc::new(Mutex::new(oids.chunks(BATCH).map(<[u32]>::to_vec).collect()));
    let mut sessions = JoinSet::new();
    for _ in 0..options.jobs.max(1).min(oids.len().div_ceil(BATCH)) {
        let (settings, options, batches) = (settings.clone(), options.clone(), Arc::clone(&batches));
        let progress = Arc::clone(&progress);
        sessions.spawn(async move {
            let session = open(&settings, &options).await?;
            let mut found = Vec::new();
            while let Some(batch) = next(&batches) {
                read_batch(&session, &batch, progress.as_ref(), &mut found).await?;
            }
            Ok::<_, Error>(found)
        });
    }
    let mut found = Vec::with_capacity(oids.len());
    while let Some(joined) = sessions.join_next().await {
        found.extend(joined.map_err(Error::Worker)??);
    }
    found.sort_by_key(|object| object.oid);
    Ok(found)
}

async fn read_batch(
    session: &Session,
    batch: &[u32],
    progress: &dyn Progress,
    found: &mut Vec<LargeObjectRecord>,
) -> Result<(), Error> {
    const WHAT: &str = "reading large objects";
    const FIRST: &str =
        "SELECT oid, pg_catalog.lo_get(oid, 0, $2) FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS batch(oid)";
    for row in session.query(WHAT, FIRST, &[&batch, &STEP]).await? {
        let oid: u32 = row.get(0);
        let mut hash = StreamHash::default();
        let mut step: Vec<u8> = row.get(1);
        let mut bytes: u64 = 0;
        loop {
            hash.update(&step);
            bytes += step.len() as u64;
            progress.advance(step.len() as u64);
            if step.len() < STEP as usize {
                break;
            }
            let at = i64::try_from(bytes).unwrap_or(i64::MAX);
            let rows = session.query(WHAT, "SELECT pg_catalog.lo_get($1, $2, $3)", &[&oid, &at, &STEP]).await?;
            step = rows.first().map(|row| row.get(0)).unwrap_or_default();
        }
        found.push(LargeObjectRecord { dump_id: 0, oid, bytes, digest: hash.hex() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, group: &str, target: &str, columns: Option<&str>, filter: Option<&str>) -> TableRecord {
        TableRecord {
            dump_id: 1,
            schema: "s".into(),
            name: name.into(),
            target: target.into(),
            via_root: group.ends_with(".*"),
            columns: columns.map(Into::into),
            filter: filter.map(Into::into),
            group: group.into(),
            digest: RowDigest::default(),
            data_bytes: 1,
            offset: 0,
            length: 0,
        }
    }

    fn sql(table: TableRecord) -> String {
        group_queries(&[table], "UTF8").remove(0).sql
    }

    #[test]
    fn each_kind_of_table_is_read_as_it_was_digested() {
        assert_eq!(sql(table("t", "s.t", "s.t", Some("a, b"), None)), "COPY s.t (a, b) TO STDOUT (ENCODING 'UTF8')");
        assert_eq!(sql(table("t", "s.t", "s.t", None, None)), "COPY s.t TO STDOUT (ENCODING 'UTF8')");
        assert_eq!(
            sql(table("t1", "s.root.*", "s.root", Some("a"), None)),
            "COPY (SELECT a FROM s.root ) TO STDOUT (ENCODING 'UTF8')"
        );
        assert_eq!(
            sql(table("c", "s.c", "s.c", Some("a"), Some("WHERE a > 1"))),
            "COPY (SELECT a FROM s.c WHERE a > 1) TO STDOUT (ENCODING 'UTF8')"
        );
    }

    #[test]
    fn leaves_of_one_root_are_one_group() {
        let leaves =
            [table("t1", "s.root.*", "s.root", Some("a"), None), table("t2", "s.root.*", "s.root", Some("a"), None)];
        let queries = group_queries(&leaves, "UTF8");
        assert_eq!((queries.len(), queries[0].bytes), (1, 2));
    }

    #[test]
    fn a_quoted_target_is_the_table_itself() {
        let odd = table("a.b", "s.\"a.b\"", "s.\"a.b\"", Some("a"), None);
        assert_eq!(sql(odd), "COPY s.\"a.b\" (a) TO STDOUT (ENCODING 'UTF8')");
    }
}
