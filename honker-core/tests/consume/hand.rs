//! What a worker has in hand: serials, losses, heartbeats, the maximum run time, several queues.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use honker_core::Error;
use honker_core::consume::{
    Backoff, LostJob, Next, Reason, Settlement, Verdict, Waiter, Worker, WorkerOptions, WorkerQueue,
};
use honker_core::database::{Database, JournalMode, Value};
use honker_core::queue::Enqueue;

use crate::clock;
use crate::common::journal;
use crate::support::*;

fn queue(name: &str, weight: u32, max_in_hand: Option<u64>) -> WorkerQueue {
    WorkerQueue { name: name.to_owned(), weight, max_in_hand }
}

fn on_queues(database: &Database, queues: Vec<WorkerQueue>, options: WorkerOptions) -> Worker {
    Worker::on(&Waiter::new(database).unwrap(), 0, queues, "w", options).unwrap()
}

/// What was lost; nothing was claimed.
#[track_caller]
fn lost(next: honker_core::Result<Next<honker_core::consume::Batch>>) -> Vec<LostJob> {
    let batch = item(next);
    assert_eq!(batch.jobs, []);
    batch.lost
}

#[test]
fn every_loss_is_told_once_with_its_reason() {
    let (file, database) = open();
    let ids: Vec<_> = (0..4).map(|_| enqueue(&database, "q", "p")).collect();
    let mut worker = worker(&database, "q", no_fallback());
    let claimed = jobs(worker.next(4, NOW));
    assert_eq!(worker.in_hand(), 4);
    let other = file.plain();
    // Cancelled, lapsed, and taken by somebody else.
    database.cancel(ids[0]).unwrap();
    other
        .execute_batch(&format!(
            "UPDATE _honker_live SET claim_expires_at = unixepoch() - 1 WHERE id IN ({}, {});
             UPDATE _honker_live SET worker_id = 'other', attempts = 2 WHERE id = {}",
            ids[1], ids[2], ids[2]
        ))
        .unwrap();
    let expected = [
        LostJob { id: ids[0], serial: claimed[0].serial, reason: Reason::Gone },
        LostJob { id: ids[1], serial: claimed[1].serial, reason: Reason::Lapsed },
        LostJob { id: ids[2], serial: claimed[2].serial, reason: Reason::Taken },
    ];
    assert_eq!(lost(worker.next(0, LONG)), expected);
    assert_timeout(worker.next(0, NOW));
    assert_eq!(worker.in_hand(), 1);
    // A late handler settles nothing, and the file is not asked.
    let late: Vec<_> = claimed[..3].iter().map(ack).collect();
    let held = worker.settle(&late).unwrap();
    assert_eq!(held, [Ok(false), Ok(false), Ok(false)]);
    assert_eq!(worker.settle(&[ack(&claimed[3])]).unwrap(), [Ok(true)]);
}

#[test]
fn a_job_that_comes_back_to_the_same_worker_has_another_serial() {
    let (file, database) = open();
    let id = enqueue(&database, "q", "p");
    let mut worker = worker(&database, "q", no_fallback());
    let first = job(worker.next(1, NOW));
    file.plain().execute_batch("UPDATE _honker_live SET claim_expires_at = unixepoch() - 1").unwrap();
    // The loss may be told before the job comes back, or with it; never twice.
    let mut told = Vec::new();
    let second = loop {
        let batch = item(worker.next(1, LONG));
        told.extend(batch.lost);
        if let Some(job) = batch.jobs.into_iter().next() {
            break job;
        }
    };
    assert_eq!((second.id, second.attempts), (id, 2));
    assert_ne!(second.serial, first.serial);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].id, told[0].serial), (id, first.serial));
    assert_eq!(worker.settle(&[ack(&first)]).unwrap(), [Ok(false)]);
    assert_eq!(worker.settle(&[ack(&second)]).unwrap(), [Ok(true)]);
    assert_timeout(worker.next(0, NOW));
}

/// Also in a transaction, and when that is rolled back after all.
#[test]
fn what_a_handler_settles_itself_is_no_loss() {
    let (_file, database) = open();
    let mut worker = worker(&database, "q", no_fallback());
    for how in ["ack", "retry", "fail", "release", "transaction", "batch", "sql", "sql batch"] {
        let id = enqueue(&database, "q", "p");
        let claimed = job(worker.next(1, NOW));
        assert_eq!(claimed.id, id);
        let done = match how {
            "ack" => database.ack(id, "w").unwrap(),
            "retry" => database.retry(id, "w", 600, "e").unwrap(),
            "fail" => database.fail(id, "w", "e").unwrap(),
            "release" => database.release(id, "w", 600).unwrap(),
            "batch" => database.ack_batch(&[id], "w").unwrap() == 1,
            "sql" | "sql batch" => {
                let call = match how {
                    "sql" => format!("SELECT honker_retry({id}, 'w', 600, 'e')"),
                    _ => format!("SELECT honker_ack_batch('[{id}]', 'w')"),
                };
                let mut tx = database.begin().unwrap();
                let done = tx.query(&call, &[]).unwrap();
                tx.commit().unwrap();
                done.rows == [[Value::Integer(1)]]
            }
            _ => {
                let mut undone = database.begin().unwrap();
                assert!(undone.ack(id, "w").unwrap());
                undone.rollback().unwrap();
                assert_timeout(worker.next(0, NOW));
                assert_eq!(worker.in_hand(), 1, "rolled back");
                let mut tx = database.begin().unwrap();
                let done = tx.ack(id, "w").unwrap();
                tx.commit().unwrap();
                done
            }
        };
        assert!(done, "{how}");
        assert_eq!(worker.in_hand(), 0, "{how}");
        assert_timeout(worker.next(0, NOW));
        assert_eq!(worker.settle(&[ack(&claimed)]).unwrap(), [Ok(false)], "{how}");
    }
    // Another worker's settlement of the same id is none of ours.
    let id = enqueue(&database, "q", "p");
    let claimed = job(worker.next(1, NOW));
    assert!(!database.ack(id, "other").unwrap());
    assert_eq!(worker.in_hand(), 1);
    assert!(worker.settled(id, claimed.serial));
    assert!(!worker.settled(id, claimed.serial));
    assert_timeout(worker.next(0, NOW));
}

/// The transaction is committed, and the settlement is not in it.
#[test]
fn a_settlement_that_rollback_to_has_undone_is_none() {
    let (file, database) = open();
    let mut worker = worker(&database, "q", no_fallback());
    for (settle, kept) in
        [("undone", false), ("undone and made again", true), ("undone and another made", false)]
    {
        let id = enqueue(&database, "q", "p");
        let other = enqueue(&database, "q", "p");
        let claimed = jobs(worker.next(2, NOW));
        let mut tx = database.begin().unwrap();
        tx.execute("SAVEPOINT mine", &[]).unwrap();
        assert!(tx.ack(id, "w").unwrap());
        tx.execute("ROLLBACK TO mine", &[]).unwrap();
        match settle {
            "undone" => {}
            "undone and made again" => assert!(tx.ack(id, "w").unwrap()),
            _ => assert!(tx.ack(other, "w").unwrap()),
        }
        tx.commit().unwrap();
        let other_made = settle == "undone and another made";
        assert_eq!(worker.in_hand(), 2 - usize::from(kept) - usize::from(other_made), "{settle}");
        assert_timeout(worker.next(0, NOW));
        let held = worker.settle(&claimed.iter().map(ack).collect::<Vec<_>>()).unwrap();
        assert_eq!(held, [Ok(!kept), Ok(!other_made)], "{settle}");
        assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 0);
    }
}

/// Threads that try to settle a job that is lost already: that they try does not keep the loss from being told.
#[test]
fn an_attempt_to_settle_a_lost_job_does_not_hide_the_loss() {
    guarded(|| {
        let (file, database) = open();
        let mut worker = worker(&database, "q", no_fallback());
        for _ in 0..10 {
            let id = enqueue(&database, "q", "p");
            let claimed = job(worker.next(1, NOW));
            file.plain().execute_batch("DELETE FROM _honker_live").unwrap();
            let done = Arc::new(AtomicBool::new(false));
            let acking = Thread::start({
                let (database, done) = (database.clone(), Arc::clone(&done));
                move || {
                    while !done.load(Ordering::Relaxed) {
                        assert_eq!(database.ack_batch(&[id; 1_000], "w").unwrap(), 0);
                    }
                }
            });
            let told = lost(worker.next(0, LONG));
            done.store(true, Ordering::Relaxed);
            acking.join();
            assert_eq!(told, [LostJob { id, serial: claimed.serial, reason: Reason::Gone }]);
        }
    });
}

/// Threads that ack their own jobs beside a worker that looks all the time: none is ever taken for lost.
#[test]
fn a_settlement_is_never_taken_for_a_loss() {
    let (_file, database) = open();
    let mut worker = worker(&database, "q", no_fallback());
    for _ in 0..300 {
        let id = enqueue(&database, "q", "p");
        job(worker.next(1, NOW));
        let acking = Thread::start({
            let database = database.clone();
            move || assert!(database.ack(id, "w").unwrap())
        });
        while worker.in_hand() > 0 {
            assert_timeout(worker.next(0, NOW));
        }
        acking.join();
    }
}

#[test]
fn claims_in_hand_are_prolonged() {
    alone("hand::claims_in_hand_are_prolonged", || {
        let (file, database) = open();
        enqueue(&database, "q", "p");
        enqueue(&database, "q", "p");
        let mut kept = worker(&database, "q", no_fallback());
        // The hundred seconds until they are prolonged are over but for two when it begins to wait.
        clock::set_monotonic(-98_000);
        let mut claimed = jobs(kept.next(2, NOW));
        let before = claimed[0].claim_expires_at;
        clock::set_monotonic(0);
        // It waits for lost jobs, and prolongs meanwhile.
        assert_timeout(kept.next(0, Some(Duration::from_millis(3_500))));
        let (rows, soonest) = (
            file.count("SELECT count(*) FROM _honker_live WHERE worker_id = 'w' AND attempts = 1"),
            file.count("SELECT min(claim_expires_at) FROM _honker_live"),
        );
        assert_eq!(rows, 2);
        assert!(soonest > before, "{soonest} {before}");
        assert_eq!(
            kept.settle(&claimed.drain(..).map(|job| ack(&job)).collect::<Vec<_>>()).unwrap(),
            [Ok(true), Ok(true)]
        );
    });
}

#[test]
fn without_heartbeats_a_claim_lapses_and_is_told() {
    let (_file, database) = open();
    enqueue(&database, "q", "p");
    let options = WorkerOptions { visibility_timeout_s: 0, heartbeat: false, ..no_fallback() };
    let mut left = worker(&database, "q", options);
    let claimed = job(left.next(1, NOW));
    let told = lost(left.next(0, LONG));
    assert_eq!(told, [LostJob { id: claimed.id, serial: claimed.serial, reason: Reason::Lapsed }]);
    assert!(clock::second() > claimed.claim_expires_at);
}

#[test]
fn a_job_that_runs_too_long_is_retried_and_told() {
    let (file, database) = open();
    enqueue(&database, "q", "p");
    let options = WorkerOptions { max_run_s: Some(1), ..no_fallback() };
    let mut worker = worker(&database, "q", options);
    let claimed = job(worker.next(1, NOW));
    let before = clock::second();
    let told = lost(worker.next(0, LONG));
    assert_eq!(told, [LostJob { id: claimed.id, serial: claimed.serial, reason: Reason::Timeout }]);
    assert_eq!(file.count("SELECT count(*) FROM _honker_live WHERE state = 'pending' AND attempts = 1"), 1);
    // By the worker's back-off: 15 s, give or take a tenth.
    let run_at = file.count("SELECT run_at FROM _honker_live");
    assert!((before + 13..=clock::second() + 17).contains(&run_at), "{run_at}, {before}");
    assert_eq!(worker.settle(&[ack(&claimed)]).unwrap(), [Ok(false)]);
    // The last time it is dead.
    file.plain().execute_batch("UPDATE _honker_live SET run_at = 0, attempts = 2").unwrap();
    job(worker.next(1, LONG));
    assert_eq!(lost(worker.next(0, LONG))[0].reason, Reason::Timeout);
    assert_eq!(file.count("SELECT count(*) FROM _honker_dead WHERE last_error = 'timeout after 1 s'"), 1);
}

#[test]
fn a_job_says_how_long_it_may_run_itself() {
    for (own, workers) in [(1, None), (1, Some(1_000))] {
        let (file, database) = open();
        let limited = Enqueue { max_run_s: Some(own), max_attempts: Some(1), ..Enqueue::new("q", "p") };
        database.enqueue(&limited).unwrap();
        let mut worker = worker(&database, "q", WorkerOptions { max_run_s: workers, ..no_fallback() });
        let claimed = job(worker.next(1, NOW));
        let told = lost(worker.next(0, LONG));
        assert_eq!(told, [LostJob { id: claimed.id, serial: claimed.serial, reason: Reason::Timeout }]);
        assert_eq!(file.count("SELECT count(*) FROM _honker_dead WHERE last_error = 'timeout after 1 s'"), 1);
    }
    // More than the worker would allow it.
    let (_file, database) = open();
    let longer = Enqueue { max_run_s: Some(1_000), ..Enqueue::new("q", "p") };
    database.enqueue(&longer).unwrap();
    let mut worker = worker(&database, "q", WorkerOptions { max_run_s: Some(1), ..no_fallback() });
    let claimed = job(worker.next(1, NOW));
    std::thread::sleep(Duration::from_millis(1_100));
    assert_timeout(worker.next(0, NOW));
    assert_eq!(worker.settle(&[ack(&claimed)]).unwrap(), [Ok(true)]);
}

#[test]
fn a_job_goes_back_with_its_attempt() {
    let (file, database) = open();
    enqueue(&database, "q", "p");
    let mut worker = worker(&database, "q", no_fallback());
    let claimed = job(worker.next(1, NOW));
    let settled = worker.settle_and_next(&[settle(&claimed, Verdict::Release)], 1, NOW).unwrap();
    assert_eq!(settled.held, [Ok(true)]);
    let again = job(settled.next);
    assert_eq!((again.id, again.attempts), (claimed.id, 1));
    let before = clock::second();
    assert_eq!(worker.settle(&[settle(&again, Verdict::Snooze { delay_s: 60 })]).unwrap(), [Ok(true)]);
    let row = format!(
        "SELECT count(*) FROM _honker_live WHERE state = 'pending' AND attempts = 0 AND worker_id IS NULL
         AND claim_expires_at IS NULL AND run_at BETWEEN {before} + 60 AND {} + 60",
        clock::second()
    );
    assert_eq!(file.count(&row), 1);
}

#[test]
fn a_failed_job_waits_as_the_options_say() {
    let (file, database) = open();
    let backoff = Backoff { base_s: 100, factor: 3.0, max_s: 500, jitter: 0.0 };
    let mut worker = worker(&database, "q", WorkerOptions { backoff, ..no_fallback() });
    let id = enqueue(&database, "q", "p");
    file.plain().execute_batch("UPDATE _honker_live SET max_attempts = 9").unwrap();
    for expected in [100, 300, 500, 500] {
        let claimed = job(worker.next(1, NOW));
        let verdict = Verdict::Retry { delay_s: None, error: "e".to_owned() };
        let before = clock::second();
        assert_eq!(worker.settle(&[settle(&claimed, verdict)]).unwrap(), [Ok(true)]);
        let run_at = file.count(&format!("SELECT run_at FROM _honker_live WHERE id = {id}"));
        assert!((before..=clock::second()).contains(&(run_at - expected)), "{run_at}, {before}, {expected}");
        file.plain().execute_batch("UPDATE _honker_live SET run_at = 0").unwrap();
    }
}

#[test]
fn one_claim_fills_what_is_free_from_all_queues() {
    let (_file, database) = open();
    for _ in 0..3 {
        enqueue(&database, "a", "p");
        enqueue(&database, "b", "p");
    }
    let queues = vec![queue("a", 0, Some(2)), queue("b", 0, None), queue("empty", 0, None)];
    let mut worker = on_queues(&database, queues, no_fallback());
    let names = |jobs: &[honker_core::consume::Claimed]| {
        jobs.iter().map(|job| job.queue.to_string()).collect::<Vec<_>>()
    };
    // All weights 0: in the order given, as many as each may have.
    let first = jobs(worker.next(4, NOW));
    assert_eq!(names(&first), ["a", "a", "b", "b"]);
    let second = jobs(worker.next(4, NOW));
    assert_eq!(names(&second), ["b"]);
    // `a` is full until one of its jobs is settled.
    assert_timeout(worker.next(4, NOW));
    let settled = worker.settle_and_next(&[ack(&first[0])], 4, NOW).unwrap();
    assert_eq!(names(&jobs(settled.next)), ["a"]);
}

/// Also a job that ran for too long.
#[test]
fn what_is_settled_makes_room_for_the_claim_of_the_same_commit() {
    alone("hand::what_is_settled_makes_room_for_the_claim_of_the_same_commit", || {
        let file = File::new();
        let database = file.database(&journal(JournalMode::Delete));
        for _ in 0..9 {
            enqueue(&database, "q", "p");
        }
        let queues = vec![queue("q", 1, Some(2)), queue("other", 1, None)];
        // Longer than a disk that is busy takes for four commits.
        let options = WorkerOptions { max_run_s: Some(1_000), visibility_timeout_s: 9_000, ..no_fallback() };
        let mut worker = on_queues(&database, queues, options);
        let mut claimed = jobs(worker.next(4, NOW));
        assert_eq!(claimed.len(), 2);
        let before = file.commits();
        for _ in 0..3 {
            let settled = worker.settle_and_next(&[ack(&claimed[0])], 4, NOW).unwrap();
            assert_eq!(settled.held, [Ok(true)]);
            claimed[0] = job(settled.next);
            assert_eq!(worker.in_hand(), 2);
        }
        assert_eq!(file.commits() - before, 3);
        clock::set_monotonic(1_001_000);
        let before = file.commits();
        let batch = item(worker.next(4, NOW));
        assert_eq!((batch.jobs.len(), batch.lost.len(), file.commits() - before), (2, 2, 1));
    });
}

#[test]
fn what_is_refused_makes_no_room() {
    let (file, database) = open();
    for payload in ["bad", "good", "p", "p"] {
        enqueue(&database, "q", payload);
    }
    let mut worker = on_queues(&database, vec![queue("q", 1, Some(2))], no_fallback());
    let claimed = jobs(worker.next(4, NOW));
    file.plain()
        .execute_batch(
            "CREATE TRIGGER no BEFORE DELETE ON _honker_live WHEN old.payload = 'bad'
             BEGIN SELECT RAISE(ABORT, 'mine'); END",
        )
        .unwrap();
    let settled = worker.settle_and_next(&[ack(&claimed[0]), ack(&claimed[1])], 4, NOW).unwrap();
    assert!(matches!(settled.held[..], [Err(_), Ok(true)]), "{:?}", settled.held);
    assert_eq!(job(settled.next).payload, "p");
    assert_eq!(worker.in_hand(), 2);
}

/// Three times out of four the heavier one is asked first; a chance of less than one in a million makes this fail.
#[test]
fn the_queue_that_is_asked_first_is_drawn_by_weight() {
    let (_file, database) = open();
    for _ in 0..400 {
        enqueue(&database, "heavy", "p");
        enqueue(&database, "light", "p");
    }
    enqueue(&database, "last", "p");
    let queues = vec![queue("last", 0, None), queue("heavy", 3, None), queue("light", 1, None)];
    let mut worker = on_queues(&database, queues, no_fallback());
    let mut heavy = 0;
    for _ in 0..400 {
        let claimed = job(worker.next(1, NOW));
        assert_ne!(&*claimed.queue, "last");
        heavy += u32::from(&*claimed.queue == "heavy");
        worker.settle(&[ack(&claimed)]).unwrap();
    }
    assert!((255..=345).contains(&heavy), "{heavy} of 400");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let (_file, database) = open();
    let waiter = Waiter::new(&database).unwrap();
    let refused = |queues: &[&str], options: WorkerOptions| {
        let queues = queues.iter().map(|name| WorkerQueue::new(*name)).collect();
        match Worker::on(&waiter, 0, queues, "w", options) {
            Err(Error::Invalid(message)) => message,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("not refused"),
        }
    };
    let options = WorkerOptions::default;
    assert!(refused(&[], options()).contains("at least one"));
    assert!(refused(&["a", "b", "a"], options()).contains("'a' is named twice"));
    assert!(refused(&["a"], WorkerOptions { max_run_s: Some(0), ..options() }).contains("max_run_s"));
    for factor in [0.5, f64::NAN, f64::INFINITY, -1.0] {
        let backoff = Backoff { factor, ..Backoff::default() };
        assert!(refused(&["a"], WorkerOptions { backoff, ..options() }).contains("retry_factor"));
    }
    for jitter in [-0.1, 1.1, f64::NAN] {
        let backoff = Backoff { jitter, ..Backoff::default() };
        assert!(refused(&["a"], WorkerOptions { backoff, ..options() }).contains("retry_jitter"));
    }
}

/// A job that was given with the same settlement twice is settled once.
#[test]
fn a_job_is_settled_once_in_a_turn() {
    let (_file, database) = open();
    enqueue(&database, "q", "p");
    let mut worker = worker(&database, "q", no_fallback());
    let claimed = job(worker.next(1, NOW));
    let strange = Settlement { serial: claimed.serial + 1, ..ack(&claimed) };
    assert_eq!(
        worker.settle(&[strange, ack(&claimed), ack(&claimed)]).unwrap(),
        [Ok(false), Ok(true), Ok(false)]
    );
}

/// A claim by somebody else, and the wake that it is.
#[test]
fn a_worker_with_full_hands_is_woken_by_a_loss() {
    let (file, database) = open();
    let id = enqueue(&database, "q", "p");
    let mut worker = worker(&database, "q", no_fallback());
    let claimed = job(worker.next(1, NOW));
    let taken = "UPDATE _honker_live SET worker_id = 'other', attempts = 2";
    let told = woken_by(move || worker.next(0, LONG), move || file.plain().execute_batch(taken).unwrap());
    assert_eq!(lost(told), [LostJob { id, serial: claimed.serial, reason: Reason::Taken }]);
}
