//! `skep:jobs/inference`. This host runs no models yet, and says so.

use crate::sandbox::bindings::inference::{Host, ModelInfo, NamedTensor};
use crate::sandbox::bindings::types::Error;
use crate::sandbox::host::Guest;

impl Guest {
    fn no_models<T>(&mut self) -> Result<T, Error> {
        self.job_for_call()?;
        Err(Error::Unavailable(
            "this host runs no models; inference comes with a later version of skep".to_owned(),
        ))
    }
}

impl Host for Guest {
    async fn models(&mut self) -> Result<Vec<String>, Error> {
        self.no_models()
    }

    async fn describe(&mut self, _model: String) -> Result<ModelInfo, Error> {
        self.no_models()
    }

    async fn infer(
        &mut self,
        _model: String,
        _inputs: Vec<NamedTensor>,
    ) -> Result<Vec<NamedTensor>, Error> {
        self.no_models()
    }
}
