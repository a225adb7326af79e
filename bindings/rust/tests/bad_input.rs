//! What cannot be is refused with a typed error that names it, and nothing has been done.

use std::time::Duration;

use honker::testing::TestDatabase;
use honker::{
    Database, EnqueueOpts, Error, JobFilter, JobSpec, OpenOptions, QueueOpts, QueueUpdate, Rate,
    ScheduledTask, Unique, next_after,
};

#[track_caller]
fn invalid<T: std::fmt::Debug>(refused: honker::Result<T>, what: &str) {
    match refused {
        Err(Error::Invalid(text)) => assert!(text.contains(what), "{text}"),
        other => panic!("{other:?}"),
    }
}

/// JSON has none.
fn not_json() -> std::collections::HashMap<Vec<u8>, i64> {
    [(vec![1], 1)].into()
}

#[test]
fn files() {
    invalid(Database::open(":memory:"), "memory");
    invalid(Database::open("a\0b"), "NUL");
    assert!(matches!(Database::open("/there/is/no/folder/app.db"), Err(Error::CannotOpen(_))));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    std::fs::write(&path, "no database, but long enough to be none".repeat(100)).unwrap();
    assert!(matches!(Database::open(&path), Err(Error::Corrupt(_))));
    invalid(OpenOptions::new().watcher_backend("psychic"), "psychic");
    invalid(OpenOptions::new().watcher_poll_interval(Duration::ZERO), "positive");
}

#[test]
fn jobs() {
    let db = TestDatabase::new().unwrap();
    let q = db.queue("q", QueueOpts::default());
    let opts = EnqueueOpts::default;
    invalid(db.queue("a\0b", QueueOpts::default()).enqueue(&1, opts()), "queue contains a NUL");
    invalid(q.enqueue_text(None, "a\0b", opts()), "payload contains a NUL");
    invalid(q.claim_one("a\0b"), "worker_id");
    assert!(matches!(q.enqueue(&not_json(), opts()), Err(Error::Json { .. })));
    assert!(matches!(JobSpec::new("q", &not_json(), opts()), Err(Error::Json { .. })));
    invalid(q.enqueue(&1, EnqueueOpts { max_run_s: Some(0), ..opts() }), "max_run_s");
    invalid(q.enqueue(&1, EnqueueOpts { concurrency_key: Some(String::new()), ..opts() }), "concurrency_key");
    let unique = Unique { for_s: Some(0), ..Unique::new("k") };
    invalid(q.enqueue(&1, EnqueueOpts { unique: Some(unique), ..opts() }), "unique_for_s");
    let metadata = [("k".to_owned(), "v".repeat(9000))].into();
    invalid(q.enqueue(&1, EnqueueOpts { metadata, ..opts() }), "metadata");
    invalid(q.enqueue(&1, EnqueueOpts { batch_id: Some(7), ..opts() }), "no batch 7");
    invalid(q.enqueue(&1, EnqueueOpts { delay: Some(i64::MAX), ..opts() }), "delay is out of range");
    assert_eq!(q.stats().unwrap().pending, 0);

    let big = "x".repeat(10 << 20);
    q.enqueue(&big, opts()).unwrap();
    assert_eq!(q.claim_one("w").unwrap().unwrap().payload_as::<String>().unwrap().len(), big.len());
    q.enqueue(&"text", opts()).unwrap();
    let job = q.claim_one("w").unwrap().unwrap();
    assert!(matches!(job.payload_as::<i64>(), Err(Error::Json { .. })));
    assert!(
        job.ack().unwrap() && !job.ack().unwrap() && !job.retry(0, "").unwrap() && !job.heartbeat(1).unwrap()
    );
    let lost = job.step("s", || -> honker::Result<i64> { Ok(1) });
    assert!(matches!(lost, Err(Error::Lost(_))), "{lost:?}");
}

#[test]
fn settings_filters_and_schedules() {
    let db = TestDatabase::new().unwrap();
    let q = db.queue("q", QueueOpts::default());
    invalid(q.configure(&QueueUpdate { concurrency: 0.into(), ..Default::default() }), "concurrency");
    let rate = Rate { limit: 0, per_s: 60 };
    invalid(q.configure(&QueueUpdate { rate: rate.into(), ..Default::default() }), "limit");
    invalid(q.configure(&serde_json::json!({ "colour": "red" })), "colour");
    invalid(q.configure(&7), "object");
    invalid(db.jobs(JobFilter { page_size: Some(1001), ..Default::default() }).page(None), "limit");
    invalid(db.jobs(serde_json::json!({ "stat": "due" })).page(None), "stat");
    invalid(db.jobs(7).retry(), "object");
    for (expression, what) in [("* * *", "5 or 6"), ("61 * * * *", "out of range"), ("@every 5w", "interval")]
    {
        invalid(db.scheduler().add(ScheduledTask::new("s", "q", expression, &()).unwrap()), what);
        invalid(next_after(expression, 0), what);
    }
    invalid(db.prune_notifications_keep_latest(-1), "max_keep must not be negative");
    invalid(db.listen("a\0b"), "channel");
    invalid(db.stream("a\0b").publish(&1), "topic");
    assert!(matches!(db.notify("news", &not_json()), Err(Error::Json { .. })));
}

#[test]
fn transactions() {
    let db = TestDatabase::new().unwrap();
    let other = TestDatabase::new().unwrap();
    let q = db.queue("q", QueueOpts::default());
    let tx = db.transaction().unwrap();
    assert!(matches!(db.transaction(), Err(Error::Misuse(_))));
    assert!(matches!(q.enqueue(&1, EnqueueOpts::default()), Err(Error::Misuse(_))));
    let wrong = other.queue("q", QueueOpts::default()).enqueue_tx(&tx, &1, EnqueueOpts::default());
    assert!(matches!(wrong, Err(Error::Misuse(_))));
    invalid(tx.execute("COMMIT", []), "COMMIT");
    invalid(tx.execute("SELECT 1; SELECT 2", []), "more than one");
    assert!(matches!(tx.execute("INSERT INTO nowhere VALUES (1)", []), Err(Error::Engine { .. })));
    let row = tx.query_row("SELECT 1 AS one, 'x' AS text", []).unwrap().unwrap();
    invalid(row.get::<i64>("text"), "a text");
    invalid(row.get::<i64>("two"), "no column 'two'");
    invalid(row.get::<i64>(2), "no column 2");
    drop(tx);
    assert!(db.transaction().is_ok());
    db.close().unwrap();
    assert!(matches!(q.enqueue(&1, EnqueueOpts::default()), Err(Error::Closed)));
    assert!(matches!(q.claim_waker().map(drop), Err(Error::Closed)));
    db.close().unwrap();
}

#[test]
fn a_lock_of_another_process_is_busy() {
    let db = TestDatabase::with_options(OpenOptions::new().busy_timeout(Duration::from_millis(10))).unwrap();
    let other = Database::open(db.path()).unwrap();
    let lock = db.try_lock("l", "o", 60).unwrap().unwrap();
    let tx = other.transaction().unwrap();
    let refused = db.queue("q", QueueOpts::default()).enqueue(&1, EnqueueOpts::default()).unwrap_err();
    assert!(matches!(refused, Error::Busy(_)) && refused.is_transient());
    let mut lock = lock;
    assert!(matches!(lock.try_release(), Err(Error::Busy(_))));
    tx.commit().unwrap();
    assert!(lock.try_release().unwrap() && !lock.try_release().unwrap() && !lock.heartbeat(60).unwrap());
}

#[test]
fn a_queues_own_number_of_attempts_holds_where_none_is_said() {
    let db = TestDatabase::new().unwrap();
    let q = db.queue("q", QueueOpts::default());
    q.configure(&QueueUpdate { max_attempts: 7.into(), ..Default::default() }).unwrap();
    let attempts = |id| q.get_job(id).unwrap().unwrap().max_attempts;
    assert_eq!(attempts(q.enqueue(&1, EnqueueOpts::default()).unwrap()), 7);
    let three = EnqueueOpts { max_attempts: Some(3), ..Default::default() };
    assert_eq!(attempts(q.enqueue(&1, three).unwrap()), 3);
    let five = db.queue("q", QueueOpts { max_attempts: 5, ..Default::default() });
    assert_eq!(attempts(five.enqueue(&1, EnqueueOpts::default()).unwrap()), 5);
}
