//! What ends a call on a connection before the server has answered: an interrupt, or closing the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use honker_core::database::Signals;
use honker_core::{Error, Result};
use tokio::sync::Notify;

/// By which a connection that somebody uses is told to look whether its call is to end.
#[derive(Default)]
pub(crate) struct Stop {
    pub(crate) look: Notify,
    /// How often what runs on this connection alone was interrupted.
    interrupts: AtomicU64,
}

impl Stop {
    /// Interrupts what runs on this connection now.
    pub(crate) fn interrupt(&self) {
        self.interrupts.fetch_add(1, Ordering::SeqCst);
        self.look.notify_one();
    }
}

/// A call, as what ends it sees it.
pub(crate) struct Call {
    signals: Arc<Signals>,
    before: u64,
    own: Arc<Stop>,
    own_before: u64,
    is_final: bool,
    pub(crate) deadline: Option<Instant>,
}

impl Call {
    /// One that begins now on the connection that `own` belongs to. `before` is how many interrupts there had been when it was
    /// made.
    pub(crate) fn begin(signals: &Arc<Signals>, before: u64, own: &Arc<Stop>) -> Self {
        let own_before = own.interrupts.load(Ordering::SeqCst);
        Call {
            signals: Arc::clone(signals),
            before,
            own: Arc::clone(own),
            own_before,
            is_final: false,
            deadline: None,
        }
    }

    /// What has to be done after an interrupt, or while the database is being closed: nothing ends it but time.
    pub(crate) fn uninterrupted(&self) -> Self {
        Call { is_final: true, signals: Arc::clone(&self.signals), own: Arc::clone(&self.own), ..*self }
    }

    /// The same, and it ends by itself at this time.
    pub(crate) fn until(self, deadline: Instant) -> Self {
        Call { deadline: Some(deadline), ..self }
    }

    /// An error if it is to end.
    pub(crate) fn check(&self) -> Result<()> {
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(Error::Busy("the server takes too long to answer".into()));
        }
        if self.is_final {
            return Ok(());
        }
        self.signals.check(self.before)?;
        if self.own.interrupts.load(Ordering::SeqCst) == self.own_before {
            Ok(())
        } else {
            Err(Error::Interrupted("interrupted".into()))
        }
    }
}
