//! Every function is part of the caller's transaction, and all or nothing by itself, wherever SQL allows a function to
//! be called: in a writing statement, in a trigger, beside an open cursor, in another of our functions.

use honker_sql_tests::*;

/// The expression of a statement of [`every_function`], as something that can stand anywhere.
fn subquery(sql: &str) -> String {
    format!("({sql})")
}

#[test]
fn everything_is_rolled_back_with_the_transaction() {
    let db = Db::new();
    db.run("CREATE TABLE orders (id INTEGER PRIMARY KEY)");
    for (begin, end) in [
        ("BEGIN", "ROLLBACK"),
        ("BEGIN IMMEDIATE", "ROLLBACK"),
        ("SAVEPOINT s", "ROLLBACK TO s; RELEASE s"),
        ("BEGIN; SAVEPOINT s; SAVEPOINT t", "RELEASE t; ROLLBACK TO s; COMMIT"),
        // A savepoint of the name that the functions use themselves.
        ("SAVEPOINT _honker", "ROLLBACK TO _honker; RELEASE _honker"),
    ] {
        let before = db.dump();
        db.run(begin);
        db.run("INSERT INTO orders DEFAULT VALUES");
        db.run_every_function(1);
        assert!(!db.is_autocommit());
        assert!(db.dump() != before);
        db.another().assert_still(&before);
        db.run(end);
        assert!(db.is_autocommit());
        db.assert_still(&before);
    }
}

#[test]
fn everything_is_committed_with_the_transaction_and_seen_by_others_only_then() {
    for mode in ["WAL", "DELETE"] {
        let db = Db::in_mode(mode);
        let reader = db.another();
        for (n, (begin, end)) in
            [("BEGIN", "COMMIT"), ("SAVEPOINT s", "RELEASE s"), ("BEGIN; SAVEPOINT _honker", "COMMIT")]
                .into_iter()
                .enumerate()
        {
            let before = reader.dump();
            db.run(begin);
            db.run_every_function(n as i64);
            assert!(!db.is_autocommit());
            reader.assert_still(&before);
            db.run(end);
            assert!(db.is_autocommit());
            assert!(reader.dump() != before);
            reader.assert_still(&db.dump());
        }
    }
}

#[test]
fn no_function_leaves_a_transaction_or_changes_the_last_insert_rowid() {
    let db = Db::new();
    db.run("CREATE TABLE orders (id INTEGER PRIMARY KEY); INSERT INTO orders VALUES (4711)");
    for (sql, answer) in every_function(1, NOW) {
        assert_eq!(db.rows(&sql), answer, "{sql}");
        assert!(db.is_autocommit(), "{sql}");
        assert_eq!(db.last_insert_rowid(), 4711, "{sql}");
        assert_eq!(db.int("SELECT last_insert_rowid()"), 4711, "{sql}");
    }
    db.run("BEGIN");
    for (sql, answer) in every_function(2, NOW) {
        assert_eq!(db.rows(&sql), answer, "{sql}");
        assert!(!db.is_autocommit(), "{sql}");
    }
    db.run("COMMIT");
    // In the statement that inserts, too.
    db.run("INSERT INTO orders VALUES (honker_enqueue('q', 'x') + 100000)");
    assert_eq!(db.last_insert_rowid(), db.int("SELECT max(id) FROM orders"));
}

#[test]
fn every_function_works_inside_a_writing_statement() {
    for around in ["", "BEGIN"] {
        let db = Db::new();
        db.run("CREATE TABLE answers (value); CREATE TABLE one (value); INSERT INTO one VALUES (NULL)");
        for (n, write) in [
            "INSERT INTO answers VALUES (CALL)",
            "INSERT INTO answers SELECT CALL",
            "INSERT INTO answers SELECT CALL FROM one",
            "UPDATE one SET value = CALL",
            "INSERT INTO answers VALUES (CALL) RETURNING value",
            "REPLACE INTO one (rowid, value) VALUES (1, CALL)",
        ]
        .into_iter()
        .enumerate()
        {
            db.run(around);
            for (sql, answer) in every_function(n as i64, NOW) {
                let writing = write.replace("CALL", &subquery(&sql));
                db.run("DELETE FROM answers");
                db.run(&writing);
                let table = if write.contains("answers") { "answers" } else { "one" };
                assert_eq!(db.rows(&format!("SELECT value FROM {table}")), answer, "{writing}");
            }
            if !around.is_empty() {
                db.run("COMMIT");
            }
            assert!(db.is_autocommit());
        }
        // A DELETE that asks for each row, and one call for each row of an INSERT … SELECT.
        db.run("DELETE FROM answers; INSERT INTO answers VALUES (1), (2), (3)");
        db.run("DELETE FROM answers WHERE honker_enqueue('d', value || '') > 0");
        assert_eq!(db.rows("SELECT payload FROM _honker_live WHERE queue = 'd' ORDER BY id"), "1\n2\n3");
        db.run("INSERT INTO answers SELECT honker_claim_batch('d', 'w', 1, 60) FROM (VALUES (1), (2), (3))");
        assert_eq!(db.rows("SELECT value ->> '$[0].payload' FROM answers"), "1\n2\n3");
    }
}

#[test]
fn an_order_and_its_job_come_and_go_together() {
    let db = Db::new();
    db.run(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER CHECK (total > 0), job);
         CREATE TRIGGER mail AFTER INSERT ON orders BEGIN
           SELECT honker_enqueue('mail', json_object('order', NEW.id));
           UPDATE orders SET job = honker_enqueue('pack', '{}', NULL, NULL, NEW.total) WHERE id = NEW.id;
         END",
    );
    let jobs = "SELECT queue, count(*) FROM _honker_live GROUP BY queue ORDER BY queue";
    db.run("INSERT INTO orders (total) VALUES (5), (7)");
    assert_eq!(db.last_insert_rowid(), 2);
    assert_eq!(db.rows(jobs), "mail|2\npack|2");
    assert_eq!(
        db.rows("SELECT orders.id, payload, priority FROM orders JOIN _honker_live AS live ON live.id = job"),
        "1|{}|5\n2|{}|7"
    );
    // The second row fails, so the first one's job goes as well.
    assert!(db.try_run("INSERT INTO orders (total) VALUES (5), (-1)").is_err());
    assert_eq!(db.rows(jobs), "mail|2\npack|2");
    db.run("BEGIN; INSERT INTO orders (total) VALUES (1); ROLLBACK");
    assert_eq!(db.rows(jobs), "mail|2\npack|2");
    // OR FAIL keeps the rows before the failing one, and their jobs.
    assert!(db.try_run("INSERT OR FAIL INTO orders (total) VALUES (5), (-1)").is_err());
    assert_eq!(db.int("SELECT count(*) FROM orders"), 3);
    assert_eq!(db.rows(jobs), "mail|3\npack|3");
    assert_eq!(db.claim("mail", -1, 60).len(), 3);
}

#[test]
fn triggers_on_our_tables_may_call_our_functions() {
    let db = Db::new();
    db.run(
        "CREATE TRIGGER alert AFTER INSERT ON _honker_dead WHEN NEW.queue <> 'alerts' BEGIN
           SELECT honker_enqueue('alerts', NEW.last_error);
           SELECT notify('dead', NEW.id || '');
         END;
         CREATE TRIGGER count AFTER UPDATE OF state ON _honker_live WHEN NEW.state = 'processing' BEGIN
           SELECT honker_rate_limit_try('claims', 1000, 60);
           SELECT notify('claimed', honker_get_job(NEW.id) ->> 'worker_id');
         END;
         CREATE TRIGGER chain AFTER DELETE ON _honker_live WHEN OLD.queue = 'first' BEGIN
           SELECT honker_claim_batch('second', OLD.worker_id, 1, 60);
           SELECT honker_ack(OLD.id + 1, OLD.worker_id);
         END",
    );
    // Each way to die, and a second one inside of the first (the alert of an exhausted job).
    db.run(
        "SELECT honker_enqueue('q', 'a'), honker_claim_batch('q', 'w', 1, 60), honker_fail(1, 'w', 'failed')",
    );
    db.run("SELECT honker_enqueue('q', 'b', NULL, NULL, 0, 3, 0), honker_sweep_expired('q')");
    db.run("SELECT honker_enqueue('q', 'c', NULL, NULL, 0, 0)");
    assert_eq!(db.claim("q", 1, 60), NONE);
    db.run("SELECT honker_enqueue('q', 'd', NULL, NULL, 0, 1), honker_claim_batch('q', 'w', 1, 60)");
    db.run("SELECT honker_retry(max(id), 'w', 0, 'spent') FROM _honker_live WHERE queue = 'q'");
    assert_eq!(
        db.rows("SELECT payload FROM _honker_live WHERE queue = 'alerts' ORDER BY id"),
        "failed\nexpired\nmax attempts exceeded\nspent"
    );
    let dead = "SELECT count(*) FROM _honker_notifications WHERE channel = 'dead'";
    assert_eq!(db.int(dead), 4);
    let claimed = "SELECT payload FROM _honker_notifications WHERE channel = 'claimed'";
    assert_eq!(db.rows(claimed), "w\nw");
    assert_eq!(db.int("SELECT count FROM _honker_rate_limits"), 2);

    // An ack that claims and acks another: the same statements, running twice at once.
    let first = db.enqueue("first");
    let second = db.enqueue("second");
    db.claim("first", 1, 60);
    assert_eq!(db.int(&format!("SELECT honker_ack({first}, 'w')")), 1);
    assert_eq!(db.text(&format!("SELECT honker_get_job({second})")), "");
    assert!(db.is_autocommit());
    db.run("DROP TRIGGER alert; DROP TRIGGER count; DROP TRIGGER chain");
    db.run_every_function(1);
}

#[test]
fn a_trigger_that_re_enters_the_function_it_was_fired_by() {
    let db = Db::new();
    // Claims again for as long as there is something, each claim inside of the one before.
    db.run(
        "CREATE TRIGGER again AFTER UPDATE OF state ON _honker_live WHEN NEW.state = 'processing' BEGIN
           SELECT honker_claim_batch(NEW.queue, 'inner', 1, 60);
         END",
    );
    for _ in 0..20 {
        db.enqueue("q");
    }
    assert_eq!(db.claim("q", 1, 60).len(), 1);
    let by_worker =
        "SELECT worker_id, attempts, count(*) FROM _honker_live GROUP BY worker_id, attempts ORDER BY 1";
    assert_eq!(db.rows(by_worker), "inner|1|19\nw|1|1");
}

#[test]
fn a_trigger_without_end_is_an_error_and_not_the_end_of_the_host() {
    // SQLite stops triggers that fire themselves, but does not see it when they do through a function.
    let name = "a_trigger_without_end_is_an_error_and_not_the_end_of_the_host";
    let body = |_: &std::ffi::OsStr| {
        let db = Db::new();
        db.run(
            "CREATE TRIGGER endless AFTER INSERT ON _honker_live BEGIN SELECT honker_enqueue(NEW.queue, 'x'); END;
             CREATE TRIGGER sweeps AFTER INSERT ON _honker_dead BEGIN SELECT honker_sweep_expired(NEW.queue); END;
             INSERT INTO _honker_stream_consumers VALUES ('c', 't', 1)",
        );
        let before = db.dump();
        db.error("SELECT honker_enqueue('q', 'x')");
        assert!(db.is_autocommit());
        db.assert_still(&before);
        db.run("DROP TRIGGER endless; SELECT honker_enqueue('q', 'x', NULL, NULL, 0, 3, 0)");
        let before = db.dump();
        db.error("SELECT honker_sweep_expired('q')");
        assert!(db.is_autocommit());
        db.assert_still(&before);
        db.run("DROP TRIGGER sweeps");
        db.run_every_function(1);
    };
    in_child_process(name, "".as_ref(), body, |child| assert!(child.wait().unwrap().success()));
}

#[test]
fn open_cursors_are_not_disturbed() {
    let db = Db::new();
    db.run("CREATE TABLE numbers AS WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c WHERE x < 70) SELECT x FROM c");
    let calls = every_function(1, NOW);
    let mut statement = db.prepare("SELECT x FROM numbers ORDER BY x").unwrap();
    let mut rows = statement.query([]).unwrap();
    let mut seen = 0;
    while let Some(row) = rows.next().unwrap() {
        seen += 1;
        assert_eq!(row.get::<_, i64>(0).unwrap(), seen);
        // Also after a failure that had to be rolled back.
        db.error("SELECT honker_scheduler_register('s', 'q', 'bad', 'p', 0, NULL)");
        if let Some((sql, answer)) = calls.get(seen as usize - 1) {
            assert_eq!(&db.rows(sql), answer, "{sql}");
        }
    }
    assert_eq!(seen, 70);
}

#[test]
fn a_cursor_over_the_jobs_may_settle_them_as_it_goes() {
    let db = Db::new();
    for _ in 0..50 {
        db.enqueue("q");
    }
    db.claim("q", -1, 60);
    let acked = db.int("SELECT sum(honker_ack(id, 'w')) FROM _honker_live WHERE id % 2");
    assert_eq!((acked, db.int("SELECT count(*) FROM _honker_live")), (25, 25));
    assert_eq!(db.int("SELECT sum(honker_fail(id, 'w', 'e')) FROM (SELECT id FROM _honker_live)"), 25);
    assert_eq!(db.int("SELECT count(*) FROM _honker_dead"), 25);
    assert_eq!(db.int("SELECT sum(honker_dead_requeue(id)) FROM (SELECT id FROM _honker_dead)"), 25);
    assert_eq!(db.claim("q", -1, 60).len(), 25);
}

#[test]
fn a_failure_beside_an_open_cursor_leaves_the_cursor() {
    let db = Db::new();
    db.run("SELECT honker_enqueue('q', 'x', NULL, NULL, 0, 3, 0) FROM (VALUES (1), (2), (3))");
    db.run("CREATE TRIGGER no BEFORE DELETE ON _honker_live BEGIN SELECT RAISE(ABORT, 'no'); END");
    let mut statement = db.prepare("SELECT id FROM _honker_live").unwrap();
    let mut rows = statement.query([]).unwrap();
    let mut seen = 0;
    while rows.next().unwrap().is_some() {
        seen += 1;
        db.error("SELECT honker_sweep_expired('q')").says(&["no"]);
        assert_eq!(db.dead(), "");
    }
    assert_eq!(seen, 3);
}

/// Operations of several statements, each with what has to be there first, and a trigger that makes it fail midway.
fn operations() -> Vec<(&'static str, &'static str, &'static str)> {
    const ON_DEAD: &str = "AFTER INSERT ON _honker_dead WHEN NEW.queue = 'q'";
    const ON_LIVE: &str = "BEFORE DELETE ON _honker_live WHEN OLD.queue = 'q'";
    let mut operations = Vec::new();
    for (set_up, call) in [
        // Two that die and cannot be moved, and one that lives. (A claim would take that one.)
        (
            "SELECT honker_enqueue('q', 'first', NULL, NULL, 0, 3, 5), honker_enqueue('q', 'last', NULL, NULL, 0, 3, 5),
                    honker_enqueue('q', 'well')",
            "honker_sweep_expired('q')",
        ),
        (
            "SELECT honker_enqueue('q', 'first', NULL, NULL, 0, 0), honker_enqueue('q', 'last', NULL, NULL, 0, 0)",
            "honker_claim_batch('q', 'w', 1, 60)",
        ),
        (
            "SELECT honker_enqueue('q', 'first', NULL, NULL, 1, 1), honker_enqueue('q', 'last', NULL, NULL, 1, 1),
                    honker_claim_batch('q', 'w', 2, 1)",
            "honker_claim_batch('q', 'w', -1, 60)",
        ),
        (
            "SELECT honker_enqueue('q', 'first', NULL, NULL, 1, 9, 5), honker_enqueue('q', 'last', NULL, NULL, 1, 9, 5),
                    honker_claim_batch('q', 'w', 2, 1)",
            "honker_claim_batch('q', 'w', 1, 60)",
        ),
        ("SELECT honker_enqueue('q', 'last'), honker_claim_batch('q', 'w', 1, 60)", "honker_fail(1, 'w', 'e')"),
        (
            "SELECT honker_enqueue('q', 'last', NULL, NULL, 0, 1), honker_claim_batch('q', 'w', 1, 60)",
            "honker_retry(1, 'w', 0, 'e')",
        ),
    ] {
        operations.extend([(set_up, ON_DEAD, call), (set_up, ON_LIVE, call)]);
    }
    operations.extend([
        (
            "SELECT honker_enqueue('q', 'first'), honker_enqueue('q', 'last'), honker_claim_batch('q', 'w', 2, 60)",
            ON_LIVE,
            "honker_ack_batch('[1, 2]', 'w')",
        ),
        (
            "SELECT honker_enqueue('q', 'first'), honker_enqueue('q', 'last')",
            "AFTER UPDATE ON _honker_live",
            "honker_claim_batch('q', 'w', 2, 60)",
        ),
        (
            "SELECT honker_enqueue('q', 'x'), honker_claim_batch('q', 'w', 1, 60), honker_fail(1, 'w', 'e')",
            "BEFORE DELETE ON _honker_dead",
            "honker_dead_requeue(1)",
        ),
        (
            "SELECT honker_scheduler_register('a', 'q', '@every 1s', 'x', 0, NULL)",
            "AFTER INSERT ON _honker_live WHEN (SELECT count(*) FROM _honker_live) = 5",
            "honker_scheduler_tick(unixepoch())",
        ),
        (
            "SELECT honker_scheduler_register('a', 'q', '@every 1s', 'x', 0, NULL)",
            "BEFORE UPDATE ON _honker_scheduler_tasks",
            "honker_scheduler_tick(unixepoch())",
        ),
        (
            "SELECT honker_lock_acquire('l', 'a', 1)",
            "AFTER UPDATE ON _honker_locks",
            "honker_lock_acquire('l', 'b', 9)",
        ),
    ]);
    operations
}

fn ready_to_fail(set_up: &str, trigger: &str, raise: &str) -> Db {
    let db = Db::new();
    db.run("CREATE TABLE answers (value); INSERT INTO answers VALUES (0)");
    db.run(set_up);
    db.clock().advance(10);
    if call_needs_a_valid_claim(set_up) {
        db.clock().advance(-10);
    }
    db.run(&format!("CREATE TRIGGER no {trigger} BEGIN SELECT RAISE({raise}, 'no such luck'); END"));
    db
}

fn call_needs_a_valid_claim(set_up: &str) -> bool {
    set_up.contains("'w', 1, 60)") || set_up.contains("'w', 2, 60)")
}

#[test]
fn an_operation_that_fails_midway_has_no_effect() {
    for (set_up, trigger, call) in operations() {
        for raise in ["ABORT", "FAIL", "ROLLBACK"] {
            let db = ready_to_fail(set_up, trigger, raise);
            let before = db.dump();
            let sql = format!("SELECT {call}");
            db.error(&sql).says(&["no such luck"]);
            assert!(db.is_autocommit(), "{sql}");
            // FAIL asks for what the failing statement did so far to stay, and has it where that is all there is.
            if raise != "FAIL" || !call.contains("lock_acquire") {
                db.assert_still(&before);
            }
            db.run("DROP TRIGGER no");
            assert_ne!(db.rows(&sql), "0", "it works once nothing is in its way");
            assert!(db.is_autocommit());
        }
    }
}

#[test]
fn an_operation_that_fails_midway_in_a_transaction_leaves_the_transaction() {
    for (set_up, trigger, call) in operations() {
        for begin in ["BEGIN", "SAVEPOINT s"] {
            let db = ready_to_fail(set_up, trigger, "ABORT");
            db.run(begin);
            db.run("INSERT INTO answers VALUES (1)");
            let before = db.dump();
            db.error(&format!("SELECT {call}")).says(&["no such luck"]);
            assert!(!db.is_autocommit());
            db.assert_still(&before);
            db.run("COMMIT");
            db.another().assert_still(&before);
        }
    }
}

#[test]
fn an_operation_that_fails_midway_in_a_writing_statement_has_no_effect() {
    for (set_up, trigger, call) in operations() {
        for write in [
            "INSERT INTO answers VALUES (CALL)",
            "INSERT INTO answers SELECT CALL",
            "UPDATE answers SET value = CALL",
        ] {
            let db = ready_to_fail(set_up, trigger, "ABORT");
            let before = db.dump();
            let sql = write.replace("CALL", call);
            assert!(db.try_run(&sql).is_err(), "{sql}");
            assert!(db.is_autocommit());
            db.assert_still(&before);
        }
    }
}

#[test]
fn an_operation_that_fails_midway_in_a_writing_statement_of_a_transaction_is_gone_after_the_roll_back() {
    // Before it, SQLite may have kept what nested statements wrote: an extension can have no savepoint there.
    for (set_up, trigger, call) in operations() {
        for write in [
            "INSERT INTO answers VALUES (CALL)",
            "INSERT INTO answers SELECT CALL",
            "UPDATE answers SET value = CALL",
        ] {
            let db = ready_to_fail(set_up, trigger, "ABORT");
            let before = db.dump();
            db.run("BEGIN; INSERT INTO answers VALUES (1)");
            let sql = write.replace("CALL", call);
            assert!(db.try_run(&sql).is_err(), "{sql}");
            assert!(!db.is_autocommit(), "the transaction is the caller's to end");
            db.run("ROLLBACK");
            db.assert_still(&before);
        }
    }
}

/// What a transaction had removed before this connection looked for the first time, and then has not.
#[test]
fn what_a_rolled_back_transaction_had_removed_still_holds() {
    for removed in ["_honker_queues", "_honker_unique"] {
        let db = Db::new();
        let other = db.another();
        for db in [&db, &other] {
            db.enqueue("q");
        }
        other.run(
            "SELECT honker_queue_configure('q', '{\"paused\":true}'), honker_enqueue_with('u', 'x', '{\"unique_key\":\"k\"}')",
        );
        for (begin, end) in [("BEGIN IMMEDIATE", "ROLLBACK"), ("BEGIN; SAVEPOINT s", "ROLLBACK TO s; COMMIT")]
        {
            // By the other, so that this one has to look.
            other.enqueue("other");
            db.run(begin);
            db.run(&format!("DELETE FROM {removed}"));
            db.enqueue("other");
            db.run(end);
            for n in [1, 2] {
                assert_eq!(db.claim("q", n, 60), NONE, "{removed}, {begin}");
            }
        }
        assert_eq!(db.claim("u", 1, 60), [3]);
        assert_eq!(db.int("SELECT honker_ack(3, 'w')"), 1);
        assert_eq!(db.int("SELECT count(*) FROM _honker_unique"), 0, "{removed}");
    }
}

/// A claim in vain need not look at all keys again that jobs wait for, unless something has changed, or is undone.
#[test]
fn jobs_that_wait_for_a_slot_are_found_once_one_is_free_by_whatever_change() {
    const FREE: &str = "DELETE FROM _honker_live WHERE id = 1";
    const TAKE: &str = "INSERT INTO _honker_live (id, queue, payload, state, worker_id, claim_expires_at)
        VALUES (1, 'q', 'p', 'processing', 'w', unixepoch() + 60)";
    type Change = fn(&Db, &Db);
    let changes: [(&str, Change); 6] = [
        ("one of this connection", |db, _| db.run(FREE)),
        ("one of another", |_, other| other.run(FREE)),
        ("one of a transaction in which there was nothing before", |db, _| {
            db.run("BEGIN");
            assert_eq!(db.claim("q", 1, 60), NONE);
            db.run(FREE);
            assert_eq!(db.claim("q", 1, 60), [2]);
            db.run("ROLLBACK");
            assert_eq!(db.claim("q", 1, 60), NONE);
            db.run(FREE);
        }),
        ("the end of one that had taken it", |db, _| {
            db.run(FREE);
            for begin in ["BEGIN", "SAVEPOINT s"] {
                db.run(&format!("{begin}; {TAKE}"));
                assert_eq!(db.claim("q", 1, 60), NONE);
                assert_eq!(db.claim("q", 1, 60), NONE);
                db.run("ROLLBACK");
            }
        }),
        ("a higher limit", |_, other| {
            other.run("SELECT honker_queue_configure('q', '{\"concurrency_per_key\":2}')")
        }),
        ("no limit", |db, _| db.run("SELECT honker_queue_configure('q', '{\"concurrency_per_key\":null}')")),
    ];
    for (what, change) in changes {
        let db = Db::new();
        let other = db.another();
        db.run("SELECT honker_queue_configure('q', '{\"concurrency_per_key\":1}')");
        db.run("SELECT honker_enqueue_with('q', 'p', '{\"concurrency_key\":\"k\"}') FROM (VALUES (1), (2))");
        assert_eq!(db.claim("q", 1, 60), [1]);
        for _ in 0..3 {
            assert_eq!(db.claim("q", 1, 60), NONE);
        }
        change(&db, &other);
        assert_eq!(db.claim("q", 1, 60), [2], "{what}");
    }
}
