//! Waiting for somebody else's lock: as long as the busy timeout, and not a moment less.

use std::time::{Duration, Instant};

use honker_core::database::{Database, JournalMode, Options};
use honker_core::{Error, Result};
use rusqlite::ffi;

use crate::support::{File, GUARD, Worker, code, enqueue, guarded, journal};

type Call = fn(&Database) -> Result<()>;

const WRITES: &[Call] = &[
    |database| enqueue(database, "p").map(drop),
    |database| database.begin().and_then(honker_core::database::Transaction::commit),
];

#[test]
fn a_lock_that_is_released_in_time_is_waited_for() {
    for mode in [JournalMode::Wal, JournalMode::Delete] {
        guarded(move || {
            let file = File::new();
            let database = file.database(&journal(mode));
            for write in WRITES {
                let other = file.plain();
                other.execute_batch("BEGIN IMMEDIATE").unwrap();
                let database = database.clone();
                let waiting = Worker::start(move || write(&database)).until_asleep();
                other.execute_batch("COMMIT").unwrap();
                waiting.join().unwrap();
            }
        });
    }
}

#[test]
fn a_lock_that_is_kept_is_busy_after_the_timeout() {
    for mode in [JournalMode::Wal, JournalMode::Delete] {
        guarded(move || {
            let file = File::new();
            let timeout = Duration::from_millis(250);
            let database = file.database(&Options { busy_timeout: timeout, ..journal(mode) });
            let other = file.plain();
            other.execute_batch("BEGIN IMMEDIATE").unwrap();
            for write in WRITES {
                let began = Instant::now();
                let error = write(&database).unwrap_err();
                assert!(began.elapsed() >= timeout, "{:?}", began.elapsed());
                assert!(matches!(error, Error::Busy(_)), "{error:?}");
                assert!(error.to_string().contains("locked"), "{error}");
            }
            other.execute_batch("COMMIT").unwrap();
            for write in WRITES {
                write(&database).unwrap();
            }
        });
    }
}

/// A commit of a rollback journal waits for those who read.
#[test]
fn a_commit_waits_for_readers_of_a_rollback_journal() {
    guarded(|| {
        let file = File::new();
        let timeout = Duration::from_millis(250);
        let database = file.database(&Options { busy_timeout: timeout, ..journal(JournalMode::Delete) });
        enqueue(&database, "p").unwrap();
        let other = file.plain();
        other.execute_batch("BEGIN; SELECT * FROM _honker_live").unwrap();
        let began = Instant::now();
        assert_eq!(code(enqueue(&database, "p")), ffi::SQLITE_BUSY);
        assert!(began.elapsed() >= timeout);
        let mut transaction = database.begin().unwrap();
        transaction.execute("DELETE FROM _honker_live", &[]).unwrap();
        assert_eq!(code(transaction.commit()), ffi::SQLITE_BUSY);
        assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 1);

        let waiting = Worker::start({
            let database = database.clone();
            move || enqueue(&database, "p")
        });
        let waiting = waiting.until_asleep();
        other.execute_batch("COMMIT").unwrap();
        waiting.join().unwrap();
        assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 2);
    });
}

/// Two connections of two databases, both writing all the time: nobody ever sees that the other exists.
#[test]
fn writers_of_two_databases_wait_for_each_other() {
    for mode in [JournalMode::Wal, JournalMode::Delete] {
        guarded(move || {
            let file = File::new();
            // A busy machine may keep one waiting for long.
            let options = Options { busy_timeout: GUARD, ..journal(mode) };
            let databases = [file.database(&options), file.database(&options)];
            std::thread::scope(|scope| {
                for database in databases.iter().chain(&databases) {
                    scope.spawn(|| {
                        for _ in 0..100 {
                            enqueue(database, "p").unwrap();
                        }
                    });
                }
            });
            assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 400);
            assert!(file.is_intact());
        });
    }
}

/// The timeout of a statement of the user's is ours as well.
#[test]
fn a_batch_waits_for_a_lock_once_and_fails_as_one() {
    guarded(|| {
        let file = File::new();
        let timeout = Duration::from_millis(300);
        let database = file.database(&Options { busy_timeout: timeout, ..Options::default() });
        let other = file.plain();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let began = Instant::now();
        let workers: Vec<_> = (0..10)
            .map(|_| {
                let database = database.clone();
                Worker::start(move || {
                    let outcome = enqueue(&database, "p");
                    (outcome, Instant::now())
                })
            })
            .collect();
        for worker in workers {
            let (outcome, ended) = worker.join();
            assert_eq!(code(outcome), ffi::SQLITE_BUSY);
            assert!(ended.duration_since(began) >= timeout);
        }
        // A reader does not care.
        database.query("SELECT count(*) FROM _honker_live", &[]).unwrap();
        other.execute_batch("COMMIT").unwrap();
        enqueue(&database, "p").unwrap();
        assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 1);
    });
}
