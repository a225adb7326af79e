//! Saying that this process is alive while the connection that says so by its lock is lost.
//!
//! A lost connection is not a dead process: whoever finds the lock absent looks when the process was last seen (sql/instance.sql).
//! Most of what a worker does says so. One whose jobs take long may have nothing to do for longer than others wait, so a thread says
//! it by the connections of its databases, for as long as the other one is lost.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use honker_core::database::Signals;
use honker_core::{Error, Result};
use tokio_postgres::Client;

use crate::on::text;
use crate::pool::{Pool, Use};
use crate::stop::Call;

/// How often it is said, and how long saying it may take.
const EVERY: Duration = Duration::from_secs(5);

/// See the module documentation.
#[derive(Default)]
pub(crate) struct Alive {
    state: Mutex<State>,
    changed: Condvar,
    signals: Arc<Signals>,
}

#[derive(Default)]
struct State {
    /// The connections of those databases that are open.
    pools: Vec<Weak<Pool>>,
    is_lost: bool,
    has_thread: bool,
}

impl Alive {
    /// The connections of another database, by which it may be said.
    pub(crate) fn add(&self, pool: &Arc<Pool>) {
        let mut state = self.lock();
        state.pools.retain(|pool| pool.strong_count() > 0);
        state.pools.push(Arc::downgrade(pool));
    }

    /// The connection with the lock is lost, or is there again.
    pub(crate) fn set_lost(self: &Arc<Self>, instance: &str, is_lost: bool) {
        let mut state = self.lock();
        state.is_lost = is_lost;
        if !is_lost || state.has_thread {
            drop(state);
            self.changed.notify_all();
            return;
        }
        let (this, instance) = (Arc::clone(self), instance.to_owned());
        // Without one more thread the claims say it.
        state.has_thread = std::thread::Builder::new()
            .name("honker-alive".to_owned())
            .spawn(move || {
                honker_core::watch::block_signals();
                this.run(&instance);
            })
            .is_ok();
    }

    /// Nobody is to say it any more.
    pub(crate) fn close(&self) {
        self.signals.close();
        self.lock().is_lost = false;
        self.changed.notify_all();
    }

    fn run(&self, instance: &str) {
        let mut state = self.lock();
        loop {
            if !state.is_lost {
                state.has_thread = false;
                return;
            }
            let pools: Vec<_> = state.pools.iter().filter_map(Weak::upgrade).collect();
            drop(state);
            let until = Instant::now() + EVERY;
            // All of them lead to the same server.
            let _ = pools.iter().any(|pool| self.say(pool, instance, until).is_ok());
            drop(pools);
            state = self.lock();
            while state.is_lost && Instant::now() < until {
                let left = until.saturating_duration_since(Instant::now());
                state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    fn say(&self, pool: &Arc<Pool>, instance: &str, until: Instant) -> Result<()> {
        if self.signals.is_closed() {
            return Err(Error::Closed);
        }
        let mut loan = pool.borrow(Use::Operation, &self.signals, 0, Some(until))?;
        let call = Call::begin(&self.signals, 0, loan.stop()).until(until);
        loan.run(&call, async |client: &Client| {
            client.query_typed("SELECT honker._instance_seen($1)", &[text(&instance)]).await.map(drop)
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
