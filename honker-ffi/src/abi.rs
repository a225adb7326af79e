//! A test: what C sees through `include/honker.h` is what this crate means, and `abi.json` and `symbols.txt` say the
//! same.
//!
//! The header is read as text, and a C program made from it prints the value of every constant and the layout of every
//! struct that stands there; both are compared with Rust's. None can be forgotten: a name on one side alone is a failure.
//! What comes out, with the functions and their parameters, is committed as `abi.json`. The declarations of the packages
//! are generated from that (scripts/declarations). It is written with HONKER_ABI=write (`make header`).

mod header;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use self::header::{Declared, Function, Header, file};
use crate::{
    db::*, enqueue::*, fires::*, jobs::*, listener::*, outbox::*, query::*, queue::*, scheduler::*,
    status::*, stream::*, subscription::*, text::*, version::*, worker::*,
};

macro_rules! constants {
    ($($group:ident { $($name:ident)* })*) => {
        BTreeMap::from([$($((stringify!($name), (stringify!($group), json!($name))),)*)*])
    };
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

/// The group and the value of each constant.
fn constants() -> BTreeMap<&'static str, (&'static str, Value)> {
    constants! {
        version { HONKER_ABI_VERSION }
        status {
            HONKER_OK HONKER_EMPTY HONKER_TIMEOUT HONKER_WOKEN HONKER_LOST HONKER_HELD HONKER_LIMITED HONKER_CLOSED
            HONKER_EXISTS HONKER_REPLACED
            HONKER_INTERNAL HONKER_BUSY HONKER_CONSTRAINT HONKER_IO HONKER_CORRUPT HONKER_FULL HONKER_READONLY
            HONKER_CANNOT_OPEN HONKER_SQL HONKER_SCHEMA HONKER_TOO_BIG HONKER_ABORTED
            HONKER_MISUSE HONKER_NULL_ARG HONKER_UTF8 HONKER_INVALID HONKER_NOT_FOUND HONKER_CLOSED_HANDLE
            HONKER_FORKED HONKER_UNSUPPORTED HONKER_INTERRUPTED HONKER_PANIC HONKER_WATCHER HONKER_SYSTEM HONKER_TOO_OLD
            HONKER_CONNECTION HONKER_MOVED
        }
        durability { HONKER_DURABILITY_NORMAL HONKER_DURABILITY_FULL }
        journal { HONKER_JOURNAL_WAL HONKER_JOURNAL_DELETE HONKER_JOURNAL_TRUNCATE HONKER_JOURNAL_PERSIST }
        nesting { HONKER_NESTING_FAIL HONKER_NESTING_WAIT }
        settle {
            HONKER_SETTLE_ACK HONKER_SETTLE_RETRY HONKER_SETTLE_FAIL HONKER_SETTLE_SNOOZE HONKER_SETTLE_RELEASE
        }
        lost { HONKER_LOST_GONE HONKER_LOST_LAPSED HONKER_LOST_TAKEN HONKER_LOST_TIMEOUT }
        type { HONKER_TYPE_NULL HONKER_TYPE_INTEGER HONKER_TYPE_REAL HONKER_TYPE_TEXT HONKER_TYPE_BLOB }
        time { HONKER_NO_TIME }
        unique_until { HONKER_UNIQUE_SETTLED HONKER_UNIQUE_CLAIMED }
        on_conflict { HONKER_CONFLICT_KEEP HONKER_CONFLICT_REPLACE }
        overlap { HONKER_OVERLAP_ALLOW HONKER_OVERLAP_SKIP }
        update {
            HONKER_UPDATE_EXPRESSION HONKER_UPDATE_PAYLOAD HONKER_UPDATE_PRIORITY HONKER_UPDATE_EXPIRES
            HONKER_UPDATE_MAX_ATTEMPTS
        }
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
        honker_enqueue_opts_t {
            struct_size reserved run_at delay_s expires_s priority max_attempts metadata concurrency_key batch_id
            member_job_id member_worker_id unique_key unique_until on_conflict unique_for_s max_run_s
        }
        honker_job_spec_t { struct_size reserved queue payload opts }
        honker_enqueue_result_t { id status reserved }
        honker_job_view_t {
            struct_size reserved id queue payload worker_id attempts claim_expires_at serial max_attempts metadata
        }
        honker_event_view_t { struct_size reserved offset topic key payload created_at }
        honker_schedule_opts_t { struct_size reserved priority expires_s max_attempts job overlap reserved_2 }
        honker_schedule_update_t {
            struct_size reserved fields expression payload priority expires_s max_attempts
        }
        honker_worker_opts_t {
            struct_size reserved visibility_timeout_s fallback_ms max_run_s retry_base_s retry_max_s retry_factor
            retry_jitter heartbeat rescue
        }
        honker_worker_queue_t { struct_size reserved name weight in_hand_max }
        honker_lost_job_view_t { struct_size reserved id serial reason reserved_2 }
        honker_settlement_t { kind status id serial delay_s error }
        honker_notification_view_t { struct_size reserved id channel payload created_at }
        honker_subscription_opts_t {
            struct_size reserved consumer from_offset save_every_n save_every_ms
        }
        honker_outbox_opts_t { struct_size reserved visibility_timeout_s base_backoff_s fallback_ms }
        honker_fire_view_t { struct_size reserved name queue fire_at job_id status reserved_2 }
    }
}

/// Outputs that are as long as an input: function, output, and the input's length. Those that have a length of their own,
/// a parameter of their name and `_len`, need no line here.
const AS_LONG_AS: &[(&str, &str, &str)] = &[("honker_enqueue_many", "results_out", "specs_len")];

/// What `abi.json` says of a parameter.
fn parameter(function: &Function, parameter: &Declared, handles: &[String]) -> Value {
    let Declared { name, of_type } = parameter;
    let pointed_to = of_type.strip_suffix('*').map(|pointed_to| pointed_to.trim());
    let is_handle = pointed_to.is_some_and(|pointed_to| {
        handles.iter().any(|handle| handle == pointed_to.trim_start_matches("const "))
    });
    let direction = match pointed_to {
        Some(_) if name == "err" || name.ends_with("_out") => "out",
        Some(pointed_to) if !is_handle && !pointed_to.starts_with("const ") => "inout",
        _ => "in",
    };
    let mut described = json!({ "name": name, "type": of_type, "direction": direction });
    if pointed_to.is_some() && !is_handle && name != "err" {
        let listed = AS_LONG_AS.iter().find(|(of, output, _)| (*of, *output) == (&function.name, name));
        // An address that the library gives is followed by the length of what lies there.
        let given = pointed_to.is_some_and(|pointed_to| pointed_to.ends_with('*'));
        let own = if given { "len_out".to_owned() } else { format!("{}_len", name.trim_end_matches("_out")) };
        let own = function.parameters.iter().find(|other| other.name == own).map(|other| other.name.as_str());
        if let Some(length) = listed.map(|&(_, _, length)| length).or(own) {
            described["length"] = json!(length);
        }
    }
    described
}

fn functions(header: &Header) -> BTreeMap<&str, Value> {
    for (function, output, length) in AS_LONG_AS {
        let function = header.functions.iter().find(|one| one.name == *function).expect("a function");
        let has = |name| function.parameters.iter().any(|parameter| parameter.name == name);
        assert!(has(*output) && has(*length), "{} has no {output} or no {length}", function.name);
    }
    let mut symbols = symbols();
    let functions = header.functions.iter().map(|function| {
        let parameters: Vec<_> =
            function.parameters.iter().map(|one| parameter(function, one, &header.handles)).collect();
        let since = symbols.remove(&function.name).expect("a line in symbols.txt");
        let described = json!({ "since": since, "returns": function.returns, "parameters": parameters });
        (function.name.as_str(), described)
    });
    functions.collect()
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
    let header = Header::read();
    let mut functions: Vec<_> = header.functions.iter().map(|function| function.name.as_str()).collect();
    functions.sort_unstable();
    assert!(functions.len() > 50);
    let symbols = symbols();
    assert_eq!(symbols.keys().collect::<Vec<_>>(), functions, "symbols.txt (left) and honker.h (right)");
}

#[test]
fn every_status_has_its_name() {
    for (name, (_, value)) in constants().iter().filter(|(_, (group, _))| *group == "status") {
        let status = value.as_i64().and_then(|value| value.try_into().ok()).expect("a status");
        // SAFETY: what is returned is a text that is never freed.
        let told = unsafe { std::ffi::CStr::from_ptr(honker_status_name(status)) };
        assert_eq!(told.to_str(), Ok(*name));
    }
}

#[test]
fn the_library_is_called_by_its_major_version() {
    assert_eq!(env!("HONKER_ABI_MAJOR"), (HONKER_ABI_VERSION >> 16).to_string());
}

#[test]
fn c_sees_what_rust_means() {
    let header = Header::read();
    let seen = header.seen_by_c();
    let rust = constants();
    let values: BTreeMap<_, _> = rust.iter().map(|(name, (_, value))| (name, value)).collect();
    assert_eq!(seen["constants"], json!(values), "the constants of honker.h (left) and of Rust (right)");

    // Rust knows neither C's names of the types nor what its macros begin with.
    let mut layouts_seen = seen["structs"].clone();
    for object in layouts_seen.as_object_mut().expect("structs").values_mut() {
        object.as_object_mut().expect("a struct").remove("init");
        for field in object["fields"].as_array_mut().expect("fields") {
            field.as_object_mut().expect("a field").remove("type");
        }
    }
    let meant = json!(layouts());
    for (name, seen) in layouts_seen.as_object().expect("structs") {
        assert_eq!(*seen, meant[name], "{name}, of honker.h (left) and of Rust (right)");
    }
    assert_eq!(layouts_seen, meant, "the structs of honker.h (left) and of Rust (right)");

    let constants: Vec<_> = header
        .constants
        .iter()
        .map(|constant| {
            let (group, value) = &rust[constant.name.as_str()];
            let mut described = json!({
                "name": constant.name, "value": value, "group": group, "documentation": constant.documentation
            });
            if *group == "status" {
                let status = value.as_i64().and_then(|value| value.try_into().ok()).expect("a status");
                described["transient"] = json!(is_transient(status));
            }
            described
        })
        .collect();
    let abi = json!({
        "abi_version": HONKER_ABI_VERSION,
        "constants": constants,
        "functions": functions(&header),
        "handles": header.handles,
        "structs": seen["structs"],
    });
    let text = serde_json::to_string_pretty(&abi).expect("JSON") + "\n";
    if std::env::var_os("HONKER_ABI").is_some_and(|wish| wish == "write") {
        std::fs::write(file("abi.json"), &text).expect("abi.json can be written");
    }
    let committed = std::fs::read_to_string(file("abi.json")).expect("abi.json");
    assert!(committed == text, "abi.json is not what the header says: run `make header`");
}
