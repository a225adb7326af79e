//! Streams, notifications, locks, rate limits, results, outboxes and schedules.

use std::time::Duration;

use honker::{Database, EnqueueOpts, OutboxOpts, ScheduledTask};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let db = Database::open("app.db")?;

    let orders = db.stream("orders");
    orders.publish_with_key("customer-7", &42)?;
    for event in orders.subscribe("mailer")?.take(1) {
        println!("order {}", event?.payload);
    }

    let mut news = db.listen("news")?;
    db.notify("news", &"hello")?;
    println!("news: {}", news.recv()?.payload);

    if let Some(lock) = db.try_lock("backup", "host-1", 60)? {
        println!("{} is locked", lock.name());
    }
    println!("allowed: {}", db.try_rate_limit("api", 10, 60)?);

    db.save_result(1, "done", 3600)?;
    println!("result: {}", db.wait_result(1, Some(Duration::from_secs(30)))?);

    let webhooks = db.outbox("webhooks", OutboxOpts::default());
    webhooks.enqueue(&"https://example.com/hook", EnqueueOpts::default())?;
    webhooks.run_once("worker-1", |url: String| -> Result<(), std::io::Error> {
        println!("POST {url}");
        Ok(())
    })?;

    db.scheduler().add(ScheduledTask::new("nightly", "backups", "0 3 * * *", &"go")?)?;
    println!("schedules: {}", db.scheduler().list()?.len());
    Ok(())
}
