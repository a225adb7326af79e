//! A worker: what makes it look again, when, and what it takes.

use std::time::{Duration, Instant};

use honker_core::consume::WorkerOptions;
use honker_core::database::{JournalMode, Options};
use honker_core::queue::{Claim, Enqueue, Requeued};

use crate::clock;
use crate::common::journal;
use crate::support::*;

#[test]
fn what_is_there_is_claimed_in_claim_order_at_once() {
    let (_file, database) = open();
    for (priority, payload) in [(0, "a"), (10, "b"), (5, "c"), (10, "d")] {
        let job = Enqueue { priority, ..Enqueue::new("q", payload) };
        database.enqueue(&job).unwrap();
    }
    enqueue(&database, "other", "e");
    let mut worker = worker(&database, "q", no_fallback());
    let jobs = jobs(worker.next(3, NOW));
    assert_eq!(jobs.iter().map(|job| job.payload.as_str()).collect::<Vec<_>>(), ["b", "d", "c"]);
    assert!(jobs.iter().all(|job| &*job.worker_id == "w" && job.attempts == 1 && &*job.queue == "q"));
    assert_eq!(job(worker.next(3, NOW)).payload, "a");
    assert_timeout(worker.next(3, NOW));
}

#[test]
fn claims_last_as_long_as_the_options_say() {
    let (_file, database) = open();
    for visibility_timeout_s in [0, 7, 300] {
        enqueue(&database, "q", "p");
        let before = clock::second();
        let mut worker = worker(&database, "q", WorkerOptions { visibility_timeout_s, ..no_fallback() });
        let expires_at = job(worker.next(1, NOW)).claim_expires_at;
        let claimed = before..=clock::second();
        assert!(claimed.contains(&(expires_at - visibility_timeout_s)), "{expires_at}");
        database.cancel(1).unwrap();
        database.cancel(2).unwrap();
    }
}

/// To SQL a negative number means all jobs, and 1 is not 0.
#[test]
fn no_jobs_are_asked_for_and_none_are_taken() {
    let (file, database) = open();
    enqueue(&database, "q", "p");
    let mut worker = worker(&database, "q", no_fallback());
    for n in [0, -1, i64::MIN] {
        assert_timeout(worker.next(n, NOW));
    }
    assert_eq!(file.count("SELECT count(*) FROM _honker_live WHERE state = 'pending'"), 1);
    assert_eq!(jobs(worker.next(i64::MAX, NOW)).len(), 1);
}

/// A package calls `next(0)` after each claim that has filled its hand.
#[test]
fn with_a_full_hand_it_looks_without_writing() {
    let (_file, database) = open();
    enqueue(&database, "q", "p");
    let mut worker = worker(&database, "q", no_fallback());
    job(worker.next(1, NOW));
    let transaction = database.begin().unwrap();
    // It would wait for the transaction of its own thread.
    assert_timeout(worker.next(0, NOW));
    transaction.rollback().unwrap();
}

#[test]
fn an_enqueue_wakes_it() {
    for mode in [JournalMode::Wal, JournalMode::Delete, JournalMode::Truncate, JournalMode::Persist] {
        let file = File::new();
        let database = file.database(&journal(mode));
        let mut worker = worker(&database, "q", no_fallback());
        assert_timeout(worker.next(1, NOW));
        let next = woken_by(move || worker.next(1, LONG), || enqueue(&database, "q", "p"));
        assert_eq!(job(next).payload, "p", "{mode:?}");
    }
}

#[test]
fn a_job_enqueued_in_a_transaction_wakes_it_when_that_commits() {
    let (_file, database) = open();
    let mut worker = worker(&database, "q", no_fallback());
    let mut transaction = database.begin().unwrap();
    transaction.enqueue(&Enqueue::new("q", "p")).unwrap();
    // It looks before it claims, and so does not stand in line behind the transaction.
    assert_timeout(worker.next(1, NOW));
    let next = woken_by(move || worker.next(1, LONG), || transaction.commit().unwrap());
    assert_eq!(job(next).payload, "p");
}

#[test]
fn a_retry_a_requeue_and_an_ack_batch_of_others_are_seen() {
    let (_file, database) = open();
    let id = enqueue(&database, "q", "p");
    let claim = Claim { queue: "q", worker_id: "other", n: 1, timeout_s: 300 };
    assert_eq!(database.claim(&claim).unwrap().len(), 1);
    let mut first = worker(&database, "q", no_fallback());
    let next =
        woken_by(move || first.next(1, LONG), || assert!(database.retry(id, "other", 0, "e").unwrap()));
    assert_eq!(job(next).attempts, 2);
    assert!(database.fail(id, "w", "e").unwrap());
    let mut second = worker(&database, "q", no_fallback());
    let next = woken_by(
        move || second.next(1, LONG),
        || assert_eq!(database.dead_requeue(id), Ok(Requeued::Requeued)),
    );
    assert_eq!(job(next).attempts, 1);
}

/// Never early, and, for nothing else wakes it, at all.
#[test]
fn it_wakes_by_itself_when_a_job_becomes_due() {
    let waiting = [1, 2, 3].map(|ahead| {
        Thread::start(move || {
            let (_file, database) = open();
            until("half a second is over", || (0.55..0.8).contains(&clock::now().fract()));
            let run_at = clock::second() + ahead;
            enqueue_at(&database, "q", run_at);
            job(worker(&database, "q", no_fallback()).next(1, LONG));
            clock::now() - run_at as f64
        })
    });
    let late = waiting.map(Thread::join);
    assert!(late.iter().all(|late| *late >= 0.0), "{late:?} s late");
    assert!(late.iter().all(|late| *late < PROMPT.as_secs_f64()), "{late:?} s late");
}

#[test]
fn it_wakes_by_itself_when_a_claim_lapses() {
    let (_file, database) = open();
    let id = enqueue(&database, "q", "p");
    database.claim(&Claim { queue: "q", worker_id: "other", n: 1, timeout_s: 1 }).unwrap();
    let lapses_at = database.get_job(id).unwrap().unwrap().claim_expires_at.unwrap() + 1;
    let mut worker = worker(&database, "q", no_fallback());
    let job = job(worker.next(1, LONG));
    let late = clock::now() - lapses_at as f64;
    assert!((0.0..PROMPT.as_secs_f64()).contains(&late), "{late} s late");
    assert_eq!((job.id, job.attempts), (id, 2));
    assert!(!database.ack(id, "other").unwrap());
}

/// The deadline is that of the moment: a job that is due sooner replaces it, one that is cancelled no longer counts.
#[test]
fn the_deadline_follows_the_queue() {
    let (_file, database) = open();
    let later = enqueue_at(&database, "q", clock::second() + 3600);
    let cancelled = enqueue_at(&database, "q", clock::second() + 2);
    let mut worker = worker(&database, "q", no_fallback());
    assert_timeout(worker.next(1, NOW));
    database.cancel(cancelled).unwrap();
    assert_timeout(worker.next(1, Some(Duration::from_millis(2500))));
    let sooner = clock::second() + 1;
    let id = enqueue_at(&database, "q", sooner);
    assert_ne!(id, later);
    assert_eq!(job(worker.next(1, LONG)).id, id);
    assert!((0.0..PROMPT.as_secs_f64()).contains(&(clock::now() - sooner as f64)));
}

/// A second goes by between any two questions about the time. What becomes due in it is not lost.
#[test]
fn a_job_that_becomes_due_between_two_looks_is_seen() {
    alone("worker::a_job_that_becomes_due_between_two_looks_is_seen", || {
        let (_file, database) = open();
        for ahead in 1..3 {
            let run_at = clock::second() + ahead;
            enqueue_at(&database, "q", run_at);
            let mut worker = worker(&database, "q", no_fallback());
            clock::step_when_asked(1);
            let next = worker.next(1, Some(Duration::from_secs(10)));
            clock::step_when_asked(0);
            job(next);
            assert!(clock::second() >= run_at);
        }
    });
}

/// A worker waits for another second, and somebody sets the clock.
#[test]
fn a_clock_that_is_set_is_noticed() {
    alone("worker::a_clock_that_is_set_is_noticed", || {
        let (_file, database) = open();
        enqueue_at(&database, "q", clock::second() + 3600);
        let mut worker = worker(&database, "q", no_fallback());
        let waiting = Thread::start(move || {
            let next = worker.next(1, LONG);
            (next, worker)
        });
        let waiting = waiting.until_asleep();
        let began = Instant::now();
        clock::set_wall(3601);
        let (next, mut worker) = waiting.join();
        job(next);
        assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
        // And back: now it takes that much longer.
        enqueue_at(&database, "q", clock::second() + 1);
        clock::set_wall(0);
        assert_timeout(worker.next(1, Some(Duration::from_millis(1200))));
        clock::set_wall(3602);
        job(worker.next(1, LONG));
    });
}

/// At the end of time, and before its beginning.
#[test]
fn the_farthest_times_are_only_far() {
    let (_file, database) = open();
    enqueue_at(&database, "q", i64::MAX);
    let mut worker = worker(&database, "q", no_fallback());
    assert_timeout(worker.next(1, Some(Duration::from_millis(100))));
    enqueue_at(&database, "q", i64::MIN);
    job(worker.next(1, LONG));
    assert_timeout(worker.next(1, NOW));
}

/// Nobody can claim it, and nobody waits for it. But whoever looks next moves it to the dead.
#[test]
fn exhausted_jobs_are_dead_lettered() {
    let (file, database) = open();
    let mut worker = worker(&database, "q", no_fallback());
    assert_timeout(worker.next(1, NOW));
    let exhausted = Enqueue { max_attempts: Some(0), ..Enqueue::new("q", "p") };
    let waiting = Thread::start(move || worker.next(1, LONG)).until_asleep();
    database.enqueue(&exhausted).unwrap();
    until("it is dead", || {
        file.count("SELECT count(*) FROM _honker_dead WHERE last_error = 'max attempts exceeded'") == 1
    });
    enqueue(&database, "q", "p");
    job(waiting.join());
}

/// The one thing that nothing announces: a claim on the last attempt lapses. That is what the fallback is for.
#[test]
fn the_fallback_finds_what_nothing_announces() {
    let (file, database) = open();
    let once = Enqueue { max_attempts: Some(1), ..Enqueue::new("q", "p") };
    database.enqueue(&once).unwrap();
    database.claim(&Claim { queue: "q", worker_id: "other", n: 1, timeout_s: 0 }).unwrap();
    let fallback = Some(Duration::from_millis(50));
    let mut worker = worker(&database, "q", WorkerOptions { fallback, ..WorkerOptions::default() });
    let waker = worker.waiter();
    let waiting = Thread::start(move || worker.next(1, LONG));
    until("it is dead", || file.count("SELECT count(*) FROM _honker_dead") == 1);
    waker.wake();
    assert_woken(waiting.join());
}

#[test]
fn few_readers_serve_many_workers() {
    let file = File::new();
    let database = file.database(&Options { readers_max: 1, ..Options::default() });
    let workers: Vec<_> = (0..20)
        .map(|_| {
            let mut worker = worker(&database, "q", no_fallback());
            Thread::start(move || job(worker.next(1, LONG)).id)
        })
        .collect();
    for _ in 0..20 {
        enqueue(&database, "q", "p");
    }
    let mut ids: Vec<_> = workers.into_iter().map(Thread::join).collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=20).collect::<Vec<_>>());
}

/// A trigger of the user's keeps a worker from its jobs: it does not try for ever, and takes them when the trigger is gone.
#[test]
fn a_trigger_that_ignores_claims_does_not_keep_it_looking() {
    for trigger in [
        "CREATE TRIGGER keep BEFORE UPDATE ON _honker_live BEGIN SELECT RAISE(IGNORE); END",
        "CREATE TRIGGER keep BEFORE INSERT ON _honker_dead BEGIN SELECT RAISE(IGNORE); END",
    ] {
        let (file, database) = open();
        file.plain().execute_batch(trigger).unwrap();
        let exhausted = Enqueue { max_attempts: Some(0), ..Enqueue::new("q", "exhausted") };
        database.enqueue(&exhausted).unwrap();
        if trigger.contains("UPDATE") {
            enqueue(&database, "q", "p");
        }
        let mut worker = worker(&database, "q", no_fallback());
        assert_timeout(worker.next(1, NOW));
        assert_timeout(worker.next(1, Some(Duration::from_millis(20))));
        file.plain().execute_batch("DROP TRIGGER keep").unwrap();
        enqueue(&database, "q", "next");
        let first = if trigger.contains("UPDATE") { "p" } else { "next" };
        assert_eq!(job(worker.next(1, NOW)).payload, first);
    }
}
