//! Locks, kills and truncations while rows are copied.

use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use holdpoint_engine::Error;
use holdpoint_engine::copy_out::Decision;
use holdpoint_testkit::Cluster;

use super::copied::{Begun, Told, assert_same_blocks, begin};

/// Tables of many portions each, no row of which is larger than a piece.
const TABLES: &str = "
    CREATE TABLE public.one (id int PRIMARY KEY, t text);
    INSERT INTO public.one SELECT i, repeat(md5(i::text), i % 30) FROM generate_series(1, 6000) i;
    CREATE TABLE public.two (id int PRIMARY KEY, t text);
    INSERT INTO public.two SELECT i, md5(i::text) FROM generate_series(1, 40000) i;
    CREATE TABLE public.small_one (id int); INSERT INTO public.small_one SELECT generate_series(1, 100);
    CREATE TABLE public.small_two (id int); INSERT INTO public.small_two SELECT generate_series(1, 200);
    CREATE TABLE public.small_three (id int); INSERT INTO public.small_three SELECT generate_series(1, 300);
    SELECT lo_from_bytea(oid, decode(repeat(md5(oid::text), 100), 'hex')) FROM generate_series(1000, 1099) oid;";

async fn begun(name: &str) -> (&'static Cluster, Begun) {
    let cluster = Cluster::shared(18);
    cluster.create_database(name);
    cluster.psql(name, TABLES);
    (cluster, begin(cluster, name).await)
}

/// Starts a statement that is going to wait, and returns when it does.
fn queued(cluster: &'static Cluster, database: &str, sql: &str) -> JoinHandle<String> {
    let (name, statement) = (database.to_owned(), sql.to_owned());
    let waiting = thread::spawn(move || cluster.psql(&name, &statement));
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND wait_event_type = 'Lock' AND query = '{sql}'"
    );
    let deadline = Instant::now() + Duration::from_secs(300);
    while cluster.psql("postgres", &sql) != "1" {
        assert!(Instant::now() < deadline && !waiting.is_finished(), "the statement does not wait");
        sleep(Duration::from_millis(10));
    }
    waiting
}

/// Whether there was a session of that name to be ended.
fn terminate(cluster: &Cluster, database: &str, application: &str) -> bool {
    let sql = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}' \
         AND application_name LIKE '{application}' LIMIT 1"
    );
    cluster.psql("postgres", &sql) == "t"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_table_that_somebody_waits_to_alter_is_copied_by_the_coordinator() {
    let name = "trouble_alter";
    let (cluster, begun) = begun(name).await;
    let stock = begun.stock();
    let waiting: Arc<Mutex<Vec<JoinHandle<String>>>> = Arc::default();
    let alter = {
        let waiting = Arc::clone(&waiting);
        move || {
            let mut waiting = waiting.lock().unwrap();
            waiting.push(queued(cluster, name, "ALTER TABLE public.one ADD COLUMN more int"));
            waiting.push(queued(cluster, name, "TRUNCATE public.small_two"));
        }
    };
    let told = Arc::new(Told::default().then(3, alter));
    let decided = begun.decide(|| ()).await;
    let Ok(Decision::Parallel(plan)) = &decided.decision else { panic!("{:?}", decided.decision) };
    let total = plan.total_bytes();
    let copied = begun.copy_decided(decided, Arc::clone(&told) as _).await.unwrap();
    assert_same_blocks(&stock, &copied.bytes());
    assert!(told.noted("waits to lock public.one"), "{:?}", told.notes);
    assert!(told.noted("waits to lock public.small_two"), "{:?}", told.notes);
    assert!(!told.noted("small_one"), "its group was copied one by one: {:?}", told.notes);
    assert_eq!(*told.bytes.lock().unwrap(), total, "nothing is told of twice");
    copied.read_back().await;
    // Only now do they get their lock.
    for waiting in waiting.lock().unwrap().iter() {
        assert!(!waiting.is_finished());
    }
    begun.snapshot.release().await.unwrap();
    for waiting in std::mem::take(&mut *waiting.lock().unwrap()) {
        waiting.join().unwrap();
    }
    assert_eq!(cluster.psql(name, "SELECT count(*) FROM public.small_two"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_lock_leaves_the_rows_to_pg_dump() {
    let name = "trouble_refused";
    let (cluster, begun) = begun(name).await;
    let mut waiting = None;
    let decided =
        begun.decide(|| waiting = Some(queued(cluster, name, "ALTER TABLE public.two ADD COLUMN more int"))).await;
    match &decided.decision {
        Ok(Decision::PassThrough(why)) => assert!(why.contains("exclusive lock"), "{why}"),
        other => panic!("{other:?}"),
    }
    let locks = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'relation' \
                 AND a.application_name = 'coordinator under test' AND l.relation = 'public.one'::regclass";
    assert_eq!(cluster.psql(name, locks), "0", "the coordinator holds nothing");
    begun.snapshot.ping().await.unwrap();
    drop(decided);
    waiting.unwrap().join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_truncated_before_it_is_locked_is_noticed() {
    let cluster = Cluster::shared(18);
    for (name, sql) in [
        ("trouble_truncated", "TRUNCATE public.small_one"),
        ("trouble_rewritten", "ALTER TABLE public.small_one ALTER id TYPE text"),
    ] {
        cluster.create_database(name);
        cluster.psql(name, TABLES);
        let begun = begin(cluster, name).await;
        // Before pg_dump locks: pg_dump itself would store the table as empty.
        cluster.psql(name, sql);
        match begun.decide(|| ()).await.decision.as_ref() {
            Err(Error::Rewritten { table }) => assert_eq!(table, "public.small_one"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_small_or_over_already_is_left_to_pg_dump() {
    let cluster = Cluster::shared(18);
    cluster.create_database("trouble_tiny");
    cluster.psql("trouble_tiny", "CREATE TABLE public.t (id int); INSERT INTO public.t VALUES (1)");
    let tiny = begin(cluster, "trouble_tiny").await;
    // It fits the pipe: pg_dump ends by itself, and its session and lock with it.
    let at_work =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = 'trouble_tiny' AND application_name = 'pg_dump'";
    let over = || {
        while cluster.psql("postgres", at_work) != "0" {
            sleep(Duration::from_millis(10));
        }
    };
    let decided = tiny.decide(over).await;
    match &decided.decision {
        Ok(Decision::PassThrough(why)) => assert!(why.contains("had everything written"), "{why}"),
        other => panic!("{other:?}"),
    }
    let (_, mut begun) = begun("trouble_small").await;
    begun.options.parallel_from_bytes = 1 << 40;
    let decided = begun.decide(|| ()).await;
    assert!(
        matches!(&decided.decision, Ok(Decision::PassThrough(why)) if why.contains("small")),
        "{:?}",
        decided.decision
    );
    begun.options.parallel_from_bytes = 0;
    begun.options.jobs = 1;
    let decided = begun.decide(|| ()).await;
    assert!(
        matches!(&decided.decision, Ok(Decision::PassThrough(why)) if why.contains("one job")),
        "{:?}",
        decided.decision
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_lost_session_is_replaced_and_its_portion_copied_again() {
    let name = "trouble_killed";
    let (cluster, begun) = begun(name).await;
    let killed: Arc<Mutex<Vec<bool>>> = Arc::default();
    let told = [0, 5, 9, 10, 30].into_iter().fold(Told::default(), |told, nth| {
        let killed = Arc::clone(&killed);
        told.then(nth, move || killed.lock().unwrap().push(terminate(cluster, name, "%copy")))
    });
    let told = Arc::new(told);
    let copied = begun.copy_told(Arc::clone(&told) as _).await.unwrap();
    // Later on there may be none for a moment: all are gone and not replaced yet.
    assert!(killed.lock().unwrap()[0], "the first that copied had a session");
    assert!(told.noted("replaced"), "{:?}", told.notes);
    assert_same_blocks(&begun.stock(), &copied.bytes());
    copied.read_back().await;
}

/// Whoever waits to rewrite the large objects stands behind the coordinator and before every other session.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn large_objects_that_somebody_waits_to_rewrite_are_copied_by_the_coordinator() {
    let name = "trouble_large_objects";
    let (cluster, begun) = begun(name).await;
    let stock = begun.stock();
    let decided = begun.decide(|| ()).await;
    let waiting = queued(cluster, name, "VACUUM FULL pg_largeobject");
    let copied = begun.copy_decided(decided, Arc::new(Told::default())).await.unwrap();
    assert_same_blocks(&stock, &copied.bytes());
    assert!(!waiting.is_finished());
    begun.snapshot.release().await.unwrap();
    waiting.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_its_coordinator_a_copy_ends_at_once() {
    let name = "trouble_coordinator";
    let (cluster, begun) = begun(name).await;
    let told = Told::default().then(2, move || {
        assert!(terminate(cluster, name, "coordinator under test"));
    });
    let error = begun.copy_told(Arc::new(told)).await.err().expect("the snapshot is gone");
    assert!(matches!(error, Error::Postgres(_)), "{error:?}");
}

/// Somebody waits for a lock, so pg_dump goes on; it would store the other table, whose rows are gone, as empty.
#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_table_is_noticed_also_where_pg_dump_goes_on() {
    let name = "trouble_truncated_refused";
    let (cluster, begun) = begun(name).await;
    // What an application does that loads anew: no committed state of it was ever empty.
    cluster.psql(
        name,
        "BEGIN; TRUNCATE public.small_one; INSERT INTO public.small_one SELECT generate_series(1, 100); COMMIT",
    );
    let mut waiting = None;
    let decided =
        begun.decide(|| waiting = Some(queued(cluster, name, "ALTER TABLE public.two ADD COLUMN more int"))).await;
    match &decided.decision {
        Err(Error::Rewritten { table }) => assert_eq!(table, "public.small_one"),
        other => panic!("{other:?}"),
    }
    drop(decided);
    waiting.unwrap().join().unwrap();
}

/// Ranges of pages are planned, and a plan locks the table's indexes, which the coordinator's lock on the table does not
/// cover: whoever waits to rebuild one waits for a session that waits for its turn to write.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_index_that_somebody_waits_to_rebuild_does_not_stop_the_copy_for_ever() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let name = "trouble_reindex";
    let cluster = Cluster::shared(18);
    cluster.create_database(name);
    cluster.psql(
        name,
        "CREATE TABLE public.hexed (id int, b text);
         INSERT INTO public.hexed SELECT i, repeat(md5(i::text), 66) FROM generate_series(1, 40000) i;
         CREATE INDEX hexed_id ON public.hexed (id);",
    );
    let mut begun = begin(cluster, name).await;
    begun.options.codec = holdpoint_archive::Codec::None;
    begun.options.jobs = 2;
    // So much more text than pages that a portion is larger than its buffer.
    begun.options.piece_bytes = 1 << 19;
    let gate = Arc::new(AtomicBool::new(false));
    let held = {
        let gate = Arc::clone(&gate);
        move || {
            while !gate.load(Ordering::SeqCst) {
                sleep(Duration::from_millis(5));
            }
        }
    };
    // The first rows of both sessions stay where they are until the gate is open.
    let told = Arc::new(Told::default().then(0, held.clone()).then(1, held));
    let reindex = thread::spawn(move || {
        let copying = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.datname = 'trouble_reindex' \
                       AND a.application_name LIKE '%copy' AND l.relation = 'public.hexed_id'::regclass";
        while cluster.psql(name, copying) != "2" {
            sleep(Duration::from_millis(10));
        }
        let first = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = 'trouble_reindex' \
                     AND application_name LIKE '%copy' AND query LIKE '%(0,0)%'";
        assert_eq!(cluster.psql("postgres", first), "1");
        while cluster.psql(name, copying) != "1" {
            sleep(Duration::from_millis(10));
        }
        let reindex = queued(cluster, name, "REINDEX INDEX public.hexed_id");
        gate.store(true, Ordering::SeqCst);
        reindex
    });
    let began = Instant::now();
    let copied = tokio::time::timeout(Duration::from_secs(300), begun.copy_told(Arc::clone(&told) as _)).await;
    let waits = "SELECT string_agg(a.application_name || ' waits for ' || coalesce(l.relation::regclass::text, l.locktype) \
                 || ', blocked by ' || (SELECT string_agg(b.application_name, '+') FROM pg_stat_activity b \
                   WHERE b.pid = ANY (pg_blocking_pids(a.pid))), E'\\n') \
                 FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.datname = current_database()";
    let stuck = cluster.psql(name, waits);
    eprintln!("after {:?}: {:?} notes {:?}\n{stuck}", began.elapsed(), copied.is_ok(), told.notes);
    cluster.psql(
        "postgres",
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'REINDEX%' AND datname = 'trouble_reindex'",
    );
    drop(reindex);
    // Copied, or given up with a reason: not waiting for ever.
    assert!(copied.is_ok(), "{stuck}");
}
