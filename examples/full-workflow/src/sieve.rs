//! The sieve of Eratosthenes in pieces, so that memory stays small and progress is seen.

/// Numbers in a piece, as one byte each: they fit into a processor's second cache.
const PIECE: u64 = 1 << 18;

/// A piece that was counted.
pub(crate) struct Piece {
    /// How many primes are in it.
    pub(crate) primes: u64,
    /// Its last number.
    pub(crate) last: u64,
}

/// Counts the primes from 2 to `most`, piece by piece.
pub(crate) fn pieces(most: u64) -> impl Iterator<Item = Piece> {
    let small = small_primes(most.isqrt());
    let mut first = 2;
    std::iter::from_fn(move || {
        if first > most {
            return None;
        }
        let last = most.min(first + PIECE - 1);
        let primes = count(first, last, &small);
        first = last + 1;
        Some(Piece { primes, last })
    })
}

/// The primes from `first` to `last`; `small` has those up to the root of `last`.
fn count(first: u64, last: u64, small: &[u64]) -> u64 {
    let mut composite = vec![false; to_index(last - first) + 1];
    for &prime in small {
        let square = prime * prime;
        if square > last {
            break;
        }
        let begin = square.max(first.div_ceil(prime) * prime);
        for number in (begin..=last).step_by(to_index(prime)) {
            if let Some(mark) = composite.get_mut(to_index(number - first)) {
                *mark = true;
            }
        }
    }
    composite
        .iter()
        .map(|composite| u64::from(!composite))
        .sum()
}

fn small_primes(most: u64) -> Vec<u64> {
    let mut primes: Vec<u64> = Vec::new();
    for number in 2..=most {
        let mut divisors = primes
            .iter()
            .take_while(|prime| **prime * **prime <= number);
        if divisors.all(|prime| number % prime != 0) {
            primes.push(number);
        }
    }
    primes
}

/// Indices are within a piece, or a root; both are small.
fn to_index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_are_the_known_ones() {
        for (most, known) in [
            (0, 0),
            (1, 0),
            (2, 1),
            (3, 2),
            (4, 2),
            (10, 4),
            (100, 25),
            (10_000, 1_229),
            (1_000_000, 78_498),
        ] {
            let counted: u64 = pieces(most).map(|piece| piece.primes).sum();
            assert_eq!(counted, known, "{most}");
        }
    }

    #[test]
    fn the_pieces_join() {
        let ends: Vec<_> = pieces(3 * PIECE).map(|piece| piece.last).collect();
        let expected = [PIECE + 1, 2 * PIECE + 1, 3 * PIECE];
        assert_eq!(ends, expected);
        // A prime that stands first or last in its piece is counted once.
        for most in [PIECE, PIECE + 1, PIECE + 2] {
            let one_by_one = small_primes(most).len() as u64;
            assert_eq!(
                pieces(most).map(|piece| piece.primes).sum::<u64>(),
                one_by_one
            );
        }
    }
}
