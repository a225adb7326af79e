//! Several of the features of queues, one after the other.

use honker::{
    BatchOpts, Database, EnqueueOpts, EnqueueStatus, JobFilter, JobSpec, JobState, QueueOpts, QueueUpdate,
    Rate, Unique,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let db = Database::open("app.db")?;
    let emails = db.queue("emails", QueueOpts::default());
    let reports = db.queue("reports", QueueOpts::default());

    // Only one job of a kind.
    for _ in 0..2 {
        let once = EnqueueOpts { unique: Some(Unique::new("reminder-alice")), ..Default::default() };
        let enqueued = emails.enqueue_with(&"alice", once)?;
        if enqueued.status == EnqueueStatus::Exists {
            println!("alice is reminded already, by job {}", enqueued.id);
        }
    }

    // What holds for a queue in all processes.
    emails.configure(&QueueUpdate {
        concurrency: 20.into(),
        rate: Rate { limit: 100, per_s: 60 }.into(),
        keep_done_s: 3600.into(),
        ..Default::default()
    })?;
    emails.pause()?;
    assert!(emails.claim_one("worker-1")?.is_none());
    emails.resume()?;

    // A job after the last of many.
    let finished = JobSpec::new("emails", &"the boss", EnqueueOpts::default())?;
    let batch = db.batch(BatchOpts { on_success: Some(finished), ..Default::default() }, |batch| {
        for month in ["2026-01", "2026-02"] {
            reports.enqueue(&month, EnqueueOpts { batch_id: Some(batch.id()), ..Default::default() })?;
        }
        Ok(batch.clone())
    })?;
    for job in reports.claim_batch("worker-1", -1)? {
        // Exactly once with what it writes.
        let total = job.step_tx("store", |tx| -> honker::Result<i64> {
            tx.execute("CREATE TABLE IF NOT EXISTS totals (month TEXT, total INTEGER)", [])?;
            tx.execute("INSERT INTO totals VALUES (?, ?)", honker::params![job.payload_as::<String>()?, 42])?;
            Ok(42)
        })?;
        println!("job {}: {total}", job.id);
        job.ack()?;
    }
    println!("{} of {} done", batch.status()?.map_or(0, |status| status.done), 2);

    // Looking at many jobs, and dealing with them.
    let due = db.jobs(JobFilter {
        queue: Some("emails".to_owned()),
        states: vec![JobState::Due],
        ..Default::default()
    });
    for job in due.iter() {
        println!("due: {}", job?.payload);
    }
    println!("cancelled: {}", due.cancel()?.changed);
    Ok(())
}
