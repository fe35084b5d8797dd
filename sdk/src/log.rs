//! The job's log, and the panics that land there.

pub use crate::bindings::skep::jobs::log::Level;
pub use crate::host::log::write;

/// Sends panics to the job's log before they trap, since a trap alone tells
/// neither message nor place. Native tests, which have no host, keep their own.
pub(crate) fn panics() {
    #[cfg(target_arch = "wasm32")]
    std::panic::set_hook(Box::new(|panic| write(Level::Error, &panic.to_string())));
}

/// Adds a line to the job's log at level `trace`; takes what [`format!`] takes.
#[macro_export]
macro_rules! trace {
    ($($text:tt)+) => { $crate::log::write($crate::log::Level::Trace, &::std::format!($($text)+)) };
}

/// Adds a line to the job's log at level `debug`; takes what [`format!`] takes.
#[macro_export]
macro_rules! debug {
    ($($text:tt)+) => { $crate::log::write($crate::log::Level::Debug, &::std::format!($($text)+)) };
}

/// Adds a line to the job's log at level `info`; takes what [`format!`] takes.
#[macro_export]
macro_rules! info {
    ($($text:tt)+) => { $crate::log::write($crate::log::Level::Info, &::std::format!($($text)+)) };
}

/// Adds a line to the job's log at level `warn`; takes what [`format!`] takes.
#[macro_export]
macro_rules! warn {
    ($($text:tt)+) => { $crate::log::write($crate::log::Level::Warn, &::std::format!($($text)+)) };
}

/// Adds a line to the job's log at level `error`; takes what [`format!`] takes.
#[macro_export]
macro_rules! error {
    ($($text:tt)+) => { $crate::log::write($crate::log::Level::Error, &::std::format!($($text)+)) };
}
