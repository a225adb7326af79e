//! The line for the writer: first come, first served, and nobody in it for longer than the busy timeout.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use honker_core::database::{Options, Value};
use honker_core::queue::Enqueue;
use honker_core::{Error, Result};
use rusqlite::ffi;

use crate::support::{File, GUARD, Worker, code, enqueue, guarded, patient_for};

/// Begins and calls alternate in line behind a transaction, and are served in that order.
#[test]
fn the_line_keeps_its_order() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options::default());
        let transaction = database.begin().unwrap();
        let workers: Vec<_> = (0..12)
            .map(|place| {
                let database = database.clone();
                Worker::start(move || -> Result<()> {
                    if place % 3 == 0 {
                        let mut transaction = database.begin()?;
                        transaction.enqueue(&Enqueue::new("q", &place.to_string()))?;
                        return transaction.commit();
                    }
                    enqueue(&database, &place.to_string()).map(drop)
                })
                .until_asleep()
            })
            .collect();
        transaction.commit().unwrap();
        for worker in workers {
            worker.join().unwrap();
        }
        // Each has written its place when it was its turn.
        let places = database.query("SELECT payload FROM _honker_live ORDER BY id", &[]).unwrap().rows;
        let places: Vec<_> = places.into_iter().map(|row| row[0].clone()).collect();
        assert_eq!(places, (0..12).map(|place| Value::Text(place.to_string())).collect::<Vec<_>>());
    });
}

/// A transaction that waits is passed by no more than what stood before it.
#[test]
fn a_stream_of_calls_does_not_starve_a_transaction() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options::default());
        let stop = AtomicBool::new(false);
        let calls = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        enqueue(&database, "p").unwrap();
                        calls.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            for _ in 0..30 {
                let before = calls.load(Ordering::Relaxed);
                let transaction = database.begin().unwrap();
                let passed = calls.load(Ordering::Relaxed) - before;
                // Eight threads: what runs, what is in line, and what this thread was too slow to count.
                assert!(passed < 5_000, "{passed} calls passed a waiting transaction");
                transaction.commit().unwrap();
            }
            stop.store(true, Ordering::Relaxed);
        });
    });
}

#[test]
fn a_stream_of_transactions_does_not_starve_a_call() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options::default());
        let stop = AtomicBool::new(false);
        let transactions = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        database.begin().unwrap().commit().unwrap();
                        transactions.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            for _ in 0..30 {
                let before = transactions.load(Ordering::Relaxed);
                enqueue(&database, "p").unwrap();
                let passed = transactions.load(Ordering::Relaxed) - before;
                assert!(passed < 5_000, "{passed} transactions passed a waiting call");
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 30);
    });
}

/// Whoever gives up has not been served, and does not block those behind it.
#[test]
fn giving_up_in_line_takes_the_busy_timeout_and_leaves_no_trace() {
    guarded(|| {
        let file = File::new();
        let timeout = Duration::from_millis(200);
        let database = file.database(&patient_for(timeout));
        let transaction = database.begin().unwrap();
        let workers: Vec<_> = (0..6)
            .map(|place| {
                let database = database.clone();
                Worker::start(move || {
                    let began = Instant::now();
                    let outcome = if place % 2 == 0 {
                        enqueue(&database, "p").map(drop)
                    } else {
                        database.begin().map(drop)
                    };
                    (outcome, began.elapsed())
                })
            })
            .collect();
        for worker in workers {
            let (outcome, took) = worker.join();
            assert_eq!(code(outcome), ffi::SQLITE_BUSY);
            assert!(took >= timeout, "{took:?}");
        }
        transaction.commit().unwrap();
        enqueue(&database, "p").unwrap();
        drop(database.begin().unwrap());
        assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 1);
    });
}

/// Calls that time out while the writer is handed around: each is done exactly if it says so.
#[test]
fn giving_up_and_being_served_exclude_each_other() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&patient_for(Duration::from_millis(3)));
        let done = AtomicUsize::new(0);
        let given_up = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        match enqueue(&database, "p") {
                            Ok(_) => done.fetch_add(1, Ordering::Relaxed),
                            Err(error) => {
                                assert!(matches!(error, Error::Busy(_)), "{error:?}");
                                given_up.fetch_add(1, Ordering::Relaxed)
                            }
                        };
                    }
                });
            }
            scope.spawn(|| {
                for round in 0..60 {
                    if let Ok(transaction) = database.begin() {
                        // Around the timeout of those in line.
                        std::thread::sleep(Duration::from_micros(2_500 + round * 20));
                        drop(transaction);
                    }
                }
            });
        });
        let done = i64::try_from(done.into_inner()).unwrap();
        assert_eq!(file.count("SELECT count(*) FROM _honker_live"), done);
        assert!(given_up.into_inner() > 0, "this test tests nothing");
    });
}

/// Whoever is not woken looks for itself, every 50 ms; nobody must have to. The threads are more than are woken at once.
#[test]
fn all_of_a_batch_are_woken() {
    const THREADS: usize = 80;
    guarded(|| {
        let file = File::new();
        let database = file.database(&patient_for(GUARD));
        let awake_after = || {
            let transaction = database.begin().unwrap();
            std::thread::scope(|scope| {
                let calls: Vec<_> = (0..THREADS)
                    .map(|_| {
                        scope.spawn(|| {
                            enqueue(&database, "p").unwrap();
                            Instant::now()
                        })
                    })
                    .collect();
                // Until they stand in line, and not until they look.
                std::thread::sleep(Duration::from_millis(10));
                let served = Instant::now();
                transaction.commit().unwrap();
                let awake = calls.into_iter().map(|call| call.join().unwrap()).max().unwrap();
                awake - served
            })
        };
        // A busy machine may take its time, but not always.
        let fastest = (0..50).map(|_| awake_after()).find(|took| *took < Duration::from_millis(20));
        assert!(fastest.is_some(), "they wake up by themselves");
    });
}
