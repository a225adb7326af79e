//! A search path on which others' functions and operators stand before the server's own: nothing of ours calls them.

use honker_core::consume::{Leader, Next, Worker, WorkerOptions};
use honker_core::queue::{Enqueue, Unique};
use honker_core::schedule::{Overlap, Registration};
use postgres::Client;

use crate::support::{LONG, Server, claim};

/// Functions and operators of the names that honker's SQL has, of the same types as the server's, each of which refuses to be
/// called; and tables of the names of ours.
const HOSTILE: &str = "
CREATE SCHEMA hostile;
DO $do$
DECLARE
  it record;
BEGIN
  FOR it IN
    SELECT p.proname AS name, pg_get_function_identity_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS result
    FROM pg_proc p
    WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind IN ('f', 'a') AND p.proname IN (
      SELECT called[1] FROM pg_proc h, regexp_matches(h.prosrc, '([a-z0-9_]+)\\(', 'g') called WHERE h.pronamespace = 'honker'::regnamespace)
  LOOP
    BEGIN
      EXECUTE format('CREATE FUNCTION hostile.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', it.name, it.arguments, it.result,
        'BEGIN RAISE EXCEPTION ''hostile: ' || it.name || '''; END');
    EXCEPTION WHEN OTHERS THEN NULL; -- That type no function of plpgsql may have.
    END;
  END LOOP;
  FOR it IN
    SELECT o.oprname AS name, o.oprleft::regtype AS l, o.oprright::regtype AS r, o.oprresult::regtype AS result
    FROM pg_operator o
    WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprkind = 'b' AND o.oprname IN ('=', '<>', '<', '>', '<=', '>=', '+', '-', '/', '*', '||', '->>', '->', '#>>')
      AND o.oprleft::regtype::text IN ('bigint', 'integer', 'text', 'boolean', 'json', 'jsonb', 'oid', 'name', 'double precision', 'anyarray')
  LOOP
    BEGIN
      EXECUTE format('CREATE FUNCTION hostile.refuse(%s, %s) RETURNS %s LANGUAGE plpgsql AS %L', it.l, it.r, it.result,
        'BEGIN RAISE EXCEPTION ''hostile: an operator''; END');
    EXCEPTION WHEN duplicate_function THEN NULL;
    END;
    EXECUTE format('CREATE OPERATOR hostile.%s (FUNCTION = hostile.refuse, LEFTARG = %s, RIGHTARG = %s)', it.name, it.l, it.r);
  END LOOP;
  FOR it IN SELECT tablename AS name FROM pg_tables WHERE schemaname = 'honker' LOOP
    EXECUTE format('CREATE TABLE hostile.%I ()', it.name);
  END LOOP;
END $do$";

const PATH: &str = "hostile, public, pg_catalog";

/// The server, a connection with that path, and one that is as usual.
fn hostile() -> Option<(Server, Client, Client)> {
    let server = Server::new()?;
    let (mut usual, mut client) = (server.client(), server.client());
    usual.batch_execute(HOSTILE).unwrap();
    let counts = "SELECT (SELECT count(*) FROM pg_proc WHERE pronamespace = 'hostile'::regnamespace),
        (SELECT count(*) FROM pg_operator WHERE oprnamespace = 'hostile'::regnamespace)";
    let row = usual.query_one(counts, &[]).unwrap();
    assert!(row.get::<_, i64>(0) > 150 && row.get::<_, i64>(1) > 80, "{row:?}");
    client.batch_execute(&format!("SET search_path = {PATH}")).unwrap();
    for called in ["SELECT floor(1.5::float8)", "SELECT 1 = 1", "SELECT 'a'::text || 'b'::text"] {
        let refused = client.batch_execute(called).unwrap_err();
        assert!(refused.as_db_error().unwrap().message().starts_with("hostile: "), "{called}: {refused:?}");
    }
    Some((server, client, usual))
}

#[test]
fn whoever_may_call_a_function_calls_it_with_its_own_search_path() {
    let Some(server) = Server::new() else { return };
    let role = format!("path_{}", std::process::id());
    let mut client = server.client();
    client
        .batch_execute(&format!("CREATE ROLE {role}; SELECT honker.honker_grant('{role}', 'admin')"))
        .unwrap();
    // The clock is called with that of whoever makes a plain INSERT, and calls what it does by full names.
    let sql = "SELECT coalesce(string_agg(p.proname, ' '), '') FROM pg_proc p
         WHERE p.pronamespace = 'honker'::regnamespace AND p.proname <> '_now' AND has_function_privilege($1, p.oid, 'EXECUTE')
           AND NOT coalesce(p.proconfig, '{}') && ARRAY['search_path=honker, pg_temp', 'search_path=pg_catalog, pg_temp']";
    assert_eq!(client.query_one(sql, &[&role]).unwrap().get::<_, String>(0), "");
    client.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).unwrap();
}

#[test]
fn nothing_of_others_is_called_from_sql() {
    let Some((_server, mut client, mut usual)) = hostile() else { return };
    // Somebody listens, so that triggers have something to do.
    usual.batch_execute("LISTEN honker; SELECT honker._listen('somebody')").unwrap();
    for sql in [
        "SELECT honker.honker_version(), honker.honker_status(), honker.honker_bootstrap()",
        "INSERT INTO honker._honker_live (queue, payload) VALUES ('q', 'plain')",
        "INSERT INTO honker._honker_stream (topic, payload) VALUES ('t', 'plain')",
        "INSERT INTO honker._honker_notifications (channel, payload) VALUES ('c', 'plain')",
        "SELECT honker.honker_enqueue('q', 'p'), honker.honker_enqueue('q', 'p', NULL, 60, 1, 2, 90)",
        r#"SELECT honker.honker_enqueue_with('q', 'p', '{"unique_key": "k", "concurrency_key": "c", "metadata": {"a": "b"}}')"#,
        r#"SELECT honker.honker_queue_configure('q', '{"concurrency": 5, "concurrency_per_key": 2, "rate": {"limit": 9, "per_s": 60}, "keep_done_s": 60}')"#,
        "SELECT honker.honker_claim_batch('q', 'w', 3, 60)",
        "SELECT honker.honker_step_save(1, 'w', 's', '1'), honker.honker_step_get(1, 's')",
        "SELECT honker.honker_heartbeat(1, 'w', 60), honker.honker_ack(1, 'w'), honker.honker_retry(2, 'w', 0, 'e')",
        "SELECT honker.honker_claim_batch('q', 'w', 3, 60), honker.honker_fail(2, 'w', 'e'), honker.honker_cancel(3)",
        "SELECT honker.honker_dead_list(NULL, 9), honker.honker_dead_groups(NULL), honker.honker_dead_requeue(2)",
        "SELECT honker.honker_queue_next_claim_at('q'), honker.honker_sweep_expired('q')",
        "SELECT honker.honker_stats('q'), honker.honker_metrics(), honker.honker_queues(), honker.honker_jobs_list('{}')",
        "SELECT honker.honker_stream_publish('t', 'k', 'p'), honker.honker_stream_read_since('t', 0, 9)",
        "SELECT honker.honker_stream_save_offset('me', 't', 1), honker.honker_stream_get_offset('me', 't')",
        "SELECT honker.notify('c', 'p'), honker.honker_prune_notifications(60, 9)",
        "SELECT honker.honker_result_save(1, 'v', 60), honker.honker_result_get(1), honker.honker_result_sweep()",
        "SELECT honker.honker_lock_acquire('l', 'me', 60), honker.honker_lock_renew('l', 'me', 60), honker.honker_lock_release('l', 'me')",
        "SELECT honker.honker_rate_limit_try('r', 1, 60), honker.honker_rate_limit_sweep(0)",
        r#"SELECT honker.honker_batch_create('{"on_finished": {"queue": "q", "payload": "p"}}'), honker.honker_batch_seal(1)"#,
        "SELECT honker.honker_scheduler_list(), honker.honker_scheduler_soonest(), honker.honker_scheduler_pause('s')",
        r#"SELECT honker.honker_jobs_apply('{"queue": "q"}', 'cancel'), honker.honker_dead_purge(NULL, 0)"#,
    ] {
        client.batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
    // Nor when it is installed, as an upgrade does.
    client.batch_execute(honker_postgres::SQL).unwrap();
    let path = client.query_one("SHOW search_path", &[]).unwrap();
    assert_eq!(path.get::<_, &str>(0), PATH);
}

#[test]
fn nothing_of_others_is_called_by_the_engine() {
    let Some((server, _client, mut usual)) = hostile() else { return };
    usual
        .batch_execute(&format!(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = {PATH}', current_database()); END $$"
        ))
        .unwrap();
    let database = server.open();
    let mut worker = Worker::new(&database, "q", "w", WorkerOptions::default()).unwrap();
    assert_eq!(worker.next(1, Some(std::time::Duration::ZERO)).unwrap(), Next::Timeout);
    let unique = Unique { key: "k", until: Default::default(), for_s: None, on_conflict: Default::default() };
    database.enqueue(&Enqueue { unique: Some(unique), ..Enqueue::new("q", "p") }).unwrap();
    let Next::Item(batch) = worker.next(1, LONG).unwrap() else { panic!("nothing") };
    assert!(database.ack(batch.jobs[0].id, &batch.jobs[0].worker_id).unwrap());
    let ids: Vec<i64> = database
        .enqueue_many(&[Enqueue::new("r", "1"), Enqueue::new("r", "2")])
        .unwrap()
        .iter()
        .map(|it| it.id)
        .collect();
    assert_eq!(claim(&database, "r", "w", 9).len(), 2);
    assert_eq!(database.ack_batch(&ids, "w").unwrap(), 2);
    let mut transaction = database.begin().unwrap();
    transaction.stream_publish("t", None, "p").unwrap();
    transaction.notify("c", "p").unwrap();
    transaction.commit().unwrap();
    let job = Enqueue::new("s", "p");
    database
        .scheduler_register(&Registration {
            name: "s",
            expression: "@every 1s",
            job,
            overlap: Overlap::Allow,
        })
        .unwrap();
    let mut leader = Leader::new(&database, "me").unwrap();
    assert!(matches!(leader.next(LONG).unwrap(), Next::Item(_)));
    drop(leader);
    // By another process's job, of which nobody has told: the look of once a second.
    usual.batch_execute("SET honker.wake = 'off'; SELECT honker.honker_enqueue('q', 'p')").unwrap();
    assert!(matches!(worker.next(1, LONG).unwrap(), Next::Item(_)));
    let metrics = database.metrics().unwrap();
    assert_eq!(metrics.queues.iter().find(|it| it.queue == "r").unwrap().counts.done, 2);
    let warnings = database.status().unwrap().watcher.unwrap().warnings;
    assert!(warnings.is_empty(), "{warnings:?}");
}
