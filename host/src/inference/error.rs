//! Why an inference gave nothing.

/// Why an inference gave nothing. Each text says what is wrong and how to mend it, and may be
/// shown to strangers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InferError {
    /// The namespace has no such model.
    #[error("{0}")]
    NotFound(String),
    /// The inputs do not fit the model.
    #[error("{0}")]
    InvalidInput(String),
    /// Inputs or outputs beyond a limit.
    #[error("{0}")]
    TooLarge(String),
    /// Too many calls wait already, or the device is out of memory; another time it may go well.
    #[error("{0}")]
    Busy(String),
    /// The model was not loaded in time; another time it may go well.
    #[error("{0}")]
    TimedOut(String),
    /// The model cannot be run here, or failed on these inputs.
    #[error("{0}")]
    Engine(String),
}

impl InferError {
    /// A device that has gone: another host may do it, or this one once it is mended.
    pub(super) fn of_device(why: &str) -> Self {
        Self::Busy(format!(
            "the device failed: {why}; try again later; a model that is added with `--device auto` \
             runs on the CPU meanwhile"
        ))
    }
}
