//! What the functions take: strict types and clear refusals, and every text there is.
//!
//! A refused call names the argument, and changes nothing.

use honker_sql_tests::*;
use rusqlite::limits::Limit;

/// The kind of an argument, each with a value that is allowed.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text(&'static str),
    TextOrNull,
    Integer,
    IntegerOrNull,
}
use Kind::{Integer, IntegerOrNull, Text, TextOrNull};

impl Kind {
    fn valid(self) -> &'static str {
        match self {
            Text(value) => value,
            TextOrNull | IntegerOrNull => "NULL",
            Integer => "1",
        }
    }

    /// Values of the wrong type, with SQLite's names of them.
    fn invalid(self) -> Vec<(&'static str, &'static str)> {
        let mut values = vec![("1.5", "Real"), ("60.0", "Real"), ("x'31'", "Blob"), ("zeroblob(0)", "Blob")];
        match self {
            Text(_) | TextOrNull => values.extend([("1", "Integer"), ("-1", "Integer")]),
            Integer | IntegerOrNull => values.extend([("'1'", "Text"), ("''", "Text")]),
        }
        if matches!(self, Text(_) | Integer) {
            values.push(("NULL", "Null"));
        }
        values
    }
}

const A_TEXT: Kind = Text("'x'");

/// A function's name, the numbers of arguments it takes, and its arguments.
type Function = (&'static str, &'static [usize], &'static [(&'static str, Kind)]);

/// Every function.
#[rustfmt::skip]
const FUNCTIONS: &[Function] = &[
    ("honker_version", &[0], &[]),
    ("honker_bootstrap", &[0], &[]),
    ("honker_enqueue", &[2, 3, 4, 5, 6, 7], &[
        ("queue", A_TEXT), ("payload", A_TEXT), ("run_at", IntegerOrNull), ("delay", IntegerOrNull),
        ("priority", Integer), ("max_attempts", Integer), ("expires", IntegerOrNull),
    ]),
    ("honker_enqueue_with", &[3],
        &[("queue", A_TEXT), ("payload", A_TEXT), ("options_json", Text("'{}'"))]),
    ("honker_claim_batch", &[4],
        &[("queue", A_TEXT), ("worker_id", A_TEXT), ("n", Integer), ("timeout_s", Integer)]),
    ("honker_ack", &[2], &[("job_id", Integer), ("worker_id", A_TEXT)]),
    ("honker_ack_batch", &[2], &[("ids_json", Text("'[1]'")), ("worker_id", A_TEXT)]),
    ("honker_retry", &[4],
        &[("job_id", Integer), ("worker_id", A_TEXT), ("delay_s", Integer), ("error", A_TEXT)]),
    ("honker_release", &[3], &[("job_id", Integer), ("worker_id", A_TEXT), ("delay_s", Integer)]),
    ("honker_fail", &[3], &[("job_id", Integer), ("worker_id", A_TEXT), ("error", A_TEXT)]),
    ("honker_heartbeat", &[3], &[("job_id", Integer), ("worker_id", A_TEXT), ("extend_s", Integer)]),
    ("honker_cancel", &[1], &[("job_id", Integer)]),
    ("honker_get_job", &[1], &[("job_id", Integer)]),
    ("honker_sweep_expired", &[1], &[("queue", A_TEXT)]),
    ("honker_queue_next_claim_at", &[1], &[("queue", A_TEXT)]),
    ("honker_queue_configure", &[2], &[("queue", A_TEXT), ("settings_json", Text("'{}'"))]),
    ("honker_queue_settings", &[1], &[("queue", A_TEXT)]),
    ("honker_queues", &[0], &[]),
    ("honker_metrics", &[0], &[]),
    ("honker_status", &[0], &[]),
    ("honker_stats", &[1], &[("queue", TextOrNull)]),
    ("honker_dead_list", &[2], &[("queue", TextOrNull), ("limit", Integer)]),
    ("honker_dead_requeue", &[1], &[("job_id", Integer)]),
    ("honker_dead_purge", &[2], &[("queue", TextOrNull), ("older_than_s", Integer)]),
    ("honker_dead_groups", &[1], &[("queue", TextOrNull)]),
    ("honker_jobs_list", &[1], &[("filter_json", Text("'{}'"))]),
    ("honker_jobs_apply", &[2], &[("filter_json", Text("'{}'")), ("action", Text("'cancel'"))]),
    ("honker_batch_create", &[1], &[("options_json", Text("'{}'"))]),
    ("honker_batch_seal", &[1], &[("batch_id", Integer)]),
    ("honker_batch_get", &[1], &[("batch_id", Integer)]),
    ("honker_step_get", &[2], &[("job_id", Integer), ("name", A_TEXT)]),
    ("honker_step_save", &[4],
        &[("job_id", Integer), ("worker_id", A_TEXT), ("name", A_TEXT), ("value_json", A_TEXT)]),
    ("honker_result_save", &[3], &[("job_id", Integer), ("value", A_TEXT), ("ttl_s", Integer)]),
    ("honker_result_get", &[1], &[("job_id", Integer)]),
    ("honker_result_sweep", &[0], &[]),
    ("honker_lock_acquire", &[3], &[("name", A_TEXT), ("owner", A_TEXT), ("ttl_s", Integer)]),
    ("honker_lock_renew", &[3], &[("name", A_TEXT), ("owner", A_TEXT), ("ttl_s", Integer)]),
    ("honker_lock_release", &[2], &[("name", A_TEXT), ("owner", A_TEXT)]),
    ("honker_rate_limit_try", &[3], &[("name", A_TEXT), ("limit", Integer), ("per", Integer)]),
    ("honker_rate_limit_sweep", &[1], &[("older_than_s", Integer)]),
    ("notify", &[2], &[("channel", A_TEXT), ("payload", A_TEXT)]),
    ("honker_prune_notifications", &[2], &[("older_than_s", IntegerOrNull), ("max_keep", IntegerOrNull)]),
    ("honker_stream_publish", &[3], &[("topic", A_TEXT), ("key", TextOrNull), ("payload", A_TEXT)]),
    ("honker_stream_read_since", &[3], &[("topic", A_TEXT), ("offset", Integer), ("limit", Integer)]),
    ("honker_stream_configure", &[2], &[("topic", A_TEXT), ("options_json", Text("'{}'"))]),
    ("honker_stream_trim", &[2], &[("topic", A_TEXT), ("options_json", Text("'{}'"))]),
    ("honker_notifications_configure", &[1], &[("options_json", Text("'{}'"))]),
    ("honker_stream_save_offset", &[3], &[("consumer", A_TEXT), ("topic", A_TEXT), ("offset", Integer)]),
    ("honker_stream_get_offset", &[2], &[("consumer", A_TEXT), ("topic", A_TEXT)]),
    ("honker_scheduler_register", &[6, 7], &[
        ("name", A_TEXT), ("queue", A_TEXT), ("cron_expr", Text("'@every 1h'")), ("payload", A_TEXT),
        ("priority", Integer), ("expires_s", IntegerOrNull), ("max_attempts", Integer),
    ]),
    ("honker_scheduler_register_with", &[5], &[
        ("name", A_TEXT), ("queue", A_TEXT), ("expression", Text("'@every 1h'")), ("payload", A_TEXT),
        ("options_json", Text("'{}'")),
    ]),
    ("honker_scheduler_unregister", &[1], &[("name", A_TEXT)]),
    ("honker_scheduler_update", &[6, 8], &[
        ("name", A_TEXT), ("cron_expr", TextOrNull), ("payload", TextOrNull), ("priority", IntegerOrNull),
        ("expires_s", IntegerOrNull), ("touch_expires", Integer), ("max_attempts", IntegerOrNull),
        ("touch_max_attempts", Integer),
    ]),
    ("honker_scheduler_pause", &[1], &[("name", A_TEXT)]),
    ("honker_scheduler_resume", &[1], &[("name", A_TEXT)]),
    ("honker_scheduler_list", &[0], &[]),
    ("honker_scheduler_tick", &[1], &[("now_unix", Integer)]),
    ("honker_scheduler_soonest", &[0], &[]),
    ("honker_cron_next_after", &[2], &[("expr", Text("'@every 1h'")), ("from_unix", Integer)]),
    ("honker_update_watcher_open", &[2, 3],
        &[("db_path", A_TEXT), ("backend", TextOrNull), ("poll_interval_ms", IntegerOrNull)]),
    ("honker_update_watcher_wait", &[2], &[("handle", Integer), ("timeout_ms", Integer)]),
    ("honker_update_watcher_close", &[1], &[("handle", Integer)]),
];

/// Something in every table, so that a call that went through would show.
fn furnished() -> Db {
    let db = Db::new();
    db.run(
        "SELECT honker_enqueue('x', 'p'), honker_enqueue('x', 'p'), honker_enqueue('x', 'p', NULL, NULL, 0, 3, -1),
                honker_claim_batch('x', 'x', 2, 60), honker_fail(2, 'x', 'e'), honker_lock_acquire('x', 'x', 0),
                honker_rate_limit_try('x', 9, 1), notify('x', 'x'), honker_result_save(1, 'x', 1),
                honker_stream_publish('x', 'x', 'x'), honker_stream_save_offset('x', 'x', 0),
                honker_scheduler_register('x', 'x', '@every 1h', 'x', 0, NULL)",
    );
    db.clock().advance(10);
    db
}

/// Runs calls that have to fail, and checks that none of them changed anything.
#[track_caller]
fn assert_all_fail(calls: &[(String, Vec<&str>)]) {
    let db = furnished();
    let before = db.dump();
    for (call, parts) in calls {
        let failure = db.error(&format!("SELECT {call}"));
        for part in parts {
            assert!(failure.text.contains(part), "{call}: '{}' does not say '{part}'", failure.text);
        }
        assert_eq!(failure.code, 1, "{call}");
        assert!(db.is_autocommit(), "{call}");
    }
    db.assert_still(&before);
}

#[test]
fn the_list_above_is_complete() {
    let db = Db::new();
    let registered =
        db.rows("SELECT name, narg FROM pragma_function_list WHERE name GLOB 'honker_*' OR name = 'notify'");
    let mut registered: Vec<&str> = registered.lines().collect();
    registered.sort();
    let mut listed: Vec<String> = FUNCTIONS
        .iter()
        .flat_map(|(name, arities, _)| arities.iter().map(move |arity| format!("{name}|{arity}")))
        .collect();
    listed.sort();
    assert_eq!(registered, listed);
}

#[test]
fn an_argument_of_the_wrong_type_is_named() {
    let mut calls = Vec::new();
    for (function, arities, arguments) in FUNCTIONS {
        for &arity in *arities {
            for (index, (name, kind)) in arguments.iter().enumerate().take(arity) {
                for (value, type_name) in kind.invalid() {
                    let mut values: Vec<&str> =
                        arguments[..arity].iter().map(|(_, kind)| kind.valid()).collect();
                    values[index] = value;
                    let says = format!("Invalid function parameter type {type_name} at index {index}");
                    calls
                        .push((format!("{function}({})", values.join(", ")), vec![says, (*name).to_owned()]));
                }
            }
        }
    }
    assert!(calls.len() > 400);
    let calls: Vec<_> =
        calls.iter().map(|(call, says)| (call.clone(), says.iter().map(String::as_str).collect())).collect();
    assert_all_fail(&calls);
}

#[test]
fn the_first_wrong_argument_is_the_one_that_is_named() {
    assert_all_fail(&[
        ("honker_ack(1.5, 1.5)".into(), vec!["at index 0", "job_id"]),
        ("honker_enqueue(NULL, NULL)".into(), vec!["Null at index 0", "queue"]),
        ("notify('x', x'00')".into(), vec!["Blob at index 1", "payload"]),
    ]);
}

#[test]
fn a_wrong_number_of_arguments_is_sqlites_own_error() {
    let db = furnished();
    let before = db.dump();
    for (function, arities, _) in FUNCTIONS {
        for count in (0..=9).filter(|count| !arities.contains(count)) {
            let failure = db.error(&format!("SELECT {function}({})", vec!["1"; count].join(", ")));
            failure.says(&["wrong number of arguments", function]);
        }
    }
    db.assert_still(&before);
}

#[test]
fn invalid_utf_8_is_refused_with_the_arguments_name() {
    let mut calls = Vec::new();
    for (function, arities, arguments) in FUNCTIONS {
        let arity = *arities.last().unwrap();
        for (index, (name, kind)) in arguments.iter().enumerate() {
            if matches!(kind, Text(_) | TextOrNull) {
                for bytes in ["ff", "61ff62", "c0af", "eda080", "e282"] {
                    let mut values: Vec<String> =
                        arguments[..arity].iter().map(|(_, kind)| kind.valid().to_owned()).collect();
                    values[index] = format!("CAST(x'{bytes}' AS TEXT)");
                    calls.push((format!("{function}({})", values.join(", ")), vec![*name, "UTF-8"]));
                }
            }
        }
    }
    assert_all_fail(&calls);
}

#[test]
fn a_time_that_would_overflow_is_refused_with_the_arguments_name() {
    let max = i64::MAX;
    let calls = [
        (format!("honker_enqueue('x', 'x', NULL, {max})"), "delay"),
        (format!("honker_enqueue('x', 'x', NULL, NULL, 0, 3, {max})"), "expires"),
        (format!("honker_claim_batch('x', 'x', 1, {max})"), "timeout_s"),
        (format!("honker_claim_batch('x', 'x', -1, {max})"), "timeout_s"),
        (format!("honker_retry(1, 'x', {max}, 'e')"), "delay_s"),
        (format!("honker_release(1, 'x', {max})"), "delay_s"),
        (format!("honker_heartbeat(1, 'x', {max})"), "extend_s"),
        (format!("honker_lock_acquire('x', 'x', {max})"), "ttl_s"),
        (format!("honker_lock_renew('x', 'x', {max})"), "ttl_s"),
        (format!("honker_result_save(1, 'y', {max})"), "ttl_s"),
        (format!("honker_cron_next_after('@every 1s', {max})"), "@every 1s"),
    ];
    assert_all_fail(&calls.map(|(call, name)| (call, vec![name])));

    // The last value that fits, and the first that does not.
    let last = max - NOW - 10;
    let db = furnished();
    assert_eq!(db.int(&format!("SELECT honker_result_save(5, 'y', {last})")), 1);
    assert_eq!(db.int("SELECT expires_at FROM _honker_results WHERE job_id = 5"), max);
    db.error(&format!("SELECT honker_result_save(6, 'y', {last} + 1)")).says(&["ttl_s"]);
    assert_eq!(db.int(&format!("SELECT honker_enqueue('y', 'y', NULL, {last}, 0, 3, {last})")), 4);
    assert_eq!(db.int("SELECT run_at = expires_at AND run_at > 0 FROM _honker_live WHERE id = 4"), 1);
}

#[test]
fn ids_json_takes_a_list_of_integers_and_nothing_else() {
    let deep = "[".repeat(100_000);
    let bad = [
        "",
        " ",
        "[",
        "]",
        "[1",
        "1]",
        "1",
        "{}",
        "null",
        "true",
        "\"[1]\"",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1.0]",
        "[1e0]",
        "[\"1\"]",
        "[null]",
        "[true]",
        "[[1]]",
        "[{}]",
        "[1, \"2\"]",
        "[9223372036854775808]",
        "[-9223372036854775809]",
        "[01]",
        "[+1]",
        "[0x1]",
        "[1] x",
        "[1]]",
        "[NaN]",
        "[1\u{0}]",
        "'[1]'",
        &deep,
    ];
    let calls = bad.map(|list| {
        let quoted = list.replace('\'', "''").replace('\u{0}', "' || char(0) || '");
        (format!("honker_ack_batch('{quoted}', 'x')"), vec!["ids_json"])
    });
    assert_all_fail(&calls);
    // Right up to the ends.
    let db = furnished();
    for list in ["[9223372036854775807, -9223372036854775808]", "\t\r\n [ ] ", "[]"] {
        assert_eq!(db.get::<i64>("SELECT honker_ack_batch(?1, 'x')", [list]), 0);
    }
}

/// Texts that are somebody's idea of a name or a payload.
fn texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        " ",
        "a b",
        "'",
        "''",
        "\"",
        "\\",
        "\\u0000",
        "%",
        "_",
        "?1",
        ";--",
        "null",
        "NULL",
        "\n",
        "\r\n",
        "\t",
        "\u{1}\u{1f}\u{7f}",
        "\u{2028}\u{2029}",
        "é",
        "e\u{301}",
        "ß",
        "日本語",
        "\u{1F600}\u{1F469}\u{200D}\u{1F680}",
        "\u{FEFF}",
        "\u{FFFD}",
        "\u{FFFF}\u{10FFFF}",
        "\u{202E}abc",
        "\u{0}",
        "a\u{0}b",
        "a\u{0}",
        "a\u{0}c",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.push("x".repeat(10_000));
    texts
}

#[test]
fn every_text_is_a_name_and_a_payload_and_differs_from_every_other() {
    let db = Db::new();
    let texts = texts();
    for text in &texts {
        let t = text.as_str();
        let id: i64 = db.get("SELECT honker_enqueue(?1, ?1)", [t]);
        let claimed: String = db.get("SELECT honker_claim_batch(?1, ?1, -1, 60)", [t]);
        let claimed: Json = serde_json::from_str(&claimed).unwrap();
        assert_eq!(claimed.as_array().unwrap().len(), 1, "{t:?} is another queue's name as well");
        for key in ["queue", "payload", "worker_id"] {
            assert_eq!(claimed[0][key], t);
        }
        let job: Json = serde_json::from_str(&db.get::<String>("SELECT honker_get_job(?1)", [id])).unwrap();
        assert_eq!((&job["queue"], &job["payload"], &job["worker_id"]), (&json!(t), &json!(t), &json!(t)));
        assert_eq!(db.get::<String>("SELECT payload FROM _honker_live WHERE id = ?1", [id]), t);
        for other in texts.iter().filter(|other| *other != text) {
            assert_eq!(db.get::<i64>("SELECT honker_heartbeat(?1, ?2, 60)", (id, other.as_str())), 0);
        }
        assert_eq!(db.get::<i64>("SELECT honker_fail(?1, ?2, ?2)", (id, t)), 1);
        let dead: Json =
            serde_json::from_str(&db.get::<String>("SELECT honker_dead_list(?1, -1)", [t])).unwrap();
        assert_eq!((&dead[0]["last_error"], dead.as_array().unwrap().len()), (&json!(t), 1));

        assert_eq!(db.get::<i64>("SELECT honker_lock_acquire(?1, ?1, 60)", [t]), 1);
        assert_eq!(db.get::<i64>("SELECT honker_lock_acquire(?1, ?1 || '!', 60)", [t]), 0);
        assert_eq!(db.get::<i64>("SELECT honker_rate_limit_try(?1, 1, 60)", [t]), 1);
        assert_eq!(db.get::<i64>("SELECT honker_result_save(?1, ?2, 0)", (id, t)), 1);
        assert_eq!(db.get::<String>("SELECT honker_result_get(?1)", [id]), t);
        db.get::<i64>("SELECT notify(?1, ?1)", [t]);
        db.get::<i64>("SELECT honker_stream_publish(?1, ?1, ?1)", [t]);
        let events: Json =
            serde_json::from_str(&db.get::<String>("SELECT honker_stream_read_since(?1, 0, -1)", [t]))
                .unwrap();
        assert_eq!(
            (&events[0]["topic"], &events[0]["key"], &events[0]["payload"]),
            (&json!(t), &json!(t), &json!(t))
        );
        assert_eq!(events.as_array().unwrap().len(), 1);
        assert_eq!(db.get::<i64>("SELECT honker_stream_save_offset(?1, ?1, ?2)", (t, id)), 1);
        assert_eq!(db.get::<i64>("SELECT honker_stream_get_offset(?1, ?1)", [t]), id);
        assert_eq!(
            db.get::<i64>("SELECT honker_scheduler_register(?1, ?1, '@every 1h', ?1, 0, NULL)", [t]),
            1
        );
    }
    let count = texts.len() as i64;
    for table in [
        "_honker_dead",
        "_honker_locks",
        "_honker_rate_limits",
        "_honker_stream_consumers",
        "_honker_scheduler_tasks",
    ] {
        assert_eq!(db.int(&format!("SELECT count(*) FROM {table}")), count, "{table}");
    }
    let names: Vec<Json> = db.json("SELECT honker_scheduler_list()").as_array().unwrap().clone();
    assert!(texts.iter().all(|text| names.iter().any(|schedule| schedule["name"] == **text)));
    let queues: Vec<Json> = db.json("SELECT honker_stats(NULL)").as_array().unwrap().clone();
    assert_eq!(queues.len() as i64, count);
}

#[test]
fn megabytes_come_back_as_they_were() {
    let db = Db::new();
    let big: String = "0123456789abcdé\u{1F600}\"\\\n".chars().cycle().take(4_000_000).collect();
    db.get::<i64>("SELECT honker_enqueue('q', ?1)", [&big]);
    let claimed: Json =
        serde_json::from_str(&db.get::<String>("SELECT honker_claim_batch('q', 'w', 1, 60)", [])).unwrap();
    assert!(claimed[0]["payload"] == big);
    db.get::<i64>("SELECT honker_fail(1, 'w', ?1)", [&big]);
    assert!(db.json("SELECT honker_dead_list(NULL, 1)")[0]["last_error"] == big);
    db.get::<i64>("SELECT honker_result_save(1, ?1, 0)", [&big]);
    assert!(db.text("SELECT honker_result_get(1)") == big);
    db.get::<i64>("SELECT honker_stream_publish('t', NULL, ?1)", [&big]);
    assert!(db.json("SELECT honker_stream_read_since('t', 0, 1)")[0]["payload"] == big);
}

#[test]
fn an_answer_too_long_for_the_connection_is_an_error_that_claims_nothing() {
    for n in [1, 2] {
        let db = Db::new();
        for _ in 0..2 {
            db.get::<i64>("SELECT honker_enqueue('q', ?1)", ["\"".repeat(6000 / n)]);
        }
        let before = db.dump();
        // The row fits, the JSON does not.
        db.set_limit(Limit::SQLITE_LIMIT_LENGTH, 10_000).unwrap();
        let failure = db.error(&format!("SELECT honker_claim_batch('q', 'w', {n}, 60)"));
        assert_eq!(failure.primary_code(), 18, "{failure:?}");
        db.set_limit(Limit::SQLITE_LIMIT_LENGTH, 1_000_000).unwrap();
        db.assert_still(&before);
    }
}

#[test]
fn a_payload_that_no_claim_could_answer_with_is_refused() {
    // The limit, which is a gigabyte otherwise, and payloads that take so many bytes in JSON and stand for one.
    const LIMIT: i32 = 100_000;
    for (text, length) in [("x", 1), ("\"", 2), ("\n", 2), ("\u{1}", 6), ("é", 1)] {
        let db = Db::new();
        db.set_limit(Limit::SQLITE_LIMIT_LENGTH, LIMIT).unwrap();
        let room = (LIMIT as usize - 1_100) / length / text.len().max(1);
        db.get::<i64>("SELECT honker_enqueue('q', ?1)", [text.repeat(room)]);
        assert_eq!(db.claim("q", 1, 60), [1], "{text:?}");
        let before = db.dump();
        let too_long = text.repeat((LIMIT as usize - 200) / length / text.len());
        for call in ["honker_enqueue('q', ?1)", "honker_enqueue_with('q', ?1, '{}')"] {
            let sql = format!("SELECT {call}");
            let refused = db.query_row(&sql, [&too_long], |_| Ok(()));
            assert!(refused.unwrap_err().to_string().contains("bytes in the JSON of a claim"), "{text:?}");
        }
        db.assert_still(&before);
    }
}

#[test]
fn bytes_that_raw_sql_has_stored_do_not_stop_a_reader() {
    // Nothing but raw SQL can store these. They come out as replacement characters.
    let db = Db::new();
    db.run("INSERT INTO _honker_live (queue, payload) VALUES ('q', CAST(x'61ff62' AS TEXT))");
    let claimed = db.json("SELECT honker_claim_batch('q', 'w', 2, 60)");
    assert_eq!(claimed[0]["payload"], "a\u{FFFD}b");
    assert_eq!(db.rows("SELECT hex(payload) FROM _honker_live"), "61FF62");
}

#[test]
fn values_with_an_affinity_or_from_an_expression_count_by_their_type() {
    let db = furnished();
    db.run("CREATE TABLE t (i INTEGER, r REAL, s TEXT, b); INSERT INTO t VALUES ('7', 7, 7, 7)");
    assert_eq!(db.text("SELECT honker_get_job(i) FROM t"), "");
    assert_eq!(db.text("SELECT honker_get_job(b) FROM t"), "");
    db.error("SELECT honker_get_job(r) FROM t").says(&["Real at index 0"]);
    db.error("SELECT honker_get_job(s) FROM t").says(&["Text at index 0"]);
    assert_eq!(db.text("SELECT honker_get_job(CAST(r AS INTEGER)) FROM t"), "");
    assert_eq!(db.int("SELECT honker_cancel(true)"), 1);
}
