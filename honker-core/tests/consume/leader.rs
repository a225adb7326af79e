//! What a leader fires, and when.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use honker_core::Error;
use honker_core::consume::{Leader, Next};
use honker_core::database::Database;
use honker_core::schedule::{Fire, Registration, Update};

use crate::clock;
use crate::support::*;

pub fn register(database: &Database, name: &str, expression: &str) {
    let registration = Registration {
        name,
        queue: "q",
        expression,
        payload: "p",
        priority: 0,
        expires_s: None,
        max_attempts: None,
    };
    database.scheduler_register(&registration).unwrap();
}

pub fn run(database: &Database, sql: &str) {
    let mut transaction = database.begin().unwrap();
    transaction.execute(sql, &[]).unwrap();
    transaction.commit().unwrap();
}

pub fn leader(database: &Database, owner: &str) -> Leader {
    Leader::new(database, owner).unwrap()
}

/// Each boundary of each schedule once, in order and without gaps.
#[track_caller]
pub fn assert_each_second_once(mut fires: Vec<Fire>) {
    let mut last = BTreeMap::new();
    fires.sort_by_key(|fire| fire.fire_at);
    for fire in fires {
        if let Some(before) = last.insert(fire.name.clone(), fire.fire_at) {
            assert_eq!(fire.fire_at, before + 1, "{}", fire.name);
        }
    }
}

#[test]
fn boundaries_are_fired_when_they_come_and_once() {
    let (file, database) = open();
    register(&database, "a", "@every 1s");
    register(&database, "b", "* * * * * *");
    let mut leader = leader(&database, "me");
    let mut fires = Vec::new();
    while fires.len() < 4 {
        for fire in item(leader.next(LONG)) {
            let late = clock::now() - fire.fire_at as f64;
            assert!((0.0..PROMPT.as_secs_f64()).contains(&late), "{late} s late");
            assert_eq!(fire.queue, "q");
            fires.push(fire);
        }
    }
    assert_eq!(file.count("SELECT count(*) FROM _honker_live WHERE queue = 'q'"), fires.len() as i64);
    assert_each_second_once(fires);
}

#[test]
fn what_was_missed_is_caught_up_as_far_as_it_goes() {
    let (file, database) = open();
    register(&database, "long", "@every 1s");
    register(&database, "short", "@every 1s");
    register(&database, "later", "@every 1h");
    run(
        &database,
        "UPDATE _honker_scheduler_tasks SET next_fire_at = unixepoch() - 3600 WHERE name = 'long'",
    );
    run(&database, "UPDATE _honker_scheduler_tasks SET next_fire_at = unixepoch() - 5 WHERE name = 'short'");
    let mut leader = leader(&database, "me");
    let fires = item(leader.next(NOW));
    let of = |name: &str| fires.iter().filter(|fire| fire.name == name).cloned().collect::<Vec<_>>();
    assert_eq!(of("long").len(), 64);
    assert!((6..10).contains(&of("short").len()), "{}", of("short").len());
    assert_eq!(of("later"), []);
    assert_each_second_once(fires.clone());
    assert_eq!(file.count("SELECT min(next_fire_at > unixepoch() - 2) FROM _honker_scheduler_tasks"), 1);
}

/// Changes of the schedules that anybody makes are seen while the leader sleeps until something far away.
#[test]
fn changes_are_followed_at_once() {
    let (_file, database) = open();
    let mut leader = leader(&database, "me");
    type Change = (&'static str, fn(&Database));
    let changes: [Change; 4] = [
        ("registered in an empty table", |database| register(database, "a", "@every 1s")),
        ("resumed where all are paused", |database| {
            assert!(database.scheduler_resume("a").unwrap());
        }),
        ("updated", |database| {
            let changes = Update { expression: Some("@every 1s"), ..Update::default() };
            assert!(database.scheduler_update("a", &changes).unwrap());
        }),
        ("registered beside one that is far away", |database| register(database, "b", "@every 1s")),
    ];
    for (what, change) in changes {
        assert_timeout(leader.next(Some(Duration::from_millis(100))));
        assert!(leader.leads());
        let waiting = Thread::start(move || (item(leader.next(LONG)), leader)).until_asleep();
        let began = Instant::now();
        change(&database);
        let (fires, back) = waiting.join();
        assert!(began.elapsed() < Duration::from_secs(2) + PROMPT, "{what}: {:?}", began.elapsed());
        assert!(!fires.is_empty());
        leader = back;
        // What it does then is the next change's business.
        if what.starts_with("registered in") {
            assert!(database.scheduler_pause("a").unwrap());
        } else {
            let changes = Update { expression: Some("@every 1h"), ..Update::default() };
            assert!(database.scheduler_update("a", &changes).unwrap());
        }
    }
}

#[test]
fn what_is_paused_or_unregistered_does_not_fire() {
    let (file, database) = open();
    register(&database, "a", "@every 1s");
    register(&database, "b", "@every 1s");
    let mut leader = leader(&database, "me");
    item(leader.next(LONG));
    let waiting = Thread::start(move || leader.next(Some(Duration::from_millis(1500))));
    database.scheduler_pause("a").unwrap();
    database.scheduler_unregister("b").unwrap();
    let fired = file.count("SELECT count(*) FROM _honker_live");
    let next = waiting.join();
    // One may have been on its way when they were stopped.
    match next.unwrap() {
        Next::Timeout => assert_eq!(file.count("SELECT count(*) FROM _honker_live"), fired),
        Next::Item(fires) => assert!(fires.len() <= 2),
        next => panic!("{next:?}"),
    }
}

/// With an expression that somebody broke by hand: said aloud, nothing fired, and the lock given up.
#[test]
fn a_tick_that_fails_gives_the_lock_up() {
    let (file, database) = open();
    register(&database, "good", "@every 1h");
    register(&database, "bad", "@every 1h");
    let mut leader = leader(&database, "me");
    assert_timeout(leader.next(NOW));
    assert!(leader.leads());
    run(&database, "UPDATE _honker_scheduler_tasks SET next_fire_at = 0");
    let plain = file.plain();
    plain
        .execute_batch(
            "CREATE TRIGGER refuse AFTER UPDATE ON _honker_scheduler_tasks WHEN new.name = 'good'
             BEGIN SELECT RAISE(ABORT, 'refused'); END",
        )
        .unwrap();
    // As the leader, and as somebody who would become it.
    for _ in 0..2 {
        let outcome = leader.next(LONG);
        assert!(
            matches!(&outcome, Err(Error::Constraint(cause)) if cause.message == "refused"),
            "{outcome:?}"
        );
        assert!(!leader.leads());
        assert_eq!(file.count("SELECT count(*) FROM _honker_locks"), 0);
        assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 0);
    }
    plain.execute_batch("DROP TRIGGER refuse").unwrap();
    run(&database, "UPDATE _honker_scheduler_tasks SET next_fire_at = unixepoch()");
    assert_eq!(item(leader.next(LONG)).len(), 2);
    assert!(leader.leads());
}

/// Any SQL can store a boundary that is no number. It is never due, and a leader that has nothing to do does nothing.
#[test]
fn a_boundary_that_is_no_whole_number_keeps_no_leader_busy() {
    for boundary in ["'soon'", "x'00'", "unixepoch() + 1000000.5"] {
        let (file, database) = open();
        register(&database, "a", "@every 1h");
        let plain = file.plain();
        plain
            .execute_batch(&format!(
                "CREATE TABLE turns (at);
                 CREATE TRIGGER turn AFTER UPDATE ON _honker_locks BEGIN INSERT INTO turns VALUES (1); END;
                 UPDATE _honker_scheduler_tasks SET next_fire_at = {boundary}"
            ))
            .unwrap();
        let mut leader = leader(&database, "me");
        assert_timeout(leader.next(Some(Duration::from_millis(500))));
        assert!(leader.leads());
        let turns = file.count("SELECT count(*) FROM turns");
        assert!(turns <= 5, "{boundary}: {turns} turns");
    }
}
