//! A model whose runs a test holds up, watches and makes fail.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::BatchPlan;
use crate::inference::tensor::{NamedTensor, Tensor};
use crate::inference::{EngineError, LoadedModel};
use crate::job::Namespace;
use crate::metrics::{InferenceMeter, Metrics};
use crate::model::{BatchLayout, DataType, Signature, TensorSpec};

/// A row of it fails the model.
pub(super) const POISON: u8 = 113;
/// A row of it makes the model panic.
pub(super) const PANIC: u8 = 114;
/// A row of it makes the device fail.
pub(super) const LOST: u8 = 115;

/// Adds one to each byte of `x` [N, any], and gives `y`.
pub(super) struct AddOne {
    pub(super) signature: Signature,
    /// What it has run, by the first byte of each row.
    pub(super) ran: Mutex<Vec<Vec<u8>>>,
    /// The thread of each run.
    pub(super) threads: Mutex<Vec<ThreadId>>,
    /// How many runs are under way, and the most that ever were.
    pub(super) now: AtomicUsize,
    pub(super) most_at_once: AtomicUsize,
    /// Runs that may begin.
    pub(super) gate: Mutex<usize>,
    pub(super) moved: Condvar,
    /// What each run takes, and how many rows the device has memory for.
    pub(super) takes: Duration,
    pub(super) fits: usize,
    /// How many rows too many it gives, as a model whose first axis is not its rows'.
    pub(super) surplus: usize,
}

impl AddOne {
    pub(super) fn new() -> Self {
        let spec = |name: &str| TensorSpec {
            name: name.to_owned(),
            dtype: DataType::U8,
            shape: vec![None, None],
        };
        Self {
            signature: Signature {
                inputs: vec![spec("x")],
                outputs: vec![spec("y")],
            },
            ran: Mutex::default(),
            threads: Mutex::default(),
            now: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            gate: Mutex::new(usize::MAX),
            moved: Condvar::new(),
            takes: Duration::ZERO,
            fits: usize::MAX,
            surplus: 0,
        }
    }

    /// Lets so many more runs begin.
    pub(super) fn allow(&self, runs: usize) {
        *self.gate.lock().unwrap() = runs;
        self.moved.notify_all();
    }

    /// Waits until so many runs have begun.
    pub(super) fn has_begun(&self, runs: usize) {
        let ran = self.ran.lock().unwrap();
        let minute = Duration::from_secs(60);
        let waited = self
            .moved
            .wait_timeout_while(ran, minute, |ran| ran.len() < runs);
        assert!(!waited.unwrap().1.timed_out(), "{runs} runs have not begun");
    }

    /// The thread of its last run.
    pub(super) fn thread(&self) -> ThreadId {
        *self.threads.lock().unwrap().last().unwrap()
    }

    /// How many runs were under way at once, at most.
    pub(super) fn most_at_once(&self) -> usize {
        self.most_at_once.load(Ordering::SeqCst)
    }

    /// What it has run.
    pub(super) fn ran(&self) -> Vec<Vec<u8>> {
        self.ran.lock().unwrap().clone()
    }
}

impl LoadedModel for AddOne {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn run(&self, inputs: &[NamedTensor]) -> Result<Vec<NamedTensor>, EngineError> {
        let _run = UnderWay::of(self);
        let x = &inputs[0].value;
        let (rows, width) = (x.shape()[0] as usize, x.shape()[1] as usize);
        let firsts: Vec<u8> = x.data().chunks(width.max(1)).map(|row| row[0]).collect();
        (self.threads.lock().unwrap()).push(std::thread::current().id());
        self.ran.lock().unwrap().push(firsts.clone());
        self.moved.notify_all();
        let gate = self.gate.lock().unwrap();
        let mut gate = self.moved.wait_while(gate, |runs| *runs == 0).unwrap();
        *gate -= 1;
        drop(gate);
        let began = Instant::now();
        while began.elapsed() < self.takes {
            std::hint::spin_loop();
        }
        if firsts.contains(&POISON) {
            return Err(EngineError::Model("a poisoned row".into()));
        }
        if firsts.contains(&LOST) {
            return Err(EngineError::Device("it has fallen off the bus".into()));
        }
        assert!(!firsts.contains(&PANIC), "a row to panic at");
        if rows > self.fits {
            return Err(EngineError::OutOfMemory("it is full".into()));
        }
        let mut data: Vec<u8> = x.data().iter().map(|byte| byte + 1).collect();
        data.extend(vec![0; self.surplus * width]);
        let shape = vec![(rows + self.surplus) as u64, width as u64];
        let value = Tensor::new(DataType::U8, shape, Bytes::from(data)).unwrap();
        let name = "y".into();
        Ok(vec![NamedTensor { name, value }])
    }
}

/// A run of a model, also one that panics.
struct UnderWay<'a>(&'a AddOne);

impl<'a> UnderWay<'a> {
    fn of(model: &'a AddOne) -> Self {
        let now = model.now.fetch_add(1, Ordering::SeqCst) + 1;
        model.most_at_once.fetch_max(now, Ordering::SeqCst);
        Self(model)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Rows of `width` bytes each.
pub(super) fn rows_of(rows: &[u8], width: usize) -> Vec<NamedTensor> {
    let data: Vec<u8> = rows.iter().flat_map(|row| vec![*row; width]).collect();
    let shape = vec![rows.len() as u64, width as u64];
    let value = Tensor::new(DataType::U8, shape, Bytes::from(data)).unwrap();
    let name = "x".into();
    vec![NamedTensor { name, value }]
}

/// Batches of so many rows.
pub(super) fn plan(max_rows: u32) -> BatchPlan {
    BatchPlan {
        layout: Some(BatchLayout {
            inputs: vec![Some(0)],
            outputs: vec![Some(0)],
        }),
        max_rows,
        max_output_bytes: 1 << 20,
        ..BatchPlan::default()
    }
}

pub(super) fn namespace(name: &str) -> Namespace {
    name.parse().unwrap()
}

pub(super) fn meter() -> Arc<InferenceMeter> {
    Metrics::new().model(&namespace("default"), &"m".parse().unwrap())
}
