//! The parallel engine against stock pg_dump on the same snapshot.

mod copied;
mod trouble;

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use holdpoint_archive::Codec;
use holdpoint_core::index::IndexRecord;
use holdpoint_engine::Pace;
use holdpoint_testkit::{Cluster, sample};

use copied::{Told, assert_same_blocks, begin, blocks};

/// A table of many pieces, with TOAST, updated rows, children and wide rows.
const BIG: &str = "
    CREATE TABLE public.big (id int PRIMARY KEY, t text, u uuid);
    INSERT INTO public.big SELECT i, repeat(md5(i::text), i % 40), md5('u' || i)::uuid FROM generate_series(1, 9000) i;
    UPDATE public.big SET t = t || 'x' WHERE id % 7 = 0;
    DELETE FROM public.big WHERE id % 11 = 0;
    CREATE TABLE public.big_child () INHERITS (public.big);
    INSERT INTO public.big_child SELECT i, 'child', NULL FROM generate_series(100000, 101000) i;
    INSERT INTO public.big SELECT i, (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 20000) n), NULL
      FROM generate_series(200001, 200003) i;
    INSERT INTO public.big SELECT i, repeat('tail', 10), NULL FROM generate_series(300001, 300400) i;";

async fn same_as_stock(major: u32, codec: Codec) {
    let cluster = Cluster::shared(major);
    let name = format!("copy_{major}_{}", codec.to_string().replace(':', "_"));
    sample::load_awkward(cluster, &name);
    cluster.psql(&name, BIG);
    let traffic = sample::load_traffic(cluster, &name, Duration::from_secs(120));
    let mut begun = begin(cluster, &name).await;
    begun.options.codec = codec;
    let told = Arc::new(Told::default());
    let decided = begun.decide(|| ()).await;
    let total = match &decided.decision {
        Ok(holdpoint_engine::copy_out::Decision::Parallel(plan)) => plan.total_bytes(),
        other => panic!("{other:?}"),
    };
    let copied = begun.copy_decided(decided, Arc::clone(&told) as _).await.unwrap();
    assert_eq!(*told.bytes.lock().unwrap(), total, "progress ends exactly where it said");
    assert_same_blocks(&begun.stock(), &copied.bytes());
    traffic.stop();

    let pieces = |record: &IndexRecord| matches!(record, IndexRecord::Piece(_));
    assert!(copied.records().iter().filter(|record| pieces(record)).count() > 60, "pieces are small here");
    assert!(copied.read_back().await.rows > 10_000);
    for how in ["-j2", "piped", "one table"] {
        let target = format!("{name}_{}", how.replace([' ', '-'], "_"));
        cluster.create_database_with(&target, "TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'");
        let path = copied.path();
        let output = match how {
            "piped" => cluster.pg_restore_from(&["--exit-on-error", "-d", &target], &copied.bytes()),
            "-j2" => cluster.pg_restore(&["--exit-on-error", "-j2", "-d", &target, path.to_str().unwrap()]),
            _ => cluster.pg_restore(&["-d", &target, "-t", "big", "--exit-on-error", path.to_str().unwrap()]),
        };
        assert!(output.status.success(), "{how}: {}", String::from_utf8_lossy(&output.stderr));
        let sum = "SELECT count(*) || md5(string_agg(b::text, '|' ORDER BY id)) FROM ONLY public.big b";
        assert_eq!(cluster.psql(&target, sum), cluster.psql(&name, sum), "{how}");
        cluster.drop_database(&target);
    }
    cluster.drop_database(&name);
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_those_of_stock_pg_dump_on_14() {
    same_as_stock(14, Codec::Gzip { level: 1 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_those_of_stock_pg_dump_on_15() {
    same_as_stock(15, Codec::None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_those_of_stock_pg_dump_on_16() {
    same_as_stock(16, Codec::Zstd { level: 1 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_those_of_stock_pg_dump_on_17() {
    same_as_stock(17, Codec::Gzip { level: 4 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_those_of_stock_pg_dump_on_18() {
    same_as_stock(18, Codec::Zstd { level: 1 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_rows_in_latin1_stay_latin1() {
    let cluster = Cluster::shared(17);
    sample::load_latin1(cluster, "copy_latin1");
    cluster.psql("copy_latin1", BIG);
    let begun = begin(cluster, "copy_latin1").await;
    let copied = begun.copy().await;
    assert_same_blocks(&begun.stock(), &copied.bytes());
    assert!(blocks(&copied.bytes()).values().any(|text| text.iter().any(|byte| !byte.is_ascii())));
}

/// Others at the server wait more and more, so in the end one session reads alone, and all is copied as ever.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_step_back_when_others_begin_to_wait() {
    let cluster = Cluster::shared(17);
    cluster.create_database("copy_back_off");
    cluster.psql("copy_back_off", BIG);
    let mut begun = begin(cluster, "copy_back_off").await;
    // So slow that there is time to step back.
    begun.pace = Arc::new(Pace::new(3, NonZeroU64::new(800_000), Some(0.0)));
    let decided = begun.decide(|| ()).await;
    let (pace, silent) = (Arc::clone(&begun.pace), Arc::new(holdpoint_core::progress::Silent));
    let copied = tokio::select! {
        copied = begun.copy_decided(decided, silent) => copied.unwrap(),
        () = pace.adapt() => panic!("it goes on"),
        () = async {
            loop {
                pace.others_wait(9);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        } => panic!("it goes on"),
    };
    assert_eq!(pace.workers(), 1);
    assert_same_blocks(&begun.stock(), &copied.bytes());
    drop(begun);
    cluster.drop_database("copy_back_off");
}
