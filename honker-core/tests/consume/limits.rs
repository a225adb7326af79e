//! Limits of keys, kept by four processes of which some are killed.

use std::time::Duration;

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

/// Whatever is killed when: at no claim are more valid than the limit of its key, every job is done, and nobody sleeps while
/// there is one that may be.
#[test]
fn limits_of_keys_hold_in_four_processes_with_kills() {
    const KEYS: usize = 20;
    const ROUNDS: usize = 10;
    const JOBS_OF_A_KEY: usize = 3;
    guarded(|| {
        let (file, database) = open();
        for (queue, limit) in [("one", 1), ("three", 3)] {
            let settings = format!(r#"{{"concurrency_per_key":{limit},"keep_done_s":100000}}"#);
            database.queue_configure(queue, &settings).unwrap();
        }
        file.plain()
            .execute_batch(
                "CREATE TABLE over (queue, key, n);
                 CREATE TABLE met (n);
                 INSERT INTO met VALUES (0);
                 CREATE TRIGGER blocked AFTER UPDATE OF state ON _honker_live WHEN new.state = 'blocked' BEGIN
                   UPDATE met SET n = n + 1;
                 END;
                 CREATE TRIGGER claimed AFTER UPDATE OF state ON _honker_live WHEN new.state = 'processing' BEGIN
                   INSERT INTO over
                   SELECT new.queue, mine.concurrency_key, count(*)
                   FROM _honker_job_options mine, _honker_live live
                        JOIN _honker_job_options of ON of.job_id = live.id AND of.concurrency_key = mine.concurrency_key
                   WHERE mine.job_id = new.id AND live.state = 'processing' AND live.queue = new.queue
                     AND live.claim_expires_at >= unixepoch()
                   GROUP BY mine.concurrency_key
                   HAVING count(*) > CASE new.queue WHEN 'one' THEN 1 ELSE 3 END;
                 END",
            )
            .unwrap();
        let start = |name: String| {
            let mut process = Process::start("limited", &[file.path.to_str().unwrap(), &name]);
            assert_eq!(process.line(), "ready");
            process
        };
        let mut processes: Vec<Process> = (0..4).map(|number| start(format!("w{number}"))).collect();
        for round in 0..ROUNDS {
            // Those of a key behind each other, so that a claim of several jobs meets a limit.
            let keys: Vec<String> =
                (0..KEYS * JOBS_OF_A_KEY).map(|job| format!("key {}", job / JOBS_OF_A_KEY)).collect();
            for queue in ["one", "three"] {
                let jobs: Vec<Enqueue<'_>> = keys
                    .iter()
                    .map(|key| Enqueue {
                        concurrency_key: Some(key),
                        max_attempts: Some(1000),
                        ..Enqueue::new(queue, "p")
                    })
                    .collect();
                database.enqueue_many(&jobs).unwrap();
            }
            if round % 3 == 2 {
                processes.remove(0).kill();
                processes.push(start(format!("w{}", round + 4)));
            }
        }
        let jobs = (2 * KEYS * JOBS_OF_A_KEY * ROUNDS) as i64;
        until("all jobs are done", || file.count("SELECT count(*) FROM _honker_done") == jobs);
        assert!(file.count("SELECT n FROM met") > 0, "no limit was met");
        for (what, sql) in [
            ("claims over the limit", "SELECT count(*) FROM over"),
            ("jobs that are left", "SELECT count(*) FROM _honker_live"),
            ("jobs that are dead", "SELECT count(*) FROM _honker_dead"),
            ("jobs that wait", "SELECT count(*) FROM _honker_blocked"),
            ("slots that are taken", "SELECT count(*) FROM _honker_slots"),
        ] {
            assert_eq!(file.count(sql), 0, "{what}");
        }
        processes.iter_mut().for_each(Process::kill);
    });
}
