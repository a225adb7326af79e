//! A job is enqueued, claimed and done.

use honker::{Database, EnqueueOpts, QueueOpts};
use serde_json::json;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let db = Database::open("app.db")?;
    let q = db.queue("greetings", QueueOpts::default());
    q.enqueue(&json!({"name": "world"}), EnqueueOpts::default())?;
    if let Some(job) = q.claim_one("worker-1")? {
        let payload: serde_json::Value = serde_json::from_slice(&job.payload)?;
        println!("hello, {}!", payload["name"]);
        job.ack()?;
    }
    Ok(())
}
