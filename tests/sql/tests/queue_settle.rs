//! What the holder of a claim does with its job: ack, ack_batch, retry, release, fail, heartbeat. The answer is 1 if and only if
//! the file changed.

use honker_sql_tests::*;

/// The six ways to settle job `id`, each a statement that answers 1 if `worker` holds the job.
fn ways(id: i64, worker: &str) -> [String; 6] {
    [
        format!("SELECT honker_ack({id}, '{worker}')"),
        format!("SELECT honker_ack_batch('[{id}]', '{worker}')"),
        format!("SELECT honker_retry({id}, '{worker}', 0, 'e')"),
        format!("SELECT honker_release({id}, '{worker}', 0)"),
        format!("SELECT honker_fail({id}, '{worker}', 'e')"),
        format!("SELECT honker_heartbeat({id}, '{worker}', 60)"),
    ]
}

/// Asserts that no way works and nothing changes.
#[track_caller]
fn assert_refused(db: &Db, id: i64, worker: &str) {
    let before = db.dump();
    for sql in ways(id, worker) {
        assert_eq!(db.int(&sql), 0, "{sql}");
    }
    db.assert_still(&before);
}

/// A claimed job with this budget, expiry in seconds and timeout.
fn claimed(budget: i64, expires: Option<i64>, timeout_s: i64) -> (Db, i64) {
    let db = Db::new();
    let sql = "SELECT honker_enqueue('q', '{}', NULL, NULL, 4, ?1, ?2)";
    let id = db.get(sql, (budget, expires));
    assert_eq!(db.claim("q", 1, timeout_s), [id]);
    (db, id)
}

#[test]
fn every_way_works_through_the_last_second_of_the_claim_and_not_after() {
    for way in 0..6 {
        // With attempts left and without, before and after the job's own expiry: only the claim counts.
        for budget in [1, 3] {
            for expires in [None, Some(5)] {
                for (second, valid) in [(-1, true), (0, true), (1, false)] {
                    let (db, id) = claimed(budget, expires, 30);
                    db.clock().set(NOW + 30 + second);
                    if valid {
                        let sql = &ways(id, "w")[way];
                        assert_eq!(db.int(sql), 1, "{sql} at {second}");
                    } else {
                        assert_refused(&db, id, "w");
                    }
                }
            }
        }
    }
}

#[test]
fn only_the_holder_can_settle() {
    let (db, id) = claimed(1, None, 30);
    for worker in ["W", "w ", " w", "", "v", "ẃ"] {
        assert_refused(&db, id, worker);
    }
    for unknown in [0, -1, id + 1, i64::MIN, i64::MAX] {
        assert_refused(&db, unknown, "w");
    }
    // Pending: held by nobody, whatever the name.
    let pending = db.enqueue("q");
    assert_refused(&db, pending, "w");
    assert_refused(&db, pending, "");
}

#[test]
fn what_is_settled_is_settled() {
    for way in 0..4 {
        let (db, id) = claimed(3, None, 30);
        assert_eq!(db.int(&ways(id, "w")[way]), 1);
        assert_refused(&db, id, "w");
    }
    let (db, id) = claimed(3, None, 30);
    assert_eq!(db.int(&format!("SELECT honker_cancel({id})")), 1);
    assert_refused(&db, id, "w");
}

#[test]
fn a_job_reclaimed_by_another_is_lost_to_the_first_and_one_reclaimed_by_the_same_name_is_not() {
    let (db, id) = claimed(5, None, 10);
    db.clock().advance(11);
    db.run("SELECT honker_claim_batch('q', 'v', 1, 10)");
    assert_refused(&db, id, "w");
    db.clock().advance(11);
    assert_refused(&db, id, "v");
    assert_eq!(db.claim("q", 1, 10), [id]);
    assert_eq!(db.int(&format!("SELECT honker_ack({id}, 'w')")), 1);
}

#[test]
fn an_acked_job_leaves_no_trace() {
    let db = Db::new();
    let empty = db.rows("SELECT * FROM _honker_live UNION ALL SELECT *, 1, 1 FROM _honker_dead");
    let id = db.enqueue("q");
    db.claim("q", 1, 10);
    db.run(&format!("SELECT honker_ack({id}, 'w')"));
    assert_eq!(db.rows("SELECT * FROM _honker_live UNION ALL SELECT *, 1, 1 FROM _honker_dead"), empty);
    assert_eq!(db.text(&format!("SELECT honker_get_job({id})")), "");
    assert!(db.enqueue("q") > id, "an id is not used again");
}

#[test]
fn ack_batch_counts_each_own_valid_id_once() {
    let db = Db::new();
    let mine: Vec<i64> = (0..4).map(|_| db.enqueue("q")).collect();
    db.claim("q", 3, 10);
    let foreign = db.enqueue("p");
    db.run("SELECT honker_claim_batch('p', 'v', 1, 10)");
    let lapsed = db.enqueue("o");
    db.claim("o", 1, -1);
    let (a, b, c, pending) = (mine[0], mine[1], mine[2], mine[3]);
    for (list, acked) in [
        ("[]".to_owned(), 0),
        (" [ ] ".to_owned(), 0),
        (format!("[{pending}, {foreign}, {lapsed}, 0, -1, 999, {}, {}]", i64::MAX, i64::MIN), 0),
        (format!("\n[ {b} , {b},{b}, {foreign},\t{a}]\n"), 2),
        (format!("[{a},{b},{c}]"), 1),
        (format!("[{a},{b},{c}]"), 0),
    ] {
        assert_eq!(db.get::<i64>("SELECT honker_ack_batch(?1, 'w')", [&list]), acked, "{list}");
    }
    assert_eq!(db.rows("SELECT id FROM _honker_live ORDER BY id"), format!("{pending}\n{foreign}\n{lapsed}"));
}

#[test]
fn ack_batch_takes_thousands() {
    let db = Db::new();
    let ids = db.json(
        "WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c WHERE x < 5000)
         SELECT json_group_array(honker_enqueue('q', 'x')) FROM c",
    );
    assert_eq!(db.claim("q", -1, 10).len(), 5000);
    let doubled = format!("[{0},{0}]", ids.to_string().trim_matches(['[', ']']));
    assert_eq!(db.get::<i64>("SELECT honker_ack_batch(?1, 'w')", [&doubled]), 5000);
    assert_eq!(db.int("SELECT count(*) FROM _honker_live"), 0);
}

#[test]
fn a_retry_with_attempts_left_returns_the_job_to_pending() {
    for (delay, run_at) in [(0, NOW + 2), (90, NOW + 92), (-50, NOW - 48), (i64::MIN, NOW + 2 + i64::MIN)] {
        let (db, id) = claimed(2, Some(100), 30);
        db.clock().advance(2);
        let notifications = db.int("SELECT count(*) FROM _honker_notifications");
        assert_eq!(db.int(&format!("SELECT honker_retry({id}, 'w', {delay}, 'lost')")), 1);
        assert_eq!(
            db.rows("SELECT * FROM _honker_live"),
            format!("{id}|q|{{}}|pending|4|{run_at}|NULL|NULL|1|2|{NOW}|{}", NOW + 100)
        );
        assert_eq!(db.dead(), "");
        assert_eq!(db.int("SELECT count(*) FROM _honker_notifications"), notifications);
        // Due again at exactly that second.
        if delay == 90 {
            db.clock().set(run_at - 1);
            assert_eq!(db.claim("q", 1, 30), NONE);
            db.clock().set(run_at);
        }
        let again = db.json("SELECT honker_claim_batch('q', 'v', 1, 30)");
        assert_eq!((&again[0]["id"], &again[0]["attempts"]), (&json!(id), &json!(2)));
    }
}

#[test]
fn a_retry_without_attempts_left_dead_letters_the_job_with_its_error() {
    for (budget, lowered_to) in [(1, 1), (3, 1), (3, 0), (3, -7)] {
        for error in ["why", "", "déjà vu \u{1F600}"] {
            let (db, id) = claimed(budget, Some(100), 30);
            db.run(&format!("UPDATE _honker_live SET max_attempts = {lowered_to}"));
            db.clock().advance(30);
            assert_eq!(db.get::<i64>("SELECT honker_retry(?1, 'w', 60, ?2)", (id, error)), 1);
            assert_eq!(
                db.rows("SELECT * FROM _honker_dead"),
                format!("{id}|q|{{}}|4|{NOW}|1|{lowered_to}|{error}|{NOW}|{}", NOW + 30)
            );
            assert_eq!(db.rows("SELECT * FROM _honker_live"), "");
        }
    }
}

#[test]
fn the_attempt_that_spends_the_budget_is_the_last() {
    let db = Db::new();
    let id = db.int("SELECT honker_enqueue('q', 'x', NULL, NULL, 0, 2)");
    for expected in ["", &format!("{id}|second")] {
        assert_eq!(db.claim("q", 1, 10), [id]);
        let error = if expected.is_empty() { "first" } else { "second" };
        assert_eq!(db.int(&format!("SELECT honker_retry({id}, 'w', 0, '{error}')")), 1);
        assert_eq!(db.dead(), expected);
    }
}

#[test]
fn a_retry_after_the_expiry_leaves_a_pending_job_for_the_sweep() {
    let (db, id) = claimed(3, Some(5), 30);
    db.clock().advance(10);
    assert_eq!(db.int(&format!("SELECT honker_retry({id}, 'w', 0, 'e')")), 1);
    for n in [1, 5, -1] {
        assert_eq!(db.claim("q", n, 30), NONE);
    }
    assert_eq!(db.text("SELECT state FROM _honker_live"), "pending");
    assert_eq!(db.int("SELECT honker_sweep_expired('q')"), 1);
    assert_eq!(db.dead(), format!("{id}|expired"));
}

#[test]
fn fail_dead_letters_the_job_whatever_attempts_it_has_left() {
    for budget in [1, 2, 1000] {
        let (db, id) = claimed(budget, None, 30);
        db.clock().advance(3);
        assert_eq!(db.int(&format!("SELECT honker_fail({id}, 'w', 'no such user')")), 1);
        assert_eq!(
            db.rows("SELECT * FROM _honker_dead"),
            format!("{id}|q|{{}}|4|{NOW}|1|{budget}|no such user|{NOW}|{}", NOW + 3)
        );
        assert_eq!(db.rows("SELECT * FROM _honker_live"), "");
    }
}

#[test]
fn a_second_death_replaces_the_first() {
    // An operator has put a dead job back by hand and left its dead row.
    let (db, id) = claimed(3, None, 30);
    db.run(&format!(
        "INSERT INTO _honker_dead (id, queue, payload, last_error) VALUES ({id}, 'q', '{{}}', 'old')"
    ));
    assert_eq!(db.int(&format!("SELECT honker_fail({id}, 'w', 'new')")), 1);
    assert_eq!(db.dead(), format!("{id}|new"));
}

#[test]
fn a_heartbeat_sets_the_end_of_the_claim_and_nothing_else() {
    for (extend, end) in [(100, NOW + 105), (1, NOW + 6), (0, NOW + 5), (-1, NOW + 4), (-100, NOW - 95)] {
        let (db, id) = claimed(1, Some(2), 30);
        let row = format!("{id}|q|{{}}|processing|4|{NOW}|w|");
        let rest = format!("|1|1|{NOW}|{}", NOW + 2);
        assert_eq!(db.rows("SELECT * FROM _honker_live"), format!("{row}{}{rest}", NOW + 30));
        db.clock().advance(5);
        assert_eq!(db.int(&format!("SELECT honker_heartbeat({id}, 'w', {extend})")), 1);
        assert_eq!(db.rows("SELECT * FROM _honker_live"), format!("{row}{end}{rest}"));
        let ack = format!("SELECT honker_ack({id}, 'w')");
        assert_eq!(db.int(&ack), i64::from(extend >= 0));
    }
}

#[test]
fn heartbeats_keep_a_claim_for_as_long_as_they_come_in_time() {
    let (db, id) = claimed(1, None, 10);
    for _ in 0..5 {
        db.clock().advance(10);
        assert_eq!(db.claim("q", 1, 10), NONE);
        assert_eq!(db.int(&format!("SELECT honker_heartbeat({id}, 'w', 10)")), 1);
    }
    db.clock().advance(11);
    assert_refused(&db, id, "w");
    assert_eq!(db.claim("q", 1, 10), NONE);
    assert_eq!(db.dead(), format!("{id}|max attempts exceeded"));
}

#[test]
fn settling_saves_no_result_and_saving_one_settles_nothing() {
    let (db, id) = claimed(1, None, 10);
    db.run(&format!("SELECT honker_result_save({id}, 'r', 0)"));
    assert_eq!(db.text("SELECT state FROM _honker_live"), "processing");
    db.run(&format!("SELECT honker_ack({id}, 'w')"));
    assert_eq!(db.text(&format!("SELECT honker_result_get({id})")), "r");
}

/// The job is due after the delay, in its place in the line, as if it had not been claimed.
#[test]
fn a_released_job_has_its_attempt_back() {
    for (delay_s, due) in [(0, NOW), (-5, NOW - 5), (60, NOW + 60)] {
        let (db, id) = claimed(1, None, 30);
        assert_eq!(db.int(&format!("SELECT honker_release({id}, 'w', {delay_s})")), 1);
        let row = "SELECT json_array(state, attempts, run_at, worker_id, claim_expires_at, priority) FROM _honker_live";
        assert_eq!(db.text(row), format!("[\"pending\",0,{due},null,null,4]"));
        if delay_s > 0 {
            db.clock().set(due - 1);
            assert_eq!(db.claim("q", 1, 30), [] as [i64; 0], "{delay_s}");
            db.clock().set(due);
        }
        assert_eq!(db.claim("q", 1, 30), [id], "{delay_s}");
        assert_eq!(db.int("SELECT attempts FROM _honker_live"), 1);
    }
}

#[test]
fn a_batch_longer_than_one_statement_takes_is_acked_as_far_as_it_is_held() {
    let db = Db::new();
    let ids: Vec<i64> = (0..123).map(|_| db.enqueue("q")).collect();
    assert_eq!(db.claim("q", 123, 60), ids);
    // Not held any more, by another worker, and gone.
    db.run("UPDATE _honker_live SET claim_expires_at = 1 WHERE id = 3");
    db.run("UPDATE _honker_live SET worker_id = 'another' WHERE id = 60");
    db.run("DELETE FROM _honker_live WHERE id = 120");
    let worker = db.text("SELECT worker_id FROM _honker_live WHERE id = 1");
    let sql = format!("SELECT honker_ack_batch('{ids:?}', '{worker}')");
    assert_eq!(db.int(&sql), 120);
    assert_eq!(db.rows("SELECT group_concat(id) FROM _honker_live"), "3,60");
    assert_eq!(db.int(&sql), 0);
}
