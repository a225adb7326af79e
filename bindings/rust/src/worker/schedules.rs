//! Schedules that a worker fires beside its jobs, in a thread of their own.

use std::thread::JoinHandle;
use std::time::Duration;

use crate::{Database, Error, Result, ScheduledTask, Waker};

/// Fires schedules until it is dropped.
pub(super) struct Firing {
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Firing {
    /// Adds the schedules to the file, and begins to fire all that are there.
    pub(super) fn begin(database: &Database, schedules: &[ScheduledTask]) -> Result<Self> {
        let scheduler = database.scheduler();
        for task in schedules {
            scheduler.add_in(None, task)?;
        }
        let mut leading = scheduler.lead(&crate::names::worker())?;
        let waker = leading.waker();
        let thread = std::thread::Builder::new().name("honker-schedules".to_owned()).spawn(move || {
            let mut failing = false;
            loop {
                match leading.next(None) {
                    Ok(_) => failing = false,
                    Err(Error::Woken | Error::Closed | Error::WatcherDied(_) | Error::Forked) => break,
                    Err(error) if error.is_transient() => {
                        if !std::mem::replace(&mut failing, true) {
                            tracing::warn!(target: "honker", %error, "schedules cannot be fired; trying again");
                        }
                        // Not sooner, and not deaf meanwhile: an error that follows another one comes after a rest.
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    Err(error) => {
                        tracing::error!(target: "honker", %error, "schedules are not fired any more");
                        break;
                    }
                }
            }
        });
        let thread =
            thread.map_err(|error| Error::System(format!("a thread could not be had: {error}").into()))?;
        Ok(Firing { waker, thread: Some(thread) })
    }
}

impl Drop for Firing {
    fn drop(&mut self) {
        self.waker.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
