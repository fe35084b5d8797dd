//! Reads server-sent events, as far as a client of skep needs them. The crates that do
//! this keep an event of any length; this reader gives up on a server that sends one
//! longer than skep's can be.

use std::mem::take;
use std::time::Duration;

/// The longest event: a log line or a cause of 4 KiB each of whose bytes is escaped as
/// six, with room to spare.
const MAX_EVENT_BYTES: usize = 256 << 10;

/// The longest pause that a server may ask for.
const MAX_RETRY: Duration = Duration::from_secs(30);

/// An event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Received {
    /// Its name.
    pub(super) name: String,
    /// Its data; several lines are joined by line feeds.
    pub(super) data: String,
    /// The id that came last, with it or before.
    pub(super) id: String,
}

/// A stream of events, read piece by piece.
#[derive(Default)]
pub(super) struct EventReader {
    /// The beginning of a line that has not come whole.
    line: Vec<u8>,
    /// Whether the last line ended with a carriage return: a line feed after it ends
    /// nothing.
    returned: bool,
    name: String,
    data: String,
    id: String,
    /// How long to wait before coming back, if the server has said so.
    pub(super) retry: Option<Duration>,
}

/// The server sent what no skep sends.
#[derive(Debug)]
pub(super) struct TooLong;

impl EventReader {
    /// Takes the next piece of the stream; answers the events that it completes.
    pub(super) fn read(&mut self, piece: &[u8]) -> Result<Vec<Received>, TooLong> {
        let mut events = Vec::new();
        for &byte in piece {
            let follows = std::mem::replace(&mut self.returned, byte == b'\r');
            match byte {
                b'\n' if follows => {}
                b'\n' | b'\r' => {
                    let line = take(&mut self.line);
                    events.extend(self.end_line(&String::from_utf8_lossy(&line)));
                }
                _ => self.line.push(byte),
            }
            if self.line.len() + self.data.len() > MAX_EVENT_BYTES {
                return Err(TooLong);
            }
        }
        Ok(events)
    }

    fn end_line(&mut self, line: &str) -> Option<Received> {
        if line.is_empty() {
            return self.end_event();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.name = value.to_owned(),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => self.id = value.to_owned(),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                let asked = value.parse().map_or(MAX_RETRY, Duration::from_millis);
                self.retry = Some(asked.min(MAX_RETRY));
            }
            // A comment, or a field of the future.
            _ => {}
        }
        None
    }

    fn end_event(&mut self) -> Option<Received> {
        let (name, mut data) = (take(&mut self.name), take(&mut self.data));
        // An event without data is none.
        data.pop()?;
        Some(Received {
            name,
            data,
            id: self.id.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events of a stream that comes in pieces of so many bytes.
    fn events(text: &str, piece: usize) -> Vec<(String, String, String)> {
        let mut reader = EventReader::default();
        let pieces = text.as_bytes().chunks(piece);
        let events = pieces.flat_map(|piece| reader.read(piece).unwrap());
        events.map(|e| (e.name, e.data, e.id)).collect()
    }

    fn event(name: &str, data: &str, id: &str) -> (String, String, String) {
        (name.into(), data.into(), id.into())
    }

    #[test]
    fn events_are_read_however_they_are_cut_and_whatever_ends_their_lines() {
        let text = concat!(
            "retry: 1000\nid: 1-0-0\nevent: state\ndata: {\"a\": \"é\"}\n\n",
            ": keep-alive\n\n",
            "event:log\r\ndata:one\r\ndata: two\r\nid: 1-1-5\r\n\r\n",
            "event: nothing\n\n",
            "data:  spaced\r\rdata\n\n",
            "unknown: x\nid\ndata: last\n\n",
            "data: never ended\n"
        );
        let expected = [
            event("state", "{\"a\": \"é\"}", "1-0-0"),
            event("log", "one\ntwo", "1-1-5"),
            event("", " spaced", "1-1-5"),
            event("", "", "1-1-5"),
            event("", "last", ""),
        ];
        for piece in [1, 2, 3, 7, text.len()] {
            assert_eq!(events(text, piece), expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_pause_is_believed_within_reason() {
        for (said, believed) in [
            ("retry: 500\n", Some(Duration::from_millis(500))),
            ("retry: 99999999999999999999999\n", Some(MAX_RETRY)),
            ("retry: soon\n", None),
        ] {
            let mut reader = EventReader::default();
            reader.read(said.as_bytes()).unwrap();
            assert_eq!(reader.retry, believed, "{said}");
        }
    }

    #[test]
    fn an_endless_event_is_given_up() {
        for endless in ["x", "data: x\n"] {
            let mut reader = EventReader::default();
            let piece = endless.repeat(1000);
            let given_up = (0..1000).any(|_| reader.read(piece.as_bytes()).is_err());
            assert!(given_up, "{endless:?}");
        }
    }
}
