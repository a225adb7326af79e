//! Claiming: who gets which job, when, and in which order.
//!
//! A claim of one job and a claim of several take different ways through the code; what holds for one has to hold for
//! the other, so most tests run for several `n`.

use honker_sql_tests::*;

/// Numbers of jobs to ask for that all suffice to get the one job there is.
const ENOUGH_FOR_ONE: [i64; 4] = [1, 2, -1, i64::MAX];

/// Enqueues into `queue` with everything given in seconds from [`NOW`].
fn enqueue(db: &Db, queue: &str, due: i64, priority: i64, budget: i64, expires: Option<i64>) -> i64 {
    let run_at = NOW + due;
    let sql = "SELECT honker_enqueue(?1, '{}', ?2, NULL, ?3, ?4, ?5)";
    db.get(sql, (queue, run_at, priority, budget, expires))
}

#[test]
fn the_answer_has_six_keys_and_the_row_says_the_same() {
    let db = Db::new();
    db.run(r#"SELECT honker_enqueue('q', '{"a": 1}', NULL, NULL, 5)"#);
    assert_eq!(
        db.json("SELECT honker_claim_batch('q', 'worker-1', 1, 30)"),
        json!([{
            "id": 1, "queue": "q", "payload": "{\"a\": 1}", "worker_id": "worker-1", "attempts": 1,
            "claim_expires_at": NOW + 30,
        }])
    );
    assert_eq!(
        db.rows("SELECT * FROM _honker_live"),
        format!("1|q|{{\"a\": 1}}|processing|5|{NOW}|worker-1|{}|1|3|{NOW}|NULL", NOW + 30)
    );
    assert_eq!(db.text("SELECT honker_claim_batch('q', 'worker-2', 1, 30)"), "[]");
    // The same for a claim of several.
    db.run("SELECT honker_enqueue('p', 'a'); SELECT honker_enqueue('p', 'b')");
    assert_eq!(
        db.json("SELECT honker_claim_batch('p', 'w', 5, 0)"),
        json!([
            {"id": 2, "queue": "p", "payload": "a", "worker_id": "w", "attempts": 1, "claim_expires_at": NOW},
            {"id": 3, "queue": "p", "payload": "b", "worker_id": "w", "attempts": 1, "claim_expires_at": NOW},
        ])
    );
}

#[test]
fn a_pending_job_is_claimable_from_run_at_on() {
    for n in ENOUGH_FOR_ONE {
        for (second, claimable) in [(-1, false), (0, true), (1, true)] {
            let db = Db::new();
            let id = enqueue(&db, "q", 100, 0, 3, None);
            db.clock().set(NOW + 100 + second);
            assert_eq!(!db.claim("q", n, 60).is_empty(), claimable, "n {n}, second {second}");
            let state = if claimable { "processing" } else { "pending" };
            assert_eq!(db.text(&format!("SELECT state FROM _honker_live WHERE id = {id}")), state);
        }
    }
}

#[test]
fn a_claim_belongs_to_its_holder_through_its_last_second_and_to_anybody_after() {
    for n in ENOUGH_FOR_ONE {
        for (second, reclaimable) in [(-1, false), (0, false), (1, true)] {
            let db = Db::new();
            let id = db.enqueue("q");
            assert_eq!(db.claim("q", 1, 30), [id]);
            db.clock().set(NOW + 30 + second);
            let claimed = db.json(&format!("SELECT honker_claim_batch('q', 'other', {n}, 10)"));
            if reclaimable {
                assert_eq!(claimed[0]["attempts"], 2);
                assert_eq!(claimed[0]["worker_id"], "other");
                assert_eq!(claimed[0]["claim_expires_at"], NOW + 41);
            } else {
                assert_eq!(claimed, json!([]), "n {n}, second {second}");
            }
            // No second in which both hold it, and none in which nobody may.
            let ack = format!("SELECT honker_ack({id}, 'w')");
            assert_eq!(db.int(&ack), i64::from(!reclaimable), "n {n}, second {second}");
        }
    }
}

#[test]
fn a_job_is_claimable_until_the_second_before_it_expires() {
    for n in ENOUGH_FOR_ONE {
        for (second, claimable) in [(-1, true), (0, false), (1, false)] {
            // Pending.
            let db = Db::new();
            enqueue(&db, "q", 0, 0, 3, Some(50));
            db.clock().set(NOW + 50 + second);
            assert_eq!(!db.claim("q", n, 60).is_empty(), claimable, "n {n}, second {second}");
            assert_eq!(db.dead(), "", "a claim leaves a few expired jobs to the sweep");

            // Claimed, and the claim lapsed: nobody would ever move it, so the claim does.
            let db = Db::new();
            let id = enqueue(&db, "q", 0, 0, 3, Some(50));
            assert_eq!(db.claim("q", n, 10), [id]);
            db.clock().set(NOW + 50 + second);
            assert_eq!(!db.claim("q", n, 60).is_empty(), claimable, "n {n}, second {second}");
            assert_eq!(db.dead(), if claimable { String::new() } else { format!("{id}|expired") });
        }
    }
}

#[test]
fn a_job_whose_claim_is_valid_is_left_alone_although_it_has_expired_and_spent_its_attempts() {
    for n in [0, 1, 2, -1] {
        let db = Db::new();
        let id = enqueue(&db, "q", 0, 0, 1, Some(5));
        assert_eq!(db.claim("q", 1, 30), [id]);
        db.clock().set(NOW + 30);
        let before = db.dump();
        assert_eq!(db.claim("q", n, 30), NONE);
        db.assert_still(&before);
        assert_eq!(db.int("SELECT honker_ack(1, 'w')"), 1);
    }
}

#[test]
fn a_due_job_without_attempts_left_is_dead_lettered_whatever_n() {
    for n in [0, 1, 2, -1, i64::MIN] {
        for budget in [0, -1, i64::MIN] {
            for (second, dead) in [(-1, false), (0, true), (1, true)] {
                let db = Db::new();
                let id = enqueue(&db, "q", 100, 7, budget, None);
                db.clock().set(NOW + 100 + second);
                assert_eq!(db.claim("q", n, 60), NONE);
                let row = format!(
                    "{id}|q|{{}}|7|{}|0|{budget}|max attempts exceeded|{NOW}|{}",
                    NOW + 100,
                    NOW + 100 + second
                );
                assert_eq!(db.rows("SELECT * FROM _honker_dead"), if dead { row } else { String::new() });
                assert_eq!(db.int("SELECT count(*) FROM _honker_live"), i64::from(!dead));
            }
        }
    }
}

#[test]
fn a_lapsed_claim_without_attempts_left_is_dead_lettered_whatever_n() {
    for n in [0, 1, 2, -1] {
        for (second, dead) in [(0, false), (1, true)] {
            let db = Db::new();
            let id = enqueue(&db, "q", -1, 2, 2, Some(1000));
            for _ in 0..2 {
                assert_eq!(db.claim("q", 1, 10), [id]);
                db.clock().advance(11);
            }
            db.clock().advance(second - 1);
            assert_eq!(db.claim("q", n, 10), NONE, "no third time");
            let row =
                format!("{id}|q|{{}}|2|{}|2|2|max attempts exceeded|{NOW}|{}", NOW - 1, NOW + 21 + second);
            assert_eq!(db.rows("SELECT * FROM _honker_dead"), if dead { row } else { String::new() });
            assert_eq!(db.int("SELECT count(*) FROM _honker_live"), i64::from(!dead));
        }
    }
}

#[test]
fn a_budget_lowered_by_hand_counts_at_the_next_claim() {
    let db = Db::new();
    let (pending, lapsed, valid) = (db.enqueue("q"), db.enqueue("q"), db.enqueue("q"));
    assert_eq!(db.claim("q", 3, 5), [pending, lapsed, valid]);
    db.run(&format!("SELECT honker_retry({pending}, 'w', 0, ''), honker_heartbeat({valid}, 'w', 100)"));
    db.clock().advance(6);
    db.run("UPDATE _honker_live SET max_attempts = 1");
    assert_eq!(db.claim("q", 1, 5), NONE);
    assert_eq!(db.dead(), format!("{pending}|max attempts exceeded\n{lapsed}|max attempts exceeded"));
    assert_eq!(db.int(&format!("SELECT honker_ack({valid}, 'w')")), 1);
}

#[test]
fn a_job_that_is_exhausted_and_expired_counts_as_expired() {
    let db = Db::new();
    let pending = enqueue(&db, "q", 0, 0, 0, Some(0));
    assert_eq!(db.claim("q", 1, 5), NONE);
    assert_eq!(db.dead(), format!("{pending}|expired"));

    let lapsed = enqueue(&db, "p", 0, 0, 1, Some(5));
    assert_eq!(db.claim("p", 1, 1), [lapsed]);
    db.clock().advance(5);
    assert_eq!(db.claim("p", 1, 1), NONE);
    assert_eq!(db.dead(), format!("{pending}|expired\n{lapsed}|expired"));
}

#[test]
fn a_claim_looks_at_its_own_queue_only() {
    let db = Db::new();
    // In each other queue: one exhausted, one lapsed, one lapsed and exhausted, one lapsed and expired, one due.
    for queue in ["Q", "q ", "", "r"] {
        enqueue(&db, queue, 0, 0, 3, None);
        enqueue(&db, queue, 0, 0, 1, None);
        enqueue(&db, queue, 0, 0, 3, Some(3));
        db.get::<String>("SELECT honker_claim_batch(?1, 'w', 3, 1)", [queue]);
        enqueue(&db, queue, 0, 0, 0, None);
        enqueue(&db, queue, 0, 99, 3, None);
    }
    db.clock().advance(10);
    let before = db.dump();
    for n in [0, 1, 2, -1] {
        assert_eq!(db.claim("q", n, 5), NONE);
    }
    db.assert_still(&before);
    assert_eq!(db.claim("r", -1, 5).len(), 2);
}

#[test]
fn priority_then_run_time_then_id() {
    let db = Db::new();
    let rows = [
        // priority, due, the place in the order
        (0, 0, 5),
        (10, 0, 1),
        (5, 0, 3),
        (0, -10, 4),
        (0, 0, 6),
        (i64::MIN, -100, 9),
        (i64::MAX, 0, 0),
        (-1, -100, 8),
        (5, -1, 2),
        (0, 0, 7),
        (i64::MIN, -99, 10),
    ];
    let mut expected = vec![0; rows.len()];
    for (priority, due, place) in rows {
        expected[place] = enqueue(&db, "q", due, priority, 3, None);
    }
    // Not due, whatever its priority.
    enqueue(&db, "q", 1, i64::MAX, 3, None);

    let undo = |claim: &dyn Fn() -> Vec<i64>| {
        db.run("SAVEPOINT s");
        let claimed = claim();
        db.run("ROLLBACK TO s; RELEASE s");
        claimed
    };
    let one_by_one = || (0..rows.len()).flat_map(|_| db.claim("q", 1, 60)).collect();
    assert_eq!(undo(&one_by_one), expected);
    for n in [-1, 11, 12, i64::MAX, i64::MIN] {
        assert_eq!(undo(&|| db.claim("q", n, 60)), expected, "{n}");
    }
    let in_parts = || [1, 2, 3, 4, 5].into_iter().flat_map(|n| db.claim("q", n, 60)).collect();
    assert_eq!(undo(&in_parts), expected);
    assert_eq!(undo(&|| db.claim("q", 0, 60)), NONE);
}

#[test]
fn a_delayed_job_sorts_by_its_due_time_and_a_retried_one_by_its_new_one() {
    let db = Db::new();
    let late = db.int("SELECT honker_enqueue('q', 'late', NULL, 10)");
    let soon = db.int("SELECT honker_enqueue('q', 'soon', NULL, 5)");
    let retried = db.enqueue("q");
    assert_eq!(db.claim("q", 1, 60), [retried]);
    db.run(&format!("SELECT honker_retry({retried}, 'w', 7, '')"));
    db.clock().advance(20);
    assert_eq!(db.claim("q", 3, 60), [soon, retried, late]);
}

/// A queue of `pending`, `lapsed` and `expired` jobs in random order, with random priorities and due times (few values,
/// so that there are ties); the ids that are claimable, in claim order.
fn crowd(db: &Db, random: &mut impl FnMut(i64) -> i64, pending: i64, lapsed: i64, expired: i64) -> Vec<i64> {
    let mut kinds: Vec<i64> = Vec::new();
    for (kind, count) in [(0, pending), (1, lapsed), (2, expired)] {
        kinds.extend((0..count).map(|_| kind));
    }
    let mut rows = Vec::new();
    db.run("BEGIN");
    while !kinds.is_empty() {
        let kind = kinds.swap_remove(random(kinds.len() as i64) as usize);
        let (priority, due) = (random(4) - 2, -random(5));
        let id = enqueue(db, "q", due, priority, 3, (kind == 2).then_some(0));
        if kind == 1 {
            let sql = "UPDATE _honker_live SET state = 'processing', worker_id = 'gone', attempts = 1, \
                       claim_expires_at = ?2 WHERE id = ?1";
            db.execute(sql, (id, NOW - 1 - random(3))).unwrap();
        }
        if kind != 2 {
            rows.push((-priority, due, id));
        }
    }
    db.run("COMMIT");
    rows.sort_unstable();
    rows.into_iter().map(|(_, _, id)| id).collect()
}

#[test]
fn lapsed_and_pending_jobs_share_one_order_however_many_there_are() {
    let mut state = 42_u64;
    let mut random = |below: i64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % below as u64) as i64
    };
    for (pending, lapsed, expired) in
        [(20, 1, 0), (0, 20, 3), (30, 32, 100), (30, 33, 100), (10, 70, 101), (0, 40, 150), (60, 0, 101)]
    {
        let db = Db::new();
        let mut expected = crowd(&db, &mut random, pending, lapsed, expired);
        for n in [1, 1, 3, 2, 5, -1] {
            let taken = if n < 0 { expected.len() } else { expected.len().min(n as usize) };
            let rest = expected.split_off(taken);
            assert_eq!(db.claim("q", n, 60), expected, "{pending} {lapsed} {expired}, n {n}");
            expected = rest;
        }
        assert_eq!(db.claim("q", -1, 60), NONE);
        // Nobody is lost, and nobody counts as claimed who was not.
        let attempts = format!("{}", pending + 2 * lapsed);
        assert_eq!(db.rows("SELECT coalesce(sum(attempts), 0) FROM _honker_live"), attempts);
    }
}

#[test]
fn up_to_32_lapsed_claims_stay_as_they_are_and_more_go_back_to_pending() {
    for n in [0, 1, 5] {
        for (lapsed, left_lapsed) in [(32, 32 - n), (33, 0), (100, 0)] {
            let db = Db::new();
            for _ in 0..lapsed {
                db.enqueue("q");
            }
            db.claim("q", -1, 10);
            db.clock().advance(11);
            assert_eq!(db.claim("q", n, 10).len() as i64, n);
            let by_state = db.rows(
                "SELECT count(*) FILTER (WHERE state = 'processing' AND worker_id = 'w' AND claim_expires_at < unixepoch()),
                        count(*) FILTER (WHERE state = 'pending' AND worker_id IS NULL AND claim_expires_at IS NULL),
                        sum(attempts) FROM _honker_live",
            );
            let back = if left_lapsed == 0 { lapsed - n } else { 0 };
            assert_eq!(by_state, format!("{left_lapsed}|{back}|{}", lapsed + n), "{lapsed} lapsed, n {n}");
        }
    }
}

#[test]
fn lapsed_claims_do_not_take_with_them_those_that_end_this_second() {
    // As many that lapsed a second ago as given, beside some that have this second left. Of both there are plain ones,
    // some that have expired, and some that have exhausted their attempts.
    for lapsed in [1, 3, 40] {
        for n in [0, 1, 200, -1] {
            let db = Db::new();
            for (worker, timeout_s, jobs) in [("gone", 9, lapsed), ("here", 10, 5)] {
                for (budget, expires) in [(3, None), (3, Some(10)), (1, None)] {
                    for _ in 0..jobs {
                        enqueue(&db, "q", 0, 0, budget, expires);
                    }
                }
                db.get::<String>("SELECT honker_claim_batch('q', ?1, -1, ?2)", (worker, timeout_s));
            }
            db.clock().advance(10);
            let taken = db.claim("q", n, 60).len() as i64;
            assert_eq!(taken, if n < 0 { lapsed } else { n.min(lapsed) });
            assert_eq!(
                db.rows(
                    "SELECT last_error, count(*) FROM _honker_dead GROUP BY last_error ORDER BY last_error"
                ),
                format!("expired|{lapsed}\nmax attempts exceeded|{lapsed}"),
                "{lapsed} lapsed, n {n}"
            );
            let here = "SELECT id FROM _honker_live WHERE worker_id = 'here' AND state = 'processing'";
            let here = db.rows(here).replace('\n', ",");
            assert_eq!(db.get::<i64>("SELECT honker_ack_batch(?1, 'here')", [format!("[{here}]")]), 15);
        }
    }
}

#[test]
fn up_to_100_expired_jobs_stay_for_the_sweep_and_more_are_swept_by_a_claim() {
    for n in [0, 1, -1] {
        for (expired, moved) in [(100, 0), (101, 101), (250, 250)] {
            let db = Db::new();
            db.run("BEGIN");
            for _ in 0..expired {
                enqueue(&db, "q", 5, 0, 3, Some(10));
            }
            // Neither of these counts: one in another queue, one that expires a second later.
            enqueue(&db, "r", 0, 0, 3, Some(10));
            enqueue(&db, "q", 100, 0, 3, Some(11));
            db.run("COMMIT");
            db.clock().advance(10);
            assert_eq!(db.claim("q", n, 60), NONE);
            let dead =
                "SELECT count(*) FROM _honker_dead WHERE last_error = 'expired' AND died_at = unixepoch()";
            assert_eq!(db.int(dead), moved, "{expired} expired, n {n}");
            assert_eq!(db.int("SELECT count(*) FROM _honker_live"), expired - moved + 2);
        }
    }
}

#[test]
fn a_timeout_of_zero_lasts_this_second_and_a_negative_one_not_at_all() {
    for n in [1, 2] {
        let db = Db::new();
        let id = db.enqueue("q");
        assert_eq!(db.claim("q", n, 0), [id]);
        assert_eq!(db.claim("q", n, 0), NONE, "still this second");
        assert_eq!(db.int(&format!("SELECT honker_heartbeat({id}, 'w', 0)")), 1);
        db.clock().advance(1);
        assert_eq!(db.int(&format!("SELECT honker_ack({id}, 'w')")), 0);

        assert_eq!(db.claim("q", n, -1), [id]);
        assert_eq!(db.int(&format!("SELECT honker_ack({id}, 'w')")), 0);
        let again = db.json(&format!("SELECT honker_claim_batch('q', 'w', {n}, {})", i64::MIN));
        assert_eq!(again[0]["attempts"], 3);
        assert_eq!(again[0]["claim_expires_at"], NOW + 1 + i64::MIN);
    }
}

#[test]
fn one_worker_may_hold_many_jobs_and_attempts_count_claims() {
    let db = Db::new();
    let (a, b) = (db.enqueue("q"), db.enqueue("q"));
    assert_eq!((db.claim("q", 1, 10), db.claim("q", 1, 10)), (vec![a], vec![b]));
    for attempts in 2..=3 {
        db.clock().advance(11);
        let claimed = db.json("SELECT honker_claim_batch('q', 'w', 2, 10)");
        assert_eq!((&claimed[0]["attempts"], &claimed[1]["attempts"]), (&json!(attempts), &json!(attempts)));
    }
    // Neither a heartbeat nor a retry counts.
    db.run(&format!("SELECT honker_heartbeat({a}, 'w', 5), honker_cancel({b})"));
    db.run("UPDATE _honker_live SET max_attempts = 9");
    assert_eq!(db.int(&format!("SELECT honker_retry({a}, 'w', 0, 'x')")), 1);
    assert_eq!(db.json("SELECT honker_claim_batch('q', 'w', 1, 10)")[0]["attempts"], 4);
}

#[test]
fn a_job_runs_at_most_as_often_as_its_budget_says() {
    for budget in [1, 2, 5] {
        let db = Db::new();
        enqueue(&db, "q", 0, 0, budget, None);
        let runs = (0..10).filter(|_| {
            db.clock().advance(2);
            !db.claim("q", 1, 1).is_empty()
        });
        assert_eq!(runs.count() as i64, budget);
        assert_eq!(db.rows("SELECT attempts, max_attempts FROM _honker_dead"), format!("{budget}|{budget}"));
    }
}

/// Somebody's own change of the schema; what a job was enqueued with is a part of the claim.
#[test]
fn a_claim_that_cannot_read_metadata_claims_nothing() {
    for n in [1, 2] {
        for begin in ["", "BEGIN"] {
            let db = Db::new();
            db.json(r#"SELECT honker_enqueue_with('q', 'p', '{"metadata": {"a": "b"}}')"#);
            db.run("ALTER TABLE _honker_job_options RENAME COLUMN metadata TO other");
            let before = db.dump();
            db.run(begin);
            db.error(&format!("SELECT honker_claim_batch('q', 'w', {n}, 60)")).says(&["metadata"]);
            if begin == "BEGIN" {
                db.run("COMMIT");
            }
            db.assert_still(&before);
        }
    }
}
