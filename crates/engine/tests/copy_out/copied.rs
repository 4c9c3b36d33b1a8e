//! A database copied in parallel, and its archive taken apart.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use holdpoint_archive::{BlockDecoder, BlockKind, Codec, Event, Head, Limits, StreamParser};
use holdpoint_core::index::IndexRecord;
use holdpoint_core::manifest::ArchiveObject;
use holdpoint_core::progress::{Phase, Progress, Silent};
use holdpoint_engine::copy_out::{CopyOutOptions, Decision, copy_out, decide, watch};
use holdpoint_engine::{
    ArchiveWriter, Contents, Error, IndexReader, Pace, ReadBack, ReadBackOptions, read_back, read_head,
};
use holdpoint_postgres::catalog::relations;
use holdpoint_postgres::connection::Environment;
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose, Snapshot};
use holdpoint_repository::{LocalDirectory, ObjectStore, UploadOptions};
use holdpoint_testkit::Cluster;
use tokio_util::sync::CancellationToken;

const KEY: &str = "db/archive.dump";

/// Remembers what it was told, and does something when rows have arrived for the nth time.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) bytes: Mutex<u64>,
    pub(crate) notes: Mutex<Vec<String>>,
    advances: AtomicU64,
    hooks: Vec<(u64, Box<dyn Fn() + Send + Sync>)>,
}

impl Told {
    pub(crate) fn then(mut self, nth: u64, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.hooks.push((nth, Box::new(hook)));
        self
    }

    pub(crate) fn noted(&self, words: &str) -> bool {
        self.notes.lock().unwrap().iter().any(|note| note.contains(words))
    }
}

impl Progress for Told {
    fn phase(&self, _: Phase, _: Option<u64>) {}
    fn advance(&self, bytes: u64) {
        *self.bytes.lock().unwrap() += bytes;
        let nth = self.advances.fetch_add(1, Ordering::SeqCst);
        for (at, hook) in &self.hooks {
            if *at == nth {
                hook();
            }
        }
    }
    fn note(&self, message: &str) {
        self.notes.lock().unwrap().push(message.to_owned());
    }
}

/// A snapshot with the pg_dump that waits in it.
pub(crate) struct Begun {
    pub(crate) snapshot: Snapshot,
    pub(crate) pg_options: String,
    pub(crate) options: CopyOutOptions,
    pub(crate) pace: Arc<Pace>,
    cluster: &'static Cluster,
    database: String,
}

pub(crate) fn settings(cluster: &Cluster, database: &str) -> ConnectionSettings {
    ConnectionSettings::resolve(&cluster.url(database), &Environment::default()).unwrap()
}

pub(crate) async fn begin(cluster: &'static Cluster, database: &str) -> Begun {
    let purpose = SessionPurpose::new("coordinator under test");
    let session = Session::connect(&settings(cluster, database), &purpose).await.unwrap();
    let pg_options = session.pin_text_form().await.unwrap().pg_options();
    let snapshot = Snapshot::export(session).await.unwrap();
    let filters = relations::configuration_tables(snapshot.session()).await.unwrap();
    let filters = filters.into_iter().filter_map(|table| Some((table.oid, table.condition?))).collect();
    let codec = Codec::Gzip { level: 1 };
    let options = CopyOutOptions { codec, jobs: 3, piece_bytes: 64 * 1024, parallel_from_bytes: 0, filters };
    let pace = Arc::new(Pace::new(options.jobs, None, None));
    Begun { snapshot, pg_options, options, pace, cluster, database: database.to_owned() }
}

/// A decision with everything that is needed to go on.
pub(crate) struct Decided {
    pub(crate) decision: Result<Decision, Error>,
    pub(crate) head: Arc<Head>,
    pub(crate) contents: Contents,
    pg_dump: Child,
}

impl Drop for Decided {
    fn drop(&mut self) {
        self.pg_dump.kill().ok();
        self.pg_dump.wait().unwrap();
    }
}

impl Begun {
    fn pg_dump(&self) -> std::process::Command {
        let mut pg_dump = self.cluster.program("pg_dump");
        let snapshot = format!("--snapshot={}", self.snapshot.id());
        pg_dump.args(["-Fc", "-Z0", &snapshot, "-d", &self.database]).env("PGOPTIONS", &self.pg_options);
        pg_dump
    }

    /// What stock pg_dump makes of the same snapshot.
    pub(crate) fn stock(&self) -> Vec<u8> {
        let output = self.pg_dump().output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Starts pg_dump, reads its contents, runs `meanwhile` and decides.
    pub(crate) async fn decide(&self, meanwhile: impl FnOnce()) -> Decided {
        let mut pg_dump = self.pg_dump().stdout(Stdio::piped()).spawn().unwrap();
        let stdout = tokio::process::ChildStdout::from_std(pg_dump.stdout.take().unwrap()).unwrap();
        let stream = read_head(stdout).await.unwrap();
        let contents = Contents::read(&stream.head).unwrap();
        meanwhile();
        let has_ended = || pg_dump.try_wait().unwrap().is_some();
        let decision = decide(&self.snapshot, &stream.head, &contents, &self.options, has_ended).await;
        let head = Arc::clone(&stream.head);
        Decided { decision, head, contents, pg_dump }
    }

    pub(crate) async fn copy(&self) -> Copied {
        self.copy_told(Arc::new(Silent)).await.unwrap()
    }

    pub(crate) async fn copy_told(&self, progress: Arc<dyn Progress>) -> Result<Copied, Error> {
        let decided = self.decide(|| ()).await;
        self.copy_decided(decided, progress).await
    }

    /// Copies what was decided to be copied in parallel.
    pub(crate) async fn copy_decided(
        &self,
        mut decided: Decided,
        progress: Arc<dyn Progress>,
    ) -> Result<Copied, Error> {
        let decision = std::mem::replace(&mut decided.decision, Err(Error::Cancelled));
        let Decision::Parallel(plan) = decision? else { panic!("the pass-through was chosen") };
        decided.pg_dump.kill().unwrap();
        let (head, contents) = (&decided.head, &decided.contents);
        let directory = tempfile::tempdir().unwrap();
        let store = LocalDirectory::new(directory.path()).unwrap();
        store.ensure_root().await.unwrap();
        let held_back_bytes = head.len() as u64;
        let upload = store.begin_upload(KEY, UploadOptions { held_back_bytes, ..UploadOptions::default() }).await?;
        let mut writer = ArchiveWriter::new(upload, self.options.codec, contents, &[])?;
        let cancel = CancellationToken::new();
        let pace = Arc::clone(&self.pace);
        let copied = tokio::select! {
            copied = copy_out(*plan, &self.snapshot, contents, &mut writer, pace, progress, &cancel) => copied,
            lost = watch(&self.snapshot) => Err(lost),
        };
        // As the program does: what was copied under a lost snapshot is worth nothing, however quick the copy was.
        let copied = match copied {
            Ok(()) => self.snapshot.ping().await.map_err(Error::from),
            failed => failed,
        };
        if let Err(error) = copied {
            writer.abort().await?;
            let left: Vec<_> = std::fs::read_dir(directory.path().join("db")).into_iter().flatten().collect();
            assert!(left.is_empty(), "a failed copy leaves nothing: {left:?}");
            return Err(error);
        }
        let stored = writer.finish(head).await?;
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
        let (index, index_sha256) = (stored.index.bytes, stored.index.sha256);
        Ok(Copied { directory, archive, index, index_sha256, codec: self.options.codec })
    }
}

/// A stored archive.
pub(crate) struct Copied {
    directory: tempfile::TempDir,
    archive: ArchiveObject,
    index: Bytes,
    index_sha256: String,
    codec: Codec,
}

impl Copied {
    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.directory.path().join(KEY)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }

    pub(crate) fn records(&self) -> Vec<IndexRecord> {
        let reader = IndexReader::open(self.index.clone(), &self.index_sha256).unwrap();
        reader.collect::<Result<_, _>>().unwrap()
    }

    pub(crate) async fn read_back(&self) -> ReadBack {
        let store = LocalDirectory::new(self.directory.path()).unwrap();
        let reader = store.read(KEY, None, None).await.unwrap();
        let index = IndexReader::open(self.index.clone(), &self.index_sha256).unwrap();
        let options = ReadBackOptions { codec: self.codec, jobs: 2 };
        let cancel = CancellationToken::new();
        read_back(reader, &self.archive, index, &options, None, &Silent, &cancel).await.unwrap()
    }
}

/// What an archive holds: for each table's name, or each large object, its decompressed text.
pub(crate) fn blocks(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut parser = StreamParser::new(Limits::default());
    parser.push(Bytes::copy_from_slice(archive));
    let mut found: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let (mut head, mut decoder, mut name) = (None::<Arc<Head>>, None::<BlockDecoder>, String::new());
    while let Some(event) = parser.next_event().unwrap() {
        match event {
            Event::Head(read) => head = Some(read),
            Event::BlockStart { dump_id, kind, .. } => {
                let head = head.as_ref().unwrap();
                let entry = head.entry(dump_id).unwrap();
                decoder = Some(BlockDecoder::new(head.header().algorithm).unwrap());
                if kind == BlockKind::TableData {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    name = format!("{}.{}", text(entry.namespace.as_ref().unwrap()), text(&entry.tag));
                    found.insert(name.clone(), Vec::new());
                }
            }
            Event::LargeObjectStart { oid } => {
                name = format!("large object {oid}");
                found.insert(name.clone(), Vec::new());
            }
            Event::Data(data) => {
                let text = found.get_mut(&name).unwrap();
                let sink = |raw: &[u8]| {
                    text.extend_from_slice(raw);
                    Ok::<_, holdpoint_archive::Error>(())
                };
                decoder.as_mut().unwrap().push(&data, sink).unwrap();
            }
            Event::LargeObjectEnd => {
                decoder.as_mut().unwrap().finish().unwrap();
            }
            Event::BlockEnd { .. } => {
                if !name.starts_with("large object ") {
                    decoder.as_mut().unwrap().finish().unwrap();
                }
            }
        }
    }
    parser.finish().unwrap();
    found
}

#[track_caller]
pub(crate) fn assert_same_blocks(stock: &[u8], ours: &[u8]) {
    let (stock, ours) = (blocks(stock), blocks(ours));
    assert_eq!(stock.keys().collect::<Vec<_>>(), ours.keys().collect::<Vec<_>>());
    for (name, text) in &stock {
        let first = text.iter().zip(&ours[name]).position(|(a, b)| a != b);
        assert!(
            text == &ours[name],
            "{name}: {} bytes, {} of stock, differ at {first:?}",
            ours[name].len(),
            text.len()
        );
    }
}
