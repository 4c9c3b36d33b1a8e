//! Gives a streamed archive's head the offsets and the codec that it could not know when it was written.

use crate::chunk::put_int;
use crate::header::COMPRESSION_AT;
use crate::{Algorithm, Entry, EntryKind, Error, Head};

impl Head {
    /// Returns the head with the blocks' positions and the algorithm filled in; it is exactly as long as this one.
    ///
    /// `blocks` names, in physical order, the id and the position (of the block's first byte, from the archive's first
    /// byte) of every entry that has data. Where that order differs from the contents', the entries of table data swap
    /// places among themselves, and those of large objects among themselves, so that a restore from a pipe, which follows
    /// the contents and cannot seek, meets the blocks in order.
    ///
    /// Errors: an entry with data without exactly one position, positions that do not ascend or lie in the head, an order
    /// that cannot be reached by such swaps or breaks a dependency, an algorithm that the archive's version cannot name.
    pub fn patched(&self, algorithm: Algorithm, blocks: &[(i32, u64)]) -> Result<Vec<u8>, Error> {
        let positions = self.positions(blocks)?;
        let order = self.physical_order(blocks, &positions)?;
        self.check_order(&order, &positions)?;

        let contents_at = self.entries().first().map_or(self.len(), |entry| entry.span.start);
        let mut patched = Vec::with_capacity(self.len());
        patched.extend_from_slice(&self.bytes()[..contents_at]);
        self.patch_compression(&mut patched, algorithm)?;
        for index in order {
            let entry = &self.entries()[index];
            patched.extend_from_slice(&self.bytes()[entry.span.start..entry.offset_at]);
            match positions[index] {
                Some(position) => {
                    patched.push(2);
                    patched.extend_from_slice(&position.to_le_bytes());
                }
                None => patched.extend_from_slice(&self.bytes()[entry.offset_at..entry.span.end]),
            }
        }
        Ok(patched)
    }

    fn patch_compression(&self, patched: &mut [u8], algorithm: Algorithm) -> Result<(), Error> {
        let version = self.header().version;
        let mut field = Vec::new();
        match (version.has_algorithm_byte(), algorithm) {
            (true, Algorithm::None) => field.push(0),
            (true, Algorithm::Gzip) => field.push(1),
            (true, Algorithm::Lz4) => field.push(2),
            (true, Algorithm::Zstd) => field.push(3),
            (false, Algorithm::None) => put_int(&mut field, 0),
            // "Default level": readers only ask whether it is 0.
            (false, Algorithm::Gzip) => put_int(&mut field, -1),
            (false, _) => return Err(Error::CodecNotInVersion { algorithm, version }),
        }
        patched[COMPRESSION_AT..COMPRESSION_AT + field.len()].copy_from_slice(&field);
        Ok(())
    }

    /// Positions by index of the contents, checked to be complete, unique and ascending.
    fn positions(&self, blocks: &[(i32, u64)]) -> Result<Vec<Option<u64>>, Error> {
        let mut positions = vec![None; self.entries().len()];
        let mut least = self.len() as u64;
        for &(dump_id, position) in blocks {
            let index = self.index_of(dump_id).ok_or(Error::UnknownBlock { dump_id })?;
            if !self.entries()[index].has_data {
                return Err(Error::UnexpectedBlock { dump_id });
            }
            if positions[index].is_some() {
                return Err(Error::DuplicateBlock { dump_id });
            }
            if position < least {
                return Err(Error::PositionOrder { dump_id, position });
            }
            positions[index] = Some(position);
            least = position.saturating_add(1);
        }
        match self.entries().iter().zip(&positions).find(|(entry, position)| entry.has_data && position.is_none()) {
            Some((entry, _)) => Err(Error::MissingBlock { dump_id: entry.dump_id }),
            None => Ok(positions),
        }
    }

    /// For every place of the contents the index of the entry that belongs there.
    fn physical_order(&self, blocks: &[(i32, u64)], positions: &[Option<u64>]) -> Result<Vec<usize>, Error> {
        let mut order: Vec<usize> = (0..self.entries().len()).collect();
        for kind in [EntryKind::TableData, EntryKind::LargeObjects] {
            let moves = |entry: &Entry| entry.has_data && entry.kind() == kind;
            let physical = blocks.iter().filter_map(|(dump_id, _)| self.index_of(*dump_id));
            let mut physical = physical.filter(|index| moves(&self.entries()[*index]));
            for (place, entry) in self.entries().iter().enumerate() {
                if moves(entry) {
                    debug_assert!(positions[place].is_some());
                    order[place] = physical.next().ok_or(Error::MissingBlock { dump_id: entry.dump_id })?;
                }
            }
        }
        Ok(order)
    }

    /// Checks that the contents now follow the physical order, and that no entry with data moved before one that it
    /// depends on.
    fn check_order(&self, order: &[usize], positions: &[Option<u64>]) -> Result<(), Error> {
        let mut places = vec![0; order.len()];
        let mut last = 0;
        for (place, &index) in order.iter().enumerate() {
            places[index] = place;
            if let Some(position) = positions[index] {
                if position < last {
                    return Err(Error::BlockOrder { dump_id: self.entries()[index].dump_id });
                }
                last = position;
            }
        }
        for (index, entry) in self.entries().iter().enumerate().filter(|(_, entry)| entry.has_data) {
            let dependencies = entry.dependencies.iter().filter_map(|dump_id| self.index_of(*dump_id));
            for dependency in dependencies {
                // A dependency that already came later (a cycle that pg_dump broke) stays pg_dump's decision.
                if dependency < index && places[dependency] > places[index] {
                    return Err(Error::BlockOrder { dump_id: entry.dump_id });
                }
            }
        }
        Ok(())
    }
}
