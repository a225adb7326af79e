//! A server that goes away and comes back. It is one of its own: the others' tests are not to notice.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use honker_core::Error;
use honker_core::consume::{Next, Worker, WorkerOptions};
use honker_core::queue::Enqueue;
use honker_postgres::connect;

use crate::support::{claim, wait_until};

const INSIDE: &str = "HONKER_TEST_RESTART";

/// Runs the test of this name again, with a server of its own.
pub fn with_own_server(test: &str) -> bool {
    with_own_server_set(test, &[], &[])
}

/// The same, with settings of the server, and variables of the environment.
pub fn with_own_server_set(test: &str, settings: &[String], variables: &[(&str, &str)]) -> bool {
    if std::env::var_os("HONKER_POSTGRES_URL").is_none() {
        println!("SKIPPED postgres: no server");
        return false;
    }
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/with-cluster");
    let status = Command::new(script)
        .args(settings.iter().flat_map(|setting| ["-s", setting]))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .envs(variables.iter().copied())
        .env_remove("HONKER_POSTGRES_URL")
        .status()
        .unwrap();
    assert!(status.success());
    false
}

pub fn server(does: &str, argument: &[&str]) {
    let folder = std::env::var("HONKER_POSTGRES_FOLDER").unwrap();
    assert!(Command::new(Path::new(&folder).join(does)).args(argument).output().unwrap().status.success());
}

#[test]
fn operations_fail_while_the_server_is_away_and_go_on_afterwards() {
    if !with_own_server("restart::operations_fail_while_the_server_is_away_and_go_on_afterwards") {
        return;
    }
    let url = std::env::var("HONKER_POSTGRES_URL").unwrap();
    let database = connect(&url, &Default::default(), true).unwrap();
    let job = Enqueue::new("q", "p");
    let first = database.enqueue(&job).unwrap().id;
    let mut worker = Worker::new(&database, "q", "w", WorkerOptions::default()).unwrap();
    assert!(matches!(worker.next(1, Some(Duration::ZERO)).unwrap(), Next::Item(_)));
    assert_eq!(worker.next(1, Some(Duration::ZERO)).unwrap(), Next::Timeout);
    let mut transaction = database.begin().unwrap();
    transaction.enqueue(&Enqueue::new("other", "lost")).unwrap();
    thread::scope(|scope| {
        let sleeping = scope.spawn(|| database.query("SELECT pg_sleep(60)", &[]).map(|_| ()));
        thread::sleep(Duration::from_millis(300));
        server("stop", &["immediate"]);
        let ended = sleeping.join().unwrap();
        assert!(matches!(ended, Err(Error::Connection(_))), "{ended:?}");
    });
    let lost = transaction.enqueue(&job);
    assert!(matches!(lost, Err(Error::Connection(_))), "{lost:?}");
    assert!(transaction.commit().is_err());
    for _ in 0..20 {
        let start = Instant::now();
        let failed = database.enqueue(&job);
        assert!(matches!(failed, Err(Error::Connection(_))), "{failed:?}");
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
    let status = database.status().unwrap();
    wait_until("the status says so", || {
        let watcher = database.status().unwrap().watcher.unwrap();
        serde_json::to_string(&watcher.state).unwrap() == "\"unreadable\"" && !watcher.warnings.is_empty()
    });
    drop(status);
    server("start", &[]);
    wait_until("operations work again", || database.enqueue(&job).is_ok());
    let waiting = worker.next(1, Some(Duration::from_secs(60)));
    let waiting = waiting.or_else(|_| worker.next(1, Some(Duration::from_secs(60)))).unwrap();
    let Next::Item(batch) = waiting else { panic!("{waiting:?}") };
    assert_ne!(batch.jobs[0].id, first);
    // What was acknowledged is there, what was not committed is not.
    assert!(database.get_job(first).unwrap().is_some());
    assert_eq!(claim(&database, "other", "w", 1), []);
    wait_until("it hears again", || {
        let watcher = database.status().unwrap().watcher.unwrap();
        serde_json::to_string(&watcher.state).unwrap() == "\"watching\""
    });
    thread::scope(|scope| {
        let waiting = scope.spawn(|| worker.next(1, Some(Duration::from_secs(60))).unwrap());
        thread::sleep(Duration::from_millis(200));
        database.enqueue(&job).unwrap();
        assert!(matches!(waiting.join().unwrap(), Next::Item(_)));
    });
}
