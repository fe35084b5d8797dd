//! The engine that is always there: rten, on the CPU.
//!
//! It computes with `f32`, `i32`, `i8` and `u8`. What else a model takes or gives is converted
//! here where nothing is lost; where something would be, the model needs ONNX Runtime.

mod convert;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use ::rten::{ModelOptions, NodeId, RunOptions, ThreadPool, ValueOrView};

use super::engine::{CPU, Engine, EngineError, LoadedModel};
use super::onnx;
use super::roomy::roomy;
use super::tensor::NamedTensor;
use crate::model::{DataType, Signature};

/// The version that `Cargo.toml` names; the crate does not say its own.
const VERSION: &str = "0.27";

/// rten on so many threads, which all runs share.
pub(super) struct Rten {
    threads: usize,
    /// Started for the first model: many hosts have none.
    pool: OnceLock<Arc<ThreadPool>>,
}

impl std::fmt::Debug for Rten {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rten")
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

impl Rten {
    pub(super) fn new(threads: usize) -> Self {
        Self {
            threads: threads.max(1),
            pool: OnceLock::new(),
        }
    }

    fn pool(&self) -> Arc<ThreadPool> {
        let start = || Arc::new(ThreadPool::with_num_threads(self.threads));
        self.pool.get_or_init(start).clone()
    }
}

impl Engine for Rten {
    fn name(&self) -> &'static str {
        "rten"
    }

    fn version(&self) -> String {
        VERSION.to_owned()
    }

    fn device(&self) -> &str {
        CPU
    }

    fn load(&self, model: &[u8]) -> Result<Arc<dyn LoadedModel>, EngineError> {
        let signature = onnx::read(model)
            .map_err(|error| error.to_string())
            .and_then(|model| onnx::signature(&model))
            .map_err(EngineError::Model)?;
        for tensor in signature.inputs.iter().chain(&signature.outputs) {
            if tensor.dtype == DataType::F64 {
                return Err(EngineError::Model(format!(
                    "`{}` is f64, and rten computes with f32: such a model needs ONNX Runtime \
                     (`--onnxruntime`), or is exported with f32",
                    tensor.name
                )));
            }
        }
        let loaded = roomy(|| ModelOptions::with_all_ops().load(model.to_vec()))?
            .map_err(|error| EngineError::Model(format!("rten cannot load the model: {error}")))?;
        let id = |name: &str| {
            (loaded.find_node(name)).ok_or_else(|| {
                EngineError::Model(format!("rten does not find `{name}` in the model"))
            })
        };
        let ids = |names: &[crate::model::TensorSpec]| -> Result<Vec<NodeId>, EngineError> {
            names.iter().map(|tensor| id(&tensor.name)).collect()
        };
        Ok(Arc::new(Loaded {
            inputs: ids(&signature.inputs)?,
            outputs: ids(&signature.outputs)?,
            model: loaded,
            signature,
            pool: self.pool(),
        }))
    }
}

struct Loaded {
    model: ::rten::Model,
    signature: Signature,
    /// In the signature's order.
    inputs: Vec<NodeId>,
    outputs: Vec<NodeId>,
    pool: Arc<ThreadPool>,
}

impl LoadedModel for Loaded {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn run(&self, inputs: &[NamedTensor]) -> Result<Vec<NamedTensor>, EngineError> {
        let values = (self.inputs.iter().zip(inputs))
            .map(|(id, input)| Ok((*id, ValueOrView::from(convert::to_rten(input)?))))
            .collect::<Result<Vec<_>, EngineError>>()?;
        let options = RunOptions::default().with_thread_pool(Some(self.pool.clone()));
        // Nothing of the model changes in a run, so a panic leaves it as it was.
        let run = AssertUnwindSafe(|| self.model.run(values, &self.outputs, Some(options)));
        let outputs = catch_unwind(run)
            .map_err(|_| EngineError::Model("rten panicked; try ONNX Runtime".to_owned()))?
            .map_err(|error| EngineError::Model(format!("rten: {error}")))?;
        (outputs.into_iter().zip(&self.signature.outputs))
            .map(|(value, spec)| convert::from_rten(value, spec))
            .collect()
    }
}
