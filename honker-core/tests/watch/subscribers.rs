//! Many subscribers, and all that ends a wait.

use std::sync::Arc;
use std::time::Duration;

use honker_core::watch::{Settings, Subscription, Wake};
use honker_core::{Error, Result};

use crate::foreign::Foreign;
use crate::support::{
    File, GUARD, INSERT, QUIET, Thread, alone, caught_up, descriptors, guarded, is_readable, settle, until,
    waiting, wakes, watchers,
};

#[test]
fn all_subscribers_wake() {
    let file = File::new("WAL");
    let mut foreign = Foreign::on(&file.path);
    let watcher = file.watch(&Settings::default());
    let threads: Vec<_> = (0..50)
        .map(|_| {
            let subscription = watcher.subscribe().unwrap();
            std::thread::spawn(move || subscription.wait(Some(GUARD)))
        })
        .collect();
    // One that never looks does not keep the others waiting.
    let idle = watcher.subscribe().unwrap();
    foreign.sql(INSERT);
    for thread in threads {
        assert_eq!(thread.join().unwrap(), Ok(Wake::Update));
    }
    wakes(&idle);
}

/// Those that block need no thread of honker's; descriptors share one, and not even that if there is just one of them.
#[test]
fn three_hundred_subscribers_are_one_thread() {
    alone("subscribers::three_hundred_subscribers_are_one_thread", || {
        let file = File::new("WAL");
        let mut foreign = Foreign::on(&file.path);
        let before = descriptors();
        let watcher = file.watch(&Settings::default());
        let first = watcher.subscribe().unwrap();
        let with_one = descriptors().len();
        let mut subscriptions: Vec<_> = (0..299).map(|_| watcher.subscribe().unwrap()).collect();
        drop(watcher);
        assert_eq!((watchers(), descriptors().len()), (0, with_one));
        let numbers: Vec<_> =
            subscriptions.iter().map(|subscription| subscription.descriptor().unwrap()).collect();
        until("the thread has its name", || watchers() == 1);
        foreign.sql(INSERT);
        for number in numbers {
            until("it is readable", || is_readable(number));
        }
        subscriptions.truncate(1);
        subscriptions[0].wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(watchers(), 1);
        drop(first);
        let number = subscriptions[0].descriptor().unwrap();
        // Made while there were others, it has the thread still.
        foreign.sql(INSERT);
        until("it is readable", || is_readable(number));
        drop(subscriptions);
        assert_eq!(watchers(), 0);
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn coming_and_going_leaks_nothing_and_takes_no_wakes_away() {
    alone("subscribers::coming_and_going_leaks_nothing_and_takes_no_wakes_away", || {
        let file = File::new("WAL");
        let mut foreign = Foreign::on(&file.path);
        let watcher = file.watch(&Settings::default());
        let staying = watcher.subscribe().unwrap();
        let before = descriptors();
        let mut memory = 0;
        for round in 0..10 {
            for cycle in 0..1_000 {
                let subscription = watcher.subscribe().unwrap();
                if cycle % 10 == 0 {
                    subscription.descriptor().unwrap();
                }
            }
            settle(&watcher, &staying);
            foreign.sql(INSERT);
            assert_eq!(staying.wait(Some(GUARD)), Ok(Wake::Update), "{round}");
            if round == 0 {
                memory = resident_kb();
            }
        }
        assert_eq!(descriptors(), before);
        assert!(resident_kb() < memory + 1_024, "{memory} kB became {}", resident_kb());
        // It may have ended by now, if this took long.
        until("there is one thread at most", || watchers() <= 1);
    });
}

fn resident_kb() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4
}

/// Watchers that come and go, from many threads at once, while others commit.
#[test]
fn starting_and_stopping_leaks_nothing() {
    alone("subscribers::starting_and_stopping_leaks_nothing", || {
        let file = File::new("WAL");
        let mut foreign = Foreign::on(&file.path);
        for mode in ["WAL", "DELETE"] {
            foreign.sql(&format!("PRAGMA journal_mode = {mode}"));
            let before = descriptors();
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for _ in 0..25 {
                            let shared =
                                honker_core::watch::shared(&file.target(), &Settings::default()).unwrap();
                            let subscription = shared.subscribe().unwrap();
                            drop(shared);
                            assert!(subscription.wait(Some(Duration::from_millis(1))).is_ok());
                        }
                    });
                }
                for _ in 0..50 {
                    foreign.sql(INSERT);
                }
            });
            assert_eq!(watchers(), 0);
            assert_eq!(descriptors(), before);
        }
    });
}

fn subscribed() -> (File, Subscription) {
    let file = File::new("WAL");
    let subscription = file.watch(&Settings::default()).subscribe().unwrap();
    (file, subscription)
}

fn wait_in_thread(subscription: &Arc<Subscription>) -> Thread<Result<Wake>> {
    let subscription = Arc::clone(subscription);
    waiting(move || subscription.wait(None))
}

#[test]
fn a_wait_is_ended_by_what_is_there_to_end_it() {
    guarded(|| {
        let (_file, subscription) = subscribed();
        let waker = subscription.waker();
        let subscription = Arc::new(subscription);

        // Interrupted: only a wait that is running.
        waker.interrupt();
        is_silent(&subscription);
        let wait = wait_in_thread(&subscription);
        waker.interrupt();
        let error = wait.join().unwrap().unwrap_err();
        assert!(matches!(error, Error::Interrupted(_)), "{error:?}");
        is_silent(&subscription);

        // Woken: also the next one.
        let wait = wait_in_thread(&subscription);
        waker.wake();
        assert_eq!(wait.join().unwrap(), Ok(Wake::Woken));
        waker.wake();
        waker.wake();
        assert_eq!(subscription.wait(None), Ok(Wake::Woken));
        is_silent(&subscription);

        // Closed: for good.
        let wait = wait_in_thread(&subscription);
        waker.close();
        assert_eq!(wait.join().unwrap(), Err(Error::Closed));
        assert_eq!(subscription.wait(None), Err(Error::Closed));
        waker.wake();
        assert_eq!(subscription.wait(Some(Duration::ZERO)), Err(Error::Closed));
        assert!(waker.is_alive());
        drop(subscription);
        assert!(!waker.is_alive());
        waker.wake();
        waker.interrupt();
        waker.close();
    });
}

/// Whoever closes the last subscription has stopped the watcher, also if somebody else closes it at the same moment.
#[test]
fn closing_waits_for_the_watcher() {
    let name = "subscribers::closing_waits_for_the_watcher";
    alone(name, || {
        for _ in 0..40 {
            let (_file, subscription) = subscribed();
            let waker = subscription.waker();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while waker.is_alive() {
                        waker.close();
                        assert_eq!(watchers(), 0);
                    }
                });
                drop(subscription);
                assert_eq!(watchers(), 0);
            });
        }
    });
}

/// Nothing has been committed, so nothing comes.
#[track_caller]
fn is_silent(subscription: &Subscription) {
    assert_eq!(subscription.wait(Some(QUIET)), Ok(Wake::Timeout));
}

#[test]
fn the_descriptor_is_readable_while_there_is_something() {
    let file = File::new("WAL");
    let watcher = file.watch(&Settings::default());
    let subscription = watcher.subscribe().unwrap();
    let mut foreign = Foreign::on(&file.path);
    let waker = subscription.waker();
    let descriptor = subscription.descriptor().unwrap();
    assert_eq!(subscription.descriptor(), Ok(descriptor));
    settle(&watcher, &subscription);
    assert!(!is_readable(descriptor));
    for _ in 0..3 {
        foreign.sql(INSERT);
        until("it is readable", || is_readable(descriptor));
        caught_up(&watcher);
        assert!(is_readable(descriptor));
        wakes(&subscription);
        assert!(!is_readable(descriptor));
    }
    waker.wake();
    assert!(is_readable(descriptor));
    foreign.sql(INSERT);
    caught_up(&watcher);
    // Two things: it takes two waits.
    assert_eq!(subscription.wait(None), Ok(Wake::Woken));
    assert!(is_readable(descriptor));
    assert_eq!(subscription.wait(None), Ok(Wake::Update));
    assert!(!is_readable(descriptor));
    waker.interrupt();
    assert_eq!(subscription.wait(Some(Duration::ZERO)), Ok(Wake::Timeout));
    assert!(!is_readable(descriptor));
    waker.close();
    assert!(is_readable(descriptor));
    assert_eq!(subscription.wait(None), Err(Error::Closed));
    assert!(is_readable(descriptor));
}

/// One that is asked for late shows what is there already.
#[test]
fn the_descriptor_may_be_asked_for_late() {
    let (_file, subscription) = subscribed();
    subscription.waker().wake();
    assert!(is_readable(subscription.descriptor().unwrap()));
    let (_file, subscription) = subscribed();
    subscription.waker().close();
    assert!(is_readable(subscription.descriptor().unwrap()));
}
