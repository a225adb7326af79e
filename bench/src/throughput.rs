//! How far are the SQL functions from raw SQLite doing the same row work?
//!
//! Raw means: the same tables and indexes, statements prepared once, rows addressed by known id; two transactions for
//! claim and ack, as the functions have. The contestants take turns in blocks; the ratio is the median of the blocks'.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use crate::claim::job_id;
use crate::database;
use crate::report::{Report, Target, median, per_second};

const BLOCKS: usize = 25;
pub const PAYLOAD: &str = r#"{"to":"alice@example.com","order_id":42}"#;
const RAW_ENQUEUE: &str =
    "INSERT INTO _honker_live (queue, payload, priority, run_at, max_attempts, created_at)
     VALUES ('q', ?1, 0, unixepoch(), 3, unixepoch())";
const RAW_CLAIM: &str = "UPDATE _honker_live SET state = 'processing', worker_id = 'worker',
     claim_expires_at = unixepoch() + 300, attempts = attempts + 1
     WHERE id = ?1 RETURNING id, queue, payload, attempts, claim_expires_at";
const RAW_ACK: &str = "DELETE FROM _honker_live WHERE id = ?1";

pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// One way to do a block of work; how long it took.
type Contestant = fn(&Connection, count: usize) -> Outcome<Duration>;

pub fn run(report: &mut Report, directory: &Path, divisor: usize) -> Outcome<()> {
    let count = (2_000 / divisor).max(100);
    report.table(
        "Throughput beside raw SQLite doing the same row work",
        ["one thread, one connection", "honker", "raw SQLite", "ratio to raw"],
    );
    let at_least = Some(Target::AtLeast(0.8));
    let rows: [(&str, Contestant, Contestant, Option<Target>); 4] = [
        ("enqueue, a transaction each", enqueue, raw_enqueue, at_least),
        ("claim and ack, a transaction each", claim_ack, raw_claim_ack, at_least),
        ("enqueue, 100 in a transaction", enqueue_100, raw_enqueue_100, at_least),
        ("claim and ack, batches of 100", claim_ack_100, raw_claim_ack_100, at_least),
    ];
    for (index, (name, honker, raw, target)) in rows.into_iter().enumerate() {
        let files = [0, 1].map(|side| database::open(directory, &format!("throughput-{index}-{side}.db")));
        let [ours, theirs] = files;
        let (ours, theirs) = (ours?, theirs?);
        take_turns(report, name, target, count, || honker(&ours, count), || raw(&theirs, count))?;
    }
    Ok(())
}

/// A row: two ways to do `count` calls, by turns.
pub fn take_turns(
    report: &mut Report,
    name: &str,
    target: Option<Target>,
    count: usize,
    mut honker: impl FnMut() -> Outcome<Duration>,
    mut raw: impl FnMut() -> Outcome<Duration>,
) -> Outcome<()> {
    // The first of each warms the caches.
    honker()?;
    raw()?;
    let (mut ours_times, mut raw_times, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..BLOCKS {
        let (our_time, raw_time) = (honker()?, raw()?);
        ratios.push(raw_time.as_secs_f64() / our_time.as_secs_f64());
        ours_times.push(our_time);
        raw_times.push(raw_time);
    }
    let figures = [per_second(count, median(&mut ours_times)), per_second(count, median(&mut raw_times))];
    report.row(name, figures, median(&mut ratios), target);
    Ok(())
}

fn enqueue(connection: &Connection, count: usize) -> Outcome<Duration> {
    let mut enqueue = connection.prepare("SELECT honker_enqueue('q', ?1)")?;
    timed(count, || Ok(enqueue.query_row([PAYLOAD], |_| Ok(()))?))
}

pub fn raw_enqueue(connection: &Connection, count: usize) -> Outcome<Duration> {
    let mut enqueue = connection.prepare(RAW_ENQUEUE)?;
    timed(count, || {
        enqueue.execute([PAYLOAD])?;
        Ok(())
    })
}

pub fn claim_ack(connection: &Connection, count: usize) -> Outcome<Duration> {
    in_transaction(connection, || enqueue(connection, count))?;
    let mut claim = connection.prepare("SELECT honker_claim_batch('q', 'worker', 1, 300)")?;
    let mut ack = connection.prepare("SELECT honker_ack(?1, 'worker')")?;
    timed(count, || {
        let jobs: String = claim.query_row([], |row| row.get(0))?;
        expect(ack.query_row([job_id(&jobs)?], |row| row.get(0))?, 1)
    })
}

pub fn raw_claim_ack(connection: &Connection, count: usize) -> Outcome<Duration> {
    in_transaction(connection, || raw_enqueue(connection, count))?;
    let mut id = first_id(connection)?;
    let mut claim = connection.prepare(RAW_CLAIM)?;
    let mut ack = connection.prepare(RAW_ACK)?;
    timed(count, || {
        // Stepped to the end, or SQLite would skip its checkpoints.
        let mut rows = claim.query([id])?;
        let payload: String = rows.next()?.ok_or("no such row")?.get(2)?;
        expect(payload.len() as i64, PAYLOAD.len() as i64)?;
        while rows.next()?.is_some() {}
        expect(ack.execute([id])? as i64, 1)?;
        id += 1;
        Ok(())
    })
}

fn enqueue_100(connection: &Connection, count: usize) -> Outcome<Duration> {
    let mut enqueue = connection.prepare("SELECT honker_enqueue('q', ?1)")?;
    timed_batches(connection, count, || Ok(enqueue.query_row([PAYLOAD], |_| Ok(()))?))
}

pub fn raw_enqueue_100(connection: &Connection, count: usize) -> Outcome<Duration> {
    let mut enqueue = connection.prepare(RAW_ENQUEUE)?;
    timed_batches(connection, count, || {
        enqueue.execute([PAYLOAD])?;
        Ok(())
    })
}

/// What a worker reads of a job.
#[derive(serde::Deserialize)]
struct Job<'a> {
    id: i64,
    #[serde(borrow)]
    payload: std::borrow::Cow<'a, str>,
}

fn claim_ack_100(connection: &Connection, count: usize) -> Outcome<Duration> {
    in_transaction(connection, || enqueue(connection, count))?;
    let mut claim = connection.prepare("SELECT honker_claim_batch('q', 'worker', 100, 300)")?;
    let mut ack = connection.prepare("SELECT honker_ack_batch(?1, 'worker')")?;
    timed(count / 100, || {
        let jobs: String = claim.query_row([], |row| row.get(0))?;
        let jobs: Vec<Job<'_>> = serde_json::from_str(&jobs)?;
        let ids: Vec<i64> = jobs.iter().map(|job| job.id).collect();
        expect(jobs.iter().map(|job| job.payload.len() as i64).sum(), 100 * PAYLOAD.len() as i64)?;
        expect(ack.query_row([serde_json::to_string(&ids)?], |row| row.get(0))?, 100)
    })
}

fn raw_claim_ack_100(connection: &Connection, count: usize) -> Outcome<Duration> {
    in_transaction(connection, || raw_enqueue(connection, count))?;
    let mut first = first_id(connection)?;
    let claim = RAW_CLAIM.replace("id = ?1", "id BETWEEN ?1 AND ?2");
    let mut claim = connection.prepare(&claim)?;
    let mut ack = connection.prepare("DELETE FROM _honker_live WHERE id BETWEEN ?1 AND ?2")?;
    timed(count / 100, || {
        let mut rows = claim.query(params![first, first + 99])?;
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            bytes += row.get::<_, String>(2)?.len();
        }
        expect(bytes as i64, 100 * PAYLOAD.len() as i64)?;
        expect(ack.execute(params![first, first + 99])? as i64, 100)?;
        first += 100;
        Ok(())
    })
}

fn first_id(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT min(id) FROM _honker_live", [], |row| row.get(0))
}

pub fn in_transaction<T>(connection: &Connection, work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let value = work()?;
    connection.execute_batch("COMMIT")?;
    Ok(value)
}

pub fn timed(times: usize, mut work: impl FnMut() -> Outcome<()>) -> Outcome<Duration> {
    let start = Instant::now();
    for _ in 0..times {
        work()?;
    }
    Ok(start.elapsed())
}

fn timed_batches(
    connection: &Connection,
    count: usize,
    mut work: impl FnMut() -> Outcome<()>,
) -> Outcome<Duration> {
    let mut begin = connection.prepare("BEGIN IMMEDIATE")?;
    let mut commit = connection.prepare("COMMIT")?;
    timed(count / 100, || {
        begin.execute([])?;
        (0..100).try_for_each(|_| work())?;
        commit.execute([])?;
        Ok(())
    })
}

pub fn expect(actual: i64, expected: i64) -> Outcome<()> {
    if actual == expected { Ok(()) } else { Err(format!("expected {expected}, got {actual}").into()) }
}
