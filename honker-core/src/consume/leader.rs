//! The scheduler's leader: one of all the processes that run a scheduler on a file fires its schedules; the others stand
//! by.
//!
//! A lock says who leads ([`crate::schedule::lead`]). The leader renews it before every tick, and a renewal that fails ends its
//! leadership at once: it neither ticks nor touches the lock of whoever took it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::wait::{Next, Patience};
use crate::Result;
use crate::database::{Database, LastWrite, Write};
use crate::schedule::{Fire, LEADER_LOCK};
use crate::watch::{Subscription, Waker};

/// How often a leader renews.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// How often who stands by tries to lead.
const STAND_BY: Duration = Duration::from_secs(5);

/// See the module documentation of [`crate::consume`].
///
/// Dropping it, or closing the database, gives leadership up, if that does not take long; [`Leader::resign`] reports
/// errors.
pub struct Leader {
    database: Database,
    subscription: Arc<Subscription>,
    owner: Arc<str>,
    /// Gives the lock up.
    last_write: LastWrite,
    leads: bool,
    /// When the lock was last taken or renewed.
    proved: Instant,
}

/// What the file says about leadership and schedules.
struct Look {
    is_ours: bool,
    held_until: Option<i64>,
    soonest: Option<i64>,
    now: i64,
}

impl Look {
    fn is_free(&self) -> bool {
        self.held_until.is_none_or(|until| until <= self.now)
    }

    fn is_due(&self) -> bool {
        self.soonest.is_some_and(|soonest| soonest <= self.now)
    }
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
            owner: owner.into().into(),
            last_write: LastWrite::new(database),
            leads: false,
            proved: Instant::now(),
        }
    }

    /// Leads, or stands by, until something is fired: the fires; for at most `timeout` (`None`: without end).
    ///
    /// On an error the lock is given up. It has to be called again before the lock's time is over, or somebody else leads.
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
            let mut look = self.look()?;
            let has_to_write = if self.leads {
                look.is_due() || self.proved.elapsed() >= HEARTBEAT
            } else {
                look.is_ours || look.is_free()
            };
            if has_to_write {
                let fires = self.lead()?;
                if !fires.is_empty() {
                    return Ok(Next::Item(fires));
                }
                look = self.look()?;
            }
            let (at, fallback) = if self.leads {
                (look.soonest, HEARTBEAT.saturating_sub(self.proved.elapsed()))
            } else {
                // A leader that died says nothing.
                (look.held_until, STAND_BY)
            };
            if let Some(next) = patience.wait(&self.subscription, at, Some(fallback))? {
                return Ok(next);
            }
        }
    }

    /// Looks who leads and what is due. Without having to write: most wakes are not for us.
    fn look(&mut self) -> Result<Look> {
        let found = self.database.leadership()?;
        let is_ours = found.holder.as_ref().is_some_and(|holder| *holder.owner == *self.owner);
        self.leads &= is_ours;
        if !self.leads {
            self.last_write.set(None);
        }
        let held_until = found.holder.map(|holder| holder.expires_at);
        Ok(Look { is_ours, held_until, soonest: found.soonest, now: found.now })
    }

    /// Proves leadership, or tries to get it, and ticks, in one transaction.
    fn lead(&mut self) -> Result<Vec<Fire>> {
        // Before it leads: the database may be closed as soon as it does.
        self.last_write.set(Some(Write::ReleaseLock { name: LEADER_LOCK, owner: Arc::clone(&self.owner) }));
        let outcome = self.database.lead(&self.owner, self.leads);
        self.leads = outcome.as_ref().map_or(self.leads, Option::is_some);
        if !self.leads {
            self.last_write.set(None);
        }
        let fires = outcome?;
        self.proved = Instant::now();
        Ok(fires.unwrap_or_default())
    }

    /// Gives leadership up, so that somebody who stands by takes over at once.
    pub fn resign(&mut self) -> Result<()> {
        if self.leads {
            self.database.lock_release(LEADER_LOCK, &self.owner)?;
            self.leads = false;
            self.last_write.set(None);
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
