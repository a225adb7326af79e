//! Workers of the crate, whose handlers do what a case says, and what has happened to those.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use honker::{Cancelled, Failure, JobContext, Queue, Stopper, Worker};
use serde_json::{Value, json};

pub struct Handlers {
    pub happened: Mutex<Receiver<Value>>,
    pub stopper: Stopper,
}

/// A worker that runs one job at a time. `script` says what its handler does, call by call, the last for all further ones.
pub fn scripted(
    queue: &Queue,
    name: &str,
    script: Vec<String>,
    visibility_timeout: Option<Duration>,
) -> Result<(Worker, Handlers), honker::Error> {
    let (say, happened) = channel();
    let calls = AtomicUsize::new(0);
    let mut builder =
        Worker::builder().name(name).concurrency(1).signals(false).stop_timeout(Duration::ZERO).queue(
            queue.name(),
            move |job| {
                let call = calls.fetch_add(1, Ordering::SeqCst).min(script.len().saturating_sub(1));
                // Nobody listens once the handle is closed.
                let _ = say.send(event(job, "called", None));
                match script.get(call).map(String::as_str) {
                    Some("ok") | None => Ok(()),
                    Some("wait") => {
                        let why =
                            job.sleep(Duration::from_secs(3600)).ok_or_else(|| Failure::new("never told"))?;
                        let _ = say.send(event(job, "told", Some(reason(why))));
                        Err(why.into())
                    }
                    Some(text) => Err(Failure::new(text)),
                }
            },
        );
    if let Some(timeout) = visibility_timeout {
        builder = builder.visibility_timeout(timeout);
    }
    let worker = builder.build(queue.database())?;
    let stopper = worker.stopper();
    Ok((worker, Handlers { happened: Mutex::new(happened), stopper }))
}

fn event(job: &JobContext, what: &str, reason: Option<&str>) -> Value {
    let at_us = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let mut event = json!({
        "what": what, "id": job.id, "attempts": job.attempts, "worker": job.worker_id,
        "at_us": u64::try_from(at_us).unwrap_or_default(),
    });
    if let Some(reason) = reason {
        event["reason"] = reason.into();
    }
    event
}

fn reason(why: Cancelled) -> &'static str {
    match why {
        Cancelled::Gone => "gone",
        Cancelled::Lapsed => "lapsed",
        Cancelled::Taken => "taken",
        Cancelled::Timeout => "timeout",
        _ => "stop",
    }
}
