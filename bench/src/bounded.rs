//! How long does a claim keep others from writing when a queue is full of what it cannot take?
//!
//! Each scenario is a file of its own. One connection claims until it has a job or nothing is left to move, pausing
//! between transactions for as long as the last one took, as the library does. Another one enqueues into a queue of its
//! own all the while. Shown are the longest single claim and the longest enqueue.

use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::claim::{fill, job_id};
use crate::database;
use crate::report::Report;

struct Scenario {
    name: &'static str,
    fill: fn(&Connection, divisor: usize) -> rusqlite::Result<()>,
}

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "1,000,000 expired",
        fill: |c, d| fill(c, 1_000_000 / d, "priority, expires_at", "1, unixepoch() - 10"),
    },
    Scenario {
        name: "300,000 lapsed on the last attempt",
        fill: |c, d| {
            let values = "'processing', 'gone', 3, unixepoch() - 10 - i % 1000";
            fill(c, 300_000 / d, "state, worker_id, attempts, claim_expires_at", values)
        },
    },
    Scenario {
        name: "300,000 lapsed",
        fill: |c, d| {
            let values = "'processing', 'gone', 1, unixepoch() - 10 - i % 1000";
            fill(c, 300_000 / d, "state, worker_id, attempts, claim_expires_at", values)
        },
    },
    Scenario {
        name: "100,000 in flight on the last attempt",
        fill: |c, d| {
            let values = "'processing', 'other', 3, unixepoch() + 86400 + i";
            fill(c, 100_000 / d, "state, worker_id, attempts, claim_expires_at", values)
        },
    },
    Scenario {
        name: "100,000 distinct priorities, delayed",
        fill: |c, d| fill(c, 100_000 / d, "priority, run_at", "i, unixepoch() + 86400 + i"),
    },
];

pub fn run(report: &mut Report, directory: &Path, divisor: usize) -> Result<(), Box<dyn Error>> {
    report.table(
        "Claim one job and ask for the next time, among what cannot be taken",
        ["in the queue", "longest claim", "longest enqueue", "transactions"],
    );
    for (index, scenario) in SCENARIOS.iter().enumerate() {
        let name = format!("bounded-{index}.db");
        let connection = database::open(directory, &name)?;
        (scenario.fill)(&connection, divisor)?;
        fill(&connection, 1, "priority", "0")?;
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
        let other = database::open(directory, &name)?;
        let over = AtomicBool::new(false);
        let (claims, enqueue) = thread::scope(|scope| {
            let enqueues = scope.spawn(|| longest_enqueue(other, &over));
            // So that it is at work.
            thread::sleep(Duration::from_millis(20));
            let claims = claims(&connection);
            over.store(true, Ordering::Relaxed);
            (claims, enqueues.join().expect("the thread that enqueues panicked"))
        });
        let (count, longest) = claims.map_err(|error| error.to_string())?;
        let milliseconds = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
        let enqueue = enqueue.map_or_else(|error| error, milliseconds);
        report.row(scenario.name, [milliseconds(longest), enqueue], count as f64, None);
    }
    Ok(())
}

/// Claims until there is a job; how many claims that took, and the longest of them.
fn claims(connection: &Connection) -> Result<(usize, Duration), String> {
    let failed = |error: rusqlite::Error| error.to_string();
    let sql = "SELECT honker_claim_batch('q', 'worker', 1, 300)";
    let mut claim = connection.prepare(sql).map_err(failed)?;
    let mut next = connection.prepare("SELECT honker_queue_next_claim_at('q')").map_err(failed)?;
    let (mut count, mut longest) = (0, Duration::ZERO);
    loop {
        let start = Instant::now();
        let jobs: String = claim.query_row([], |row| row.get(0)).map_err(failed)?;
        let took = start.elapsed();
        count += 1;
        let start = Instant::now();
        let _: i64 = next.query_row([], |row| row.get(0)).map_err(failed)?;
        longest = longest.max(took).max(start.elapsed());
        if job_id(&jobs).is_ok() {
            return Ok((count, longest));
        }
        thread::sleep(took);
    }
}

fn longest_enqueue(connection: Connection, over: &AtomicBool) -> Result<Duration, String> {
    let sql = "SELECT honker_enqueue('innocent', 'p')";
    let mut enqueue = connection.prepare(sql).map_err(|error| error.to_string())?;
    let mut longest = Duration::ZERO;
    while !over.load(Ordering::Relaxed) {
        let start = Instant::now();
        enqueue.query_row([], |_| Ok(())).map_err(|error| error.to_string())?;
        longest = longest.max(start.elapsed());
        thread::sleep(Duration::from_micros(500));
    }
    Ok(longest)
}
