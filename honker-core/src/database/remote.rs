//! A database on a server, as the seam knows it: the server's engine, and what its consumers share.
//!
//! In a forked child nothing of it is touched: its connections, and the locks of its threads, are the parent's.

use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::hand::Hands;
use super::host::Host;
use super::last_write::{LastWrites, Write};
use super::server::{Server, ServerTransaction};
use super::signals::Signals;
use super::status::{Status, Versions};
use super::value::{Rows, Value};
use crate::watch::{Subscription, Waker, Warnings};
use crate::{Error, Result};

pub(super) struct Remote {
    host: Arc<Host>,
    server: ManuallyDrop<Arc<dyn Server>>,
    last_writes: LastWrites,
    wakers: Mutex<Vec<Waker>>,
    /// Held while the database is being closed, so that nobody is told it is before it is.
    closing: Mutex<bool>,
}

impl Remote {
    pub(super) fn new(connect: impl FnOnce(&Arc<Host>) -> Result<Arc<dyn Server>>) -> Result<Self> {
        let host = Arc::new(Host::new());
        let server = ManuallyDrop::new(connect(&host)?);
        Ok(Remote {
            host,
            server,
            last_writes: LastWrites::default(),
            wakers: Mutex::default(),
            closing: Mutex::default(),
        })
    }

    /// The engine, if it may be used.
    pub(super) fn server(&self) -> Result<&dyn Server> {
        self.host.check()?;
        Ok(&**self.server)
    }

    pub(super) fn path(&self) -> &str {
        self.server.url()
    }

    pub(super) fn query(&self, sql: &str, parameters: &[Value]) -> Result<Rows> {
        self.server()?.query(sql, parameters)
    }

    pub(super) fn subscribe_with_warning(&self) -> Result<(Subscription, Option<String>)> {
        let (subscription, warning) = self.server()?.subscribe()?;
        let waker = subscription.waker();
        let mut wakers = self.wakers();
        wakers.retain(Waker::is_alive);
        wakers.push(waker);
        drop(wakers);
        // Whoever closes has said so before it ends all subscriptions that it knows.
        self.host.check()?;
        Ok((subscription, warning))
    }

    pub(super) fn status(&self) -> Result<Status> {
        let is_open = match self.host.check() {
            Ok(()) => true,
            Err(Error::Closed) => false,
            Err(error) => return Err(error),
        };
        let mut status = self.server.status();
        if !is_open {
            status.connections.writers = 0;
        }
        Ok(Status {
            file: self.path().to_owned(),
            connections: status.connections,
            watcher: status.watcher,
            warnings: self.host.warnings().all(),
            versions: Versions { postgres: status.version, ..Versions::here() },
        })
    }

    pub(super) fn warnings(&self) -> &Warnings {
        self.host.warnings()
    }

    pub(super) fn hands(&self) -> &Hands {
        self.host.hands()
    }

    pub(super) fn signals(&self) -> &Arc<Signals> {
        self.host.signals()
    }

    pub(super) fn last_writes(&self) -> &LastWrites {
        &self.last_writes
    }

    pub(super) fn instance_id(&self) -> Option<String> {
        self.server().ok()?.instance_id()
    }

    pub(super) fn instant_of(&self, second: i64) -> Option<Instant> {
        self.server().ok()?.instant_of(second)
    }

    pub(super) fn register_instance(&self) -> Result<()> {
        self.server()?.register_instance()
    }

    pub(super) fn write_last(&self, writes: &[Write], at_most: Duration) -> Result<()> {
        self.server()?.write_last(writes, at_most)
    }

    pub(super) fn interrupt(&self) -> Result<()> {
        match self.host.check() {
            Ok(()) | Err(Error::Closed) => {}
            Err(error) => return Err(error),
        }
        self.host.signals().interrupt();
        self.server.interrupt();
        self.wakers().iter().for_each(Waker::interrupt);
        Ok(())
    }

    pub(super) fn interrupt_transaction(&self, number: u64) -> Result<()> {
        self.server()?.interrupt_transaction(number);
        Ok(())
    }

    pub(super) fn close(&self) -> Result<()> {
        if !self.host.is_here() {
            return Err(Error::Forked);
        }
        self.host.signals().close();
        std::mem::take(&mut *self.wakers()).iter().for_each(Waker::close);
        let mut is_closed = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *is_closed, true) {
            return Ok(());
        }
        self.server.close(self.last_writes.take())
    }

    fn wakers(&self) -> std::sync::MutexGuard<'_, Vec<Waker>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        if self.host.is_here() {
            // Whoever wants to know whether closing worked calls `close`.
            let _ = self.close();
            // SAFETY: it is not used any more.
            unsafe { ManuallyDrop::drop(&mut self.server) };
        }
    }
}

/// A transaction on a server.
pub(super) struct RemoteTransaction {
    remote: Arc<Remote>,
    number: u64,
    /// There until it is over.
    transaction: Option<Box<dyn ServerTransaction>>,
}

impl RemoteTransaction {
    pub(super) fn begin(remote: &Arc<Remote>) -> Result<Self> {
        let transaction = remote.server()?.begin()?;
        let number = transaction.number();
        Ok(RemoteTransaction { remote: Arc::clone(remote), number, transaction: Some(transaction) })
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The engine's, if it may be used.
    pub(super) fn get(&mut self) -> Result<&mut dyn ServerTransaction> {
        self.remote.host.check()?;
        match &mut self.transaction {
            Some(transaction) => Ok(&mut **transaction),
            None => Err(Error::Closed),
        }
    }

    /// The engine's, to end it.
    pub(super) fn take(mut self) -> Result<Box<dyn ServerTransaction>> {
        self.remote.host.check()?;
        self.transaction.take().ok_or(Error::Closed)
    }
}

impl Drop for RemoteTransaction {
    fn drop(&mut self) {
        if !self.remote.host.is_here() {
            std::mem::forget(self.transaction.take());
        }
    }
}
