//! The version of a file's schema: who may write to it, and who may change it.

use std::time::Duration;

use honker_sql_tests::*;

/// Makes the file one of this version, as another program would.
fn set_version(db: &Db, version: i64, min_version: i64) {
    db.run(&format!("UPDATE _honker_schema SET version = {version}, min_version = {min_version}"));
}

#[track_caller]
fn assert_too_old(failure: &Failure) {
    failure.says(&["schema version 7", "this one is of version 3"]);
}

#[test]
fn a_file_that_only_newer_programs_may_write_is_only_read() {
    for mode in ["WAL", "DELETE"] {
        let db = Db::in_mode(mode);
        db.furnish();
        let newer = db.another();
        // Each of them has been here before, and looks again because somebody has committed since.
        let every_write =
            || WRITES.iter().for_each(|call| db.run(&format!("BEGIN; SELECT {call}; ROLLBACK")));
        every_write();
        set_version(&newer, 9, 7);
        let before = newer.dump();
        for call in WRITES.iter().chain(&["honker_bootstrap()"]) {
            assert_too_old(&db.error(&format!("SELECT {call}")));
            let failure =
                db.try_run(&format!("INSERT INTO _honker_locks SELECT 'x', 'x', {call}")).unwrap_err();
            assert_too_old(&failure);
            db.run("BEGIN");
            assert_too_old(&db.error(&format!("SELECT {call}")));
            db.run("ROLLBACK");
        }
        for call in READS {
            db.run(&format!("SELECT {call}"));
        }
        newer.assert_still(&before);
        // Also on a connection that comes later.
        let later = db.another();
        assert_too_old(&later.error("SELECT honker_enqueue('q', 'x')"));
        assert_eq!(later.int("SELECT honker_get_job(1) ->> 'id'"), 1);

        set_version(&newer, 9, 3);
        every_write();
        assert_eq!(db.rows("SELECT * FROM _honker_schema"), "9|3");
    }
}

#[test]
fn it_is_looked_at_under_the_lock() {
    let db = Db::new();
    let newer = db.another();
    db.enqueue("q");
    // After BEGIN, before the first write.
    db.run("BEGIN");
    set_version(&newer, 7, 7);
    assert_too_old(&db.error("SELECT honker_enqueue('q', 'x')"));
    db.run("ROLLBACK");
    set_version(&newer, 7, 3);
    // Once the lock is ours nobody can change it.
    db.run("BEGIN");
    db.enqueue("q");
    newer.busy_timeout(Duration::ZERO).unwrap();
    assert!(newer.try_run("UPDATE _honker_schema SET min_version = 7").is_err());
    db.enqueue("q");
    db.run("COMMIT");
    set_version(&newer, 7, 7);
    assert_too_old(&db.error("SELECT honker_enqueue('q', 'x')"));
}

#[test]
fn to_look_costs_no_transaction_its_lock() {
    // A transaction that reads before it writes is refused at once where one that writes at once waits.
    for round in 0..5 {
        let db = Db::new();
        let (other, waiting) = (db.another(), db.another());
        other.run("BEGIN IMMEDIATE; SELECT honker_enqueue('q', 'x')");
        waiting.run("BEGIN");
        let thread = std::thread::spawn(move || {
            let enqueued = waiting.try_get::<i64>("SELECT honker_enqueue('q', 'x')", []);
            waiting.run("COMMIT");
            enqueued
        });
        std::thread::sleep(Duration::from_millis(round * 20));
        other.run("COMMIT");
        assert_eq!(thread.join().unwrap().unwrap(), 2);
    }
}

#[test]
fn a_newer_file_that_may_be_written_keeps_its_schema() {
    let db = Db::new();
    set_version(&db, 7, 3);
    db.run(
        "DROP INDEX _honker_live_claim; CREATE INDEX _honker_live_claim ON _honker_live (queue, run_at);
         CREATE INDEX _honker_live_pending_deadline ON _honker_live (queue); DROP TABLE _honker_rate_limits;
         DROP TABLE _honker_notifications",
    );
    let before = db.dump();
    for _ in 0..2 {
        let later = db.another();
        assert_eq!(later.int("SELECT honker_bootstrap()"), 1);
        assert!(later.int("SELECT honker_enqueue('q', 'x')") > 0);
        assert_eq!(later.int("SELECT json_array_length(honker_claim_batch('q', 'w', 1, 60))"), 1);
        assert_eq!(later.int("SELECT honker_ack(id, 'w') FROM _honker_live"), 1);
        db.run("DELETE FROM sqlite_sequence");
    }
    db.assert_still(&before);
}

#[test]
fn definitions_are_replaced_once() {
    // Two programs of different versions open the same file again and again.
    let other_version = "DROP INDEX IF EXISTS _honker_live_claim;
        CREATE INDEX _honker_live_claim ON _honker_live (queue, priority DESC, run_at, id)
          WHERE state IN ('pending', 'processing');
        CREATE INDEX IF NOT EXISTS _honker_live_pending_deadline ON _honker_live (queue, run_at)
          WHERE state = 'pending';";
    let db = Db::new();
    db.run(other_version);
    let observer = db.another();
    let (schema, version) = (db.dump(), observer.data_version());
    for _ in 0..3 {
        let opened = db.another();
        assert_eq!(opened.int("SELECT honker_bootstrap()"), 1);
    }
    db.assert_still(&schema);
    assert_eq!(observer.data_version(), version, "nobody was woken");
    for n in 1..3 {
        db.run_every_function(n);
    }
}

#[test]
fn a_file_without_a_version_is_the_first() {
    for damage in
        ["DROP TABLE _honker_schema", "DELETE FROM _honker_schema", "UPDATE _honker_schema SET version = 1"]
    {
        let db = Db::new();
        db.run("DROP INDEX _honker_live_claim; CREATE INDEX _honker_live_claim ON _honker_live (queue)");
        db.run(damage);
        let current = Db::new();
        assert_eq!(db.int("SELECT honker_bootstrap()"), 1);
        assert_eq!(db.rows("SELECT * FROM _honker_schema"), "3|1", "{damage}");
        let claim_index = "SELECT sql FROM sqlite_schema WHERE name = '_honker_live_claim'";
        assert_eq!(db.text(claim_index), current.text(claim_index), "{damage}");
    }
}

#[test]
fn the_user_version_is_the_applications() {
    let db = Db::unloaded();
    db.run("PRAGMA user_version = 41");
    db.load();
    db.run("SELECT honker_bootstrap()");
    db.run_every_function(1);
    assert_eq!(db.int("PRAGMA user_version"), 41);
}

/// Somebody's SQL has removed what the file says of itself, or changed it.
#[test]
fn bootstrap_finds_out_that_a_file_uses_features() {
    for loss in [
        "DELETE FROM _honker_schema",
        "DROP TABLE _honker_schema",
        "UPDATE _honker_schema SET min_version = 1",
        "UPDATE _honker_schema SET version = NULL, min_version = NULL",
        "UPDATE _honker_schema SET min_version = 'x'",
    ] {
        let db = Db::new();
        db.run("SELECT honker_queue_configure('q', '{\"concurrency\":1}')");
        let ids = [db.enqueue("q"), db.enqueue("q")];
        db.run(loss);
        let other = db.another();
        assert_eq!(other.int("SELECT honker_bootstrap()"), 1);
        assert_eq!(db.rows("SELECT * FROM _honker_schema"), "3|3", "{loss}");
        assert_eq!(other.claim("q", 2, 60), ids[..1], "{loss}");
        assert_eq!(db.claim("q", 2, 60), NONE, "{loss}");
    }
}

/// The status of a connection is of use also where nothing works.
#[test]
fn the_status_tells_file_and_versions() {
    let db = Db::new();
    let status = db.json("SELECT honker_status()");
    let file = std::path::PathBuf::from(status["file"].as_str().unwrap());
    assert_eq!(file.canonicalize().unwrap(), db.file().path().canonicalize().unwrap());
    assert_eq!(status["journal_mode"], db.text("PRAGMA journal_mode"));
    assert_eq!(status["schema"], json!({"version": 3, "min_version": 1}));
    assert_eq!(status["versions"]["sqlite"], db.text("SELECT sqlite_version()"));
    assert_eq!(status["versions"]["honker"], db.text("SELECT honker_version()"));
    db.run("UPDATE _honker_schema SET version = 99, min_version = 98");
    assert_eq!(db.json("SELECT honker_status()")["schema"], json!({"version": 99, "min_version": 98}));
    db.run("DROP TABLE _honker_schema");
    assert_eq!(db.json("SELECT honker_status()")["schema"], json!({"version": 1, "min_version": 1}));
    // Without a bootstrap, and without a file.
    let status = Db::empty().json("SELECT honker_status()");
    assert_eq!(status["schema"], Json::Null);
    assert_eq!(Db::in_memory().json("SELECT honker_status()")["file"], Json::Null);
}
