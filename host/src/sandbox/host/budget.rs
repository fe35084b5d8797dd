//! What one attempt may ask of the host, over all its calls.

use crate::job::Limits;
use crate::sandbox::bindings::types::Error;

/// What is left of each bound.
#[derive(Debug)]
pub(super) struct Budget {
    calls: Allowance,
    posts: Allowance,
    stored_bytes: Allowance,
    fetched_bytes: Allowance,
}

#[derive(Debug)]
struct Allowance {
    what: &'static str,
    limit: u64,
    left: u64,
}

impl Allowance {
    fn new(what: &'static str, limit: u64) -> Self {
        Self {
            what,
            limit,
            left: limit,
        }
    }

    fn take(&mut self, amount: u64) -> Result<(), Error> {
        match self.left.checked_sub(amount) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Error::LimitExceeded(format!(
                "an attempt may {} at most {}; {} are left",
                self.what, self.limit, self.left
            ))),
        }
    }
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            calls: Allowance::new("make host calls:", limits.host_calls),
            posts: Allowance::new("post jobs:", limits.posts),
            stored_bytes: Allowance::new("post and store bytes:", limits.stored_bytes),
            fetched_bytes: Allowance::new("fetch bytes:", limits.fetched_bytes),
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

    pub(super) fn store(&mut self, bytes: usize) -> Result<(), Error> {
        self.stored_bytes.take(bytes as u64)
    }

    pub(super) fn fetch(&mut self, bytes: usize) -> Result<(), Error> {
        self.fetched_bytes.take(bytes as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_counts_over_all_calls_and_says_what_is_left() {
        let mut budget = Budget::new(&Limits {
            posts: 3,
            ..Limits::default()
        });
        assert!(budget.post(2, 10).is_ok());
        let Err(Error::LimitExceeded(text)) = budget.post(2, 10) else {
            panic!("expected a refusal");
        };
        assert_eq!(text, "an attempt may post jobs: at most 3; 1 are left");
        assert!(budget.post(1, 10).is_ok());
    }
}
