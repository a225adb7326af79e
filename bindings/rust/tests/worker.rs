//! Workers: failures, cancellation, stopping, trouble that passes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::time::Duration;

use honker::testing::TestDatabase;
use honker::{
    Backoff, Cancelled, Database, EnqueueOpts, Error, Failure, JobContext, OpenOptions, Outcome, Queue,
    QueueOpts, QueueUpdate, ScheduledTask, Stopper, Worker, WorkerBuilder, WorkerQueue,
};

/// Long enough for any machine; nothing waits for it to be over.
const LONG: Duration = Duration::from_secs(120);

fn queue(db: &Database) -> Queue {
    db.queue("q", QueueOpts::default())
}

fn builder() -> WorkerBuilder {
    Worker::builder().signals(false)
}

/// Runs a worker in a thread.
fn run(worker: Worker) -> (Stopper, mpsc::Receiver<honker::Result<()>>) {
    let (stopper, (ended, wait)) = (worker.stopper(), mpsc::channel());
    std::thread::spawn(move || ended.send(worker.run()));
    (stopper, wait)
}

/// Waits until it is so, looking after each commit.
fn eventually(db: &Database, what: impl Fn() -> bool) {
    let mut updates = db.update_events().unwrap();
    let until = std::time::Instant::now() + LONG;
    while !what() {
        assert!(std::time::Instant::now() < until, "it never was");
        let _ = updates.recv_timeout(Duration::from_millis(200));
    }
}

#[test]
fn jobs_run_side_by_side() {
    let db = TestDatabase::new().unwrap();
    queue(&db).enqueue_many(&[1, 2, 3], EnqueueOpts::default()).unwrap();
    let together = Arc::new(Barrier::new(3));
    let worker = builder().concurrency(3).queue("q", move |_| {
        together.wait();
        Ok(())
    });
    let (stopper, ended) = run(worker.build(&db).unwrap());
    eventually(&db, || db.query("SELECT 1 FROM _honker_live", []).unwrap().is_empty());
    stopper.stop();
    ended.recv_timeout(LONG).unwrap().unwrap();
}

#[test]
fn what_a_handler_returns_is_what_becomes_of_its_job() {
    let db = TestDatabase::new().unwrap();
    let q = queue(&db);
    for payload in ["ok", "error", "later", "discard", "snooze", "panic", "no json"] {
        q.enqueue(&payload, EnqueueOpts { max_attempts: Some(2), ..Default::default() }).unwrap();
    }
    let told = Arc::new(Mutex::new(Vec::new()));
    let teller = Arc::clone(&told);
    let worker = builder()
        .queue("q", |job| match job.payload_as::<String>()?.as_str() {
            "ok" => Ok(()),
            "error" => Err(std::io::Error::other("disk on fire").into()),
            "later" => Err(Failure::retry_after(Duration::from_secs(500), "busy")),
            "discard" => Err(Failure::discard("no such thing")),
            "snooze" => Err(Failure::snooze(Duration::from_millis(500_500))),
            "panic" => panic!("at the disco"),
            _ => job.payload_as::<i64>().map(drop).map_err(Failure::from),
        })
        .backoff(Backoff { base_s: 40, jitter: 0.0, ..Backoff::default() })
        .on_error(move |job, failure| {
            teller.lock().unwrap().push((job.payload_as::<String>().unwrap(), failure.to_string()));
            assert_ne!(failure.to_string(), "busy", "contained");
        })
        .build(&db)
        .unwrap();
    assert_eq!(worker.run_due().unwrap(), 7);

    let state = |payload: &str| {
        let sql = "SELECT attempts, run_at - unixepoch() FROM _honker_live WHERE payload = ?";
        let row = db.query_row(sql, honker::params![serde_json::to_string(payload).unwrap()]).unwrap();
        row.map(|row| (row.get::<i64>(0).unwrap(), row.get::<i64>(1).unwrap()))
    };
    assert_eq!(state("ok"), None);
    assert!(matches!(state("error"), Some((1, 30..=40))), "{:?}", state("error"));
    assert!(matches!(state("later"), Some((1, 480..=500))));
    assert!(matches!(state("snooze"), Some((0, 480..=501))));
    assert!(matches!(state("panic"), Some((1, 30..=40))));
    let dead = q.dead(10).unwrap();
    assert_eq!((dead.len(), dead[0].last_error.as_deref()), (1, Some("no such thing")));
    let told = std::mem::take(&mut *told.lock().unwrap());
    assert_eq!(told.len(), 5, "{told:?}");
    assert!(told.iter().any(|(payload, error)| payload == "panic" && error == "panic: at the disco"));

    // The last attempt.
    db.advance(Duration::from_secs(60)).unwrap();
    worker.run_due().unwrap();
    let dead = q.dead(10).unwrap();
    assert!(dead.iter().any(|job| job.last_error.as_deref() == Some("disk on fire")), "{dead:?}");
}

/// As an error of a type that is not its author's best.
#[derive(Debug)]
struct Unspeakable;

impl std::fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("there are no words")
    }
}

impl std::error::Error for Unspeakable {}

#[test]
fn an_error_that_cannot_be_displayed_is_a_failure() {
    let db = TestDatabase::new().unwrap();
    let q = queue(&db);
    q.enqueue_many(&[1, 2], EnqueueOpts { max_attempts: Some(1), ..Default::default() }).unwrap();
    let worker = builder().concurrency(1).queue("q", |job| match job.payload_as::<i64>()? {
        1 => Err(Unspeakable.into()),
        _ => Ok(()),
    });
    let (stopper, ended) = run(worker.build(&db).unwrap());
    eventually(&db, || q.stats().unwrap().pending + q.stats().unwrap().claimed == 0);
    stopper.stop();
    ended.recv_timeout(LONG).unwrap().unwrap();
    let dead = q.dead(10).unwrap();
    assert_eq!(dead.len(), 1);
    assert!(dead[0].last_error.as_deref().unwrap().contains("Display"), "{dead:?}");
}

#[test]
fn what_is_set_for_a_queue_goes_before_the_workers_backoff() {
    let db = TestDatabase::new().unwrap();
    let q = queue(&db);
    let retry = Backoff { base_s: 900, factor: 1.0, max_s: 900, jitter: 0.0 };
    q.configure(&QueueUpdate { retry: retry.into(), ..Default::default() }).unwrap();
    let id = q.enqueue(&1, EnqueueOpts::default()).unwrap();
    builder().queue("q", |_| Err(Failure::new("no"))).build(&db).unwrap().run_due().unwrap();
    let job = q.get_job(id).unwrap().unwrap();
    assert!(job.run_at >= job.created_at + 900, "{job:?}");
}

#[test]
fn a_payload_of_another_type_is_dead_with_the_reason() {
    let db = TestDatabase::new().unwrap();
    let q = queue(&db);
    q.enqueue(&"not a number", EnqueueOpts::default()).unwrap();
    q.enqueue_text(None, "{", EnqueueOpts::default()).unwrap();
    let worker = builder().typed("q", |_: i64, _| panic!("it is none")).build(&db).unwrap();
    assert_eq!(worker.run_due().unwrap(), 2);
    let dead = q.dead(10).unwrap();
    assert_eq!(dead.len(), 2);
    assert!(
        dead.iter().all(|job| job.last_error.as_deref().unwrap().contains("cannot be decoded")),
        "{dead:?}"
    );
}

#[test]
fn a_cancelled_job_cancels_its_handler() {
    let db = TestDatabase::new().unwrap();
    let q = queue(&db);
    let id = q.enqueue(&1, EnqueueOpts::default()).unwrap();
    let (started, starts) = mpsc::channel();
    let (why, whys) = mpsc::channel();
    let worker = builder().queue("q", move |job| {
        started.send(()).unwrap();
        why.send(job.sleep(LONG)).unwrap();
        Err(Failure::new("nobody hears this"))
    });
    let (stopper, ended) = run(worker.build(&db).unwrap());
    starts.recv_timeout(LONG).unwrap();
    assert!(q.cancel(id).unwrap());
    assert_eq!(whys.recv_timeout(LONG).unwrap(), Some(Cancelled::Gone));
    stopper.stop();
    ended.recv_timeout(LONG).unwrap().unwrap();
    assert_eq!(q.stats().unwrap().dead, 0);
}

#[test]
fn a_job_that_runs_too_long_is_retried() {
    let db = TestDatabase::new().unwrap();
    let q = queue(&db);
    let id = q.enqueue(&1, EnqueueOpts { max_run_s: Some(1), ..Default::default() }).unwrap();
    let (why, whys) = mpsc::channel();
    let (told, tells) = mpsc::channel();
    let worker = builder()
        .queue("q", move |job| {
            assert!(job.deadline().is_some());
            why.send(job.sleep(LONG)).unwrap();
            Ok(())
        })
        .on_error(move |_, failure| told.send(failure.to_string()).unwrap());
    let (stopper, ended) = run(worker.build(&db).unwrap());
    assert_eq!(whys.recv_timeout(LONG).unwrap(), Some(Cancelled::Timeout));
    assert!(tells.recv_timeout(LONG).unwrap().contains("longer than it may"));
    stopper.stop();
    ended.recv_timeout(LONG).unwrap().unwrap();
    let job = q.get_job(id).unwrap().unwrap();
    assert_eq!((job.state.as_str(), job.attempts), ("pending", 1));
}

#[test]
fn a_worker_that_stops_lets_handlers_finish() {
    let db = TestDatabase::new().unwrap();
    let q = queue(&db);
    q.enqueue_many(&[1, 2], EnqueueOpts::default()).unwrap();
    let (started, starts) = mpsc::channel();
    let go = Arc::new(AtomicBool::new(false));
    let going = Arc::clone(&go);
    let worker = builder().concurrency(1).queue("q", move |_| {
        started.send(()).unwrap();
        while !going.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    });
    let (stopper, ended) = run(worker.stop_timeout(LONG).build(&db).unwrap());
    starts.recv_timeout(LONG).unwrap();
    stopper.stop();
    go.store(true, Ordering::SeqCst);
    ended.recv_timeout(LONG).unwrap().unwrap();
    // One is done, and the other was not claimed.
    assert_eq!((q.stats().unwrap().pending, q.stats().unwrap().claimed), (1, 0));
    assert!(starts.try_recv().is_err());
}

#[test]
fn a_worker_that_stops_gives_back_what_does_not_finish() {
    let db = TestDatabase::new().unwrap();
    let q = queue(&db);
    let id = q.enqueue(&1, EnqueueOpts::default()).unwrap();
    let (started, starts) = mpsc::channel();
    let worker = builder().stop_timeout(Duration::from_millis(10)).queue("q", move |job| {
        started.send(()).unwrap();
        Err(job.sleep(LONG).expect("it is cancelled").into())
    });
    let (stopper, ended) = run(worker.build(&db).unwrap());
    starts.recv_timeout(LONG).unwrap();
    stopper.stop();
    ended.recv_timeout(LONG).unwrap().unwrap();
    let job = q.get_job(id).unwrap().unwrap();
    assert_eq!((job.state.as_str(), job.attempts), ("pending", 0));
}

#[test]
fn a_handler_that_ignores_everything_is_told_of_and_left() {
    let db = TestDatabase::new().unwrap();
    let q = queue(&db);
    let id = q.enqueue(&1, EnqueueOpts::default()).unwrap();
    let (started, starts) = mpsc::channel();
    let worker = builder().queue("q", move |_| {
        started.send(()).unwrap();
        std::thread::sleep(Duration::from_secs(3600));
        Ok(())
    });
    let (stopper, ended) = run(worker.build(&db).unwrap());
    starts.recv_timeout(LONG).unwrap();
    stopper.stop_now();
    let error = ended.recv_timeout(LONG).unwrap().unwrap_err();
    assert!(matches!(&error, Error::Misuse(text) if text.contains("1 handlers")), "{error}");
    let job = q.get_job(id).unwrap().unwrap();
    assert_eq!((job.state.as_str(), job.attempts), ("pending", 0));
}

#[test]
fn a_handler_that_settles_its_job_itself_is_left_alone() {
    let db = TestDatabase::new().unwrap();
    let q = queue(&db);
    q.enqueue_many(&["twice", "in a transaction", "failed"], EnqueueOpts::default()).unwrap();
    let worker = builder().queue("q", |job: &JobContext| -> Outcome {
        match job.payload_as::<String>()?.as_str() {
            "twice" => assert!(job.ack()? && !job.ack()?),
            "failed" => assert!(job.fail("by hand")?),
            _ => {
                let tx = job.database().transaction()?;
                assert!(job.ack_tx(&tx)?);
                tx.commit()?;
            }
        }
        Ok(())
    });
    assert_eq!(worker.build(&db).unwrap().run_due().unwrap(), 3);
    let stats = q.stats().unwrap();
    assert_eq!((stats.pending, stats.claimed, stats.dead), (0, 0, 1));
}

#[test]
fn a_handler_that_closes_the_database_ends_the_worker() {
    let db = TestDatabase::new().unwrap();
    queue(&db).enqueue(&1, EnqueueOpts::default()).unwrap();
    let worker = builder().queue("q", |job| Ok(job.database().close()?));
    let (_, ended) = run(worker.build(&db).unwrap());
    assert!(matches!(ended.recv_timeout(LONG).unwrap(), Err(Error::Closed)));
}

#[test]
fn a_worker_waits_for_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sub").join("app.db");
    let (did, does) = mpsc::channel();
    let worker = builder().queue("q", move |job| {
        did.send(job.payload_as::<i64>()?)?;
        Ok(())
    });
    let (stopper, ended) = run(worker.open(&path).unwrap());
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    let db = Database::open(&path).unwrap();
    queue(&db).enqueue(&7, EnqueueOpts::default()).unwrap();
    assert_eq!(does.recv_timeout(LONG).unwrap(), 7);
    stopper.stop();
    ended.recv_timeout(LONG).unwrap().unwrap();
}

#[test]
fn a_worker_goes_on_with_a_file_that_replaced_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    queue(&Database::open(&path).unwrap()).enqueue(&1, EnqueueOpts::default()).unwrap();
    let (did, does) = mpsc::channel();
    let worker = builder().queue("q", move |job| {
        did.send(job.payload_as::<i64>()?)?;
        let why = (job.payload_as::<i64>()? == 1).then(|| job.sleep(LONG)).flatten();
        assert!(matches!(why, None | Some(Cancelled::Replaced)), "{why:?}");
        Ok(())
    });
    let (stopper, ended) = run(worker.open(&path).unwrap());
    assert_eq!(does.recv_timeout(LONG).unwrap(), 1);
    let other = folder.path().join("other.db");
    queue(&Database::open(&other).unwrap()).enqueue(&2, EnqueueOpts::default()).unwrap();
    // The old file goes first, then its log: whoever opens one without the other finds the file as it was some time ago, or
    // a new one with a log that is not its own.
    std::fs::rename(&path, folder.path().join("old.db")).unwrap();
    for log in ["app.db-wal", "app.db-shm"] {
        let _ = std::fs::remove_file(folder.path().join(log));
    }
    std::fs::rename(&other, &path).unwrap();
    assert_eq!(does.recv_timeout(LONG).unwrap(), 2);
    stopper.stop();
    ended.recv_timeout(LONG).unwrap().unwrap();
}

#[test]
fn a_locked_file_is_waited_out() {
    let db = TestDatabase::with_options(OpenOptions::new().busy_timeout(Duration::from_millis(20))).unwrap();
    let q = queue(&db);
    q.enqueue(&1, EnqueueOpts::default()).unwrap();
    // The lock of somebody else.
    let other = Database::open(db.path()).unwrap();
    let tx = other.transaction().unwrap();
    let (did, does) = mpsc::channel();
    let worker = builder().queue("q", move |_| {
        did.send(())?;
        Ok(())
    });
    let (stopper, ended) = run(worker.build(&db).unwrap());
    assert!(does.recv_timeout(Duration::from_millis(300)).is_err());
    tx.commit().unwrap();
    does.recv_timeout(LONG).unwrap();
    eventually(&other, || q.stats().unwrap().claimed == 0);
    stopper.stop();
    ended.recv_timeout(LONG).unwrap().unwrap();
}

#[test]
fn a_job_that_the_file_does_not_let_settle_is_retried_with_the_reason() {
    let db = TestDatabase::new().unwrap();
    let q = queue(&db);
    let id = q.enqueue(&1, EnqueueOpts::default()).unwrap();
    let tx = db.transaction().unwrap();
    tx.execute(
        "CREATE TRIGGER keep BEFORE DELETE ON _honker_live BEGIN SELECT RAISE(ABORT, 'not that one'); END",
        [],
    )
    .unwrap();
    tx.commit().unwrap();
    builder().queue("q", |_| Ok(())).build(&db).unwrap().run_due().unwrap();
    let job = q.get_job(id).unwrap().unwrap();
    assert_eq!((job.state.as_str(), job.attempts), ("pending", 1));
}

#[test]
fn middleware_stands_around_handlers_the_first_outermost() {
    let db = TestDatabase::new().unwrap();
    queue(&db).enqueue(&1, EnqueueOpts::default()).unwrap();
    let said = Arc::new(Mutex::new(Vec::new()));
    let say = |what: &'static str| {
        let said = Arc::clone(&said);
        move || said.lock().unwrap().push(what)
    };
    let (outer, after, inner, handler) = (say("outer"), say("after"), say("inner"), say("handler"));
    let worker = builder()
        .queue("q", move |_| {
            handler();
            Ok(())
        })
        .middleware(move |job, next| {
            outer();
            let outcome = next.run(job);
            after();
            outcome
        })
        .middleware(move |job, next| {
            inner();
            next.run(job)
        });
    worker.build(&db).unwrap().run_due().unwrap();
    assert_eq!(*said.lock().unwrap(), ["outer", "inner", "handler", "after"]);
}

#[test]
fn the_span_of_a_job_is_the_programs() {
    let db = TestDatabase::new().unwrap();
    let metadata = [("traceparent".to_owned(), "00-1-2-01".to_owned())].into();
    queue(&db).enqueue(&1, EnqueueOpts { metadata, delay: Some(-7), ..Default::default() }).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let see = Arc::clone(&seen);
    let worker = builder()
        .queue("q", |job| if tracing::Span::current().is_none() { Ok(()) } else { panic!("{job:?}") })
        .span(move |job| {
            see.lock().unwrap().push((job.metadata["traceparent"].clone(), job.waited() >= LONG));
            assert!(job.waited() >= Duration::from_secs(6), "{:?}", job.waited());
            tracing::Span::none()
        });
    assert_eq!(worker.build(&db).unwrap().run_due().unwrap(), 1);
    assert_eq!(*seen.lock().unwrap(), [("00-1-2-01".to_owned(), false)]);
    assert_eq!(queue(&db).stats().unwrap().dead, 0);
}

#[test]
fn schedules_are_fired_beside_jobs() {
    let db = TestDatabase::new().unwrap();
    let (did, does) = mpsc::channel();
    let worker = builder()
        .queue("q", move |job| {
            did.send(job.payload_as::<String>()?)?;
            Ok(())
        })
        .schedule(ScheduledTask::new("pulse", "q", "@every 1s", &"tick").unwrap());
    let (stopper, ended) = run(worker.build(&db).unwrap());
    assert_eq!(does.recv_timeout(LONG).unwrap(), "tick");
    stopper.stop();
    ended.recv_timeout(LONG).unwrap().unwrap();
    assert_eq!(db.scheduler().list().unwrap()[0].name, "pulse");
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let db = TestDatabase::new().unwrap();
    let invalid = |builder: WorkerBuilder, what: &str| match builder.build(&db) {
        Err(Error::Invalid(text)) => assert!(text.contains(what), "{text}"),
        other => panic!("{other:?}"),
    };
    let one = || builder().queue("q", |_| Ok(()));
    invalid(builder(), "at least one");
    invalid(one().queue("q", |_| Ok(())), "named twice");
    invalid(one().concurrency(0), "concurrency is 0");
    invalid(one().concurrency(usize::MAX), "concurrency");
    invalid(one().max_run(Duration::ZERO), "max_run_s");
    #[cfg(feature = "tokio")]
    {
        invalid(one().middleware_async(|job, next| next.run(job)), "middleware_async");
        let future = builder().queue_async("q", |_| async { Ok(()) });
        invalid(future.middleware(|job, next| next.run(job)), "no blocking handler");
    }
    invalid(one().backoff(Backoff { factor: f64::NAN, ..Backoff::default() }), "retry_factor");
    invalid(one().schedule(ScheduledTask::new("x", "q", "61 * * * *", &()).unwrap()), "out of range");
    one().concurrency(10_000).build(&db).unwrap().run_due().unwrap();
}

#[test]
fn a_worker_runs_once_at_a_time() {
    let db = TestDatabase::new().unwrap();
    let worker = Arc::new(builder().queue("q", |_| Ok(())).build(&db).unwrap());
    let inner = Arc::clone(&worker);
    let again = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&again);
    let outer = builder().queue("other", move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(inner.run_due().map(drop)?)
    });
    db.queue("other", QueueOpts::default()).enqueue(&1, EnqueueOpts::default()).unwrap();
    outer.build(&db).unwrap().run_due().unwrap();
    assert_eq!(again.load(Ordering::SeqCst), 1);

    let nested: Arc<Mutex<Option<Arc<Worker>>>> = Arc::default();
    let itself = Arc::clone(&nested);
    let worker = builder().queue("q", move |_| {
        let worker = itself.lock().unwrap().clone().unwrap();
        assert!(matches!(worker.run_due(), Err(Error::Misuse(_))));
        Ok(())
    });
    let worker = Arc::new(worker.build(&db).unwrap());
    *nested.lock().unwrap() = Some(Arc::clone(&worker));
    queue(&db).enqueue(&1, EnqueueOpts::default()).unwrap();
    assert_eq!(worker.run_due().unwrap(), 1);
    assert_eq!(queue(&db).stats().unwrap().dead, 0);
    assert_eq!(queue(&db).stats().unwrap().delayed, 0);
    *nested.lock().unwrap() = None;
}

#[test]
fn a_queue_takes_no_more_places_than_it_may() {
    let db = TestDatabase::new().unwrap();
    queue(&db).enqueue_many(&[1, 2, 3], EnqueueOpts::default()).unwrap();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (running, seen) = (Arc::clone(&now), Arc::clone(&most));
    let one = WorkerQueue { max_in_hand: Some(1), ..WorkerQueue::new("q") };
    let worker = builder().queue(one, move |_| {
        seen.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(20));
        running.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    });
    let (stopper, ended) = run(worker.build(&db).unwrap());
    eventually(&db, || db.query("SELECT 1 FROM _honker_live", []).unwrap().is_empty());
    stopper.stop();
    ended.recv_timeout(LONG).unwrap().unwrap();
    assert_eq!(most.load(Ordering::SeqCst), 1);
}
