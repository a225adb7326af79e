//! `honker_scheduler_register_with`: options of the jobs that a schedule enqueues, and what it does while its last job is live.

use honker_sql_tests::*;

#[track_caller]
fn register(db: &Db, options: Json) {
    register_as(db, "s", options);
}

#[track_caller]
fn register_as(db: &Db, name: &str, options: Json) {
    let done: i64 = db.get(
        "SELECT honker_scheduler_register_with(?1, 'q', '@every 10s', 'p', ?2)",
        [name, options.to_string().as_str()],
    );
    assert_eq!(done, 1);
}

/// The fires of a tick in this second: schedule, seconds since [`NOW`], job and status, one a line.
#[track_caller]
fn tick(db: &Db) -> String {
    let now = db.clock().now();
    let fires = db.json(&format!("SELECT honker_scheduler_tick({now})"));
    let fires = fires.as_array().unwrap().iter().map(|fire| {
        let after = fire["fire_at"].as_i64().unwrap() - NOW;
        let status = fire["status"].as_str().unwrap_or("-");
        assert!(fire.as_object().unwrap().contains_key("job_id"));
        format!("{} {after} {} {status}", fire["name"].as_str().unwrap(), fire["job_id"])
    });
    fires.collect::<Vec<_>>().join("\n")
}

fn skip() -> Json {
    json!({"overlap": "skip"})
}

#[test]
fn its_jobs_have_the_options() {
    let db = Db::new();
    register(
        &db,
        json!({"priority": 7, "max_attempts": 2, "expires_s": 60, "delay_s": 5, "metadata": {"a": "b"},
            "concurrency_key": "c", "max_run_s": 9, "unique_key": "k", "unique_until": "claimed",
            "unique_for_s": 30, "on_conflict": "replace"}),
    );
    db.clock().advance(12);
    assert_eq!(tick(&db), "s 10 1 -");
    let now = NOW + 12;
    assert_eq!(
        db.rows("SELECT * FROM _honker_live"),
        format!("1|q|p|pending|7|{}|NULL|NULL|0|2|{now}|{}", now + 5, NOW + 70)
    );
    let options =
        "SELECT metadata, concurrency_key, max_run_s, unique_key, unique_until FROM _honker_job_options";
    assert_eq!(db.rows(options), r#"{"a":"b"}|c|9|k|claimed"#);
    assert_eq!(db.rows("SELECT * FROM _honker_unique"), format!("q|k|1|claimed|{}", now + 29));
    // The next one takes the place of the one that waits.
    db.clock().advance(8);
    assert_eq!(tick(&db), "s 20 1 replaced");
    db.clock().advance(5);
    assert_eq!(db.claim("q", 1, 60), [1]);
    db.clock().advance(5);
    assert_eq!(tick(&db), "s 30 1 exists");
    assert_eq!(db.int("SELECT count(*) FROM _honker_live"), 1);
}

#[test]
fn options_that_cannot_be_are_refused_by_name() {
    let db = Db::new();
    let before = db.dump();
    for (options, says) in [
        ("[]", "options must be a JSON object"),
        (r#"{"overlaps":"skip"}"#, "unknown key 'overlaps'"),
        (r#"{"overlap":"queue"}"#, r#"options: overlap must be "allow", "skip" or null, not "queue""#),
        (r#"{"overlap":1}"#, "options: overlap"),
        (r#"{"run_at":5}"#, "run_at is for a single job"),
        (r#"{"batch_id":1,"member":{"job_id":1,"worker_id":"w"}}"#, "member is for a single job"),
        (r#"{"unique_for_s":1}"#, "options: unique_for_s is given without unique_key"),
        (r#"{"metadata":{"a":1}}"#, "metadata must be a JSON object of texts"),
        (r#"{"delay_s":9223372036854775807}"#, "delay is out of range"),
        (r#"{"max_run_s":0}"#, "max_run_s must be at least 1"),
        (r#"{"priority":"1"}"#, "options: priority must be an integer"),
    ] {
        let sql = "SELECT honker_scheduler_register_with('s', 'q', '@every 1h', 'p', ?1)";
        db.try_get::<i64>(sql, [options]).unwrap_err().says(&[says]);
        db.assert_still(&before);
    }
    db.error("SELECT honker_scheduler_register_with('s', 'q', 'never', 'p', '{}')").says(&["never"]);
    db.assert_still(&before);
}

#[test]
fn a_schedule_without_options_is_as_one_of_before() {
    let db = Db::new();
    register(&db, json!({}));
    register_as(
        &db,
        "t",
        json!({"priority": 3, "expires_s": 60, "max_attempts": 4, "overlap": "allow", "metadata": null}),
    );
    db.run("SELECT honker_scheduler_register('u', 'q', '@every 10s', 'p', 3, 60, 4)");
    assert_eq!(db.int("SELECT count(*) FROM _honker_schedule_options"), 0);
    assert_eq!(db.int("SELECT min_version FROM _honker_schema"), 1);
    let rows = "SELECT queue, cron_expr, payload, priority, expires_s, next_fire_at, max_attempts FROM _honker_scheduler_tasks";
    assert_eq!(db.rows(&format!("{rows} WHERE name = 't'")), db.rows(&format!("{rows} WHERE name = 'u'")));
    db.clock().advance(25);
    assert_eq!(tick(&db), "s 10 1 -\ns 20 2 -\nt 10 3 -\nt 20 4 -\nu 10 5 -\nu 20 6 -");
    // An option that others would not heed keeps older programs from writing.
    register(&db, skip());
    assert_eq!(db.int("SELECT min_version FROM _honker_schema"), 3);
}

#[test]
fn a_boundary_is_skipped_while_the_last_job_is_live() {
    let db = Db::new();
    register(&db, skip());
    db.clock().advance(35);
    // A catch-up enqueues one.
    assert_eq!(tick(&db), "s 10 1 -\ns 20 null skipped\ns 30 null skipped");
    db.clock().advance(5);
    assert_eq!(tick(&db), "s 40 null skipped");
    assert_eq!(db.claim("q", 1, 5), [1]);
    db.clock().advance(10);
    // Lapsed, somebody will claim it again.
    assert_eq!(tick(&db), "s 50 null skipped");
    assert_eq!(db.claim("q", 1, 60), [1]);
    db.run("SELECT honker_retry(1, 'w', 1000, 'e')");
    db.clock().advance(10);
    assert_eq!(tick(&db), "s 60 null skipped");
    db.run("SELECT honker_cancel(1)");
    db.clock().advance(10);
    assert_eq!(tick(&db), "s 70 2 -");
    db.claim("q", 1, 60);
    db.run("SELECT honker_ack(2, 'w')");
    db.clock().advance(10);
    assert_eq!(tick(&db), "s 80 3 -");
    db.claim("q", 1, 60);
    db.run("SELECT honker_fail(3, 'w', 'e')");
    db.clock().advance(10);
    assert_eq!(tick(&db), "s 90 4 -");
    // A dead job that is live again is not the last one any more.
    db.run("SELECT honker_cancel(4), honker_dead_requeue(3)");
    db.clock().advance(10);
    assert_eq!(tick(&db), "s 100 5 -");
}

#[test]
fn a_last_job_that_no_claim_may_take_skips_nothing() {
    for (set_up, at) in [
        ("UPDATE _honker_live SET expires_at = ?1", 20),
        ("UPDATE _honker_live SET attempts = 3, run_at = ?1 + 1000", 0),
        (
            "UPDATE _honker_live SET state = 'processing', worker_id = 'w', attempts = 3, claim_expires_at = ?1 - 1",
            20,
        ),
        (
            "UPDATE _honker_live SET state = 'processing', worker_id = 'w', attempts = 1, expires_at = 0, claim_expires_at = ?1 - 1",
            20,
        ),
        ("UPDATE _honker_live SET priority = 'high', run_at = ?1", 0),
    ] {
        for early in [1, 0] {
            if at == 0 && early == 1 {
                continue;
            }
            let db = Db::new();
            register(&db, skip());
            db.clock().advance(10);
            assert_eq!(tick(&db), "s 10 1 -");
            db.execute(set_up, [NOW + 20 + early]).unwrap();
            db.clock().advance(10);
            let expected = if early == 1 { "s 20 null skipped" } else { "s 20 2 -" };
            assert_eq!(tick(&db), expected, "{set_up}");
            // It is left to the claim that meets it.
            assert_eq!(db.dead(), "");
        }
    }
}

/// Born expired, the jobs of a catch-up are no reason not to enqueue the next.
#[test]
fn an_expired_job_of_a_catch_up_skips_nothing() {
    let db = Db::new();
    register(&db, json!({"overlap": "skip", "expires_s": 15}));
    db.clock().advance(34);
    assert_eq!(tick(&db), "s 10 1 -\ns 20 2 -\ns 30 null skipped");
}

#[test]
fn what_exists_is_not_the_schedules_own() {
    let db = Db::new();
    let options = json!({"overlap": "skip", "unique_key": "k"});
    db.run(r#"SELECT honker_enqueue_with('q', 'x', '{"unique_key":"k"}')"#);
    register(&db, options.clone());
    db.clock().advance(10);
    assert_eq!(tick(&db), "s 10 1 exists");
    assert_eq!(db.rows("SELECT last_job_id FROM _honker_schedule_options"), "NULL");
    db.run("SELECT honker_cancel(1)");
    db.clock().advance(10);
    assert_eq!(tick(&db), "s 20 2 -");
    // Registered again, as at each start of an application, it knows its last job.
    register(&db, options);
    db.clock().advance(10);
    assert_eq!(tick(&db), "s 30 null skipped");
}

#[test]
fn options_go_with_the_schedule() {
    let db = Db::new();
    let stored = "SELECT count(*) FROM _honker_schedule_options";
    register(&db, skip());
    assert_eq!(db.int(stored), 1);
    db.run("SELECT honker_scheduler_update('s', NULL, 'new', NULL, NULL, 0), honker_scheduler_pause('s'), honker_scheduler_resume('s')");
    assert_eq!(db.int(stored), 1);
    assert_eq!(db.int("SELECT honker_scheduler_unregister('s')"), 1);
    assert_eq!(db.int(stored), 0);
    // What is not said again is forgotten.
    register(&db, skip());
    db.run("SELECT honker_scheduler_register('s', 'q', '@every 10s', 'p', 0, NULL)");
    assert_eq!(db.int(stored), 0);
    register(&db, skip());
    register(&db, json!({"metadata": {"a": "b"}}));
    db.clock().advance(25);
    assert_eq!(tick(&db), "s 10 1 -\ns 20 2 -");
    db.run("BEGIN; SELECT honker_scheduler_unregister('s'); ROLLBACK");
    assert_eq!(db.int(stored), 1);
}

/// Unless a schedule says itself how often, also if it says 3.
#[test]
fn jobs_of_schedules_have_the_attempts_of_their_queue() {
    let db = Db::new();
    db.run("SELECT honker_scheduler_register('a', 'q', '@every 10s', 'p', 0, NULL)");
    db.run("SELECT honker_scheduler_register('b', 'q', '@every 10s', 'p', 0, NULL, 3)");
    db.run("SELECT honker_scheduler_register('c', 'q', '@every 10s', 'p', 0, NULL, 5)");
    register_as(&db, "d", json!({}));
    register_as(&db, "e", json!({"max_attempts": 3}));
    register_as(&db, "f", json!({"max_attempts": 3}));
    let attempts = |after_s: i64| {
        db.clock().advance(after_s);
        db.run("DELETE FROM _honker_live");
        tick(&db);
        db.rows(
            "SELECT group_concat(max_attempts, ' ') FROM (SELECT max_attempts FROM _honker_live ORDER BY id)",
        )
    };
    let listed = || {
        db.rows("SELECT group_concat(value ->> 'max_attempts', ' ') FROM json_each(honker_scheduler_list())")
    };
    assert_eq!(attempts(10), "3 3 5 3 3 3");
    // That alone keeps no older program from writing.
    db.run("SELECT honker_bootstrap()");
    assert_eq!(db.int("SELECT min_version FROM _honker_schema"), 1);
    let another = db.another();
    another.run(r#"SELECT honker_queue_configure('q', '{"max_attempts": 7}')"#);
    assert_eq!(attempts(10), "7 3 5 7 3 3");
    assert_eq!(listed(), "7 3 5 7 3 3");
    // Changed, and registered again.
    db.run("SELECT honker_scheduler_update('a', NULL, NULL, NULL, NULL, 0, 3, 1)");
    db.run("SELECT honker_scheduler_update('b', NULL, NULL, NULL, NULL, 0, NULL, 1)");
    db.run("SELECT honker_scheduler_update('c', NULL, NULL, NULL, NULL, 0, -1, 1)");
    db.run("SELECT honker_scheduler_update('f', NULL, NULL, 1, NULL, 0)");
    register_as(&db, "e", json!({}));
    assert_eq!(attempts(10), "3 7 1 7 7 3");
    assert_eq!(listed(), "3 7 1 7 7 3");
    another.run(r#"SELECT honker_queue_configure('q', '{"max_attempts": null}')"#);
    assert_eq!(attempts(10), "3 3 1 3 3 3");
}

/// The connection that sets something first knows at once what schedules have said before.
#[test]
fn what_a_schedule_has_named_is_known_where_the_queue_is_configured() {
    let db = Db::new();
    db.run("SELECT honker_scheduler_register('a', 'q', '@every 10s', 'p', 0, NULL, 3)");
    db.another().run("SELECT honker_enqueue('other', 'p')");
    db.run(r#"SELECT honker_queue_configure('q', '{"max_attempts": 7}')"#);
    db.clock().advance(10);
    assert_eq!(tick(&db), "a 10 2 -");
    assert_eq!(db.int("SELECT max_attempts FROM _honker_live WHERE queue = 'q'"), 3);
}

#[test]
fn a_list_has_what_its_jobs_are_enqueued_with() {
    let db = Db::new();
    let job = json!({"delay_s": 5, "metadata": {"a": "b"}, "concurrency_key": "c", "max_run_s": 9,
        "unique_key": "k", "unique_until": "claimed", "unique_for_s": 30, "on_conflict": "replace"});
    let mut options = job.clone();
    options["overlap"] = "skip".into();
    options["max_attempts"] = 3.into();
    register_as(&db, "a", options);
    register_as(&db, "b", json!({}));
    let list = db.json("SELECT honker_scheduler_list()");
    assert_eq!((&list[0]["overlap"], &list[0]["options"]), (&json!("skip"), &job));
    assert_eq!((&list[1]["overlap"], &list[1]["options"]), (&json!("allow"), &json!({})));
    assert_eq!((&list[0]["error"], &list[0]["max_attempts"]), (&Json::Null, &json!(3)));
    db.run(r#"UPDATE _honker_schedule_options SET options = '{"overlap":"sometimes"}' WHERE name = 'a'"#);
    let list = db.json("SELECT honker_scheduler_list()");
    assert!(list[0]["error"].as_str().unwrap().contains("overlap must be"), "{list}");
}

/// The row is anybody's to write: it keeps no other schedule from firing.
#[test]
fn options_that_cannot_be_read_are_the_affair_of_their_schedule() {
    for options in ["{", "[]", r#"{"overlap":"sometimes"}"#, r#"{"unique_for_s":0,"unique_key":"k"}"#] {
        let db = Db::new();
        for name in ["a", "b", "c"] {
            register_as(&db, name, skip());
        }
        db.execute("UPDATE _honker_schedule_options SET options = ?1 WHERE name = 'b'", [options]).unwrap();
        db.clock().advance(10);
        assert_eq!(tick(&db), "a 10 1 -\nc 10 2 -", "{options}");
        let now = db.clock().now();
        db.error(&format!("SELECT honker_scheduler_tick({now})")).says(&["schedule 'b'"]);
        register_as(&db, "b", skip());
        assert_eq!(tick(&db), "b 10 3 -", "{options}");
    }
}

/// A batch that takes no more members keeps no other schedule from firing.
#[test]
fn a_batch_that_is_sealed_is_the_affair_of_its_schedule() {
    let db = Db::new();
    let batch = db.int("SELECT honker_batch_create('{}')");
    register_as(&db, "a", json!({"batch_id": batch}));
    register_as(&db, "b", json!({}));
    db.clock().advance(10);
    assert_eq!(tick(&db), "a 10 1 -\nb 10 2 -");
    db.run(&format!("SELECT honker_batch_seal({batch})"));
    db.clock().advance(10);
    assert_eq!(tick(&db), "b 20 3 -");
    let now = db.clock().now();
    db.error(&format!("SELECT honker_scheduler_tick({now})")).says(&["schedule 'a'", "sealed"]);
}

#[test]
fn a_tick_that_fails_has_remembered_nothing() {
    let db = Db::new();
    register(&db, skip());
    db.run(
        "CREATE TRIGGER no BEFORE UPDATE ON _honker_scheduler_tasks BEGIN SELECT RAISE(ABORT, 'mine'); END",
    );
    db.clock().advance(10);
    let before = db.dump();
    let now = db.clock().now();
    db.error(&format!("SELECT honker_scheduler_tick({now})")).says(&["mine"]);
    db.assert_still(&before);
}

#[test]
fn a_file_of_an_older_version_has_no_options() {
    let db = Db::new();
    db.run("DROP TABLE _honker_schedule_options; UPDATE _honker_schema SET version = 2");
    db.error(r#"SELECT honker_scheduler_register_with('s', 'q', '@every 10s', 'p', '{"overlap":"skip"}')"#)
        .says(&["honker_bootstrap()"]);
    register(&db, json!({"priority": 5, "max_attempts": 3}));
    assert_eq!(db.json("SELECT honker_scheduler_list()")[0]["overlap"], "allow");
    db.run("SELECT honker_scheduler_update('s', NULL, NULL, NULL, NULL, 0, 3, 1)");
    db.clock().advance(10);
    assert_eq!(tick(&db), "s 10 1 -");
    assert_eq!(db.int("SELECT honker_scheduler_unregister('s')"), 1);
}
