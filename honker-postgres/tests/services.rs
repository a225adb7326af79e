//! Streams, notifications, results, locks, rate limits, schedules, metrics, and what is there for libhonker alone.

mod common;

use common::Database;

#[test]
fn events_are_read_in_order_and_offsets_only_advance() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        ("SELECT honker_stream_publish('t', NULL, 'a'), honker_stream_publish('u', 'k', 'b'), honker_stream_publish('t', 'k', 'c')", "1|2|3"),
        ("SELECT honker_stream_read_since('t', 0, -1)",
         r#"[{"offset":1,"topic":"t","key":null,"payload":"a","created_at":1000},{"offset":3,"topic":"t","key":"k","payload":"c","created_at":1000}]"#),
        ("SELECT honker_stream_read_since('t', 0, 1)", r#"[{"offset":1,"topic":"t","key":null,"payload":"a","created_at":1000}]"#),
        ("SELECT honker_stream_read_since('t', 3, -1), honker_stream_read_since('t', 0, 0), honker_stream_read_since('v', 0, 9)", "[]|[]|[]"),
        ("SELECT honker_stream_get_offset('c', 't'), honker_stream_save_offset('c', 't', 0), honker_stream_save_offset('c', 't', 0)", "0|1|0"),
        ("SELECT honker_stream_save_offset('c', 't', 3), honker_stream_save_offset('c', 't', 2), honker_stream_get_offset('c', 't')", "1|0|3"),
        ("SELECT honker_stream_get_offset('t', 'c')", "0"),
        ("SELECT honker_stream_publish(NULL, NULL, 'x')", "HK001 Invalid function parameter type Null at index 0: topic must be TEXT"),
        ("BEGIN ISOLATION LEVEL REPEATABLE READ", ""),
        ("SELECT honker_stream_read_since('t', 0, 1)", "HK002 …"),
        ("ROLLBACK", ""),
    ]);
}

#[test]
fn a_publisher_that_commits_late_is_not_passed_over() {
    let Some(database) = Database::new() else { return };
    let (mut late, mut early, mut reader) = (database.connect(), database.connect(), database.connect());
    late.check(&[
        ("BEGIN", ""),
        ("SELECT honker_stream_publish('t', NULL, 'late')", "1"),
        ("SELECT notify('c', 'late')", "1"),
    ]);
    early.check(&[("SELECT honker_stream_publish('t', NULL, 'early'), notify('c', 'early')", "2|2")]);
    let events = "SELECT string_agg(payload, ',' ORDER BY \"offset\") FROM _stream_read('t', 0, -1)";
    let notifications = "SELECT string_agg(payload, ',' ORDER BY id) FROM _notifications_read('c', 0, -1)";
    reader.check(&[(events, "∅"), (notifications, "∅"), ("SELECT _notifications_latest()", "0")]);
    // What the transaction has done itself it sees, and no more than that is certain.
    late.check(&[(events, "late,early"), ("COMMIT", "")]);
    reader.check(&[
        (events, "late,early"),
        (notifications, "late,early"),
        ("SELECT _notifications_latest()", "2"),
    ]);
    // The same for plain INSERTs, and what was rolled back keeps nobody.
    late.check(&[("BEGIN", ""), ("INSERT INTO _honker_stream (topic, payload) VALUES ('t', 'plain')", "")]);
    early.check(&[("SELECT honker_stream_publish('t', NULL, 'next')", "4")]);
    reader.check(&[(events, "late,early")]);
    late.check(&[("ROLLBACK", "")]);
    reader.check(&[(events, "late,early,next")]);
    // A savepoint that is rolled back takes its lock with it, and the next number takes another.
    late.check(&[
        ("BEGIN", ""),
        ("SAVEPOINT s", ""),
        ("SELECT honker_stream_publish('t', NULL, 'undone')", "5"),
        ("ROLLBACK TO s", ""),
    ]);
    early.check(&[("SELECT honker_stream_publish('t', NULL, 'e6')", "6")]);
    reader.check(&[(events, "late,early,next,e6")]);
    late.check(&[("SELECT honker_stream_publish('t', NULL, 'l7')", "7")]);
    early.check(&[("SELECT honker_stream_publish('t', NULL, 'e8')", "8")]);
    reader.check(&[(events, "late,early,next,e6")]);
    late.check(&[("COMMIT", "")]);
    reader.check(&[(events, "late,early,next,e6,l7,e8")]);
}

#[test]
fn streams_are_trimmed_as_was_said() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    let left = "SELECT string_agg(payload, ',' ORDER BY \"offset\") FROM _honker_stream";
    sql.at(1000).check(&[
        ("SELECT count(honker_stream_publish('t', NULL, n::text)) FROM generate_series(1, 5) n", "5"),
        (r#"SELECT honker_stream_trim('t', '{}')"#, "0"),
        (r#"SELECT honker_stream_save_offset('c', 't', 2), honker_stream_trim('t', '{"keep_n": 1}')"#, "1|2"),
        (left, "3,4,5"),
        (r#"SELECT honker_stream_trim('t', '{"keep_n": 1, "past_consumers": true}')"#, "2"),
        (left, "5"),
        (r#"SELECT honker_stream_configure('t', '{"keep_s": 10}')"#, "1"),
        (r#"SELECT honker_stream_save_offset('c', 't', 99)"#, "1"),
    ]);
    sql.at(1009).check(&[(r#"SELECT honker_stream_trim('t', '{}')"#, "0")]);
    sql.at(1010).check(&[
        (r#"SELECT honker_stream_trim('t', '{}')"#, "1"),
        (r#"SELECT honker_stream_configure('t', '{"keep_n": 3, "keep_s": null}')"#, "1"),
        ("SELECT topic, keep_s, keep_n FROM _honker_streams", "t|∅|3"),
        (r#"SELECT honker_stream_configure('t', '{"keep_n": null}')"#, "1"),
        ("SELECT count(*) FROM _honker_streams", "0"),
        (
            r#"SELECT honker_stream_configure('t', '{"keep_s": 0}')"#,
            "HK001 options: keep_s must be an integer of at least 1 or null, not 0",
        ),
        (
            r#"SELECT honker_stream_configure('t', '{"past_consumers": true}')"#,
            "HK001 options: unknown key 'past_consumers'",
        ),
    ]);
}

#[test]
fn notifications_are_pruned_by_age_and_by_rank() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    let left = "SELECT coalesce(string_agg(id::text, ',' ORDER BY id), '') FROM _honker_notifications";
    for now in 1000..1006 {
        sql.at(now).ask("SELECT notify('c', 'p')");
    }
    sql.at(1010).check(&[
        ("DELETE FROM _honker_notifications WHERE id = 4", ""),
        ("SELECT honker_prune_notifications(NULL, NULL), honker_prune_notifications(10, NULL)", "0|0"),
        ("SELECT honker_prune_notifications(9, NULL)", "1"),
        (left, "2,3,5,6"),
        ("SELECT honker_prune_notifications(NULL, 9223372036854775807), honker_prune_notifications(NULL, 3)", "0|1"),
        (left, "3,5,6"),
        ("SELECT honker_prune_notifications(5, 2)", "2"),
        (left, "6"),
        ("SELECT honker_prune_notifications(NULL, -1)", "HK001 max_keep must not be negative"),
        ("SELECT honker_prune_notifications(NULL, 0)", "1"),
        (r#"SELECT honker_notifications_configure('{"keep_s": 5}'), value FROM (SELECT 1) one LEFT JOIN _honker_settings ON false"#, "1|∅"),
        ("SELECT value FROM _honker_settings WHERE name = 'notifications.keep_s'", "5"),
        (r#"SELECT honker_notifications_configure('{"keep": 5}')"#, "HK001 options: unknown key 'keep'"),
        ("SELECT notify('c', NULL)", "HK001 Invalid function parameter type Null at index 1: payload must be TEXT"),
    ]);
}

#[test]
fn results_expire() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        ("SELECT honker_result_get(1), honker_result_save(1, 'null', 10), honker_result_get(1)", "∅|1|null"),
        ("SELECT honker_result_save(2, 'x', 0), honker_result_save(3, 'y', -1)", "1|1"),
    ]);
    sql.at(1009).check(&[("SELECT honker_result_get(1), honker_result_sweep()", "null|0")]);
    sql.at(1010).check(&[
        ("SELECT honker_result_get(1), honker_result_sweep(), honker_result_sweep()", "∅|1|0"),
        ("SELECT honker_result_save(2, 'z', 5), value, created_at, expires_at FROM _honker_results WHERE job_id = 2", "1|x|1000|∅"),
        ("SELECT value, created_at, expires_at FROM _honker_results WHERE job_id = 2", "z|1000|1015"),
        ("SELECT count(*) FROM _honker_results", "2"),
    ]);
}

#[test]
fn locks_have_an_owner_and_an_end() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        ("SELECT honker_lock_acquire('l', 'a', 10), honker_lock_acquire('l', 'b', 10), honker_lock_acquire('m', 'b', 10)", "1|0|1"),
        ("SELECT honker_lock_acquire('l', 'a', 99), (SELECT expires_at FROM _honker_locks WHERE name = 'l')", "1|1010"),
        ("SELECT honker_lock_renew('l', 'b', 10), honker_lock_release('l', 'b')", "0|0"),
    ]);
    sql.at(1009).check(&[("SELECT honker_lock_acquire('l', 'b', 10)", "0")]);
    // Stale, and its owner may still renew it as long as nobody has taken it.
    sql.at(1010).check(&[
        ("SELECT honker_lock_renew('l', 'a', 10), honker_lock_acquire('l', 'b', 5)", "1|0"),
        ("SELECT honker_lock_acquire('m', 'c', 5), honker_lock_renew('m', 'b', 5), honker_lock_release('m', 'b')", "1|0|0"),
        ("SELECT honker_lock_release('l', 'a'), honker_lock_release('l', 'a'), honker_lock_acquire('l', 'b', 0), honker_lock_acquire('l', 'c', 9)", "1|0|1|1"),
        ("SELECT honker_lock_renew('l', 'c', 0)", "HK001 ttl_s must be positive"),
        ("SELECT * FROM _lock_holder('l')", "c|1019"),
    ]);
}

#[test]
fn rate_limits_count_what_is_let_through() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1005).check(&[
        ("SELECT honker_rate_limit_try('r', 2, 10), honker_rate_limit_try('r', 2, 10), honker_rate_limit_try('r', 2, 10), honker_rate_limit_try('s', 1, 10)", "1|1|0|1"),
        ("SELECT window_start, count FROM _honker_rate_limits ORDER BY name", "1000|2\n1000|1"),
        ("SELECT honker_rate_limit_try('r', 0, 10)", "HK001 limit and per must be positive"),
    ]);
    sql.at(1009)
        .check(&[("SELECT honker_rate_limit_try('r', 2, 10), honker_rate_limit_try('r', 3, 10)", "0|1")]);
    sql.at(1010).check(&[
        ("SELECT honker_rate_limit_try('r', 2, 10), honker_rate_limit_sweep(10), honker_rate_limit_sweep(9)", "1|0|2"),
        ("SELECT count(*) FROM _honker_rate_limits", "1"),
    ]);
    sql.at(-5).check(&[(
        "SELECT honker_rate_limit_try('n', 2, 10), window_start FROM _honker_rate_limits WHERE name = 'r'",
        "1|1010",
    )]);
    sql.check(&[("SELECT window_start FROM _honker_rate_limits WHERE name = 'n'", "-10")]);
}

#[test]
fn a_schedule_is_fired_by_compare_and_set() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    let put = |expression: &str, options: &str, next: i64| {
        format!(
            "SELECT _schedule_put('s', 'q', '{expression}', 'p', 2, 30, NULL, 'allow', {options}, {next})"
        )
    };
    sql.at(1000).check(&[
        ("SELECT honker_scheduler_soonest(), honker_scheduler_list(), count(*) FROM _schedules_due(9999)", "0|[]|0"),
        (&put("@every 10s", "NULL", 1010), ""),
        // The next boundary stays with the expression.
        (&put("@every 10s", "NULL", 1099), ""),
        ("SELECT honker_scheduler_soonest(), count(*) FROM _schedules_due(1009)", "1010|0"),
        ("SELECT honker_scheduler_list()",
         r#"[{"name":"s","queue":"q","cron_expr":"@every 10s","payload":"p","priority":2,"expires_s":30,"next_fire_at":1010,"enabled":true,"max_attempts":3,"error":null,"overlap":"allow","options":{}}]"#),
    ]);
    sql.at(1035).check(&[
        ("SELECT * FROM _schedules_due(1035)", "s|q|@every 10s|1010"),
        ("SELECT * FROM _schedule_fire('s', '@every 10s', 1010, '{1010,1020,1030}', 1040)",
         "s|q|1010|1|enqueued\ns|q|1020|2|enqueued\ns|q|1030|3|enqueued"),
        ("SELECT * FROM _schedule_fire('s', '@every 10s', 1010, '{1010,1020,1030}', 1040)", ""),
        ("SELECT id, priority, run_at, max_attempts, created_at, expires_at FROM _honker_live ORDER BY id",
         "1|2|1035|3|1035|1040\n2|2|1035|3|1035|1050\n3|2|1035|3|1035|1060"),
        ("SELECT value FROM _honker_settings WHERE name = 'schedule.last_fire_at.s'", "1030"),
        ("SELECT honker_scheduler_pause('s'), honker_scheduler_pause('s'), honker_scheduler_soonest()", "1|0|0"),
        ("SELECT count(*) FROM _schedule_fire('s', '@every 10s', 1040, '{1040}', 1050)", "0"),
        ("SELECT honker_scheduler_resume('s'), honker_scheduler_resume('s'), honker_scheduler_resume('none')", "1|0|0"),
        ("SELECT _schedule_update('s', NULL, NULL, 'p2', NULL, NULL, true, 3, true)", "t"),
        ("SELECT _schedule_update('s', NULL, NULL, NULL, NULL, NULL, false, NULL, false)", "f"),
        ("SELECT _schedule_update('none', '* * * * *', 2000, NULL, NULL, NULL, false, NULL, false)", "f"),
        ("SELECT payload, expires_s, max_attempts, next_fire_at FROM _honker_scheduler_tasks", "p2|∅|3|1040"),
        ("SELECT options FROM _honker_schedule_options", r#"{"max_attempts": 3}"#),
        // An expiry that is not set is none.
        ("SELECT job_id FROM _schedule_fire('s', '@every 10s', 1040, '{1040}', 1050)", "4"),
        ("SELECT expires_at FROM _honker_live WHERE id = 4", "∅"),
        ("SELECT honker_scheduler_unregister('s'), honker_scheduler_unregister('s')", "1|0"),
        ("SELECT (SELECT count(*) FROM _honker_schedule_options), (SELECT count(*) FROM _honker_settings)", "0|0"),
    ]);
}

#[test]
fn schedules_have_options_and_may_skip() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        (r#"SELECT _schedule_put('s', 'q', '@every 5s', 'p', 0, NULL, NULL, 'skip', '{"max_run_s": 9, "metadata": {"a": "1"}}', 1005)"#, ""),
        ("SELECT j ->> 'overlap', j ->> 'options' FROM json_array_elements(honker_scheduler_list()::json) j", r#"skip|{"metadata":{"a": "1"},"max_run_s":9}"#),
        ("SELECT fire_at, job_id, status FROM _schedule_fire('s', '@every 5s', 1005, '{1005,1010}', 1015)", "1005|1|enqueued\n1010|∅|skipped"),
        ("SELECT metadata, max_run_s FROM _honker_job_options", r#"{"a":"1"}|9"#),
        ("SELECT honker_cancel(1), job_id, status FROM _schedule_fire('s', '@every 5s', 1015, '{1015}', 1020)", "1|∅|skipped"),
        ("SELECT job_id, status FROM _schedule_fire('s', '@every 5s', 1020, '{1020}', 1025)", "2|enqueued"),
        (r#"SELECT _schedule_put('u', 'q', '@every 5s', 'p', 0, NULL, 7, 'allow', '{"unique_key": "k"}', 1005)"#, ""),
        ("SELECT fire_at, job_id, status FROM _schedule_fire('u', '@every 5s', 1005, '{1005,1010}', 1015)", "1005|3|enqueued\n1010|3|exists"),
        ("SELECT max_attempts FROM _honker_live WHERE id = 3", "7"),
        (r#"SELECT _schedule_put('x', 'q', '@every 5s', 'p', 0, NULL, NULL, 'allow', '{"run_at": 5}', 1)"#, "HK001 run_at is for a single job, not for those of a schedule"),
        (r#"SELECT _schedule_put('x', 'q', '@every 5s', 'p', 0, NULL, NULL, 'allow', '{"nope": 5}', 1)"#, "HK001 options: unknown key 'nope'"),
    ]);
}

#[test]
fn one_leads() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        ("SELECT _lead('a', NULL, false), _lead('b', NULL, false), _lead('b', NULL, true), _lead('a', NULL, true)", "t|f|f|t"),
        ("SELECT * FROM _leadership('{}')", "a|1060|∅|1000"),
    ]);
    sql.at(1059).check(&[("SELECT _lead('b', NULL, false)", "f")]);
    sql.at(1060).check(&[
        ("SELECT _lead('b', NULL, false), _lead('a', NULL, true)", "t|f"),
        // Nobody honest has it for so long.
        ("UPDATE _honker_locks SET expires_at = 1126", ""),
        ("SELECT owner FROM _leadership('{}')", "∅"),
        ("SELECT _lead('c', NULL, false)", "t"),
    ]);
}

#[test]
fn a_turn_settles_prolongs_and_claims() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    let turn = |settle: &str, held: &str, queues: &str, by_part: bool| {
        format!(
            "SELECT kind, n, code, (job).id, (job).attempts FROM _turn('w', 60, {settle}, {held}, true, {queues}, 9, {by_part}) WHERE kind <> 'w'"
        )
    };
    sql.at(1000).check(&[
        ("SELECT honker_enqueue('q', 'p') FROM generate_series(1, 6)", "1\n2\n3\n4\n5\n6"),
        ("SELECT honker_enqueue('r', 'p')", "7"),
        (
            &turn("'{}','{}','{}','{}','{}'", "'{}','{}'", "'{q,r}','{4,5}','{}'", false),
            "j|∅|∅|1|1\nj|∅|∅|2|1\nj|∅|∅|3|1\nj|∅|∅|4|1\nj|∅|∅|7|1",
        ),
    ]);
    sql.at(1010).check(&[
        ("SELECT honker_cancel(4)", "1"),
        (
            &turn(
                "'{1,2,99}','{ack,retry,ack}','{NULL,NULL,NULL}','{0,30,0}','{NULL,x,NULL}'",
                "'{3,4,7}','{1,1,2}'",
                "'{q}','{1}','{NULL,NULL,NULL}'",
                false,
            ),
            "s|0|1|∅|∅\ns|1|1|∅|∅\ns|2|0|∅|∅\nh|0|∅|∅|∅\nh|1|gone|∅|∅\nh|2|taken|∅|∅\np|1|∅|∅|∅\nj|∅|∅|5|1",
        ),
        (
            "SELECT id, state, run_at, claim_expires_at FROM _honker_live WHERE id IN (2, 3) ORDER BY id",
            "2|pending|1040|∅\n3|processing|1000|1070",
        ),
        (
            "SELECT may_claim, next_at, lost FROM _work_outlook('w', '{3,4}', '{1,1}', '{q,r}')",
            "t|1040|{NULL,gone}",
        ),
    ]);
    // What is refused does not keep the rest from being done.
    sql.check(&[
        ("CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.id = 3 THEN RAISE EXCEPTION 'no'; END IF; RETURN OLD; END $$", ""),
        ("CREATE TRIGGER refuse BEFORE DELETE ON _honker_live FOR EACH ROW EXECUTE FUNCTION public.refuse()", ""),
        (&turn("'{3,5}','{ack,ack}','{NULL,NULL}','{0,0}','{NULL,NULL}'", "'{}','{}'", "'{q}','{2}','{0,0}'", false), "P0001 no"),
        (&turn("'{3,5}','{ack,ack}','{NULL,NULL}','{0,0}','{NULL,NULL}'", "'{}','{}'", "'{q}','{1}','{0,0}'", true), "s|0|P0001|∅|∅\ns|1|1|∅|∅"),
        (&turn("'{3}','{release}','{0}','{0}','{NULL}'", "'{}','{}'", "'{q}','{1}','{0}'", true), "s|0|1|∅|∅\nj|∅|∅|6|1"),
    ]);
}

#[test]
fn many_are_enqueued_in_one_call() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        (r#"SELECT honker_queue_configure('b', '{"max_attempts": 8}')"#, "1"),
        ("SELECT * FROM _enqueue_many('{a,b,a}', '{x,y,z}', '{NULL,NULL,5}', '{NULL,7,NULL}', '{0,1,2}', '{NULL,NULL,4}', '{NULL,60,NULL}', NULL)",
         "0|1|enqueued\n1|2|enqueued\n2|3|enqueued"),
        ("SELECT id, queue, payload, priority, run_at, max_attempts, expires_at FROM _honker_live ORDER BY id",
         "1|a|x|0|1000|3|∅\n2|b|y|1|1007|8|1060\n3|a|z|2|5|4|∅"),
        (r#"SELECT * FROM _enqueue_many('{a,a,a}', '{x,y,z}', '{NULL,NULL,NULL}', '{NULL,NULL,NULL}', '{0,0,0}', '{NULL,NULL,NULL}', '{NULL,NULL,NULL}',
            ARRAY['{"unique_key": "k"}', NULL, '{"unique_key": "k"}'])"#, "0|4|enqueued\n1|5|enqueued\n2|4|exists"),
        ("SELECT count(*) FROM _enqueue_many('{}', '{}', '{}', '{}', '{}', '{}', '{}', NULL)", "0"),
        ("SELECT * FROM _enqueue('a', 'p', NULL, 5, 1, NULL, NULL, '{\"max_run_s\": 3}')", "7|enqueued"),
        (r#"SELECT * FROM _enqueue_many('{a,a}', '{x,y}', '{NULL,NULL}', '{NULL,NULL}', '{0,0}', '{NULL,NULL}', '{NULL,NULL}', ARRAY[NULL, '{"nope": 1}'])"#,
         "HK001 options: unknown key 'nope'"),
    ]);
}

#[test]
fn outlooks_say_whether_there_is_work_and_when() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(1000).check(&[
        ("SELECT honker_enqueue('q', 'p', NULL, 50), notify('c', 'n'), honker_stream_publish('t', NULL, 'e'), honker_result_save(5, 'r', 0)", "1|1|1|1"),
        (r#"SELECT n, work, at, code FROM _outlooks('[{"kind":"commit"}, {"kind":"jobs","worker_id":"w","queues":["q"],"held":[]},
            {"kind":"jobs","worker_id":"w","queues":[],"held":[[1,1]]}, {"kind":"notifications","channel":"c","after":0},
            {"kind":"notifications","channel":"c","after":1}, {"kind":"events","topic":"t","after":0}, {"kind":"events","topic":"t","after":1},
            {"kind":"result","job_id":5}, {"kind":"result","job_id":6}, {"kind":"leadership","owner":"o","leads":false}, {"kind":"oops"}]')"#,
         "0|t|∅|∅\n1|f|1050|∅\n2|t|∅|∅\n3|t|∅|∅\n4|f|∅|∅\n5|t|∅|∅\n6|f|∅|∅\n7|t|∅|∅\n8|f|∅|∅\n9|t|∅|∅\n10|f|∅|HK001"),
    ]);
}

#[test]
fn what_was_changed_is_told_to_who_listens() {
    let Some(database) = Database::new() else { return };
    let (mut listener, mut sql) = (database.connect(), database.connect());
    let received = |listener: &mut common::Session| {
        listener.ask("SELECT 1");
        let mut payloads = Vec::new();
        let mut notifications = listener.client.notifications();
        let mut iter = notifications.timeout_iter(std::time::Duration::from_millis(300));
        while let Ok(Some(notification)) = postgres::fallible_iterator::FallibleIterator::next(&mut iter) {
            payloads.push(notification.payload().to_owned());
        }
        payloads.sort();
        payloads.join(" ")
    };
    listener.check(&[("LISTEN honker", "")]);
    // Nobody has said that he waits.
    sql.check(&[("SELECT honker_enqueue('q', 'p')", "1")]);
    assert_eq!(received(&mut listener), "");
    listener.check(&[("SELECT _listen('0123456789abcdef0123456789abcdef')", "")]);
    sql.check(&[
        ("SELECT honker_enqueue('q', 'p')", "2"),
        ("INSERT INTO _honker_live (queue, payload) VALUES ('r', 'p'), ('r', 'p')", ""),
        (
            "SELECT honker_stream_publish('t', NULL, 'e'), notify('c', 'n'), honker_result_save(3, 'r', 0)",
            "1|1|1",
        ),
        ("BEGIN", ""),
        ("SELECT honker_enqueue('undone', 'p')", "5"),
        ("ROLLBACK", ""),
    ]);
    assert_eq!(received(&mut listener), r#"["c:c"] ["q:q"] ["q:r"] ["r:3"] ["t:t"]"#);
    // Gathered, for those who send by themselves.
    sql.check(&[
        ("SET honker.wake = 'collect'", ""),
        ("SELECT honker_enqueue('q', 'p') > 0, honker_enqueue('q', 'p') > 0, notify('c \"x', 'p') > 0, current_setting('honker.woken', true)", r#"t|t|t|"q:q","c:c \"x""#),
        ("BEGIN", ""),
        ("INSERT INTO _honker_live (queue, payload) VALUES ('r', 'p')", ""),
        ("SAVEPOINT s", ""),
        ("SELECT honker_enqueue('undone', 'p') > 0", "t"),
        ("ROLLBACK TO s", ""),
        ("SELECT current_setting('honker.woken', true)", r#""q:r""#),
        ("COMMIT", ""),
        ("SELECT current_setting('honker.woken', true)", ""),
        ("SET honker.wake = 'off'", ""),
        ("SELECT honker_enqueue('q', 'p') > 0, current_setting('honker.woken', true)", "t|"),
        (r#"SELECT _send('["q:sent"]', 'another')"#, "t"),
        // Who is told is not asked to tell himself.
        (r#"SELECT _send('["q:own"]', '0123456789abcdef0123456789abcdef')"#, "f"),
    ]);
    assert_eq!(received(&mut listener), r#"["q:sent"]"#);
    listener.check(&[("SELECT _unlisten('0123456789abcdef0123456789abcdef')", "")]);
    sql.check(&[(r#"SELECT _send('["q:sent"]', 'another')"#, "f")]);
}

#[test]
fn a_dead_instance_is_rescued_and_a_live_one_is_not() {
    let Some(database) = Database::new() else { return };
    let (mut sql, mut alive, mut dying) = (database.connect(), database.connect(), database.connect());
    let (a, d) = ("a".repeat(32), "d".repeat(32));
    // The server is older than the clock of this test says, whatever that is.
    let now = sql.number("SELECT floor(date_part('epoch', clock_timestamp()))::bigint + 1000");
    for (session, id) in [(&mut alive, &a), (&mut dying, &d)] {
        session.at(now).check(&[
            (&format!("SELECT _listen('{id}')"), ""),
            (&format!("SELECT _instance_register('{id}', 1, 'host')"), ""),
        ]);
    }
    sql.at(now).check(&[
        ("SELECT honker_enqueue('q', 'p') FROM generate_series(1, 3)", "1\n2\n3"),
        ("SELECT honker_enqueue('q', 'last', NULL, NULL, 0, 1)", "4"),
        (&format!("SELECT honker_claim_batch('q', 'w@{d}', 2, 300) <> '', honker_claim_batch('q', 'w@{a}', 1, 300) <> '', honker_claim_batch('q', 'w@{d}', 1, 300) <> ''"), "t|t|t"),
        ("SELECT count(*) FROM _instances_look()", "0"),
    ]);
    drop(dying);
    sql.until("SELECT count(*) FROM _instance_locks()", "1");
    // Seen from the first look that finds the lock absent.
    sql.at(now + 20).check(&[
        ("SELECT count(*) FROM _instances_look()", "0"),
        (&format!("SELECT * FROM _rescue('{d}')"), "0|f"),
    ]);
    sql.at(now + 34).check(&[("SELECT count(*) FROM _instances_look()", "0")]);
    sql.at(now + 35).check(&[
        ("SELECT * FROM _instances_look()", &d),
        (&format!("SELECT * FROM _rescue('{a}')"), "0|f"),
        // As libhonker asks, whose process counts nothing of it.
        ("SET honker.wake = 'collect'", ""),
        (&format!("SELECT * FROM _rescue('{d}')"), "3|t"),
        ("RESET honker.wake", ""),
        ("SELECT name, value FROM _honker_counters WHERE queue = 'q'", "dead|1"),
        (&format!("SELECT * FROM _rescue('{d}')"), "0|f"),
        (
            "SELECT string_agg(id || state || attempts, ',' ORDER BY id) FROM _honker_live",
            "1pending1,2pending1,3processing1",
        ),
        ("SELECT id, last_error FROM _honker_dead", "4|max attempts exceeded"),
        ("SELECT id FROM _honker_instances", &a),
        ("SELECT id FROM _honker_listeners", &a),
    ]);
    // Not dead is who was seen, though its connection is down.
    drop(alive);
    sql.until("SELECT count(*) FROM _instance_locks()", "0");
    sql.at(now + 40).check(&[("SELECT count(*) FROM _instances_look()", "0")]);
    sql.at(now + 54).check(&[(&format!("SELECT honker_heartbeat(3, 'w@{a}', 300)"), "1")]);
    sql.at(now + 60).check(&[("SELECT count(*) FROM _instances_look()", "0")]);
    sql.at(now + 69).check(&[("SELECT * FROM _instances_look()", &a)]);
}

#[test]
fn metrics_and_status_are_answered() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    sql.at(120_000).check(&[
        ("SELECT honker_metrics()", r#"{"queues":[]}"#),
        ("SELECT _counters_add(2000, '{q,q,q}', '{enqueued,wait_lt_1_s,run_sum_ms}', '{5,2,1500}')", "∅"),
        ("SELECT _counters_add(2000, '{q}', '{enqueued}', '{2}')", "∅"),
        ("SELECT honker_enqueue('q', 'p', 119990), honker_enqueue('r', 'p')", "1|2"),
        ("SELECT q #>> '{counts,enqueued}', q #>> '{wait,buckets,0,count}', q #>> '{run,sum_s}', q #>> '{depth,due}', q #>> '{depth,oldest_due_age_s}'
          FROM json_array_elements(honker_metrics()::json -> 'queues') q", "7|2|1.5|1|10\n0|0|0|1|0"),
        ("SELECT honker_enqueue('r', 'p', -9223372036854775808)", "3"),
        ("SELECT honker_metrics()::json #>> '{queues,1,depth,oldest_due_age_s}'", "9223372036854775807"),
        ("SELECT honker_status()::json #>> '{schema,version}', honker_version() <> ''", "1|t"),
    ]);
    sql.at(120_000 + 86_500).check(&[
        ("SELECT _maintenance_begin(), _maintenance_begin()", "t|f"),
        ("SELECT _maintenance_step(11), _maintenance_step(11)", "11|12"),
        (
            "SELECT minute, queue, name, value FROM _honker_counters ORDER BY name",
            "0|q|enqueued|7\n0|q|run_sum_ms|1500\n0|q|wait_lt_1_s|2",
        ),
        ("SELECT _maintenance_step(99)", "∅"),
    ]);
}

#[test]
fn who_listens_again_is_new_again() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    let id = "0".repeat(32);
    for now in [1000, 2000] {
        sql.at(now).check(&[
            (&format!("SELECT _listen('{id}')"), ""),
            ("SELECT since FROM _honker_listeners", &now.to_string()),
        ]);
    }
}
