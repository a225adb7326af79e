//! How far is the engine for Postgres from the same row work by hand, and how soon does it hand out a job?
//!
//! By hand means: a table of the same columns and indexes, one prepared statement for each call of ours, and the client library
//! that honker uses as well, with the planner told what honker's functions tell it. Both are on one server, which this part starts
//! for itself, on a Unix socket. They take turns in blocks; the ratio is the median of the blocks'.

mod bloat;
mod hand;
mod pickup;
mod server;

use std::path::Path;
use std::time::Duration;

use honker_core::consume::{Next, Settlement, Verdict, Worker, WorkerOptions};
use honker_core::database::{Database, Options};
use honker_core::queue::{Claim, Enqueue};

use self::hand::Hand;
use self::server::Server;
use crate::report::{Report, Target, median, per_second};
use crate::throughput::{Outcome, PAYLOAD, expect, timed};

pub use self::pickup::{ENQUEUE, enqueue_when_told};

const BLOCKS: usize = 15;
const BATCH: usize = 100;

pub fn run(report: &mut Report, _: &Path, divisor: usize) -> Outcome<()> {
    let Some(server) = Server::start()? else {
        println!("SKIPPED bench postgres: no server (scripts/setup postgres)");
        return Ok(());
    };
    let is_quick = divisor > 1;
    throughput(report, &server, if is_quick { 20 } else { 500 }, if is_quick { 3 } else { BLOCKS })?;
    pickup::run(report, &server, if is_quick { 10 } else { 300 })?;
    bloat::run(report, &server, 20_000 / divisor)
}

/// Ours and theirs, beside each other.
struct Sides {
    database: Database,
    worker: Worker,
    hand: Hand,
}

struct Row {
    name: &'static str,
    target: Option<Target>,
    /// Jobs in one call.
    batch: usize,
    ours: fn(&mut Sides, calls: usize) -> Outcome<Duration>,
    theirs: fn(&mut Sides, calls: usize) -> Outcome<Duration>,
}

const AT_LEAST: Option<Target> = Some(Target::AtLeast(0.7));

const ROWS: [Row; 5] = [
    Row {
        name: "enqueue",
        target: AT_LEAST,
        batch: 1,
        ours: |sides, calls| {
            timed(calls, || {
                sides.database.enqueue(&Enqueue::new("q", PAYLOAD))?;
                Ok(())
            })
        },
        theirs: |sides, calls| timed(calls, || sides.hand.enqueue(PAYLOAD)),
    },
    Row {
        name: "claim and ack",
        target: AT_LEAST,
        batch: 1,
        ours: |sides, calls| {
            enqueue(&sides.database, calls)?;
            timed(calls, || {
                let jobs =
                    sides.database.claim(&Claim { queue: "q", worker_id: "w", n: 1, timeout_s: 300 })?;
                let id = jobs.first().ok_or("nothing was claimed")?.id;
                expect(sides.database.ack(id, "w")?.into(), 1)
            })
        },
        theirs: work_by_hand,
    },
    Row {
        name: "a worker: ack one and claim the next / claim and ack",
        target: None,
        batch: 1,
        ours: |sides, calls| {
            enqueue(&sides.database, calls)?;
            let mut ack = Vec::new();
            let time = timed(calls, || {
                let turn = sides.worker.settle_and_next(&ack, 1, Some(Duration::ZERO))?;
                let Next::Item(batch) = turn.next? else { return Err("nothing was claimed".into()) };
                let job = batch.jobs.first().ok_or("nothing was claimed")?;
                ack = vec![Settlement { id: job.id, serial: job.serial, verdict: Verdict::Ack }];
                Ok(())
            });
            sides.worker.settle(&ack)?;
            time
        },
        theirs: work_by_hand,
    },
    Row {
        name: "enqueue 100 in one call",
        target: None,
        batch: BATCH,
        ours: |sides, calls| timed(calls, || enqueue(&sides.database, BATCH)),
        theirs: |sides, calls| timed(calls, || sides.hand.enqueue_many(&[PAYLOAD; BATCH])),
    },
    Row {
        name: "claim and ack 100 in two calls",
        target: None,
        batch: BATCH,
        ours: |sides, calls| {
            enqueue(&sides.database, calls * BATCH)?;
            timed(calls, || {
                let claim = Claim { queue: "q", worker_id: "w", n: BATCH as i64, timeout_s: 300 };
                let ids: Vec<i64> = sides.database.claim(&claim)?.iter().map(|job| job.id).collect();
                expect(sides.database.ack_batch(&ids, "w")?, BATCH as i64)
            })
        },
        theirs: |sides, calls| {
            sides.hand.fill(calls * BATCH)?;
            timed(calls, || sides.hand.work(BATCH))
        },
    },
];

fn work_by_hand(sides: &mut Sides, calls: usize) -> Outcome<Duration> {
    sides.hand.fill(calls)?;
    timed(calls, || sides.hand.work(1))
}

fn enqueue(database: &Database, count: usize) -> Outcome<()> {
    database.enqueue_many(&vec![Enqueue::new("q", PAYLOAD); count])?;
    Ok(())
}

fn throughput(report: &mut Report, server: &Server, count: usize, blocks: usize) -> Outcome<()> {
    for commit in ["on", "off"] {
        report.table(
            &format!("Postgres: throughput beside the same statements by hand, synchronous_commit {commit}"),
            ["one thread, one connection", "honker", "by hand", "ratio to by hand"],
        );
        let url = server.with_option(&format!("synchronous_commit={commit}"));
        let database = honker_postgres::connect(&url, &Options::default(), true)?;
        let worker = Worker::new(&database, "q", "w", WorkerOptions::default())?;
        let mut sides = Sides { database, worker, hand: Hand::new(&url)? };
        let mut rates = Vec::new();
        for row in &ROWS {
            // With commits that do not wait for the disk, what the functions do beside the row work is most of the time.
            let row = Row { target: row.target.filter(|_| commit == "on"), ..*row };
            let calls = (count / row.batch).max(4);
            rates.push(take_turns(report, &row, &mut sides, calls, blocks)?);
            sides.hand.empty()?;
        }
        // Where a commit waits for the disk, as it does unless somebody has decided otherwise.
        let target = (commit == "on").then_some(Target::AtLeast(20.0));
        for (name, batch, single) in
            [("enqueue: 100 in a call / single", 3, 0), ("claim and ack: 100 in a call / single", 4, 1)]
        {
            let figures = [rates[batch], rates[single]].map(|rate| format!("{rate:.0} /s"));
            report.row(name, figures, rates[batch] / rates[single], target);
        }
        sides.database.close()?;
    }
    Ok(())
}

/// Adds a row; answers how many jobs a second ours are.
fn take_turns(
    report: &mut Report,
    row: &Row,
    sides: &mut Sides,
    calls: usize,
    blocks: usize,
) -> Outcome<f64> {
    // The first of each warms the caches.
    (row.ours)(sides, calls)?;
    (row.theirs)(sides, calls)?;
    let (mut our_times, mut their_times, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..blocks {
        let (ours, theirs) = ((row.ours)(sides, calls)?, (row.theirs)(sides, calls)?);
        ratios.push(theirs.as_secs_f64() / ours.as_secs_f64());
        our_times.push(ours);
        their_times.push(theirs);
    }
    let jobs = calls * row.batch;
    let (ours, theirs) = (median(&mut our_times), median(&mut their_times));
    report.row(row.name, [per_second(jobs, ours), per_second(jobs, theirs)], median(&mut ratios), row.target);
    Ok(jobs as f64 / ours.as_secs_f64())
}
