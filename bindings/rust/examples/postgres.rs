//! A job in a Postgres database, enqueued in a transaction of the crate postgres. DATABASE_URL says where it is.

use honker::foreign::postgres::Enqueue;
use honker::{Database, EnqueueOpts, QueueOpts, Unique};
use postgres::{Client, NoTls};
use serde_json::json;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("DATABASE_URL")?; // postgres://…
    let db = Database::open(&url)?;
    let emails = db.queue("emails", QueueOpts::default());
    let mut client = Client::connect(&url, NoTls)?;
    client.batch_execute("CREATE TABLE orders (id int8 PRIMARY KEY)")?;

    let once = EnqueueOpts { unique: Some(Unique::new("order 42")), ..Default::default() };
    let job = emails.enqueue_statement(&json!({"order": 42}), once)?;
    let mut tx = client.transaction()?;
    tx.execute("INSERT INTO orders (id) VALUES ($1)", &[&42_i64])?;
    tx.query_one(Enqueue::SQL, &[&job.queue, &job.payload, &job.options])?;
    tx.commit()?;

    if let Some(job) = emails.claim_one("worker-1")? {
        println!("{}", String::from_utf8_lossy(&job.payload));
        job.ack()?;
    }
    Ok(())
}
