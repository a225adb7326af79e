//! A process that dies: its jobs come back.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use honker_core::consume::{Next, Worker, WorkerOptions};
use honker_postgres::connect;

use crate::support::{Server, enqueue};

const INSIDE: &str = "HONKER_TEST_RESCUE";

/// Not a test by itself: the process that is killed.
#[test]
fn process_that_is_killed() {
    let Ok(url) = std::env::var(INSIDE) else { return };
    let database = connect(&url, &Default::default(), false).unwrap();
    let mut worker = Worker::new(&database, "q", "w", WorkerOptions::default()).unwrap();
    let Next::Item(batch) = worker.next(1, Some(Duration::from_secs(60))).unwrap() else { panic!() };
    println!("claimed {}", batch.jobs[0].id);
    std::thread::sleep(Duration::from_secs(600));
}

#[test]
fn the_jobs_of_a_process_that_is_killed_come_back() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let id = enqueue(&database, "q", "p");
    let mut doomed = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "rescue::process_that_is_killed", "--nocapture"])
        .env(INSIDE, &server.url)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(doomed.stdout.take().unwrap()).lines();
    let said = format!("claimed {id}");
    assert!(lines.map_while(Result::ok).any(|line| line.contains(&said)));
    let mut worker = Worker::new(&database, "q", "w", WorkerOptions::default()).unwrap();
    assert_eq!(worker.next(1, Some(Duration::from_secs(1))).unwrap(), Next::Timeout);
    doomed.kill().unwrap();
    doomed.wait().unwrap();
    let start = Instant::now();
    let Next::Item(batch) = worker.next(1, Some(Duration::from_secs(120))).unwrap() else {
        panic!("it is lost")
    };
    assert_eq!((batch.jobs[0].id, batch.jobs[0].attempts), (id, 2));
    // Long before its claim would have been over.
    assert!(start.elapsed() < Duration::from_secs(100), "{:?}", start.elapsed());
}
