//! What the tests share.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use honker_core::consume::{Batch, Claimed, Next, Settlement, StreamOptions, Verdict, WorkerOptions};
use honker_core::database::{Database, Options};
use honker_core::queue::Enqueue;
use honker_core::{Result, consume};

pub use crate::common::{
    File, GUARD, Worker as Thread, alone, code, guarded, is_interrupted, is_long, until,
};

/// Without end, as far as a test is concerned: it fails, and does not hang.
pub const LONG: Option<Duration> = Some(GUARD);

/// No time at all: what there is now.
pub const NOW: Option<Duration> = Some(Duration::ZERO);

/// How late anything that is woken may be. Fallbacks are longer, or there are none; what is not woken never comes. (A disk
/// that is busy has been seen to stop a process for seconds.)
pub const PROMPT: Duration = Duration::from_secs(10);

/// A worker's options of which only a wake or a deadline can be the reason that it looks. It claims under the id that it is
/// given.
pub fn no_fallback() -> WorkerOptions {
    WorkerOptions { fallback: None, rescue: false, ..WorkerOptions::default() }
}

pub fn open() -> (File, Database) {
    let file = File::new();
    let database = file.database(&Options::default());
    (file, database)
}

pub fn enqueue(database: &Database, queue: &str, payload: &str) -> i64 {
    database.enqueue(&Enqueue::new(queue, payload)).unwrap().id
}

pub fn enqueue_at(database: &Database, queue: &str, run_at: i64) -> i64 {
    let job = Enqueue { run_at: Some(run_at), ..Enqueue::new(queue, "p") };
    database.enqueue(&job).unwrap().id
}

pub fn send(database: &Database, channel: &str, payload: &str) -> i64 {
    database.notify(channel, payload).unwrap()
}

pub fn publish(database: &Database, topic: &str, payload: &str) -> i64 {
    database.stream_publish(topic, None, payload).unwrap()
}

pub fn save_result(database: &Database, job_id: i64, value: &str) {
    database.result_save(job_id, value, 0).unwrap();
}

pub fn worker(database: &Database, queue: &str, options: WorkerOptions) -> consume::Worker {
    consume::Worker::new(database, queue, "w", options).unwrap()
}

pub fn listener(database: &Database, channel: &str) -> consume::Listener {
    consume::Listener::new(database, channel, None).unwrap()
}

pub fn subscription(database: &Database, topic: &str) -> consume::StreamSubscription {
    consume::StreamSubscription::new(database, topic, StreamOptions::default()).unwrap()
}

/// CPU time of this thread, which the rest of the machine does not change.
pub fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it fills in what it is given.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) }, 0);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

/// What was waited for.
#[track_caller]
pub fn item<T: Debug>(next: Result<Next<T>>) -> T {
    match next {
        Ok(Next::Item(item)) => item,
        other => panic!("no item but {other:?}"),
    }
}

/// The jobs that were waited for; none was lost.
#[track_caller]
pub fn jobs(next: Result<Next<Batch>>) -> Vec<Claimed> {
    let batch = item(next);
    assert_eq!(batch.lost, []);
    batch.jobs
}

/// The one job that was waited for.
#[track_caller]
pub fn job(next: Result<Next<Batch>>) -> Claimed {
    let mut jobs = jobs(next);
    assert_eq!(jobs.len(), 1);
    jobs.remove(0)
}

pub fn settle(job: &Claimed, verdict: Verdict) -> Settlement {
    Settlement { id: job.id, serial: job.serial, verdict }
}

pub fn ack(job: &Claimed) -> Settlement {
    settle(job, Verdict::Ack)
}

pub fn retry(job: &Claimed, delay_s: i64, error: &str) -> Settlement {
    settle(job, Verdict::Retry { delay_s: Some(delay_s), error: error.to_owned() })
}

pub fn fail(job: &Claimed, error: &str) -> Settlement {
    settle(job, Verdict::Fail { error: error.to_owned() })
}

#[track_caller]
pub fn assert_timeout<T: Debug>(next: Result<Next<T>>) {
    assert!(matches!(next, Ok(Next::Timeout)), "{next:?}");
}

#[track_caller]
pub fn assert_woken<T: Debug>(next: Result<Next<T>>) {
    assert!(matches!(next, Ok(Next::Woken)), "{next:?}");
}

/// What `body` returns, which it has to within [`PROMPT`] after `act` on this thread, done while it waits.
#[track_caller]
pub fn woken_by<T: Send + 'static, U>(
    body: impl FnOnce() -> T + Send + 'static,
    act: impl FnOnce() -> U,
) -> T {
    let waiting = Thread::start(move || (body(), Instant::now())).until_asleep();
    let before = Instant::now();
    act();
    let after = Instant::now();
    let (outcome, ended) = waiting.join();
    assert!(ended >= before, "it did not wait");
    let late = ended.saturating_duration_since(after);
    assert!(late < PROMPT, "{late:?} late");
    outcome
}
