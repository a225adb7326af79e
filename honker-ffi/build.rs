//! Tells the library which commit and target it is built for.

use std::process::Command;

fn main() {
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
