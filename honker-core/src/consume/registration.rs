//! A consumer's place at its waiter, and the loop that every `next` is: look, and wait if there is nothing.
//!
//! The order of things is where waiting loops lose wakes, so it is written once: whoever may wait subscribes before it
//! first looks, a look that finds nothing says until when nothing will be there, and a wake is followed by another look.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::rest::Rest;
use super::waiter::{Inner, Waiter};
use crate::Result;
use crate::database::{Database, deadline};
use crate::watch::{Subscription, Wake};

/// What a consumer's `next` returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next<T> {
    /// What was waited for.
    Item(T),
    /// The caller's time is over.
    Timeout,
    /// Somebody woke the consumer.
    Woken,
}

/// What a look finds.
pub(super) enum Look<T> {
    Found(T),
    Nothing(Rest),
}

/// How long a consumer rests after a look that failed: who calls it again and again does not keep a core busy, and an
/// event loop is told to try again.
const AFTER_ERROR: Duration = Duration::from_millis(500);

/// A consumer's place at a waiter.
pub(super) struct Registration {
    waiter: Arc<Inner>,
    key: u64,
    /// Of its own, once it has waited.
    subscription: Option<Subscription>,
}

impl Registration {
    /// `token` is what the waiter names the consumer by.
    pub(super) fn new(waiter: &Waiter, token: u64) -> Self {
        let waiter = Arc::clone(&waiter.inner);
        let key = waiter.enter(token);
        Registration { waiter, key, subscription: None }
    }

    pub(super) fn database(&self) -> &Database {
        &self.waiter.database
    }

    pub(super) fn waiter(&self) -> Waiter {
        Waiter { inner: Arc::clone(&self.waiter) }
    }

    /// What the consumer did before it looks has failed: it is named again after a while.
    pub(super) fn fail(&self) {
        self.failed(self.waiter.look(self.key));
    }

    fn failed(&self, commits: u64) {
        self.waiter.rest(self.key, commits, Rest::until_after(deadline(AFTER_ERROR)));
    }

    /// One `next`: calls `look` until it finds something, at most for `timeout` (`None`: without end).
    ///
    /// Wakes that keep coming do not keep the caller beyond its time: after the first that comes too late it looks once
    /// more, and no wake is taken that no look follows.
    pub(super) fn next<T>(
        &mut self,
        timeout: Option<Duration>,
        mut look: impl FnMut() -> Result<Look<T>>,
    ) -> Result<Next<T>> {
        let interrupts = self.waiter.database.interrupts();
        let until = timeout.and_then(deadline);
        let may_wait = timeout != Some(Duration::ZERO);
        if may_wait && self.subscription.is_none() {
            self.subscription = Some(self.waiter.subscribe(self.key).inspect_err(|_| self.fail())?);
        }
        let mut late = !may_wait;
        loop {
            self.waiter.check()?;
            interrupts.check().inspect_err(|_| self.fail())?;
            let commits = self.waiter.look(self.key);
            let mut rest = match look() {
                Ok(Look::Found(found)) => return Ok(Next::Item(found)),
                Ok(Look::Nothing(rest)) => rest,
                Err(error) => {
                    self.failed(commits);
                    return Err(error);
                }
            };
            rest.begin(Instant::now());
            self.waiter.rest(self.key, commits, rest.clone());
            if late {
                return Ok(Next::Timeout);
            }
            let Some(subscription) = &self.subscription else { return Ok(Next::Timeout) };
            loop {
                let now = Instant::now();
                let left = until.map(|until| until.saturating_duration_since(now));
                let left = [left, rest.until().left(now)].into_iter().flatten().min();
                // The wait is ended by an interrupt that comes while it lasts; the question is for one that came before.
                let wake = subscription.wait_unless(left, || interrupts.check())?;
                let now = Instant::now();
                late = until.is_some_and(|until| until <= now);
                match wake {
                    Wake::Woken => return Ok(Next::Woken),
                    Wake::Update => break,
                    Wake::Timeout if rest.until().is_over(now) => break,
                    Wake::Timeout if late => return Ok(Next::Timeout),
                    // The machine's clock was only to be looked at.
                    Wake::Timeout => {}
                }
            }
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.waiter.leave(self.key);
    }
}
