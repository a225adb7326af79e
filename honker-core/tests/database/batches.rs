//! Batches: calls that come together share a commit, and its fate.

use std::sync::mpsc::channel;

use honker_core::database::{Database, JournalMode, Options};
use honker_core::queue::{Claim, Enqueue, Outcome, Settlement, Turn};
use honker_core::{Error, Result};
use rusqlite::ffi;

#[cfg(feature = "faults")]
use crate::support::alone;
use crate::support::{File, GUARD, Worker, code, enqueue, guarded, journal, patient_for};

/// Lets `calls` stand in line behind a transaction, in this order, and then lets them go.
fn together<T: Send + 'static>(
    database: &Database,
    calls: impl IntoIterator<Item = Box<dyn FnOnce(&Database) -> T + Send>>,
) -> Vec<Worker<T>> {
    let transaction = database.begin().unwrap();
    let workers = calls
        .into_iter()
        .map(|call| {
            let database = database.clone();
            Worker::start(move || call(&database)).until_asleep()
        })
        .collect();
    transaction.rollback().unwrap();
    workers
}

type Call<T> = Box<dyn FnOnce(&Database) -> T + Send>;

fn enqueues(count: usize) -> impl Iterator<Item = Call<Result<i64>>> {
    (0..count).map(|_| -> Call<Result<i64>> { Box::new(|database| enqueue(database, "p")) })
}

#[test]
fn calls_that_wait_together_are_committed_in_one_step() {
    for mode in [JournalMode::Wal, JournalMode::Delete] {
        guarded(move || {
            let file = File::new();
            let database = file.database(&journal(mode));
            // `data_version` changes with every commit of somebody else's, `count` shows what came with it.
            let watcher = file.plain();
            let (stop, stopped) = channel::<()>();
            let (begin, begun) = channel::<()>();
            let watching = std::thread::spawn(move || {
                let mut seen = Vec::new();
                loop {
                    let last = stopped.try_recv().is_ok();
                    let count: i64 =
                        watcher.query_row("SELECT count(*) FROM _honker_live", [], |row| row.get(0)).unwrap();
                    if seen.last() != Some(&count) {
                        seen.push(count);
                        begin.send(()).unwrap();
                    }
                    if last {
                        return seen;
                    }
                }
            });
            // It has seen that there is none.
            begun.recv().unwrap();
            for worker in together(&database, enqueues(20)) {
                worker.join().unwrap();
            }
            stop.send(()).unwrap();
            assert_eq!(watching.join().unwrap(), [0, 20], "{mode:?}");
        });
    }
}

#[test]
fn twenty_calls_cost_one_commit() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&journal(JournalMode::Delete));
        let before = file.commits();
        for worker in together(&database, enqueues(20)) {
            worker.join().unwrap();
        }
        assert_eq!(file.commits() - before, 1);
        enqueue(&database, "p").unwrap();
        assert_eq!(file.commits() - before, 2);
    });
}

/// Each of these works off at most 1,000 rows; so do all of them together, however many share a transaction.
#[test]
fn a_transaction_is_bounded_however_many_calls_share_it() {
    const ROWS: i64 = 5_000;
    type Work = fn(&Database) -> i64;
    let works: [(&str, Work); 4] = [
        ("INSERT INTO _honker_results (job_id, value, expires_at) SELECT i, 'v', 1 FROM n", |database| {
            database.result_sweep().unwrap()
        }),
        ("INSERT INTO _honker_live (queue, payload, expires_at) SELECT 'q', 'p', 1 FROM n", |database| {
            database.sweep_expired("q").unwrap()
        }),
        ("INSERT INTO _honker_dead (id, queue, payload, died_at) SELECT i, 'q', 'p', 1 FROM n", |database| {
            database.dead_purge(None, 60).unwrap()
        }),
        ("INSERT INTO _honker_live (queue, payload, expires_at) SELECT 'q', 'p', 1 FROM n", |database| {
            let claim = Claim { queue: "q", worker_id: "w", n: 1, timeout_s: 60 };
            database.claim(&claim).unwrap().len() as i64
        }),
    ];
    for (fill, work) in works {
        guarded(move || {
            let file = File::new();
            let database = file.database(&journal(JournalMode::Delete));
            file.plain()
                .execute_batch(&format!(
                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) {fill}"
                ))
                .unwrap();
            let before = file.commits();
            let calls = (0..20).map(|_| -> Call<i64> { Box::new(work) });
            let done: i64 = together(&database, calls).into_iter().map(Worker::join).sum();
            assert!(done == ROWS || done == 0, "{fill}: {done}");
            assert_eq!(
                file.count(
                    "SELECT (SELECT count(*) FROM _honker_live) + (SELECT count(*) FROM _honker_results)"
                ),
                0
            );
            assert!(i64::from(file.commits() - before) >= ROWS / 1_000, "{fill}");
        });
    }
}

/// It waits for the step that runs, and not for one of each: a trigger counts what had been purged when it was its turn.
#[test]
fn a_call_passes_all_but_one_of_the_purges_that_wait() {
    const PURGES: i64 = 20;
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options::default());
        file.plain()
            .execute_batch(&format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {PURGES} * 1000)
                 INSERT INTO _honker_dead (id, queue, payload, died_at) SELECT i, 'q', 'p', 1 FROM n;
                 CREATE TABLE seen (dead);
                 CREATE TRIGGER see AFTER INSERT ON _honker_live
                 BEGIN INSERT INTO seen SELECT count(*) FROM _honker_dead; END;"
            ))
            .unwrap();
        let purges =
            (0..PURGES).map(|_| -> Call<i64> { Box::new(|database| database.dead_purge(None, 60).unwrap()) });
        let call: Call<i64> = Box::new(|database| enqueue(database, "p").map(|_| 0).unwrap());
        let purged: i64 = together(&database, purges.chain([call])).into_iter().map(Worker::join).sum();
        assert_eq!(purged, PURGES * 1_000);
        let left = file.count("SELECT dead FROM seen");
        assert!(left >= (PURGES - 3) * 1_000, "{left} of {purged} were left");
    });
}

#[test]
fn a_call_that_fails_in_a_batch_fails_alone() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options::default());
        let late = || -> Call<Result<i64>> {
            Box::new(|database| {
                let late = Enqueue { delay_s: Some(i64::MAX), ..Enqueue::new("q", "late") };
                database.enqueue(&late).map(|enqueued| enqueued.id)
            })
        };
        let calls = enqueues(5).chain([late()]).chain(enqueues(5)).chain([late()]);
        let outcomes: Vec<_> = together(&database, calls).into_iter().map(Worker::join).collect();
        for (index, outcome) in outcomes.iter().enumerate() {
            if index == 5 || index == 11 {
                assert!(matches!(outcome, Err(Error::Invalid(_))), "{outcome:?}");
            } else {
                outcome.as_ref().unwrap();
            }
        }
        assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 10);
    });
}

/// Jobs of which some make COMMIT fail: a deferred key of a table that a trigger fills, and of one that refers to the jobs.
fn make_commits_fail(file: &File) {
    file.plain()
        .execute_batch(
            "CREATE TABLE parent(id INTEGER PRIMARY KEY);
             CREATE TABLE child(id REFERENCES parent(id) DEFERRABLE INITIALLY DEFERRED);
             CREATE TRIGGER orphan AFTER INSERT ON _honker_live WHEN new.payload = 'orphan'
             BEGIN INSERT INTO child VALUES (new.id); END;
             CREATE TABLE invoice(job INTEGER REFERENCES _honker_live(id) DEFERRABLE INITIALLY DEFERRED);",
        )
        .unwrap();
}

#[test]
fn a_call_that_would_fail_the_commit_fails_alone() {
    for mode in [JournalMode::Wal, JournalMode::Delete] {
        guarded(move || {
            let file = File::new();
            let database = file.database(&journal(mode));
            // Seen also when it is made by somebody else while the database is open.
            for worker in together(&database, enqueues(2)) {
                worker.join().unwrap();
            }
            make_commits_fail(&file);
            let referred = enqueue(&database, "referred").unwrap();
            file.plain().execute("INSERT INTO invoice VALUES (?1)", [referred]).unwrap();
            let orphan = || -> Call<Result<i64>> { Box::new(|database| enqueue(database, "orphan")) };
            // A single statement, without a savepoint of its own.
            let cancel: Call<Result<i64>> =
                Box::new(move |database| database.cancel(referred).map(i64::from));
            let calls =
                [orphan()].into_iter().chain(enqueues(4)).chain([orphan(), cancel]).chain(enqueues(4));
            let outcomes: Vec<_> = together(&database, calls).into_iter().map(Worker::join).collect();
            for (index, outcome) in outcomes.iter().enumerate() {
                if [0, 5, 6].contains(&index) {
                    assert_eq!(code(outcome.clone()), ffi::SQLITE_CONSTRAINT, "{index}");
                } else {
                    outcome.as_ref().unwrap();
                }
            }
            assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 2 + 1 + 8, "{mode:?}");
            assert_eq!(file.count("SELECT count(*) FROM child"), 0);
            // Alone as well, and afterwards nothing is stuck.
            assert_eq!(code(enqueue(&database, "orphan")), ffi::SQLITE_CONSTRAINT);
            enqueue(&database, "p").unwrap();
            assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 12);
            assert_eq!(file.count("SELECT count(*) FROM pragma_foreign_key_check"), 0);
        });
    }
}

/// What a call did wrong by itself is still what it is told when the rest of its batch is run again.
#[test]
fn a_batch_that_is_run_again_does_not_hide_what_a_call_did_by_itself() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options::default());
        plant_bomb(&file);
        let invalid: Call<Result<i64>> = Box::new(|database| {
            let late = Enqueue { delay_s: Some(i64::MAX), ..Enqueue::new("q", "late") };
            database.enqueue(&late).map(|enqueued| enqueued.id)
        });
        let bomb: Call<Result<i64>> = Box::new(|database| enqueue(database, "bomb"));
        let calls = enqueues(1).chain([invalid, bomb]);
        let mut outcomes = together(&database, calls).into_iter().map(Worker::join);
        outcomes.next().unwrap().unwrap();
        let invalid = outcomes.next().unwrap();
        assert!(matches!(invalid, Err(Error::Invalid(_))), "{invalid:?}");
        assert_eq!(code(outcomes.next().unwrap()), ffi::SQLITE_CONSTRAINT);
    });
}

/// A leader that panics after its commit has nothing left to undo: its followers are told that they are done, and the
/// connection goes to the next in line.
#[cfg(feature = "faults")]
#[test]
fn a_leader_that_panics_keeps_nobody_waiting() {
    use honker_core::control::{Action, Control};
    alone("batches::a_leader_that_panics_keeps_nobody_waiting", || {
        let file = File::new();
        let path = file.path.with_extension("control");
        let control = Control::create(&path).unwrap();
        // SAFETY: no other thread of this process reads its environment.
        unsafe { std::env::set_var("HONKER_CONTROL", &path) };
        let database = file.database(&patient_for(GUARD));
        for _ in 0..5 {
            let transaction = database.begin().unwrap();
            let outcomes: Vec<_> = (0..6)
                .map(|_| {
                    let database = database.clone();
                    let call = move || enqueue(&database, "p").unwrap();
                    Worker::start(move || std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)))
                        .until_asleep()
                })
                .collect();
            control.arm("commit.after", 1, Action::Panic);
            transaction.rollback().unwrap();
            let panicked = outcomes.into_iter().map(Worker::join).filter(std::result::Result::is_err).count();
            assert_eq!(panicked, 1);
            enqueue(&database, "p").unwrap();
        }
        assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 35);
        database.close().unwrap();
    });
}

/// Jobs that make SQLite roll back.
fn plant_bomb(file: &File) {
    file.plain()
        .execute_batch(
            "CREATE TRIGGER bomb BEFORE INSERT ON _honker_live WHEN new.payload = 'bomb'
             BEGIN SELECT raise(ROLLBACK, 'boom'); END",
        )
        .unwrap();
}

/// A statement that makes SQLite roll back takes along what ran before it, which is done again.
#[test]
fn a_call_that_rolls_all_back_fails_alone() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options::default());
        plant_bomb(&file);
        let bomb = || -> Call<Result<i64>> { Box::new(|database| enqueue(database, "bomb")) };
        let calls = enqueues(3).chain([bomb(), bomb()]).chain(enqueues(3)).chain([bomb()]);
        let outcomes: Vec<_> = together(&database, calls).into_iter().map(Worker::join).collect();
        let mut ids = Vec::new();
        for (index, outcome) in outcomes.into_iter().enumerate() {
            if [3, 4, 8].contains(&index) {
                assert_eq!(code(outcome), ffi::SQLITE_CONSTRAINT, "{index}");
            } else {
                ids.push(outcome.unwrap());
            }
        }
        // What each was told is what the file has.
        let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
        let present = format!("SELECT count(*) FROM _honker_live WHERE id IN ({})", ids.join(", "));
        assert_eq!(file.count(&present), 6);
        assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 6);
    });
}

/// A turn of which one settlement rolls all back needs a transaction of its own: there the others of it are settled.
#[test]
fn a_turn_that_rolls_all_back_is_taken_alone() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options::default());
        file.plain()
            .execute_batch(
                "CREATE TRIGGER bomb BEFORE DELETE ON _honker_live WHEN old.payload = 'bomb'
                 BEGIN SELECT raise(ROLLBACK, 'boom'); END",
            )
            .unwrap();
        for payload in ["good", "bomb", "good"] {
            enqueue(&database, payload).unwrap();
        }
        let claim = Claim { queue: "q", worker_id: "w", n: 3, timeout_s: 60 };
        let ids: Vec<i64> = database.claim(&claim).unwrap().into_iter().map(|job| job.id).collect();
        let turn: Call<Vec<bool>> = Box::new(move |database| {
            let settlements: Vec<_> =
                ids.iter().map(|id| Settlement { id: *id, outcome: Outcome::Ack }).collect();
            let turn = Turn {
                worker_id: "w",
                timeout_s: 60,
                settlements: &settlements,
                held: &[],
                prolong: false,
                frees: &[None; 3],
                queues: &[],
                n: 0,
            };
            let turned = database.turn(&turn).unwrap();
            turned.settled.into_iter().map(|held| held.is_ok_and(|held| held)).collect()
        });
        let other = || -> Call<Vec<bool>> {
            Box::new(|database| vec![enqueue(database, "p").is_ok(), enqueue(database, "p").is_ok()])
        };
        let outcomes: Vec<_> =
            together(&database, [other(), turn, other()]).into_iter().map(Worker::join).collect();
        assert_eq!(outcomes, [vec![true, true], vec![true, false, true], vec![true, true]]);
        assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 4 + 1);
    });
}

/// More than a batch takes, so that the line is handed on.
#[test]
fn a_line_longer_than_a_batch_is_served() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&patient_for(GUARD));
        let transaction = database.begin().unwrap();
        let workers: Vec<_> = (0..600)
            .map(|_| {
                let database = database.clone();
                Worker::start(move || enqueue(&database, "p"))
            })
            .collect();
        workers.last().unwrap().until_asleep_here();
        transaction.commit().unwrap();
        for worker in workers {
            worker.join().unwrap();
        }
        assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 600);
    });
}
