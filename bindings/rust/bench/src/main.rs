//! What the crate does in a given time, beside the C ABI; `honker-ffi/bench` says what it is asked and answers.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use honker::{Database, EnqueueOpts, Queue, QueueOpts, Result};
use serde_json::json;

const BATCH: i64 = 100;

fn fill(queue: &Queue, n: i64) -> Result<()> {
    let tx = queue.database().transaction()?;
    for n in 0..n {
        queue.enqueue_tx(&tx, &json!({ "n": n }), EnqueueOpts::default())?;
    }
    tx.commit()
}

fn enqueue(queue: &Queue, n: i64) -> Result<f64> {
    let since = Instant::now();
    for n in 0..n {
        queue.enqueue(&json!({ "n": n }), EnqueueOpts::default())?;
    }
    Ok(since.elapsed().as_secs_f64())
}

fn claim_ack(queue: &Queue, n: i64) -> Result<f64> {
    fill(queue, n)?;
    let since = Instant::now();
    for _ in 0..n {
        if let Some(job) = queue.claim_one("w")? {
            job.ack()?;
        }
    }
    Ok(since.elapsed().as_secs_f64())
}

fn batch(queue: &Queue, n: i64) -> Result<f64> {
    fill(queue, n)?;
    let since = Instant::now();
    loop {
        let jobs = queue.claim_batch("w", BATCH)?;
        if jobs.is_empty() {
            return Ok(since.elapsed().as_secs_f64());
        }
        let ids: Vec<i64> = jobs.iter().map(|job| job.id).collect();
        queue.ack_batch(&ids, "w")?;
    }
}

fn wake(queue: &Queue, n: i64) -> Result<f64> {
    let mut waker = queue.claim_waker()?;
    let waiting = std::thread::spawn(move || -> Result<Vec<Instant>> {
        let one = |_| {
            let job = waker.next("w")?;
            let at = Instant::now();
            job.ack()?;
            Ok(at)
        };
        (0..n).map(one).collect()
    });
    let mut since = Vec::new();
    for n in 0..n {
        std::thread::sleep(Duration::from_millis(2));
        since.push(Instant::now());
        queue.enqueue(&json!({ "n": n }), EnqueueOpts::default())?;
    }
    let at = waiting.join().expect("the thread that waits")?;
    let mut took: Vec<Duration> = at.iter().zip(&since).map(|(at, since)| *at - *since).collect();
    took.sort();
    Ok(took[took.len() / 2].as_secs_f64() * 1e6)
}

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| ".".to_owned()));
    let db = Database::open(folder.join("bench.db"))?;
    for (number, line) in std::io::stdin().lock().lines().map_while(|line| line.ok()).enumerate() {
        let Some((what, n)) = line.split_once(' ') else { continue };
        let n: i64 = n.trim().parse().unwrap_or(1);
        let queue = db.queue(format!("bench-{number}"), QueueOpts::default());
        let answer = match what {
            "enqueue" => json!({ "seconds": enqueue(&queue, n)? }),
            "claim_ack" => json!({ "seconds": claim_ack(&queue, n)? }),
            "batch" => json!({ "seconds": batch(&queue, n)? }),
            _ => json!({ "p50_us": wake(&queue, n)? }),
        };
        println!("{answer}");
        let _ = std::io::stdout().flush();
    }
    Ok(())
}
