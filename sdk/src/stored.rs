//! Storing data under a key.

use std::borrow::Cow;
use std::time::Duration;

use crate::host::queue;
use crate::{Error, ToPayload};

/// A value to store: [`save`](Self::save) it.
#[derive(Clone, Debug)]
#[must_use = "nothing is stored before `save`"]
pub struct Store<'a> {
    /// Or why the value cannot be written, told when it is saved.
    data: Result<Cow<'a, [u8]>, Error>,
    key: Option<String>,
    expiry: Option<Duration>,
}

impl<'a> Store<'a> {
    pub(crate) fn new<T: ToPayload>(value: &'a T) -> Self {
        Store {
            data: value.to_bytes(),
            key: None,
            expiry: None,
        }
    }

    /// The key: 1 to 512 bytes. What the namespace has under it is overwritten.
    /// Without one the host makes a new one.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// How long the data stays, rounded up to whole seconds; for ever by default.
    pub fn expiry(mut self, time: Duration) -> Self {
        self.expiry = Some(time);
        self
    }

    /// Stores the data and answers its key. It is on disk when this returns.
    pub fn save(self) -> Result<String, Error> {
        let expiry = self.expiry.map(crate::seconds);
        Ok(queue::store_data(&self.data?, self.key.as_deref(), expiry)?)
    }
}
