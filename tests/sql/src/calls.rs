//! Calls of the functions, for tests of what holds for all of them.

use crate::Db;

/// One call or more of every function, with the answer each has to give (as [`Db::rows`] shows it), whatever the number
/// `n`, as long as each number is used once in a file. Together they run every statement that the functions have.
/// `now` is what the clock shows.
pub fn every_function(n: i64, now: i64) -> Vec<(String, String)> {
    let job = |payload: &str| {
        format!("(SELECT id FROM _honker_live WHERE queue = 'q{n}' AND payload = '{payload}')")
    };
    let many =
        "(WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c WHERE x < 40) SELECT x FROM c)";
    let unique_job = format!("(SELECT id FROM _honker_live WHERE queue = 'u{n}')");
    let option_job = format!("(SELECT id FROM _honker_live WHERE queue = 'o{n}')");
    let limits = r#"{"concurrency_per_key":1,"concurrency":9,"rate":{"limit":1000,"per_s":3600},"keep_done_s":60,"max_attempts":5}"#;
    let keyed = |queue: &str, options: &str| {
        format!("honker_enqueue_with('{queue}{n}', 'x', json_set('{options}', '$.concurrency_key', 'k{n}'))")
    };
    let state = |state: &str| {
        format!("(SELECT id FROM _honker_live WHERE queue = 'g{n}' AND state = '{state}' LIMIT 1)")
    };
    let batch = "(SELECT max(id) FROM _honker_batches)";
    let every = format!("CRON_TZ=UTC {} * * * *", n.rem_euclid(60));
    let calls = [
        ("honker_version()".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("honker_bootstrap()".to_owned(), "1".to_owned()),
        // Notifications.
        (format!("notify('c{n}', '{n}') > 0"), "1".into()),
        ("honker_prune_notifications(100, 100000)".into(), "0".into()),
        ("honker_prune_notifications(NULL, 0) > 0".into(), "1".into()),
        (format!("honker_notifications_configure('{{\"keep_s\":{}}}')", n + 1), "1".into()),
        ("honker_notifications_configure('{\"keep_s\":null}')".into(), "1".into()),
        // Jobs, one for each number of arguments; a delayed, an expired and an exhausted one.
        (format!("honker_enqueue('q{n}', '2') > 0"), "1".into()),
        (format!("honker_enqueue('q{n}', '3', {now} - 1) > 0"), "1".into()),
        (format!("honker_enqueue('q{n}', '4', NULL, -5) > 0"), "1".into()),
        (format!("honker_enqueue('q{n}', '5', NULL, NULL, {n} + 1) > 0"), "1".into()),
        (format!("honker_enqueue('q{n}', '6', NULL, NULL, 0, 1) > 0"), "1".into()),
        (format!("honker_enqueue('q{n}', '7', NULL, 50, 0, 3, NULL) > 0"), "1".into()),
        (format!("honker_enqueue('q{n}', 'expired', NULL, NULL, 0, 3, -1) > 0"), "1".into()),
        (format!("honker_enqueue('q{n}', 'exhausted', NULL, NULL, 0, 0, NULL) > 0"), "1".into()),
        (
            format!("honker_stats('q{n}')"),
            format!(r#"{{"queue":"q{n}","pending":6,"delayed":1,"claimed":0,"expired":1,"dead":0}}"#),
        ),
        ("json_type(honker_stats(NULL))".into(), "array".into()),
        // The exhausted job is something that a claim would do now.
        (format!("honker_queue_next_claim_at('q{n}')"), format!("{now}")),
        // A claim with all of that in its way, one without, and one of many.
        (format!("honker_claim_batch('q{n}', 'w', 1, 60) ->> '$[0].payload'"), "5".into()),
        (format!("honker_sweep_expired('q{n}')"), "1".into()),
        (format!("honker_sweep_expired('q{n}')"), "0".into()),
        (format!("honker_claim_batch('q{n}', 'w', 1, 60) ->> '$[0].payload'"), "4".into()),
        (format!("json_array_length(honker_claim_batch('q{n}', 'w', -1, 60))"), "3".into()),
        (format!("honker_claim_batch('q{n}', 'w', 1, 60)"), "[]".into()),
        (format!("honker_queue_next_claim_at('q{n}')"), format!("{}", now + 50)),
        (format!("honker_get_job({}) ->> 'state'", job("2")), "processing".into()),
        (format!("honker_get_job(-{n} - 1)"), String::new()),
        (format!("honker_heartbeat({}, 'w', {n} + 1)", job("2")), "1".into()),
        (format!("honker_retry({}, 'w', {n}, 'again')", job("2")), "1".into()),
        (format!("honker_retry({}, 'w', 0, 'spent')", job("6")), "1".into()),
        (format!("honker_fail({}, 'w', 'failed')", job("5")), "1".into()),
        (format!("honker_ack({}, 'w')", job("3")), "1".into()),
        (format!("honker_ack_batch('[' || {} || ', -1]', 'w')", job("4")), "1".into()),
        (format!("honker_cancel({})", job("7")), "1".into()),
        (format!("honker_cancel({})", job("2")), "1".into()),
        // Lapsed claims, few and many.
        (format!("honker_enqueue('q{n}', 'lapses') > 0"), "1".into()),
        (format!("json_array_length(honker_claim_batch('q{n}', 'w', 1, -1))"), "1".into()),
        (format!("honker_claim_batch('q{n}', 'v', 1, 60) ->> '$[0].attempts'"), "2".into()),
        (format!("count(honker_enqueue('many{n}', 'x')) FROM {many}"), "40".into()),
        (format!("json_array_length(honker_claim_batch('many{n}', 'w', -1, -1))"), "40".into()),
        (format!("honker_claim_batch('many{n}', 'v', 1, 60) ->> '$[0].attempts'"), "2".into()),
        (
            format!("count(honker_cancel(id)) FROM (SELECT id FROM _honker_live WHERE queue = 'many{n}')"),
            "40".into(),
        ),
        (format!("honker_ack({}, 'v')", job("lapses")), "1".into()),
        // A job with options.
        (
            format!("honker_enqueue_with('o{n}', 'x', '{{\"metadata\":{{\"k\":\"v{n}\"}}}}') ->> 'status'"),
            "enqueued".into(),
        ),
        (format!("honker_claim_batch('o{n}', 'w', 1, 60) ->> '$[0].metadata.k'"), format!("v{n}")),
        // Unique jobs: a key that is taken, one that is not, and one whose job is replaced.
        (
            format!(
                "honker_enqueue_with('u{n}', 'x', '{{\"unique_key\":\"k\",\"unique_for_s\":1}}') ->> 'status'"
            ),
            "enqueued".into(),
        ),
        (
            format!("honker_enqueue_with('u{n}', 'x', '{{\"unique_key\":\"k\"}}') ->> 'status'"),
            "exists".into(),
        ),
        (
            format!(
                "honker_enqueue_with('u{n}', 'x', '{{\"unique_key\":\"k\",\"unique_for_s\":2,\"on_conflict\":\"replace\"}}') ->> 'status'"
            ),
            "replaced".into(),
        ),
        (format!("json_array_length(honker_claim_batch('u{n}', 'w', 1, 60))"), "1".into()),
        (format!("honker_release({unique_job}, 'w', 0)"), "1".into()),
        (format!("json_array_length(honker_claim_batch('u{n}', 'w', 1, 60))"), "1".into()),
        (format!("honker_fail({unique_job}, 'w', 'e')"), "1".into()),
        (format!("honker_dead_requeue((SELECT id FROM _honker_dead WHERE queue = 'u{n}'))"), "1".into()),
        (format!("honker_cancel({unique_job})"), "1".into()),
        // Its steps.
        (format!("honker_step_save({option_job}, 'w', 'a', '{n}')"), format!("{n}")),
        (format!("honker_step_save({option_job}, 'w', 'a', 'other')"), format!("{n}")),
        (format!("honker_step_get({option_job}, 'a')"), format!("{n}")),
        (format!("honker_step_get({option_job}, 'b')"), "NULL".into()),
        (format!("honker_ack({option_job}, 'w')"), "1".into()),
        // A queue with limits: jobs of a key that waits, comes back, expires, and waits although it need not.
        (format!("honker_queue_configure('g{n}', '{limits}')"), "1".into()),
        (format!("honker_queue_settings('g{n}') ->> 'keep_done_s'"), "60".into()),
        ("json_type(honker_queues())".into(), "array".into()),
        ("json_type(honker_metrics() -> 'queues')".into(), "array".into()),
        ("json_type(honker_status() -> 'schema')".into(), "object".into()),
        (format!("count({}) FROM {many}", keyed("g", "{}")), "40".into()),
        (format!("honker_claim_batch('g{n}', 'w', 1, 60) ->> '$[0].payload'"), "x".into()),
        (format!("{} ->> 'status'", keyed("g", r#"{"expires_s":-1}"#)), "enqueued".into()),
        (format!("honker_queue_next_claim_at('g{n}')"), format!("{now}")),
        (format!("honker_claim_batch('g{n}', 'w', -1, 60)"), "[]".into()),
        (
            format!("honker_stats('g{n}')"),
            format!(r#"{{"queue":"g{n}","pending":39,"delayed":0,"claimed":1,"expired":1,"dead":0}}"#),
        ),
        (format!("honker_queue_next_claim_at('g{n}')"), format!("{}", now + 61)),
        (format!("honker_ack({}, 'w')", state("processing")), "1".into()),
        (format!("json_array_length(honker_claim_batch('g{n}', 'w', 1, 60))"), "1".into()),
        (
            format!(
                "honker_queue_configure('g{n}', '{{\"concurrency_per_key\":2}}') + honker_queue_next_claim_at('g{n}')"
            ),
            format!("{}", now + 1),
        ),
        (format!("json_array_length(honker_claim_batch('g{n}', 'w', -1, 60))"), "1".into()),
        (format!("honker_retry({}, 'w', 0, 'e')", state("processing")), "1".into()),
        (format!("honker_sweep_expired('g{n}')"), "1".into()),
        (
            format!("honker_queue_configure('g{n}', '{{\"concurrency_per_key\":null,\"paused\":true}}')"),
            "1".into(),
        ),
        (format!("honker_queue_next_claim_at('g{n}')"), "0".into()),
        (format!("honker_claim_batch('g{n}', 'w', 2, 60)"), "[]".into()),
        (format!("honker_queue_configure('g{n}', '{{\"paused\":null,\"concurrency\":1}}')"), "1".into()),
        (format!("honker_queue_next_claim_at('g{n}')"), format!("{}", now + 61)),
        (format!("honker_queue_configure('g{n}', '{{\"concurrency\":9}}')"), "1".into()),
        (format!("json_array_length(honker_claim_batch('g{n}', 'w', -1, 60))"), "8".into()),
        (format!("honker_enqueue('g{n}', 'y') > 0"), "1".into()),
        (
            format!("count(honker_cancel(id)) FROM (SELECT id FROM _honker_live WHERE queue = 'g{n}')"),
            "40".into(),
        ),
        (
            format!(
                "honker_queue_configure('g{n}', '{{\"concurrency\":null,\"rate\":null,\"keep_done_s\":null,\"max_attempts\":null}}')"
            ),
            "1".into(),
        ),
        // Batches.
        (
            format!("honker_batch_create('{{\"on_finished\":{{\"queue\":\"done{n}\",\"payload\":\"\"}}}}') > 0"),
            "1".into(),
        ),
        (
            format!("honker_enqueue_with('b{n}', 'x', '{{\"batch_id\":' || {batch} || '}}') ->> 'status'"),
            "enqueued".into(),
        ),
        (format!("honker_batch_seal({batch})"), "1".into()),
        (format!("honker_batch_seal({batch})"), "0".into()),
        (format!("json_array_length(honker_claim_batch('b{n}', 'w', 1, 60))"), "1".into()),
        (
            format!(
                "honker_enqueue_with('b{n}', 'y', '{{\"batch_id\":' || {batch} || ',\"member\":{{\"job_id\":' || id
                 || ',\"worker_id\":\"w\"}}}}') ->> 'status' FROM _honker_live WHERE queue = 'b{n}' AND payload = 'x'"
            ),
            "enqueued".into(),
        ),
        (
            format!("honker_fail(id, 'w', 'e') FROM _honker_live WHERE queue = 'b{n}' AND payload = 'x'"),
            "1".into(),
        ),
        (format!("honker_cancel(id) FROM _honker_live WHERE queue = 'b{n}'"), "1".into()),
        (format!("honker_batch_get({batch}) ->> 'cancelled'"), "1".into()),
        (format!("honker_claim_batch('done{n}', 'w', 1, 60) ->> '$[0].metadata.batch_id' > 0"), "1".into()),
        (format!("honker_ack(id, 'w') FROM _honker_live WHERE queue = 'done{n}'"), "1".into()),
        (
            format!("honker_dead_groups('b{n}') ->> '$[0].newest.last_error'"),
            "e".into(),
        ),
        ("json_type(honker_dead_groups(NULL))".into(), "array".into()),
        (
            format!("json_array_length(honker_jobs_list('{{\"queue\":\"b{n}\",\"batch_id\":' || {batch} || '}}'), '$.jobs')"),
            "1".into(),
        ),
        (format!("json_array_length(honker_jobs_list('{{\"queue\":\"b{n}\",\"order\":\"oldest\"}}'), '$.jobs')"), "1".into()),
        (
            format!("honker_jobs_apply('{{\"queue\":\"b{n}\",\"state\":\"dead\"}}', 'retry') ->> 'changed'"),
            "1".into(),
        ),
        (format!("honker_cancel(id) FROM _honker_live WHERE queue = 'b{n}'"), "1".into()),
        // The dead.
        (format!("json_array_length(honker_dead_list('q{n}', -1))"), "4".into()),
        ("json_array_length(honker_dead_list(NULL, 2))".into(), "2".into()),
        (
            format!(
                "honker_dead_requeue((SELECT id FROM _honker_dead WHERE queue = 'q{n}' AND payload = '5'))"
            ),
            "1".into(),
        ),
        (format!("honker_cancel({})", job("5")), "1".into()),
        (format!("honker_dead_purge('q{n}', -1)"), "3".into()),
        ("honker_dead_purge(NULL, 100)".into(), "0".into()),
        // Results.
        (format!("honker_result_save({n}, 'r{n}', 60)"), "1".into()),
        (format!("honker_result_save({n}, 's{n}', 60)"), "1".into()),
        (format!("honker_result_get({n})"), format!("s{n}")),
        (format!("honker_result_get(-{n} - 1)"), "NULL".into()),
        ("honker_result_sweep()".into(), "0".into()),
        // Locks and rate limits.
        (format!("honker_lock_acquire('l{n}', 'a', 60)"), "1".into()),
        (format!("honker_lock_acquire('l{n}', 'b', 60)"), "0".into()),
        (format!("honker_lock_renew('l{n}', 'a', 61)"), "1".into()),
        (format!("honker_lock_release('l{n}', 'a')"), "1".into()),
        (format!("honker_rate_limit_try('r{n}', 1, 60)"), "1".into()),
        (format!("honker_rate_limit_try('r{n}', 1, 60)"), "0".into()),
        ("honker_rate_limit_sweep(100)".into(), "0".into()),
        // Streams.
        (format!("honker_stream_publish('t{n}', NULL, '{n}') > 0"), "1".into()),
        (format!("honker_stream_publish('t{n}', 'k', '{n}') > 0"), "1".into()),
        (format!("honker_stream_read_since('t{n}', 0, 10) ->> '$[1].key'"), "k".into()),
        (format!("honker_stream_save_offset('me', 't{n}', {n} + 1)"), "1".into()),
        (format!("honker_stream_save_offset('me', 't{n}', {n})"), "0".into()),
        (format!("honker_stream_get_offset('me', 't{n}')"), format!("{}", n + 1)),
        (format!("honker_stream_configure('t{n}', '{{\"keep_s\":100,\"keep_n\":1}}')"), "1".into()),
        (format!("honker_stream_trim('t{n}', '{{\"past_consumers\":true}}')"), "1".into()),
        (format!("honker_stream_trim('t{n}', '{{\"keep_n\":0}}') <= 1"), "1".into()),
        (format!("honker_stream_configure('t{n}', '{{\"keep_s\":null,\"keep_n\":null}}')"), "1".into()),
        // Schedules.
        (format!("honker_scheduler_register('s{n}', 'f{n}', '{every}', 'p', 0, NULL)"), "1".into()),
        (format!("honker_scheduler_register('s{n}', 'f{n}', '@every 1h', 'p', 0, 60, 2)"), "1".into()),
        (format!("honker_scheduler_update('s{n}', NULL, 'p{n}', NULL, NULL, 0)"), "1".into()),
        (format!("honker_scheduler_update('s{n}', '@every 2h', NULL, {n}, NULL, 1, 4, 1)"), "1".into()),
        (format!("honker_scheduler_pause('s{n}')"), "1".into()),
        ("honker_scheduler_tick(0)".into(), "[]".into()),
        (format!("honker_scheduler_resume('s{n}')"), "1".into()),
        ("honker_scheduler_soonest()".into(), format!("{}", now + 7200)),
        ("honker_scheduler_list() ->> '$[0].payload'".into(), format!("p{n}")),
        (format!("honker_scheduler_tick({now} + 7200) ->> '$[0].queue'"), format!("f{n}")),
        (format!("json_array_length(honker_claim_batch('f{n}', 'w', 1, 60))"), "1".into()),
        (format!("honker_ack((SELECT id FROM _honker_live WHERE queue = 'f{n}'), 'w')"), "1".into()),
        (format!("honker_scheduler_unregister('s{n}')"), "1".into()),
        (
            format!("honker_scheduler_register_with('o{n}', 'w{n}', '@every 3h', 'p', '{{\"overlap\":\"skip\"}}')"),
            "1".into(),
        ),
        (
            format!("json_group_array(fire ->> 'status') FROM (SELECT value AS fire FROM json_each(honker_scheduler_tick({now} + 21600)) WHERE value ->> 'name' = 'o{n}')"),
            r#"[null,"skipped"]"#.into(),
        ),
        (format!("honker_scheduler_unregister('o{n}')"), "1".into()),
        (format!("honker_cancel((SELECT id FROM _honker_live WHERE queue = 'w{n}'))"), "1".into()),
        (format!("honker_cron_next_after('@every 7s', {n})"), format!("{}", n + 7)),
    ];
    calls.into_iter().map(|(call, answer)| (format!("SELECT {call}"), answer)).collect()
}

/// Calls that write, each with something to do once [`Db::furnish`] has run and time has passed.
pub const WRITES: &[&str] = &[
    "notify('c', 'x')",
    "honker_prune_notifications(NULL, 0)",
    "honker_enqueue('q', 'x')",
    "honker_enqueue_with('q', 'x', '{}')",
    "honker_enqueue_with('q', 'x', '{\"metadata\":{\"k\":\"v\"}}')",
    "honker_enqueue_with('unique', 'x', '{\"unique_key\":\"new\"}')",
    "honker_enqueue_with('unique', 'x', '{\"unique_key\":\"taken\",\"on_conflict\":\"replace\"}')",
    "honker_queue_configure('due', '{\"paused\":true}')",
    "honker_claim_batch('due', 'w', 1, 60)",
    "honker_claim_batch('due', 'w', 2, 60)",
    "honker_claim_batch('lapsed', 'w', 1, 60)",
    "honker_claim_batch('exhausted', 'w', 0, 60)",
    "honker_sweep_expired('expired')",
    "honker_heartbeat(1, 'w', 60)",
    "honker_batch_create('{}')",
    "honker_batch_seal((SELECT honker_batch_create('{}')))",
    "honker_step_save(1, 'w', 's', '1')",
    "honker_retry(1, 'w', 0, 'e')",
    "honker_retry(2, 'w', 0, 'e')",
    "honker_release(1, 'w', 0)",
    "honker_fail(1, 'w', 'e')",
    "honker_ack(1, 'w')",
    "honker_jobs_apply('{\"queue\":\"due\",\"limit\":1}', '{\"priority\":5}')",
    "honker_jobs_apply('{\"queue\":\"due\",\"limit\":1}', '{\"move\":\"moved\"}')",
    "honker_jobs_apply('{\"queue\":\"delayed\"}', 'run_now')",
    "honker_jobs_apply('{\"queue\":\"lapsed\"}', 'cancel')",
    "honker_ack_batch('[1, 2]', 'w')",
    "honker_cancel(1)",
    "honker_dead_requeue(3)",
    "honker_dead_purge(NULL, 0)",
    "honker_result_save(1, 'x', 60)",
    "honker_result_sweep()",
    "honker_lock_acquire('free', 'a', 60)",
    "honker_lock_acquire('stale', 'b', 60)",
    "honker_lock_renew('held', 'a', 60)",
    "honker_lock_release('held', 'a')",
    "honker_rate_limit_try('r', 9, 60)",
    "honker_rate_limit_sweep(0)",
    "honker_stream_publish('t', NULL, 'x')",
    "honker_stream_save_offset('c', 't', 5)",
    "honker_stream_configure('t', '{\"keep_s\":5}')",
    "honker_stream_trim('t', '{\"keep_n\":0}')",
    "honker_notifications_configure('{\"keep_s\":5}')",
    "honker_scheduler_register('new', 'f', '@every 1h', 'p', 0, NULL)",
    "honker_scheduler_register('s', 'f', '@every 2h', 'p', 0, NULL)",
    "honker_scheduler_register_with('with', 'f', '@every 1h', 'p', '{\"overlap\":\"skip\"}')",
    "honker_scheduler_update('s', NULL, 'y', NULL, NULL, 0)",
    "honker_scheduler_pause('s')",
    "honker_scheduler_resume('paused')",
    "honker_scheduler_tick(unixepoch())",
    "honker_scheduler_unregister('s')",
];

/// Calls that only read.
pub const READS: &[&str] = &[
    "honker_version()",
    "honker_get_job(1)",
    "honker_queue_next_claim_at('held')",
    "honker_queue_settings('held')",
    "honker_queues()",
    "honker_metrics()",
    "honker_status()",
    "honker_stats('held')",
    "honker_stats(NULL)",
    "honker_dead_list(NULL, -1)",
    "honker_dead_groups('fails')",
    "honker_dead_groups(NULL)",
    "honker_jobs_list('{}')",
    "honker_jobs_list('{\"batch_id\":1,\"order\":\"oldest\"}')",
    "honker_batch_get(1)",
    "honker_step_get(1, 's')",
    "honker_result_get(1)",
    "honker_stream_read_since('t', 0, -1)",
    "honker_stream_get_offset('c', 't')",
    "honker_scheduler_list()",
    "honker_scheduler_soonest()",
    "honker_cron_next_after('@every 1h', 0)",
];

/// Calls that could write and have nothing to write, once [`Db::furnish`] has run and time has passed.
pub const IDLE: &[&str] = &[
    "honker_bootstrap()",
    "honker_prune_notifications(NULL, NULL)",
    "honker_prune_notifications(1000, 1000)",
    "honker_queue_configure('due', '{\"paused\":null}')",
    "honker_claim_batch('none', 'w', 1, 60)",
    "honker_claim_batch('none', 'w', -1, 60)",
    "honker_claim_batch('held', 'v', 1, 60)",
    "honker_claim_batch('held', 'v', 5, 60)",
    "honker_claim_batch('delayed', 'v', 1, 60)",
    "honker_claim_batch('delayed', 'v', -1, 60)",
    "honker_claim_batch('expired', 'v', 1, 60)",
    "honker_claim_batch('due', 'v', 0, 60)",
    "honker_claim_batch('lapsed', 'v', 0, 60)",
    "honker_sweep_expired('due')",
    "honker_sweep_expired('held')",
    "honker_heartbeat(1, 'v', 60)",
    "honker_step_save(1, 'v', 's', '1')",
    "honker_retry(1, 'v', 0, 'e')",
    "honker_retry(2, 'v', 0, 'e')",
    "honker_release(1, 'v', 0)",
    "honker_fail(1, 'v', 'e')",
    "honker_ack(1, 'v')",
    "honker_ack_batch('[1, 2, 99]', 'v')",
    "honker_ack_batch('[]', 'w')",
    "honker_cancel(99)",
    "honker_jobs_apply('{\"queue\":\"none\"}', 'cancel')",
    "honker_jobs_apply('{\"queue\":\"due\"}', '{\"move\":\"due\"}')",
    "honker_dead_requeue(99)",
    "honker_dead_purge('none', 0)",
    "honker_dead_purge(NULL, 1000)",
    "honker_lock_acquire('held', 'b', 60)",
    "honker_lock_acquire('held', 'a', 600)",
    "honker_lock_renew('held', 'b', 60)",
    "honker_lock_release('held', 'b')",
    "honker_rate_limit_try('full', 1, 3600)",
    "honker_rate_limit_sweep(100000)",
    "honker_stream_save_offset('c', 't', 1)",
    "honker_stream_configure('t', '{}')",
    "honker_stream_trim('t', '{\"keep_n\":1}')",
    "honker_notifications_configure('{}')",
    "honker_stream_save_offset('c', 't', 0)",
    "honker_scheduler_update('s', NULL, NULL, NULL, 9, 0)",
    "honker_scheduler_update('none', '@every 1h', 'p', 1, 1, 1)",
    "honker_scheduler_pause('paused')",
    "honker_scheduler_resume('s')",
    "honker_scheduler_tick(0)",
    "honker_scheduler_unregister('none')",
];

impl Db {
    /// Runs [`every_function`] and checks the answers.
    #[track_caller]
    pub fn run_every_function(&self, n: i64) {
        for (sql, answer) in every_function(n, self.clock().now()) {
            assert_eq!(self.rows(&sql), answer, "{sql}");
        }
    }

    /// Puts into every table what [`WRITES`] needs, and lets ten seconds pass.
    pub fn furnish(&self) {
        self.run(
            "SELECT honker_enqueue('held', 'x'), honker_enqueue('held', 'x', NULL, NULL, 0, 1),
                    honker_claim_batch('held', 'w', 2, 3600);
             SELECT honker_enqueue('fails', 'x'), honker_claim_batch('fails', 'w', 1, 60), honker_fail(3, 'w', 'e');
             SELECT honker_enqueue('due', 'x') FROM (VALUES (1), (2), (3));
             SELECT honker_enqueue('delayed', 'x', NULL, 3600);
             SELECT honker_enqueue('lapsed', 'x'), honker_claim_batch('lapsed', 'w', 1, 1);
             SELECT honker_enqueue('exhausted', 'x', NULL, NULL, 0, 0);
             SELECT honker_enqueue('expired', 'x', NULL, NULL, 0, 3, 1) FROM (VALUES (1), (2));
             SELECT honker_enqueue_with('unique', 'x', '{\"unique_key\":\"taken\"}');
             SELECT notify('c', 'x'), honker_result_save(1, 'x', 1), honker_stream_publish('t', 'k', 'x');
             SELECT honker_lock_acquire('held', 'a', 3600), honker_lock_acquire('stale', 'a', 1);
             SELECT honker_rate_limit_try('r', 9, 1), honker_rate_limit_try('full', 1, 3600);
             SELECT honker_stream_save_offset('c', 't', 1);
             SELECT honker_scheduler_register('s', 'f', '@every 5s', 'p', 0, NULL);
             SELECT honker_scheduler_register('paused', 'f', '@every 1h', 'p', 0, NULL), honker_scheduler_pause('paused')",
        );
        self.clock().advance(10);
    }
}
