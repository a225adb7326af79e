//! A job in the transaction of a diesel connection: with its commit, and not with its roll-back, while a worker of another process
//! works on the file and honker has it open here as well.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use honker::foreign::{Ack, Insert};
use honker::{Database, EnqueueOpts, Queue, QueueOpts};

fn enqueue(connection: &mut SqliteConnection, job: &Insert) -> QueryResult<usize> {
    diesel::sql_query(Insert::SQL)
        .bind::<Text, _>(&job.queue)
        .bind::<Text, _>(&job.payload)
        .bind::<BigInt, _>(job.priority)
        .bind::<BigInt, _>(job.run_at)
        .bind::<Nullable<BigInt>, _>(job.max_attempts)
        .bind::<BigInt, _>(job.created_at)
        .bind::<Nullable<BigInt>, _>(job.expires_at)
        .execute(connection)
}

fn order(connection: &mut SqliteConnection, emails: &Queue, name: &str, commit: bool) -> QueryResult<()> {
    let job = emails.insert_statement(name, EnqueueOpts::default()).expect("JSON");
    connection.immediate_transaction(|connection| {
        diesel::sql_query("INSERT INTO orders (name) VALUES (?)")
            .bind::<Text, _>(name)
            .execute(connection)?;
        enqueue(connection, &job)?;
        if commit { Ok(()) } else { Err(diesel::result::Error::RollbackTransaction) }
    })
}

fn connection(path: &std::path::Path) -> SqliteConnection {
    let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    connection.batch_execute("PRAGMA busy_timeout = 30000").unwrap();
    connection
}

#[test]
fn a_job_is_enqueued_with_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let db = Database::open(&path).unwrap();
    let emails = db.queue("emails", QueueOpts::default());
    let mut connection = connection(&path);
    connection.batch_execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT)").unwrap();
    let mut worker = worker_elsewhere(&path);
    let mut sent = db.listen("sent").unwrap();

    assert!(order(&mut connection, &emails, "nobody", false).is_err());
    order(&mut connection, &emails, "alice", true).unwrap();
    let notification =
        sent.recv_timeout(Duration::from_secs(60)).unwrap().expect("the worker elsewhere has done it");
    assert_eq!(notification.payload, "\"alice\"");
    worker.kill().unwrap();
    worker.wait().unwrap();
    let orders = db.query_row("SELECT count(*) FROM orders", []).unwrap().unwrap();
    assert_eq!(orders.get::<i64>(0).unwrap(), 1);
}

#[test]
fn a_job_is_acked_with_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let db = Database::open(&path).unwrap();
    let emails = db.queue("emails", QueueOpts::default());
    emails.enqueue(&"alice", EnqueueOpts::default()).unwrap();
    let job = emails.claim_one("worker-1").unwrap().unwrap();
    let ack = Ack::of(&job);
    let acked = connection(&path).immediate_transaction(|connection| {
        diesel::sql_query(Ack::SQL)
            .bind::<BigInt, _>(ack.id)
            .bind::<Text, _>(&ack.worker_id)
            .bind::<BigInt, _>(ack.attempts)
            .bind::<BigInt, _>(ack.now)
            .execute(connection)
    });
    assert_eq!(acked, Ok(1));
    assert!(!job.ack().unwrap());
}

include!("../../worker_elsewhere.rs");
