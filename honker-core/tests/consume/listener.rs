//! A listener: everything that is sent to its channel after it was made, and nothing else.

use std::time::Duration;

use honker_core::consume::{Listener, Next};

use crate::common::journal;
use crate::support::*;

fn payloads(listener: &mut Listener) -> Vec<String> {
    let mut payloads = Vec::new();
    while let Next::Item(notification) = listener.next(NOW).unwrap() {
        payloads.push(notification.payload);
    }
    payloads
}

#[test]
fn it_hears_its_channel_from_now_on_in_order() {
    let (_file, database) = open();
    send(&database, "c", "before");
    let mut listener = listener(&database, "c");
    send(&database, "c", "1");
    send(&database, "C", "other");
    send(&database, "", "other");
    send(&database, "c", "2");
    let next = item(listener.next(NOW));
    assert_eq!((next.id, next.channel.as_str(), next.payload.as_str()), (2, "c", "1"));
    assert_eq!(payloads(&mut listener), ["2"]);
}

/// Where it begins is settled when it has been made, not when it is first asked.
#[test]
fn what_is_sent_before_it_is_first_asked_is_heard() {
    let (_file, database) = open();
    let mut early = listener(&database, "c");
    send(&database, "c", "1");
    let mut late = listener(&database, "c");
    send(&database, "c", "2");
    assert_eq!(payloads(&mut early), ["1", "2"]);
    assert_eq!(payloads(&mut late), ["2"]);
}

#[test]
fn a_notification_wakes_every_listener_of_its_channel() {
    use honker_core::database::JournalMode;
    for mode in [JournalMode::Wal, JournalMode::Delete] {
        let file = File::new();
        let database = file.database(&journal(mode));
        let (mut one, mut two) = (listener(&database, "c"), listener(&database, "c"));
        let second = Thread::start(move || item(two.next(LONG)).payload).until_asleep();
        let first = woken_by(move || item(one.next(LONG)).payload, || send(&database, "c", "p"));
        assert_eq!((first, second.join()), ("p".to_owned(), "p".to_owned()));
    }
}

#[test]
fn what_is_rolled_back_is_never_heard() {
    let (_file, database) = open();
    let mut listener = listener(&database, "c");
    let mut transaction = database.begin().unwrap();
    transaction.notify("c", "never").unwrap();
    assert_timeout(listener.next(NOW));
    transaction.rollback().unwrap();
    send(&database, "c", "p");
    assert_eq!(payloads(&mut listener), ["p"]);
}

/// More than are read at once; and pruning takes away only what has not been read.
#[test]
fn many_are_heard_one_by_one() {
    let (_file, database) = open();
    let mut listener = listener(&database, "c");
    let mut transaction = database.begin().unwrap();
    for index in 0..1000 {
        transaction.notify("c", &index.to_string()).unwrap();
    }
    transaction.commit().unwrap();
    assert_eq!(item(listener.next(NOW)).payload, "0");
    let expected: Vec<_> = (1..1000).map(|index: i32| index.to_string()).collect();
    assert_eq!(payloads(&mut listener), expected);
    // Numbers are not given again, so a listener is not fooled by an empty table.
    database.notifications_prune(None, Some(0)).unwrap();
    let mut late = self::listener(&database, "c");
    send(&database, "c", "p");
    assert_eq!(payloads(&mut listener), ["p"]);
    assert_eq!(payloads(&mut late), ["p"]);
}

/// A hundred thousand for others are in the way, and more come all the time.
#[test]
fn a_flood_on_other_channels_does_not_delay_it() {
    let (_file, database) = open();
    let mut listener = listener(&database, "quiet");
    let mut transaction = database.begin().unwrap();
    transaction
        .execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
             INSERT INTO _honker_notifications (channel, payload) SELECT 'loud', 'p' FROM n",
            &[],
        )
        .unwrap();
    transaction.commit().unwrap();
    let flood = {
        let database = database.clone();
        Thread::start(move || while send(&database, "loud", "p") < 104_000 {})
    };
    for _ in 0..5 {
        let (next, back) = woken_by(
            move || {
                let next = item(listener.next(LONG));
                (next, listener)
            },
            || send(&database, "quiet", "p"),
        );
        assert_eq!(next.channel, "quiet");
        listener = back;
    }
    flood.join();
    assert_timeout(listener.next(NOW));
}

/// One of them watches for all; no thread of honker's has to.
#[test]
fn a_hundred_listeners_hear_everything() {
    alone("listener::a_hundred_listeners_hear_everything", || {
        let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
        let (_file, database) = open();
        let before = threads();
        let listeners: Vec<_> = (0..100).map(|_| listener(&database, "c")).collect();
        assert_eq!(threads(), before);
        let listening: Vec<_> = listeners
            .into_iter()
            .map(|mut listener| {
                Thread::start(move || (0..20).map(|_| item(listener.next(LONG)).payload).collect::<Vec<_>>())
            })
            .collect();
        let expected: Vec<_> = (0..20).map(|index| index.to_string()).collect();
        for payload in &expected {
            send(&database, "c", payload);
            std::thread::sleep(Duration::from_millis(2));
        }
        for listening in listening {
            assert_eq!(listening.join(), expected);
        }
        until("the watcher has ended", || threads() == before);
    });
}
