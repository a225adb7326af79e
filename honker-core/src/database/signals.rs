//! What ends waiting, shared by all connections of a database, from any thread.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::{Error, Result};

/// What ends waiting, shared by all connections of a database.
#[derive(Debug, Default)]
pub struct Signals {
    interrupts: AtomicU64,
    closed: AtomicBool,
}

impl Signals {
    /// Ends what waits now.
    pub fn interrupt(&self) {
        self.interrupts.fetch_add(1, Ordering::SeqCst);
    }

    /// Ends what waits, now and from now on.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Whether [`Signals::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// What a wait that began when `interrupts` was the count has to end with, if it has to end.
    pub fn check(&self, interrupts: u64) -> Result<()> {
        if self.closed.load(Ordering::SeqCst) {
            Err(Error::Closed)
        } else if self.interrupts.load(Ordering::SeqCst) != interrupts {
            Err(Error::interrupted())
        } else {
            Ok(())
        }
    }

    /// How often [`Signals::interrupt`] was called.
    pub fn interrupts(&self) -> u64 {
        self.interrupts.load(Ordering::SeqCst)
    }

    /// What to tell a caller about an error: that of a wait or a statement that was ended on purpose is the purpose.
    pub fn explain(&self, interrupts: u64, error: Error) -> Error {
        let ended = matches!(error, Error::Busy(_) | Error::Interrupted(_));
        self.check(interrupts).err().filter(|_| ended).unwrap_or(error)
    }
}

/// The error of a wait that took too long.
pub(super) fn busy(what: &str) -> Error {
    Error::Busy(format!("database is locked: {what}").into())
}
