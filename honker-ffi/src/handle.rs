//! The table of handles.
//!
//! What a caller holds is not a pointer to our memory but a number that looks like one. Every call looks it up here, and
//! what is not there is an error: NULL, a handle that was closed or freed (numbers are never used twice), one of another
//! kind, a number made up. A look-up costs some tens of nanoseconds, next to calls that take microseconds.
//!
//! A call owns what it works on until it returns: freeing a handle takes it out of the table, and the memory goes when
//! the last call that uses it is over.
//!
//! Threads: one lock, held for a look-up and never while anything else runs. A forked child leaves the table of its
//! parent alone, whose lock may be held by a thread that the child does not have. It starts its own, and tells its
//! parent's handles by the fork count that is part of the number.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use honker_core::fork::{self, PerProcess};

use crate::db::honker_db_t;
use crate::entry::{Failure, Result};
use crate::error::honker_error_t;
use crate::fires::honker_fires_t;
use crate::jobs::honker_jobs_t;
use crate::leader::honker_leader_t;
use crate::listener::honker_listener_t;
use crate::outbox::honker_outbox_t;
use crate::query::honker_rows_t;
use crate::result::honker_result_wait_t;
use crate::status::HONKER_MISUSE;
use crate::stream::honker_events_t;
use crate::subscription::honker_subscription_t;
use crate::text::honker_text_t;
use crate::tx::honker_tx_t;
use crate::updates::honker_updates_t;
use crate::waiter::honker_waiter_t;
use crate::worker::honker_worker_t;

#[cfg(not(target_pointer_width = "64"))]
compile_error!(
    "a handle has 16 bits for the fork count and 48 for its number: libhonker is for 64-bit machines"
);

const FORK_SHIFT: u32 = 48;
/// Handles look like aligned addresses beyond the first pages: some languages check their pointers for that.
const FIRST: usize = 0x10000;
const STEP: usize = 16;

/// A type that callers hold by handle.
pub(crate) trait Object: Send + Sync + Sized {
    /// Its name in the header.
    const NAME: &'static str;
    fn into_entry(self: Arc<Self>) -> Entry;
    fn from_entry(entry: &Entry) -> Option<&Arc<Self>>;
}

macro_rules! objects {
    ($($variant:ident($object:ty),)*) => {
        pub(crate) enum Entry {
            $($variant(Arc<$object>),)*
        }

        impl Entry {
            fn name(&self) -> &'static str {
                match self {
                    $(Entry::$variant(_) => <$object>::NAME,)*
                }
            }
        }

        $(impl Object for $object {
            const NAME: &'static str = stringify!($object);
            fn into_entry(self: Arc<Self>) -> Entry {
                Entry::$variant(self)
            }
            fn from_entry(entry: &Entry) -> Option<&Arc<Self>> {
                match entry {
                    Entry::$variant(object) => Some(object),
                    _ => None,
                }
            }
        })*
    };
}

objects! {
    Db(honker_db_t),
    Tx(honker_tx_t),
    Rows(honker_rows_t),
    Jobs(honker_jobs_t),
    Events(honker_events_t),
    Fires(honker_fires_t),
    Text(honker_text_t),
    Waiter(honker_waiter_t),
    Worker(honker_worker_t),
    Listener(honker_listener_t),
    Subscription(honker_subscription_t),
    Leader(honker_leader_t),
    Outbox(honker_outbox_t),
    ResultWait(honker_result_wait_t),
    Updates(honker_updates_t),
    Error(honker_error_t),
}

struct Table {
    fork_count: usize,
    next: AtomicUsize,
    entries: RwLock<HashMap<usize, Entry>>,
}

impl Default for Table {
    fn default() -> Self {
        Table { fork_count: own_fork_count(), next: AtomicUsize::new(FIRST), entries: RwLock::default() }
    }
}

static TABLE: PerProcess<Table> = PerProcess::new();

fn own_fork_count() -> usize {
    // As many of its bits as fit beside the number.
    (fork::count() as usize) & (usize::MAX >> FORK_SHIFT)
}

/// Gives an object to the caller.
pub(crate) fn put<T: Object>(object: T) -> *mut T {
    let table = TABLE.get();
    let handle = (table.fork_count << FORK_SHIFT) | table.next.fetch_add(STEP, Ordering::Relaxed);
    let entry = Arc::new(object).into_entry();
    table.entries.write().unwrap_or_else(PoisonError::into_inner).insert(handle, entry);
    std::ptr::without_provenance_mut(handle)
}

/// What a handle stands for.
pub(crate) fn get<T: Object>(handle: *const T) -> Result<Arc<T>> {
    let table = TABLE.get();
    let entries = table.entries.read().unwrap_or_else(PoisonError::into_inner);
    match entries.get(&handle.addr()) {
        Some(entry) => T::from_entry(entry).cloned().ok_or_else(|| wrong_kind::<T>(entry.name())),
        None => Err(unknown::<T>(handle.addr(), table)),
    }
}

/// What a handle stood for: it is out of the table.
pub(crate) fn take<T: Object>(handle: *const T) -> Result<Arc<T>> {
    let table = TABLE.get();
    let mut entries = table.entries.write().unwrap_or_else(PoisonError::into_inner);
    match entries.get(&handle.addr()) {
        Some(entry) => {
            let object = T::from_entry(entry).cloned().ok_or_else(|| wrong_kind::<T>(entry.name()))?;
            entries.remove(&handle.addr());
            Ok(object)
        }
        None => Err(unknown::<T>(handle.addr(), table)),
    }
}

fn wrong_kind<T: Object>(name: &str) -> Failure {
    Failure::new(HONKER_MISUSE, format!("this handle is a {name}, not a {}", T::NAME))
}

fn unknown<T: Object>(handle: usize, table: &Table) -> Failure {
    let name = T::NAME;
    let (fork_count, number) = (handle >> FORK_SHIFT, handle & (usize::MAX >> (usize::BITS - FORK_SHIFT)));
    let was_one = number >= FIRST && number % STEP == 0;
    if handle == 0 {
        Failure::new(HONKER_MISUSE, format!("the {name} is NULL"))
    } else if was_one && fork_count < table.fork_count {
        honker_core::Error::Forked.into()
    } else if was_one && fork_count == table.fork_count && number < table.next.load(Ordering::Relaxed) {
        Failure::new(HONKER_MISUSE, format!("the {name} has been closed or freed"))
    } else {
        Failure::new(HONKER_MISUSE, format!("this is no handle, and so no {name}"))
    }
}
