//! `include/honker.h` is what cbindgen makes of the sources. With HONKER_HEADER=write it is made (`make header`),
//! otherwise compared.

use std::path::Path;

#[test]
fn the_header_is_up_to_date() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bindings = cbindgen::Builder::new()
        .with_config(cbindgen::Config::from_file(directory.join("cbindgen.toml")).expect("cbindgen.toml"))
        .with_crate(directory)
        .generate()
        .expect("a header");
    let mut made = Vec::new();
    bindings.write(&mut made);
    let made = without_safety_sections(&String::from_utf8(made).expect("UTF-8"));
    let path = directory.join("../include/honker.h");
    if std::env::var_os("HONKER_HEADER").is_some_and(|wish| wish == "write") {
        std::fs::write(&path, &made).expect("the header can be written");
    }
    let committed = std::fs::read_to_string(&path).expect("include/honker.h");
    assert!(committed == made, "include/honker.h is not what the sources say: run `make header`");
}

/// The comments without their sections `# Safety`: they speak to Rust. What they say about pointers holds of every C
/// function.
fn without_safety_sections(header: &str) -> String {
    let mut kept = String::new();
    let mut in_section = false;
    for line in header.lines() {
        let comment = line.trim_start().strip_prefix('*');
        if comment.is_some_and(|comment| comment.trim() == "# Safety") {
            in_section = true;
            // The empty line before it goes as well.
            while kept.ends_with(" *\n") {
                kept.truncate(kept.trim_end_matches('\n').rfind('\n').map_or(0, |end| end + 1));
            }
        }
        if comment.is_some_and(|comment| comment.starts_with('/')) {
            in_section = false;
        }
        if !in_section {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}
