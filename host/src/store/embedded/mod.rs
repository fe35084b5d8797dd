//! The built-in store.
