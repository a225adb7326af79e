//! What committing threads of this process have announced, so that their commits wake nobody a second time.
//!
//! Threads: any thread announces; the one that watches lends the wal-index and asks. Nobody looks into a wal-index that is
//! lent after [`Announced::lend`] has taken it back.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::counter::{Headers, WalIndex};

#[derive(Default)]
pub(super) struct Announced(Mutex<State>);

#[derive(Default)]
struct State {
    /// There while the watcher's connection is open.
    wal_index: Option<WalIndex>,
    /// What it showed when somebody of this process last announced a commit.
    headers: Option<Headers>,
}

impl Announced {
    /// A thread of this process has committed.
    pub(super) fn announce(&self) {
        let mut state = self.lock();
        state.headers = state.wal_index.map(WalIndex::look);
    }

    /// Lets committing threads look into the wal-index, or no longer: then none does any more when this returns.
    pub(super) fn lend(&self, wal_index: Option<WalIndex>) {
        *self.lock() = State { wal_index, headers: None };
    }

    /// Whether subscribers have been woken, or are about to be, for what the wal-index shows.
    pub(super) fn is_announced(&self, headers: &Headers) -> bool {
        self.lock().headers.as_ref() == Some(headers)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
