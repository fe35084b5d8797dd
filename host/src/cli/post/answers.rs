//! What the server answers to lines: ids, which go to stdout, and refusals.

use std::io::{Write as _, stdout};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::failure::Failure;
use super::super::meter::Meter;
use super::super::output;
use super::track::Track;

/// A line that the server did not accept.
#[derive(Deserialize, Serialize)]
struct Refused<'a> {
    line: u64,
    stops: bool,
    #[serde(borrow)]
    problem: &'a RawValue,
}

#[derive(Deserialize)]
struct Problem {
    detail: String,
}

/// What the server answers, line by line.
pub(super) struct Answers {
    json: bool,
    /// The line with which the server began to count.
    from: u64,
    track: Arc<Track>,
    pub(super) meter: Meter,
    /// The beginning of a line that has not come whole.
    rest: Vec<u8>,
    /// How many jobs were queued.
    pub(super) posted: u64,
    /// How many lines the server refused.
    pub(super) refused: u64,
    /// Whether the server takes no more.
    pub(super) stopped: bool,
}

impl Answers {
    pub(super) fn new(json: bool, from: u64, track: Arc<Track>, meter: Meter) -> Self {
        Self {
            json,
            from,
            track,
            meter,
            rest: Vec::new(),
            posted: 0,
            refused: 0,
            stopped: false,
        }
    }

    /// Takes a piece of the answer, and writes the ids in it; or says why it could not, and
    /// of which lines.
    pub(super) fn take(&mut self, chunk: &[u8]) -> Result<Result<(), (Failure, u64)>, Failure> {
        self.rest.extend_from_slice(chunk);
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n');
        let whole = whole.map_or(0, |end| end + 1);
        let tail = self.rest.split_off(whole);
        let lines = std::mem::replace(&mut self.rest, tail);
        let first = self.track.next();
        let mut out = Vec::with_capacity(lines.len());
        for line in lines.split(|byte| *byte == b'\n') {
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            let Some(id) = id(line) else {
                self.refused(line, &mut out)?;
                continue;
            };
            out.extend_from_slice(if self.json { line } else { id });
            out.push(b'\n');
            self.posted += 1;
            self.track.answered();
        }
        let written = self.meter.aside(|| {
            let mut stdout = stdout().lock();
            stdout.write_all(&out).and_then(|()| stdout.flush())
        });
        self.meter.show(self.posted);
        Ok(written.map_err(|error| (output::unwritten(&error), first)))
    }

    fn refused(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        let odd = |error: serde_json::Error| {
            Failure::failed(format!("the server answered something odd: {error}"))
        };
        let mut refused: Refused<'_> = serde_json::from_slice(line).map_err(odd)?;
        let problem: Problem = serde_json::from_str(refused.problem.get()).map_err(odd)?;
        refused.line += self.from - 1;
        if self.json {
            serde_json::to_writer(&mut *out, &refused).map_err(odd)?;
            out.push(b'\n');
        }
        let text = output::plain(&problem.detail).replace('\n', " ");
        self.meter.note(&format!("line {}: {text}", refused.line));
        if refused.stops {
            self.stopped = true;
        } else {
            self.refused += 1;
            self.track.answered();
        }
        Ok(())
    }
}

/// The id in `{"id":"53"}`.
fn id(line: &[u8]) -> Option<&[u8]> {
    let id = line.strip_prefix(b"{\"id\":\"")?.strip_suffix(b"\"}")?;
    id.iter().all(u8::is_ascii_digit).then_some(id)
}
