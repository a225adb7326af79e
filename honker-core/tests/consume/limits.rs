//! Limits of keys, kept by four processes of which some are killed.

use std::time::{Duration, Instant};

use honker_core::consume::{Waiter, Worker, WorkerOptions, WorkerQueue};
use honker_core::database::{Database, Options};
use honker_core::queue::Enqueue;

use crate::process::{Process, Role, argument, say};
use crate::support::*;

pub const ROLES: &[Role] = &[("limited", limited)];

/// Works on both queues without end. Nothing makes it look but wakes and what it knows of the next claim.
fn limited() {
    let database = Database::open(argument(0), &Options::default()).unwrap();
    let queues = vec![WorkerQueue::new("one"), WorkerQueue::new("three")];
    let waiter = Waiter::new(&database).unwrap();
    let options = WorkerOptions { visibility_timeout_s: 2, ..no_fallback() };
    let mut worker = Worker::on(&waiter, 0, queues, argument(1), options).unwrap();
    say("ready");
    let mut settlements = Vec::new();
    loop {
        let settled = worker.settle_and_next(&settlements, 4, None).unwrap();
        // Some are tried again; all of them are acked at last.
        let batch = item(settled.next);
        settlements = batch
            .jobs
            .iter()
            .map(|job| if job.attempts == 1 && job.id % 5 == 0 { retry(job, 0, "again") } else { ack(job) })
            .collect();
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// How much of it.
struct Extent {
    keys: usize,
    jobs_of_a_key: usize,
    rounds: usize,
    /// In each round, so many of the processes are killed, and others started.
    kills: usize,
}

/// Whatever is killed when: at no claim are more valid than the limit of its key, every job is done, and nobody sleeps while
/// there is one that may be.
#[test]
fn limits_of_keys_hold_in_four_processes_with_kills() {
    if is_long() {
        run(&Extent { keys: 1_000, jobs_of_a_key: 4, rounds: 25, kills: 8 });
    } else {
        guarded(|| run(&Extent { keys: 20, jobs_of_a_key: 3, rounds: 8, kills: 1 }));
    }
}

fn run(extent: &Extent) {
    let Extent { keys, jobs_of_a_key, rounds, kills } = *extent;
    let (file, database) = open();
    for (queue, limit) in [("one", 1), ("three", 3)] {
        let settings = format!(r#"{{"concurrency_per_key":{limit},"keep_done_s":100000}}"#);
        database.queue_configure(queue, &settings).unwrap();
    }
    file.plain()
        .execute_batch(
            "CREATE INDEX keys ON _honker_job_options (concurrency_key, job_id);
             CREATE TABLE over (queue, key, n);
             CREATE TABLE met (n);
             INSERT INTO met VALUES (0);
             CREATE TRIGGER blocked AFTER UPDATE OF state ON _honker_live WHEN new.state = 'blocked' BEGIN
               UPDATE met SET n = n + 1;
             END;
             CREATE TRIGGER claimed AFTER UPDATE OF state ON _honker_live WHEN new.state = 'processing' BEGIN
               INSERT INTO over
               SELECT new.queue, mine.concurrency_key, count(*)
               FROM _honker_job_options mine
                    CROSS JOIN _honker_job_options of ON of.concurrency_key = mine.concurrency_key
                    CROSS JOIN _honker_live live ON live.id = of.job_id
               WHERE mine.job_id = new.id AND live.state = 'processing' AND live.queue = new.queue
                 AND live.claim_expires_at >= unixepoch()
               GROUP BY mine.concurrency_key
               HAVING count(*) > CASE new.queue WHEN 'one' THEN 1 ELSE 3 END;
             END",
        )
        .unwrap();
    let mut started = 0;
    let mut start = || {
        started += 1;
        let mut process = Process::start("limited", &[file.path.to_str().unwrap(), &format!("w{started}")]);
        assert_eq!(process.line(), "ready");
        process
    };
    let mut processes: Vec<Process> = (0..4).map(|_| start()).collect();
    let done = || file.count("SELECT count(*) FROM _honker_done");
    let (mut wanted, mut longest) = (0, Duration::ZERO);
    for round in 0..rounds {
        // Those of a key behind each other, so that a claim of several jobs meets a limit.
        let names: Vec<String> =
            (0..keys * jobs_of_a_key).map(|job| format!("{round}: key {}", job / jobs_of_a_key)).collect();
        for queue in ["one", "three"] {
            let jobs: Vec<Enqueue<'_>> = names
                .iter()
                .map(|key| Enqueue {
                    concurrency_key: Some(key),
                    max_attempts: Some(1000),
                    ..Enqueue::new(queue, "p")
                })
                .collect();
            wanted += jobs.len() as i64;
            database.enqueue_many(&jobs).unwrap();
        }
        let in_the_way = wanted - done();
        for kill in 1..=kills as i64 {
            // Spread over the round.
            until_progress(
                &done,
                wanted - in_the_way * (kills as i64 + 1 - kill) / (kills as i64 + 1),
                &mut longest,
            );
            processes.remove(0).kill();
            processes.push(start());
        }
        // To its end: the last jobs of a round are those that nobody may overlook.
        until_progress(&done, wanted, &mut longest);
    }
    let met = file.count("SELECT n FROM met");
    assert!(met > 0, "no limit was met");
    for (what, sql) in [
        ("claims over the limit", "SELECT count(*) FROM over"),
        ("jobs that are left", "SELECT count(*) FROM _honker_live"),
        ("jobs that are dead", "SELECT count(*) FROM _honker_dead"),
        ("jobs that wait", "SELECT count(*) FROM _honker_blocked"),
        ("slots that are taken", "SELECT count(*) FROM _honker_slots"),
    ] {
        assert_eq!(file.count(sql), 0, "{what}");
    }
    println!(
        "{wanted} jobs, {met} set aside, {} kills; nothing was done for {longest:?} at most (a dead one's claims last two seconds)",
        rounds * kills
    );
    processes.iter_mut().for_each(Process::kill);
}

/// Waits until so many are done. There is always progress: nothing but wakes makes the processes look, and a job that they
/// overlook stays.
fn until_progress(done: &impl Fn() -> i64, wanted: i64, longest: &mut Duration) {
    let (mut before, mut since) = (done(), Instant::now());
    while before < wanted {
        std::thread::sleep(Duration::from_millis(5));
        let now = done();
        if now > before {
            *longest = (*longest).max(since.elapsed());
            (before, since) = (now, Instant::now());
        }
        assert!(since.elapsed() < GUARD / 2, "{before} of {wanted} are done, and nobody goes on");
    }
}
