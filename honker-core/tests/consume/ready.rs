//! One waiter for many consumers: it names those that have work, by one read for a commit, and its descriptor becomes
//! readable for commits and deadlines. Nobody else keeps a clock.

use std::time::{Duration, Instant};

use honker_core::Error;
use honker_core::consume::{
    Leader, Listener, Next, ResultWait, StreamOptions, StreamSubscription, Updates, Waiter, Worker,
    WorkerQueue,
};
use honker_core::database::Database;
use honker_core::watch::Wake;

use crate::support::*;
use crate::{clock, statements};

fn waiter(database: &Database) -> Waiter {
    Waiter::new(database).unwrap()
}

/// The tokens of those that are ready, in order.
pub fn named(waiter: &Waiter) -> Vec<u64> {
    let mut tokens = [0; 64];
    let ready = waiter.ready(&mut tokens).unwrap();
    let mut named = tokens[..ready.count].to_vec();
    named.sort_unstable();
    named
}

/// Waits until the descriptor is readable; whether it is within the time.
fn is_readable(descriptor: i32, time: Duration) -> bool {
    let mut poll = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
    let time_ms = i32::try_from(time.as_millis()).unwrap();
    // SAFETY: one descriptor is asked for, in a place for one.
    unsafe { libc::poll(&raw mut poll, 1, time_ms) == 1 }
}

/// The first tokens that are named because the descriptor became readable.
pub fn named_by_descriptor(waiter: &Waiter) -> Vec<u64> {
    let descriptor = waiter.descriptor().unwrap();
    loop {
        assert!(is_readable(descriptor, PROMPT), "nobody says that there is something");
        let named = named(waiter);
        if !named.is_empty() {
            return named;
        }
    }
}

fn queue_worker(waiter: &Waiter, token: u64, queue: &str) -> Worker {
    Worker::on(waiter, token, vec![WorkerQueue::new(queue)], "w", no_fallback()).unwrap()
}

fn listening(waiter: &Waiter, token: u64, channel: &str) -> Listener {
    Listener::on(waiter, token, channel, None).unwrap()
}

#[test]
fn a_commit_names_those_it_is_for() {
    let (_file, database) = open();
    let waiter = waiter(&database);
    let mut jobs_of_a = queue_worker(&waiter, 1, "a");
    let mut jobs_of_b = queue_worker(&waiter, 2, "b");
    let mut channel = listening(&waiter, 3, "c");
    let mut topic = StreamSubscription::on(&waiter, 4, "t", StreamOptions::default()).unwrap();
    let mut result = ResultWait::on(&waiter, 5, 77);
    let mut updates = Updates::on(&waiter, 6);
    // Each is named once: it has not looked yet.
    assert_eq!(named(&waiter), [1, 2, 3, 4, 5, 6]);
    assert!(named(&waiter).is_empty());
    assert_timeout(jobs_of_a.next(1, NOW));
    assert_timeout(jobs_of_b.next(1, NOW));
    assert_timeout(channel.next(NOW));
    assert_timeout(topic.next(NOW));
    assert_timeout(result.next(NOW));
    assert_timeout(updates.next(NOW));

    enqueue(&database, "a", "p");
    assert_eq!(named(&waiter), [1, 6]);
    job(jobs_of_a.next(1, NOW));
    item(updates.next(NOW));
    assert_timeout(updates.next(NOW));
    send(&database, "other", "p");
    assert_eq!(named(&waiter), [6]);
    item(updates.next(NOW));
    send(&database, "c", "p");
    publish(&database, "t", "p");
    save_result(&database, 77, "v");
    // Who was named and has not looked to the end is not named again.
    assert_eq!(named(&waiter), [3, 4, 5]);
    assert_eq!(item(channel.next(NOW)).payload, "p");
    assert_eq!(item(topic.next(NOW)).payload, "p");
    assert_eq!(item(result.next(NOW)), "v");
    // The claim of the worker of `a` was not the end of its look.
    enqueue(&database, "a", "p");
    enqueue(&database, "b", "p");
    assert_eq!(named(&waiter), [2]);
    job(jobs_of_a.next(1, NOW));
    job(jobs_of_b.next(1, NOW));
}

/// Also by somebody else, with nobody who waits meanwhile, and whatever the waiter has been asked.
#[test]
fn a_commit_before_the_first_wait_is_told_once() {
    let (file, database) = open();
    let waiter = waiter(&database);
    for time in [LONG, NOW] {
        let mut updates = Updates::on(&waiter, 1);
        assert_timeout(updates.next(NOW));
        let mut updates = Updates::on(&waiter, 2);
        file.plain()
            .execute_batch("INSERT INTO _honker_notifications (channel, payload) VALUES ('c', '1')")
            .unwrap();
        item(updates.next(time));
        assert_timeout(updates.next(NOW));
        enqueue(&database, "q", "p");
        item(updates.next(time));
        send(&database, "c", "p");
        named(&waiter);
        item(updates.next(time));
        assert_timeout(updates.next(NOW));
    }
}

/// The look came before the commit, and what ends the look comes after it.
#[test]
fn a_commit_during_a_look_is_not_lost() {
    let (_file, database) = open();
    let waiter = waiter(&database);
    let mut listeners: Vec<_> = (0..2).map(|token| listening(&waiter, token, "c")).collect();
    assert_eq!(named(&waiter), [0, 1]);
    assert_timeout(listeners[1].next(NOW));
    for round in 0..200 {
        // The second one has been named and looks; the commit is taken by this call, which names the first.
        send(&database, "c", &round.to_string());
        assert!(named(&waiter).contains(&1));
        assert_eq!(item(listeners[1].next(NOW)).payload, round.to_string());
        assert_timeout(listeners[1].next(NOW));
    }
    assert_eq!(item(listeners[0].next(NOW)).payload, "0");
}

#[test]
fn a_waiter_reads_once_for_a_commit() {
    alone("ready::a_waiter_reads_once_for_a_commit", || {
        statements::watch();
        let (file, database) = open();
        let waiter = waiter(&database);
        let mut listeners: Vec<_> =
            (0..50).map(|token| listening(&waiter, token, if token == 7 { "seven" } else { "c" })).collect();
        named(&waiter);
        for listener in &mut listeners {
            assert_timeout(listener.next(NOW));
        }
        let other = file.plain();
        let before = statements::count();
        other
            .execute_batch("INSERT INTO _honker_notifications (channel, payload) VALUES ('seven', '7')")
            .unwrap();
        let own = statements::count();
        until("it is named", || named(&waiter) == [7]);
        // One question for each listener; none of them looks by itself.
        let asked = statements::count() - own;
        assert!(asked <= 60, "{asked} statements, {} of them not ours", own - before);
        assert_eq!(item(listeners[7].next(NOW)).payload, "7");
    });
}

#[test]
fn what_does_not_fit_stays_ready_and_all_get_their_turn() {
    let (_file, database) = open();
    let waiter = waiter(&database);
    let descriptor = waiter.descriptor().unwrap();
    let mut listeners: Vec<_> = (0..5).map(|token| listening(&waiter, token, "c")).collect();
    let mut all = Vec::new();
    for _ in 0..3 {
        let mut tokens = [0; 2];
        assert!(is_readable(descriptor, Duration::ZERO));
        let ready = waiter.ready(&mut tokens).unwrap();
        all.extend_from_slice(&tokens[..ready.count]);
    }
    assert_eq!(all, [0, 1, 2, 3, 4]);
    for listener in &mut listeners {
        assert_timeout(listener.next(NOW));
    }
    send(&database, "c", "p");
    assert_eq!(waiter.ready(&mut []).unwrap().count, 0);
    assert!(is_readable(descriptor, Duration::ZERO));
    assert_eq!(named(&waiter), [0, 1, 2, 3, 4]);
}

#[test]
fn nobody_is_named_once_it_is_gone() {
    let (_file, database) = open();
    let waiter = waiter(&database);
    let mut here = listening(&waiter, 1, "c");
    let gone = listening(&waiter, 2, "c");
    drop(gone);
    assert_eq!(named(&waiter), [1]);
    assert_timeout(here.next(NOW));
    let mut gone = listening(&waiter, 3, "c");
    assert_timeout(gone.next(NOW));
    send(&database, "c", "p");
    drop(gone);
    assert_eq!(named(&waiter), [1]);
}

#[test]
fn the_descriptor_is_readable_at_each_deadline() {
    let (_file, database) = open();
    let waiter = waiter(&database);
    // A job that becomes due, and not before it is looked for, ...
    enqueue_at(&database, "q", clock::second() + 3);
    let mut worker = queue_worker(&waiter, 1, "q");
    assert_timeout(worker.next(1, NOW));
    assert_eq!(named_by_descriptor(&waiter), [1]);
    let claimed = job(worker.next(1, NOW));
    assert_timeout(worker.next(1, NOW));
    // ... an offset to save, ...
    let options = StreamOptions {
        consumer: Some("c".to_owned()),
        save_every: Duration::from_millis(100),
        ..StreamOptions::default()
    };
    let mut topic = StreamSubscription::on(&waiter, 2, "t", options).unwrap();
    publish(&database, "t", "p");
    item(topic.next(NOW));
    assert_timeout(topic.next(NOW));
    while database.stream_get_offset("c", "t").unwrap() != 1 {
        assert_eq!(named_by_descriptor(&waiter), [2]);
        assert_timeout(topic.next(NOW));
    }
    // ... a boundary of a schedule, ...
    crate::leader::register(&database, "s", "@every 1s");
    let mut leader = Leader::on(&waiter, 3, "me");
    while !matches!(leader.next(NOW), Ok(Next::Item(_))) {
        assert!(named_by_descriptor(&waiter).contains(&3));
    }
    drop(leader);
    // ... and a fallback, which names nobody for whom there is nothing.
    let mut channel = Listener::on(&waiter, 4, "c", Some(Duration::from_millis(20))).unwrap();
    assert_timeout(channel.next(NOW));
    assert!(is_readable(waiter.descriptor().unwrap(), PROMPT));
    assert_eq!(worker.settle(&[ack(&claimed)]).unwrap(), [Ok(true)]);
}

/// Level-triggered within an edge-triggered set, as Go and tokio do it: one edge for each time that it becomes readable.
#[cfg(target_os = "linux")]
#[test]
fn it_works_within_an_edge_triggered_set() {
    let (_file, database) = open();
    let waiter = waiter(&database);
    let mut channel = listening(&waiter, 1, "c");
    // SAFETY: plain system calls on descriptors that live as long as the test.
    let set = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET) as u32, u64: 0 };
    let descriptor = waiter.descriptor().unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { libc::epoll_ctl(set, libc::EPOLL_CTL_ADD, descriptor, &raw mut event) }, 0);
    let edge = |time_ms| {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: room for one event.
        unsafe { libc::epoll_wait(set, &raw mut event, 1, time_ms) == 1 }
    };
    let sender = Thread::start({
        let database = database.clone();
        move || {
            for index in 0..300 {
                send(&database, "c", &index.to_string());
                if index % 50 == 0 {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
    });
    let mut heard = 0;
    while heard < 300 {
        assert!(edge(60_000), "no edge after {heard}");
        while waiter.ready(&mut [0]).unwrap().count == 1 {
            while let Next::Item(notification) = channel.next(NOW).unwrap() {
                assert_eq!(notification.payload, heard.to_string());
                heard += 1;
            }
        }
    }
    sender.join();
    // SAFETY: it is ours, and nobody uses it any more.
    unsafe { libc::close(set) };
}

#[test]
fn a_thread_that_waits_for_all_is_told_of_work_deadlines_and_wakes() {
    let (_file, database) = open();
    let waiter = waiter(&database);
    let mut worker = queue_worker(&waiter, 1, "q");
    let mut channel = listening(&waiter, 2, "c");
    assert_eq!(waiter.wait(NOW).unwrap(), Wake::Update);
    assert_eq!(named(&waiter), [1, 2]);
    assert_timeout(worker.next(1, NOW));
    assert_timeout(channel.next(NOW));
    assert_eq!(waiter.wait(Some(Duration::from_millis(20))).unwrap(), Wake::Timeout);
    // What is for nobody wakes nobody.
    send(&database, "other", "p");
    assert_eq!(waiter.wait(Some(Duration::from_millis(20))).unwrap(), Wake::Timeout);
    enqueue_at(&database, "q", clock::second() + 1);
    assert_eq!(waiter.wait(LONG).unwrap(), Wake::Update);
    assert_eq!(named(&waiter), [1]);
    job(worker.next(1, NOW));
    let woken = woken_by(
        {
            let waiter = waiter.clone();
            move || waiter.wait(LONG)
        },
        || waiter.wake(),
    );
    assert_eq!(woken.unwrap(), Wake::Woken);
    // Or else the next one.
    waiter.wake();
    assert!(waiter.ready(&mut [0; 4]).unwrap().woken);
    assert!(!waiter.ready(&mut [0; 4]).unwrap().woken);
}

/// The thread that waits for all sleeps already when a consumer is made, or has found nothing, on another thread.
#[test]
fn a_thread_that_waits_for_all_learns_of_what_begins_meanwhile() {
    let (_file, database) = open();
    let waiter = waiter(&database);
    let asleep = || {
        let waiter = waiter.clone();
        Thread::start(move || waiter.wait(None).unwrap()).until_asleep()
    };
    let mut idle = listening(&waiter, 1, "c");
    assert_eq!(named(&waiter), [1]);
    assert_timeout(idle.next(NOW));
    // One that is made meanwhile has not looked yet.
    let waiting = asleep();
    let mut worker = queue_worker(&waiter, 2, "q");
    assert_eq!(waiting.join(), Wake::Update);
    assert_eq!(named(&waiter), [2]);
    // One that rests meanwhile has a deadline.
    enqueue_at(&database, "q", clock::second() + 3);
    let waiting = asleep();
    assert_timeout(worker.next(1, NOW));
    assert_eq!(waiting.join(), Wake::Update);
    assert_eq!(named(&waiter), [2]);
    job(worker.next(1, NOW));
    // One that looks while something is committed may have missed it.
    let waiting = asleep();
    waiter.wake();
    assert_eq!(waiting.join(), Wake::Woken);
}

#[test]
fn a_waiter_without_consumers_waits_for_a_commit() {
    let (_file, database) = open();
    let waiter = waiter(&database);
    let waiting = Thread::start({
        let waiter = waiter.clone();
        move || waiter.wait(LONG).unwrap()
    });
    let waiting = waiting.until_asleep();
    enqueue(&database, "q", "p");
    assert_eq!(waiting.join(), Wake::Update);
    // Or for one that was made before.
    enqueue(&database, "q", "p");
    assert_eq!(waiter.wait(LONG).unwrap(), Wake::Update);
}

/// Each is waited for by a thread of its own, and one thread asks for all.
#[test]
fn no_wake_is_taken_from_another_consumer() {
    let (_file, database) = open();
    let waiter = waiter(&database);
    let threads: Vec<_> = (0..4)
        .map(|token| {
            let mut channel = listening(&waiter, token, "c");
            Thread::start(move || {
                (0..100).for_each(|index| assert_eq!(item(channel.next(LONG)).payload, index.to_string()))
            })
        })
        .collect();
    let asking = Thread::start({
        let waiter = waiter.clone();
        move || {
            let started = Instant::now();
            while started.elapsed() < Duration::from_millis(200) {
                let _ = waiter.ready(&mut [0; 8]);
            }
        }
    });
    for index in 0..100 {
        send(&database, "c", &index.to_string());
    }
    threads.into_iter().for_each(Thread::join);
    asking.join();
}

#[test]
fn closing_a_waiter_ends_it_and_its_consumers() {
    guarded(|| {
        let (_file, database) = open();
        let waiter = waiter(&database);
        let descriptor = waiter.descriptor().unwrap();
        let mut channel = listening(&waiter, 1, "c");
        let mut idle = listening(&waiter, 2, "c");
        let waiting = Thread::start(move || channel.next(None)).until_asleep();
        let all = Thread::start({
            let waiter = waiter.clone();
            move || loop {
                match waiter.wait(None) {
                    Ok(_) => drop(waiter.ready(&mut [0; 4])),
                    Err(error) => return error,
                }
            }
        });
        waiter.close();
        assert_eq!(waiting.join(), Err(Error::Closed));
        assert_eq!(all.join(), Error::Closed);
        assert_eq!(idle.next(NOW), Err(Error::Closed));
        assert_eq!(waiter.ready(&mut [0; 4]), Err(Error::Closed));
        assert!(is_readable(descriptor, PROMPT));
        // The database is open still.
        enqueue(&database, "q", "p");
    });
}

/// An error neither spins nor is the end: the consumer is named again after a while.
#[test]
fn a_consumer_that_failed_is_named_again() {
    let (file, database) = open();
    let waiter = waiter(&database);
    let mut topic = StreamSubscription::on(&waiter, 1, "t", StreamOptions::default()).unwrap();
    assert_eq!(named(&waiter), [1]);
    assert_timeout(topic.next(NOW));
    let other = file.plain();
    other.execute_batch("ALTER TABLE _honker_stream RENAME TO away").unwrap();
    assert_eq!(named_by_descriptor(&waiter), [1]);
    let failed = Instant::now();
    assert!(topic.next(NOW).is_err());
    // Nothing, unless this thread has not come to run for half a second.
    let early = named(&waiter);
    other.execute_batch("ALTER TABLE away RENAME TO _honker_stream").unwrap();
    assert_eq!(if early.is_empty() { named_by_descriptor(&waiter) } else { early }, [1]);
    assert!(failed.elapsed() >= Duration::from_millis(100), "it was named again at once");
    assert_timeout(topic.next(NOW));
}

/// Settlements that could not be committed are to be given again: the worker is named, and keeps no clock for that.
#[test]
fn a_worker_whose_settlements_failed_is_named_again() {
    let file = File::new();
    let database = file.database(&crate::common::patient_for(Duration::from_millis(50)));
    let waiter = waiter(&database);
    let mut worker = queue_worker(&waiter, 1, "q");
    enqueue(&database, "q", "p");
    let claimed = job(worker.next(1, NOW));
    assert_timeout(worker.next(1, NOW));
    assert!(named(&waiter).is_empty());
    let other = file.plain();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(matches!(worker.settle_and_next(&[ack(&claimed)], 1, NOW), Err(Error::Busy(_))));
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(named_by_descriptor(&waiter), [1]);
    assert_eq!(worker.settle_and_next(&[ack(&claimed)], 1, NOW).unwrap().held, [Ok(true)]);
}

/// What keeps the file from being asked for one consumer makes that one ready, and no other.
#[test]
fn an_error_of_one_consumers_look_names_no_other() {
    let (file, database) = open();
    let waiter = waiter(&database);
    let mut jobs = queue_worker(&waiter, 1, "a");
    let mut channel = listening(&waiter, 2, "c");
    let mut topic = StreamSubscription::on(&waiter, 3, "t", StreamOptions::default()).unwrap();
    assert_eq!(named(&waiter), [1, 2, 3]);
    assert_timeout(jobs.next(1, NOW));
    assert_timeout(channel.next(NOW));
    assert_timeout(topic.next(NOW));

    file.plain().execute_batch("ALTER TABLE _honker_stream RENAME TO gone").unwrap();
    assert_eq!(named(&waiter), [3]);
    assert!(matches!(topic.next(NOW), Err(Error::Sql(_))));
    assert_eq!(
        file.plain().execute("INSERT INTO _honker_notifications (channel, payload) VALUES ('c', 'p')", []),
        Ok(1)
    );
    assert!(named(&waiter).contains(&2));
    assert_eq!(item(channel.next(NOW)).payload, "p");
}
