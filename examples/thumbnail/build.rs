//! Asks for a larger stack than handlers get by default.

fn main() {
    // image's JPEG decoder needs between 72 and 80 KiB.
    println!("cargo::rustc-link-arg-cdylib=-zstack-size=98304");
    println!("cargo::rerun-if-changed=build.rs");
}
