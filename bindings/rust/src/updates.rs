//! Waiting for commits.

use std::time::Duration;

use honker_core::consume::Updates;

use crate::waiting::{Waker, at_last, in_time};
use crate::{Database, Result};

/// That something was committed to the file, by anyone in any process. Several commits may be told as one, and there may be
/// nothing new to see: it is a hint. Used by one thread at a time.
///
/// ```
/// # let db = honker::testing::TestDatabase::new()?;
/// let mut updates = db.update_events()?;
/// db.notify("news", &"hello")?;
/// updates.recv()?;
/// # Ok::<(), honker::Error>(())
/// ```
pub struct UpdateEvents {
    updates: Updates,
}

impl UpdateEvents {
    pub(crate) fn new(database: &Database) -> Result<Self> {
        Ok(UpdateEvents { updates: Updates::new(database.engine())? })
    }

    /// Waits for a commit without a limit.
    pub fn recv(&mut self) -> Result<()> {
        at_last(self.updates.next(None)?)
    }

    /// Whether there was one.
    pub fn try_recv(&mut self) -> Result<bool> {
        self.recv_timeout(Duration::ZERO)
    }

    /// Waits for one; `false` if the time was over first.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<bool> {
        Ok(in_time(self.updates.next(Some(timeout))?)?.is_some())
    }

    /// What ends its waits from another thread.
    pub fn waker(&self) -> Waker {
        Waker(self.updates.waiter())
    }
}

impl std::fmt::Debug for UpdateEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UpdateEvents")
    }
}
