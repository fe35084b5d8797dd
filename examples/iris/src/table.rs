//! Tables of flowers as text: reading rows, writing predictions. No host.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::model::Flower;
use crate::{Prediction, Row, Rows};

/// How many rows a job predicts: one takes some microseconds, and a job a hundred.
const CHUNK: usize = 500;

/// The columns, in order; a table may have more.
const COLUMNS: [&str; 4] = ["sepal_length", "sepal_width", "petal_length", "petal_width"];

/// No iris measures as much, in cm.
const LONGEST: f64 = 100.0;

/// The table in chunks of whole lines, without its heading, if it has one.
pub(crate) fn chunks(table: &str) -> Vec<Rows> {
    let heading = usize::from(table.starts_with(COLUMNS[0]));
    let lines: Vec<_> = table.lines().skip(heading).collect();
    let numbered = lines.chunks(CHUNK).enumerate();
    numbered
        .map(|(nth, lines)| Rows {
            first_line: 1 + heading + nth * CHUNK,
            lines: lines.iter().map(|&line| line.to_owned()).collect(),
        })
        .collect()
}

/// The measurements in a line. What else it has is left alone.
pub(crate) fn flower(line: &str) -> Result<Flower, String> {
    let mut fields = line.split(',');
    let mut flower = Flower::default();
    for (name, value) in COLUMNS.iter().zip(&mut flower) {
        let field = fields.next().ok_or_else(|| format!("there is no {name}"))?;
        *value = (field.trim().parse())
            .map_err(|_| format!("{name} is not a number: {:?}", shortened(field)))?;
        // NaN is a number to `parse`, and not more than 0.
        if !(*value > 0.0 && *value < LONGEST) {
            return Err(format!("{name} is not between 0 and {LONGEST} cm: {value}"));
        }
    }
    Ok(flower)
}

fn shortened(field: &str) -> &str {
    field.get(..field.floor_char_boundary(40)).unwrap_or(field)
}

/// A line for each row: a prediction, or what is wrong with the row.
pub(crate) fn csv(rows: &[Row]) -> String {
    let mut csv = String::from("line,species,probability,error\n");
    for row in rows {
        // Writing to a `String` cannot fail.
        let _ = match &row.outcome {
            Ok(Prediction {
                species,
                probability,
            }) => writeln!(csv, "{},{species},{probability:.4},", row.line),
            Err(error) => writeln!(csv, "{},,,\"{}\"", row.line, error.replace('"', "\"\"")),
        };
    }
    csv
}

/// One line for people.
pub(crate) fn summary(rows: &[Row]) -> String {
    let mut species = BTreeMap::<_, usize>::new();
    for prediction in rows.iter().filter_map(|row| row.outcome.as_ref().ok()) {
        *species.entry(&prediction.species).or_default() += 1;
    }
    let counts: Vec<_> = species
        .iter()
        .map(|(name, n)| format!("{n} {name}"))
        .collect();
    let mut summary = format!("{} rows: {}", rows.len(), counts.join(", "));
    let mut bad = rows.iter().filter(|row| row.outcome.is_err());
    if let Some(first) = bad.next() {
        let _ = write!(
            summary,
            "; {} bad, the first in line {}",
            1 + bad.count(),
            first.line
        );
    }
    summary
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_numbers() {
        let rows = "5.1,3.5,1.4,0.2\r\n".repeat(1200);
        let chunks_of = |table: &str| -> Vec<_> {
            let chunks = chunks(table).into_iter();
            chunks
                .map(|rows| (rows.first_line, rows.lines.len()))
                .collect()
        };
        assert_eq!(chunks_of(&rows), [(1, 500), (501, 500), (1001, 200)]);
        let headed = format!("{}\r\n{rows}", COLUMNS.join(","));
        assert_eq!(chunks_of(&headed), [(2, 500), (502, 500), (1002, 200)]);
        assert_eq!(chunks_of(""), []);
    }

    #[test]
    fn a_bad_row_says_what_is_wrong() {
        assert_eq!(flower("5.1, 3.5,1.4,0.2,setosa"), Ok([5.1, 3.5, 1.4, 0.2]));
        assert_eq!(flower("5.1,3.5"), Err("there is no petal_length".into()));
        for (line, column) in [
            ("", "sepal_length"),
            ("x,3.5,1.4,0.2", "sepal_length"),
            ("5.1,NaN,1.4,0.2", "sepal_width"),
            ("5.1,3.5,inf,0.2", "petal_length"),
            ("5.1,3.5,1.4,-0.2", "petal_width"),
        ] {
            let error = flower(line).unwrap_err();
            assert!(error.starts_with(column), "{error}");
        }
        assert!(flower(&"ü".repeat(10_000)).unwrap_err().len() < 100);
    }

    #[test]
    fn rows_are_told_with_their_lines() {
        let good = Prediction {
            species: "setosa".into(),
            probability: 0.99999,
        };
        let rows = [
            Row {
                line: 2,
                outcome: Ok(good),
            },
            Row {
                line: 3,
                outcome: Err("not a number: \"x\"".into()),
            },
        ];
        assert_eq!(
            csv(&rows),
            "line,species,probability,error\n2,setosa,1.0000,\n3,,,\"not a number: \"\"x\"\"\"\n"
        );
        assert_eq!(
            summary(&rows),
            "2 rows: 1 setosa; 1 bad, the first in line 3"
        );
    }
}
