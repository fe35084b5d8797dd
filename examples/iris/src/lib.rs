//! Batch prediction with progress: a table of thousands of rows in, a table of
//! predictions out.

mod model;
mod table;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use skep_sdk::{Context, Failure, Output, Payload};

/// Rows of a table.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Rows {
    /// The number of the first one's line, from 1.
    first_line: usize,
    /// Lines of CSV: the sepal's length and width, the petal's length and width, in
    /// cm; what follows is left alone.
    lines: Vec<String>,
}

/// What came of a row.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    /// The number of its line, from 1.
    line: usize,
    /// The prediction, or what is wrong with the row.
    outcome: Result<Prediction, String>,
}

/// What a flower most likely is.
#[derive(Debug, Serialize, Deserialize)]
struct Prediction {
    /// Its species.
    species: String,
    /// How likely, from 0 to 1.
    probability: f64,
}

/// Predicts the species of each row of a CSV table, chunk by chunk; the result is
/// CSV, and names bad rows by their lines.
#[skep_sdk::listener(name = "iris-batch")]
fn iris_batch(csv: Vec<u8>, ctx: &Context) -> Result<Output, Failure> {
    let csv = String::from_utf8(csv).map_err(|error| {
        Failure::invalid(format_args!("the table must be CSV in UTF-8: {error}"))
    })?;
    let chunks = table::chunks(&csv);
    let posts = chunks
        .iter()
        .map(|rows| ctx.post(rows).functions(["iris-predict"]));
    let ids = ctx.post_many(posts)?;

    let mut rows = Vec::new();
    for (done, id) in ids.iter().enumerate() {
        let percent = 100 * done / ids.len();
        ctx.progress(percent as u8, &format!("{} rows", rows.len()))?;
        rows.append(&mut ctx.wait::<Vec<Row>>(id)?);
    }
    if rows.iter().all(|row| row.outcome.is_err()) {
        let first = rows.first().and_then(|row| row.outcome.as_ref().err());
        return Err(Failure::invalid(format_args!(
            "the table has no good row; in the first one, {}",
            first.map_or("there is nothing", String::as_str)
        )));
    }
    let result = Payload::new("text/csv", table::csv(&rows));
    Ok(Output::new(table::summary(&rows), result))
}

/// Predicts the species of each of some rows.
#[skep_sdk::listener(name = "iris-predict")]
fn iris_predict(rows: Rows, ctx: &Context) -> Result<Vec<Row>, Failure> {
    let numbered = (rows.first_line..).zip(&rows.lines);
    Ok(numbered
        .filter(|(_, text)| !text.trim().is_empty())
        .map(|(line, text)| Row {
            line,
            outcome: table::flower(text).map(|flower| {
                let (species, probability) = model::predict(&flower);
                Prediction {
                    species: species.to_owned(),
                    probability,
                }
            }),
        })
        .collect())
}

skep_sdk::export!(iris_batch, iris_predict);

#[cfg(test)]
mod tests {
    use skep_sdk::TestHost;

    use super::*;

    const IRIS: &str = include_str!("../iris.csv");

    fn run(table: &str) -> (Result<Output, Failure>, TestHost) {
        let host = TestHost::new().with::<iris_batch>().with::<iris_predict>();
        let output = host.run("iris-batch", &Payload::new("text/csv", table));
        (output, host)
    }

    #[test]
    fn a_table_is_predicted_in_chunks_and_bad_rows_are_named() {
        let (heading, rows) = IRIS.split_once('\n').unwrap();
        let table = format!("{heading}\n{}5.1,?,1.4,0.2\n\n5.1\n", rows.repeat(10));
        let (output, host) = run(&table);
        let output = output.unwrap();
        assert_eq!(
            output.short_result.unwrap(),
            "1502 rows: 500 setosa, 490 versicolor, 510 virginica; 2 bad, the first in line 1502"
        );
        let csv = String::from_utf8(output.result.data).unwrap();
        let lines: Vec<_> = csv.lines().collect();
        assert_eq!(
            lines[..2],
            ["line,species,probability,error", "2,setosa,1.0000,"]
        );
        assert_eq!(
            lines[1501..],
            [
                r#"1502,,,"sepal_width is not a number: ""?""""#,
                r#"1504,,,"there is no sepal_width""#
            ]
        );
        assert_eq!(host.jobs(), 1 + 4);
        assert_eq!(host.progress()[2], (50, "1000 rows".to_owned()));
    }

    #[test]
    fn a_table_without_a_good_row_is_invalid() {
        for (table, why) in [
            ("", "there is nothing"),
            ("a,b,c,d\n", "sepal_length is not a number"),
        ] {
            let Failure::Invalid(text) = run(table).0.unwrap_err() else {
                panic!("not invalid");
            };
            assert!(text.contains(why), "{text}");
        }
    }
}
