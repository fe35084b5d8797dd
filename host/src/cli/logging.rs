//! What the process says about itself on stderr: text for people, or JSON, a line each, for
//! what collects logs.

use std::io::stderr;
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

/// How much is said, where `SKEP_LOG` does not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// What a server does.
    Server(LogFormat),
    /// What went wrong.
    Warnings,
    /// Nothing.
    Nothing,
}

/// Whether all of stderr is JSON.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// Starts logging; `SKEP_LOG` sets the level, such as `debug` or
/// `skep::http=trace`.
pub(super) fn start(level: Level) {
    let default = match level {
        Level::Server(_) => "warn,skep=info",
        Level::Warnings => "warn",
        Level::Nothing => "off",
    };
    let filter = EnvFilter::builder();
    let filter = match std::env::var("SKEP_LOG") {
        Ok(asked) if !asked.is_empty() => filter.parse_lossy(asked),
        _ => filter.parse_lossy(default),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr);
    if level == Level::Server(LogFormat::Json) {
        IS_JSON.store(true, Ordering::Relaxed);
        // An attempt is the one span that there is.
        log.json().flatten_event(true).with_span_list(false).init();
    } else {
        log.with_ansi(console::colors_enabled_stderr()).init();
    }
}

/// Whether all of stderr is to be JSON: then a note is a line of the log.
pub(super) fn is_json() -> bool {
    IS_JSON.load(Ordering::Relaxed)
}
