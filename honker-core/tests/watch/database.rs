//! `Database::subscribe`.

use std::time::Duration;

use honker_core::Error;
use honker_core::database::{Database, JournalMode, Options};
use honker_core::queue::Enqueue;
use honker_core::watch::{Settings, Subscription, Wake};

use crate::foreign::Foreign;
use crate::support::{File, GUARD, QUIET, WAYS, alone, died, guarded, until, waiting, wakes, watchers};

fn open(file: &File, journal_mode: JournalMode, watcher: Settings) -> Database {
    Database::open(&file.path, &Options { journal_mode, watcher, ..Options::default() }).unwrap()
}

fn enqueue(database: &Database) {
    database.enqueue(&Enqueue::new("q", "p")).unwrap();
}

/// Takes what wakes there are. If one comes late, the next test is a weaker one.
fn settle(subscription: &Subscription) {
    while subscription.wait(Some(QUIET)) == Ok(Wake::Update) {}
}

const FOREIGN_ENQUEUE: &str = "INSERT INTO _honker_live (queue, payload) VALUES ('q', 'p')";

#[test]
fn commits_of_anybody_wake() {
    std::thread::scope(|scope| {
        for journal_mode in
            [JournalMode::Wal, JournalMode::Delete, JournalMode::Truncate, JournalMode::Persist]
        {
            for settings in WAYS {
                if settings.backend != honker_core::watch::Backend::Shm || journal_mode == JournalMode::Wal {
                    scope.spawn(move || commits_wake(journal_mode, settings));
                }
            }
        }
    });
}

fn commits_wake(journal_mode: JournalMode, settings: Settings) {
    let file = File::none();
    let database = open(&file, journal_mode, settings);
    let subscription = database.subscribe().unwrap();
    for _ in 0..3 {
        settle(&subscription);
        enqueue(&database);
        wakes(&subscription);
        settle(&subscription);
        Foreign::on(&file.path).sql(FOREIGN_ENQUEUE);
        wakes(&subscription);
    }
}

#[test]
fn closing_ends_every_wait_and_lets_go_of_the_file() {
    let name = "database::closing_ends_every_wait_and_lets_go_of_the_file";
    alone(name, || {
        for _ in 0..10 {
            let file = File::none();
            let database = open(&file, JournalMode::Wal, Settings::default());
            enqueue(&database);
            let blocked: Vec<_> = (0..5)
                .map(|_| {
                    let subscription = database.subscribe().unwrap();
                    waiting(move || {
                        until("it ends", || subscription.wait(None).is_err());
                        subscription.wait(None)
                    })
                })
                .collect();
            let idle = database.subscribe().unwrap();
            database.close().unwrap();
            assert_eq!(watchers(), 0);
            let left: Vec<_> = std::fs::read_dir(file.directory.path()).unwrap().collect();
            assert_eq!(left.len(), 1, "{left:?}");
            std::fs::remove_file(&file.path).unwrap();
            for thread in blocked {
                assert_eq!(thread.join().unwrap(), Err(Error::Closed));
            }
            assert_eq!(idle.wait(Some(GUARD)), Err(Error::Closed));
            assert_eq!(database.subscribe().map(|_| ()), Err(Error::Closed));
        }
    });
}

#[test]
fn interrupting_ends_waits_that_are_running() {
    let file = File::none();
    let database = open(&file, JournalMode::Wal, Settings::default());
    let subscription = database.subscribe().unwrap();
    settle(&subscription);
    let thread = waiting(move || (subscription.wait(None), subscription));
    database.interrupt().unwrap();
    let (outcome, subscription) = thread.join().unwrap();
    assert!(matches!(outcome, Err(Error::Interrupted(_))), "{outcome:?}");
    assert_eq!(subscription.wait(Some(Duration::ZERO)), Ok(Wake::Timeout));
}

/// The first subscription has to wait as long as somebody keeps the file locked. Neither an interrupt nor a close waits
/// for that; both end it.
#[test]
fn a_start_that_takes_long_keeps_nobody_waiting() {
    guarded(|| {
        let file = File::none();
        let database = open(&file, JournalMode::Delete, Settings::default());
        let mut foreign = Foreign::on(&file.path);
        foreign.sql("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; PRAGMA user_version = 1");
        for close in [false, true] {
            let starting = {
                let database = database.clone();
                std::thread::spawn(move || database.subscribe().map(drop))
            };
            std::thread::sleep(QUIET);
            assert!(!starting.is_finished());
            if close {
                let _ = database.close();
            } else {
                database.interrupt().unwrap();
            }
            // It has not ended by itself: that would be BUSY.
            let expected = if close { Error::Closed.to_string() } else { "interrupted".to_owned() };
            assert_eq!(starting.join().unwrap().unwrap_err().to_string(), expected);
        }
    });
}

/// Databases on one file share the watcher, and neither's closing is the other's business.
#[test]
fn two_databases_on_one_file() {
    alone("database::two_databases_on_one_file", || {
        let file = File::none();
        let [first, second] = [(); 2].map(|()| open(&file, JournalMode::Wal, Settings::default()));
        let subscriptions = [first.subscribe().unwrap(), second.subscribe().unwrap()];
        assert_eq!(watchers(), 0);
        first.close().unwrap();
        assert_eq!(subscriptions[0].wait(None), Err(Error::Closed));
        settle(&subscriptions[1]);
        enqueue(&second);
        wakes(&subscriptions[1]);
        second.close().unwrap();
        assert_eq!(watchers(), 0);
    });
}

/// Present and later subscribers; what helps is to open the file again.
#[test]
fn a_replaced_file_is_an_error_until_it_is_opened_again() {
    let file = File::none();
    let database = open(&file, JournalMode::Wal, Settings::default());
    let early = database.subscribe().unwrap();
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(file.beside(suffix)).unwrap();
    }
    crate::support::create(&file.path, "DELETE");
    until("it is dead", || early.wait(Some(GUARD)).is_err());
    died(early.wait(None));
    died(database.subscribe().map(|_| ()));
    drop(early);
    died(database.subscribe().map(|_| ()));
    drop(database);
    let database = open(&file, JournalMode::Wal, Settings::default());
    let subscription = database.subscribe().unwrap();
    settle(&subscription);
    enqueue(&database);
    wakes(&subscription);
}

/// Subscribing while others subscribe, leave, commit and close.
#[test]
fn everything_at_once() {
    alone("database::everything_at_once", || {
        for round in 0..15 {
            let file = File::none();
            let database = open(&file, JournalMode::Wal, Settings::default());
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        while let Ok(subscription) = database.subscribe() {
                            if subscription.wait(Some(Duration::from_millis(1))).is_err() {
                                break;
                            }
                        }
                    });
                }
                scope.spawn(|| while database.enqueue(&Enqueue::new("q", "p")).is_ok() {});
                std::thread::sleep(Duration::from_millis(20 + 7 * round));
                database.close().unwrap();
                assert_eq!(watchers(), 0);
                std::fs::remove_file(&file.path).unwrap();
            });
        }
    });
}
