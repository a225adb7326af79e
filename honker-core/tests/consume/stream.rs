//! A stream's subscription: what it delivers.

use honker_core::consume::{Next, StreamOptions, StreamSubscription};
use honker_core::database::JournalMode;

use crate::common::journal;
use crate::support::*;

fn from(from_offset: i64) -> StreamOptions {
    StreamOptions { from_offset: Some(from_offset), ..StreamOptions::default() }
}

fn offsets(subscription: &mut StreamSubscription) -> Vec<i64> {
    let mut offsets = Vec::new();
    while let Next::Item(event) = subscription.next(NOW).unwrap() {
        offsets.push(event.offset);
    }
    offsets
}

#[test]
fn it_replays_and_goes_on_live() {
    for mode in [JournalMode::Wal, JournalMode::Delete] {
        let file = File::new();
        let database = file.database(&journal(mode));
        publish(&database, "t", "1");
        publish(&database, "other", "2");
        publish(&database, "t", "3");
        let mut subscription = subscription(&database, "t");
        assert_eq!(subscription.offset(), 0);
        let event = item(subscription.next(NOW));
        assert_eq!((event.offset, event.topic.as_str(), event.payload.as_str()), (1, "t", "1"));
        assert_eq!(subscription.offset(), 1);
        assert_eq!(offsets(&mut subscription), [3]);
        let event = woken_by(move || item(subscription.next(LONG)), || publish(&database, "t", "4"));
        assert_eq!((event.offset, event.payload.as_str()), (4, "4"));
    }
}

#[test]
fn it_begins_where_it_is_told() {
    let (_file, database) = open();
    for index in 1..=5 {
        publish(&database, "t", &index.to_string());
    }
    for (from_offset, count) in [(i64::MIN, 5), (-1, 5), (0, 5), (3, 2), (5, 0), (i64::MAX, 0)] {
        let mut subscription = StreamSubscription::new(&database, "t", from(from_offset)).unwrap();
        assert_eq!(offsets(&mut subscription), (6 - count..6).collect::<Vec<_>>(), "{from_offset}");
    }
}

/// No gap, no duplicate and no disorder where the replay meets the live events, and over what is read at once.
#[test]
fn nothing_is_lost_between_the_past_and_the_present() {
    let (_file, database) = open();
    let publisher = {
        let database = database.clone();
        Thread::start(move || {
            for index in 0..600 {
                let mut transaction = database.begin().unwrap();
                for topic in ["t", "other", "t"] {
                    transaction.stream_publish(topic, Some("k"), &index.to_string()).unwrap();
                }
                transaction.commit().unwrap();
            }
        })
    };
    let subscribers: Vec<_> = (0..4)
        .map(|_| {
            let mut subscription = subscription(&database, "t");
            Thread::start(move || (0..1200).map(|_| item(subscription.next(LONG)).offset).collect::<Vec<_>>())
        })
        .collect();
    publisher.join();
    let expected: Vec<_> = (1..=1800).filter(|offset| offset % 3 != 2).collect();
    for subscriber in subscribers {
        assert_eq!(subscriber.join(), expected);
    }
}

#[test]
fn what_is_rolled_back_is_never_delivered() {
    let (_file, database) = open();
    let mut subscription = subscription(&database, "t");
    let mut transaction = database.begin().unwrap();
    transaction.stream_publish("t", None, "never").unwrap();
    assert_timeout(subscription.next(NOW));
    transaction.rollback().unwrap();
    publish(&database, "t", "p");
    assert_eq!(item(subscription.next(LONG)).payload, "p");
}
