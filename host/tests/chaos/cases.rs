//! The jobs, and how each must end whatever breaks.

use serde_json::{Value, json};
use skep::job::{CauseKind, JobRecord, State};
use skep::store::Outcome;

/// Attempts of jobs that must complete: more than hosts are lost.
const MANY: u32 = 100;

/// Iterations of a job that outlasts a lease.
const LONG: u64 = 1_000_000_000;

/// How a job must end.
#[derive(Clone, Debug, PartialEq)]
enum End {
    Completed(String),
    /// It says at which attempt it did, which is not before this one.
    CompletedAt(u32),
    Failed(&'static [CauseKind]),
    Cancelled,
}

/// A job and its only right end.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) number: u64,
    function: &'static str,
    message: Value,
    max_attempts: u32,
    delay_ms: u64,
    timeout_ms: Option<u64>,
    retention_s: Option<u64>,
    /// How many jobs it posts, and those post, and so on.
    descendants: u64,
    end: End,
}

impl Case {
    /// The `n`th case: most multiply.
    pub(crate) fn nth(n: u64) -> Self {
        let case = |function, message, end| Self {
            number: n,
            function,
            message,
            max_attempts: MANY,
            delay_ms: 0,
            timeout_ms: None,
            retention_s: None,
            descendants: 0,
            end,
        };
        let completes =
            |function, message, result: String| case(function, message, End::Completed(result));
        let busy = |iterations| {
            let message = json!({ "iterations": iterations });
            completes("busy", message, checksum(iterations))
        };
        let multiply = || {
            let message = json!({"arg1": n, "arg2": 7});
            completes("multiply", message, (7 * n).to_string())
        };
        let retry = |until: u32| {
            let message = json!({"succeed_at": until, "after_ms": 1 + n % 300});
            case("retry", message, End::CompletedAt(until))
        };
        // Waits for all that it posts, and answers how many jobs the tree has.
        let tree = |depth: u32, width: u64| {
            let jobs: u64 = (0..=depth).map(|level| width.pow(level)).sum();
            let message = json!([{"tree": {"depth": depth, "width": width}}]);
            Self {
                descendants: jobs - 1,
                ..completes("compose", message, format!("[{jobs}]"))
            }
        };
        match n % 40 {
            1 => {
                let message = json!({"arg1": n, "arg2": 0});
                case("divide", message, End::Failed(&[CauseKind::Failed]))
            }
            2 => retry(2),
            3 => retry(4),
            4 | 5 => busy(20_000_000),
            6 if n % 400 == 6 => busy(LONG),
            7 => Self {
                max_attempts: 2,
                timeout_ms: Some(150),
                // The last attempt may also be lost with its host.
                ..case(
                    "spin",
                    Value::Null,
                    End::Failed(&[CauseKind::TimedOut, CauseKind::HostLost]),
                )
            },
            8 => case("spin", Value::Null, End::Cancelled),
            9 | 10 => Self {
                delay_ms: 1 + n * 37 % 2_500,
                ..multiply()
            },
            11 => Self {
                delay_ms: 1 + n % 700,
                ..case("spin", Value::Null, End::Cancelled)
            },
            12 => Self {
                retention_s: Some(3_600),
                ..multiply()
            },
            13 => case("trap", Value::Null, End::Failed(&[CauseKind::Trap])),
            14 => {
                let key = format!("data {n}");
                let message = json!({"data": "value", "key": key});
                completes("store", message, format!("{key:?}"))
            }
            15 => completes(
                "echo",
                json!(["{skep}:", n]),
                format!("[\"{{skep}}:\",{n}]"),
            ),
            16 | 17 => tree(1, 3),
            18 => tree(2, 2),
            _ => multiply(),
        }
    }

    /// The poster's key.
    pub(crate) fn key(&self) -> String {
        format!("case {}", self.number)
    }

    /// The body of its post.
    pub(crate) fn body(&self) -> String {
        json!({
            "msg": self.message,
            "functions": [self.function],
            "idempotency_key": self.key(),
            "priority": self.number % 4,
            "max_attempts": self.max_attempts,
            "delay_ms": self.delay_ms,
            "timeout_ms": self.timeout_ms,
            "retention_s": self.retention_s,
        })
        .to_string()
    }

    /// Whether the poster wants it stopped.
    pub(crate) fn is_to_be_cancelled(&self) -> bool {
        self.end == End::Cancelled
    }

    /// Whether its result is dropped some day.
    pub(crate) fn expires(&self) -> bool {
        self.retention_s.is_some()
    }

    /// How many jobs have it as an ancestor.
    pub(crate) fn descendants(&self) -> u64 {
        self.descendants
    }

    /// The key under which its handler stores data.
    pub(crate) fn data_key(&self) -> Option<&str> {
        (self.function == "store").then(|| self.message["key"].as_str().unwrap())
    }

    /// Asserts that it has ended as it should.
    pub(crate) fn check(&self, record: &JobRecord, outcome: Outcome) {
        let attempts = &record.attempts;
        assert_eq!(record.attempt as usize, attempts.len(), "{record:#?}");
        assert!(record.attempt <= record.max_attempts, "{record:#?}");
        let is_retried = self.function == "trap";
        assert!(
            is_retried || record.max_attempts == self.max_attempts,
            "{record:#?}"
        );
        for (attempt, number) in attempts.iter().zip(1..) {
            assert_eq!(attempt.number, number, "{record:#?}");
            assert!(attempt.ended_at_ms.is_some(), "{record:#?}");
            let last = number == record.attempt;
            let succeeded = last && record.state == State::Completed;
            assert_eq!(attempt.cause.is_none(), succeeded, "{record:#?}");
            let kind = attempt.cause.as_ref().map(|cause| cause.kind);
            // What would only happen again is not tried again, unless a person says so.
            let may_pass = kind.is_none_or(CauseKind::may_pass);
            assert!(last || may_pass || is_retried, "{record:#?}");
        }
        let text = match outcome {
            Outcome::Completed(output) => {
                Some(String::from_utf8(output.result.data.to_vec()).unwrap())
            }
            Outcome::Expired => panic!("expired within the hour: {record:#?}"),
            _ => None,
        };
        match &self.end {
            End::Completed(result) => assert_eq!(text.as_ref(), Some(result), "{record:#?}"),
            End::CompletedAt(first) => {
                assert!(record.attempt >= *first, "{record:#?}");
                assert_eq!(text, Some(record.attempt.to_string()), "{record:#?}");
            }
            End::Failed(kinds) => {
                assert_eq!((record.state, text), (State::Failed, None), "{record:#?}");
                let kind = record.cause.as_ref().map(|cause| cause.kind);
                assert!(
                    kind.is_some_and(|kind| kinds.contains(&kind)),
                    "{record:#?}"
                );
            }
            End::Cancelled => {
                let ended = (record.state, text);
                assert_eq!(ended, (State::Cancelled, None), "{record:#?}");
                assert!(record.cancel_requested, "{record:#?}");
            }
        }
    }
}

/// What the guest `busy` answers.
fn checksum(iterations: u64) -> String {
    use std::collections::HashMap;
    use std::sync::{LazyLock, Mutex};
    static KNOWN: LazyLock<Mutex<HashMap<u64, u64>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap();
    let sum = known.entry(iterations).or_insert_with(|| {
        (0..iterations).fold(0x9E37_79B9, |sum: u64, i| {
            (sum ^ i)
                .wrapping_mul(0x5851_F42D_4C95_7F2D)
                .rotate_left(17)
        })
    });
    sum.to_string()
}
