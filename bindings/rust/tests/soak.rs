//! Workers of several processes that are killed and stopped again and again, with handlers that fail: no job is lost, and none
//! is acked twice. Five seconds; ten minutes with `HONKER_TEST_LONG`.

#![cfg(unix)]

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use honker::{Backoff, Database, EnqueueOpts, Failure, JobContext, OpenOptions, Outcome, QueueOpts, Worker};

const LONG: Duration = Duration::from_secs(120);

/// What becomes of a job depends on its id and on how often it was tried.
fn handle(job: &JobContext) -> Outcome {
    match (job.id * 7 + job.attempts * 3) % 20 {
        0..3 => Err(Failure::new("not this time")),
        3 => panic!("at the disco"),
        // Its attempt does not count, so it would be for ever.
        4 if job.waited().subsec_nanos().is_multiple_of(2) => Err(Failure::release()),
        5 => match job.sleep(Duration::from_millis(20)) {
            Some(why) => Err(why.into()),
            None => Err(Failure::retry_after(Duration::ZERO, "later")),
        },
        // Acked by the worker, which may be killed before.
        6..10 => {
            let tx = job.database().transaction()?;
            tx.execute("INSERT INTO ran (job, acked) VALUES (?, 0)", honker::params![job.id])?;
            Ok(tx.commit()?)
        }
        // With the ack in the transaction: exactly once.
        _ => {
            let tx = job.database().transaction()?;
            tx.execute("INSERT INTO ran (job, acked) VALUES (?, 1)", honker::params![job.id])?;
            if job.ack_tx(&tx)? { Ok(tx.commit()?) } else { Err(Failure::new("it is another worker's")) }
        }
    }
}

/// Not a test by itself.
#[test]
fn a_worker_of_the_soak() {
    let Some(path) = std::env::var_os("HONKER_SOAK_FILE") else { return };
    // Panics are part of it.
    std::panic::set_hook(Box::new(|_| {}));
    let worker = Worker::builder()
        .queue("q", handle)
        .concurrency(8)
        .backoff(Backoff { base_s: 0, ..Backoff::default() })
        // Where nobody sees that a process has died.
        .visibility_timeout(Duration::from_secs(5))
        .open_with_options(path, OpenOptions::new().busy_timeout(LONG));
    worker.unwrap().run().unwrap();
}

/// A process with a worker.
struct Role(Child);

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(path: &Path) -> Role {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_worker_of_the_soak", "--quiet"])
        .env("HONKER_SOAK_FILE", path)
        .stdout(std::process::Stdio::null())
        .spawn();
    Role(child.unwrap())
}

/// Ends a worker. Told to stop it ends well, unless it has not begun to listen.
fn end(Role(child): &mut Role, signal: i32) {
    // SAFETY: it is our child, and not waited for yet.
    unsafe { libc::kill(child.id().try_into().unwrap(), signal) };
    let status = child.wait().unwrap();
    assert!(status.success() || status.signal() == Some(signal), "{status}");
}

#[test]
fn nothing_is_lost_or_acked_twice() {
    let is_long = std::env::var_os("HONKER_TEST_LONG").is_some_and(|long| !long.is_empty());
    let until = Instant::now() + Duration::from_secs(if is_long { 600 } else { 5 });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let db = Database::open_with_options(&path, OpenOptions::new().busy_timeout(LONG)).unwrap();
    let tx = db.transaction().unwrap();
    tx.execute("CREATE TABLE ran (id INTEGER PRIMARY KEY, job INTEGER, acked INTEGER)", []).unwrap();
    tx.commit().unwrap();
    let q = db.queue("q", QueueOpts { max_attempts: 1_000_000, ..Default::default() });

    let mut workers: Vec<Role> = (0..3).map(|_| start(&path)).collect();
    let (mut ids, mut ended) = (Vec::new(), 0);
    let mut updates = db.update_events().unwrap();
    while Instant::now() < until || ended < 6 {
        let work = q.stats().unwrap();
        if work.pending < 200 {
            ids.extend(q.enqueue_many(&[(); 50], EnqueueOpts::default()).unwrap());
        }
        let _ = updates.recv_timeout(Duration::from_millis(200)).unwrap();
        // One in two stops by itself.
        if work.claimed > 0 && ids.len() / 200 > ended {
            let place = ended % workers.len();
            end(&mut workers[place], if ended % 2 == 0 { libc::SIGKILL } else { libc::SIGTERM });
            workers[place] = start(&path);
            ended += 1;
        }
    }
    let last = Instant::now() + LONG * 2;
    while db.query_row("SELECT 1 FROM _honker_live", []).unwrap().is_some() {
        assert!(Instant::now() < last, "{:?} are left", q.stats().unwrap());
        let _ = updates.recv_timeout(Duration::from_millis(200)).unwrap();
    }
    workers.iter_mut().for_each(|worker| end(worker, libc::SIGTERM));

    let rows = db.query("SELECT DISTINCT job FROM ran ORDER BY job", []).unwrap();
    let done: Vec<i64> = rows.iter().map(|row| row.get(0).unwrap()).collect();
    assert_eq!(done, ids);
    let sql = "SELECT count(*) FROM ran a JOIN ran b ON b.job = a.job AND b.id > a.id WHERE a.acked";
    let again: i64 = db.query_row(sql, []).unwrap().unwrap().get(0).unwrap();
    assert_eq!(again, 0, "that many were run again after they had been acked");
    assert!(q.dead(-1).unwrap().is_empty());
    println!("{} jobs, {ended} workers ended", ids.len());
}
