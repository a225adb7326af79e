//! `honker_enqueue_with`, and metadata: it comes back with the job and goes with it.

use honker_sql_tests::*;

const OPTIONS: &str = "SELECT count(*) FROM _honker_job_options";

fn enqueue_with(db: &Db, metadata: &str) -> i64 {
    let enqueued: String =
        db.get("SELECT honker_enqueue_with('q', 'x', ?1)", [format!("{{\"metadata\":{metadata}}}")]);
    let enqueued: Json = serde_json::from_str(&enqueued).unwrap();
    assert_eq!(enqueued["status"], "enqueued");
    enqueued["id"].as_i64().unwrap()
}

#[test]
fn it_does_what_enqueue_does() {
    let db = Db::new();
    let all = r#"{"run_at":5,"delay_s":7,"priority":-2,"max_attempts":9,"expires_s":60}"#;
    assert_eq!(
        db.text(&format!("SELECT honker_enqueue_with('q', 'x', '{all}')")),
        r#"{"id":1,"status":"enqueued"}"#
    );
    db.run("SELECT honker_enqueue('q', 'x', 5, 7, -2, 9, 60)");
    db.run("SELECT honker_enqueue_with('q', 'x', '{}'), honker_enqueue('q', 'x')");
    let nulls = r#"{"run_at":null,"delay_s":null,"expires_s":null,"metadata":null}"#;
    db.run(&format!("SELECT honker_enqueue_with('q', 'x', '{nulls}')"));
    let distinct = "SELECT count(*) FROM (SELECT DISTINCT queue, payload, state, priority, run_at, worker_id,
        claim_expires_at, attempts, max_attempts, created_at, expires_at FROM _honker_live)";
    assert_eq!((db.int("SELECT count(*) FROM _honker_live"), db.int(distinct)), (5, 2));
    assert_eq!(db.int(OPTIONS), 0);
}

#[test]
fn what_it_does_not_know_is_an_error_that_names_it() {
    let db = Db::new();
    let before = db.dump();
    let long = format!(r#"{{"metadata":{{"k":"{}"}}}}"#, "x".repeat(8 * 1024));
    for (options, says) in [
        (r#"{"prioritty":1}"#, "'prioritty'"),
        (r#"{"priority":"1"}"#, "options: priority must be an integer, not \"1\""),
        (r#"{"priority":null}"#, "options: priority"),
        (r#"{"max_attempts":1.0}"#, "options: max_attempts"),
        (r#"{"run_at":9223372036854775808}"#, "options: run_at"),
        (r#"{"delay_s":true}"#, "options: delay_s must be an integer or null"),
        (r#"{"metadata":"k"}"#, "options: metadata must be an object of texts"),
        (r#"{"concurrency_key":7}"#, "options: concurrency_key must be a text or null, not 7"),
        (r#"{"concurrency_key":""}"#, "concurrency_key must not be empty"),
        (r#"{"batch_id":"1"}"#, "options: batch_id must be an integer or null"),
        (
            r#"{"batch_id":1,"member":7}"#,
            "options: member must be {\"job_id\": integer, \"worker_id\": text}",
        ),
        (r#"{"batch_id":1,"member":{"job_id":1}}"#, "options: member"),
        (r#"{"batch_id":1,"member":{"job_id":"1","worker_id":"w"}}"#, "options: member"),
        (r#"{"member":{"job_id":1,"worker_id":"w"}}"#, "member is given without batch_id"),
        (r#"{"metadata":{"a":"b","k":1}}"#, "'k'"),
        (r#"{"metadata":{"k":null}}"#, "'k'"),
        ("[]", "options must be a JSON object"),
        ("", "options must be a JSON object"),
        (r#"{"priority":1"#, "options must be a JSON object"),
        (&long, "metadata has 8200 bytes, more than 8192"),
    ] {
        let failure =
            db.try_get::<String>("SELECT honker_enqueue_with('q', 'x', ?1)", [options]).unwrap_err();
        failure.says(&[says]);
        db.assert_still(&before);
    }
    let fits = format!(r#"{{"metadata":{{"k":"{}"}}}}"#, "x".repeat(8 * 1024 - 8));
    db.get::<String>("SELECT honker_enqueue_with('q', 'x', ?1)", [fits]);
    assert_eq!(db.int("SELECT length(metadata) FROM _honker_job_options"), 8 * 1024);
}

#[test]
fn metadata_comes_back_with_the_job() {
    let db = Db::new();
    let metadata = json!({"traceparent": "00-ab-cd-01", "é": "\u{1F600}"});
    let plain = db.enqueue("q");
    let ids = [(); 3].map(|()| enqueue_with(&db, &metadata.to_string()));
    let on = db.another();
    for n in [1, 2, 5] {
        for job in on.json(&format!("SELECT honker_claim_batch('q', 'w', {n}, 60)")).as_array().unwrap() {
            let expected = if job["id"] == plain { &Json::Null } else { &metadata };
            assert_eq!(&job["metadata"], expected, "n {n}");
            assert_eq!(job.as_object().unwrap().contains_key("metadata"), job["id"] != plain);
        }
    }
    assert_eq!(db.json(&format!("SELECT honker_get_job({})", ids[0]))["metadata"], metadata);
    assert!(!db.text(&format!("SELECT honker_get_job({plain})")).contains("metadata"));

    // It lives while the job is live or dead.
    db.run(&format!("SELECT honker_fail({}, 'w', 'e'), honker_fail({plain}, 'w', 'e')", ids[0]));
    let dead = on.json("SELECT honker_dead_list('q', -1)");
    assert_eq!((&dead[0]["metadata"], &dead[1]["metadata"]), (&metadata, &Json::Null));
    db.run(&format!("SELECT honker_dead_requeue({})", ids[0]));
    assert_eq!(on.json("SELECT honker_claim_batch('q', 'w', 1, 60)")[0]["metadata"], metadata);
}

#[test]
fn metadata_goes_with_the_job() {
    for leave in [
        "SELECT honker_ack(1, 'w')",
        "SELECT honker_ack_batch('[1]', 'w')",
        "SELECT honker_cancel(1)",
        "SELECT honker_fail(1, 'w', 'e'), honker_dead_purge(NULL, -1)",
    ] {
        for through_another in [false, true] {
            let db = Db::new();
            let other = db.another();
            // It has been here before anybody had options, and has not looked since.
            other.run("SELECT honker_cancel(99)");
            enqueue_with(&db, r#"{"k":"v"}"#);
            enqueue_with(&db, r#"{"k":"w"}"#);
            assert_eq!(db.claim("q", 2, 60), [1, 2]);
            let on = if through_another { &other } else { &db };
            on.run(leave);
            assert_eq!(db.rows("SELECT job_id FROM _honker_job_options"), "2", "{leave}");
            on.run("BEGIN; SELECT honker_cancel(2); ROLLBACK");
            assert_eq!(db.rows("SELECT job_id FROM _honker_job_options"), "2", "{leave}");
            on.run("BEGIN; SELECT honker_cancel(2); COMMIT");
            assert_eq!(db.int(OPTIONS), 0);
        }
    }
}

#[test]
fn what_is_rolled_back_leaves_nothing() {
    let db = Db::new();
    let before = db.dump();
    db.run("BEGIN");
    enqueue_with(&db, r#"{"k":"v"}"#);
    db.run("ROLLBACK");
    db.assert_still(&before);
}

#[test]
fn it_needs_bootstrap_and_says_so() {
    let db = Db::new();
    db.run("DROP TABLE _honker_job_options");
    db.enqueue("q");
    assert_eq!(db.claim("q", 1, 60), [1]);
    assert_eq!(db.json("SELECT honker_get_job(1)")["id"], 1);
    let before = db.dump();
    db.error(r#"SELECT honker_enqueue_with('q', 'x', '{"metadata":{"k":"v"}}')"#)
        .says(&["_honker_job_options", "honker_bootstrap()"]);
    db.assert_still(&before);
    assert_eq!(db.int("SELECT honker_ack(1, 'w')"), 1);
}

#[test]
fn the_concurrency_key_is_kept_while_the_job_is_live_or_dead() {
    let db = Db::new();
    let keys = "SELECT group_concat(concurrency_key) FROM _honker_job_options";
    for key in ["a", "b"] {
        let options = json!({"concurrency_key": key, "max_attempts": 1}).to_string();
        db.get::<String>("SELECT honker_enqueue_with('q', 'x', ?1)", [options]);
    }
    assert_eq!(db.text(keys), "a,b");
    assert_eq!(db.claim("q", 2, 60), [1, 2]);
    db.run("SELECT honker_ack(1, 'w'), honker_fail(2, 'w', 'e')");
    assert_eq!(db.text(keys), "b");
    db.run("SELECT honker_dead_requeue(2)");
    assert_eq!(db.text(keys), "b");
    db.run("SELECT honker_cancel(2)");
    assert_eq!(db.int(OPTIONS), 0);
}
