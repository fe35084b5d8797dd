//! Tables of flowers as text: reading rows, writing predictions. No host.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::model::{Measurements, Probabilities};

/// The columns, in order; a table may have more.
const COLUMNS: [&str; 4] = ["sepal_length", "sepal_width", "petal_length", "petal_width"];

/// No iris measures as much, in cm.
const LONGEST: f32 = 100.0;

/// A row of a table.
#[derive(Debug, PartialEq)]
pub(crate) struct Row {
    /// The number of its line, from 1.
    pub(crate) line: usize,
    /// What it says, or what is wrong with it.
    pub(crate) flower: Result<Measurements, String>,
}

/// The rows of a table, without its heading, if it has one, and without empty lines.
pub(crate) fn rows(table: &str) -> impl Iterator<Item = Row> {
    let heading = usize::from(table.starts_with(COLUMNS[0]));
    let numbered = (1..).zip(table.lines()).skip(heading);
    let filled = numbered.filter(|(_, text)| !text.trim().is_empty());
    filled.map(|(line, text)| Row {
        line,
        flower: flower(text),
    })
}

/// The measurements in a line. What else it has is left alone.
fn flower(line: &str) -> Result<Measurements, String> {
    let mut fields = line.split(',');
    let mut flower = Measurements::default();
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

/// A line for each row: a prediction, in the order of the good rows, or what is wrong with it.
pub(crate) fn csv(rows: &[Row], predictions: &[Probabilities]) -> String {
    let mut csv = String::from("line,species,probability,error\n");
    let mut predictions = predictions.iter();
    for row in rows {
        // Writing to a `String` cannot fail.
        let _ = match row.flower.as_ref().map(|_| predictions.next()) {
            Ok(prediction) => {
                let (species, probability) = prediction.map_or(("", 0.0), Probabilities::best);
                writeln!(csv, "{},{species},{probability:.4},", row.line)
            }
            Err(error) => writeln!(csv, "{},,,\"{}\"", row.line, error.replace('"', "\"\"")),
        };
    }
    csv
}

/// One line for people.
pub(crate) fn summary(rows: &[Row], predictions: &[Probabilities]) -> String {
    let mut species = BTreeMap::<_, usize>::new();
    for prediction in predictions {
        *species.entry(prediction.best().0).or_default() += 1;
    }
    let counts: Vec<_> = species
        .iter()
        .map(|(name, n)| format!("{n} {name}"))
        .collect();
    let mut summary = format!("{} rows: {}", rows.len(), counts.join(", "));
    let mut bad = rows.iter().filter(|row| row.flower.is_err());
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
        let lines = |table: &str| -> Vec<_> { rows(table).map(|row| row.line).collect() };
        let rows = "5.1,3.5,1.4,0.2\r\n".repeat(3);
        assert_eq!(lines(&rows), [1, 2, 3]);
        let headed = format!("{}\r\n\r\n{rows}", COLUMNS.join(","));
        assert_eq!(lines(&headed), [3, 4, 5]);
        assert_eq!(lines(""), [0; 0]);
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
        let rows: Vec<_> = rows("1,1,1,1\n\"x\"\n2,2,2,2\n").collect();
        let predictions = [[0.99996, 0.0, 0.0], [0.1, 0.2, 0.7]].map(Probabilities::from);
        assert_eq!(
            csv(&rows, &predictions),
            "line,species,probability,error\n1,setosa,1.0000,\n\
             2,,,\"sepal_length is not a number: \"\"\\\"\"x\\\"\"\"\"\"\n3,virginica,0.7000,\n"
        );
        assert_eq!(
            summary(&rows, &predictions),
            "3 rows: 1 setosa, 1 virginica; 1 bad, the first in line 2"
        );
    }
}
