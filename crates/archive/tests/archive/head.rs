//! Reading header and contents.

use holdpoint_archive::{Algorithm, ArchiveVersion, EntryKind, EntryOffset, Error, Head, HeadParser, Section};
use proptest::prelude::*;

use crate::fixture::{EntryBytes, head, int, sample_entries, string};

#[test]
fn reads_every_field_of_each_version() {
    for minor in [14, 15, 16] {
        let bytes = head(minor, 1, &sample_entries());
        let head = Head::parse(&[&bytes[..], b"data"].concat()).unwrap();
        assert_eq!(head.bytes(), &bytes);
        assert_eq!(head.len(), bytes.len());
        let header = head.header();
        assert_eq!(header.version, ArchiveVersion { major: 1, minor, revision: 0 });
        assert_eq!((header.int_bytes, header.offset_bytes, header.format), (4, 8, 1));
        assert_eq!(header.algorithm, Algorithm::Gzip);
        assert_eq!(header.created, [59, 58, 23, 31, 11, 126, 0]);
        assert_eq!(header.database.as_deref(), Some(&b"caf\xe9"[..]));
        assert_eq!(header.server_version.as_deref(), Some(&b"16.15"[..]));
        assert_eq!(header.dump_version, None);
        assert_eq!(head.encoding().unwrap().as_deref(), Some("LATIN1"));

        assert_eq!(head.entries().len(), 11);
        let table = head.entry(10).unwrap();
        assert_eq!((table.section, table.has_data, table.kind()), (Section::PreData, false, EntryKind::Other));
        assert_eq!(table.dependencies, [2_000_000_000, 5, 5]);
        assert_eq!((table.catalog_table_oid, table.catalog_oid), (0, 1259));
        assert_eq!(table.offset, EntryOffset::NoData);
        let data = head.entry(30).unwrap();
        assert_eq!((data.kind(), data.has_data), (EntryKind::TableData, true));
        assert_eq!(&data.tag[..], b"t\xff0");
        assert_eq!(data.copy_statement.as_deref(), Some(&b"COPY public.t (a) FROM stdin;\n"[..]));
        // Empty is not NULL.
        assert_eq!((data.definition.as_deref(), data.drop_statement.as_deref()), (Some(&b""[..]), Some(&b""[..])));
        assert_eq!((data.tablespace.as_deref(), data.namespace.as_deref()), (None, Some(&b"pub,lic"[..])));
        assert_eq!(data.table_access_method.as_deref(), Some(&b"heap"[..]));
        assert_eq!(data.relkind, if minor == 16 { i32::from(b'r') } else { 0 });
        assert_eq!(data.owner.as_deref(), Some(&b"\xe9t\xe9"[..]));
        assert_eq!(head.entry(1).unwrap().owner, None);
        assert_eq!(data.offset, EntryOffset::NotSet);
        assert_eq!(bytes[data.offset_at], 1);
        assert_eq!(&bytes[data.span.clone()], sample_entries()[4].bytes(minor));
        assert!(head.entry(11).is_none());
        let kinds: Vec<_> = [12, 35, 40].map(|id| head.entry(id).unwrap().kind()).into();
        assert_eq!(kinds, [EntryKind::LargeObjectMetadata, EntryKind::SequenceSet, EntryKind::LargeObjects]);
    }
}

#[test]
fn reads_offsets_and_algorithms() {
    let mut entry = EntryBytes::data(5, "TABLE DATA", b"t");
    (entry.state, entry.position) = (2, 0x0102_0304_0506_0708);
    let parsed = Head::parse(&head(16, 3, &[entry])).unwrap();
    assert_eq!(parsed.entry(5).unwrap().offset, EntryOffset::Set(0x0102_0304_0506_0708));
    assert_eq!(parsed.header().algorithm, Algorithm::Zstd);
    let algorithm = |minor, field| Head::parse(&head(minor, field, &[])).map(|head| head.header().algorithm);
    for (minor, field, expected) in [
        (14, 0, Algorithm::None),
        (14, -1, Algorithm::Gzip),
        (14, 9, Algorithm::Gzip),
        (15, 0, Algorithm::None),
        (15, 2, Algorithm::Lz4),
        (16, 3, Algorithm::Zstd),
    ] {
        assert_eq!(algorithm(minor, field).unwrap(), expected, "1.{minor}, {field}");
    }
    for (minor, field) in [(14, -2), (14, 10), (15, 4)] {
        assert!(matches!(algorithm(minor, field), Err(Error::Corrupt { at: 11 | 12, .. })), "1.{minor}, {field}");
    }
}

#[test]
fn says_why_it_cannot_read() {
    let good = head(16, 0, &sample_entries());
    let change = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        Head::parse(&bytes).map(drop)
    };
    assert!(matches!(change(4, b'Q'), Err(Error::NotAnArchive)));
    for (at, byte) in [(5, 2), (6, 13), (6, 17)] {
        let error = change(at, byte).unwrap_err();
        assert!(matches!(error, Error::UnsupportedVersion { .. }), "{error}");
    }
    assert!(change(6, 13).unwrap_err().to_string().contains("1.13"));
    assert!(matches!(change(8, 8), Err(Error::UnsupportedWidths { int_bytes: 8, offset_bytes: 8 })));
    assert!(matches!(change(9, 4), Err(Error::UnsupportedWidths { .. })));
    assert!(matches!(change(10, 3), Err(Error::UnsupportedFormat { format: 3 })));
    assert!(matches!(Head::parse(b"GARBAGE"), Err(Error::NotAnArchive)));
    assert!(matches!(Head::parse(b""), Err(Error::Truncated { at: 0, .. })));
    for cut in 0..good.len() {
        assert!(matches!(Head::parse(&good[..cut]), Err(Error::Truncated { .. })), "cut at {cut}");
    }

    let one = |change: fn(&mut EntryBytes)| {
        let mut entry = EntryBytes::data(5, "TABLE DATA", b"t");
        change(&mut entry);
        Head::parse(&head(16, 0, &[entry])).map(drop)
    };
    one(|_| {}).unwrap();
    assert!(matches!(one(|entry| entry.id = 0), Err(Error::Corrupt { .. })));
    assert!(matches!(one(|entry| entry.section = 5), Err(Error::Corrupt { .. })));
    assert!(matches!(one(|entry| entry.state = 0), Err(Error::Corrupt { .. })));
    assert!(matches!(one(|entry| entry.oid = "12x"), Err(Error::Corrupt { .. })));
    let twice = head(16, 0, &[EntryBytes::new(5, "TABLE", b"a", 2), EntryBytes::new(5, "TABLE", b"b", 2)]);
    assert!(matches!(Head::parse(&twice), Err(Error::DuplicateEntry { dump_id: 5 })));
}

#[test]
fn the_encoding_is_absent_or_clear() {
    let encoding = |entries: &[EntryBytes]| Head::parse(&head(16, 0, entries)).unwrap().encoding();
    assert!(matches!(encoding(&[]), Ok(None)));
    for (definition, expected) in [
        (&b"SET client_encoding = 'SQL_ASCII';\n"[..], Some("SQL_ASCII")),
        (b"SET client_encoding = '';\n", None),
        (b"SET client_encoding = 'UTF8'; DROP TABLE t; --';\n", None),
        (b"SET client_encoding = 'UTF8\xff';\n", None),
    ] {
        let entry = EntryBytes::new(1, "ENCODING", b"ENCODING", 2).defined(definition);
        assert_eq!(encoding(&[entry]).ok().flatten().as_deref(), expected);
    }
}

#[test]
fn a_claimed_length_allocates_nothing_and_the_cap_holds() {
    let start = head(16, 0, &[]);
    let start = &start[..start.len() - 5];
    // An entry count of two billion, then nothing.
    let mut parser = HeadParser::default();
    assert!(parser.push(&[start, &int(i64::from(i32::MAX))].concat()).unwrap().is_none());
    assert!(matches!(Head::parse(&[start, &int(-1)].concat()), Err(Error::Corrupt { .. })));

    // A string of just under and just over the cap.
    let entry = [int(1), int(5), int(0), string(Some(b"0")), string(Some(b"1"))].concat();
    let mut parser = HeadParser::default();
    assert!(parser.push(&[start, &entry, &int(1 << 29)].concat()).unwrap().is_none());
    assert!(matches!(parser.push(b"x"), Ok(None)));
    let claim = [start, &entry, &int(1 << 30)].concat();
    assert!(matches!(Head::parse(&claim), Err(Error::HeadTooLarge { limit: HeadParser::DEFAULT_LIMIT })));
    assert!(matches!(Head::parse(&[start, &entry, &int(-2)].concat()), Err(Error::Corrupt { .. })));

    // A cap is met exactly.
    let whole = head(16, 0, &sample_entries());
    assert!(HeadParser::new(whole.len()).push(&[&whole[..], b"data"].concat()).unwrap().is_some());
    let refused = HeadParser::new(whole.len() - 1).push(&whole).map(drop);
    assert!(matches!(refused, Err(Error::HeadTooLarge { .. })));
}

#[test]
fn slow_input_is_not_read_again_and_again() {
    // A statement of 4 MiB and 100,000 dependencies, byte by byte: quadratic work would take hours.
    let mut entry = EntryBytes::new(5, "FUNCTION", b"f", 2).defined(&vec![b'x'; 4 << 20]);
    entry.dependencies = (1..100_000).collect();
    let bytes = head(16, 0, &[entry]);
    let mut parser = HeadParser::default();
    let (last, first) = bytes.split_last().unwrap();
    for byte in first {
        assert!(parser.push(std::slice::from_ref(byte)).unwrap().is_none());
    }
    let end = [*last, b'd'];
    let (head, rest) = parser.push(&end).unwrap().unwrap();
    assert_eq!((head.entry(5).unwrap().dependencies.len(), rest), (99_999, &b"d"[..]));
}

proptest! {
    #[test]
    fn portions_do_not_matter(minor in 14_u8..=16, cuts in prop::collection::vec(1_usize..700, 1..60)) {
        let bytes = head(minor, 0, &sample_entries());
        let whole = [&bytes[..], b"data behind"].concat();
        let mut parser = HeadParser::default();
        let mut at = 0;
        for cut in cuts.iter().cycle() {
            let portion = &whole[at..(at + cut).min(whole.len())];
            at += portion.len();
            if let Some((head, rest)) = parser.push(portion).unwrap() {
                let once = Head::parse(&bytes).unwrap();
                prop_assert_eq!(head.entries(), once.entries());
                prop_assert_eq!(head.bytes(), &bytes);
                prop_assert_eq!(rest, &whole[bytes.len()..at]);
                return Ok(());
            }
        }
    }
}
