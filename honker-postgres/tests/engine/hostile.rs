//! What goes wrong on the way to a server, and statements that mean no good.

use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use honker_core::Error;
use honker_core::consume::{Next, Worker, WorkerOptions};
use honker_core::database::{Options, Value};
use honker_postgres::connect;

use crate::restart::{server, with_own_server};
use crate::support::{LONG, Server, count, enqueue, value, wait_until};

#[test]
fn a_server_that_takes_a_connection_and_says_nothing_is_given_up() {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://me@127.0.0.1:{}/app?connect_timeout=1", mute.local_addr().unwrap().port());
    let start = Instant::now();
    let refused = connect(&url, &Default::default(), false).map(|_| ()).unwrap_err();
    assert!(
        matches!(&refused, Error::Connection(cause) if cause.message.contains("too long")),
        "{refused:?}"
    );
    assert!(start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
}

#[test]
fn the_next_host_is_tried() {
    let Some(server) = Server::new() else { return };
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let (base, folder) = server.url.split_once("?host=").unwrap();
    let url = format!(
        "{base}?host=127.0.0.1,{folder}&port={},5432&connect_timeout=1",
        mute.local_addr().unwrap().port()
    );
    let database = connect(&url, &Default::default(), false).unwrap();
    enqueue(&database, "q", "p");
}

#[test]
fn a_statement_with_too_few_or_too_many_parameters_is_wrong_and_nothing_is_lost() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let pid = value(&database, "SELECT pg_backend_pid()");
    for (sql, parameters) in [("SELECT ?::int", 0), ("SELECT ?::int, ?::int", 1), ("SELECT 1", 1)] {
        let parameters = vec![Value::Integer(1); parameters];
        let refused = database.query(sql, &parameters);
        assert!(matches!(refused, Err(Error::Sql(_))), "{sql}: {refused:?}");
    }
    let many = vec![Value::Integer(1); 70_000];
    let refused = database.query("SELECT 1", &many);
    assert!(matches!(refused, Err(Error::TooBig(_))), "{:?}", refused.map(|_| ()));
    assert_eq!(value(&database, "SELECT pg_backend_pid()"), pid, "it is the same connection");
}

#[test]
fn a_parameter_that_the_statement_does_not_name_is_passed_over() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let given = [Value::from("a"), Value::from("b"), Value::from("c")];
    let ask = |sql: &str, parameters: &[Value]| database.query(sql, parameters).map(|found| found.rows);
    assert_eq!(ask("SELECT ?2::text", &given[..2]).unwrap(), [[Value::from("b")]]);
    assert_eq!(ask("SELECT ?3 || ?1 || ?3", &given).unwrap(), [[Value::from("cac")]]);
    // Also where nothing is answered, and what would be has to be described.
    let none = database.query("SELECT ?2 AS x WHERE false", &given[..2]).unwrap();
    assert_eq!(none.columns, ["x"]);
    let mut transaction = database.begin().unwrap();
    let sql = "CREATE FUNCTION second(text, text) RETURNS text LANGUAGE sql AS 'SELECT $2'";
    transaction.execute(sql, &[]).unwrap();
    transaction.commit().unwrap();
    for given in [&given[..1], &given] {
        let refused = ask("SELECT ?2::text", given).unwrap_err();
        let said = format!("the statement has 2 parameters, and {} were given", given.len());
        assert!(matches!(&refused, Error::Sql(cause) if cause.message == said), "{refused:?}");
    }
}

#[test]
fn what_would_be_copied_to_or_from_the_client_is_refused() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    for sql in ["COPY honker._honker_live FROM STDIN", "/* x */ copy (SELECT 1) to stdout"] {
        let refused = database.query(sql, &[]);
        assert!(matches!(refused, Err(Error::Unsupported(_))), "{sql}: {refused:?}");
        let mut transaction = database.begin().unwrap();
        let refused = transaction.execute(sql, &[]);
        assert!(matches!(refused, Err(Error::Unsupported(_))), "{sql}: {refused:?}");
        transaction.commit().unwrap();
    }
}

#[test]
fn who_somebody_became_the_next_one_is_not() {
    let Some(server) = Server::new() else { return };
    let database = server.open_with(&Options { readers_max: 1, ..Options::default() });
    let me = value(&database, "SELECT current_user || session_user");
    for sql in ["SET ROLE pg_monitor", "SET SESSION AUTHORIZATION pg_monitor", "PREPARE mine AS SELECT 1"] {
        for _ in 0..4 {
            let mut transaction = database.begin().unwrap();
            transaction.execute(sql, &[]).unwrap();
            transaction.execute("DECLARE held CURSOR WITH HOLD FOR SELECT 1", &[]).unwrap();
            transaction.commit().unwrap();
            assert_eq!(value(&database, "SELECT current_user || session_user"), me, "{sql}");
            assert_eq!(count(&database, "pg_cursors WHERE name = 'held'"), 0, "{sql}");
        }
    }
}

#[test]
fn a_server_that_takes_no_more_connections_is_used_with_those_there_are() {
    let Some(server) = Server::new() else { return };
    let role = format!("few_{}", std::process::id());
    let sql =
        format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT 2; SELECT honker.honker_grant('{role}', 'admin')");
    server.client().batch_execute(&sql).unwrap();
    let url = server.url.replace("user=app", &format!("user={role}"));
    let database = connect(&url, &Default::default(), false).unwrap();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..10 {
                        enqueue(&database, "q", "p");
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    assert_eq!(count(&database, "honker._honker_live"), 80);
}

#[test]
fn a_process_that_was_taken_for_dead_says_again_that_it_is_there() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    enqueue(&database, "q", "p");
    let mut worker = Worker::new(&database, "q", "w", WorkerOptions::default()).unwrap();
    assert!(matches!(worker.next(1, LONG).unwrap(), Next::Item(_)));
    let mut other = server.client();
    other.batch_execute("DELETE FROM honker._honker_instances").unwrap();
    other
        .batch_execute(
            "SELECT pg_terminate_backend(l.pid) FROM pg_locks l
             WHERE locktype = 'advisory' AND mode = 'ShareLock' AND pid <> pg_backend_pid()
               AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        .unwrap();
    wait_until("its row is back", || count(&database, "honker._honker_instances") == 1);
}

#[test]
fn a_process_without_its_lock_says_from_time_to_time_that_it_is_alive() {
    let Some(server) = Server::new() else { return };
    let role = format!("listener_{}", std::process::id());
    let sql = format!("CREATE ROLE {role} LOGIN; SELECT honker.honker_grant('{role}', 'work')");
    server.client().batch_execute(&sql).unwrap();
    let listen: String = server
        .url
        .replace("user=app", &format!("user={role}"))
        .bytes()
        .map(|byte| format!("%{byte:02X}"))
        .collect();
    let url = format!("{}&honker_listen={listen}", server.url);
    let database = connect(&url, &Default::default(), false).unwrap();
    enqueue(&database, "q", "p");
    let mut worker = Worker::new(&database, "q", "w", WorkerOptions::default()).unwrap();
    assert!(matches!(worker.next(1, LONG).unwrap(), Next::Item(_)));
    // Its handler takes its time; it asks for nothing more.
    let mut other = server.client();
    let is_held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock'
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(value(&database, is_held), Value::Integer(1));
    other.batch_execute(&format!("ALTER ROLE {role} NOLOGIN")).unwrap();
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'");
    other.batch_execute(&end).unwrap();
    for _ in 0..2 {
        other.batch_execute("UPDATE honker._honker_instances SET seen_at = 0").unwrap();
        wait_until("it says so", || count(&database, "honker._honker_instances WHERE seen_at > 0") == 1);
    }
    other.batch_execute(&format!("ALTER ROLE {role} LOGIN")).unwrap();
    wait_until("its lock is there again", || value(&database, is_held) == Value::Integer(1));
}

/// Stops all processes of the server, as a machine does that hangs.
fn freeze(signal: &str) {
    let folder = std::env::var("HONKER_POSTGRES_FOLDER").unwrap();
    let pid = std::fs::read_to_string(format!("{folder}/data/postmaster.pid")).unwrap();
    let pid = pid.lines().next().unwrap().to_owned();
    let children = Command::new("ps").args(["-o", "pid=", "--ppid", &pid]).output().unwrap();
    let children = String::from_utf8(children.stdout).unwrap();
    let all = std::iter::once(&*pid).chain(children.split_whitespace());
    // One that has ended meanwhile is no matter.
    let _ = Command::new("kill").arg(signal).args(all).output().unwrap();
}

#[test]
fn a_server_that_hangs_is_left_by_an_interrupt_and_by_closing() {
    if !with_own_server("hostile::a_server_that_hangs_is_left_by_an_interrupt_and_by_closing") {
        return;
    }
    let url = std::env::var("HONKER_POSTGRES_URL").unwrap();
    let database = connect(&url, &Default::default(), true).unwrap();
    let mut worker = Worker::new(&database, "q", "w", WorkerOptions::default()).unwrap();
    assert_eq!(worker.next(1, Some(Duration::ZERO)).unwrap(), Next::Timeout);
    database.lock_acquire("l", "me", 60).unwrap();
    freeze("-STOP");
    thread::scope(|scope| {
        let calls: Vec<_> = (0..3).map(|_| scope.spawn(|| database.notifications_latest())).collect();
        thread::sleep(Duration::from_millis(500));
        let start = Instant::now();
        database.interrupt().unwrap();
        for call in calls {
            let ended = call.join().unwrap();
            assert!(matches!(ended, Err(Error::Interrupted(_))), "{ended:?}");
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        let call = scope.spawn(|| database.notifications_latest());
        thread::sleep(Duration::from_millis(500));
        let start = Instant::now();
        database.close().unwrap();
        assert_eq!(call.join().unwrap(), Err(Error::Closed));
        assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
    });
    freeze("-CONT");
    drop(worker);
    server("stop", &["immediate"]);
    server("start", &[]);
    enqueue(&connect(&url, &Default::default(), false).unwrap(), "q", "p");
}

#[test]
fn opening_and_closing_leaves_nothing_behind() {
    let Some(server) = Server::new() else { return };
    // Others' tests open and close as well.
    if std::env::var_os("HONKER_TEST_ALONE").is_none() {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "hostile::opening_and_closing_leaves_nothing_behind", "--nocapture"])
            .env("HONKER_TEST_ALONE", "1")
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    let entries = |folder: &str| std::fs::read_dir(folder).map_or(0, |entries| entries.count());
    let resident = || {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        pages.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4
    };
    let once = || {
        let database = server.open();
        let mut worker = Worker::new(&database, "q", "w", WorkerOptions::default()).unwrap();
        assert_eq!(worker.next(1, Some(Duration::ZERO)).unwrap(), Next::Timeout);
        enqueue(&database, "other", "p");
        drop(worker);
        database.close().unwrap();
    };
    let rounds = if std::env::var_os("HONKER_TEST_LONG").is_some() { 1000 } else { 60 };
    (0..20).for_each(|_| once());
    let before = (entries("/proc/self/fd"), entries("/proc/self/task"), resident());
    (0..rounds).for_each(|_| once());
    // A thread that has ended is there for a moment longer.
    wait_until("threads and descriptors are as before", || {
        entries("/proc/self/fd") <= before.0 && entries("/proc/self/task") <= before.1
    });
    assert!(resident() < before.2 + 4096 + rounds * 4, "{} kB became {}", before.2, resident());
}
