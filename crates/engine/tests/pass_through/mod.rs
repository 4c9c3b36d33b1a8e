//! A pg_dump stream passed through, read back, restored by stock programs, and damaged.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use holdpoint_archive::{Codec, Head};
use holdpoint_core::index::{IndexRecord, LargeObjectRecord, TableRecord};
use holdpoint_core::manifest::ArchiveObject;
use holdpoint_core::progress::Silent;
use holdpoint_engine::{
    ArchiveWriter, Contents, DigestOptions, Error, IndexReader, IndexWriter, Pace, PassThroughOptions, ReadBack,
    ReadBackOptions, digest_database, pass_through, read_back, read_head,
};
use holdpoint_postgres::ConnectionSettings;
use holdpoint_postgres::connection::Environment;
use holdpoint_repository::{LocalDirectory, ObjectStore, UploadOptions};
use holdpoint_testkit::Cluster;
use tokio_util::sync::CancellationToken;

const KEY: &str = "db/archive.dump";

struct Stored {
    directory: tempfile::TempDir,
    archive: ArchiveObject,
    index: Bytes,
    index_sha256: String,
}

impl Stored {
    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.directory.path().join(KEY)).unwrap()
    }

    fn records(&self) -> Vec<IndexRecord> {
        let reader = IndexReader::open(self.index.clone(), &self.index_sha256).unwrap();
        reader.collect::<Result<_, _>>().unwrap()
    }

    fn reindex(&mut self, records: &[IndexRecord]) {
        let mut writer = IndexWriter::new().unwrap();
        for record in records {
            writer.push(record).unwrap();
        }
        let index = writer.finish().unwrap();
        (self.index, self.index_sha256) = (index.bytes, index.sha256);
    }

    fn tables(&self) -> Vec<TableRecord> {
        let table = |record| if let IndexRecord::Table(table) = record { Some(table) } else { None };
        self.records().into_iter().filter_map(table).collect()
    }

    fn large_objects(&self) -> Vec<LargeObjectRecord> {
        let object = |record| if let IndexRecord::LargeObject(object) = record { Some(object) } else { None };
        self.records().into_iter().filter_map(object).collect()
    }

    async fn read(&self, codec: Codec) -> Result<ReadBack, Error> {
        let store = LocalDirectory::new(self.directory.path()).unwrap();
        let reader = store.read(KEY, None, None).await.unwrap();
        let index = IndexReader::open(self.index.clone(), &self.index_sha256).unwrap();
        let options = ReadBackOptions { codec, jobs: 2 };
        read_back(reader, &self.archive, index, &options, None, &Silent, &CancellationToken::new()).await
    }
}

async fn store(dump: &[u8], codec: Codec, piece_bytes: usize) -> Result<Stored, Error> {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalDirectory::new(directory.path()).unwrap();
    store.ensure_root().await.unwrap();
    let stream = read_head(dump).await?;
    let head = Arc::clone(&stream.head);
    let contents = Contents::read(&head)?;
    let held_back_bytes = head.len() as u64;
    let upload = store.begin_upload(KEY, UploadOptions { held_back_bytes, ..UploadOptions::default() }).await?;
    let mut writer = ArchiveWriter::new(upload, codec, &contents, &[])?;
    let options = PassThroughOptions { codec, jobs: 2, piece_bytes, filters: BTreeMap::new() };
    let passed =
        pass_through(stream, &contents, &mut writer, &options, &Pace::unbounded(), &Silent, &CancellationToken::new())
            .await;
    if let Err(error) = passed {
        writer.abort().await?;
        return Err(error);
    }
    let stored = writer.finish(&head).await?;
    let uploaded = stored.upload.finish(stored.head.clone()).await?;
    let archive = ArchiveObject {
        key: KEY.into(),
        bytes: uploaded.size_bytes,
        head_bytes: stored.head.len() as u64,
        head_sha256: stored.head_sha256,
        root_sha256: stored.root_sha256,
        crc64nvme: None,
        archive_version: Some(stored.archive_version),
    };
    let index = stored.index;
    Ok(Stored { directory, archive, index: index.bytes, index_sha256: index.sha256 })
}

const SCHEMA: &str = r#"
    CREATE SCHEMA "odd schema";
    CREATE TABLE plain (id int PRIMARY KEY, t text, b bytea);
    INSERT INTO plain SELECT i, repeat(md5(i::text), i % 7) || E'\t\n\\.\n\\N', decode(md5(i::text), 'hex') FROM generate_series(1, 20000) i;
    CREATE TABLE empty (id int);
    CREATE TABLE "odd schema"."no columns" ();
    INSERT INTO "odd schema"."no columns" DEFAULT VALUES;
    INSERT INTO "odd schema"."no columns" DEFAULT VALUES;
    CREATE TABLE wide (id int, t text);
    INSERT INTO wide SELECT i, repeat('wide ', 100000) FROM generate_series(1, 3) i;
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
    CREATE TABLE moods (m mood, n int) PARTITION BY HASH (m);
    CREATE TABLE moods_0 PARTITION OF moods FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE moods_1 (n int, m mood);
    ALTER TABLE moods ATTACH PARTITION moods_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    INSERT INTO moods SELECT (ARRAY['sad','ok','happy']::mood[])[1 + i % 3], i FROM generate_series(1, 3000) i;
    SELECT lo_from_bytea(3000000001, 'beyond two to the thirty-first');
    SELECT lo_from_bytea(7, '');
    SELECT lo_from_bytea(8, decode(repeat('00ff', 700000), 'hex'));
    CREATE SEQUENCE s; SELECT setval('s', 4711);
    CREATE SCHEMA x; CREATE SCHEMA "x.a"; CREATE SCHEMA "x.s";
    CREATE TABLE x."a.b" (id int, t text); INSERT INTO x."a.b" VALUES (1, 'one'), (2, 'two');
    CREATE TABLE "x.a".b (n numeric); INSERT INTO "x.a".b VALUES (3);
    CREATE SEQUENCE x."s.t"; SELECT setval('x."s.t"', 5); CREATE SEQUENCE "x.s".t; SELECT setval('"x.s".t', 6);
"#;

fn source(major: u32, name: &str) -> (&'static Cluster, Vec<u8>) {
    let cluster = Cluster::shared(major);
    cluster.create_database(name);
    cluster.psql(name, SCHEMA);
    let dump = cluster.pg_dump(name, &["-Fc", "-Z0"]);
    (cluster, dump)
}

fn contents_of(archive: &[u8]) -> Contents {
    Contents::read(&Head::parse(archive).unwrap()).unwrap()
}

fn settings(cluster: &Cluster, database: &str) -> ConnectionSettings {
    ConnectionSettings::resolve(&cluster.url(database), &Environment::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_through_reads_back_and_restores() {
    for (major, codec, piece_bytes) in [
        (14, Codec::Gzip { level: 4 }, 64 * 1024),
        (16, Codec::None, 100_000),
        (18, Codec::Zstd { level: 1 }, 64 * 1024),
        (18, Codec::Gzip { level: 4 }, 4 << 20),
    ] {
        let name = format!("pass_{major}_{piece_bytes}");
        let (cluster, dump) = source(major, &name);
        let stored = store(&dump, codec, piece_bytes).await.unwrap();
        let found = stored.read(codec).await.unwrap();
        assert_eq!((found.rows, found.large_objects), (20_000 + 2 + 3 + 3000 + 3, 3), "major {major}");
        assert_eq!(found.bytes, stored.bytes().len() as u64);

        // The live source and a stock restore of the stored archive both hold what was digested as it passed.
        let target = format!("{name}_restored");
        cluster.create_database(&target);
        let archive = stored.directory.path().join(KEY);
        let output = cluster.pg_restore_from(&["-d", &target, "--exit-on-error"], &std::fs::read(archive).unwrap());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let tables = stored.tables();
        let options = DigestOptions {
            jobs: 2,
            encoding: "UTF8".into(),
            lc_monetary: None,
            large_objects: Some(u64::MAX),
            quiet: true,
            one_at_a_time: false,
        };
        for database in [&name, &target] {
            let live = digest_database(
                &settings(cluster, database),
                &tables,
                &options,
                Arc::new(Silent),
                &CancellationToken::new(),
            )
            .await
            .unwrap();
            assert_eq!(live.groups, holdpoint_core::fingerprint::groups(&tables), "{database}");
            let differences =
                holdpoint_core::fingerprint::compare_large_objects(&stored.large_objects(), &live.large_objects);
            assert!(differences.is_empty(), "{differences:?}");
        }
        let groups = holdpoint_core::fingerprint::groups(&tables);
        assert_eq!(groups["public.moods.*"].rows, 3000, "leaves hashed on an enum are one group: {groups:?}");
        assert_eq!((groups["x.\"a.b\""].rows, groups["\"x.a\".b"].rows), (2, 1), "{groups:?}");
        let sequences = contents_of(&stored.bytes()).sequences;
        assert_eq!(sequences.len(), 3);
        for at in 0..sequences.len() {
            let mut other = sequences.clone();
            other[at].position = "77, true".into();
            assert_eq!(holdpoint_core::fingerprint::compare_sequences(&sequences, &other).len(), 1, "{:?}", other[at]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_flipped_or_missing_byte_is_found() {
    let (_, dump) = source(18, "flip");
    let codec = Codec::Gzip { level: 4 };
    let stored = store(&dump, codec, 64 * 1024).await.unwrap();
    let whole = stored.bytes();
    let path = stored.directory.path().join(KEY);
    let step = whole.len() / 97;
    let tail = whole.len() - 40..whole.len();
    for at in (0..whole.len()).step_by(step).chain(tail) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        std::fs::write(&path, &flipped).unwrap();
        let error = stored.read(codec).await.unwrap_err();
        assert!(error.is_damage(), "byte {at}: {error:?}");
    }
    for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let error = stored.read(codec).await.unwrap_err();
        assert!(error.is_damage(), "cut at {cut}: {error:?}");
    }
    std::fs::write(&path, [whole.as_slice(), b"x"].concat()).unwrap();
    assert!(stored.read(codec).await.unwrap_err().is_damage(), "a byte too many");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_says_other_than_the_contents_is_refused() {
    let (_, dump) = source(18, "other_index");
    let codec = Codec::Gzip { level: 4 };
    let mut stored = store(&dump, codec, 64 * 1024).await.unwrap();
    let records = stored.records();
    let object = records.iter().position(|record| matches!(record, IndexRecord::Object(_))).unwrap();
    let sequence = records.iter().position(|record| matches!(record, IndexRecord::Sequence(_))).unwrap();
    let with = |at: usize, change: &dyn Fn(&mut IndexRecord)| {
        let mut changed = records.clone();
        change(&mut changed[at]);
        changed
    };
    let without = |at: usize| [&records[..at], &records[at + 1..]].concat();
    let doubled = |at: usize| [&records[..=at], &records[at..]].concat();
    let sha = |record: &mut IndexRecord| {
        if let IndexRecord::Object(object) = record {
            object.sha256 = "0".repeat(64);
        }
    };
    let position = |record: &mut IndexRecord| {
        if let IndexRecord::Sequence(sequence) = record {
            sequence.position = "1, false".into();
        }
    };
    stored.reindex(&records);
    stored.read(codec).await.unwrap();
    for changed in [
        with(object, &sha),
        with(sequence, &position),
        without(object),
        without(sequence),
        doubled(object),
        doubled(sequence),
    ] {
        stored.reindex(&changed);
        let error = stored.read(codec).await.unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_ends_early_never_completes() {
    let (_, dump) = source(18, "early");
    for cut in (0..dump.len()).step_by(dump.len() / 50).chain([dump.len() - 1]) {
        let outcome = store(&dump[..cut], Codec::Gzip { level: 4 }, 64 * 1024).await;
        assert!(outcome.is_err(), "cut at {cut} of {}", dump.len());
    }
}
