//! What ends up in the file: in every journal mode, without needless writes, with a WAL that stays small, and whatever
//! moment a process is killed at.

use std::ffi::OsStr;
use std::time::Duration;

use honker_sql_tests::*;

#[test]
fn every_function_works_in_every_journal_mode() {
    for mode in ["WAL", "DELETE", "TRUNCATE", "PERSIST", "MEMORY"] {
        let db = Db::in_mode(mode);
        db.run_every_function(1);
        db.run("BEGIN");
        db.run_every_function(2);
        db.run("COMMIT");
        assert_eq!(db.text("PRAGMA journal_mode").to_uppercase(), mode);
        db.another().assert_still(&db.dump());
        assert_eq!(db.text("PRAGMA integrity_check"), "ok");
    }
}

#[test]
fn what_changes_nothing_wakes_nobody() {
    for mode in ["WAL", "DELETE"] {
        let db = Db::in_mode(mode);
        db.furnish();
        let observer = db.another();
        let before = db.dump();
        for call in IDLE.iter().chain(READS) {
            let version = observer.data_version();
            db.run(&format!("SELECT {call}"));
            assert_eq!(observer.data_version(), version, "{call} in {mode}");
            db.assert_still(&before);
            // In a transaction of the caller's as well.
            db.run(&format!("BEGIN; SELECT {call}; COMMIT"));
            assert_eq!(observer.data_version(), version, "{call} in {mode}, in a transaction");
        }
        // Nor does a connection that comes and goes.
        let version = observer.data_version();
        db.another().close().unwrap();
        assert_eq!(observer.data_version(), version);
        // In empty tables as well, where nothing has been counted yet.
        let empty = Db::in_mode(mode);
        let observer = empty.another();
        let version = observer.data_version();
        for call in IDLE {
            if !["acquire", "rate_limit_try", "save_offset"].iter().any(|takes| call.contains(takes)) {
                empty.run(&format!("SELECT {call}"));
                assert_eq!(observer.data_version(), version, "{call} in {mode}, empty");
            }
        }
        // This is how it looks when something does change.
        let observer = db.another();
        let mut seen = 0;
        for call in WRITES {
            let (version, before) = (observer.data_version(), db.dump());
            db.run(&format!("SELECT {call}"));
            if db.dump() != before {
                assert_ne!(observer.data_version(), version, "{call} in {mode}");
                seen += 1;
            }
        }
        assert!(seen > 20, "{seen}");
    }
}

#[test]
fn the_wal_stays_small_over_a_hundred_thousand_calls() {
    const CALLS: usize = 100_000;
    // Each makes the rows that the others need, so that the tables stay small as well.
    let cycle = [
        "SELECT honker_enqueue('q', 'x')",
        "SELECT honker_enqueue('q', 'y')",
        "SELECT honker_claim_batch('q', 'w', 1, 60)",
        "SELECT honker_claim_batch('q', 'w', 2, 60)",
        "SELECT honker_heartbeat((SELECT min(id) FROM _honker_live), 'w', 60)",
        "SELECT honker_retry((SELECT min(id) FROM _honker_live), 'w', 0, 'e')",
        "SELECT honker_claim_batch('q', 'w', 1, 60)",
        "SELECT honker_ack((SELECT min(id) FROM _honker_live), 'w')",
        "SELECT honker_fail((SELECT min(id) FROM _honker_live), 'w', 'e')",
        "SELECT honker_dead_purge('q', -1)",
        "SELECT honker_sweep_expired('q')",
        "SELECT notify('c', 'x')",
        "SELECT honker_prune_notifications(NULL, 10)",
        "SELECT honker_stream_publish('t', NULL, 'x')",
        "SELECT honker_stream_save_offset('c', 't', (SELECT max(offset) FROM _honker_stream))",
        "SELECT honker_lock_acquire('l', 'a', 60)",
        "SELECT honker_lock_acquire('l', 'b', 60)",
        "SELECT honker_lock_release('l', 'a')",
        "SELECT honker_rate_limit_try('r', 10, 60)",
        "SELECT honker_result_save(1, 'x', 60)",
    ];
    let db = Db::new();
    let mut statements: Vec<_> = cycle.iter().map(|sql| db.prepare(sql).unwrap()).collect();
    // A checkpoint starts when a commit leaves 1000 pages or more in the WAL. The commit that does so may be of a few
    // dozen pages, and each page has a header of 24 bytes.
    let pages = db.int("PRAGMA wal_autocheckpoint") + 50;
    let bound = 32 + pages * (db.int("PRAGMA page_size") + 24);
    let wal = format!("{}-wal", db.file().path().display());
    let mut largest = 0;
    for call in 0..CALLS {
        let statement = &mut statements[call % cycle.len()];
        // To the end, as clients do.
        let mut rows = statement.query([]).unwrap();
        while rows.next().unwrap().is_some() {}
        drop(rows);
        if call % 500 == 0 {
            largest = largest.max(std::fs::metadata(&wal).unwrap().len());
        }
    }
    assert!(largest > bound as u64 / 2, "the test writes enough to fill it: {largest}");
    assert!(largest <= bound as u64, "{largest} bytes, more than {bound}");
    assert_eq!(db.int("SELECT count(*) FROM _honker_live"), 0);
    assert_eq!(db.int("SELECT seq FROM sqlite_sequence WHERE name = '_honker_live'"), CALLS as i64 / 10);
}

/// Moves jobs about, without ever acking one, until the process is killed.
fn work_until_killed(path: &OsStr) {
    let connection = connect_in_child(path);
    let run = |sql: &str| run_to_end(&connection, sql);
    run("SELECT honker_bootstrap()");
    run("SELECT honker_scheduler_register('s', 'q', '@every 1s', 'p', 0, NULL)");
    loop {
        run("SELECT honker_enqueue('q', 'a', NULL, NULL, 0, 1), honker_enqueue('q', 'b', NULL, NULL, 0, 0),
                    honker_enqueue('q', 'c', NULL, NULL, 0, 3, 0)");
        run("SELECT honker_claim_batch('q', 'w', 5, -1)");
        run("SELECT honker_claim_batch('q', 'w', 5, 60)");
        run("SELECT honker_sweep_expired('q')");
        run(
            "SELECT honker_fail(id, 'w', 'failed') FROM (SELECT id FROM _honker_live WHERE worker_id = 'w' LIMIT 3)",
        );
        run("SELECT honker_dead_requeue(id) FROM (SELECT id FROM _honker_dead ORDER BY random() LIMIT 2)");
        run("UPDATE _honker_scheduler_tasks SET next_fire_at = unixepoch() - 2");
        run("SELECT honker_scheduler_tick(unixepoch())");
    }
}

#[test]
fn a_killed_process_leaves_every_job_in_exactly_one_table() {
    const NAME: &str = "a_killed_process_leaves_every_job_in_exactly_one_table";
    for mode in ["WAL", "DELETE"] {
        let db = Db::unloaded_in_mode(mode);
        let mut last = 0;
        for round in 0..6 {
            in_child_process(NAME, db.file().path().as_os_str(), work_until_killed, |child| {
                std::thread::sleep(Duration::from_millis(120 + 13 * round));
                assert_eq!(child.try_wait().unwrap(), None, "the child has to be running");
                child.kill().unwrap();
                child.wait().unwrap();
            });
            let db = db.another();
            assert_eq!(db.text("PRAGMA integrity_check"), "ok");
            assert_eq!(db.int("SELECT honker_bootstrap()"), 1);
            assert_eq!(db.int("SELECT count(*) FROM _honker_live JOIN _honker_dead USING (id)"), 0);
            let enqueued =
                db.int("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = '_honker_live'");
            let present = "SELECT (SELECT count(*) FROM _honker_live) + (SELECT count(*) FROM _honker_dead)";
            assert_eq!(db.int(present), enqueued, "{mode}");
            assert!(enqueued >= last);
            last = enqueued;
            // The next process is not kept waiting.
            db.busy_timeout(Duration::ZERO).unwrap();
            db.run("BEGIN IMMEDIATE; SELECT honker_scheduler_unregister('s')");
            db.run_every_function(round as i64);
            db.run("ROLLBACK");
        }
        assert!(last > 50, "the children did something: {last}");
    }
}
