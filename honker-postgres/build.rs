//! Joins the files of `sql/` into the one text that is installed.

use std::path::Path;
use std::{env, fs};

fn main() {
    let sql = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("Cargo sets it")).join("sql");
    let read = |name: &str| {
        let path = sql.join(name);
        println!("cargo::rerun-if-changed={}", path.display());
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let order = read("order");
    let texts: Vec<String> = order.lines().map(read).collect();
    let version = env::var("CARGO_PKG_VERSION").expect("Cargo sets it");
    let out = Path::new(&env::var("OUT_DIR").expect("Cargo sets it")).join("honker.sql");
    fs::write(&out, texts.join("\n").replace("@VERSION@", &version)).expect("the folder is Cargo's own");
}
