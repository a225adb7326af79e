//! A test: what C sees through `include/honker.h` is what this crate means, and `abi.json` and `symbols.txt` say the
//! same.
//!
//! The header is read as text, and a C program made from it prints the value of every constant and the layout of every
//! struct that stands there; both are compared with Rust's. None can be forgotten: a name on one side alone is a failure.
//! What the program prints is committed as `abi.json`, for the packages of other languages to be checked against. It is
//! written with HONKER_ABI=write.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::{
    db::*, jobs::*, listener::*, outbox::*, query::*, queue::*, scheduler::*, status::*, stream::*,
    subscription::*, text::*, version::*, worker::*,
};

macro_rules! constants {
    ($($name:ident)*) => { BTreeMap::from([$((stringify!($name), json!($name))),*]) };
}

macro_rules! layouts {
    ($($object:ident { $($field:ident)* })*) => {
        BTreeMap::from([$((stringify!($object), json!({
            "size": size_of::<$object>(),
            "align": align_of::<$object>(),
            "fields": [$({
                "name": stringify!($field),
                "offset": std::mem::offset_of!($object, $field),
                "size": size_of_field(|object: &$object| &object.$field),
            }),*],
        }))),*])
    };
}

fn size_of_field<T, F>(_: impl Fn(&T) -> &F) -> usize {
    size_of::<F>()
}

fn constants() -> BTreeMap<&'static str, Value> {
    constants! {
        HONKER_ABI_VERSION
        HONKER_DURABILITY_NORMAL HONKER_DURABILITY_FULL
        HONKER_JOURNAL_WAL HONKER_JOURNAL_DELETE HONKER_JOURNAL_TRUNCATE HONKER_JOURNAL_PERSIST
        HONKER_NESTING_FAIL HONKER_NESTING_WAIT
        HONKER_SETTLE_ACK HONKER_SETTLE_RETRY HONKER_SETTLE_FAIL
        HONKER_TYPE_NULL HONKER_TYPE_INTEGER HONKER_TYPE_REAL HONKER_TYPE_TEXT HONKER_TYPE_BLOB
        HONKER_NO_TIME
        HONKER_UPDATE_EXPRESSION HONKER_UPDATE_PAYLOAD HONKER_UPDATE_PRIORITY HONKER_UPDATE_EXPIRES
        HONKER_UPDATE_MAX_ATTEMPTS
        HONKER_OK HONKER_EMPTY HONKER_TIMEOUT HONKER_WOKEN HONKER_LOST HONKER_HELD HONKER_LIMITED HONKER_CLOSED
        HONKER_INTERNAL HONKER_BUSY HONKER_CONSTRAINT HONKER_IO HONKER_CORRUPT HONKER_FULL HONKER_READONLY
        HONKER_CANNOT_OPEN HONKER_SQL HONKER_SCHEMA HONKER_TOO_BIG HONKER_ABORTED
        HONKER_MISUSE HONKER_NULL_ARG HONKER_UTF8 HONKER_INVALID HONKER_NOT_FOUND HONKER_CLOSED_HANDLE
        HONKER_FORKED HONKER_UNSUPPORTED HONKER_INTERRUPTED HONKER_PANIC HONKER_WATCHER
    }
}

fn layouts() -> BTreeMap<&'static str, Value> {
    layouts! {
        honker_open_opts_t {
            struct_size reserved busy_timeout_ms readers_max durability journal_mode wal_autocheckpoint_pages
            nesting reserved_2 watcher_backend watcher_poll_interval_ms
        }
        honker_bytes_t { data len }
        honker_value_t { value_type reserved integer real bytes }
        honker_enqueue_opts_t { struct_size reserved run_at delay_s expires_s priority max_attempts }
        honker_job_view_t { struct_size reserved id queue payload worker_id attempts claim_expires_at }
        honker_event_view_t { struct_size reserved offset topic key payload created_at }
        honker_schedule_opts_t { struct_size reserved priority expires_s max_attempts }
        honker_schedule_update_t {
            struct_size reserved fields expression payload priority expires_s max_attempts
        }
        honker_worker_opts_t { struct_size reserved visibility_timeout_s fallback_ms }
        honker_settlement_t { kind status id delay_s error }
        honker_notification_view_t { struct_size reserved id channel payload created_at }
        honker_subscription_opts_t {
            struct_size reserved consumer from_offset save_every_n save_every_ms
        }
        honker_outbox_opts_t { struct_size reserved visibility_timeout_s base_backoff_s fallback_ms }
        honker_fire_view_t { struct_size reserved name queue fire_at job_id }
    }
}

/// What stands in the header.
#[derive(Default)]
struct Header {
    constants: Vec<String>,
    /// Name, and the fields with their types.
    structs: Vec<(String, Vec<(String, String)>)>,
    functions: Vec<String>,
}

impl Header {
    fn read() -> Header {
        let text = std::fs::read_to_string(file("../include/honker.h")).expect("include/honker.h");
        let mut header = Header::default();
        let mut fields = Vec::new();
        let mut after_export = false;
        for line in text.lines() {
            if let Some(definition) = line.strip_prefix("#define HONKER_") {
                let name = definition.split([' ', '(']).next().unwrap_or_default();
                if !matches!(name, "H" | "API") && !name.ends_with("_INIT") {
                    header.constants.push(format!("HONKER_{name}"));
                }
            } else if line == "typedef struct {" {
                fields.clear();
            } else if let Some(name) = line.strip_prefix("} ").and_then(|rest| rest.strip_suffix(';')) {
                header.structs.push((name.to_owned(), std::mem::take(&mut fields)));
            } else if let Some(field) = line.strip_prefix("  ").and_then(|rest| rest.strip_suffix(';')) {
                let split = field.rfind([' ', '*']).map_or(0, |place| place + 1);
                fields.push((field[split..].to_owned(), field[..split].trim().to_owned()));
            } else if after_export {
                let name = line.split('(').next().unwrap_or_default();
                header.functions.push(name.rsplit([' ', '*']).next().unwrap_or_default().to_owned());
            }
            after_export = line == "HONKER_API";
        }
        header
    }

    /// A program that prints all of it as JSON.
    fn program(&self) -> String {
        let mut program = "#include \"honker.h\"\n#include <inttypes.h>\n#include <stdio.h>\n".to_owned();
        // An alignment that C99 can tell.
        for (name, _) in &self.structs {
            writeln!(program, "struct align_{name} {{ char first; {name} second; }};").expect("a String");
        }
        program += "int main(void) {\n  printf(\"{\\\"constants\\\":{\");\n";
        for (index, name) in self.constants.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            writeln!(program, "  printf(\"{comma}\\\"{name}\\\":%\" PRId64, (int64_t)({name}));")
                .expect("a String");
        }
        program += "  printf(\"},\\\"structs\\\":{\");\n";
        for (index, (name, fields)) in self.structs.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            writeln!(
                program,
                "  printf(\"{comma}\\\"{name}\\\":{{\\\"size\\\":%zu,\\\"align\\\":%zu,\\\"fields\\\":[\", \
                 sizeof({name}), offsetof(struct align_{name}, second));"
            )
            .expect("a String");
            for (index, (field, of_type)) in fields.iter().enumerate() {
                let comma = if index == 0 { "" } else { "," };
                writeln!(
                    program,
                    "  printf(\"{comma}{{\\\"name\\\":\\\"{field}\\\",\\\"type\\\":\\\"{of_type}\\\",\
                     \\\"offset\\\":%zu,\\\"size\\\":%zu}}\", offsetof({name}, {field}), sizeof((({name} *)0)->{field}));"
                )
                .expect("a String");
            }
            program += "  printf(\"]}\");\n";
        }
        program += "  printf(\"}}\\n\");\n  return 0;\n}\n";
        program
    }
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// What a C compiler makes of the header.
fn seen_by_c(header: &Header) -> Value {
    let directory = std::env::temp_dir().join(format!("honker-abi-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let (source, program) = (directory.join("abi.c"), directory.join("abi"));
    std::fs::write(&source, header.program()).expect("a source file");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let compiled = Command::new(compiler)
        .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(file("../include"))
        .arg(&source)
        .arg("-o")
        .arg(&program)
        .status()
        .expect("a C compiler");
    assert!(compiled.success(), "the header does not compile");
    let output = Command::new(&program).output().expect("the program runs");
    std::fs::remove_dir_all(&directory).expect("the directory can be removed");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The names in `symbols.txt`, and the version of the interface since which there is each.
fn symbols() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(file("symbols.txt")).expect("symbols.txt");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.is_sorted(), "symbols.txt is not sorted");
    let symbols = lines.iter().map(|line| {
        let (name, since) = line.split_once(' ').expect("a name and a version");
        let (major, minor) = since.split_once('.').expect("major.minor");
        let since_number =
            major.parse::<u32>().expect("a number") << 16 | minor.parse::<u32>().expect("a number");
        assert!(since_number <= HONKER_ABI_VERSION, "{name} is newer than HONKER_ABI_VERSION");
        (name.to_owned(), since.to_owned())
    });
    symbols.collect()
}

#[test]
fn symbols_are_the_functions_of_the_header() {
    let mut functions = Header::read().functions;
    functions.sort();
    assert!(functions.len() > 50);
    assert_eq!(
        symbols().into_keys().collect::<Vec<_>>(),
        functions,
        "symbols.txt (left) and honker.h (right)"
    );
}

#[test]
fn c_sees_what_rust_means() {
    let header = Header::read();
    let seen = seen_by_c(&header);
    assert_eq!(seen["constants"], json!(constants()), "the constants of honker.h (left) and of Rust (right)");

    // Rust does not know C's names of the types.
    let mut without_types = seen["structs"].clone();
    for object in without_types.as_object_mut().expect("structs").values_mut() {
        for field in object["fields"].as_array_mut().expect("fields") {
            field.as_object_mut().expect("a field").remove("type");
        }
    }
    assert_eq!(without_types, json!(layouts()), "the structs of honker.h (left) and of Rust (right)");

    let abi = json!({
        "abi_version": HONKER_ABI_VERSION,
        "constants": seen["constants"],
        "structs": seen["structs"],
        "functions": symbols(),
    });
    let text = serde_json::to_string_pretty(&abi).expect("JSON") + "\n";
    if std::env::var_os("HONKER_ABI").is_some_and(|wish| wish == "write") {
        std::fs::write(file("abi.json"), &text).expect("abi.json can be written");
    }
    let committed = std::fs::read_to_string(file("abi.json")).expect("abi.json");
    assert!(committed == text, "abi.json is not what the header says: run `make header`");
}
