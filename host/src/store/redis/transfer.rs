//! Jobs that move to another store and from one: held, let go, looked at, delivered.

use uuid::Uuid;

use crate::job::{Cause, CauseKind, JobId, Namespace};
use crate::store::record::{Attempt, encode, granted};
use crate::store::{MAX_PARCELS_BYTES, Origin, Parcel, Result, Store as _};

use super::RedisStore;
use super::posted::{decode_job, decode_past};
use super::reply::{self, Reply};
use super::{script, submit};

/// How many values the script that accepts jobs wants of one from another store.
const PARCEL_WIDTH: usize = 7;

/// No id is larger: numbers in scripts are doubles.
const LAST_ID: u64 = 1 << 53;

impl RedisStore {
    /// Waiting jobs after an id; a mover holds them from now on.
    pub(super) async fn parcels(
        &self,
        namespace: &Namespace,
        after: JobId,
        mover: Option<Uuid>,
        want: usize,
    ) -> Result<Vec<Parcel>> {
        if want == 0 {
            return Ok(Vec::new());
        }
        let store = self.store_id().await?;
        let mut command = self.link.command(script::WAITING);
        command
            .arg(namespace.as_str())
            .arg(after.0.min(LAST_ID))
            .arg(LAST_ID)
            .arg(want)
            .arg(MAX_PARCELS_BYTES)
            .arg(mover.map_or_else(String::new, |mover| mover.to_string()));
        let mut answer = Reply::new(self.link.run(script::WAITING, &command).await?)?;
        let now_ms = self.shared.clock.now_ms();
        let mut parcels = Vec::new();
        while !answer.is_empty() {
            let (member, due) = (answer.text()?, answer.number()?);
            let (record, past) = (answer.bytes()?, answer.bytes()?);
            let id = member.split(':').next().unwrap_or_default();
            let id = JobId(id.parse().unwrap_or_default());
            let read = decode_job(id, record).and_then(|job| Ok((job, decode_past(id, &past)?)));
            match read {
                Ok(((posted_at_ms, mut job), past)) => {
                    job.max_attempts = job.max_attempts.saturating_add(granted(&past));
                    job.delay_ms = due.saturating_sub(now_ms);
                    job.parent = None;
                    job.root = None;
                    parcels.push(Parcel {
                        origin: Origin {
                            store,
                            namespace: namespace.clone(),
                            id,
                            posted_at_ms,
                        },
                        job,
                        attempts: past.into_iter().map(Attempt::into_record).collect(),
                    });
                }
                Err(error) => {
                    tracing::error!(%error, "a job is not moved, since it cannot be read");
                }
            }
        }
        Ok(parcels)
    }

    /// Ends what a mover holds and has delivered.
    pub(super) async fn end_moved(
        &self,
        namespace: &Namespace,
        mover: Uuid,
        moved: Vec<(JobId, String)>,
    ) -> Result<usize> {
        if moved.is_empty() {
            return Ok(0);
        }
        let mut command = self.link.command(script::LET_GO);
        command.arg(namespace.as_str()).arg(mover.to_string());
        let ids: Vec<_> = moved.iter().map(|(id, _)| *id).collect();
        let pasts = self.pasts(namespace, &ids).await?;
        for ((id, text), past) in moved.into_iter().zip(pasts) {
            let cause = Cause::new(CauseKind::Moved, text);
            let end = self.end_of_waiting(id, &past, Some(cause))?;
            command.arg(id.0).arg(end);
        }
        let gone = reply::number(self.link.run(script::LET_GO, &command).await?)?;
        Ok(usize::try_from(gone).unwrap_or(usize::MAX))
    }

    /// Accepts jobs of another store.
    pub(super) async fn accept_parcels(
        &self,
        namespace: &Namespace,
        parcels: &[Parcel],
    ) -> Result<Vec<JobId>> {
        if parcels.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = submit::command(
            &self.link,
            namespace,
            None,
            PARCEL_WIDTH,
            Uuid::new_v4(),
            "",
        );
        for parcel in parcels {
            let Origin {
                store,
                namespace,
                id,
                posted_at_ms,
            } = &parcel.origin;
            submit::add_job(&mut command, &parcel.job, PARCEL_WIDTH)?;
            command.arg(format!("{store}/{namespace}/{id}/{posted_at_ms}"));
            match parcel.attempts.last() {
                Some(last) => {
                    let past: Vec<_> = parcel.attempts.iter().map(Attempt::from_record).collect();
                    command.arg(last.number).arg(encode(&past)?);
                }
                None => {
                    command.arg("").arg("");
                }
            }
        }
        let ids = reply::text(self.link.run(script::SUBMIT, &command).await?)?;
        submit::read_ids(&ids, &[])
    }
}
