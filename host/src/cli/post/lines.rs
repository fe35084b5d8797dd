//! The lines of a file as a server takes them: each message in an envelope with the
//! options of the command line.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, stdin};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::super::{failure::Failure, output};
use super::Options;
use crate::intake::MAX_MESSAGE_BYTES;

/// How much is read at once, and sent at once.
const CHUNK: usize = 256 << 10;

/// What stands around each message.
pub(super) struct Form {
    /// Up to the message.
    before: Vec<u8>,
    /// The key of line N is this, a colon and N; in JSON, without the last quote.
    key: Option<String>,
}

impl Form {
    pub(super) fn new(functions: &[String], options: &Options<'_>) -> Result<Self, Failure> {
        let odd = |error: serde_json::Error| Failure::usage(error.to_string());
        let key = (options.idempotency_key)
            .map(|key| {
                let mut key = serde_json::to_string(key).map_err(odd)?;
                key.pop();
                Ok::<_, Failure>(key)
            })
            .transpose()?;
        let options = Options {
            idempotency_key: None,
            ..*options
        };
        let mut before = b"{".to_vec();
        let options = serde_json::to_string(&options).map_err(odd)?;
        // Of the object only its outer braces: there may be another at its end.
        let options = options
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        let options = options.unwrap_or_default();
        if !options.is_empty() {
            before.extend_from_slice(format!("{options},").as_bytes());
        }
        let functions = serde_json::to_string(functions).map_err(odd)?;
        before.extend_from_slice(format!("\"functions\":{functions},").as_bytes());
        Ok(Self { before, key })
    }

    fn put(&self, number: u64, message: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.before);
        if let Some(key) = &self.key {
            out.extend_from_slice(format!("\"idempotency_key\":{key}:{number}\",").as_bytes());
        }
        out.extend_from_slice(b"\"msg\":");
        out.extend_from_slice(message);
        out.push(b'}');
    }
}

/// A file, or stdin.
pub(super) struct Source {
    reader: BufReader<Box<dyn std::io::Read + Send>>,
    /// How long it is, where that is known.
    pub(super) bytes: Option<u64>,
    name: String,
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let from = |reader, bytes, name| Self {
            reader: BufReader::with_capacity(CHUNK, reader),
            bytes,
            name,
        };
        if path == Path::new("-") {
            return Ok(from(Box::new(stdin()), None, "stdin".to_owned()));
        }
        let name = path.display().to_string();
        let file = File::open(path)
            .map_err(|error| Failure::usage(format!("cannot read {name}: {error}")))?;
        let about = file.metadata().ok().filter(|about| about.is_file());
        Ok(from(Box::new(file), about.map(|about| about.len()), name))
    }

    /// Reads to the end, or until nobody takes any more; answers how many lines hold
    /// no message. Such a line is sent empty, so that the server counts as we do.
    pub(super) fn read(
        mut self,
        form: &Form,
        read: &AtomicU64,
        chunks: &mpsc::Sender<Bytes>,
    ) -> Result<u64, Failure> {
        let mut out = Vec::with_capacity(2 * CHUNK);
        let (mut line, mut number, mut bad) = (Vec::new(), 0, 0);
        while self.next(&mut line)? {
            number += 1;
            read.fetch_add(line.len() as u64, Ordering::Relaxed);
            let message = line.trim_ascii();
            if !message.is_empty() {
                match check(message) {
                    Ok(()) => form.put(number, message, &mut out),
                    Err(text) => {
                        bad += 1;
                        output::note(&format!("line {number}: {text}"));
                    }
                }
            }
            out.push(b'\n');
            // Nothing more is there yet: what is, goes.
            if out.len() >= CHUNK || self.reader.buffer().is_empty() {
                let full = std::mem::replace(&mut out, Vec::with_capacity(2 * CHUNK));
                if chunks.blocking_send(full.into()).is_err() {
                    return Ok(bad);
                }
            }
        }
        Ok(bad)
    }

    /// Reads a line, of which no more is kept than a message may have.
    fn next(&mut self, line: &mut Vec<u8>) -> Result<bool, Failure> {
        line.clear();
        let most = MAX_MESSAGE_BYTES as u64 + 2;
        let failed = |error, name: &str| Failure::failed(format!("cannot read {name}: {error}"));
        let taken = (self.reader.by_ref().take(most)).read_until(b'\n', line);
        let taken = taken.map_err(|error| failed(error, &self.name))?;
        if taken as u64 == most && !line.ends_with(b"\n") {
            self.reader
                .skip_until(b'\n')
                .map_err(|error| failed(error, &self.name))?;
        }
        Ok(taken > 0)
    }
}

fn check(message: &[u8]) -> Result<(), String> {
    if message.len() > MAX_MESSAGE_BYTES {
        return Err(format!(
            "a message may have at most {MAX_MESSAGE_BYTES} bytes; store large inputs as data and post their key"
        ));
    }
    serde_json::from_slice::<&RawValue>(message)
        .map(drop)
        .map_err(|error| {
            format!("not JSON: {error}; each line is a message, and a text needs its quotes")
        })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn options(key: Option<&str>) -> Options<'_> {
        Options {
            delay_ms: Some(5),
            priority: None,
            idempotency_key: key,
            max_attempts: None,
            timeout_ms: None,
            limits: None,
            retention_s: None,
            callback: None,
        }
    }

    fn sent(text: &str, form: &Form) -> (String, u64) {
        let bytes = text.as_bytes().to_vec();
        let source = Source {
            reader: BufReader::new(Box::new(std::io::Cursor::new(bytes))),
            bytes: None,
            name: "a test".to_owned(),
        };
        let (chunks, mut sent) = mpsc::channel(16);
        let bad = source.read(form, &AtomicU64::new(0), &chunks).unwrap();
        drop(chunks);
        let mut all = String::new();
        while let Some(chunk) = sent.blocking_recv() {
            all.push_str(str::from_utf8(&chunk).unwrap());
        }
        (all, bad)
    }

    #[test]
    fn each_line_becomes_an_envelope_and_keeps_its_number() {
        let form = Form::new(&["f".to_owned()], &options(Some("a\"b"))).unwrap();
        let (sent, bad) = sent(" [1, 2]\r\n\nnope\n3 4\n\"last\"", &form);
        let lines: Vec<_> = sent.split('\n').collect();
        let envelope = |msg: Value, line| json!({"delay_ms": 5, "functions": ["f"], "msg": msg, "idempotency_key": format!("a\"b:{line}")});
        let read = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        assert_eq!(read(lines[0]), envelope(json!([1, 2]), 1));
        assert_eq!(lines[1..4], ["", "", ""]);
        assert_eq!(read(lines[4]), envelope(json!("last"), 5));
        assert_eq!(bad, 2);
    }

    #[test]
    fn limits_are_an_object_in_each_envelope() {
        let limits = "fuel=7".parse().unwrap();
        let options = Options {
            delay_ms: None,
            limits: Some(&limits),
            ..options(None)
        };
        let form = Form::new(&[], &options).unwrap();
        let (sent, _) = sent("1", &form);
        let read: Value = serde_json::from_str(sent.trim_end()).unwrap();
        assert_eq!(
            read,
            json!({"limits": {"fuel": 7}, "functions": [], "msg": 1})
        );
    }

    #[test]
    fn a_line_cannot_reach_out_of_its_envelope() {
        let form = Form::new(&[], &options(None)).unwrap();
        let (sent, bad) = sent("1,\"priority\":0\n1}{\"msg\":2\n", &form);
        assert_eq!((sent.as_str(), bad), ("\n\n", 2));
    }
}
