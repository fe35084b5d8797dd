//! Tables for people: in full in a pipe, and on a terminal never wider than it is.

use std::io::{IsTerminal as _, stdout};

use console::{Term, measure_text_width, truncate_str};

use super::failure::Failure;
use super::output;

/// Between columns.
const GAP: usize = 2;

/// The last column on a terminal is not cut below this; another one is left out instead:
/// fewer letters than this say nothing.
const LEAST: usize = 8;

/// A column's head, and whether it holds numbers.
#[derive(Clone, Copy)]
pub(super) enum Head {
    /// Begins at the left.
    Text(&'static str),
    /// Ends at the right.
    Number(&'static str),
}

impl Head {
    fn name(self) -> &'static str {
        match self {
            Self::Text(name) | Self::Number(name) => name,
        }
    }
}

/// A table.
pub(super) struct Table<const N: usize> {
    heads: [Head; N],
    /// The columns that are left out where there is no room, first those that matter
    /// least; after these, from the right.
    spare: &'static [usize],
    /// How wide the terminal is.
    room: Option<usize>,
    /// How wide each column is, or none if it is left out; once that is decided.
    widths: Option<[Option<usize>; N]>,
}

impl<const N: usize> Table<N> {
    /// An empty table on stdout, some columns of which can be spared on a narrow terminal.
    pub(super) fn new(heads: [Head; N], spare: &'static [usize]) -> Self {
        let is_shown = stdout().is_terminal();
        let size = is_shown.then(|| Term::stdout().size_checked()).flatten();
        Self::within(heads, spare, size.map(|(_, columns)| columns.into()))
    }

    fn within(heads: [Head; N], spare: &'static [usize], room: Option<usize>) -> Self {
        Self {
            heads,
            spare,
            room,
            widths: None,
        }
    }

    /// Prints rows whose cells are plain, below the heads at first. The first rows decide
    /// how wide the columns are.
    pub(super) fn print(&mut self, rows: &[[String; N]]) -> Result<(), Failure> {
        self.lines(rows)
            .iter()
            .try_for_each(|line| output::line(line))
    }

    fn lines(&mut self, rows: &[[String; N]]) -> Vec<String> {
        let heads = self.heads.map(|head| head.name().to_owned());
        let (widths, heads) = match self.widths {
            Some(widths) => (widths, None),
            None => (self.fit(&heads, rows), Some(heads)),
        };
        self.widths = Some(widths);
        let all = heads.iter().chain(rows);
        all.map(|cells| self.line(cells, &widths)).collect()
    }

    fn line(&self, cells: &[String; N], widths: &[Option<usize>; N]) -> String {
        let mut line = String::new();
        for ((head, cell), width) in self.heads.iter().zip(cells).zip(widths) {
            let Some(width) = *width else {
                continue;
            };
            let cell = match self.room {
                Some(_) => truncate_str(cell, width, "…"),
                None => cell.into(),
            };
            let pad = " ".repeat(width.saturating_sub(measure_text_width(&cell)));
            match head {
                Head::Number(_) => line.extend([&pad, &*cell]),
                Head::Text(_) => line.extend([&*cell, &pad]),
            }
            line.push_str(&" ".repeat(GAP));
        }
        line.truncate(line.trim_end().len());
        line
    }

    /// How wide the columns are that fit.
    fn fit(&self, heads: &[String; N], rows: &[[String; N]]) -> [Option<usize>; N] {
        let mut widths = [Some(0); N];
        for cells in std::iter::once(heads).chain(rows) {
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(Some(measure_text_width(cell)));
            }
        }
        let Some(room) = self.room else {
            return widths;
        };
        let mut spare = self.spare.iter().copied().chain((1..N).rev());
        loop {
            let shown = widths.iter().flatten().count();
            let all: usize = widths.iter().flatten().map(|width| width + GAP).sum();
            let Some(last) = widths.iter_mut().rev().flatten().next() else {
                return widths;
            };
            let before = all.saturating_sub(*last + GAP);
            let left = room.saturating_sub(before);
            if left >= LEAST.min(*last) || shown == 1 {
                *last = left.min(*last);
                return widths;
            }
            let left_out = spare.next().and_then(|column| widths.get_mut(column));
            if let Some(width) = left_out {
                *width = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADS: [Head; 3] = [
        Head::Number("ID"),
        Head::Text("STATE"),
        Head::Text("RESULT"),
    ];

    fn rows() -> [[String; 3]; 2] {
        [
            ["7", "failed", "trap: unreachable executed"],
            ["1234", "running", ""],
        ]
        .map(|row| row.map(str::to_owned))
    }

    fn shown(spare: &'static [usize], room: Option<usize>) -> String {
        Table::within(HEADS, spare, room).lines(&rows()).join("\n")
    }

    #[test]
    fn a_pipe_gets_all() {
        let all = "  ID  STATE    RESULT\n   7  failed   trap: unreachable executed\n1234  running";
        assert_eq!(shown(&[], None), all);
        assert_eq!(shown(&[], Some(80)), all);
    }

    #[test]
    fn a_terminal_gets_what_fits() {
        let cut = "  ID  STATE    RESULT\n   7  failed   trap: unr…\n1234  running";
        assert_eq!(shown(&[1], Some(25)), cut);
        let without = "  ID  RESULT\n   7  trap: unreach…\n1234";
        assert_eq!(shown(&[1], Some(20)), without);
        assert_eq!(
            shown(&[], Some(20)),
            "  ID  STATE\n   7  failed\n1234  running"
        );
        assert_eq!(shown(&[], Some(3)), " ID\n  7\n12…");
        for room in 1..60 {
            let widest = shown(&[1], Some(room))
                .lines()
                .map(measure_text_width)
                .max();
            assert!(widest <= Some(room), "{room}");
        }
    }

    #[test]
    fn later_rows_keep_to_the_columns_and_have_no_heads() {
        let mut table = Table::within(HEADS, &[], None);
        table.lines(&rows());
        assert_eq!(table.lines(&rows()[1..]), ["1234  running"]);
    }
}
