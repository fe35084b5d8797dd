//! What the tests of inference share: the models of `tests/models`, both engines, and a device that
//! fails when it is told so.

mod gpu;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::engine::LoadedModel;
use super::engines::{EngineOptions, Engines};
use super::probe::findings;
use super::tensor::{NamedTensor, Tensor};
use crate::job::Digest;
use crate::model::{DataType, DeviceChoice, EngineChoice, ModelConfig};
use crate::store::Model;
pub(crate) use gpu::{Gpu, Health, with_gpu};

/// What a float may differ by between engines, and between a batch and a call alone: in parts of
/// itself, or of 1 if it is smaller, since sums are added in another order. It is stated for users
/// in docs/inference.md.
pub(crate) const TOLERANCE: f32 = 1e-5;

/// Whether floats are the same but for [`TOLERANCE`].
pub(crate) fn near(one: &[f32], other: &[f32]) -> bool {
    let is_near = |(a, b): (&f32, &f32)| (a - b).abs() <= TOLERANCE * a.abs().max(1.0);
    one.len() == other.len() && one.iter().zip(other).all(is_near)
}

/// A model of `tests/models`.
pub(crate) fn model(name: &str) -> Bytes {
    let path = format!("{}/../tests/models/{name}.onnx", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{path}: {error}"))
        .into()
}

/// The library of ONNX Runtime: these tests are of both engines, and pretend nothing.
pub(crate) fn onnxruntime() -> PathBuf {
    let named = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty());
    named.map(PathBuf::from).expect(
        "ORT_DYLIB_PATH names the library of ONNX Runtime for this test; `make onnxruntime` gets it",
    )
}

/// The engines, of one thread each.
pub(crate) fn engines() -> Engines {
    let options = EngineOptions {
        threads: 1,
        onnxruntime: Some(onnxruntime()),
    };
    Engines::open(&options)
}

/// Both engines, by their names, with a model loaded.
pub(crate) fn both(name: &str) -> [(EngineChoice, Arc<dyn LoadedModel>); 2] {
    let engines = engines();
    [EngineChoice::Rten, EngineChoice::Onnxruntime].map(|engine| {
        let config = ModelConfig {
            engine,
            device: DeviceChoice::Cpu,
            ..ModelConfig::default()
        };
        let loaded = engines.choose(&config).unwrap().load(&model(name));
        (
            engine,
            loaded.unwrap_or_else(|error| panic!("{engine:?} loads {name}: {error}")),
        )
    })
}

/// A model of `tests/models` as it lies in a store: looked at by rten, and of so many bytes.
pub(crate) fn kept(name: &str, of: &str, bytes: u64, config: ModelConfig) -> Model {
    let file = model(of);
    let on_the_cpu = ModelConfig {
        engine: EngineChoice::Rten,
        device: DeviceChoice::Cpu,
        ..config.clone()
    };
    let mut findings = findings(&engines(), &file, &on_the_cpu).unwrap();
    findings.memory_bytes = bytes;
    Model {
        name: name.parse().unwrap(),
        version: 1,
        digest: Digest::of(&file),
        bytes: file.len() as u64,
        config,
        findings,
        added_at_ms: 0,
    }
}

pub(crate) fn tensor(name: &str, dtype: DataType, shape: &[u64], data: Vec<u8>) -> NamedTensor {
    NamedTensor {
        name: name.to_owned(),
        value: Tensor::new(dtype, shape.to_vec(), data.into()).unwrap(),
    }
}

pub(crate) fn f32s(name: &str, shape: &[u64], elements: &[f32]) -> NamedTensor {
    let data = elements.iter().flat_map(|x| x.to_le_bytes()).collect();
    tensor(name, DataType::F32, shape, data)
}

pub(crate) fn i64s(name: &str, shape: &[u64], elements: &[i64]) -> NamedTensor {
    let data = elements.iter().flat_map(|x| x.to_le_bytes()).collect();
    tensor(name, DataType::I64, shape, data)
}

pub(crate) fn to_f32s(tensor: &Tensor) -> Vec<f32> {
    assert_eq!(tensor.dtype(), DataType::F32);
    let (elements, _) = tensor.data().as_chunks();
    elements
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect()
}
