//! What do the features of jobs cost those that use them? Each call stands beside the same one without.
//!
//! Through the SQL functions, a transaction each, every side with a file of its own. They take turns in blocks; the ratio is
//! the median of the blocks'.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, params};

use crate::claim::{fill, job_id};
use crate::database;
use crate::report::{Report, Target, median, microseconds};
use crate::throughput::{Outcome, PAYLOAD, claim_ack, expect, in_transaction, timed};

const BLOCKS: usize = 25;
/// Of a step.
const VALUE: &str = r#"{"charged":5}"#;

/// One way to do a block of work; how long it took.
type Contestant = fn(&Connection, count: usize) -> Outcome<Duration>;

struct Row {
    name: &'static str,
    /// What makes the file one that uses the feature.
    set_up: &'static str,
    ours: Contestant,
    reference: Contestant,
}

const ROWS: &[Row] = &[
    Row {
        name: "enqueue with a unique key / without",
        set_up: "",
        ours: |c, n| enqueue(c, n, |number| format!(r#"{{"unique_key":"{number}"}}"#)),
        reference: |c, n| enqueue(c, n, |_| "{}".to_owned()),
    },
    Row {
        name: "enqueue with a unique key that is taken / without",
        set_up: "SELECT honker_enqueue_with('q', '', '{\"unique_key\":\"k\"}')",
        ours: |c, n| enqueue(c, n, |_| r#"{"unique_key":"k"}"#.to_owned()),
        reference: |c, n| enqueue(c, n, |_| "{}".to_owned()),
    },
    Row {
        name: "claim and ack, one at a time of a key / plain",
        set_up: "SELECT honker_queue_configure('q', '{\"concurrency_per_key\":1}')",
        ours: |c, n| {
            in_transaction(c, || {
                enqueue(c, n, |number| format!(r#"{{"concurrency_key":"{}"}}"#, number % 50))
            })?;
            claim_ack_all(c, n)
        },
        reference: claim_ack,
    },
    Row {
        name: "enqueue, claim and ack of a batch / of none",
        set_up: "SELECT honker_batch_create('{}')",
        ours: |c, n| Ok(enqueue(c, n, |_| r#"{"batch_id":1}"#.to_owned())? + claim_ack_all(c, n)?),
        reference: |c, n| Ok(enqueue(c, n, |_| "{}".to_owned())? + claim_ack_all(c, n)?),
    },
    Row {
        name: "save a step / raw SQLite inserting its row",
        set_up: "SELECT honker_enqueue('q', ''), honker_claim_batch('q', 'worker', 1, 86400)",
        ours: |c, n| {
            let mut save = c.prepare("SELECT honker_step_save(1, 'worker', ?1, ?2) IS NOT NULL")?;
            steps(c, n, |name| expect(save.query_row([name, VALUE], |row| row.get(0))?, 1))
        },
        reference: |c, n| {
            let mut save = c.prepare("INSERT INTO _honker_steps (job_id, name, value) VALUES (1, ?1, ?2)")?;
            steps(c, n, |name| expect(save.execute([name, VALUE])? as i64, 1))
        },
    },
    Row {
        name: "cancel / raw SQLite deleting the row",
        set_up: "",
        ours: |c, n| {
            let mut cancel = c.prepare("SELECT honker_cancel(?1)")?;
            ids(c, n, |id| expect(cancel.query_row([id], |row| row.get(0))?, 1))
        },
        reference: |c, n| {
            let mut delete = c.prepare("DELETE FROM _honker_live WHERE id = ?1")?;
            ids(c, n, |id| expect(delete.execute([id])? as i64, 1))
        },
    },
];

pub fn run(report: &mut Report, directory: &Path, divisor: usize) -> Outcome<()> {
    let count = (2_000 / divisor).max(100);
    report.table(
        "What the features cost, through the SQL functions",
        ["a transaction each", "with it", "the reference", "ratio, in time"],
    );
    for (index, row) in ROWS.iter().enumerate() {
        let files = [0, 1].map(|side| database::open(directory, &format!("features-{index}-{side}.db")));
        let [ours, reference] = files;
        let (ours, reference) = (ours?, reference?);
        ours.execute_batch(row.set_up)?;
        // The first of each warms the caches.
        (row.ours)(&ours, count)?;
        (row.reference)(&reference, count)?;
        let times = take_turns(|| (row.ours)(&ours, count), || (row.reference)(&reference, count))?;
        blocks(report, row.name, count, &times);
    }
    saturated(report, directory, 100_000 / divisor)
}

/// Claims behind as many jobs of a key that is at its limit, which have to be set aside first.
fn saturated(report: &mut Report, directory: &Path, count: usize) -> Outcome<()> {
    let ours = database::open(directory, "features-saturated.db")?;
    let plain = database::open(directory, "features-not-saturated.db")?;
    ours.execute_batch(
        r#"SELECT honker_queue_configure('q', '{"concurrency_per_key":1}');
           SELECT honker_enqueue_with('q', '', '{"concurrency_key":"hot"}');
           SELECT honker_claim_batch('q', 'other', 1, 86400)"#,
    )?;
    in_transaction(&ours, || enqueue(&ours, count, |_| r#"{"concurrency_key":"hot"}"#.to_owned()))?;
    for file in [&ours, &plain] {
        fill(file, count * 2, "run_at", "unixepoch()")?;
        file.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    }
    let block = count / BLOCKS;
    let times = take_turns(|| claim_ack_all(&ours, block), || claim_ack_all(&plain, block))?;
    let [sum, reference] = times.each_ref().map(|times| times.iter().sum::<Duration>());
    report.row(
        &format!("claim and ack, {count} of a saturated key in front / none"),
        [sum, reference].map(|time| microseconds(time / count as u32)),
        sum.as_secs_f64() / reference.as_secs_f64(),
        Some(Target::AtMost(1.3)),
    );
    let times = take_turns(|| claim_ack_all(&ours, block), || claim_ack_all(&plain, block))?;
    blocks(report, "the same, once those are set aside", block, &times);
    Ok(())
}

/// How long each block of both took.
fn take_turns(
    mut ours: impl FnMut() -> Outcome<Duration>,
    mut reference: impl FnMut() -> Outcome<Duration>,
) -> Outcome<[Vec<Duration>; 2]> {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..BLOCKS {
        times[0].push(ours()?);
        times[1].push(reference()?);
    }
    Ok(times)
}

/// A row: the middle of the blocks.
fn blocks(report: &mut Report, name: &str, count: usize, times: &[Vec<Duration>; 2]) {
    let [ours, references] = times;
    let pairs = ours.iter().zip(references);
    let mut ratios: Vec<f64> =
        pairs.map(|(ours, reference)| ours.as_secs_f64() / reference.as_secs_f64()).collect();
    let figures = times.each_ref().map(|times| microseconds(median(&mut times.clone()) / count as u32));
    report.row(name, figures, median(&mut ratios), None);
}

/// Enqueues jobs with options made of a number that no other job of the file has.
fn enqueue(connection: &Connection, count: usize, options: fn(i64) -> String) -> Outcome<Duration> {
    let first: i64 =
        connection.query_row("SELECT ifnull(max(id), 0) + 1 FROM _honker_live", [], |row| row.get(0))?;
    let options: Vec<String> = (first..first + count as i64).map(options).collect();
    let mut options = options.iter();
    let mut enqueue = connection.prepare("SELECT honker_enqueue_with('q', ?1, ?2)")?;
    timed(count, || Ok(enqueue.query_row(params![PAYLOAD, options.next()], |_| Ok(()))?))
}

/// Claims and acks as many jobs. A claim that had too much to set aside is made again.
fn claim_ack_all(connection: &Connection, count: usize) -> Outcome<Duration> {
    let mut claim = connection.prepare("SELECT honker_claim_batch('q', 'worker', 1, 300)")?;
    let mut ack = connection.prepare("SELECT honker_ack(?1, 'worker')")?;
    timed(count, || {
        for _ in 0..1_000 {
            let jobs: String = claim.query_row([], |row| row.get(0))?;
            if let Ok(id) = job_id(&jobs) {
                return expect(ack.query_row([id], |row| row.get(0))?, 1);
            }
        }
        Err("nothing was claimed".into())
    })
}

/// Saves steps of a job, each with a new name.
fn steps(
    connection: &Connection,
    count: usize,
    mut save: impl FnMut(&str) -> Outcome<()>,
) -> Outcome<Duration> {
    let mut step: i64 = connection.query_row("SELECT count(*) FROM _honker_steps", [], |row| row.get(0))?;
    timed(count, || {
        step += 1;
        save(&format!("charge {step}"))
    })
}

/// Does something with the ids of as many jobs, which are there.
fn ids(connection: &Connection, count: usize, mut each: impl FnMut(i64) -> Outcome<()>) -> Outcome<Duration> {
    fill(connection, count, "run_at", "unixepoch()")?;
    let mut id: i64 = connection.query_row("SELECT min(id) FROM _honker_live", [], |row| row.get(0))?;
    timed(count, || {
        each(id)?;
        id += 1;
        Ok(())
    })
}
