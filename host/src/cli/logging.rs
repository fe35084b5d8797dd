//! What the process says about itself on stderr.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;

/// Starts logging; `SKEP_LOG` sets the level, such as `debug` or
/// `skep::http=trace`. Without it a server tells what it does, and any other
/// verb only what went wrong.
pub(super) fn start(is_server: bool) {
    let default = if is_server { "warn,skep=info" } else { "warn" };
    let filter = EnvFilter::builder();
    let filter = match std::env::var("SKEP_LOG") {
        Ok(asked) if !asked.is_empty() => filter.parse_lossy(asked),
        _ => filter.parse_lossy(default),
    };
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(stderr().is_terminal() && !no_color)
        .with_writer(stderr)
        .init();
}
