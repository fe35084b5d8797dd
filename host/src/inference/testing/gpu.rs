//! A device that is lost, is full or takes its time when a test says so. It computes with rten, as
//! the CPU beside it does: no machine of ours has a GPU that may be broken.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::inference::engine::{Engine, EngineError, LoadedModel};
use crate::inference::engines::Engines;
use crate::inference::rten::Rten;
use crate::inference::tensor::NamedTensor;
use crate::model::Signature;

/// How long something that must happen may take on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Well,
    /// It neither loads nor runs anything.
    Lost,
    /// It loads, and fails in each run.
    Failing,
    /// It has memory for so many rows.
    Full {
        rows: u64,
    },
}

#[derive(Debug)]
struct State {
    health: Health,
    /// Whether loads and runs that have begun may go on.
    is_open: bool,
    /// How many loads were tried.
    loads: usize,
    /// The rows of each run.
    ran: Vec<u64>,
}

/// The device.
#[derive(Debug)]
pub(crate) struct Gpu {
    rten: Rten,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    moved: Condvar,
}

/// The engines of a host with this device, and rten on the CPU.
pub(crate) fn with_gpu(gpu: Arc<Gpu>) -> Engines {
    Engines {
        rten: Arc::new(Rten::new(1)),
        cpu: Err("this host has no ONNX Runtime for the CPU".to_owned()),
        cuda: Ok(gpu),
    }
}

impl Gpu {
    pub(crate) fn new() -> Self {
        let state = Mutex::new(State {
            health: Health::Well,
            is_open: true,
            loads: 0,
            ran: Vec::new(),
        });
        let moved = Condvar::new();
        Self {
            rten: Rten::new(1),
            shared: Arc::new(Shared { state, moved }),
        }
    }

    /// How it does from now on, also for what has begun and waits at the gate.
    pub(crate) fn is(&self, health: Health) {
        self.shared.state.lock().unwrap().health = health;
    }

    /// Holds up loads and runs that begin from now on.
    pub(crate) fn close(&self) {
        self.shared.state.lock().unwrap().is_open = false;
    }

    /// Lets them go on.
    pub(crate) fn open(&self) {
        self.shared.state.lock().unwrap().is_open = true;
        self.shared.moved.notify_all();
    }

    /// How many loads were tried.
    pub(crate) fn loads(&self) -> usize {
        self.shared.state.lock().unwrap().loads
    }

    /// The rows of each run that has begun.
    pub(crate) fn ran(&self) -> Vec<u64> {
        self.shared.state.lock().unwrap().ran.clone()
    }

    /// Blocks until so many runs have begun.
    pub(crate) fn has_begun(&self, runs: usize) {
        let state = self.shared.state.lock().unwrap();
        let few = |state: &mut State| state.ran.len() < runs;
        let waited = self.shared.moved.wait_timeout_while(state, PATIENCE, few);
        assert!(!waited.unwrap().1.timed_out(), "{runs} runs have not begun");
    }
}

impl Shared {
    /// Notes what begins, and waits until it may go on: how the device does then.
    fn pass(&self, begin: impl FnOnce(&mut State)) -> Health {
        let mut state = self.state.lock().unwrap();
        begin(&mut state);
        self.moved.notify_all();
        let state = self.moved.wait_while(state, |state| !state.is_open);
        state.unwrap().health
    }
}

impl Engine for Gpu {
    fn name(&self) -> &'static str {
        "onnxruntime"
    }

    fn version(&self) -> String {
        "of a test".to_owned()
    }

    fn device(&self) -> &str {
        "cuda:0"
    }

    fn load(&self, model: &[u8]) -> Result<Arc<dyn LoadedModel>, EngineError> {
        if self.shared.pass(|state| state.loads += 1) == Health::Lost {
            return Err(lost());
        }
        Ok(Arc::new(OnGpu {
            model: self.rten.load(model)?,
            shared: self.shared.clone(),
        }))
    }
}

struct OnGpu {
    model: Arc<dyn LoadedModel>,
    shared: Arc<Shared>,
}

impl LoadedModel for OnGpu {
    fn signature(&self) -> &Signature {
        self.model.signature()
    }

    fn run(&self, inputs: &[NamedTensor]) -> Result<Vec<NamedTensor>, EngineError> {
        let rows = inputs[0].value.shape()[0];
        match self.shared.pass(|state| state.ran.push(rows)) {
            Health::Well => self.model.run(inputs),
            Health::Lost | Health::Failing => Err(lost()),
            Health::Full { rows: most } if rows > most => {
                Err(EngineError::OutOfMemory("CUDA out of memory".to_owned()))
            }
            Health::Full { .. } => self.model.run(inputs),
        }
    }
}

fn lost() -> EngineError {
    EngineError::Device("it has fallen off the bus".to_owned())
}
