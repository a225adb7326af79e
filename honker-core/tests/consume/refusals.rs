//! A job that the file refuses to claim, to prolong or to dead-letter (a trigger of the user's, a foreign key): the others
//! go on, the worker neither fails nor tries without end, and the status says why.

use std::time::{Duration, Instant};

use honker_core::Error;
use honker_core::consume::{Waiter, Worker, WorkerOptions, WorkerQueue};
use honker_core::database::Database;
use honker_core::queue::{Claim, Enqueue};

use crate::clock;
use crate::support::*;

/// How a change of a job with the payload `bad` is refused, as the body of a trigger.
const REFUSALS: &[&str] = &[
    "SELECT RAISE(ABORT, 'mine')",
    "SELECT RAISE(FAIL, 'mine')",
    "SELECT RAISE(ROLLBACK, 'mine')",
    "SELECT RAISE(IGNORE)",
    "INSERT INTO child VALUES (9)",
];

/// Makes the trigger: `event` ends with the row whose payload is asked for.
fn refuse(file: &File, event: &str, refusal: &str) {
    file.plain()
        .execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS parent (id INTEGER PRIMARY KEY);
             CREATE TABLE IF NOT EXISTS child (id REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);
             CREATE TRIGGER no BEFORE {event}.payload = 'bad' BEGIN {refusal}; END"
        ))
        .unwrap();
}

fn allow(file: &File) {
    file.plain().execute_batch("DROP TRIGGER no").unwrap();
}

fn on_queues(database: &Database, queues: &[&str], options: WorkerOptions) -> Worker {
    let queues = queues.iter().map(|name| WorkerQueue::new(*name)).collect();
    Worker::on(&Waiter::new(database).unwrap(), 0, queues, "w", options).unwrap()
}

/// How often a worker has passed over something.
fn passed_over(database: &Database) -> u64 {
    let warnings = database.status().unwrap().warnings;
    warnings.iter().filter(|warning| warning.text.contains("passed over")).map(|w| w.count).sum()
}

/// It waits, and does not try again and again meanwhile.
#[track_caller]
fn assert_rests(worker: &mut Worker, database: &Database, n: i64, context: &str) {
    let before = passed_over(database);
    assert_timeout(worker.next(n, Some(Duration::from_millis(300))));
    let tries = passed_over(database) - before;
    assert!(tries < 20, "{context}: {tries} tries");
}

#[test]
fn a_job_that_cannot_be_dead_lettered_does_not_stop_the_others() {
    for event in ["DELETE ON _honker_live WHEN old", "INSERT ON _honker_dead WHEN new"] {
        for refusal in REFUSALS {
            for bad in [
                Enqueue { max_attempts: Some(0), ..Enqueue::new("q", "bad") },
                Enqueue { expires_s: Some(0), ..Enqueue::new("q", "bad") },
                // Claimed for the last time, and lapsed.
                Enqueue { max_attempts: Some(1), ..Enqueue::new("q", "bad") },
                // No claim can read it.
                Enqueue { priority: 77, ..Enqueue::new("q", "bad") },
            ] {
                let context = format!("{event}, {refusal}, {bad:?}");
                let (file, database) = open();
                database.enqueue(&bad).unwrap();
                let how_many = if bad.expires_s.is_some() {
                    // More than are stepped over.
                    database.enqueue_many(&vec![Enqueue { payload: "p", ..bad }; 150]).unwrap();
                    150
                } else {
                    0
                };
                if bad.max_attempts == Some(1) {
                    let claim = Claim { queue: "q", worker_id: "gone", n: 1, timeout_s: -5 };
                    assert_eq!(database.claim(&claim).unwrap().len(), 1);
                }
                if bad.priority == 77 {
                    file.plain().execute_batch("UPDATE _honker_live SET priority = 'high'").unwrap();
                }
                refuse(&file, event, refusal);
                for queue in ["q", "other", "q", "other"] {
                    enqueue(&database, queue, "good");
                }
                let mut worker = on_queues(&database, &["q", "other"], no_fallback());
                let mut claimed = Vec::new();
                while claimed.len() < 4 {
                    // One and several are claimed in different ways.
                    let more = jobs(worker.next(1 + claimed.len() as i64, NOW));
                    assert!(more.iter().all(|job| job.payload == "good"), "{context}: {more:?}");
                    claimed.extend(more);
                }
                let settlements: Vec<_> = claimed.iter().map(ack).collect();
                let settled = worker.settle_and_next(&settlements, 9, NOW).unwrap();
                assert_eq!(settled.held, [Ok(true), Ok(true), Ok(true), Ok(true)], "{context}");
                assert_timeout(settled.next);
                assert!(passed_over(&database) > 0, "{context}");
                assert_rests(&mut worker, &database, 1, &context);
                let dead = || file.count("SELECT count(*) FROM _honker_dead");
                assert_eq!(dead(), how_many, "{context}");
                assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 1, "{context}");

                allow(&file);
                if bad.expires_s.is_none() {
                    assert_timeout(worker.next(1, NOW));
                    assert_eq!(dead(), 1, "{context}");
                }
                assert!(file.is_intact());
            }
        }
    }
}

#[test]
fn a_sweep_moves_the_others() {
    for refusal in REFUSALS {
        let (file, database) = open();
        for payload in ["p", "bad", "p"] {
            database.enqueue(&Enqueue { expires_s: Some(0), ..Enqueue::new("q", payload) }).unwrap();
        }
        refuse(&file, "DELETE ON _honker_live WHEN old", refusal);
        // The others are moved by a commit of their own, after which there is only that.
        assert!(matches!(database.sweep_expired("q"), Err(Error::Constraint(_))), "{refusal}");
        assert_eq!(file.count("SELECT count(*) FROM _honker_dead"), 2, "{refusal}");
        allow(&file);
        assert_eq!(database.sweep_expired("q"), Ok(1), "{refusal}");
    }
}

#[test]
fn a_claim_that_cannot_be_prolonged_does_not_keep_the_others_from_it() {
    alone("refusals::a_claim_that_cannot_be_prolonged_does_not_keep_the_others_from_it", || {
        REFUSALS.iter().for_each(|refusal| the_others_are_prolonged(refusal));
    });
}

fn the_others_are_prolonged(refusal: &str) {
    // Long ago: its claim may not lapse meanwhile, the heartbeat is due, that is all.
    clock::set_wall(0);
    clock::set_monotonic(-101_000);
    let (file, database) = open();
    for payload in ["good", "bad", "good"] {
        enqueue(&database, "q", payload);
    }
    let mut worker = worker(&database, "q", no_fallback());
    assert_eq!(jobs(worker.next(9, NOW)).len(), 3);
    refuse(&file, "UPDATE OF claim_expires_at ON _honker_live WHEN old", refusal);
    enqueue(&database, "q", "fresh");
    clock::set_wall(10);
    clock::set_monotonic(0);
    assert_eq!(job(worker.next(1, NOW)).payload, "fresh", "{refusal}");
    let before = passed_over(&database);
    let until = Instant::now() + LONG.unwrap();
    let prolonged = "SELECT count(*) FROM _honker_live WHERE payload = 'good' AND claim_expires_at >
                     (SELECT claim_expires_at FROM _honker_live WHERE payload = 'bad')";
    while file.count(prolonged) < 2 && Instant::now() < until {
        assert_timeout(worker.next(0, Some(Duration::from_millis(50))));
    }
    assert_eq!(file.count(prolonged), 2, "{refusal}");
    assert!(passed_over(&database) - before < 40, "{refusal}");
    assert_eq!(worker.in_hand(), 4);
}

#[test]
fn a_job_that_cannot_be_claimed_does_not_stop_the_others() {
    for refusal in REFUSALS {
        let (file, database) = open();
        enqueue(&database, "q", "first");
        let mut worker = on_queues(&database, &["q", "other"], no_fallback());
        let mut in_hand = jobs(worker.next(1, NOW));
        refuse(&file, "UPDATE ON _honker_live WHEN old", refusal);
        for (queue, payload) in
            [("q", "bad"), ("q", "good"), ("other", "good"), ("q", "good"), ("other", "bad")]
        {
            enqueue(&database, queue, payload);
        }
        let mut good = 0;
        while good < 3 {
            let settlements: Vec<_> = in_hand.iter().map(ack).collect();
            let settled = worker.settle_and_next(&settlements, 1 + good % 2, NOW).unwrap();
            assert!(settled.held.iter().all(|held| *held == Ok(true)), "{refusal}: {settled:?}");
            in_hand = jobs(settled.next);
            assert!(in_hand.iter().all(|job| job.payload == "good"), "{refusal}: {in_hand:?}");
            good += in_hand.len() as i64;
        }
        let settlements: Vec<_> = in_hand.iter().map(ack).collect();
        assert_timeout(worker.settle_and_next(&settlements, 9, NOW).unwrap().next);
        assert_rests(&mut worker, &database, 1, refusal);
        assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 2, "{refusal}");
        allow(&file);
        assert_eq!(jobs(worker.next(2, NOW)).len(), 2, "{refusal}");
    }
}

/// Rolling all back for each of them, and doing it again, would take a time that grows with the square of their number.
#[test]
fn many_settlements_that_roll_back_cost_no_more_than_others_that_are_refused() {
    let time = |refusal| {
        let (file, database) = open();
        database.enqueue_many(&[Enqueue::new("q", "good"), Enqueue::new("q", "bad")].repeat(1000)).unwrap();
        let mut worker = worker(&database, "q", no_fallback());
        let claimed = jobs(worker.next(2000, NOW));
        refuse(&file, "DELETE ON _honker_live WHEN old", refusal);
        let settlements: Vec<_> = claimed.iter().map(ack).collect();
        let before = cpu_time();
        let held = worker.settle(&settlements).unwrap();
        let time = cpu_time() - before;
        assert_eq!(held.iter().filter(|held| **held == Ok(true)).count(), 1000);
        assert_eq!(held.iter().filter(|held| held.is_err()).count(), 1000);
        assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 1000);
        assert_eq!(worker.in_hand(), 1000);
        time
    };
    let (abort, rollback) = (time("SELECT RAISE(ABORT, 'mine')"), time("SELECT RAISE(ROLLBACK, 'mine')"));
    assert!(rollback < abort * 20, "{rollback:?} instead of {abort:?}");
}
