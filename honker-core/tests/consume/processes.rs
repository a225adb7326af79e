//! Consumers in several processes, some of them foreign, stopped or killed.

use std::collections::BTreeSet;
use std::time::Duration;

use honker_core::consume::{Leader, Next, Worker, WorkerOptions};
use honker_core::database::{Database, Options};
use honker_core::lock::Holder;

use crate::clock;
use crate::foreign::Foreign;
use crate::leader::{leader, register, run};
use crate::process::{Process, Role, argument, hear, say};
use crate::support::*;

pub const ROLES: &[Role] = &[("work", work), ("lead", lead), ("claim", claim)];

fn start(role: &str, file: &File, name: &str) -> Process {
    let mut process = Process::start(role, &[file.path.to_str().unwrap(), name]);
    assert_eq!(process.line(), "ready");
    process
}

fn open_as_role() -> (Database, String) {
    (Database::open(argument(0), &Options::default()).unwrap(), argument(1))
}

/// Works until it gets a job that says "stop"; says each id that it has acked.
fn work() {
    let (database, name) = open_as_role();
    let mut worker = Worker::new(&database, "q", name, no_fallback()).unwrap();
    say("ready");
    loop {
        for job in jobs(worker.next(3, None)) {
            assert_eq!(worker.settle(&[ack(&job)]).unwrap(), [Ok(true)]);
            if job.payload == "stop" {
                return say("stop");
            }
            say(job.id);
        }
    }
}

/// Leads without end; says what it fires.
fn lead() {
    let (database, name) = open_as_role();
    let mut leader = Leader::new(&database, name).unwrap();
    let mut fires = Vec::new();
    while !leader.leads() {
        // Something may be due already.
        if let Next::Item(fired) = leader.next(NOW).unwrap() {
            fires = fired;
        }
    }
    say("ready");
    loop {
        fires.iter().for_each(|fire| say(fire.fire_at));
        fires = item(leader.next(None));
    }
}

/// Claims one job for a second, and acks it when it is told to; says whether it could.
fn claim() {
    let (database, name) = open_as_role();
    let options = WorkerOptions { visibility_timeout_s: 1, heartbeat: false, ..no_fallback() };
    let mut worker = Worker::new(&database, "q", name, options).unwrap();
    say("ready");
    let claimed = job(worker.next(1, None));
    say(claimed.id);
    assert_eq!(hear(), "ack");
    say(worker.settle(&[ack(&claimed)]).unwrap()[0] == Ok(true));
}

/// They come while both work, from this process, which does not work itself.
#[test]
fn two_processes_share_two_hundred_jobs() {
    guarded(|| {
        let (file, database) = open();
        let mut workers = [start("work", &file, "one"), start("work", &file, "two")];
        for _ in 0..200 {
            enqueue(&database, "q", "p");
        }
        until("all are done", || file.count("SELECT count(*) FROM _honker_live") == 0);
        // One stops with the first of these; the other is woken by the second.
        let mut ids = Vec::new();
        for _ in 0..2 {
            enqueue(&database, "q", "stop");
            until("somebody stops", || file.count("SELECT count(*) FROM _honker_live") == 0);
        }
        for worker in &mut workers {
            loop {
                match worker.line().as_str() {
                    "stop" => break,
                    id => ids.push(id.parse::<i64>().unwrap()),
                }
            }
            worker.ends_well();
        }
        assert_eq!(ids.len(), 200);
        assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), (1..=200).collect());
        assert!(file.is_intact());
    });
}

/// Whoever writes the tables, in whichever way: those who wait are woken.
#[test]
fn a_foreign_writer_wakes_everybody() {
    let (file, database) = open();
    let Some(mut foreign) = Foreign::start(&file.path) else { return };
    let mut worker = worker(&database, "q");
    let mut listener = listener(&database, "c");
    let mut subscription = subscription(&database, "t");
    let mut result = honker_core::consume::ResultWait::new(&database, 7).unwrap();
    for _ in 0..10 {
        let (next, back) = woken_by(
            move || (job(worker.next(1, LONG)), worker),
            || foreign.run("INSERT INTO _honker_live (queue, payload) VALUES ('q', 'foreign')"),
        );
        assert_eq!(next.payload, "foreign");
        worker = back;
        let (next, back) = woken_by(
            move || (item(listener.next(LONG)), listener),
            || foreign.run("INSERT INTO _honker_notifications (channel, payload) VALUES ('c', 'foreign')"),
        );
        assert_eq!(next.payload, "foreign");
        listener = back;
        let (next, back) = woken_by(
            move || (item(subscription.next(LONG)), subscription),
            || foreign.run("INSERT INTO _honker_stream (topic, payload) VALUES ('t', 'foreign')"),
        );
        assert_eq!(next.payload, "foreign");
        subscription = back;
    }
    let value = woken_by(
        move || item(result.next(LONG)),
        || foreign.run("INSERT INTO _honker_results (job_id, value) VALUES (7, 'foreign')"),
    );
    assert_eq!(value, "foreign");
    // A deadline that somebody else moves forward.
    let run_at = clock::second() + 3600;
    enqueue_at(&database, "later", run_at);
    let mut worker = crate::support::worker(&database, "later", no_fallback());
    job(woken_by(move || worker.next(1, LONG), || foreign.run("UPDATE _honker_live SET run_at = 0")));
}

fn worker(database: &Database, queue: &str) -> Worker {
    crate::support::worker(database, queue, no_fallback())
}

/// Whoever stands by frees its lock, and no lock of the user's.
#[test]
#[cfg(target_os = "linux")]
fn a_killed_leader_is_followed_at_once() {
    guarded(|| {
        let (file, database) = open();
        register(&database, "a", "@every 1s");
        let mut process = start("lead", &file, "killed");
        process.line();
        assert!(database.lock_acquire("mine", "killed", 300).unwrap());
        let mut stand_by = leader(&database, "stand-by");
        assert_timeout(stand_by.next(NOW));
        assert!(!stand_by.leads());
        let Holder { owner, expires_at } = database.lock_holder("honker-scheduler").unwrap().unwrap();
        assert_eq!(owner, "killed");
        process.kill();
        item(stand_by.next(LONG));
        assert!(clock::second() < expires_at, "its time was over");
        assert_eq!(database.lock_holder("honker-scheduler").unwrap().unwrap().owner, "stand-by");
        assert_eq!(database.lock_holder("mine").unwrap().unwrap().owner, "killed");
    });
}

/// Who was killed and started again under the same name has its lock, and keeps it when others see that it had died.
#[test]
#[cfg(target_os = "linux")]
fn a_leader_that_is_started_again_keeps_its_lock() {
    guarded(|| {
        let (file, database) = open();
        register(&database, "a", "@every 1s");
        run(&database, "CREATE TABLE freed (owner)");
        run(
            &database,
            "CREATE TRIGGER freed AFTER DELETE ON _honker_locks BEGIN INSERT INTO freed VALUES (OLD.owner); END",
        );
        let mut process = start("lead", &file, "same");
        process.line();
        // One that died before it, whose byte nobody locks.
        run(
            &database,
            "INSERT INTO _honker_instances (id, file_id, byte, info)
             SELECT '0123456789abcdef0123456789abcdef', file_id, byte + 1, info FROM _honker_instances",
        );
        until("the dead one is forgotten", || file.count("SELECT count(*) FROM _honker_instances") == 1);
        process.line();
        let mut stand_by = leader(&database, "stand-by");
        assert_timeout(stand_by.next(NOW));
        assert_eq!(file.count("SELECT count(*) FROM freed"), 0);
        process.kill();
        item(stand_by.next(LONG));
        assert_eq!(file.count("SELECT count(*) FROM freed WHERE owner = 'same'"), 1);
    });
}

/// Where nobody can know that it is dead, its lock stays until its time is over, and then a stand-by goes on where it was.
#[test]
fn a_killed_leader_is_followed_when_its_time_is_over() {
    guarded(|| {
        let (file, database) = open();
        register(&database, "a", "@every 1s");
        let mut process = start("lead", &file, "killed");
        let mut boundaries: Vec<i64> = (0..2).map(|_| process.line().parse().unwrap()).collect();
        process.kill();
        run(&database, "DELETE FROM _honker_instances");
        while let Some(line) = process.line_within(Duration::ZERO) {
            boundaries.push(line.parse().unwrap());
        }
        let holder = || database.lock_holder("honker-scheduler").unwrap().unwrap();
        let Holder { owner, expires_at } = holder();
        assert_eq!(owner, "killed");
        assert!((50..=60).contains(&(expires_at - clock::second())));
        let mut stand_by = leader(&database, "stand-by");
        assert_timeout(stand_by.next(Some(Duration::from_millis(1500))));
        assert!(!stand_by.leads());
        // Not the whole minute.
        run(&database, "UPDATE _honker_locks SET expires_at = unixepoch() + 1");
        let over = holder().expires_at;
        let fires = item(stand_by.next(LONG));
        // Before it would look by itself.
        assert!((0.0..3.5).contains(&(clock::now() - over as f64)));
        // What was not fired in between is caught up. What it fired last it may not have come to say.
        boundaries.extend(fires.iter().map(|fire| fire.fire_at));
        let jobs = file.count("SELECT count(*) FROM _honker_live");
        let (first, last) = (boundaries[0], boundaries[boundaries.len() - 1]);
        assert_eq!(jobs, last - first + 1);
        assert!(boundaries.windows(2).all(|pair| pair[0] < pair[1]), "{boundaries:?}");
    });
}

/// It is stopped for longer than its claim lasts, and then goes on as if nothing had happened.
#[test]
fn a_stopped_worker_has_lost_its_claim() {
    guarded(|| {
        let (file, database) = open();
        let mut stopped = start("claim", &file, "stopped");
        let id = enqueue(&database, "q", "p");
        assert_eq!(stopped.line(), id.to_string());
        stopped.signal(libc::SIGSTOP);
        let mut other = worker(&database, "q");
        let job = job(other.next(1, LONG));
        assert_eq!((job.id, job.attempts), (id, 2));
        stopped.signal(libc::SIGCONT);
        stopped.tell("ack");
        assert_eq!(stopped.line(), "false");
        stopped.ends_well();
        assert!(database.ack(id, "w").unwrap());
    });
}

/// The jobs of a worker that is killed go to another one, without anybody's doing.
#[test]
fn a_killed_workers_jobs_are_taken_over() {
    guarded(|| {
        let (file, database) = open();
        let mut killed = start("claim", &file, "killed");
        let id = enqueue(&database, "q", "p");
        assert_eq!(killed.line(), id.to_string());
        let mut other = worker(&database, "q");
        killed.kill();
        let job = job(other.next(1, LONG));
        assert_eq!((job.id, job.attempts), (id, 2));
    });
}
