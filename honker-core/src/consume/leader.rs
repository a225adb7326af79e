//! The scheduler's leader: one of all the processes that run a scheduler on a file fires its schedules; the others stand
//! by.
//!
//! A lock says who leads ([`crate::schedule::lead`]). The leader renews it before every tick, and a renewal that fails ends its
//! leadership at once: it neither ticks nor touches the lock of whoever took it. When its process dies, whoever stands by knows at
//! once, and frees the lock (`database/instance.rs`); where that cannot be known, it is free when its time is over.
//!
//! A schedule that the file refuses to fire (a trigger of the user's raises) does not keep the others from firing: it stays
//! due, is tried again twice a second, and the reason is a warning of the database's status.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::maintenance::Maintenance;
use super::registration::{AFTER_ERROR, Look, Next, Registration};
use super::rest::Rest;
use super::waiter::Waiter;
use crate::Result;
use crate::database::{Database, LastWrite, Write, deadline};
use crate::outlook::Interest;
use crate::schedule::{Fire, LEADER_LOCK, Leadership, Ticked};

/// How often a leader renews.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// How often who stands by tries to lead.
const STAND_BY: Duration = Duration::from_secs(5);

/// See the module documentation of [`crate::consume`].
///
/// Dropping it, or closing the database, gives leadership up, if that does not take long; [`Leader::resign`] reports
/// errors.
pub struct Leader {
    registration: Registration,
    candidate: Candidate,
}

/// A process that wants to lead, or does.
struct Candidate {
    database: Database,
    owner: Arc<str>,
    /// By which others find out that it is dead, and it that they are.
    instance: Option<String>,
    /// Gives the lock up.
    last_write: LastWrite,
    leads: bool,
    /// When the lock was last taken or renewed.
    proved: Instant,
    /// The rows of the schedules that the last tick could not fire, and until when they are left alone.
    refused: Option<(Vec<i64>, Instant)>,
    maintenance: Maintenance,
}

impl Leader {
    /// A candidate called `owner`, which has to be unique among all that run, with a waiter of its own.
    pub fn new(database: &Database, owner: impl Into<String>) -> Result<Self> {
        Ok(Leader::on(&Waiter::new(database)?, 0, owner))
    }

    /// As [`Leader::new`], at a waiter that others wait at as well, which names it by `token`.
    pub fn on(waiter: &Waiter, token: u64, owner: impl Into<String>) -> Self {
        let registration = Registration::new(waiter, token);
        let database = registration.database().clone();
        let candidate = Candidate {
            last_write: LastWrite::new(&database),
            instance: database.instance_id(),
            database,
            owner: owner.into().into(),
            leads: false,
            proved: Instant::now(),
            refused: None,
            maintenance: Maintenance::new(),
        };
        Leader { registration, candidate }
    }

    /// Leads, or stands by, until something is fired: the fires; for at most `timeout` (`None`: without end).
    ///
    /// A schedule that the file refuses to fire is no error: see [`crate::database::Status::warnings`].
    ///
    /// On an error the lock is given up. It has to be called again before the lock's time is over, or somebody else leads.
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Next<Vec<Fire>>> {
        let candidate = &mut self.candidate;
        let outcome = self.registration.next(timeout, || candidate.look());
        if outcome.is_err() {
            // Should that fail as well, the lock's time is over some time.
            let _ = self.resign();
        }
        outcome
    }

    /// Gives leadership up, so that somebody who stands by takes over at once.
    pub fn resign(&mut self) -> Result<()> {
        self.candidate.resign()
    }

    /// Whether it leads, as far as it knows.
    pub fn leads(&self) -> bool {
        self.candidate.leads
    }

    /// What this waits with.
    pub fn waiter(&self) -> Waiter {
        self.registration.waiter()
    }
}

impl Candidate {
    /// Leads if it can. It looks before it writes: most wakes are not for us.
    fn look(&mut self) -> Result<Look<Vec<Fire>>> {
        self.refused.take_if(|(_, until)| *until <= Instant::now());
        let mut found = self.leadership()?;
        if found.has_work_for(&self.owner, self.leads) || (self.leads && self.proved.elapsed() >= HEARTBEAT) {
            let fires = self.lead()?;
            if !fires.is_empty() {
                return Ok(Look::Found(fires));
            }
            found = self.leadership()?;
        }
        if self.leads {
            self.maintenance.step(&self.database);
        }
        let interest = Interest::Leadership { owner: self.owner.to_string(), leads: self.leads };
        let rest = if self.leads {
            let rest = match &self.refused {
                // The file would say that there is work.
                Some((_, until)) => Rest::until_after(Some(*until)),
                None => Rest::new(interest, None),
            };
            rest.after(self.proved.checked_add(HEARTBEAT)).after(self.maintenance.next_at())
        } else {
            // A leader that died says nothing where nobody can see it.
            Rest::new(interest, Some(STAND_BY))
        };
        let (at, after) = self.database.due(found.next_at(&self.owner, self.leads));
        Ok(Look::Nothing(rest.at(at).after(after)))
    }

    /// Looks who leads and what is due.
    fn leadership(&mut self) -> Result<Leadership> {
        let refused = self.refused.as_ref().map_or(&[][..], |(rows, _)| rows);
        let found = self.database.leadership(refused)?;
        self.leads &= found.is_held_by(&self.owner);
        if !self.leads {
            self.last_write.set(None);
        }
        Ok(found)
    }

    /// Proves leadership, or tries to get it, and ticks, in one transaction.
    fn lead(&mut self) -> Result<Vec<Fire>> {
        // Before it leads: the database may be closed as soon as it does.
        self.last_write.set(Some(Write::ReleaseLock { name: LEADER_LOCK, owner: Arc::clone(&self.owner) }));
        let outcome = self
            .database
            .register_instance()
            .and_then(|()| self.database.lead(&self.owner, self.instance.as_deref(), self.leads));
        self.leads = outcome.as_ref().map_or(self.leads, Option::is_some);
        if !self.leads {
            self.last_write.set(None);
        }
        let ticked = outcome?;
        self.proved = Instant::now();
        let Some(Ticked { fires, refused }) = ticked else { return Ok(Vec::new()) };
        for refused in &refused {
            self.database.warnings().warn(refused.error.to_string());
        }
        let rows: Vec<i64> = refused.into_iter().map(|refused| refused.rowid).collect();
        self.refused = deadline(AFTER_ERROR).filter(|_| !rows.is_empty()).map(|until| (rows, until));
        Ok(fires)
    }

    fn resign(&mut self) -> Result<()> {
        if self.leads {
            self.database.lock_release(LEADER_LOCK, &self.owner)?;
            self.leads = false;
            self.last_write.set(None);
        }
        Ok(())
    }
}
