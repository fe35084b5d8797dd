//! Lists of jobs: which jobs, in which order, and how much of a store one page of a list
//! may cost.
//!
//! A list goes from the newest job to the oldest, by id. A page is read at one instant,
//! and the next one begins below the last id that this one looked at: so no job is given
//! twice, and none is missed that fits the filter during the whole walk, wherever it goes
//! meanwhile.

use crate::job::{CauseKind, FunctionName, JobId, JobRecord, JobSummary, State};

/// How much of a message, a short result, a cause or a key is searched for a text, in
/// bytes: what a person may have written, and some 30 µs of work.
pub const SEARCHED_BYTES: usize = 64 << 10;

/// The longest text to search for, in bytes: a line.
pub const MAX_TEXT_BYTES: usize = 256;

/// Which jobs a list is of: those that fit all of what is said.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// In one of these states; in any, if there are none.
    pub states: Vec<State>,
    /// Those that name this function.
    pub function: Option<FunctionName>,
    /// Accepted at this time or later, in ms since the Unix epoch.
    pub posted_after_ms: Option<u64>,
    /// Accepted before this time, in ms since the Unix epoch.
    pub posted_before_ms: Option<u64>,
    /// Of which the record has a cause of this kind.
    pub cause: Option<CauseKind>,
    /// With this text in them.
    pub text: Option<SearchText>,
    /// One of these.
    pub ids: Option<Vec<JobId>>,
}

/// A page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobPage {
    /// The jobs, newest first.
    pub jobs: Vec<JobSummary>,
    /// Where the list goes on, below this id, if it may; also when this page is empty.
    pub next: Option<JobId>,
}

/// A text to search for, whatever its case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchText(String);

impl SearchText {
    /// A text to search for; `None` if it is empty or too long.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=MAX_TEXT_BYTES).contains(&text.len());
        fits.then(|| Self(text.to_lowercase()))
    }

    /// Whether it is in the beginning of these bytes. In a time that grows with their
    /// length alone: strangers write both.
    fn is_in(&self, bytes: &[u8]) -> bool {
        let searched = bytes.get(..SEARCHED_BYTES).unwrap_or(bytes);
        String::from_utf8_lossy(searched)
            .to_lowercase()
            .contains(&self.0)
    }
}

/// Where a store finds the jobs that a filter may let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Source {
    /// They are named.
    Named,
    /// In the dead letter.
    Dead,
    /// Hosts hold them.
    Held,
    /// They have not ended.
    Open,
    /// Anywhere.
    All,
}

impl JobFilter {
    /// Those of the dead letter that fit.
    pub fn dead(self) -> Self {
        Self {
            states: vec![State::Failed],
            ..self
        }
    }

    /// Where to look.
    pub(in crate::store) fn source(&self) -> Source {
        let all = |few: &dyn Fn(State) -> bool| {
            !self.states.is_empty() && self.states.iter().all(|state| few(*state))
        };
        // Only jobs that have failed or were moved have a cause on their record.
        let has_failed = self.cause.is_some_and(|kind| kind != CauseKind::Moved);
        if self.ids.is_some() {
            Source::Named
        } else if has_failed || all(&|state| state == State::Failed) {
            Source::Dead
        } else if all(&|state| matches!(state, State::Running | State::Parked)) {
            Source::Held
        } else if all(&|state| !state.has_ended()) {
            Source::Open
        } else {
            Source::All
        }
    }

    /// The named jobs below an id, newest first, each once.
    pub(in crate::store) fn named_below(&self, before: Option<JobId>) -> Vec<JobId> {
        let mut named = self.ids.clone().unwrap_or_default();
        named.retain(|id| before.is_none_or(|before| *id < before));
        named.sort_unstable_by(|a, b| b.cmp(a));
        named.dedup();
        named
    }

    /// Whether a job that was accepted at this time may fit.
    pub(in crate::store) fn takes_time(&self, posted_at_ms: u64) -> bool {
        self.posted_after_ms.is_none_or(|at| posted_at_ms >= at)
            && self.posted_before_ms.is_none_or(|at| posted_at_ms < at)
    }

    /// Whether a job fits; `message` reads the beginning of its message, if it must be
    /// searched.
    pub(in crate::store) fn takes<E>(
        &self,
        record: &JobRecord,
        message: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<bool, E> {
        let cause = record.cause.as_ref();
        let fits = (self.states.is_empty() || self.states.contains(&record.state))
            && (self.function.as_ref()).is_none_or(|name| record.functions.contains(name))
            && (self.cause).is_none_or(|kind| cause.is_some_and(|cause| cause.kind == kind))
            && self.takes_time(record.posted_at_ms);
        let Some(text) = self.text.as_ref().filter(|_| fits) else {
            return Ok(fits);
        };
        let texts = [
            cause.map(|cause| &cause.message),
            record.short_result.as_ref(),
            record.idempotency_key.as_ref(),
        ];
        if texts
            .iter()
            .flatten()
            .any(|other| text.is_in(other.as_bytes()))
        {
            return Ok(true);
        }
        Ok(is_text(&record.message_content_type) && text.is_in(&message()?))
    }
}

/// Whether a message of this type is for people to read.
fn is_text(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    essence.starts_with("text/") || essence == crate::job::JSON || essence.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(states: &[State]) -> JobFilter {
        JobFilter {
            states: states.to_vec(),
            ..JobFilter::default()
        }
    }

    #[test]
    fn a_filter_looks_only_where_its_jobs_can_be() {
        use State::{Cancelled, Completed, Failed, Parked, Queued, Running, Scheduled};
        for (states, source) in [
            (&[][..], Source::All),
            (&[Failed], Source::Dead),
            (&[Failed, Queued], Source::All),
            (&[Running], Source::Held),
            (&[Parked, Running], Source::Held),
            (&[Running, Queued], Source::Open),
            (&[Scheduled], Source::Open),
            (&[Completed], Source::All),
            (&[Cancelled, Queued], Source::All),
        ] {
            assert_eq!(of(states).source(), source, "{states:?}");
        }
        let caused = |kind| JobFilter {
            cause: Some(kind),
            ..of(&[])
        };
        assert_eq!(caused(CauseKind::Trap).source(), Source::Dead);
        assert_eq!(caused(CauseKind::Moved).source(), Source::All);
        let named = JobFilter {
            ids: Some(vec![JobId(3), JobId(1), JobId(3), JobId(9)]),
            ..of(&[Failed])
        };
        assert_eq!(named.source(), Source::Named);
        let below = named.named_below(Some(JobId(9)));
        assert_eq!(below, [JobId(3), JobId(1)]);
    }

    #[test]
    fn a_text_is_found_whatever_its_case_and_only_where_it_is_searched() {
        let text = SearchText::new("Größe 7").unwrap();
        assert!(
            text.is_in(
                "die GRÖSSE 7 x"
                    .to_lowercase()
                    .replace("ss", "ß")
                    .as_bytes()
            )
        );
        assert!(text.is_in("{\"a\": \"gröẞe? no\", \"b\": \"GRÖßE 7\"}".as_bytes()));
        assert!(!text.is_in(b"Gr\xf6\xdfe 7"));
        let at = |before: usize| SearchText::new("end").unwrap().is_in(&at_the_end(before));
        assert!(at(SEARCHED_BYTES - 3));
        assert!(!at(SEARCHED_BYTES - 2));
        assert_eq!(SearchText::new(""), None);
        assert_eq!(SearchText::new(&"x".repeat(MAX_TEXT_BYTES + 1)), None);
    }

    fn at_the_end(before: usize) -> Vec<u8> {
        let mut bytes = vec![b'-'; before];
        bytes.extend(b"END");
        bytes
    }

    #[test]
    fn what_is_no_text_is_not_searched() {
        for text in [
            "text/plain",
            "Text/CSV; charset=utf-8",
            "application/json",
            "application/ld+json",
        ] {
            assert!(is_text(text), "{text}");
        }
        for other in [
            "",
            "image/png",
            "application/octet-stream",
            "application/jsonx",
        ] {
            assert!(!is_text(other), "{other}");
        }
    }
}
