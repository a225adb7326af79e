//! Consumers with nothing to do ask the file nothing.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use honker_core::consume::{Leader, ResultWait, StreamOptions, StreamSubscription, WorkerOptions};

use crate::leader::register;
use crate::support::*;
use crate::{clock, statements};

/// All kinds, with their fallbacks and with deadlines that lie ahead.
#[test]
fn nobody_asks_anything_between_wakes() {
    alone("idle::nobody_asks_anything_between_wakes", || {
        statements::watch();
        let (_file, database) = open();
        enqueue_at(&database, "q", clock::second() + 3600);
        register(&database, "a", "@every 1h");
        let named = StreamOptions { consumer: Some("c".to_owned()), ..StreamOptions::default() };
        let mut subscription = StreamSubscription::new(&database, "t", named).unwrap();
        let mut delayed = worker(&database, "q", WorkerOptions::default());
        let mut empty = worker(&database, "empty", no_fallback());
        let mut listener = listener(&database, "c");
        let mut result = ResultWait::new(&database, 1).unwrap();
        let mut leader = Leader::new(&database, "a").unwrap();
        let mut stand_by = Leader::new(&database, "b").unwrap();
        assert_timeout(leader.next(NOW));
        let wakers = [
            subscription.waiter(),
            delayed.waiter(),
            empty.waiter(),
            listener.waiter(),
            result.waiter(),
            leader.waiter(),
            stand_by.waiter(),
        ];
        let waiting = [
            Thread::start(move || subscription.next(None).map(drop)),
            Thread::start(move || delayed.next(1, None).map(drop)),
            Thread::start(move || empty.next(1, None).map(drop)),
            Thread::start(move || listener.next(None).map(drop)),
            Thread::start(move || result.next(None).map(drop)),
            Thread::start(move || leader.next(None).map(drop)),
            Thread::start(move || stand_by.next(None).map(drop)),
        ];
        waiting.iter().for_each(Thread::until_asleep_here);
        // The leader's own commit may still be waking them, and after five seconds some look by themselves.
        until("all is quiet for a second and a half", || {
            let before = statements::count();
            std::thread::sleep(Duration::from_millis(1500));
            statements::count() == before
        });
        wakers.iter().for_each(honker_core::consume::Waiter::wake);
        waiting.into_iter().for_each(|waiting| waiting.join().unwrap());
    });
}

/// Until a job is due: one look when it was told to wait, one at the deadline, and perhaps some for stale wakes.
#[test]
fn a_deadline_costs_one_look() {
    alone("idle::a_deadline_costs_one_look", || {
        statements::watch();
        let (_file, database) = open();
        enqueue_at(&database, "q", clock::second() + 2);
        let mut worker = worker(&database, "q", no_fallback());
        let before = statements::count();
        job(worker.next(1, LONG));
        let statements = statements::count() - before;
        assert!(statements < 80, "{statements}");
    });
}

/// Whatever a consumer asks or does, in a file full of other things: no statement walks a table or sorts.
#[test]
fn every_look_goes_through_an_index() {
    alone("idle::every_look_goes_through_an_index", || {
        statements::watch();
        let (file, database) = open();
        enqueue_at(&database, "q", clock::second() + 3600);
        enqueue(&database, "q", "p");
        publish(&database, "t", "p");
        let texts = Arc::new(Mutex::new(BTreeSet::new()));
        let seen = Arc::clone(&texts);
        let named = StreamOptions { consumer: Some("c".to_owned()), ..StreamOptions::default() };
        statements::on_end(move |sql| {
            seen.lock().unwrap().insert(sql.to_owned());
        });
        let mut worker = worker(&database, "q", no_fallback());
        job(worker.next(1, NOW));
        assert_timeout(worker.next(1, NOW));
        assert_timeout(listener(&database, "c").next(NOW));
        let mut subscription = StreamSubscription::new(&database, "t", named).unwrap();
        item(subscription.next(NOW));
        subscription.ack().unwrap();
        drop(subscription);
        assert_timeout(ResultWait::new(&database, 1).unwrap().next(NOW));
        assert_timeout(Leader::new(&database, "a").unwrap().next(NOW));
        statements::on_end(|_| {});
        let plain = file.plain();
        let texts = texts.lock().unwrap();
        let asked =
            |sql: &&String| ["SELECT", "UPDATE", "DELETE", "INSERT"].iter().any(|verb| sql.starts_with(verb));
        assert!(texts.iter().filter(asked).count() > 15, "{texts:?}");
        for sql in texts.iter().filter(asked) {
            let mut explain = plain.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let mut steps = explain.raw_query();
            while let Some(step) = steps.next().unwrap() {
                let step: String = step.get("detail").unwrap();
                // Schedules and open databases are few, locking looks at no row, and whether a table has any row takes one.
                let permitted = step.contains("CONSTANT ROW")
                    || step.contains("(subquery")
                    || sql.contains("_honker_scheduler_tasks")
                    || sql.ends_with("FROM main._honker_instances")
                    || sql.contains("WHERE 0")
                    // Only when the schema has changed.
                    || sql.starts_with("SELECT EXISTS (SELECT 1 FROM main.sqlite_master")
                    || sql.starts_with("SELECT EXISTS (SELECT 1 FROM main._honker_");
                assert!(
                    permitted || !step.starts_with("SCAN") && !step.contains("TEMP B-TREE"),
                    "{step} in {sql}"
                );
            }
        }
    });
}
