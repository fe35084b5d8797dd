//! Going back to an earlier version: what is the same for functions and models.

use serde_json::json;

use super::super::code::Code;
use super::super::openapi::{JSON, Operation};
use super::super::rollback::Rollback;

impl Operation {
    /// It takes the version to go back to, which there may not be, and which not everybody may
    /// bring back.
    pub(super) fn goes_back(mut self) -> Self {
        let rollback = self.named::<Rollback>();
        self.takes(JSON, rollback, Some(json!({"version": 1})))
            .or_nothing()
            .fails(&[
                Code::NoSuchVersion,
                Code::AlreadyNewest,
                Code::LimitsTooWide,
            ])
    }
}
