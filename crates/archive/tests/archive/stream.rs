//! Following a whole archive.

use bytes::Bytes;
use holdpoint_archive::{BlockKind, Error, Event, Limits, StreamParser};
use proptest::prelude::*;

use crate::fixture::{head, large_objects_block, sample_archive, sample_entries, table_block};

/// Events with neighbouring data joined, as text that can be compared.
fn events(portions: impl IntoIterator<Item = Bytes>) -> Result<Vec<String>, Error> {
    let mut parser = StreamParser::new(Limits::default());
    let mut seen = Vec::new();
    let mut data = Vec::new();
    for portion in portions {
        parser.push(portion);
        while let Some(event) = parser.next_event()? {
            if let Event::Data(bytes) = &event {
                data.extend_from_slice(bytes);
                continue;
            }
            if !data.is_empty() {
                seen.push(format!("data {}", String::from_utf8_lossy(&std::mem::take(&mut data)).escape_debug()));
            }
            seen.push(match event {
                Event::Head(head) => format!("head {} {}", head.header().version, head.entries().len()),
                Event::BlockStart { dump_id, kind: BlockKind::TableData, position } => {
                    format!("table {dump_id} {position}")
                }
                Event::BlockStart { dump_id, kind, position } => format!("{kind:?} {dump_id} {position}"),
                Event::LargeObjectStart { oid } => format!("object {oid}"),
                Event::LargeObjectEnd => "object end".to_owned(),
                Event::BlockEnd { position } => format!("end {position}"),
                Event::Data(_) => unreachable!(),
            });
        }
    }
    parser.finish()?;
    Ok(seen)
}

#[test]
fn indexes_a_whole_archive() {
    for minor in [14, 15, 16] {
        let (archive, begins) = sample_archive(minor);
        let [a, b, filler, c, d, e] = begins[..] else { panic!() };
        let expected = vec![
            format!("head 1.{minor} 11"),
            format!("table 30 {a}"),
            "data a\\nb\\n\\\\.\\n\\n\\n".to_owned(),
            format!("end {b}"),
            format!("table 31 {b}"),
            "data \\\\.\\n\\n\\n".to_owned(),
            format!("end {filler}"),
            format!("table 2000000001 {filler}"),
            format!("end {c}"),
            format!("table 32 {c}"),
            "data c\\n\\\\.\\n\\n\\n".to_owned(),
            format!("end {d}"),
            format!("LargeObjects 40 {d}"),
            "object 16385".to_owned(),
            "data firstsecond".to_owned(),
            "object end".to_owned(),
            "object 16386".to_owned(),
            "object end".to_owned(),
            format!("end {e}"),
            format!("LargeObjects 41 {e}"),
            "object 3000000001".to_owned(),
            "data third".to_owned(),
            "object end".to_owned(),
            "object 2147483648".to_owned(),
            "data fourth".to_owned(),
            "object end".to_owned(),
            format!("end {}", archive.len()),
        ];
        assert_eq!(events([Bytes::from(archive)]).unwrap(), expected);
    }
}

#[test]
fn data_share_the_pushed_memory() {
    let (archive, _) = sample_archive(16);
    let pushed = Bytes::from(archive);
    let range = pushed.as_ptr_range();
    let mut parser = StreamParser::new(Limits::default());
    parser.push(pushed);
    let mut seen = 0;
    while let Some(event) = parser.next_event().unwrap() {
        if let Event::Data(data) = event {
            assert!(range.contains(&data.as_ptr()));
            seen += 1;
        }
    }
    assert_eq!(seen, 10);
}

#[test]
fn a_claimed_chunk_is_passed_on_as_it_comes() {
    let mut archive = head(16, 0, &sample_entries());
    archive.extend(table_block(30, &[b"x"]));
    let at = archive.len() - 5 - 1 - 5;
    archive[at..at + 5].copy_from_slice(&[0, 0xff, 0xff, 0xff, 0x7f]);
    let mut parser = StreamParser::new(Limits::default());
    parser.push(Bytes::from(archive));
    let mut data = 0;
    while let Some(event) = parser.next_event().unwrap() {
        if let Event::Data(bytes) = event {
            data += bytes.len();
        }
    }
    assert_eq!(data, 6);
    assert!(matches!(parser.finish(), Err(Error::Truncated { .. })));
}

#[test]
fn only_a_border_of_blocks_is_an_end() {
    let (archive, begins) = sample_archive(16);
    for cut in 0..=archive.len() {
        let border = begins.contains(&cut) || cut == archive.len();
        match events([Bytes::copy_from_slice(&archive[..cut])]) {
            Ok(_) => assert!(border, "cut at {cut}"),
            Err(Error::Truncated { at, .. }) => assert!(!border && at == cut as u64, "cut at {cut}, said {at}"),
            Err(error) => panic!("cut at {cut}: {error}"),
        }
    }
}

#[test]
fn refuses_blocks_that_contradict_the_contents() {
    let after_head =
        |blocks: &[Vec<u8>]| events([Bytes::from([head(16, 0, &sample_entries()), blocks.concat()].concat())]);
    assert!(after_head(&[]).is_ok());
    let twice = after_head(&[table_block(30, &[]), table_block(30, &[])]);
    assert!(matches!(twice, Err(Error::DuplicateBlock { dump_id: 30 })));
    assert!(matches!(after_head(&[table_block(35, &[])]), Err(Error::UnexpectedBlock { dump_id: 35 })));
    assert!(matches!(after_head(&[table_block(40, &[])]), Err(Error::UnexpectedBlock { dump_id: 40 })));
    assert!(matches!(after_head(&[large_objects_block(30, &[])]), Err(Error::UnexpectedBlock { dump_id: 30 })));
    // Filler may repeat.
    assert!(after_head(&[table_block(900, &[]), table_block(900, &[])]).is_ok());
    assert!(matches!(after_head(&[vec![2, 0, 30, 0, 0, 0]]), Err(Error::Corrupt { .. })));
    let negative = [&[1, 0, 30, 0, 0, 0][..], &[1, 1, 0, 0, 0]].concat();
    assert!(matches!(after_head(&[negative]), Err(Error::Corrupt { .. })));
}

#[test]
fn stays_failed() {
    let mut parser = StreamParser::new(Limits { head_bytes: 100 });
    parser.push(Bytes::from(sample_archive(16).0));
    assert!(matches!(parser.next_event(), Err(Error::HeadTooLarge { limit: 100 })));
    assert!(matches!(parser.next_event(), Err(Error::AfterFailure)));
    assert!(matches!(parser.finish(), Err(Error::AfterFailure)));
}

proptest! {
    #[test]
    fn portions_do_not_matter(minor in 14_u8..=16, cuts in prop::collection::vec(0_usize..300, 1..100)) {
        let (archive, _) = sample_archive(minor);
        let archive = Bytes::from(archive);
        let mut portions = Vec::new();
        let mut rest = archive.clone();
        for cut in cuts {
            portions.push(rest.split_to(cut.min(rest.len())));
        }
        portions.push(rest);
        prop_assert_eq!(events(portions).unwrap(), events([archive]).unwrap());
    }
}
