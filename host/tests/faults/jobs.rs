//! Jobs of every kind, and how each of them must end.

use std::ops::RangeInclusive;

use skep::intake::PostRequest;
use skep::job::{CauseKind, JobRecord, Payload, State};
use skep::store::Outcome;

/// A job and its only right end.
pub(crate) struct Case {
    pub(crate) request: PostRequest,
    /// Whether the client wants it stopped once it is posted.
    pub(crate) cancel: bool,
    state: State,
    attempts: RangeInclusive<usize>,
    cause: Option<CauseKind>,
    result: Option<String>,
}

fn case(function: &str, message: String, n: usize) -> Case {
    Case {
        request: PostRequest {
            idempotency_key: Some(format!("case {n}")),
            ..PostRequest::new(Payload::json(message), vec![function.to_owned()])
        },
        cancel: false,
        state: State::Completed,
        attempts: 1..=1,
        cause: None,
        result: None,
    }
}

fn completes(case: Case, result: String) -> Case {
    Case {
        result: Some(result),
        ..case
    }
}

fn fails(case: Case, cause: CauseKind, attempts: usize) -> Case {
    Case {
        state: State::Failed,
        cause: Some(cause),
        attempts: attempts..=attempts,
        ..case
    }
}

/// The `n`th case: most multiply, one in ten ends in some other way.
pub(crate) fn nth(n: usize) -> Case {
    let numbers = |second: usize| format!(r#"{{"arg1":{n},"arg2":{second}}}"#);
    let retry = |until| format!(r#"{{"succeed_at":{until},"after_ms":5}}"#);
    let empty = || "{}".to_owned();
    match n % 20 {
        1 | 11 => fails(case("divide", numbers(0), n), CauseKind::Failed, 1),
        2 | 12 => {
            let until = 2 + n % 3;
            let again = completes(case("retry", retry(until), n), until.to_string());
            Case {
                attempts: until..=until,
                ..again
            }
        }
        3 => {
            let mut case = fails(case("retry", retry(99), n), CauseKind::Retry, 3);
            case.request.max_attempts = Some(3);
            case
        }
        4 => {
            let mut case = fails(case("spin", empty(), n), CauseKind::TimedOut, 2);
            case.request.max_attempts = Some(2);
            case.request.timeout_ms = Some(50);
            case
        }
        5 => fails(case("trap", empty(), n), CauseKind::Trap, 1),
        6 => completes(case("echo", format!("[{n}]"), n), format!("[{n}]")),
        7 | 17 => {
            // It asks the store by itself; what that answers costs it attempts.
            let message = format!(r#"{{"data":"{n}","key":"{n}"}}"#);
            let mut case = completes(case("store", message, n), format!("\"{n}\""));
            case.request.max_attempts = Some(9);
            case.attempts = 1..=9;
            case
        }
        8 | 18 => {
            let mut case = case("spin", empty(), n);
            case.request.delay_ms = (n % 20 == 18).then_some(60_000);
            Case {
                cancel: true,
                state: State::Cancelled,
                attempts: 0..=1,
                ..case
            }
        }
        9 => {
            let mut case = completes(case("multiply", numbers(3), n), (n * 3).to_string());
            case.request.delay_ms = Some(300);
            case
        }
        _ => completes(case("multiply", numbers(7), n), (n * 7).to_string()),
    }
}

impl Case {
    /// Asserts that the job has ended as it should, and once.
    pub(crate) fn check(&self, record: &JobRecord, outcome: &Outcome) {
        assert_eq!(record.state, self.state, "{record:#?}");
        let count = record.attempts.len();
        assert!(self.attempts.contains(&count), "{record:#?}");
        assert_eq!(record.attempt, u32::try_from(count).unwrap(), "{record:#?}");
        for (attempt, number) in record.attempts.iter().zip(1..) {
            assert_eq!(attempt.number, number, "{record:#?}");
            assert!(attempt.ended_at_ms.is_some(), "{record:#?}");
            // Only the last one can be the end of a job that completed.
            let succeeded = self.state == State::Completed && number == record.attempt;
            assert_eq!(attempt.cause.is_none(), succeeded, "{record:#?}");
        }
        if let Some(kind) = self.cause {
            assert_eq!(record.cause.as_ref().map(|cause| cause.kind), Some(kind));
        }
        match (&self.result, outcome) {
            (None, Outcome::Failed(_) | Outcome::Cancelled) => {}
            (Some(result), Outcome::Completed(output)) => {
                assert_eq!(output.result.data, *result, "{record:#?}");
            }
            (_, outcome) => panic!("{outcome:?} is the outcome of {record:#?}"),
        }
    }
}
