//! Leadership: of all the processes that run a scheduler on a file, the one that has the lock fires its schedules.

use super::{Fire, soonest, tick};
use crate::{Result, Store, lock};

/// The lock that says who leads.
pub const LEADER_LOCK: &str = "honker-scheduler";

/// How long a leader that died keeps others from leading.
const TTL_S: i64 = 60;

/// Who leads, and when there is something to fire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leadership {
    /// Who has the lock; its time may be over.
    pub holder: Option<lock::Holder>,
    /// The next boundary of any schedule that is not paused. It may lie in the past.
    pub soonest: Option<i64>,
    /// The second in which this was read.
    pub now: i64,
}

/// Looks who leads and what is due, without having to write.
pub fn leadership(store: &Store, now: i64) -> Result<Leadership> {
    Ok(Leadership { holder: lock::holder(store, LEADER_LOCK)?, soonest: soonest(store)?, now })
}

/// Proves that `owner` leads, or tries to make it lead, and fires what is due, as one unit. `None` if somebody else
/// leads. A leader (`leads`) that has lost the lock does not take it back.
pub fn lead(store: &Store, now: i64, owner: &str, leads: bool) -> Result<Option<Vec<Fire>>> {
    store.atomic(|| {
        // Also right after acquiring it: who has the lock already gets no more time by that.
        let proved = (leads || lock::acquire(store, now, LEADER_LOCK, owner, TTL_S)?)
            && lock::renew(store, now, LEADER_LOCK, owner, TTL_S)?;
        Ok(if proved { Some(tick(store, now, now)?) } else { None })
    })
}
