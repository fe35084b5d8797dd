//! `--limit NAME=VALUE`, and limits as tables for people.

use std::fmt::Write as _;

use super::failure::Failure;
use crate::job::{AttemptRecord, LIMITS, Limits, SomeLimits};

/// The limits that a person gives.
#[derive(Debug, clap::Args)]
pub(super) struct LimitArgs {
    /// Bound each attempt, such as fuel=1e9, memory=64MiB or timeout=30s; several with
    /// commas or one by one. `skep functions NAME` lists them all
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    limits: Vec<SomeLimits>,
}

impl LimitArgs {
    /// All of them together.
    pub(super) fn all(&self) -> Result<SomeLimits, Failure> {
        let mut all = SomeLimits::default();
        for (limit, value) in self.limits.iter().flat_map(SomeLimits::iter) {
            let name = limit.name;
            if all.get(name).is_some() {
                return Err(Failure::usage(format!("--limit {name} is given twice")));
            }
            let said = all.say(name, value);
            said.map_err(|error| Failure::usage(error.to_string()))?;
        }
        Ok(all)
    }
}

/// What an attempt used of its limits: CPU, time and memory, and whatever else it used at
/// all. Writing to a String cannot fail.
pub(super) fn used(attempt: &AttemptRecord, limits: &Limits) -> String {
    const ALWAYS: [&str; 3] = ["fuel", "timeout_ms", "memory_bytes"];
    let mut text = String::new();
    for limit in &LIMITS {
        let Some(used) = limit.used(&attempt.usage) else {
            continue;
        };
        if used == 0 && !ALWAYS.contains(&limit.name) {
            continue;
        }
        let most = limit.of(limits);
        let _ = writeln!(
            text,
            "  {:13} {:>16} of {:>16}  {:>6}",
            limit.short_name(),
            limit.unit.show(used),
            limit.unit.show(most),
            percent(used, most)
        );
    }
    text
}

/// A share, with as many digits as tell little from nothing.
fn percent(used: u64, most: u64) -> String {
    let share = match most {
        0 => 0.0,
        most => used as f64 / most as f64 * 100.0,
    };
    match share {
        share if used > 0 && share < 0.1 => "< 0.1%".to_owned(),
        share => format!("{share:.1}%"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Usage;

    #[test]
    fn the_table_shows_what_was_used_and_its_share() {
        let limits = Limits {
            posts: 8,
            ..Limits::default()
        };
        let attempt = AttemptRecord {
            number: 1,
            started_at_ms: 0,
            ended_at_ms: Some(5),
            cause: None,
            usage: Usage {
                fuel: 3_437,
                peak_memory_bytes: 128 << 20,
                posts: 6,
                ..Usage::default()
            },
            limits: Some(limits),
            components: Vec::new(),
        };
        let text = used(&attempt, &limits);
        let rows: Vec<_> = text.lines().map(str::split_whitespace).collect();
        let rows: Vec<_> = rows
            .into_iter()
            .map(|row| row.collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            rows,
            [
                "fuel 3,437 of 1,000,000,000,000 < 0.1%",
                "timeout 0 ms of 5 min 0.0%",
                "memory 128 MiB of 256 MiB 50.0%",
                "posts 6 of 8 75.0%",
            ]
        );
    }

    #[test]
    fn a_limit_is_given_once() {
        let given = |limits: &[&str]| {
            let limits = limits.iter().map(|text| text.parse().unwrap()).collect();
            LimitArgs { limits }.all()
        };
        let all = given(&["fuel=1e3,posts=2", "timeout=5s"]).unwrap();
        assert_eq!(all.to_string(), "fuel=1000,timeout_ms=5000,posts=2");
        assert!(matches!(
            given(&["fuel=1", "fuel=2"]),
            Err(Failure::Usage(text)) if text.contains("twice")
        ));
    }
}
