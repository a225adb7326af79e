//! `make bench`: how long honker takes, beside its reference point in the same run.
//!
//! Figures are measured through the SQL functions of the built extension, in a stock SQLite, and through the C ABI of the
//! built library, on files in WAL mode, with `synchronous = NORMAL` where nothing else is said; those of waking with the
//! watcher itself. Absolute times depend on the machine and the hour, so contestants take turns in short blocks and what
//! counts is the ratio. The tables go to standard output, the figures to `target/bench.json`.
//!
//! `honker-bench quick` uses a hundredth of the rows: for trying the benchmark itself, not for figures.

mod bounded;
mod claim;
mod database;
mod features;
mod group;
mod indexes;
mod library;
mod packages;
mod report;
mod rescue;
mod throughput;
mod wake;

use std::error::Error;

use crate::report::Report;

fn main() -> Result<(), Box<dyn Error>> {
    let argument = |index| std::env::args().nth(index);
    let divisor = match argument(1).as_deref() {
        Some(rescue::HOLD) => return rescue::hold(&argument(2).unwrap_or_default()),
        None => 1,
        Some("quick") => 100,
        Some(other) => return Err(format!("unknown argument '{other}'; the only one is 'quick'").into()),
    };
    let directory = tempfile::tempdir()?;
    let mut report = Report::new();
    claim::run(&mut report, directory.path(), divisor)?;
    bounded::run(&mut report, directory.path(), divisor)?;
    throughput::run(&mut report, directory.path(), divisor)?;
    library::run(&mut report, directory.path(), divisor)?;
    features::run(&mut report, directory.path(), divisor)?;
    group::run(&mut report, directory.path(), divisor)?;
    wake::run(&mut report, directory.path(), divisor)?;
    rescue::run(&mut report, directory.path(), divisor)?;
    packages::run(&mut report, directory.path(), divisor)?;
    indexes::run(&mut report, directory.path(), divisor)?;
    // Figures of a trial run are not worth keeping.
    if divisor == 1 {
        report.save()?;
    }
    Ok(())
}
