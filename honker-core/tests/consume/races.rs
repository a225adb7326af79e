//! Something happens in the one moment in which it could be overlooked: after a consumer has looked, before it waits.

use std::sync::Mutex;

use honker_core::consume::{Listener, ResultWait, StreamOptions, StreamSubscription, Worker};
use honker_core::database::Database;
use rusqlite::Connection;

use crate::statements;
use crate::support::*;

/// Runs `sql` on a connection of somebody else's when the first statement ends that contains `part`.
fn after(part: &'static str, file: &File, sql: &'static str) {
    let other = Mutex::new(file.plain());
    statements::once_after(part, move || {
        other.lock().unwrap().execute_batch(sql).unwrap();
        // Until the watcher has woken all there are.
        std::thread::sleep(std::time::Duration::from_millis(50));
    });
}

const ENQUEUE: &str = "INSERT INTO _honker_live (queue, payload) VALUES ('q', 'p')";

#[test]
fn what_comes_after_the_look_is_seen() {
    alone("races::what_comes_after_the_look_is_seen", || {
        statements::watch();
        let (file, database) = open();
        let mut worker = worker(&database, "q", no_fallback());
        // Looking, asking for the deadline, claiming.
        let parts = [
            ("claim_expires_at < +?2 LIMIT +?3", false),
            ("claim_expires_at >= +?2", true),
            ("RELEASE _honker", true),
        ];
        for (part, has_just_claimed) in parts {
            assert_timeout(worker.next(1, NOW));
            if has_just_claimed {
                enqueue(&database, "q", "p");
                let claimed = job(worker.next(1, NOW));
                assert!(worker.settled(claimed.id, claimed.serial));
            }
            after(part, &file, ENQUEUE);
            let claimed = job(worker.next(1, LONG));
            assert!(worker.settled(claimed.id, claimed.serial));
        }
        let mut listener = listener(&database, "c");
        after(
            "WHERE channel",
            &file,
            "INSERT INTO _honker_notifications (channel, payload) VALUES ('c', 'p')",
        );
        item(listener.next(LONG));
        let mut subscription = subscription(&database, "t");
        after("WHERE topic", &file, "INSERT INTO _honker_stream (topic, payload) VALUES ('t', 'p')");
        item(subscription.next(LONG));
        let mut result = ResultWait::new(&database, 7).unwrap();
        after("_honker_results", &file, "INSERT INTO _honker_results (job_id, value) VALUES (7, 'v')");
        item(result.next(LONG));
    });
}

/// The place where a listener begins is read after it has subscribed, and before anybody is told that it exists.
#[test]
fn what_comes_while_a_listener_is_made_is_heard_or_past() {
    alone("races::what_comes_while_a_listener_is_made_is_heard_or_past", || {
        statements::watch();
        let (file, database) = open();
        after("max(id)", &file, "INSERT INTO _honker_notifications (channel, payload) VALUES ('c', 'p')");
        let mut listener = listener(&database, "c");
        item(listener.next(LONG));
        // It was there before.
        let mut late = self::listener(&database, "c");
        assert_timeout(late.next(NOW));
    });
}

/// Each with a thread of its own that does it at just about the time at which the consumer is made.
fn race<C: Send + 'static, T, U>(
    rounds: u32,
    make: impl Fn(&Database) -> C + Send + Clone + 'static,
    next: impl Fn(C) -> T,
    act: impl Fn(&Database) -> U,
) {
    let (_file, database) = open();
    for _ in 0..rounds {
        let making = Thread::start({
            let (database, make) = (database.clone(), make.clone());
            move || make(&database)
        });
        act(&database);
        next(making.join());
    }
}

#[test]
fn a_hundred_enqueues_race_the_making_of_their_worker() {
    race(
        100,
        |database| worker(database, "q", no_fallback()),
        |mut worker: Worker| job(worker.next(1, LONG)),
        |database| enqueue(database, "q", "p"),
    );
}

#[test]
fn publications_race_the_making_of_their_subscription() {
    let options = StreamOptions { consumer: Some("c".to_owned()), ..StreamOptions::default() };
    race(
        30,
        move |database| StreamSubscription::new(database, "t", options.clone()).unwrap(),
        |mut subscription| {
            item(subscription.next(LONG));
            subscription.ack().unwrap();
        },
        |database| publish(database, "t", "p"),
    );
}

#[test]
fn results_race_the_making_of_their_wait() {
    race(
        30,
        |database| ResultWait::new(database, 7).unwrap(),
        |mut wait| {
            item(wait.next(LONG));
            wait
        },
        |database| save_result(database, 7, "v"),
    );
}

/// A listener that exists when something is sent hears it, however short a time it has existed.
#[test]
fn fresh_listeners_hear_the_first_notification() {
    let (file, database) = open();
    let other: Connection = file.plain();
    for index in 0..50 {
        let mut listener: Listener = listener(&database, "c");
        let payload = index.to_string();
        let notify = "INSERT INTO _honker_notifications (channel, payload) VALUES ('c', ?1)";
        other.execute(notify, [&payload]).unwrap();
        assert_eq!(item(listener.next(LONG)).payload, payload);
    }
}
