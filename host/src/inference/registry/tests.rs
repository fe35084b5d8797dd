use futures_util::FutureExt as _;

use super::*;
use crate::inference::batcher::Lane;
use crate::inference::loading::{self, Berth};
use crate::inference::rten::Rten;
use crate::inference::running::Running;
use crate::inference::testing::{kept, model};
use crate::metrics::Metrics;
use crate::model::ModelConfig;

/// A registry with room for a hundred bytes, and a clock.
struct Bench {
    registry: Registry,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self {
            registry: Registry::new(100),
            now: Instant::now(),
        }
    }

    fn wait(&mut self, s: u64) {
        self.now += Duration::from_secs(s);
    }

    /// Calls a model, which is loaded if it is not and there is room for its bytes.
    fn call(&self, space: &str, name: &str, bytes: u64) -> Result<Arc<Loaded>, InferError> {
        let (space, model) = (space.parse().unwrap(), entry(name, bytes));
        if let Some(loaded) = self.registry.peek(&space, &model) {
            let again = || unreachable!("it is loaded");
            drop(self.registry.get(&space, &model, self.now, again));
            return Ok(loaded);
        }
        let loaded = Arc::new(self.load(&space, &model)?);
        let loading = async { Ok(loaded) }.boxed().shared();
        let loading = self.registry.get(&space, &model, self.now, || loading);
        Ok(loading.now_or_never().unwrap().unwrap())
    }

    fn load(&self, space: &Namespace, entry: &Model) -> Result<Loaded, InferError> {
        let memory = self
            .registry
            .reserve(space, entry.findings.memory_bytes, self.now)?;
        let berth = Berth {
            engine: Arc::new(Rten::new(1)),
            is_stand_in: false,
            lane: Lane::start("test", 1).unwrap(),
            running: Arc::new(Running::default()),
            meter: Metrics::new().model(space, &entry.name),
            memory,
        };
        Ok(loading::load(space, entry, &model("add"), berth).unwrap())
    }

    /// The models that are loaded.
    fn loaded(&self) -> Vec<String> {
        let loaded = self.registry.loaded();
        let mut names: Vec<_> = loaded.iter().map(|one| one.name.to_string()).collect();
        names.sort();
        names
    }
}

/// A real model, which says that it takes so many bytes.
fn entry(name: &str, bytes: u64) -> Model {
    let config = ModelConfig {
        max_batch: Some(8),
        ..ModelConfig::default()
    };
    kept(name, "add", bytes, config)
}

fn is_busy(answer: Result<Arc<Loaded>, InferError>) -> bool {
    match answer.map(drop) {
        Err(InferError::Busy(text)) => text.contains("--model-memory"),
        _ => false,
    }
}

#[test]
fn the_model_that_nobody_called_for_longest_makes_room() {
    let mut bench = Bench::new();
    for name in ["first", "second", "third"] {
        bench.call("a", name, 30).unwrap();
        bench.wait(1);
    }
    bench.call("a", "first", 30).unwrap();
    bench.wait(1);
    bench.call("a", "fourth", 30).unwrap();
    assert_eq!(bench.loaded(), ["first", "fourth", "third"]);
    // As many as it takes.
    bench.call("a", "large", 70).unwrap();
    assert_eq!(bench.loaded(), ["fourth", "large"]);
}

#[test]
fn a_model_in_use_is_never_let_go() {
    let mut bench = Bench::new();
    let used = bench.call("a", "used", 60).unwrap();
    bench.wait(1);
    bench.call("a", "idle", 40).unwrap();
    bench.wait(3600);
    bench.call("a", "other", 40).unwrap();
    assert_eq!(bench.loaded(), ["other", "used"], "the older one is in use");
    assert!(is_busy(bench.call("a", "large", 50)));
    assert!(bench.loaded().contains(&"used".to_owned()));
    drop(used);
    bench.call("a", "large", 50).unwrap();
    assert_eq!(bench.loaded(), ["large"]);
}

#[test]
fn a_model_that_is_being_loaded_is_not_let_go() {
    let mut bench = Bench::new();
    let space = "a".parse().unwrap();
    let model = entry("coming", 60);
    let held = bench.registry.reserve(&space, 60, bench.now).unwrap();
    let never = futures_util::future::pending().boxed().shared();
    let loading = bench.registry.get(&space, &model, bench.now, || never);
    bench.wait(3600);
    assert!(is_busy(bench.call("a", "other", 50)));
    let again = || unreachable!("it is being loaded");
    assert!(
        bench
            .registry
            .get(&space, &model, bench.now, again)
            .ptr_eq(&loading)
    );
    drop(held);
}

#[test]
fn a_model_of_another_namespace_is_let_go_once_it_was_idle_for_ten_seconds() {
    let mut bench = Bench::new();
    bench.call("a", "theirs", 60).unwrap();
    bench.wait(9);
    assert!(is_busy(bench.call("b", "mine", 60)));
    bench.call("a", "theirs", 60).unwrap();
    bench.wait(9);
    assert!(is_busy(bench.call("b", "mine", 60)), "it was called again");
    bench.wait(1);
    bench.call("b", "mine", 60).unwrap();
    assert_eq!(bench.loaded(), ["mine"]);
}

#[test]
fn who_has_most_makes_room_first() {
    let mut bench = Bench::new();
    bench.call("few", "old", 20).unwrap();
    bench.wait(1);
    bench.call("many", "one", 40).unwrap();
    bench.call("many", "two", 40).unwrap();
    bench.wait(10);
    bench.call("new", "mine", 20).unwrap();
    assert!(bench.loaded().contains(&"old".to_owned()));
    assert_eq!(bench.loaded().len(), 3);
}

#[test]
fn what_could_not_be_loaded_is_tried_again_after_five_seconds() {
    let bench = Bench::new();
    let (space, model) = ("a".parse().unwrap(), entry("broken", 1));
    let at = bench.now;
    let fails = || {
        let error = InferError::Engine("it is broken".to_owned());
        let loading = async move { Err(Failed { error, at }) }.boxed().shared();
        assert!(loading.clone().now_or_never().is_some());
        loading
    };
    let first = bench.registry.get(&space, &model, at, fails);
    let get = |s| {
        let now = at + Duration::from_secs(s);
        bench.registry.get(&space, &model, now, fails)
    };
    assert!(get(4).ptr_eq(&first));
    assert!(!get(5).ptr_eq(&first));
}
