//! The devices of this host: which of them runs a model, the threads of each, and what takes the
//! place of one that failed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::batcher::Lane;
use super::engine::{CPU, Engine, EngineError};
use super::engines::Engines;
use crate::model::{DeviceChoice, ModelConfig};

/// How long a device that failed is left alone by models that may run elsewhere: it may be
/// reset meanwhile, and each try to load a model there takes a while.
pub(super) const REST: Duration = Duration::from_secs(60);

/// The threads that run batches on a device, one batch each at a time: an engine takes all
/// cores for one.
const LANE_THREADS: usize = 1;

/// The devices of this host.
pub(super) struct Devices {
    engines: Engines,
    /// By device.
    lanes: Mutex<HashMap<String, Arc<Lane>>>,
    /// When the device other than the CPU failed last.
    failed: Mutex<Option<Instant>>,
}

/// What runs a model.
pub(super) struct Choice {
    pub(super) engine: Arc<dyn Engine>,
    /// It takes the place of a device that rests.
    pub(super) is_stand_in: bool,
}

impl Devices {
    /// Those of these engines.
    pub(super) fn new(engines: Engines) -> Self {
        Self {
            engines,
            lanes: Mutex::default(),
            failed: Mutex::default(),
        }
    }

    /// The engines.
    pub(super) fn engines(&self) -> &Engines {
        &self.engines
    }

    /// What runs a model of this configuration: on the CPU, if the device that is meant rests and
    /// the model may move.
    pub(super) fn choose(&self, config: &ModelConfig, now: Instant) -> Result<Choice, EngineError> {
        let meant = self.engines.choose(config)?;
        if !Self::may_move(config, meant.device()) || !self.rests(now) {
            return Ok(Choice {
                engine: meant.clone(),
                is_stand_in: false,
            });
        }
        let on_cpu = ModelConfig {
            device: DeviceChoice::Cpu,
            ..config.clone()
        };
        Ok(Choice {
            engine: self.engines.choose(&on_cpu)?.clone(),
            is_stand_in: true,
        })
    }

    /// Whether a model of this configuration may run elsewhere once this device has failed.
    pub(super) fn may_move(config: &ModelConfig, device: &str) -> bool {
        device != CPU && config.device == DeviceChoice::Auto
    }

    /// Notes that a device failed. The CPU does not rest: nothing could take its place.
    pub(super) fn failed(&self, device: &str, now: Instant) {
        if device != CPU {
            *lock(&self.failed) = Some(now);
        }
    }

    /// Whether a device failed a short while ago.
    pub(super) fn rests(&self, now: Instant) -> bool {
        let failed = *lock(&self.failed);
        failed.is_some_and(|at| now.saturating_duration_since(at) < REST)
    }

    /// The threads of a device.
    pub(super) fn lane(&self, device: &str) -> Result<Arc<Lane>, EngineError> {
        let mut lanes = lock(&self.lanes);
        if let Some(lane) = lanes.get(device) {
            return Ok(lane.clone());
        }
        let lane = Lane::start(device, LANE_THREADS).map_err(|error| {
            EngineError::OutOfMemory(format!("no thread for the device {device}: {error}"))
        })?;
        lanes.insert(device.to_owned(), lane.clone());
        Ok(lane)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What they hold is whole between any two operations on it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::testing::{Gpu, with_gpu};
    use crate::model::EngineChoice;

    #[test]
    fn a_device_that_failed_rests_for_a_minute_and_who_insists_on_it_gets_it() {
        let devices = Devices::new(with_gpu(Arc::new(Gpu::new())));
        let now = Instant::now();
        let chosen = |engine, device, s| {
            let config = ModelConfig {
                engine,
                device,
                ..ModelConfig::default()
            };
            let choice = devices.choose(&config, now + Duration::from_secs(s));
            choice.map(|choice| (choice.engine.device().to_owned(), choice.is_stand_in))
        };
        let any = EngineChoice::Auto;
        let (gpu, cpu) = (("cuda:0".to_owned(), false), ("cpu".to_owned(), true));
        assert_eq!(chosen(any, DeviceChoice::Auto, 0), Ok(gpu.clone()));
        devices.failed("cpu", now);
        assert_eq!(chosen(any, DeviceChoice::Auto, 0), Ok(gpu.clone()));
        devices.failed("cuda:0", now);
        assert_eq!(chosen(any, DeviceChoice::Auto, 59), Ok(cpu));
        assert_eq!(chosen(any, DeviceChoice::Cuda, 59), Ok(gpu.clone()));
        assert_eq!(chosen(any, DeviceChoice::Auto, 60), Ok(gpu));
        let rten = chosen(EngineChoice::Rten, DeviceChoice::Auto, 59);
        assert_eq!(
            rten,
            Ok(("cpu".to_owned(), false)),
            "it is meant to be there"
        );
    }
}
