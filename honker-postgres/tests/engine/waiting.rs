//! Consumers: what wakes them, and how soon.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use honker_core::consume::{
    Listener, Next, Outbox, OutboxOptions, ResultWait, Settlement, StreamOptions, StreamSubscription,
    Updates, Verdict, Waiter, Worker, WorkerOptions, queue_of,
};
use honker_core::queue::Enqueue;
use honker_core::watch::Wake;
use postgres::fallible_iterator::FallibleIterator;

use crate::restart::with_own_server_set;
use crate::support::{LONG, Server, enqueue, wait_until};

/// Sooner than the look of once a second would be, with room for a machine that is busy: the best of several.
fn is_woken(what: &str, mut once: impl FnMut()) {
    let times: Vec<Duration> = (0..8)
        .map(|_| {
            // Not in step with that look.
            thread::sleep(Duration::from_millis(fastrand::u64(0..300)));
            let start = Instant::now();
            once();
            start.elapsed()
        })
        .collect();
    let quickest = times.iter().min().unwrap();
    assert!(*quickest < Duration::from_millis(300), "{what}: {times:?}");
}

#[test]
fn a_worker_is_woken_by_plain_sql_of_another_program() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let mut other = server.client();
    let mut worker = Worker::new(&database, "q", "w", WorkerOptions::default()).unwrap();
    assert_eq!(worker.next(1, Some(Duration::ZERO)).unwrap(), Next::Timeout);
    is_woken("a plain INSERT", || {
        let waiting = thread::scope(|scope| {
            let worker = &mut worker;
            let waiting = scope.spawn(move || worker.next(1, LONG).unwrap());
            thread::sleep(Duration::from_millis(50));
            other
                .batch_execute("INSERT INTO honker._honker_live (queue, payload) VALUES ('q', 'p')")
                .unwrap();
            waiting.join().unwrap()
        });
        let Next::Item(batch) = waiting else { panic!("{waiting:?}") };
        let job = &batch.jobs[0];
        let ack = Settlement { id: job.id, serial: job.serial, verdict: Verdict::Ack };
        assert_eq!(worker.settle(&[ack]).unwrap(), [Ok(true)]);
    });
}

#[test]
fn what_follows_shortly_upon_another_is_told_as_well() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let mut listener = server.client();
    listener.batch_execute("LISTEN honker; SELECT honker._listen(repeat('0', 32))").unwrap();
    let mut silent: BTreeSet<String> = (0..50).map(|n| format!("q:{n}")).collect();
    for n in 0..50 {
        enqueue(&database, &n.to_string(), "p");
    }
    let mut notifications = listener.notifications();
    let mut all = notifications.timeout_iter(Duration::from_secs(30));
    while !silent.is_empty() {
        let Some(notification) = all.next().unwrap() else { panic!("nobody has told of {silent:?}") };
        for item in serde_json::from_str::<Vec<String>>(notification.payload()).unwrap() {
            silent.remove(&item);
        }
    }
}

#[test]
fn a_worker_is_woken_by_this_process() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let mut worker = Worker::new(&database, "q", "w", WorkerOptions::default()).unwrap();
    is_woken("an enqueue", || {
        thread::scope(|scope| {
            let worker = &mut worker;
            let waiting = scope.spawn(move || worker.next(1, LONG).unwrap());
            thread::sleep(Duration::from_millis(20));
            enqueue(&database, "q", "p");
            assert!(matches!(waiting.join().unwrap(), Next::Item(_)));
        });
    });
}

#[test]
fn a_job_that_becomes_due_is_taken_then() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    database.enqueue(&Enqueue { delay_s: Some(2), ..Enqueue::new("q", "p") }).unwrap();
    let mut worker = Worker::new(&database, "q", "w", WorkerOptions::default()).unwrap();
    let start = Instant::now();
    assert!(matches!(worker.next(1, LONG).unwrap(), Next::Item(_)));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn listeners_subscriptions_and_results_are_woken_by_what_is_theirs() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let mut other = server.client();
    let waiter = Waiter::new(&database).unwrap();
    let mut listener = Listener::on(&waiter, 1, "c", Listener::FALLBACK).unwrap();
    let options = StreamOptions { consumer: Some("me".to_owned()), ..StreamOptions::default() };
    let mut subscription = StreamSubscription::on(&waiter, 2, "t", options).unwrap();
    let mut result = ResultWait::on(&waiter, 3, 77);
    let drain = |waiter: &Waiter| {
        let mut tokens = [0; 8];
        let ready = waiter.ready(&mut tokens).unwrap();
        tokens[..ready.count].to_vec()
    };
    let quiet = Some(Duration::ZERO);
    assert_eq!(drain(&waiter), [1, 2, 3]);
    assert_eq!(listener.next(quiet).unwrap(), Next::Timeout);
    assert_eq!(subscription.next(quiet).unwrap(), Next::Timeout);
    assert_eq!(result.next(quiet).unwrap(), Next::Timeout);
    // Each of them alone, unless the look of once a second falls between.
    for (sql, token) in [
        ("SELECT honker.notify('c', 'hello')", 1),
        ("SELECT honker.honker_stream_publish('t', NULL, 'event')", 2),
        ("SELECT honker.honker_result_save(77, 'done', 0)", 3),
    ] {
        other.batch_execute(sql).unwrap();
        let mut named = Vec::new();
        wait_until(sql, || {
            waiter.wait(Some(Duration::from_millis(100))).unwrap();
            named.extend(drain(&waiter));
            named.contains(&token)
        });
        match token {
            1 => assert!(matches!(listener.next(quiet).unwrap(), Next::Item(it) if it.payload == "hello")),
            2 => {
                assert!(matches!(subscription.next(quiet).unwrap(), Next::Item(it) if it.payload == "event"))
            }
            _ => assert_eq!(result.next(quiet).unwrap(), Next::Item("done".to_owned())),
        }
        assert_eq!(listener.next(quiet).unwrap(), Next::Timeout);
        if token != 2 {
            assert_eq!(subscription.next(quiet).unwrap(), Next::Timeout);
        }
    }
    subscription.ack().unwrap();
    drop(subscription);
    assert!(database.stream_get_offset("me", "t").unwrap() > 0);
}

#[test]
fn updates_are_of_anything() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let mut updates = Updates::new(&database).unwrap();
    while updates.next(Some(Duration::from_millis(1500))).unwrap() != Next::Timeout {}
    server.client().batch_execute("SELECT honker.notify('x', 'y')").unwrap();
    assert_eq!(updates.next(LONG).unwrap(), Next::Item(()));
}

#[cfg(unix)]
#[test]
fn a_descriptor_is_readable_when_there_is_something() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let waiter = Waiter::new(&database).unwrap();
    let mut worker = Worker::on(
        &waiter,
        9,
        vec![honker_core::consume::WorkerQueue::new("q")],
        "w",
        WorkerOptions::default(),
    )
    .unwrap();
    assert!(waiter.descriptor().unwrap() >= 0);
    while worker.next(1, Some(Duration::ZERO)).unwrap() != Next::Timeout {}
    server.client().batch_execute("SELECT honker.honker_enqueue('q', 'p')").unwrap();
    assert_eq!(waiter.wait(LONG).unwrap(), Wake::Update);
    let mut tokens = [0; 2];
    assert_eq!(waiter.ready(&mut tokens).unwrap().count, 1);
    assert_eq!(tokens[0], 9);
    assert!(matches!(worker.next(1, Some(Duration::ZERO)).unwrap(), Next::Item(_)));
}

#[test]
fn an_outbox_delivers_again_what_failed() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let options = OutboxOptions { base_backoff_s: 0, ..OutboxOptions::default() };
    let mut outbox = Outbox::new(&database, "mail", "w", options).unwrap();
    enqueue(&database, &queue_of("mail"), "p");
    for attempt in 1..=2 {
        let Next::Item(job) = outbox.next(LONG).unwrap() else { panic!("nothing to deliver") };
        assert_eq!(job.attempts, attempt);
        if attempt == 1 {
            assert!(outbox.failed(job.id, job.attempts, "no").unwrap());
        } else {
            assert!(outbox.delivered(job.id).unwrap());
        }
    }
}

/// A process that dies between its commit and its notice: a client that says nothing.
#[test]
fn what_nobody_has_told_of_is_found_by_the_look_of_once_a_second() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let mut worker = Worker::new(&database, "q", "w", WorkerOptions::default()).unwrap();
    assert_eq!(worker.next(1, Some(Duration::from_millis(1500))).unwrap(), Next::Timeout);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| worker.next(1, LONG).unwrap());
        let mut mute = server.client();
        mute.batch_execute("SET honker.wake = 'off'; SELECT honker.honker_enqueue('q', 'p')").unwrap();
        drop(mute);
        let start = Instant::now();
        assert!(matches!(waiting.join().unwrap(), Next::Item(_)));
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    });
}

#[test]
fn who_waits_idly_asks_once_a_second() {
    // What autovacuum does is counted among the transactions as well.
    let alone = ["autovacuum=off".to_owned()];
    if !with_own_server_set("waiting::who_waits_idly_asks_once_a_second", &alone, &[]) {
        return;
    }
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let waiter = Waiter::new(&database).unwrap();
    let queues = |n: usize| vec![honker_core::consume::WorkerQueue::new(format!("q{n}"))];
    let mut workers: Vec<_> = (0..20)
        .map(|n| Worker::on(&waiter, n as u64, queues(n), "w", WorkerOptions::default()).unwrap())
        .collect();
    for worker in &mut workers {
        while worker.next(1, Some(Duration::ZERO)).unwrap() != Next::Timeout {}
    }
    let serve = |workers: &mut Vec<Worker>, time: Duration| {
        let until = Instant::now() + time;
        while Instant::now() < until {
            waiter.wait(Some(Duration::from_millis(500))).unwrap();
            let mut tokens = [0; 32];
            let count = waiter.ready(&mut tokens).unwrap().count;
            for token in &tokens[..count] {
                while workers[*token as usize].next(1, Some(Duration::ZERO)).unwrap() != Next::Timeout {}
            }
        }
    };
    let mut client = server.client();
    // Prepared once, so that asking is one transaction.
    let sql = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    let asks = client.prepare(sql).unwrap();
    let mut transactions = || -> i64 { client.query_one(&asks, &[]).unwrap().get(0) };
    // A server's processes tell their statistics ten seconds late at worst, what they tell is looked into once, and so on: that
    // is over by and by.
    let rates: Vec<f64> = std::iter::repeat_with(|| {
        let (before, start) = (transactions(), Instant::now());
        serve(&mut workers, Duration::from_secs(5));
        (transactions() - before) as f64 / start.elapsed().as_secs_f64()
    })
    .take(12)
    .scan(false, |is_over, rate| (!std::mem::replace(is_over, rate <= 1.6)).then_some(rate))
    .collect();
    assert!(rates.last().is_some_and(|rate| *rate <= 1.6), "transactions a second: {rates:?}");
}
