//! Raw updates: that something was committed to the file, by anyone.

use std::time::Duration;

use super::registration::{Look, Next, Registration};
use super::rest::Rest;
use super::waiter::Waiter;
use crate::Result;
use crate::database::Database;
use crate::outlook::Interest;

/// See the module documentation of [`crate::consume`].
pub struct Updates {
    registration: Registration,
    /// The generation of the file that was told of last.
    told: u64,
}

impl Updates {
    /// Commits from now on, with a waiter of its own.
    pub fn new(database: &Database) -> Result<Self> {
        Ok(Updates::on(&Waiter::new(database)?, 0))
    }

    /// As [`Updates::new`], at a waiter that others wait at as well, which names it by `token`.
    pub fn on(waiter: &Waiter, token: u64) -> Self {
        let registration = Registration::new(waiter, token);
        let told = waiter.generation();
        Updates { registration, told }
    }

    /// A commit since the last one that this told of; waits for it for at most `timeout` (`None`: without end). Several may
    /// be told as one, and there may be nothing new to see: it is a hint.
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Next<()>> {
        let Updates { registration, told } = self;
        let waiter = registration.waiter();
        registration.next(timeout, || {
            let generation = waiter.generation();
            Ok(if std::mem::replace(told, generation) != generation {
                Look::Found(())
            } else {
                Look::Nothing(Rest::new(Interest::Commit, None))
            })
        })
    }

    /// What this waits with.
    pub fn waiter(&self) -> Waiter {
        self.registration.waiter()
    }
}
