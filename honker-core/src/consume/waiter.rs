//! A waiter: one place at which many consumers wait for commits and for their deadlines.
//!
//! A consumer registers here ([`Registration`](super::registration::Registration)) and leaves, whenever it has found
//! nothing, or all that it may take, what it waits for ([`Rest`]): an interest, to be asked of the file after a commit, and
//! its deadlines. After a commit the waiter asks for all resting consumers in one read and names those that have work
//! ([`Waiter::ready`]); the others are not woken. An event loop therefore polls one descriptor, whatever the number of its
//! consumers, and keeps no clock.
//!
//! Invariants:
//! - A consumer is resting, ready, or looking. It is looking from the moment it is named, or begins a `next`, until it
//!   has found nothing, or all that it may take. What is committed while it looks makes it ready again, for its look may have
//!   come before the commit; a worker that has found all asks the file about that first.
//! - No commit is lost: it stays in the subscription until somebody takes it, and whoever takes it asks for every resting
//!   consumer. One for whom the file cannot be asked is ready: it looks by itself, and has its own error.
//!
//! Threads: one thread at a time waits or asks what is ready; consumers are used, each by one thread, beside it. A consumer
//! that is waited for by a thread of its own waits with a subscription of its own, so no wake is lost to another.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::readiness::{Deadline, Readiness};
use super::rest::Rest;
use crate::Result;
use crate::database::{Database, deadline};
use crate::outlook::Interest;
use crate::watch::{Subscription, Wake, Waker};

/// A consumer that has found all that it may take asks so often about what was committed meanwhile. Where commits come faster than
/// answers it looks again.
const ASKS_MAX: usize = 4;

/// See the module documentation. Clones are handles to the same waiter.
#[derive(Clone)]
pub struct Waiter {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    state: Mutex<State>,
    pub(super) database: Database,
    subscription: Subscription,
    waker: Waker,
}

#[derive(Default)]
struct State {
    /// By an ever growing key.
    consumers: BTreeMap<u64, Consumer>,
    next_key: u64,
    /// The consumer that was named last, so that all get their turn.
    named_last: u64,
    /// How many commits, or hints of one, have been taken from the subscription.
    commits: u64,
    /// How many of them all that rest have been asked for.
    asked: u64,
    readiness: Option<Readiness>,
    /// Until when a thread sleeps in [`Waiter::wait`], if one does.
    asleep_until: Option<Deadline>,
    /// Somebody has called [`Waiter::wake`], and nobody was told yet. The waker alone does not say so: it also ends a
    /// sleep that has become too long.
    woken: bool,
}

struct Consumer {
    token: u64,
    phase: Phase,
    /// Ends a wait of the consumer's own.
    waker: Option<Waker>,
    /// Its next wait has to end: it has not waited yet.
    woken: bool,
}

enum Phase {
    Looking,
    Ready,
    Resting(Rest),
}

/// What [`Waiter::ready`] has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// How many tokens were written.
    pub count: usize,
    /// Somebody has called [`Waiter::wake`].
    pub woken: bool,
}

impl Waiter {
    /// A waiter for commits to `database`. What is committed after this returned is not missed.
    pub fn new(database: &Database) -> Result<Self> {
        Waiter::with_warning(database).map(|(waiter, _)| waiter)
    }

    /// As [`Waiter::new`], and what there is to say of how commits are noticed, if it has not been said yet.
    pub fn with_warning(database: &Database) -> Result<(Self, Option<String>)> {
        let (subscription, warning) = database.subscribe_with_warning()?;
        let inner = Inner {
            database: database.clone(),
            waker: subscription.waker(),
            subscription,
            state: Mutex::default(),
        };
        Ok((Waiter { inner: Arc::new(inner) }, warning))
    }

    /// A number that is another one after every commit that was noticed.
    pub(super) fn generation(&self) -> u64 {
        self.inner.subscription.generation()
    }

    /// How many consumers there are.
    pub fn consumers(&self) -> usize {
        self.inner.lock().consumers.len()
    }

    /// Waits until a consumer has work, at most for `timeout` (`None`: without end); which one, [`Waiter::ready`] tells. A
    /// waiter without consumers waits for a commit.
    ///
    /// [`Error::Closed`](crate::Error::Closed) and [`Error::Watcher`](crate::Error::Watcher) are for good: there will be no more wakes.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Wake> {
        let interrupts = self.inner.database.interrupts();
        let until = timeout.and_then(deadline);
        let mut late = false;
        loop {
            interrupts.check()?;
            let taken = self.inner.take()?;
            if taken.woken {
                return Ok(Wake::Woken);
            }
            let left = {
                let mut state = self.inner.lock();
                let Some(deadline) =
                    state.ready_at().filter(|_| !(taken.commit && state.consumers.is_empty()))
                else {
                    return Ok(Wake::Update);
                };
                if late {
                    return Ok(Wake::Timeout);
                }
                let now = Instant::now();
                let left = until.map(|until| until.saturating_duration_since(now));
                state.asleep_until = Some(deadline);
                [left, deadline.left(now)].into_iter().flatten().min()
            };
            let wake = self.inner.subscription.wait_unless(left, || interrupts.check());
            // What wakes us here is looked at above. A wake that is taken here is not in the subscription any more.
            let woken = self.inner.end_sleep(matches!(wake, Ok(Wake::Woken)));
            match wake? {
                Wake::Woken if woken => return Ok(Wake::Woken),
                Wake::Update => {
                    self.inner.take_commit();
                    if self.consumers() == 0 {
                        return Ok(Wake::Update);
                    }
                }
                // A consumer is ready, or will be before we would have looked; or the time is over.
                Wake::Woken | Wake::Timeout => {}
            }
            late = until.is_some_and(|until| until <= Instant::now());
        }
    }

    /// Writes the tokens of consumers that have work to `tokens`, as many as fit; the others stay ready. Does not block.
    ///
    /// A consumer that is named has to be asked (`next`, with no time to wait) until it has nothing more, or a worker has given
    /// as many jobs as it was asked for; until then it is not named again.
    pub fn ready(&self, tokens: &mut [u64]) -> Result<Ready> {
        let taken = self.inner.take()?;
        let mut state = self.inner.lock();
        let count = state.name(tokens);
        state.settle_descriptor();
        Ok(Ready { count, woken: taken.woken })
    }

    /// Ends the waits that are running with this waiter, or else the next one, with [`Wake::Woken`]: its own, and those of
    /// its consumers.
    pub fn wake(&self) {
        let mut state = self.inner.lock();
        state.woken = true;
        self.inner.waker.wake();
        for consumer in state.consumers.values_mut() {
            match &consumer.waker {
                Some(waker) => waker.wake(),
                None => consumer.woken = true,
            }
        }
    }

    /// Ends the waits of this waiter and of its consumers, now and from now on, with
    /// [`Error::Closed`](crate::Error::Closed).
    pub fn close(&self) {
        self.inner.waker.close();
        let state = self.inner.lock();
        state.consumers.values().filter_map(|consumer| consumer.waker.as_ref()).for_each(Waker::close);
    }

    /// A descriptor that is readable when [`Waiter::ready`] may have something to say: for a commit, a wake, the end, and
    /// the earliest deadline of its consumers. For `poll` and its kin, not for reading. It is closed with the waiter.
    #[cfg(unix)]
    pub fn descriptor(&self) -> Result<std::os::fd::RawFd> {
        let mut state = self.inner.lock();
        if state.readiness.is_none() {
            state.readiness = Some(Readiness::new(&self.inner.subscription)?);
            state.settle_descriptor();
        }
        state.readiness.as_ref().map(Readiness::descriptor).ok_or(crate::Error::Closed)
    }
}

/// What was taken from the subscription.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    commit: bool,
    woken: bool,
}

impl Inner {
    /// Takes what the subscription has to say, and finds out for whom it is.
    fn take(&self) -> Result<Taken> {
        let mut taken = Taken::default();
        loop {
            match self.subscription.wait(Some(Duration::ZERO))? {
                Wake::Woken => taken.woken |= std::mem::take(&mut self.lock().woken),
                Wake::Update => taken.commit = true,
                Wake::Timeout => break,
            }
        }
        if taken.commit {
            self.take_commit();
        }
        if self.database.is_remote() {
            self.name_concerned();
        } else {
            self.ask();
        }
        Ok(taken)
    }

    /// The thread in [`Waiter::wait`] sleeps no more; whether somebody has called [`Waiter::wake`], if it was the waker
    /// that ended its sleep.
    fn end_sleep(&self, by_waker: bool) -> bool {
        let mut state = self.lock();
        state.asleep_until = None;
        by_waker && std::mem::take(&mut state.woken)
    }

    /// A consumer is ready, or will be at this deadline: the descriptor says so in time, and a thread that sleeps for
    /// longer sleeps no more.
    fn announce(&self, state: &mut State, ready_at: Option<Deadline>) {
        if let Some(readiness) = &mut state.readiness {
            match ready_at {
                Some(deadline) => readiness.arm_by(deadline),
                None => readiness.raise(),
            }
        }
        let too_long = |asleep: Deadline| ready_at.is_none_or(|deadline| asleep.earlier(deadline) != asleep);
        if state.asleep_until.is_some_and(too_long) {
            self.waker.wake();
        }
    }

    /// A commit has been taken: all that rest are asked for next, and all that look will look again.
    fn take_commit(&self) {
        self.lock().commits += 1;
    }

    /// Makes ready whom a commit concerns, on a server, which says what its commits are about: asking it would be a way there
    /// and back, after which each that has work asks once more.
    fn name_concerned(&self) {
        let now = Instant::now();
        // Before the lock: it belongs to the subscription.
        let news = self.subscription.news();
        let mut state = self.lock();
        state.asked = state.commits;
        for consumer in state.consumers.values_mut() {
            match &mut consumer.phase {
                Phase::Resting(rest) => {
                    if rest.is_over(now) || rest.is_concerned_by(&news) {
                        consumer.phase = Phase::Ready;
                    }
                }
                Phase::Looking | Phase::Ready => {}
            }
        }
    }

    /// Asks the file for those whose turn it is, in one read, and makes ready who has work.
    fn ask(&self) {
        let now = Instant::now();
        let asked: Vec<(u64, Arc<Interest>)> = {
            let mut state = self.lock();
            let committed = state.asked != state.commits;
            state.asked = state.commits;
            let mut asked = Vec::new();
            for (key, consumer) in &mut state.consumers {
                let Phase::Resting(rest) = &consumer.phase else { continue };
                if rest.is_over(now) {
                    consumer.phase = Phase::Ready;
                } else if let Some(interest) = rest.question(committed, now) {
                    asked.push((*key, Arc::clone(interest)));
                }
            }
            asked
        };
        if asked.is_empty() {
            return;
        }
        // Not under the lock: consumers come, look and go meanwhile.
        let interests: Vec<&Interest> = asked.iter().map(|(_, interest)| &**interest).collect();
        let answers = self.database.outlooks(&interests);
        let mut state = self.lock();
        for (index, (key, interest)) in asked.iter().enumerate() {
            let answer = answers.as_ref().ok().and_then(|answers| answers.get(index)?.as_ref().ok().copied());
            if let Some(consumer) = state.consumers.get_mut(key)
                && let Phase::Resting(rest) = &mut consumer.phase
                && rest.answer(interest, answer, now)
            {
                consumer.phase = Phase::Ready;
            }
        }
    }

    /// A place for a consumer; its key. It is ready: it has not looked yet.
    pub(super) fn enter(&self, token: u64) -> u64 {
        let mut state = self.lock();
        state.next_key += 1;
        let key = state.next_key;
        state.consumers.insert(key, Consumer { token, phase: Phase::Ready, waker: None, woken: false });
        self.announce(&mut state, None);
        key
    }

    /// The consumer is no more, and is not named from now on.
    pub(super) fn leave(&self, key: u64) {
        self.lock().consumers.remove(&key);
    }

    /// An error if there will be no more wakes.
    pub(super) fn check(&self) -> Result<()> {
        self.subscription.check()
    }

    /// A subscription of the consumer's own; [`Waiter::wake`] and [`Waiter::close`] reach it.
    pub(super) fn subscribe(&self, key: u64) -> Result<Subscription> {
        let subscription = self.database.subscribe()?;
        if let Some(consumer) = self.lock().consumers.get_mut(&key) {
            let waker = subscription.waker();
            if std::mem::take(&mut consumer.woken) {
                waker.wake();
            }
            consumer.waker = Some(waker);
        }
        // The waiter may have been closed before it knew of this one.
        self.check()?;
        Ok(subscription)
    }

    /// The consumer begins to look. What this returns tells [`Inner::rest`] whether something was committed meanwhile.
    pub(super) fn look(&self, key: u64) -> u64 {
        let mut state = self.lock();
        if let Some(consumer) = state.consumers.get_mut(&key) {
            consumer.phase = Phase::Looking;
        }
        state.commits
    }

    /// The consumer has looked, since `commits`, and found nothing.
    pub(super) fn rest(&self, key: u64, commits: u64, rest: Rest) {
        let state = self.lock();
        let missed = state.commits != commits;
        self.end_look(state, key, (!missed).then_some(rest));
    }

    /// The consumer looks no more: it rests, or is ready.
    fn end_look(&self, mut state: MutexGuard<'_, State>, key: u64, rest: Option<Rest>) {
        if let Some(consumer) = state.consumers.get_mut(&key) {
            let until = rest.as_ref().map(Rest::until);
            consumer.phase = rest.map_or(Phase::Ready, Phase::Resting);
            self.announce(&mut state, until);
        }
    }

    /// The same, and found all that it may take. What was committed meanwhile is asked about here, for it alone, while it still
    /// looks: it has committed itself, and if it were named whenever another thread takes that, each claim would cost it a look.
    pub(super) fn rest_full(&self, key: u64, mut commits: u64, mut rest: Rest) {
        // What commits on a server were about is known no more.
        let asks_max = if self.database.is_remote() { 0 } else { ASKS_MAX };
        for _ in 0..asks_max {
            let taken = self.lock().commits;
            if taken == commits {
                break;
            }
            commits = taken;
            let now = Instant::now();
            let Some(interest) = rest.question(true, now).cloned() else { continue };
            let answers = self.database.outlooks(&[&*interest]).unwrap_or_default();
            if rest.answer(&interest, answers.into_iter().next().and_then(Result::ok), now) {
                return self.end_look(self.lock(), key, None);
            }
        }
        self.rest(key, commits, rest);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The earliest deadline of those that rest; `None` if somebody is ready now.
    fn ready_at(&self) -> Option<Deadline> {
        self.consumers.values().try_fold(Deadline::default(), |earliest, consumer| match &consumer.phase {
            Phase::Ready => None,
            Phase::Looking => Some(earliest),
            Phase::Resting(rest) => Some(earliest.earlier(rest.until())),
        })
    }

    /// Names those that are ready, beginning after the one that was named last.
    fn name(&mut self, tokens: &mut [u64]) -> usize {
        let mut count = 0;
        let last = self.named_last;
        let ranges = [(Bound::Excluded(last), Bound::Unbounded), (Bound::Unbounded, Bound::Included(last))];
        for range in ranges {
            for (key, consumer) in self.consumers.range_mut(range) {
                if count == tokens.len() {
                    return count;
                }
                if matches!(consumer.phase, Phase::Ready) {
                    consumer.phase = Phase::Looking;
                    tokens[count] = consumer.token;
                    count += 1;
                    self.named_last = *key;
                }
            }
        }
        count
    }

    /// Makes the descriptor say what is so.
    fn settle_descriptor(&mut self) {
        if self.readiness.is_none() {
            return;
        }
        let ready_at = self.ready_at();
        let Some(readiness) = &mut self.readiness else { return };
        readiness.lower();
        match ready_at {
            Some(deadline) => readiness.arm(deadline),
            None => readiness.raise(),
        }
    }
}
