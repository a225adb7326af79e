//! Transactions of the user's: all of it or nothing, and the writer is always free again.

use std::panic::{AssertUnwindSafe, catch_unwind};

use honker_core::Error;
use honker_core::database::{Database, Options, Value};
use honker_core::queue::Enqueue;
use rusqlite::ffi;

use crate::support::{File, code, enqueue, guarded, is_misuse, single};

fn with_table() -> (File, Database) {
    let file = File::new();
    let database = file.database(&Options::default());
    file.plain().execute_batch("CREATE TABLE t(x)").unwrap();
    (file, database)
}

const COUNT: &str = "SELECT count(*) FROM t";

#[test]
fn committing_shows_and_everything_else_hides() {
    let (file, database) = with_table();
    let mut transaction = database.begin().unwrap();
    assert_eq!(transaction.execute("INSERT INTO t VALUES (1), (2)", &[]), Ok(2));
    assert_eq!(single(transaction.query(COUNT, &[]).unwrap()), Value::Integer(2));
    assert_eq!(file.count(COUNT), 0);
    assert_eq!(single(database.query(COUNT, &[]).unwrap()), Value::Integer(0));
    transaction.commit().unwrap();
    assert_eq!(file.count(COUNT), 2);

    let mut transaction = database.begin().unwrap();
    transaction.execute("INSERT INTO t VALUES (3)", &[]).unwrap();
    transaction.rollback().unwrap();

    let mut transaction = database.begin().unwrap();
    transaction.execute("CREATE TABLE other(x)", &[]).unwrap();
    transaction.execute("DELETE FROM t", &[]).unwrap();
    drop(transaction);

    let panic = catch_unwind(AssertUnwindSafe(|| {
        let mut transaction = database.begin().unwrap();
        transaction.execute("DELETE FROM t", &[]).unwrap();
        std::panic::resume_unwind(Box::new(()));
    }));
    assert!(panic.is_err());

    assert_eq!(file.count(COUNT), 2);
    assert_eq!(file.count("SELECT count(*) FROM sqlite_schema WHERE name = 'other'"), 0);
    enqueue(&database, "p").unwrap();
}

#[test]
fn operations_and_functions_belong_to_the_transaction() {
    let (file, database) = with_table();
    let both = |commit: bool| {
        let mut transaction = database.begin().unwrap();
        transaction.execute("INSERT INTO t VALUES (1)", &[]).unwrap();
        let one = transaction.enqueue(&Enqueue::new("q", "p")).unwrap().id;
        let sql = "SELECT honker_enqueue(?, ?, NULL, NULL, 0, 3, NULL)";
        let two = single(transaction.query(sql, &["q".into(), "p".into()]).unwrap());
        assert_eq!(two, Value::Integer(one + 1));
        if commit { transaction.commit() } else { transaction.rollback() }.unwrap();
    };
    both(false);
    assert_eq!((file.count(COUNT), file.count("SELECT count(*) FROM _honker_live")), (0, 0));
    both(true);
    assert_eq!((file.count(COUNT), file.count("SELECT count(*) FROM _honker_live")), (1, 2));
}

#[test]
fn an_operation_that_fails_leaves_the_transaction_open() {
    let (file, database) = with_table();
    let mut transaction = database.begin().unwrap();
    transaction.execute("INSERT INTO t VALUES (1)", &[]).unwrap();
    let late = Enqueue { delay_s: Some(i64::MAX), ..Enqueue::new("q", "late") };
    assert!(matches!(transaction.enqueue(&late), Err(Error::Invalid(_))));
    transaction.execute("INSERT INTO missing VALUES (1)", &[]).unwrap_err();
    transaction.execute("INSERT INTO t VALUES (2)", &[]).unwrap();
    transaction.commit().unwrap();
    assert_eq!(file.count(COUNT), 2);
}

#[test]
fn a_transaction_may_move_between_threads() {
    guarded(|| {
        let (file, database) = with_table();
        let mut transaction = database.begin().unwrap();
        for thread in 0..4 {
            let database = database.clone();
            transaction = std::thread::spawn(move || {
                transaction.execute("INSERT INTO t VALUES (?)", &[thread.into()]).unwrap();
                // It is this thread's now.
                assert!(is_misuse(&database.begin().map(drop)));
                transaction
            })
            .join()
            .unwrap();
        }
        transaction.commit().unwrap();
        assert_eq!(file.count(COUNT), 4);
        enqueue(&database, "p").unwrap();
    });
}

/// SQL that ends the transaction behind our back. Whatever the user does then, it does not happen outside of one.
#[test]
fn a_transaction_that_a_trigger_ended_is_over() {
    const BOMB: &str = "INSERT INTO t VALUES ('bomb')";
    guarded(|| {
        let (file, database) = with_table();
        file.plain()
            .execute_batch(
                "CREATE TRIGGER bomb BEFORE INSERT ON t WHEN new.x = 'bomb' BEGIN SELECT raise(ROLLBACK, 'boom'); END",
            )
            .unwrap();
        let mut transaction = database.begin().unwrap();
        transaction.execute("INSERT INTO t VALUES (1)", &[]).unwrap();
        assert_eq!(code(transaction.execute(BOMB, &[])), ffi::SQLITE_CONSTRAINT);
        assert!(is_misuse(&transaction.execute("INSERT INTO t VALUES (2)", &[])));
        assert!(is_misuse(&transaction.query("SELECT 1", &[])));
        assert!(is_misuse(&transaction.get_job(1).map(drop)));
        assert!(is_misuse(&transaction.commit()));
        assert_eq!(file.count(COUNT), 0);
        enqueue(&database, "p").unwrap();

        let mut transaction = database.begin().unwrap();
        transaction.query(BOMB, &[]).unwrap_err();
        transaction.rollback().unwrap();
        drop(database.begin().unwrap());
        assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 1);
    });
}

#[test]
fn a_transaction_within_a_transaction_is_refused_at_once_and_other_threads_wait() {
    guarded(|| {
        let (file, database) = with_table();
        let transaction = database.begin().unwrap();
        assert!(is_misuse(&database.begin().map(drop)));
        assert!(is_misuse(&enqueue(&database, "p")));
        // Reading takes nobody's place.
        database.get_job(1).unwrap();
        let waiting = crate::support::Worker::start({
            let database = database.clone();
            move || (enqueue(&database, "p"), database.begin().map(drop))
        });
        let waiting = waiting.until_asleep();
        transaction.commit().unwrap();
        let (call, begin) = waiting.join();
        call.unwrap();
        begin.unwrap();
        assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 1);
    });
}

#[test]
fn transactions_in_a_row_never_leak_the_writer() {
    guarded(|| {
        let (file, database) = with_table();
        file.plain()
            .execute_batch(
                "CREATE TABLE parent(id INTEGER PRIMARY KEY);
                 CREATE TABLE child(id REFERENCES parent(id) DEFERRABLE INITIALLY DEFERRED)",
            )
            .unwrap();
        for round in 0..400 {
            let mut transaction = database.begin().unwrap();
            transaction.execute("INSERT INTO t VALUES (?)", &[round.into()]).unwrap();
            match round % 4 {
                0 => transaction.commit().unwrap(),
                1 => {
                    transaction.execute("INSERT INTO child VALUES (7)", &[]).unwrap();
                    assert_eq!(code(transaction.commit()), ffi::SQLITE_CONSTRAINT);
                }
                2 => transaction.rollback().unwrap(),
                _ => drop(transaction),
            }
            if round % 10 == 0 {
                enqueue(&database, "p").unwrap();
            }
        }
        assert_eq!(file.count(COUNT), 100);
        assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 40);
    });
}

/// Errors after which SQLite has rolled back by itself.
#[test]
fn a_transaction_that_sqlite_rolled_back_is_over() {
    guarded(|| {
        let (file, database) = with_table();
        let mut transaction = database.begin().unwrap();
        transaction.execute("CREATE UNIQUE INDEX one ON t(x)", &[]).unwrap();
        transaction.commit().unwrap();
        let mut transaction = database.begin().unwrap();
        transaction.execute("INSERT INTO t VALUES (1)", &[]).unwrap();
        let refused = transaction.execute("INSERT OR ROLLBACK INTO t VALUES (1)", &[]);
        assert_eq!(code(refused), ffi::SQLITE_CONSTRAINT);
        assert!(is_misuse(&transaction.execute("INSERT INTO t VALUES (2)", &[])));
        assert!(is_misuse(&transaction.commit()));
        assert_eq!(file.count(COUNT), 0);
        enqueue(&database, "p").unwrap();
    });
}
