//! Installing the schema, and who may do what.

mod common;

use common::Database;

#[test]
fn it_is_installed_again_and_by_two_at_once() {
    let Some(database) = Database::empty() else { return };
    let install = || database.connect().client.batch_execute(honker_postgres::SQL);
    std::thread::scope(|scope| {
        let both = [scope.spawn(install), scope.spawn(install)];
        for one in both {
            one.join().expect("no panic").expect("each is installed");
        }
    });
    let mut sql = database.connect();
    sql.check(&[
        ("SELECT version, min_version FROM _honker_schema", "1|1"),
        ("SELECT honker_enqueue('q', 'p')", "1"),
        // As before, for whoever goes on in this session.
        ("SHOW search_path", "honker, public"),
    ]);
    install().expect("once more");
    sql.check(&[("SELECT count(*) FROM _honker_live", "1"), ("SELECT honker_ack(1, 'w')", "0")]);
    // Whether or not it is within a transaction of an application's migrations.
    sql.check(&[("BEGIN", "")]);
    sql.client.batch_execute(honker_postgres::SQL).expect("within a transaction");
    sql.check(&[("SHOW search_path", "honker, public"), ("COMMIT", "")]);
    // Never backwards.
    sql.check(&[("UPDATE _honker_schema SET version = 99", "")]);
    let error = install().expect_err("it is newer");
    let error = error.as_db_error().expect("the server says so");
    assert_eq!(error.code().code(), "HK003");
    assert!(error.message().contains("of version 99"), "{error}");
}

#[test]
fn roles_may_do_what_their_level_has() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    let suffix = std::process::id();
    let (enqueuer, worker, nobody) =
        (format!("enqueuer_{suffix}"), format!("worker_{suffix}"), format!("nobody_{suffix}"));
    for role in [&enqueuer, &worker, &nobody] {
        sql.check(&[(&format!("CREATE ROLE {role}"), "")]);
    }
    sql.at(1000).check(&[
        (&format!("SELECT honker_grant('{enqueuer}', 'enqueue'), honker_grant('{worker}', 'work')"), "1|1"),
        ("SELECT honker_grant('x', 'everything')", "HK001 level must be enqueue, work or admin"),
        (&format!("SET ROLE {enqueuer}"), ""),
        ("SELECT honker_enqueue('q', 'p'), notify('c', 'n'), honker_stream_publish('t', NULL, 'e')", "1|1|1"),
        (r#"SELECT honker_enqueue_with('q', 'p', '{"unique_key": "k"}')"#, r#"{"id":2,"status":"enqueued"}"#),
        ("INSERT INTO _honker_live (queue, payload) VALUES ('q', 'plain')", ""),
        ("INSERT INTO _honker_stream (topic, payload) VALUES ('t', 'plain')", ""),
        ("SELECT honker_claim_batch('q', 'w', 1, 60)", "42501 permission denied for function honker_claim_batch"),
        ("SELECT count(*) FROM _honker_live", "42501 …"),
        ("INSERT INTO _honker_live (queue, payload, state) VALUES ('q', 'p', 'processing')", "42501 …"),
        ("SELECT _dead_letter(1000, 1, 'x')", "42501 …"),
        ("RESET ROLE", ""),
        (&format!("SET ROLE {worker}"), ""),
        ("SELECT honker_claim_batch('q', 'w', 1, 60) <> '', honker_ack(1, 'w'), count(*) FROM _honker_live", "t|1|3"),
        (r#"SELECT honker_queue_configure('q', '{"paused": true}')"#, "42501 permission denied for function honker_queue_configure"),
        ("DELETE FROM _honker_live", "42501 …"),
        ("RESET ROLE", ""),
        (&format!("SET ROLE {nobody}"), ""),
        ("SELECT honker.honker_enqueue('q', 'p')", "42501 permission denied for schema honker"),
        ("RESET ROLE", ""),
        (&format!("SELECT honker_grant('{worker}', 'admin')"), "1"),
        (&format!("SET ROLE {worker}"), ""),
        (r#"SELECT honker_queue_configure('q', '{"paused": true}')"#, "1"),
        ("RESET ROLE", ""),
    ]);
}

#[test]
fn no_plan_of_a_claim_depends_on_what_was_there_when_it_was_made() {
    // The clock of tests looks for more, and reads all for that.
    let Some(database) = Database::for_races() else { return };
    let mut sql = database.connect();
    // Every plan is made while there is nothing.
    sql.check(&[
        ("SELECT honker_claim_batch('q', 'w', 1, 60), honker_ack(1, 'w'), honker_queue_next_claim_at('q')", "[]|0|0"),
        ("INSERT INTO _honker_live (queue, payload, run_at, created_at) SELECT 'q', 'p', 1, 1 FROM generate_series(1, 20000)", ""),
        ("INSERT INTO _honker_live (queue, payload, run_at, created_at, priority) SELECT 'q', 'p', 9000000000, 1, 9 FROM generate_series(1, 20000)", ""),
        ("INSERT INTO _honker_job_options (job_id) SELECT n FROM generate_series(1000000, 1040000) n", ""),
    ]);
    // The server counts for the transaction that is open.
    sql.check(&[("BEGIN", "")]);
    let done = sql.ask(
        "SELECT count(*), sum(honker_ack((claimed.job #>> '{0,id}')::bigint, 'w'))
         FROM generate_series(1, 100) n, LATERAL (SELECT honker_claim_batch('q', 'w' || left(n::text, 0), 1, 60)::json AS job) claimed",
    );
    assert_eq!(done, "100|100");
    let scans = |what: &str| {
        format!(
            "SELECT {what} FROM pg_stat_xact_user_tables WHERE schemaname = 'honker' AND relname = '_honker_live'"
        )
    };
    sql.check(&[(&scans("seq_scan, idx_scan > 0"), "0|t"), ("COMMIT", "")]);
}

#[test]
fn with_the_servers_clock_a_lapsed_claim_is_seen_in_its_second() {
    let Some(database) = Database::empty() else { return };
    let mut sql = database.connect();
    sql.client.batch_execute(honker_postgres::SQL).expect("the schema can be installed");
    sql.check(&[
        ("SELECT honker_enqueue('q', 'p') FROM generate_series(1, 3)", "1\n2\n3"),
        // From the beginning of a second, so that the next two are in the same.
        ("SELECT pg_sleep(ceil(now) - now) IS NULL FROM date_part('epoch', clock_timestamp()) now", "f"),
        // Nothing is in the way, and in this second this connection does not look again.
        ("SELECT count(*) FROM honker_claim_batch('q', 'w', 1, 0) j WHERE j <> '[]'", "1"),
        ("SELECT honker_claim_batch('q', 'w', 2, 300) <> '[]', honker_claim_batch('other', 'w', 1, 0)", "t|[]"),
        ("SELECT pg_sleep(1.1) IS NULL", "f"),
        ("SELECT job ->> 'id', job ->> 'attempts' FROM json_array_elements(honker_claim_batch('q', 'v', 1, 300)::json) job", "1|2"),
        ("SELECT honker_claim_batch('q', 'v', 1, 300), honker_ack(1, 'w'), honker_ack(1, 'v')", "[]|0|1"),
        ("SELECT honker_retry(2, 'w', 0, 'x'), honker_release(3, 'w', 0)", "1|1"),
        ("SELECT json_array_length(honker_claim_batch('q', 'v', 9, 300)::json)", "2"),
    ]);
}

#[test]
fn a_role_that_is_no_superuser_installs_and_uses_it() {
    let Some(database) = Database::empty() else { return };
    let mut sql = database.connect();
    let owner = format!("owner_{}", std::process::id());
    sql.check(&[
        (&format!("CREATE ROLE {owner} NOSUPERUSER"), ""),
        (&format!("DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO {owner}', current_database()); END $$"), ""),
        (&format!("SET ROLE {owner}"), ""),
    ]);
    for _ in 0..2 {
        sql.client.batch_execute(honker_postgres::SQL).expect("the schema can be installed");
    }
    sql.check(&[
        ("INSERT INTO _honker_listeners (id, since) VALUES ('l', 1)", ""),
        ("SELECT honker_enqueue('q', 'p'), notify('c', 'n'), honker_stream_publish('t', NULL, 'e')", "1|1|1"),
        ("INSERT INTO _honker_live (queue, payload) VALUES ('q', 'plain')", ""),
        ("SELECT json_array_length(honker_claim_batch('q', 'w', 9, 60)::json), honker_ack(1, 'w'), honker_ack(2, 'w')", "2|1|1"),
        ("SELECT count(*) FROM _honker_live", "0"),
    ]);
}

#[test]
fn a_schema_of_somebody_else_is_not_installed_in() {
    let Some(database) = Database::empty() else { return };
    let mut sql = database.connect();
    let other = format!("other_{}", std::process::id());
    sql.check(&[
        (&format!("CREATE ROLE {other}"), ""),
        (&format!("CREATE SCHEMA honker AUTHORIZATION {other}"), ""),
    ]);
    let error = sql.client.batch_execute(honker_postgres::SQL).expect_err("it belongs to another role");
    assert_eq!(error.as_db_error().expect("the server says so").code().code(), "42501");
}

#[test]
fn a_grant_calls_nothing_of_others() {
    let Some(database) = Database::new() else { return };
    let mut sql = database.connect();
    let role = format!("granted_{}", std::process::id());
    sql.check(&[
        (&format!("CREATE ROLE {role}"), ""),
        ("CREATE FUNCTION public.format(text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'called'; END $$", ""),
        ("SET search_path = public, pg_catalog", ""),
        (&format!("SELECT honker.honker_grant('{role}', 'work')"), "1"),
    ]);
}
