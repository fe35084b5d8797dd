//! The `skep` binary.

fn main() {}
