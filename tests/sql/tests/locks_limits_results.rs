//! Locks, rate limits and results.

use honker_sql_tests::*;

fn locks(db: &Db) -> String {
    db.rows("SELECT * FROM _honker_locks ORDER BY name")
}

fn acquire(db: &Db, owner: &str, ttl_s: i64) -> i64 {
    db.get("SELECT honker_lock_acquire('l', ?1, ?2)", (owner, ttl_s))
}

#[test]
fn a_lock_has_one_owner() {
    let db = Db::new();
    assert_eq!(acquire(&db, "a", 60), 1);
    let row = format!("l|a|{}", NOW + 60);
    assert_eq!(locks(&db), row);
    db.clock().advance(10);
    for owner in ["b", "A", "a ", ""] {
        assert_eq!(acquire(&db, owner, 60), 0);
        assert_eq!(db.get::<i64>("SELECT honker_lock_renew('l', ?1, 60)", [owner]), 0);
        assert_eq!(db.get::<i64>("SELECT honker_lock_release('l', ?1)", [owner]), 0);
        assert_eq!(locks(&db), row);
    }
    // Having it already is a success that prolongs nothing and has to be released once.
    assert_eq!(acquire(&db, "a", 600), 1);
    assert_eq!(locks(&db), row);
    assert_eq!(db.int("SELECT honker_lock_release('l', 'a')"), 1);
    assert_eq!(db.int("SELECT honker_lock_release('l', 'a')"), 0);
    assert_eq!(locks(&db), "");
    assert_eq!(acquire(&db, "b", 60), 1);
}

#[test]
fn names_are_independent() {
    let db = Db::new();
    for name in ["l", "L", "l ", "", "honker-scheduler"] {
        assert_eq!(db.get::<i64>("SELECT honker_lock_acquire(?1, ?1, 60)", [name]), 1);
    }
    assert_eq!(db.int("SELECT honker_lock_release('l', 'l')"), 1);
    assert_eq!(db.int("SELECT count(*) FROM _honker_locks"), 4);
}

#[test]
fn a_lock_is_stale_from_the_second_in_which_it_expires() {
    for (second, taken) in [(-1, 0), (0, 1), (1, 1)] {
        let db = Db::new();
        assert_eq!(acquire(&db, "a", 60), 1);
        db.clock().advance(60 + second);
        assert_eq!(acquire(&db, "b", 5), taken, "second {second}");
        // The owner takes its own stale lock again for the time it asks for now.
        let db = Db::new();
        assert_eq!(acquire(&db, "a", 60), 1);
        db.clock().advance(60 + second);
        assert_eq!(acquire(&db, "a", 5), 1);
        let until = if taken == 1 { NOW + 65 + second } else { NOW + 60 };
        assert_eq!(locks(&db), format!("l|a|{until}"));
    }
}

#[test]
fn a_time_to_live_of_zero_or_less_is_stale_for_the_next_caller() {
    for ttl_s in [0, -1, i64::MIN] {
        let db = Db::new();
        assert_eq!(acquire(&db, "a", ttl_s), 1);
        assert_eq!(locks(&db), format!("l|a|{}", NOW + ttl_s));
        assert_eq!(acquire(&db, "b", 60), 1);
        assert_eq!(acquire(&db, "a", 60), 0);
    }
}

#[test]
fn renewing_counts_from_now_and_works_until_somebody_took_the_lock() {
    let db = Db::new();
    assert_eq!(db.int("SELECT honker_lock_renew('l', 'a', 60)"), 0, "there is none");
    acquire(&db, "a", 60);
    db.clock().advance(10);
    assert_eq!(db.int("SELECT honker_lock_renew('l', 'a', 20)"), 1, "it may shorten");
    assert_eq!(locks(&db), format!("l|a|{}", NOW + 30));
    db.clock().advance(500);
    assert_eq!(db.int("SELECT honker_lock_renew('l', 'a', 1)"), 1, "expired, and nobody took it");
    assert_eq!(locks(&db), format!("l|a|{}", NOW + 511));
    db.clock().advance(1);
    assert_eq!(acquire(&db, "b", 60), 1);
    assert_eq!(db.int("SELECT honker_lock_renew('l', 'a', 60)"), 0);
    assert_eq!(db.int("SELECT honker_lock_release('l', 'a')"), 0);
    assert_eq!(locks(&db), format!("l|b|{}", NOW + 571));
}

#[test]
fn renewing_for_no_time_is_an_error() {
    let db = Db::new();
    acquire(&db, "a", 60);
    let before = db.dump();
    for ttl_s in [0, -1, i64::MIN] {
        for name in ["l", "no such lock"] {
            let sql = format!("SELECT honker_lock_renew('{name}', 'a', {ttl_s})");
            db.error(&sql).says(&["ttl_s must be positive"]);
        }
    }
    db.assert_still(&before);
}

#[test]
fn a_rate_limit_lets_so_many_pass_in_each_window() {
    let db = Db::new();
    let try_one = |name: &str| db.get::<i64>("SELECT honker_rate_limit_try(?1, 3, 60)", [name]);
    // NOW is 40 s into a minute.
    for (advance, answers, count) in [(0, [1, 1, 1, 0, 0], 3), (19, [0; 5], 3), (1, [1, 1, 1, 0, 0], 3)] {
        db.clock().advance(advance);
        assert_eq!([(); 5].map(|()| try_one("r")), answers, "{}", db.clock().now());
        let window = db.clock().now() / 60 * 60;
        let row =
            format!("SELECT count FROM _honker_rate_limits WHERE name = 'r' AND window_start = {window}");
        assert_eq!(db.int(&row), count, "a refused call is not counted");
    }
    assert_eq!(try_one("R"), 1);
    assert_eq!(try_one(""), 1);
    assert_eq!(db.int("SELECT count(*) FROM _honker_rate_limits"), 4);
}

#[test]
fn windows_start_at_multiples_of_their_length_since_the_epoch() {
    let db = Db::new();
    for (now, per, window_start) in [
        (NOW, 1, NOW),
        (NOW, 7, NOW - NOW % 7),
        (NOW, i64::MAX, 0),
        (120, 60, 120),
        (119, 60, 60),
        (0, 60, 0),
        (-1, 60, -60),
        (-60, 60, -60),
        (-61, 60, -120),
    ] {
        db.clock().set(now);
        assert_eq!(db.get::<i64>("SELECT honker_rate_limit_try('r', 1, ?1)", [per]), 1);
        assert_eq!(
            db.rows("SELECT window_start, count FROM _honker_rate_limits"),
            format!("{window_start}|1")
        );
        db.run("DELETE FROM _honker_rate_limits");
    }
}

#[test]
fn a_lowered_or_raised_limit_counts_from_the_next_call() {
    let db = Db::new();
    for (limit, answer) in [(2, 1), (2, 1), (2, 0), (1, 0), (3, 1), (3, 0), (i64::MAX, 1)] {
        assert_eq!(db.get::<i64>("SELECT honker_rate_limit_try('r', ?1, 60)", [limit]), answer);
    }
}

#[test]
fn limits_and_windows_of_nothing_are_errors() {
    let db = Db::new();
    let before = db.dump();
    for (limit, per) in [(0, 1), (-1, 1), (1, 0), (1, -1), (0, 0), (i64::MIN, i64::MIN)] {
        let sql = format!("SELECT honker_rate_limit_try('r', {limit}, {per})");
        db.error(&sql).says(&["limit and per must be positive"]);
    }
    db.assert_still(&before);
}

#[test]
fn sweeping_rate_limits_deletes_windows_that_began_before() {
    for (older_than, left) in [
        (20, "80 90 100"),
        (19, "90 100"),
        (10, "90 100"),
        (0, "100"),
        (-1, ""),
        (i64::MAX, "80 90 100"),
        (i64::MIN, ""),
    ] {
        let db = Db::new();
        for (name, now) in [("a", 80), ("b", 90), ("a", 100)] {
            db.clock().set(now);
            db.get::<i64>("SELECT honker_rate_limit_try(?1, 1, 10)", [name]);
        }
        let deleted = db.int(&format!("SELECT honker_rate_limit_sweep({older_than})"));
        let windows = db.rows("SELECT window_start FROM _honker_rate_limits ORDER BY 1").replace('\n', " ");
        assert_eq!(windows, left, "{older_than}");
        assert_eq!(deleted, 3 - left.split_whitespace().count() as i64);
    }
}

#[test]
fn a_result_is_there_until_the_second_in_which_it_expires() {
    for (second, there) in [(-1, true), (0, false), (1, false)] {
        let db = Db::new();
        assert_eq!(db.int("SELECT honker_result_save(7, 'r', 60)"), 1);
        db.clock().advance(60 + second);
        assert_eq!(
            db.rows("SELECT honker_result_get(7)"),
            if there { "r" } else { "NULL" },
            "second {second}"
        );
        assert_eq!(db.int("SELECT honker_result_sweep()"), i64::from(!there));
        assert_eq!(db.int("SELECT honker_result_sweep()"), 0);
        assert_eq!(db.int("SELECT count(*) FROM _honker_results"), i64::from(there));
    }
}

#[test]
fn a_result_without_a_time_to_live_stays() {
    for ttl_s in [0, -1, i64::MIN] {
        let db = Db::new();
        db.run(&format!("SELECT honker_result_save(7, 'r', {ttl_s})"));
        db.clock().set(i64::from(u32::MAX));
        assert_eq!(db.int("SELECT honker_result_sweep()"), 0);
        assert_eq!(db.rows("SELECT * FROM _honker_results"), format!("7|r|{NOW}|NULL"));
        assert_eq!(db.text("SELECT honker_result_get(7)"), "r");
    }
}

#[test]
fn saving_again_replaces_value_and_expiry() {
    let db = Db::new();
    for (ttl_s, expires_at) in [(60, Some(NOW + 61)), (0, None), (5, Some(NOW + 8))] {
        db.clock().advance(1);
        assert_eq!(db.get::<i64>("SELECT honker_result_save(7, ?1, ?2)", (format!("v{ttl_s}"), ttl_s)), 1);
        let expires_at = expires_at.map_or("NULL".to_owned(), |at| at.to_string());
        assert_eq!(db.rows("SELECT * FROM _honker_results"), format!("7|v{ttl_s}|{}|{expires_at}", NOW + 1));
    }
    // Also one that has expired and was not swept.
    db.clock().advance(5);
    assert_eq!(db.rows("SELECT honker_result_get(7)"), "NULL");
    db.run("SELECT honker_result_save(7, 'back', 1)");
    assert_eq!(db.text("SELECT honker_result_get(7)"), "back");
}

#[test]
fn any_integer_is_an_id_and_any_text_a_result() {
    let db = Db::new();
    for id in [0, 1, -1, i64::MIN, i64::MAX] {
        assert_eq!(db.get::<Option<String>>("SELECT honker_result_get(?1)", [id]), None);
        for value in ["null", "", "{}", "not JSON", "\u{0}\u{1F600}"] {
            db.get::<i64>("SELECT honker_result_save(?1, ?2, 60)", (id, value));
            assert_eq!(db.get::<String>("SELECT honker_result_get(?1)", [id]), value);
        }
    }
    assert_eq!(db.rows("SELECT typeof(honker_result_get(99))"), "null");
    db.run("UPDATE _honker_results SET value = NULL WHERE job_id = 1");
    assert_eq!(db.rows("SELECT typeof(honker_result_get(1))"), "null");
}
