//! Readers: beside the writer, never more than allowed, and none left in a state of its own.

use honker_core::Error;
use honker_core::database::{JournalMode, Options, Value};
use rusqlite::ffi;

use crate::support::{
    ENDLESS, File, GUARD, Worker, code, enqueue, guarded, is_interrupted, journal, patient_for, single, until,
};

const COUNT: &str = "SELECT count(*) FROM _honker_live";

#[test]
fn readers_see_what_is_committed_while_a_transaction_is_open() {
    for mode in [JournalMode::Wal, JournalMode::Delete] {
        guarded(move || {
            let file = File::new();
            let database = file.database(&journal(mode));
            let id = enqueue(&database, "p").unwrap();
            let mut transaction = database.begin().unwrap();
            transaction.execute("DELETE FROM _honker_live", &[]).unwrap();
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        for _ in 0..50 {
                            assert_eq!(single(database.query(COUNT, &[]).unwrap()), Value::Integer(1));
                            let job = database.get_job(id).unwrap();
                            assert!(job.is_some());
                        }
                    });
                }
            });
            transaction.commit().unwrap();
            assert_eq!(single(database.query(COUNT, &[]).unwrap()), Value::Integer(0));
        });
    }
}

#[test]
fn no_readers_are_one_reader() {
    let file = File::new();
    let database = file.database(&Options { readers_max: 0, ..Options::default() });
    assert_eq!(single(database.query("SELECT 1", &[]).unwrap()), Value::Integer(1));
}

#[test]
fn readers_do_not_write() {
    let file = File::new();
    let database = file.database(&Options::default());
    for sql in
        ["DELETE FROM _honker_live", "CREATE TABLE t(x)", "INSERT INTO _honker_locks VALUES ('a', 'b', 1)"]
    {
        assert_eq!(code(database.query(sql, &[])), ffi::SQLITE_READONLY, "{sql}");
    }
    assert!(database.query("SELECT honker_notify('c', 'p')", &[]).is_err());
}

/// What one query says to a connection is not felt by those after it.
#[test]
fn a_query_leaves_no_transaction_behind() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options { readers_max: 1, ..Options::default() });
        for (sql, jobs) in
            ["BEGIN", "begin immediate", "SAVEPOINT mine", "COMMIT", "RELEASE x"].iter().zip(1..)
        {
            let error = database.query(sql, &[]).unwrap_err();
            assert!(
                matches!(&error, Error::Invalid(message) if message.contains("honker_tx_begin")),
                "{error:?}"
            );
            let _ = database.query(COUNT, &[]);
            enqueue(&database, "p").unwrap();
            assert_eq!(
                database.query(COUNT, &[]).map(single),
                Ok(Value::Integer(jobs)),
                "a transaction was left open"
            );
        }
    });
}

/// Queries that take long leave a connection to operations and consumers, and none to further queries.
#[test]
fn long_queries_do_not_keep_operations_waiting() {
    for readers_max in [1, 2, 4] {
        guarded(move || {
            let file = File::new();
            let database = file.database(&Options { readers_max, ..patient_for(GUARD) });
            let id = enqueue(&database, "p").unwrap();
            let queries: Vec<_> = (0..8)
                .map(|_| {
                    let database = database.clone();
                    Worker::start(move || database.query(ENDLESS, &[]))
                })
                .collect();
            until("as many queries run as may", || {
                queries.iter().filter(|query| query.has_computed()).count() == (readers_max - 1).max(1)
            });
            for _ in 0..100 {
                assert!(database.get_job(id).unwrap().is_some());
            }
            database.interrupt().unwrap();
            for query in queries {
                assert!(is_interrupted(&query.join()));
            }
        });
    }
}

#[test]
fn a_query_cannot_make_a_reader_write() {
    let file = File::new();
    let database = file.database(&Options { readers_max: 1, ..Options::default() });
    assert!(matches!(database.query("PRAGMA query_only = OFF", &[]), Err(Error::Invalid(_))));
    assert_eq!(code(database.query("CREATE TABLE t(x)", &[])), ffi::SQLITE_READONLY);
}

/// The connections that are there serve others while one more cannot be opened yet.
#[test]
fn opening_a_reader_does_not_hold_up_the_others() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&journal(JournalMode::Delete));
        let other = file.plain();
        other.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let opening = Worker::start({
            let database = database.clone();
            move || database.query(COUNT, &[]).map(single)
        })
        .until_asleep();
        // Has nothing to wait for: it is refused before it touches the file.
        let second = Worker::start({
            let database = database.clone();
            move || database.query(COUNT, &[]).map(single)
        })
        .until_asleep();
        // Neither may be stuck behind the other's lock: an interrupt reaches both.
        database.interrupt().unwrap();
        assert_eq!(code(opening.join()), ffi::SQLITE_INTERRUPT);
        assert_eq!(code(second.join()), ffi::SQLITE_INTERRUPT);
        other.execute_batch("COMMIT").unwrap();
        assert_eq!(database.query(COUNT, &[]).map(single), Ok(Value::Integer(0)));
    });
}
