//! A job in the transaction of an sqlx connection: with its commit, and not with its roll-back, while a worker of another process
//! works on the file and honker has it open here as well.

use std::time::Duration;

use honker::foreign::{Ack, Insert};
use honker::{Database, EnqueueOpts, Queue, QueueOpts};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

async fn order(
    pool: &SqlitePool,
    emails: &Queue,
    name: &str,
    commit: bool,
) -> Result<(), Box<dyn std::error::Error>> {
    let job = emails.insert_statement(name, EnqueueOpts::default())?;
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("INSERT INTO orders (name) VALUES (?)").bind(name).execute(&mut *tx).await?;
    sqlx::query(Insert::SQL)
        .bind(&job.queue)
        .bind(&job.payload)
        .bind(job.priority)
        .bind(job.run_at)
        .bind(job.max_attempts)
        .bind(job.created_at)
        .bind(job.expires_at)
        .execute(&mut *tx)
        .await?;
    if commit {
        tx.commit().await?
    } else {
        tx.rollback().await?
    }
    Ok(())
}

async fn pool(path: &std::path::Path) -> SqlitePool {
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(30));
    SqlitePool::connect_with(options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_enqueued_with_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let db = Database::open(&path).unwrap();
    let emails = db.queue("emails", QueueOpts::default());
    let pool = pool(&path).await;
    sqlx::query("CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT)").execute(&pool).await.unwrap();
    let mut worker = worker_elsewhere(&path);
    let mut sent = db.listen("sent").unwrap().into_async().unwrap();

    order(&pool, &emails, "nobody", false).await.unwrap();
    order(&pool, &emails, "alice", true).await.unwrap();
    let notification = tokio::time::timeout(Duration::from_secs(60), sent.next()).await.unwrap().unwrap();
    assert_eq!(notification.payload, "\"alice\"");
    worker.kill().unwrap();
    worker.wait().unwrap();
    let orders: i64 = sqlx::query_scalar("SELECT count(*) FROM orders").fetch_one(&pool).await.unwrap();
    assert_eq!(orders, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_acked_with_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let db = Database::open(&path).unwrap();
    let emails = db.queue("emails", QueueOpts::default());
    emails.enqueue(&"alice", EnqueueOpts::default()).unwrap();
    let job = emails.claim_one("worker-1").unwrap().unwrap();
    let pool = pool(&path).await;
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let ack = Ack::of(&job);
    let acked = sqlx::query(Ack::SQL).bind(ack.id).bind(ack.worker_id).bind(ack.attempts).bind(ack.now);
    assert_eq!(acked.execute(&mut *tx).await.unwrap().rows_affected(), 1);
    tx.commit().await.unwrap();
    assert!(!job.ack().unwrap());
}

include!("../../worker_elsewhere.rs");
