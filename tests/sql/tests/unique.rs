//! Unique jobs: who has a key, until when, and what becomes of a job whose key is taken.

use std::ffi::OsStr;
use std::thread;
use std::time::{Duration, Instant};

use honker_sql_tests::*;

const OPTIONS: &str =
    "SELECT job_id, metadata, unique_key, unique_until, concurrency_key, batch_id, max_run_s
    FROM _honker_job_options";
const KEYS: &str = "SELECT queue, key, job_id, mode, until FROM _honker_unique ORDER BY queue, key";

/// Enqueues a job with the key `k` of the queue `q`; its id and status.
#[track_caller]
fn put(db: &Db, options: Json) -> (i64, String) {
    put_in(db, "q", options)
}

#[track_caller]
fn put_in(db: &Db, queue: &str, options: Json) -> (i64, String) {
    let mut all = json!({"unique_key": "k"});
    all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    let done: String = db.get("SELECT honker_enqueue_with(?1, 'x', ?2)", [queue, all.to_string().as_str()]);
    let done: Json = serde_json::from_str(&done).unwrap();
    assert_eq!(done.as_object().unwrap().len(), 2);
    (done["id"].as_i64().unwrap(), done["status"].as_str().unwrap().to_owned())
}

#[track_caller]
fn assert_put(db: &Db, options: Json, id: i64, status: &str) {
    assert_eq!(put(db, options), (id, status.to_owned()));
}

#[track_caller]
fn is_free(db: &Db) -> bool {
    db.run("SAVEPOINT s");
    let (_, status) = put(db, json!({}));
    db.run("ROLLBACK TO s; RELEASE s");
    match status.as_str() {
        "enqueued" => true,
        "exists" => false,
        other => panic!("{other}"),
    }
}

fn claimed() -> Json {
    json!({"unique_until": "claimed"})
}

#[test]
fn options_that_cannot_be_are_refused_by_name() {
    let db = Db::new();
    let before = db.dump();
    for (options, says) in [
        (r#"{"unique_key":7}"#, "options: unique_key must be a text or null, not 7"),
        (r#"{"unique_key":""}"#, "unique_key must not be empty"),
        (
            r#"{"unique_key":"k","unique_until":"done"}"#,
            r#"options: unique_until must be "settled", "claimed" or null"#,
        ),
        (
            r#"{"unique_key":"k","on_conflict":1}"#,
            r#"options: on_conflict must be "keep", "replace" or null, not 1"#,
        ),
        (r#"{"unique_key":"k","unique_for_s":0}"#, "unique_for_s must be at least 1, not 0"),
        (r#"{"unique_key":"k","unique_for_s":-5}"#, "unique_for_s must be at least 1, not -5"),
        (r#"{"unique_key":"k","unique_for_s":1.5}"#, "options: unique_for_s must be an integer or null"),
        (r#"{"unique_key":"k","unique_for_s":9223372036854775807}"#, "unique_for_s is out of range"),
        (r#"{"unique_until":"claimed"}"#, "options: unique_until is given without unique_key"),
        (r#"{"unique_for_s":5,"unique_key":null}"#, "options: unique_for_s is given without unique_key"),
        (r#"{"on_conflict":"replace"}"#, "options: on_conflict is given without unique_key"),
        (r#"{"max_run_s":0}"#, "max_run_s must be at least 1, not 0"),
        (r#"{"max_run_s":"1"}"#, "options: max_run_s must be an integer or null"),
    ] {
        let failure =
            db.try_get::<String>("SELECT honker_enqueue_with('q', 'x', ?1)", [options]).unwrap_err();
        failure.says(&[says]);
        db.assert_still(&before);
    }
    db.run(r#"SELECT honker_enqueue_with('q', 'x', '{"unique_key":null,"unique_until":null,"unique_for_s":null,"on_conflict":null,"max_run_s":null}')"#);
    assert_eq!(
        db.int("SELECT (SELECT count(*) FROM _honker_unique) + (SELECT count(*) FROM _honker_job_options)"),
        0
    );
}

#[test]
fn a_queue_has_one_job_of_a_key() {
    let db = Db::new();
    assert_put(&db, json!({}), 1, "enqueued");
    // Who is refused wakes nobody.
    let on = db.another();
    let before = on.data_version();
    assert_put(&db, json!({"priority": 5}), 1, "exists");
    assert_eq!(on.data_version(), before);
    assert_eq!(put_in(&db, "other", json!({})), (2, "enqueued".into()));
    assert_put(&db, json!({"unique_key": "l"}), 3, "enqueued");
    db.enqueue("q");
    assert_put(&on, json!({}), 1, "exists");
    assert_eq!(db.rows("SELECT id, queue, priority FROM _honker_live"), "1|q|0\n2|other|0\n3|q|0\n4|q|0");
    assert_eq!(db.rows(KEYS), "other|k|2|settled|NULL\nq|k|1|settled|NULL\nq|l|3|settled|NULL");
    // What was kept has left nothing behind, and used up no id.
    assert_eq!(db.int("SELECT count(*) FROM _honker_job_options"), 3);
}

#[test]
fn the_key_is_taken_until_the_job_is_settled_however_that_is() {
    for (way, is_settled) in [
        ("SELECT 1", false),
        ("SELECT honker_claim_batch('q', 'w', 1, 60)", false),
        ("SELECT honker_claim_batch('q', 'w', 1, 60), honker_retry(1, 'w', 0, 'e')", false),
        ("SELECT honker_claim_batch('q', 'w', 1, 60), honker_release(1, 'w', 0)", false),
        ("SELECT honker_claim_batch('q', 'w', 1, -1)", false),
        ("SELECT honker_claim_batch('q', 'w', 1, 60), honker_ack(1, 'w')", true),
        ("SELECT honker_claim_batch('q', 'w', 1, 60), honker_ack_batch('[1]', 'w')", true),
        ("SELECT honker_claim_batch('q', 'w', 1, 60), honker_fail(1, 'w', 'e')", true),
        (
            "UPDATE _honker_live SET max_attempts = 1;
          SELECT honker_claim_batch('q', 'w', 1, 60), honker_retry(1, 'w', 0, 'e')",
            true,
        ),
        ("SELECT honker_cancel(1)", true),
        ("UPDATE _honker_live SET expires_at = 0; SELECT honker_sweep_expired('q')", true),
        ("UPDATE _honker_live SET max_attempts = 0; SELECT honker_claim_batch('q', 'w', 1, 60)", true),
        (
            "UPDATE _honker_live SET max_attempts = 1; SELECT honker_claim_batch('q', 'w', 1, -1);
          SELECT honker_claim_batch('q', 'w', 1, 60)",
            true,
        ),
        ("UPDATE _honker_live SET run_at = 'x'; SELECT honker_claim_batch('q', 'w', 1, 60)", true),
        // By somebody who knows nothing of keys.
        ("DELETE FROM _honker_live", true),
    ] {
        for by_another in [false, true] {
            let db = Db::new();
            put(&db, json!({"max_attempts": 5}));
            let on = if by_another { db.another() } else { Db::new() };
            if by_another {
                on.run(way)
            } else {
                db.run(way)
            }
            assert_eq!(is_free(&db), is_settled, "{way}");
            // It is one of the new job's now.
            let (id, status) = put(&db, json!({}));
            assert_eq!(
                (id, status.as_str()),
                if is_settled { (2, "enqueued") } else { (1, "exists") },
                "{way}"
            );
            if is_settled {
                db.run("SELECT honker_cancel(2)");
                assert_eq!(db.rows(KEYS), "", "{way}");
            }
        }
    }
}

#[test]
fn with_claimed_the_key_is_taken_while_the_job_waits() {
    let db = Db::new();
    assert_put(&db, claimed(), 1, "enqueued");
    assert_put(&db, claimed(), 1, "exists");
    assert_eq!(db.claim("q", 1, 60), [1]);
    // While it runs, one more, and only one.
    assert_put(&db, claimed(), 2, "enqueued");
    assert_put(&db, claimed(), 2, "exists");
    // The first stays beside the second, and does not take anything from it.
    db.run("SELECT honker_retry(1, 'w', 0, 'e')");
    assert_put(&db, claimed(), 2, "exists");
    db.run("SELECT honker_cancel(1)");
    assert_put(&db, claimed(), 2, "exists");
    assert_eq!(db.claim("q", 1, 60), [2]);
    assert!(is_free(&db));
    db.run("SELECT honker_ack(2, 'w')");
    assert!(is_free(&db));
    assert_eq!(db.rows(KEYS), "");
}

/// However the first job waits again; the second has had its key meanwhile, and is gone.
#[test]
fn with_claimed_a_job_that_waits_again_takes_its_key_back() {
    for (way, other_is) in [
        ("SELECT honker_retry(1, 'w', 100, 'e')", "gone"),
        ("SELECT honker_release(1, 'w', 100)", "gone"),
        ("SELECT honker_fail(1, 'w', 'e'); SELECT honker_dead_requeue(1)", "gone"),
        // Without another the key was its own all the time.
        ("SELECT honker_retry(1, 'w', 100, 'e')", "never there"),
        ("SELECT honker_release(1, 'w', 100)", "never there"),
        ("SELECT honker_fail(1, 'w', 'e'); SELECT honker_dead_requeue(1)", "never there"),
        // One that no claim may take any more has no key to keep.
        ("SELECT honker_retry(1, 'w', 100, 'e')", "expired"),
        ("SELECT honker_fail(1, 'w', 'e'); SELECT honker_dead_requeue(1)", "expired"),
        // Another that only runs has none either.
        ("SELECT honker_retry(1, 'w', 100, 'e')", "claimed"),
        // And this one stays beside.
        ("SELECT honker_retry(1, 'w', 100, 'e')", "waiting"),
        ("SELECT honker_fail(1, 'w', 'e'); SELECT honker_dead_requeue(1)", "waiting"),
    ] {
        let db = Db::new();
        put(&db, claimed());
        db.claim("q", 1, 60);
        if other_is != "never there" {
            assert_put(&db, claimed(), 2, "enqueued");
        }
        match other_is {
            "gone" => db.run("SELECT honker_claim_batch('q', 'v', 1, 60), honker_ack(2, 'v')"),
            "expired" => db.run("UPDATE _honker_live SET expires_at = unixepoch() WHERE id = 2"),
            "claimed" => db.run("SELECT honker_claim_batch('q', 'v', 1, 60)"),
            _ => {}
        }
        db.run(way);
        assert_eq!(db.text("SELECT state FROM _honker_live WHERE id = 1"), "pending", "{way}, {other_is}");
        let holder = if other_is == "waiting" { 2 } else { 1 };
        assert_eq!(db.rows(KEYS), format!("q|k|{holder}|claimed|NULL"), "{way}, {other_is}");
        assert_put(&db, claimed(), holder, "exists");
        assert_eq!(db.dead(), if other_is == "expired" { "2|expired" } else { "" });
    }
}

#[test]
fn with_claimed_a_job_whose_claim_lapses_takes_its_key_back_when_it_goes_back() {
    let db = Db::new();
    put(&db, claimed());
    for _ in 0..40 {
        db.enqueue("q");
    }
    assert_eq!(db.claim("q", 41, 60).len(), 41);
    assert_put(&db, claimed(), 42, "enqueued");
    db.run("SELECT honker_cancel(42)");
    db.clock().advance(61);
    // So many that they go back before one is taken, which is the second.
    db.run("UPDATE _honker_live SET run_at = run_at - 1 WHERE id = 2");
    assert_eq!(db.claim("q", 1, 60), [2]);
    assert_eq!(db.text("SELECT state FROM _honker_live WHERE id = 1"), "pending");
    assert_put(&db, claimed(), 1, "exists");
}

#[test]
fn for_so_many_seconds_the_key_is_taken_whatever_becomes_of_the_job() {
    for way in [
        "SELECT honker_claim_batch('q', 'w', 1, 60), honker_ack(1, 'w')",
        "SELECT honker_cancel(1)",
        "DELETE FROM _honker_live",
    ] {
        for until in ["settled", "claimed"] {
            let db = Db::new();
            assert_put(&db, json!({"unique_for_s": 10, "unique_until": until}), 1, "enqueued");
            db.run(way);
            assert_put(&db, json!({}), 1, "exists");
            db.clock().advance(9);
            assert_put(&db, json!({"on_conflict": "replace"}), 1, "exists");
            db.clock().advance(1);
            assert_put(&db, json!({"unique_for_s": 1}), 2, "enqueued");
            db.run("SELECT honker_cancel(2)");
            assert!(!is_free(&db));
            db.clock().advance(1);
            assert!(is_free(&db), "{way} {until}");
        }
    }
}

#[test]
fn the_key_stays_taken_by_a_job_that_outlives_the_seconds() {
    let db = Db::new();
    assert_put(&db, json!({"unique_for_s": 10}), 1, "enqueued");
    db.clock().advance(10);
    assert_put(&db, json!({}), 1, "exists");
    db.claim("q", 1, 60);
    assert_put(&db, json!({}), 1, "exists");
    db.run("SELECT honker_ack(1, 'w')");
    assert_eq!(db.rows(KEYS), "");

    // With `claimed` it is the seconds that go on.
    assert_put(&db, json!({"unique_for_s": 10, "unique_until": "claimed"}), 2, "enqueued");
    db.claim("q", 1, 60);
    db.clock().advance(9);
    assert_put(&db, claimed(), 2, "exists");
    db.clock().advance(1);
    assert_put(&db, claimed(), 3, "enqueued");
}

#[test]
fn a_holder_that_no_claim_may_take_is_dead_lettered_first() {
    let now = NOW;
    for (set_up, died_of, at) in [
        ("UPDATE _honker_live SET expires_at = ?1", "expired", now),
        ("UPDATE _honker_live SET max_attempts = 0, run_at = ?1 + 1000", "max attempts exceeded", now - 1000),
        ("UPDATE _honker_live SET attempts = 3, run_at = ?1", "max attempts exceeded", now - 1000),
        ("UPDATE _honker_live SET priority = 'high', run_at = ?1 + 1000", "malformed row", now - 1000),
        ("UPDATE _honker_live SET payload = x'00', run_at = ?1 + 1000", "malformed row", now - 1000),
        // A claim of the last attempt is over.
        (
            "UPDATE _honker_live SET state = 'processing', worker_id = 'w', attempts = 3, claim_expires_at = ?1 - 1",
            "max attempts exceeded",
            now,
        ),
        (
            "UPDATE _honker_live SET state = 'processing', worker_id = 'w', attempts = 1, expires_at = ?1 - 100, claim_expires_at = ?1 - 1",
            "expired",
            now,
        ),
        ("UPDATE _honker_live SET state = 'blocked', expires_at = ?1", "expired", now),
    ] {
        for on_conflict in ["keep", "replace"] {
            let db = Db::new();
            put(&db, json!({}));
            db.execute(set_up, [now]).unwrap();
            let options = json!({"on_conflict": on_conflict});
            let waits = !set_up.contains("processing");
            db.clock().set(at - 1);
            if at == now {
                let status = if waits && on_conflict == "replace" { "replaced" } else { "exists" };
                db.run("SAVEPOINT s");
                assert_put(&db, options.clone(), 1, status);
                db.run("ROLLBACK TO s; RELEASE s");
            }
            db.clock().set(at);
            assert_put(&db, options, 2, "enqueued");
            assert_eq!(db.dead(), format!("1|{died_of}"), "{set_up}");
            assert_eq!(db.rows("SELECT id FROM _honker_live"), "2");
        }
    }
}

/// What the row of a job that is claimed says is its holder's affair.
#[test]
fn a_holder_whose_claim_is_valid_is_left_alone() {
    let db = Db::new();
    put(&db, json!({"max_attempts": 1, "expires_s": 5}));
    db.claim("q", 1, 60);
    for (after, status) in [(60, "exists"), (61, "enqueued")] {
        db.clock().set(NOW + after);
        assert_eq!(put(&db, json!({})).1, status);
    }
    assert_eq!(db.dead(), "1|expired");
}

/// The seconds of a key are no property of the job: it is dead, and the key stays taken.
#[test]
fn a_holder_that_no_claim_may_take_leaves_the_seconds_of_its_key() {
    let db = Db::new();
    put(&db, json!({"unique_for_s": 10, "expires_s": 5}));
    db.clock().advance(5);
    assert_put(&db, json!({}), 1, "exists");
    assert_eq!(db.dead(), "1|expired");
    db.clock().advance(5);
    assert_put(&db, json!({}), 2, "enqueued");
}

#[test]
fn a_job_that_waits_becomes_the_one_that_replaces_it() {
    let db = Db::new();
    let first = json!({"priority": 1, "delay_s": 100, "max_attempts": 7, "expires_s": 500, "metadata": {"a": "1"},
        "concurrency_key": "c", "max_run_s": 5, "unique_for_s": 20});
    assert_put(&db, first, 1, "enqueued");
    assert_eq!(db.claim("q", 1, 60), NONE);
    db.clock().advance(100);
    assert_eq!(db.claim("q", 1, 60), [1]);
    db.run("SELECT honker_step_save(1, 'w', 's', '1'), honker_retry(1, 'w', 0, 'e')");

    let second = json!({"on_conflict": "replace", "priority": 2, "run_at": NOW + 300, "expires_s": 600,
        "metadata": {"b": "2"}, "concurrency_key": "d", "max_run_s": 6, "unique_for_s": 1, "unique_until": "claimed"});
    let done: String = db.get(
        "SELECT honker_enqueue_with('q', 'new', ?1)",
        [{
            let mut all = second.clone();
            all["unique_key"] = json!("k");
            all.to_string()
        }],
    );
    assert_eq!(done, r#"{"id":1,"status":"replaced"}"#);
    assert_eq!(
        db.rows("SELECT * FROM _honker_live"),
        format!("1|q|new|pending|2|{}|NULL|NULL|0|3|{NOW}|{}", NOW + 300, NOW + 700)
    );
    assert_eq!(db.rows(OPTIONS), r#"1|{"b":"2"}|k|settled|d|NULL|6"#);
    assert_eq!(db.int("SELECT count(*) FROM _honker_steps"), 0);
    // The later one of the two.
    assert_eq!(db.rows(KEYS), format!("q|k|1|settled|{}", NOW + 100));
    put(&db, json!({"on_conflict": "replace", "unique_for_s": 5}));
    assert_eq!(db.rows(KEYS), format!("q|k|1|settled|{}", NOW + 104));
    put(&db, json!({"on_conflict": "replace", "unique_for_s": 4}));
    put(&db, json!({"on_conflict": "replace"}));
    assert_eq!(db.rows(KEYS), format!("q|k|1|settled|{}", NOW + 104));
    // Nothing is left of the options that were not given again.
    assert_eq!(db.rows(OPTIONS), "1|NULL|k|settled|NULL|NULL|NULL");
    assert_eq!(
        db.rows("SELECT priority, run_at, max_attempts, expires_at FROM _honker_live"),
        format!("0|{}|3|NULL", NOW + 100)
    );
    // Debounced, it is one job.
    assert_eq!(db.claim("q", 5, 60), [1]);
    assert_eq!(db.json("SELECT honker_get_job(1)")["attempts"], 1);
}

#[test]
fn only_a_job_that_waits_is_replaced() {
    let db = Db::new();
    put(&db, json!({"metadata": {"a": "1"}}));
    db.claim("q", 1, 60);
    let before = db.dump();
    assert_put(&db, json!({"on_conflict": "replace", "priority": 5}), 1, "exists");
    db.assert_still(&before);
    // Lapsed, it is in the hands of the next claim.
    db.clock().advance(61);
    assert_put(&db, json!({"on_conflict": "replace", "priority": 5}), 1, "exists");
    db.assert_still(&before);
    // With `claimed` a job that runs has no key to be replaced by.
    db.run("SELECT honker_cancel(1)");
    put(&db, claimed());
    db.claim("q", 1, 60);
    assert_put(&db, json!({"on_conflict": "replace", "unique_until": "claimed"}), 3, "enqueued");
}

#[test]
fn a_blocked_job_waits_as_a_pending_one_does() {
    for until in ["settled", "claimed"] {
        let db = Db::new();
        db.run(r#"SELECT honker_queue_configure('q', '{"concurrency_per_key":1}')"#);
        db.run(r#"SELECT honker_enqueue_with('q', 'x', '{"concurrency_key":"c"}')"#);
        assert_eq!(db.claim("q", 1, 60), [1]);
        let options = json!({"concurrency_key": "c", "unique_until": until});
        assert_put(&db, options.clone(), 2, "enqueued");
        assert_eq!(db.claim("q", 1, 60), NONE);
        assert_eq!(db.text("SELECT state FROM _honker_live WHERE id = 2"), "blocked");
        assert_put(&db, options, 2, "exists");
        // Of another key it waits for nobody.
        assert_put(&db, json!({"on_conflict": "replace", "concurrency_key": "d"}), 2, "replaced");
        assert_eq!(db.text("SELECT state FROM _honker_live WHERE id = 2"), "pending");
        assert_eq!(db.int("SELECT count(*) FROM _honker_blocked"), 0);
        assert_eq!(db.claim("q", 1, 60), [2]);
    }
}

/// The budget of a job that names none.
#[test]
fn a_job_that_replaces_another_has_the_budget_of_its_queue() {
    let db = Db::new();
    put(&db, json!({}));
    for (setting, budget) in [("5", 5), ("null", 3)] {
        db.run(&format!(r#"SELECT honker_queue_configure('q', '{{"max_attempts":{setting}}}')"#));
        put(&db, json!({"on_conflict": "replace"}));
        assert_eq!(db.int("SELECT max_attempts FROM _honker_live"), budget);
    }
}

/// Of two that need the key until they are settled, one has to stay dead.
#[test]
fn a_dead_job_whose_key_is_taken_stays_dead() {
    for (mode, other, requeued) in [
        ("settled", "none", 1),
        ("settled", "waiting", 0),
        ("settled", "claimed", 0),
        ("settled", "throttled", 0),
        ("settled", "expired", 1),
        ("settled", "its own seconds", 1),
        ("claimed", "none", 1),
        ("claimed", "waiting", 1),
    ] {
        let db = Db::new();
        let seconds = if other == "its own seconds" { json!(100) } else { Json::Null };
        put(&db, json!({"unique_until": mode, "unique_for_s": seconds}));
        db.claim("q", 1, 60);
        db.run("SELECT honker_fail(1, 'w', 'e')");
        match other {
            "none" | "its own seconds" => {}
            "throttled" => {
                put(&db, json!({"unique_for_s": 100}));
                db.run("SELECT honker_cancel(2)");
            }
            other => {
                put(&db, json!({"unique_until": mode}));
                match other {
                    "claimed" => drop(db.claim("q", 1, 60)),
                    "expired" => db.run("UPDATE _honker_live SET expires_at = 0"),
                    _ => {}
                }
            }
        }
        let before = db.dump();
        assert_eq!(db.int("SELECT honker_dead_requeue(1)"), requeued, "{mode}, {other}");
        if requeued == 0 {
            db.assert_still(&before);
            continue;
        }
        let holder = if other == "waiting" { 2 } else { 1 };
        assert_put(&db, json!({}), holder, "exists");
        assert_eq!(db.int("SELECT count(*) FROM _honker_live WHERE id = 1"), 1);
    }
}

#[test]
fn what_is_rolled_back_has_taken_no_key() {
    let db = Db::new();
    let on = db.another();
    db.run("BEGIN");
    put(&db, json!({}));
    assert_put(&db, json!({}), 1, "exists");
    db.run("ROLLBACK");
    assert!(is_free(&db) && is_free(&on));
    // A key that was given up is taken again.
    put(&db, json!({}));
    db.claim("q", 1, 60);
    db.run("BEGIN; SELECT honker_ack(1, 'w')");
    assert!(is_free(&db));
    db.run("ROLLBACK");
    assert!(!is_free(&db) && !is_free(&on));
    // And one that was taken by a statement that failed is not.
    db.run("CREATE TABLE t (x CHECK (x IS NULL))");
    let failure = db
        .try_run(r#"INSERT INTO t VALUES (honker_enqueue_with('q', 'x', '{"unique_key":"l"}'))"#)
        .unwrap_err();
    failure.says(&["CHECK"]);
    let (_, status) = put(&on, json!({"unique_key": "l"}));
    assert_eq!(status, "enqueued");
}

/// With the tables.
#[test]
fn a_key_may_be_rolled_back_with_the_bootstrap() {
    let db = Db::empty();
    db.run("BEGIN; SELECT honker_bootstrap()");
    put(&db, json!({}));
    db.run("ROLLBACK");
    assert_eq!(db.int("SELECT notify('c', 'x')"), 1);
    db.error("SELECT honker_ack(1, 'w')").says(&["no such table: main._honker_live"]);
    db.run("SELECT honker_bootstrap()");
    assert_put(&db, json!({}), 1, "enqueued");
    db.claim("q", 1, 60);
    assert_eq!(db.int("SELECT honker_ack(1, 'w')"), 1);
}

/// The key stays with the job that is there.
#[test]
fn a_job_that_the_file_refuses_takes_no_key() {
    let db = Db::new();
    db.run("CREATE TRIGGER no BEFORE INSERT ON _honker_live BEGIN SELECT RAISE(ABORT, 'mine'); END");
    let before = db.dump();
    db.error(r#"SELECT honker_enqueue_with('q', 'x', '{"unique_key":"k"}')"#).says(&["mine"]);
    db.assert_still(&before);
    db.run("DROP TRIGGER no");
    put(&db, json!({}));
    db.run("CREATE TRIGGER no BEFORE UPDATE ON _honker_live BEGIN SELECT RAISE(IGNORE); END");
    let before = db.dump();
    db.error(r#"SELECT honker_enqueue_with('q', 'x', '{"unique_key":"k","on_conflict":"replace"}')"#)
        .says(&["replaced", "_honker_live"]);
    db.assert_still(&before);
}

#[test]
fn the_first_key_keeps_older_programs_from_writing() {
    let db = Db::new();
    let min_version = "SELECT min_version FROM _honker_schema";
    db.run(r#"SELECT honker_enqueue_with('q', 'x', '{"metadata":{"a":"b"},"max_run_s":5}')"#);
    assert_eq!(db.int(min_version), 1);
    put(&db, json!({}));
    assert_eq!(db.int(min_version), 3);
}

#[test]
fn a_file_of_an_older_version_has_no_keys() {
    let db = Db::new();
    db.run("DROP TABLE _honker_unique; UPDATE _honker_schema SET version = 2");
    db.error(r#"SELECT honker_enqueue_with('q', 'x', '{"unique_key":"k"}')"#).says(&["honker_bootstrap()"]);
    assert_eq!(db.int("SELECT count(*) FROM _honker_live"), 0);
    db.enqueue("q");
    db.claim("q", 1, 60);
    assert_eq!(db.int("SELECT honker_ack(1, 'w')"), 1);
}

const RACE_KEYS: i64 = 1_000;

/// Enqueues jobs of the thousand keys, and works them off, until it is killed.
fn race(path: &OsStr) {
    let connection = connect_in_child(path);
    let worker = format!("w{}", std::process::id());
    let mut enqueue = connection
        .prepare(
            "SELECT honker_enqueue_with('q', 'x', json_object('unique_key', 'k' || ?1, 'unique_until', ?2))",
        )
        .unwrap();
    let mut claim = connection.prepare("SELECT honker_claim_batch('q', ?1, 5, 0)").unwrap();
    let mut ack = connection.prepare("SELECT honker_ack(?1, ?2)").unwrap();
    let mut retry = connection.prepare("SELECT honker_retry(?1, ?2, 0, 'e')").unwrap();
    let mut random = fastrand::Rng::with_seed(seed() + u64::from(std::process::id()));
    loop {
        for _ in 0..10 {
            let key = random.i64(0..RACE_KEYS);
            let until = if key % 2 == 0 { "settled" } else { "claimed" };
            enqueue.query_row((key, until), |_| Ok(())).unwrap();
        }
        let claimed: String = claim.query_row([&worker], |row| row.get(0)).unwrap();
        for (index, id) in ids(&serde_json::from_str(&claimed).unwrap()).into_iter().enumerate() {
            let settle = if index % 3 == 0 { &mut retry } else { &mut ack };
            settle.query_row((id, &worker), |_| Ok(())).unwrap();
        }
    }
}

/// What must hold of every file at every commit.
#[track_caller]
fn assert_exact(db: &Db) {
    let live = "FROM _honker_live live JOIN _honker_job_options options ON options.job_id = live.id";
    // Never two live jobs of a key; with `claimed`, never two that were not claimed yet.
    for doubled in ["unique_until = 'settled'", "attempts = 0"] {
        let doubled = format!(
            "SELECT count(*) FROM (SELECT 1 {live} WHERE {doubled} GROUP BY unique_key HAVING count(*) > 1)"
        );
        assert_eq!(db.int(&doubled), 0);
    }
    // No key without its job, no job without its key.
    let stuck = "SELECT count(*) FROM _honker_unique WHERE job_id NOT IN (SELECT id FROM _honker_live)";
    assert_eq!(db.int(stuck), 0);
    let settled = format!(
        "SELECT count(*) {live} WHERE unique_until = 'settled'
           AND live.id IS NOT (SELECT job_id FROM _honker_unique WHERE key = unique_key AND queue = live.queue)"
    );
    assert_eq!(db.int(&settled), 0);
    assert_eq!(db.text("PRAGMA integrity_check"), "ok");
}

/// Runs `then` beside so many processes of [`race`], which are killed one after the other.
fn beside_racers(name: &str, db: &Db, processes: usize, then: &mut dyn FnMut()) {
    in_child_process(name, db.file().path().as_os_str(), race, |child| {
        match processes {
            1 => then(),
            _ => beside_racers(name, db, processes - 1, then),
        }
        thread::sleep(Duration::from_millis(50));
        assert_eq!(child.try_wait().unwrap(), None, "the child has to be running");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_exact(db);
    });
}

#[test]
fn keys_are_exact_beside_processes_that_are_killed() {
    let (rounds, enqueued_each) = if is_long() { (50, 2_000) } else { (3, 500) };
    let db = Db::new();
    let mut looks = 0;
    for _ in 0..rounds {
        beside_racers("keys_are_exact_beside_processes_that_are_killed", &db, 4, &mut || {
            // Until they have done something.
            let enqueued =
                || db.int("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = '_honker_live'");
            let (before, started) = (enqueued(), Instant::now());
            while enqueued() < before + enqueued_each && started.elapsed() < Duration::from_secs(120) {
                thread::sleep(Duration::from_millis(10));
                assert_exact(&db);
                looks += 1;
            }
            assert!(enqueued() >= before + enqueued_each);
        });
    }
    let jobs = db.int("SELECT seq FROM sqlite_sequence WHERE name = '_honker_live'");
    println!("{jobs} jobs of {RACE_KEYS} keys, {} kills, {looks} looks beside them", 4 * rounds);
    // No key stays taken.
    db.clock().set(4_000_000_000);
    for id in db.claim("q", -1, 60) {
        assert_eq!(db.int(&format!("SELECT honker_ack({id}, 'w')")), 1);
    }
    assert_eq!(db.int("SELECT count(*) FROM _honker_live"), 0);
    assert_eq!(db.int("SELECT count(*) FROM _honker_unique"), 0);
    for key in 0..RACE_KEYS {
        let (_, status) = put(&db, json!({"unique_key": format!("k{key}")}));
        assert_eq!(status, "enqueued", "key {key} stays taken");
    }
    db.run("SELECT honker_cancel(id) FROM _honker_live");
    assert_eq!(
        db.int("SELECT count(*) FROM _honker_job_options"),
        db.int("SELECT count(*) FROM _honker_dead")
    );
}

/// A second that is no number is as if there were none: the key is that of the job while it is live.
#[test]
fn a_key_is_not_taken_until_a_text() {
    for until in ["'later'", "x'ff'"] {
        let db = Db::new();
        let key = json!({"unique_key": "k"});
        assert_put(&db, key.clone(), 1, "enqueued");
        db.run(&format!("UPDATE _honker_unique SET until = {until}"));
        assert_put(&db, key.clone(), 1, "exists");
        assert_eq!(db.int("SELECT honker_cancel(1)"), 1);
        assert_put(&db, key, 2, "enqueued");
    }
}
