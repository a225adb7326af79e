//! The file that is served. If another file gets its name (a backup is restored), that one is opened, and takes its place.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use honker_core::database::Database;

use crate::failure::{Failure, Result};

/// How the file is opened.
type Open = fn(&Path) -> Result<Database>;

/// See the module documentation. All threads share it.
pub struct Current {
    path: PathBuf,
    open: Open,
    database: Mutex<Database>,
}

impl Current {
    pub fn open(path: PathBuf, open: Open) -> Result<Self> {
        let database = Mutex::new(open(&path)?);
        Ok(Current { path, open, database })
    }

    /// The database of the moment.
    pub fn get(&self) -> Database {
        self.database.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Does something with the database of the moment. If the file has been replaced, that fails, and the next one has the new one.
    pub fn with<T>(&self, body: impl FnOnce(&Database) -> Result<T>) -> Result<T> {
        let outcome = body(&self.get());
        if let Err(Failure::Replaced(_)) = outcome {
            self.open_again();
        }
        outcome
    }

    fn open_again(&self) {
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have done it meanwhile.
        let is_replaced = matches!(database.query("SELECT 1", &[]), Err(honker_core::Error::Watcher(_)));
        if is_replaced && let Ok(new) = (self.open)(&self.path) {
            // Calls that still use the old one end with an error.
            let _ = std::mem::replace(&mut *database, new).close();
        }
    }
}
