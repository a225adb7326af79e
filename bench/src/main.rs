//! `make bench`: how long honker takes, beside its reference point in the same run.
//!
//! Figures are measured through the SQL functions of the built extension, in a stock SQLite, and through the C ABI of the
//! built library, on files in WAL mode, with `synchronous = NORMAL` where nothing else is said; those of waking with the
//! watcher itself. Absolute times depend on the machine and the hour, so contestants take turns in short blocks and what
//! counts is the ratio. The tables go to standard output, the figures to `target/bench.json`.
//!
//! `honker-bench [quick] [PART ...]`: `quick` uses a hundredth of the rows, for trying the benchmark itself, not for
//! figures; parts are those of [`PARTS`], all of them without a name.

mod bounded;
mod claim;
mod database;
mod features;
mod group;
mod indexes;
mod library;
mod packages;
mod postgres;
mod report;
mod rescue;
mod throughput;
mod wake;

use std::error::Error;
use std::path::Path;

use crate::report::Report;

/// A part of the report: what it is called on the command line, and what measures it in a directory of its own, with
/// every count divided.
type Part = (&'static str, fn(&mut Report, &Path, usize) -> Result<(), Box<dyn Error>>);

const PARTS: [Part; 11] = [
    ("claim", claim::run),
    ("bounded", bounded::run),
    ("throughput", throughput::run),
    ("library", library::run),
    ("features", features::run),
    ("group", group::run),
    ("wake", wake::run),
    ("rescue", rescue::run),
    ("packages", packages::run),
    ("indexes", indexes::run),
    ("postgres", postgres::run),
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == rescue::HOLD) {
        return rescue::hold(arguments.get(1).map_or("", String::as_str));
    }
    if arguments.first().is_some_and(|first| first == postgres::ENQUEUE) {
        return postgres::enqueue_when_told(arguments.get(1).map_or("", String::as_str));
    }
    let quick = arguments.first().is_some_and(|first| first == "quick");
    let parts = arguments.split_off(usize::from(quick));
    if let Some(unknown) = parts.iter().find(|&part| PARTS.iter().all(|(name, _)| name != part)) {
        let names = PARTS.map(|(name, _)| name).join(", ");
        return Err(
            format!("unknown part '{unknown}'; the arguments are 'quick', and any of: {names}").into()
        );
    }
    let directory = tempfile::tempdir()?;
    let mut report = Report::new();
    for (name, run) in PARTS {
        if parts.is_empty() || parts.iter().any(|part| part == name) {
            run(&mut report, directory.path(), if quick { 100 } else { 1 })?;
        }
    }
    // Figures of a trial run, or of a part, do not take the place of a whole report.
    if !quick && parts.is_empty() {
        report.save()?;
    }
    Ok(())
}
