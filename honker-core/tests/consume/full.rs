//! A worker that has claimed as many as it was asked for waits for what becomes of its jobs, and need not be asked again
//! before one is settled.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use honker_core::Result;
use honker_core::consume::{
    Batch, Claimed, LostJob, Next, Reason, Settled, Verdict, Waiter, Worker, WorkerOptions, WorkerQueue,
};
use honker_core::database::Database;
use honker_core::watch::Wake;

use crate::ready::{named, named_by_descriptor};
use crate::support::*;
use crate::{clock, statements};

fn waiter(database: &Database) -> Waiter {
    Waiter::new(database).unwrap()
}

fn worker_at(waiter: &Waiter, options: WorkerOptions) -> Worker {
    let worker = Worker::on(waiter, 1, vec![WorkerQueue::new("q")], "w", options).unwrap();
    assert_eq!(named(waiter), [1]);
    worker
}

/// A worker with one job in hand, after a claim of one, or after one that settled another.
fn with_full_hand(
    database: &Database,
    waiter: &Waiter,
    options: WorkerOptions,
    settles: bool,
) -> (Worker, Claimed) {
    let mut worker = worker_at(waiter, options);
    enqueue(database, "q", "p");
    let mut claimed = job(worker.next(1, NOW));
    if settles {
        enqueue(database, "q", "p");
        let settled = worker.settle_and_next(&[ack(&claimed)], 1, NOW).unwrap();
        assert_eq!(settled.held, [Ok(true)]);
        claimed = job(settled.next);
    }
    (worker, claimed)
}

fn lost_with(next: Result<Next<Batch>>, reason: Reason) -> LostJob {
    let batch = item(next);
    assert!(batch.jobs.is_empty());
    assert_eq!(batch.lost.len(), 1);
    assert_eq!(batch.lost[0].reason, reason);
    batch.lost[0]
}

/// Whoever settles: another process, this one in one call, or a thread of it while nobody asks.
#[test]
fn it_is_named_for_a_job_that_is_settled_elsewhere_and_not_for_new_ones() {
    for settles in [false, true] {
        let (file, database) = open();
        let waiter = waiter(&database);
        let (mut worker, claimed) = with_full_hand(&database, &waiter, no_fallback(), settles);
        // Its own commits are nothing to it, nor is what it has no room for.
        assert!(named(&waiter).is_empty());
        enqueue(&database, "q", "p");
        enqueue(&database, "other", "p");
        assert!(named(&waiter).is_empty());
        let gone = format!("DELETE FROM _honker_live WHERE id = {}", claimed.id);
        file.plain().execute_batch(&gone).unwrap();
        assert_eq!(named_by_descriptor(&waiter), [1]);
        assert_eq!(lost_with(worker.next(0, NOW), Reason::Gone).id, claimed.id);
        assert_timeout(worker.next(0, NOW));
        // Through the same database it is no loss; that there is room is told all the same.
        let second = job(worker.next(1, NOW));
        assert!(named(&waiter).is_empty());
        assert!(database.ack(second.id, "w").unwrap());
        assert_eq!(named(&waiter), [1]);
        assert_timeout(worker.next(1, NOW));
        enqueue(&database, "q", "p");
        assert_eq!(named(&waiter), [1]);
        job(worker.next(1, NOW));
    }
}

#[test]
fn it_is_named_when_its_claims_have_to_be_prolonged() {
    for settles in [false, true] {
        let (file, database) = open();
        let waiter = waiter(&database);
        let options = WorkerOptions { visibility_timeout_s: 6, ..no_fallback() };
        let (mut worker, claimed) = with_full_hand(&database, &waiter, options, settles);
        assert_eq!(named_by_descriptor(&waiter), [1]);
        assert_timeout(worker.next(0, NOW));
        let prolonged = file.count("SELECT claim_expires_at FROM _honker_live");
        assert!(prolonged > claimed.claim_expires_at, "{prolonged}");
    }
}

#[test]
fn it_is_named_when_a_job_has_run_for_too_long() {
    for settles in [false, true] {
        let (_file, database) = open();
        let waiter = waiter(&database);
        let options = WorkerOptions { max_run_s: Some(1), ..no_fallback() };
        let (mut worker, claimed) = with_full_hand(&database, &waiter, options, settles);
        assert_eq!(named_by_descriptor(&waiter), [1]);
        assert_eq!(lost_with(worker.next(0, NOW), Reason::Timeout).serial, claimed.serial);
    }
}

#[test]
fn it_is_named_when_a_claim_lapses() {
    for settles in [false, true] {
        let (_file, database) = open();
        let waiter = waiter(&database);
        let options = WorkerOptions { visibility_timeout_s: 0, heartbeat: false, ..no_fallback() };
        let mut worker = worker_at(&waiter, options);
        enqueue(&database, "q", "p");
        let mut claimed = job(worker.next(1, NOW));
        if settles {
            enqueue(&database, "q", "p");
            let Settled { next, .. } =
                worker.settle_and_next(&[settle(&claimed, Verdict::Ack)], 1, NOW).unwrap();
            let batch = item(next);
            // A machine that stood still for a second has lost the first one.
            claimed = batch.jobs.into_iter().next().unwrap();
        }
        assert_eq!(named_by_descriptor(&waiter), [1]);
        assert_eq!(lost_with(worker.next(0, LONG), Reason::Lapsed).serial, claimed.serial);
    }
}

/// The first of the claims in hand to lapse was not the last to be made.
#[test]
fn it_is_named_for_the_earliest_of_its_claims() {
    alone("full::it_is_named_for_the_earliest_of_its_claims", || {
        let (_file, database) = open();
        let waiter = waiter(&database);
        let options = WorkerOptions { visibility_timeout_s: 300, heartbeat: false, ..no_fallback() };
        let (mut worker, first) = with_full_hand(&database, &waiter, options, false);
        clock::set_wall(200);
        enqueue(&database, "q", "p");
        job(worker.next(1, NOW));
        assert!(named(&waiter).is_empty());
        clock::set_wall(302);
        assert_eq!(named(&waiter), [1]);
        assert_eq!(lost_with(worker.next(0, NOW), Reason::Lapsed).serial, first.serial);
    });
}

/// What somebody commits after the turn, before the worker rests, is not overlooked, although the waiter has taken that commit.
#[test]
fn a_commit_that_is_taken_during_a_turn_is_not_lost() {
    alone("full::a_commit_that_is_taken_during_a_turn_is_not_lost", || {
        statements::watch();
        let (file, database) = open();
        let waiter = waiter(&database);
        let (mut worker, claimed) = with_full_hand(&database, &waiter, no_fallback(), true);
        enqueue(&database, "q", "p");
        assert!(named(&waiter).is_empty());
        let other = Mutex::new(file.plain());
        let (asking, witness) = (waiter.clone(), Waiter::new(&database).unwrap());
        // Whether there is something to tidy up is what it asks last, once a minute.
        clock::set_monotonic(61_000);
        statements::once_after("'maintenance'", move || {
            while witness.wait(Some(Duration::ZERO)).unwrap() == Wake::Update {}
            other.lock().unwrap().execute_batch("DELETE FROM _honker_live").unwrap();
            assert_eq!(witness.wait(None).unwrap(), Wake::Update);
            assert!(named(&asking).is_empty(), "it looks");
        });
        let claimed = job(worker.settle_and_next(&[ack(&claimed)], 1, NOW).unwrap().next);
        assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 0);
        assert_eq!(named_by_descriptor(&waiter), [1]);
        assert_eq!(lost_with(worker.next(0, NOW), Reason::Gone).serial, claimed.serial);
    });
}

/// Nor is it named for what it has committed itself, whoever takes that.
#[test]
fn its_own_commits_name_it_never() {
    let (_file, database) = open();
    let waiter = waiter(&database);
    let (mut worker, mut claimed) = with_full_hand(&database, &waiter, no_fallback(), true);
    let is_done = Arc::new(AtomicBool::new(false));
    let asking = Thread::start({
        let (waiter, is_done) = (waiter.clone(), Arc::clone(&is_done));
        move || {
            let mut count = 0;
            while !is_done.load(Ordering::Relaxed) {
                count += named(&waiter).len();
            }
            count
        }
    });
    for _ in 0..200 {
        enqueue(&database, "q", "p");
        claimed = job(worker.settle_and_next(&[ack(&claimed)], 1, NOW).unwrap().next);
    }
    is_done.store(true, Ordering::Relaxed);
    assert_eq!(asking.join(), 0);
}

/// Whoever has been given less, or something to settle again, is not at rest: it has to ask.
#[test]
fn one_that_has_been_given_less_is_not_at_rest() {
    let (file, database) = open();
    let waiter = waiter(&database);
    let mut worker = worker_at(&waiter, no_fallback());
    enqueue(&database, "q", "p");
    let claimed = job(worker.next(2, NOW));
    file.plain().execute_batch("DELETE FROM _honker_live").unwrap();
    assert!(named(&waiter).is_empty());
    enqueue(&database, "q", "p");
    // A loss beside what it was asked for.
    let batch = item(worker.next(1, NOW));
    assert_eq!((batch.jobs.len(), batch.lost.len()), (1, 1));
    assert_eq!(batch.lost[0].serial, claimed.serial);
    file.plain().execute_batch("DELETE FROM _honker_live").unwrap();
    assert!(named(&waiter).is_empty());
    lost_with(worker.next(0, NOW), Reason::Gone);
    // A settlement that the file refuses.
    enqueue(&database, "q", "p");
    enqueue(&database, "q", "p");
    let kept = job(worker.next(1, NOW));
    file.plain()
        .execute_batch(&format!(
            "CREATE TRIGGER refuse BEFORE DELETE ON _honker_live WHEN OLD.id = {} BEGIN SELECT RAISE(ABORT, 'no'); END",
            kept.id
        ))
        .unwrap();
    named(&waiter);
    let settled = worker.settle_and_next(&[ack(&kept)], 1, NOW).unwrap();
    assert!(settled.held[0].is_err());
    assert_eq!(jobs(settled.next).len(), 1);
    file.plain().execute_batch("DROP TRIGGER refuse; DELETE FROM _honker_live").unwrap();
    assert!(named(&waiter).is_empty());
}

/// One that is always busy tidies up as well, once a minute.
#[test]
fn a_busy_worker_tidies_up() {
    alone("full::a_busy_worker_tidies_up", || {
        let (file, database) = open();
        database.queue_configure("q", r#"{"keep_dead_s":0}"#).unwrap();
        let waiter = waiter(&database);
        let (mut worker, mut claimed) = with_full_hand(&database, &waiter, no_fallback(), true);
        file.plain()
            .execute_batch(
                "DELETE FROM _honker_settings WHERE name = 'maintenance';
                 INSERT INTO _honker_dead (id, queue, payload, died_at) VALUES (-1, 'q', 'p', 1)",
            )
            .unwrap();
        clock::set_monotonic(61_000);
        until("the dead is gone", || {
            enqueue(&database, "q", "p");
            claimed = job(worker.settle_and_next(&[ack(&claimed)], 1, NOW).unwrap().next);
            file.count("SELECT count(*) FROM _honker_dead") == 0
        });
    });
}
