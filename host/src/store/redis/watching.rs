//! What running jobs say, and those who watch it.
//!
//! Hosts tell what happens to a job only while somebody watches it, by the stream that all
//! hear anyway; so that it is kept short, what is long is not told, but that there is
//! something to look at.

use std::sync::Arc;
use std::time::Duration;

use redis::Cmd;
use tokio::time::{Instant, sleep, timeout};

use crate::job::{JobId, LogLine, Namespace, State};
use crate::store::record::{decode, decode_log, encode, encode_log};
use crate::store::{Lease, News, Report, Result, StoreError, Token, Watch};

use super::RedisStore;
use super::claims::parse_field;
use super::link::Link;
use super::script;
use super::shared::Shared;

/// How many jobs one call tells of: a millisecond or two of Redis's time.
const REPORTED: usize = 500;

/// How much of one call of reports is told to those who watch, in bytes: at twenty calls a
/// second and a stream of some 4,096, a host fills memory with no more than a minute's.
const TOLD_BYTES: usize = 16 << 10;

/// How long a watch lasts that nobody renews.
const WATCHED: Duration = Duration::from_secs(15);

/// How long a process may take to listen after its start: longer than it does.
const LISTENS: Duration = Duration::from_secs(1);

/// How many watches are renewed at once.
const RENEWED: usize = 1_000;

/// The pause after an error.
const PAUSE: Duration = Duration::from_millis(200);

impl RedisStore {
    /// See [`crate::store::Store::report`].
    pub(super) async fn note_reports(
        &self,
        lease: Lease,
        reports: &[(Token, Report)],
    ) -> Result<()> {
        for reports in reports.chunks(REPORTED) {
            let mut command = self.link.command(script::REPORT);
            command.arg(lease.incarnation.to_string()).arg(TOLD_BYTES);
            if self.add_reports(&mut command, lease, reports)? {
                self.link.run(script::REPORT, &command).await?;
            }
        }
        Ok(())
    }

    /// Adds what jobs say that we still hold; answers whether there is any.
    fn add_reports(
        &self,
        command: &mut Cmd,
        lease: Lease,
        reports: &[(Token, Report)],
    ) -> Result<bool> {
        let mut any = false;
        let mut hosts = self.shared.hosts();
        let Some(host) = hosts.get_mut(&lease.incarnation) else {
            return Ok(false);
        };
        for (token, report) in reports {
            let Some(held) = host.held.get_mut(token) else {
                continue;
            };
            let progress = report.progress.as_ref().map(encode).transpose()?;
            let log = encode_log(&report.log)?;
            any = true;
            command
                .arg(format!("{}/{}", token.namespace, token.id))
                .arg(token.attempt)
                .arg(progress.unwrap_or_default())
                .arg(held.lines)
                .arg(report.log.len())
                .arg(log.unwrap_or_default());
            held.lines += report.log.len();
        }
        Ok(any)
    }

    /// See [`crate::store::Store::watch`].
    pub(super) async fn begin_watch(&self, namespace: &Namespace, id: JobId) -> Result<Watch> {
        let watch = self.shared.newsroom.subscribe(namespace, id);
        renew(&self.link, &[(namespace.clone(), id)]).await?;
        self.shared.watching.notify_one();
        // In a process that has only just begun to listen, nothing is missed for that. If
        // it cannot listen now, the watcher is told to look again when it can.
        let _ = timeout(LISTENS, self.shared.listening()).await;
        Ok(watch)
    }
}

/// Lets hosts tell what happens to these jobs.
async fn renew(link: &Arc<Link>, jobs: &[(Namespace, JobId)]) -> Result<()> {
    let mut command = link.command(script::WATCH);
    command.arg(WATCHED.as_millis() as u64);
    for (namespace, id) in jobs {
        command.arg(format!("{namespace}/{id}"));
    }
    link.run(script::WATCH, &command).await.map(drop)
}

/// Renews the watches of this process as long as there are any.
pub(super) async fn run(link: Arc<Link>, shared: Arc<Shared>) {
    let mut renewed = Instant::now();
    let mut pause = WATCHED / 3;
    loop {
        if shared.newsroom.is_empty() {
            shared.watching.notified().await;
            renewed = Instant::now();
        }
        sleep(pause).await;
        let began = Instant::now();
        pause = match renew_all(&link, &shared).await {
            Ok(()) => {
                if began.duration_since(renewed) >= WATCHED {
                    shared.newsroom.missed();
                }
                renewed = began;
                WATCHED / 3
            }
            Err(error) => {
                tracing::debug!(%error, "watches were not renewed");
                PAUSE
            }
        };
    }
}

async fn renew_all(link: &Arc<Link>, shared: &Shared) -> Result<()> {
    for jobs in shared.newsroom.watched().chunks(RENEWED) {
        renew(link, jobs).await?;
    }
    Ok(())
}

/// Tells those who watch a job in this process what the stream tells of it: `ns/id`,
/// attempt, kind, and what there is of it (see `tell_all` in the prelude).
pub(super) fn tell(shared: &Shared, told: &[u8]) -> Result<()> {
    if shared.newsroom.is_empty() {
        return Ok(());
    }
    let odd = || StoreError::Unreadable(format!("the news {:?}", String::from_utf8_lossy(told)));
    let mut parts = told.splitn(4, |byte| *byte == b' ');
    let mut part = || parts.next().ok_or_else(odd);
    let text = |bytes| str::from_utf8(bytes).map_err(|_| odd());
    let (namespace, id) = parse_field(text(part()?)?)?;
    let attempt = text(part()?)?.parse().map_err(|_| odd())?;
    let (kind, more) = (part()?, part()?);
    let state = |state| News::State { attempt, state };
    let news = match kind {
        b"r" => state(State::Running),
        b"p" => state(State::Parked),
        b"q" => state(State::Queued),
        b"d" => state(State::Scheduled),
        b"g" => News::Progress {
            attempt,
            progress: decode(format_args!("the progress of job {id}"), more)?,
        },
        b"l" => {
            let mut parts = more.splitn(2, |byte| *byte == b' ');
            let first = parts.next().ok_or_else(odd)?;
            let lines = parts.next().ok_or_else(odd)?;
            News::Log {
                attempt,
                first: text(first)?.parse().map_err(|_| odd())?,
                lines: decode_log(format_args!("the log of job {id}"), lines)?.into(),
            }
        }
        // Too much to be told, or from a newer version.
        _ => News::Missed,
    };
    shared.newsroom.tell(&namespace, id, news);
    Ok(())
}

/// The lines that an attempt has reported so far: records, each behind its length of 8
/// hexadecimal digits.
pub(super) fn reported(id: JobId, bytes: &[u8]) -> Result<Vec<LogLine>> {
    let torn = || StoreError::Unreadable(format!("the log of job {id} is cut short"));
    let (mut lines, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let (length, after) = rest.split_at_checked(8).ok_or_else(torn)?;
        let length = str::from_utf8(length).map_err(|_| torn())?;
        let length = usize::from_str_radix(length, 16).map_err(|_| torn())?;
        let (record, after) = after.split_at_checked(length).ok_or_else(torn)?;
        lines.extend(decode_log(format_args!("the log of job {id}"), record)?);
        rest = after;
    }
    Ok(lines)
}
