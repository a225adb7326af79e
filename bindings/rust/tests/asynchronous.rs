//! Waits as futures and streams: nothing is lost, whoever is dropped, and nothing blocks a task.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use honker::testing::TestDatabase;
use honker::{Cancelled, Database, EnqueueOpts, Error, Failure, OpenOptions, QueueOpts, Worker};
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "current_thread")]
async fn a_commit_of_another_connection_wakes_every_kind_of_wait() {
    let db = TestDatabase::new().unwrap();
    let other = Database::open(db.path()).unwrap();
    let mut news = db.listen("news").unwrap().into_async().unwrap();
    let mut events = db.stream("orders").subscribe("c").unwrap().into_async().unwrap();
    let mut updates = db.update_events().unwrap().into_async().unwrap();
    let mut jobs = db.queue("q", QueueOpts::default()).claim_waker().unwrap().into_async("w").unwrap();
    let writing = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(50));
        other.notify("news", &1).unwrap();
        other.stream("orders").publish(&2).unwrap();
        other.queue("q", QueueOpts::default()).enqueue(&3, EnqueueOpts::default()).unwrap();
    });
    let all = async { tokio::try_join!(news.next(), events.next(), updates.next(), jobs.next()) };
    let (notification, event, (), job) = timeout(LONG, all).await.unwrap().unwrap();
    assert_eq!((notification.payload.as_str(), event.payload.as_str(), &*job.payload), ("1", "2", &b"3"[..]));
    writing.await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn everything_that_is_there_is_given_and_then_what_comes() {
    let db = TestDatabase::new().unwrap();
    let orders = db.stream("orders");
    for n in 0..600 {
        orders.publish(&n).unwrap();
    }
    let mut events = orders.subscribe("c").unwrap().into_async().unwrap();
    for n in 0..600 {
        assert_eq!(timeout(LONG, events.next()).await.unwrap().unwrap().payload_as::<i64>().unwrap(), n);
    }
    for n in 600..610 {
        // Nothing is there now: readiness has been cleared.
        assert!(timeout(Duration::from_millis(20), events.next()).await.is_err());
        orders.publish(&n).unwrap();
        assert_eq!(timeout(LONG, events.next()).await.unwrap().unwrap().payload_as::<i64>().unwrap(), n);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn futures_that_are_dropped_lose_nothing() {
    let db = TestDatabase::new().unwrap();
    let q = db.queue("q", QueueOpts::default());
    let mut jobs = q.claim_waker().unwrap().into_async("w").unwrap();
    let mut seen = Vec::new();
    for n in 0..50 {
        q.enqueue(&n, EnqueueOpts::default()).unwrap();
        // Dropped at whatever point it has come to.
        for polls in 0..3_u32 {
            let mut next = Box::pin(jobs.next());
            for _ in 0..=polls {
                if let std::task::Poll::Ready(job) = futures_util::poll!(next.as_mut()) {
                    seen.push(job.unwrap());
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    }
    while seen.len() < 50 {
        seen.push(timeout(LONG, jobs.next()).await.expect("a job was lost").unwrap());
    }
    let mut payloads: Vec<i64> = seen.iter().map(|job| job.payload_as().unwrap()).collect();
    payloads.sort_unstable();
    assert_eq!(payloads, (0..50).collect::<Vec<i64>>());
    assert!(seen.iter().all(|job| job.attempts == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dropped_wait_has_claimed_is_given_back() {
    let db = TestDatabase::new().unwrap();
    let q = db.queue("q", QueueOpts::default());
    q.enqueue(&1, EnqueueOpts::default()).unwrap();
    let mut pending = 0;
    for _ in 0..200 {
        let mut jobs = q.claim_waker().unwrap().into_async("w").unwrap();
        // A look begins, and everything is dropped.
        match futures_util::poll!(Box::pin(jobs.next()).as_mut()) {
            std::task::Poll::Pending => pending += 1,
            // The look was over before the poll was: the job is ours to give back.
            std::task::Poll::Ready(job) => assert!(job.unwrap().release(0).unwrap()),
        }
    }
    assert!(pending > 0, "no wait was dropped before its look was over");
    let mut jobs = q.claim_waker().unwrap().into_async("last").unwrap();
    let job = timeout(LONG, jobs.next()).await.expect("it was given back").unwrap();
    assert_eq!(job.attempts, 1);
}

#[tokio::test(flavor = "current_thread")]
async fn a_wait_ends_with_its_waker_and_with_its_database() {
    let db = TestDatabase::new().unwrap();
    let mut news = db.listen("news").unwrap().into_async().unwrap();
    let waker = news.waker();
    std::thread::spawn(move || waker.wake());
    assert!(matches!(timeout(LONG, news.next()).await.unwrap(), Err(Error::Woken)));
    db.notify("news", &1).unwrap();
    assert!(timeout(LONG, news.next()).await.unwrap().is_ok());
    let closing = Database::clone(&db);
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        closing.close().unwrap();
    });
    assert!(timeout(LONG, StreamExt::next(&mut news)).await.unwrap().is_none());
}

#[tokio::test(flavor = "current_thread")]
async fn a_job_that_becomes_due_wakes_a_wait() {
    let db = TestDatabase::new().unwrap();
    let q = db.queue("q", QueueOpts::default());
    q.enqueue(&1, EnqueueOpts { delay: Some(1), ..Default::default() }).unwrap();
    let mut jobs = q.claim_waker().unwrap().into_async("w").unwrap();
    assert!(timeout(LONG, jobs.next()).await.unwrap().is_ok());
}

#[tokio::test(flavor = "current_thread")]
async fn a_call_that_waits_for_a_lock_blocks_no_task() {
    let db = TestDatabase::with_options(OpenOptions::new().busy_timeout(LONG)).unwrap();
    let other = Database::open(db.path()).unwrap();
    let tx = other.transaction().unwrap();
    let enqueue = db.run(|db| db.queue("q", QueueOpts::default()).enqueue(&1, EnqueueOpts::default()));
    // On the one thread that there is, this task ends the wait of the other.
    let unlock = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        tx.commit().unwrap();
    };
    let (enqueued, ()) = timeout(LONG, async { tokio::join!(enqueue, unlock) }).await.unwrap();
    assert_eq!(enqueued.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_runs_futures() {
    let db = TestDatabase::new().unwrap();
    let q = db.queue("q", QueueOpts::default());
    let payloads: Vec<i64> = (0..200).collect();
    q.enqueue_many(&payloads, EnqueueOpts::default()).unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&done);
    let worker = Worker::builder().signals(false).concurrency(100).typed_async("q", move |n: i64, job| {
        let counted = Arc::clone(&counted);
        async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            if n == 7 && job.attempts == 1 {
                panic!("at the seventh");
            }
            if n == 8 && job.attempts == 1 {
                return Err(Failure::retry_after(Duration::ZERO, "at the eighth"));
            }
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    });
    let worker = worker.build(&db).unwrap();
    let stopper = worker.stopper();
    let watched = Database::clone(&db);
    let watching = tokio::spawn(async move {
        let mut updates = watched.update_events().unwrap().into_async().unwrap();
        while !watched.query("SELECT 1 FROM _honker_live WHERE run_at <= unixepoch()", []).unwrap().is_empty()
        {
            let _ = timeout(Duration::from_millis(200), updates.next()).await;
        }
        stopper.stop();
    });
    timeout(LONG, worker.run_async()).await.unwrap().unwrap();
    watching.await.unwrap();
    assert_eq!(done.load(Ordering::SeqCst), 199);
    // The one that panicked is tried again later.
    assert_eq!((q.stats().unwrap().delayed, q.stats().unwrap().pending), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_future_is_dropped_stops() {
    let db = TestDatabase::new().unwrap();
    let q = db.queue("q", QueueOpts::default());
    let id = q.enqueue(&1, EnqueueOpts::default()).unwrap();
    let (why, mut whys) = tokio::sync::mpsc::unbounded_channel();
    let worker = Worker::builder().signals(false).stop_timeout(Duration::ZERO).queue_async("q", move |job| {
        let why = why.clone();
        async move {
            why.send(None).unwrap();
            let reason = job.until_cancelled().await;
            why.send(Some(reason)).unwrap();
            Err(reason.into())
        }
    });
    let worker = worker.build(&db).unwrap();
    {
        let running = worker.run_async();
        tokio::pin!(running);
        let started = async { whys.recv().await.unwrap() };
        tokio::select! {
            _ = &mut running => panic!("it does not end by itself"),
            _ = started => {}
        }
    }
    assert_eq!(timeout(LONG, whys.recv()).await.unwrap().unwrap(), Some(Cancelled::Stopping));
    let mut updates = db.update_events().unwrap().into_async().unwrap();
    while q.get_job(id).unwrap().unwrap().state != "pending" {
        let _ = timeout(Duration::from_millis(200), updates.next()).await;
    }
    assert_eq!(q.get_job(id).unwrap().unwrap().attempts, 0);
}

#[tokio::test(flavor = "current_thread")]
async fn middleware_stands_around_futures_the_first_outermost() {
    let db = TestDatabase::new().unwrap();
    db.queue("q", QueueOpts::default()).enqueue_many(&[1, 2], EnqueueOpts::default()).unwrap();
    let said = Arc::new(Mutex::new(Vec::new()));
    let say = |what: &'static str| {
        let said = Arc::clone(&said);
        move || said.lock().unwrap().push(what)
    };
    let (outer, after, inner, handler) = (say("outer"), say("after"), say("inner"), say("handler"));
    let worker = Worker::builder()
        .queue_async("q", move |job| {
            handler();
            async move {
                tokio::task::yield_now().await;
                if job.payload_as::<i64>()? == 2 { panic!("at the second") } else { Ok(()) }
            }
        })
        .middleware_async(move |job, next| {
            let after = after.clone();
            outer();
            async move {
                let outcome = next.run(job).await;
                after();
                outcome
            }
        })
        .middleware_async(move |job, next| {
            inner();
            next.run(job)
        });
    assert_eq!(worker.build(&db).unwrap().run_due_async().await.unwrap(), 2);
    let first = ["outer", "inner", "handler", "after"];
    assert_eq!(*said.lock().unwrap(), [&first[..], &first[..3]].concat());
    assert_eq!(db.queue("q", QueueOpts::default()).stats().unwrap().delayed, 1);
}

#[test]
fn a_future_needs_a_runtime() {
    let db = TestDatabase::new().unwrap();
    let worker = Worker::builder().queue_async("q", |_| async { Ok(()) }).build(&db).unwrap();
    assert!(matches!(worker.run(), Err(Error::Misuse(_))));
    assert!(matches!(worker.run_due(), Err(Error::Misuse(_))));
}
