//! A worker for production: typed jobs of two queues, side by side, with retries, schedules and signals.

use std::time::Duration;

use honker::{
    Database, EnqueueOpts, Failure, JobContext, Outcome, QueueOpts, ScheduledTask, TypedQueue, Worker,
    WorkerQueue,
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Email {
    to: String,
}

#[derive(Serialize, Deserialize)]
struct Report {
    month: String,
}

fn send_email(email: Email, job: &JobContext) -> Outcome {
    send(&email.to)?; // an error: again in 15 s, then in 30, 60, ... up to an hour
    println!("to {}, attempt {} of {}", email.to, job.attempts, job.max_attempts);
    Ok(())
}

fn make_report(report: Report, job: &JobContext) -> Outcome {
    let total: i64 = job.step("add up", || add_up(&report.month))?; // not done again by a later attempt
    if job.is_cancelled() {
        return Err(Failure::new("later")); // the worker stops: given back, with its attempt
    }
    println!("{}: {total}", report.month);
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let db = Database::open("app.db")?;

    let emails: TypedQueue<Email> =
        TypedQueue::new(&db, "emails", QueueOpts { max_attempts: 10, ..Default::default() });
    emails.enqueue(&Email { to: "alice".to_owned() }, EnqueueOpts::default())?;
    db.queue("reports", QueueOpts::default())
        .enqueue(&Report { month: "2026-01".to_owned() }, EnqueueOpts::default())?;

    let worker = Worker::builder()
        .typed(WorkerQueue { weight: 3, ..WorkerQueue::new("emails") }, send_email)
        .typed("reports", make_report)
        .concurrency(8)
        .max_run(Duration::from_secs(600))
        .schedule(ScheduledTask::new(
            "nightly",
            "reports",
            "0 3 * * *",
            &Report { month: "2026-02".to_owned() },
        )?)
        .on_error(|job, failure| eprintln!("job {}: {failure}", job.id)) // to Sentry and the like
        .build(&db)?;
    stop_when_done(&db, worker.stopper());
    worker.run()?; // until SIGTERM or SIGINT
    Ok(())
}

fn send(_: &str) -> std::io::Result<()> {
    Ok(())
}

fn add_up(_: &str) -> honker::Result<i64> {
    Ok(42)
}

/// Examples end.
fn stop_when_done(db: &Database, stopper: honker::Stopper) {
    let db = db.clone();
    std::thread::spawn(move || -> honker::Result<()> {
        let mut updates = db.update_events()?;
        while db.query_row("SELECT 1 FROM _honker_live", [])?.is_some() {
            updates.recv_timeout(Duration::from_secs(1))?;
        }
        stopper.stop();
        Ok(())
    });
}
