//! honker for Rust, with its worker.

use std::time::Duration;

use honker::{Database, Durability, EnqueueOpts, JobContext, OpenOptions, Outcome, Queue, QueueOpts, Worker};
use peer::{DAY, Job, Producer};

fn open() -> honker::Result<Database> {
    let durability = if peer::is_synced() { Durability::Full } else { Durability::Normal };
    Database::open_with_options(peer::url(), OpenOptions::new().durability(durability))
}

struct Jobs {
    db: Database,
    queue: Queue,
}

impl Jobs {
    fn enqueue_all(&self, jobs: &[Job], opts: &EnqueueOpts) -> peer::Outcome<()> {
        self.queue.enqueue_many(jobs, opts.clone())?;
        Ok(())
    }
}

impl Producer for Jobs {
    fn enqueue(&mut self, job: Job) -> peer::Outcome<()> {
        self.queue.enqueue(&job, EnqueueOpts::default())?;
        Ok(())
    }

    fn enqueue_many(&mut self, jobs: Vec<Job>) -> Option<peer::Outcome<()>> {
        Some(self.enqueue_all(&jobs, &EnqueueOpts::default()))
    }

    fn enqueue_later(&mut self, jobs: Vec<Job>) -> Option<peer::Outcome<()>> {
        let later = EnqueueOpts { delay: Some(DAY.as_secs() as i64), ..Default::default() };
        Some(self.enqueue_all(&jobs, &later))
    }

    fn transact(&mut self, job: Job, commit: bool) -> Option<peer::Outcome<()>> {
        let transact = || -> peer::Outcome<()> {
            let tx = self.db.transaction()?;
            tx.execute("INSERT INTO orders (n) VALUES (?)", honker::params![job.1])?;
            self.queue.enqueue_tx(&tx, &job, EnqueueOpts::default())?;
            if commit { tx.commit()? } else { tx.rollback()? }
            Ok(())
        };
        Some(transact())
    }
}

fn run((kind, number): Job, job: &JobContext) -> Outcome {
    if kind == "append" {
        std::thread::sleep(Duration::from_millis(2));
        let tx = job.database().transaction()?;
        tx.execute("INSERT INTO appended (n) VALUES (?)", honker::params![number])?;
        tx.commit()?;
        std::thread::sleep(Duration::from_millis(2));
    }
    peer::note(&kind, number).map_err(honker::Failure::new)?;
    if kind == "hold" {
        std::thread::sleep(Duration::from_secs(3600));
    }
    Ok(())
}

fn main() -> peer::Outcome<()> {
    let db = open()?;
    if std::env::args().nth(1).as_deref() == Some("work") {
        Worker::builder().typed("bench", run).concurrency(peer::concurrency()).build(&db)?.run()?;
        return Ok(());
    }
    let queue = db.queue("bench", QueueOpts::default());
    peer::produce(&mut Jobs { db, queue })
}
