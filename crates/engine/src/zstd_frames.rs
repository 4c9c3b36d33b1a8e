//! Whether zstd frames are whole, by their headers alone: nothing is decompressed.
//!
//! pg_restore takes a zstd file that is cut for one that ended, and says nothing of the rows that it lost
//! (`compress_zstd.c`). The form is RFC 8878, 3.1.1.

const MAGIC: u32 = 0xFD2F_B528;
/// `0x184D2A5?`: a frame that holds no data.
const SKIPPABLE: u32 = 0x184D_2A50;

/// Follows zstd frames as their bytes pass.
#[derive(Debug, Default)]
pub struct ZstdFrames {
    /// What is read next, gathered until there is enough of it.
    header: Vec<u8>,
    next: Next,
    /// Bytes to pass over before it.
    skip: u64,
    broken: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    /// A frame's magic number, or the end.
    #[default]
    Magic,
    /// The size of a skippable frame.
    SkippableSize,
    /// The byte that says how long the rest of the header is.
    Descriptor,
    /// A block's header.
    Block { checksum: bool },
}

impl Next {
    fn bytes(self) -> usize {
        match self {
            Self::Magic | Self::SkippableSize => 4,
            Self::Descriptor => 1,
            Self::Block { .. } => 3,
        }
    }
}

impl ZstdFrames {
    /// Takes the next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.broken {
            if self.skip > 0 {
                let over = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
                self.skip -= over as u64;
                bytes = &bytes[over..];
                continue;
            }
            let lacking = self.next.bytes() - self.header.len();
            let (taken, rest) = bytes.split_at(lacking.min(bytes.len()));
            self.header.extend_from_slice(taken);
            bytes = rest;
            if self.header.len() == self.next.bytes() {
                self.step();
                self.header.clear();
            }
        }
    }

    fn step(&mut self) {
        let number = self.header.iter().rev().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        self.next = match self.next {
            Next::Magic if number == MAGIC => Next::Descriptor,
            Next::Magic if number & 0xFFFF_FFF0 == SKIPPABLE => Next::SkippableSize,
            Next::Magic => {
                self.broken = true;
                Next::Magic
            }
            Next::SkippableSize => {
                self.skip = u64::from(number);
                Next::Magic
            }
            Next::Descriptor => {
                let single = number & 0x20 != 0;
                let window = u64::from(!single);
                let dictionary = [0, 1, 2, 4][(number & 3) as usize];
                let size = match number >> 6 {
                    0 => u64::from(single),
                    flag => 1 << flag,
                };
                self.skip = window + dictionary + size;
                Next::Block { checksum: number & 4 != 0 }
            }
            Next::Block { checksum } => {
                let (last, kind, size) = (number & 1 != 0, number >> 1 & 3, u64::from(number >> 3));
                // One byte that is repeated stands for a block of kind 1.
                self.skip = if kind == 1 { 1 } else { size };
                self.broken |= kind == 3;
                match last {
                    true => {
                        self.skip += if checksum { 4 } else { 0 };
                        Next::Magic
                    }
                    false => Next::Block { checksum },
                }
            }
        };
    }

    /// Whether all frames so far have come to their end. Nothing at all is whole.
    pub fn is_whole(&self) -> bool {
        !self.broken && self.skip == 0 && self.header.is_empty() && self.next == Next::Magic
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn whole(bytes: &[u8], at_once: usize) -> bool {
        let mut frames = ZstdFrames::default();
        bytes.chunks(at_once).for_each(|chunk| frames.push(chunk));
        frames.is_whole()
    }

    fn frame(data: &[u8], level: i32, checksum: bool) -> Vec<u8> {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), level).unwrap();
        encoder.include_checksum(checksum).unwrap();
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_cut_is_noticed_and_no_whole_one() {
        let rows: Vec<u8> =
            (0..60_000_u32).flat_map(|n| format!("{n}\t{}\n", n.wrapping_mul(2_654_435_761)).into_bytes()).collect();
        let zeros = vec![0; 300_000];
        let frames = [
            frame(b"", 1, false),
            frame(b"one", 1, true),
            frame(&rows, 3, false),
            frame(&zeros, 1, true),
            zstd::bulk::compress(&rows[..5000], 19).unwrap(),
        ];
        let mut all = Vec::new();
        for one in &frames {
            assert!([1, 7, 4096].iter().all(|at_once| whole(one, *at_once)));
            let step = (one.len() / 500).max(1);
            for end in (1..one.len()).step_by(step).chain([one.len() - 1]) {
                assert!(!whole(&one[..end], 1000), "{end} of {}", one.len());
            }
            all.extend_from_slice(one);
        }
        all.extend_from_slice(&[0x51, 0x2A, 0x4D, 0x18, 2, 0, 0, 0, 9, 9]);
        assert!(whole(&all, 333) && !whole(&all[..all.len() - 1], 333));
        assert!(whole(b"", 1));
        assert!(!whole(b"\x1f\x8b\x08\x00 gzip", 3));
    }
}
