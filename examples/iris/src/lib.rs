//! A model served: which iris it is, for one flower or for a table of thousands.

mod model;
mod table;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use skep_sdk::{Context, Failure, Output, Payload};

use model::{Measurements, Probabilities};

/// How many rows go to the model at once. A call costs some µs beside its rows, and between two of them there is news of
/// the progress.
const CHUNK: usize = 1000;

/// A flower, in cm.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Flower {
    #[schemars(range(min = 0.0, max = 100.0))]
    sepal_length: f32,
    #[schemars(range(min = 0.0, max = 100.0))]
    sepal_width: f32,
    #[schemars(range(min = 0.0, max = 100.0))]
    petal_length: f32,
    #[schemars(range(min = 0.0, max = 100.0))]
    petal_width: f32,
}

/// What a flower most likely is.
#[derive(Serialize)]
struct Prediction {
    species: &'static str,
    probabilities: Probabilities,
}

/// Predicts the species of a flower.
#[skep_sdk::listener]
fn predict(flower: Flower, ctx: &Context) -> Result<Prediction, Failure> {
    let measurements = [
        flower.sepal_length,
        flower.sepal_width,
        flower.petal_length,
        flower.petal_width,
    ];
    let probabilities = model::predict(ctx, &[measurements])?;
    let first = probabilities.into_iter().next();
    let probabilities = first.ok_or_else(|| Failure::failed("the model gave no row"))?;
    Ok(Prediction {
        species: probabilities.best().0,
        probabilities,
    })
}

/// Predicts the species of each row of a CSV table; the result is CSV, and names bad rows by
/// their lines.
#[skep_sdk::listener(name = "predict-csv")]
fn predict_csv(csv: Vec<u8>, ctx: &Context) -> Result<Output, Failure> {
    let csv = String::from_utf8(csv).map_err(|error| {
        Failure::invalid(format_args!("the table must be CSV in UTF-8: {error}"))
    })?;
    let rows: Vec<_> = table::rows(&csv).collect();
    let good: Vec<Measurements> = rows
        .iter()
        .filter_map(|row| row.flower.clone().ok())
        .collect();
    if good.is_empty() {
        let first = rows.iter().find_map(|row| row.flower.as_ref().err());
        return Err(Failure::invalid(format_args!(
            "the table has no good row; in the first one, {}",
            first.map_or("there is nothing", String::as_str)
        )));
    }

    let mut predictions = Vec::with_capacity(good.len());
    for chunk in good.chunks(CHUNK) {
        let percent = 100 * predictions.len() / good.len();
        ctx.progress(percent as u8, &format!("{} rows", predictions.len()))?;
        predictions.append(&mut model::predict(ctx, chunk)?);
    }
    let result = Payload::new("text/csv", table::csv(&rows, &predictions));
    Ok(Output::new(table::summary(&rows, &predictions), result))
}

skep_sdk::export!(predict, predict_csv);

#[cfg(test)]
mod tests {
    use skep_sdk::{NamedTensor, Tensor, TestHost};

    use super::*;

    const IRIS: &str = include_str!("../iris.csv");

    /// Serves with a rule of thumb in place of the model, which `test.sh` runs: by the petal's length.
    fn host() -> TestHost {
        let rule = |inputs: &[NamedTensor]| {
            assert_eq!(inputs[0].name, "measurements");
            let flowers = inputs[0].value.to_f32().unwrap();
            let probabilities: Vec<f32> = flowers
                .chunks(4)
                .flat_map(|flower| match flower[2] {
                    ..2.5 => [0.9, 0.1, 0.0],
                    ..4.9 => [0.0, 0.75, 0.25],
                    _ => [0.0, 0.25, 0.75],
                })
                .collect();
            let rows = inputs[0].value.shape[0];
            vec![NamedTensor::new(
                "probabilities",
                Tensor::f32(&[rows, 3], &probabilities),
            )]
        };
        TestHost::new()
            .with::<predict>()
            .with::<predict_csv>()
            .model("iris", rule)
    }

    #[test]
    fn a_flower_gets_its_species_and_the_probability_of_each() {
        let flower =
            r#"{"sepal_length": 5, "sepal_width": 3, "petal_length": 5, "petal_width": 2}"#;
        let output: Payload = host()
            .run("predict", &Payload::new("application/json", flower))
            .unwrap();
        assert_eq!(
            String::from_utf8(output.data).unwrap(),
            r#"{"species":"virginica","probabilities":{"setosa":0.0,"versicolor":0.25,"virginica":0.75}}"#
        );
        let asdfg = Payload::new("application/json", r#""asdfg""#);
        assert!(host().run::<Payload>("predict", &asdfg).is_err());
    }

    #[test]
    fn a_table_is_predicted_in_chunks_and_bad_rows_are_named() {
        let (heading, rows) = IRIS.split_once('\n').unwrap();
        let table = format!("{heading}\n5.1\n{}5.1,?,1.4,0.2\n\n", rows.repeat(10));
        let host = host();
        let output: Output = host
            .run("predict-csv", &Payload::new("text/csv", table))
            .unwrap();
        assert_eq!(
            output.short_result.unwrap(),
            "1502 rows: 500 setosa, 490 versicolor, 510 virginica; 2 bad, the first in line 2"
        );
        let csv = String::from_utf8(output.result.data).unwrap();
        let lines: Vec<_> = csv.lines().collect();
        assert_eq!(
            lines[..3],
            [
                "line,species,probability,error",
                r#"2,,,"there is no sepal_width""#,
                "3,setosa,0.9000,"
            ]
        );
        assert_eq!(
            lines[1502..],
            [r#"1503,,,"sepal_width is not a number: ""?""""#]
        );
        assert_eq!(
            host.progress(),
            [(0, "0 rows".to_owned()), (66, "1000 rows".to_owned())]
        );
    }

    #[test]
    fn a_table_without_a_good_row_is_invalid() {
        for (table, why) in [
            ("", "there is nothing"),
            ("a,b,c,d\n", "sepal_length is not a number"),
        ] {
            let ended = host().run::<Output>("predict-csv", &Payload::new("text/csv", table));
            let Failure::Invalid(text) = ended.unwrap_err() else {
                panic!("not invalid");
            };
            assert!(text.contains(why), "{text}");
        }
    }
}
