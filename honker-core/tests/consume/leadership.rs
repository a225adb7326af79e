//! Who leads: one of all, until it gives the lock up, loses it, or dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use honker_core::consume::{Leader, Next};
use honker_core::database::{Database, Options};
use honker_core::lock::Holder;

use crate::leader::{assert_each_second_once, leader, register, run};
use crate::support::*;
use crate::{clock, statements};

fn holder(database: &Database) -> Option<Holder> {
    database.lock_holder("honker-scheduler").unwrap()
}

fn owner(database: &Database) -> Option<String> {
    holder(database).map(|holder| holder.owner)
}

/// A candidate that runs until it is stopped.
fn candidate(mut leader: Leader, stop: &Arc<AtomicBool>) -> Thread<Vec<honker_core::schedule::Fire>> {
    let stop = Arc::clone(stop);
    Thread::start(move || {
        let mut fires = Vec::new();
        while !stop.load(Ordering::SeqCst) {
            if let Next::Item(more) = leader.next(Some(Duration::from_millis(200))).unwrap() {
                fires.extend(more);
            }
        }
        fires
    })
}

#[test]
fn one_leads_and_the_other_takes_over_when_it_stops() {
    for by_dropping in [false, true] {
        let (_file, database) = open();
        let mut first = leader(&database, "first");
        assert_timeout(first.next(NOW));
        let mut second = leader(&database, "second");
        assert_timeout(second.next(NOW));
        assert_eq!((first.leads(), second.leads()), (true, false));
        assert_eq!(owner(&database).unwrap(), "first");
        let waker = second.waiter();
        let waiting = Thread::start(move || (second.next(None), second)).until_asleep();
        let began = std::time::Instant::now();
        if by_dropping {
            drop(first);
        } else {
            first.resign().unwrap();
            assert!(!first.leads());
            first.resign().unwrap();
        }
        // Long before it would look by itself.
        until("the second leads", || owner(&database).is_some_and(|owner| owner == "second"));
        assert!(began.elapsed() < Duration::from_millis(4500), "{:?}", began.elapsed());
        waker.wake();
        let (next, second) = waiting.join();
        assert_woken(next);
        assert!(second.leads());
        drop(second);
        assert_eq!(holder(&database), None);
    }
}

/// A lock of a leader that died says until when.
#[test]
fn a_dead_leaders_time_is_waited_for_to_the_second() {
    let (_file, database) = open();
    let expires_at = clock::second() + 2;
    run(&database, &format!("INSERT INTO _honker_locks VALUES ('honker-scheduler', 'dead', {expires_at})"));
    let mut second = leader(&database, "second");
    let waker = second.waiter();
    let waiting = Thread::start(move || (second.next(None), second.leads()));
    until("the second leads", || owner(&database).is_some_and(|owner| owner == "second"));
    let late = clock::now() - expires_at as f64;
    // Before it would look by itself.
    assert!((0.0..2.5).contains(&late), "{late} s late");
    waker.wake();
    let (next, leads) = waiting.join();
    assert_woken(next);
    assert!(leads);
}

/// A leader that took the lock while its clock was wrong, and died, does not keep others from leading until then. One whose
/// clock is a little ahead is honest.
#[test]
fn a_lock_from_the_future_is_free() {
    for (ahead_s, free) in [(62, false), (100, true), (1_000_000_000, true)] {
        let (_file, database) = open();
        let expires_at = clock::second() + ahead_s;
        run(
            &database,
            &format!("INSERT INTO _honker_locks VALUES ('honker-scheduler', 'dead', {expires_at})"),
        );
        run(&database, &format!("INSERT INTO _honker_locks VALUES ('mine', 'dead', {expires_at})"));
        let mut second = leader(&database, "second");
        assert_timeout(second.next(NOW));
        assert_eq!(second.leads(), free, "{ahead_s} s ahead");
        assert_eq!(owner(&database).unwrap(), if free { "second" } else { "dead" });
        // Locks of the user's last for as long as they say.
        assert!(!database.lock_acquire("mine", "me", 10).unwrap());
    }
}

#[test]
fn who_has_lost_the_lock_neither_ticks_nor_touches_it() {
    let (file, database) = open();
    let mut robbed = leader(&database, "robbed");
    assert_timeout(robbed.next(NOW));
    assert!(robbed.leads());
    let expires_at = clock::second() + 60;
    run(&database, &format!("UPDATE _honker_locks SET owner = 'thief', expires_at = {expires_at}"));
    // It sees that at once, and not when there is something to fire.
    assert_timeout(robbed.next(NOW));
    assert!(!robbed.leads());
    register(&database, "a", "@every 1s");
    assert_timeout(robbed.next(Some(Duration::from_millis(1500))));
    robbed.resign().unwrap();
    assert_eq!(holder(&database), Some(Holder { owner: "thief".to_owned(), expires_at }));
    assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 0);
    // It stands by.
    run(&database, "DELETE FROM _honker_locks");
    assert!(!item(robbed.next(LONG)).is_empty());
    assert!(robbed.leads());
    run(&database, &format!("UPDATE _honker_locks SET owner = 'thief', expires_at = {expires_at}"));
    drop(robbed);
    assert_eq!(holder(&database), Some(Holder { owner: "thief".to_owned(), expires_at }));
}

/// It looked, the lock was its own and something was due; and then, before it could tick, it was robbed.
#[test]
fn a_leader_that_is_robbed_after_it_looked_does_not_tick() {
    alone("leadership::a_leader_that_is_robbed_after_it_looked_does_not_tick", || {
        statements::watch();
        let (file, database) = open();
        let mut robbed = leader(&database, "robbed");
        assert_timeout(robbed.next(NOW));
        register(&database, "a", "@every 1s");
        run(&database, "UPDATE _honker_scheduler_tasks SET next_fire_at = 1");
        let other = std::sync::Mutex::new(file.plain());
        statements::once_after("ORDER BY boundary, id LIMIT 1", move || {
            let steal = "UPDATE _honker_locks SET owner = 'thief', expires_at = unixepoch() + 60";
            other.lock().unwrap().execute_batch(steal).unwrap();
        });
        assert_timeout(robbed.next(Some(Duration::from_millis(500))));
        assert!(!robbed.leads());
        assert_eq!(owner(&database).unwrap(), "thief");
        assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 0);
        assert_eq!(file.count("SELECT next_fire_at FROM _honker_scheduler_tasks"), 1);
    });
}

/// Twenty seconds after the last proof, to the moment, and long before its time is over.
#[test]
fn it_renews_every_twenty_seconds() {
    alone("leadership::it_renews_every_twenty_seconds", || {
        let (_file, database) = open();
        let expires_at = || holder(&database).unwrap().expires_at;
        let mut leader = leader(&database, "me");
        let before = clock::second();
        assert_timeout(leader.next(NOW));
        assert!((before..=clock::second()).contains(&(expires_at() - 60)));
        let set = |ms: i64| {
            clock::set_wall(ms / 1000);
            clock::set_monotonic(ms);
        };
        let before = expires_at();
        set(17_000);
        assert_timeout(leader.next(NOW));
        assert_eq!(expires_at(), before);
        set(20_500);
        assert_timeout(leader.next(NOW));
        assert!((20..=25).contains(&(expires_at() - before)), "{}", expires_at() - before);
        // While it waits: what it proves now lies nineteen seconds back when it begins to.
        set(0);
        leader.resign().unwrap();
        clock::set_monotonic(-19_000);
        assert_timeout(leader.next(NOW));
        clock::set_monotonic(0);
        run(&database, "UPDATE _honker_locks SET expires_at = expires_at - 30");
        let before = expires_at();
        assert_timeout(leader.next(Some(Duration::from_millis(2000))));
        assert!(expires_at() >= before + 30);
        // Ticking proves it as well.
        run(&database, "UPDATE _honker_locks SET expires_at = expires_at - 30");
        register(&database, "a", "@every 1s");
        item(leader.next(LONG));
        assert!((55..=60).contains(&(expires_at() - clock::second())));
    });
}

/// A lock that one has already is not prolonged by acquiring it. Who begins to lead needs its whole time.
#[test]
fn an_old_lock_of_its_own_is_renewed() {
    let (_file, database) = open();
    run(&database, "INSERT INTO _honker_locks VALUES ('honker-scheduler', 'me', unixepoch() + 3)");
    let mut leader = leader(&database, "me");
    let before = clock::second();
    assert_timeout(leader.next(NOW));
    assert!(leader.leads());
    assert!(holder(&database).unwrap().expires_at >= before + 60);
}

/// Ten candidates in as many databases, and somebody who keeps taking the lock away.
#[test]
fn ten_candidates_fire_each_boundary_once() {
    let (file, database) = open();
    register(&database, "a", "@every 1s");
    register(&database, "b", "@every 1s");
    let stop = Arc::new(AtomicBool::new(false));
    let databases: Vec<_> = (0..10).map(|_| file.database(&Options::default())).collect();
    let candidates: Vec<_> = databases
        .iter()
        .enumerate()
        .map(|(index, database)| candidate(leader(database, &format!("candidate {index}")), &stop))
        .collect();
    let mut owners = std::collections::BTreeSet::new();
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        owners.extend(owner(&database));
        run(&database, "DELETE FROM _honker_locks");
        std::thread::sleep(Duration::from_millis(50));
    }
    stop.store(true, Ordering::SeqCst);
    let fires: Vec<_> = candidates.into_iter().flat_map(Thread::join).collect();
    assert!(fires.len() >= 2, "{}", fires.len());
    assert!(owners.len() > 1, "{owners:?}");
    assert_eq!(file.count("SELECT count(*) FROM _honker_live"), fires.len() as i64);
    assert_each_second_once(fires);
    assert_eq!(holder(&database), None);
}
