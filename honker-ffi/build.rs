//! Tells the library which commit and target it is built for, and its linker what programs will know it as.

use std::process::Command;

/// The major version of the interface, the upper half of HONKER_ABI_VERSION: libraries that differ in it cannot replace
/// each other, so it is in the name that a program asks the loader for. tests/install compares the two.
const ABI_MAJOR: u32 = 1;

fn main() {
    for argument in link_arguments(&std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default()) {
        println!("cargo:rustc-cdylib-link-arg=-Wl,{argument}");
    }
    let commit = Command::new("git").args(["rev-parse", "HEAD"]).output().ok();
    let commit = commit.filter(|output| output.status.success());
    let commit = commit.and_then(|output| String::from_utf8(output.stdout).ok());
    println!("cargo:rustc-env=HONKER_COMMIT={}", commit.as_deref().map_or("unknown", str::trim));
    println!("cargo:rustc-env=HONKER_TARGET={}", std::env::var("TARGET").unwrap_or_default());
    // What HEAD points to is a line in its log. A source archive has neither, and nothing to look out for.
    for file in ["../.git/HEAD", "../.git/logs/HEAD"] {
        if std::path::Path::new(file).exists() {
            println!("cargo:rerun-if-changed={file}");
        }
    }
    println!("cargo:rerun-if-changed=build.rs");
}

fn link_arguments(os: &str) -> Vec<String> {
    match os {
        "macos" => vec![format!("-install_name,@rpath/libhonker.{ABI_MAJOR}.dylib")],
        "linux" => vec![
            format!("-soname,libhonker.so.{ABI_MAJOR}"),
            // dlclose would take the code away from under threads that are still in it.
            "-z,nodelete".into(),
            // Nothing is left to be resolved, or to be overwritten, once the library is loaded.
            "-z,relro,-z,now".into(),
        ],
        _ => vec![],
    }
}
