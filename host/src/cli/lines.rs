//! The lines of a file or of stdin, each a message in JSON, one at a time: however long
//! the file and however long a line, no more is kept than one message may have.
//!
//! Not here: what becomes of them (`post --file` sends them, `run --jobs` runs them).

use std::fs::File;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Read, stdin};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::value::RawValue;

use super::{failure::Failure, output};
use crate::intake::MAX_MESSAGE_BYTES;

/// How much is read at once: what a pipe holds four times over, so that a message costs a
/// few ns of the kernel's time.
pub(super) const CHUNK: usize = 256 << 10;

/// What programs of another system put before the first line.
const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";
const UTF16_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// What a line holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'l> {
    /// Nothing.
    Blank,
    /// A message in JSON, without the white space around it.
    Message(&'l [u8]),
    /// No message, and why.
    Bad(String),
}

/// A file, or stdin.
pub(super) struct Lines {
    reader: BufReader<Box<dyn Read + Send>>,
    name: String,
    /// How long it is, where that is known.
    pub(super) bytes: Option<u64>,
    /// How many bytes were read.
    pub(super) read: Arc<AtomicU64>,
    /// The number of the last line, from 1.
    number: u64,
    line: Vec<u8>,
}

impl Lines {
    /// Opens a file, or stdin if that is `-`.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            if stdin().is_terminal() {
                output::note("reading a message from each line that you type; Ctrl-D ends");
            }
            return Ok(Self::of(Box::new(stdin()), "stdin".to_owned(), None));
        }
        let name = path.display().to_string();
        let file = File::open(path)
            .map_err(|error| Failure::usage(format!("cannot read {name}: {error}")))?;
        let about = file.metadata().ok();
        if about.as_ref().is_some_and(std::fs::Metadata::is_dir) {
            return Err(Failure::usage(format!(
                "cannot read {name}: it is a directory; name a file of messages, one in each line"
            )));
        }
        // A pipe has a length, too: what is in it now.
        let bytes = about.filter(std::fs::Metadata::is_file);
        let bytes = bytes.map(|about| about.len());
        Ok(Self::of(Box::new(file), name, bytes))
    }

    fn of(reader: Box<dyn Read + Send>, name: String, bytes: Option<u64>) -> Self {
        Self {
            reader: BufReader::with_capacity(CHUNK, reader),
            name,
            bytes,
            read: Arc::default(),
            number: 0,
            line: Vec::new(),
        }
    }

    /// Skips so many lines, which must be there.
    pub(super) fn skip(&mut self, lines: u64) -> Result<(), Failure> {
        while self.number < lines {
            if self.skip_one()? == 0 {
                return Err(Failure::usage(format!(
                    "{} has {} lines: there is no line {} to begin with",
                    self.name,
                    self.number,
                    lines + 1
                )));
            }
            self.number += 1;
        }
        Ok(())
    }

    /// The next line and its number; nothing at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Line<'_>)>, Failure> {
        self.line.clear();
        // The end of the line, also one of two bytes, and a byte to tell that it is longer.
        let most = MAX_MESSAGE_BYTES as u64 + 3;
        let mut start = self.reader.by_ref().take(most);
        let taken = start.read_until(b'\n', &mut self.line);
        let taken = taken.map_err(|error| unread(&self.name, &error))? as u64;
        if taken == 0 {
            return Ok(None);
        }
        self.read.fetch_add(taken, Ordering::Relaxed);
        let is_cut = taken == most && !self.line.ends_with(b"\n");
        if is_cut {
            self.skip_one()?;
        }
        self.number += 1;
        if self.number == 1 && UTF16_MARKS.iter().any(|mark| self.line.starts_with(mark)) {
            return Err(Failure::usage(format!(
                "{} is in UTF-16, and messages are in UTF-8; convert it with `iconv -f UTF-16 -t UTF-8`",
                self.name
            )));
        }
        let line = match self.number {
            1 => self.line.strip_prefix(UTF8_MARK).unwrap_or(&self.line),
            _ => &self.line,
        };
        // White space may be too much, too: there is no telling what came after it.
        let line = if is_cut {
            too_long()
        } else {
            look(line.trim_ascii())
        };
        Ok(Some((self.number, line)))
    }

    /// Whether the next line is not there yet, as far as can be told without waiting.
    pub(super) fn is_dry(&self) -> bool {
        self.reader.buffer().is_empty()
    }

    fn skip_one(&mut self) -> Result<u64, Failure> {
        let skipped = self.reader.skip_until(b'\n');
        let skipped = skipped.map_err(|error| unread(&self.name, &error))? as u64;
        self.read.fetch_add(skipped, Ordering::Relaxed);
        Ok(skipped)
    }
}

fn unread(name: &str, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot read {name}: {error}"))
}

fn too_long() -> Line<'static> {
    Line::Bad(format!(
        "a message may have at most {MAX_MESSAGE_BYTES} bytes; store large inputs as data and post their key"
    ))
}

fn look(message: &[u8]) -> Line<'_> {
    if message.is_empty() {
        return Line::Blank;
    }
    if message.len() > MAX_MESSAGE_BYTES {
        return too_long();
    }
    match serde_json::from_slice::<&RawValue>(message) {
        Ok(_) => Line::Message(message),
        Err(error) => Line::Bad(format!(
            "not JSON: {error}; each line is a message, and a text needs its quotes"
        )),
    }
}

#[cfg(test)]
impl Lines {
    /// The lines of a text.
    pub(super) fn of_text(text: impl Into<Vec<u8>>) -> Self {
        let text = std::io::Cursor::new(text.into());
        Self::of(Box::new(text), "a test".to_owned(), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each line is: its number, and its message, `-` or what is wrong with it.
    fn all(text: impl Into<Vec<u8>>) -> Vec<(u64, String)> {
        let mut lines = Lines::of_text(text);
        let mut all = Vec::new();
        while let Some((number, line)) = lines.next().unwrap() {
            all.push((
                number,
                match line {
                    Line::Blank => "-".to_owned(),
                    Line::Message(message) => String::from_utf8(message.to_vec()).unwrap(),
                    Line::Bad(text) => text,
                },
            ));
        }
        all
    }

    fn is(line: &(u64, String), number: u64, text: &str) {
        assert!(line.0 == number && line.1.starts_with(text), "{line:?}");
    }

    #[test]
    fn lines_may_end_and_begin_as_on_other_systems() {
        let lines = all("\u{feff}1\r\n\r\n \t\n[2]\n\"last\"");
        for (line, (number, text)) in
            lines
                .iter()
                .zip([(1, "1"), (2, "-"), (3, "-"), (4, "[2]"), (5, "\"last\"")])
        {
            is(line, number, text);
        }
        assert_eq!(lines.len(), 5);
        assert!(all("").is_empty());
        // Only the first line has a mark.
        is(&all("1\n\u{feff}2")[1], 2, "not JSON");
    }

    #[test]
    fn what_is_no_message_is_bad_and_the_rest_goes_on() {
        let lines = all(&b"nope\n\"a\xff\"\n\0\0\0\n{\"a\": \"\0\"}\n1 2\n{}"[..]);
        assert_eq!(lines.len(), 6);
        for (at, line) in lines[..5].iter().enumerate() {
            is(line, at as u64 + 1, "not JSON: ");
        }
        is(&lines[5], 6, "{}");
    }

    #[test]
    fn utf_16_is_told_once() {
        let utf16: Vec<u8> = "\u{feff}1\n2\n"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let error = Lines::of_text(utf16).next().map(drop);
        assert!(matches!(error, Err(Failure::Usage(text)) if text.contains("iconv")));
    }

    #[test]
    fn a_line_beyond_all_bounds_is_passed_over() {
        struct Endless(u64, u8);
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                let count = buffer.len().min(self.0 as usize);
                buffer[..count].fill(self.1);
                self.0 -= count as u64;
                Ok(count)
            }
        }
        let long = (MAX_MESSAGE_BYTES as u64) * 4;
        for byte in [b'7', b' '] {
            let text = Endless(long, byte).chain(&b"7\n1\n"[..]);
            let mut lines = Lines::of(Box::new(text), "a test".to_owned(), None);
            let (number, line) = lines.next().unwrap().unwrap();
            assert!(number == 1 && matches!(&line, Line::Bad(text) if text.contains("at most")));
            assert_eq!(lines.next().unwrap(), Some((2, Line::Message(b"1"))));
            assert_eq!(lines.read.load(Ordering::Relaxed), long + 4);
            assert!(lines.line.capacity() <= 2 * MAX_MESSAGE_BYTES);
        }
    }

    #[test]
    fn the_longest_message_fits_with_any_end() {
        let message = format!("\"{}\"", "x".repeat(MAX_MESSAGE_BYTES - 2));
        for text in [format!("{message}\r\n"), message.clone() + "\n", message] {
            let lines = all(text);
            assert!(lines[0].1.starts_with("\"x"), "{}", &lines[0].1[..80]);
        }
    }

    #[test]
    fn lines_are_skipped_whatever_they_hold() {
        let mut lines = Lines::of_text("nope\n\n1\n2");
        lines.skip(2).unwrap();
        assert_eq!(lines.next().unwrap(), Some((3, Line::Message(b"1"))));
        // All of a file may have been done.
        let mut lines = Lines::of_text("1\n2\n");
        lines.skip(2).unwrap();
        assert_eq!(lines.next().unwrap(), None);
        let beyond = Lines::of_text("1\n2\n").skip(3);
        assert!(matches!(beyond, Err(Failure::Usage(text)) if text.contains("has 2 lines")));
    }
}
