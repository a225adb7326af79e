//! What a consumer still has to write when it ends: a lock to give up, an offset to save.
//!
//! It ends when it is dropped, or when its database is closed; after that nothing can be written any more. Each consumer
//! keeps a [`LastWrite`] up to date with what would be written now. Dropping it writes that, and so does closing, for all
//! consumers there are, in one transaction after every call has ended.
//!
//! Neither may take long: finalizers of garbage-collected languages drop consumers, and whoever closes a database wants to
//! go on. Dropping waits 100 ms at most, closing one second, both no longer than the busy timeout. If a transaction of this
//! process keeps the connection for longer, which may be that of the dropping thread itself, it is written when that is
//! over. If another process keeps the file locked, what is not written is what a crash would have left: an event is
//! delivered again, a lock runs out. Errors are for those who ask: the consumers' `resign` and `save` report them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Database;
use crate::{Error, Result, Store, lock, stream};

pub(super) const DROP_MAX: Duration = Duration::from_millis(100);
pub(super) const CLOSE_MAX: Duration = Duration::from_secs(1);

/// What is to be written.
#[derive(Debug, Clone)]
pub enum Write {
    /// A lock is given up.
    ReleaseLock {
        /// Its name.
        name: &'static str,
        /// Who has it.
        owner: Arc<str>,
    },
    /// An offset is saved.
    SaveOffset {
        /// Whose.
        consumer: Arc<str>,
        /// Of which topic.
        topic: Arc<str>,
        /// How far it is.
        offset: i64,
    },
}

impl Write {
    pub(super) fn run(&self, store: &Store) -> Result<()> {
        match self {
            Write::ReleaseLock { name, owner } => lock::release(store, name, owner).map(drop),
            Write::SaveOffset { consumer, topic, offset } => {
                stream::save_offset(store, consumer, topic, *offset).map(drop)
            }
        }
    }
}

type Slot = Mutex<Option<Write>>;

/// A consumer's last write. See the module documentation.
pub(crate) struct LastWrite {
    database: Database,
    slot: Arc<Slot>,
}

impl LastWrite {
    pub(crate) fn new(database: &Database) -> Self {
        let slot = Arc::default();
        database.last_writes().add(&slot);
        LastWrite { database: database.clone(), slot }
    }

    /// What would have to be written if the consumer ended now.
    pub(crate) fn set(&self, write: Option<Write>) {
        *lock_slot(&self.slot) = write;
    }
}

impl Drop for LastWrite {
    fn drop(&mut self) {
        let write = lock_slot(&self.slot).clone();
        let Some(write) = write else { return };
        let outcome = self.database.write_last(&[write], DROP_MAX);
        if outcome != Err(Error::Closed) {
            self.set(None);
        }
        // Otherwise it is being closed just now, and whoever does that writes it.
    }
}

/// Those of all consumers of a database.
#[derive(Default)]
pub(super) struct LastWrites(Mutex<Vec<Arc<Slot>>>);

impl LastWrites {
    fn add(&self, slot: &Arc<Slot>) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those of consumers that have been dropped are only ours.
        slots.retain(|slot| Arc::strong_count(slot) > 1);
        slots.push(Arc::clone(slot));
    }

    /// Takes what is to be written: nobody else writes it.
    pub(super) fn take(&self) -> Vec<Write> {
        let slots = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        slots.iter().filter_map(|slot| lock_slot(slot).take()).collect()
    }
}

fn lock_slot(slot: &Slot) -> MutexGuard<'_, Option<Write>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}
