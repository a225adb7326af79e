//! Says what to do when both kinds of SQLite are asked for in one build, before rusqlite fails in a way that says nothing.

use std::process::exit;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is_on = |feature| std::env::var_os(feature).is_some();
    if is_on("CARGO_FEATURE_RUNTIME") && is_on("CARGO_FEATURE_LOADABLE_EXTENSION") {
        eprintln!(
            "\nhonker-extension takes SQLite from its host, everything else links its own, and Cargo unifies features \
             within one build. Build them one after the other:\n\n    \
             cargo build\n    \
             cargo build -p honker-extension\n"
        );
        exit(1);
    }
}
