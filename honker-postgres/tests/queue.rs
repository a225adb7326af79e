//! Queues, with their boundaries: chapters 2 and 3 of the behavioural specification, by way of the SQL functions alone.

mod common;

use common::Database;

const LIVE: &str =
    "SELECT id, state, run_at, worker_id, claim_expires_at, attempts FROM _honker_live ORDER BY id";
const DEAD: &str = "SELECT id, attempts, max_attempts, last_error, died_at FROM _honker_dead ORDER BY id";

#[test]
fn a_job_is_enqueued_claimed_and_acked() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        ("SELECT honker_enqueue('q', '{\"a\": 1}')", "1"),
        ("SELECT honker_enqueue('q', 'not JSON')", "2"),
        (
            "SELECT honker_claim_batch('q', 'w', 1, 300)",
            r#"[{"id":1,"queue":"q","payload":"{\"a\": 1}","worker_id":"w","attempts":1,"claim_expires_at":1300}]"#,
        ),
        (
            "SELECT honker_get_job(1)",
            r#"{"id":1,"queue":"q","payload":"{\"a\": 1}","state":"processing","priority":0,"run_at":1000,"worker_id":"w","claim_expires_at":1300,"attempts":1,"max_attempts":3,"created_at":1000,"expires_at":null}"#,
        ),
        ("SELECT honker_ack(1, 'other'), honker_ack(2, 'w'), honker_ack(99, 'w')", "0|0|0"),
        ("SELECT honker_ack(1, 'w'), honker_ack(1, 'w'), honker_get_job(1), honker_get_job(99)", "1|0||"),
        ("SELECT honker_claim_batch('q', 'w', 0, 300), honker_claim_batch('other', 'w', 1, 300)", "[]|[]"),
        ("SELECT honker_claim_batch('q', 'w', -1, 300)", r#"[{"id":2,"queue":"q","payload":"not JSON"…"#),
        ("SELECT count(*) FROM _honker_notifications", "0"),
    ]);
}

#[test]
fn times_of_an_enqueue_have_their_boundaries() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        ("SELECT honker_enqueue('q', 'at', 1010), honker_enqueue('q', 'in', 5000, 10), honker_enqueue('q', 'past', NULL, -5)", "1|2|3"),
        ("SELECT honker_enqueue('q', 'zero', NULL, 0, 0, 0), honker_enqueue('q', 'born expired', NULL, NULL, 0, 3, 0)", "4|5"),
        ("SELECT id, run_at, max_attempts, created_at, expires_at FROM _honker_live ORDER BY id",
         "1|1010|3|1000|∅\n2|1010|3|1000|∅\n3|995|3|1000|∅\n4|1000|0|1000|∅\n5|1000|3|1000|1000"),
        // The exhausted one is moved, the expired one stays where it is.
        ("SELECT id FROM json_to_recordset(honker_claim_batch('q', 'w', 10, 60)::json) AS j (id bigint)", "3"),
        (DEAD, "4|0|0|max attempts exceeded|1000"),
        ("SELECT honker_queue_next_claim_at('q')", "1010"),
        ("SELECT honker_sweep_expired('q'), honker_sweep_expired('q')", "1|0"),
        ("SELECT id, last_error FROM _honker_dead ORDER BY id", "4|max attempts exceeded\n5|expired"),
        ("SELECT honker_enqueue('q', 'p', NULL, 9223372036854775807)",
         "HK001 delay is out of range: 1000 + 9223372036854775807 seconds overflows"),
        ("SELECT honker_enqueue('q', 'p', NULL, NULL, 0, 3, 9223372036854775807)", "HK001 expires is out of range: 1000 + …"),
        ("SELECT honker_enqueue(NULL, 'p')", "HK001 Invalid function parameter type Null at index 0: queue must be TEXT"),
        ("SELECT honker_enqueue('q', 'p', NULL, NULL, NULL)",
         "HK001 Invalid function parameter type Null at index 4: priority must be INTEGER"),
        ("SELECT honker_enqueue('q', 'p', 60.5)", "42883 …"),
    ]);
    sql.at(-5).check(&[
        ("SELECT honker_lock_acquire('l', 'me', 60), honker_rate_limit_try('r', 1, 3)", "1|1"),
        (
            "SELECT honker_enqueue('q', 'p', NULL, -9223372036854775808)",
            "HK001 delay is out of range: -5 + -9223372036854775808 …",
        ),
    ]);
    sql.at(1009).check(&[("SELECT honker_claim_batch('q', 'w', 10, 60)", "[]")]);
    sql.at(1010).check(&[(
        "SELECT id FROM json_to_recordset(honker_claim_batch('q', 'w', 10, 60)::json) AS j (id bigint)",
        "1\n2",
    )]);
}

#[test]
fn after_the_clock_was_set_back_what_was_due_is_again() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[(
        "SELECT honker_enqueue('q', 'a'), honker_enqueue('q', 'expires', NULL, NULL, 7, 3, 10)",
        "1|2",
    )]);
    sql.at(995).check(&[("SELECT honker_enqueue('q', 'b', NULL, NULL, 5)", "3")]);
    // An hour is repeated.
    sql.at(900).check(&[
        ("SELECT honker_claim_batch('q', 'w', 1, 60), honker_queue_next_claim_at('q')", "[]|995"),
        ("SELECT may_claim, next_at FROM _work_outlook('w', '{}', '{}', '{q}')", "f|995"),
        ("SELECT honker_enqueue('q', 'later', 998), honker_queue_next_claim_at('q')", "4|995"),
        (
            "SELECT honker_cancel(3), honker_queue_next_claim_at('q'), honker_queue_next_claim_at('other')",
            "1|998|0",
        ),
        ("SELECT honker_cancel(4), honker_queue_next_claim_at('q')", "1|1000"),
    ]);
    sql.at(1000).check(&[("SELECT honker_queue_next_claim_at('q')", "0")]);
}

#[test]
fn the_claim_order_is_priority_run_time_id() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        ("SELECT honker_enqueue('q', 'a', NULL, NULL, 0), honker_enqueue('q', 'b', NULL, NULL, 10), honker_enqueue('q', 'c', NULL, NULL, 5)", "1|2|3"),
        ("SELECT honker_enqueue('q', 'd', NULL, 3, 5), honker_enqueue('q', 'e', NULL, -1, 0), honker_enqueue('q', 'f', NULL, 2, 20)", "4|5|6"),
    ]);
    // The delayed ones are among the others from when they are due.
    sql.at(1002).check(&[
        ("SELECT string_agg(id::text, ',') FROM json_to_recordset(honker_claim_batch('q', 'w', 4, 0)::json) AS j (id bigint)", "6,2,3,5"),
    ]);
    // What has lapsed is where it was.
    sql.at(1003).check(&[
        ("SELECT string_agg(id::text, ',') FROM json_to_recordset(honker_claim_batch('q', 'w', 10, 60)::json) AS j (id bigint)", "6,2,3,4,5,1"),
    ]);
}

#[test]
fn a_claim_is_the_holders_through_its_last_second() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        ("SELECT honker_enqueue('q', 'p'), honker_claim_batch('q', 'a', 1, 10)", r#"1|[{"id":1…"#),
        ("SELECT honker_queue_next_claim_at('q')", "1011"),
    ]);
    sql.at(1010).check(&[
        ("SELECT honker_claim_batch('q', 'b', 1, 10), honker_queue_next_claim_at('q')", "[]|1011"),
        ("SELECT honker_heartbeat(1, 'b', 10), honker_heartbeat(1, 'a', 10)", "0|1"),
    ]);
    sql.at(1020).check(&[("SELECT honker_claim_batch('q', 'b', 1, 10)", "[]")]);
    sql.at(1021).check(&[
        ("SELECT honker_heartbeat(1, 'a', 10), honker_ack(1, 'a'), honker_retry(1, 'a', 0, ''), honker_fail(1, 'a', ''), honker_release(1, 'a', 0)", "0|0|0|0|0"),
        ("SELECT honker_claim_batch('q', 'b', 1, 10)",
         r#"[{"id":1,"queue":"q","payload":"p","worker_id":"b","attempts":2,"claim_expires_at":1031}]"#),
        ("SELECT honker_ack(1, 'a'), honker_ack(1, 'b')", "0|1"),
    ]);
    // Valid for this second only, and not at all.
    sql.at(1021).check(&[
        ("SELECT honker_enqueue('q', 'p'), honker_claim_batch('q', 'a', 1, 0)", r#"2|[{"id":2…"#),
        ("SELECT honker_claim_batch('q', 'b', 1, 0), honker_heartbeat(2, 'a', -1)", "[]|1"),
        (
            "SELECT honker_claim_batch('q', 'b', 1, -1)",
            r#"[{"id":2,"queue":"q","payload":"p","worker_id":"b","attempts":2,"claim_expires_at":1020}]"#,
        ),
        ("SELECT honker_claim_batch('q', 'c', 1, 5)", r#"[{"id":2…"#),
    ]);
}

#[test]
fn retry_fail_and_release_do_what_they_say() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        (
            "SELECT honker_enqueue('q', 'p', NULL, NULL, 0, 2), honker_claim_batch('q', 'w', 1, 60)",
            r#"1|[{"id":1…"#,
        ),
        ("SELECT honker_retry(1, 'w', 30, 'once')", "1"),
        (LIVE, "1|pending|1030|∅|∅|1"),
        ("SELECT honker_queue_next_claim_at('q')", "1030"),
    ]);
    sql.at(1030).check(&[
        ("SELECT honker_claim_batch('q', 'w', 1, 60)", r#"[{"id":1…"#),
        ("SELECT honker_release(1, 'w', 5)", "1"),
        (LIVE, "1|pending|1035|∅|∅|1"),
    ]);
    sql.at(1035).check(&[
        ("SELECT honker_claim_batch('q', 'w', 1, 60)", r#"[{"id":1…"#),
        ("SELECT honker_retry(1, 'w', 30, 'twice')", "1"),
        (LIVE, ""),
        (DEAD, "1|2|2|twice|1035"),
        ("SELECT honker_enqueue('q', 'p'), honker_claim_batch('q', 'w', 1, 60), honker_fail(2, 'v', 'no'), honker_fail(2, 'w', 'never')",
         r#"2|[{"id":2,"queue":"q","payload":"p","worker_id":"w","attempts":1,"claim_expires_at":1095}]|0|1"#),
        (DEAD, "1|2|2|twice|1035\n2|1|3|never|1035"),
        ("SELECT honker_retry(1, 'w', NULL, 'x')", "HK001 Invalid function parameter type Null at index 2: delay_s must be INTEGER"),
        ("SELECT honker_retry(1, 'w', 9223372036854775807, 'x')", "HK001 delay_s is out of range…"),
    ]);
}

#[test]
fn what_is_exhausted_dies_when_a_claim_meets_it() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        (
            "SELECT honker_enqueue('q', 'p', NULL, NULL, 0, 1), honker_claim_batch('q', 'w', 1, 10)",
            r#"1|[{"id":1…"#,
        ),
        ("SELECT honker_queue_next_claim_at('q')", "0"),
    ]);
    // In flight and valid it is the holder's.
    sql.at(1010).check(&[("SELECT honker_claim_batch('q', 'v', 0, 10)", "[]"), (DEAD, "")]);
    sql.at(1011).check(&[
        ("SELECT honker_queue_next_claim_at('q')", "1011"),
        ("SELECT honker_claim_batch('q', 'v', 0, 10)", "[]"),
        (DEAD, "1|1|1|max attempts exceeded|1011"),
        ("SELECT honker_queue_next_claim_at('q')", "0"),
    ]);
}

#[test]
fn expired_jobs_are_not_claimed() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        ("SELECT honker_enqueue('q', 'a', NULL, NULL, 0, 3, 10), honker_enqueue('q', 'b', NULL, NULL, 0, 3, 11)", "1|2"),
        ("SELECT honker_enqueue('q', 'c', NULL, NULL, 9, 3, 11), honker_claim_batch('q', 'w', 1, 60)", r#"3|[{"id":3…"#),
    ]);
    sql.at(1010).check(&[
        ("SELECT id FROM json_to_recordset(honker_claim_batch('q', 'w', 5, 60)::json) AS j (id bigint)", "2"),
        (
            "SELECT honker_stats('q')",
            r#"{"queue":"q","pending":0,"delayed":0,"claimed":2,"expired":1,"dead":0}"#,
        ),
    ]);
    // Claimed before it expired: it may finish, and a retry leaves a job that waits for a sweep.
    sql.at(1020).check(&[
        ("SELECT honker_ack(2, 'w'), honker_retry(3, 'w', 0, 'x')", "1|1"),
        ("SELECT honker_claim_batch('q', 'w', 5, 60), honker_sweep_expired('q'), honker_sweep_expired('q')", "[]|2|0"),
        ("SELECT id, last_error FROM _honker_dead ORDER BY id", "1|expired\n3|expired"),
    ]);
    // A lapsed claim of an expired job is moved by the claim that meets it.
    sql.check(&[(
        "SELECT honker_enqueue('q', 'd', NULL, NULL, 0, 3, 5), honker_claim_batch('q', 'w', 1, 1)",
        r#"4|[{"id":4…"#,
    )]);
    sql.at(1030).check(&[
        ("SELECT honker_queue_next_claim_at('q'), honker_claim_batch('q', 'w', 1, 1)", "1030|[]"),
        ("SELECT last_error FROM _honker_dead WHERE id = 4", "expired"),
    ]);
}

#[test]
fn the_work_of_one_call_is_bounded() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        ("INSERT INTO _honker_live (queue, payload, expires_at) SELECT 'e', 'p', 900 FROM generate_series(1, 2500)", ""),
        ("SELECT honker_enqueue('e', 'last')", "2501"),
        ("SELECT honker_claim_batch('e', 'w', 1, 60), honker_queue_next_claim_at('e')", "[{\"id\":2501…"),
        ("SELECT count(*) FROM _honker_dead", "1000"),
        ("SELECT honker_sweep_expired('e'), honker_sweep_expired('e'), honker_sweep_expired('e')", "1000|500|0"),
        // Bytes count as well; what is larger by itself is moved alone.
        ("INSERT INTO _honker_live (queue, payload, expires_at) SELECT 'l', repeat('x', 3000000), 900 FROM generate_series(1, 3)", ""),
        ("INSERT INTO _honker_live (queue, payload, expires_at) SELECT 'l', repeat('x', 9000000), 950", ""),
        ("SELECT honker_sweep_expired('l'), honker_sweep_expired('l'), honker_sweep_expired('l')", "2|1|1"),
        // Lapsed claims on the last attempt.
        ("INSERT INTO _honker_live (queue, payload, state, worker_id, claim_expires_at, attempts, max_attempts)
          SELECT 'x', 'p', 'processing', 'w', 900, 3, 3 FROM generate_series(1, 1500)", ""),
        ("SELECT honker_claim_batch('x', 'w', 1, 60), honker_queue_next_claim_at('x')", "[]|1000"),
        ("SELECT honker_claim_batch('x', 'w', 1, 60), honker_queue_next_claim_at('x')", "[]|0"),
        ("SELECT count(*) FROM _honker_live WHERE queue = 'x'", "0"),
        // Many lapsed claims go back to be claimed in their order.
        ("INSERT INTO _honker_live (queue, payload, state, worker_id, claim_expires_at, attempts, priority)
          SELECT 'm', 'p', 'processing', 'w', 900, 1, n FROM generate_series(1, 40) n", ""),
        ("SELECT count(*), max(attempts), min(priority) FROM json_to_recordset(honker_claim_batch('m', 'w', 15, 60)::json) AS j (id bigint)
          JOIN _honker_live USING (id)", "15|1|26"),
        ("SELECT count(*), max(attempts), min(priority) FROM _honker_live WHERE state = 'processing' AND queue = 'm'", "15|2|26"),
    ]);
}

#[test]
fn delayed_jobs_of_many_priorities_are_found_in_order() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        ("INSERT INTO _honker_live (queue, payload, priority, run_at, created_at) SELECT 'q', 'p', n, 5000, 1000 FROM generate_series(1, 3000) n", ""),
        ("INSERT INTO _honker_live (queue, payload, priority, run_at, created_at) SELECT 'q', 'due', n, 1000, 900 FROM generate_series(1, 50) n", ""),
        ("SELECT honker_enqueue('q', 'now', NULL, NULL, 25)", "3051"),
        ("SELECT string_agg(payload, ',') FROM json_to_recordset(honker_claim_batch('q', 'w', 27, 60)::json) AS j (id bigint, payload text)",
         "due,due,due,due,due,due,due,due,due,due,due,due,due,due,due,due,due,due,due,due,due,due,due,due,due,due,now"),
        ("SELECT count(*) FROM json_to_recordset(honker_claim_batch('q', 'w', -1, 60)::json) AS j (id bigint)", "24"),
        ("SELECT honker_queue_next_claim_at('q')", "1061"),
    ]);
}

#[test]
fn acks_of_many_count_what_was_held() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        ("SELECT honker_enqueue('q', 'p') FROM generate_series(1, 5)", "1\n2\n3\n4\n5"),
        ("SELECT count(*) FROM json_to_recordset(honker_claim_batch('q', 'w', 3, 60)::json) AS j (id bigint)", "3"),
        ("SELECT honker_ack_batch('[1, 1, 2, 4, 99]', 'w'), honker_ack_batch('[]', 'w'), honker_ack_batch('[3]', 'v')", "2|0|0"),
        ("SELECT honker_ack_batch('[1', 'w')", "HK001 ids_json must be a JSON array of integer ids…"),
        ("SELECT honker_ack_batch('{\"a\": 1}', 'w')", "HK001 ids_json must be a JSON array of integer ids…"),
        ("SELECT honker_ack_batch('[1.5]', 'w')", "HK001 ids_json must be a JSON array of integer ids…"),
    ]);
}

#[test]
fn cancel_removes_whatever_the_state_is() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        (
            "SELECT honker_enqueue('q', 'a'), honker_enqueue('q', 'b'), honker_claim_batch('q', 'w', 1, 60)",
            r#"1|2|[{"id":1…"#,
        ),
        ("SELECT honker_cancel(1), honker_cancel(2), honker_cancel(1), honker_cancel(77)", "1|1|0|0"),
        ("SELECT honker_ack(1, 'w'), honker_heartbeat(1, 'w', 9), count(*) FROM _honker_dead", "0|0|0"),
    ]);
}

#[test]
fn the_dead_are_listed_grouped_requeued_and_purged() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        ("SELECT honker_enqueue('q', 'a', NULL, NULL, 7), honker_enqueue('q', 'b'), honker_enqueue('r', 'c')", "1|2|3"),
        ("SELECT honker_claim_batch('q', 'w', 2, 60) <> '[]', honker_claim_batch('r', 'w', 2, 60) <> '[]'", "t|t"),
        ("SELECT honker_fail(1, 'w', 'timeout after 30 s'), honker_fail(2, 'w', 'timeout after 5.5 s'), honker_fail(3, 'w', 'user42 has no row')", "1|1|1"),
        ("SELECT honker_dead_list('q', 1)",
         r#"[{"id":2,"queue":"q","payload":"b","priority":0,"run_at":1000,"attempts":1,"max_attempts":3,"last_error":"timeout after 5.5 s","created_at":1000,"died_at":1000}]"#),
        ("SELECT json_array_length(honker_dead_list(NULL, -1)::json), honker_dead_list('q', 0)", "3|[]"),
        ("SELECT g ->> 'error', g ->> 'count', g #>> '{newest,id}' FROM json_array_elements(honker_dead_groups(NULL)::json) g",
         "timeout after # s|2|2\nuser# has no row|1|3"),
        ("SELECT honker_dead_requeue(1), honker_dead_requeue(1), honker_dead_requeue(99)", "1|0|0"),
        ("SELECT id, state, priority, run_at, attempts, max_attempts, created_at, expires_at FROM _honker_live", "1|pending|7|1000|0|3|1000|∅"),
    ]);
    sql.at(1010).check(&[
        ("SELECT honker_dead_purge('q', 10), honker_dead_purge('q', 9), honker_dead_purge('q', 9)", "0|1|0"),
        ("SELECT honker_dead_purge(NULL, -5), count(*) FROM _honker_live", "1|1"),
    ]);
}

#[test]
fn patterns_of_errors_leave_out_numbers_and_ids() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    for (error, pattern) in [
        ("", ""),
        ("expired", "expired"),
        ("timeout after 1.5 s.", "timeout after # s."),
        ("10.0.0.1:8080 refused", "#:# refused"),
        ("order 7f3c1b9e-3a52-4b1f-9d53-0a6f5f0e9c11 not found", "order # not found"),
        ("commit a1b2c3d, at 0x7ffe, key 01ARZ3NDEKTSV4RRFFQ69G5FAV", "commit #, at #, key #"),
        ("a deadbeef is no number, but added decade", "a deadbeef is no number, but added decade"),
        ("é7ß 日本1", "é#ß 日本#"),
        ("1.", "#."),
    ] {
        assert_eq!(sql.ask(&format!("SELECT _error_pattern('{error}')")), pattern);
    }
}

#[test]
fn calls_take_part_in_the_transaction() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    let mut other = database.connect();
    sql.at(1000);
    sql.check(&[
        ("BEGIN", ""),
        ("CREATE TABLE orders (id bigint)", ""),
        ("INSERT INTO orders VALUES (1)", ""),
        ("SELECT honker_enqueue('q', 'p'), notify('c', 'n'), honker_stream_publish('t', NULL, 'e'), honker_result_save(7, 'r', 0)", "1|1|1|1"),
    ]);
    other
        .at(1000)
        .check(&[("SELECT honker_claim_batch('q', 'w', 1, 60), count(*) FROM _honker_live", "[]|0")]);
    sql.check(&[
        ("ROLLBACK", ""),
        ("SELECT count(*) FROM _honker_live", "0"),
        ("SELECT honker_result_get(7)", "∅"),
    ]);
    sql.check(&[
        ("BEGIN", ""),
        ("SELECT honker_enqueue('q', 'p')", "2"),
        ("SAVEPOINT s", ""),
        ("SELECT honker_enqueue('q', 'undone')", "3"),
        ("ROLLBACK TO s", ""),
        ("COMMIT", ""),
    ]);
    other.check(&[(
        "SELECT id FROM json_to_recordset(honker_claim_batch('q', 'w', 9, 60)::json) AS j (id bigint)",
        "2",
    )]);
    // Elsewhere a claim might take what it has not seen change.
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        sql.check(&[
            (&format!("BEGIN ISOLATION LEVEL {level}"), ""),
            (
                "SELECT honker_claim_batch('q', 'w', 1, 60)",
                &format!("HK002 this call needs the isolation level READ COMMITTED, not {level}"),
            ),
            ("ROLLBACK", ""),
        ]);
    }
}

#[test]
fn a_plain_insert_enqueues() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        ("INSERT INTO _honker_live (queue, payload) VALUES ('q', 'p'), ('q', 'p2')", ""),
        (LIVE, "1|pending|1000|∅|∅|0\n2|pending|1000|∅|∅|0"),
        ("SELECT attempts FROM json_to_recordset(honker_claim_batch('q', 'w', 9, 60)::json) AS j (attempts bigint)", "1\n1"),
    ]);
}

#[test]
fn the_tables_have_the_columns_of_a_file() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    for (table, columns) in [
        ("_honker_notifications", "id,channel,payload,created_at"),
        (
            "_honker_live",
            "id,queue,payload,state,priority,run_at,worker_id,claim_expires_at,attempts,max_attempts,created_at,expires_at",
        ),
        (
            "_honker_dead",
            "id,queue,payload,priority,run_at,attempts,max_attempts,last_error,created_at,died_at",
        ),
        ("_honker_locks", "name,owner,expires_at"),
        ("_honker_rate_limits", "name,window_start,count"),
        (
            "_honker_scheduler_tasks",
            "name,queue,cron_expr,payload,priority,expires_s,next_fire_at,enabled,max_attempts",
        ),
        ("_honker_results", "job_id,value,created_at,expires_at"),
        ("_honker_stream", "offset,topic,key,payload,created_at"),
        ("_honker_stream_consumers", "name,topic,offset"),
    ] {
        let found = sql.ask(&format!(
            "SELECT string_agg(column_name, ',' ORDER BY ordinal_position) FROM information_schema.columns
             WHERE table_schema = 'honker' AND table_name = '{table}'"
        ));
        assert_eq!(found, columns, "{table}");
    }
    assert_eq!(sql.ask("SELECT count(*) FROM pg_indexes WHERE indexname = '_honker_live_claim'"), "1");
}

#[test]
fn a_job_of_two_lives_and_a_trigger_that_refuses() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        ("CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN IF OLD.payload = 'bad' THEN RAISE EXCEPTION 'not this one'; END IF; RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END; END $$", ""),
        ("CREATE TRIGGER refuse BEFORE UPDATE OR DELETE ON _honker_live FOR EACH ROW EXECUTE FUNCTION public.refuse()", ""),
        ("SELECT honker_enqueue('q', 'bad'), honker_enqueue('q', 'good'), honker_enqueue('only', 'bad')", "1|2|3"),
        // Passed over; the refusal is the error once there are only such jobs.
        ("SELECT id FROM json_to_recordset(honker_claim_batch('q', 'w', 5, 60)::json) AS j (id bigint)", "2"),
        ("SELECT honker_claim_batch('only', 'w', 5, 60)", "27000 not this one"),
        ("SELECT honker_cancel(1)", "P0001 not this one"),
        ("SELECT honker_enqueue('e', 'bad', NULL, NULL, 0, 3, 0), honker_enqueue('e', 'good', NULL, NULL, 0, 3, 0)", "4|5"),
        ("SELECT honker_sweep_expired('e')", "1"),
        ("SELECT honker_sweep_expired('e')", "27000 not this one"),
        ("DROP TRIGGER refuse ON _honker_live", ""),
        // Put back by hand, and left where it was: its second death is no trouble.
        ("SELECT honker_fail(2, 'w', 'first')", "1"),
        ("INSERT INTO _honker_live (id, queue, payload) SELECT id, queue, payload FROM _honker_dead WHERE id = 2", ""),
        ("SELECT honker_claim_batch('q', 'w', 9, 60) <> '[]', honker_fail(2, 'w', 'second')", "t|1"),
        ("SELECT last_error FROM _honker_dead WHERE id = 2", "second"),
    ]);
}

#[test]
fn all_there_is_can_be_claimed_one_by_one() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        (r#"SELECT honker_queue_configure('q', '{"concurrency_per_key": 1}')"#, "1"),
        (r#"SELECT count(honker_enqueue_with('q', 'p', '{"concurrency_key": "k"}')) FROM generate_series(1, 40)"#, "40"),
        ("SELECT count(honker_enqueue('q', 'p')) FROM generate_series(1, 40)", "40"),
        ("SELECT json_array_length(honker_claim_batch('q', 'w', -1, 60)::json)", "41"),
        ("SELECT honker_ack(1, 'w'), json_array_length(honker_claim_batch('q', 'w', 4611686018427387904, 60)::json)", "1|1"),
        ("CREATE FUNCTION public.look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$", ""),
        ("CREATE TRIGGER look BEFORE UPDATE ON _honker_live FOR EACH ROW EXECUTE FUNCTION public.look()", ""),
        ("SELECT count(honker_enqueue('other', 'p')) FROM generate_series(1, 40)", "40"),
        ("SELECT json_array_length(honker_claim_batch('other', 'w', -1, 60)::json)", "40"),
    ]);
}

/// One job is claimed in one statement where nothing is in the way, and otherwise the longer way.
#[test]
fn a_claim_of_one_job_sees_what_is_due_paused_and_limited() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    let claim = "SELECT honker_claim_batch('q', 'w', 1, 300)";
    let taken = "SELECT j->>'id', j->>'metadata' FROM json_array_elements(honker_claim_batch('q', 'w', 1, 300)::json) j";
    sql.at(1000).check(&[
        (
            "SELECT honker_enqueue('q', 'a'), honker_enqueue('q', 'b'), honker_enqueue('q', 'c', NULL, 1, 5)",
            "1|2|3",
        ),
        (taken, "1|∅"),
    ]);
    // What has become due comes first, and what was retried.
    sql.at(1001).check(&[
        (taken, "3|∅"),
        ("SELECT honker_retry(3, 'w', 0, 'again')", "1"),
        (taken, "3|∅"),
        ("SELECT honker_queue_configure('q', '{\"paused\":true}')", "1"),
        (claim, "[]"),
        ("SELECT honker_queue_configure('q', '{\"paused\":null,\"rate\":{\"limit\":1,\"per_s\":60}}')", "1"),
        (taken, "2|∅"),
        ("SELECT honker_enqueue('q', 'd') > 0", "t"),
        (claim, "[]"),
        ("SELECT honker_queue_configure('q', '{\"rate\":null}')", "1"),
        (taken, "4|∅"),
        (claim, "[]"),
        // Its options go with it, and its slot is taken.
        (
            r#"SELECT honker_enqueue_with('q', 'e', '{"metadata":{"a":"b"},"concurrency_key":"k"}')"#,
            r#"{"id":5,"status":"enqueued"}"#,
        ),
        (taken, r#"5|{"a":"b"}"#),
        ("SELECT job_id, key FROM _honker_slots", "5|k"),
    ]);
}
