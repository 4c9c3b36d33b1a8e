//! The plan of an upload's parts: how large, how many, how many at once. Pure.

use super::options::{MAX_PART_BYTES, MIN_PART_BYTES, S3Options};

/// Parts are this large unless the object needs larger ones.
const USUAL_PART_BYTES: u64 = 16 << 20;

/// How an object is cut into parts.
///
/// The first parts hold the held-back head and, behind it, the first data: they are sent last. Then come parts of
/// `base` bytes. Once there are as many as the guess of the object's size (and half of what the store takes) allows,
/// the size doubles every tenth of the part numbers that are left, so that a guess that was wrong by far still fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartPlan {
    base: u64,
    max_parts: u64,
    equal: bool,
    parallel: u64,
    /// Bytes in the first parts: head and first data.
    first_bytes: u64,
    first_parts: u64,
    /// The part number from which sizes may grow.
    grows_from: u64,
}

impl PartPlan {
    pub(super) fn new(options: &S3Options, expected_bytes: u64, held_back: u64) -> Self {
        let max_parts = u64::from(options.max_parts);
        let least = options.part_bytes.unwrap_or(USUAL_PART_BYTES);
        // A tenth of the numbers stays for what the guess missed.
        let usable = (max_parts * 9 / 10).max(1);
        // Whole MiB: some stores want them, and all divide them well.
        let needed = expected_bytes.saturating_add(held_back).div_ceil(usable).next_multiple_of(1 << 20);
        let base = least.max(needed).min(MAX_PART_BYTES);
        let (first_bytes, first_parts) = if held_back == 0 {
            (0, 0)
        } else if options.equal_parts {
            let parts = held_back.div_ceil(base);
            (parts * base, parts)
        } else {
            let bytes = held_back.max(MIN_PART_BYTES);
            (bytes, (bytes / base).max(1))
        };
        let grows_from = (max_parts / 2).max(expected_bytes.div_ceil(base) + first_parts);
        Self {
            base,
            max_parts,
            equal: options.equal_parts,
            parallel: u64::from(options.parallel_uploads),
            first_bytes,
            first_parts,
            grows_from,
        }
    }

    /// Bytes that head and first data have together.
    pub(super) fn first_bytes(&self) -> u64 {
        self.first_bytes
    }

    /// The number of the first part that holds data only.
    pub(super) fn first_data_part(&self) -> u64 {
        self.first_parts + 1
    }

    /// The sizes of the first parts.
    pub(super) fn first_sizes(&self) -> Vec<u64> {
        let each = self.first_bytes.checked_div(self.first_parts).unwrap_or_default();
        (0..self.first_parts)
            .map(|n| if n + 1 == self.first_parts { self.first_bytes - each * n } else { each })
            .collect()
    }

    /// The size of data part `number`, or `None` when the store takes no such part.
    pub(super) fn size_of(&self, number: u64) -> Option<u64> {
        if number > self.max_parts {
            return None;
        }
        if self.equal || number <= self.grows_from {
            return Some(self.base);
        }
        let step = ((self.max_parts - self.grows_from) / 10).max(1);
        let doublings = ((number - self.grows_from - 1) / step + 1).min(40);
        Some(self.base.saturating_mul(1 << doublings).min(MAX_PART_BYTES))
    }

    /// How many bytes may be in flight together with a part of `part` bytes: more than one part only while they are
    /// small.
    pub(super) fn flight_bytes(&self, part: u64) -> u64 {
        part.max(self.base * self.parallel)
    }

    /// The most memory held at once, unless the object outgrows its guess.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.base * (self.parallel + 1) + self.first_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    fn plan(expected: u64, held_back: u64, change: impl FnOnce(&mut S3Options)) -> PartPlan {
        let mut options = S3Options::default();
        change(&mut options);
        PartPlan::new(&options, expected, held_back)
    }

    fn capacity(plan: &PartPlan) -> u64 {
        (1..).map_while(|n| plan.size_of(n)).sum()
    }

    #[test]
    fn small_objects_have_usual_parts() {
        let plan = plan(GIB, 100, |_| {});
        assert_eq!(plan.size_of(2), Some(16 * MIB));
        assert_eq!((plan.first_bytes(), plan.first_data_part()), (5 * MIB, 2));
        assert_eq!(plan.first_sizes(), [5 * MIB]);
        assert_eq!(plan.memory_bytes(), 85 * MIB);
    }

    #[test]
    fn the_guess_fits_and_so_does_much_more() {
        for (expected, max_parts) in [(0, 10_000), (GIB, 10_000), (140 * GIB, 10_000), (5 << 40, 10_000), (GIB, 1000)] {
            let plan = plan(expected, 3 * MIB, |o| o.max_parts = max_parts);
            let in_guess: u64 = (1..=u64::from(max_parts) * 95 / 100).filter_map(|n| plan.size_of(n)).sum();
            assert!(in_guess >= expected, "{expected} in {max_parts} parts");
            assert!(capacity(&plan) >= (4 * expected).min(8 << 40), "{expected} in {max_parts} parts outgrown");
        }
        // Nothing known, 10,000 parts: 5 TiB fit all the same.
        assert!(capacity(&plan(0, 0, |_| {})) >= 5 << 40);
    }

    #[test]
    fn a_terabyte_has_larger_parts() {
        let plan = plan(1 << 40, 0, |_| {});
        assert_eq!(plan.size_of(1), Some(117 * MIB));
        assert_eq!(plan.first_sizes(), [0u64; 0]);
        assert_eq!(plan.first_data_part(), 1);
    }

    #[test]
    fn equal_parts_stay_equal() {
        let plan = plan(GIB, 20 * MIB, |o| {
            o.equal_parts = true;
            o.part_bytes = Some(8 * MIB);
        });
        assert_eq!(plan.first_sizes(), [8 * MIB; 3]);
        assert_eq!(plan.first_data_part(), 4);
        assert!((1..=10_000).all(|n| plan.size_of(n) == Some(8 * MIB)));
        assert_eq!(plan.size_of(10_001), None);
    }

    #[test]
    fn a_head_larger_than_a_part_makes_no_tiny_part() {
        for held_back in [1, 5 * MIB, 16 * MIB, 16 * MIB + 1, 31 * MIB, 33 * MIB, 70 * MIB + 3] {
            let plan = plan(0, held_back, |_| {});
            let sizes = plan.first_sizes();
            assert_eq!(sizes.iter().sum::<u64>(), plan.first_bytes());
            assert!(plan.first_bytes() >= held_back);
            assert!(sizes.iter().all(|s| (MIN_PART_BYTES..=32 * MIB).contains(s)), "{held_back}: {sizes:?}");
        }
    }

    #[test]
    fn fewer_fly_as_parts_grow() {
        let plan = plan(0, 0, |_| {});
        assert_eq!(plan.flight_bytes(16 * MIB), 64 * MIB);
        assert_eq!(plan.flight_bytes(128 * MIB), 128 * MIB);
        assert!(plan.size_of(5_001) > plan.size_of(5_000));
        assert!(plan.size_of(10_000) <= Some(MAX_PART_BYTES));
    }
}
