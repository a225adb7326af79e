//! What ends a wait against the consumer's will: interrupts, closing, errors, forks. And how it goes on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use honker_core::consume::{Leader, ResultWait, StreamOptions, StreamSubscription};
use honker_core::database::{Database, Options};
use honker_core::{Error, Result};
use rusqlite::ffi;

use crate::common::patient_for;
use crate::statements;
use crate::support::*;

/// One of each kind, waiting: what a wait returned, without what was waited for.
type Waiting = Thread<Result<()>>;

fn everybody(database: &Database) -> Vec<Waiting> {
    let mut worker = worker(database, "q", no_fallback());
    let mut listener = listener(database, "c");
    let mut subscription = subscription(database, "t");
    let mut result = ResultWait::new(database, 1).unwrap();
    let mut leader = Leader::new(database, "a").unwrap();
    vec![
        Thread::start(move || worker.next(1, None).map(drop)),
        Thread::start(move || listener.next(None).map(drop)),
        Thread::start(move || subscription.next(None).map(drop)),
        Thread::start(move || result.next(None).map(drop)),
        Thread::start(move || leader.next(None).map(drop)),
    ]
}

#[test]
fn interrupting_ends_every_wait_and_no_later_one() {
    guarded(|| {
        let (_file, database) = open();
        let waiting = everybody(&database);
        // The leader's own commit may still be waking the others.
        waiting.iter().for_each(Thread::until_asleep_here);
        std::thread::sleep(Duration::from_millis(50));
        waiting.iter().for_each(Thread::until_asleep_here);
        database.interrupt().unwrap();
        for waiting in waiting {
            let outcome = waiting.join();
            assert!(is_interrupted(&outcome), "{outcome:?}");
        }
        let mut worker = worker(&database, "q", no_fallback());
        database.interrupt().unwrap();
        assert_timeout(worker.next(1, NOW));
        enqueue(&database, "q", "p");
        job(worker.next(1, NOW));
    });
}

/// A call that is made of several is interrupted as well when it happens to be between two of them.
#[test]
fn interrupting_ends_a_wait_that_is_about_to_begin() {
    alone("ending::interrupting_ends_a_wait_that_is_about_to_begin", || {
        statements::watch();
        let (_file, database) = open();
        let mut worker = worker(&database, "q", no_fallback());
        let mut listener = listener(&database, "c");
        for _ in 0..2 {
            let interrupting = database.clone();
            // The last statement of the look, and the one after it is none.
            statements::once_after("_honker_notifications\n     WHERE channel", move || {
                // From another thread: this one is inside of a call.
                std::thread::scope(|scope| {
                    scope.spawn(|| interrupting.interrupt().unwrap());
                });
            });
            let outcome = listener.next(LONG);
            assert!(is_interrupted(&outcome), "{outcome:?}");
            let interrupting = database.clone();
            statements::once_after("claim_expires_at >= +?2", move || {
                std::thread::scope(|scope| {
                    scope.spawn(|| interrupting.interrupt().unwrap());
                });
            });
            let outcome = worker.next(1, LONG);
            assert!(is_interrupted(&outcome), "{outcome:?}");
        }
        statements::on_end(|_| {});
        assert_timeout(worker.next(1, NOW));
        send(&database, "c", "p");
        item(listener.next(LONG));
    });
}

#[test]
fn interrupting_ends_a_claim_that_waits_for_a_lock_and_takes_nothing() {
    guarded(|| {
        let (file, database) = open();
        enqueue(&database, "q", "p");
        let other = file.plain();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut worker = worker(&database, "q", no_fallback());
        let waiting = Thread::start(move || (worker.next(1, LONG), worker)).until_asleep();
        database.interrupt().unwrap();
        let (outcome, mut worker) = waiting.join();
        assert!(is_interrupted(&outcome), "{outcome:?}");
        other.execute_batch("COMMIT").unwrap();
        assert_eq!(job(worker.next(1, LONG)).attempts, 1);
    });
}

#[test]
fn closing_ends_every_wait_and_all_later_ones() {
    guarded(|| {
        let (_file, database) = open();
        let mut waiting = everybody(&database);
        let mut idle = worker(&database, "q", no_fallback());
        let (waker, mut leader) = (idle.waiter(), Leader::new(&database, "b").unwrap());
        waiting.iter().for_each(Thread::until_asleep_here);
        let closing = database.clone();
        waiting.push(Thread::start(move || {
            closing.close()?;
            Err(Error::Closed)
        }));
        for waiting in waiting {
            assert_eq!(waiting.join(), Err(Error::Closed));
        }
        assert_eq!(idle.next(1, None), Err(Error::Closed));
        assert_eq!(idle.next(1, NOW), Err(Error::Closed));
        assert_eq!(leader.next(None), Err(Error::Closed));
        assert_eq!(leader.resign(), Ok(()));
        waker.wake();
        assert!(matches!(honker_core::consume::Listener::new(&database, "c", None), Err(Error::Closed)));
        drop((idle, leader));
    });
}

#[test]
fn consumers_may_outlive_their_database() {
    guarded(|| {
        let (file, database) = open();
        let options = StreamOptions { consumer: Some("c".to_owned()), ..StreamOptions::default() };
        let mut subscription = StreamSubscription::new(&database, "t", options).unwrap();
        let mut leader = Leader::new(&database, "a").unwrap();
        let worker = worker(&database, "q", no_fallback());
        publish(&database, "t", "1");
        publish(&database, "t", "2");
        item(subscription.next(LONG));
        item(subscription.next(LONG));
        assert_timeout(leader.next(NOW));
        assert!(leader.leads());
        database.close().unwrap();
        // The file is nobody's, although there is something to save and a lock to give up.
        std::fs::remove_file(&file.path).unwrap();
        drop((subscription, leader, worker));
        assert!(!file.path.exists());
        drop(database);
    });
}

/// Whatever the error: nothing was taken, and the next call takes it.
#[test]
fn after_an_error_it_goes_on() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&patient_for(Duration::from_millis(100)));
        enqueue(&database, "q", "p");
        let mut worker = worker(&database, "q", no_fallback());
        let other = file.plain();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        for _ in 0..2 {
            assert_eq!(code(worker.next(1, LONG)), ffi::SQLITE_BUSY);
        }
        other.execute_batch("COMMIT").unwrap();
        assert_eq!(job(worker.next(1, LONG)).attempts, 1);
        other.execute_batch("ALTER TABLE _honker_live RENAME TO away").unwrap();
        assert_eq!(code(worker.next(1, LONG)), ffi::SQLITE_ERROR);
        other.execute_batch("ALTER TABLE away RENAME TO _honker_live").unwrap();
        enqueue(&database, "q", "p");
        job(worker.next(1, LONG));
    });
}

#[test]
fn another_file_in_its_place_is_an_error() {
    guarded(|| {
        let (file, database) = open();
        let mut worker = worker(&database, "q", no_fallback());
        assert_timeout(worker.next(1, NOW));
        let waiting = Thread::start(move || (worker.next(1, LONG), worker)).until_asleep();
        let other = file.path.with_file_name("other.db");
        drop(Database::open(&other, &Options::default()).unwrap());
        std::fs::rename(&other, &file.path).unwrap();
        let (outcome, mut worker) = waiting.join();
        let is_dead = |outcome: &Result<_>| matches!(outcome, Err(Error::Watcher(message)) if message.contains("watcher died"));
        assert!(is_dead(&outcome), "{outcome:?}");
        // By now operations say so as well.
        assert!(matches!(worker.next(1, LONG), Err(Error::Watcher(_))));
    });
}

#[test]
fn a_forked_child_has_no_consumers() {
    alone("ending::a_forked_child_has_no_consumers", || {
        let (file, database) = open();
        let options = StreamOptions { consumer: Some("c".to_owned()), ..StreamOptions::default() };
        let mut subscription = StreamSubscription::new(&database, "t", options).unwrap();
        let mut worker = worker(&database, "q", no_fallback());
        let mut listener = listener(&database, "c");
        let mut leader = Leader::new(&database, "a").unwrap();
        publish(&database, "t", "1");
        publish(&database, "t", "2");
        (0..2).for_each(|_| drop(item(subscription.next(LONG))));
        assert_timeout(leader.next(NOW));
        let everything = Arc::new(Mutex::new(Some((subscription, worker.waiter(), leader))));
        // SAFETY: the child uses what it inherits only to be refused, and leaves without running its parent's code.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: raw system calls.
            unsafe { libc::alarm(120) };
            let (mut subscription, waker, mut leader) = everything.lock().unwrap().take().unwrap();
            let all = worker.next(1, None) == Err(Error::Forked)
                && listener.next(None) == Err(Error::Forked)
                && subscription.next(None) == Err(Error::Forked)
                && subscription.save() == Err(Error::Forked)
                && leader.next(None) == Err(Error::Forked)
                && leader.resign() == Err(Error::Forked)
                && worker
                    .settle_and_next(&[], 1, None)
                    .is_ok_and(|settled| settled.next == Err(Error::Forked));
            waker.wake();
            waker.close();
            drop((subscription, leader, worker, listener));
            // SAFETY: as above.
            unsafe { libc::_exit(i32::from(!all)) };
        }
        let mut status = 0;
        // SAFETY: waits for the child made above.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0, "the child failed");
        // Neither the lock nor the offset is the child's.
        assert_eq!(file.count("SELECT count(*) FROM _honker_locks WHERE owner = 'a'"), 1);
        assert_eq!(file.count("SELECT count(*) FROM _honker_stream_consumers"), 0);
        job(woken_by(move || worker.next(1, LONG), || enqueue(&database, "q", "p")));
        let (subscription, _, leader) = everything.lock().unwrap().take().unwrap();
        drop((subscription, leader));
        assert_eq!(file.count("SELECT count(*) FROM _honker_locks"), 0);
        assert_eq!(file.count("SELECT offset FROM _honker_stream_consumers"), 1);
    });
}
