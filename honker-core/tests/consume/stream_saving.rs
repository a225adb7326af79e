//! What a stream's subscription saves: only what is finished, whenever that was agreed, and never backwards.

use std::time::{Duration, Instant};

use honker_core::consume::{Next, StreamOptions, StreamSubscription};
use honker_core::database::Database;
use rusqlite::ffi;

use crate::common::patient_for;
use crate::statements;
use crate::support::*;

const HOUR: Duration = Duration::from_secs(3600);

fn every(save_every_n: u64, save_every: Duration) -> StreamOptions {
    StreamOptions { consumer: Some("c".to_owned()), from_offset: None, save_every_n, save_every }
}

fn subscribe(database: &Database, options: StreamOptions) -> StreamSubscription {
    StreamSubscription::new(database, "t", options).unwrap()
}

fn pull(subscription: &mut StreamSubscription, count: usize) -> Vec<i64> {
    (0..count).map(|_| item(subscription.next(NOW)).offset).collect()
}

fn saved(database: &Database) -> i64 {
    database.stream_get_offset("c", "t").unwrap()
}

fn save(database: &Database, offset: i64) {
    database.stream_save_offset("c", "t", offset).unwrap();
}

/// With events of another topic between, so that numbers of events are not differences of offsets.
fn publish_many(database: &Database, count: usize) {
    for _ in 0..count {
        publish(database, "other", "p");
        publish(database, "t", "p");
    }
}

#[test]
fn after_so_many_finished_events() {
    let (_file, database) = open();
    publish_many(&database, 25);
    let mut subscription = subscribe(&database, every(5, HOUR));
    let mut expected = 0;
    for pulled in 1..=12 {
        assert_eq!(pull(&mut subscription, 1), [pulled * 2]);
        // The one in hand is not finished.
        let finished = pulled - 1;
        if finished % 5 == 0 {
            expected = finished * 2;
        }
        assert_eq!(saved(&database), expected, "after {pulled}");
    }
    // A crash.
    std::mem::forget(subscription);
    let mut subscription = subscribe(&database, every(5, HOUR));
    assert_eq!(pull(&mut subscription, 1), [22]);
    drop(subscription);
    assert_eq!(saved(&database), 20);
}

#[test]
fn an_event_is_finished_when_its_consumer_says_so() {
    let (_file, database) = open();
    publish_many(&database, 3);
    let mut subscription = subscribe(&database, every(2, HOUR));
    pull(&mut subscription, 1);
    subscription.ack().unwrap();
    subscription.ack().unwrap();
    assert_eq!((saved(&database), subscription.offset()), (0, 2));
    pull(&mut subscription, 1);
    assert_eq!(saved(&database), 0);
    subscription.ack().unwrap();
    assert_eq!(saved(&database), 4);
    pull(&mut subscription, 1);
    subscription.ack().unwrap();
    subscription.save().unwrap();
    assert_eq!(saved(&database), 6);
}

#[test]
fn dropping_saves_what_is_finished() {
    let (_file, database) = open();
    publish_many(&database, 5);
    for (pulled, ack, expected) in [(0, false, 0), (1, false, 0), (2, false, 2), (1, true, 4), (3, false, 8)]
    {
        let mut subscription = subscribe(&database, every(1000, HOUR));
        pull(&mut subscription, pulled);
        if ack {
            subscription.ack().unwrap();
        }
        drop(subscription);
        assert_eq!(saved(&database), expected, "{pulled} {ack}");
    }
}

#[test]
fn what_is_switched_off_never_saves_unasked() {
    let (_file, database) = open();
    publish_many(&database, 20);
    let mut subscription = subscribe(&database, every(0, Duration::ZERO));
    pull(&mut subscription, 10);
    assert_timeout({
        pull(&mut subscription, 10);
        subscription.next(Some(Duration::from_millis(20)))
    });
    drop(subscription);
    assert_eq!(saved(&database), 0);
    let mut subscription = subscribe(&database, every(0, Duration::ZERO));
    pull(&mut subscription, 3);
    subscription.save().unwrap();
    assert_eq!(saved(&database), 4);
}

#[test]
fn after_some_time_also_when_nothing_happens() {
    let (_file, database) = open();
    publish_many(&database, 3);
    let began = Instant::now();
    let mut subscription = subscribe(&database, every(0, Duration::from_millis(300)));
    pull(&mut subscription, 3);
    let waiting = Thread::start(move || subscription.next(LONG));
    until("it is saved", || saved(&database) == 6);
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_millis(300) + PROMPT, "{:?}", began.elapsed());
    publish(&database, "t", "p");
    item(waiting.join());
}

#[test]
fn after_some_time_also_between_events() {
    let (_file, database) = open();
    publish_many(&database, 3);
    let mut subscription = subscribe(&database, every(0, Duration::from_millis(50)));
    pull(&mut subscription, 2);
    std::thread::sleep(Duration::from_millis(60));
    pull(&mut subscription, 1);
    assert_eq!(saved(&database), 4);
}

/// The time is over again and again while there is nothing to save.
#[test]
fn nothing_new_is_not_written() {
    alone("stream_saving::nothing_new_is_not_written", || {
        statements::watch();
        let (_file, database) = open();
        publish_many(&database, 2);
        let mut subscription = subscribe(&database, every(1, Duration::from_millis(10)));
        pull(&mut subscription, 2);
        assert_timeout(subscription.next(Some(Duration::from_millis(50))));
        assert_eq!(saved(&database), 4);
        std::thread::sleep(Duration::from_millis(200));
        let before = statements::count();
        assert_timeout(subscription.next(Some(Duration::from_millis(200))));
        subscription.save().unwrap();
        drop(subscription);
        let statements = statements::count() - before;
        assert!(statements < 10, "{statements}");
    });
}

#[test]
fn without_a_consumer_nothing_is_saved() {
    let (file, database) = open();
    publish_many(&database, 3);
    let options = StreamOptions { consumer: None, ..every(1, Duration::from_nanos(1)) };
    let mut subscription = subscribe(&database, options);
    pull(&mut subscription, 3);
    assert_timeout(subscription.next(NOW));
    subscription.save().unwrap();
    drop(subscription);
    assert_eq!(file.count("SELECT count(*) FROM _honker_stream_consumers"), 0);
}

/// A replay saves nothing before it has come to where the consumer was.
#[test]
fn saving_never_goes_back() {
    let (_file, database) = open();
    publish_many(&database, 6);
    save(&database, 8);
    let mut subscription = subscribe(&database, StreamOptions { from_offset: Some(0), ..every(1, HOUR) });
    for offset in [2, 4, 6, 8, 10] {
        assert_eq!(pull(&mut subscription, 1), [offset]);
        assert_eq!(saved(&database), 8);
    }
    assert_eq!(pull(&mut subscription, 1), [12]);
    assert_eq!(saved(&database), 10);
    // Somebody else of that name is ahead.
    save(&database, 100);
    drop(subscription);
    assert_eq!(saved(&database), 100);
}

/// What lies before the place where it was told to begin was not delivered to anybody.
#[test]
fn a_place_to_begin_is_not_a_finished_event() {
    let (_file, database) = open();
    publish_many(&database, 4);
    let begin = || StreamOptions { from_offset: Some(6), ..every(1, Duration::from_millis(1)) };
    drop(subscribe(&database, begin()));
    assert_eq!(saved(&database), 0);
    let mut subscription = subscribe(&database, begin());
    subscription.save().unwrap();
    assert_eq!(pull(&mut subscription, 1), [8]);
    drop(subscription);
    assert_eq!(saved(&database), 0);
    let mut subscription = subscribe(&database, StreamOptions { from_offset: Some(8), ..begin() });
    assert_timeout(subscription.next(Some(Duration::from_millis(50))));
    drop(subscription);
    assert_eq!(saved(&database), 0);
    let mut subscription = subscribe(&database, begin());
    pull(&mut subscription, 1);
    assert_timeout(subscription.next(Some(Duration::from_millis(50))));
    assert_eq!(saved(&database), 8);
}

/// Each event once and in order, however often saving fails; and in the end it is saved.
#[test]
fn saving_that_fails_loses_and_repeats_nothing() {
    for (save_every_n, save_every) in [(1, Duration::ZERO), (0, Duration::from_millis(1))] {
        let file = File::new();
        let database = file.database(&patient_for(Duration::from_millis(60)));
        publish_many(&database, 6);
        let other = file.plain();
        let mut subscription = subscribe(&database, every(save_every_n, save_every));
        let mut pulled = Vec::new();
        for round in 0..6 {
            std::thread::sleep(Duration::from_millis(2));
            other.execute_batch("BEGIN IMMEDIATE").unwrap();
            if round > 0 {
                for _ in 0..2 {
                    assert_eq!(code(subscription.next(NOW)), ffi::SQLITE_BUSY);
                }
            }
            other.execute_batch("COMMIT").unwrap();
            pulled.extend(pull(&mut subscription, 1));
            assert_eq!(saved(&database), round * 2);
        }
        assert_eq!(pulled, [2, 4, 6, 8, 10, 12]);
        drop(subscription);
        assert_eq!(saved(&database), 10);
    }
}

/// Somebody's trigger refuses the offset. Who asks again and again is told each time, and keeps no core busy.
#[test]
fn saving_that_is_refused_keeps_nobody_busy() {
    let (file, database) = open();
    publish_many(&database, 6);
    file.plain()
        .execute_batch(
            "CREATE TRIGGER refuse BEFORE INSERT ON _honker_stream_consumers
             BEGIN SELECT RAISE(ABORT, 'refused'); END",
        )
        .unwrap();
    let mut subscription = subscribe(&database, every(2, Duration::ZERO));
    let delivered = pull(&mut subscription, 2);
    let until = Instant::now() + Duration::from_millis(1_200);
    let mut errors = 0;
    while Instant::now() < until {
        assert_eq!(code(subscription.next(LONG)), ffi::SQLITE_CONSTRAINT);
        errors += 1;
    }
    assert!(errors < 50, "{errors} errors");
    // A wake ends the rest and is not lost by that.
    subscription.waiter().wake();
    assert_eq!(code(subscription.next(LONG)), ffi::SQLITE_CONSTRAINT);
    file.plain().execute_batch("DROP TRIGGER refuse").unwrap();
    assert_eq!([delivered, pull(&mut subscription, 1)].concat(), [2, 4, 6]);
    assert_eq!(saved(&database), 4);
    assert_eq!(pull(&mut subscription, 3), [8, 10, 12]);
    assert_woken(subscription.next(LONG));
}

#[test]
fn two_consumers_are_independent() {
    let (file, database) = open();
    publish_many(&database, 4);
    let mut one = subscribe(&database, every(1, HOUR));
    let mut two = subscribe(&database, StreamOptions { consumer: Some("d".to_owned()), ..every(1, HOUR) });
    assert_eq!(pull(&mut one, 3), [2, 4, 6]);
    assert_eq!(pull(&mut two, 2), [2, 4]);
    assert_eq!(file.count("SELECT offset FROM _honker_stream_consumers WHERE name = 'c'"), 4);
    assert_eq!(file.count("SELECT offset FROM _honker_stream_consumers WHERE name = 'd'"), 2);
    // A fresh start of the one goes on where it was.
    drop(one);
    let mut one = subscribe(&database, every(1, HOUR));
    assert_eq!(pull(&mut one, 2), [6, 8]);
    assert!(matches!(one.next(NOW), Ok(Next::Timeout)));
}
