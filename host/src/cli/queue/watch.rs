//! `skep queue status --watch`: how a queue stands, second by second, and how long it will
//! take.

use std::collections::VecDeque;
use std::io::{IsTerminal as _, stdout};
use std::time::Duration;

use indicatif::{FormattedDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::Method;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::super::client::Client;
use super::super::{Global, failure::Failure, output};
use crate::http::queue_text;
use crate::store::QueueStatus;
use crate::time::now_ms;

/// How often to look: as often as a person reads a number.
const EVERY: Duration = Duration::from_secs(1);

/// Over how many looks rates are taken: ten seconds, so that they do not jump with every
/// batch, and still follow a change.
const LOOKS: usize = 11;

/// What the server answered.
#[derive(Clone)]
struct Look {
    at: Instant,
    at_ms: u64,
    status: QueueStatus,
    all: Map<String, Value>,
}

/// The last looks.
#[derive(Default)]
struct Looks(VecDeque<Look>);

/// What the looks say together.
#[derive(Debug, PartialEq)]
struct Rates {
    posted_per_s: f64,
    ended_per_s: f64,
    /// Until nothing waits or runs; nothing while it does not become less.
    empty_in: Option<Duration>,
}

/// Where it is shown.
enum Screen {
    Terminal(ProgressBar),
    Lines,
    Json,
}

/// Shows how the queue stands until somebody interrupts it.
pub(super) async fn run(global: &Global) -> Result<(), Failure> {
    let client = global.client()?;
    let screen = Screen::new(global.json);
    let done = tokio::select! {
        failure = watch(&client, &screen) => failure,
        _ = tokio::signal::ctrl_c() => Failure::Interrupted,
    };
    if let Screen::Terminal(bar) = screen {
        bar.abandon();
    }
    Err(done)
}

/// Looks and shows, again and again; answers why it cannot.
async fn watch(client: &Client, screen: &Screen) -> Failure {
    let mut looks = Looks::default();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_away = false;
    loop {
        ticks.tick().await;
        let shown = match look(client).await {
            Ok(look) => {
                if std::mem::replace(&mut is_away, false) {
                    screen.note("the server answers again");
                }
                looks.add(look);
                screen.show(&looks)
            }
            // It was there, and may come back.
            Err(Failure::Away(text) | Failure::Failed(text)) if !looks.0.is_empty() => {
                let first = !std::mem::replace(&mut is_away, true);
                screen.away(&looks, &text, first)
            }
            Err(failure) => Err(failure),
        };
        if let Err(failure) = shown {
            return failure;
        }
    }
}

async fn look(client: &Client) -> Result<Look, Failure> {
    let all: Map<String, Value> = client.json(client.request(Method::GET, "queue")?).await?;
    let status = serde_json::from_value(Value::Object(all.clone()));
    let status = status
        .map_err(|error| Failure::failed(format!("the server answered something odd: {error}")))?;
    Ok(Look {
        at: Instant::now(),
        at_ms: now_ms(),
        status,
        all,
    })
}

impl Looks {
    fn add(&mut self, look: Look) {
        if self.0.len() == LOOKS {
            self.0.pop_front();
        }
        self.0.push_back(look);
    }

    fn rates(&self) -> Rates {
        let none = Rates {
            posted_per_s: 0.0,
            ended_per_s: 0.0,
            empty_in: None,
        };
        let (Some(first), Some(last)) = (self.0.front(), self.0.back()) else {
            return none;
        };
        let seconds = (last.at - first.at).as_secs_f64();
        let (was, is) = (&first.status, &last.status);
        if left(is) == 0 {
            let empty_in = Some(Duration::ZERO);
            return self.per_s(was, is, seconds, Rates { empty_in, ..none });
        }
        let less = left(was).saturating_sub(left(is)) as f64;
        let empty_in = (less > 0.0).then(|| {
            let seconds = seconds * left(is) as f64 / less;
            Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
        });
        self.per_s(was, is, seconds, Rates { empty_in, ..none })
    }

    fn per_s(&self, was: &QueueStatus, is: &QueueStatus, seconds: f64, rates: Rates) -> Rates {
        if seconds <= 0.0 {
            return rates;
        }
        // Totals that were rezeroed meanwhile have not become less than nothing.
        let per_s = |was: u64, is: u64| is.saturating_sub(was) as f64 / seconds;
        Rates {
            posted_per_s: per_s(was.posted, is.posted),
            ended_per_s: per_s(ended(was), ended(is)),
            ..rates
        }
    }
}

/// How many jobs are still to end.
fn left(status: &QueueStatus) -> u64 {
    status.waiting() + status.running + status.parked
}

fn ended(status: &QueueStatus) -> u64 {
    status.completed + status.failed + status.cancelled
}

impl Screen {
    fn new(as_json: bool) -> Self {
        if as_json {
            return Self::Json;
        }
        if !stdout().is_terminal() {
            return Self::Lines;
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
        // The template is a constant; without it there is a bar beside the text.
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        Self::Terminal(bar)
    }

    fn show(&self, looks: &Looks) -> Result<(), Failure> {
        let Some(look) = looks.0.back() else {
            return Ok(());
        };
        let rates = looks.rates();
        match self {
            Self::Terminal(bar) => bar.set_message(rows(look, &rates)),
            Self::Lines => output::line(&line(look, &rates))?,
            Self::Json => output::line(&object(look, &rates).to_string())?,
        }
        Ok(())
    }

    /// The server does not answer.
    fn away(&self, looks: &Looks, text: &str, first: bool) -> Result<(), Failure> {
        match (self, looks.0.back()) {
            (Self::Terminal(bar), Some(look)) => {
                let rows = rows(look, &looks.rates());
                let text = output::one_line(text);
                bar.set_message(format!("{rows}\nas it was; {text}"));
            }
            _ if first => self.note(text),
            _ => {}
        }
        Ok(())
    }

    fn note(&self, text: &str) {
        if !matches!(self, Self::Terminal(_)) {
            output::note(text);
        }
    }
}

/// A row for each number, none wider than a narrow terminal.
fn rows(look: &Look, rates: &Rates) -> String {
    let rows = queue_text(&look.status, look.at_ms);
    format!(
        "{rows}Posted/s: {:.1}\nEnded/s: {:.1}\nEmpty in: {}",
        rates.posted_per_s,
        rates.ended_per_s,
        empty_in(rates)
    )
}

fn line(look: &Look, rates: &Rates) -> String {
    let QueueStatus {
        queued,
        scheduled,
        running,
        completed,
        failed,
        ..
    } = look.status;
    let mut line = format!(
        "queued {queued} scheduled {scheduled} running {running} completed {completed} failed {failed} posted/s {:.1} ended/s {:.1} empty in {}",
        rates.posted_per_s,
        rates.ended_per_s,
        empty_in(rates)
    );
    if let Some(age) = age(look) {
        line.push_str(&format!(" oldest {}", FormattedDuration(age)));
    }
    line
}

/// What the server answered, and what follows from the answers before.
fn object(look: &Look, rates: &Rates) -> Value {
    let mut all = look.all.clone();
    let tenth = |rate: f64| (rate * 10.0).round() / 10.0;
    for (name, value) in [
        ("at_ms", json!(look.at_ms)),
        ("posted_per_s", json!(tenth(rates.posted_per_s))),
        ("ended_per_s", json!(tenth(rates.ended_per_s))),
        (
            "empty_in_s",
            json!(rates.empty_in.map(|left| left.as_secs())),
        ),
    ] {
        all.insert(name.to_owned(), value);
    }
    Value::Object(all)
}

fn empty_in(rates: &Rates) -> String {
    rates.empty_in.map_or_else(
        || "-".to_owned(),
        |left| FormattedDuration(left).to_string(),
    )
}

/// How long the oldest job has waited; clocks of two machines may differ.
fn age(look: &Look) -> Option<Duration> {
    let age_ms = look.at_ms.saturating_sub(look.status.oldest_queued_at_ms?);
    Some(Duration::from_millis(age_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A look so many seconds after the first.
    fn look(second: u64, begun: Instant, change: impl FnOnce(&mut QueueStatus)) -> Look {
        let mut status = QueueStatus::default();
        change(&mut status);
        let Value::Object(all) = json!(status) else {
            panic!("a status is an object");
        };
        Look {
            at: begun + Duration::from_secs(second),
            at_ms: 1_000 * second,
            status,
            all,
        }
    }

    #[test]
    fn rates_are_those_of_the_last_looks() {
        let begun = Instant::now();
        let mut looks = Looks::default();
        for second in 0..60 {
            // Ten end each second, after a first minute of nothing.
            looks.add(look(second, begun, |status| {
                status.posted = 1_000;
                status.completed = second * 10;
                status.queued = 1_000 - second * 10;
            }));
        }
        assert_eq!(looks.0.len(), LOOKS);
        let rates = looks.rates();
        assert_eq!((rates.posted_per_s, rates.ended_per_s), (0.0, 10.0));
        assert_eq!(rates.empty_in, Some(Duration::from_secs(41)));
    }

    #[test]
    fn what_becomes_more_is_never_empty_and_what_is_empty_is_so_now() {
        let begun = Instant::now();
        let mut looks = Looks::default();
        looks.add(look(0, begun, |status| status.queued = 5));
        assert_eq!(looks.rates().empty_in, None, "nothing is known yet");
        looks.add(look(1, begun, |status| status.queued = 9));
        assert_eq!(looks.rates().empty_in, None);
        looks.add(look(2, begun, |_| {}));
        assert_eq!(looks.rates().empty_in, Some(Duration::ZERO));
    }

    #[test]
    fn totals_that_begin_again_are_no_negative_rate() {
        let begun = Instant::now();
        let mut looks = Looks::default();
        looks.add(look(0, begun, |status| status.completed = 500));
        looks.add(look(1, begun, |status| status.completed = 2));
        assert_eq!(looks.rates().ended_per_s, 0.0);
    }

    #[test]
    fn each_row_fits_a_narrow_terminal() {
        let mut look = look(1, Instant::now(), |status| {
            status.posted = 5_000_000;
            status.completed = 4_999_999;
        });
        look.status.oldest_queued_at_ms = Some(0);
        let rates = Rates {
            posted_per_s: 123_456.7,
            ended_per_s: 123_456.7,
            empty_in: Some(Duration::from_secs(86_399)),
        };
        let rows = rows(&look, &rates);
        let long: Vec<_> = rows.lines().filter(|row| row.len() > 24).collect();
        assert!(long.is_empty(), "{long:?}");
        assert!(rows.contains("Oldest waits: 1.0 s"), "{rows}");
        assert!(rows.ends_with("Empty in: 23:59:59"), "{rows}");
        let object = object(&look, &rates);
        assert_eq!(object["empty_in_s"], 86_399);
        assert_eq!(object["posted"], 5_000_000);
    }
}
