//! What a server's engine finds in this crate: the signals that end its calls, and what consumers share.

use std::sync::Arc;

use super::hand::Hands;
use super::signals::Signals;
use crate::counters::{Said, Tally};
use crate::fork::Process;
use crate::store::SettlementListener;
use crate::watch::Warnings;
use crate::{Error, Result};

/// The host of a server's engine. One for each database.
pub struct Host {
    process: Process,
    signals: Arc<Signals>,
    hands: Arc<Hands>,
    tally: Arc<Tally>,
    warnings: Warnings,
}

impl Host {
    pub(super) fn new() -> Self {
        Host {
            process: Process::current(),
            signals: Arc::default(),
            hands: Arc::default(),
            tally: Arc::default(),
            warnings: Warnings::default(),
        }
    }

    /// What ends the calls of this database.
    pub fn signals(&self) -> &Arc<Signals> {
        &self.signals
    }

    /// Notes what is no error of a call; [`Database::status`](super::Database::status) tells it.
    pub fn warn(&self, text: String) {
        self.warnings.warn(text);
    }

    /// Whether this still is the process that opened the database, not a forked child of it.
    pub fn is_here(&self) -> bool {
        self.process.is_current()
    }

    /// Notes of settlements that one transaction makes.
    pub fn settling(&self) -> Settling {
        Settling {
            hands: Arc::clone(&self.hands),
            tally: Arc::clone(&self.tally),
            notes: Vec::new(),
            said: Vec::new(),
            noted: 0,
        }
    }

    /// Whether something was counted that the server does not have.
    pub fn has_counts(&self) -> bool {
        self.tally.has_counts()
    }

    /// Whether a worker that claims as this instance has a job in hand.
    pub fn has_jobs_in_hand_of(&self, instance: &str) -> bool {
        self.hands.any_in_hand_of(instance)
    }

    pub(super) fn check(&self) -> Result<()> {
        self.process.check()?;
        if self.signals.is_closed() { Err(Error::Closed) } else { Ok(()) }
    }

    pub(super) fn hands(&self) -> &Hands {
        &self.hands
    }

    pub(super) fn warnings(&self) -> &Warnings {
        &self.warnings
    }
}

/// What a transaction has settled, so that its jobs leave the hands of this process's workers when it is committed, and a
/// worker that looks meanwhile does not take them for lost. And what is to be counted then. Dropping it forgets both.
pub struct Settling {
    hands: Arc<Hands>,
    tally: Arc<Tally>,
    notes: Vec<(i64, String)>,
    said: Vec<Said>,
    /// How much of that which the server notes of the transaction has been said.
    pub noted: usize,
}

/// How much a transaction has said until then.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mark {
    notes: usize,
    said: usize,
    noted: usize,
}

impl Settling {
    /// A claim is about to be settled. Until the transaction is committed it may still turn out otherwise.
    pub fn note(&mut self, id: i64, worker_id: &str) {
        if self.hands.is_listening() {
            self.hands.begin(id, worker_id);
            self.notes.push((id, worker_id.to_owned()));
        }
    }

    /// This is to be counted.
    pub fn say(&mut self, said: Said) {
        self.said.push(said);
    }

    /// What is counted by.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// How much there is.
    pub fn mark(&self) -> Mark {
        Mark { notes: self.notes.len(), said: self.said.len(), noted: self.noted }
    }

    /// What came after this was not made, or undone.
    pub fn forget(&mut self, after: Mark) {
        let undone = self.notes.split_off(after.notes.min(self.notes.len()));
        self.hands.forget_these(&undone);
        self.said.truncate(after.said);
        self.noted = after.noted;
    }

    /// What was noted is committed.
    pub fn commit(&mut self) {
        self.hands.commit_these(&std::mem::take(&mut self.notes));
        self.tally.count(std::mem::take(&mut self.said));
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        self.forget(Mark::default());
    }
}
