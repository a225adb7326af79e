//! Files that cannot be used, or not fully: no tables yet, read-only, not a database, damaged, full.
//!
//! The error is SQLite's, with its code, and nothing is done by halves.

use honker_sql_tests::*;
use rusqlite::{OpenFlags, ffi};

#[test]
fn before_bootstrap_the_missing_table_and_the_remedy_are_named() {
    let db = Db::empty();
    let before = db.dump();
    for (call, table) in [
        ("honker_enqueue('q', 'x')", "_honker_live"),
        ("honker_claim_batch('q', 'w', 1, 60)", "_honker_live"),
        ("honker_claim_batch('q', 'w', 2, 60)", "_honker_live"),
        ("honker_ack(1, 'w')", "_honker_live"),
        ("honker_ack_batch('[1]', 'w')", "_honker_live"),
        ("honker_retry(1, 'w', 0, 'e')", "_honker_live"),
        ("honker_fail(1, 'w', 'e')", "_honker_"),
        ("honker_heartbeat(1, 'w', 60)", "_honker_live"),
        ("honker_cancel(1)", "_honker_live"),
        ("honker_get_job(1)", "_honker_live"),
        ("honker_sweep_expired('q')", "_honker_"),
        ("honker_queue_next_claim_at('q')", "_honker_live"),
        ("honker_stats('q')", "_honker_"),
        ("honker_stats(NULL)", "_honker_"),
        ("honker_dead_list(NULL, 1)", "_honker_dead"),
        ("honker_dead_requeue(1)", "_honker_"),
        ("honker_dead_purge(NULL, 1)", "_honker_dead"),
        ("honker_result_save(1, 'x', 0)", "_honker_results"),
        ("honker_result_get(1)", "_honker_results"),
        ("honker_result_sweep()", "_honker_results"),
        ("honker_lock_acquire('l', 'a', 60)", "_honker_locks"),
        ("honker_lock_renew('l', 'a', 60)", "_honker_locks"),
        ("honker_lock_release('l', 'a')", "_honker_locks"),
        ("honker_rate_limit_try('r', 1, 60)", "_honker_rate_limits"),
        ("honker_rate_limit_sweep(60)", "_honker_rate_limits"),
        ("honker_stream_publish('t', NULL, 'x')", "_honker_stream"),
        ("honker_stream_read_since('t', 0, 1)", "_honker_stream"),
        ("honker_stream_save_offset('c', 't', 1)", "_honker_stream_consumers"),
        ("honker_stream_get_offset('c', 't')", "_honker_stream_consumers"),
        ("honker_scheduler_register('s', 'q', '@every 1h', 'p', 0, NULL)", "_honker_scheduler_tasks"),
        ("honker_scheduler_unregister('s')", "_honker_scheduler_tasks"),
        ("honker_scheduler_update('s', NULL, 'p', NULL, NULL, 0)", "_honker_scheduler_tasks"),
        ("honker_scheduler_pause('s')", "_honker_scheduler_tasks"),
        ("honker_scheduler_resume('s')", "_honker_scheduler_tasks"),
        ("honker_scheduler_list()", "_honker_scheduler_tasks"),
        ("honker_scheduler_tick(1)", "_honker_scheduler_tasks"),
        ("honker_scheduler_soonest()", "_honker_scheduler_tasks"),
    ] {
        for autocommit in [true, false] {
            db.run(if autocommit { "" } else { "BEGIN" });
            let failure = db.error(&format!("SELECT {call}"));
            failure.says(&["no such table", table, "honker_bootstrap()"]);
            assert_eq!(db.is_autocommit(), autocommit, "{call}");
            db.run(if autocommit { "" } else { "ROLLBACK" });
        }
    }
    db.assert_still(&before);
    assert_eq!(db.int("SELECT notify('c', 'x')"), 1);
    assert_eq!(db.int("SELECT honker_prune_notifications(NULL, 0)"), 1);
    assert_eq!(db.int("SELECT honker_bootstrap()"), 1);
    db.run_every_function(1);
}

/// Asserts that reading works on `db`, and that writing fails as on something read-only.
#[track_caller]
fn assert_readonly(db: &Db) {
    let before = db.dump();
    for call in READS {
        db.run(&format!("SELECT {call}"));
    }
    for call in WRITES {
        let failure = db.error(&format!("SELECT {call}"));
        failure.says(&["readonly"]);
        assert_eq!(failure.primary_code(), ffi::SQLITE_READONLY, "{call}");
        assert!(db.is_autocommit(), "{call}");
    }
    assert_eq!(db.int("SELECT honker_bootstrap()"), 1, "there is nothing to do");
    db.assert_still(&before);
}

#[test]
fn on_a_read_only_connection_reading_works_and_writing_is_an_error() {
    for mode in ["WAL", "DELETE"] {
        let db = Db::in_mode(mode);
        db.furnish();
        let reader = db.file().connect_with(OpenFlags::SQLITE_OPEN_READ_ONLY);
        reader.load();
        assert_readonly(&reader);
        reader.close().unwrap();

        let asked = db.another();
        asked.run("PRAGMA query_only = ON");
        assert_readonly(&asked);
        asked.run("PRAGMA query_only = OFF");
        assert_eq!(asked.int("SELECT honker_ack(1, 'w')"), 1);
        // Loading is no reason to write where everything is there.
        let asked = db.file().connect_with(OpenFlags::default());
        asked.run("PRAGMA query_only = ON");
        asked.load();
    }
}

#[test]
fn a_file_without_write_permission_is_read_only() {
    let db = Db::in_mode("DELETE");
    db.furnish();
    let (path, file) = (db.file().path(), db.file().clone());
    db.close().unwrap();
    let mut permissions = std::fs::metadata(&path).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&path, permissions).unwrap();
    if std::fs::OpenOptions::new().append(true).open(&path).is_ok() {
        return; // The superuser may write anyway.
    }
    assert_readonly(&file.connect());
}

#[test]
fn a_read_only_connection_to_a_file_without_our_tables() {
    let db = Db::unloaded_in_mode("DELETE");
    db.run("CREATE TABLE orders (id)");
    let before = db.dump();
    let reader = db.file().connect_with(OpenFlags::SQLITE_OPEN_READ_ONLY);
    reader.load();
    assert_eq!(reader.int("SELECT honker_cron_next_after('@every 1m', 0)"), 60);
    let failure = reader.error("SELECT honker_bootstrap()");
    failure.says(&["readonly"]);
    assert_eq!(failure.primary_code(), ffi::SQLITE_READONLY);
    let needs_tables = |call: &&&str| !["version", "cron", "status"].iter().any(|part| call.contains(part));
    for call in WRITES.iter().chain(READS).filter(needs_tables) {
        reader.error(&format!("SELECT {call}")).says(&["no such table", "honker_bootstrap()"]);
    }
    db.assert_still(&before);
}

#[test]
fn a_file_that_is_no_database_is_an_error_when_it_is_loaded() {
    let directory = Db::unloaded();
    let path = directory.directory().join("letter.txt");
    std::fs::write(&path, "Dear Sir or Madam, ".repeat(1000)).unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    let failure = Failure::from(load(&connection).unwrap_err());
    failure.says(&["not a database"]);
    assert_eq!(std::fs::read_to_string(&path).unwrap().len(), 19_000);
}

#[test]
fn a_damaged_file_is_an_error_and_not_an_empty_answer() {
    let db = Db::in_mode("DELETE");
    db.furnish();
    let page_size = db.int("PRAGMA page_size") as usize;
    let pages = db.rows("SELECT rootpage FROM sqlite_schema WHERE tbl_name = '_honker_live'");
    let (path, file) = (db.file().path(), db.file().clone());
    db.close().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    for page in pages.lines() {
        let start = (page.parse::<usize>().unwrap() - 1) * page_size;
        bytes[start..start + page_size].fill(0xa5);
    }
    std::fs::write(&path, bytes).unwrap();
    let db = file.connect();
    for call in [
        "honker_enqueue('q', 'x')",
        "honker_claim_batch('due', 'w', 1, 60)",
        "honker_claim_batch('due', 'w', 2, 60)",
        "honker_ack(1, 'w')",
        "honker_cancel(1)",
        "honker_get_job(1)",
        "honker_sweep_expired('expired')",
        "honker_queue_next_claim_at('held')",
        "honker_stats('held')",
        "honker_retry(1, 'w', 0, 'e')",
        "honker_fail(1, 'w', 'e')",
        "honker_dead_requeue(3)",
    ] {
        let failure = db.error(&format!("SELECT {call}"));
        failure.says(&["malformed"]);
        assert_eq!(failure.primary_code(), ffi::SQLITE_CORRUPT, "{call}");
        assert!(db.is_autocommit(), "{call}");
    }
    assert_eq!(db.int("SELECT honker_lock_release('held', 'a')"), 1, "the rest goes on");
}

/// A file that cannot grow, with jobs whose move to the dead needs room.
fn full() -> Db {
    let db = Db::new();
    let payload = "x".repeat(3000);
    db.run("BEGIN");
    for (queue, budget, expires) in [("expired", 3, Some(0)), ("exhausted", 0, None), ("held", 1, None)] {
        for _ in 0..50 {
            let sql = "SELECT honker_enqueue(?1, ?2, NULL, NULL, 0, ?3, ?4)";
            db.get::<i64>(sql, (queue, &payload, budget, expires));
        }
    }
    db.claim("held", -1, 60);
    db.run("SELECT honker_scheduler_register('s', 'q', '@every 1s', hex(zeroblob(1500)), 0, NULL)");
    db.run("COMMIT");
    db.run("VACUUM");
    db.clock().advance(60);
    let pages = db.int("PRAGMA page_count");
    db.run(&format!("PRAGMA max_page_count = {pages}"));
    db
}

#[test]
fn a_full_disk_is_an_error_without_effect_and_no_reason_to_give_up() {
    for call in [
        "honker_enqueue('q', hex(zeroblob(20000)))",
        "notify('c', hex(zeroblob(20000)))",
        "honker_stream_publish('t', NULL, hex(zeroblob(20000)))",
        "honker_result_save(1, hex(zeroblob(20000)), 0)",
        "honker_scheduler_tick(unixepoch())",
        "honker_sweep_expired('expired')",
        "honker_claim_batch('exhausted', 'w', 1, 60)",
    ] {
        let db = full();
        let before = db.dump();
        let sql = format!("SELECT {call}");
        for begin in ["", "BEGIN"] {
            db.run(begin);
            let failure = db.error(&sql);
            failure.says(&["full"]);
            assert_eq!(failure.primary_code(), ffi::SQLITE_FULL, "{call}");
            // SQLite may have rolled the transaction back by itself. If not, nothing of the call is in it.
            db.assert_still(&before);
            if !db.is_autocommit() {
                assert_eq!(begin, "BEGIN", "{call}");
                db.run("COMMIT");
            }
        }
        db.another().assert_still(&before);
        assert_eq!(db.text("PRAGMA integrity_check"), "ok");
        db.run("PRAGMA max_page_count = 1000000");
        db.run(&sql);
        assert!(db.dump() != before);
        assert_eq!(db.int("SELECT count(*) FROM _honker_live JOIN _honker_dead USING (id)"), 0);
    }
}
