//! Storms: interrupts and closes at every moment there is. What was acknowledged is there, and nothing else.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use honker_core::Error;
use honker_core::database::Options;

use crate::support::{ENDLESS, ENDLESS_WRITE, File, Worker, enqueue, guarded};

/// A call that was interrupted says so and has not happened; one that says it was done has happened.
#[test]
fn interrupts_at_any_moment_lose_nothing() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options::default());
        let stop = AtomicBool::new(false);
        let done = Mutex::new(HashSet::new());
        let interrupted = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..6)
                .map(|thread| {
                    let (database, done, interrupted) = (&database, &done, &interrupted);
                    scope.spawn(move || {
                        for round in 0..1_000 {
                            let outcome = if thread < 2 && round % 4 == 0 {
                                database.begin().and_then(|mut transaction| {
                                    transaction.execute("DELETE FROM _honker_locks", &[])?;
                                    transaction.rollback().map(|()| None)
                                })
                            } else {
                                enqueue(database, "p").map(Some)
                            };
                            match outcome {
                                Ok(id) => done.lock().unwrap().extend(id),
                                Err(Error::Interrupted(_)) => {
                                    interrupted.store(true, Ordering::Relaxed);
                                }
                                Err(error) => panic!("not the error of an interrupt: {error:?}"),
                            }
                        }
                    })
                })
                .collect();
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    database.interrupt().unwrap();
                    for _ in 0..200 {
                        std::hint::spin_loop();
                    }
                }
            });
            let outcomes: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
            stop.store(true, Ordering::Relaxed);
            outcomes
                .into_iter()
                .for_each(|outcome| outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        });
        assert!(interrupted.into_inner(), "this test interrupts nothing");
        let connection = file.plain();
        let mut statement = connection.prepare("SELECT id FROM _honker_live").unwrap();
        let present: HashSet<i64> =
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert_eq!(present, done.into_inner().unwrap());
        enqueue(&database, "p").unwrap();
    });
}

/// An operation that fails half-way is undone whatever becomes of its roll-back: neither is the half committed with the
/// calls it shares a transaction with, nor is the transaction left to who comes next.
#[test]
fn interrupting_the_undoing_of_an_operation_leaves_nothing_of_it() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options::default());
        // A tick enqueues its jobs, and fails afterwards.
        file.plain()
            .execute_batch(
                "INSERT INTO _honker_scheduler_tasks (name, queue, cron_expr, payload, next_fire_at)
                 VALUES ('a', 'half', '@every 1s', 'p', 1);
                 CREATE TRIGGER broken BEFORE UPDATE ON _honker_scheduler_tasks
                 BEGIN SELECT raise(ABORT, 'no'); END",
            )
            .unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let expected = |error: &Error| matches!(error, Error::Constraint(_) | Error::Interrupted(_));
            let workers: Vec<_> = (0..6)
                .map(|thread| {
                    let database = &database;
                    scope.spawn(move || {
                        for _ in 0..10_000 {
                            let outcome = match thread {
                                0 => database.begin().and_then(|transaction| transaction.rollback()),
                                1 => enqueue(database, "p").map(drop),
                                _ => database.scheduler_tick(Some(5)).map(drop),
                            };
                            if let Err(error) = outcome {
                                assert!(expected(&error), "thread {thread}: {error:?}");
                            }
                        }
                    })
                })
                .collect();
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    database.interrupt().unwrap();
                    for _ in 0..100 {
                        std::hint::spin_loop();
                    }
                }
            });
            let outcomes: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
            stop.store(true, Ordering::Relaxed);
            outcomes
                .into_iter()
                .for_each(|outcome| outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        });
        assert_eq!(file.count("SELECT count(*) FROM _honker_live WHERE queue = 'half'"), 0);
    });
}

/// A roll-back that is interrupted must not leave its transaction to the call that comes next: that call would be told
/// that it is done, and be undone with the transaction later.
#[test]
fn interrupting_a_roll_back_does_not_leak_its_transaction() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options::default());
        let watcher = file.plain();
        let mut present = watcher.prepare("SELECT count(*) FROM _honker_live WHERE id = ?").unwrap();
        let stop = AtomicBool::new(false);
        let outcome = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    database.interrupt().unwrap();
                    for _ in 0..100 {
                        std::hint::spin_loop();
                    }
                }
            });
            let outcome = (0..15_000).try_for_each(|round| {
                if let Ok(mut transaction) = database.begin() {
                    let _ = transaction.execute("DELETE FROM _honker_locks", &[]);
                    let _ = transaction.rollback();
                }
                match enqueue(&database, "p") {
                    Ok(id) if present.query_row([id], |row| row.get::<_, i64>(0)).unwrap() == 0 => {
                        Err(format!("job {id} of round {round} was acknowledged and is not there"))
                    }
                    Err(error) if !matches!(error, Error::Interrupted(_)) => Err(error.to_string()),
                    _ => Ok(()),
                }
            });
            stop.store(true, Ordering::Relaxed);
            outcome
        });
        assert_eq!(outcome, Ok(()));
    });
}

/// Everybody is told that the database is closed, nobody that a batch was lost or a statement interrupted.
#[test]
fn closing_at_any_moment_answers_closed_and_loses_nothing() {
    guarded(|| {
        for round in 0..60 {
            let file = File::new();
            let database = file.database(&Options::default());
            let done = Mutex::new(HashSet::new());
            std::thread::scope(|scope| {
                for thread in 0..8 {
                    let (database, done) = (&database, &done);
                    scope.spawn(move || {
                        loop {
                            let outcome = if thread == 0 {
                                database.query("SELECT count(*) FROM _honker_live", &[]).map(|_| None)
                            } else {
                                enqueue(database, "p").map(Some)
                            };
                            match outcome {
                                Ok(id) => done.lock().unwrap().extend(id),
                                Err(error) => return assert_eq!(error, Error::Closed, "in round {round}"),
                            }
                        }
                    });
                }
                crate::support::until("calls are made", || done.lock().unwrap().len() > round);
                database.close().unwrap();
            });
            let done = i64::try_from(done.into_inner().unwrap().len()).unwrap();
            assert_eq!(file.count("SELECT count(*) FROM _honker_live"), done);
        }
    });
}

/// The moment just before a statement begins to run is no exception.
#[test]
fn closing_ends_a_statement_that_is_about_to_begin() {
    for sql in [ENDLESS, ENDLESS_WRITE] {
        guarded(move || {
            for round in 0..150 {
                let file = File::new();
                let database = file.database(&Options::default());
                let mut transaction = database.begin().unwrap();
                let began = std::sync::Arc::new(AtomicBool::new(false));
                let running = Worker::start({
                    let began = began.clone();
                    move || {
                        began.store(true, Ordering::SeqCst);
                        transaction.query(sql, &[]).map(drop)
                    }
                });
                while !began.load(Ordering::SeqCst) {
                    std::hint::spin_loop();
                }
                for _ in 0..round * 40 {
                    std::hint::spin_loop();
                }
                database.close().unwrap();
                assert_eq!(running.join(), Err(Error::Closed));
            }
        });
    }
}

/// As above, for an interrupt that comes when the call has begun but its statement has not. `interrupt` cannot know
/// whether the call has begun, so it is repeated: no call may outlive a few of them.
#[test]
fn interrupting_again_ends_a_statement_that_had_not_begun() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options::default());
        for _ in 0..100 {
            let running = Worker::start({
                let database = database.clone();
                move || database.begin()?.query(ENDLESS, &[]).map(drop)
            });
            let ended = std::sync::Arc::new(AtomicBool::new(false));
            let interrupting = Worker::start({
                let (database, ended) = (database.clone(), ended.clone());
                move || {
                    while !ended.load(Ordering::Relaxed) {
                        database.interrupt().unwrap();
                        std::thread::sleep(Duration::from_micros(100));
                    }
                }
            });
            let outcome = running.join();
            ended.store(true, Ordering::Relaxed);
            interrupting.join();
            assert!(crate::support::is_interrupted(&outcome), "{outcome:?}");
        }
    });
}
