//! Jobs of processes that are killed, in another's hands at once; and never those of a process that lives.

use std::time::{Duration, Instant};

use honker_core::consume::{Worker, WorkerOptions};
use honker_core::database::{Database, Options};
use honker_core::queue::{Claim, Enqueue, Instance};

use crate::process::{Process, Role, argument, hear, say};
use crate::support::*;

pub const ROLES: &[Role] =
    &[("hold", hold), ("hold elsewhere", hold_elsewhere), ("hold and fork", hold_and_fork), ("go on", go_on)];

/// Claims one job as a worker, says its id, and holds it until it is told what to do.
fn hold() {
    hold_in(&argument(0));
}

fn hold_in(file: &str) {
    let database = Database::open(file, &Options::default()).unwrap();
    let mut worker = worker(&database, "q", to_be_rescued());
    let job = job(worker.next(1, LONG));
    say(job.id);
    match hear().as_str() {
        "ack" => say(worker.settle(&[ack(&job)]).unwrap()[0] == Ok(true)),
        "close" => {
            worker.settle(&[ack(&job)]).unwrap();
            drop(worker);
            database.close().unwrap();
            say("closed");
            hear();
        }
        "close with it" => {
            database.close().unwrap();
            say("closed");
            hear();
        }
        other => panic!("{other}"),
    }
}

/// As `hold`, in a mount namespace of its own, in which the folder of the file has another name.
fn hold_elsewhere() {
    let [folder, elsewhere, file] = [0, 1, 2].map(argument);
    if let Err(error) = enter_namespace(&folder, &elsewhere) {
        say(format!("SKIPPED: {error}"));
        return;
    }
    hold_in(&format!("{elsewhere}/{file}"));
}

fn enter_namespace(folder: &str, elsewhere: &str) -> std::io::Result<()> {
    let [folder, elsewhere, root] =
        [folder, elsewhere, "/"].map(|path| std::ffi::CString::new(path).unwrap());
    let none = std::ptr::null();
    let outcome = |answer: i32| if answer == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) };
    // SAFETY: the texts end with a NUL; what is not used is null.
    unsafe {
        outcome(libc::unshare(libc::CLONE_NEWNS))?;
        outcome(libc::mount(none, root.as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()))?;
        outcome(libc::mount(folder.as_ptr(), elsewhere.as_ptr(), none, libc::MS_BIND, none.cast()))
    }
}

/// As `hold`, with a child that lives on.
fn hold_and_fork() {
    let database = Database::open(argument(0), &Options::default()).unwrap();
    let mut worker = worker(&database, "q", to_be_rescued());
    let job = job(worker.next(1, LONG));
    // SAFETY: the child calls nothing but async-signal-safe functions.
    match unsafe { libc::fork() } {
        0 => loop {
            // SAFETY: it takes nothing.
            unsafe { libc::pause() };
        },
        child => say(format!("{} {child}", job.id)),
    }
    hear();
}

/// A child of a fork has an instance of its own.
fn go_on() {
    let database = Database::open(argument(0), &Options::default()).unwrap();
    let parents = worker(&database, "q", to_be_rescued());
    // SAFETY: this process has no thread that holds what the child needs: the watcher is not running, and the rescuer sleeps.
    let child = unsafe { libc::fork() };
    if child == 0 {
        drop(parents);
        let database = Database::open(argument(0), &Options::default()).unwrap();
        let mut worker = worker(&database, "q", to_be_rescued());
        let job = job(worker.next(1, LONG));
        say(job.job.worker_id);
        std::process::exit(0);
    }
    // SAFETY: the child is ours.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
}

/// A worker that nothing but a wake makes look.
fn to_be_rescued() -> WorkerOptions {
    WorkerOptions { rescue: true, ..no_fallback() }
}

fn holder(file: &File) -> (Process, i64) {
    let mut process = Process::start("hold", &[file.path.to_str().unwrap()]);
    let id = process.line().parse().unwrap();
    (process, id)
}

fn instances(file: &File) -> i64 {
    file.count("SELECT count(*) FROM _honker_instances")
}

/// Nobody gets the job that somebody holds.
#[track_caller]
fn assert_not_given(worker: &mut Worker) {
    assert_timeout(worker.next(1, Some(Duration::from_millis(400))));
}

#[test]
fn a_killed_process_gives_its_jobs_to_who_waits() {
    let (file, database) = open();
    for round in 0..5 {
        let id = enqueue(&database, "q", "p");
        let (mut process, held) = holder(&file);
        assert_eq!(held, id);
        let mut worker = worker(&database, "q", to_be_rescued());
        let (rescued, worker) = woken_by(move || (job(worker.next(1, LONG)), worker), || process.kill());
        assert_eq!((rescued.id, rescued.attempts), (id, 2), "{round}");
        // The dead one's row is gone, this one's is there.
        until("the dead is forgotten", || instances(&file) == 1);
        drop(worker);
        database.cancel(id).unwrap();
    }
}

#[test]
fn a_job_comes_back_as_it_was() {
    let (file, database) = open();
    let run_at = crate::clock::second() - 100;
    let job = Enqueue { run_at: Some(run_at), priority: 7, ..Enqueue::new("q", "p") };
    let id = database.enqueue(&job).unwrap().id;
    let (mut process, _) = holder(&file);
    let _watches = worker(&database, "other", to_be_rescued());
    process.kill();
    until("it is pending", || file.count("SELECT count(*) FROM _honker_live WHERE state = 'pending'") == 1);
    let is = format!(
        "SELECT count(*) FROM _honker_live WHERE id = {id} AND run_at = {run_at} AND attempts = 1 AND priority = 7
           AND worker_id IS NULL AND claim_expires_at IS NULL"
    );
    assert_eq!(file.count(&is), 1);
}

#[test]
fn a_job_whose_attempts_are_exhausted_is_dead() {
    let (file, database) = open();
    database.enqueue(&Enqueue { max_attempts: Some(1), ..Enqueue::new("q", "p") }).unwrap();
    let (mut process, _) = holder(&file);
    let _watches = worker(&database, "other", to_be_rescued());
    process.kill();
    until("it is dead", || file.count("SELECT count(*) FROM _honker_live") == 0);
    let dead = database.dead_list(Some("q"), -1).unwrap();
    assert_eq!(dead[0].last_error.as_deref(), Some("max attempts exceeded"));
}

#[test]
fn who_died_while_nobody_was_there_is_found_at_the_start() {
    let (file, database) = open();
    let id = enqueue(&database, "q", "p");
    let (mut process, _) = holder(&file);
    process.kill();
    assert_eq!(instances(&file), 1);
    let mut worker = worker(&database, "q", to_be_rescued());
    assert_eq!(job(worker.next(1, LONG)).id, id);
}

#[test]
fn a_stopped_process_is_not_dead() {
    let (file, database) = open();
    enqueue(&database, "q", "p");
    let (mut process, _) = holder(&file);
    process.signal(libc::SIGSTOP);
    let mut worker = worker(&database, "q", to_be_rescued());
    assert_not_given(&mut worker);
    process.signal(libc::SIGCONT);
    process.tell("ack");
    assert_eq!(process.line(), "true");
    process.ends_well();
}

/// Claims of others look as if they had an instance.
#[test]
fn who_is_no_instance_keeps_its_claims() {
    let (file, database) = open();
    let hex = "0123456789abcdef0123456789abcdef";
    for (queue, worker_id) in [("a", "alice@7"), ("b", "bob"), ("c", &format!("carl@{hex}"))] {
        enqueue(&database, queue, "p");
        let claim = Claim { queue, worker_id, n: 1, timeout_s: 300 };
        assert_eq!(database.claim(&claim).unwrap().len(), 1);
    }
    enqueue(&database, "q", "p");
    let (mut process, id) = holder(&file);
    let mut worker = worker(&database, "q", to_be_rescued());
    process.kill();
    assert_eq!(job(worker.next(1, LONG)).id, id);
    assert_eq!(file.count("SELECT count(*) FROM _honker_live WHERE state = 'processing'"), 4);
}

/// Locks that were in another file of the name say nothing.
#[test]
fn nobody_is_dead_whose_lock_file_lost_its_name() {
    for replaced in [false, true] {
        let (file, database) = open();
        enqueue(&database, "q", "p");
        let (mut process, id) = holder(&file);
        let mut worker = worker(&database, "q", to_be_rescued());
        let lock_file = format!("{}-honker", file.path.display());
        let before = file.count("SELECT byte FROM _honker_instances WHERE pid <> 0 LIMIT 1");
        if replaced {
            let other = format!("{lock_file}.new");
            std::fs::write(&other, [7; 16]).unwrap();
            std::fs::rename(&other, &lock_file).unwrap();
        } else {
            std::fs::remove_file(&lock_file).unwrap();
        }
        assert_not_given(&mut worker);
        // It goes over to the new one by itself, and is found there.
        until("its lock is in the new file", || {
            std::path::Path::new(&lock_file).exists()
                && file.count("SELECT byte FROM _honker_instances LIMIT 1") != before
        });
        assert_not_given(&mut worker);
        process.kill();
        assert_eq!(job(worker.next(1, LONG)).id, id);
    }
}

/// Between the look at a lock that is free and the commit that gives the jobs back, its owner may have gone over to another lock
/// file, and so be alive.
#[test]
fn nobody_is_dead_whose_row_says_something_else_meanwhile() {
    let (file, database) = open();
    let job = enqueue(&database, "q", "p");
    let mut worker = worker(&database, "q", to_be_rescued());
    assert_eq!(self::job(worker.next(1, LONG)).id, job);
    let [now]: [Instance; 1] = database.instances().unwrap().try_into().unwrap();
    let elsewhere = [
        Instance { byte: now.byte + 1, ..now.clone() },
        Instance { file_id: "00".repeat(16), ..now.clone() },
        Instance { id: "00".repeat(16), ..now.clone() },
    ];
    for was in &elsewhere {
        assert_eq!(database.rescue(was, &[job], true), Ok(0), "{was:?}");
    }
    assert_eq!((instances(&file), database.get_job(job).unwrap().unwrap().attempts), (1, 1));
    assert_eq!(database.rescue(&now, &[job], false), Ok(1));
}

#[test]
fn a_child_does_not_keep_its_parent_alive() {
    let (file, database) = open();
    let id = enqueue(&database, "q", "p");
    let mut process = Process::start("hold and fork", &[file.path.to_str().unwrap()]);
    let line = process.line();
    let child: i32 = line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut worker = worker(&database, "q", to_be_rescued());
    process.kill();
    let rescued = worker.next(1, LONG);
    // SAFETY: it is the grandchild that was just started.
    unsafe { libc::kill(child, libc::SIGKILL) };
    assert_eq!(job(rescued).id, id);
}

#[test]
fn a_child_has_an_instance_of_its_own() {
    let (file, database) = open();
    let mut process = Process::start("go on", &[file.path.to_str().unwrap()]);
    enqueue(&database, "q", "p");
    let claimed_as = process.line();
    let (id, instance) = claimed_as.split_once('@').unwrap();
    assert_eq!((id, instance.len()), ("w", 32));
    process.ends_well();
}

#[test]
fn a_database_that_is_closed_with_a_job_in_hand_keeps_it() {
    let (file, database) = open();
    for with in [true, false] {
        let id = enqueue(&database, "q", "p");
        let (mut process, _) = holder(&file);
        process.tell(if with { "close with it" } else { "close" });
        assert_eq!(process.line(), "closed");
        let mut worker = worker(&database, "q", to_be_rescued());
        assert_not_given(&mut worker);
        assert_eq!(database.get_job(id).unwrap().is_some(), with);
        process.kill();
        if with {
            assert_eq!(job(worker.next(1, LONG)).id, id);
            database.cancel(id).unwrap();
        }
    }
}

/// What two databases of one process hold is theirs.
#[test]
fn databases_of_one_process_know_each_other() {
    let (file, database) = open();
    enqueue(&database, "q", "p");
    let other = file.database(&Options::default());
    let mut holds = worker(&other, "q", to_be_rescued());
    let held = job(holds.next(1, LONG));
    let mut waits = worker(&database, "q", to_be_rescued());
    assert_not_given(&mut waits);
    assert_eq!(holds.settle(&[ack(&held)]), Ok(vec![Ok(true)]));
}

#[test]
fn a_worker_that_is_not_to_be_rescued_keeps_its_id() {
    let (file, database) = open();
    enqueue(&database, "q", "p");
    let mut worker = worker(&database, "q", no_fallback());
    assert_eq!(&*job(worker.next(1, LONG)).worker_id, "w");
    assert_eq!(instances(&file), 0);
    assert!(!std::path::Path::new(&format!("{}-honker", file.path.display())).exists());
}

/// Many at once, by one signal each.
#[test]
fn none_of_many_is_missed() {
    const PROCESSES: usize = 12;
    let (file, database) = open();
    for _ in 0..PROCESSES {
        enqueue(&database, "q", "p");
    }
    let mut processes: Vec<Process> = (0..PROCESSES).map(|_| holder(&file).0).collect();
    let mut worker = worker(&database, "q", to_be_rescued());
    processes.iter_mut().for_each(Process::kill);
    let mut rescued = 0;
    while rescued < PROCESSES {
        rescued += jobs(worker.next(100, LONG)).len();
    }
    until("all are forgotten", || instances(&file) == 1);
    assert!(file.is_intact());
}

/// As containers on one kernel that share a folder.
#[test]
fn two_mount_namespaces_know_of_each_other() {
    let (file, database) = open();
    let folder = file.path.parent().unwrap().to_str().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let arguments = [folder, elsewhere.path().to_str().unwrap(), "app.db"];
    let there = || {
        enqueue(&database, "q", "p");
        let mut process = Process::start("hold elsewhere", &arguments);
        let said = process.line();
        let id: Result<i64, _> = said.parse();
        (process, id.map_err(|_| said))
    };
    // From there to here.
    let (mut dies, Ok(id)) = there() else {
        println!("SKIPPED mount namespaces: they are not allowed here");
        return;
    };
    let (mut lives, _) = there();
    let mut worker = worker(&database, "q", to_be_rescued());
    assert_not_given(&mut worker);
    dies.kill();
    let rescued = job(worker.next(1, LONG));
    assert_eq!((rescued.id, rescued.attempts), (id, 2));
    assert_not_given(&mut worker);
    assert_eq!(worker.settle(&[ack(&rescued)]), Ok(vec![Ok(true)]));
    drop(worker);
    // And from here to there: one that waits there takes what is left behind here.
    enqueue(&database, "q", "p");
    let (mut dies, id) = holder(&file);
    let mut waits = Process::start("hold elsewhere", &arguments);
    assert_eq!(waits.line_within(Duration::from_millis(400)), None);
    dies.kill();
    assert_eq!(waits.line(), id.to_string());
    for process in [&mut waits, &mut lives] {
        process.tell("ack");
        assert_eq!(process.line(), "true");
    }
}

/// One after the other is killed with a job in hand, while the others live, are stopped, have forked, or are no instance; now and
/// then the lock file is deleted or replaced under all of them. Each job of a dead one is in another's hands at once, and no
/// other.
#[test]
fn one_death_after_the_other() {
    let (deaths, replaced_every) = if is_long() { (1_000, 99) } else { (12, 5) };
    const LIVING: usize = 6;
    let (file, database) = open();
    let claim = Claim { queue: "q", worker_id: "alice@7", n: 1, timeout_s: 300 };
    enqueue(&database, "q", "p");
    assert_eq!(database.claim(&claim).unwrap().len(), 1);
    let hold = || {
        enqueue(&database, "q", "p");
        holder(&file)
    };
    let (mut stopped, _) = hold();
    enqueue(&database, "q", "p");
    let mut forked = Process::start("hold and fork", &[file.path.to_str().unwrap()]);
    let line = forked.line();
    let (forked_id, child) = line.split_once(' ').unwrap();
    let (forked_id, child): (i64, i32) = (forked_id.parse().unwrap(), child.parse().unwrap());
    let mut living: Vec<(Process, i64)> = (0..LIVING).map(|_| hold()).collect();
    stopped.signal(libc::SIGSTOP);
    let mut worker = worker(&database, "q", to_be_rescued());
    let lock_file = format!("{}-honker", file.path.display());
    let mut took = Vec::with_capacity(deaths);
    for death in 0..deaths {
        if death % replaced_every == replaced_every - 1 {
            replace(&file, &lock_file, death);
        }
        let (mut dies, id) = living.remove(death % LIVING);
        let waiting = Thread::start(move || {
            let next = worker.next(1, LONG);
            (worker, next, Instant::now())
        })
        .until_asleep();
        let died = Instant::now();
        dies.signal(libc::SIGKILL);
        let (back, next, rescued) = waiting.join();
        worker = back;
        took.push(rescued.saturating_duration_since(died));
        let rescued = job(next);
        assert_eq!((rescued.id, rescued.attempts), (id, 2), "death {death}");
        assert_eq!(worker.settle(&[ack(&rescued)]), Ok(vec![Ok(true)]));
        dies.kill();
        living.push(hold());
    }
    assert_not_given(&mut worker);
    // All that live still have theirs.
    stopped.signal(libc::SIGCONT);
    for process in std::iter::once(&mut stopped).chain(living.iter_mut().map(|(process, _)| process)) {
        process.tell("ack");
        assert_eq!(process.line(), "true");
    }
    forked.kill();
    let rescued = worker.next(1, LONG);
    // SAFETY: it is the grandchild that was started for this.
    unsafe { libc::kill(child, libc::SIGKILL) };
    assert_eq!(job(rescued).id, forked_id);
    assert_eq!(file.count("SELECT count(*) FROM _honker_live WHERE worker_id = 'alice@7'"), 1);
    took.sort_unstable();
    let at = |share: usize| took[(took.len() * share / 100).min(took.len() - 1)];
    println!("{deaths} deaths: p50 {:?}, p90 {:?}, p99 {:?}, longest {:?}", at(50), at(90), at(99), at(100));
}

/// Deletes the lock file, or puts another one in its place, and waits until all that live have gone over to the new one. The stopped
/// one does not.
fn replace(file: &File, lock_file: &str, death: usize) {
    if death.is_multiple_of(2) {
        std::fs::remove_file(lock_file).unwrap();
    } else {
        let other = format!("{lock_file}.new");
        let id = format!("{death:016}");
        std::fs::write(&other, id).unwrap();
        std::fs::rename(&other, lock_file).unwrap();
    }
    until("all that live have gone over", || {
        let new = std::fs::read(lock_file).unwrap_or_default();
        let hex: String = new.iter().take(16).map(|byte| format!("{byte:02X}")).collect();
        let left = format!("SELECT count(*) FROM _honker_instances WHERE hex(file_id) <> '{hex}'");
        !new.is_empty() && file.count(&left) <= 1
    });
}
