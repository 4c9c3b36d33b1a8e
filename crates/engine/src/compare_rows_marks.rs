//! Rows of two sides, reduced to hashes, joined by key in bounded memory.
//!
//! A row is 40 bytes here. Beyond the budget they go into files, one for each part of the keys' hashes, which no other
//! program sees: they have no name, so that nothing is left of them whatever happens. A part that alone is larger than
//! the budget is divided again. Hashes tell nothing of a row's values.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Parts that one division makes: six bits of the key's hash.
const PARTS: usize = 64;
const PART_BITS: u32 = 6;
/// So often the first 64 bits of a hash can be divided; more rows than fit then have one key.
const DEEPEST: u32 = 9;
/// Bytes of a mark in a file, and in memory.
const MARK_BYTES: usize = 40;
/// A buffer of a file.
const BUFFER: usize = 64 << 10;

/// A row: its key, its compared columns, and where it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    key: [u64; 2],
    row: [u64; 2],
    place: u64,
}

impl Mark {
    pub(crate) fn new(key: u128, row: u128, place: u64) -> Self {
        let halves = |hash: u128| [(hash >> 64) as u64, hash as u64];
        Self { key: halves(key), row: halves(row), place }
    }

    fn key(&self) -> u128 {
        u128::from(self.key[0]) << 64 | u128::from(self.key[1])
    }

    fn part(&self, depth: u32) -> usize {
        (self.key[0] >> (64 - PART_BITS * (depth + 1)) & (PARTS as u64 - 1)) as usize
    }

    fn write(&self, to: &mut impl Write) -> io::Result<()> {
        for number in [self.key[0], self.key[1], self.row[0], self.row[1], self.place] {
            to.write_all(&number.to_le_bytes())?;
        }
        Ok(())
    }

    fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut numbers = [0_u64; MARK_BYTES / 8];
        for number in &mut numbers {
            let mut bytes = [0; 8];
            from.read_exact(&mut bytes)?;
            *number = u64::from_le_bytes(bytes);
        }
        let [a, b, c, d, place] = numbers;
        Ok(Self { key: [a, b], row: [c, d], place })
    }
}

/// A side of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hand {
    /// How it was.
    Then,
    /// How it is.
    Now,
}

/// What the memory limit made of a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spilled {
    /// Bytes of hashes that went into files.
    pub bytes: u64,
    /// Files that there were.
    pub files: u64,
    /// How often a part had to be divided again.
    pub divided_again: u64,
    /// The most bytes of hashes that were in memory at a time.
    pub most_held_bytes: u64,
}

/// How two rows of one key, or a row without its like, differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The key is then alone.
    Missing { key: u128, then: u64 },
    /// The key is there twice, its columns differ.
    Changed { key: u128, then: u64, now: u64 },
    /// The key is now alone.
    New { key: u128, now: u64 },
    /// Equal.
    Equal,
    /// One side has the key more than once: it is none.
    Repeated,
}

#[derive(Debug, Default)]
struct Part {
    held: Vec<Mark>,
    file: Option<(BufWriter<File>, u64)>,
}

/// Collects the marks of both sides, then joins them.
#[derive(Debug)]
pub(crate) struct Marks {
    parts: [Vec<Part>; 2],
    depth: u32,
    held_bytes: usize,
    limit: usize,
    directory: PathBuf,
    spilled: Spilled,
}

fn bytes(capacity: usize) -> usize {
    capacity * MARK_BYTES
}

impl Marks {
    /// `limit` is in bytes; what is beyond it goes into unnamed files of `directory`.
    pub(crate) fn new(limit: usize, directory: &Path) -> Self {
        Self::at(0, limit, directory)
    }

    fn at(depth: u32, limit: usize, directory: &Path) -> Self {
        let parts = || (0..PARTS).map(|_| Part::default()).collect();
        Self {
            parts: [parts(), parts()],
            depth,
            held_bytes: 0,
            limit,
            directory: directory.to_owned(),
            spilled: Spilled::default(),
        }
    }

    pub(crate) fn push(&mut self, hand: Hand, mark: Mark) -> io::Result<()> {
        let part = &mut self.parts[hand as usize][mark.part(self.depth)];
        let before = part.held.capacity();
        part.held.push(mark);
        self.held_bytes += bytes(part.held.capacity() - before);
        self.spilled.most_held_bytes = self.spilled.most_held_bytes.max(self.held_bytes as u64);
        if self.held_bytes > self.limit { self.spill() } else { Ok(()) }
    }

    /// Writes everything that is held into files.
    fn spill(&mut self) -> io::Result<()> {
        for part in self.parts.iter_mut().flatten().filter(|part| !part.held.is_empty()) {
            let held = std::mem::take(&mut part.held);
            let (file, count) = match &mut part.file {
                Some(file) => file,
                none => {
                    self.spilled.files += 1;
                    let file = tempfile::tempfile_in(&self.directory)?;
                    none.insert((BufWriter::with_capacity(BUFFER, file), 0))
                }
            };
            for mark in &held {
                mark.write(file)?;
            }
            file.flush()?;
            *count += held.len() as u64;
            self.spilled.bytes += (held.len() * MARK_BYTES) as u64;
        }
        self.held_bytes = 0;
        Ok(())
    }

    /// Joins both sides by key and tells each key once, always in the same order.
    ///
    /// An error of a file ends it.
    pub(crate) fn join(mut self, found: &mut dyn FnMut(Found)) -> io::Result<Spilled> {
        if self.spilled.files > 0 {
            self.spill()?;
        }
        let [then, now] = std::mem::take(&mut self.parts);
        for (then, now) in then.into_iter().zip(now) {
            let count = |part: &Part| part.held.len() as u64 + part.file.as_ref().map_or(0, |(_, count)| *count);
            let size = (count(&then) + count(&now)).saturating_mul(MARK_BYTES as u64);
            if size > self.limit as u64 && self.depth < DEEPEST && self.spilled.files > 0 {
                self.divide(then, now, found)?;
            } else if size > self.limit as u64 && self.spilled.files > 0 {
                // No hash divides them any more: they are one key.
                found(Found::Repeated);
            } else {
                let (mut then, mut now) = (load(then)?, load(now)?);
                let held = (bytes(then.capacity() + now.capacity()) + self.held_bytes) as u64;
                self.spilled.most_held_bytes = self.spilled.most_held_bytes.max(held);
                then.sort_unstable_by_key(Mark::key);
                now.sort_unstable_by_key(Mark::key);
                merge(&then, &now, found);
            }
        }
        Ok(self.spilled)
    }

    /// Joins a part that is too large by itself.
    fn divide(&mut self, then: Part, now: Part, found: &mut dyn FnMut(Found)) -> io::Result<()> {
        let mut finer = Self::at(self.depth + 1, self.limit, &self.directory);
        for (hand, part) in [(Hand::Then, then), (Hand::Now, now)] {
            read_file(part.file, &mut |mark| finer.push(hand, mark))?;
        }
        let spilled = finer.join(found)?;
        let all = &mut self.spilled;
        all.bytes += spilled.bytes;
        all.files += spilled.files;
        all.divided_again += spilled.divided_again + 1;
        all.most_held_bytes = all.most_held_bytes.max(spilled.most_held_bytes);
        Ok(())
    }
}

fn read_file(file: Option<(BufWriter<File>, u64)>, each: &mut dyn FnMut(Mark) -> io::Result<()>) -> io::Result<()> {
    let Some((file, count)) = file else { return Ok(()) };
    let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.rewind()?;
    let mut from = BufReader::with_capacity(BUFFER, file);
    for _ in 0..count {
        each(Mark::read(&mut from)?)?;
    }
    Ok(())
}

fn load(part: Part) -> io::Result<Vec<Mark>> {
    let mut marks = part.held;
    let count = part.file.as_ref().map_or(0, |(_, count)| *count);
    marks.reserve_exact(usize::try_from(count).unwrap_or_default());
    read_file(part.file, &mut |mark| {
        marks.push(mark);
        Ok(())
    })?;
    Ok(marks)
}

/// Walks two sorted lists.
fn merge(then: &[Mark], now: &[Mark], found: &mut dyn FnMut(Found)) {
    let same = |list: &[Mark], from: usize| list[from..].iter().take_while(|mark| mark.key == list[from].key).count();
    let (mut one, mut other) = (0, 0);
    while one < then.len() || other < now.len() {
        let (was, is) = (then.get(one), now.get(other));
        let order = match (was, is) {
            (Some(was), Some(is)) => was.key().cmp(&is.key()),
            (Some(_), None) => std::cmp::Ordering::Less,
            _ => std::cmp::Ordering::Greater,
        };
        let (mut before, mut after) = (0, 0);
        if order.is_le() {
            before = same(then, one);
        }
        if order.is_ge() {
            after = same(now, other);
        }
        found(match (was, is, before, after) {
            (_, _, 2.., _) | (_, _, _, 2..) => Found::Repeated,
            (Some(was), _, 1, 0) => Found::Missing { key: was.key(), then: was.place },
            (_, Some(is), 0, 1) => Found::New { key: is.key(), now: is.place },
            (Some(was), Some(is), _, _) if was.row != is.row => {
                Found::Changed { key: was.key(), then: was.place, now: is.place }
            }
            _ => Found::Equal,
        });
        (one, other) = (one + before, other + after);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use holdpoint_core::digest::hash;

    use super::*;

    fn mark(key: u64, row: u64) -> Mark {
        Mark::new(hash(&key.to_le_bytes()), hash(&row.to_le_bytes()), key)
    }

    fn joined(limit: usize, then: &[(u64, u64)], now: &[(u64, u64)]) -> (Vec<Found>, Spilled) {
        let directory = tempfile::tempdir().unwrap();
        let mut marks = Marks::new(limit, directory.path());
        for (key, row) in then {
            marks.push(Hand::Then, mark(*key, *row)).unwrap();
        }
        for (key, row) in now {
            marks.push(Hand::Now, mark(*key, *row)).unwrap();
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "files have no names");
        let mut all = Vec::new();
        let spilled = marks.join(&mut |found| all.push(found)).unwrap();
        (all, spilled)
    }

    fn places(found: &[Found]) -> (Vec<u64>, Vec<u64>, Vec<u64>, usize) {
        let (mut missing, mut changed, mut new, mut equal) = (vec![], vec![], vec![], 0);
        for one in found {
            match one {
                Found::Missing { then, .. } => missing.push(*then),
                Found::Changed { then, now, .. } => {
                    assert_eq!(then, now);
                    changed.push(*then);
                }
                Found::New { now, .. } => new.push(*now),
                Found::Equal => equal += 1,
                Found::Repeated => panic!("no key is there twice"),
            }
        }
        for list in [&mut missing, &mut changed, &mut new] {
            list.sort_unstable();
        }
        (missing, changed, new, equal)
    }

    #[test]
    fn every_key_is_told_once() {
        let (found, spilled) = joined(1 << 20, &[(1, 1), (2, 2), (3, 3)], &[(4, 4), (3, 9), (2, 2)]);
        assert_eq!(places(&found), (vec![1], vec![3], vec![4], 1));
        assert_eq!((spilled.files, spilled.bytes), (0, 0));
    }

    #[test]
    fn what_is_on_disk_is_found_as_in_memory() {
        let then: Vec<(u64, u64)> = (0..50_000).map(|key| (key, key)).collect();
        let now: Vec<(u64, u64)> =
            (100..50_100).rev().map(|key| (key, if key % 1000 == 7 { 1 } else { key })).collect();
        let (in_memory, held) = joined(1 << 30, &then, &now);
        assert_eq!(held.files, 0);
        let wanted = places(&in_memory);
        assert_eq!((wanted.0.len(), wanted.1.len(), wanted.2.len()), (100, 49, 100));
        for limit in [1 << 20, 100_000, 20_000] {
            let (found, spilled) = joined(limit, &then, &now);
            assert_eq!(places(&found), wanted, "{limit}");
            assert!(spilled.files > 0 && spilled.bytes >= 100_000 * 40 - limit as u64, "{spilled:?}");
            assert!(spilled.most_held_bytes <= 2 * limit as u64, "{limit}: {spilled:?}");
        }
        let (_, spilled) = joined(20_000, &then, &now);
        assert!(spilled.divided_again > 0, "{spilled:?}");
        let order = |found: &[Found]| found.iter().filter(|one| **one != Found::Equal).copied().collect::<Vec<_>>();
        assert_eq!(order(&joined(20_000, &then, &now).0), order(&in_memory), "always in the same order");
    }

    #[test]
    fn a_key_that_repeats_is_none() {
        let count = |found: &[Found]| found.iter().filter(|one| **one == Found::Repeated).count();
        assert_eq!(count(&joined(1 << 20, &[(1, 1), (1, 2), (2, 2)], &[(1, 1), (2, 2)]).0), 1);
        assert_eq!(count(&joined(1 << 20, &[(2, 2)], &[(1, 1), (1, 1), (2, 2)]).0), 1);
        // So many of one key that no division makes them fit.
        let many: Vec<(u64, u64)> = (0..5000).map(|row| (7, row)).collect();
        let (found, spilled) = joined(10_000, &many, &[(1, 1)]);
        assert!(count(&found) > 0 && spilled.most_held_bytes <= 20_000, "{spilled:?}");
        let mut kinds = BTreeMap::new();
        for one in found {
            *kinds.entry(format!("{one:?}").split(' ').next().unwrap().to_owned()).or_insert(0) += 1;
        }
        assert_eq!(kinds.len(), 2, "{kinds:?}");
    }

    #[test]
    fn a_directory_that_takes_no_file_is_an_error() {
        let mut marks = Marks::new(100, Path::new("/nonexistent/folder"));
        let pushed = (0..10).try_for_each(|key| marks.push(Hand::Then, mark(key, key)));
        assert!(pushed.is_err());
    }
}
