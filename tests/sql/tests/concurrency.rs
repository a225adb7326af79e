//! More than one connection: who waits, who is told, and that nobody gets what another has.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use honker_sql_tests::*;
use rusqlite::{OpenFlags, ffi};

/// Asserts that `call` fails because somebody else is in the way, and has no effect.
#[track_caller]
fn assert_busy(db: &Db, call: &str) {
    let failure = db.error(&format!("SELECT {call}"));
    assert_eq!(failure.primary_code(), ffi::SQLITE_BUSY, "{call}: {failure:?}");
    failure.says(&["locked"]);
    assert!(db.is_autocommit(), "{call}");
}

#[test]
fn a_writer_that_finds_the_file_locked_is_told_so() {
    for mode in ["WAL", "DELETE", "TRUNCATE", "PERSIST"] {
        let other = Db::in_mode(mode);
        other.furnish();
        let db = other.another();
        db.busy_timeout(Duration::ZERO).unwrap();
        let before = db.dump();
        for call in WRITES {
            other.run("BEGIN IMMEDIATE");
            assert_busy(&db, call);
            other.run("ROLLBACK");
            db.assert_still(&before);
        }
        // Readers and those who have nothing to write may be told so as well, but not anything that is untrue.
        other.run("BEGIN IMMEDIATE");
        for call in READS {
            db.run(&format!("SELECT {call}"));
        }
        for call in IDLE {
            if let Err(failure) = db.try_run(&format!("SELECT {call}")) {
                assert_eq!(failure.primary_code(), ffi::SQLITE_BUSY, "{call}");
            }
        }
        // These look before they ask for the lock.
        for call in [
            "honker_bootstrap()",
            "honker_sweep_expired('due')",
            "honker_sweep_expired('held')",
            "honker_scheduler_tick(0)",
            "honker_ack_batch('[]', 'w')",
            "honker_prune_notifications(NULL, NULL)",
        ] {
            db.run(&format!("SELECT {call}"));
        }
        other.run("ROLLBACK");
        // The next call works.
        for call in WRITES {
            db.run(&format!("SAVEPOINT s; SELECT {call}"));
            assert!(db.dump() != before, "{call}");
            db.run("ROLLBACK TO s; RELEASE s");
        }
    }
}

#[test]
fn a_reader_that_blocks_the_commit_of_a_rollback_journal_is_reported() {
    for mode in ["DELETE", "TRUNCATE", "PERSIST"] {
        let reader = Db::in_mode(mode);
        reader.furnish();
        let db = reader.another();
        db.busy_timeout(Duration::ZERO).unwrap();
        let before = db.dump();
        for call in WRITES {
            reader.run("BEGIN; SELECT count(*) FROM _honker_live");
            assert_busy(&db, call);
            db.assert_still(&before);
            reader.run("COMMIT");
            db.assert_still(&before);
        }
        for call in WRITES {
            db.run(&format!("SAVEPOINT s; SELECT {call}"));
            assert!(db.dump() != before, "{call}");
            db.run("ROLLBACK TO s; RELEASE s");
        }
    }
}

#[test]
fn the_busy_timeout_is_waited_for_and_a_lock_given_up_in_time_is_got() {
    for mode in ["WAL", "DELETE"] {
        let mut other = Db::in_mode(mode);
        other.furnish();
        let db = other.another();
        // One that is a single statement, one that is several, and one that reads before it writes.
        for call in ["honker_ack(99, 'w')", "honker_fail(99, 'w', 'e')", "honker_sweep_expired('expired')"] {
            db.busy_timeout(Duration::from_millis(150)).unwrap();
            other.run("BEGIN IMMEDIATE");
            let start = Instant::now();
            assert_busy(&db, call);
            let waited = start.elapsed();
            assert!(
                waited >= Duration::from_millis(140) && waited < Duration::from_secs(20),
                "{call}: {waited:?}"
            );

            // Given up while we wait. (The connection moves to the thread that ends its transaction, and back.)
            db.busy_timeout(Duration::from_secs(60)).unwrap();
            let ends = thread::spawn(move || {
                thread::sleep(Duration::from_millis(50));
                other.run("COMMIT");
                other
            });
            db.run(&format!("SELECT {call}"));
            other = ends.join().unwrap();
        }
    }
}

#[test]
fn a_transaction_that_has_read_what_is_outdated_cannot_write_and_is_told_so() {
    let db = Db::new();
    let other = db.another();
    let id = db.enqueue("q");
    for call in
        ["honker_enqueue('q', 'x')", "honker_claim_batch('q', 'w', 1, 60)", "honker_fail(1, 'w', 'e')"]
    {
        db.run("BEGIN; SELECT count(*) FROM _honker_live");
        other.enqueue("other");
        let failure = db.error(&format!("SELECT {call}"));
        assert_eq!(failure.code, ffi::SQLITE_BUSY_SNAPSHOT, "{call}");
        assert!(!db.is_autocommit(), "the transaction is the caller's to end");
        // Also on a connection that has not asked for extended codes, as is SQLite's default.
        // SAFETY: the connection is open.
        let extended = unsafe {
            ffi::sqlite3_extended_result_codes(db.handle(), 0);
            assert_eq!(db.error(&format!("SELECT {call}")).primary_code(), ffi::SQLITE_BUSY);
            let extended = ffi::sqlite3_extended_errcode(db.handle());
            ffi::sqlite3_extended_result_codes(db.handle(), 1);
            extended
        };
        assert_eq!(extended, ffi::SQLITE_BUSY_SNAPSHOT, "{call}");
        db.run("ROLLBACK");
    }
    assert_eq!(db.claim("q", 1, 60), [id]);
}

#[test]
fn eight_threads_and_one_job() {
    for mode in ["WAL", "DELETE"] {
        for n in [1, 3] {
            let db = Db::in_mode(mode);
            let id = db.enqueue("q");
            let (start, file) = (Barrier::new(8), db.file());
            let claimed: Vec<i64> = thread::scope(|scope| {
                let threads = [(); 8].map(|()| {
                    scope.spawn(|| {
                        let mine = file.connect();
                        start.wait();
                        mine.claim("q", n, 60)
                    })
                });
                threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(claimed, [id]);
            assert_eq!(db.int("SELECT attempts FROM _honker_live"), 1);
        }
    }
}

#[test]
fn threads_may_share_a_connection_that_sqlite_serialises() {
    let db = Db::new();
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_FULL_MUTEX;
    let shared = db.file().connect_with(flags);
    shared.load();
    // SAFETY: the connection outlives the pointer.
    let handle = AtomicPtr::new(unsafe { shared.handle() }.cast::<()>());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let sql = c"SELECT honker_enqueue('q', 'x', NULL, NULL, 0, 1);
                            SELECT honker_fail(honker_claim_batch('q', 'w', 1, 60) ->> '$[0].id', 'w', 'e');
                            SELECT honker_sweep_expired('q'), honker_queue_next_claim_at('q'), notify('c', 'x');";
                for _ in 0..100 {
                    // SAFETY: the connection is open until the scope ends, and in the mode that allows any thread to
                    // use it at any time.
                    let code = unsafe {
                        let db = handle.load(Ordering::Relaxed).cast();
                        ffi::sqlite3_exec(db, sql.as_ptr(), None, std::ptr::null_mut(), std::ptr::null_mut())
                    };
                    assert_eq!(code, ffi::SQLITE_OK);
                }
            });
        }
    });
    assert_eq!(db.int("SELECT count(*) FROM _honker_dead WHERE attempts = 1"), 400);
    assert_eq!(db.int("SELECT count(*) FROM _honker_live"), 0);
    assert_eq!(db.int("SELECT count(*) FROM _honker_notifications"), 400);
    shared.close().unwrap();
}

#[test]
fn workers_never_share_a_job_and_leave_none() {
    for mode in ["WAL", "DELETE"] {
        let db = Db::in_mode(mode);
        let (start, file) = (Barrier::new(3), db.file());
        let done = AtomicBool::new(false);
        let mut settled: Vec<i64> = thread::scope(|scope| {
            scope.spawn(|| {
                let mine = file.connect();
                start.wait();
                for n in 0..300 {
                    mine.get::<i64>("SELECT honker_enqueue('q', 'x', NULL, NULL, ?1)", [n % 3]);
                }
                done.store(true, Ordering::SeqCst);
            });
            let workers = [1, 4].map(|n| {
                let (start, done) = (&start, &done);
                scope.spawn(move || {
                    let mine = file.connect();
                    let mut settled = Vec::new();
                    start.wait();
                    loop {
                        let last = done.load(Ordering::SeqCst);
                        let ids = mine.claim("q", n, 60);
                        if ids.is_empty() && last {
                            return settled;
                        }
                        for id in ids {
                            // Both are called `w`: the claim alone has to keep them apart.
                            assert_eq!(mine.int(&format!("SELECT honker_ack({id}, 'w')")), 1);
                            settled.push(id);
                        }
                    }
                })
            });
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        });
        settled.sort_unstable();
        assert_eq!(settled, (1..=300).collect::<Vec<i64>>());
        assert_eq!(db.int("SELECT count(*) FROM _honker_live"), 0);
        assert_eq!(db.text("PRAGMA integrity_check"), "ok");
    }
}

#[test]
fn each_boundary_is_fired_once_whoever_ticks() {
    let db = Db::new();
    for name in ["a", "b"] {
        db.get::<i64>("SELECT honker_scheduler_register(?1, 'q', '@every 1s', 'p', 0, NULL)", [name]);
    }
    let (start, file) = (Barrier::new(4), db.file());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mine = file.connect();
                start.wait();
                for second in 1..=40 {
                    mine.run(&format!("SELECT honker_scheduler_tick({})", NOW + second));
                }
            });
        }
    });
    assert_eq!(db.int("SELECT count(*) FROM _honker_live"), 80);
    assert_eq!(db.int("SELECT sum(next_fire_at) FROM _honker_scheduler_tasks"), 2 * (NOW + 41));
}

#[test]
fn a_lock_has_one_winner_and_a_limit_that_many() {
    let db = Db::new();
    let (start, file) = (Barrier::new(8), db.file());
    let won: Vec<(i64, i64)> = thread::scope(|scope| {
        let start = &start;
        let threads = [1, 2, 3, 4, 5, 6, 7, 8].map(|owner| {
            scope.spawn(move || {
                let mine = file.connect();
                start.wait();
                let lock = mine.get("SELECT honker_lock_acquire('l', ?1, 60)", [format!("owner {owner}")]);
                let passed = (0..10).map(|_| mine.int("SELECT honker_rate_limit_try('r', 23, 3600)")).sum();
                (lock, passed)
            })
        });
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(won.iter().map(|(lock, _)| lock).sum::<i64>(), 1);
    assert_eq!(won.iter().map(|(_, passed)| passed).sum::<i64>(), 23);
}

#[test]
fn readers_go_on_while_somebody_writes() {
    let db = Db::new();
    db.furnish();
    let reader = db.another();
    reader.busy_timeout(Duration::ZERO).unwrap();
    let before = reader.dump();
    db.run("BEGIN IMMEDIATE");
    db.enqueue("q");
    for call in READS {
        reader.run(&format!("SELECT {call}"));
    }
    reader.assert_still(&before);
    db.run("COMMIT");
    assert!(reader.dump() != before);
}
