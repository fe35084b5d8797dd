//! Lists of jobs: a script finds them, and what to make of each is decided here.

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
const LOOKED_AT: usize = 500;

/// How many bytes it reads of them, unless the first job alone has more.
const READ_BYTES: usize = 2 << 20;

/// How many ids it passes by of which there is no job, or one of another time: two more.
/// A hundred that are missing one after the other count as ten.
const PASSED_BY: usize = 3_000;

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
        filter: &JobFilter,
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
        let mut answer = loop {
            let mut answer = Reply::new(self.link.run(script::LIST, &command).await?)?;
            match answer.text()?.as_str() {
                "again" => {}
                rest => break (rest.parse().ok().map(JobId), answer),
            }
        };
        // Of more than were asked for, the rest is below the last of those.
        let unasked = asked.last().filter(|_| asked.len() < named.len());
        let mut page = JobPage {
            jobs: Vec::new(),
            next: answer.0.or(unasked.copied()),
        };
        while !answer.1.is_empty() {
            let found = self.read_found(namespace, &mut answer.1)?;
            match found.record {
                Ok(record) => {
                    if filter.takes::<StoreError>(&record, || Ok(found.message))? {
                        page.jobs.push(record.into());
                    }
                }
                Err(StoreError::Unreadable(error)) => {
                    tracing::error!(%error, "a job is not listed, since it cannot be read");
                }
                Err(error) => return Err(error),
            }
            if page.jobs.len() >= want.max(1) && !answer.1.is_empty() {
                page.next = Some(found.id);
                break;
            }
        }
        Ok(page)
    }

    fn read_found(&self, namespace: &Namespace, answer: &mut Reply) -> Result<Found> {
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
            let mut record = record_of(id, namespace.clone(), posted_at_ms, job, message_bytes);
            let place = Place {
                name: &place,
                detail: &detail,
                past: &past,
                progress: &progress,
            };
            fill_place(&mut record, &place, self.shared.clock.now_ms())?;
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
