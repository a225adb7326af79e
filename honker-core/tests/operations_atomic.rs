//! Every operation is one unit: done completely or not at all, alone with the file from its first read to its last
//! write, and never the one to leave a transaction open.
//!
//! Failures in the middle come from triggers of the user's on honker's tables, which is also how a second connection
//! gets to look at the file while an operation is at work.

use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use honker_core::queue::{self, Enqueue, Requeued};
use honker_core::schedule::{self, Overlap, Registration};
use honker_core::{Error, Store, lock, rate_limit, schema};
use rusqlite::functions::FunctionFlags;
use rusqlite::types::Value;
use rusqlite::{Connection, ffi};

const NOW: i64 = 1_700_000_000;

/// A connection and its store, which goes first when both are dropped.
struct Database {
    store: Store,
    connection: Connection,
}

impl Database {
    fn open(path: &Path, busy_timeout_ms: u64) -> Self {
        let connection = Connection::open(path).unwrap();
        connection.busy_timeout(Duration::from_millis(busy_timeout_ms)).unwrap();
        connection.pragma_update(None, "synchronous", "OFF").unwrap();
        // SAFETY: the connection is open, and lives in the same struct behind the store.
        let store = unsafe { Store::from_handle(connection.handle()) };
        Database { store, connection }
    }

    fn run(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap();
    }

    fn number(&self, sql: &str) -> i64 {
        self.connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// All rows that an operation of this file's might touch.
    fn rows(&self) -> Vec<Vec<Value>> {
        let tables =
            ["_honker_live", "_honker_dead", "_honker_scheduler_tasks", "_honker_locks", "sqlite_sequence"];
        let mut rows = Vec::new();
        for table in tables {
            let mut statement =
                self.connection.prepare(&format!("SELECT * FROM {table} ORDER BY 1")).unwrap();
            let columns = statement.column_count();
            let read =
                statement.query_map([], |row| (0..columns).map(|column| row.get(column)).collect()).unwrap();
            rows.extend(read.map(Result::unwrap));
        }
        rows
    }
}

/// An operation of several statements, and the place after at least one of its writes where it is stopped. (A claim and a
/// sweep pass over jobs that are refused, so all of theirs are.)
struct Case {
    name: &'static str,
    set_up: fn(&Store),
    run: fn(&Store) -> honker_core::Result<usize>,
    /// When the trigger that stops it runs.
    stop: &'static str,
}

fn job(payload: &str) -> Enqueue<'_> {
    Enqueue::new("q", payload)
}

fn enqueue(store: &Store, job: &Enqueue<'_>) {
    queue::enqueue(store, NOW, job).unwrap();
}

/// Two jobs whose claims have lapsed at [`NOW`].
fn lapsed(store: &Store, job: Enqueue<'_>) {
    queue::enqueue_many(store, NOW - 5, &[job, job]).unwrap();
    assert_eq!(queue::claim(store, NOW - 5, "q", "gone", 2, 1).unwrap().len(), 2);
}

/// Three jobs that `w` holds.
fn held(store: &Store) {
    queue::enqueue_many(store, NOW, &[Enqueue { max_attempts: Some(1), ..job("p") }; 3]).unwrap();
    assert_eq!(queue::claim(store, NOW, "q", "w", 3, 60).unwrap().len(), 3);
}

fn register(store: &Store, name: &str) {
    let schedule =
        Registration { name, expression: "@every 1s", job: Enqueue::new("q", name), overlap: Overlap::Allow };
    schedule::register(store, NOW, &schedule).unwrap();
}

fn claim(store: &Store) -> honker_core::Result<usize> {
    queue::claim(store, NOW, "q", "w", -1, 60).map(|jobs| jobs.len())
}

const CASES: &[Case] = &[
    Case {
        name: "enqueue_many",
        set_up: |_| {},
        run: |store| queue::enqueue_many(store, NOW, &[job("a"), job("b"), job("stop")]).map(|ids| ids.len()),
        stop: "BEFORE INSERT ON _honker_live WHEN new.payload = 'stop'",
    },
    Case {
        name: "claim, taking jobs",
        set_up: |store| drop(queue::enqueue_many(store, NOW, &[job("a"), job("b")]).unwrap()),
        run: claim,
        stop: "AFTER UPDATE ON _honker_live",
    },
    Case {
        name: "claim, dead-lettering exhausted jobs",
        set_up: |store| {
            enqueue(store, &Enqueue { max_attempts: Some(0), ..job("a") });
            enqueue(store, &Enqueue { max_attempts: Some(0), ..job("b") });
        },
        run: |store| claim(store).map(|jobs| jobs + 1),
        stop: "BEFORE DELETE ON _honker_live",
    },
    Case {
        name: "claim, dead-lettering lapsed and exhausted jobs",
        set_up: |store| lapsed(store, Enqueue { max_attempts: Some(1), ..job("p") }),
        run: |store| claim(store).map(|jobs| jobs + 1),
        stop: "BEFORE DELETE ON _honker_live",
    },
    Case {
        name: "claim, dead-lettering lapsed and expired jobs",
        set_up: |store| lapsed(store, Enqueue { expires_s: Some(2), ..job("p") }),
        run: |store| claim(store).map(|jobs| jobs + 1),
        stop: "BEFORE DELETE ON _honker_live",
    },
    Case {
        name: "claim, releasing many lapsed jobs and taking them",
        set_up: |store| {
            queue::enqueue_many(store, NOW - 5, &[job("p"); 40]).unwrap();
            queue::claim(store, NOW - 5, "q", "gone", -1, 1).unwrap();
        },
        run: claim,
        stop: "BEFORE UPDATE ON _honker_live",
    },
    Case {
        name: "claim, sweeping many expired jobs",
        set_up: |store| {
            queue::enqueue_many(store, NOW, &[Enqueue { expires_s: Some(0), ..job("p") }; 101]).unwrap();
        },
        run: |store| claim(store).map(|jobs| jobs + 1),
        stop: "BEFORE DELETE ON _honker_live",
    },
    Case {
        name: "ack_batch",
        set_up: held,
        run: |store| queue::ack_batch(store, NOW, &[1, 2, 3], "w").map(|acked| acked as usize),
        stop: "BEFORE DELETE ON _honker_live WHEN old.id = 3",
    },
    Case {
        name: "retry of the last attempt",
        set_up: held,
        run: |store| queue::retry(store, NOW, 1, "w", 0, "e").map(usize::from),
        stop: "BEFORE DELETE ON _honker_live",
    },
    Case {
        name: "fail",
        set_up: held,
        run: |store| queue::fail(store, NOW, 1, "w", "e").map(usize::from),
        stop: "BEFORE DELETE ON _honker_live",
    },
    Case {
        name: "sweep_expired",
        set_up: |store| {
            queue::enqueue_many(store, NOW, &[Enqueue { expires_s: Some(0), ..job("p") }; 3]).unwrap();
            lapsed(store, Enqueue { expires_s: Some(2), ..job("p") });
        },
        run: |store| queue::sweep_expired(store, NOW, "q").map(|swept| swept as usize),
        stop: "BEFORE DELETE ON _honker_live",
    },
    Case {
        name: "dead_requeue",
        set_up: |store| {
            held(store);
            queue::fail(store, NOW, 1, "w", "e").unwrap();
        },
        run: |store| queue::dead_requeue(store, NOW, 1).map(|done| usize::from(done == Requeued::Requeued)),
        stop: "BEFORE DELETE ON _honker_dead",
    },
    Case {
        name: "tick, after the jobs",
        set_up: |store| register(store, "a"),
        run: |store| schedule::tick(store, NOW, NOW + 5).map(|fires| fires.len()),
        stop: "BEFORE UPDATE ON _honker_scheduler_tasks",
    },
];

fn database_of(case: &Case, path: &Path) -> Database {
    let database = Database::open(path, 0);
    schema::bootstrap(&database.store).unwrap();
    (case.set_up)(&database.store);
    database.run("CREATE TABLE orders (id)");
    database
}

#[test]
fn an_operation_stopped_midway_has_done_nothing() {
    for case in CASES {
        for raise in ["ABORT", "FAIL", "ROLLBACK"] {
            let directory = tempfile::tempdir().unwrap();
            let database = database_of(case, &directory.path().join("t.db"));
            let context = format!("{}, RAISE({raise})", case.name);
            let trigger =
                format!("CREATE TRIGGER stop {} BEGIN SELECT RAISE({raise}, 'stopped'); END", case.stop);
            database.run(&trigger);
            let before = database.rows();

            // By itself.
            check_stopped((case.run)(&database.store), &context);
            assert!(database.connection.is_autocommit(), "{context}");
            assert_eq!(database.rows(), before, "{context}");

            // In a transaction, which goes on, unless the trigger rolls it back.
            database.run("BEGIN; INSERT INTO orders VALUES (1)");
            let outcome = (case.run)(&database.store);
            match outcome {
                // It could have gone on without what was refused, in a transaction of its own.
                Err(Error::Aborted(cause)) if case.name.starts_with("tick") && raise == "ROLLBACK" => {
                    assert!(cause.message.ends_with("stopped"), "{context}: {cause:?}");
                }
                outcome => check_stopped(outcome, &context),
            }
            assert_eq!(database.connection.is_autocommit(), raise == "ROLLBACK", "{context}");
            assert_eq!(database.rows(), before, "{context}");
            if raise != "ROLLBACK" {
                database.run("COMMIT");
                assert_eq!(database.number("SELECT count(*) FROM orders"), 1, "{context}");
            }
            assert_eq!(database.rows(), before, "{context}");

            // Nothing is left behind: without the trigger it works, also when the caller then rolls back.
            database.run("DROP TRIGGER stop; BEGIN");
            assert_ne!((case.run)(&database.store), Ok(0), "{context}");
            assert_ne!(database.rows(), before, "{context}");
            database.run("ROLLBACK");
            assert_eq!(database.rows(), before, "{context}");
            assert_ne!((case.run)(&database.store), Ok(0), "{context}");
            assert!(database.connection.is_autocommit(), "{context}");
            assert_ne!(database.rows(), before, "{context}");
        }
    }
}

#[track_caller]
fn check_stopped(outcome: honker_core::Result<usize>, context: &str) {
    match outcome {
        Err(Error::Constraint(cause)) => {
            assert_eq!(cause.sqlite_code, Some(ffi::SQLITE_CONSTRAINT_TRIGGER), "{context}: {cause:?}");
            assert!(cause.message.ends_with("stopped"), "{context}: {cause:?}");
        }
        other => panic!("{context}: {other:?}"),
    }
}

#[test]
fn a_bootstrap_stopped_midway_has_done_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(&directory.path().join("t.db"), 0);
    schema::ensure_notifications(&database.store).unwrap();
    // Indexes come last, and this one cannot be made.
    database.run("CREATE TABLE _honker_stream_topic (mine)");
    let objects = "SELECT count(*) FROM sqlite_master";
    let before = database.number(objects);
    for transaction in [false, true] {
        if transaction {
            database.run("BEGIN; CREATE TABLE orders (id)");
        }
        let error = schema::bootstrap(&database.store).unwrap_err();
        assert!(error.to_string().contains("_honker_stream_topic"), "{error}");
        assert_eq!(database.connection.is_autocommit(), !transaction);
        assert_eq!(database.number(objects), before + i64::from(transaction));
    }
    database.run("DROP TABLE _honker_stream_topic");
    schema::bootstrap(&database.store).unwrap();
    database.run("COMMIT");
    assert_eq!(queue::enqueue(&database.store, NOW, &job("p")).unwrap().id, 1);
}

/// A second connection looks at the file at the place where the cases above stop.
#[test]
fn nobody_sees_or_makes_a_change_in_between() {
    for journal_mode in ["WAL", "DELETE"] {
        for case in CASES {
            let context = format!("{}, {journal_mode}", case.name);
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("t.db");
            let database = database_of(case, &path);
            database.run(&format!("PRAGMA journal_mode = {journal_mode}"));
            let before = database.rows();
            let other = Database::open(&path, 0);

            let looks = Arc::new(AtomicUsize::new(0));
            let (counter, seen_by, expected) = (Arc::clone(&looks), Mutex::new(other), before.clone());
            let look = move |_: &rusqlite::functions::Context<'_>| {
                counter.fetch_add(1, Ordering::Relaxed);
                let other = seen_by.lock().unwrap();
                assert_eq!(other.rows(), expected, "another connection sees it as it was");
                let code = queue::enqueue(&other.store, NOW, &job("x")).unwrap_err().sqlite_code();
                assert_eq!(code, Some(ffi::SQLITE_BUSY), "and cannot write");
                let code =
                    schedule::tick(&other.store, NOW, i64::MAX).err().and_then(|error| error.sqlite_code());
                assert!(matches!(code, None | Some(ffi::SQLITE_BUSY)), "{code:?}");
                let code = lock::acquire(&other.store, NOW, "l", "o", 1).unwrap_err().sqlite_code();
                assert_eq!(code, Some(ffi::SQLITE_BUSY));
                Ok(1)
            };
            database.connection.create_scalar_function("look", 0, FunctionFlags::SQLITE_UTF8, look).unwrap();
            database.run(&format!("CREATE TEMP TRIGGER look {} BEGIN SELECT look(); END", case.stop));

            assert_ne!((case.run)(&database.store), Ok(0), "{context}");
            assert!(looks.load(Ordering::Relaxed) > 0, "{context}");
            assert!(database.connection.is_autocommit(), "{context}");
            assert_ne!(database.rows(), before, "{context}");
        }
    }
}

/// A file, and so many threads with a connection each that all start at once.
fn race<T: Send>(threads: usize, path: &Path, run: impl Fn(usize, &Database) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(threads);
    std::thread::scope(|scope| {
        let start = |number| {
            let (barrier, run) = (&barrier, &run);
            scope.spawn(move || {
                let database = Database::open(path, 20_000);
                barrier.wait();
                run(number, &database)
            })
        };
        let started: Vec<_> = (0..threads).map(start).collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn new_file(path: &Path, journal_mode: &str) {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", journal_mode).unwrap();
}

#[test]
fn racing_bootstraps_all_succeed() {
    for round in 0..40 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.db");
        new_file(&path, if round % 2 == 0 { "WAL" } else { "DELETE" });
        if round % 4 < 2 {
            // An older file, with a column to add and an index to replace.
            Connection::open(&path)
                .unwrap()
                .execute_batch(
                    "CREATE TABLE _honker_scheduler_tasks (name TEXT PRIMARY KEY, queue TEXT NOT NULL,
                       cron_expr TEXT NOT NULL, payload TEXT NOT NULL, priority INTEGER NOT NULL DEFAULT 0,
                       expires_s INTEGER, next_fire_at INTEGER NOT NULL);
                     INSERT INTO _honker_scheduler_tasks VALUES ('s', 'q', '@every 1s', 'p', 0, NULL, 5)",
                )
                .unwrap();
        }
        let outcomes = race(4, &path, |_, database| {
            schema::bootstrap(&database.store)?;
            queue::enqueue(&database.store, NOW, &job("p"))
        });
        assert!(outcomes.iter().all(Result::is_ok), "round {round}: {outcomes:?}");
        let database = Database::open(&path, 0);
        assert_eq!(database.number("SELECT count(*) FROM _honker_live"), 4, "round {round}");
        if round % 4 < 2 {
            assert_eq!(schedule::list(&database.store).unwrap()[0].max_attempts, 3, "round {round}");
        }
    }
}

/// A transaction that reads before it has the write lock fails with BUSY_SNAPSHOT (or, outside WAL, with BUSY at once)
/// when another gets in between, however long it is prepared to wait. With a patient connection nothing may fail.
#[test]
fn racing_operations_wait_for_each_other() {
    for journal_mode in ["WAL", "DELETE"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.db");
        new_file(&path, journal_mode);
        let rounds = 150;
        let clock = AtomicI64::new(NOW);
        let set_up = Database::open(&path, 0);
        schema::bootstrap(&set_up.store).unwrap();
        register(&set_up.store, "s");

        let work = |number: usize, database: &Database| -> honker_core::Result<(Vec<i64>, usize)> {
            let (store, worker) = (&database.store, format!("w{number}"));
            let (mut fired, mut passed) = (Vec::new(), 0);
            for round in 0..rounds {
                let now = clock.fetch_add(1, Ordering::Relaxed);
                fired.extend(schedule::tick(store, now, now)?.into_iter().map(|fire| fire.fire_at));
                schema::bootstrap(store)?;
                let claimed = queue::claim(store, now, "q", &worker, 1 + round % 3, 5)?;
                match claimed.first().map(|job| job.id) {
                    Some(id) if round % 3 == 0 => drop(queue::fail(store, now, id, &worker, "e")?),
                    Some(id) if round % 3 == 1 => drop(queue::retry(store, now, id, &worker, 0, "e")?),
                    Some(id) => drop(queue::ack_batch(store, now, &[id], &worker)?),
                    None => {}
                }
                queue::enqueue_many(store, now, &[Enqueue { expires_s: Some(round % 2), ..job("p") }; 2])?;
                queue::sweep_expired(store, now, "q")?;
                if let Some(dead) = queue::dead_list(store, None, 1)?.first() {
                    queue::dead_requeue(store, now, dead.id)?;
                }
                lock::acquire(store, now, "l", &worker, 1)?;
                passed += usize::from(rate_limit::try_acquire(store, 0, "r", 50, 1)?);
            }
            Ok((fired, passed))
        };
        let outcomes: honker_core::Result<Vec<_>> = race(3, &path, work).into_iter().collect();
        let outcomes = outcomes.unwrap_or_else(|error| panic!("{journal_mode}: {error:?}"));

        assert_eq!(outcomes.iter().map(|(_, passed)| passed).sum::<usize>(), 50, "{journal_mode}");
        let mut fired: Vec<i64> = outcomes.into_iter().flat_map(|(fired, _)| fired).collect();
        fired.sort_unstable();
        let last = NOW + 3 * rounds - 1;
        assert_eq!(fired, (NOW + 1..=last).collect::<Vec<_>>(), "{journal_mode}: each boundary once");
        assert_eq!(
            set_up.connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)),
            Ok("ok".to_owned())
        );
    }
}

#[test]
fn a_job_is_claimed_by_one() {
    for journal_mode in ["WAL", "DELETE"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.db");
        new_file(&path, journal_mode);
        let set_up = Database::open(&path, 0);
        schema::bootstrap(&set_up.store).unwrap();
        let jobs = vec![job("p"); 300];
        let enqueued = queue::enqueue_many(&set_up.store, NOW, &jobs).unwrap();
        let mut ids: Vec<i64> = enqueued.iter().map(|enqueued| enqueued.id).collect();

        let claimed = race(3, &path, |number, database| {
            let (mut mine, worker) = (Vec::new(), format!("w{number}"));
            loop {
                let claimed =
                    queue::claim(&database.store, NOW, "q", &worker, 1 + number as i64, 60).unwrap();
                if claimed.is_empty() {
                    break mine;
                }
                for job in claimed {
                    assert_eq!(job.attempts, 1);
                    assert_eq!(queue::ack(&database.store, NOW, job.id, &worker), Ok(true));
                    mine.push(job.id);
                }
            }
        });
        let mut claimed: Vec<i64> = claimed.into_iter().flatten().collect();
        claimed.sort_unstable();
        ids.sort_unstable();
        assert_eq!(claimed, ids, "{journal_mode}");
    }
}
