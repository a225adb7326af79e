//! Handles: what requests have made, by name, and what closing one means.
//!
//! A handle that is in use is not dropped: who closes it ends the waits with it, then waits until the calls with it are over.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;

use honker::{
    Claimer, Database, Error, Lock, Outbox, Queue, Stream, StreamSubscription, Subscription, Transaction,
    UpdateEvents, Waker,
};
use serde_json::Value;

use crate::workers::Handlers;

pub struct Handle {
    /// The request that made it.
    pub about: Value,
    pub db: Database,
    /// `None` once it is closed.
    pub is: RwLock<Option<Kind>>,
    /// What ends waits with it.
    pub waker: Option<Waker>,
    /// What an outbox was given to deliver.
    pub calls: Mutex<Vec<Value>>,
    pub runner: Mutex<Option<JoinHandle<()>>>,
}

pub enum Kind {
    Db,
    Tx(Transaction),
    Queue(Queue),
    Worker(Box<Mutex<Claimer>>),
    Listener(Box<Mutex<Subscription>>),
    Stream(Stream),
    Subscription(Box<Mutex<StreamSubscription>>),
    Updates(Box<Mutex<UpdateEvents>>),
    Lock(Lock),
    Outbox(Outbox),
    Handlers(Box<Handlers>),
    Runner,
}

static HANDLES: Mutex<Option<HashMap<String, Arc<Handle>>>> = Mutex::new(None);

pub fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The table, which a fork must find free.
pub fn table() -> MutexGuard<'static, Option<HashMap<String, Arc<Handle>>>> {
    unpoisoned(&HANDLES)
}

pub fn find(name: &str) -> Option<Arc<Handle>> {
    table().as_ref()?.get(name).cloned()
}

pub fn keep(name: &str, handle: Handle) -> Arc<Handle> {
    let handle = Arc::new(handle);
    table().get_or_insert_default().insert(name.to_owned(), Arc::clone(&handle));
    handle
}

pub fn remove(name: &str) -> Option<Arc<Handle>> {
    table().as_mut()?.remove(name)
}

impl Handle {
    /// What a scope's end does; `false` if a lock was not its owner's any more.
    pub fn close(&self) -> Result<(), Error> {
        if let Some(waker) = &self.waker {
            waker.close();
        }
        // Closing the database ends what uses the handle.
        let is_db = matches!(self.is.try_read().as_deref(), Ok(Some(Kind::Db)));
        if is_db {
            return self.db.close();
        }
        let kind = self.is.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Kind::Handlers(handlers)) = &kind {
            handlers.stopper.stop();
        }
        if let Some(runner) = unpoisoned(&self.runner).take() {
            let _ = runner.join();
        }
        if let Some(Kind::Lock(lock)) = kind {
            lock.release()?;
        }
        Ok(())
    }
}

pub fn close_all() {
    let mut all: Vec<Arc<Handle>> = table().iter().flatten().map(|(_, handle)| Arc::clone(handle)).collect();
    // Innermost first.
    all.sort_by_key(|handle| matches!(handle.is.try_read().as_deref(), Ok(Some(Kind::Db))));
    for handle in all {
        let _ = handle.close();
    }
}

pub fn forget_all() {
    *table() = None;
}
