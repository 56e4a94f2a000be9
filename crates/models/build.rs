//! Sets `cfg(shuttle)` for this crate, so that files borrowed from others leave out their own unit tests.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cfg=shuttle");
}
