//! The scheduler's leader: one of all the processes that run a scheduler on a file fires its schedules; the others stand
//! by.
//!
//! The lock `honker-scheduler` says who leads. The leader renews it before every tick, and a renewal that fails ends its
//! leadership at once: it neither ticks nor touches the lock of whoever took it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::wait::{Next, Patience};
use crate::database::Database;
use crate::schedule::{self, Fire};
use crate::watch::{Subscription, Waker};
use crate::{Result, lock};

const LOCK: &str = "honker-scheduler";

/// How long a leader that died keeps others from leading.
const TTL_S: i64 = 60;

/// How often a leader renews.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// How often who stands by tries to lead.
const STAND_BY: Duration = Duration::from_secs(5);

/// See the module documentation of [`crate::consume`].
pub struct Leader {
    database: Database,
    subscription: Arc<Subscription>,
    owner: String,
    leads: bool,
    /// When the lock was last taken or renewed.
    proved: Instant,
}

impl Leader {
    /// A candidate called `owner`, which has to be unique among all that run.
    pub fn new(database: &Database, owner: impl Into<String>) -> Result<Self> {
        Ok(Leader::on(database, Arc::new(database.subscribe()?), owner))
    }

    /// As [`Leader::new`], waiting with a subscription that others wait with as well, in turns.
    pub fn on(database: &Database, subscription: Arc<Subscription>, owner: impl Into<String>) -> Self {
        Leader {
            subscription,
            database: database.clone(),
            owner: owner.into(),
            leads: false,
            proved: Instant::now(),
        }
    }

    /// Leads, or stands by, until something is fired: the fires; for at most `timeout` (`None`: without end).
    ///
    /// On an error the lock is given up.
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Next<Vec<Fire>>> {
        let mut patience = Patience::new(&self.database, timeout);
        let outcome = self.run(&mut patience);
        if outcome.is_err() {
            // Should that fail as well, the lock's time is over some time.
            let _ = self.resign();
        }
        outcome
    }

    fn run(&mut self, patience: &mut Patience) -> Result<Next<Vec<Fire>>> {
        loop {
            let (holder, soonest, now) = self
                .database
                .read(|store, now| Ok((lock::holder(store, LOCK)?, schedule::soonest(store)?, now)))?;
            let is_free = holder.as_ref().is_none_or(|(_, expires_at)| *expires_at <= now);
            let is_ours = holder.is_some_and(|(owner, _)| owner == self.owner);
            self.leads = self.leads && is_ours;
            let is_due = soonest.is_some_and(|soonest| soonest <= now);
            let has_to_write =
                if self.leads { is_due || self.proved.elapsed() >= HEARTBEAT } else { is_free || is_ours };
            if has_to_write {
                let fires = self.lead()?;
                if !fires.is_empty() {
                    return Ok(Next::Item(fires));
                }
            }
            let wait = if self.leads {
                let soonest = self.database.read(|store, _| schedule::soonest(store))?;
                patience.wait(
                    &self.subscription,
                    soonest,
                    Some(HEARTBEAT.saturating_sub(self.proved.elapsed())),
                )
            } else {
                patience.wait(&self.subscription, None, Some(STAND_BY))
            };
            if let Some(next) = wait? {
                return Ok(next);
            }
        }
    }

    /// Proves leadership, or tries to get it, and ticks, in one transaction.
    fn lead(&mut self) -> Result<Vec<Fire>> {
        let (owner, leads) = (self.owner.as_str(), self.leads);
        let fires = self.database.write(|store, now| {
            store.atomic(|| {
                let proved = if leads {
                    lock::renew(store, now, LOCK, owner, TTL_S)?
                } else {
                    lock::acquire(store, now, LOCK, owner, TTL_S)?
                };
                Ok(if proved { Some(schedule::tick(store, now, now)?) } else { None })
            })
        })?;
        self.leads = fires.is_some();
        self.proved = Instant::now();
        Ok(fires.unwrap_or_default())
    }

    /// Gives leadership up, so that somebody who stands by takes over at once.
    pub fn resign(&mut self) -> Result<()> {
        if std::mem::take(&mut self.leads) {
            let owner = self.owner.as_str();
            self.database.write(|store, _| lock::release(store, LOCK, owner))?;
        }
        Ok(())
    }

    /// Whether it leads, as far as it knows.
    pub fn leads(&self) -> bool {
        self.leads
    }

    /// Ends [`Leader::next`] from another thread.
    pub fn waker(&self) -> Waker {
        self.subscription.waker()
    }

    /// What this waits with, for event loops.
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        // Whoever wants to know whether it worked calls `resign`.
        let _ = self.resign();
    }
}
