//! Queue functions that are not about holding a claim: enqueue, cancel, look-ups, sweep, the next deadline, counts, and
//! what can be done with the dead.

use honker_sql_tests::*;

/// The row of the newest job, without its id.
fn newest(db: &Db) -> String {
    db.rows(
        "SELECT queue, payload, state, priority, run_at, worker_id, claim_expires_at, attempts, max_attempts, \
                created_at, expires_at FROM _honker_live ORDER BY id DESC LIMIT 1",
    )
}

#[test]
fn enqueue_fills_in_what_is_left_out() {
    let db = Db::new();
    for (arguments, priority, run_at, budget, expires_at) in [
        ("", 0, NOW, 3, "NULL"),
        (", NULL", 0, NOW, 3, "NULL"),
        (", 77", 0, 77, 3, "NULL"),
        (", -77", 0, -77, 3, "NULL"),
        (", 9223372036854775807", 0, i64::MAX, 3, "NULL"),
        (", NULL, NULL", 0, NOW, 3, "NULL"),
        (", 77, NULL", 0, 77, 3, "NULL"),
        // The delay wins, also when it is 0.
        (", 77, 0", 0, NOW, 3, "NULL"),
        (", 77, 60", 0, NOW + 60, 3, "NULL"),
        (", NULL, -60", 0, NOW - 60, 3, "NULL"),
        (", NULL, NULL, 9", 9, NOW, 3, "NULL"),
        (", NULL, NULL, 9223372036854775807", i64::MAX, NOW, 3, "NULL"),
        (", NULL, NULL, -9223372036854775808, 1", i64::MIN, NOW, 1, "NULL"),
        (", NULL, NULL, 0, 0", 0, NOW, 0, "NULL"),
        (", NULL, NULL, 0, -5", 0, NOW, -5, "NULL"),
        (", 5, NULL, 1, 2, NULL", 1, 5, 2, "NULL"),
        (", NULL, NULL, 0, 3, 60", 0, NOW, 3, "1750000060"),
        (", NULL, NULL, 0, 3, 0", 0, NOW, 3, "1750000000"),
        (", NULL, NULL, 0, 3, -1", 0, NOW, 3, "1749999999"),
        // Counted from now, not from when the job becomes due.
        (", NULL, 100, 0, 3, 60", 0, NOW + 100, 3, "1750000060"),
    ] {
        let id = db.int(&format!("SELECT honker_enqueue('q', 'p'{arguments})"));
        assert_eq!(id, db.int("SELECT max(id) FROM _honker_live"));
        assert_eq!(
            newest(&db),
            format!("q|p|pending|{priority}|{run_at}|NULL|NULL|0|{budget}|{NOW}|{expires_at}"),
            "{arguments}"
        );
    }
}

#[test]
fn ids_count_up_across_queues_and_are_not_used_again() {
    let db = Db::new();
    assert_eq!([db.enqueue("a"), db.enqueue("b"), db.enqueue("a")], [1, 2, 3]);
    db.run("SELECT honker_cancel(3)");
    assert_eq!(db.enqueue("b"), 4);
}

#[test]
fn a_born_expired_job_exists_and_waits_for_the_sweep() {
    for expires in [0, -1, i64::MIN] {
        let db = Db::new();
        let id: i64 = db.get("SELECT honker_enqueue('q', 'p', NULL, NULL, 0, 3, ?1)", [expires]);
        assert_eq!(db.claim("q", 1, 1), NONE);
        assert_eq!(db.claim("q", -1, 1), NONE);
        assert_eq!(db.json(&format!("SELECT honker_get_job({id})"))["expires_at"], NOW + expires);
        assert_eq!(db.int("SELECT honker_sweep_expired('q')"), 1);
        assert_eq!(db.dead(), format!("{id}|expired"));
    }
}

#[test]
fn a_job_far_in_the_past_is_due_and_one_at_the_end_of_time_is_not() {
    let db = Db::new();
    db.get::<i64>("SELECT honker_enqueue('q', 'p', ?1)", [i64::MAX]);
    let first: i64 = db.get("SELECT honker_enqueue('q', 'p', ?1)", [i64::MIN]);
    let second: i64 = db.get("SELECT honker_enqueue('q', 'p', NULL, ?1)", [i64::MIN]);
    assert_eq!(db.claim("q", -1, 1), [first, second]);
    assert_eq!(db.int("SELECT honker_queue_next_claim_at('q')"), NOW + 2);
}

#[test]
fn one_call_enqueues_one_job_also_in_a_statement_of_many_rows() {
    let db = Db::new();
    // The same arguments each time: a deterministic function would be called once.
    let ids = db.rows("SELECT honker_enqueue('q', 'p') FROM (VALUES (1), (2), (3))");
    assert_eq!(ids, "1\n2\n3");
    assert_eq!(db.int("SELECT count(*) FROM _honker_live"), 3);
}

#[test]
fn cancel_removes_a_live_job_whatever_its_state_and_nothing_else() {
    let db = Db::new();
    let (pending, held, lapsed, failed) =
        (db.enqueue("p"), db.enqueue("q"), db.enqueue("r"), db.enqueue("s"));
    db.claim("q", 1, 60);
    db.claim("r", 1, -1);
    db.claim("s", 1, 60);
    db.run(&format!("SELECT honker_fail({failed}, 'w', 'e'), honker_result_save({held}, 'r', 0)"));
    for id in [pending, held, lapsed] {
        assert_eq!(db.int(&format!("SELECT honker_cancel({id})")), 1);
        assert_eq!(db.text(&format!("SELECT honker_get_job({id})")), "");
    }
    let before = db.dump();
    for id in [pending, held, lapsed, failed, 0, -1, i64::MAX, i64::MIN] {
        assert_eq!(db.int(&format!("SELECT honker_cancel({id})")), 0);
    }
    db.assert_still(&before);
    assert_eq!(db.dead(), format!("{failed}|e"));
    assert_eq!(db.text(&format!("SELECT honker_result_get({held})")), "r");
}

#[test]
fn get_job_shows_a_live_row_and_the_empty_text_for_anything_else() {
    let db = Db::new();
    db.run("SELECT honker_enqueue('q', '[1, 2]', NULL, NULL, -3, 1, 60)");
    let mut job = json!({
        "id": 1, "queue": "q", "payload": "[1, 2]", "state": "pending", "priority": -3, "run_at": NOW,
        "worker_id": null, "claim_expires_at": null, "attempts": 0, "max_attempts": 1, "created_at": NOW,
        "expires_at": NOW + 60,
    });
    assert_eq!(db.json("SELECT honker_get_job(1)"), job);
    assert_eq!(db.claim("q", 1, 30), [1]);
    job["state"] = json!("processing");
    job["worker_id"] = json!("w");
    job["claim_expires_at"] = json!(NOW + 30);
    job["attempts"] = json!(1);
    db.clock().advance(1000);
    assert_eq!(db.json("SELECT honker_get_job(1)"), job, "a lapsed claim is shown as it is");
    assert_eq!(db.claim("q", 1, 30), NONE);
    for id in [1, 2, 0, -1, i64::MAX] {
        assert_eq!(
            db.rows(&format!("SELECT typeof(honker_get_job({id})), honker_get_job({id}) = ''")),
            "text|1"
        );
    }
    assert_eq!(db.json(&format!("SELECT honker_get_job({})", db.enqueue("q")))["expires_at"], Json::Null);
}

#[test]
fn sweep_moves_expired_jobs_that_nobody_holds() {
    for (second, expired) in [(-1, 0), (0, 1), (1, 1)] {
        let db = Db::new();
        let id = db.int("SELECT honker_enqueue('q', 'p', NULL, 500, 6, 9, 60)");
        db.clock().advance(60 + second);
        assert_eq!(db.int("SELECT honker_sweep_expired('Q')"), 0);
        assert_eq!(db.int("SELECT honker_sweep_expired('q')"), expired, "second {second}");
        assert_eq!(db.int("SELECT honker_sweep_expired('q')"), 0);
        let row = format!("{id}|q|p|6|{}|0|9|expired|{NOW}|{}", NOW + 500, NOW + 60 + second);
        assert_eq!(db.rows("SELECT * FROM _honker_dead"), if expired == 1 { row } else { String::new() });
        assert_eq!(db.int("SELECT count(*) FROM _honker_live"), 1 - expired);
    }
}

#[test]
fn sweep_leaves_a_claim_alone_until_it_has_lapsed() {
    for (second, swept) in [(-1, 0), (0, 0), (1, 1)] {
        let db = Db::new();
        let id = db.int("SELECT honker_enqueue('q', 'p', NULL, NULL, 0, 1, 5)");
        assert_eq!(db.claim("q", 1, 60), [id]);
        db.clock().advance(60 + second);
        assert_eq!(db.int("SELECT honker_sweep_expired('q')"), swept, "second {second}");
        assert_eq!(db.dead(), if swept == 1 { format!("{id}|expired") } else { String::new() });
        assert_eq!(db.int(&format!("SELECT honker_ack({id}, 'w')")), 1 - swept);
    }
    // Lapsed, and expires in this very second or in the next.
    for (expires, swept) in [(10, 1), (11, 0)] {
        let db = Db::new();
        db.get::<i64>("SELECT honker_enqueue('q', 'p', NULL, NULL, 0, 3, ?1)", [expires]);
        assert_eq!(db.claim("q", 1, 1), [1]);
        db.clock().advance(10);
        assert_eq!(db.int("SELECT honker_sweep_expired('q')"), swept);
    }
}

#[test]
fn a_sweep_with_nothing_to_do_does_not_ask_for_the_lock() {
    let db = Db::new();
    // Expired, and its claim has this second left.
    db.run("SELECT honker_enqueue('q', 'p', NULL, NULL, 0, 3, 5), honker_claim_batch('q', 'w', 1, 10)");
    db.clock().advance(10);
    let other = db.another();
    other.run("BEGIN IMMEDIATE");
    db.busy_timeout(std::time::Duration::ZERO).unwrap();
    assert_eq!(db.int("SELECT honker_sweep_expired('q')"), 0);
}

#[test]
fn sweep_takes_all_kinds_at_once_and_never_what_does_not_expire() {
    let db = Db::new();
    for expires in ["1", "NULL", "0", "100", "5"] {
        db.run(&format!("SELECT honker_enqueue('q', 'p', NULL, 50, 0, 3, {expires})"));
        db.run(&format!("SELECT honker_enqueue('r', 'p', NULL, 50, 0, 3, {expires})"));
    }
    db.run("SELECT honker_enqueue('q', 'lapses', NULL, NULL, 9, 3, 2), honker_claim_batch('q', 'w', 1, 1)");
    db.run("SELECT honker_enqueue('q', 'exhausted', NULL, NULL, 0, 0, 2)");
    db.clock().advance(10);
    assert_eq!(db.int("SELECT honker_sweep_expired('q')"), 5);
    assert_eq!(db.dead(), "1|expired\n5|expired\n9|expired\n11|expired\n12|expired");
    assert_eq!(db.rows("SELECT count(*) FROM _honker_live GROUP BY queue ORDER BY queue"), "2\n5");
    // In a transaction it is part of it.
    db.run("BEGIN");
    assert_eq!(db.int("SELECT honker_sweep_expired('r')"), 3);
    db.run("ROLLBACK");
    assert_eq!(db.int("SELECT honker_sweep_expired('r')"), 3);
}

#[test]
fn the_next_claim_is_possible_when_a_job_becomes_due_or_a_claim_lapses() {
    // (what is in the queue, seconds from now at which the next claim becomes possible)
    let pending = |due: i64| format!("SELECT honker_enqueue('q', 'p', NULL, {due})");
    let full = |due: i64, priority: i64, budget: i64, expires: &str| {
        format!("SELECT honker_enqueue('q', 'p', NULL, {due}, {priority}, {budget}, {expires})")
    };
    let held = |timeout: i64, budget: i64, expires: &str| {
        format!(
            "SELECT honker_enqueue('h', 'p', NULL, NULL, 0, {budget}, {expires});
             SELECT honker_claim_batch('h', 'w', 1, {timeout}); UPDATE _honker_live SET queue = 'q' WHERE queue = 'h'"
        )
    };
    for (jobs, expected) in [
        (vec![], None),
        (vec![pending(0)], None),
        (vec![pending(-5)], None),
        (vec![pending(1)], Some(1)),
        (vec![pending(-5), pending(7), pending(9), pending(0)], Some(7)),
        // Whatever the priorities.
        (vec![full(50, 9, 3, "NULL"), full(20, -9, 3, "NULL"), full(30, 0, 3, "NULL")], Some(20)),
        (vec![full(50, i64::MIN, 3, "NULL"), full(60, i64::MAX, 3, "NULL")], Some(50)),
        (vec![full(0, i64::MAX, 3, "NULL"), full(60, i64::MIN, 3, "NULL")], Some(60)),
        // Not those that can never be claimed.
        (vec![full(5, 0, 0, "NULL")], None),
        (vec![full(5, 0, 3, "0")], None),
        (vec![full(5, 0, 3, "1")], Some(5)),
        (vec![full(5, 0, 0, "NULL"), full(5, 0, 3, "-1"), pending(30)], Some(30)),
        // Claims: possible from the second after the last valid one.
        (vec![held(0, 3, "NULL")], Some(1)),
        (vec![held(10, 3, "NULL")], Some(11)),
        (vec![held(-1, 3, "NULL")], None),
        (vec![held(10, 1, "NULL")], None),
        (vec![held(10, 3, "1")], Some(11)),
        // One that never lapses.
        (vec![held(i64::MAX - NOW, 3, "NULL")], None),
        (vec![held(i64::MAX - NOW, 3, "NULL"), pending(9)], Some(9)),
        (vec![held(10, 3, "NULL"), held(5, 3, "NULL"), held(1, 1, "NULL"), held(-9, 3, "NULL")], Some(6)),
        (vec![held(10, 3, "NULL"), pending(11)], Some(11)),
        (vec![held(10, 3, "NULL"), pending(10)], Some(10)),
        (vec![held(10, 3, "NULL"), pending(12)], Some(11)),
    ] {
        let db = Db::new();
        db.run("SELECT honker_enqueue('other', 'p', NULL, 1)");
        jobs.iter().for_each(|job| db.run(job));
        let expected = expected.map_or(0, |seconds: i64| NOW + seconds);
        assert_eq!(db.int("SELECT honker_queue_next_claim_at('q')"), expected, "{jobs:?}");
    }
}

#[test]
fn a_claimed_job_that_has_expired_meanwhile_is_no_reason_to_wait() {
    let db = Db::new();
    db.run("SELECT honker_enqueue('q', 'p', NULL, NULL, 0, 3, 5), honker_claim_batch('q', 'w', 1, 60)");
    for (second, expected) in [(4, NOW + 61), (5, 0), (6, 0)] {
        db.clock().set(NOW + second);
        assert_eq!(db.int("SELECT honker_queue_next_claim_at('q')"), expected, "second {second}");
    }
}

#[test]
fn a_claim_at_the_deadline_succeeds_and_one_second_before_it_does_not() {
    for set_up in [
        "SELECT honker_enqueue('q', 'p', NULL, 30)",
        "SELECT honker_enqueue('q', 'p'), honker_claim_batch('q', 'w', 1, 30)",
        "SELECT honker_enqueue('q', 'p'), honker_claim_batch('q', 'w', 1, 30), honker_retry(1, 'w', 40, '')",
    ] {
        let db = Db::new();
        db.run(set_up);
        let deadline = db.int("SELECT honker_queue_next_claim_at('q')");
        db.clock().set(deadline - 1);
        assert_eq!(db.claim("q", 1, 5), NONE, "{set_up}");
        db.clock().set(deadline);
        assert_eq!(
            db.int("SELECT honker_queue_next_claim_at('q')"),
            0,
            "it is in the future or there is none"
        );
        assert_eq!(db.claim("q", 1, 5), [1], "{set_up}");
    }
}

#[test]
fn stats_count_each_job_once() {
    let db = Db::new();
    let empty = json!({"queue": "q", "pending": 0, "delayed": 0, "claimed": 0, "expired": 0, "dead": 0});
    assert_eq!(db.json("SELECT honker_stats('q')"), empty);
    assert_eq!(db.text("SELECT honker_stats(NULL)"), "[]");

    for (delay, expires) in
        [("10", "NULL"), ("10", "20"), ("10", "10"), ("0", "10"), ("-3", "NULL"), ("30", "10")]
    {
        db.run(&format!("SELECT honker_enqueue('q', 'p', NULL, {delay}, 0, 3, {expires})"));
    }
    db.run("SELECT honker_enqueue('q', 'held', NULL, NULL, 9, 3, 1), honker_claim_batch('q', 'w', 1, 60)");
    db.run("SELECT honker_enqueue('q', 'lapsed', NULL, NULL, 9), honker_claim_batch('q', 'w', 1, -1)");
    db.run("SELECT honker_enqueue('p', 'x'), honker_claim_batch('p', 'w', 1, 60), honker_fail(9, 'w', 'e')");
    let p = json!({"queue": "p", "pending": 0, "delayed": 0, "claimed": 0, "expired": 0, "dead": 1});
    for (second, pending, delayed, expired) in [(9, 2, 4, 0), (10, 3, 0, 3), (20, 2, 0, 4), (30, 2, 0, 4)] {
        db.clock().set(NOW + second);
        let q = json!({
            "queue": "q", "pending": pending, "delayed": delayed, "claimed": 2, "expired": expired, "dead": 0,
        });
        assert_eq!(db.json("SELECT honker_stats('q')"), q, "second {second}");
        assert_eq!(db.json("SELECT honker_stats(NULL)"), json!([p, q]));
    }
}

/// Five dead jobs, `1` to `5`, of the queues `q`, `p`, `q`, `p`, `q`, each a second after the last.
fn graveyard() -> Db {
    let db = Db::new();
    for (id, queue) in ["q", "p", "q", "p", "q"].into_iter().enumerate() {
        let budget = id as i64 - 1;
        db.get::<i64>("SELECT honker_enqueue(?1, 'x', 7, NULL, 5, ?2, 900)", (queue, budget.max(1)));
        assert_eq!(db.claim(queue, 1, 60).len(), 1);
        db.run(&format!("UPDATE _honker_live SET max_attempts = {budget}"));
        db.clock().advance(1);
        db.get::<i64>("SELECT honker_fail(?1, 'w', ?2)", (id as i64 + 1, format!("e{id}")));
    }
    db
}

#[test]
fn the_dead_are_listed_newest_id_first() {
    let db = graveyard();
    let row = |id: i64, queue: &str| {
        json!({
            "id": id, "queue": queue, "payload": "x", "priority": 5, "run_at": 7, "attempts": 1,
            "max_attempts": id - 2, "last_error": format!("e{}", id - 1), "created_at": NOW + id - 1,
            "died_at": NOW + id,
        })
    };
    let [one, two, three, four, five] = [row(1, "q"), row(2, "p"), row(3, "q"), row(4, "p"), row(5, "q")];
    for (arguments, expected) in [
        ("NULL, -1", json!([five, four, three, two, one])),
        ("NULL, 2", json!([five, four])),
        ("NULL, 0", json!([])),
        ("NULL, 99", json!([five, four, three, two, one])),
        ("'q', -1", json!([five, three, one])),
        ("'q', 1", json!([five])),
        ("'p', 9223372036854775807", json!([four, two])),
        ("'p', -9223372036854775808", json!([four, two])),
        ("'P', 9", json!([])),
    ] {
        assert_eq!(db.json(&format!("SELECT honker_dead_list({arguments})")), expected, "{arguments}");
    }
    // Raw SQL may have left the error out.
    db.run("UPDATE _honker_dead SET last_error = NULL WHERE id = 5");
    assert_eq!(db.json("SELECT honker_dead_list('q', 1)")[0]["last_error"], Json::Null);
}

#[test]
fn a_requeued_job_is_as_good_as_new() {
    for (id, budget) in [(1, 1), (2, 1), (3, 1), (4, 2), (5, 3)] {
        let db = graveyard();
        assert_eq!(db.int(&format!("SELECT honker_dead_requeue({id})")), 1);
        let queue = if id % 2 == 1 { "q" } else { "p" };
        let row = format!("{id}|{queue}|x|pending|5|{}|NULL|NULL|0|{budget}|{}|NULL", NOW + 5, NOW + id - 1);
        assert_eq!(db.rows("SELECT * FROM _honker_live"), row);
        assert_eq!(db.int(&format!("SELECT count(*) FROM _honker_dead WHERE id = {id}")), 0);
        assert_eq!(db.int(&format!("SELECT honker_dead_requeue({id})")), 0);
        db.clock().advance(10_000);
        assert_eq!(db.claim(queue, 1, 60), [id]);
        assert_eq!(db.enqueue("q"), 6, "ids go on");
    }
    let db = graveyard();
    for id in [0, -1, 6, i64::MAX, i64::MIN] {
        assert_eq!(db.int(&format!("SELECT honker_dead_requeue({id})")), 0);
    }
}

#[test]
fn a_job_that_is_live_already_is_not_requeued() {
    let db = graveyard();
    db.run("INSERT INTO _honker_live (id, queue, payload) VALUES (3, 'q', 'by hand')");
    let before = db.dump();
    assert_eq!(db.error("SELECT honker_dead_requeue(3)").primary_code(), 19);
    db.assert_still(&before);
    assert!(db.is_autocommit());
}

#[test]
fn purge_deletes_those_that_died_before() {
    // They died at NOW + 1 to NOW + 5, and it is NOW + 5.
    for (arguments, left) in [
        ("NULL, 5", "1\n2\n3\n4\n5"),
        ("NULL, 4", "1\n2\n3\n4\n5"),
        ("NULL, 3", "2\n3\n4\n5"),
        ("NULL, 0", "5"),
        ("NULL, -1", ""),
        ("'q', 3", "2\n3\n4\n5"),
        ("'q', 0", "2\n4\n5"),
        ("'p', -1", "1\n3\n5"),
        ("'Q', -1", "1\n2\n3\n4\n5"),
        ("NULL, 9223372036854775807", "1\n2\n3\n4\n5"),
        ("NULL, -9223372036854775808", ""),
    ] {
        let db = graveyard();
        let deleted = db.int(&format!("SELECT honker_dead_purge({arguments})"));
        assert_eq!(db.rows("SELECT id FROM _honker_dead ORDER BY id"), left, "{arguments}");
        assert_eq!(deleted, 5 - left.lines().count() as i64, "{arguments}");
    }
}

/// What somebody else has set since this connection last looked holds for its next call, also within a statement of its own,
/// of which nothing can be undone alone.
#[test]
fn what_others_have_set_holds_for_the_next_call_wherever_it_is() {
    for [before, statement, after] in [
        ["", "SELECT CALL", ""],
        ["", "INSERT INTO mine VALUES (CALL)", ""],
        ["BEGIN", "SELECT CALL", "COMMIT"],
        ["BEGIN", "INSERT INTO mine VALUES (CALL)", "COMMIT"],
        ["BEGIN IMMEDIATE", "INSERT INTO mine VALUES (CALL)", "COMMIT"],
    ] {
        let call = |db: &Db, call: &str| {
            db.run(before);
            db.run(&statement.replace("CALL", call));
            db.run(after);
        };
        let set = |db: &Db, settings: &str| {
            db.another().run(&format!("SELECT honker_queue_configure('q', '{settings}')"));
        };

        let db = Db::new();
        db.run("CREATE TABLE mine (answer)");
        db.enqueue("q");
        set(&db, r#"{"max_attempts": 7}"#);
        call(&db, "honker_enqueue('q', 'p')");
        let budgets = db.text("SELECT group_concat(max_attempts) FROM _honker_live");
        assert_eq!(budgets, "3,7", "{before} {statement}");

        let db = Db::new();
        db.run("CREATE TABLE mine (answer)");
        db.enqueue("q");
        db.run("SELECT honker_claim_batch('q', 'w', 1, 60)");
        set(&db, r#"{"keep_done_s": 100}"#);
        call(&db, "honker_ack(1, 'w')");
        let rows = "SELECT (SELECT count(*) FROM _honker_live) || ' ' || (SELECT count(*) FROM _honker_done)";
        assert_eq!(db.text(rows), "0 1", "{before} {statement}");
    }
}
