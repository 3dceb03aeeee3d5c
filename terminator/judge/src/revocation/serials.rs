//! Serial numbers of a revocation list: sorted, at a fixed length, and with an index if they are many. A binary search alone
//! misses the cache at each of its twenty steps.
//!
//! It must not cost more than 21 bytes a number, and 256 KiB.

/// Maximum length of a serial number: 20 bytes, and one for the sign, which some CAs leave out of the count.
const SERIAL_MAX: usize = 21;

/// A serial number, with its sign in front to the full length, so that equal numbers are equal bytes.
pub(super) type Serial = [u8; SERIAL_MAX];

/// Number of bits of the index.
const BITS: usize = 16;

/// Largest start of those bits: they are read from three bytes.
const SKIP_MAX: usize = 8 * (SERIAL_MAX - 3);

/// Number of serial numbers from which an index is worth its memory.
const INDEXED_MIN: usize = 4096;

/// Returns a serial number at its full length; `None` if it is empty or too long.
pub(super) fn padded(content: &[u8]) -> Option<Serial> {
    let sign = if *content.first()? >= 0x80 { 0xFF } else { 0 };
    let mut serial = [sign; SERIAL_MAX];
    let at = SERIAL_MAX.checked_sub(content.len())?;
    serial[at..].copy_from_slice(content);
    Some(serial)
}

/// Sorted serial numbers.
#[derive(Clone)]
pub(super) struct Serials {
    sorted: Box<[Serial]>,
    /// Number of bits in front that all have in common, which the index skips.
    skip: usize,
    /// For each value of the next bits, the position of the first number that has it, or would; then the end. Empty
    /// without an index.
    starts: Box<[u32]>,
}

impl Serials {
    /// Sorts serial numbers.
    pub(super) fn new(serials: Vec<Serial>) -> Self {
        let mut sorted = serials.into_boxed_slice();
        sorted.sort_unstable();
        let skip = match (sorted.first(), sorted.last()) {
            (Some(first), Some(last)) => in_common(first, last).min(SKIP_MAX),
            _ => 0,
        };
        let is_indexed = sorted.len() >= INDEXED_MIN && u32::try_from(sorted.len()).is_ok();
        let mut starts = vec![0_u32; if is_indexed { (1 << BITS) + 1 } else { 0 }];
        if is_indexed {
            for serial in &sorted {
                starts[bits(serial, skip) + 1] += 1;
            }
            let mut sum = 0;
            for start in &mut starts {
                sum += *start;
                *start = sum;
            }
        }
        Self {
            sorted,
            skip,
            starts: starts.into_boxed_slice(),
        }
    }

    /// Returns the number of serial numbers.
    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Reports whether a serial number is among them.
    pub(super) fn have(&self, content: &[u8]) -> bool {
        let Some(serial) = padded(content) else {
            return false;
        };
        let value = bits(&serial, self.skip);
        let candidates = match (self.starts.get(value), self.starts.get(value + 1)) {
            (Some(start), Some(end)) => self.sorted.get(*start as usize..*end as usize),
            _ => Some(&*self.sorted),
        };
        candidates.is_some_and(|candidates| candidates.binary_search(&serial).is_ok())
    }
}

/// Returns the number of bits in front that two serial numbers have in common.
fn in_common(one: &Serial, other: &Serial) -> usize {
    let differing = one.iter().zip(other).position(|(one, other)| one != other);
    differing.map_or(8 * SERIAL_MAX, |at| {
        8 * at + (one[at] ^ other[at]).leading_zeros() as usize
    })
}

/// Returns the bits of the index.
fn bits(serial: &Serial, skip: usize) -> usize {
    let three = serial[skip / 8..]
        .iter()
        .take(3)
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    three >> (8 - skip % 8) & ((1 << BITS) - 1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::{INDEXED_MIN, Serials, padded};

    #[test]
    fn equal_numbers_are_equal_bytes() {
        assert_eq!(padded(&[0x7F]), padded(&[0, 0x7F]));
        assert_eq!(padded(&[0xFF]), padded(&[0xFF, 0xFF]));
        assert_ne!(padded(&[0xFF]), padded(&[0, 0xFF]));
        assert_ne!(padded(&[1]), padded(&[1, 0]));
        assert_eq!(padded(&[]), None);
        assert!(padded(&[1; 21]).is_some() && padded(&[1; 22]).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Numbers of any length, with what many CAs have in front, with and without an index.
        #[test]
        fn an_index_changes_no_answer(
            front in proptest::collection::vec(any::<u8>(), 0..17),
            tails in proptest::collection::vec(any::<[u8; 4]>(), INDEXED_MIN..INDEXED_MIN + 99),
            count in prop_oneof![0..9_usize, Just(INDEXED_MIN - 1), Just(usize::MAX)],
            others in proptest::collection::vec(any::<[u8; 4]>(), 99),
            width in 1..=4_usize,
        ) {
            let whole = |tail: &[u8; 4]| [&front[..], &tail[..width]].concat();
            let contents: Vec<Vec<u8>> = tails.iter().take(count).map(whole).collect();
            let known: HashSet<_> = contents.iter().map(|one| padded(one).unwrap()).collect();
            let serials = Serials::new(contents.iter().map(|one| padded(one).unwrap()).collect());
            prop_assert_eq!(serials.len(), contents.len());
            for content in &contents {
                prop_assert!(serials.have(content));
            }
            for other in &others {
                for content in [whole(other), other.to_vec(), vec![other[0]; 21]] {
                    let is_known = known.contains(&padded(&content).unwrap());
                    prop_assert_eq!(serials.have(&content), is_known);
                }
            }
        }
    }
}
