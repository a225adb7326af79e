//! How long a consumer waits: timeouts, fallbacks, wakes that are not for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use honker_core::consume::{Leader, Listener, Next, ResultWait, WorkerOptions};
use honker_core::queue::Enqueue;

use crate::support::*;
use crate::{clock, statements};

const SOME_TIME: Duration = Duration::from_millis(150);

#[test]
fn a_timeout_is_kept_by_every_consumer() {
    let (_file, database) = open();
    let mut worker = worker(&database, "q", no_fallback());
    let mut listener = listener(&database, "c");
    let mut subscription = subscription(&database, "t");
    let mut result = ResultWait::new(&database, 1).unwrap();
    let mut leader = Leader::new(&database, "a").unwrap();
    for timeout in [Duration::ZERO, Duration::from_nanos(1), SOME_TIME] {
        let began = Instant::now();
        assert_timeout(worker.next(1, Some(timeout)));
        assert!(began.elapsed() >= timeout);
        let began = Instant::now();
        assert_timeout(listener.next(Some(timeout)));
        assert!(began.elapsed() >= timeout);
        let began = Instant::now();
        assert_timeout(subscription.next(Some(timeout)));
        assert!(began.elapsed() >= timeout);
        let began = Instant::now();
        assert_timeout(result.next(Some(timeout)));
        assert!(began.elapsed() >= timeout);
        let began = Instant::now();
        assert_timeout(leader.next(Some(timeout)));
        assert!(began.elapsed() >= timeout);
        assert!(began.elapsed() < timeout + PROMPT);
    }
}

#[test]
fn no_timeout_and_the_longest_are_without_end() {
    let (_file, database) = open();
    for timeout in [None, Some(Duration::MAX), Some(Duration::from_secs(u64::MAX))] {
        let mut worker =
            worker(&database, "q", WorkerOptions { fallback: Some(Duration::MAX), ..no_fallback() });
        job(woken_by(move || worker.next(1, timeout), || enqueue(&database, "q", "p")));
        let mut listener = Listener::new(&database, "c", Some(Duration::MAX)).unwrap();
        item(woken_by(move || listener.next(timeout), || send(&database, "c", "p")));
    }
}

/// A fallback of nothing neither keeps a core busy nor the caller beyond its time.
#[test]
fn a_fallback_of_no_time_is_no_busy_loop() {
    alone("waiting::a_fallback_of_no_time_is_no_busy_loop", || {
        statements::watch();
        let (_file, database) = open();
        let mut worker = worker(&database, "q", WorkerOptions { fallback: NOW, ..no_fallback() });
        let mut listener = Listener::new(&database, "c", NOW).unwrap();
        let before = statements::count();
        assert_timeout(worker.next(1, Some(SOME_TIME)));
        assert_timeout(listener.next(Some(SOME_TIME)));
        // At most one look each millisecond, of not ten statements.
        let statements = statements::count() - before;
        assert!((5..3000).contains(&statements), "{statements}");
    });
}

/// Somebody commits after every look: there always is a wake, and never a reason.
#[test]
fn wakes_that_never_end_do_not_keep_the_caller() {
    alone("waiting::wakes_that_never_end_do_not_keep_the_caller", || {
        statements::watch();
        let (file, database) = open();
        let mut worker = worker(&database, "q", no_fallback());
        let mut listener = listener(&database, "c");
        let mut subscription = subscription(&database, "t");
        let other = std::sync::Mutex::new(file.plain());
        let looks = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&looks);
        let commit = "INSERT INTO _honker_notifications (channel, payload) VALUES ('other', 'p')";
        statements::on_end(move |sql| {
            let looked =
                ["claim_expires_at >= +?2", "_honker_notifications\n     WHERE channel", "offset > +?2"];
            if looked.iter().any(|look| sql.contains(look)) {
                counted.fetch_add(1, Ordering::SeqCst);
                other.lock().unwrap().execute_batch(commit).unwrap();
                // Until the watcher has told of it.
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        for timeout in [Duration::ZERO, SOME_TIME] {
            let began = Instant::now();
            assert_timeout(worker.next(1, Some(timeout)));
            assert_timeout(listener.next(Some(timeout)));
            assert_timeout(subscription.next(Some(timeout)));
            assert!(began.elapsed() >= timeout * 3);
        }
        assert!(looks.load(Ordering::SeqCst) >= 6);
        // Each looks a second time, for the sake of the wake that it took, and then leaves the next one for later.
        looks.store(0, Ordering::SeqCst);
        assert_timeout(listener.next(NOW));
        assert_timeout(subscription.next(NOW));
        assert!(looks.load(Ordering::SeqCst) <= 4);
    });
}

/// A worker is woken by all that is committed. What is not for it costs it a look, and no write lock.
#[test]
fn a_wake_for_others_takes_no_lock() {
    alone("waiting::a_wake_for_others_takes_no_lock", || {
        statements::watch();
        let (_file, database) = open();
        // What has expired, what is not due and what somebody holds is no reason either.
        let expired = Enqueue { expires_s: Some(0), ..Enqueue::new("q", "p") };
        for _ in 0..5 {
            database.enqueue(&expired).unwrap();
        }
        enqueue_at(&database, "q", clock::second() + 3600);
        enqueue(&database, "q", "p");
        let mut worker = worker(&database, "q", no_fallback());
        job(worker.next(1, NOW));
        assert_timeout(worker.next(1, NOW));
        let (looks, claims) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counted = (Arc::clone(&looks), Arc::clone(&claims));
        statements::on_end(move |sql| {
            counted.0.fetch_add(u64::from(sql.contains("claim_expires_at >= +?2")), Ordering::SeqCst);
            counted.1.fetch_add(u64::from(sql.contains("SET state = 'processing'")), Ordering::SeqCst);
        });
        let waiting = Thread::start(move || worker.next(1, LONG)).until_asleep();
        for _ in 0..5 {
            let before = looks.load(Ordering::SeqCst);
            enqueue(&database, "other", "p");
            until("the worker looks", || looks.load(Ordering::SeqCst) > before);
        }
        waiting.until_asleep_here();
        assert_eq!(claims.load(Ordering::SeqCst), 0);
        enqueue(&database, "q", "p");
        job(waiting.join());
    });
}

/// Too many expired jobs make looking slow: somebody has to move them away, though there is nothing to claim.
#[test]
fn expired_jobs_do_not_pile_up() {
    let (file, database) = open();
    let mut worker = worker(&database, "q", no_fallback());
    assert_timeout(worker.next(1, NOW));
    let waiting = Thread::start(move || worker.next(1, LONG)).until_asleep();
    let expired = vec![Enqueue { expires_s: Some(0), ..Enqueue::new("q", "p") }; 150];
    database.enqueue_many(&expired).unwrap();
    until("they are dead", || {
        file.count("SELECT count(*) FROM _honker_dead WHERE last_error = 'expired'") == 150
    });
    enqueue(&database, "q", "p");
    job(waiting.join());
}

#[test]
fn being_woken_ends_the_wait_that_is_running_or_the_next_one() {
    let (_file, database) = open();
    let mut worker = worker(&database, "q", no_fallback());
    let waker = worker.waiter();
    let mut worker = {
        let waker = waker.clone();
        let (next, worker) = woken_by(move || (worker.next(1, None), worker), move || waker.wake());
        assert_woken(next);
        worker
    };
    assert_timeout(worker.next(1, NOW));
    waker.wake();
    waker.wake();
    // What there is comes first.
    enqueue(&database, "q", "p");
    job(worker.next(1, NOW));
    assert_woken(worker.next(1, None));
    assert_timeout(worker.next(1, NOW));
    drop(worker);
    waker.wake();
}

/// Its descriptor is readable whenever there may be something that a listener which had no more did not see.
#[test]
fn an_event_loop_loses_no_wake() {
    let (_file, database) = open();
    let mut listener = listener(&database, "c");
    let waiter = listener.waiter();
    let descriptor = waiter.descriptor().unwrap();
    let is_readable = |time_ms: i32| {
        let mut poll = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
        // SAFETY: one descriptor is asked for, in a place for one.
        unsafe { libc::poll(&raw mut poll, 1, time_ms) == 1 }
    };
    while is_readable(0) {
        waiter.ready(&mut [0]).unwrap();
        assert_timeout(listener.next(NOW));
    }
    let sender = Thread::start(move || {
        for index in 0..200 {
            send(&database, "c", &index.to_string());
        }
    });
    let mut heard = Vec::new();
    while heard.len() < 200 {
        assert!(is_readable(60_000), "nobody tells that there is more, after {heard:?}");
        if waiter.ready(&mut [0]).unwrap().count == 0 {
            continue;
        }
        // Until there is no more: one wake may stand for many.
        while let Next::Item(notification) = listener.next(NOW).unwrap() {
            heard.push(notification.payload);
        }
    }
    assert_eq!(heard, (0..200).map(|index| index.to_string()).collect::<Vec<_>>());
    sender.join();
}
