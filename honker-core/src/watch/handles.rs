//! Watchers by number, for callers that hold no Rust values: SQL and C.
//!
//! A handle is a watcher of its own with one subscription. Numbers belong to the process, not to a connection, and are
//! never used again: one that is closed, or was opened before a fork, is unknown, and waiting for it ends at once. C gets
//! them as `void *`, and some runtimes look at what they hold as a pointer or keep it in a double: so they lie above every
//! address of a process, and below 2^53.
//!
//! Threads: one may close a handle while another waits for it. Opening and waiting happen outside of the lock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Backend, Settings, Subscription, Target, Wake, Watcher};
use crate::fork::PerProcess;
use crate::{Error, Result};

/// No handle, but where they begin.
const BASE: i64 = 1 << 52;
/// From one handle to the next: as aligned as what an allocator gives.
const STEP: i64 = 16;

#[derive(Default)]
struct Handles {
    opened: i64,
    open: HashMap<i64, Arc<Subscription>>,
}

static HANDLES: PerProcess<Mutex<Handles>> = PerProcess::new();

/// Starts a watcher; its handle, which is positive. `backend` is one of the names of [`Backend`]; none is `auto`.
pub fn open(path: &str, backend: Option<&str>, poll_interval_ms: u64) -> Result<i64> {
    let backend: Backend = backend.unwrap_or_default().parse()?;
    let poll_interval = Duration::from_millis(poll_interval_ms);
    let settings = Settings { backend, poll_interval, ..Settings::default() };
    let subscription = Watcher::start(&Target::new(path), &settings)?.subscribe()?;
    let mut handles = handles();
    handles.opened += 1;
    let handle = BASE + handles.opened * STEP;
    handles.open.insert(handle, Arc::new(subscription));
    Ok(handle)
}

/// Waits for a wake: whether there was one. An error says that there will be none any more.
pub fn wait(handle: i64, timeout: Duration) -> Result<bool> {
    let subscription = handles().open.get(&handle).cloned().ok_or(Error::Closed)?;
    Ok(subscription.wait(Some(timeout))? != Wake::Timeout)
}

/// Ends the watcher, and a wait for it that is running. Does nothing if it is closed already.
pub fn close(handle: i64) {
    let subscription = handles().open.remove(&handle);
    if let Some(subscription) = subscription {
        // A thread that waits has it as well: it is told, and what it has is empty by then.
        subscription.waker().close();
    }
}

fn handles() -> MutexGuard<'static, Handles> {
    HANDLES.get().lock().unwrap_or_else(PoisonError::into_inner)
}
