//! Options of jobs, unique keys, settings and limits of queues, batches, steps, lists and bulk actions.

mod common;

use common::Database;

/// The ids that a claim answers, in order.
fn claimed(queue: &str, n: i64) -> String {
    format!(
        "SELECT coalesce(string_agg(id::text, ','), '') FROM json_to_recordset(honker_claim_batch('{queue}', 'w', {n}, 60)::json) AS j (id bigint)"
    )
}

#[test]
fn options_are_checked_and_come_back() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        (r#"SELECT honker_enqueue_with('q', 'p', '{"delay_s": 5, "priority": 2, "max_attempts": 9, "expires_s": 60, "metadata": {"b": "2", "a": "1"}, "max_run_s": 30, "concurrency_key": "k"}')"#,
         r#"{"id":1,"status":"enqueued"}"#),
        ("SELECT honker_get_job(1)",
         r#"{"id":1,"queue":"q","payload":"p","state":"pending","priority":2,"run_at":1005,"worker_id":null,"claim_expires_at":null,"attempts":0,"max_attempts":9,"created_at":1000,"expires_at":1060,"metadata":{"a":"1","b":"2"},"concurrency_key":"k","max_run_s":30}"#),
        ("SELECT honker_enqueue_with('q', 'p', '{}')", r#"{"id":2,"status":"enqueued"}"#),
        (r#"SELECT honker_enqueue_with('q', 'p', '{"run_at": 7, "delay_s": null}')"#, r#"{"id":3,"status":"enqueued"}"#),
        ("SELECT run_at FROM _honker_live WHERE id = 3", "7"),
        ("SELECT honker_enqueue_with('q', 'p', '{')", "HK001 options must be a JSON object: …"),
        ("SELECT honker_enqueue_with('q', 'p', '[]')", "HK001 options must be a JSON object: …"),
        (r#"SELECT honker_enqueue_with('q', 'p', '{"priorty": 1}')"#, "HK001 options: unknown key 'priorty'"),
        (r#"SELECT honker_enqueue_with('q', 'p', '{"priority": "1"}')"#, r#"HK001 options: priority must be an integer, not "1""#),
        (r#"SELECT honker_enqueue_with('q', 'p', '{"priority": 1.0}')"#, "HK001 options: priority must be an integer, not 1.0"),
        (r#"SELECT honker_enqueue_with('q', 'p', '{"delay_s": 9223372036854775808}')"#,
         "HK001 options: delay_s must be an integer or null, not 9223372036854775808"),
        (r#"SELECT honker_enqueue_with('q', 'p', '{"metadata": {"a": 1}}')"#, "HK001 metadata must be a JSON object of texts: 'a' is none"),
        (r#"SELECT honker_enqueue_with('q', 'p', ('{"metadata": {"a": "' || repeat('x', 8184) || '"}}'))"#, r#"{"id":4…"#),
        (r#"SELECT honker_enqueue_with('q', 'p', ('{"metadata": {"a": "' || repeat('x', 8185) || '"}}'))"#, "HK001 metadata has 8193 bytes, more than 8192"),
        (r#"SELECT honker_enqueue_with('q', 'p', '{"max_run_s": 0}')"#, "HK001 max_run_s must be at least 1, not 0"),
        (r#"SELECT honker_enqueue_with('q', 'p', '{"concurrency_key": ""}')"#, "HK001 concurrency_key must not be empty"),
        (r#"SELECT honker_enqueue_with('q', 'p', '{"unique_key": ""}')"#, "HK001 unique_key must not be empty"),
        (r#"SELECT honker_enqueue_with('q', 'p', '{"unique_for_s": 5}')"#, "HK001 options: unique_for_s is given without unique_key"),
        (r#"SELECT honker_enqueue_with('q', 'p', '{"unique_key": "k", "unique_for_s": 0}')"#, "HK001 unique_for_s must be at least 1, not 0"),
        (r#"SELECT honker_enqueue_with('q', 'p', '{"unique_key": "k", "unique_until": "done"}')"#,
         r#"HK001 options: unique_until must be "settled", "claimed" or null, not "done""#),
        (r#"SELECT honker_enqueue_with('q', 'p', '{"batch_id": 5}')"#, "HK001 there is no batch 5"),
        (r#"SELECT honker_enqueue_with('q', 'p', '{"member": {"job_id": 1, "worker_id": "w"}}')"#, "HK001 member is given without batch_id"),
        // Nothing of it has happened.
        ("SELECT count(*), (SELECT count(*) FROM _honker_unique) FROM _honker_live", "4|0"),
    ]);
}

#[test]
fn a_unique_key_is_taken_until_the_job_is_settled() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    let enqueue = r#"SELECT honker_enqueue_with('q', 'p', '{"unique_key": "k"}')"#;
    sql.at(1000).check(&[
        (enqueue, r#"{"id":1,"status":"enqueued"}"#),
        (enqueue, r#"{"id":1,"status":"exists"}"#),
        (r#"SELECT honker_enqueue_with('other', 'p', '{"unique_key": "k"}') LIKE '%enqueued%'"#, "t"),
        (&claimed("q", 1), "1"),
        (enqueue, r#"{"id":1,"status":"exists"}"#),
        ("SELECT honker_retry(1, 'w', 5, 'x')", "1"),
        (enqueue, r#"{"id":1,"status":"exists"}"#),
    ]);
    sql.at(1005).check(&[
        (&claimed("q", 1), "1"),
        ("SELECT honker_ack(1, 'w')", "1"),
        ("SELECT count(*) FROM _honker_unique WHERE queue = 'q'", "0"),
        (r#"SELECT honker_enqueue_with('q', 'p', '{"unique_key": "k", "max_attempts": 1}') LIKE '%"enqueued"%'"#, "t"),
    ]);
    let id = sql.number("SELECT id FROM _honker_live WHERE queue = 'q'");
    // A holder that no claim may take any more does not keep its key.
    sql.check(&[(&claimed("q", 1), &id.to_string())]);
    sql.at(1065).check(&[(enqueue, &format!(r#"{{"id":{id},"status":"exists"}}"#))]);
    sql.at(1066).check(&[
        (&format!("{enqueue} LIKE '%\"enqueued\"%'"), "t"),
        (&format!("SELECT last_error FROM _honker_dead WHERE id = {id}"), "max attempts exceeded"),
        // The dead one cannot come back beside it.
        (&format!("SELECT honker_dead_requeue({id}), _dead_requeue({id})"), "0|key_taken"),
        ("SELECT honker_cancel(id) FROM _honker_live WHERE queue = 'q'", "1"),
        (&format!("SELECT honker_dead_requeue({id})"), "1"),
        (enqueue, &format!(r#"{{"id":{id},"status":"exists"}}"#)),
    ]);
    // Expired is no holder either.
    sql.check(&[
        (&format!("SELECT honker_cancel({id})"), "1"),
        (r#"SELECT honker_enqueue_with('q', 'p', '{"unique_key": "k", "expires_s": 10}') LIKE '%"enqueued"%'"#, "t"),
    ]);
    sql.at(1075).check(&[(&format!("{enqueue} LIKE '%\"exists\"%'"), "t")]);
    sql.at(1076).check(&[(&format!("{enqueue} LIKE '%\"enqueued\"%'"), "t")]);
}

#[test]
fn a_key_until_claimed_lets_one_more_in_and_only_one() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    let enqueue = r#"SELECT honker_enqueue_with('q', 'p', '{"unique_key": "k", "unique_until": "claimed"}')"#;
    sql.at(1000).check(&[
        (enqueue, r#"{"id":1,"status":"enqueued"}"#),
        (enqueue, r#"{"id":1,"status":"exists"}"#),
        (&claimed("q", 1), "1"),
        (&format!("{enqueue} LIKE '%enqueued%'"), "t"),
        (&format!("{enqueue} LIKE '%exists%'"), "t"),
        // The first one waits again, beside the other, which has the key.
        ("SELECT honker_retry(1, 'w', 0, 'x')", "1"),
        (&format!("{enqueue} LIKE '%exists%'"), "t"),
        ("SELECT count(*) FROM _honker_live", "2"),
    ]);
    // It takes it back when it is free.
    sql.check(&[
        ("DELETE FROM _honker_live WHERE id <> 1", ""),
        (&claimed("q", 1), "1"),
        ("SELECT honker_release(1, 'w', 0)", "1"),
        (enqueue, r#"{"id":1,"status":"exists"}"#),
    ]);
}

#[test]
fn a_key_is_taken_by_time() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    let enqueue = r#"SELECT honker_enqueue_with('q', 'p', '{"unique_key": "k", "unique_for_s": 10}')"#;
    sql.at(1000).check(&[
        (enqueue, r#"{"id":1,"status":"enqueued"}"#),
        (&claimed("q", 1), "1"),
        ("SELECT honker_ack(1, 'w')", "1"),
    ]);
    sql.at(1009).check(&[(enqueue, r#"{"id":1,"status":"exists"}"#)]);
    sql.at(1010).check(&[(&format!("{enqueue} LIKE '%enqueued%'"), "t")]);
}

#[test]
fn replacing_makes_the_job_that_waits_the_new_one() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        (r#"SELECT honker_enqueue_with('q', 'old', '{"unique_key": "k", "metadata": {"a": "1"}, "unique_for_s": 5}')"#, r#"{"id":1,"status":"enqueued"}"#),
        (&claimed("q", 1), "1"),
        ("SELECT honker_step_save(1, 'w', 's', '1'), honker_retry(1, 'w', 0, 'x')", "1|1"),
        (r#"SELECT honker_enqueue_with('q', 'new', '{"unique_key": "k", "on_conflict": "replace", "delay_s": 9, "priority": 4, "max_attempts": 7, "max_run_s": 3, "unique_for_s": 2}')"#,
         r#"{"id":1,"status":"replaced"}"#),
        ("SELECT payload, priority, run_at, attempts, max_attempts, expires_at FROM _honker_live", "new|4|1009|0|7|∅"),
        ("SELECT metadata, max_run_s, unique_key FROM _honker_job_options", "∅|3|k"),
        ("SELECT until FROM _honker_unique", "1004"),
        ("SELECT honker_step_get(1, 's')", "∅"),
    ]);
    sql.at(1009).check(&[
        (&claimed("q", 1), "1"),
        (
            r#"SELECT honker_enqueue_with('q', 'newer', '{"unique_key": "k", "on_conflict": "replace"}')"#,
            r#"{"id":1,"status":"exists"}"#,
        ),
    ]);
    // A row that somebody has locked is as one that is claimed.
    sql.check(&[("SELECT honker_retry(1, 'w', 0, 'x')", "1")]);
    let mut other = database.connect();
    other.check(&[("BEGIN", ""), ("SELECT id FROM _honker_live FOR UPDATE", "1")]);
    sql.check(&[(
        r#"SELECT honker_enqueue_with('q', 'newer', '{"unique_key": "k", "on_conflict": "replace"}')"#,
        r#"{"id":1,"status":"exists"}"#,
    )]);
    other.check(&[("ROLLBACK", "")]);
}

#[test]
fn settings_are_merged_and_checked() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    let defaults = r#"{"paused":false,"concurrency":null,"concurrency_per_key":null,"rate":null,"max_attempts":3,"retry":null,"keep_done_s":0,"keep_dead_s":null}"#;
    sql.at(1000).check(&[
        ("SELECT honker_queue_settings('q'), honker_queues()", &format!("{defaults}|[]")),
        (r#"SELECT honker_queue_configure('q', '{"concurrency": 5, "rate": {"limit": 10, "per_s": 60}}')"#, "1"),
        (r#"SELECT honker_queue_configure('q', '{"paused": true, "retry": {"base_s": 1}, "concurrency": null}')"#, "1"),
        ("SELECT honker_queue_settings('q')",
         r#"{"paused":true,"concurrency":null,"concurrency_per_key":null,"rate":{"limit":10,"per_s":60},"max_attempts":3,"retry":{"base_s":1,"factor":2.0,"max_s":3600,"jitter":0.1},"keep_done_s":0,"keep_dead_s":null}"#),
        (r#"SELECT honker_queue_configure('q', '{"speed": 5}')"#, "HK001 settings: unknown key 'speed'"),
        (r#"SELECT honker_queue_configure('q', '{"speed": null}')"#, "HK001 settings: unknown key 'speed'"),
        (r#"SELECT honker_queue_configure('q', '{"concurrency": 0}')"#, "HK001 settings: concurrency must be an integer of at least 1 or null, not 0"),
        (r#"SELECT honker_queue_configure('q', '{"rate": {"limit": 1}}')"#, "HK001 settings: rate has no per_s"),
        (r#"SELECT honker_queue_configure('q', '{"rate": {"limit": 1, "per_s": 1, "burst": 2}}')"#, "HK001 settings: unknown key 'rate.burst'"),
        (r#"SELECT honker_queue_configure('q', '{"retry": {"jitter": 1.5}}')"#, "HK001 settings: retry.jitter must be a number from 0 to 1 or null, not 1.5"),
        (r#"SELECT honker_queue_configure('q', '{"paused": 1}')"#, "HK001 settings: paused must be a boolean or null, not 1"),
        (r#"SELECT honker_queue_configure('q', '{"max_attempts": 5, "paused": null, "rate": null, "retry": null}')"#, "1"),
        ("SELECT honker_enqueue('q', 'p'), honker_enqueue('q', 'p', NULL, NULL, 0, 2), honker_enqueue_with('q', 'p', '{}') <> ''", "1|2|t"),
        ("SELECT string_agg(max_attempts::text, ',' ORDER BY id) FROM _honker_live", "5,2,5"),
        (r#"SELECT honker_queue_configure('q', '{"max_attempts": null}')"#, "1"),
        ("SELECT count(*) FROM _honker_queues", "0"),
        ("SELECT q ->> 'queue' FROM json_array_elements(honker_queues()::json) q", "q"),
    ]);
}

#[test]
fn a_paused_queue_gives_nothing() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        ("SELECT honker_enqueue('q', 'a'), honker_enqueue('q', 'b', NULL, 9)", "1|2"),
        (r#"SELECT honker_queue_configure('q', '{"paused": true}')"#, "1"),
        ("SELECT honker_claim_batch('q', 'w', 1, 60), honker_queue_next_claim_at('q')", "[]|0"),
        (r#"SELECT honker_queue_configure('q', '{"paused": false}')"#, "1"),
        (&claimed("q", 5), "1"),
        ("SELECT honker_queue_next_claim_at('q')", "1009"),
    ]);
}

#[test]
fn limits_of_a_queue_count_valid_claims() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        ("SELECT honker_enqueue('q', 'p') FROM generate_series(1, 10)", "1\n2\n3\n4\n5\n6\n7\n8\n9\n10"),
        (r#"SELECT honker_queue_configure('q', '{"concurrency": 3}')"#, "1"),
        (&claimed("q", 2), "1,2"),
        (&claimed("q", 5), "3"),
        ("SELECT honker_claim_batch('q', 'w', 1, 60), honker_queue_next_claim_at('q')", "[]|1061"),
        ("SELECT honker_ack(2, 'w')", "1"),
        (&claimed("q", 5), "4"),
        ("SELECT honker_heartbeat(1, 'w', 20), honker_heartbeat(3, 'w', 30)", "1|1"),
        // Lowered, it ends no claim: two of three have to be over.
        (r#"SELECT honker_queue_configure('q', '{"concurrency": 2}')"#, "1"),
        ("SELECT honker_claim_batch('q', 'w', 1, 60), honker_queue_next_claim_at('q')", "[]|1031"),
    ]);
    // Those of 1 and 3 are over; 4 goes on, and there is room for one.
    sql.at(1031).check(&[(&claimed("q", 9), "1")]);
    sql.check(&[
        (r#"SELECT honker_queue_configure('r', '{"rate": {"limit": 2, "per_s": 10}}')"#, "1"),
        ("SELECT honker_enqueue('r', 'p') FROM generate_series(1, 5)", "11\n12\n13\n14\n15"),
        (&claimed("r", 5), "11,12"),
        ("SELECT honker_release(11, 'w', 0)", "1"),
        ("SELECT honker_claim_batch('r', 'w', 1, 60), honker_queue_next_claim_at('r')", "[]|1040"),
    ]);
    sql.at(1039).check(&[(&claimed("r", 5), "")]);
    sql.at(1040).check(&[
        (&claimed("r", 1), "11"),
        // A new window begins with another length.
        (r#"SELECT honker_queue_configure('r', '{"rate": {"limit": 2, "per_s": 20}}')"#, "1"),
        (&claimed("r", 5), "13,14"),
    ]);
}

#[test]
fn a_key_at_its_limit_does_not_block_the_others() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        (r#"SELECT honker_queue_configure('q', '{"concurrency_per_key": 1}')"#, "1"),
        (r#"SELECT count(honker_enqueue_with('q', 'a', '{"concurrency_key": "a"}')) FROM generate_series(1, 4)"#, "4"),
        (r#"SELECT honker_enqueue_with('q', 'b', '{"concurrency_key": "b"}') <> '', honker_enqueue('q', 'none')"#, "t|6"),
        (&claimed("q", 9), "1,5,6"),
        ("SELECT string_agg(id || state, ',' ORDER BY id) FROM _honker_live", "1processing,2blocked,3blocked,4blocked,5processing,6processing"),
        ("SELECT honker_get_job(2)::json ->> 'state', honker_stats('q')",
         r#"pending|{"queue":"q","pending":3,"delayed":0,"claimed":3,"expired":0,"dead":0}"#),
        ("SELECT honker_claim_batch('q', 'w', 9, 60), honker_queue_next_claim_at('q')", "[]|1061"),
        // One slot free, one job back.
        ("SELECT honker_ack(1, 'w')", "1"),
        ("SELECT string_agg(id || state, ',' ORDER BY id) FROM _honker_live", "2pending,3blocked,4blocked,5processing,6processing"),
        (&claimed("q", 9), "2"),
        // A retry frees the slot as well, and so does cancelling.
        ("SELECT honker_retry(2, 'w', 100, 'x')", "1"),
        (&claimed("q", 9), "3"),
        ("SELECT honker_cancel(3)", "1"),
        (&claimed("q", 9), "4"),
        // A blocked one may expire, and be cancelled.
        (r#"SELECT honker_enqueue_with('q', 'a', '{"concurrency_key": "a", "expires_s": 5}') <> ''"#, "t"),
        (r#"SELECT honker_enqueue_with('q', 'a', '{"concurrency_key": "a"}') <> ''"#, "t"),
        (&claimed("q", 9), ""),
    ]);
    sql.at(1005).check(&[
        ("SELECT honker_sweep_expired('q'), honker_stats('q')::json ->> 'dead'", "1|1"),
        ("SELECT honker_cancel(8)", "1"),
        ("SELECT count(*) FROM _honker_blocked", "0"),
    ]);
}

#[test]
fn slots_that_somebodys_sql_frees_are_found() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        (r#"SELECT honker_queue_configure('q', '{"concurrency_per_key": 1}')"#, "1"),
        (r#"SELECT count(honker_enqueue_with('q', 'a', '{"concurrency_key": "a"}')) FROM generate_series(1, 3)"#, "3"),
        (&claimed("q", 9), "1"),
        ("DELETE FROM _honker_live WHERE id = 1", ""),
        ("SELECT honker_queue_next_claim_at('q')", "1000"),
        (&claimed("q", 9), "2"),
        // A lapse frees it too.
        ("SELECT honker_queue_next_claim_at('q')", "1061"),
    ]);
    sql.at(1061).check(&[
        (&claimed("q", 9), "2"),
        ("SELECT count(*) FROM _honker_slots s JOIN _honker_live l ON l.id = s.job_id", "1"),
    ]);
    // A limit that is removed brings all back.
    sql.check(&[
        (r#"SELECT honker_queue_configure('q', '{"concurrency_per_key": null}')"#, "1"),
        ("SELECT honker_queue_next_claim_at('q')", "1061"),
        (&claimed("q", 9), "3"),
    ]);
}

#[test]
fn a_raised_limit_brings_back_as_many() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        (r#"SELECT honker_queue_configure('q', '{"concurrency_per_key": 1}')"#, "1"),
        (r#"SELECT count(honker_enqueue_with('q', 'a', '{"concurrency_key": "a"}')) FROM generate_series(1, 9)"#, "9"),
        (&claimed("q", 9), "1"),
        (r#"SELECT honker_queue_configure('q', '{"concurrency_per_key": 4}')"#, "1"),
        (&claimed("q", 9), "2,3,4"),
        ("SELECT count(*) FROM _honker_blocked", "5"),
    ]);
}

#[test]
fn the_retry_of_a_queue_wins_over_the_workers() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        ("SELECT honker_enqueue('q', 'p', NULL, NULL, 0, 99)", "1"),
        (&claimed("q", 1), "1"),
        ("SELECT _settle('w', 1, 'retry', NULL, 7, 'x'), run_at FROM _honker_live", "t|1000"),
        ("SELECT run_at FROM _honker_live", "1007"),
        (r#"SELECT honker_queue_configure('q', '{"retry": {"base_s": 10, "factor": 3, "max_s": 100, "jitter": 0}}')"#, "1"),
    ]);
    for (now, run_at) in [(1007, 1037), (1037, 1127), (1127, 1227)] {
        sql.at(now).check(&[
            (&claimed("q", 1), "1"),
            ("SELECT _settle('w', 1, 'retry', NULL, 7, 'x')", "t"),
            ("SELECT run_at FROM _honker_live", &run_at.to_string()),
        ]);
    }
    for (settings, attempts, least, most) in [
        (r#"{"base_s": 0}"#, 5_i64, 0_i64, 0_i64),
        (r#"{"base_s": 1000, "max_s": 1000}"#, 1, 900, 1100),
        (r#"{"base_s": 9, "max_s": 9000, "jitter": 0}"#, 9_000_000, 9000, 9000),
        (
            r#"{"base_s": 9223372036854775807, "max_s": 9223372036854775807, "jitter": 0}"#,
            1,
            31_622_400_000_i64,
            31_622_400_000,
        ),
    ] {
        sql.check(&[
            (&format!("SELECT honker_queue_configure('d', '{{\"retry\": {settings}}}')"), "1"),
            (&format!("SELECT _retry_delay('d', {attempts}) BETWEEN {least} AND {most}"), "t"),
        ]);
    }
}

#[test]
fn done_and_dead_jobs_are_kept_for_their_time() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        (r#"SELECT honker_queue_configure('q', '{"keep_done_s": 10, "keep_dead_s": 20}')"#, "1"),
        (r#"SELECT honker_enqueue_with('q', 'p', '{"metadata": {"a": "1"}}') <> '', honker_enqueue('q', 'p2')"#, "t|2"),
        (&claimed("q", 9), "1,2"),
        ("SELECT honker_result_save(1, 'r', 3), honker_ack(1, 'w'), honker_fail(2, 'w', 'x')", "1|1|1"),
        ("SELECT j ->> 'id', j ->> 'state', j ->> 'result', j ->> 'finished_at', j ->> 'metadata'
          FROM json_array_elements(honker_jobs_list('{\"state\": \"done\"}')::json -> 'jobs') j", r#"1|done|r|1000|{"a":"1"}"#),
    ]);
    let run = "DO $$ DECLARE stage bigint := 0; BEGIN
        IF honker._maintenance_begin() THEN WHILE stage IS NOT NULL LOOP stage := honker._maintenance_step(stage); END LOOP; END IF; END $$";
    sql.at(1009).check(&[
        ("SELECT honker_result_get(1), _maintenance_due()", "r|t"),
        (run, ""),
        ("SELECT count(*) FROM _honker_done", "1"),
    ]);
    sql.at(1010).check(&[("SELECT _maintenance_due()", "f")]);
    sql.at(1069).check(&[
        (run, ""),
        ("SELECT (SELECT count(*) FROM _honker_done), (SELECT count(*) FROM _honker_job_options), (SELECT count(*) FROM _honker_dead)", "0|0|0"),
    ]);
}

#[test]
fn a_batch_calls_back_once_when_its_last_member_ends() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    let callback = "SELECT queue, payload, metadata FROM _honker_live LEFT JOIN _honker_job_options ON job_id = id WHERE queue LIKE 'cb%' ORDER BY queue";
    sql.at(1000).check(&[
        (r#"SELECT honker_batch_create('{"on_finished": {"queue": "cb", "payload": "all", "options": {"metadata": {"m": "1"}, "priority": 3}}, "on_success": {"queue": "cb2", "payload": "good"}}')"#, "1"),
        (r#"SELECT count(honker_enqueue_with('q', 'p', '{"batch_id": 1}')) FROM generate_series(1, 4)"#, "4"),
        ("SELECT honker_batch_get(1)", r#"{"total":4,"pending":4,"done":0,"dead":0,"cancelled":0,"sealed":false,"finished_at":null}"#),
        (&claimed("q", 9), "1,2,3,4"),
        ("SELECT honker_ack(1, 'w'), honker_retry(2, 'w', 0, 'x')", "1|1"),
        ("SELECT honker_batch_seal(1), honker_batch_seal(1)", "1|0"),
        ("SELECT honker_batch_seal(9)", "HK001 there is no batch 9"),
        ("SELECT honker_batch_get(9)", ""),
        // Only a running member may add.
        (r#"SELECT honker_enqueue_with('q', 'p', '{"batch_id": 1}')"#, "HK001 batch 1 is sealed: only a running member of it may add jobs (option member)"),
        (r#"SELECT honker_enqueue_with('q', 'p', '{"batch_id": 1, "member": {"job_id": 3, "worker_id": "other"}}')"#, "HK001 batch 1 is sealed…"),
        (r#"SELECT honker_enqueue_with('q', 'p', '{"batch_id": 1, "member": {"job_id": 3, "worker_id": "w"}}') LIKE '%enqueued%'"#, "t"),
        ("SELECT honker_cancel(2), honker_ack_batch('[3, 4]', 'w'), honker_batch_get(1)",
         r#"1|2|{"total":5,"pending":1,"done":3,"dead":0,"cancelled":1,"sealed":true,"finished_at":null}"#),
        (callback, ""),
        ("SELECT count(*) FROM json_to_recordset(honker_claim_batch('q', 'w', 1, 60)::json) AS j (id bigint)", "1"),
        ("SELECT honker_fail(id, 'w', 'no') FROM _honker_live WHERE queue = 'q'", "1"),
        ("SELECT honker_batch_get(1)", r#"{"total":5,"pending":0,"done":3,"dead":1,"cancelled":1,"sealed":true,"finished_at":1000}"#),
        (callback, r#"cb|all|{"batch_id":"1","m":"1"}"#),
        // A dead member that is retried changes the counts, and fires nothing again.
        ("SELECT honker_dead_requeue(id) FROM _honker_dead", "1"),
        ("SELECT honker_batch_get(1)::json ->> 'pending'", "1"),
        ("SELECT count(*) FROM json_to_recordset(honker_claim_batch('q', 'w', 1, 60)::json) AS j (id bigint)", "1"),
        ("SELECT honker_ack(id, 'w') FROM _honker_live WHERE queue = 'q'", "1"),
        ("SELECT honker_batch_get(1)::json ->> 'done'", "4"),
        (callback, r#"cb|all|{"batch_id":"1","m":"1"}"#),
    ]);
    // An empty one finishes when it is sealed, and all is well with it.
    sql.check(&[
        (r#"SELECT honker_batch_create('{"on_success": {"queue": "cb3", "payload": "good"}, "keep_s": 5}')"#, "2"),
        ("SELECT honker_batch_seal(2)", "1"),
        ("SELECT queue FROM _honker_live WHERE queue = 'cb3'", "cb3"),
        (r#"SELECT honker_batch_create('{"on_finished": {"queue": "x"}}')"#, "HK001 on_finished has no 'payload'"),
        (r#"SELECT honker_batch_create('{"on_finished": {"queue": "x", "payload": "p", "options": {"batch_id": 1}}}')"#,
         "HK001 options in on_finished must not have 'batch_id'"),
        (r#"SELECT honker_batch_create('{"on_finished": {"queue": "x", "payload": "p", "options": {"oops": 1}}}')"#,
         "HK001 options in on_finished: unknown key 'oops'"),
        (r#"SELECT honker_batch_create('{"keep_s": -1}')"#, "HK001 options: keep_s must be an integer that is not negative, or null"),
        (r#"SELECT honker_batch_create('{"on_end": 1}')"#, "HK001 options: unknown key 'on_end'"),
    ]);
    let run = "DO $$ DECLARE stage bigint := 0; BEGIN
        IF honker._maintenance_begin() THEN WHILE stage IS NOT NULL LOOP stage := honker._maintenance_step(stage); END LOOP; END IF; END $$";
    sql.at(1005).check(&[(run, ""), ("SELECT honker_batch_get(2), honker_batch_get(1) <> ''", "|t")]);
}

#[test]
fn maintenance_counts_members_that_somebodys_sql_has_removed() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    let run = "DO $$ DECLARE stage bigint := 0; BEGIN
        IF honker._maintenance_begin() THEN WHILE stage IS NOT NULL LOOP stage := honker._maintenance_step(stage); END LOOP; END IF; END $$";
    sql.at(1000).check(&[
        (r#"SELECT honker_batch_create('{"on_finished": {"queue": "cb", "payload": "p"}}')"#, "1"),
        (r#"SELECT count(honker_enqueue_with('q', 'p', '{"batch_id": 1, "unique_key": "' || n || '"}')) FROM generate_series(1, 3) n"#, "3"),
        ("SELECT honker_batch_seal(1)", "1"),
        ("DELETE FROM _honker_live WHERE id = 1", ""),
        ("WITH gone AS (DELETE FROM _honker_live WHERE id = 2 RETURNING *) INSERT INTO _honker_dead (id, queue, payload) SELECT id, queue, payload FROM gone", ""),
        ("DELETE FROM _honker_live WHERE id = 3", ""),
        ("DELETE FROM _honker_job_options WHERE job_id = 3", ""),
        (run, ""),
        ("SELECT honker_batch_get(1)", r#"{"total":3,"pending":0,"done":2,"dead":1,"cancelled":0,"sealed":true,"finished_at":1000}"#),
        ("SELECT count(*) FROM _honker_live WHERE queue = 'cb'", "1"),
        ("SELECT count(*) FROM _honker_unique", "0"),
        ("SELECT string_agg(job_id::text, ',') FROM _honker_job_options WHERE job_id < 4", "2"),
    ]);
}

#[test]
fn a_step_is_saved_once() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        ("SELECT honker_enqueue('q', 'p')", "1"),
        ("SELECT honker_step_save(1, 'w', 's', '1')", "∅"),
        (&claimed("q", 1), "1"),
        ("SELECT honker_step_get(1, 's'), honker_step_save(1, 'w', 's', '{\"a\": 1}'), honker_step_save(1, 'w', 's', '2')", "∅|{\"a\": 1}|{\"a\": 1}"),
        ("SELECT honker_step_save(1, 'other', 't', '1'), honker_step_get(1, 's')", "∅|{\"a\": 1}"),
        ("SELECT honker_fail(1, 'w', 'x'), honker_step_get(1, 's')", "1|{\"a\": 1}"),
        ("SELECT honker_dead_requeue(1)", "1"),
        (&claimed("q", 1), "1"),
        ("SELECT honker_step_get(1, 's'), honker_ack(1, 'w')", "{\"a\": 1}|1"),
        ("SELECT honker_step_get(1, 's'), (SELECT count(*) FROM _honker_job_options)", "∅|0"),
    ]);
    sql.check(&[("SELECT honker_enqueue('q', 'p')", "2"), (&claimed("q", 1), "2")]);
    sql.at(1060).check(&[("SELECT honker_step_save(2, 'w', 'in time', '1')", "1")]);
    sql.at(1061).check(&[("SELECT honker_step_save(2, 'w', 'late', '1')", "∅")]);
}

#[test]
fn lists_find_what_the_filter_says() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    let worker = format!("w@{}", "0123456789abcdef".repeat(2));
    sql.at(1000).check(&[
        (r#"SELECT honker_enqueue_with('a', 'p1', '{"metadata": {"x": "1", "y": "2"}, "unique_key": "k"}') <> '', honker_enqueue('b', 'p2', NULL, 50)"#, "t|2"),
        ("SELECT honker_enqueue('b', 'p3'), honker_enqueue('b', 'p4')", "3|4"),
        (&format!("SELECT honker_claim_batch('b', '{worker}', 1, 60) <> ''"), "t"),
    ]);
    sql.at(1010).check(&[
        ("SELECT honker_claim_batch('b', 'v', 1, 60) <> '', honker_fail(4, 'v', 'it was 100% wrong'), honker_enqueue('c', 'p5')", "t|1|5"),
    ]);
    let ids = |filter: &str| {
        format!(
            "SELECT coalesce(string_agg(j ->> 'id', ','), '') FROM json_array_elements(honker_jobs_list('{filter}')::json -> 'jobs') j"
        )
    };
    for (filter, found) in [
        ("{}", "5,4,3,2,1"),
        (r#"{"order": "oldest"}"#, "1,2,3,4,5"),
        (r#"{"queue": "b"}"#, "4,3,2"),
        (r#"{"state": "due"}"#, "5,1"),
        (r#"{"state": ["delayed", "dead"]}"#, "4,2"),
        (r#"{"state": []}"#, ""),
        (r#"{"state": "processing", "worker_id": "w"}"#, "3"),
        (r#"{"worker_id": "v"}"#, ""),
        (r#"{"min_id": 2, "max_id": 4}"#, "4,3,2"),
        (r#"{"unique_key": "k"}"#, "1"),
        (r#"{"metadata": {"x": "1"}}"#, "1"),
        (r#"{"metadata": {"x": "2"}}"#, ""),
        (r#"{"error": "100%"}"#, "4"),
        (r#"{"created_from": 1001}"#, "5"),
        (r#"{"created_to": 1000, "state": "due"}"#, "1"),
        (r#"{"ended_from": 1010}"#, "4"),
        (r#"{"ended_from": 1011}"#, ""),
    ] {
        assert_eq!(sql.ask(&ids(filter)), found, "{filter}");
    }
    sql.check(&[
        (r#"SELECT honker_jobs_list('{"limit": 2}')::json ->> 'cursor', honker_jobs_list('{"limit": 2, "cursor": 4}')::json ->> 'cursor'"#, "4|2"),
        (&ids(r#"{"limit": 2, "cursor": 4}"#), "3,2"),
        (&ids(r#"{"limit": 2, "cursor": 2}"#), "1"),
        (r#"SELECT honker_jobs_list('{"limit": 2, "cursor": 2}')::json ->> 'cursor'"#, "∅"),
        (r#"SELECT honker_jobs_list('{"queue": null}')"#, "HK001 filter: queue must be a text, not null"),
        (r#"SELECT honker_jobs_list('{"limit": 1001}')"#, "HK001 filter: limit must be an integer from 1 to 1000, not 1001"),
        (r#"SELECT honker_jobs_list('{"state": "lost"}')"#,
         r#"HK001 filter: state must be one or an array of due, delayed, processing, blocked, dead, done, not "lost""#),
        (r#"SELECT honker_jobs_list('{"error": ""}')"#, r#"HK001 filter: error must be a text that is not empty, not """#),
        (r#"SELECT honker_jobs_list('{"colour": 1}')"#, "HK001 filter: unknown key 'colour'"),
    ]);
}

#[test]
fn bulk_actions_do_a_page_at_a_time() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        ("INSERT INTO _honker_dead (id, queue, payload, attempts, max_attempts) SELECT n, 'q', 'p', 3, 3 FROM generate_series(1, 5) n", ""),
        ("SELECT setval('_honker_live_id_seq', 5)", "5"),
        (r#"SELECT honker_jobs_apply('{"queue": "q", "limit": 2}', 'retry')"#, r#"{"changed":2,"conflicts":0,"left":null,"cursor":4}"#),
        (r#"SELECT honker_jobs_apply('{"queue": "q", "cursor": 4}', 'retry')"#, r#"{"changed":3,"conflicts":0,"left":0,"cursor":null}"#),
        (r#"SELECT honker_jobs_apply('{}', '{"priority": 7}')"#, r#"{"changed":5,"conflicts":0,"left":0,"cursor":null}"#),
        (r#"SELECT honker_jobs_apply('{}', '{"priority": 7}')"#, r#"{"changed":0,"conflicts":0,"left":0,"cursor":null}"#),
        (r#"SELECT honker_jobs_apply('{"max_id": 2}', '{"move": "r"}')"#, r#"{"changed":2,"conflicts":0,"left":0,"cursor":null}"#),
        ("SELECT string_agg(id || queue, ',' ORDER BY id) FROM _honker_live", "1r,2r,3q,4q,5q"),
        ("SELECT honker_enqueue('q', 'later', NULL, 60)", "6"),
        (r#"SELECT honker_jobs_apply('{}', 'run_now')"#, r#"{"changed":1,"conflicts":0,"left":0,"cursor":null}"#),
        ("SELECT run_at FROM _honker_live WHERE id = 6", "1000"),
        (r#"SELECT honker_jobs_apply('{"queue": "r"}', 'cancel')"#, r#"{"changed":2,"conflicts":0,"left":0,"cursor":null}"#),
        ("SELECT count(*) FROM json_to_recordset(honker_claim_batch('q', 'w', 2, 60)::json) AS j (id bigint)", "2"),
        ("SELECT honker_fail(3, 'w', 'x')", "1"),
        (r#"SELECT honker_jobs_apply('{}', 'delete')"#, r#"{"changed":4,"conflicts":0,"left":0,"cursor":null}"#),
        ("SELECT (SELECT count(*) FROM _honker_live), (SELECT count(*) FROM _honker_dead)", "0|0"),
        (r#"SELECT honker_jobs_apply('{}', 'explode')"#,
         r#"HK001 action must be retry, run_now, cancel, delete, {"move": queue} or {"priority": integer}, not explode"#),
    ]);
    // A unique key goes with the job, and keeps it where it is if it is taken there.
    sql.check(&[
        (r#"SELECT count(honker_enqueue_with(q, 'p', '{"unique_key": "k"}')) FROM unnest('{a,b}'::text[]) q"#, "2"),
        (r#"SELECT honker_jobs_apply('{"queue": "a"}', '{"move": "b"}')"#, r#"{"changed":0,"conflicts":1,"left":0,"cursor":null}"#),
        (r#"SELECT honker_jobs_apply('{"queue": "a"}', '{"move": "c"}')"#, r#"{"changed":1,"conflicts":0,"left":0,"cursor":null}"#),
        ("SELECT string_agg(queue, ',' ORDER BY queue) FROM _honker_unique", "b,c"),
        (r#"SELECT honker_enqueue_with('c', 'p', '{"unique_key": "k"}') LIKE '%exists%', honker_enqueue_with('a', 'p', '{"unique_key": "k"}') LIKE '%enqueued%'"#, "t|t"),
    ]);
}

#[test]
fn a_trigger_that_keeps_a_key_away_is_an_error() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.check(&[
        ("CREATE FUNCTION public.keep_away() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$", ""),
        ("CREATE TRIGGER keep_away BEFORE INSERT ON _honker_unique FOR EACH ROW EXECUTE FUNCTION public.keep_away()", ""),
        (r#"SELECT honker_enqueue_with('q', 'p', '{"unique_key": "k"}')"#, "27000 …"),
    ]);
}
