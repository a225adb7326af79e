//! No call does unbounded work: at most 1,000 rows or 8 MB in one transaction, beside what it was asked for by number.
//!
//! What a call leaves over, the next one does: "call until it answers 0".

use honker_sql_tests::*;

const ROWS_MAX: i64 = 1_000;

/// Adds `count` rows to `_honker_live`, `values` of which may use the number `i` (from 1).
fn fill(db: &Db, count: i64, columns: &str, values: &str) {
    db.run(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 WHERE {count} > 0 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
         INSERT INTO _honker_live (queue, payload, {columns}) SELECT 'q', 'p', {values} FROM n"
    ));
}

fn expired(db: &Db, count: i64) {
    fill(db, count, "expires_at", &format!("{NOW} - i % 7"));
}

/// Claims that have lapsed by [`NOW`], with so many attempts left.
fn lapsed(db: &Db, count: i64, left: i64) {
    let values = format!("'processing', 'gone', {NOW} - 1 - i % 7, 3 - {left}, 3");
    fill(db, count, "state, worker_id, claim_expires_at, attempts, max_attempts", &values);
}

fn next_claim_at(db: &Db) -> i64 {
    db.int("SELECT honker_queue_next_claim_at('q')")
}

/// What one call after the other answers, up to the first 0.
fn until_0(db: &Db, call: &str) -> Vec<i64> {
    let mut answers = Vec::new();
    while answers.last() != Some(&0) {
        answers.push(db.int(&format!("SELECT {call}")));
    }
    answers
}

fn dead(db: &Db) -> i64 {
    db.int("SELECT count(*) FROM _honker_dead")
}

#[test]
fn sweeps_stop_at_a_thousand_rows() {
    for (rows, answers) in [
        (999, vec![999, 0]),
        (1_000, vec![1_000, 0]),
        (1_001, vec![1_000, 1, 0]),
        (2_500, vec![1_000, 1_000, 500, 0]),
    ] {
        for transaction in [false, true] {
            let db = Db::new();
            let others = format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
                 INSERT INTO _honker_results (job_id, value, expires_at) SELECT i, 'v', {NOW} - i % 7 FROM n;
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
                 INSERT INTO _honker_rate_limits SELECT 'r', {NOW} - 100 - i, 1 FROM n;
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
                 INSERT INTO _honker_dead (id, queue, payload, died_at) SELECT i, 'd', 'p', {NOW} - 100 FROM n"
            );
            expired(&db, rows);
            db.run(&others);
            // What none of them may touch.
            db.run(&format!(
                "INSERT INTO _honker_live (queue, payload, expires_at) VALUES ('q', 'p', {NOW} + 1), ('r', 'p', 1);
                 INSERT INTO _honker_results (job_id, expires_at) VALUES (-1, {NOW} + 1), (-2, NULL);
                 INSERT INTO _honker_rate_limits VALUES ('r', {NOW} - 50, 1);
                 INSERT INTO _honker_dead (id, queue, payload, died_at)
                 VALUES (-1, 'd', 'p', {NOW} - 50), (-2, 'e', 'p', 1)"
            ));
            if transaction {
                db.run("BEGIN");
            }
            for call in ["honker_result_sweep()", "honker_rate_limit_sweep(50)", "honker_dead_purge('d', 50)"]
            {
                assert_eq!(until_0(&db, call), answers, "{call}");
            }
            assert_eq!(until_0(&db, "honker_sweep_expired('q')"), answers);
            if transaction {
                db.run("COMMIT");
            }
            assert_eq!(
                db.rows(
                    "SELECT (SELECT count(*) FROM _honker_live), (SELECT count(*) FROM _honker_results),
                            (SELECT count(*) FROM _honker_rate_limits),
                            (SELECT count(*) FROM _honker_dead WHERE queue <> 'q'),
                            (SELECT count(*) FROM _honker_dead WHERE last_error = 'expired')"
                ),
                format!("2|2|1|2|{rows}")
            );
        }
    }
}

#[test]
fn pruning_stops_at_a_thousand_rows_and_still_means_the_newest() {
    for (arguments, left) in [("50, NULL", 500), ("NULL, 700", 700), ("50, 700", 500), ("150, 0", 0)] {
        let db = Db::new();
        // 2,000 old ones, then 500 new ones, with gaps between the ids.
        db.run(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
             INSERT INTO _honker_notifications (id, channel, payload, created_at)
             SELECT i * 3, 'c', 'p', {NOW} - iif(i <= 2000, 100, 50) FROM n"
        ));
        let answers = until_0(&db, &format!("honker_prune_notifications({arguments})"));
        assert!(answers.iter().all(|pruned| *pruned <= ROWS_MAX), "{answers:?}");
        assert_eq!(answers.len() as i64, (2500 - left + ROWS_MAX - 1) / ROWS_MAX + 1, "{answers:?}");
        let newest = "SELECT count(*), coalesce(min(id), 0) FROM _honker_notifications".to_string();
        let lowest = if left == 0 { 0 } else { (2500 - left + 1) * 3 };
        assert_eq!(db.rows(&newest), format!("{left}|{lowest}"), "{arguments}");
    }
}

#[test]
fn eight_megabytes_are_as_much_as_a_thousand_rows() {
    let db = Db::new();
    for (bytes, count, answers) in [
        (1_000_000, 10, vec![8, 2, 0]),
        (1_000_001, 10, vec![7, 3, 0]),
        (4_000_000, 2, vec![2, 0]),
        (9_000_000, 2, vec![1, 1, 0]),
    ] {
        db.run("DELETE FROM _honker_dead");
        fill(&db, count, "expires_at", &format!("{NOW}"));
        db.run(&format!("UPDATE _honker_live SET payload = printf('%.*c', {bytes}, 'x')"));
        assert_eq!(until_0(&db, "honker_sweep_expired('q')"), answers, "{bytes}");
        // Its characters do not count, its bytes do.
        db.run(&format!("UPDATE _honker_dead SET payload = printf('%.*c', {}, 'é'), died_at = 1", bytes / 2));
        let purged = until_0(&db, "honker_dead_purge(NULL, 50)");
        assert_eq!(purged.iter().sum::<i64>(), count);
        assert!(purged[0] <= 8, "{purged:?}");
    }
}

#[test]
fn a_claim_stops_at_a_thousand_rows_and_says_that_there_is_more() {
    // Of each kind of row that is in the way: how many, and where they go.
    type Kind = (&'static str, fn(&Db, i64), &'static str);
    let kinds: [Kind; 4] = [
        ("expired", expired, "expired"),
        ("exhausted", |db, count| fill(db, count, "max_attempts", "0"), "max attempts exceeded"),
        ("last attempt", |db, count| lapsed(db, count, 0), "max attempts exceeded"),
        ("malformed", |db, count| fill(db, count, "max_attempts", "'x' || i"), "malformed row"),
    ];
    for (name, add, error) in kinds {
        for n in [0, 1, 7, -1] {
            let db = Db::new();
            add(&db, 2_101);
            // An innocent job behind all of them.
            db.run("SELECT honker_enqueue('q', 'innocent', NULL, NULL, -1)");
            let mut claimed = Vec::new();
            for moved in [1_000, 2_000, 2_101] {
                assert_eq!(next_claim_at(&db), NOW, "{name}, n {n}");
                claimed.extend(db.claim("q", n, 60));
                assert_eq!(dead(&db), moved, "{name}, n {n}");
            }
            assert_ne!(next_claim_at(&db), NOW, "{name}, n {n}");
            claimed.extend(db.claim("q", n, 60));
            assert_eq!(claimed.len(), usize::from(n != 0), "{name}, n {n}");
            let all = "SELECT last_error, count(*) FROM _honker_dead GROUP BY last_error";
            assert_eq!(db.rows(all), format!("{error}|2101"));
        }
    }
}

#[test]
fn lapsed_claims_go_back_a_thousand_at_a_time() {
    let db = Db::new();
    lapsed(&db, 2_050, 2);
    let pending = "SELECT count(*) FROM _honker_live WHERE state = 'pending'";
    for (back, left) in [(1_000, 1_050), (2_000, 50), (2_050, 0)] {
        assert_eq!(next_claim_at(&db), NOW);
        assert_eq!(db.claim("q", 0, 60), NONE);
        assert_eq!(db.int(pending), back);
        assert_eq!(db.int("SELECT count(*) FROM _honker_live WHERE state = 'processing'"), left);
    }
    assert_eq!(next_claim_at(&db), 0);

    // A claim takes a job although it cannot release them all.
    let db = Db::new();
    lapsed(&db, 2_050, 2);
    assert_eq!(db.claim("q", 1, 60).len(), 1);
    assert_eq!(db.int(pending), 999);
    assert_eq!(db.claim("q", -1, 60).len(), 1_999);
    assert_eq!(db.claim("q", -1, 60).len(), 50);
}

#[test]
fn the_next_claim_is_now_only_if_a_claim_would_move_something() {
    let step = |db: &Db, count: i64| {
        let before = db.dump();
        let says_now = next_claim_at(db) == NOW;
        db.claim("q", 0, 60);
        if says_now {
            assert!(db.dump() != before, "{count}");
        } else {
            db.assert_still(&before);
        }
        says_now
    };
    for (count, now) in [(0, false), (100, false), (101, true)] {
        let db = Db::new();
        expired(&db, count);
        assert_eq!(step(&db, count), now, "{count} expired");
    }
    for (count, now) in [(0, false), (32, false), (33, true)] {
        let db = Db::new();
        lapsed(&db, count, 2);
        assert_eq!(step(&db, count), now, "{count} lapsed");
    }
    for (second, now) in [(-1, true), (0, true), (1, false)] {
        let db = Db::new();
        fill(&db, 1, "max_attempts, run_at", &format!("0, {NOW} + {second}"));
        assert_eq!(step(&db, second), now, "exhausted, due at {second}");
        let db = Db::new();
        let columns = "state, worker_id, attempts, claim_expires_at";
        fill(&db, 1, columns, &format!("'processing', 'w', 3, {NOW} + {second}"));
        assert_eq!(step(&db, second), second < 0, "last attempt, valid through {second}");
        let db = Db::new();
        let columns = "state, worker_id, attempts, claim_expires_at, expires_at";
        fill(&db, 1, columns, &format!("'processing', 'w', 1, {NOW} - 1, {NOW} + {second}"));
        assert_eq!(step(&db, second), now, "lapsed, expires at {second}");
    }
    // A job that can be claimed does not count.
    let db = Db::new();
    db.enqueue("q");
    assert_eq!(next_claim_at(&db), 0);
}

#[test]
fn any_number_of_priorities_may_be_delayed() {
    for (delayed, due) in [(17, 3), (3_000, 3), (3_000, 999), (20, 1_500)] {
        let db = Db::new();
        fill(&db, delayed, "priority, run_at, created_at", &format!("i, {NOW} + 1000 + i, {NOW}"));
        // Delayed ones that have become due, of priorities that are spread among the others, and immediate ones.
        let values = format!("(i * 7919) % {delayed} - 5, {NOW} - i % 11, {NOW} - 20");
        fill(&db, due, "priority, run_at, created_at", &values);
        fill(&db, 5, "priority, run_at, created_at", &format!("i * 100, {NOW} - i, {NOW}"));
        let order =
            format!("SELECT id FROM _honker_live WHERE run_at <= {NOW} ORDER BY priority DESC, run_at, id");
        let order: Vec<i64> = db.rows(&order).lines().map(|id| id.parse().unwrap()).collect();
        assert_eq!(next_claim_at(&db), NOW + 1001);
        let mut claimed = Vec::new();
        for n in [1, 1, 1, 4, -1] {
            claimed.extend(db.claim("q", n, 60));
        }
        assert_eq!(claimed, order, "{delayed} delayed, {due} due");
    }
}

#[test]
fn with_too_many_of_both_the_order_is_exact_among_those_looked_at() {
    let db = Db::new();
    fill(&db, 3_000, "priority, run_at, created_at", &format!("10 + i, {NOW} + 1000, {NOW}"));
    // 3,000 that are due, the best of them among those that became so last.
    fill(&db, 3_000, "priority, run_at, created_at", &format!("i % 5, {NOW} - 5000 + i, 1"));
    let first = db.claim("q", 1, 60);
    let expected = format!(
        "SELECT id FROM _honker_live WHERE run_at <= {NOW} - 4000 AND state = 'processing' AND priority = 4"
    );
    assert_eq!(db.rows(&expected), format!("{}", first[0]));
    // None is forgotten, and none is given twice.
    let mut ids = first;
    loop {
        let claimed = db.claim("q", 250, 60);
        if claimed.is_empty() {
            break;
        }
        ids.extend(claimed);
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3_000);
}

#[test]
fn jobs_are_immediate_or_delayed_when_the_clock_is_set_back() {
    let db = Db::new();
    let (first, second) = (db.enqueue("q"), db.enqueue("q"));
    db.run("UPDATE _honker_live SET priority = id");
    db.clock().advance(-10);
    assert_eq!(db.claim("q", 1, 60), NONE);
    assert_eq!(next_claim_at(&db), NOW);
    let early = db.enqueue("q");
    assert_eq!(db.claim("q", 2, 60), [early]);
    db.clock().advance(10);
    assert_eq!(db.claim("q", 2, 60), [second, first]);
}
