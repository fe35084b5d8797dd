//! The lines of a body as they come, some at a time: as many as are there, up to a
//! bound, so that a slow sender is not kept waiting and a fast one makes large batches.

use axum::body::{Body, BodyDataStream};
use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{FutureExt as _, StreamExt as _};

use super::drain;
use super::pace::Pace;
use super::problem::Problem;
use super::room::{Room, Share};

/// The most lines at a time: enough to make what a batch costs small for each of them.
const MAX_LINES: usize = 1_000;

/// Lines are gathered up to so many bytes.
const MAX_BYTES: usize = 1 << 20;

/// A line up to this size may take its time, as that of a program that writes one now
/// and then; and it needs no share of the room for bodies.
const SMALL: usize = 64 << 10;

/// What programs of other systems put before the first line of UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// A line of a body.
pub(super) struct Line {
    /// From 1, empty ones counted.
    pub(super) number: u64,
    /// Without its end; `None` if it is longer than allowed.
    pub(super) text: Option<Bytes>,
}

/// The lines of a body.
pub(super) struct Lines {
    stream: BodyDataStream,
    buffer: BytesMut,
    /// Of the room for bodies.
    share: Share,
    /// How fast a line that is not small comes.
    pace: Pace,
    /// How much of the buffer has no line's end in it.
    looked: usize,
    /// The last line that was cut off.
    number: u64,
    longest: usize,
    /// Within a line that is too long.
    skips: bool,
    ended: bool,
}

impl Lines {
    /// The lines of a body, of at most `longest` bytes each.
    pub(super) fn of(body: Body, longest: usize, room: &Room) -> Self {
        Self {
            stream: body.into_data_stream(),
            buffer: BytesMut::new(),
            share: room.share(),
            pace: Pace::new(),
            looked: 0,
            number: 0,
            longest,
            skips: false,
            ended: false,
        }
    }

    /// The number of the next line.
    pub(super) fn next_number(&self) -> u64 {
        self.number + 1
    }

    /// The lines that come next, without empty ones; none at the end.
    pub(super) async fn next(&mut self) -> Result<Vec<Line>, Problem> {
        let mut lines = Vec::new();
        let mut bytes = 0;
        loop {
            while lines.len() < MAX_LINES && bytes < MAX_BYTES {
                let Some(line) = self.cut() else { break };
                bytes += line.text.as_ref().map_or(0, Bytes::len);
                if line
                    .text
                    .as_ref()
                    .is_none_or(|text| !text.trim_ascii().is_empty())
                {
                    lines.push(line);
                }
            }
            if lines.len() >= MAX_LINES || bytes >= MAX_BYTES || self.ended {
                return Ok(lines);
            }
            let chunk = match self.stream.next().now_or_never() {
                Some(chunk) => chunk,
                None if !lines.is_empty() => return Ok(lines),
                None => {
                    if self.buffer.len() <= SMALL {
                        self.pace = Pace::new();
                    }
                    self.pace.wait(self.stream.next()).await?
                }
            };
            match chunk {
                Some(Ok(chunk)) => {
                    self.buffer.extend_from_slice(&chunk);
                    self.share.fit(self.buffer.len().saturating_sub(SMALL))?;
                    self.pace.came(chunk.len());
                }
                Some(Err(error)) => {
                    return Err(Problem::bad_request(format!(
                        "the body could not be read to its end: {error}"
                    )));
                }
                None => self.ended = true,
            }
        }
    }

    /// Cuts a line from the buffer.
    fn cut(&mut self) -> Option<Line> {
        let fresh = self.buffer.get(self.looked..).unwrap_or_default();
        let end = fresh.iter().position(|byte| *byte == b'\n');
        let (text, rest) = match end {
            Some(end) => (self.looked + end, 1),
            None if self.ended && (self.skips || !self.buffer.is_empty()) => (self.buffer.len(), 0),
            None => {
                self.looked = self.buffer.len();
                if self.looked > self.longest {
                    self.skips = true;
                    self.buffer.clear();
                    self.looked = 0;
                }
                return None;
            }
        };
        let mut text = self.buffer.split_to(text).freeze();
        self.buffer.advance(rest);
        self.looked = 0;
        self.number += 1;
        if self.number == 1 && text.starts_with(MARK) {
            text.advance(MARK.len());
        }
        let too_long = std::mem::take(&mut self.skips) || text.len() > self.longest;
        Some(Line {
            number: self.number,
            text: (!too_long).then_some(text),
        })
    }

    /// Reads what is left, within reason, so that a sender that reads no answer before
    /// it has sent everything comes to read it.
    pub(super) async fn drain(mut self) {
        let read = async {
            let mut dropped = 0;
            while let Some(Ok(chunk)) = self.stream.next().await {
                dropped += chunk.len();
                if dropped > drain::AT_MOST_BYTES {
                    return;
                }
            }
        };
        // Cut off or read to its end: the sender has had its chance.
        let _ = tokio::time::timeout(drain::AT_MOST, read).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(chunks: &[&'static str], longest: usize) -> Vec<(u64, Option<String>)> {
        let chunks: Vec<_> = (chunks.iter())
            .map(|chunk| Ok::<_, std::io::Error>(Bytes::from_static(chunk.as_bytes())))
            .collect();
        let body = Body::from_stream(futures_util::stream::iter(chunks));
        let mut lines = Lines::of(body, longest, &Room::for_requests());
        let mut read = Vec::new();
        loop {
            let next = lines.next().await.unwrap();
            if next.is_empty() {
                return read;
            }
            read.extend(next.into_iter().map(|line| {
                let text = line
                    .text
                    .map(|text| String::from_utf8(text.to_vec()).unwrap());
                (line.number, text)
            }));
        }
    }

    fn some(number: u64, text: &str) -> (u64, Option<String>) {
        (number, Some(text.to_owned()))
    }

    #[tokio::test]
    async fn lines_are_cut_wherever_the_chunks_end() {
        let expected = [some(1, "one"), some(3, "three\r"), some(4, "four")];
        for chunks in [
            &["one\n\nthree\r\nfour"][..],
            &["on", "e\n", "\nthree\r", "\nfo", "ur\n"],
            &["one\n  \nthree\r\nfour\n\n"],
        ] {
            assert_eq!(read(chunks, 10).await, expected, "{chunks:?}");
        }
        assert_eq!(read(&[], 10).await, []);
        assert_eq!(read(&["\n", "\n"], 10).await, []);
    }

    #[tokio::test]
    async fn a_mark_before_the_first_line_is_none_of_it() {
        let marked = ["\u{feff}1\n\u{feff}2\n"];
        assert_eq!(
            read(&marked, 10).await,
            [some(1, "1"), some(2, "\u{feff}2")]
        );
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_named_and_not_kept() {
        let long = [some(1, "a"), (2, None), some(3, "b")];
        assert_eq!(read(&["a\n12345", "67890", "12345", "\nb"], 8).await, long);
        assert_eq!(read(&["a\n123456789\nb"], 8).await, long);
        let last = [some(1, "a"), (2, None)];
        assert_eq!(read(&["a\n12345", "67890"], 8).await, last);
    }

    #[tokio::test]
    async fn batches_are_bounded() {
        let body = Body::from("1\n".repeat(2 * MAX_LINES + 1));
        let mut lines = Lines::of(body, 8, &Room::for_requests());
        for expected in [MAX_LINES, MAX_LINES, 1, 0] {
            assert_eq!(lines.next().await.unwrap().len(), expected);
        }
    }
}
