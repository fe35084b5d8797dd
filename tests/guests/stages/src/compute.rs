//! Work for the processor alone, of three kinds: whole numbers and no memory, floating
//! point, and memory with a branch for each access.

use std::hint::black_box;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use skep_sdk::{Context, Failure};

/// What to compute.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Work {
    /// SHA-256 of 64 MiB.
    Sha256,
    /// The product of two matrices of 400 by 400.
    Matrix,
    /// The primes below 16 million, by a sieve.
    Primes,
}

#[skep_sdk::listener]
/// Computes for some hundred milliseconds, and answers a check of it.
pub(crate) fn compute(work: Work, _: &Context) -> Result<u64, Failure> {
    Ok(match work {
        Work::Sha256 => sha256(),
        Work::Matrix => matrix(),
        Work::Primes => primes(),
    })
}

fn sha256() -> u64 {
    // Not on the stack, which has as much in all.
    let block = black_box(vec![0x5a; 1 << 16]);
    let mut hasher = Sha256::new();
    (0..1024).for_each(|_| hasher.update(&block));
    hasher.finalize().iter().map(|&byte| u64::from(byte)).sum()
}

fn matrix() -> u64 {
    const N: usize = 400;
    let filled = |step: usize| -> Vec<f64> { (0..N * N).map(|i| (i * step % 17) as f64).collect() };
    let (a, b) = (black_box(filled(3)), black_box(filled(5)));
    let mut product = vec![0.0; N * N];
    for ((row, line), sums) in (0..N).zip(a.chunks(N)).zip(product.chunks_mut(N)) {
        black_box(row);
        for (&left, right) in line.iter().zip(b.chunks(N)) {
            for (sum, &right) in sums.iter_mut().zip(right) {
                *sum += left * right;
            }
        }
    }
    black_box(product).iter().sum::<f64>() as u64
}

fn primes() -> u64 {
    const BELOW: usize = 16_000_000;
    let mut composite = black_box(vec![false; BELOW]);
    let mut count = 0;
    for n in 2..BELOW {
        if composite[n] {
            continue;
        }
        count += 1;
        for multiple in (n.saturating_mul(n)..BELOW).step_by(n) {
            composite[multiple] = true;
        }
    }
    count
}
