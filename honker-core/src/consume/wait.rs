//! Until when to wait.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Result;
use crate::database::{Database, Interrupts};
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

/// How often a wait for a second of the machine's clock looks at it: somebody may set it while we sleep.
const CLOCK_CHECK: Duration = Duration::from_millis(if cfg!(feature = "faults") { 2 } else { 1000 });

/// No look without a wake follows another sooner than this: SQLite may be told another time than the machine's, and a
/// fallback of no time at all must not keep a core busy.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// One call of `next`: how long its caller wants to wait, and whether it has been interrupted.
pub(super) struct Patience {
    deadline: Option<Instant>,
    interrupts: Interrupts,
    /// The caller's time was over when the look began that comes before the next wait.
    looked_late: bool,
}

impl Patience {
    /// To be made at the beginning of the call. `None`: without end.
    pub(super) fn new(database: &Database, timeout: Option<Duration>) -> Self {
        Patience {
            deadline: timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
            interrupts: database.interrupts(),
            looked_late: false,
        }
    }

    /// Waits for a wake, for the second `at` of the machine's clock, for the end of `fallback`, or of the caller's
    /// patience. `None` means: look again.
    ///
    /// Wakes that keep coming do not keep the caller beyond its time: after the first that comes too late it looks once
    /// more, and no wake is taken that no look follows.
    pub(super) fn wait<T>(
        &mut self,
        subscription: &Subscription,
        at: Option<i64>,
        fallback: Option<Duration>,
    ) -> Result<Option<Next<T>>> {
        self.interrupts.check()?;
        if self.looked_late {
            return Ok(Some(Next::Timeout));
        }
        let fallback = fallback.and_then(|fallback| Instant::now().checked_add(fallback.max(WAIT_MIN)));
        loop {
            let now = Instant::now();
            let left = |deadline: Instant| deadline.saturating_duration_since(now);
            let until = at.map(|at| time_until(at).clamp(WAIT_MIN, CLOCK_CHECK));
            let wait = [self.deadline.map(left), fallback.map(left), until];
            // The wait is ended by an interrupt that comes while it lasts; the question is for one that came before.
            let wake =
                subscription.wait_unless(wait.into_iter().flatten().min(), || self.interrupts.check())?;
            let now = Instant::now();
            let is_over = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
            let look = match wake {
                Wake::Woken => return Ok(Some(Next::Woken)),
                Wake::Update => true,
                Wake::Timeout => is_over(fallback) || at.is_some_and(|at| time_until(at).is_zero()),
            };
            if look {
                self.looked_late = is_over(self.deadline);
                return Ok(None);
            }
            if is_over(self.deadline) {
                return Ok(Some(Next::Timeout));
            }
        }
    }
}

/// How long it is until a second of the machine's clock begins.
fn time_until(at: i64) -> Duration {
    let at = Duration::from_secs(u64::try_from(at).unwrap_or(0));
    #[cfg(feature = "faults")]
    if let Some(now) = crate::faults::now() {
        return at.saturating_sub(Duration::from_secs(u64::try_from(now).unwrap_or(0)));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    at.saturating_sub(now)
}
