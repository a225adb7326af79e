//! Locks between processes.

use crate::{Database, Result};

/// A lock that this process has, for a time. Dropping it gives it up; a process that dies blocks others until the time is
/// over.
///
/// ```
/// # let db = honker::testing::TestDatabase::new()?;
/// if let Some(lock) = db.try_lock("backup", "host-1", 60)? {
///     // … for a minute, unless `heartbeat` makes it longer
///     assert!(db.try_lock("backup", "host-2", 60)?.is_none());
///     assert!(lock.heartbeat(60)?);
///     lock.release()?;
/// }
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug)]
pub struct Lock {
    database: Database,
    name: String,
    owner: String,
    held: bool,
}

impl Lock {
    pub(crate) fn acquire(database: &Database, name: &str, owner: &str, ttl_s: i64) -> Result<Option<Self>> {
        crate::names::check([("name", name), ("owner", owner)])?;
        let acquired = database.engine().lock_acquire(name, owner, ttl_s)?;
        let lock = || Lock {
            database: database.clone(),
            name: name.to_owned(),
            owner: owner.to_owned(),
            held: true,
        };
        Ok(acquired.then(lock))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who has it.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Gives it up; `false` if it was somebody else's by now. After an error it is given up once more by being dropped.
    pub fn release(mut self) -> Result<bool> {
        self.try_release()
    }

    /// As [`Lock::release`], so that it can be tried again after an error.
    pub fn try_release(&mut self) -> Result<bool> {
        let released = self.database.engine().lock_release(&self.name, &self.owner)?;
        self.held = false;
        Ok(released)
    }

    /// It is held for `ttl_s` seconds from now; `false` if it is somebody else's by now.
    pub fn heartbeat(&self, ttl_s: i64) -> Result<bool> {
        Ok(self.database.engine().lock_renew(&self.name, &self.owner, ttl_s)?)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.held {
            // Should it fail, the lock's time is over some time. Whoever wants to know calls `release`.
            let _ = self.database.engine().lock_release(&self.name, &self.owner);
        }
    }
}
