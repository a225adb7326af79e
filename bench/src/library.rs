//! How far is the C ABI of the built library from raw SQLite doing the same row work?
//!
//! The reference is that of the SQL functions (throughput.rs). Each contestant writes to a file of its own, ours through
//! libhonker's SQLite, the reference through this program's. What a call costs before it does anything is shown by one
//! that does next to nothing.

use std::path::Path;
use std::time::{Duration, Instant};

use honker_library::{Database, functions, settings};
use rusqlite::Connection;

use crate::database;
use crate::report::{Report, Target};
use crate::throughput::{Outcome, PAYLOAD, raw_claim_ack, raw_enqueue, raw_enqueue_100, take_turns, timed};

type Ours = fn(Database, count: usize) -> Outcome<Duration>;
type Raw = fn(&Connection, count: usize) -> Outcome<Duration>;

pub fn run(report: &mut Report, directory: &Path, divisor: usize) -> Outcome<()> {
    let count = (2_000 / divisor).max(100);
    report.table(
        "The C ABI beside raw SQLite doing the same row work",
        ["one thread", "honker", "raw SQLite", "ratio to raw"],
    );
    let at_least = Some(Target::AtLeast(0.8));
    let rows: [(&str, Ours, Raw, Option<Target>); 3] = [
        ("enqueue, a transaction each", enqueue, raw_enqueue, at_least),
        ("claim and ack, a transaction each", claim_ack, raw_claim_ack, at_least),
        ("enqueue, 100 in a transaction", enqueue_100, raw_enqueue_100, None),
    ];
    for (index, (name, ours, raw, target)) in rows.into_iter().enumerate() {
        let file = directory.join(format!("library-{index}-ours.db"));
        let database = Database::open(file.to_str().ok_or("a path that is no text")?, &settings())?;
        let reference = database::open(directory, &format!("library-{index}-raw.db"))?;
        take_turns(report, name, target, count, || ours(database, count), || raw(&reference, count))?;
        database.close()?;
    }
    border(report, directory, 100_000 / divisor)
}

fn enqueue(database: Database, count: usize) -> Outcome<Duration> {
    timed(count, || {
        database.place().enqueue("q", PAYLOAD, None)?;
        Ok(())
    })
}

fn claim_ack(database: Database, count: usize) -> Outcome<Duration> {
    let transaction = database.begin()?;
    timed(count, || {
        transaction.place().enqueue("q", PAYLOAD, None)?;
        Ok(())
    })?;
    transaction.commit()?;
    timed(count, || {
        let jobs = database.place().claim("q", "worker", 1, 300)?;
        Ok(database.place().ack(jobs.id(0)?, "worker")?)
    })
}

fn enqueue_100(database: Database, count: usize) -> Outcome<Duration> {
    timed(count / 100, || {
        let transaction = database.begin()?;
        for _ in 0..100 {
            transaction.place().enqueue("q", PAYLOAD, None)?;
        }
        Ok(transaction.commit()?)
    })
}

/// What crossing the border costs: a call that reads a number of a handle, beside one that has no handle.
fn border(report: &mut Report, directory: &Path, count: usize) -> Outcome<()> {
    let file = directory.join("library-border.db");
    let database = Database::open(file.to_str().ok_or("a path that is no text")?, &settings())?;
    database.place().enqueue("q", PAYLOAD, None)?;
    let jobs = database.place().claim("q", "worker", 1, 300)?;
    let checked = nanoseconds(count, || jobs.count().map(drop).expect("an open handle"));
    let bare = nanoseconds(count, || {
        // SAFETY: takes nothing and reads a constant.
        unsafe { (functions().honker_abi_version)() };
    });
    report.table(
        "What crossing the border costs, in ns",
        ["a call", "with a handle", "without", "ratio to without"],
    );
    let figures = [checked, bare].map(|time| format!("{time:.1} ns"));
    report.row("honker_jobs_len beside honker_abi_version", figures, checked / bare, None);
    Ok(database.close()?)
}

fn nanoseconds(count: usize, call: impl Fn()) -> f64 {
    let start = Instant::now();
    (0..count).for_each(|_| call());
    start.elapsed().as_secs_f64() * 1e9 / count as f64
}
