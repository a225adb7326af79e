//! On a Postgres server: the crate's calls with a URL in place of a file, and enqueueing in transactions of the crates postgres and
//! tokio-postgres. `HONKER_POSTGRES_URL` is the server; without it there is nothing to test with, and a line says so.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use honker::foreign::postgres::{Ack, Enqueue, error};
use honker::{
    BatchOpts, Database, EnqueueOpts, Error, Failure, JobSpec, OpenOptions, QueueOpts, ScheduledTask, Unique,
    Worker, params,
};
use postgres::{Client, NoTls};

const SOON: Duration = Duration::from_secs(120);
static DATABASES: AtomicUsize = AtomicUsize::new(0);

/// A database of its own, which is dropped at the end.
struct Place {
    server: String,
    name: String,
    url: String,
}

impl Place {
    fn new() -> Option<Place> {
        let Some(server) = std::env::var("HONKER_POSTGRES_URL").ok().filter(|url| !url.is_empty()) else {
            println!("SKIPPED rust on Postgres: there is no server (HONKER_POSTGRES_URL)");
            return None;
        };
        let name = format!("rust_{}_{}", std::process::id(), DATABASES.fetch_add(1, Ordering::Relaxed));
        let mut client = Client::connect(&server, NoTls).unwrap();
        client.batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
        let (base, query) = server.split_once('?').unwrap_or((&server, ""));
        let url = format!("{}/{name}?{query}", base.rsplit_once('/').unwrap().0);
        Some(Place { server, name, url })
    }

    fn open(&self) -> Database {
        let db = Database::open(format!("{}&honker_migrate=on", self.url)).unwrap();
        let tx = db.transaction().unwrap();
        tx.execute("CREATE TABLE orders (id int8 PRIMARY KEY, note text)", []).unwrap();
        tx.commit().unwrap();
        db
    }

    fn client(&self) -> Client {
        Client::connect(&self.url, NoTls).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Ok(mut client) = Client::connect(&self.server, NoTls) {
            let _ = client.batch_execute(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}

fn orders(db: &Database) -> Vec<i64> {
    let rows = db.query("SELECT id FROM orders ORDER BY id", []).unwrap();
    rows.iter().map(|row| row.get(0).unwrap()).collect()
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn delay(seconds: i64) -> EnqueueOpts {
    EnqueueOpts { delay: Some(seconds), ..Default::default() }
}

#[test]
fn jobs_batches_and_transactions() {
    let Some(place) = Place::new() else { return };
    let db = place.open();
    let q = db.queue("emails", QueueOpts::default());
    let tx = db.transaction().unwrap();
    tx.execute("INSERT INTO orders (id, note) VALUES (?, ?)", params![1, "it's ? here"]).unwrap();
    let refused = q.enqueue_tx(&tx, &1, EnqueueOpts { batch_id: Some(99), ..Default::default() });
    assert!(refused.is_err(), "and the transaction goes on");
    q.enqueue_tx(&tx, &"order 1", EnqueueOpts::default()).unwrap();
    tx.commit().unwrap();
    let tx = db.transaction().unwrap();
    tx.execute("INSERT INTO orders (id) VALUES (?)", params![2]).unwrap();
    q.enqueue_tx(&tx, &"order 2", EnqueueOpts::default()).unwrap();
    drop(tx);
    assert_eq!(orders(&db), [1]);
    let job = q.claim_one("w").unwrap().unwrap();
    assert_eq!(job.payload_as::<String>().unwrap(), "order 1");
    assert!(job.batch().unwrap().is_none() && job.ack().unwrap());
    assert!(q.claim_one("w").unwrap().is_none());
    let tx = db.transaction().unwrap();
    let taken = tx.execute("INSERT INTO orders (id) VALUES (1)", []);
    assert!(matches!(taken, Err(Error::Constraint(_))), "{taken:?}");
    drop(tx);

    let after = JobSpec::new("after", &"all", EnqueueOpts::default()).unwrap();
    let batch = db.create_batch(BatchOpts { on_finished: Some(after), ..Default::default() }).unwrap();
    q.enqueue(&1, EnqueueOpts { batch_id: Some(batch.id()), ..Default::default() }).unwrap();
    batch.seal().unwrap();
    let member = q.claim_one("w").unwrap().unwrap();
    assert_eq!(member.batch().unwrap().unwrap().id(), batch.id());
    member.ack().unwrap();
    assert!(db.queue("after", QueueOpts::default()).claim_one("w").unwrap().is_some());
}

#[test]
fn a_worker_by_a_url() {
    let Some(place) = Place::new() else { return };
    let db = place.open();
    let (said, hears) = mpsc::channel();
    let worker = Worker::builder()
        .typed("emails", move |name: String, job| {
            said.send(name.clone()).unwrap();
            if name == "again" && job.attempts == 1 {
                Err(Failure::retry_after(Duration::ZERO, "not yet"))
            } else {
                Ok(())
            }
        })
        .signals(false)
        .open(&place.url)
        .unwrap();
    let stopper = worker.stopper();
    let running = std::thread::spawn(move || worker.run());
    let q = db.queue("emails", QueueOpts::default());
    q.enqueue(&"first", EnqueueOpts::default()).unwrap();
    assert_eq!(hears.recv_timeout(SOON).unwrap(), "first");
    q.enqueue(&"again", EnqueueOpts::default()).unwrap();
    assert_eq!(hears.recv_timeout(SOON).unwrap(), "again");
    assert_eq!(hears.recv_timeout(SOON).unwrap(), "again");
    until("the end of the last job", || q.stats().unwrap().claimed == 0);
    stopper.stop();
    running.join().unwrap().unwrap();
}

#[test]
fn streams_notifications_locks_and_schedules() {
    let Some(place) = Place::new() else { return };
    let db = place.open();
    let mut listener = db.listen("news").unwrap();
    let stream = db.stream("orders");
    let mut events = stream.subscribe("c").unwrap();
    let tx = db.transaction().unwrap();
    db.notify_tx(&tx, "news", &42).unwrap();
    stream.publish_tx(&tx, &1).unwrap();
    tx.commit().unwrap();
    assert_eq!(listener.recv_timeout(SOON).unwrap().unwrap().payload_as::<i64>().unwrap(), 42);
    assert_eq!(events.recv_timeout(SOON).unwrap().unwrap().payload_as::<i64>().unwrap(), 1);
    let lock = db.try_lock("backup", "me", 60).unwrap();
    assert!(lock.is_some() && db.try_lock("backup", "you", 60).unwrap().is_none());
    assert!(db.try_rate_limit("api", 1, 60).unwrap() && !db.try_rate_limit("api", 1, 60).unwrap());
    let scheduler = db.scheduler();
    scheduler.add(ScheduledTask::new("poll", "emails", "@every 60s", &"due").unwrap()).unwrap();
    let row = db.query_row("SELECT next_fire_at FROM honker._honker_scheduler_tasks", []).unwrap().unwrap();
    assert_eq!(scheduler.tick_at(row.get(0).unwrap()).unwrap().len(), 1);
}

#[test]
fn closing_ends_what_waits() {
    let Some(place) = Place::new() else { return };
    let db = place.open();
    let mut listener = db.listen("news").unwrap();
    let waiting = std::thread::spawn(move || listener.recv().map(|_| ()));
    std::thread::sleep(Duration::from_millis(50));
    db.close().unwrap();
    let ended = waiting.join().unwrap();
    assert!(matches!(ended, Err(Error::Closed)), "{ended:?}");
}

#[test]
fn a_server_that_is_not_there_and_a_database_without_the_schema() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("postgres://me:secret@/app?host={}&password=secret", folder.path().display());
    let failed = Database::open_with_options(&url, OpenOptions::new()).unwrap_err();
    assert!(matches!(failed, Error::Connection(_)) && failed.is_transient(), "{failed:?}");
    assert!(!format!("{failed} {failed:?}").contains("secret"));
    let Some(place) = Place::new() else { return };
    let failed = Database::open(&place.url).unwrap_err();
    assert!(
        matches!(&failed, Error::CannotOpen(_)) && failed.to_string().contains("honker migrate"),
        "{failed:?}"
    );
}

#[test]
fn a_job_in_a_transaction_of_ones_own() {
    let Some(place) = Place::new() else { return };
    let db = place.open();
    let q = db.queue("emails", QueueOpts { max_attempts: 7, ..Default::default() });
    let mut client = place.client();
    let mut enqueue = |opts: EnqueueOpts, commit: bool| {
        let job = q.enqueue_statement(&"alice", opts).unwrap();
        let mut tx = client.transaction().unwrap();
        tx.execute("INSERT INTO orders (id) VALUES ((SELECT count(*) FROM orders))", &[]).unwrap();
        let row = tx.query_one(Enqueue::SQL, &[&job.queue, &job.payload, &job.options]).unwrap();
        if commit {
            tx.commit().unwrap();
        }
        (row.get::<_, i64>("id"), row.get::<_, String>("status"))
    };
    enqueue(EnqueueOpts::default(), false);
    assert!(orders(&db).is_empty() && q.claim_one("w").unwrap().is_none());

    // Who waits is woken by the commit.
    let mut claims = q.claim_waker().unwrap();
    let once = || EnqueueOpts {
        unique: Some(Unique::new("k")),
        metadata: [("tenant".to_owned(), "acme".to_owned())].into(),
        ..Default::default()
    };
    let waiting = std::thread::spawn(move || claims.next_timeout("w", SOON).unwrap().unwrap());
    let (id, status) = enqueue(once(), true);
    let job = waiting.join().unwrap();
    assert_eq!((job.id, &*status, &*job.metadata["tenant"], job.max_attempts), (id, "enqueued", "acme", 7));
    assert_eq!(enqueue(once(), true), (id, "exists".to_owned()));
    assert_eq!(orders(&db), [0, 1]);

    // An ack is of one claim, and of one commit.
    job.retry(0, "again").unwrap();
    let again = q.claim_one("w").unwrap().unwrap();
    let mut ack = |job: &honker::Job, commit: bool| {
        let ack = Ack::of(job);
        let mut tx = client.transaction().unwrap();
        let row = tx.query_one(Ack::SQL, &[&ack.id, &ack.worker_id, &ack.attempts]).unwrap();
        if commit {
            tx.commit().unwrap();
        }
        row.get::<_, i64>(0)
    };
    assert_eq!(ack(&job, true), 0, "the same worker has claimed it again");
    assert_eq!(ack(&again, false), 1);
    assert!(q.get_job(again.id).unwrap().is_some(), "rolled back");
    assert_eq!((ack(&again, true), ack(&again, true)), (1, 0));
    assert!(q.get_job(again.id).unwrap().is_none());

    let job = q.enqueue_statement(&1, delay(i64::MAX)).unwrap();
    let refused = client.query_one(Enqueue::SQL, &[&job.queue, &job.payload, &job.options]).unwrap_err();
    let refused = refused.as_db_error().unwrap();
    let refused = error(refused.code().code(), refused.message());
    assert!(matches!(&refused, Some(Error::Invalid(text)) if text.contains("delay")), "{refused:?}");
}

#[cfg(feature = "tokio")]
#[tokio::test(flavor = "multi_thread")]
async fn a_job_in_a_transaction_of_tokio_postgres() {
    let Some(place) = tokio::task::spawn_blocking(Place::new).await.unwrap() else { return };
    let (url, db) = (place.url.clone(), {
        let url = format!("{}&honker_migrate=on", place.url);
        tokio::task::spawn_blocking(move || Database::open(url).unwrap()).await.unwrap()
    });
    let q = db.queue("emails", QueueOpts::default());
    let (mut client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    let driving = tokio::spawn(connection);
    let mut claims = q.claim_waker().unwrap().into_async("w").unwrap();
    let job = q.enqueue_statement(&"alice", EnqueueOpts::default()).unwrap();
    let tx = client.transaction().await.unwrap();
    tx.query_one(Enqueue::SQL, &[&job.queue, &job.payload, &job.options]).await.unwrap();
    tx.commit().await.unwrap();
    let claimed = tokio::time::timeout(SOON, claims.next()).await.unwrap().unwrap();
    assert_eq!(claimed.payload_as::<String>().unwrap(), "alice");
    drop((client, claims));
    driving.await.unwrap().unwrap();
    let end = move || {
        db.close().unwrap();
        drop(place);
    };
    tokio::task::spawn_blocking(end).await.unwrap();
}

#[test]
fn the_example() {
    let Some(place) = Place::new() else { return };
    Database::open(format!("{}&honker_migrate=on", place.url)).unwrap().close().unwrap();
    let test = std::env::current_exe().unwrap();
    let example = test.parent().unwrap().parent().unwrap().join("examples/postgres");
    let output = Command::new(example).env("DATABASE_URL", &place.url).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "{\"order\":42}\n");
}
