//! A consumer's place at its waiter, and the loop that every `next` is: look, and wait if there is nothing.
//!
//! The order of things is where waiting loops lose wakes, so it is written once: whoever may wait subscribes before it
//! first looks, a look that finds nothing says until when nothing will be there, and a wake is followed by another look.
//! One that has found all that it may take says that as well, and its consumer rests without having to look again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::rest::Rest;
use super::waiter::{Inner, Waiter};
use crate::database::{Database, deadline};
use crate::watch::{Subscription, Wake};
use crate::{Error, Result};

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
    /// There is nothing more for whoever has this, for so long.
    All(T, Rest),
    Nothing(Rest),
}

/// How long a consumer rests after a call that failed: who calls it again and again does not keep a core busy, and an
/// event loop is told to try again. Who waits is told the first error at once, and one that follows it after the rest.
pub(super) const AFTER_ERROR: Duration = Duration::from_millis(500);

/// A consumer's place at a waiter.
pub(super) struct Registration {
    waiter: Arc<Inner>,
    key: u64,
    /// Of its own, once it has waited.
    subscription: Option<Subscription>,
    /// The last call has failed.
    has_failed: bool,
}

impl Registration {
    /// `token` is what the waiter names the consumer by.
    pub(super) fn new(waiter: &Waiter, token: u64) -> Self {
        let waiter = Arc::clone(&waiter.inner);
        let key = waiter.enter(token);
        Registration { waiter, key, subscription: None, has_failed: false }
    }

    pub(super) fn database(&self) -> &Database {
        &self.waiter.database
    }

    pub(super) fn waiter(&self) -> Waiter {
        Waiter { inner: Arc::clone(&self.waiter) }
    }

    /// The consumer begins to look; for [`Registration::found_all`].
    pub(super) fn begin_look(&self) -> u64 {
        self.waiter.look(self.key)
    }

    /// The consumer, which looks since `commits`, has found all that it may take.
    pub(super) fn found_all(&self, commits: u64, rest: Rest) {
        self.waiter.rest_full(self.key, commits, self.begun(rest));
    }

    /// A rest that begins now.
    fn begun(&self, rest: Rest) -> Rest {
        // The engine of a server looks for all of its consumers.
        let mut rest = if self.waiter.database.is_remote() { rest.without_fallback() } else { rest };
        rest.begin(Instant::now());
        rest
    }

    /// What the consumer did before it looks has failed: it is named again after a while.
    pub(super) fn fail(&self) {
        let commits = self.waiter.look(self.key);
        self.waiter.rest(self.key, commits, Rest::until_after(deadline(AFTER_ERROR)));
    }

    /// A call that may take so much longer (`None`: without end) fails. If the one before it has failed as well it rests
    /// first, until somebody wakes it, interrupts or closes.
    pub(super) fn fail_call(&mut self, left: Option<Duration>, error: &Error) {
        self.fail();
        let follows_another = std::mem::replace(&mut self.has_failed, true);
        if follows_another && !matches!(error, Error::Interrupted(_) | Error::Closed) {
            // What ends the rest is what the next call is told.
            let _ = self.rest(left.map_or(AFTER_ERROR, |left| left.min(AFTER_ERROR)));
        }
    }

    fn rest(&mut self, time: Duration) -> Result<()> {
        if time.is_zero() {
            return Ok(());
        }
        let interrupts = self.waiter.database.interrupts();
        let until = Instant::now() + time;
        let subscription = self.subscribe()?;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match subscription.wait_unless(Some(left), || interrupts.check())? {
                Wake::Woken => {
                    subscription.waker().wake();
                    return Ok(());
                }
                Wake::Timeout if until <= Instant::now() => return Ok(()),
                // The next call looks.
                Wake::Update | Wake::Timeout => {}
            }
        }
    }

    /// The subscription of its own.
    fn subscribe(&mut self) -> Result<&Subscription> {
        if self.subscription.is_none() {
            self.subscription = Some(self.waiter.subscribe(self.key)?);
        }
        self.subscription.as_ref().ok_or(Error::Closed)
    }

    /// One `next`: calls `look` until it finds something, at most for `timeout` (`None`: without end).
    ///
    /// Wakes that keep coming do not keep the caller beyond its time: after the first that comes too late it looks once
    /// more, and no wake is taken that no look follows.
    pub(super) fn next<T>(
        &mut self,
        timeout: Option<Duration>,
        look: impl FnMut() -> Result<Look<T>>,
    ) -> Result<Next<T>> {
        let until = timeout.and_then(deadline);
        let outcome = self.look_and_wait(timeout, until, look);
        match &outcome {
            Ok(_) => self.has_failed = false,
            Err(error) => {
                let left = until.map(|until| until.saturating_duration_since(Instant::now()));
                self.fail_call(left, error);
            }
        }
        outcome
    }

    fn look_and_wait<T>(
        &mut self,
        timeout: Option<Duration>,
        until: Option<Instant>,
        mut look: impl FnMut() -> Result<Look<T>>,
    ) -> Result<Next<T>> {
        let is_remote = self.waiter.database.is_remote();
        let interrupts = self.waiter.database.interrupts();
        let may_wait = timeout != Some(Duration::ZERO);
        if may_wait {
            self.subscribe()?;
        }
        let mut late = !may_wait;
        loop {
            self.waiter.check()?;
            interrupts.check()?;
            let commits = self.waiter.look(self.key);
            let rest = match look()? {
                Look::Found(found) => return Ok(Next::Item(found)),
                Look::All(found, rest) => {
                    self.found_all(commits, rest);
                    return Ok(Next::Item(found));
                }
                Look::Nothing(rest) => self.begun(rest),
            };
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
                    // On a server, a commit that is about something else is not worth the way there.
                    Wake::Update if is_remote && !late && !rest.is_concerned_by(&subscription.news()) => {}
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
