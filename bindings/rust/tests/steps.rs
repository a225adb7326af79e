//! Steps whose value cannot be saved: what has run is not run again.

use std::collections::BTreeMap;
use std::ffi::{c_char, c_int};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use honker::testing::TestDatabase;
use honker::{
    Database, EnqueueOpts, Error, Failure, Job, JobContext, OutboxOpts, Outcome, Queue, QueueOpts,
    Transaction, Worker,
};
use rusqlite::auto_extension::register_auto_extension;
use rusqlite::ffi;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};

/// A worker that has a job once more with every attempt that it has left.
fn work(db: &TestDatabase, handler: impl Fn(&JobContext) -> Outcome + Send + Sync + 'static) {
    let opts = EnqueueOpts { max_attempts: Some(3), ..Default::default() };
    queue(db).enqueue(&1, opts).unwrap();
    let worker = Worker::builder().signals(false).queue("q", handler).build(db).unwrap();
    for _ in 0..3 {
        worker.run_due().unwrap();
        db.advance(Duration::from_secs(7200)).unwrap();
    }
}

fn queue(db: &Database) -> Queue {
    db.queue("q", QueueOpts::default())
}

/// What its one job has died of.
fn died_of(db: &Database) -> String {
    let mut dead = queue(db).dead(-1).unwrap();
    assert_eq!(dead.len(), 1);
    dead.remove(0).last_error.unwrap()
}

/// Keys of JSON are texts.
fn no_json() -> BTreeMap<Vec<u8>, u8> {
    [(vec![1], 2)].into()
}

#[derive(Deserialize)]
struct Panics;

impl Serialize for Panics {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("there is no text of it")
    }
}

/// With and without a transaction: the step is called once, and its job is dead with this.
fn is_called_once<T>(value: fn() -> T, why: &'static str)
where
    T: Serialize + DeserializeOwned + 'static,
{
    let step = move |job: &Job, calls: &AtomicUsize| {
        job.step("charge", || -> honker::Result<T> {
            calls.fetch_add(1, Ordering::SeqCst);
            Ok(value())
        })
    };
    let step_tx = move |job: &Job, calls: &AtomicUsize| {
        job.step_tx("charge", |tx: &Transaction| -> honker::Result<T> {
            calls.fetch_add(1, Ordering::SeqCst);
            tx.execute("INSERT INTO charges VALUES (1)", [])?;
            Ok(value())
        })
    };
    for with_tx in [false, true] {
        let db = TestDatabase::new().unwrap();
        let tx = db.transaction().unwrap();
        tx.execute("CREATE TABLE charges (n)", []).unwrap();
        tx.commit().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        work(&db, move |job| {
            if with_tx {
                step_tx(job, &counted)?
            } else {
                step(job, &counted)?
            };
            Ok(())
        });
        assert_eq!(calls.load(Ordering::SeqCst), 1, "with a transaction: {with_tx}");
        let error = died_of(&db);
        assert!(error.starts_with("the step 'charge' has run, and is not saved: "), "{error}");
        assert!(error.contains(why), "{error}");
        assert!(db.query("SELECT 1 FROM charges", []).unwrap().is_empty());
    }
}

#[test]
fn a_step_whose_value_cannot_be_encoded_is_not_run_again() {
    is_called_once(no_json, "key must be a string");
    is_called_once(|| Panics, "panic: there is no text of it");
}

#[test]
fn a_step_whose_value_would_not_come_back_is_not_run_again() {
    // serde_json makes null of it.
    is_called_once(|| f64::NAN, "invalid type: null");
}

/// Every connection of this process that is opened from now on takes 100,000 bytes instead of a gigabyte.
fn with_small_values() {
    unsafe extern "C" fn limit(
        db: *mut ffi::sqlite3,
        _: *mut *mut c_char,
        _: *const ffi::sqlite3_api_routines,
    ) -> c_int {
        // SAFETY: SQLite hands over a connection that is open.
        unsafe { ffi::sqlite3_limit(db, ffi::SQLITE_LIMIT_LENGTH, 100_000) };
        ffi::SQLITE_OK
    }
    // SAFETY: it neither opens nor closes a database.
    unsafe { register_auto_extension(limit) }.unwrap();
}

#[test]
fn a_step_whose_value_is_too_large_is_not_run_again() {
    with_small_values();
    is_called_once(|| "x".repeat(100_001), "string or blob too big");
}

#[test]
fn whatever_the_handler_makes_of_the_error() {
    type Handler = fn(&AtomicUsize, &JobContext) -> Outcome;
    fn step(calls: &AtomicUsize, job: &JobContext) -> honker::Result<BTreeMap<Vec<u8>, u8>> {
        job.step("charge", || {
            calls.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Error>(no_json())
        })
    }
    let handlers: [(Handler, &str); 4] = [
        (
            |calls, job| step(calls, job).map(drop).map_err(|error| Failure::new(format!("alice: {error}"))),
            "alice: the",
        ),
        (|calls, job| step(calls, job).map(drop).map_err(|_| Failure::new("no luck")), "no luck: the"),
        (|calls, job| step(calls, job).map(drop).map_err(|_| Failure::snooze(Duration::from_secs(1))), "the"),
        (|calls, job| panic!("{:?}", step(calls, job)), "panic: "),
    ];
    for (handler, begin) in handlers {
        let db = TestDatabase::new().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        work(&db, move |job| handler(&counted, job));
        assert_eq!(calls.load(Ordering::SeqCst), 1, "{begin}");
        let error = died_of(&db);
        assert!(error.starts_with(begin), "{error}");
        assert_eq!(error.matches("the step 'charge' has run, and is not saved: ").count(), 1, "{error}");
    }
}

#[test]
fn nor_by_an_outbox() {
    let db = TestDatabase::new().unwrap();
    let outbox = db.outbox("hooks", OutboxOpts::default());
    outbox.enqueue(&1, EnqueueOpts::default()).unwrap();
    let mut worker = outbox.deliveries("w").unwrap();
    let calls = AtomicUsize::new(0);
    for _ in 0..3 {
        let charge = || {
            calls.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Error>(no_json())
        };
        let deliver = |job: &Job| job.step("charge", charge).map(drop).map_err(|error| error.to_string());
        worker.run_next(Some(Duration::ZERO), deliver).unwrap();
        db.advance(Duration::from_secs(7200)).unwrap();
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    let dead = outbox.queue().dead(-1).unwrap();
    let error = dead[0].last_error.as_ref().unwrap();
    assert!(error.starts_with("the step 'charge' has run, and is not saved: "), "{error}");
}

#[test]
fn without_a_worker_its_caller_decides() {
    let db = TestDatabase::new().unwrap();
    queue(&db).enqueue(&1, EnqueueOpts::default()).unwrap();
    let job = queue(&db).claim_one("w").unwrap().unwrap();
    let error = job.step("charge", || Ok::<_, Error>(no_json())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the step 'charge' has run, and is not saved: its value cannot be encoded as JSON: key must be a string"
    );
    match error {
        Error::StepNotSaved { name, source } => {
            assert!(name == "charge" && matches!(*source, Error::Json { .. }), "{source:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(queue(&db).saved_step(None, job.id, "charge").unwrap(), None);
    assert!(job.ack().unwrap());
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn nor_by_a_handler_that_is_a_future() {
    let db = TestDatabase::new().unwrap();
    queue(&db).enqueue(&1, EnqueueOpts::default()).unwrap();
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let teller = Arc::clone(&told);
    let worker = Worker::builder()
        .signals(false)
        .queue_async("q", |job| async move {
            job.step_async("charge", async || Ok::<_, Error>(no_json())).await?;
            Ok(())
        })
        .on_error(move |_, failure| teller.lock().unwrap().push(failure.to_string()))
        .build(&db)
        .unwrap();
    assert_eq!(worker.run_due_async().await.unwrap(), 1);
    assert_eq!(*told.lock().unwrap(), [died_of(&db)]);
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn a_step_that_is_a_future_is_run_once() {
    let db = TestDatabase::new().unwrap();
    queue(&db).enqueue(&1, EnqueueOpts::default()).unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let worker = Worker::builder()
        .signals(false)
        .queue_async("q", move |job| {
            let calls = Arc::clone(&counted);
            async move {
                let charge = async || {
                    tokio::task::yield_now().await;
                    Ok::<_, Error>(calls.fetch_add(1, Ordering::SeqCst))
                };
                assert_eq!(job.step_async("charge", charge).await?, 0);
                if job.attempts == 1 { Err(Failure::new("the mail")) } else { Ok(()) }
            }
        })
        .build(&db)
        .unwrap();
    assert_eq!(worker.run_due_async().await.unwrap(), 1);
    db.advance(Duration::from_secs(7200)).unwrap();
    assert_eq!(worker.run_due_async().await.unwrap(), 1);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert!(queue(&db).get_job(1).unwrap().is_none());
    assert!(queue(&db).dead(-1).unwrap().is_empty());
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn a_step_whose_future_fails_or_is_dropped_saves_nothing() {
    let db = TestDatabase::new().unwrap();
    queue(&db).enqueue(&1, EnqueueOpts::default()).unwrap();
    let job = queue(&db).claim_one("w").unwrap().unwrap();
    let refused =
        job.step_async("charge", async || Err::<i64, _>(Error::Invalid("no money".to_owned()))).await;
    assert!(matches!(refused, Err(Error::Invalid(_))));
    let (begin, begun) = tokio::sync::oneshot::channel();
    let endless = job.step_async("charge", async || {
        begin.send(()).unwrap();
        std::future::pending::<honker::Result<i64>>().await
    });
    tokio::select! {
        ended = endless => panic!("{ended:?}"),
        told = begun => told.unwrap(),
    }
    assert_eq!(job.step_async("charge", async || Ok::<_, Error>(7)).await.unwrap(), 7);
    job.fail("done").unwrap();
    let lost = job.step_async("other", async || Ok::<_, Error>(7)).await;
    assert!(matches!(lost, Err(Error::Lost(_))), "{lost:?}");
}
