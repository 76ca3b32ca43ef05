//! Nothing to build: the script exists because `links` needs one, and `links` is what keeps two versions of this
//! crate, which would be two states of one allocator, out of one program.
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
