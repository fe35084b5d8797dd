//! What goes to stdout and stderr, and that a stranger's bytes do no harm there.

use std::io::{ErrorKind, IsTerminal as _, Write as _, stderr, stdout};
use std::path::Path;

use super::failure::Failure;
use crate::job::Payload;

/// Writes a line to stdout.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    bytes(format!("{text}\n").as_bytes())
}

/// Writes a line to stderr. That nobody reads it is no reason to stop.
pub(super) fn note(text: &str) {
    let _ = writeln!(stderr(), "{text}");
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
    match printable(&result.data) {
        Some(text) => line(text.trim_end_matches('\n')),
        None => Err(Failure::failed(format!(
            "the result of {id} is {} of {} bytes, which a terminal cannot show; write it to a file with the option that --help shows, or pipe it",
            plain(&result.content_type),
            result.data.len()
        ))),
    }
}

fn bytes(bytes: &[u8]) -> Result<(), Failure> {
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
fn printable(data: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(data).ok()?;
    let harmless = |c: char| !c.is_control() || matches!(c, '\n' | '\t' | '\r');
    text.chars().all(harmless).then_some(text)
}

/// A stranger's text with its control characters spelled out; lines stay.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_do_not_reach_a_terminal() {
        assert_eq!(plain("a\x1b[2Jb\nc"), "a\\u{1b}[2Jb\nc");
        assert_eq!(printable("ok\n\té".as_bytes()), Some("ok\n\té"));
        assert_eq!(printable(b"\x1b[2J"), None);
        assert_eq!(printable(b"\x89PNG"), None);
    }
}
