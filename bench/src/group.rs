//! What does it gain that calls of several threads share a commit?
//!
//! Threads call enqueue through the C ABI as fast as they can, for a fixed time. The reference commits each call by itself: the same INSERT
//! through one prepared statement on one connection behind a mutex. The two take turns.

use std::error::Error;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use honker_library::{Database, settings};
use rusqlite::Connection;

use crate::database;
use crate::report::{Report, Target, median};

const ROUNDS: usize = 5;
const PAYLOAD: &str = r#"{"to":"alice@example.com","order_id":42}"#;

const NORMAL: Durability = ("NORMAL", 0);
const FULL: Durability = ("FULL", 1);

/// The name that SQLite has for it, and the number that the library has.
type Durability = (&'static str, u32);

/// Calls a second, and the longest that any call took.
type Measured = (f64, Duration);

pub fn run(report: &mut Report, directory: &Path, divisor: usize) -> Result<(), Box<dyn Error>> {
    let time = Duration::from_millis(if divisor == 1 { 1000 } else { 50 });
    report.table(
        "Threads that call enqueue, sharing commits or each with its own",
        ["threads, synchronous", "shared", "own", "ratio to own"],
    );
    let rows = [
        (1, NORMAL, Some(Target::AtLeast(0.8))),
        (16, NORMAL, Some(Target::AtLeast(1.7))),
        (16, FULL, Some(Target::AtLeast(5.0))),
        (64, FULL, Some(Target::AtLeast(10.0))),
    ];
    for (index, (threads, durability, target)) in rows.into_iter().enumerate() {
        let file = directory.join(format!("group-{index}-shared.db"));
        let mut options = settings();
        options.durability = durability.1;
        options.busy_timeout_ms = 60_000;
        let shared = Database::open(file.to_str().ok_or("a path that is no text")?, &options)?;
        let own = Mutex::new(database::open(directory, &format!("group-{index}-own.db"))?);
        lock(&own).execute_batch(&format!("PRAGMA synchronous = {}", durability.0))?;
        let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let us = measure(threads, time, || {
                shared.place().enqueue("q", PAYLOAD, None).unwrap();
            });
            let them = measure(threads, time, || {
                let connection = lock(&own);
                let mut insert = connection.prepare_cached(INSERT).unwrap();
                insert.execute([PAYLOAD]).map(drop).unwrap();
            });
            ratios.push(us.0 / them.0);
            ours.push(us);
            theirs.push(them);
        }
        let figures = [&mut ours, &mut theirs].map(|measured| {
            let longest = measured.iter().map(|(_, longest)| *longest).max().unwrap_or_default();
            let rate = median(&mut measured.iter().map(|(rate, _)| *rate).collect::<Vec<_>>());
            format!("{rate:.0} /s {:.0} ms", longest.as_secs_f64() * 1e3)
        });
        report.row(
            &format!("{threads}, {} (and the longest call)", durability.0),
            figures,
            median(&mut ratios),
            target,
        );
        shared.close()?;
    }
    Ok(())
}

const INSERT: &str = "INSERT INTO _honker_live (queue, payload, priority, run_at, max_attempts, created_at)
     VALUES ('q', ?1, 0, unixepoch(), 3, unixepoch())";

fn lock(connection: &Mutex<Connection>) -> std::sync::MutexGuard<'_, Connection> {
    connection.lock().expect("no thread panics with the connection")
}

fn measure(threads: usize, time: Duration, call: impl Fn() + Sync) -> Measured {
    let over = AtomicBool::new(false);
    let start = Instant::now();
    let counts: Vec<(usize, Duration)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let (mut calls, mut longest) = (0, Duration::ZERO);
                    while !over.load(Ordering::Relaxed) {
                        let begin = Instant::now();
                        call();
                        longest = longest.max(begin.elapsed());
                        calls += 1;
                    }
                    (calls, longest)
                })
            })
            .collect();
        thread::sleep(time);
        over.store(true, Ordering::Relaxed);
        workers.into_iter().map(|worker| worker.join().expect("no call fails")).collect()
    });
    let calls: usize = counts.iter().map(|(calls, _)| calls).sum();
    let longest = counts.iter().map(|(_, longest)| *longest).max().unwrap_or_default();
    (calls as f64 / start.elapsed().as_secs_f64(), longest)
}
