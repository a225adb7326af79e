//! Schedules: registering, changing, pausing, firing.
//!
//! Expressions carry their time zone, so that the machine's does not matter. The clock starts on Sunday, 2025-06-15
//! at 15:06:40 UTC.

use honker_sql_tests::*;

const HOUR: i64 = 3600;
/// 16:00 on the first day, the first boundary of an hourly schedule.
const FOUR: i64 = NOW + 3200;
const HOURLY: &str = "CRON_TZ=UTC 0 * * * *";

fn register(db: &Db, name: &str, expression: &str) -> i64 {
    db.get("SELECT honker_scheduler_register(?1, 'q', ?2, 'p', 0, NULL)", (name, expression))
}

fn rows(db: &Db) -> String {
    db.rows("SELECT * FROM _honker_scheduler_tasks ORDER BY name")
}

fn next_fire_at(db: &Db, name: &str) -> i64 {
    db.get("SELECT next_fire_at FROM _honker_scheduler_tasks WHERE name = ?1", [name])
}

/// The boundaries a tick fires, whatever the schedule.
fn tick(db: &Db, now: i64) -> Vec<i64> {
    let fires = db.json(&format!("SELECT honker_scheduler_tick({now})"));
    fires.as_array().unwrap().iter().map(|fire| fire["fire_at"].as_i64().unwrap()).collect()
}

#[test]
fn cron_next_after_is_strictly_after() {
    let db = Db::in_memory();
    for (expression, from, next) in [
        (HOURLY, NOW, FOUR),
        (HOURLY, FOUR - 1, FOUR),
        (HOURLY, FOUR, FOUR + HOUR),
        (HOURLY, FOUR + 1, FOUR + HOUR),
        ("CRON_TZ=UTC */10 * * * * *", NOW, NOW + 10),
        ("CRON_TZ=UTC 30 9 * * MON", NOW, 1_750_066_200),
        ("CRON_TZ=UTC @daily", NOW, 1_750_032_000),
        (" TZ=UTC  @hourly ", NOW, FOUR),
        // Spring forward in Berlin: 02:30 does not exist on 2025-03-30.
        ("CRON_TZ=Europe/Berlin 30 2 * * *", 1_743_290_000, 1_743_296_400),
        // Fall back on 2025-10-26: 02:30 exists twice, the first counts.
        ("CRON_TZ=Europe/Berlin 30 2 * * *", 1_761_436_000, 1_761_438_600),
        ("CRON_TZ=Europe/Berlin 30 2 * * *", 1_761_438_600, 1_761_528_600),
        ("@every 90s", NOW, NOW + 90),
        ("@every 2m", NOW, NOW + 120),
        ("@every 3h", 0, 3 * HOUR),
        ("@every 1d", -5, 86_395),
    ] {
        let sql = "SELECT honker_cron_next_after(?1, ?2)";
        assert_eq!(db.get::<i64>(sql, (expression, from)), next, "{expression} after {from}");
    }
}

#[test]
fn bad_expressions_are_named_wherever_they_come_from() {
    let db = Db::new();
    assert_eq!(register(&db, "good", HOURLY), 1);
    let before = db.dump();
    for (expression, parts) in [
        ("", &["5 or 6 cron fields"][..]),
        ("* * * *", &["* * * *", "5 or 6 cron fields"]),
        ("* * * * * * *", &["5 or 6 cron fields"]),
        ("60 * * * *", &["60", "out of range"]),
        ("* 24 * * *", &["24", "out of range"]),
        ("5-1 * * * *", &["5-1", "or inverted"]),
        ("*/0 * * * *", &["must be positive"]),
        ("x * * * *", &["x", "not an integer"]),
        ("1,,2 * * * *", &["not an integer"]),
        ("*/x * * * *", &["x", "not an integer"]),
        ("? * * * *", &["?", "not an integer"]),
        ("@every 0s", &["interval", "@every 0s"]),
        ("@every 5ms", &["interval", "@every 5ms"]),
        ("@every s", &["interval"]),
        ("@every 9223372036854775807m", &["interval"]),
        ("@never", &["@never"]),
        ("CRON_TZ=Mars/Base * * * * *", &["Mars/Base"]),
        ("CRON_TZ=UTC 0 0 30 2 *", &["no schedule match"]),
    ] {
        for sql in [
            "SELECT honker_cron_next_after(?1, 0)",
            "SELECT honker_scheduler_register('bad', 'q', ?1, 'p', 0, NULL)",
            "SELECT honker_scheduler_register('good', 'r', ?1, 'p2', 1, 1, 1)",
            "SELECT honker_scheduler_update('good', ?1, 'p2', NULL, NULL, 0)",
        ] {
            let failure = db.try_get::<i64>(sql, [expression]).expect_err(expression);
            failure.says(parts);
            assert_eq!(failure.code, 1);
        }
    }
    db.assert_still(&before);
    // On a schedule that does not exist there is nothing an expression could be wrong for.
    assert_eq!(db.int("SELECT honker_scheduler_update('none', 'bad', NULL, NULL, NULL, 0)"), 0);
}

#[test]
fn the_end_of_time_is_an_error() {
    let db = Db::new();
    for (expression, from) in [
        ("@every 1s", i64::MAX),
        (HOURLY, i64::MAX),
        (HOURLY, i64::MIN),
        (HOURLY, 253_402_300_799),
        (HOURLY, i64::MAX / 2),
    ] {
        let failure =
            db.try_get::<i64>("SELECT honker_cron_next_after(?1, ?2)", (expression, from)).unwrap_err();
        assert!(failure.text.contains("overflow") || failure.text.contains("out of range"), "{failure:?}");
    }
    let failure =
        db.error("SELECT honker_scheduler_register('s', 'q', '@every 9223372036854775807s', 'p', 0, NULL)");
    failure.says(&["@every 9223372036854775807s", "overflow"]);
    assert_eq!(rows(&db), "");
}

#[test]
fn register_stores_what_it_is_given() {
    let db = Db::new();
    for (arguments, row) in [
        (", 0, NULL", "0|NULL|NEXT|1|3"),
        (", -9, 60", "-9|60|NEXT|1|3"),
        (", 5, -1, 7", "5|-1|NEXT|1|7"),
        (", 0, NULL, 1", "0|NULL|NEXT|1|1"),
        (", 0, NULL, 0", "0|NULL|NEXT|1|1"),
        (", 0, 0, -9223372036854775808", "0|0|NEXT|1|1"),
    ] {
        let sql = format!("SELECT honker_scheduler_register('s', 'q', '{HOURLY}', '[1]'{arguments})");
        assert_eq!(db.int(&sql), 1);
        assert_eq!(rows(&db), format!("s|q|{HOURLY}|[1]|{}", row.replace("NEXT", &FOUR.to_string())));
    }
    // The expression stays as it was written.
    register(&db, "s", " @every  1h ");
    assert_eq!(db.text("SELECT cron_expr FROM _honker_scheduler_tasks"), " @every  1h ");
}

#[test]
fn registering_again_replaces_all_but_the_pause_and_keeps_the_boundary_of_an_unchanged_expression() {
    let db = Db::new();
    register(&db, "s", "@every 1h");
    db.run("SELECT honker_scheduler_pause('s')");
    db.clock().advance(3 * HOUR);
    // The same expression: what was missed is still owed.
    let sql = "SELECT honker_scheduler_register('s', 'r', ?1, 'p2', 4, 9, 5)";
    db.get::<i64>(sql, ["@every 1h"]);
    assert_eq!(rows(&db), format!("s|r|@every 1h|p2|4|9|{}|0|5", NOW + HOUR));
    // Another expression, were it only by its spelling: from now on.
    db.get::<i64>(sql, ["@every 60m"]);
    assert_eq!(next_fire_at(&db, "s"), NOW + 4 * HOUR);
    // The six-argument form sets the budget back to 3.
    register(&db, "s", "@every 60m");
    assert_eq!(rows(&db), format!("s|q|@every 60m|p|0|NULL|{}|0|3", NOW + 4 * HOUR));
    assert_eq!(tick(&db, NOW + 9 * HOUR), NONE, "still paused");
    db.run("SELECT honker_scheduler_resume('s')");
    assert_eq!(tick(&db, NOW + 4 * HOUR), [NOW + 4 * HOUR]);
    // Unregistered and registered anew is new.
    assert_eq!(db.int("SELECT honker_scheduler_unregister('s')"), 1);
    assert_eq!(db.int("SELECT honker_scheduler_unregister('s')"), 0);
    register(&db, "s", "@every 60m");
    assert_eq!(next_fire_at(&db, "s"), NOW + 4 * HOUR);
}

#[test]
fn a_schedule_is_due_from_its_boundary_on() {
    for (second, fired) in [(-1, false), (0, true), (1, true)] {
        let db = Db::new();
        register(&db, "s", HOURLY);
        let expected = if fired { vec![FOUR] } else { vec![] };
        assert_eq!(tick(&db, FOUR + second), expected, "second {second}");
        assert_eq!(next_fire_at(&db, "s"), if fired { FOUR + HOUR } else { FOUR });
        assert_eq!(tick(&db, FOUR + second), NONE, "once");
    }
}

#[test]
fn a_fire_enqueues_a_job_that_is_due_now_and_expires_after_its_boundary() {
    let db = Db::new();
    let sql = format!("SELECT honker_scheduler_register('s', 'mail', '{HOURLY}', '{{\"n\": 1}}', 8, 90, 2)");
    db.run(&sql);
    db.clock().set(FOUR + 30);
    assert_eq!(
        db.json(&format!("SELECT honker_scheduler_tick({})", FOUR + 10)),
        json!([{"name": "s", "queue": "mail", "fire_at": FOUR, "job_id": 1}])
    );
    assert_eq!(
        db.rows("SELECT * FROM _honker_live"),
        format!("1|mail|{{\"n\": 1}}|pending|8|{now}|NULL|NULL|0|2|{now}|{}", FOUR + 90, now = FOUR + 30)
    );
    assert_eq!(db.claim("mail", 1, 60), [1]);
}

#[test]
fn a_boundary_caught_up_too_late_is_born_expired() {
    for (expires_s, claimable) in [("NULL", 3), ("7201", 3), ("7200", 2), ("3600", 1), ("0", 0), ("-1", 0)] {
        let db = Db::new();
        db.run(&format!("SELECT honker_scheduler_register('s', 'q', '{HOURLY}', 'p', 0, {expires_s})"));
        db.clock().set(FOUR + 2 * HOUR);
        assert_eq!(tick(&db, FOUR + 2 * HOUR), [FOUR, FOUR + HOUR, FOUR + 2 * HOUR]);
        assert_eq!(db.claim("q", -1, 60).len(), claimable, "{expires_s}");
    }
}

#[test]
fn missed_boundaries_are_fired_oldest_first_up_to_64() {
    for (missed, fires) in [(1, 1), (63, 63), (64, 64), (65, 64), (1000, 64)] {
        for (expression, first) in [(HOURLY, FOUR), ("@every 1h", NOW + HOUR)] {
            let db = Db::new();
            register(&db, "s", expression);
            let now = first + (missed - 1) * HOUR + 5;
            db.clock().set(now);
            let expected: Vec<i64> = (0..fires).map(|n| first + n * HOUR).collect();
            assert_eq!(tick(&db, now), expected, "{expression}, {missed} missed");
            // The rest is skipped, and the phase kept.
            assert_eq!(next_fire_at(&db, "s"), first + missed * HOUR);
            assert_eq!(tick(&db, now), NONE);
            assert_eq!(db.int("SELECT count(*) FROM _honker_live"), fires);
        }
    }
}

#[test]
fn the_boundary_after_skipped_ones_is_strictly_after_the_tick() {
    for (second, next) in [(-1, 100), (0, 101), (1, 101)] {
        let db = Db::new();
        register(&db, "s", "@every 1h");
        assert_eq!(tick(&db, NOW + 100 * HOUR + second).len(), 64);
        assert_eq!(next_fire_at(&db, "s"), NOW + next * HOUR, "second {second}");
    }
}

#[test]
fn each_schedule_has_its_own_cap_and_fires_in_its_own_order() {
    let db = Db::new();
    for (name, expression) in
        [("b", "@every 1h"), ("a", "@every 2h"), ("off", "@every 1h"), ("later", "@every 500h")]
    {
        register(&db, name, expression);
    }
    db.run("SELECT honker_scheduler_pause('off')");
    let fires = db.json(&format!("SELECT honker_scheduler_tick({})", NOW + 100 * HOUR));
    let of = |name: &str| -> Vec<i64> {
        let fires = fires.as_array().unwrap().iter().filter(|fire| fire["name"] == name);
        fires.map(|fire| (fire["fire_at"].as_i64().unwrap() - NOW) / HOUR).collect()
    };
    assert_eq!(of("a"), (1..=50).map(|n| n * 2).collect::<Vec<_>>());
    assert_eq!(of("b"), (1..=64).collect::<Vec<_>>());
    assert_eq!(fires.as_array().unwrap().len(), 114);
    // Every job has its id, and every id its job.
    let mut ids: Vec<i64> =
        fires.as_array().unwrap().iter().map(|fire| fire["job_id"].as_i64().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=114).collect::<Vec<_>>());
}

#[test]
fn what_a_paused_schedule_misses_is_caught_up_after_it_is_resumed() {
    let db = Db::new();
    register(&db, "s", "@every 1h");
    for (sql, answer) in [
        ("SELECT honker_scheduler_resume('s')", 0),
        ("SELECT honker_scheduler_pause('s')", 1),
        ("SELECT honker_scheduler_pause('s')", 0),
        ("SELECT honker_scheduler_pause('S')", 0),
        ("SELECT honker_scheduler_resume('S')", 0),
    ] {
        assert_eq!(db.int(sql), answer, "{sql}");
    }
    assert_eq!(tick(&db, NOW + 3 * HOUR), NONE);
    assert_eq!(next_fire_at(&db, "s"), NOW + HOUR);
    assert_eq!(db.int("SELECT honker_scheduler_soonest()"), 0);
    assert_eq!(db.int("SELECT honker_scheduler_resume('s')"), 1);
    assert_eq!(db.int("SELECT honker_scheduler_soonest()"), NOW + HOUR);
    assert_eq!(tick(&db, NOW + 3 * HOUR).len(), 3);
    // The cap holds for this as well.
    db.run("SELECT honker_scheduler_pause('s'), honker_scheduler_resume('s')");
    assert_eq!(tick(&db, NOW + 300 * HOUR).len(), 64);
}

#[test]
fn soonest_is_the_first_boundary_of_those_that_are_running() {
    let db = Db::new();
    assert_eq!(db.int("SELECT honker_scheduler_soonest()"), 0);
    register(&db, "a", "@every 3h");
    register(&db, "b", "@every 2h");
    assert_eq!(db.int("SELECT honker_scheduler_soonest()"), NOW + 2 * HOUR);
    db.clock().advance(100 * HOUR);
    assert_eq!(db.int("SELECT honker_scheduler_soonest()"), NOW + 2 * HOUR, "it may be in the past");
    db.run("SELECT honker_scheduler_pause('b')");
    assert_eq!(db.int("SELECT honker_scheduler_soonest()"), NOW + 3 * HOUR);
    db.run("SELECT honker_scheduler_unregister('a')");
    assert_eq!(db.int("SELECT honker_scheduler_soonest()"), 0);
}

#[test]
fn list_shows_every_schedule_by_name() {
    let db = Db::new();
    assert_eq!(db.text("SELECT honker_scheduler_list()"), "[]");
    db.run("SELECT honker_scheduler_register('b', 'q', '@every 1h', '{\"a\": 1}', 2, 60, 9)");
    db.run("SELECT honker_scheduler_register('a', 'r', '@every 2h', 'null', 0, NULL)");
    db.run("SELECT honker_scheduler_register('B', 'r', '@every 2h', '', 0, NULL); SELECT honker_scheduler_pause('a')");
    let schedule = |name: &str, queue: &str, hours: i64, payload: &str| {
        json!({
            "name": name, "queue": queue, "cron_expr": format!("@every {hours}h"), "payload": payload, "priority": 0,
            "expires_s": null, "next_fire_at": NOW + hours * HOUR, "enabled": true, "max_attempts": 3,
            "error": null, "overlap": "allow", "options": {},
        })
    };
    let (big_b, mut a) = (schedule("B", "r", 2, ""), schedule("a", "r", 2, "null"));
    let mut b = schedule("b", "q", 1, "{\"a\": 1}");
    a["enabled"] = json!(false);
    (b["priority"], b["expires_s"], b["max_attempts"]) = (json!(2), json!(60), json!(9));
    assert_eq!(db.json("SELECT honker_scheduler_list()"), json!([big_b, a, b]));
}

#[test]
fn update_changes_what_it_is_given_and_leaves_the_rest() {
    let next = NOW + HOUR;
    // The clock is 100 s further by then, so that a recomputed boundary shows.
    let (again, two) = (NOW + 100 + HOUR, NOW + 100 + 2 * HOUR);
    for (arguments, answer, row) in [
        ("NULL, NULL, NULL, NULL, 0", 0, format!("@every 1h|p|1|60|{next}|1|5")),
        ("NULL, NULL, NULL, 9, 0", 0, format!("@every 1h|p|1|60|{next}|1|5")),
        ("NULL, NULL, NULL, 9, 0, 9, 0", 0, format!("@every 1h|p|1|60|{next}|1|5")),
        ("'@every 2h', NULL, NULL, NULL, 0", 1, format!("@every 2h|p|1|60|{two}|1|5")),
        ("'@every 1h', NULL, NULL, NULL, 0", 1, format!("@every 1h|p|1|60|{again}|1|5")),
        ("NULL, 'x', NULL, NULL, 0", 1, format!("@every 1h|x|1|60|{next}|1|5")),
        ("NULL, '', NULL, NULL, 0", 1, format!("@every 1h||1|60|{next}|1|5")),
        ("NULL, 'null', NULL, NULL, 0", 1, format!("@every 1h|null|1|60|{next}|1|5")),
        ("NULL, NULL, 0, NULL, 0", 1, format!("@every 1h|p|0|60|{next}|1|5")),
        ("NULL, NULL, NULL, 9, 1", 1, format!("@every 1h|p|1|9|{next}|1|5")),
        ("NULL, NULL, NULL, 9, -1", 1, format!("@every 1h|p|1|9|{next}|1|5")),
        ("NULL, NULL, NULL, NULL, 1", 1, format!("@every 1h|p|1|NULL|{next}|1|5")),
        ("NULL, NULL, NULL, NULL, 0, 9, 1", 1, format!("@every 1h|p|1|60|{next}|1|9")),
        ("NULL, NULL, NULL, NULL, 0, 0, 2", 1, format!("@every 1h|p|1|60|{next}|1|1")),
        ("NULL, NULL, NULL, NULL, 0, -3, 1", 1, format!("@every 1h|p|1|60|{next}|1|1")),
        ("NULL, NULL, NULL, NULL, 0, NULL, 1", 1, format!("@every 1h|p|1|60|{next}|1|3")),
        ("'@every 2h', 'x', -1, NULL, 1, 2, 1", 1, format!("@every 2h|x|-1|NULL|{two}|1|2")),
    ] {
        let db = Db::new();
        db.run("SELECT honker_scheduler_register('s', 'q', '@every 1h', 'p', 1, 60, 5)");
        db.run("SELECT honker_scheduler_register('other', 'q', '@every 1h', 'p', 1, 60, 5)");
        db.clock().advance(100);
        let before = db.dump();
        for nobody in ["none", "S", ""] {
            assert_eq!(db.int(&format!("SELECT honker_scheduler_update('{nobody}', {arguments})")), 0);
        }
        db.assert_still(&before);
        assert_eq!(
            db.int(&format!("SELECT honker_scheduler_update('s', {arguments})")),
            answer,
            "{arguments}"
        );
        assert_eq!(rows(&db), format!("other|q|@every 1h|p|1|60|{next}|1|5\ns|q|{row}"), "{arguments}");
    }
}

#[test]
fn an_update_leaves_a_paused_schedule_paused() {
    let db = Db::new();
    register(&db, "s", "@every 1h");
    db.run(
        "SELECT honker_scheduler_pause('s'), honker_scheduler_update('s', '@every 2h', 'x', 1, 1, 1, 1, 1)",
    );
    assert_eq!(db.int("SELECT enabled FROM _honker_scheduler_tasks"), 0);
}

#[test]
fn a_changed_budget_is_for_future_jobs() {
    let db = Db::new();
    register(&db, "s", "@every 1h");
    tick(&db, NOW + HOUR);
    db.run("SELECT honker_scheduler_update('s', NULL, NULL, NULL, NULL, 0, 7, 1)");
    tick(&db, NOW + 2 * HOUR);
    assert_eq!(db.rows("SELECT max_attempts FROM _honker_live ORDER BY id"), "3\n7");
}

#[test]
fn a_stored_expression_that_cannot_be_used_is_passed_over() {
    for (expression, why) in
        [("nonsense", "5 or 6 cron fields"), ("CRON_TZ=UTC 0 0 30 2 *", "no schedule match")]
    {
        let db = Db::new();
        for name in ["a", "b", "c"] {
            register(&db, name, "@every 1h");
        }
        db.execute("UPDATE _honker_scheduler_tasks SET cron_expr = ?1 WHERE name = 'b'", [expression])
            .unwrap();
        let fired = tick(&db, NOW + 2 * HOUR);
        assert_eq!(fired.len(), 4, "two boundaries each of the others: {fired:?}");
        assert_eq!(
            db.rows("SELECT next_fire_at FROM _honker_scheduler_tasks WHERE name = 'b'"),
            format!("{}", NOW + HOUR)
        );
        let errors = db.json("SELECT honker_scheduler_list()");
        let errors = [0, 1, 2].map(|index| errors[index]["error"].clone());
        assert!(errors[0].is_null() && errors[2].is_null(), "{errors:?}");
        assert!(errors[1].as_str().unwrap().contains(why), "{errors:?}");

        // Whoever sleeps until the next boundary does not wake for it again and again, and an idle tick takes no lock.
        assert_eq!(db.int("SELECT honker_scheduler_soonest()"), NOW + 3 * HOUR);
        let other = db.another();
        other.run("BEGIN IMMEDIATE");
        assert_eq!(tick(&db, NOW + 2 * HOUR), NONE);
        other.run("ROLLBACK");

        // Mended, it catches up what it has missed.
        db.run("UPDATE _honker_scheduler_tasks SET cron_expr = '@every 1h' WHERE name = 'b'");
        assert_eq!(tick(&db, NOW + 2 * HOUR).len(), 2);
        assert!(db.json("SELECT honker_scheduler_list()")[1]["error"].is_null());
    }
}

#[test]
fn a_boundary_between_two_seconds_is_the_later_one() {
    let db = Db::new();
    register(&db, "s", "@every 1h");
    db.run(&format!("UPDATE _honker_scheduler_tasks SET next_fire_at = {NOW} + 0.5"));
    assert_eq!(db.int("SELECT honker_scheduler_soonest()"), NOW + 1);
    assert_eq!(db.json("SELECT honker_scheduler_list()")[0]["next_fire_at"], json!(NOW + 1));
    assert_eq!(tick(&db, NOW), NONE);
    assert_eq!(tick(&db, NOW + 1), [NOW + 1]);
    assert_eq!(
        db.rows("SELECT next_fire_at, typeof(next_fire_at) FROM _honker_scheduler_tasks"),
        format!("{}|integer", NOW + 1 + HOUR)
    );
    // One that no integer can hold is the end of time, whose next boundary nobody can tell.
    db.run("UPDATE _honker_scheduler_tasks SET next_fire_at = 1e300");
    assert_eq!(db.int("SELECT honker_scheduler_soonest()"), 0);
    assert_eq!(tick(&db, NOW + HOUR), NONE);
}

#[test]
fn a_stored_row_with_a_value_of_a_wrong_type_is_passed_over() {
    for (column, value) in [
        ("next_fire_at", "'soon'"),
        ("next_fire_at", "x'00'"),
        ("priority", "'high'"),
        ("expires_s", "'never'"),
        ("expires_s", "x'31'"),
        ("max_attempts", "'many'"),
        ("queue", "x'71'"),
        ("payload", "x'70'"),
        ("cron_expr", "CAST('@every 1h' AS BLOB)"),
        ("name", "x'62'"),
        ("name", "NULL"),
    ] {
        let db = Db::new();
        for name in ["a", "b", "c"] {
            register(&db, name, "@every 1h");
        }
        db.run(&format!("UPDATE _honker_scheduler_tasks SET {column} = {value} WHERE name = 'b'"));
        // Nobody sleeps until it, or wakes for it again and again.
        assert_eq!(db.int("SELECT honker_scheduler_soonest()"), NOW + HOUR, "{column} {value}");
        assert_eq!(tick(&db, NOW + HOUR), [NOW + HOUR, NOW + HOUR], "{column} {value}");
        assert_eq!(db.int("SELECT honker_scheduler_soonest()"), NOW + 2 * HOUR, "{column} {value}");
        let before = db.dump();
        assert_eq!(tick(&db, NOW + HOUR), NONE, "{column} {value}");
        db.assert_still(&before);

        let schedules = db.json("SELECT honker_scheduler_list()");
        let errors: Vec<&str> =
            schedules.as_array().unwrap().iter().filter_map(|schedule| schedule["error"].as_str()).collect();
        assert_eq!(errors.len(), 1, "{schedules}");
        assert!(errors[0].contains(&format!("malformed row: {column} ")), "{errors:?}");
    }
}

#[test]
fn registering_again_mends_a_boundary_that_is_no_number() {
    let db = Db::new();
    register(&db, "s", "@every 1h");
    db.run("UPDATE _honker_scheduler_tasks SET next_fire_at = 'soon'");
    register(&db, "s", "@every 1h");
    assert_eq!(next_fire_at(&db, "s"), NOW + HOUR);
}

#[test]
fn names_that_are_no_proper_texts_fire_once() {
    let db = Db::new();
    register(&db, "s", "@every 1h");
    db.run("UPDATE _honker_scheduler_tasks SET name = CAST(x'73ff' AS TEXT)");
    assert_eq!(tick(&db, NOW + HOUR), [NOW + HOUR]);
    assert_eq!(tick(&db, NOW + HOUR), NONE);
}

#[test]
fn an_expiry_beyond_the_end_of_time_is_the_end_of_time() {
    let db = Db::new();
    for (name, expires_s) in [("s", i64::MAX), ("t", i64::MIN)] {
        db.run(&format!("SELECT honker_scheduler_register('{name}', 'q', '@every 1h', 'p', 0, {expires_s})"));
    }
    assert_eq!(tick(&db, NOW + HOUR).len(), 2);
    let expected = format!("{}\n{}", i64::MAX, i64::MIN + NOW + HOUR);
    assert_eq!(db.rows("SELECT expires_at FROM _honker_live ORDER BY id"), expected);
}

#[test]
fn a_tick_far_beyond_the_calendar_is_an_error_that_fires_nothing() {
    for expression in [HOURLY, "@every 1h"] {
        let db = Db::new();
        register(&db, "s", expression);
        let before = db.dump();
        db.error(&format!("SELECT honker_scheduler_tick({})", i64::MAX)).says(&["'s'"]);
        db.assert_still(&before);
        assert_eq!(tick(&db, i64::MIN), NONE);
    }
}

/// Which boundary is said to have been fired last, by schedule.
fn last_fires(db: &Db) -> String {
    db.rows("SELECT substr(name, 23), value FROM _honker_settings WHERE name GLOB 'schedule.last_fire_at.*' ORDER BY 1")
}

#[test]
fn the_boundary_that_was_fired_last_is_remembered() {
    let db = Db::new();
    db.clock().set(NOW);
    for name in ["a", "b"] {
        db.run(&format!("SELECT honker_scheduler_register('{name}', 'q', '{HOURLY}', 'p', 0, NULL)"));
    }
    assert!(tick(&db, FOUR - 1).is_empty());
    assert_eq!(last_fires(&db), "");
    // Of several that were missed it is the last, also if there were too many to catch up.
    assert_eq!(tick(&db, FOUR + 2 * HOUR).len(), 6);
    assert_eq!(last_fires(&db), format!("a|{0}\nb|{0}", FOUR + 2 * HOUR));
    assert_eq!(tick(&db, FOUR + 300 * HOUR).len(), 128);
    assert_eq!(last_fires(&db), format!("a|{0}\nb|{0}", FOUR + 66 * HOUR));
    // Nothing is fired, and nothing remembered.
    db.run(&format!("BEGIN; SELECT honker_scheduler_tick({}); ROLLBACK", FOUR + 301 * HOUR));
    assert_eq!(last_fires(&db), format!("a|{0}\nb|{0}", FOUR + 66 * HOUR));
    db.run(&format!("SELECT honker_scheduler_register('b', 'other', '{HOURLY}', 'p', 0, NULL)"));
    assert_eq!(db.int("SELECT honker_scheduler_unregister('a')"), 1);
    assert_eq!(last_fires(&db), format!("b|{}", FOUR + 66 * HOUR));
    // That alone is nothing to look after.
    assert_eq!(db.int("SELECT min_version FROM _honker_schema"), 1);
}

#[test]
fn a_file_of_an_older_version_fires_without_remembering() {
    let db = Db::new();
    db.clock().set(NOW);
    db.run("DROP TABLE _honker_settings; UPDATE _honker_schema SET version = 2");
    db.run(&format!("SELECT honker_scheduler_register('a', 'q', '{HOURLY}', 'p', 0, NULL)"));
    assert_eq!(tick(&db, FOUR), [FOUR]);
    assert_eq!(db.int("SELECT honker_scheduler_unregister('a')"), 1);
}
