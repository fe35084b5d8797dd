//! The runs of models that are under way on this host, so that one that goes on for too long is
//! told. Nothing ends a run, and its device serves nobody else meanwhile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::job::{ModelName, Namespace};

/// How long a run may go on before it is told: as long as all runs of an attempt together, unless
/// somebody grants more (`inference_ms`).
const LONG: Duration = Duration::from_secs(60);

/// Which model runs, and where.
#[derive(Debug)]
pub(super) struct Whose {
    pub(super) namespace: Namespace,
    pub(super) model: ModelName,
    pub(super) version: u32,
    pub(super) device: String,
}

/// The runs that are under way: one for each thread of a device, and models being measured.
#[derive(Debug, Default)]
pub(super) struct Running(Mutex<Vec<Run>>);

#[derive(Debug)]
struct Run {
    whose: Arc<Whose>,
    since: Instant,
    is_told: bool,
}

/// A run, until it is dropped.
#[derive(Debug)]
pub(super) struct UnderWay {
    running: Arc<Running>,
    whose: Arc<Whose>,
    since: Instant,
}

impl Running {
    /// A run begins.
    pub(super) fn begin(self: &Arc<Self>, whose: &Arc<Whose>, now: Instant) -> UnderWay {
        self.lock().push(Run {
            whose: whose.clone(),
            since: now,
            is_told: false,
        });
        UnderWay {
            running: self.clone(),
            whose: whose.clone(),
            since: now,
        }
    }

    /// Warns of each run that has gone on for too long, once.
    pub(super) fn warn(&self, now: Instant) {
        for (whose, took) in self.long(now) {
            tracing::warn!(
                namespace = %whose.namespace, model = %whose.model, version = whose.version,
                device = whose.device, s = took.as_secs(),
                "a run of a model goes on and on: its device serves no other call meanwhile, and \
                 only a restart of this host ends it; remove the model (`skep models remove`)"
            );
        }
    }

    /// The runs that have gone on for too long, but for those that this has told before.
    fn long(&self, now: Instant) -> Vec<(Arc<Whose>, Duration)> {
        let mut long = Vec::new();
        for run in self.lock().iter_mut().filter(|run| !run.is_told) {
            let took = now.saturating_duration_since(run.since);
            if took >= LONG {
                run.is_told = true;
                long.push((run.whose.clone(), took));
            }
        }
        long
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Run>> {
        // The list is whole between any two operations on it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut runs = self.running.lock();
        let is_it = |run: &Run| run.since == self.since && Arc::ptr_eq(&run.whose, &self.whose);
        let ended = runs.iter().position(is_it).map(|at| runs.swap_remove(at));
        drop(runs);
        if ended.is_some_and(|run| run.is_told) {
            tracing::warn!(
                namespace = %self.whose.namespace, model = %self.whose.model,
                s = self.since.elapsed().as_secs(),
                "a run of a model that went on and on has ended"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_goes_on_is_told_once_and_one_that_has_ended_is_not() {
        let running = Arc::new(Running::default());
        let whose = |model: &str| {
            Arc::new(Whose {
                namespace: "a".parse().unwrap(),
                model: model.parse().unwrap(),
                version: 1,
                device: "cpu".to_owned(),
            })
        };
        let began = Instant::now();
        let long = |s: u64| {
            let long = running.long(began + Duration::from_secs(s));
            let names = long.iter().map(|(whose, _)| whose.model.to_string());
            names.collect::<Vec<_>>()
        };
        let endless = running.begin(&whose("endless"), began);
        let brief = running.begin(&whose("brief"), began);
        let late = running.begin(&whose("late"), began + Duration::from_secs(1));
        assert_eq!(long(59), [""; 0]);
        drop(brief);
        assert_eq!(long(60), ["endless"]);
        assert_eq!(long(61), ["late"]);
        assert_eq!(long(3600), [""; 0], "each was told");
        drop((endless, late));
        assert!(running.lock().is_empty());
    }
}
