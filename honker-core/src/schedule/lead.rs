//! Leadership: of all the processes that run a scheduler on a file, the one that has the lock fires its schedules.

use super::registry::soonest_but;
use super::tick::{Ticked, fire_due, passing_over};
use crate::{Result, Store, lock, moving};

/// The lock that says who leads.
pub const LEADER_LOCK: &str = "honker-scheduler";

/// How long a leader that died keeps others from leading, unless they can tell that it is dead (`queue/rescue.rs`).
const TTL_S: i64 = 60;

/// By how much a clock may be behind that of the program that took the lock.
const CLOCK_DIFFERENCE_MAX_S: i64 = 5;

/// The latest second until which an honest leader can have the lock. One that has it for longer took it while its clock
/// was wrong, and died or has a right clock by now: the lock is free. Should it be alive, it learns that it has lost the
/// lock before it fires anything. Locks of the user's have no known time to live, and no such bound.
fn honest_until(now: i64) -> i64 {
    now.saturating_add(TTL_S + CLOCK_DIFFERENCE_MAX_S)
}

/// Who leads, and when there is something to fire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leadership {
    /// Who has the lock; its time may be over. `None` also if it is held for longer than it can be.
    pub holder: Option<lock::Holder>,
    /// The next boundary of any schedule that is not paused. It may lie in the past.
    pub soonest: Option<i64>,
    /// The second in which this was read.
    pub now: i64,
}

impl Leadership {
    /// Whether `owner` has the lock.
    pub fn is_held_by(&self, owner: &str) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.owner == owner)
    }

    /// Whether `owner` has something to do now: to fire if it leads, to lead if it can.
    pub fn has_work_for(&self, owner: &str, leads: bool) -> bool {
        if leads && self.is_held_by(owner) {
            return self.soonest.is_some_and(|soonest| soonest <= self.now);
        }
        self.is_held_by(owner) || self.holder.as_ref().is_none_or(|holder| holder.expires_at <= self.now)
    }

    /// The second at which it has, without a further commit: the next boundary, or the end of the lock's time.
    pub fn next_at(&self, owner: &str, leads: bool) -> Option<i64> {
        if leads && self.is_held_by(owner) {
            self.soonest
        } else {
            self.holder.as_ref().map(|it| it.expires_at)
        }
    }
}

/// Looks who leads and what is due, without having to write. The schedules of these rows are left out.
pub fn leadership(store: &Store, now: i64, left_out: &[i64]) -> Result<Leadership> {
    moving::check(store)?;
    leadership_here(store, now, left_out)
}

/// As [`leadership`], whether or not it is elsewhere soon.
pub(crate) fn leadership_here(store: &Store, now: i64, left_out: &[i64]) -> Result<Leadership> {
    let holder = lock::holder(store, LEADER_LOCK)?.filter(|holder| holder.expires_at <= honest_until(now));
    Ok(Leadership { holder, soonest: soonest_but(store, left_out)?, now })
}

/// Proves that `owner` leads, or tries to make it lead, and fires what is due, as one unit. `None` if somebody else
/// leads. A leader (`leads`) that has lost the lock does not take it back.
///
/// `instance` is that of `owner`, if it has one: should it die, the lock is free as soon as somebody sees that.
///
/// A schedule that the file refuses to fire is passed over.
pub fn lead(
    store: &Store,
    now: i64,
    owner: &str,
    instance: Option<&str>,
    leads: bool,
) -> Result<Option<Ticked>> {
    passing_over(store, |passed_over| {
        if !leads {
            lock::release_beyond(store, LEADER_LOCK, honest_until(now))?;
        }
        // Also right after acquiring it: who has the lock already gets no more time by that.
        let proved = (leads || lock::acquire(store, now, LEADER_LOCK, owner, TTL_S)?)
            && lock::renew(store, now, LEADER_LOCK, owner, TTL_S)?;
        if !proved {
            return Ok(None);
        }
        if let Some(instance) = instance {
            lock::say_held(store, instance, LEADER_LOCK, owner)?;
        }
        fire_due(store, now, now, passed_over).map(Some)
    })
}
