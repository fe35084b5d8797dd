//! What a step brings: jobs to run.

use std::collections::HashMap;
use std::sync::Arc;

use crate::job::{JobId, Namespace};
use crate::store::record::decode;
use crate::store::{Claim, Result, StoreError, Token};

use super::posted::decode_job;
use super::reply::Reply;
use super::shared::Held;

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

/// Reads the claims of a step's answer.
pub(super) fn read(mut answer: Reply) -> Result<Claims> {
    let mut claims = Claims::default();
    // Most claims of a step are of one namespace, which is parsed once.
    let mut namespaces: HashMap<String, Namespace> = HashMap::new();
    while !answer.is_empty() {
        let field = answer.text()?;
        let attempt = u32::try_from(answer.number()?).unwrap_or(u32::MAX);
        let claimed_at_ms = answer.number()?;
        let (record, past) = (answer.bytes()?, answer.bytes()?);
        let (name, id) = field.rsplit_once('/').unwrap_or_default();
        let id = JobId(id.parse().unwrap_or_default());
        let namespace = match namespaces.get(name) {
            Some(namespace) => namespace.clone(),
            None => {
                let (namespace, _) = parse_field(&field)?;
                namespaces.insert(name.to_owned(), namespace.clone());
                namespace
            }
        };
        let token = Token {
            namespace,
            id,
            attempt,
        };
        let read = decode_job(id, record).and_then(|job| {
            let past = match past.as_slice() {
                [] => Vec::new(),
                bytes => decode(format_args!("the attempts of job {id}"), bytes)?,
            };
            Ok((job, past))
        });
        match read {
            Ok(((posted_at_ms, job), past)) => {
                let job = Arc::new(job);
                claims.claimed.push(Claim {
                    token: token.clone(),
                    job: job.clone(),
                    posted_at_ms,
                    claimed_at_ms,
                });
                claims.held.push((token, Held { job, past }));
            }
            Err(error) => {
                tracing::error!(%error, "a job is set aside, since it cannot be read");
                claims.unreadable.push(token);
            }
        }
    }
    Ok(claims)
}
