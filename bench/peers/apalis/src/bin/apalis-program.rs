//! apalis on SQLite.

use std::str::FromStr;
use std::time::Duration;

use apalis::prelude::*;
use apalis_sqlite::{Config, SqlitePool, SqliteStorage};
use futures::stream;
use peer::{DAY, Job, Outcome, Producer};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use tokio::runtime::Runtime;

async fn open() -> Outcome<SqlitePool> {
    let synchronous = if peer::is_synced() { SqliteSynchronous::Full } else { SqliteSynchronous::Normal };
    let options = SqliteConnectOptions::from_str(&format!("sqlite://{}", peer::url()))?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .busy_timeout(Duration::from_secs(30));
    let pool = SqlitePool::connect_with(options).await?;
    SqliteStorage::setup(&pool).await?;
    Ok(pool)
}

struct Queue {
    runtime: Runtime,
    backend: SqliteStorage<Job>,
}

impl Producer for Queue {
    fn enqueue(&mut self, job: Job) -> Outcome<()> {
        Ok(self.runtime.block_on(self.backend.push(job)).map_err(|error| error.to_string())?)
    }

    fn enqueue_many(&mut self, jobs: Vec<Job>) -> Option<Outcome<()>> {
        let pushed = self.runtime.block_on(self.backend.push_bulk(jobs));
        Some(pushed.map_err(|error| error.to_string().into()))
    }

    fn enqueue_later(&mut self, jobs: Vec<Job>) -> Option<Outcome<()>> {
        let tasks = jobs.into_iter().map(|job| TaskBuilder::new(job).run_after(DAY).build());
        let pushed = self.runtime.block_on(self.backend.push_all(stream::iter(tasks)));
        Some(pushed.map_err(|error| error.to_string().into()))
    }

    fn transact(&mut self, _: Job, _: bool) -> Option<Outcome<()>> {
        None
    }
}

async fn run(job: Job, pool: Data<SqlitePool>) -> Result<(), BoxDynError> {
    let (kind, number) = job;
    if kind == "append" {
        tokio::time::sleep(Duration::from_millis(2)).await;
        sqlx::query("INSERT INTO appended (n) VALUES (?)").bind(number).execute(&*pool).await?;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    peer::note(&kind, number)?;
    if kind == "hold" {
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
    Ok(())
}

async fn work() -> Outcome<()> {
    let pool = open().await?;
    let mut config = Config::default();
    if peer::is_shortest() {
        config = config.heartbeat_interval(Duration::from_secs(1));
    }
    let backend = SqliteStorage::new(&pool).with_config(config);
    WorkerBuilder::new(format!("worker-{}", std::process::id()))
        .backend(backend)
        .concurrency(peer::concurrency())
        .data(pool)
        .build(run)
        .run()
        .await?;
    Ok(())
}

fn main() -> Outcome<()> {
    let runtime = Runtime::new()?;
    if std::env::args().nth(1).as_deref() == Some("work") {
        return runtime.block_on(work());
    }
    let pool = runtime.block_on(open())?;
    let backend = SqliteStorage::new(&pool);
    peer::produce(&mut Queue { runtime, backend })
}
