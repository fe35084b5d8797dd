//! Asks before something is done that cannot be undone.

use std::io::{IsTerminal as _, Write as _, stderr, stdin};

use super::failure::Failure;

/// Asks a person, if there is one.
pub(super) fn confirm(question: &str) -> Result<(), Failure> {
    if !stdin().is_terminal() || !stderr().is_terminal() {
        return Err(Failure::usage(format!(
            "{question} This cannot be undone; say so with --yes"
        )));
    }
    let _ = write!(stderr(), "{question} This cannot be undone [y/N] ");
    let mut answer = String::new();
    let read = stdin().read_line(&mut answer);
    read.map_err(|error| Failure::failed(format!("cannot read an answer: {error}")))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::failed("nothing was deleted")),
    }
}
