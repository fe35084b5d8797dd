//! What running jobs have to say, on its way from guests to the store: how far they
//! are, and what they log. A flusher takes it away in batches.
//!
//! A job that ends before the next batch costs an entry in a list: only what goes on
//! is worth a report, since the end of an attempt carries its whole log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use super::host::JobLog;
use crate::job::{LogLevel, LogLine, Progress};
use crate::store::{Report, Token};

/// The most that one job reports at once, in bytes of log: the whole log of a
/// stranger's attempt. A job that may log more is told in several batches.
const MAX_REPORT_BYTES: usize = 64 << 10;

/// The most that all jobs report at once, in bytes of log: what a store takes in one
/// call without keeping others waiting. The rest comes with the next batch.
const MAX_BATCH_BYTES: usize = 4 << 20;

/// Where jobs that have something to say are found.
#[derive(Debug, Default)]
pub struct ReportBoard {
    /// In the order of their first word since their last report.
    speakers: Mutex<Vec<Weak<Speaker>>>,
    spoken: Notify,
}

/// What was taken from the board.
#[derive(Debug, Default)]
pub struct Batch {
    reports: Vec<(Arc<Speaker>, Report)>,
}

/// What one attempt says. Its guest speaks; the board hears.
#[derive(Clone, Debug)]
pub struct Voice(Arc<Speaker>);

#[derive(Debug)]
struct Speaker {
    said: Mutex<Said>,
    /// Who hears it; nobody, while a component is only asked for its functions.
    heard: Option<(Token, Arc<ReportBoard>)>,
}

#[derive(Debug, Default)]
struct Said {
    /// How far it is, if that was not reported.
    progress: Option<Progress>,
    log: JobLog,
    /// How many lines of the log were reported.
    reported: usize,
    /// Whether it is on the board.
    listed: bool,
    /// Whether the attempt has ended.
    over: bool,
}

impl ReportBoard {
    /// Resolves when a job has spoken since the last batch.
    pub async fn spoken(&self) {
        self.spoken.notified().await;
    }

    /// Takes what running jobs have said since the last batch.
    pub fn take(&self) -> Batch {
        let mut waiting = std::mem::take(&mut *self.lock()).into_iter();
        let mut batch = Batch::default();
        let mut left = MAX_BATCH_BYTES;
        let mut again = Vec::new();
        while left > 0
            && let Some(speaker) = waiting.next()
        {
            let Some(speaker) = speaker.upgrade() else {
                continue;
            };
            let mut said = speaker.lock();
            let (report, bytes) = said.report(left.min(MAX_REPORT_BYTES));
            said.listed = said.has_more();
            if said.listed {
                again.push(Arc::downgrade(&speaker));
            }
            drop(said);
            left = left.saturating_sub(bytes);
            if let Some(report) = report {
                batch.reports.push((speaker, report));
            }
        }
        // Those who were not heard come first.
        let mut speakers = self.lock();
        let newest = std::mem::take(&mut *speakers);
        speakers.extend(waiting.chain(again).chain(newest));
        if !speakers.is_empty() {
            self.spoken.notify_one();
        }
        batch
    }

    fn list(&self, speaker: &Arc<Speaker>) {
        let mut speakers = self.lock();
        speakers.push(Arc::downgrade(speaker));
        if speakers.len() == 1 {
            self.spoken.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Speaker>>> {
        // The list is whole between any two operations on it.
        self.speakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batch {
    /// What the store is told.
    pub fn reports(&self) -> Vec<(Token, Report)> {
        let with_token = |(speaker, report): &(Arc<Speaker>, Report)| {
            let (token, _) = speaker.heard.as_ref()?;
            Some((token.clone(), report.clone()))
        };
        self.reports.iter().filter_map(with_token).collect()
    }

    /// Gives everything back to its speaker: the store was not told.
    pub fn put_back(self) {
        for (speaker, report) in self.reports {
            let mut said = speaker.lock();
            said.reported = said.reported.saturating_sub(report.log.len());
            said.progress = said.progress.take().or(report.progress);
            speaker.announce(&mut said);
        }
    }
}

impl Voice {
    /// The voice of an attempt.
    pub fn new(token: Token, board: Arc<ReportBoard>) -> Self {
        Self::heard_by(Some((token, board)))
    }

    /// A voice that nobody hears but whoever takes its log.
    pub(super) fn unheard() -> Self {
        Self::heard_by(None)
    }

    fn heard_by(heard: Option<(Token, Arc<ReportBoard>)>) -> Self {
        Self(Arc::new(Speaker {
            said: Mutex::default(),
            heard,
        }))
    }

    /// What the attempt has logged so far, in bytes.
    pub(super) fn log_bytes(&self) -> u64 {
        self.0.lock().log.written()
    }

    /// The next function of the attempt begins; with those before it, it may log so many
    /// bytes.
    pub(super) fn begin(&self, budget: u64) {
        self.0.lock().log.begin(budget);
    }

    /// Says how far the attempt is.
    pub(super) fn progress(&self, progress: Progress) {
        let mut said = self.0.lock();
        said.progress = Some(progress);
        self.0.announce(&mut said);
    }

    /// Logs a line.
    pub(super) fn log(&self, level: LogLevel, text: &str) {
        let mut said = self.0.lock();
        said.log.write(level, text);
        self.0.announce(&mut said);
    }

    /// What the function that began last logged last, as far as those were errors; at
    /// most so many lines.
    pub(super) fn last_words(&self, at_most: usize) -> Vec<LogLine> {
        self.0.lock().log.last_words(at_most).to_vec()
    }

    /// Takes the whole log away: the attempt has ended, and is not heard any more.
    pub fn end(&self) -> Vec<LogLine> {
        let mut said = self.0.lock();
        said.over = true;
        said.progress = None;
        said.log.take()
    }
}

impl Speaker {
    /// Puts it on the board, if it is not there.
    fn announce(self: &Arc<Self>, said: &mut Said) {
        if let Some((_, board)) = &self.heard
            && !said.listed
            && said.has_more()
        {
            said.listed = true;
            board.list(self);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        // What was said is whole between any two operations on it.
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Said {
    fn has_more(&self) -> bool {
        !self.over && (self.progress.is_some() || self.log.lines().len() > self.reported)
    }

    /// What was not reported, of the log about so many bytes; and how many they are.
    fn report(&mut self, at_most: usize) -> (Option<Report>, usize) {
        if !self.has_more() {
            return (None, 0);
        }
        let mut bytes = 0;
        let unreported = self.log.lines().iter().skip(self.reported);
        let lines = unreported.take_while(|line| {
            let fits = bytes < at_most;
            bytes += line.text.len();
            fits
        });
        let report = Report {
            log: lines.cloned().collect(),
            progress: self.progress.take(),
        };
        self.reported += report.log.len();
        (Some(report), bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{JobId, Namespace};

    fn voice(board: &Arc<ReportBoard>, id: u64) -> Voice {
        let token = Token {
            namespace: Namespace::default(),
            id: JobId(id),
            attempt: 1,
        };
        let voice = Voice::new(token, board.clone());
        voice.begin(1 << 20);
        voice
    }

    fn texts(batch: &Batch) -> Vec<(u64, Option<u8>, Vec<String>)> {
        let told = |(token, report): (Token, Report)| {
            let lines = report.log.into_iter().map(|line| line.text);
            let percent = report.progress.map(|progress| progress.percent);
            (token.id.0, percent, lines.collect())
        };
        batch.reports().into_iter().map(told).collect()
    }

    fn percent(percent: u8) -> Progress {
        Progress {
            percent,
            note: None,
        }
    }

    #[tokio::test]
    async fn each_line_is_taken_once_and_only_the_newest_progress() {
        let board = Arc::new(ReportBoard::default());
        let (one, two) = (voice(&board, 1), voice(&board, 2));
        one.progress(percent(10));
        one.log(LogLevel::Info, "a");
        two.log(LogLevel::Info, "b");
        one.progress(percent(20));
        board.spoken().await;
        let batch = board.take();
        assert_eq!(
            texts(&batch),
            [(1, Some(20), vec!["a".into()]), (2, None, vec!["b".into()])]
        );
        assert!(texts(&board.take()).is_empty());
        one.log(LogLevel::Info, "c");
        board.spoken().await;
        assert_eq!(texts(&board.take()), [(1, None, vec!["c".into()])]);
        let whole: Vec<_> = one.end().into_iter().map(|line| line.text).collect();
        assert_eq!(whole, ["a", "c"]);
    }

    #[test]
    fn what_has_ended_says_no_more() {
        let board = Arc::new(ReportBoard::default());
        let (ended, gone) = (voice(&board, 1), voice(&board, 2));
        ended.log(LogLevel::Info, "a");
        ended.progress(percent(10));
        gone.log(LogLevel::Info, "b");
        assert_eq!(ended.end().len(), 1);
        drop(gone);
        ended.log(LogLevel::Info, "late");
        assert!(texts(&board.take()).is_empty());
        assert!(board.lock().is_empty());
    }

    #[test]
    fn what_the_store_was_not_told_is_told_again_and_new_progress_wins() {
        let board = Arc::new(ReportBoard::default());
        let one = voice(&board, 1);
        one.log(LogLevel::Info, "a");
        one.progress(percent(10));
        let batch = board.take();
        one.progress(percent(20));
        one.log(LogLevel::Info, "b");
        batch.put_back();
        let again = texts(&board.take());
        assert_eq!(again, [(1, Some(20), vec!["a".into(), "b".into()])]);
    }

    #[tokio::test]
    async fn a_flood_is_reported_in_pieces_and_keeps_nobody_out() {
        let board = Arc::new(ReportBoard::default());
        let line = "x".repeat(4096);
        let flood: Vec<_> = (0..100).map(|id| voice(&board, id)).collect();
        for voice in &flood {
            (0..32).for_each(|_| voice.log(LogLevel::Info, &line));
        }
        let mut lines = 0;
        let mut heard = std::collections::HashSet::new();
        for _ in 0..4 {
            board.spoken().await;
            let batch = board.take();
            let bytes = |report: &Report| report.log.len() * line.len();
            let each = batch.reports.iter().map(|(_, report)| bytes(report));
            assert!(each.clone().all(|bytes| bytes <= MAX_REPORT_BYTES));
            assert!(each.sum::<usize>() <= MAX_BATCH_BYTES + MAX_REPORT_BYTES);
            for (token, report) in batch.reports() {
                heard.insert(token.id);
                lines += report.log.len();
            }
        }
        assert_eq!((heard.len(), lines), (100, 3200));
        assert!(board.take().reports.is_empty());
    }
}
