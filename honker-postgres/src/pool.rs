//! The connections that calls share: made when they are needed, up to a limit, and kept.
//!
//! A transaction holds one until it is over. One is therefore never lent to a transaction or a query of the caller's: however
//! many of them there are, operations and consumers go on. One that is lost is not used again; a server that cannot be reached
//! is asked again at growing intervals, and what comes in between is told at once.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use honker_core::database::Signals;
use honker_core::{Error, Result};

use crate::failure;
use crate::session::Session;
use crate::stop::{Call, Stop};
use crate::url::Endpoint;

/// How long a thread that waits for a connection sleeps before it looks whether it has been interrupted.
const SLICE: Duration = Duration::from_millis(50);

/// The first interval between attempts to connect, and the longest.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

pub(crate) struct Pool {
    endpoint: Endpoint,
    name: String,
    max: usize,
    busy_timeout: Duration,
    state: Mutex<State>,
    returned: Condvar,
}

/// What a connection is lent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// An operation of ours.
    Operation,
    /// A transaction or a query of the caller's, which may last for any time.
    Caller,
}

#[derive(Default)]
struct State {
    idle: Vec<Session>,
    lent: Vec<(u64, Use, Arc<Stop>)>,
    last: u64,
    down: Option<Down>,
    version: Option<String>,
}

/// A server that cannot be reached.
struct Down {
    error: Error,
    interval: Duration,
    until: Instant,
}

impl Pool {
    pub(crate) fn new(endpoint: Endpoint, name: String, max: usize, busy_timeout: Duration) -> Self {
        Pool {
            endpoint,
            name,
            max: max.max(2),
            busy_timeout,
            state: Mutex::default(),
            returned: Condvar::new(),
        }
    }

    /// How many connections there are, and how many of them are in use, of how many.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let state = self.lock();
        (state.idle.len() + state.lent.len(), state.lent.len(), self.max)
    }

    /// The server's version, once it has been seen.
    pub(crate) fn version(&self) -> Option<String> {
        self.lock().version.clone()
    }

    /// A connection of one's own. `before` is how many interrupts there had been when the call began; `until` says how long it
    /// may take at most.
    pub(crate) fn borrow(
        self: &Arc<Self>,
        to: Use,
        signals: &Arc<Signals>,
        before: u64,
        until: Option<Instant>,
    ) -> Result<Loan> {
        let deadline = Instant::now().checked_add(self.busy_timeout);
        let deadline = until.into_iter().chain(deadline).min();
        let mut refused = None;
        loop {
            let (mut loan, stop) = self.lend(to, signals, before, deadline, refused.as_ref())?;
            if loan.session.is_some() {
                return Ok(loan);
            }
            let mut call = Call::begin(signals, before, &stop);
            call.deadline = until;
            match self.connect(&stop, &call) {
                Ok(session) => {
                    loan.session = Some(session);
                    return Ok(loan);
                }
                // The server takes no more connections: there are those that others use.
                Err(error @ Error::Busy(_)) if self.counts().0 > 1 => refused = Some(error),
                Err(error) => return Err(error),
            }
        }
    }

    /// The place of a connection: one that nobody uses, or one that is still to be made. It is waited for if there may be no more of
    /// them, or if the server has `refused` to take more.
    fn lend(
        self: &Arc<Self>,
        to: Use,
        signals: &Arc<Signals>,
        before: u64,
        deadline: Option<Instant>,
        refused: Option<&Error>,
    ) -> Result<(Loan, Arc<Stop>)> {
        let mut state = self.lock();
        loop {
            signals.check(before)?;
            if self.may_lend(&state, to) {
                match state.idle.pop() {
                    Some(mut session) => {
                        if session.is_usable() {
                            let stop = Arc::clone(session.stop());
                            let number = state.lend(to, Arc::clone(&stop));
                            return Ok((
                                Loan { pool: Arc::clone(self), number, session: Some(session) },
                                stop,
                            ));
                        }
                        // Should the others be as stale, this goes on until there is none.
                        continue;
                    }
                    None if refused.is_none() || state.lent.is_empty() => {
                        if let Some(down) = state.down.as_ref().filter(|down| down.until > Instant::now()) {
                            return Err(down.error.clone());
                        }
                        let stop = Arc::new(Stop::default());
                        let number = state.lend(to, Arc::clone(&stop));
                        return Ok((Loan { pool: Arc::clone(self), number, session: None }, stop));
                    }
                    None => {}
                }
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                let busy = || Error::Busy("all connections to the server stayed in use for too long".into());
                return Err(refused.cloned().unwrap_or_else(busy));
            }
            state = self.returned.wait_timeout(state, SLICE).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn connect(&self, stop: &Arc<Stop>, call: &Call) -> Result<Session> {
        let connected = Session::connect(&self.endpoint, &self.name, stop, call);
        let mut state = self.lock();
        match &connected {
            Ok(session) => {
                state.down = None;
                state.version = session.parameter("server_version").or(state.version.take());
            }
            Err(error) if failure::is_lost(error) => {
                let interval =
                    state.down.as_ref().map_or(BACKOFF_MIN, |down| down.interval * 2).min(BACKOFF_MAX);
                let jitter = interval.mul_f64(0.5 + fastrand::f64() / 2.0);
                state.down = Some(Down { error: error.clone(), interval, until: Instant::now() + jitter });
            }
            Err(_) => {}
        }
        drop(state);
        connected
    }

    fn may_lend(&self, state: &State, to: Use) -> bool {
        let callers = state.lent.iter().filter(|(_, to, _)| *to == Use::Caller).count();
        state.lent.len() < self.max && (to == Use::Operation || callers < self.max - 1)
    }

    /// All that run are to look whether they are to end.
    pub(crate) fn look(&self) {
        self.lock().lent.iter().for_each(|(_, _, stop)| stop.look.notify_one());
    }

    /// A connection to this server was found lost: those that are idle probably are as well, and are looked at.
    pub(crate) fn doubt(&self) {
        let mut idle = std::mem::take(&mut self.lock().idle);
        idle.retain_mut(Session::is_usable);
        self.lock().idle.extend(idle);
    }

    /// Closes all connections, once the calls that use them have ended; at most so long it waits for that.
    pub(crate) fn close(&self, at_most: Duration) {
        let deadline = Instant::now() + at_most;
        let mut state = self.lock();
        while !state.lent.is_empty() && Instant::now() < deadline {
            state.lent.iter().for_each(|(_, _, stop)| stop.look.notify_one());
            state = self
                .returned
                .wait_timeout(state, Duration::from_millis(5))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        drop(idle);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn lend(&mut self, to: Use, stop: Arc<Stop>) -> u64 {
        self.last += 1;
        self.lent.push((self.last, to, stop));
        self.last
    }
}

/// A connection in use. It goes back when this is dropped, also by a panic.
pub(crate) struct Loan {
    pool: Arc<Pool>,
    number: u64,
    session: Option<Session>,
}

impl Deref for Loan {
    type Target = Session;

    fn deref(&self) -> &Session {
        self.session.as_ref().expect("it is there until the loan is dropped")
    }
}

impl DerefMut for Loan {
    fn deref_mut(&mut self) -> &mut Session {
        self.session.as_mut().expect("it is there until the loan is dropped")
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(session) = &mut self.session
        {
            session.taint();
        }
        let usable = self.session.take().filter(Session::is_whole);
        let mut state = self.pool.lock();
        state.lent.retain(|(number, ..)| *number != self.number);
        state.idle.extend(usable);
        drop(state);
        self.pool.returned.notify_all();
    }
}
