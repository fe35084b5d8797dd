//! What is known of a tensor before it is there.

use std::sync::Arc;

/// The largest whole number that both engines compute with alike: rten has 32 bits.
const MAX_WHOLE: f64 = 2_147_483_647.0;

/// What is known of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fact {
    /// Its shape, or at least as much in each dimension; none where not even their number is known.
    pub(super) dims: Option<Vec<u64>>,
    /// How many elements it has at most.
    pub(super) elements: u64,
    /// Whether the shape is just that.
    pub(super) is_exact: bool,
    /// The bytes of an element, in the engine that takes more.
    pub(super) width: u64,
    /// Its elements, where these are few and known.
    pub(super) values: Option<Values>,
    /// It is never made: engines fail on the way to it.
    pub(super) is_never: bool,
}

/// The elements of a small tensor.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Values {
    pub(super) elements: Arc<[f64]>,
    /// They are no whole numbers: engines compute with 32 bits of each.
    pub(super) is_real: bool,
}

impl Values {
    /// Those that both engines, and `f64` here, have alike; none if one is not such.
    pub(super) fn new(elements: Vec<f64>, is_real: bool) -> Option<Self> {
        let is_same = |x: &f64| match is_real {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "which is what is looked for"
            )]
            true => x.is_finite() && f64::from(*x as f32) == *x,
            false => x.abs() <= MAX_WHOLE && x.fract() == 0.0,
        };
        (elements.iter().all(is_same)).then(|| Self {
            elements: elements.into(),
            is_real,
        })
    }

    /// As whole numbers.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a size beyond 63 bits is the largest"
    )]
    pub(super) fn whole(&self) -> Vec<i64> {
        self.elements.iter().map(|x| *x as i64).collect()
    }
}

impl Fact {
    /// A tensor of this shape, or at most of it.
    pub(super) fn of(dims: Vec<u64>, is_exact: bool, width: u64) -> Self {
        Self {
            elements: product(&dims),
            dims: Some(dims),
            is_exact,
            width,
            values: None,
            is_never: false,
        }
    }

    /// A tensor of any shape, of so many elements at most.
    pub(super) fn opaque(elements: u64, width: u64) -> Self {
        Self {
            dims: None,
            elements,
            is_exact: false,
            width,
            values: None,
            is_never: false,
        }
    }

    /// What engines fail to make.
    pub(super) fn never() -> Self {
        Self {
            is_never: true,
            ..Self::opaque(0, 1)
        }
    }

    /// What it takes in memory, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.elements.saturating_mul(self.width)
    }

    /// Whichever of the two it is.
    pub(super) fn either(&self, other: &Self) -> Self {
        match (self.is_never, other.is_never) {
            (true, _) => return other.clone(),
            (_, true) => return self.clone(),
            _ => {}
        }
        let width = self.width.max(other.width);
        match (&self.dims, &other.dims) {
            (Some(one), Some(two)) if one.len() == two.len() => {
                let is_exact = self.is_exact && other.is_exact && one == two;
                let dims = one.iter().zip(two).map(|(a, b)| *a.max(b)).collect();
                Self {
                    values: (self.values.clone())
                        .filter(|values| other.values.as_ref() == Some(values)),
                    ..Self::of(dims, is_exact, width)
                }
            }
            _ => Self::opaque(self.elements.max(other.elements), width),
        }
    }

    /// Its shape, or that of one with as many elements.
    pub(super) fn with_dims(&self, dims: Vec<u64>, is_exact: bool) -> Self {
        Self::of(dims, is_exact && self.is_exact, self.width)
    }
}

pub(super) fn product(dims: &[u64]) -> u64 {
    if dims.contains(&0) {
        return 0;
    }
    dims.iter().copied().fold(1, u64::saturating_mul)
}

/// The shape of what two shapes are broadcast to, and whether engines cannot but agree.
pub(super) fn broadcast(one: &[u64], two: &[u64]) -> (Vec<u64>, bool) {
    let rank = one.len().max(two.len());
    let mut fits = true;
    let at = |dims: &[u64], axis: usize| {
        let from = rank - dims.len();
        axis.checked_sub(from)
            .and_then(|axis| dims.get(axis).copied())
            .unwrap_or(1)
    };
    let dims = (0..rank)
        .map(|axis| match (at(one, axis), at(two, axis)) {
            (1, other) | (other, 1) => other,
            (a, b) => {
                fits &= a == b;
                a.max(b)
            }
        })
        .collect();
    (dims, fits)
}
