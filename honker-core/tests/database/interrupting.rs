//! Interrupting: whatever runs or waits ends, and nothing that comes later notices.

use honker_core::database::{Database, JournalMode, Options};

use crate::support::{
    Call, ENDLESS, ENDLESS_WRITE, File, Worker, enqueue, guarded, is_interrupted, journal, reading, waiting,
    waiting_in_line,
};

/// Afterwards everything works, and interrupting when nothing runs does no harm.
fn check_unharmed(database: &Database) {
    for _ in 0..20 {
        database.interrupt().unwrap();
        enqueue(database, "p").unwrap();
        database.query("SELECT count(*) FROM _honker_live", &[]).unwrap();
        let mut transaction = database.begin().unwrap();
        database.interrupt().unwrap();
        transaction.execute("DELETE FROM _honker_live", &[]).unwrap();
        database.interrupt().unwrap();
        transaction.commit().unwrap();
    }
}

#[test]
fn a_long_query_ends() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options::default());
        let running = Worker::start({
            let database = database.clone();
            move || database.query(ENDLESS, &[])
        });
        let running = running.until_computing();
        database.interrupt().unwrap();
        assert!(is_interrupted(&running.join()));
        check_unharmed(&database);
    });
}

#[test]
fn a_long_statement_of_a_transaction_ends() {
    guarded(|| {
        for sql in [ENDLESS, ENDLESS_WRITE] {
            let file = File::new();
            let database = file.database(&Options::default());
            let running = Worker::start({
                let database = database.clone();
                move || {
                    let mut transaction = database.begin().unwrap();
                    transaction.execute("INSERT INTO _honker_locks VALUES ('a', 'b', 1)", &[]).unwrap();
                    let outcome = transaction.query(sql, &[]);
                    (outcome, transaction.commit())
                }
            });
            let running = running.until_computing();
            database.interrupt().unwrap();
            let (outcome, commit) = running.join();
            assert!(is_interrupted(&outcome), "{outcome:?}");
            // SQLite rolls back when it interrupts what writes.
            assert_eq!(commit.is_ok(), sql == ENDLESS, "{commit:?}");
            assert_eq!(file.count("SELECT count(*) FROM _honker_locks"), i64::from(sql == ENDLESS));
            check_unharmed(&database);
        }
    });
}

#[test]
fn waiting_for_the_lock_of_somebody_else_ends() {
    const CALLS: &[Call] = &[
        |database| enqueue(database, "p").map(drop),
        |database| database.begin().map(drop),
        |database| database.query("SELECT * FROM _honker_live", &[]).map(drop),
        |database| database.get_job(1).map(drop),
    ];
    for (index, call) in CALLS.iter().enumerate() {
        for warm in [false, true] {
            guarded(move || {
                let file = File::new();
                let database = file.database(&journal(JournalMode::Delete));
                if warm {
                    // The connection that reads is open already.
                    database.query("SELECT 1 FROM _honker_live", &[]).unwrap();
                }
                let other = file.plain();
                other.execute_batch("BEGIN EXCLUSIVE").unwrap();
                let waiting = waiting(&database, *call);
                database.interrupt().unwrap();
                let outcome = waiting.join();
                assert!(is_interrupted(&outcome), "call {index}, warm {warm}: {outcome:?}");
                other.execute_batch("COMMIT").unwrap();
                check_unharmed(&database);
            });
        }
    }
}

#[test]
fn waiting_in_line_ends_and_the_transaction_goes_on() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options::default());
        let mut transaction = database.begin().unwrap();
        let waiting = waiting_in_line(&database);
        database.interrupt().unwrap();
        for worker in waiting {
            assert!(is_interrupted(&worker.join()));
        }
        transaction.execute("INSERT INTO _honker_locks VALUES ('a', 'b', 1)", &[]).unwrap();
        transaction.commit().unwrap();
        assert_eq!(file.count("SELECT count(*) FROM _honker_locks"), 1);
        assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 0);
        check_unharmed(&database);
    });
}

#[test]
fn waiting_for_a_reader_ends() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options { readers_max: 1, ..Options::default() });
        let reading = reading(&database);
        let waiting = waiting(&database, |database| database.query("SELECT 1", &[]).map(drop));
        database.interrupt().unwrap();
        assert!(is_interrupted(&waiting.join()));
        assert!(is_interrupted(&reading.join()));
        check_unharmed(&database);
    });
}

/// A busy timeout with many threads behind one lock of somebody else's: one interrupt ends them all.
#[test]
fn a_whole_line_behind_a_foreign_lock_ends() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options::default());
        let other = file.plain();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let waiting: Vec<_> =
            (0..10).map(|_| waiting(&database, |database| enqueue(database, "p").map(drop))).collect();
        database.interrupt().unwrap();
        for worker in waiting {
            assert!(is_interrupted(&worker.join()));
        }
        other.execute_batch("COMMIT").unwrap();
        assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 0);
        check_unharmed(&database);
    });
}
