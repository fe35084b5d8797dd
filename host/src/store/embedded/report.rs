//! What running jobs say, and what is known of them only in memory.

use std::sync::Arc;

use crate::store::{AttemptLog, Lease, News, Report, Token};

use super::key::Key;
use super::shared::Shared;

impl Shared {
    /// Notes what a running job says, and tells whoever watches it; nothing if the
    /// lease does not hold it.
    pub(super) fn report(&self, lease: Lease, token: &Token, report: Report) {
        let mut running = self.running();
        let Some((_, entry)) = self.held(&mut running, lease, token) else {
            return;
        };
        let attempt = token.attempt;
        // Told before anything else can happen to the job, so that news come in order.
        let tell = |news| self.newsroom().tell(&token.namespace, token.id, news);
        if let Some(progress) = report.progress {
            entry.progress = Some(progress.clone());
            tell(News::Progress { attempt, progress });
        }
        if report.log.is_empty() {
            return;
        }
        let first = entry.log.len();
        Arc::make_mut(&mut entry.log).extend_from_slice(&report.log);
        if self.newsroom().is_watched(&token.namespace, token.id) {
            let lines = report.log.into();
            tell(News::Log {
                attempt,
                first,
                lines,
            });
        }
    }

    /// What an attempt that runs has logged, if one does.
    pub(super) fn live_log(&self, key: Key) -> Option<AttemptLog> {
        let running = self.running();
        let entry = running.get(&key).filter(|entry| !entry.over)?;
        let (attempt, log) = (entry.attempt, entry.log.clone());
        drop(running);
        Some(AttemptLog {
            attempt,
            lines: log.to_vec(),
        })
    }
}
