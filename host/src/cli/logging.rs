//! What the process says about itself on stderr: text for people, or JSON, a line each, for
//! what collects logs.

use std::io::{IsTerminal as _, stderr};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: an object a line.
    Json,
}

/// Whether all of stderr is JSON.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// Starts logging; `SKEP_LOG` sets the level, such as `debug` or
/// `skep::http=trace`. Without it a server tells what it does, and any other
/// verb only what went wrong. `format` is that of a server.
pub(super) fn start(format: Option<LogFormat>) {
    let default = if format.is_some() {
        "warn,skep=info"
    } else {
        "warn"
    };
    let filter = EnvFilter::builder();
    let filter = match std::env::var("SKEP_LOG") {
        Ok(asked) if !asked.is_empty() => filter.parse_lossy(asked),
        _ => filter.parse_lossy(default),
    };
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr);
    if format == Some(LogFormat::Json) {
        IS_JSON.store(true, Ordering::Relaxed);
        // An attempt is the one span that there is.
        log.json().flatten_event(true).with_span_list(false).init();
    } else {
        log.with_ansi(stderr().is_terminal() && !no_color).init();
    }
}

/// Whether all of stderr is to be JSON: then a note is a line of the log.
pub(super) fn is_json() -> bool {
    IS_JSON.load(Ordering::Relaxed)
}
