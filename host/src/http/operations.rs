//! What is said of each route in the OpenAPI document: a function beside each handler of
//! the same name.

pub(super) mod dead;
pub(super) mod functions;
pub(super) mod host;
pub(super) mod jobs;
pub(super) mod lists;
pub(super) mod models;
pub(super) mod posting;
pub(super) mod queue;
mod rollback;
pub(super) mod tokens;
