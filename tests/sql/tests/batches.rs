//! Batches: what is counted, and that the last member enqueues the callbacks, exactly once.

use std::ffi::OsStr;
use std::time::Duration;

use honker_sql_tests::*;
use rusqlite::Connection;

const BOTH: &str =
    r#"{"on_finished":{"queue":"finished","payload":"f"},"on_success":{"queue":"success","payload":"s"}}"#;

fn create(db: &Db, options: &str) -> i64 {
    db.get("SELECT honker_batch_create(?1)", [options])
}

/// Enqueues a member that is due now; its id.
fn add(db: &Db, batch: i64) -> i64 {
    db.int(&format!("SELECT honker_enqueue_with('q', 'x', '{{\"batch_id\":{batch}}}') ->> 'id'"))
}

/// A batch with both callbacks and three members that `w` holds through the second [`NOW`] + 60: jobs 1 to 3 of batch 1.
fn running() -> Db {
    let db = Db::new();
    assert_eq!(create(&db, BOTH), 1);
    assert_eq!([(); 3].map(|()| add(&db, 1)), [1, 2, 3]);
    assert_eq!(db.claim("q", 3, 60), [1, 2, 3]);
    db
}

/// Total, pending, done, dead and cancelled; whether it is sealed, and when it finished.
fn counts(db: &Db, batch: i64) -> String {
    let json = db.json(&format!("SELECT honker_batch_get({batch})"));
    assert_eq!(json.as_object().unwrap().len(), 7);
    let number = |key: &str| json[key].as_i64().unwrap();
    let sealed = if json["sealed"].as_bool().unwrap() { " sealed" } else { "" };
    let finished = json["finished_at"].as_i64().map_or(String::new(), |at| format!(" at {}", at - NOW));
    format!(
        "{}: {} {} {} {}{sealed}{finished}",
        number("total"),
        number("pending"),
        number("done"),
        number("dead"),
        number("cancelled")
    )
}

/// The callbacks that were enqueued: queue and batch.
fn callbacks(db: &Db) -> String {
    db.rows(
        "SELECT queue, metadata ->> 'batch_id' FROM _honker_live JOIN _honker_job_options ON job_id = id
         WHERE queue IN ('finished', 'success') ORDER BY 1, 2",
    )
}

#[test]
fn the_last_member_enqueues_the_callbacks() {
    let db = running();
    assert_eq!(counts(&db, 1), "3: 3 0 0 0");
    assert_eq!((db.int("SELECT honker_batch_seal(1)"), db.int("SELECT honker_batch_seal(1)")), (1, 0));
    assert_eq!(counts(&db, 1), "3: 3 0 0 0 sealed");
    db.run("SELECT honker_ack(1, 'w')");
    db.clock().advance(5);
    db.run("SELECT honker_ack(1, 'w'), honker_ack(2, 'v'), honker_ack(2, 'w')");
    assert_eq!((counts(&db, 1).as_str(), callbacks(&db).as_str()), ("3: 1 2 0 0 sealed", ""));
    db.clock().advance(5);
    assert_eq!(db.int("SELECT honker_ack(3, 'w')"), 1);
    assert_eq!(counts(&db, 1), "3: 0 3 0 0 sealed at 10");
    assert_eq!(callbacks(&db), "finished|1\nsuccess|1");
    assert_eq!(
        db.rows("SELECT queue, payload, priority, run_at, max_attempts FROM _honker_live ORDER BY queue"),
        format!("finished|f|0|{0}|3\nsuccess|s|0|{0}|3", NOW + 10)
    );
    assert_eq!(db.text("SELECT honker_batch_get(2)"), "");
}

#[test]
fn a_callback_is_an_enqueue_with_options() {
    let db = Db::new();
    let options = r#"{"on_finished":{"queue":"finished","payload":"p","options":
        {"priority":7,"delay_s":9,"max_attempts":5,"expires_s":60,"metadata":{"k":"v","batch_id":"no"},"concurrency_key":"c"}}}"#;
    create(&db, "{}");
    let batch = create(&db, options);
    db.clock().advance(3);
    db.run(&format!("SELECT honker_batch_seal({batch})"));
    assert_eq!(
        db.rows(
            "SELECT queue, payload, priority, run_at, max_attempts, expires_at, metadata, concurrency_key
             FROM _honker_live JOIN _honker_job_options ON job_id = id"
        ),
        format!(r#"finished|p|7|{}|5|{}|{{"batch_id":"2","k":"v"}}|c"#, NOW + 12, NOW + 63)
    );
    db.clock().advance(9);
    let job = &db.json("SELECT honker_claim_batch('finished', 'w', 1, 60)")[0];
    assert_eq!(job["metadata"], json!({"batch_id": "2", "k": "v"}));
}

#[test]
fn sealing_an_empty_batch_finishes_it() {
    let db = Db::new();
    create(&db, BOTH);
    assert_eq!(counts(&db, 1), "0: 0 0 0 0");
    db.clock().advance(4);
    assert_eq!(db.int("SELECT honker_batch_seal(1)"), 1);
    assert_eq!(counts(&db, 1), "0: 0 0 0 0 sealed at 4");
    assert_eq!(callbacks(&db), "finished|1\nsuccess|1");
    assert_eq!(db.int("SELECT honker_batch_seal(1)"), 0);
    assert_eq!(callbacks(&db), "finished|1\nsuccess|1");
    // Nobody has to be told.
    create(&db, "{}");
    assert_eq!(db.int("SELECT honker_batch_seal(2)"), 1);
    assert_eq!(counts(&db, 2), "0: 0 0 0 0 sealed at 4");
    let before = db.dump();
    db.error("SELECT honker_batch_seal(3)").says(&["no batch 3"]);
    db.assert_still(&before);
}

#[test]
fn an_open_batch_does_not_finish() {
    let db = running();
    db.run("SELECT honker_ack_batch('[1,2,3]', 'w')");
    assert_eq!((counts(&db, 1).as_str(), callbacks(&db).as_str()), ("3: 0 3 0 0", ""));
    add(&db, 1);
    db.run("SELECT honker_cancel(4), honker_batch_seal(1)");
    assert_eq!((counts(&db, 1).as_str(), callbacks(&db).as_str()), ("4: 0 3 0 1 sealed at 0", "finished|1"));
}

#[test]
fn every_way_out_is_counted_and_fires() {
    let expire = "UPDATE _honker_live SET state = 'pending', worker_id = NULL, claim_expires_at = NULL,
                  expires_at = unixepoch() WHERE id = 3";
    let exhaust = "UPDATE _honker_live SET max_attempts = 1, claim_expires_at = unixepoch() - 1 WHERE id = 3";
    for (leave, after) in [
        ("SELECT honker_ack(3, 'w')".to_owned(), "3: 0 3 0 0 sealed at 0"),
        ("SELECT honker_ack_batch('[1, 3, 3]', 'w')".to_owned(), "3: 0 3 0 0 sealed at 0"),
        ("SELECT honker_cancel(3)".to_owned(), "3: 0 2 0 1 sealed at 0"),
        ("SELECT honker_fail(3, 'w', 'e')".to_owned(), "3: 0 2 1 0 sealed at 0"),
        (
            "UPDATE _honker_live SET max_attempts = 1; SELECT honker_retry(3, 'w', 0, 'e')".to_owned(),
            "3: 0 2 1 0 sealed at 0",
        ),
        (format!("{expire}; SELECT honker_sweep_expired('q')"), "3: 0 2 1 0 sealed at 0"),
        (format!("{exhaust}; SELECT honker_claim_batch('q', 'v', 1, 60)"), "3: 0 2 1 0 sealed at 0"),
    ] {
        for through_another in [false, true] {
            let db = Db::new();
            let other = db.another();
            // It has been here before anybody had made a batch, and has not looked since.
            other.run("SELECT honker_cancel(99)");
            create(&db, BOTH);
            assert_eq!([(); 3].map(|()| add(&db, 1)), [1, 2, 3]);
            assert_eq!(db.claim("q", 3, 60), [1, 2, 3]);
            db.run("SELECT honker_batch_seal(1), honker_ack(1, 'w'), honker_ack(2, 'w')");
            let on = if through_another { &other } else { &db };
            on.run(&format!("BEGIN; {leave}; ROLLBACK"));
            assert_eq!(
                (counts(&db, 1).as_str(), callbacks(&db).as_str()),
                ("3: 1 2 0 0 sealed", ""),
                "{leave}"
            );
            on.run(&leave);
            assert_eq!(counts(&db, 1), after, "{leave}");
            let success = if after.starts_with("3: 0 3") { "\nsuccess|1" } else { "" };
            assert_eq!(callbacks(&db), format!("finished|1{success}"), "{leave}");
        }
    }
    // A retry and a release are no way out.
    let db = running();
    db.run("SELECT honker_batch_seal(1), honker_retry(1, 'w', 0, 'e'), honker_release(2, 'w', 0)");
    assert_eq!(counts(&db, 1), "3: 3 0 0 0 sealed");
}

#[test]
fn a_sealed_batch_takes_jobs_from_running_members_only() {
    let db = running();
    create(&db, "{}");
    assert_eq!(add(&db, 2), 4);
    db.run("SELECT honker_batch_seal(1), honker_claim_batch('q', 'w', 1, 60)");
    let with = |member: &str| {
        format!("SELECT honker_enqueue_with('q', 'x', '{{\"batch_id\":1,\"member\":{member}}}') ->> 'id'")
    };
    let before = db.dump();
    for member in [
        "null",
        r#"{"job_id":1,"worker_id":"v"}"#,
        r#"{"job_id":9,"worker_id":"w"}"#,
        // Of the other batch.
        r#"{"job_id":4,"worker_id":"w"}"#,
    ] {
        db.error(&with(member)).says(&["batch 1 is sealed", "member"]);
        db.assert_still(&before);
    }
    let member = r#"{"job_id":1,"worker_id":"w"}"#;
    assert_eq!(db.int(&with(member)), 5);
    assert_eq!(counts(&db, 1), "4: 4 0 0 0 sealed");
    // The claim's last second, and the one after it.
    db.clock().advance(60);
    assert_eq!(db.int(&with(member)), 6);
    db.clock().advance(1);
    db.error(&with(member)).says(&["batch 1 is sealed"]);
    assert_eq!(counts(&db, 1), "5: 5 0 0 0 sealed");
    // A member that is done is none that runs; and there is no batch 3.
    assert_eq!(db.int("SELECT honker_batch_seal(2)"), 1);
    let before = db.dump();
    db.error("SELECT honker_enqueue_with('q', 'x', '{\"batch_id\":3}')").says(&["no batch 3"]);
    db.assert_still(&before);
}

#[test]
fn a_dead_member_that_is_retried_is_pending_again() {
    // Before the end.
    let db = running();
    db.run("SELECT honker_batch_seal(1), honker_fail(1, 'w', 'e'), honker_ack(2, 'w')");
    assert_eq!(counts(&db, 1), "3: 1 1 1 0 sealed");
    assert_eq!(db.int("SELECT honker_dead_requeue(1)"), 1);
    assert_eq!(counts(&db, 1), "3: 2 1 0 0 sealed");
    db.run("SELECT honker_ack(3, 'w'), honker_claim_batch('q', 'w', 1, 60), honker_ack(1, 'w')");
    assert_eq!(
        (counts(&db, 1).as_str(), callbacks(&db).as_str()),
        ("3: 0 3 0 0 sealed at 0", "finished|1\nsuccess|1")
    );

    // After it: the counts change, and nothing is enqueued again.
    let db = running();
    db.run("SELECT honker_batch_seal(1), honker_fail(1, 'w', 'e'), honker_ack(2, 'w'), honker_ack(3, 'w')");
    assert_eq!((counts(&db, 1).as_str(), callbacks(&db).as_str()), ("3: 0 2 1 0 sealed at 0", "finished|1"));
    db.clock().advance(7);
    db.run("SELECT honker_dead_requeue(1)");
    assert_eq!(counts(&db, 1), "3: 1 2 0 0 sealed at 0");
    db.run("SELECT honker_claim_batch('q', 'w', 1, 60), honker_fail(1, 'w', 'e'), honker_dead_requeue(1)");
    db.run("SELECT honker_claim_batch('q', 'w', 1, 60), honker_ack(1, 'w')");
    assert_eq!((counts(&db, 1).as_str(), callbacks(&db).as_str()), ("3: 0 3 0 0 sealed at 0", "finished|1"));
    // A purge takes nothing back.
    let db = running();
    db.run("SELECT honker_fail(1, 'w', 'e'), honker_dead_purge(NULL, -1)");
    assert_eq!(counts(&db, 1), "3: 2 0 1 0");
}

#[test]
fn what_is_rolled_back_is_not_counted() {
    let db = running();
    let before = db.dump();
    db.run("BEGIN");
    add(&db, 1);
    db.run("SELECT honker_batch_seal(1), honker_cancel(4), honker_ack(1, 'w'), honker_ack(2, 'w'), honker_ack(3, 'w')");
    assert_eq!((counts(&db, 1).as_str(), callbacks(&db).as_str()), ("4: 0 3 0 1 sealed at 0", "finished|1"));
    db.run("ROLLBACK");
    db.assert_still(&before);
}

#[test]
fn a_callback_that_is_refused_refuses_what_ended_the_last_member() {
    let db = running();
    db.run(
        "SELECT honker_batch_seal(1), honker_ack(1, 'w'), honker_ack(2, 'w');
         CREATE TRIGGER t BEFORE INSERT ON _honker_live WHEN new.queue = 'success' BEGIN SELECT RAISE(FAIL, 'refused'); END",
    );
    let before = db.dump();
    for _ in 0..2 {
        db.error("SELECT honker_ack(3, 'w')").says(&["refused"]);
        db.assert_still(&before);
    }
    // Without success there is nothing to refuse.
    assert_eq!(db.int("SELECT honker_cancel(3)"), 1);
    assert_eq!(callbacks(&db), "finished|1");
}

/// Somebody's SQL has made something of it that is no job: it is seen among the dead, and the members end all the same.
#[test]
fn a_callback_that_nobody_can_make_sense_of_is_dead() {
    for (stored, queue) in [
        ("'no JSON'", ""),
        ("''", ""),
        ("x'ff'", ""),
        ("17", ""),
        (r#"'{"queue":1}'"#, ""),
        (r#"'{"queue":"finished"}'"#, "finished"),
        (r#"'{"queue":"finished","payload":"p","options":{"prio":1}}'"#, "finished"),
        (r#"'{"queue":"finished","payload":"p","options":{"metadata":{"k":1}}}'"#, "finished"),
        (r#"'{"queue":"finished","payload":"p","options":{"max_run_s":0}}'"#, "finished"),
    ] {
        let ends: [&dyn Fn(&Db); 4] = [
            &|db| assert_eq!(db.int("SELECT honker_ack(3, 'w')"), 1),
            &|db| assert_eq!(db.int("SELECT honker_fail(3, 'w', 'e')"), 1),
            &|db| assert_eq!(db.int("SELECT honker_cancel(3)"), 1),
            &|db| {
                db.run("UPDATE _honker_live SET max_attempts = 1");
                db.clock().advance(61);
                assert_eq!(db.claim("q", 1, 60), NONE);
            },
        ];
        for end in ends {
            let db = running();
            db.run("SELECT honker_batch_seal(1), honker_ack(1, 'w'), honker_ack(2, 'w')");
            db.run(&format!("UPDATE _honker_batches SET on_finished = {stored}, on_success = NULL"));
            end(&db);
            assert_eq!(db.int("SELECT finished_at IS NOT NULL FROM _honker_batches"), 1, "{stored}");
            let dead = "SELECT queue, last_error FROM _honker_dead WHERE id > 3";
            assert_eq!(db.rows(dead), format!("{queue}|malformed row"), "{stored}");
            assert_eq!(db.int("SELECT count(*) FROM _honker_live"), 0, "{stored}");
        }
    }
}

#[test]
fn what_cannot_be_a_batch_is_refused_with_its_name() {
    let db = Db::new();
    let before = db.dump();
    let callback = |callback: &str| format!(r#"{{"on_success":{callback}}}"#);
    let metadata = |length: usize| {
        let text = "x".repeat(length);
        callback(&format!(r#"{{"queue":"q","payload":"p","options":{{"metadata":{{"k":"{text}"}}}}}}"#))
    };
    // Beside it: {"batch_id":"9223372036854775807","k":""}
    let fits = 8 * 1024 - 41;
    for (options, says) in [
        ("", "options must be a JSON object"),
        ("[]", "options must be a JSON object"),
        (r#"{"on_finish":{}}"#, "'on_finish'"),
        (r#"{"keep_s":-1}"#, "keep_s"),
        (r#"{"keep_s":1.0}"#, "keep_s"),
        (r#"{"keep_s":"1"}"#, "keep_s"),
        (r#"{"on_finished":"q"}"#, "on_finished must be a JSON object"),
        (&callback("{}"), "on_success has no 'queue'"),
        (&callback(r#"{"queue":"q"}"#), "on_success has no 'payload'"),
        (&callback(r#"{"queue":1,"payload":"p"}"#), "queue in on_success must be a text"),
        (&callback(r#"{"queue":"q","payload":{}}"#), "payload in on_success must be a text"),
        (&callback(r#"{"queue":"q","payload":"p","option":{}}"#), "on_success: unknown key 'option'"),
        (&callback(r#"{"queue":"q","payload":"p","options":[]}"#), "options in on_success must be an object"),
        (
            &callback(r#"{"queue":"q","payload":"p","options":{"prio":1}}"#),
            "options in on_success: unknown key 'prio'",
        ),
        (
            &callback(r#"{"queue":"q","payload":"p","options":{"priority":"1"}}"#),
            "options in on_success: priority must be an integer",
        ),
        (&callback(r#"{"queue":"q","payload":"p","options":{"metadata":{"k":1}}}"#), "'k'"),
        (
            &callback(r#"{"queue":"q","payload":"p","options":{"metadata":"k"}}"#),
            "options in on_success: metadata",
        ),
        (&callback(r#"{"queue":"q","payload":"p","options":{"batch_id":1}}"#), "must not have 'batch_id'"),
        (
            &callback(r#"{"queue":"q","payload":"p","options":{"member":{"job_id":1,"worker_id":"w"}}}"#),
            "must not have 'member'",
        ),
        (&callback(r#"{"queue":"q","payload":"p","options":{"delay_s":9223372036854775807}}"#), "delay"),
        (
            &callback(
                r#"{"queue":"q","payload":"p","options":{"unique_key":"k","unique_for_s":9223372036854775807}}"#,
            ),
            "unique_for_s",
        ),
        (&metadata(fits + 1), "metadata has 8193 bytes"),
    ] {
        let failure = db.try_get::<i64>("SELECT honker_batch_create(?1)", [options]).unwrap_err();
        failure.says(&[says]);
        db.assert_still(&before);
    }
    create(&db, &metadata(fits));
    create(&db, r#"{"on_finished":null,"on_success":null,"keep_s":null}"#);
    create(&db, r#"{"keep_s":0}"#);
    assert_eq!(db.rows("SELECT keep_s FROM _honker_batches"), "86400\n86400\n0");
}

#[test]
fn a_callback_whose_time_is_at_the_end_of_time_is_enqueued_then() {
    let db = Db::new();
    let last = i64::MAX - NOW;
    create(
        &db,
        &format!(
            r#"{{"on_finished":{{"queue":"finished","payload":"p","options":{{"delay_s":{last},"expires_s":{last},
               "unique_key":"k","unique_for_s":{last}}}}}}}"#
        ),
    );
    db.clock().advance(100);
    assert_eq!(db.int("SELECT honker_batch_seal(1)"), 1);
    assert_eq!(db.int("SELECT min(run_at, expires_at) FROM _honker_live"), i64::MAX);
}

#[test]
fn it_needs_bootstrap_and_says_so() {
    let db = running();
    db.run("DROP TABLE _honker_batches");
    let before = db.dump();
    for call in [
        "honker_batch_create('{}')",
        "honker_batch_seal(1)",
        "honker_batch_get(1)",
        "honker_enqueue_with('q', 'x', '{\"batch_id\":1}')",
    ] {
        db.error(&format!("SELECT {call}")).says(&["_honker_batches", "honker_bootstrap()"]);
        db.assert_still(&before);
    }
}

#[test]
fn older_programs_are_kept_out_from_the_first_batch_on() {
    let db = Db::new();
    let min_version = "SELECT min_version FROM _honker_schema";
    db.run("SELECT honker_batch_get(1)");
    db.error("SELECT honker_batch_seal(1)");
    assert_eq!(db.int(min_version), 1);
    create(&db, "{}");
    assert_eq!(db.int(min_version), 3);
}

/// Makes and works off batches of random sizes, one worker among others, until the process is killed.
fn batch_until_killed(path: &OsStr) {
    let connection = connect_in_child(path);
    let run = |sql: &str| run_to_end(&connection, sql);
    let options = BOTH.replace('\'', "''");
    let worker = std::process::id();
    let mut random = fastrand::Rng::with_seed(seed() + u64::from(worker));
    loop {
        let batch: i64 = connection
            .query_one(&format!("SELECT honker_batch_create('{options}')"), [], |row| row.get(0))
            .unwrap();
        // Some have no member at all, some many.
        let largest = [1, 6, 6, 30][random.usize(0..4)];
        for _ in 0..random.i64(0..largest) {
            run(&format!("SELECT honker_enqueue_with('q', 'x', '{{\"batch_id\":{batch}}}')"));
        }
        run(&format!("SELECT honker_batch_seal({batch})"));
        settle(&connection, &format!("{worker}"), largest);
    }
}

/// Claims so many members and settles them, each in its own way.
fn settle(connection: &Connection, worker: &str, n: i64) -> usize {
    // By itself: a statement that has begun to read does not wait for the lock.
    let claimed: String = connection
        .query_one("SELECT honker_claim_batch('q', ?1, ?2, 1)", (worker, n), |row| row.get(0))
        .unwrap();
    let ids = ids(&serde_json::from_str(&claimed).unwrap());
    for id in &ids {
        let sql = match id % 7 {
            0 => "SELECT honker_cancel(?1) + ?2 IS NULL",
            1 => "SELECT honker_fail(?1, ?2, 'e')",
            2 => "SELECT honker_retry(?1, ?2, 0, 'e')",
            _ => "SELECT honker_ack(?1, ?2)",
        };
        connection.query_one(sql, (id, worker), |_| Ok(())).unwrap();
    }
    ids.len()
}

#[test]
fn four_processes_and_kills_enqueue_each_callback_exactly_once() {
    const NAME: &str = "four_processes_and_kills_enqueue_each_callback_exactly_once";
    let db = Db::new();
    let path = db.file().path();
    let finished = "SELECT count(*) FROM _honker_batches WHERE finished_at IS NOT NULL";
    let check = || {
        // Of each kind as many as there are to be, and none twice.
        let wanted = "SELECT 'finished', id FROM _honker_batches WHERE finished_at IS NOT NULL
                      UNION ALL SELECT 'success', id FROM _honker_batches
                      WHERE finished_at IS NOT NULL AND done = total";
        let there =
            "SELECT queue, CAST(metadata ->> 'batch_id' AS INTEGER) FROM _honker_live JOIN _honker_job_options ON job_id = id
                     WHERE queue IN ('finished', 'success')";
        let sorted = |sql: &str| db.rows(&format!("SELECT * FROM ({sql}) ORDER BY 1, 2"));
        db.run("BEGIN");
        assert_eq!(sorted(wanted), sorted(there));
        // The counts are those of the jobs.
        assert_eq!(
            db.rows(
                "SELECT id FROM _honker_batches WHERE total <> pending + done + dead + cancelled
                 OR pending <> (SELECT count(*) FROM _honker_live JOIN _honker_job_options ON job_id = id
                                WHERE batch_id = _honker_batches.id)
                 OR dead <> (SELECT count(*) FROM _honker_dead JOIN _honker_job_options ON job_id = id
                             WHERE batch_id = _honker_batches.id)
                 OR (finished_at IS NOT NULL) <> (sealed_at IS NOT NULL AND pending = 0)"
            ),
            ""
        );
        db.run("COMMIT");
    };
    // With fifty times four kills.
    let wanted: i64 = if is_long() { 10_000 } else { 20 };
    let each_round = (wanted / 50).max(5);
    let mut round = 0;
    while round < 4 || db.int(finished) < wanted {
        round += 1;
        let before = db.int(finished);
        std::thread::scope(|scope| {
            for process in 0..4 {
                let (path, db) = (&path, db.another());
                scope.spawn(move || {
                    in_child_process(NAME, path.as_os_str(), batch_until_killed, |child| {
                        while db.int(finished) < before + each_round {
                            assert_eq!(child.try_wait().unwrap(), None, "the child has to be running");
                            std::thread::sleep(Duration::from_millis(2));
                        }
                        std::thread::sleep(Duration::from_millis(13 * process + 5 * round));
                        child.kill().unwrap();
                        child.wait().unwrap();
                    });
                });
            }
        });
        assert_eq!(db.text("PRAGMA integrity_check"), "ok");
        check();
    }
    // What the dead have left behind is worked off by others, and then no sealed batch is unfinished.
    db.clock().set(db.int("SELECT max(run_at) FROM _honker_live") + 10);
    while db.int("SELECT count(*) FROM _honker_live WHERE queue = 'q'") > 0 {
        settle(&db, "last", 100);
        db.clock().advance(10);
    }
    check();
    assert_eq!(
        db.int("SELECT count(*) FROM _honker_batches WHERE sealed_at IS NOT NULL AND finished_at IS NULL"),
        0
    );
    assert!(db.int(finished) >= wanted);
    println!(
        "{} batches with {} members, {} kills",
        db.int(finished),
        db.int("SELECT sum(total) FROM _honker_batches"),
        4 * round
    );
}
