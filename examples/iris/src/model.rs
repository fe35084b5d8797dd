//! Which iris it is: a linear discriminant, the method that R. A. Fisher published
//! with these flowers ("The use of multiple measurements in taxonomic problems",
//! 1936).
//!
//! For each species the model has the logarithm of how likely a flower is to be
//! one, up to what all three have in common: a weight for each measurement, and a
//! constant. They follow from the 150 flowers of `iris.csv`, and the test below
//! derives them: the inverse of the covariance within the species, times the mean
//! of the species. Three of the 150 flowers are taken for another species.

/// The sepal's length and width, then the petal's, in cm.
pub(crate) type Flower = [f64; 4];

/// A species: its name, the weights of the measurements, and the constant.
type Species = (&'static str, [f64; 4], f64);

const SPECIES: [Species; 3] = [
    ("setosa", [23.5442, 23.5879, -16.4306, -17.3984], -85.2099),
    ("versicolor", [15.6982, 7.0725, 5.2115, 6.4342], -71.7540),
    ("virginica", [12.4458, 3.6853, 12.7665, 21.0791], -103.2697),
];

/// The species that a flower most likely is, and how likely, from 0 to 1.
pub(crate) fn predict(flower: &Flower) -> (&'static str, f64) {
    let scores = SPECIES.map(|(name, weights, constant)| {
        let products = weights.iter().zip(flower).map(|(w, x)| w * x);
        (name, products.sum::<f64>() + constant)
    });
    let best = |a: (&'static str, f64), b: (&'static str, f64)| if b.1 > a.1 { b } else { a };
    let (name, most) = scores.into_iter().fold(("", f64::NEG_INFINITY), best);
    let sum: f64 = scores.iter().map(|(_, score)| (score - most).exp()).sum();
    (name, 1.0 / sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flowers() -> Vec<(Flower, &'static str)> {
        let lines = include_str!("../iris.csv").lines().skip(1);
        lines
            .map(|line| {
                let (numbers, species) = line.rsplit_once(',').unwrap();
                let numbers: Vec<f64> = numbers.split(',').map(|x| x.parse().unwrap()).collect();
                (numbers.try_into().unwrap(), species)
            })
            .collect()
    }

    /// Solves `matrix * x = right` by Gauss-Jordan elimination.
    fn solve(mut matrix: [[f64; 4]; 4], mut right: Flower) -> Flower {
        for i in 0..4 {
            let pivot = matrix[i][i];
            matrix[i] = matrix[i].map(|a| a / pivot);
            right[i] /= pivot;
            for j in (0..4).filter(|&j| j != i) {
                let factor = matrix[j][i];
                let row = matrix[i];
                std::iter::zip(&mut matrix[j], row).for_each(|(a, b)| *a -= factor * b);
                right[j] -= factor * right[i];
            }
        }
        right
    }

    #[test]
    fn the_coefficients_are_those_of_fishers_flowers() {
        let flowers = flowers();
        let means = SPECIES.map(|(name, ..)| {
            let of: Vec<_> = flowers.iter().filter(|(_, is)| *is == name).collect();
            assert_eq!(of.len(), 50);
            [0, 1, 2, 3].map(|i| of.iter().map(|(x, _)| x[i]).sum::<f64>() / 50.0)
        });
        let mut covariance = [[0.0; 4]; 4];
        for (flower, name) in &flowers {
            let species = SPECIES.iter().position(|(is, ..)| is == name).unwrap();
            for (i, row) in covariance.iter_mut().enumerate() {
                for (j, cell) in row.iter_mut().enumerate() {
                    let mean = means[species];
                    *cell += (flower[i] - mean[i]) * (flower[j] - mean[j]) / 147.0;
                }
            }
        }
        for ((name, weights, constant), mean) in SPECIES.into_iter().zip(means) {
            let fitted = solve(covariance, mean);
            let half: f64 = fitted.iter().zip(mean).map(|(w, m)| w * m / 2.0).sum();
            for (given, fitted) in weights.iter().zip(fitted).chain([(&constant, -half)]) {
                assert!((given - fitted).abs() < 1e-4, "{name}: {given} is {fitted}");
            }
        }
    }

    #[test]
    fn three_of_fishers_flowers_are_taken_for_another_species() {
        let wrong = |(flower, name): &(Flower, &str)| predict(flower).0 != *name;
        assert_eq!(flowers().iter().filter(|row| wrong(row)).count(), 3);
    }

    #[test]
    fn how_likely_it_is_comes_with_it() {
        let (name, probability) = predict(&[5.1, 3.5, 1.4, 0.2]);
        assert_eq!(name, "setosa");
        assert!(probability > 0.999);
        let (name, probability) = predict(&[5.9, 3.2, 4.8, 1.8]);
        assert_eq!(name, "virginica");
        assert!((0.5..0.9).contains(&probability), "{probability}");
    }
}
