//! What only the engine can ask of itself: calls whose bodies do as the test says. All else is tested from outside, in
//! `tests/database/`.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use super::{FileDatabase, Options, Value};
use crate::queue::{self, Enqueue};
use crate::{Error, Result};

struct File {
    database: FileDatabase,
    _directory: tempfile::TempDir,
}

fn open(options: &Options) -> File {
    let directory = tempfile::tempdir().unwrap();
    let database = FileDatabase::open(directory.path().join("app.db"), options).unwrap();
    File { database, _directory: directory }
}

fn enqueue(database: &FileDatabase, payload: &str) -> Result<i64> {
    database.enqueue(&Enqueue::new("q", payload)).map(|enqueued| enqueued.id)
}

fn count(database: &FileDatabase) -> Value {
    database.query("SELECT count(*) FROM _honker_live", &[]).unwrap().rows[0][0].clone()
}

/// The body may run on another thread, the panic may not.
#[test]
fn a_panic_ends_only_the_thread_that_made_the_call() {
    let file = open(&Options::default());
    let panicked = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (database, panicked) = (&file.database, &panicked);
            scope.spawn(move || {
                for call in 0..100 {
                    if (thread + call) % 10 != 0 {
                        enqueue(database, "p").unwrap();
                        continue;
                    }
                    let message = format!("{thread}/{call}");
                    let caught = catch_unwind(AssertUnwindSafe(|| {
                        database.write(|_, _| -> Result<()> { resume_unwind(Box::new(message.clone())) })
                    }));
                    let payload = caught.expect_err("the panic is lost").downcast::<String>().unwrap();
                    assert_eq!(*payload, message);
                    panicked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(panicked.into_inner(), 80);
    assert_eq!(count(&file.database), Value::Integer(720));
}

#[test]
fn calls_may_borrow_from_their_caller_and_return_what_they_borrowed() {
    let file = open(&Options::default());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let database = &file.database;
            scope.spawn(move || {
                for call in 0..200 {
                    let payload = format!("{thread}/{call}");
                    let mut runs = Vec::new();
                    let borrowed: &str = database
                        .write(|store, now| {
                            runs.push(queue::enqueue(store, now, &Enqueue::new("q", &payload))?);
                            Ok(payload.as_str())
                        })
                        .unwrap();
                    assert!(std::ptr::eq(borrowed, payload.as_str()));
                    assert_eq!(runs.len(), 1);
                }
            });
        }
    });
}

/// Asking for the writer within a call can never be answered. It has to be refused rather than waited for.
#[test]
fn a_call_within_a_call_is_refused_at_once() {
    let file = open(&Options::default());
    let database = &file.database;
    let inner = database.write(|_, _| Ok(enqueue(database, "p"))).unwrap();
    assert!(matches!(inner, Err(Error::Misuse(_))), "{inner:?}");
    let inner = database.write(|_, _| Ok(database.begin().map(drop))).unwrap();
    assert!(matches!(inner, Err(Error::Misuse(_))), "{inner:?}");
    enqueue(database, "p").unwrap();
    let mut transaction = database.begin().unwrap();
    let inner = transaction.write(|_, _| Ok(enqueue(database, "p"))).unwrap();
    assert!(matches!(inner, Err(Error::Misuse(_))), "{inner:?}");
}

#[test]
fn an_operation_that_panics_leaves_the_transaction_open() {
    let file = open(&Options::default());
    let mut transaction = file.database.begin().unwrap();
    transaction.enqueue(&Enqueue::new("q", "p")).unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        transaction.write(|_, _| -> Result<()> { resume_unwind(Box::new(())) })
    }));
    assert!(panic.is_err());
    transaction.enqueue(&Enqueue::new("q", "p")).unwrap();
    transaction.commit().unwrap();
    assert_eq!(count(&file.database), Value::Integer(2));
}

#[test]
fn more_readers_than_allowed_wait_and_all_finish() {
    let file = open(&Options { readers_max: 3, ..Options::default() });
    let running = AtomicI64::new(0);
    let barrier = Barrier::new(12);
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..100 {
                    let most = file.database.read(|_, _| {
                        let most = running.fetch_add(1, Ordering::SeqCst) + 1;
                        std::thread::yield_now();
                        running.fetch_sub(1, Ordering::SeqCst);
                        Ok(most)
                    });
                    assert!(most.unwrap() <= 3);
                }
            });
        }
    });
}

/// Exactly as many as allowed run at once: this would hang if it were fewer.
#[test]
fn as_many_readers_as_allowed_run_at_once() {
    let file = open(&Options { readers_max: 4, ..Options::default() });
    let all = Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| file.database.read(|_, _| Ok(all.wait())).unwrap());
        }
    });
}

#[test]
fn a_reader_survives_a_panic() {
    let file = open(&Options { readers_max: 1, ..Options::default() });
    for _ in 0..3 {
        let panic = catch_unwind(AssertUnwindSafe(|| {
            file.database.read(|_, _| -> Result<()> { resume_unwind(Box::new(())) })
        }));
        assert!(panic.is_err());
    }
    assert_eq!(count(&file.database), Value::Integer(0));
}

/// That statements of the caller's are judged costs our own nothing: none of them is compiled again because of it.
#[test]
fn our_own_statements_stay_prepared() {
    let file = open(&Options::default());
    let database = &file.database;
    let round = || {
        enqueue(database, "p").unwrap();
        let mut transaction = database.begin().unwrap();
        transaction.query("SELECT count(*) FROM _honker_live", &[]).unwrap();
        transaction.query("PRAGMA query_only = ON", &[]).unwrap_err();
        transaction.execute("DELETE FROM _honker_live WHERE id < 0", &[]).unwrap();
        transaction.commit().unwrap();
        database.write(|store, _| Ok(store.prepared_statements())).unwrap()
    };
    // The first use of a connection reads the schema, and compiles again what was compiled before it.
    let before = round();
    assert!(before.iter().any(|statement| statement.sql.contains("INSERT INTO")), "{before:?}");
    (0..5).for_each(|_| drop(round()));
    assert_eq!(round(), before);
}

/// A file that may not grow any more. Every call is told the truth about itself, also those that share a transaction.
#[test]
fn what_a_full_file_takes_and_refuses_is_what_the_callers_are_told() {
    for size in [1, 3_000, 20_000] {
        let file = open(&Options::default());
        let database = &file.database;
        let Value::Integer(pages) = database.query("PRAGMA page_count", &[]).unwrap().rows[0][0] else {
            panic!("no count");
        };
        let limit = format!("PRAGMA max_page_count = {}", pages + 12);
        database.inner.writer.with_handle(|handle| handle.store().execute_once(&limit)).unwrap();
        let mut done = Vec::new();
        let mut refused = 0;
        for round in 0..12 {
            let transaction = database.begin().unwrap();
            std::thread::scope(|scope| {
                let calls: Vec<_> = (0..8)
                    .map(|call| {
                        // One of them is small: it fits where the others do not.
                        let payload = "x".repeat(if call == 5 { 1 } else { size * (round + 1) });
                        scope.spawn(move || enqueue(database, &payload))
                    })
                    .collect();
                while database.inner.writer.in_line() < 8 {
                    std::thread::yield_now();
                }
                transaction.rollback().unwrap();
                for outcome in calls.into_iter().map(|call| call.join().unwrap()) {
                    match outcome {
                        Ok(id) => done.push(Value::Integer(id)),
                        Err(error) => {
                            refused += 1;
                            assert!(matches!(error, Error::Full(_) | Error::Aborted(_)), "{error:?}");
                        }
                    }
                }
            });
        }
        let present = database.query("SELECT id FROM _honker_live", &[]).unwrap().rows;
        assert_eq!(present.len(), done.len(), "payloads of {size}");
        assert!(present.iter().all(|row| done.contains(&row[0])), "payloads of {size}");
        assert!(size == 1 || refused > 0, "the file never filled");
        assert_eq!(database.query("PRAGMA integrity_check", &[]).unwrap().rows, [["ok".into()]]);
    }
}
