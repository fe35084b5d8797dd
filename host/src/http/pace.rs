//! How slow a client may be before it is given up on: in sending a body as in taking an
//! answer. A bound on the whole time would end large transfers of honest clients, and
//! one on the pauses lets one byte in each keep a place for ever.

use std::time::Duration;

use tokio::time::Instant;

/// How long a client may pause, and within which it must bring or take [`LEAST`].
pub(super) const WINDOW: Duration = Duration::from_secs(30);

/// 4 KiB a second: less than a modem of 1998 had.
pub(super) const LEAST: usize = 128 << 10;

/// Measures whether a body keeps coming.
pub(super) struct Pace {
    since: Instant,
    came: usize,
}

/// The client is too slow.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooSlow;

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            came: 0,
        }
    }

    /// Waits for the next part of a body, in vain no longer than the window lasts.
    pub(super) async fn wait<T>(&self, next: impl Future<Output = T>) -> Result<T, TooSlow> {
        tokio::time::timeout_at(self.since + WINDOW, next)
            .await
            .map_err(|_| TooSlow)
    }

    /// So much came.
    pub(super) fn came(&mut self, bytes: usize) {
        self.came += bytes;
        if self.came >= LEAST {
            *self = Self::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn a_byte_now_and_then_is_too_slow() {
        let begun = Instant::now();
        let mut pace = Pace {
            since: begun - WINDOW,
            came: 0,
        };
        pace.came(LEAST - 1);
        assert_eq!(pace.wait(pending::<()>()).await, Err(TooSlow));
        // Enough: a new window.
        pace.came(1);
        assert!(pace.since >= begun && pace.came == 0);
        assert_eq!(pace.wait(ready(1)).await, Ok(1));
    }
}
