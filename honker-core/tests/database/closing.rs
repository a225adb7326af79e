//! Closing: everything ends, and the file is nobody's.

use std::path::Path;
use std::sync::Barrier;

use honker_core::Error;
use honker_core::database::{Database, JournalMode, Options};

use crate::support::{
    Call, ENDLESS, ENDLESS_WRITE, File, Worker, enqueue, guarded, journal, reading, waiting, waiting_in_line,
};

/// The descriptors of this process on the log of a database. Those on the database itself stay in a pool as long as it
/// has a name, for the locks of another copy of SQLite (`honker_core::vfs`); those on the log are where connections are.
fn log_descriptors(database: &Path) -> Vec<String> {
    descriptors(&format!("{}-wal", database.display()))
}

/// The descriptors of this process on files whose names begin like this.
fn descriptors(path: &str) -> Vec<String> {
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .map(|target| target.to_string_lossy().into_owned())
        .filter(|target| target.starts_with(path))
        .collect()
}

fn check_gone(file: &File) {
    assert_eq!(log_descriptors(&file.path), [""; 0]);
    let left: Vec<_> = std::fs::read_dir(file.path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with("-journal"))
        .collect();
    assert_eq!(left, ["app.db"]);
    std::fs::remove_file(&file.path).unwrap();
    // The pool gives up the descriptors on files without a name when the next file is opened.
    let next = File::new();
    drop(next.database(&Options::default()));
    assert_eq!(descriptors(file.path.to_str().unwrap()), [""; 0]);
}

fn check_closed(database: &Database) {
    assert_eq!(enqueue(database, "p"), Err(Error::Closed));
    assert_eq!(database.get_job(1).map(drop), Err(Error::Closed));
    assert_eq!(database.query("SELECT 1", &[]), Err(Error::Closed));
    assert_eq!(database.begin().map(drop), Err(Error::Closed));
    let _ = database.interrupt();
    assert_eq!(database.close(), Ok(()));
}

#[test]
fn nothing_is_left_of_a_closed_database() {
    for mode in [JournalMode::Wal, JournalMode::Delete, JournalMode::Truncate, JournalMode::Persist] {
        let file = File::new();
        let database = file.database(&journal(mode));
        enqueue(&database, "p").unwrap();
        database.query("SELECT * FROM _honker_live", &[]).unwrap();
        assert!(!descriptors(file.path.to_str().unwrap()).is_empty(), "this test sees no descriptors");
        database.close().unwrap();
        check_closed(&database);
        check_gone(&file);
    }
}

#[test]
fn dropping_the_last_handle_closes() {
    let file = File::new();
    let database = file.database(&Options::default());
    let clone = database.clone();
    drop(database);
    enqueue(&clone, "p").unwrap();
    clone.query("SELECT * FROM _honker_live", &[]).unwrap();
    // A transaction keeps the database open as well.
    let mut transaction = clone.begin().unwrap();
    drop(clone);
    transaction.execute("DELETE FROM _honker_live", &[]).unwrap();
    transaction.commit().unwrap();
    check_gone(&file);
}

#[test]
fn an_open_transaction_is_rolled_back_and_answers_closed() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options::default());
        enqueue(&database, "p").unwrap();
        let mut transaction = database.begin().unwrap();
        transaction.execute("DELETE FROM _honker_live", &[]).unwrap();
        database.close().unwrap();
        assert_eq!(transaction.execute("SELECT 1", &[]), Err(Error::Closed));
        assert_eq!(transaction.query("SELECT 1", &[]), Err(Error::Closed));
        assert_eq!(transaction.get_job(1).map(drop), Err(Error::Closed));
        drop(transaction);
        check_closed(&database);
        for end in [honker_core::database::Transaction::commit, honker_core::database::Transaction::rollback]
        {
            let database = file.database(&Options::default());
            let mut transaction = database.begin().unwrap();
            transaction.execute("DELETE FROM _honker_live", &[]).unwrap();
            database.close().unwrap();
            let ended = end(transaction);
            assert!(matches!(ended, Err(Error::Closed) | Ok(())), "{ended:?}");
            check_closed(&database);
        }
        assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 1);
        check_gone(&file);
    });
}

/// A commit that cannot happen any more must not be reported.
#[test]
fn committing_after_the_close_is_an_error() {
    let file = File::new();
    let database = file.database(&Options::default());
    let transaction = database.begin().unwrap();
    database.close().unwrap();
    assert_eq!(transaction.commit(), Err(Error::Closed));
}

#[test]
fn whatever_runs_ends() {
    const CALLS: &[Call] = &[
        |database| database.query(ENDLESS, &[]).map(drop),
        |database| database.begin().unwrap().query(ENDLESS, &[]).map(drop),
        |database| database.begin().unwrap().query(ENDLESS_WRITE, &[]).map(drop),
    ];
    for call in CALLS {
        guarded(move || {
            let file = File::new();
            let database = file.database(&Options::default());
            let running = Worker::start({
                let database = database.clone();
                move || call(&database)
            });
            let running = running.until_computing();
            database.close().unwrap();
            assert_eq!(log_descriptors(&file.path), [""; 0]);
            assert_eq!(running.join(), Err(Error::Closed));
            check_closed(&database);
            check_gone(&file);
        });
    }
}

#[test]
fn whoever_waits_for_a_foreign_lock_ends() {
    const CALLS: &[Call] = &[
        |database| enqueue(database, "p").map(drop),
        |database| database.begin().map(drop),
        |database| database.query("SELECT * FROM _honker_live", &[]).map(drop),
    ];
    for (index, call) in CALLS.iter().enumerate() {
        guarded(move || {
            let file = File::new();
            let database = file.database(&journal(JournalMode::Delete));
            let other = file.plain();
            other.execute_batch("BEGIN EXCLUSIVE").unwrap();
            let waiting: Vec<_> = (0..3).map(|_| waiting(&database, *call)).collect();
            database.close().unwrap();
            for worker in waiting {
                assert_eq!(worker.join(), Err(Error::Closed), "call {index}");
            }
            check_closed(&database);
        });
    }
}

#[test]
fn whoever_waits_in_line_or_for_a_reader_ends() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options { readers_max: 1, ..Options::default() });
        let transaction = database.begin().unwrap();
        let mut workers = waiting_in_line(&database);
        let reading = reading(&database);
        workers.push(waiting(&database, |database| database.query("SELECT 1", &[]).map(drop)));
        let closing = waiting(&database, Database::close);
        for worker in workers {
            assert_eq!(worker.join(), Err(Error::Closed));
        }
        assert_eq!(reading.join(), Err(Error::Closed));
        closing.join().unwrap();
        drop(transaction);
        check_closed(&database);
        check_gone(&file);
    });
}

/// Whichever of them returns, the file is nobody's by then.
#[test]
fn closing_from_eight_threads_at_once() {
    guarded(|| {
        for _ in 0..20 {
            let file = File::new();
            let database = file.database(&Options::default());
            // A long log, which the one that closes writes back into the file.
            for _ in 0..20 {
                let payload = "x".repeat(200_000);
                enqueue(&database, &payload).unwrap();
            }
            let barrier = Barrier::new(8);
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        barrier.wait();
                        database.close().unwrap();
                        assert_eq!(log_descriptors(&file.path), [""; 0], "closed, and yet open");
                    });
                }
            });
            check_closed(&database);
            check_gone(&file);
        }
    });
}
