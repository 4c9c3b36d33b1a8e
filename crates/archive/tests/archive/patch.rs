//! Patching a head.

use holdpoint_archive::{Algorithm, EntryOffset, Error, Head};
use proptest::prelude::*;

use crate::fixture::{EntryBytes, head, sample_entries};

fn sample(minor: u8) -> Head {
    Head::parse(&head(minor, 0, &sample_entries())).unwrap()
}

/// The ids at positions that begin behind the head, 100 bytes apart.
fn laid_out(head: &Head, ids: &[i32]) -> Vec<(i32, u64)> {
    ids.iter().zip(0..).map(|(id, index)| (*id, head.len() as u64 + 100 * index)).collect()
}

fn ids(head: &Head) -> Vec<i32> {
    head.entries().iter().map(|entry| entry.dump_id).collect()
}

#[test]
fn fills_in_positions_and_codec() {
    for (minor, algorithm, field) in [
        (14, Algorithm::None, vec![0, 0, 0, 0, 0]),
        (14, Algorithm::Gzip, vec![1, 1, 0, 0, 0]),
        (15, Algorithm::Gzip, vec![1]),
        (15, Algorithm::Zstd, vec![3]),
        (16, Algorithm::None, vec![0]),
    ] {
        let head = sample(minor);
        let blocks = laid_out(&head, &[30, 31, 32, 40, 41]);
        let patched = head.patched(algorithm, &blocks).unwrap();
        // Nothing changes but the field and the offsets.
        let mut expected = head.bytes().to_vec();
        expected[11..11 + field.len()].copy_from_slice(&field);
        for (id, position) in &blocks {
            let at = head.entry(*id).unwrap().offset_at;
            expected[at] = 2;
            expected[at + 1..at + 9].copy_from_slice(&position.to_le_bytes());
        }
        assert_eq!(patched, expected, "1.{minor} {algorithm}");
        let reread = Head::parse(&patched).unwrap();
        assert_eq!(reread.header().algorithm, algorithm);
        assert_eq!(reread.entry(10).unwrap().offset, EntryOffset::NoData);
    }
    let blocks = laid_out(&sample(14), &[30, 31, 32, 40, 41]);
    for algorithm in [Algorithm::Zstd, Algorithm::Lz4] {
        assert!(matches!(sample(14).patched(algorithm, &blocks), Err(Error::CodecNotInVersion { .. })));
    }
    let empty = Head::parse(&head(16, 0, &[])).unwrap();
    assert_eq!(&empty.patched(Algorithm::None, &[]).unwrap(), empty.bytes());
}

#[test]
fn contents_follow_the_physical_order() {
    let head = sample(16);
    let blocks = laid_out(&head, &[31, 30, 32, 41, 40]);
    let patched = Head::parse(&head.patched(Algorithm::Gzip, &blocks).unwrap()).unwrap();
    assert_eq!(ids(&patched), [1, 10, 12, 13, 31, 30, 32, 35, 41, 40, 50]);
    assert_eq!(patched.len(), head.len());
    for (id, position) in blocks {
        assert_eq!(patched.entry(id).unwrap().offset, EntryOffset::Set(position));
        assert_eq!(patched.entry(id).unwrap().tag, head.entry(id).unwrap().tag);
    }
    // The codec byte is in the header, which did not move.
    assert_eq!(patched.bytes()[..11], head.bytes()[..11]);
}

#[test]
fn refuses_orders_that_a_pipe_could_not_follow() {
    let head = sample(16);
    let order = |ids: &[i32]| head.patched(Algorithm::None, &laid_out(&head, ids)).map(drop);
    // 32 refers to 30.
    assert!(matches!(order(&[31, 32, 30, 40, 41]), Err(Error::BlockOrder { dump_id: 32 })));
    // Large objects before, or between, tables.
    assert!(matches!(order(&[40, 41, 30, 31, 32]), Err(Error::BlockOrder { .. })));
    assert!(matches!(order(&[31, 30, 40, 32, 41]), Err(Error::BlockOrder { .. })));
}

#[test]
fn large_objects_stay_behind_their_metadata() {
    let entries = [
        EntryBytes::new(1, "BLOB METADATA", b"1", 3),
        EntryBytes::data(2, "BLOBS", b"BLOBS").after(&[1]),
        EntryBytes::new(3, "BLOB METADATA", b"2", 3),
        EntryBytes::data(4, "BLOBS", b"BLOBS").after(&[3]),
    ];
    let head = Head::parse(&head(16, 0, &entries)).unwrap();
    head.patched(Algorithm::None, &laid_out(&head, &[2, 4])).unwrap();
    let swapped = head.patched(Algorithm::None, &laid_out(&head, &[4, 2]));
    assert!(matches!(swapped, Err(Error::BlockOrder { dump_id: 4 })));
}

#[test]
fn every_entry_with_data_needs_exactly_one_position() {
    let head = sample(15);
    let order = |ids: &[i32]| head.patched(Algorithm::None, &laid_out(&head, ids)).map(drop);
    assert!(matches!(order(&[30, 31, 32, 40]), Err(Error::MissingBlock { dump_id: 41 })));
    assert!(matches!(order(&[30, 31, 31, 32, 40, 41]), Err(Error::DuplicateBlock { dump_id: 31 })));
    assert!(matches!(order(&[30, 31, 32, 40, 41, 77]), Err(Error::UnknownBlock { dump_id: 77 })));
    assert!(matches!(order(&[30, 31, 32, 40, 41, 35]), Err(Error::UnexpectedBlock { dump_id: 35 })));
    let mut blocks = laid_out(&head, &[30, 31, 32, 40, 41]);
    blocks[2].1 = blocks[1].1;
    assert!(matches!(head.patched(Algorithm::None, &blocks), Err(Error::PositionOrder { dump_id: 32, .. })));
    blocks[0].1 = head.len() as u64 - 1;
    assert!(matches!(head.patched(Algorithm::None, &blocks), Err(Error::PositionOrder { dump_id: 30, .. })));
}

proptest! {
    #[test]
    fn any_order_of_independent_tables_patches(minor in 14_u8..=16, order in Just((100..140).collect::<Vec<i32>>()).prop_shuffle()) {
        let mut entries = sample_entries();
        // Other entries between, as pg_dump's sorting may leave them.
        for id in 100..140_i64 {
            entries.push(EntryBytes::data(id, "TABLE DATA", format!("table {id}").repeat(1 + id as usize % 7).as_bytes()));
            if id % 5 == 0 {
                entries.push(EntryBytes::new(id + 1000, "SEQUENCE SET", b"s", 3));
            }
        }
        entries.retain(|entry| ![30, 31, 32, 40, 41].contains(&entry.id));
        let bytes = head(minor, 0, &entries);
        let head = Head::parse(&bytes).unwrap();
        let blocks = laid_out(&head, &order);
        let patched = Head::parse(&head.patched(Algorithm::None, &blocks).unwrap()).unwrap();
        prop_assert_eq!(patched.len(), head.len());
        let data: Vec<_> = patched.entries().iter().filter(|entry| entry.has_data).map(|entry| entry.dump_id).collect();
        prop_assert_eq!(&data, &order);
        for (before, after) in head.entries().iter().zip(patched.entries()) {
            prop_assert_eq!(before.has_data, after.has_data);
            if !before.has_data {
                prop_assert_eq!(before.dump_id, after.dump_id);
            }
        }
        for (id, position) in blocks {
            let (before, after) = (head.entry(id).unwrap(), patched.entry(id).unwrap());
            prop_assert_eq!(after.offset, EntryOffset::Set(position));
            prop_assert_eq!(&head.bytes()[before.span.start..before.offset_at], &patched.bytes()[after.span.start..after.offset_at]);
        }
    }
}
