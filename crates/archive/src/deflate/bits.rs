//! Writes bits as deflate wants them: least significant first (RFC 1951, section 3.1.1).

/// Collects bits into bytes.
///
/// Room must be reserved before bits are added, and at most [`FREE_BITS`](Self::FREE_BITS) bits may be added between two
/// calls of [`flush`](Self::flush). Writing without room panics: an archive must never hold bytes that nobody wrote.
pub(super) struct BitWriter {
    out: Vec<u8>,
    filled: usize,
    bits: u64,
    count: u32,
}

impl BitWriter {
    /// How many bits can be added after a flush.
    pub(super) const FREE_BITS: usize = 57;
    /// A flush writes this many bytes at once, of which some may be overwritten by the next.
    const WORD_BYTES: usize = 8;

    pub(super) fn new() -> Self {
        Self { out: Vec::new(), filled: 0, bits: 0, count: 0 }
    }

    /// Makes room for `bytes` more.
    pub(super) fn reserve(&mut self, bytes: usize) {
        let needed = self.filled + bytes + 2 * Self::WORD_BYTES;
        if self.out.len() < needed {
            self.out.resize(needed, 0);
        }
    }

    /// Adds the lowest `count` bits of `value`, whose other bits are 0.
    #[inline(always)]
    pub(super) fn add(&mut self, value: u64, count: u32) {
        debug_assert!(self.count + count < 64 && value >> count == 0);
        self.bits |= value << self.count;
        self.count += count;
    }

    /// Moves whole bytes out.
    #[inline(always)]
    pub(super) fn flush(&mut self) {
        let end = self.filled + Self::WORD_BYTES;
        self.out[self.filled..end].copy_from_slice(&self.bits.to_le_bytes());
        self.filled += (self.count >> 3) as usize;
        self.bits >>= self.count & !7;
        self.count &= 7;
    }

    /// Adds a few bits where speed does not matter.
    pub(super) fn put(&mut self, value: u64, count: u32) {
        self.add(value, count);
        self.flush();
    }

    /// Bits so far, without those that were taken away.
    pub(super) fn total(&self) -> u64 {
        self.filled as u64 * 8 + u64::from(self.count)
    }

    /// Fills the byte that is begun with 0 bits.
    pub(super) fn align(&mut self) {
        self.count = self.count.next_multiple_of(8);
        self.flush();
    }

    /// Appends bytes; the writer must be aligned, with room reserved.
    pub(super) fn put_bytes(&mut self, bytes: &[u8]) {
        debug_assert_eq!(self.count, 0);
        self.out[self.filled..self.filled + bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
    }

    /// The whole bytes so far.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.out[..self.filled]
    }

    /// Forgets the first `bytes` of the bytes so far.
    pub(super) fn take(&mut self, bytes: usize) {
        self.out.copy_within(bytes..self.filled, 0);
        self.filled -= bytes;
    }

    /// Forgets everything and keeps the memory.
    pub(super) fn clear(&mut self) {
        (self.filled, self.bits, self.count) = (0, 0, 0);
    }
}
