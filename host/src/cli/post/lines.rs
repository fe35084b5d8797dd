//! The lines of a file as a server takes them: each message in an envelope with the
//! options of the command line.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::super::lines::{CHUNK, Line, Lines};
use super::super::{failure::Failure, output};
use super::Options;
use super::track::Track;

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

/// Reads lines from `from` on to the end, or until nobody takes any more. One without a
/// message is sent empty, so that the server counts as we do.
pub(super) fn read(
    mut lines: Lines,
    from: u64,
    form: &Form,
    track: &Track,
    chunks: &mpsc::Sender<Bytes>,
) -> Result<(), Failure> {
    lines.skip(from - 1)?;
    track.read_to(from - 1);
    let mut out = Vec::with_capacity(2 * CHUNK);
    loop {
        match lines.next()? {
            None => break,
            Some((number, line)) => {
                match line {
                    Line::Blank => {}
                    Line::Message(message) => {
                        form.put(number, message, &mut out);
                        track.sends(number);
                    }
                    Line::Bad(text) => {
                        track.found_bad();
                        output::note(&format!("line {number}: {text}"));
                    }
                }
                track.read_to(number);
                out.push(b'\n');
            }
        }
        // Nothing more is there yet: what is, goes.
        if (out.len() >= CHUNK || lines.is_dry()) && !send(&mut out, chunks) {
            break;
        }
    }
    Ok(())
}

/// Sends what there is, a large message in pieces, so that few of them wait; answers
/// whether anybody takes it.
fn send(out: &mut Vec<u8>, chunks: &mpsc::Sender<Bytes>) -> bool {
    let mut full: Bytes = std::mem::replace(out, Vec::with_capacity(2 * CHUNK)).into();
    while !full.is_empty() {
        let piece = full.split_to(full.len().min(2 * CHUNK));
        if chunks.blocking_send(piece).is_err() {
            return false;
        }
    }
    true
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

    fn sent_from(from: u64, text: &str, form: &Form) -> (String, u64) {
        let (chunks, mut sent) = mpsc::channel(16);
        let track = Track::default();
        read(Lines::of_text(text), from, form, &track, &chunks).unwrap();
        drop(chunks);
        let mut all = String::new();
        while let Some(chunk) = sent.blocking_recv() {
            all.push_str(str::from_utf8(&chunk).unwrap());
        }
        (all, track.bad())
    }

    fn sent(text: &str, form: &Form) -> (String, u64) {
        sent_from(1, text, form)
    }

    #[test]
    fn each_line_becomes_an_envelope_and_keeps_its_number() {
        let form = Form::new(&["f".to_owned()], &options(Some("a\"b"))).unwrap();
        let text = " [1, 2]\r\n\nnope\n3 4\n\"last\"";
        let (all, bad) = sent(text, &form);
        let lines: Vec<_> = all.split('\n').collect();
        let envelope = |msg: Value, line| json!({"delay_ms": 5, "functions": ["f"], "msg": msg, "idempotency_key": format!("a\"b:{line}")});
        let read = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        assert_eq!(read(lines[0]), envelope(json!([1, 2]), 1));
        assert_eq!(lines[1..4], ["", "", ""]);
        assert_eq!(read(lines[4]), envelope(json!("last"), 5));
        assert_eq!(bad, 2);
        let (rest, bad) = sent_from(4, text, &form);
        assert_eq!(rest, format!("\n{}\n", lines[4]), "the same from there on");
        assert_eq!(bad, 1);
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
