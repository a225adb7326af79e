//! A job is enqueued together with the order that it is about: both, or neither.

use honker::{Database, EnqueueOpts, QueueOpts};
use serde_json::json;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let db = Database::open("app.db")?;
    let q = db.queue("emails", QueueOpts::default());

    let tx = db.transaction()?;
    tx.execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, total INTEGER)", [])?;
    tx.commit()?;

    let tx = db.transaction()?;
    tx.execute("INSERT INTO orders (id, total) VALUES (?, ?)", honker::params![42, 99])?;
    q.enqueue_tx(&tx, &json!({"to": "alice@example.com"}), EnqueueOpts::default())?;
    tx.commit()?;

    let orders = db.query_row("SELECT count(*) FROM orders", [])?.map(|row| row.get::<i64>(0)).transpose()?;
    println!("{} order, {} job", orders.unwrap_or(0), q.stats()?.pending);
    Ok(())
}
