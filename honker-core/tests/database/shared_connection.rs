//! The caller's own SQL on a connection that all calls share: what it may not do, and what is undone behind it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use honker_core::database::{Database, Options, Transaction, Value};
use honker_core::queue::Enqueue;
use honker_core::{Error, Result};

use crate::support::{File, Worker, enqueue, guarded, single};

/// What would outlast the transaction or end it, and a word of what the error has to say about it.
const REFUSED: &[(&str, &str)] = &[
    ("COMMIT", "honker_tx_commit"),
    ("end transaction", "honker_tx_commit"),
    ("ROLLBACK", "honker_tx_rollback"),
    ("BEGIN", "SAVEPOINT"),
    ("BEGIN IMMEDIATE", "SAVEPOINT"),
    ("ATTACH ':memory:' AS other", "ATTACH"),
    ("DETACH temp", "DETACH"),
    ("PRAGMA query_only = ON", "query_only"),
    ("PRAGMA main.Query_Only(1)", "query_only"),
    ("PRAGMA locking_mode = EXCLUSIVE", "locking_mode"),
    ("PRAGMA journal_mode = DELETE", "opened"),
    ("PRAGMA synchronous = OFF", "opened"),
    ("PRAGMA busy_timeout = 0", "opened"),
    ("PRAGMA foreign_keys = OFF", "defer_foreign_keys"),
    ("PRAGMA ignore_check_constraints = ON", "ignore_check_constraints"),
    ("PRAGMA writable_schema = ON", "writable_schema"),
    ("PRAGMA temp_store = FILE", "temp_store"),
    ("PRAGMA mmap_size = 1000000", "mmap_size"),
    ("PRAGMA recursive_triggers = ON", "recursive_triggers"),
    ("PRAGMA case_sensitive_like = ON", "case_sensitive_like"),
    ("EXPLAIN PRAGMA query_only = ON", "query_only"),
];

/// Each of them is refused by each of the ways in, and changes nothing about the transaction.
#[test]
fn what_would_damage_the_connection_is_refused() {
    type Run = fn(&mut Transaction, &str) -> Result<()>;
    const RUNS: [Run; 2] = [|tx, sql| tx.execute(sql, &[]).map(drop), |tx, sql| tx.query(sql, &[]).map(drop)];
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options::default());
        file.plain().execute_batch("CREATE TABLE t(x)").unwrap();
        let mut jobs = 0;
        // Twice: nothing is served from what was compiled before.
        for &(sql, hint) in REFUSED.iter().chain(REFUSED) {
            for run in RUNS {
                let mut transaction = database.begin().unwrap();
                transaction.execute("INSERT INTO t VALUES (?1)", &[sql.into()]).unwrap();
                let error = run(&mut transaction, sql).unwrap_err();
                assert!(
                    matches!(&error, Error::Invalid(message) if message.contains(hint)),
                    "{sql}: {error:?}"
                );
                assert_eq!(file.count("SELECT count(*) FROM t"), jobs, "{sql} has committed");
                transaction.execute("INSERT INTO t VALUES (?1)", &[sql.into()]).unwrap();
                transaction.execute("DELETE FROM t WHERE rowid = (SELECT max(rowid) FROM t)", &[]).unwrap();
                transaction.commit().unwrap();
                enqueue(&database, "p").unwrap();
                jobs += 1;
                // Nobody finds the file locked, either.
                assert_eq!(file.count("SELECT count(*) FROM _honker_live"), jobs, "{sql}");
            }
        }
    });
}

#[test]
fn a_query_cannot_damage_its_connection() {
    let file = File::new();
    let database = file.database(&Options { readers_max: 1, ..Options::default() });
    for &(sql, _) in REFUSED {
        let error = database.query(sql, &[]).unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{sql}: {error:?}");
        assert_eq!(single(database.query("SELECT 1", &[]).unwrap()), Value::Integer(1));
    }
}

#[test]
fn questions_and_what_ends_with_the_transaction_are_allowed() {
    let file = File::new();
    let database = file.database(&Options::default());
    file.plain().execute_batch("CREATE TABLE t(x)").unwrap();
    const QUESTIONS: &[&str] = &[
        "PRAGMA query_only",
        "PRAGMA locking_mode",
        "PRAGMA journal_mode",
        "PRAGMA busy_timeout",
        "PRAGMA foreign_keys",
        "PRAGMA table_info(t)",
        "PRAGMA main.index_list('t')",
        "PRAGMA integrity_check(3)",
        "PRAGMA foreign_key_check",
        "SELECT * FROM pragma_table_info('t')",
    ];
    for sql in QUESTIONS {
        database.query(sql, &[]).unwrap();
    }
    let allowed = ["PRAGMA user_version = 7", "PRAGMA defer_foreign_keys = ON", "CREATE TABLE u(x)"];
    for sql in QUESTIONS.iter().chain(&allowed) {
        let mut transaction = database.begin().unwrap();
        transaction.query(sql, &[]).unwrap();
        transaction.commit().unwrap();
        enqueue(&database, "p").unwrap();
    }
    assert_eq!(file.count("PRAGMA user_version"), 7);
}

/// A savepoint within a transaction ends with it, and undoes nothing but its own.
#[test]
fn savepoints_are_allowed() {
    let file = File::new();
    let database = file.database(&Options::default());
    file.plain().execute_batch("CREATE TABLE t(x)").unwrap();
    let mut transaction = database.begin().unwrap();
    for sql in [
        "SAVEPOINT s",
        "INSERT INTO t VALUES (1)",
        "RELEASE s",
        "SAVEPOINT _honker",
        "INSERT INTO t VALUES (2)",
        "SELECT notify('c', '1')",
        "ROLLBACK TO _honker",
        "SAVEPOINT left_open",
    ] {
        transaction.query(sql, &[]).unwrap();
    }
    assert_eq!(file.count("SELECT count(*) FROM t"), 0);
    transaction.commit().unwrap();
    assert_eq!(file.count("SELECT count(*) FROM t"), 1);
    assert_eq!(file.count("SELECT count(*) FROM _honker_notifications"), 0);
    enqueue(&database, "p").unwrap();
}

fn temporary(database: &Database) -> Value {
    let mut transaction = database.begin().unwrap();
    single(
        transaction
            .query("SELECT count(*) FROM temp.sqlite_schema WHERE name <> 'sqlite_sequence'", &[])
            .unwrap(),
    )
}

/// Temporary things are there for their transaction, and for nobody else.
#[test]
fn temporary_things_end_with_the_transaction() {
    const TEMPORARY: &[&str] = &[
        "CREATE TEMP TABLE \"a \"\" b\"(id INTEGER PRIMARY KEY AUTOINCREMENT, x UNIQUE)",
        "CREATE TEMP TABLE parent(id INTEGER PRIMARY KEY, child REFERENCES child(id) DEFERRABLE INITIALLY DEFERRED)",
        "CREATE TEMP TABLE child(id INTEGER PRIMARY KEY, parent NOT NULL REFERENCES parent(id))",
        "INSERT INTO parent VALUES (1, 1)",
        "INSERT INTO child VALUES (1, 1)",
        "CREATE TEMP VIEW v AS SELECT 1 AS one",
        "CREATE TEMP TRIGGER on_view INSTEAD OF INSERT ON v BEGIN SELECT 1; END",
        "CREATE TEMP TRIGGER spy AFTER INSERT ON main._honker_live BEGIN INSERT INTO child VALUES (new.id, 1); END",
        "CREATE VIRTUAL TABLE temp.words USING fts5(word)",
        "CREATE TEMP TABLE _honker_live(shadow)",
    ];
    type End = fn(Transaction);
    const ENDS: [End; 3] = [|tx| tx.commit().unwrap(), |tx| tx.rollback().unwrap(), drop];
    guarded(|| {
        for end in ENDS {
            let file = File::new();
            let database = file.database(&Options::default());
            for round in 1..=3 {
                let mut transaction = database.begin().unwrap();
                for sql in TEMPORARY {
                    transaction.execute(sql, &[]).unwrap_or_else(|error| panic!("{sql}: {error}"));
                }
                end(transaction);
                assert_eq!(temporary(&database), Value::Integer(0));
                enqueue(&database, "p").unwrap();
                assert_eq!(file.count("SELECT count(*) FROM _honker_live"), round);
            }
            // The keys are checked again.
            file.plain()
                .execute_batch("CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(p REFERENCES p)")
                .unwrap();
            assert!(database.begin().unwrap().execute("INSERT INTO c VALUES (1)", &[]).is_err());
        }
    });
}

/// An interrupt that comes when a transaction has just ended does not leave its temporary things to others.
#[test]
fn temporary_things_end_also_when_somebody_interrupts() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options::default());
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    database.interrupt().unwrap();
                    std::thread::sleep(Duration::from_micros(50));
                }
            });
            let mut found = 0;
            let mut made = 0;
            while made < 1000 {
                let Ok(mut transaction) = database.begin() else { continue };
                let left = transaction.query("SELECT count(*) FROM temp.sqlite_schema", &[]);
                found += i32::from(left.is_ok_and(|rows| single(rows) != Value::Integer(0)));
                made += i32::from(transaction.execute("CREATE TEMP TABLE t(x)", &[]).is_ok());
                let _ = transaction.commit();
            }
            over.store(true, Ordering::Relaxed);
            assert_eq!(found, 0);
        });
    });
}

/// No statement at all is a mistake of the caller's, and not of ours.
#[test]
fn an_empty_statement_is_refused() {
    let file = File::new();
    let database = file.database(&Options::default());
    for sql in ["", "  ", ";", "-- nothing", "/* nothing */ "] {
        let mut transaction = database.begin().unwrap();
        assert!(matches!(transaction.execute(sql, &[]), Err(Error::Invalid(_))), "{sql:?}");
        assert!(matches!(transaction.query(sql, &[]), Err(Error::Invalid(_))), "{sql:?}");
        transaction.commit().unwrap();
        assert!(matches!(database.query(sql, &[]), Err(Error::Invalid(_))), "{sql:?}");
    }
}

/// A limit on the size of the file holds for its transaction, however that ends, and whether or not its text was compiled
/// before.
#[test]
fn a_limit_on_the_file_ends_with_the_transaction() {
    let file = File::new();
    let database = file.database(&Options::default());
    let large = "x".repeat(100_000);
    for end in [Transaction::commit, Transaction::rollback] {
        for _ in 0..2 {
            let mut transaction = database.begin().unwrap();
            transaction.query("PRAGMA Max_Page_Count = 1", &[]).unwrap();
            assert!(matches!(transaction.enqueue(&Enqueue::new("q", &large)), Err(Error::Full(_))));
            let _ = end(transaction);
            enqueue(&database, &large).unwrap();
        }
    }
}

/// Triggers that the transaction has made itself, for good or for itself alone. What they refuse leaves nothing behind.
#[test]
fn a_trigger_of_the_transaction_s_own_counts() {
    guarded(|| {
        for (kind, undone) in [("TEMP ", false), ("", false), ("TEMP ", true), ("", true)] {
            let file = File::new();
            let database = file.database(&Options::default());
            enqueue(&database, "p").unwrap();
            let mut transaction = database.begin().unwrap();
            transaction.enqueue(&Enqueue::new("q", "p")).unwrap();
            transaction.execute("SAVEPOINT before", &[]).unwrap();
            let trigger = format!(
                "CREATE {kind}TRIGGER refuse AFTER INSERT ON main._honker_live WHEN new.payload = 'bad'
                 BEGIN SELECT RAISE(FAIL, 'refused'); END"
            );
            let trigger = if kind.is_empty() { trigger.replace("main.", "") } else { trigger };
            transaction.execute(&trigger, &[]).unwrap();
            if undone {
                transaction.execute("ROLLBACK TO before", &[]).unwrap();
                transaction.enqueue(&Enqueue::new("q", "p")).unwrap();
                transaction.execute(&trigger, &[]).unwrap();
            }
            let bad = Enqueue::new("q", "bad");
            assert!(matches!(transaction.enqueue(&bad), Err(Error::Constraint(_))), "{kind}");
            assert!(transaction.query("SELECT honker_enqueue('q', 'bad')", &[]).is_err());
            transaction.commit().unwrap();
            assert_eq!(file.count("SELECT count(*) FROM _honker_live WHERE payload = 'bad'"), 0, "{kind}");
            assert_eq!(database.enqueue(&bad).is_ok(), !kind.is_empty());
        }
    });
}

/// A trigger that a transaction drops and, rolling back, does not: calls that share a transaction meet it.
#[test]
fn a_trigger_whose_end_is_rolled_back_counts() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options::default());
        file.plain()
            .execute_batch(
                "CREATE TRIGGER refuse AFTER INSERT ON _honker_live WHEN new.payload = 'bad'
                 BEGIN SELECT RAISE(FAIL, 'refused'); END",
            )
            .unwrap();
        enqueue(&database, "p").unwrap();
        let mut transaction = database.begin().unwrap();
        transaction.execute("DROP TRIGGER refuse", &[]).unwrap();
        transaction.enqueue(&Enqueue::new("q", "bad")).unwrap();
        let calls = ["p", "bad", "p", "bad"].map(|payload| {
            let database = database.clone();
            Worker::start(move || enqueue(&database, payload)).until_asleep()
        });
        transaction.rollback().unwrap();
        assert_eq!(calls.map(|call| call.join().is_ok()), [true, false, true, false]);
        assert_eq!(file.count("SELECT count(*) FROM _honker_live WHERE payload = 'bad'"), 0);
    });
}
