//! What the peers in Rust share: the lines they speak with the driver, and what their jobs do. See bench/peers/README.md.

use std::env;
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, Write};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A job: what it is, and its number.
pub type Job = (String, i64);

pub const DAY: Duration = Duration::from_secs(86_400);

pub fn url() -> String {
    env::var("PEER_URL").expect("PEER_URL")
}

pub fn is_synced() -> bool {
    env::var("PEER_DURABILITY").is_ok_and(|value| value == "synced")
}

pub fn is_shortest() -> bool {
    env::var("PEER_RECOVERY").is_ok_and(|value| value == "shortest")
}

pub fn concurrency() -> usize {
    env::var("PEER_CONCURRENCY").ok().and_then(|value| value.parse().ok()).unwrap_or(1)
}

/// A peer that enqueues; `None` from a method means that it has no way to do it.
pub trait Producer {
    fn enqueue(&mut self, job: Job) -> Outcome<()>;
    fn enqueue_many(&mut self, jobs: Vec<Job>) -> Option<Outcome<()>>;
    fn enqueue_later(&mut self, jobs: Vec<Job>) -> Option<Outcome<()>>;
    fn transact(&mut self, job: Job, commit: bool) -> Option<Outcome<()>>;
}

/// Notes that a job was run.
pub fn note(kind: &str, number: i64) -> Outcome<()> {
    static EVENTS: OnceLock<File> = OnceLock::new();
    let mut events = EVENTS.get_or_init(|| {
        let path = env::var("PEER_EVENTS").expect("PEER_EVENTS");
        OpenOptions::new().append(true).open(path).expect("the file of events")
    });
    let line = format!("{kind} {number} {} {}\n", nanoseconds()?, std::process::id());
    events.write_all(line.as_bytes())?;
    Ok(())
}

fn nanoseconds() -> Outcome<u64> {
    Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?)
}

/// Does what the driver asks, until it closes the input.
pub fn produce(producer: &mut impl Producer) -> Outcome<()> {
    println!("{}", json!({ "ready": true }));
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let answer = act(producer, &request).unwrap_or_else(|error| json!({ "error": error.to_string() }));
        println!("{answer}");
    }
    Ok(())
}

fn act(producer: &mut impl Producer, request: &Value) -> Outcome<Value> {
    let number = |name: &str, default: i64| request[name].as_i64().unwrap_or(default);
    let kind = request["kind"].as_str().unwrap_or("noop");
    let (first, count, batch) = (number("first", 0), number("count", 0), number("batch", 1));
    let cap = Duration::from_secs_f64(request["cap_s"].as_f64().unwrap_or(3600.0));
    let way = request["way"].as_str().unwrap_or("plain");
    let commit = request["commit"].as_bool().unwrap_or(true);
    let (at, started, mut done) = (nanoseconds()?, Instant::now(), 0);
    while done < count && started.elapsed() < cap {
        let size = batch.min(count - done);
        let mut jobs: Vec<Job> = (0..size).map(|i| (kind.to_owned(), first + done + i)).collect();
        let outcome = match way {
            "transact" => producer.transact(jobs.remove(0), commit),
            "later" => producer.enqueue_later(jobs),
            _ if batch == 1 => Some(producer.enqueue(jobs.remove(0))),
            _ => producer.enqueue_many(jobs),
        };
        match outcome {
            None => return Ok(json!({ "unsupported": way })),
            Some(outcome) => outcome?,
        }
        done += size;
    }
    Ok(json!({ "at": at, "count": done, "seconds": started.elapsed().as_secs_f64() }))
}
