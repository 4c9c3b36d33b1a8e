//! Tables out of SQL text: a dump of any form made elsewhere, or a restore point that is stored as text.
//!
//! Archives in another form than text are turned into it by `pg_restore -f -`. The text is read twice, as a stream:
//! once up to its first row, for the definitions; once to its end, for the rows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BytesMut;
use holdpoint_core::digest::RowDigest;
use holdpoint_core::index::IndexRecord;
use holdpoint_core::manifest::Manifest;
use holdpoint_engine::{
    ForeignForm, ForeignWatch, IndexReader, LoadTarget, SqlText, TextContents, TextLoaded, TextTable, Wrapping,
    decompressed, directory_is_whole,
};
use holdpoint_postgres::programs::{ClientProgram, PgRestore, Program, ProgramName, Running};
use holdpoint_repository::ObjectStore;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::dump_end::{broken, cut, ended, stopped, why};
use super::find::Known;
use super::leaves::{is_partitioned, rows_left_out};
use super::side::SideSchema;
use super::source::{Facts, Proof, Recovered, Rows};
use super::{RecoverError, RecoverOptions, point};
use crate::restore::folder_in_s3::{FolderInS3, folder_of};
use crate::restore::foreign::{open, reading, recognise};
use crate::{Context, Error, expected};

const BUFFER: usize = 1 << 20;

/// A dump that is read as text.
pub(super) struct TextDump {
    pub(super) facts: Facts,
    contents: TextContents,
    origin: Origin,
    /// What the index of a restore point recorded.
    recorded: BTreeMap<Known, RowDigest>,
}

/// How the text is come by.
struct Origin {
    place: String,
    stored: Option<(Arc<dyn ObjectStore>, String)>,
    wrapping: Wrapping,
    /// The program that makes text of it, where it is none.
    archive: Option<(ClientProgram, ForeignForm)>,
    directory: Option<PathBuf>,
    /// A folder of `pg_dump -Fd` in S3: the prefix of its keys.
    folder: Option<(Arc<dyn ObjectStore>, String)>,
}

/// A text that is being read, and the program that makes it.
struct Opened {
    text: SqlText<Box<dyn AsyncRead + Send + Unpin>>,
    program: Option<(Running, ClientProgram)>,
    feed: JoinSet<Result<(), Error>>,
    /// The folder that the program reads, which nobody opens any more once this token is cancelled.
    folder: Option<(FolderInS3, CancellationToken)>,
}

impl Origin {
    async fn find(
        context: &Context,
        options: &RecoverOptions,
        place: &str,
        stored: Option<(Arc<dyn ObjectStore>, String)>,
        major: u32,
    ) -> Result<(Self, u64), Error> {
        let path = Path::new(place.strip_prefix("file://").unwrap_or(place));
        let program = async || options.programs.find(ProgramName::PgRestore, major, &context.cancel).await;
        let place = place.to_owned();
        if stored.is_none() && path.is_dir() {
            if !path.join("toc.dat").is_file() {
                return Err(Error::NotADump { place });
            }
            let directory = path.to_owned();
            let looked = tokio::task::spawn_blocking(move || directory_is_whole(&directory)).await;
            let looked = looked.map_err(|error| Error::Internal(error.to_string()))?;
            if let Err(reason) = looked.map_err(|source| reading(&place, source))? {
                return Err(Error::CutDump { place, reason });
            }
            let archive = Some((program().await?, ForeignForm::Directory));
            let directory = Some(path.to_owned());
            return Ok((Self { place, stored, wrapping: Wrapping::None, archive, directory, folder: None }, 0));
        }
        if let Some((store, prefix)) = folder_of(stored.as_ref()).await {
            let bytes = FolderInS3::open(store, &prefix, &place).await?.bytes;
            let archive = Some((program().await?, ForeignForm::Directory));
            let folder = Some((Arc::clone(store), prefix));
            return Ok((Self { place, stored, wrapping: Wrapping::None, archive, directory: None, folder }, bytes));
        }
        let (mut source, bytes) = open(context, stored.as_ref(), &place, path).await?;
        let first = recognise(source.fill_buf().await.map_err(|source| reading(&place, source))?, &place)?;
        let mut source = BufReader::with_capacity(BUFFER, decompressed(source, first.wrapping));
        let form = if first.wrapping == Wrapping::None {
            first.form
        } else {
            recognise(source.fill_buf().await.map_err(|source| reading(&place, source))?, &place)?.form
        };
        let archive = match form {
            ForeignForm::Plain => None,
            form => Some((program().await?, form)),
        };
        Ok((Self { place, stored, wrapping: first.wrapping, archive, directory: None, folder: None }, bytes))
    }

    async fn open(&self, context: &Context) -> Result<Opened, Error> {
        let progress = Arc::clone(&context.progress);
        let started = |program: Program| -> Result<(Running, _), Error> {
            let mut running = program.start().map_err(holdpoint_postgres::Error::Process)?;
            let stdout = running.take_stdout().ok_or_else(|| Error::Internal("pg_restore has no stdout".to_owned()))?;
            Ok((running, stdout))
        };
        if let (Some(directory), Some((client, _))) = (&self.directory, &self.archive) {
            let (running, stdout) = started(PgRestore::of_file(client, directory).into_script())?;
            let text = SqlText::new(Box::new(stdout) as Box<dyn AsyncRead + Send + Unpin>, progress);
            let program = Some((running, client.clone()));
            return Ok(Opened { text, program, feed: JoinSet::new(), folder: None });
        }
        if let (Some((store, prefix)), Some((client, _))) = (&self.folder, &self.archive) {
            let folder = FolderInS3::open(store, prefix, &self.place).await?;
            let (running, stdout) = started(PgRestore::of_file(client, folder.path()).into_script())?;
            let text = SqlText::new(Box::new(stdout) as Box<dyn AsyncRead + Send + Unpin>, progress);
            let done = CancellationToken::new();
            let feed = folder.feed(context, done.clone());
            return Ok(Opened { text, program: Some((running, client.clone())), feed, folder: Some((folder, done)) });
        }
        let path = Path::new(self.place.strip_prefix("file://").unwrap_or(&self.place));
        let (source, _) = open(context, self.stored.as_ref(), &self.place, path).await?;
        let mut source = decompressed(source, self.wrapping);
        let Some((client, form)) = &self.archive else {
            let text = SqlText::new(source, progress);
            return Ok(Opened { text, program: None, feed: JoinSet::new(), folder: None });
        };
        let (mut running, stdout) = started(PgRestore::of_stdin(client).into_script())?;
        let mut stdin = running.take_stdin().ok_or_else(|| Error::Internal("pg_restore has no stdin".to_owned()))?;
        let (place, mut watch) = (self.place.clone(), ForeignWatch::new(*form));
        let mut feed = JoinSet::new();
        feed.spawn(async move {
            let mut buffer = BytesMut::new();
            loop {
                buffer.reserve(256 * 1024);
                if source.read_buf(&mut buffer).await.map_err(|source| reading(&place, source))? == 0 {
                    return Ok(watch.finish()?);
                }
                let bytes = buffer.split().freeze();
                watch.push(bytes.clone())?;
                if stdin.write_all(&bytes).await.is_err() {
                    // It says itself why it reads no more.
                    return Ok(());
                }
            }
        });
        let text = SqlText::new(Box::new(stdout) as Box<dyn AsyncRead + Send + Unpin>, progress);
        Ok(Opened { text, program: Some((running, client.clone())), feed, folder: None })
    }
}

impl TextDump {
    /// Opens a dump and reads its definitions.
    pub(super) async fn open(
        context: &Context,
        options: &RecoverOptions,
        place: &str,
        stored: Option<(Arc<dyn ObjectStore>, String)>,
        major: u32,
    ) -> Result<Self, Error> {
        let (origin, bytes) = Origin::find(context, options, place, stored, major).await?;
        let facts = Facts {
            place: place.to_owned(),
            from: place.to_owned(),
            point: None,
            encoding: String::new(),
            lc_monetary: None,
            archive_bytes: bytes,
        };
        Self::read(context, facts, origin, BTreeMap::new()).await
    }

    /// Opens a restore point that is stored as text.
    pub(super) async fn of_point(context: &Context, manifest: Manifest) -> Result<Self, Error> {
        let store = Arc::clone(context.repository.store());
        let index = expected::small(context, &manifest.index.key).await?;
        let mut recorded = BTreeMap::new();
        for record in IndexReader::open(index, &manifest.index.sha256)? {
            if let IndexRecord::Table(table) = record?
                && !table.via_root
            {
                recorded.insert((table.schema, table.name), table.digest);
            }
        }
        let origin = Origin {
            place: manifest.archive.key.clone(),
            stored: Some((store, manifest.archive.key.clone())),
            wrapping: Wrapping::Gzip,
            archive: None,
            directory: None,
            folder: None,
        };
        Self::read(context, point::facts(&manifest, String::new()), origin, recorded).await
    }

    async fn read(
        context: &Context,
        facts: Facts,
        origin: Origin,
        recorded: BTreeMap<Known, RowDigest>,
    ) -> Result<Self, Error> {
        let mut opened = origin.open(context).await?;
        let contents = tokio::select! {
            biased;
            () = context.cancel.cancelled() => return Err(Error::Interrupted),
            error = broken(&mut opened.feed) => return Err(cut(&facts.place, stopped(opened.program, error).await)),
            contents = opened.text.contents() => contents.map_err(Error::from),
        };
        let contents = match contents {
            Ok(contents) => contents,
            Err(error) => return Err(cut(&facts.place, why(opened.program, opened.feed, error).await)),
        };
        let facts = Facts { encoding: contents.encoding.clone(), ..facts };
        Ok(Self { facts, contents, origin, recorded })
    }

    pub(super) fn known(&self) -> Vec<Known> {
        self.contents.tables.iter().map(|table| table.known.clone()).collect()
    }

    fn quoted(&self, known: &Known) -> Option<&[u8]> {
        self.contents.tables.iter().find(|table| table.known == *known).map(|table| table.quoted.as_slice())
    }

    /// The partitions below a table, by their quoted names.
    fn parts(&self, quoted: &[u8]) -> Vec<Vec<u8>> {
        let mut parts: Vec<Vec<u8>> = Vec::new();
        let mut open = vec![quoted.to_vec()];
        while let Some(parent) = open.pop() {
            let of_parent = self.contents.partitions.iter().filter(|(_, other)| *other == parent);
            for (child, _) in of_parent {
                open.push(child.clone());
                parts.push(child.clone());
            }
        }
        parts
    }

    /// Those of some tables that hold rows.
    fn leaves<'a>(&'a self, names: &'a [Vec<u8>]) -> impl Iterator<Item = &'a TextTable> {
        let named = self.contents.tables.iter().filter(|table| names.contains(&table.quoted));
        named.filter(|table| !is_partitioned(&table.definition))
    }

    /// Fails unless every leaf's rows came, in its own name or in the one of a table that it is a partition of.
    ///
    /// With `--load-via-partition-root`, and where the key hashes an enum, each leaf has a COPY into the root.
    fn all_rows_came(&self, table: &Recovered, names: &[Vec<u8>], loaded: &TextLoaded) -> Result<(), RecoverError> {
        let copies = |name: &Vec<u8>| loaded.copies.get(name).copied().unwrap_or_default();
        let leaves: Vec<&TextTable> = self.leaves(names).collect();
        let through_roots: u64 =
            names.iter().filter(|name| !leaves.iter().any(|leaf| leaf.quoted == **name)).map(copies).sum();
        let lacking: Vec<Known> =
            leaves.iter().filter(|leaf| copies(&leaf.quoted) == 0).map(|leaf| leaf.known.clone()).collect();
        if leaves.is_empty() || lacking.len() as u64 > through_roots {
            return Err(rows_left_out(&table.known, &lacking, &self.facts.place));
        }
        Ok(())
    }

    pub(super) fn below(&self, all: &[Known]) -> BTreeSet<Known> {
        let parts: BTreeSet<Vec<u8>> =
            all.iter().filter_map(|known| self.quoted(known)).flat_map(|quoted| self.parts(quoted)).collect();
        let below = self.contents.tables.iter().filter(|table| parts.contains(&table.quoted));
        below.map(|table| table.known.clone()).collect()
    }

    pub(super) fn tables(&self, wanted: &[Known]) -> Result<Vec<Recovered>, Error> {
        let tables = wanted.iter().filter_map(|known| self.contents.tables.iter().find(|table| table.known == *known));
        let recovered = tables.map(|table| {
            let mut rows = self.parts(&table.quoted);
            rows.push(table.quoted.clone());
            Recovered {
                known: table.known.clone(),
                quoted: table.quoted.clone(),
                definition: table.definition.clone(),
                prerequisites: Vec::new(),
                indexes: Vec::new(),
                leaves: is_partitioned(&table.definition)
                    .then(|| self.leaves(&rows).map(|leaf| leaf.known.clone()).collect()),
                rows: Rows::Text(rows),
            }
        });
        Ok(recovered.collect())
    }

    pub(super) async fn load(
        &self,
        context: &Context,
        side: &SideSchema,
        tables: &[Recovered],
    ) -> Result<(u64, Vec<Proof>), Error> {
        let mut wanted: BTreeMap<Vec<u8>, LoadTarget> = BTreeMap::new();
        for (nth, table) in tables.iter().enumerate() {
            let Rows::Text(names) = &table.rows else { continue };
            for name in names {
                wanted.insert(name.clone(), self.facts.target(side.settings(), side.quoted(nth)));
            }
        }
        let opened = self.origin.open(context).await?;
        let Opened { text, program, mut feed, folder } = opened;
        let loaded = tokio::select! {
            biased;
            () = context.cancel.cancelled() => Err(Error::Interrupted),
            error = broken(&mut feed) => return Err(cut(&self.facts.place, stopped(program, error).await)),
            loaded = text.load(&wanted) => loaded.map_err(Error::from),
        };
        let loaded = match loaded {
            Ok(loaded) => {
                folder.iter().for_each(|(_, done)| done.cancel());
                ended(context, program, feed).await.map_err(|error| cut(&self.facts.place, error))?;
                loaded
            }
            Err(error) => return Err(cut(&self.facts.place, why(program, feed, error).await)),
        };
        let mut proofs = Vec::new();
        for (nth, table) in tables.iter().enumerate() {
            let Rows::Text(names) = &table.rows else { continue };
            if names.iter().any(|name| loaded.inserts.contains(name)) {
                return Err(Error::Usage(format!(
                    "the rows of {} are INSERT statements in {}: restore the dump beside, and take the table from there \
                     with --from-database",
                    table.name(),
                    self.facts.place
                )));
            }
            self.all_rows_came(table, names, &loaded)?;
            let mut proof = Proof {
                columns: loaded.columns.get(&side.quoted(nth)).cloned().flatten(),
                indexes: loaded.indexes.get(&table.quoted).cloned().unwrap_or_default(),
                ..Proof::default()
            };
            for name in names {
                let Some(one) = loaded.loaded.get(name) else { continue };
                proof.digest.merge(&one.passed.loaded);
                let known = self.contents.tables.iter().find(|table| table.quoted == *name).map(|table| &table.known);
                let expected = known.and_then(|known| self.recorded.get(known)).copied();
                let found = RowDigest { rows: one.rows, ..one.passed.recorded };
                if let Some(expected) = expected.filter(|expected| *expected != found) {
                    return Err(RecoverError::SideDiffers { table: table.name(), expected, found }.into());
                }
            }
            proofs.push(proof);
        }
        Ok((self.facts.archive_bytes.max(loaded.read_bytes.min(self.facts.archive_bytes)), proofs))
    }
}
