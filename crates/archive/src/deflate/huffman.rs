//! Code lengths and codes of limited length.

/// A code of `N` symbols: for each its bits, reversed as deflate writes them, and their number; 0 for an unused symbol.
pub(super) struct Code<const N: usize> {
    pub(super) lengths: [u8; N],
    pub(super) bits: [u16; N],
}

impl<const N: usize> Code<N> {
    /// The code of the given lengths (RFC 1951, section 3.2.2).
    pub(super) fn of_lengths(lengths: [u8; N]) -> Self {
        let mut counts = [0_u16; 16];
        for &length in &lengths {
            counts[usize::from(length & 15)] += 1;
        }
        counts[0] = 0;
        let (mut next, mut code) = ([0_u16; 16], 0);
        for length in 1..16 {
            code = (code + counts[length - 1]) << 1;
            next[length] = code;
        }
        let mut bits = [0; N];
        for (bits, &length) in bits.iter_mut().zip(&lengths) {
            if length > 0 {
                let code = &mut next[usize::from(length & 15)];
                *bits = code.reverse_bits() >> (16 - u32::from(length));
                *code += 1;
            }
        }
        Self { lengths, bits }
    }

    /// The code of the first symbols, the others left out.
    pub(super) fn first<const M: usize>(&self) -> Code<M> {
        let mut code = Code { lengths: [0; M], bits: [0; M] };
        code.lengths.copy_from_slice(&self.lengths[..M]);
        code.bits.copy_from_slice(&self.bits[..M]);
        code
    }

    /// The best code for these frequencies in which none is longer than `limit`.
    ///
    /// At least two symbols get a code, whatever the frequencies: readers refuse incomplete codes.
    pub(super) fn of_frequencies(frequencies: &[u32; N], limit: usize) -> Self {
        let mut used: Vec<(u32, u16)> = Vec::with_capacity(N);
        used.extend(
            (0_u16..).zip(frequencies).filter(|&(_, &count)| count > 0).map(|(symbol, &count)| (count, symbol)),
        );
        for symbol in 0_u16.. {
            if used.len() >= 2 {
                break;
            }
            if used.iter().all(|&(_, other)| other != symbol) {
                used.push((1, symbol));
            }
        }
        used.sort_unstable();
        let mut depths: Vec<u32> = used.iter().map(|&(count, _)| count).collect();
        minimum_redundancy(&mut depths);
        let counts = limited(&depths, limit);
        let mut lengths = [0; N];
        // The rarest symbols come first and get the longest codes.
        let mut symbols = used.iter();
        for length in (1..=limit).rev() {
            for &(_, symbol) in symbols.by_ref().take(counts[length] as usize) {
                lengths[usize::from(symbol)] = length as u8;
            }
        }
        Self::of_lengths(lengths)
    }

    /// Bits that symbols of these frequencies cost, without extra bits.
    pub(super) fn cost(&self, frequencies: &[u32; N]) -> u64 {
        self.lengths.iter().zip(frequencies).map(|(&length, &count)| u64::from(length) * u64::from(count)).sum()
    }
}

/// Replaces ascending frequencies by the depths of their leaves in a Huffman tree, in place (A. Moffat and J. Katajainen,
/// "In-place calculation of minimum-redundancy codes", 1995).
fn minimum_redundancy(values: &mut [u32]) {
    let n = values.len();
    if n < 2 {
        return;
    }
    // Inner nodes: each takes the two smallest of leaves and inner nodes; children keep the index of their parent.
    let (mut root, mut leaf) = (0, 0);
    for next in 0..n - 1 {
        let mut sum = 0;
        for _ in 0..2 {
            if leaf >= n || (root < next && values[root] < values[leaf]) {
                sum += values[root];
                values[root] = next as u32;
                root += 1;
            } else {
                sum += values[leaf];
                leaf += 1;
            }
        }
        values[next] = sum;
    }
    // Depths of the inner nodes.
    values[n - 2] = 0;
    for next in (0..n - 2).rev() {
        values[next] = values[values[next] as usize] + 1;
    }
    // Depths of the leaves, the deepest first.
    let (mut available, mut depth) = (1, 0);
    let mut inner = n as isize - 2;
    let mut next = n as isize - 1;
    while available > 0 {
        let mut taken = 0;
        while inner >= 0 && values[inner as usize] == depth {
            taken += 1;
            inner -= 1;
        }
        while available > taken {
            values[next as usize] = depth;
            next -= 1;
            available -= 1;
        }
        available = 2 * taken;
        depth += 1;
    }
}

/// How many codes of each length there are when none may be longer than `limit`.
fn limited(depths: &[u32], limit: usize) -> [u32; 16] {
    let mut counts = [0_u32; 16];
    for &depth in depths {
        counts[(depth as usize).min(limit)] += 1;
    }
    let mut total: u32 = (1..=limit).map(|length| counts[length] << (limit - length)).sum();
    // Too many codes of the longest length: one of them and one shorter code together go one level below the shorter.
    while total > 1 << limit {
        counts[limit] -= 1;
        if let Some(length) = (1..limit).rev().find(|&length| counts[length] > 0) {
            counts[length] -= 1;
            counts[length + 1] += 2;
        }
        total -= 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kraft<const N: usize>(code: &Code<N>) -> u32 {
        code.lengths.iter().filter(|&&length| length > 0).map(|&length| 1 << (15 - length)).sum()
    }

    #[test]
    fn the_example_of_the_standard() {
        let code = Code::of_lengths([3, 3, 3, 3, 3, 2, 4, 4]);
        let reversed = [0b010, 0b011, 0b100, 0b101, 0b110, 0b00, 0b1110, 0b1111_u16];
        for (symbol, expected) in reversed.into_iter().enumerate() {
            assert_eq!(code.bits[symbol], expected.reverse_bits() >> (16 - code.lengths[symbol]), "{symbol}");
        }
    }

    #[test]
    fn few_symbols_still_make_a_complete_code() {
        for frequencies in [[0, 0, 0, 0], [0, 0, 0, 9], [5, 0, 0, 0], [0, 1, 1, 0]] {
            let code = Code::of_frequencies(&frequencies, 7);
            assert_eq!(kraft(&code), 1 << 15, "{frequencies:?}");
            for (symbol, &count) in frequencies.iter().enumerate() {
                assert!(count == 0 || code.lengths[symbol] > 0);
            }
        }
    }

    proptest! {
        #[test]
        fn codes_are_complete_and_within_the_limit(
            exponents in prop::collection::vec(0_u32..25, 286),
            few in 0_usize..286,
            limit in 9_usize..=15,
        ) {
            let mut frequencies = [0_u32; 286];
            for (count, exponent) in frequencies.iter_mut().zip(&exponents).skip(few) {
                *count = (1 << exponent) - 1;
            }
            let code = Code::of_frequencies(&frequencies, limit);
            prop_assert_eq!(kraft(&code), 1 << 15);
            for (&length, &count) in code.lengths.iter().zip(&frequencies) {
                prop_assert!(usize::from(length) <= limit && (count == 0 || length > 0));
            }
            // More frequent symbols never have longer codes.
            for a in 0..286 {
                for b in 0..286 {
                    if frequencies[a] > frequencies[b] && frequencies[b] > 0 {
                        prop_assert!(code.lengths[a] <= code.lengths[b]);
                    }
                }
            }
        }
    }
}
