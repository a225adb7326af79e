//! The layers: who may name whom (docs/decisions/0019-seam.md). It reads the sources, as the compiler has no word for it.
//!
//! Within this crate a file belongs to its module of the first level, and names others of that level as `crate::module`.
//! A module that is new has to be given its place here.

use std::fs;
use std::path::{Path, PathBuf};

/// Each module of the first level, its layer, and the layers that it may name besides its own.
const LAYERS: &[(&str, &[&str], &[&str])] = &[
    ("base", &["control", "error", "faults", "fork", "identity", "news", "time"], &[]),
    (
        "operations",
        &[
            "batch",
            "bound",
            "counters",
            "features",
            "given",
            "guard",
            "lock",
            "maintenance",
            "moving",
            "notify",
            "outlook",
            "queue",
            "rate_limit",
            "result",
            "schedule",
            "schema",
            "statement",
            "step",
            "store",
            "stream",
            "unit",
            "version",
        ],
        &["base"],
    ),
    ("files", &["vfs"], &["base"]),
    ("watcher", &["watch"], &["base", "files"]),
    // The surface of foreign connections.
    ("sql", &["sql"], &["base", "operations", "watcher"]),
    ("engine", &["database"], &["base", "operations", "files", "watcher", "sql"]),
    // Of the operations they know the arguments and the answers: what they call is the engine's methods.
    ("consumers", &["consume"], &["base", "operations", "watcher", "engine"]),
];

fn layer_of(module: &str) -> (&'static str, &'static [&'static str]) {
    let found = LAYERS.iter().find(|(_, modules, _)| modules.contains(&module));
    let &(layer, _, may_name) = found.unwrap_or_else(|| panic!("`{module}` has no layer"));
    (layer, may_name)
}

/// The text without its comments, in which documentation may name anything.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The modules of the first level, and the items of the crate's root, that a text names after `crate::`.
fn named(code: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut names = Vec::new();
    for (at, path) in code.match_indices("crate::") {
        let rest = &code[at + path.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            names.push(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut is_first = true;
        for (at, c) in group.char_indices() {
            if depth == 0 && is_first && !c.is_whitespace() {
                names.push(word(&group[at..]));
                is_first = false;
            }
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => is_first = true,
                _ => {}
            }
        }
    }
    names
}

/// What a file of this crate names and may not.
fn forbidden_in_core(module: &str, is_root_of_module: bool, text: &str) -> Vec<String> {
    let (layer, may_name) = layer_of(module);
    let code = code(text);
    let mut forbidden = Vec::new();
    for name in named(&code) {
        let is_allowed = match name.as_str() {
            "Error" | "Result" | "" => true,
            // The table of operations.
            "for_each_operation" => layer == "engine",
            "Store" | "PreparedStatement" => matches!(layer, "operations" | "sql" | "engine"),
            name => {
                let named = layer_of(name).0;
                named == layer || may_name.contains(&named)
            }
        };
        if !is_allowed {
            forbidden.push(format!("crate::{name}"));
        }
    }
    let way_out = if is_root_of_module { "super::" } else { "super::super::" };
    if code.contains(way_out) {
        forbidden.push(way_out.to_owned());
    }
    if layer == "consumers" && code.contains("rusqlite") {
        forbidden.push("rusqlite".to_owned());
    }
    forbidden
}

/// What a file of the C ABI names and may not.
fn forbidden_in_surface(text: &str) -> Vec<String> {
    let code = code(text);
    ["rusqlite", "Store"].into_iter().filter(|name| code.contains(name)).map(str::to_owned).collect()
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[test]
fn no_module_of_the_core_names_a_layer_above_it() {
    let source = repository().join("honker-core/src");
    let mut looked_at = 0;
    for file in sources(&source) {
        let inside: Vec<_> =
            file.strip_prefix(&source).unwrap().iter().map(|part| part.to_str().unwrap()).collect();
        let module = inside[0].trim_end_matches(".rs");
        if matches!(inside[..], ["lib.rs"] | ["database", "tests.rs"]) {
            continue;
        }
        let is_root = matches!(inside[..], [_] | [_, "mod.rs"]);
        let forbidden = forbidden_in_core(module, is_root, &fs::read_to_string(&file).unwrap());
        assert_eq!(forbidden, [""; 0], "{}", file.display());
        looked_at += 1;
    }
    assert!(looked_at > 50, "{looked_at} files");
}

#[test]
fn the_c_abi_names_nothing_of_sqlite() {
    let manifest = fs::read_to_string(repository().join("honker-ffi/Cargo.toml")).unwrap();
    assert!(!manifest.contains("rusqlite"), "honker-ffi/Cargo.toml");
    for file in sources(&repository().join("honker-ffi/src")) {
        let forbidden = forbidden_in_surface(&fs::read_to_string(&file).unwrap());
        assert_eq!(forbidden, [""; 0], "{}", file.display());
    }
}

/// The looks themselves, at arrows that have turned.
#[test]
fn an_arrow_that_turns_is_seen() {
    let core = |module, text| forbidden_in_core(module, false, text);
    for (module, text) in [
        ("queue", "use crate::watch::Subscription;"),
        ("queue", "use crate::{Error, Result, database::Database, time};"),
        ("schedule", "fn f() {\n    crate::consume::queue_of(\"q\");\n}"),
        ("watch", "use crate::{\n    Result,\n    queue::{self, Enqueue},\n};"),
        ("watch", "use crate::Store;"),
        ("vfs", "use crate::watch;"),
        ("database", "use crate::consume::Next;"),
        ("consume", "use crate::{Result, Store};"),
        ("consume", "use crate::sql;"),
        ("consume", "use rusqlite::ffi;"),
        ("consume", "use super::super::Store;"),
    ] {
        assert_eq!(core(module, text).len(), 1, "{module}: {text}");
    }
    assert_eq!(forbidden_in_core("lock", true, "use super::database;").len(), 1);
    assert_eq!(forbidden_in_surface("use honker_core::Store;").len(), 1);
    assert_eq!(forbidden_in_surface("fn f() -> i32 { rusqlite::ffi::SQLITE_BUSY }").len(), 1);
    for (module, text) in [
        ("queue", "//! See [`crate::watch`].\nuse crate::{Error, Result, Store, time};"),
        ("watch", "use crate::{Error, vfs::{self, Ours}};\nuse super::Target;"),
        ("database", "use crate::{Error, Result, Store, sql};"),
        ("consume", "use crate::database::Database;\nuse crate::queue::{Claim, ClaimedJob};"),
    ] {
        assert_eq!(core(module, text), [""; 0], "{module}: {text}");
    }
}
