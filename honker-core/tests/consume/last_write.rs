//! What a consumer still has to write when it ends: written if it can be, and nobody waits for it for long.

use std::time::Duration;

use honker_core::Error;
use honker_core::consume::{StreamOptions, StreamSubscription};
use honker_core::database::{Database, Nesting, Options, Transaction};

use crate::leader::leader;
use crate::support::*;

const LOCKS: &str = "SELECT count(*) FROM _honker_locks";
const OFFSET: &str = "SELECT coalesce(max(offset), 0) FROM _honker_stream_consumers";

fn saving(database: &Database) -> StreamSubscription {
    let options = StreamOptions { consumer: Some("c".to_owned()), ..StreamOptions::default() };
    StreamSubscription::new(database, "t", options).unwrap()
}

#[test]
fn closing_gives_locks_up_and_saves_offsets() {
    guarded(|| {
        // A transaction that is open is rolled back before, also this thread's.
        for in_transaction in [false, true] {
            let (file, database) = open();
            let mut leads = leader(&database, "a");
            assert_timeout(leads.next(NOW));
            assert!(leads.leads());
            let mut subscription = saving(&database);
            (0..4).for_each(|_| assert!(publish(&database, "t", "1") > 0));
            (0..4).for_each(|_| drop(item(subscription.next(LONG))));
            let transaction = in_transaction.then(|| {
                let mut transaction = database.begin().unwrap();
                transaction.notify("c", "p").unwrap();
                transaction
            });
            database.close().unwrap();
            assert_eq!(file.count(LOCKS), 0);
            // The fourth is not finished.
            assert_eq!(file.count(OFFSET), 3);
            assert_eq!(file.count("SELECT count(*) FROM _honker_notifications"), 0);
            drop((leads, subscription, transaction));
            assert_eq!(file.count(OFFSET), 3);
        }
    });
}

/// Whatever leaders are doing just then.
#[test]
fn closing_at_any_moment_leaves_no_lock_behind() {
    guarded(|| {
        for round in 0..40 {
            let (file, database) = open();
            let threads: Vec<_> = ["a", "b", "c"]
                .map(|owner| {
                    let mut leader = leader(&database, owner);
                    Thread::start(move || {
                        loop {
                            match leader.next(NOW) {
                                Ok(_) if leader.leads() && owner == "a" => leader.resign().unwrap_or(()),
                                Ok(_) => {}
                                Err(error) => return error,
                            }
                        }
                    })
                })
                .into();
            std::thread::sleep(Duration::from_micros(300 * round));
            database.close().unwrap();
            for thread in threads {
                assert_eq!(thread.join(), Error::Closed);
            }
            assert_eq!(file.count(LOCKS), 0, "in round {round}");
        }
    });
}

/// A finalizer must not wait for as long as a call may, whoever has the lock. (With this busy timeout it would hang.)
#[test]
fn dropping_does_not_wait_for_long() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options { busy_timeout: GUARD * 2, ..Options::default() });
        let consumers = |owner| {
            let mut leads = leader(&database, owner);
            assert_timeout(leads.next(NOW));
            assert!(leads.leads());
            let mut subscription = saving(&database);
            (0..2).for_each(|_| assert!(publish(&database, "t", "1") > 0));
            (0..2).for_each(|_| drop(item(subscription.next(LONG))));
            (leads, subscription)
        };
        // Another process's, and a transaction of another thread's of this one.
        let first = consumers("a");
        let other = file.plain();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        drop(first);
        other.execute_batch("COMMIT").unwrap();
        assert_eq!((file.count(LOCKS), file.count(OFFSET)), (1, 0));
        other.execute_batch("DELETE FROM _honker_locks").unwrap();

        let second = consumers("b");
        let transaction = {
            let database = database.clone();
            Thread::start(move || database.begin().unwrap()).join()
        };
        drop(second);
        assert_eq!((file.count(LOCKS), file.count(OFFSET)), (1, 0));
        Transaction::rollback(transaction).unwrap();
        // Who had the connection has written it.
        assert_eq!(file.count(LOCKS), 0);
        assert!(file.count(OFFSET) > 0);

        // Nobody has it: it is written.
        drop(consumers("c"));
        assert_eq!(file.count(LOCKS), 0);
        assert!(file.count(OFFSET) > 0);
    });
}

/// Nobody could write it before the transaction of the thread itself is over.
#[test]
fn what_is_dropped_in_a_transaction_of_its_own_thread_is_written_after_it() {
    type End = fn(&Database, Transaction);
    const ENDS: [End; 4] = [
        |_, transaction| transaction.commit().unwrap(),
        |_, transaction| transaction.rollback().unwrap(),
        |_, transaction| drop(transaction),
        |database, _| database.close().unwrap(),
    ];
    guarded(|| {
        for nesting in [Nesting::Fail, Nesting::Wait] {
            for end in ENDS {
                let file = File::new();
                let database = file.database(&Options { nesting, ..Options::default() });
                let mut leads = leader(&database, "a");
                assert_timeout(leads.next(NOW));
                let mut subscription = saving(&database);
                (0..2).for_each(|_| assert!(publish(&database, "t", "1") > 0));
                (0..2).for_each(|_| drop(item(subscription.next(LONG))));
                let mut transaction = database.begin().unwrap();
                transaction.notify("c", "p").unwrap();
                drop((leads, subscription));
                assert_eq!((file.count(LOCKS), file.count(OFFSET)), (1, 0));
                end(&database, transaction);
                assert_eq!(file.count(LOCKS), 0, "{nesting:?}");
                assert!(file.count(OFFSET) > 0, "{nesting:?}");
            }
        }
    });
}

#[test]
fn closing_does_not_wait_for_long() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options { busy_timeout: GUARD * 2, ..Options::default() });
        let mut leads = leader(&database, "a");
        assert_timeout(leads.next(NOW));
        let other = file.plain();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        database.close().unwrap();
        other.execute_batch("COMMIT").unwrap();
        assert_eq!(file.count(LOCKS), 1);
    });
}
