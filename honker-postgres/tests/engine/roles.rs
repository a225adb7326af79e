//! The roles that honker_grant makes: each opens the database and does what it may.

use honker_core::Error;
use honker_core::consume::{Leader, Next, Worker, WorkerOptions};
use honker_core::database::Database;
use honker_core::queue::Enqueue;
use honker_core::schedule::{Overlap, Registration};
use honker_postgres::connect;

use crate::support::{LONG, Server, enqueue};

/// The database as a new role of this level has it.
fn open_as(server: &Server, level: &str) -> Database {
    let role = format!("{level}_{}_{}", std::process::id(), fastrand::u32(..));
    let sql = format!("CREATE ROLE {role} LOGIN; SELECT honker.honker_grant('{role}', '{level}')");
    server.client().batch_execute(&sql).unwrap();
    connect(&server.url.replace("user=app", &format!("user={role}")), &Default::default(), false).unwrap()
}

fn is_denied<T: std::fmt::Debug>(answer: honker_core::Result<T>) -> bool {
    matches!(&answer, Err(Error::Sql(cause)) if cause.message.contains("permission denied"))
}

fn nightly() -> Registration<'static> {
    Registration {
        name: "nightly",
        expression: "0 3 * * *",
        job: Enqueue::new("q", "p"),
        overlap: Overlap::Allow,
    }
}

#[test]
fn who_may_enqueue_does_no_more() {
    let Some(server) = Server::new() else { return };
    let database = open_as(&server, "enqueue");
    let id = enqueue(&database, "q", "p");
    let batch = database.batch_create("{}").unwrap();
    database.enqueue(&Enqueue { batch_id: Some(batch), priority: 3, ..Enqueue::new("q", "p") }).unwrap();
    database.enqueue_many(&[Enqueue::new("q", "1"), Enqueue::new("q", "2")]).unwrap();
    assert!(database.batch_seal(batch).unwrap());
    database.notify("c", "p").unwrap();
    database.stream_publish("t", None, "p").unwrap();
    let mut transaction = database.begin().unwrap();
    transaction.enqueue(&Enqueue::new("q", "p")).unwrap();
    transaction.commit().unwrap();
    assert!(is_denied(database.cancel(id)));
    assert!(is_denied(database.queue_configure("q", "{}")));
    assert!(is_denied(database.get_job(id)));
    database.close().unwrap();
    assert_eq!(server.open().metrics().unwrap().queues[0].counts.enqueued, 5);
}

#[test]
fn who_works_works_and_leads() {
    let Some(server) = Server::new() else { return };
    server.open().scheduler_register(&nightly()).unwrap();
    let database = open_as(&server, "work");
    let id = enqueue(&database, "q", "p");
    let mut worker = Worker::new(&database, "q", "w", WorkerOptions::default()).unwrap();
    let Next::Item(batch) = worker.next(1, LONG).unwrap() else { panic!() };
    assert_eq!(batch.jobs[0].id, id);
    assert!(database.ack(id, &batch.jobs[0].worker_id).unwrap());
    let mut leader = Leader::new(&database, "me").unwrap();
    assert_eq!(leader.next(Some(std::time::Duration::ZERO)).unwrap(), Next::Timeout);
    assert_eq!(
        database.lock_holder("honker-scheduler").unwrap().map(|holder| holder.owner.starts_with("me")),
        Some(true)
    );
    assert_eq!(database.scheduler_list().unwrap().len(), 1);
    database.scheduler_tick(None).unwrap();
    assert!(database.maintenance_is_due().is_ok() && database.maintenance_begin().is_ok());
    assert_eq!(database.metrics().unwrap().queues[0].counts.done, 1);
    assert!(is_denied(database.queue_configure("q", "{}")));
    assert!(is_denied(database.scheduler_register(&nightly())));
    let status = database.status().unwrap();
    assert_eq!((status.warnings.len(), status.watcher.unwrap().warnings.len()), (0, 0));
}

#[test]
fn who_administers_does_everything() {
    let Some(server) = Server::new() else { return };
    let database = open_as(&server, "admin");
    let id = enqueue(&database, "q", "p");
    database.queue_configure("q", r#"{"paused":true}"#).unwrap();
    database.scheduler_register(&nightly()).unwrap();
    assert!(database.scheduler_pause("nightly").unwrap());
    assert_eq!(database.jobs_apply(r#"{"queue":"q"}"#, "cancel").unwrap().changed, 1);
    assert!(!database.cancel(id).unwrap());
    database.stream_configure("t", r#"{"keep_n":1}"#).unwrap();
    database.notifications_configure(r#"{"keep_s":60}"#).unwrap();
    assert_eq!(database.dead_purge(None, 0).unwrap(), 0);
}
