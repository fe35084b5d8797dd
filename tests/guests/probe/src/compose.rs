//! A job that does what its message says, so that a test can describe any tree of
//! jobs: the message of [`compose`] is a list of steps.
//!
//! The steps run in order, and each has a value. The result is the list of all
//! values, or what the step `return` says. A step that fails fails the job, unless
//! it is within `try`.
//!
//! ```json
//! [
//!     {"post": {"compose": [{"progress": [50, "half"]}, {"return": 6}]}},
//!     {"post": {"function": "echo", "message": 7, "priority": 0}},
//!     {"wait-all": {}},
//!     {"try": [{"wait": "{parent}"}]},
//!     {"attempt": [[{"retry": {"after_ms": 1}}], []]}
//! ]
//! ```
//!
//! In texts, `{own}` is the id of this job, `{parent}` that of its parent,
//! `{attempt}` the number of the attempt, `{0}` and up the jobs that this one has
//! posted, `{last}` the last of them, and `{data:KEY}` what is stored under a key.

mod step;

use std::time::Duration;

use serde_json::{Value, json};
use skep_sdk::{Context, Failure, JobId, Output, Payload, Post};

use self::step::{New, Step, Wait, WaitMany};
use crate::calls::compute;

/// Why the steps after this one are left out.
enum Stop {
    Returned(Value),
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for Stop {
    fn from(error: E) -> Self {
        Stop::Failed(error.into())
    }
}

/// Does what the steps say.
#[skep_sdk::listener]
pub(crate) fn compose(steps: Vec<Step>, ctx: &Context) -> Result<Value, Failure> {
    let mut run = Run {
        ctx,
        posted: Vec::new(),
    };
    match run.all(&steps) {
        Ok(values) => Ok(values),
        Err(Stop::Returned(value)) => Ok(value),
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

/// A job on its way through its steps.
struct Run<'a> {
    ctx: &'a Context,
    posted: Vec<JobId>,
}

impl Run<'_> {
    fn all(&mut self, steps: &[Step]) -> Result<Value, Stop> {
        steps.iter().map(|step| self.one(step)).collect()
    }

    fn one(&mut self, step: &Step) -> Result<Value, Stop> {
        let ctx = self.ctx;
        Ok(match step {
            Step::Post(new) => self.post(new)?,
            Step::Map { function, messages } => {
                let results = ctx.map::<Output>(function, messages.iter().cloned())?;
                results.iter().map(readable).collect()
            }
            Step::Tree { depth: 0, .. } => json!(1),
            Step::Tree { depth, width } => {
                let child = json!([{"tree": {"depth": depth - 1, "width": width}}]);
                // As often as this one, where hosts are lost under both.
                let attempts = ctx.job().max_attempts;
                let post = || ctx.post(&child).functions(["compose"]);
                let posts = (0..*width).map(|_| post().max_attempts(attempts));
                let counts: Vec<[u64; 1]> = ctx.wait_all(&ctx.post_many(posts)?)?;
                json!(1 + counts.iter().flatten().sum::<u64>())
            }
            Step::Wait(Wait::For(job)) => readable(&ctx.wait(self.text(job)?)?),
            Step::Wait(Wait::AtMost { job, timeout_ms }) => {
                let timeout = Duration::from_millis(*timeout_ms);
                readable(&ctx.wait_timeout(self.text(job)?, timeout)?)
            }
            Step::WaitAll(many) => {
                let outputs = match many.timeout_ms {
                    None => ctx.wait_all::<Output>(&self.jobs(many)?)?,
                    Some(_) => self.each(many)?.into_iter().collect::<Result<_, _>>()?,
                };
                outputs.iter().map(readable).collect()
            }
            Step::WaitEach(many) => (self.each(many)?.iter())
                .map(|output| match output {
                    Ok(output) => readable(output),
                    Err(error) => json!({"error": error.to_string()}),
                })
                .collect(),
            Step::Store {
                key,
                data,
                bytes,
                expiry_s,
            } => {
                let data = match bytes {
                    Some(bytes) => vec![b'x'; *bytes],
                    None => self.text(data.as_deref().unwrap_or_default())?.into_bytes(),
                };
                let mut store = ctx.store(&data);
                if let Some(key) = key {
                    store = store.key(self.text(key)?);
                }
                if let Some(seconds) = expiry_s {
                    store = store.expiry(Duration::from_secs(*seconds));
                }
                json!(store.save()?)
            }
            Step::Fetch(key) => json!(self.fetch(key)?),
            Step::FetchUntilThere(key) => loop {
                if let Some(text) = self.fetch(key)? {
                    break json!(text);
                }
                compute(100_000);
            },
            Step::Progress(percent, note) => json!(ctx.progress(*percent, &self.text(note)?)?),
            Step::Log(text) => {
                skep_sdk::info!("{}", self.text(text)?);
                Value::Null
            }
            Step::Spin(iterations) => json!(compute(*iterations)),
            Step::SpinUntilCancelled => {
                while !ctx.is_cancelled() {
                    compute(10_000);
                }
                Value::Null
            }
            Step::IsCancelled => json!(ctx.is_cancelled()),
            Step::Attempt(attempts) => {
                let nth = ctx.job().attempt as usize - 1;
                match attempts.get(nth).or(attempts.last()) {
                    Some(steps) => self.all(steps)?,
                    None => Value::Null,
                }
            }
            Step::Try(steps) => match self.all(steps) {
                Err(Stop::Failed(failure)) => json!({"error": told(failure)}),
                other => other?,
            },
            Step::Return(value) => return Err(Stop::Returned(value.clone())),
            Step::Fail(why) => return Err(Failure::failed(self.text(why)?).into()),
            Step::Retry { after_ms } => {
                let after = Duration::from_millis(*after_ms);
                return Err(Failure::retry(after, "a step said so").into());
            }
            Step::Panic => panic!("a step said so"),
            Step::Trap => crate::hostile::unreachable(),
        })
    }

    fn post(&mut self, new: &New) -> Result<Value, Stop> {
        let post = self.posting(new)?;
        let Some(many) = new.many else {
            let id = post.send()?;
            self.posted.push(id.clone());
            return Ok(json!(id));
        };
        let ids = self.ctx.post_many(vec![post; many])?;
        self.posted.extend_from_slice(&ids);
        Ok(json!(ids))
    }

    fn posting(&self, new: &New) -> Result<Post, Stop> {
        let message = match (&new.compose, new.bytes) {
            (Some(steps), _) => Payload::json(steps)?,
            (None, Some(bytes)) => Payload::from(vec![b'x'; bytes]),
            (None, None) if new.itself => self.ctx.job().message.clone(),
            (None, None) => Payload::json(&new.message)?,
        };
        let mut post = self.ctx.post(&message).functions([&new.function]);
        if let Some(ms) = new.delay_ms {
            post = post.delay(Duration::from_millis(ms));
        }
        if let Some(priority) = new.priority {
            post = post.priority(priority);
        }
        if let Some(key) = &new.idempotency_key {
            post = post.idempotency_key(self.text(key)?);
        }
        if let Some(attempts) = new.max_attempts {
            post = post.max_attempts(attempts);
        }
        if let Some(ms) = new.timeout_ms {
            post = post.timeout(Duration::from_millis(ms));
        }
        if let Some(seconds) = new.retention_s {
            post = post.retention(Duration::from_secs(seconds));
        }
        if let Some(url) = &new.callback {
            post = post.callback(url);
        }
        Ok(post)
    }

    fn each(&self, many: &WaitMany) -> Result<Vec<Result<Output, skep_sdk::Error>>, Stop> {
        let timeout = many.timeout_ms.map(Duration::from_millis);
        Ok(self.ctx.wait_each(&self.jobs(many)?, timeout)?)
    }

    fn jobs(&self, many: &WaitMany) -> Result<Vec<JobId>, Stop> {
        let Some(jobs) = &many.jobs else {
            return Ok(self.posted.clone());
        };
        jobs.iter().map(|job| Ok(self.text(job)?.into())).collect()
    }

    fn fetch(&self, key: &str) -> Result<Option<String>, Stop> {
        let data = self.ctx.fetch::<Vec<u8>>(&self.text(key)?)?;
        Ok(data.map(|data| String::from_utf8_lossy(&data).into_owned()))
    }

    /// A text with what stands for its placeholders. Other braces stay.
    fn text(&self, text: &str) -> Result<String, Stop> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, (name, after))) =
            (rest.split_once('{')).and_then(|(before, from)| Some((before, from.split_once('}')?)))
        {
            filled.push_str(before);
            match self.meaning(name)? {
                Some(meaning) => filled.push_str(&meaning),
                None => filled.push_str(&format!("{{{name}}}")),
            }
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    fn meaning(&self, name: &str) -> Result<Option<String>, Stop> {
        let job = self.ctx.job();
        Ok(match name {
            "own" => Some(job.id.clone()),
            "parent" => job.parent.clone(),
            "attempt" => Some(job.attempt.to_string()),
            "last" => self.posted.last().map(JobId::to_string),
            _ => match name.strip_prefix("data:") {
                Some(key) => self.fetch(key)?,
                None => (name.parse::<usize>().ok())
                    .and_then(|nth| self.posted.get(nth))
                    .map(JobId::to_string),
            },
        })
    }
}

/// A result as JSON, whatever it is.
fn readable(output: &Output) -> Value {
    let data = &output.result.data;
    serde_json::from_slice(data).unwrap_or_else(|_| json!(String::from_utf8_lossy(data)))
}

fn told(failure: Failure) -> String {
    match failure {
        Failure::Invalid(why) | Failure::Failed(why) => why,
        Failure::Retry { reason, .. } => reason,
    }
}

#[cfg(test)]
mod tests {
    use skep_sdk::TestHost;

    use super::*;
    use crate::ends::{echo, failed};

    #[track_caller]
    fn gives(steps: Value, result: Value) -> TestHost {
        let host = TestHost::new().with::<compose>();
        let host = host.with::<echo>().with::<failed>();
        assert_eq!(host.run::<Value>("compose", &steps), Ok(result));
        host
    }

    #[test]
    fn steps_post_and_wait() {
        gives(
            json!([
                {"post": {"compose": [{"progress": [50, "half"]}, {"return": 6}]}},
                {"post": {"function": "echo", "message": 7, "priority": 0}},
                {"post": {"function": "failed"}},
                {"wait-each": {}},
                {"wait-all": {"jobs": ["{0}", "3"], "timeout_ms": 1000}},
                {"wait": "{1}"},
                {"wait": {"job": "{0}", "timeout_ms": 1000}},
                {"try": [{"wait": "{last}"}]},
                {"map": {"function": "echo", "messages": [1, "two"]}},
            ]),
            json!([
                "2", "3", "4",
                [6, 7, {"error": "job failed: failed: the work is no good"}],
                [6, 7], 7, 6,
                {"error": "job failed: failed: the work is no good"},
                [1, "two"],
            ]),
        );
    }

    #[test]
    fn a_tree_counts_its_jobs() {
        let host = gives(json!([{"tree": {"depth": 3, "width": 2}}]), json!([15]));
        assert_eq!(host.jobs(), 15);
        gives(json!([{"tree": {"depth": 50, "width": 1}}]), json!([51]));
    }

    #[test]
    fn another_attempt_may_take_another_way() {
        gives(
            json!([
                {"attempt": [
                    [{"post": {"function": "echo"}}, {"retry": {"after_ms": 0}}],
                    [{"post": {"itself": true, "function": "echo", "many": 2}}],
                ]},
                {"return": "{not a placeholder}"},
            ]),
            json!("{not a placeholder}"),
        );
    }

    #[test]
    fn texts_are_filled() {
        gives(
            json!([
                {"store": {"key": "of {own}", "data": "{own} {parent} {attempt} {7} {data:x}"}},
                {"try": [{"fail": "{data:of 1}, {} and {more"}]},
            ]),
            json!([
                "of 1",
                {"error": "1 {parent} 1 {7} {data:x}, {} and {more"},
            ]),
        );
    }
}
