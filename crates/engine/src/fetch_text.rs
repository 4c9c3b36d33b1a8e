//! Tables out of SQL text as pg_dump and `pg_restore -f -` write it, while it streams by.
//!
//! Nothing is executed: statements are told apart, those that define tables are handed out, and the rows of wanted
//! tables go into others. Memory: the statements that are kept, and about a megabyte of rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use holdpoint_archive::{CopyStatement, StatementScan, retargeted, unique_constraint};
use holdpoint_core::digest::ColumnOrder;
use holdpoint_core::name::archive_text;
use holdpoint_core::progress::Progress;
use holdpoint_postgres::Session;
use holdpoint_postgres::copy::copy_in;
use memchr::memmem;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::fetch::{RowOrders, RowsDigester};
use crate::text_databases::TextDatabases;
use crate::text_names::{attached, created_table, known_as};
use crate::text_watch::TextWatch;
use crate::{Error, LoadTarget, Loaded};

/// How much is read at a time.
const PORTION: usize = 256 << 10;
/// Of longer statements only the beginning is kept: no definition is that long.
const LONGEST: usize = 16 << 20;
const ROWS_END: &[u8] = b"\n\\.\n";

/// SQL text that is read statement by statement.
pub struct SqlText<R> {
    source: R,
    buffer: BytesMut,
    ended: bool,
    watch: TextWatch,
    databases: TextDatabases,
    fetched_bytes: u64,
    progress: Arc<dyn Progress>,
}

impl<R> std::fmt::Debug for SqlText<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlText").field("fetched_bytes", &self.fetched_bytes).finish_non_exhaustive()
    }
}

/// What a text says of its tables before the first row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextContents {
    /// The text's encoding, such as `UTF8`.
    pub encoding: String,
    /// Every table, in order.
    pub tables: Vec<TextTable>,
    /// Which partition belongs to which table, by their quoted names.
    pub partitions: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A table as the text defines it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextTable {
    /// Its name as statements write it.
    pub quoted: Vec<u8>,
    /// Schema and name.
    pub known: (String, String),
    /// The statement that makes it.
    pub definition: Vec<u8>,
}

/// What came of loading wanted tables out of a text.
#[derive(Clone, Debug, Default)]
pub struct TextLoaded {
    /// By quoted name: the rows.
    pub loaded: BTreeMap<Vec<u8>, Loaded>,
    /// By side table: the columns of the first COPY into it, quoted, in whose order its rows are digested.
    pub columns: BTreeMap<String, Option<String>>,
    /// By quoted name: statements that make unique constraints and indexes.
    pub indexes: BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
    /// By quoted name: how many COPY statements there are into it.
    pub copies: BTreeMap<Vec<u8>, u64>,
    /// Tables whose rows are INSERT statements.
    pub inserts: BTreeSet<Vec<u8>>,
    /// Bytes of text.
    pub read_bytes: u64,
}

impl<R: AsyncRead + Unpin + Send> SqlText<R> {
    /// Begins to read.
    pub fn new(source: R, progress: Arc<dyn Progress>) -> Self {
        let (buffer, watch, databases) = (BytesMut::new(), TextWatch::default(), TextDatabases::default());
        Self { source, buffer, ended: false, watch, databases, fetched_bytes: 0, progress }
    }

    async fn fill(&mut self) -> Result<bool, Error> {
        if self.ended {
            return Ok(false);
        }
        let before = self.buffer.len();
        self.buffer.reserve(PORTION);
        let read = self.source.read_buf(&mut self.buffer).await.map_err(|error| Error::Pipe("of the dump", error))?;
        self.ended = read == 0;
        self.fetched_bytes += read as u64;
        self.watch.push(&Bytes::copy_from_slice(&self.buffer[before..]));
        Ok(read > 0)
    }

    /// Passes what stands between statements: blanks, comments, psql's own commands.
    async fn pass_between(&mut self) -> Result<(), Error> {
        loop {
            let blanks = self.buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            self.buffer.advance(blanks);
            let line = match self.buffer.first() {
                Some(b'\\') => true,
                Some(b'-') if self.buffer.len() >= 2 => self.buffer[1] == b'-',
                Some(b'-') | None => false,
                Some(_) => return Ok(()),
            };
            match (line, memchr::memchr(b'\n', &self.buffer)) {
                (true, Some(end)) => {
                    self.databases.line(&self.buffer[..end]);
                    self.buffer.advance(end + 1);
                }
                (false, _) if self.buffer.len() >= 2 => return Ok(()),
                _ if !self.fill().await? => {
                    if line {
                        self.buffer.clear();
                    }
                    return Ok(());
                }
                _ => {}
            }
        }
    }

    /// Gives the next statement, or `None` at the end.
    async fn statement(&mut self) -> Result<Option<Bytes>, Error> {
        self.pass_between().await?;
        let mut scan = StatementScan::default();
        let (mut at, mut kept) = (0, None);
        loop {
            while at < self.buffer.len() {
                if scan.push(self.buffer[at]) {
                    let rest = self.buffer.split_to(at + 1).freeze();
                    let statement = kept.unwrap_or(rest);
                    self.databases.statement(&statement)?;
                    return Ok(Some(statement));
                }
                at += 1;
            }
            if at > LONGEST {
                let passed = self.buffer.split_to(at).freeze();
                kept.get_or_insert(passed.slice(..1024));
                at = 0;
            }
            if !self.fill().await? {
                return if at == 0 && kept.is_none() { Ok(None) } else { Err(Error::Truncated("SQL text")) };
            }
        }
    }

    /// Passes the rows of a COPY to `sink`; they begin behind the statement's line.
    async fn rows<E>(&mut self, mut sink: impl AsyncFnMut(Bytes) -> Result<(), E>) -> Result<(), E>
    where
        E: From<Error>,
    {
        // The line break behind the statement stays: without rows the end follows it at once.
        loop {
            if let Some(end) = memmem::find(&self.buffer, ROWS_END) {
                let mut rows = self.buffer.split_to(end + 1);
                self.buffer.advance(ROWS_END.len() - 1);
                return if rows.len() > 1 { sink(rows.split_off(1).freeze()).await } else { Ok(()) };
            }
            let keep = ROWS_END.len() - 1;
            if self.buffer.len() > keep + 1 {
                let from = self.buffer.len() - keep;
                // The last byte that passed stands before what follows, as the line break did.
                let rows = Bytes::copy_from_slice(&self.buffer[1..from]);
                self.buffer.advance(from - 1);
                sink(rows).await?;
            }
            if !self.fill().await? {
                return Err(Error::Truncated("SQL text").into());
            }
        }
    }

    /// Fails where a statement's line ends in CR LF: rows would, too, and hold what nobody wrote.
    async fn line_ends(&mut self) -> Result<(), Error> {
        if self.buffer.is_empty() {
            self.fill().await?;
        }
        if self.buffer.first() == Some(&b'\r') { Err(Error::LineEnds) } else { Ok(()) }
    }

    /// Reads up to the first rows, or to the end of a text without any.
    ///
    /// Fails with [`Error::SeveralDatabases`] where that much holds the tables of more than one, and with
    /// [`Error::LineEnds`].
    pub async fn contents(&mut self) -> Result<TextContents, Error> {
        let mut contents = TextContents { encoding: "UTF8".to_owned(), ..TextContents::default() };
        while let Some(statement) = self.statement().await? {
            if statement.starts_with(b"COPY ") || statement.starts_with(b"INSERT INTO ") {
                self.line_ends().await?;
                break;
            }
            if let Some(rest) = statement.strip_prefix(b"SET client_encoding = '") {
                let name = rest.split(|byte| *byte == b'\'').next().unwrap_or_default();
                contents.encoding = String::from_utf8_lossy(name).into_owned();
            } else if let Some(quoted) = created_table(&statement) {
                let known = known_as(&quoted, &contents.encoding);
                contents.tables.push(TextTable { quoted, known, definition: statement.to_vec() });
            } else if let Some(pair) = attached(&statement) {
                contents.partitions.push(pair);
            }
        }
        Ok(contents)
    }

    /// Reads to the end and loads the rows of wanted tables, each into a side table of its own.
    ///
    /// `wanted` maps quoted names to side tables, whose `table` is their name alone. A text that is cut is an error, and
    /// so is one that holds the tables of several databases ([`Error::SeveralDatabases`]).
    pub async fn load(mut self, wanted: &BTreeMap<Vec<u8>, LoadTarget>) -> Result<TextLoaded, Error> {
        let mut done = TextLoaded::default();
        let mut sessions: BTreeMap<Vec<u8>, Session> = BTreeMap::new();
        let mut created = BTreeSet::new();
        while let Some(statement) = self.statement().await? {
            if statement.starts_with(b"COPY ") && statement.ends_with(b"FROM stdin;") {
                let copy = CopyStatement::parse(&statement)?;
                self.line_ends().await?;
                match wanted.get(&copy.target[..]) {
                    Some(target) => self.load_rows(&copy, target, &mut sessions, &mut done).await?,
                    None => self.rows(async |_| Ok::<_, Error>(())).await?,
                }
                continue;
            }
            if let Some(quoted) = created_table(&statement)
                && wanted.contains_key(&quoted)
                && !created.insert(quoted)
            {
                return Err(Error::SeveralDatabases);
            }
            for quoted in wanted.keys() {
                let about = |prefix: &[u8]| statement.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(quoted));
                if about(b"INSERT INTO ") {
                    done.inserts.insert(quoted.clone());
                } else if retargeted(&statement, quoted, quoted).is_some()
                    && (unique_constraint(&statement, quoted) || !statement.starts_with(b"ALTER "))
                    && !statement.starts_with(b"CREATE TABLE ")
                    && !statement.starts_with(b"CREATE UNLOGGED ")
                {
                    done.indexes.entry(quoted.clone()).or_default().push(statement.to_vec());
                }
            }
        }
        for (_, session) in sessions {
            session.close().await;
        }
        done.read_bytes = self.fetched_bytes;
        self.watch.finish()?;
        Ok(done)
    }

    async fn load_rows(
        &mut self,
        statement: &CopyStatement,
        target: &LoadTarget,
        sessions: &mut BTreeMap<Vec<u8>, Session>,
        done: &mut TextLoaded,
    ) -> Result<(), Error> {
        let quoted = statement.target.to_vec();
        *done.copies.entry(quoted.clone()).or_default() += 1;
        let columns = statement.columns.as_ref().map(|list| archive_text(list, &target.encoding));
        let first = done.columns.entry(target.table.clone()).or_insert_with(|| columns.clone());
        let loaded = if *first == columns { None } else { reordered(columns.as_deref(), first.as_deref())? };
        let session = match sessions.entry(quoted.clone()) {
            std::collections::btree_map::Entry::Occupied(session) => session.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => place.insert(target.connect().await?),
        };
        let list = columns.map(|columns| format!(" ({columns})")).unwrap_or_default();
        let into = LoadTarget { table: format!("{}{list}", target.table), ..target.clone() };
        let what = format!("loading {}", target.table);
        let mut copy = copy_in(session, &what, &into.statement()).await?;
        let mut digester = RowsDigester::new(RowOrders { recorded: None, loaded });
        let progress = Arc::clone(&self.progress);
        self.rows(async |rows: Bytes| {
            digester.push(&rows)?;
            progress.advance(rows.len() as u64);
            copy.send(rows).await.map_err(Error::from)
        })
        .await?;
        let rows = copy.finish().await?;
        let passed = digester.finish().ok_or(Error::RowCut { table: target.table.clone() })?;
        let loaded = done.loaded.entry(quoted).or_default();
        loaded.passed.merge(&passed);
        loaded.rows += rows;
        Ok(())
    }
}

fn reordered(from: Option<&str>, to: Option<&str>) -> Result<Option<ColumnOrder>, Error> {
    let list = |columns: Option<&str>| -> Vec<Vec<u8>> {
        let statement = format!("COPY t ({}) FROM stdin;", columns.unwrap_or_default());
        let parsed = CopyStatement::parse(statement.as_bytes()).map(|parsed| parsed.columns_list());
        parsed.unwrap_or_default().into_iter().map(|name| name.to_vec()).collect()
    };
    Ok(ColumnOrder::between(&list(from), &list(to))?)
}

#[cfg(test)]
mod tests {
    use holdpoint_core::progress::Silent;

    use super::*;

    const TEXT: &str = "--\n-- PostgreSQL database dump\n--\n\\restrict abc\nSET client_encoding = 'UTF8';\n\
        CREATE FUNCTION public.f() RETURNS void LANGUAGE sql AS $$ COPY public.t (a) FROM stdin; $$;\n\
        CREATE TABLE public.t (\n    a text DEFAULT ';'\n);\nCREATE TABLE \"O d\".\"x.\"\"y\" (\n    id integer\n);\n\
        ALTER TABLE ONLY public.root ATTACH PARTITION public.\"le af\" FOR VALUES IN (1);\n\n\
        --\n-- Data\n--\nCOPY public.t (a) FROM stdin;\nx\n\\\\.\ny\n\\.\n\n\nCOPY \"O d\".\"x.\"\"y\" (id) FROM stdin;\n\\.\n\n\n\
        ALTER TABLE ONLY public.t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (a);\n\
        --\n-- PostgreSQL database dump complete\n--\n\n";

    fn text(portion: usize) -> SqlText<impl AsyncRead + Unpin + Send> {
        let parts: Vec<std::io::Result<Bytes>> =
            TEXT.as_bytes().chunks(portion).map(|part| Ok(Bytes::copy_from_slice(part))).collect();
        SqlText::new(tokio_util::io::StreamReader::new(futures_util::stream::iter(parts)), Arc::new(Silent))
    }

    #[tokio::test]
    async fn tables_are_found_however_the_text_arrives() {
        for portion in [1, 3, 64, 4096] {
            let contents = text(portion).contents().await.unwrap();
            let names: Vec<(&str, &str)> =
                contents.tables.iter().map(|one| (one.known.0.as_str(), one.known.1.as_str())).collect();
            assert_eq!(names, [("public", "t"), ("O d", "x.\"y")], "{portion}");
            assert_eq!(contents.partitions, [(b"public.\"le af\"".to_vec(), b"public.root".to_vec())]);
            assert_eq!(contents.encoding, "UTF8");
        }
    }

    #[tokio::test]
    async fn rows_end_where_they_end() {
        for portion in [1, 2, 5, 64, 4096] {
            let mut text = text(portion);
            let mut tables = Vec::new();
            while let Some(statement) = text.statement().await.unwrap() {
                if !statement.starts_with(b"COPY ") {
                    continue;
                }
                let mut rows = Vec::new();
                text.rows(async |part: Bytes| {
                    rows.extend_from_slice(&part);
                    Ok::<_, Error>(())
                })
                .await
                .unwrap();
                tables.push(String::from_utf8(rows).unwrap());
            }
            assert_eq!(tables, ["x\n\\\\.\ny\n", ""], "{portion}");
            text.watch.finish().unwrap();
        }
    }

    #[tokio::test]
    async fn a_text_that_is_cut_is_no_success() {
        let end = TEXT.find("\\\\.\ny").unwrap() + 2;
        for cut in [end, TEXT.len() - 40] {
            let text = SqlText::new(&TEXT.as_bytes()[..cut], Arc::new(Silent));
            assert!(text.load(&BTreeMap::new()).await.is_err(), "{cut}");
        }
        assert!(SqlText::new(TEXT.as_bytes(), Arc::new(Silent)).load(&BTreeMap::new()).await.is_ok());
    }
}
