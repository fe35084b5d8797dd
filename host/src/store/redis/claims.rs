//! What a step brings: jobs to run.

use std::sync::Arc;

use crate::job::{JobId, Namespace};
use crate::store::record::{Attempt, granted};
use crate::store::{Claim, Result, StoreError, Token};

use super::posted::{decode_job, decode_past};
use super::reply::Reply;
use super::shared::{Held, Shared};

/// The namespace and id of `ns/id`.
pub(super) fn parse_field(field: &str) -> Result<(Namespace, JobId)> {
    let odd = || StoreError::Unreadable(format!("{field:?} is not a namespace and an id"));
    let (namespace, id) = field.rsplit_once('/').ok_or_else(odd)?;
    Ok((
        namespace.parse().map_err(|_| odd())?,
        id.parse().map_err(|_| odd())?,
    ))
}

/// Jobs that were taken.
#[derive(Default)]
pub(super) struct Claims {
    /// Those that can be run.
    pub(super) claimed: Vec<Claim>,
    /// What to remember of each of them.
    pub(super) held: Vec<(Token, Held)>,
    /// Those that this version cannot read.
    pub(super) unreadable: Vec<Token>,
}

/// Reads what a script has taken (`taken` in `claims.lua`), and notes what it tells of the
/// queue. `signs` are those of the time before it.
pub(super) fn taken(shared: &Shared, signs: u64, answer: &mut Reply) -> Result<Claims> {
    shared.clock.set(answer.number()?);
    shared.set_work(answer.truth()?, signs);
    let claims = read(answer.list()?, answer.list()?, answer.list()?)?;
    let mut versions = answer.list()?;
    while !versions.is_empty() {
        let (namespace, version) = (versions.text()?, versions.number()?);
        if let Ok(namespace) = namespace.parse() {
            shared.functions.outdate(&namespace, version);
        }
    }
    Ok(claims)
}

/// The parts of a held job's value that matter here: the attempt, when it was
/// claimed, and whether there is a past.
pub(super) fn parse_value(value: &str) -> Option<(u32, u64, bool)> {
    let mut parts = value.split(':');
    let (attempt, claimed_at_ms) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some((attempt, claimed_at_ms, parts.next()? == "1"))
}

/// Reads the claims of a step's answer: the `ns/id` and the values of all, their
/// records, and the pasts of those that have one.
fn read(mut claims: Reply, mut jobs: Reply, mut pasts: Reply) -> Result<Claims> {
    let (fields, values) = (claims.text()?, claims.text()?);
    let odd = || StoreError::Unreadable(format!("Redis answered odd claims: {fields}"));
    let mut read = Claims::default();
    // Most claims of a step are of one namespace, which is parsed once.
    let mut namespace: Option<Namespace> = None;
    let values = values.split_ascii_whitespace();
    for (field, value) in fields.split_ascii_whitespace().zip(values) {
        let (attempt, claimed_at_ms, has_past) = parse_value(value).ok_or_else(odd)?;
        let (name, id) = field.rsplit_once('/').ok_or_else(odd)?;
        let id = JobId(id.parse().map_err(|_| odd())?);
        let namespace = match &namespace {
            Some(known) if known.as_str() == name => known.clone(),
            _ => namespace.insert(name.parse().map_err(|_| odd())?).clone(),
        };
        let token = Token {
            namespace,
            id,
            attempt,
        };
        let job = decode_job(id, jobs.bytes()?);
        let past = has_past.then(|| pasts.bytes()).transpose()?;
        let past = decode_past(id, &past.unwrap_or_default());
        match job.and_then(|job| Ok((job, past?))) {
            Ok(((posted_at_ms, mut job), past)) => {
                job.max_attempts = job.max_attempts.saturating_add(granted(&past));
                let job = Arc::new(job);
                read.claimed.push(Claim {
                    token: token.clone(),
                    job: job.clone(),
                    posted_at_ms,
                    claimed_at_ms,
                    data_bytes: past.iter().map(Attempt::new_data_bytes).sum(),
                });
                (read.held).push((token, Held::new(job, value.to_owned(), past)));
            }
            Err(error) => {
                tracing::error!(%error, "a job is set aside, since it cannot be read");
                read.unreadable.push(token);
            }
        }
    }
    Ok(read)
}
