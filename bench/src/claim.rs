//! Does a claim cost the same whatever else is in the table?
//!
//! Each scenario is a file of its own, filled before anything is measured. A round enqueues a job (not measured),
//! claims one and acks it (measured together). The scenarios take turns in blocks of rounds; the ratio is to the
//! scenario with 1,000 due jobs.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::database;
use crate::report::{Report, Target, median, microseconds};

const ROUNDS_PER_BLOCK: usize = 100;
const BLOCKS: usize = 30;

struct Scenario {
    name: &'static str,
    /// Fills a file that has 1,000 due jobs already.
    fill: fn(&Connection, divisor: usize) -> rusqlite::Result<()>,
    target: Option<Target>,
}

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "1,000 due", fill: |_, _| Ok(()), target: None },
    Scenario { name: "100,000 due", fill: |c, d| due(c, 100_000 / d, "0"), target: TARGET },
    Scenario { name: "1,000,000 due", fill: |c, d| due(c, 1_000_000 / d, "0"), target: TARGET },
    Scenario {
        name: "1,000,000 due over 10 priorities",
        fill: |c, d| due(c, 1_000_000 / d, "i % 10"),
        target: TARGET,
    },
    Scenario {
        name: "1,000 due, 1,000,000 delayed of higher priority",
        fill: |c, d| fill(c, 1_000_000 / d, "priority, run_at", "9, unixepoch() + 86400 + i"),
        target: TARGET,
    },
    Scenario {
        name: "1,000 due, 100,000 in flight",
        fill: |c, d| {
            let values = "'processing', 'other', 1, unixepoch() + 86400 + i";
            fill(c, 100_000 / d, "state, worker_id, attempts, claim_expires_at", values)
        },
        target: TARGET,
    },
    Scenario {
        name: "1,000 due, 100,000 distinct priorities delayed",
        fill: |c, d| fill(c, 100_000 / d, "priority, run_at", "i, unixepoch() + 86400 + i"),
        target: TARGET,
    },
    Scenario {
        name: "1,000 due, 1,000,000 dead",
        fill: |c, d| {
            c.execute_batch(&format!(
                "INSERT INTO _honker_dead (id, queue, payload) {} SELECT 10000000 + i, 'q', '{PAYLOAD}' FROM n",
                numbers(1_000_000 / d)
            ))
        },
        target: TARGET,
    },
];

const TARGET: Option<Target> = Some(Target::AtMost(1.3));
const PAYLOAD: &str = r#"{"to":"alice@example.com","order_id":42}"#;

pub fn run(report: &mut Report, directory: &Path, divisor: usize) -> Result<(), Box<dyn Error>> {
    let mut files = Vec::new();
    for (index, scenario) in SCENARIOS.iter().enumerate() {
        let connection = database::open(directory, &format!("claim-{index}.db"))?;
        due(&connection, 1_000, "0")?;
        (scenario.fill)(&connection, divisor)?;
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
        files.push(connection);
    }

    let mut times = vec![Vec::new(); files.len()];
    for block in 0..=BLOCKS {
        for (connection, times) in files.iter().zip(&mut times) {
            let measured = rounds(connection)?;
            // The first block warms the caches.
            if block > 0 {
                times.extend(measured);
            }
        }
    }

    report.table(
        "Claim one job and ack it, by what else is in the table",
        ["in the table", "median", "of 1,000 due", "ratio to 1,000 due"],
    );
    let medians: Vec<Duration> = times.iter_mut().map(|times| median(times)).collect();
    for (scenario, time) in SCENARIOS.iter().zip(&medians) {
        let ratio = time.as_secs_f64() / medians[0].as_secs_f64();
        report.row(scenario.name, [microseconds(*time), microseconds(medians[0])], ratio, scenario.target);
    }
    Ok(())
}

fn rounds(connection: &Connection) -> Result<Vec<Duration>, Box<dyn Error>> {
    let mut enqueue = connection.prepare("SELECT honker_enqueue('q', ?1)")?;
    let mut claim = connection.prepare("SELECT honker_claim_batch('q', 'worker', 1, 300)")?;
    let mut ack = connection.prepare("SELECT honker_ack(?1, 'worker')")?;
    let mut times = Vec::with_capacity(ROUNDS_PER_BLOCK);
    for _ in 0..ROUNDS_PER_BLOCK {
        enqueue.query_row([PAYLOAD], |_| Ok(()))?;
        let start = Instant::now();
        let jobs: String = claim.query_row([], |row| row.get(0))?;
        let acked: i64 = ack.query_row([job_id(&jobs)?], |row| row.get(0))?;
        times.push(start.elapsed());
        if acked != 1 {
            return Err("a claimed job could not be acked".into());
        }
    }
    Ok(times)
}

/// The id in an answer of `honker_claim_batch` with one job, which begins `[{"id":`.
pub fn job_id(jobs: &str) -> Result<i64, Box<dyn Error>> {
    let digits = jobs.split(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty());
    Ok(digits.ok_or("nothing was claimed")?.parse()?)
}

fn due(connection: &Connection, count: usize, priority: &str) -> rusqlite::Result<()> {
    fill(connection, count, "priority, run_at", &format!("{priority}, unixepoch() - 10"))
}

/// Adds jobs to the queue `q`; `values` may use the number `i`, from 1.
pub fn fill(connection: &Connection, count: usize, columns: &str, values: &str) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "INSERT INTO _honker_live (queue, payload, {columns}) {} SELECT 'q', '{PAYLOAD}', {values} FROM n",
        numbers(count)
    ))
}

fn numbers(count: usize) -> String {
    format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})")
}
