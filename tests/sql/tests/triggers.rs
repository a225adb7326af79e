//! Triggers of the user's on our tables, and what they refuse: a call that fails has done nothing.

use honker_sql_tests::*;

/// Calls that write one row each, and the table and event that a trigger can refuse.
const CALLS: [(&str, &str); 12] = [
    ("honker_enqueue('q', 'x')", "INSERT ON _honker_live"),
    ("notify('c', 'x')", "INSERT ON _honker_notifications"),
    ("honker_stream_publish('t', NULL, 'x')", "INSERT ON _honker_stream"),
    ("honker_claim_batch('due', 'w', 1, 60)", "UPDATE ON _honker_live"),
    ("honker_claim_batch('due', 'w', 2, 60)", "UPDATE ON _honker_live"),
    ("honker_ack(1, 'w')", "DELETE ON _honker_live"),
    ("honker_retry(1, 'w', 0, 'e')", "UPDATE ON _honker_live"),
    ("honker_fail(1, 'w', 'e')", "INSERT ON _honker_dead"),
    ("honker_fail(1, 'w', 'e')", "DELETE ON _honker_live"),
    ("honker_cancel(1)", "DELETE ON _honker_live"),
    ("honker_lock_acquire('free', 'a', 60)", "INSERT ON _honker_locks"),
    ("honker_scheduler_pause('s')", "UPDATE ON _honker_scheduler_tasks"),
];

#[test]
fn what_a_trigger_refuses_leaves_nothing_behind() {
    for how in ["ABORT", "FAIL"] {
        for (call, event) in CALLS {
            for (begin, end) in [("", ""), ("BEGIN", "COMMIT"), ("BEGIN IMMEDIATE", "COMMIT")] {
                let db = Db::new();
                db.furnish();
                // The statement is prepared, and has been used, when the trigger comes.
                db.run(&format!("BEGIN; SELECT {call}; ROLLBACK"));
                db.run(&format!(
                    "CREATE TRIGGER refuse AFTER {event} BEGIN SELECT RAISE({how}, 'refused'); END"
                ));
                let before = db.dump();
                db.run(begin);
                let failure = db.error(&format!("SELECT {call}"));
                assert_eq!((failure.primary_code(), failure.text.as_str()), (19, "refused"), "{how} {call}");
                assert_eq!(db.is_autocommit(), begin.is_empty());
                db.run(end);
                db.assert_still(&before);
            }
        }
    }
}

#[test]
fn a_row_that_a_trigger_ignores_is_not_inserted_and_that_is_an_error() {
    for (call, event) in CALLS.iter().filter(|(call, _)| !call.contains("lock") && !call.contains("fail")) {
        let Some(table) = event.strip_prefix("INSERT ON ") else { continue };
        for (begin, end) in [("", ""), ("BEGIN", "COMMIT")] {
            let db = Db::new();
            db.run(&format!(
                "CREATE TABLE seen (x); CREATE TRIGGER ignore BEFORE INSERT ON {table}
                 BEGIN INSERT INTO seen VALUES (1); SELECT RAISE(IGNORE); END"
            ));
            let before = db.dump();
            db.run(begin);
            db.error(&format!("SELECT {call}")).says(&["trigger", "RAISE(IGNORE)"]);
            db.run(end);
            db.assert_still(&before);
        }
    }
}

/// Not "held by somebody else", "lost" or "limited", which would be wrong.
#[test]
fn a_lock_or_a_rate_limit_that_a_trigger_keeps_as_it_is_is_an_error() {
    let held = "SELECT honker_lock_acquire('l', 'a', 600)";
    let stale = "INSERT INTO _honker_locks VALUES ('l', 'b', 1)";
    let mine_and_stale = "INSERT INTO _honker_locks VALUES ('l', 'a', 1)";
    let counted = "SELECT honker_rate_limit_try('r', 2, 1000000000)";
    for (make, call, event) in [
        ("", "honker_lock_acquire('l', 'a', 60)", "INSERT ON _honker_locks"),
        (stale, "honker_lock_acquire('l', 'a', 60)", "UPDATE ON _honker_locks"),
        (mine_and_stale, "honker_lock_acquire('l', 'a', 60)", "UPDATE ON _honker_locks"),
        (held, "honker_lock_renew('l', 'a', 60)", "UPDATE ON _honker_locks"),
        (held, "honker_lock_release('l', 'a')", "DELETE ON _honker_locks"),
        ("", "honker_rate_limit_try('r', 2, 1000000000)", "INSERT ON _honker_rate_limits"),
        (counted, "honker_rate_limit_try('r', 2, 1000000000)", "UPDATE ON _honker_rate_limits"),
    ] {
        for (begin, end) in [("", ""), ("BEGIN", "COMMIT")] {
            let db = Db::new();
            db.run(make);
            db.run("SELECT honker_lock_acquire('other', 'b', 600)");
            db.run(&format!("CREATE TRIGGER keep BEFORE {event} BEGIN SELECT RAISE(IGNORE); END"));
            let before = db.dump();
            db.run(begin);
            db.error(&format!("SELECT {call}")).says(&["trigger", "RAISE(IGNORE)"]);
            // What the trigger has nothing to do with answers as ever.
            assert_eq!(db.int("SELECT honker_lock_acquire('other', 'a', 60)"), 0);
            assert_eq!(db.int("SELECT honker_lock_renew('other', 'a', 60)"), 0);
            assert_eq!(db.int("SELECT honker_lock_release('other', 'a')"), 0);
            db.run(end);
            db.assert_still(&before);
        }
    }
}

#[test]
fn a_job_that_a_trigger_keeps_in_its_table_is_not_moved_and_that_is_an_error() {
    let last_attempt =
        "SELECT honker_enqueue('q', 'p', NULL, NULL, 0, 1); SELECT honker_claim_batch('q', 'w', 1, 60)";
    let expired = "SELECT honker_enqueue('q', 'p', NULL, NULL, 0, 3, -1)";
    let exhausted = "SELECT honker_enqueue('q', 'p', NULL, NULL, 0, 0)";
    let dead = "SELECT honker_enqueue('q', 'p'); SELECT honker_claim_batch('q', 'w', 1, 60); SELECT honker_fail(1, 'w', 'e')";
    for (job, call, event) in [
        (last_attempt, "honker_fail(1, 'w', 'e')", "DELETE ON _honker_live"),
        (last_attempt, "honker_retry(1, 'w', 0, 'e')", "DELETE ON _honker_live"),
        (last_attempt, "honker_fail(1, 'w', 'e')", "INSERT ON _honker_dead"),
        (last_attempt, "honker_retry(1, 'w', 0, 'e')", "INSERT ON _honker_dead"),
        (expired, "honker_sweep_expired('q')", "INSERT ON _honker_dead"),
        (exhausted, "honker_claim_batch('q', 'w', 1, 60)", "INSERT ON _honker_dead"),
        (exhausted, "honker_claim_batch('q', 'w', 9, 60)", "INSERT ON _honker_dead"),
        (expired, "honker_result_save(1, 'v', 60)", "INSERT ON _honker_results"),
        (expired, "honker_sweep_expired('q')", "DELETE ON _honker_live"),
        (dead, "honker_dead_requeue(1)", "DELETE ON _honker_dead"),
        (dead, "honker_dead_requeue(1)", "INSERT ON _honker_live"),
    ] {
        for (begin, end) in [("", ""), ("BEGIN", "COMMIT")] {
            let db = Db::new();
            db.run(job);
            db.run(&format!("CREATE TRIGGER keep BEFORE {event} BEGIN SELECT RAISE(IGNORE); END"));
            let before = db.dump();
            db.run(begin);
            db.error(&format!("SELECT {call}")).says(&["trigger", "RAISE(IGNORE)"]);
            db.run(end);
            db.assert_still(&before);
        }
    }
}

#[test]
fn a_trigger_that_another_connection_made_counts() {
    let db = Db::new();
    db.enqueue("q");
    db.another().run(
        "CREATE TRIGGER refuse AFTER INSERT ON _honker_live WHEN new.payload = 'bad'
         BEGIN SELECT RAISE(FAIL, 'refused'); END",
    );
    db.run("BEGIN");
    db.enqueue("q");
    db.error("SELECT honker_enqueue('q', 'bad')").says(&["refused"]);
    db.enqueue("q");
    db.run("COMMIT");
    assert_eq!(db.rows("SELECT id FROM _honker_live"), "1\n2\n3");
    assert_eq!(db.int("SELECT count(*) FROM _honker_live WHERE payload = 'bad'"), 0);
}

#[test]
fn a_trigger_that_the_transaction_has_made_counts() {
    for (make, undo) in [
        ("CREATE TEMP TRIGGER refuse AFTER INSERT ON main._honker_live", ""),
        ("CREATE TRIGGER refuse AFTER INSERT ON _honker_live", ""),
        ("CREATE TEMP TRIGGER refuse AFTER INSERT ON main._honker_live", "ROLLBACK TO s"),
        ("CREATE TRIGGER refuse AFTER INSERT ON _honker_live", "ROLLBACK TO s"),
    ] {
        let db = Db::new();
        db.enqueue("q");
        db.run("BEGIN");
        db.enqueue("q");
        let trigger = format!("{make} WHEN new.payload = 'bad' BEGIN SELECT RAISE(FAIL, 'refused'); END");
        db.run(&format!("SAVEPOINT s; {trigger}"));
        if !undo.is_empty() {
            db.run(undo);
            db.enqueue("q");
            db.run(&trigger);
        }
        db.error("SELECT honker_enqueue('q', 'bad')").says(&["refused"]);
        db.enqueue("q");
        db.run("COMMIT");
        // And when it has been there for longer.
        db.run("BEGIN");
        db.error("SELECT honker_enqueue('q', 'bad')").says(&["refused"]);
        db.run("COMMIT");
        assert_eq!(db.int("SELECT count(*) FROM _honker_live WHERE payload = 'bad'"), 0, "{trigger}");
    }
}

/// The others are moved and claimed. Once only jobs are left that cannot be, that is an error.
#[test]
fn a_job_that_cannot_be_moved_is_passed_over() {
    for how in ["RAISE(ABORT, 'refused')", "RAISE(FAIL, 'refused')", "RAISE(IGNORE)"] {
        for event in ["AFTER INSERT ON _honker_dead WHEN new", "BEFORE DELETE ON _honker_live WHEN old"] {
            // Once the row is inserted it cannot be ignored.
            let event =
                if how.contains("IGNORE") { event.replace("AFTER", "BEFORE") } else { event.to_owned() };
            for (begin, end) in [("", ""), ("BEGIN", "COMMIT")] {
                let db = Db::new();
                db.run("SELECT honker_enqueue('q', iif(column1 = 3, 'bad', 'p'), NULL, NULL, 0, 3, 0) FROM (VALUES (1), (2), (3), (4), (5))");
                db.run("SELECT honker_enqueue('q', 'bad', NULL, NULL, 0, 0), honker_enqueue('q', 'good')");
                db.run(&format!("CREATE TRIGGER refuse {event}.payload = 'bad' BEGIN SELECT {how}; END"));
                db.run(begin);
                assert_eq!(db.claim("q", 1, 60).len(), 1, "{how} {event}");
                assert_eq!(db.int("SELECT honker_sweep_expired('q')"), 4, "{how} {event}");
                assert_eq!(db.int("SELECT count(*) FROM _honker_dead WHERE payload = 'bad'"), 0);
                assert_eq!(db.int("SELECT count(*) FROM _honker_live WHERE payload = 'bad'"), 2);
                for call in ["honker_claim_batch('q', 'w', 1, 60)", "honker_sweep_expired('q')"] {
                    let failure = db.error(&format!("SELECT {call}"));
                    assert_eq!(failure.primary_code(), 19, "{how} {event} {call}");
                }
                db.run(end);
                db.run("DROP TRIGGER refuse");
                assert_eq!(db.claim("q", 1, 60).len(), 0);
                assert_eq!(db.int("SELECT honker_sweep_expired('q')"), 1);
            }
        }
    }
}

/// There is no savepoint there to undo a single move with.
#[test]
fn within_a_writing_statement_a_job_that_cannot_be_moved_fails_the_call() {
    for (begin, end) in [("", ""), ("BEGIN", "ROLLBACK")] {
        let db = Db::new();
        db.run("CREATE TABLE answers (value)");
        db.run("SELECT honker_enqueue('q', 'p', NULL, NULL, 0, 3, 0), honker_enqueue('q', 'bad', NULL, NULL, 0, 3, 0)");
        db.run("SELECT honker_enqueue('q', 'bad', NULL, NULL, 0, 0), honker_enqueue('q', 'good')");
        db.run(
            "CREATE TRIGGER refuse BEFORE DELETE ON _honker_live WHEN old.payload = 'bad'
             BEGIN SELECT RAISE(ABORT, 'refused'); END",
        );
        let before = db.dump();
        for call in ["honker_claim_batch('q', 'w', 1, 60)", "honker_sweep_expired('q')"] {
            db.run(begin);
            db.error(&format!("INSERT INTO answers VALUES ({call})")).says(&["refused"]);
            db.run(end);
            db.assert_still(&before);
        }
    }
}
