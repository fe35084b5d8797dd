//! The model `iris`, as the host has it.

use serde::Serialize;
use skep_sdk::{Context, Failure};

/// The sepal's length and width, then the petal's, in cm.
pub(crate) type Measurements = [f32; 4];

/// How likely each species is, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Probabilities {
    setosa: f64,
    versicolor: f64,
    virginica: f64,
}

impl Probabilities {
    /// The likeliest species, and how likely it is.
    pub(crate) fn best(&self) -> (&'static str, f64) {
        [
            ("versicolor", self.versicolor),
            ("virginica", self.virginica),
        ]
        .into_iter()
        .fold(("setosa", self.setosa), |best, other| {
            match other.1 > best.1 {
                true => other,
                false => best,
            }
        })
    }
}

/// Asks the model about flowers, all in one call.
pub(crate) fn predict(
    ctx: &Context,
    flowers: &[Measurements],
) -> Result<Vec<Probabilities>, Failure> {
    let answer = ctx.infer("iris").input("measurements", flowers)?.run()?;
    let probabilities = answer.get::<f32>("probabilities")?;
    // Another model under this name is no reason to take rows apart in the wrong places.
    if probabilities.shape() != [flowers.len() as u64, 3] {
        return Err(Failure::failed(format_args!(
            "the model iris answers {:?}, not a row of 3 for each flower: is it another one?",
            probabilities.shape()
        )));
    }
    let (rows, _) = probabilities.as_chunks();
    Ok(rows.iter().copied().map(Probabilities::from).collect())
}

impl From<[f32; 3]> for Probabilities {
    fn from(row: [f32; 3]) -> Self {
        // Engines differ in the seventh digit, and nobody needs the fifth.
        let [setosa, versicolor, virginica] = row.map(|p| (f64::from(p) * 1e4).round() / 1e4);
        Probabilities {
            setosa,
            versicolor,
            virginica,
        }
    }
}
