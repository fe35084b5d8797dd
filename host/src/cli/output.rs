//! What goes to stdout and stderr, and that a stranger's bytes do no harm there.

use std::borrow::Cow;
use std::io::{ErrorKind, IsTerminal as _, Write as _, stderr, stdout};
use std::path::Path;

use serde::Serialize;

use super::failure::Failure;
use super::logging;
use crate::job::{Payload, printable};

/// Writes a line to stdout. Strangers' words in it are [`plain`], or a string of JSON.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    bytes(format!("{}\n", spelled(text)).as_bytes())
}

/// Writes each as a line of JSON.
pub(super) fn lines_of_json<T: Serialize>(values: &[T]) -> Result<(), Failure> {
    values.iter().try_for_each(json)
}

/// Writes a line of JSON.
pub(super) fn json<T: Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string(value);
    line(&text.map_err(|error| Failure::failed(error.to_string()))?)
}

/// As [`line`], for lines that have their ends.
pub(super) fn lines(text: &str) -> Result<(), Failure> {
    bytes(spelled(text).as_bytes())
}

/// The text with what harms and is not ASCII spelled as in JSON, which spells out the
/// rest by itself.
pub(super) fn spelled(text: &str) -> Cow<'_, str> {
    if matches!(printable(text, |c| c.is_ascii()), Cow::Borrowed(_)) {
        return Cow::Borrowed(text);
    }
    let spelled = |c: char| match printable(c.encode_utf8(&mut [0; 4]), |c| c.is_ascii()) {
        Cow::Borrowed(_) => c.to_string(),
        Cow::Owned(_) => format!("\\u{:04x}", u32::from(c)),
    };
    Cow::Owned(text.chars().map(spelled).collect())
}

/// Writes a line to stderr. That nobody reads it is no reason to stop. Much of what is
/// said here repeats a server's words, and those a stranger's.
pub(super) fn note(text: &str) {
    if logging::is_json() {
        return tracing::info!(target: "skep", "{}", plain(text));
    }
    let _ = writeln!(stderr(), "{}", plain(text));
}

/// Writes a result to `path`, or to stdout, where a terminal gets text only.
pub(super) fn result(id: &str, result: &Payload, path: Option<&Path>) -> Result<(), Failure> {
    if let Some(path) = path {
        return std::fs::write(path, &result.data)
            .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())));
    }
    if !stdout().is_terminal() {
        return bytes(&result.data);
    }
    match text(&result.data) {
        Some(text) => line(text.trim_end_matches('\n')),
        None => Err(Failure::failed(format!(
            "the result of {id} is {} of {} bytes, which a terminal cannot show; write it to a file with the option that --help shows, or pipe it",
            plain(&result.content_type),
            result.data.len()
        ))),
    }
}

/// Writes bytes to stdout as they are.
pub(super) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.map_err(|error| unwritten(&error))
}

/// What it means that stdout could not be written to.
pub(super) fn unwritten(error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::Unread,
        _ => Failure::failed(format!("cannot write to stdout: {error}")),
    }
}

/// Text that cannot move a terminal's cursor or worse.
fn text(data: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(data).ok()?;
    let harmless = |c: char| !c.is_control() || matches!(c, '\n' | '\t' | '\r');
    text.chars().all(harmless).then_some(text)
}

/// A stranger's text with its control characters spelled out; lines stay.
pub(super) fn plain(text: &str) -> String {
    printable(text, |c| c == '\n').into_owned()
}

/// As [`plain`], each line but the first further in: a cause with a backtrace must not
/// look like the lines around it.
pub(super) fn indented(text: &str) -> String {
    plain(text).replace('\n', "\n    ")
}

/// A stranger's text as one line: it must not look like the line after it.
pub(super) fn one_line(text: &str) -> String {
    printable(text, |_| false).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_do_not_reach_a_terminal() {
        assert_eq!(plain("a\x1b[2Jb\nc"), "a\\u{1b}[2Jb\nc");
        assert_eq!(one_line("a\nb"), "a\\nb");
        let json = spelled("{\"é\":\"\u{9b}1m\u{202e}\"}");
        assert_eq!(json, "{\"é\":\"\\u009b1m\\u202e\"}");
        assert_eq!(super::text("ok\n\té".as_bytes()), Some("ok\n\té"));
        assert_eq!(super::text(b"\x1b[2J"), None);
        assert_eq!(super::text(b"\x89PNG"), None);
    }
}
