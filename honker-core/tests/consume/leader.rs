//! What a leader fires, and when.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use honker_core::consume::{Leader, Next};
use honker_core::database::Database;
use honker_core::queue::Enqueue;
use honker_core::schedule::{Fire, Overlap, Registration, Update};
use honker_core::{Cause, Error};

use crate::clock;
use crate::support::*;

pub fn register(database: &Database, name: &str, expression: &str) {
    let registration =
        Registration { name, expression, job: Enqueue::new("q", "p"), overlap: Overlap::Allow };
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
    let missed_at = file.count("SELECT next_fire_at FROM _honker_scheduler_tasks WHERE name = 'short'");
    let mut leader = leader(&database, "me");
    let before = clock::second();
    let fires = item(leader.next(NOW));
    let missed = (before - missed_at + 1)..=(clock::second() - missed_at + 1);
    let of = |name: &str| fires.iter().filter(|fire| fire.name == name).cloned().collect::<Vec<_>>();
    assert_eq!(of("long").len(), 64);
    assert!(missed.contains(&(of("short").len() as i64)), "{}, not {missed:?}", of("short").len());
    assert_eq!(of("later"), []);
    assert_each_second_once(fires.clone());
    assert!(file.count("SELECT min(next_fire_at) FROM _honker_scheduler_tasks") > before);
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

/// Somebody's trigger keeps it from proving that it leads: said aloud, nothing fired, and the lock given up.
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
            "CREATE TRIGGER refuse AFTER UPDATE ON _honker_locks
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

/// What a user's trigger or key can do to the jobs of the schedule `bad`.
const REFUSALS: [&str; 4] = [
    "CREATE TRIGGER refuse BEFORE INSERT ON _honker_live WHEN new.queue = 'bad'
     BEGIN SELECT RAISE(ABORT, 'refused'); END",
    "CREATE TRIGGER refuse BEFORE INSERT ON _honker_live WHEN new.queue = 'bad'
     BEGIN SELECT RAISE(FAIL, 'refused'); END",
    "CREATE TRIGGER refuse BEFORE INSERT ON _honker_live WHEN new.queue = 'bad'
     BEGIN SELECT RAISE(ROLLBACK, 'refused'); END",
    "CREATE TABLE parent (id INTEGER PRIMARY KEY);
     CREATE TABLE child (id REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);
     CREATE TRIGGER refuse AFTER INSERT ON _honker_live WHEN new.queue = 'bad'
     BEGIN INSERT INTO child VALUES (new.id); END",
];

/// Schedules `a`, `bad` and `c`, of which the second cannot be fired because of `refusal`.
fn with_refused(refusal: &str) -> (File, Database) {
    let (file, database) = open();
    for name in ["a", "bad", "c"] {
        let queue = if name == "bad" { "bad" } else { "q" };
        let registration = Registration {
            name,
            expression: "@every 1s",
            job: Enqueue::new(queue, "p"),
            overlap: Overlap::Allow,
        };
        database.scheduler_register(&registration).unwrap();
    }
    let plain = file.plain();
    plain.execute_batch(refusal).unwrap();
    // Whatever second each was registered in, they come due together.
    plain.execute_batch("UPDATE _honker_scheduler_tasks SET next_fire_at = unixepoch()").unwrap();
    (file, database)
}

fn names(fires: &[Fire]) -> Vec<&str> {
    let mut names: Vec<&str> = fires.iter().map(|fire| fire.name.as_str()).collect();
    names.dedup();
    names
}

/// It stays due, is tried again now and then, and fires as soon as it can.
#[test]
fn a_schedule_that_cannot_be_fired_stops_no_other() {
    for refusal in REFUSALS {
        let (file, database) = with_refused(refusal);
        let mut leader = leader(&database, "me");
        let mut fires = Vec::new();
        for _ in 0..3 {
            let fired = item(leader.next(LONG));
            assert_eq!(names(&fired), ["a", "c"], "{refusal}");
            fires.extend(fired);
        }
        assert!(leader.leads());
        assert_eq!(file.count("SELECT count(*) FROM _honker_live"), fires.len() as i64);
        assert_each_second_once(fires);
        let attempts = || {
            let warnings = database.status().unwrap().warnings;
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert!(warnings[0].text.contains("schedule 'bad': "), "{warnings:?}");
            warnings[0].count
        };
        attempts();
        database.scheduler_pause("a").unwrap();
        database.scheduler_pause("c").unwrap();
        while let Next::Item(fired) = leader.next(Some(Duration::from_millis(1))).unwrap() {
            assert_ne!(names(&fired), ["bad"]);
        }
        // It waits, instead of trying again and again.
        let before = attempts();
        assert_timeout(leader.next(Some(Duration::from_millis(1_100))));
        assert!((1..50).contains(&(attempts() - before)), "{} attempts", attempts() - before);
        assert_eq!(file.count("SELECT count(*) FROM _honker_live WHERE queue = 'bad'"), 0);
        file.plain().execute_batch("DROP TRIGGER refuse").unwrap();
        assert_eq!(names(&item(leader.next(LONG))), ["bad"]);
    }
}

/// Also without a leader, and in a transaction that can go on; a tick that fires nothing says why.
#[test]
fn a_tick_passes_over_what_is_refused() {
    for refusal in REFUSALS {
        let (file, database) = with_refused(refusal);
        let due = Some(clock::now() as i64 + 2);
        let fires = database.scheduler_tick(due).unwrap();
        assert_eq!(names(&fires), ["a", "c"], "{refusal}");
        let outcome = database.scheduler_tick(due);
        let is_named = |cause: &Cause| cause.message.starts_with("schedule 'bad': ");
        assert!(matches!(&outcome, Err(Error::Constraint(cause)) if is_named(cause)), "{outcome:?}");
        let later = due.map(|due| due + 2);
        let mut transaction = database.begin().unwrap();
        transaction.enqueue(&Enqueue::new("mine", "p")).unwrap();
        let fires = transaction.scheduler_tick(later);
        if refusal.contains("ROLLBACK") {
            assert!(matches!(fires, Err(Error::Aborted(_))), "{fires:?}");
            drop(transaction);
            assert_eq!(file.count("SELECT count(*) FROM _honker_live WHERE queue = 'mine'"), 0);
        } else {
            assert_eq!(names(&fires.unwrap()), ["a", "c"]);
            transaction.commit().unwrap();
            assert_eq!(file.count("SELECT count(*) FROM _honker_live WHERE queue = 'mine'"), 1);
        }
        assert_eq!(file.count("SELECT count(*) FROM _honker_live WHERE queue = 'bad'"), 0);
    }
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
