//! What one attempt may ask of the host, over all calls of all its functions.

use crate::job::{Limits, Usage};
use crate::sandbox::bindings::types::Error;

/// What was used of each bound, and by the function at hand.
#[derive(Debug)]
pub(super) struct Budget {
    calls: Allowance,
    posts: Allowance,
    stored_bytes: Allowance,
    fetched_bytes: Allowance,
    new_data_bytes: Allowance,
    inferences: Allowance,
    /// In µs. What the last call took may be beyond the limit: it is known when it is over.
    inference: Allowance,
}

#[derive(Debug)]
struct Allowance {
    /// The limit's name.
    name: &'static str,
    what: &'static str,
    limit: u64,
    /// What was used before this function began.
    before: u64,
    used: u64,
}

impl Allowance {
    fn new(name: &'static str, what: &'static str, limit: u64, before: u64) -> Self {
        Self {
            name,
            what,
            limit,
            before,
            used: 0,
        }
    }

    fn take(&mut self, amount: u64) -> Result<(), Error> {
        if amount > self.left() {
            return Err(self.exceeded());
        }
        self.used += amount;
        Ok(())
    }

    /// Whether there is any left.
    fn some(&self) -> Result<(), Error> {
        match self.left() {
            0 => Err(self.exceeded()),
            _ => Ok(()),
        }
    }

    fn exceeded(&self) -> Error {
        Error::LimitExceeded(format!(
            "{} at most {}; {} are left (the limit `{}`)",
            self.what,
            self.limit,
            self.left(),
            self.name
        ))
    }

    /// An earlier function of the attempt may have had a wider limit.
    fn left(&self) -> u64 {
        let used = self.before.saturating_add(self.used);
        self.limit.saturating_sub(used)
    }
}

impl Budget {
    /// A budget of these limits, of which the attempt has used some; of data, earlier
    /// attempts have stored `data_bytes`.
    pub(super) fn new(limits: &Limits, used: &Usage, data_bytes: u64) -> Self {
        let stored = "an attempt may post and store bytes:";
        let data = "a job may store bytes of data, in all its attempts:";
        let before = data_bytes.saturating_add(used.new_data_bytes);
        Self {
            calls: Allowance::new(
                "host_calls",
                "an attempt may make host calls:",
                limits.host_calls,
                used.host_calls,
            ),
            posts: Allowance::new(
                "posts",
                "an attempt may post jobs:",
                limits.posts,
                used.posts,
            ),
            stored_bytes: Allowance::new(
                "stored_bytes",
                stored,
                limits.stored_bytes,
                used.stored_bytes,
            ),
            fetched_bytes: Allowance::new(
                "fetched_bytes",
                "an attempt may fetch bytes:",
                limits.fetched_bytes,
                used.fetched_bytes,
            ),
            new_data_bytes: Allowance::new("stored_bytes", data, limits.stored_bytes, before),
            inferences: Allowance::new(
                "inferences",
                "an attempt may call models:",
                limits.inferences,
                used.inferences,
            ),
            inference: Allowance::new(
                "inference_ms",
                "an attempt may use engine time, in µs:",
                limits.inference_ms.saturating_mul(1000),
                used.inference_us,
            ),
        }
    }

    pub(super) fn call(&mut self) -> Result<(), Error> {
        self.calls.take(1)
    }

    pub(super) fn wait(&mut self, jobs: usize) -> Result<(), Error> {
        self.calls.take(jobs as u64)
    }

    pub(super) fn post(&mut self, jobs: usize, bytes: usize) -> Result<(), Error> {
        self.posts.take(jobs as u64)?;
        self.stored_bytes.take(bytes as u64)
    }

    /// Takes what is stored: `new` of `bytes` were not there before.
    pub(super) fn store(&mut self, bytes: usize, new: usize) -> Result<(), Error> {
        self.new_data_bytes.take(new as u64)?;
        self.stored_bytes.take(bytes as u64)
    }

    pub(super) fn fetch(&mut self, bytes: usize) -> Result<(), Error> {
        self.fetched_bytes.take(bytes as u64)
    }

    /// Takes a call of a model, if there is engine time left for it.
    pub(super) fn infer(&mut self) -> Result<(), Error> {
        self.inference.some()?;
        self.inferences.take(1)
    }

    /// Notes the engine time that a call of a model took.
    pub(super) fn inferred(&mut self, engine_us: u64) {
        self.inference.used = self.inference.used.saturating_add(engine_us);
    }

    /// What the function at hand has used.
    pub(super) fn used(&self) -> Usage {
        Usage {
            host_calls: self.calls.used,
            posts: self.posts.used,
            stored_bytes: self.stored_bytes.used,
            fetched_bytes: self.fetched_bytes.used,
            new_data_bytes: self.new_data_bytes.used,
            inferences: self.inferences.used,
            inference_us: self.inference.used,
            ..Usage::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(answer: Result<(), Error>) -> String {
        match answer {
            Err(Error::LimitExceeded(text)) => text,
            other => panic!("expected a refusal, not {other:?}"),
        }
    }

    #[test]
    fn a_budget_counts_over_all_calls_and_says_what_is_left() {
        let limits = Limits {
            posts: 3,
            ..Limits::default()
        };
        let mut budget = Budget::new(&limits, &Usage::default(), 0);
        assert!(budget.post(2, 10).is_ok());
        assert_eq!(
            refusal(budget.post(2, 10)),
            "an attempt may post jobs: at most 3; 1 are left (the limit `posts`)"
        );
        assert!(budget.post(1, 10).is_ok());
        let used = budget.used();
        assert_eq!((used.posts, used.stored_bytes), (3, 20));
    }

    #[test]
    fn what_earlier_functions_used_is_gone_and_is_counted_once() {
        let limits = Limits {
            posts: 3,
            fetched_bytes: 10,
            ..Limits::default()
        };
        let before = Usage {
            posts: 2,
            fetched_bytes: 50,
            ..Usage::default()
        };
        let mut budget = Budget::new(&limits, &before, 0);
        assert!(budget.post(1, 0).is_ok());
        assert!(refusal(budget.post(1, 0)).contains("0 are left"));
        assert!(refusal(budget.fetch(1)).contains("at most 10; 0 are left"));
        assert_eq!(before.and(budget.used()).posts, 3);
    }

    #[test]
    fn models_are_called_while_there_are_calls_and_engine_time_left() {
        let limits = Limits {
            inferences: 3,
            inference_ms: 1,
            ..Limits::default()
        };
        let mut budget = Budget::new(&limits, &Usage::default(), 0);
        assert!(budget.infer().is_ok());
        budget.inferred(999);
        assert!(budget.infer().is_ok(), "1 µs is left");
        budget.inferred(500);
        assert!(refusal(budget.infer()).contains("`inference_ms`"));
        let used = budget.used();
        assert_eq!((used.inferences, used.inference_us), (2, 1499));
        let mut next = Budget::new(&limits, &used, 0);
        assert!(refusal(next.infer()).contains("at most 1000; 0 are left"));
        let calls = Usage {
            inferences: 3,
            ..Usage::default()
        };
        let mut next = Budget::new(&limits, &calls, 0);
        assert!(refusal(next.infer()).contains("`inferences`"));
    }

    #[test]
    fn data_is_a_total_over_all_attempts_but_what_was_there_is_not_counted_again() {
        let limits = Limits {
            stored_bytes: 100,
            ..Limits::default()
        };
        let mut first = Budget::new(&limits, &Usage::default(), 0);
        assert!(first.store(70, 70).is_ok());
        let mut second = Budget::new(&limits, &Usage::default(), first.used().new_data_bytes);
        assert!(second.store(70, 0).is_ok(), "the same data again");
        assert!(refusal(second.store(31, 31)).contains("in all its attempts: at most 100"));
        assert!(second.store(30, 30).is_ok());
        assert!(refusal(second.store(1, 0)).contains("an attempt may post and store"));
    }
}
