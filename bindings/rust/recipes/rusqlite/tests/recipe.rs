//! A job in the transaction of a rusqlite connection: with its commit, and not with its roll-back, while a worker of another process
//! works on the file and honker has it open here as well.

use std::time::Duration;

use honker::foreign::{Ack, Insert};
use honker::{Database, EnqueueOpts, Queue, QueueOpts, Worker};
use rusqlite::Connection;

fn order(
    connection: &mut Connection,
    emails: &Queue,
    commit: bool,
) -> Result<(), Box<dyn std::error::Error>> {
    if !commit {
        let job = emails.insert_statement(&"nobody", EnqueueOpts::default())?;
        let tx = connection.transaction()?;
        tx.execute(
            Insert::SQL,
            (
                &job.queue,
                &job.payload,
                job.priority,
                job.run_at,
                job.max_attempts,
                job.created_at,
                job.expires_at,
            ),
        )?;
        tx.rollback()?;
        return Ok(());
    }
    let job = emails.insert_statement(&"alice", EnqueueOpts::default())?;
    let tx = connection.transaction()?;
    tx.execute("INSERT INTO orders (name) VALUES (?)", ["alice"])?;
    tx.execute(
        Insert::SQL,
        (
            &job.queue,
            &job.payload,
            job.priority,
            job.run_at,
            job.max_attempts,
            job.created_at,
            job.expires_at,
        ),
    )?;
    tx.commit()?;
    Ok(())
}

#[test]
fn a_job_is_enqueued_with_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let db = Database::open(&path).unwrap();
    let emails = db.queue("emails", QueueOpts::default());
    let mut connection = Connection::open(&path).unwrap();
    connection.busy_timeout(Duration::from_secs(30)).unwrap();
    connection.execute_batch("CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT)").unwrap();
    let mut worker = worker_elsewhere(&path);
    let mut sent = db.listen("sent").unwrap();

    order(&mut connection, &emails, false).unwrap();
    order(&mut connection, &emails, true).unwrap();
    let notification =
        sent.recv_timeout(Duration::from_secs(60)).unwrap().expect("the worker elsewhere has done it");
    assert_eq!(notification.payload, "\"alice\"");
    worker.kill().unwrap();
    worker.wait().unwrap();
    assert_eq!(
        connection.query_row("SELECT count(*) FROM orders", [], |row| row.get::<_, i64>(0)).unwrap(),
        1
    );
    assert!(sent.try_next().unwrap().is_none());
}

#[test]
fn a_job_is_acked_with_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let db = Database::open(&path).unwrap();
    let emails = db.queue("emails", QueueOpts::default());
    emails.enqueue(&"alice", EnqueueOpts::default()).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE sent (name TEXT)").unwrap();
    let worker = Worker::builder().queue("emails", move |job| {
        let mut connection = Connection::open(&path)?;
        connection.busy_timeout(Duration::from_secs(30))?;
        let tx = connection.transaction()?;
        tx.execute("INSERT INTO sent VALUES (?)", [job.payload_as::<String>()?])?;
        let ack = Ack::of(job);
        if tx.execute(Ack::SQL, (ack.id, &ack.worker_id, ack.attempts, ack.now))? == 0 {
            return Ok(()); // somebody else has the job by now; rolled back
        }
        tx.commit()?;
        job.settled();
        Ok(())
    });
    assert_eq!(worker.build(&db).unwrap().run_due().unwrap(), 1);
    assert_eq!(
        emails.stats().unwrap(),
        honker::QueueStats { queue: "emails".to_owned(), ..Default::default() }
    );
    assert_eq!(
        db.query_row("SELECT name FROM sent", []).unwrap().unwrap().get::<String>(0).unwrap(),
        "alice"
    );
}

include!("../../worker_elsewhere.rs");
