//! Waits and handlers as futures of `tokio`.

use futures_util::StreamExt;
use honker::{Database, EnqueueOpts, QueueOpts, Worker};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let db = Database::open("app.db")?;
    // A call that may wait for a lock, on a thread that may.
    db.run(|db| db.queue("emails", QueueOpts::default()).enqueue(&"alice", EnqueueOpts::default())).await?;

    let worker = Worker::builder()
        .typed_async("emails", |to: String, job| async move {
            tokio::select! {
                sent = send(&to) => sent?,
                why = job.until_cancelled() => return Err(why.into()),
            }
            job.database().notify("sent", &to)?;
            Ok(())
        })
        .concurrency(1000)
        .build(&db)?;

    let mut sent = db.listen("sent")?.into_async()?;
    let stopper = worker.stopper();
    let listening = tokio::spawn(async move {
        if let Some(Ok(notification)) = StreamExt::next(&mut sent).await {
            println!("sent to {}", notification.payload);
        }
        stopper.stop();
    });
    worker.run_async().await?; // until SIGTERM or SIGINT
    listening.await?;
    Ok(())
}

async fn send(_: &str) -> std::io::Result<()> {
    tokio::task::yield_now().await;
    Ok(())
}
