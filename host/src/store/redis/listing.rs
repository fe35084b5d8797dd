//! Lists of jobs: a script finds them, and what to make of each is decided here.

use std::sync::Arc;

use bytes::Bytes;

use crate::job::{JobId, JobRecord, Namespace};
use crate::store::list::Source;
use crate::store::record::{Head, decode, record_of};
use crate::store::{JobFilter, JobPage, Result, SEARCHED_BYTES, StoreError};

use super::RedisStore;
use super::reader::{Place, fill_place};
use super::reply::Reply;
use super::script;

/// How many jobs one page looks at: two milliseconds of Redis's time.
const LOOKED_AT: usize = 256;

/// How many bytes it reads of them, unless the first job alone has more.
const READ_BYTES: usize = 2 << 20;

/// How many ids it looks at to pass by those of no job, or of one of another time: a few
/// more. A hundred that are gone one after the other count as eleven.
const PASSED_BY: usize = 2_000;

/// A page on its way.
struct Reading {
    namespace: Namespace,
    filter: Arc<JobFilter>,
    /// Redis's time, in ms.
    now_ms: u64,
    want: usize,
}

/// A job as the script tells of it.
struct Found {
    id: JobId,
    record: Result<JobRecord>,
    message: Vec<u8>,
}

impl RedisStore {
    /// See [`crate::store::Store::list`].
    pub(super) async fn read_list(
        &self,
        namespace: &Namespace,
        filter: &Arc<JobFilter>,
        before: Option<JobId>,
        want: usize,
    ) -> Result<JobPage> {
        let mut named = Vec::new();
        let place = match filter.source() {
            Source::All => "all",
            Source::Dead => "dead",
            Source::Held => "held",
            Source::Open => "open",
            Source::Named => {
                named = filter.named_below(before);
                "named"
            }
        };
        let asked = named.get(..LOOKED_AT).unwrap_or(&named);
        let mut command = self.link.command(script::LIST);
        command
            .arg(namespace.as_str())
            .arg(number_or_nothing(before.map(|id| id.0)))
            .arg(place)
            .arg(number_or_nothing(filter.posted_after_ms))
            .arg(number_or_nothing(filter.posted_before_ms))
            .arg(filter.text.as_ref().map_or(0, |_| SEARCHED_BYTES))
            .arg(LOOKED_AT)
            .arg(READ_BYTES)
            .arg(PASSED_BY);
        for id in asked {
            command.arg(id.0);
        }
        let answer = loop {
            let mut answer = Reply::new(self.link.run(script::LIST, &command).await?)?;
            match answer.text()?.as_str() {
                "again" => {}
                rest => break (rest.parse().ok().map(JobId), answer),
            }
        };
        // Of more than were asked for, the rest is below the last of those.
        let unasked = asked.last().filter(|_| asked.len() < named.len());
        let next = answer.0.or(unasked.copied());
        let reading = Reading {
            namespace: namespace.clone(),
            filter: filter.clone(),
            now_ms: self.shared.clock.now_ms(),
            want: want.max(1),
        };
        // To search two MiB takes milliseconds, in which others want this thread.
        let read = tokio::task::spawn_blocking(move || reading.page(answer.1, next));
        read.await
            .map_err(|error| StoreError::Unavailable(format!("a list was not read: {error}")))?
    }
}

impl Reading {
    /// The jobs of an answer that fit; `next` is where the list goes on after all of them.
    fn page(&self, mut answer: Reply, next: Option<JobId>) -> Result<JobPage> {
        let mut page = JobPage {
            jobs: Vec::new(),
            next,
        };
        while !answer.is_empty() {
            let found = self.read(&mut answer)?;
            match found.record {
                Ok(record) => {
                    let message = || Ok::<_, StoreError>(found.message);
                    if self.filter.takes(&record, message)? {
                        page.jobs.push(record.into());
                    }
                }
                Err(StoreError::Unreadable(error)) => {
                    tracing::error!(%error, "a job is not listed, since it cannot be read");
                }
                Err(error) => return Err(error),
            }
            if page.jobs.len() >= self.want && !answer.is_empty() {
                page.next = Some(found.id);
                break;
            }
        }
        Ok(page)
    }

    fn read(&self, answer: &mut Reply) -> Result<Found> {
        let id = JobId(answer.number()?);
        let posted_at_ms = answer.number()?;
        let head = answer.bytes()?;
        let (message_bytes, message) = (answer.number()?, answer.bytes()?);
        let (past, progress) = (answer.bytes()?, answer.bytes()?);
        let (place, detail) = (answer.text()?, answer.bytes()?);
        let what = format!("job {id}");
        let head = decode::<Head<'static>>(&what, &head);
        let job = head.and_then(|head| head.into_job(&what, Bytes::new()));
        let record = job.and_then(|job| {
            let namespace = self.namespace.clone();
            let mut record = record_of(id, namespace, posted_at_ms, job, message_bytes);
            let place = Place {
                name: &place,
                detail: &detail,
                past: &past,
                progress: &progress,
            };
            fill_place(&mut record, &place, self.now_ms)?;
            Ok(record)
        });
        Ok(Found {
            id,
            record,
            message,
        })
    }
}

fn number_or_nothing(number: Option<u64>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}
