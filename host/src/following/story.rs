//! A job's story: puts what the store says and what its news say in order, and tells
//! each thing once.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Cursor, Event, Line, Standing, Told};
use crate::job::{JobRecord, LogLine, Progress, State};
use crate::store::{AttemptLog, News};

/// How much of a log is kept for a follower that has not read it, in bytes: some
/// screens full. The rest is read from the store again when it is wanted, so that slow
/// followers cost little memory.
const MAX_LINES_BYTES: usize = 16 << 10;

/// What one follower is told.
pub(super) struct Story {
    /// How much was told.
    seen: Cursor,
    /// Where the job was when that was told last.
    standing: Option<Standing>,
    /// How far it was when that was told last.
    progress: Option<Progress>,
    /// What is to be told next.
    next: VecDeque<Next>,
    /// Whether the store must be asked what is so, once `next` is told.
    pub(super) look: bool,
    /// Whether nothing comes after `next`.
    pub(super) over: bool,
}

/// Something to be told.
enum Next {
    Event(Event),
    /// Lines of a log, of which all before `at` are told.
    Lines {
        attempt: u32,
        /// How many came before the first of these.
        before: usize,
        lines: Arc<[LogLine]>,
        at: usize,
    },
}

impl Story {
    /// A story that goes on from what was seen.
    pub(super) fn after(seen: Cursor) -> Self {
        Self {
            seen,
            standing: None,
            progress: None,
            next: VecDeque::new(),
            look: true,
            over: false,
        }
    }

    /// Whether nothing is left to tell.
    pub(super) fn is_told(&self) -> bool {
        self.over && self.next.is_empty()
    }

    /// What is to be told next, if something is.
    pub(super) fn pop(&mut self) -> Option<Told> {
        loop {
            let event = match self.next.pop_front()? {
                Next::Event(event) => event,
                Next::Lines {
                    attempt,
                    before,
                    lines,
                    at,
                } => {
                    let Some(line) = lines.get(at).cloned() else {
                        continue;
                    };
                    let number = before + at + 1;
                    self.next.push_front(Next::Lines {
                        attempt,
                        before,
                        lines,
                        at: at + 1,
                    });
                    Event::Log(Line {
                        attempt,
                        number,
                        line,
                    })
                }
            };
            self.note(&event);
            let seen = self.seen;
            return Some(Told { event, seen });
        }
    }

    /// Notes that an event is told.
    fn note(&mut self, event: &Event) {
        match event {
            Event::Log(line) => {
                self.seen.turn_to(line.attempt);
                self.seen.lines = line.number;
                self.seen.last_at_ms = line.line.at_ms;
            }
            Event::State(standing) if standing.runs() => self.seen.turn_to(standing.attempt),
            Event::Result(standing) => {
                self.seen.turn_to(standing.attempt);
                self.seen.ended = true;
            }
            Event::State(_) | Event::Progress { .. } => {}
        }
    }

    /// Tells what is so, as far as it was not told.
    pub(super) fn tell(&mut self, record: &JobRecord, log: &AttemptLog) {
        self.look = false;
        let standing = Standing::of(record);
        if self.seen.ended {
            // It was told to the end, unless it was started again since.
            self.over = standing.state.has_ended() && self.seen.attempt == standing.attempt;
            if self.over {
                return;
            }
            self.seen = Cursor::default();
        }
        self.seen.meet(&standing, log);
        if self.standing.is_none() {
            self.tell_standing(standing.clone());
        }
        // What an attempt has logged belongs between its beginning and its end.
        let runs = standing.runs();
        let of_running = runs && log.attempt == standing.attempt;
        if !of_running && !self.tell_log(log) {
            return;
        }
        if standing.state.has_ended() {
            self.over = true;
            self.next.push_back(Next::Event(Event::Result(standing)));
            return;
        }
        self.tell_standing(standing);
        if let Some(progress) = record.progress.clone().filter(|_| runs) {
            self.tell_progress(record.attempt, progress);
        }
        if of_running {
            self.tell_log(log);
        }
    }

    /// Tells what is new in a log, or the beginning of it; answers whether that is all.
    fn tell_log(&mut self, log: &AttemptLog) -> bool {
        if log.attempt < self.seen.attempt {
            return true;
        }
        let before = match log.attempt == self.seen.attempt {
            true => self.seen.lines,
            false => 0,
        };
        let new = log.lines.get(before..).unwrap_or_default();
        let mut bytes = 0;
        let fits = |line: &&LogLine| {
            let fits = bytes < MAX_LINES_BYTES;
            bytes += line.text.len();
            fits
        };
        let lines: Arc<[LogLine]> = new.iter().take_while(fits).cloned().collect();
        let is_all = lines.len() == new.len();
        self.look |= !is_all;
        self.add_lines(log.attempt, before, lines, 0);
        is_all
    }

    fn add_lines(&mut self, attempt: u32, before: usize, lines: Arc<[LogLine]>, at: usize) {
        if at < lines.len() {
            self.next.push_back(Next::Lines {
                attempt,
                before,
                lines,
                at,
            });
        }
    }

    fn tell_standing(&mut self, standing: Standing) {
        let told = self.standing.as_ref();
        if told.is_some_and(|told| told.attempt != standing.attempt) {
            self.progress = None;
        }
        if told == Some(&standing) {
            return;
        }
        self.standing = Some(standing.clone());
        self.next.push_back(Next::Event(Event::State(standing)));
    }

    fn tell_progress(&mut self, attempt: u32, progress: Progress) {
        if self.progress.as_ref() != Some(&progress) {
            self.progress = Some(progress.clone());
            let event = Event::Progress { attempt, progress };
            self.next.push_back(Next::Event(event));
        }
    }

    /// Tells news, if they go on from what was told; looks at the job, if they do not.
    pub(super) fn hear(&mut self, news: News) {
        let running = (self.standing.as_ref())
            .filter(|standing| standing.runs())
            .map(|standing| standing.attempt);
        match news {
            News::State { attempt, state }
                if Some(attempt) == running && matches!(state, State::Running | State::Parked) =>
            {
                if let Some(standing) = self.standing.clone() {
                    self.tell_standing(Standing { state, ..standing });
                }
            }
            News::Progress { attempt, progress } if Some(attempt) == running => {
                self.tell_progress(attempt, progress);
            }
            News::Log {
                attempt,
                first,
                lines,
            } if Some(attempt) == running
                && self.seen.attempt == attempt
                && first <= self.seen.lines =>
            {
                self.add_lines(attempt, first, lines, self.seen.lines - first);
            }
            // Older than what was told.
            News::Progress { attempt, .. } | News::Log { attempt, .. }
                if running.is_some_and(|running| attempt < running) => {}
            News::State { .. }
            | News::Progress { .. }
            | News::Log { .. }
            | News::Ended
            | News::Missed => self.look = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::job::LogLevel;

    fn record(state: &str, attempt: u32) -> JobRecord {
        let record = json!({
            "id": "1", "namespace": "default", "state": state, "functions": [], "priority": 2,
            "progress": null, "posted_at_ms": 0, "due_at_ms": null, "started_at_ms": null,
            "ended_at_ms": null, "attempt": attempt, "max_attempts": 5, "attempts": [],
            "cause": null, "short_result": null, "message_content_type": "application/json",
            "message_bytes": 1, "result_content_type": null, "result_bytes": null,
            "parent": null, "depth": 0, "child_count": 0, "children": [],
            "idempotency_key": null, "expires_at_ms": null, "cancel_requested": false
        });
        serde_json::from_value(record).unwrap()
    }

    /// Lines `from..to` of an attempt; each has a time of its own.
    fn lines(attempt: u32, from: usize, to: usize) -> Arc<[LogLine]> {
        let line = |number: usize| LogLine {
            at_ms: u64::from(attempt) * 1000 + number as u64,
            level: LogLevel::Info,
            text: format!("{attempt}.{number}"),
        };
        (from..to).map(line).collect()
    }

    fn log(attempt: u32, to: usize) -> AttemptLog {
        AttemptLog {
            attempt,
            lines: lines(attempt, 0, to).to_vec(),
        }
    }

    fn logged(attempt: u32, first: usize, to: usize) -> News {
        News::Log {
            attempt,
            first,
            lines: lines(attempt, first, to),
        }
    }

    fn state(attempt: u32, state: State) -> News {
        News::State { attempt, state }
    }

    /// Everything that can be told now, in a few letters.
    fn told(story: &mut Story) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(Told { event, .. }) = story.pop() {
            all.push(match event {
                Event::State(s) => format!("{:?} {}", s.state, s.attempt),
                Event::Result(s) => format!("end {:?} {}", s.state, s.attempt),
                Event::Progress { progress, .. } => format!("{}%", progress.percent),
                Event::Log(line) => line.line.text,
            });
        }
        all
    }

    #[test]
    fn a_story_is_told_from_its_beginning_to_its_end_and_nothing_twice() {
        let mut story = Story::after(Cursor::default());
        story.tell(&record("queued", 0), &log(0, 0));
        assert_eq!(told(&mut story), ["Queued 0"]);
        story.hear(state(1, State::Running));
        assert!(story.look);
        story.tell(&record("running", 1), &log(1, 2));
        assert_eq!(told(&mut story), ["Running 1", "1.0", "1.1"]);
        // What the look has shown, and a line more.
        story.hear(state(1, State::Running));
        story.hear(logged(1, 0, 1));
        story.hear(logged(1, 1, 3));
        assert_eq!(told(&mut story), ["1.2"]);
        for percent in [10, 10, 20] {
            let progress = Progress {
                percent,
                note: None,
            };
            story.hear(News::Progress {
                attempt: 1,
                progress,
            });
        }
        story.hear(state(1, State::Parked));
        story.hear(state(1, State::Running));
        assert_eq!(told(&mut story), ["10%", "20%", "Parked 1", "Running 1"]);
        assert!(!story.look);
        story.hear(News::Ended);
        assert!(story.look && !story.is_told());
        story.tell(&record("completed", 1), &log(1, 4));
        assert_eq!(told(&mut story), ["1.3", "end Completed 1"]);
        assert!(story.is_told());
    }

    #[test]
    fn what_is_left_of_a_log_comes_before_the_next_attempt() {
        let mut story = Story::after(Cursor::default());
        story.tell(&record("running", 1), &log(1, 1));
        story.hear(state(1, State::Scheduled));
        assert_eq!(told(&mut story), ["Running 1", "1.0"]);
        story.tell(&record("scheduled", 1), &log(1, 2));
        assert_eq!(told(&mut story), ["1.1", "Scheduled 1"]);
        story.hear(state(2, State::Running));
        story.tell(&record("running", 2), &log(1, 2));
        assert_eq!(told(&mut story), ["Running 2"]);
        // Of the attempt before: it was told.
        story.hear(logged(1, 0, 2));
        assert!(!story.look);
        story.hear(logged(2, 0, 1));
        assert_eq!(told(&mut story), ["2.0"]);
        // Something is missing in between.
        story.hear(logged(2, 5, 6));
        assert!(story.look);
    }

    #[test]
    fn an_attempt_that_is_handed_back_and_run_again_is_told_again() {
        let mut story = Story::after(Cursor::default());
        story.tell(&record("running", 1), &log(1, 3));
        assert_eq!(told(&mut story).len(), 4);
        story.tell(&record("queued", 0), &log(0, 0));
        assert_eq!(told(&mut story), ["Queued 0"]);
        story.tell(&record("running", 1), &log(1, 0));
        story.hear(logged(1, 0, 1));
        assert_eq!(told(&mut story), ["Running 1"]);
        story.hear(logged(1, 0, 1));
        assert_eq!(told(&mut story), ["1.0"]);
    }

    #[test]
    fn a_story_goes_on_where_it_was_left() {
        let mut story = Story::after(Cursor::default());
        story.tell(&record("running", 1), &log(1, 3));
        let seen = (0..3).filter_map(|_| story.pop()).last().unwrap().seen;
        assert_eq!(seen.to_string(), "1-2-1001");
        let mut again = Story::after(seen);
        again.tell(&record("completed", 1), &log(1, 4));
        let next = (0..2).filter_map(|_| again.pop()).last().unwrap();
        assert_eq!(next.seen.to_string(), "1-3-1002");
        assert_eq!(told(&mut again), ["1.3", "end Completed 1"]);
        // With the end seen, nothing is left, unless it was started again.
        let mut all = Story::after(again.seen);
        all.tell(&record("completed", 1), &log(1, 4));
        assert!(all.is_told());
        let mut all = Story::after(again.seen);
        all.tell(&record("running", 2), &log(2, 1));
        assert_eq!(told(&mut all), ["Running 2", "2.0"]);
    }

    #[test]
    fn a_long_log_is_told_in_pieces() {
        let mut whole = log(1, 100);
        for line in &mut whole.lines {
            line.text = "x".repeat(1024);
        }
        let mut story = Story::after(Cursor::default());
        let mut pieces = Vec::new();
        while !story.is_told() {
            story.tell(&record("failed", 1), &whole);
            assert!(story.next.len() <= 2);
            pieces.push(told(&mut story).len());
        }
        assert_eq!(pieces, [17, 16, 16, 16, 16, 16, 5]);
    }
}
