//! Tells the library which commit and target it is built for, and its linker what programs will know it as.

use std::process::Command;

/// The major version of the interface, the upper half of HONKER_ABI_VERSION: libraries that differ in it cannot replace
/// each other, so it is in the name that a program asks the loader for. A test in abi.rs compares the two.
const ABI_MAJOR: u32 = 2;

fn main() {
    name_the_library();
    println!("cargo:rustc-env=HONKER_ABI_MAJOR={ABI_MAJOR}");
    println!("cargo:rustc-env=HONKER_COMMIT={}", commit());
    println!("cargo:rustc-env=HONKER_TARGET={}", std::env::var("TARGET").unwrap_or_default());
    println!("cargo:rerun-if-env-changed=HONKER_COMMIT");
    // What HEAD points to is a line in its log. A source archive has neither, and nothing to look out for.
    for file in ["../.git/HEAD", "../.git/logs/HEAD"] {
        if std::path::Path::new(file).exists() {
            println!("cargo:rerun-if-changed={file}");
        }
    }
    println!("cargo:rerun-if-changed=build.rs");
}

/// What HONKER_COMMIT says, for releases are also built of archives, else HEAD of the checkout.
fn commit() -> String {
    if let Ok(named) = std::env::var("HONKER_COMMIT") {
        return named;
    }
    let output = Command::new("git").args(["rev-parse", "HEAD"]).output().ok();
    let output = output.filter(|output| output.status.success());
    let commit = output.and_then(|output| String::from_utf8(output.stdout).ok());
    commit.map_or("unknown".into(), |commit| commit.trim().into())
}

fn name_the_library() {
    let os = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let (built, name, arguments) = match os.as_str() {
        "macos" => {
            let name = format!("libhonker.{ABI_MAJOR}.dylib");
            ("libhonker.dylib", name.clone(), vec![format!("-install_name,@rpath/{name}")])
        }
        "linux" => {
            let name = format!("libhonker.so.{ABI_MAJOR}");
            let arguments = vec![
                format!("-soname,{name}"),
                // dlclose would take the code away from under threads that are still in it.
                "-z,nodelete".into(),
                // Nothing is left to be resolved, or to be overwritten, once the library is loaded.
                "-z,relro,-z,now".into(),
            ];
            ("libhonker.so", name, arguments)
        }
        _ => return,
    };
    for argument in arguments {
        println!("cargo:rustc-cdylib-link-arg=-Wl,{argument}");
    }
    link_in_target(built, &name);
}

/// Programs that were linked with the library where cargo puts it look for it there by its name.
#[cfg(unix)]
fn link_in_target(built: &str, name: &str) {
    // OUT_DIR is target/release/build/honker-ffi-.../out.
    let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    if let Some(directory) = out.ancestors().nth(3) {
        // It is there already, after the first time.
        let _ = std::os::unix::fs::symlink(built, directory.join(name));
    }
}

#[cfg(not(unix))]
fn link_in_target(_: &str, _: &str) {}
