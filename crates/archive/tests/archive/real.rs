//! Archives of the real pg_dump, rewritten and given back to the stock pg_restore, for every major.

use holdpoint_archive::{
    Algorithm, ArchiveVersion, BlockKind, COPY_END, Codec, CopyStatement, EntryKind, EntryOffset, Head, read_all,
};
use holdpoint_testkit::Cluster;

use crate::blocks::decode;
use crate::rewrite::{Block, put_together, take_apart};
use crate::stock::{Database, list, restore, restore_from_pipe, without_random_lines, write};

const GZIP: Codec = Codec::Gzip { level: 4 };
const ZSTD: Codec = Codec::Zstd { level: 1 };

fn codecs(major: u32) -> Vec<Codec> {
    if major >= 16 { vec![Codec::None, GZIP, ZSTD] } else { vec![Codec::None, GZIP] }
}

/// Tables backwards, groups of large objects backwards behind them.
fn backwards(mut blocks: Vec<Block>) -> Vec<Block> {
    blocks.reverse();
    blocks.sort_by_key(|block| block.kind == BlockKind::LargeObjects);
    blocks
}

fn rewritten_archives_restore(major: u32) {
    let cluster = Cluster::shared(major);
    let source = Database::sample(cluster, "archive_source");
    let directory = tempfile::tempdir().unwrap();
    let stock = cluster.pg_dump(&source.name, &["-Fc", "-Z0"]);
    let (head, blocks) = take_apart(&stock);
    let minor = match major {
        14 | 15 => 14,
        16 => 15,
        _ => 16,
    };
    assert_eq!(head.header().version, ArchiveVersion { major: 1, minor, revision: 0 });
    assert_eq!(head.encoding().unwrap().as_deref(), Some("UTF8"));
    assert!(head.entries().iter().all(|entry| matches!(
        (entry.has_data, entry.offset),
        (true, EntryOffset::NotSet) | (false, EntryOffset::NoData)
    )));
    let large: Vec<u32> =
        blocks.iter().flat_map(|block| &block.lists).map(|list| list.oid).filter(|oid| *oid > 0).collect();
    let mut sorted = large.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [20001, 20002, 2_147_483_648, 3_000_000_001]);
    let groups = blocks.iter().filter(|block| block.kind == BlockKind::LargeObjects).count();
    assert_eq!(groups, if major >= 17 { 2 } else { 1 });
    check_contents(&head, &blocks);

    let stock_script = without_random_lines(&restore_from_pipe(cluster, &["-f", "-"], &stock));
    let stock_file = write(directory.path(), "stock", &stock);
    let stock_list = list(cluster, stock_file.to_str().unwrap());
    let source_script = source.script();
    for codec in codecs(major) {
        for piece_bytes in [1, 50_000].into_iter().skip(usize::from(codec != ZSTD && codec != GZIP)) {
            // One byte a piece is for the awkward end of things; the large fields are not needed for it.
            let short: Vec<Block>;
            let blocks = if piece_bytes == 1 {
                short = shortened(&blocks);
                &short
            } else {
                &blocks
            };
            let archive = put_together(&head, blocks, &codec, piece_bytes);
            check_reread(&archive, &codec, blocks);
            let file = write(directory.path(), "rewritten", &archive);
            let file = file.to_str().unwrap();
            assert!(list(cluster, file) == stock_list, "{major} {codec}: --list differs");
            let script = without_random_lines(&restore(cluster, &["-f", "-", file]));
            let expected = if piece_bytes == 1 {
                let plain = put_together(&head, blocks, &Codec::None, 100_000);
                without_random_lines(&restore_from_pipe(cluster, &["-f", "-"], &plain))
            } else {
                stock_script.clone()
            };
            assert!(script == expected, "{major} {codec}, pieces of {piece_bytes}: script differs");
            if piece_bytes == 1 {
                continue;
            }
            let parallel = Database::new(cluster, "archive_parallel");
            restore(cluster, &["-d", &parallel.name, "-j2", file]);
            assert!(parallel.script() == source_script, "{major} {codec}: -j2 differs");
        }
    }

    let (_, blocks) = take_apart(&stock);
    let turned = put_together(&head, &backwards(blocks), &GZIP, 100_000);
    let file = write(directory.path(), "turned", &turned);
    let file = file.to_str().unwrap();
    // Only the data entries' order changes.
    let (mut turned_list, mut expected) = (list(cluster, file), stock_list.clone());
    assert_ne!(turned_list, expected);
    turned_list.sort();
    expected.sort();
    assert_eq!(turned_list, expected);
    let parallel = Database::new(cluster, "archive_parallel");
    restore(cluster, &["-d", &parallel.name, "-j2", file]);
    assert!(parallel.script() == source_script, "{major}: turned, -j2 differs");
    let piped = Database::new(cluster, "archive_piped");
    restore_from_pipe(cluster, &["-d", &piped.name], &turned);
    assert!(piped.script() == source_script, "{major}: turned, piped differs");
    cluster.psql(&piped.name, "DO $$ BEGIN ASSERT (SELECT count(*) FROM no_columns) = 2; ASSERT lo_get(3000000001) = 'beyond two to the 31st'; END $$");
}

/// Blocks cut to a few kilobytes at a row's end.
fn shortened(blocks: &[Block]) -> Vec<Block> {
    let shorten = |block: &Block| {
        let lists = block.lists.iter().map(|list| {
            let mut raw = list.raw.clone();
            if block.kind == BlockKind::LargeObjects {
                raw.truncate(2000);
            } else if raw.len() > 2000 {
                let rows = raw[..2000].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                raw.truncate(rows);
                raw.extend_from_slice(COPY_END);
            }
            crate::rewrite::List { oid: list.oid, raw }
        });
        Block { lists: lists.collect(), ..*block }
    };
    blocks.iter().map(shorten).collect()
}

fn check_contents(head: &Head, blocks: &[Block]) {
    let with_data: Vec<i32> = head.entries().iter().filter(|entry| entry.has_data).map(|entry| entry.dump_id).collect();
    assert_eq!(blocks.iter().map(|block| block.dump_id).collect::<Vec<_>>(), with_data);
    for kind in [EntryKind::SequenceSet, EntryKind::MaterializedViewData, EntryKind::SearchPath] {
        assert!(head.entries().iter().any(|entry| entry.kind() == kind), "{kind:?}");
    }
    let copy = |tag: &[u8]| {
        let entry = head.entries().iter().find(|entry| entry.kind() == EntryKind::TableData && entry.tag == tag);
        CopyStatement::parse(entry.unwrap().copy_statement.as_deref().unwrap()).unwrap()
    };
    let awkward = copy(b"tab\tle, \"q\" FROM stdin;");
    assert_eq!(&awkward.target[..], b"\"sch.ema (x)\".\"tab\tle, \"\"q\"\" FROM stdin;\"");
    assert_eq!(awkward.columns_list(), [&b"\"co,l\""[..], b"\"p)a(\"", b"\"a, b\"", b"\"\"\"\""]);
    assert_eq!(copy(b"no_columns").columns, None);
    for block in blocks.iter().filter(|block| block.kind == BlockKind::TableData) {
        assert!(block.lists[0].raw.ends_with(COPY_END));
    }
}

/// Our own readers find in the rewritten archive what went in.
fn check_reread(archive: &[u8], codec: &Codec, expected: &[Block]) {
    let (head, blocks) = take_apart(archive);
    assert_eq!(head.header().algorithm, codec.algorithm());
    let mut raw_bytes = 0;
    for (block, expected) in blocks.iter().zip(expected) {
        assert_eq!(head.entry(block.dump_id).unwrap().offset, EntryOffset::Set(block.position));
        for (list, expected) in block.lists.iter().zip(&expected.lists) {
            assert!(decode(codec.algorithm(), &[&list.raw]).unwrap() == expected.raw);
            raw_bytes += expected.raw.len() as u64;
        }
    }
    assert_eq!(blocks.len(), expected.len());
    assert_eq!(read_all(archive, 1 << 16).unwrap(), raw_bytes);
}

/// What pg_dump would have written to a file, made from what it writes to a pipe.
fn patched_stream_equals_file(major: u32) {
    let cluster = Cluster::shared(major);
    let source = Database::sample(cluster, "archive_patched");
    let directory = tempfile::tempdir().unwrap();
    let mut compressions = vec!["-Z0", "-Z6"];
    if major >= 16 {
        compressions.extend(["--compress=zstd:3", "--compress=lz4"]);
    }
    for compression in compressions {
        let streamed = cluster.pg_dump(&source.name, &["-Fc", compression]);
        let file = directory.path().join("file");
        cluster.pg_dump(&source.name, &["-Fc", compression, "-f", file.to_str().unwrap()]);
        let mut file = std::fs::read(&file).unwrap();

        let (head, blocks) = take_apart(&streamed);
        let positions: Vec<_> = blocks.iter().map(|block| (block.dump_id, block.position)).collect();
        let mut patched = head.patched(head.header().algorithm, &positions).unwrap();
        if head.header().version.minor == 14 {
            // The level, which our patch replaces by "default".
            patched[11..16].copy_from_slice(&file[11..16]);
        }
        let created = if head.header().version.minor == 14 { 16..16 + 35 } else { 12..12 + 35 };
        file[created.clone()].copy_from_slice(&streamed[created]);
        assert!(file == [&patched, &streamed[head.len()..]].concat(), "{major} {compression}");

        match head.header().algorithm {
            Algorithm::Lz4 => assert!(read_all(&file, 4096).is_err()),
            // pg_dump's own streams, by our decoder.
            _ => assert!(read_all(&file, 4096).unwrap() > 1_000_000),
        }
    }
}

/// Another reader of the format, on the same bytes.
fn another_reader_agrees(major: u32) {
    let cluster = Cluster::shared(major);
    let source = Database::sample(cluster, "archive_oracle");
    let directory = tempfile::tempdir().unwrap();
    let stock = cluster.pg_dump(&source.name, &["-Fc", "-Z0"]);
    let (head, blocks) = take_apart(&stock);
    let turned = backwards(take_apart(&stock).1);
    let plain = put_together(&head, &turned, &Codec::None, 77_777);
    let gzip = put_together(&head, &turned, &GZIP, 77_777);
    for (archive, name) in [(&stock, "stock"), (&plain, "plain"), (&gzip, "gzip")] {
        let head = Head::parse(archive).unwrap();
        let other = libpgdump::load(write(directory.path(), name, archive)).unwrap();
        assert_eq!(other.dbname().as_bytes(), head.header().database.as_deref().unwrap());
        assert_eq!(other.server_version().as_bytes(), head.header().server_version.as_deref().unwrap());
        assert_eq!(other.dump_version().as_bytes(), head.header().dump_version.as_deref().unwrap());
        let time = other.timestamp();
        assert_eq!([time.second, time.minute, time.hour, time.day], head.header().created[..4]);
        assert_eq!(other.entries().len(), head.entries().len());
        for entry in head.entries() {
            let theirs = other.get_entry(entry.dump_id).unwrap();
            let text =
                |bytes: &Option<bytes::Bytes>| bytes.as_ref().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
            assert_eq!(theirs.had_dumper, entry.has_data);
            assert_eq!(theirs.table_oid, entry.catalog_table_oid.to_string());
            assert_eq!(theirs.oid, entry.catalog_oid.to_string());
            assert_eq!(theirs.tag.as_deref().map(str::as_bytes), Some(&entry.tag[..]));
            assert_eq!(theirs.desc.to_string().as_bytes(), entry.description);
            assert_eq!(format!("{:?}", theirs.section), format!("{:?}", entry.section));
            assert_eq!(theirs.defn, text(&entry.definition));
            assert_eq!(theirs.drop_stmt, text(&entry.drop_statement));
            assert_eq!(theirs.copy_stmt, text(&entry.copy_statement));
            assert_eq!(theirs.namespace, text(&entry.namespace));
            assert_eq!(theirs.tablespace, text(&entry.tablespace));
            assert_eq!(theirs.tableam, text(&entry.table_access_method));
            assert_eq!(theirs.owner, text(&entry.owner));
            assert_eq!(theirs.dependencies, entry.dependencies);
            let offset = match entry.offset {
                EntryOffset::Set(position) => position,
                _ => 0,
            };
            assert_eq!(theirs.offset, offset);
        }
        if name == "stock" {
            // It follows offsets only, and a stream has none.
            continue;
        }
        let mut large = other.blobs();
        for block in &blocks {
            for list in &block.lists {
                match block.kind {
                    BlockKind::TableData => assert!(other.entry_data(block.dump_id).unwrap() == list.raw),
                    // It loses its place behind the first compressed large object of a block.
                    BlockKind::LargeObjects if name == "gzip" => large.clear(),
                    BlockKind::LargeObjects => {
                        let at = large.iter().position(|(oid, _)| oid.cast_unsigned() == list.oid).unwrap();
                        assert!(large.swap_remove(at).1 == list.raw, "{major}: large object {}", list.oid);
                    }
                }
            }
        }
        assert!(large.is_empty());
    }
}

/// Names and values that are not UTF-8, in an archive that says LATIN1.
fn names_are_bytes(major: u32) {
    let cluster = Cluster::shared(major);
    let options = "ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0";
    for name in ["archive_latin", "archive_latin_restored"] {
        cluster.create_database_with(name, options);
    }
    cluster.psql(
        "archive_latin",
        "SET client_encoding = 'UTF8'; CREATE TABLE \"café\" (\"é, é\" text); INSERT INTO \"café\" VALUES ('crème'), ('brûlée')",
    );
    let stock = cluster.pg_dump("archive_latin", &["-Fc", "-Z0"]);
    let (head, blocks) = take_apart(&stock);
    assert_eq!(head.encoding().unwrap().as_deref(), Some("LATIN1"));
    let entry = head.entries().iter().find(|entry| entry.has_data).unwrap();
    assert_eq!(&entry.tag[..], b"caf\xe9");
    let copy = CopyStatement::parse(entry.copy_statement.as_deref().unwrap()).unwrap();
    assert_eq!(copy.columns_list(), [&b"\"\xe9, \xe9\""[..]]);
    let archive = put_together(&head, &blocks, &GZIP, 3);
    restore_from_pipe(cluster, &["-d", "archive_latin_restored"], &archive);
    assert_eq!(
        cluster.psql(
            "archive_latin_restored",
            "SET client_encoding = 'UTF8'; SELECT string_agg(\"é, é\", ' ') FROM \"café\""
        ),
        "crème brûlée"
    );
    for name in ["archive_latin", "archive_latin_restored"] {
        cluster.drop_database(name);
    }
}

/// Archives that are not for the parallel way still pass: INSERT statements, schema only.
fn other_kinds_pass(major: u32) {
    let cluster = Cluster::shared(major);
    let source = Database::sample(cluster, "archive_others");
    for arguments in [&["-Fc", "-Z0", "--inserts"][..], &["-Fc", "-Z0", "--schema-only"]] {
        let stock = cluster.pg_dump(&source.name, arguments);
        let (head, blocks) = take_apart(&stock);
        let archive = put_together(&head, &blocks, &GZIP, 10_000);
        let script = |archive| without_random_lines(&restore_from_pipe(cluster, &["-f", "-"], archive));
        assert!(script(&archive) == script(&stock), "{major} {arguments:?}");
        let tables = head.entries().iter().filter(|entry| entry.kind() == EntryKind::TableData);
        assert!(tables.into_iter().all(|entry| entry.copy_statement.is_none()));
    }
}

macro_rules! majors {
    ($($module:ident $major:literal),*) => {$(
        mod $module {
            #[test]
            fn rewritten_archives_restore() {
                super::rewritten_archives_restore($major);
            }
            #[test]
            fn patched_stream_equals_file() {
                super::patched_stream_equals_file($major);
            }
            #[test]
            fn another_reader_agrees() {
                super::another_reader_agrees($major);
            }
            #[test]
            fn names_are_bytes() {
                super::names_are_bytes($major);
            }
            #[test]
            fn other_kinds_pass() {
                super::other_kinds_pass($major);
            }
        }
    )*};
}

majors!(postgresql_14 14, postgresql_15 15, postgresql_16 16, postgresql_17 17, postgresql_18 18);
