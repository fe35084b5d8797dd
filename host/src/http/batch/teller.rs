//! What is told of each line of a batch: an id, or why there is none, in the order of the
//! lines, whatever became of which.

use std::fmt::Write as _;

use bytes::Bytes;

use super::super::extract::Format;
use super::super::problem::Problem;
use crate::intake::{IntakeError, Submitted};
use crate::store::StoreError;

/// A line, and what is wrong with it.
pub(super) type Told = (u64, Option<Problem>);

/// Says what became of lines, in their order.
pub(super) struct Teller {
    format: Format,
    /// Whether lines were stored: from then on, the answer is 200.
    pub(super) begun: bool,
    /// Whether all lines were taken.
    pub(super) no_more: bool,
    /// From which line on nothing more is stored, and why.
    pub(super) end: Option<(u64, Problem)>,
    /// Lines that were not stored, with all that were tried after them.
    lost: Vec<u64>,
    /// The last line that was tried.
    last: u64,
}

impl Teller {
    /// Nothing has been told yet.
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            begun: false,
            no_more: false,
            end: None,
            lost: Vec::new(),
            last: 0,
        }
    }

    /// Whether further batches are to be stored.
    pub(super) fn takes_more(&self) -> bool {
        !self.no_more && self.end.is_none()
    }

    /// What to say of a batch.
    pub(super) fn tell(
        &mut self,
        lines: Vec<Told>,
        stored: Result<Vec<Submitted>, StoreError>,
    ) -> Bytes {
        self.last = lines.last().map_or(self.last, |(number, _)| *number);
        match stored {
            Ok(ids) => {
                self.begun = true;
                let mut text = self.refusals();
                text.push_str(&tell(lines, ids, self.format));
                text.into()
            }
            Err(error) => {
                let first = lines.first().map_or(1, |(number, _)| *number);
                self.end.get_or_insert_with(|| (first, error.into()));
                self.lost.extend(lines.iter().map(|(number, _)| *number));
                Bytes::new()
            }
        }
    }

    /// Lines that were lost although later ones were stored: each is named.
    fn refusals(&mut self) -> String {
        let mut text = String::new();
        if let Some((_, problem)) = &self.end {
            for number in self.lost.drain(..) {
                text.push_str(&problem.clone().line(number, false, self.format));
                text.push('\n');
            }
        }
        text
    }

    /// The last word.
    pub(super) fn last(self) -> Result<Bytes, Problem> {
        match self.end {
            None => Ok(Bytes::new()),
            Some((_, problem)) if !self.begun => Err(problem),
            Some((next, problem)) => {
                let first = self.lost.first().copied();
                let first = first.unwrap_or(next.max(self.last + 1));
                Ok(format!("{}\n", problem.line(first, true, self.format)).into())
            }
        }
    }
}

/// The lines of the answer to a batch that was stored.
fn tell(lines: Vec<Told>, submitted: Vec<Submitted>, format: Format) -> String {
    let mut submitted = submitted.into_iter();
    let mut text = String::with_capacity(lines.len() * 20);
    for (number, problem) in lines {
        let told = match problem {
            Some(problem) => Err(problem),
            None => match submitted.next() {
                Some(Ok(id)) => Ok(id),
                Some(Err(reused)) => Err(IntakeError::KeyReused(reused).into()),
                None => continue,
            },
        };
        // Writing to a String cannot fail.
        let _ = match (told, format) {
            (Err(problem), format) => writeln!(text, "{}", problem.line(number, false, format)),
            (Ok(id), Format::Text) => writeln!(text, "{id}"),
            (Ok(id), Format::Json) => writeln!(text, "{{\"id\":\"{id}\"}}"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobId;

    fn lines(numbers: std::ops::Range<u64>) -> Vec<Told> {
        numbers.map(|number| (number, None)).collect()
    }

    fn full() -> Result<Vec<Submitted>, StoreError> {
        Err(StoreError::Full("no room".to_owned()))
    }

    #[test]
    fn what_was_lost_on_the_way_is_told_exactly() {
        let mut teller = Teller::new(Format::Text);
        let ids = vec![Ok(JobId(7)), Ok(JobId(8))];
        assert_eq!(teller.tell(lines(1..3), Ok(ids)), "7\n8\n");
        assert_eq!(teller.tell(lines(3..5), full()), "");
        assert!(!teller.takes_more());
        // One that was on its way already, and found room.
        let told = teller.tell(lines(5..6), Ok(vec![Ok(JobId(9))]));
        let told = String::from_utf8(told.to_vec()).unwrap();
        let told: Vec<_> = told.lines().collect();
        assert!(told[0].starts_with("line 3: the store is full"), "{told:?}");
        assert!(told[1].starts_with("line 4: the store is full"), "{told:?}");
        assert_eq!(told[2..], ["9"]);
        assert_eq!(teller.tell(lines(6..8), full()), "");
        let last = teller.last().unwrap();
        assert!(last.starts_with(b"line 6: the store is full"), "{last:?}");
    }

    #[test]
    fn the_last_word_names_the_first_line_that_was_not_tried() {
        let mut teller = Teller::new(Format::Text);
        teller.tell(lines(1..4), Ok(Vec::new()));
        teller.end = Some((4, Problem::bad_request("odd")));
        assert!(teller.last().unwrap().starts_with(b"line 4: odd"));
        let mut teller = Teller::new(Format::Text);
        teller.tell(lines(1..4), full());
        assert!(teller.last().is_err(), "nothing was stored: a status");
        assert_eq!(Teller::new(Format::Text).last().unwrap(), "");
    }
}
