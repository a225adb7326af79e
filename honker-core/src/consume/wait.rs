//! Until when to wait.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Result;
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
const CLOCK_CHECK: Duration = Duration::from_secs(1);

/// One call of `next`: how long its caller wants to wait.
pub(super) struct Patience {
    deadline: Option<Instant>,
}

impl Patience {
    /// `None`: without end.
    pub(super) fn new(timeout: Option<Duration>) -> Self {
        Patience { deadline: timeout.and_then(|timeout| Instant::now().checked_add(timeout)) }
    }

    /// Waits for a wake, for the second `at` of the machine's clock, for the end of `fallback`, or of the caller's
    /// patience. `None` means: look again.
    pub(super) fn wait<T>(
        &self,
        subscription: &Subscription,
        at: Option<i64>,
        fallback: Option<Duration>,
    ) -> Result<Option<Next<T>>> {
        let fallback = fallback.and_then(|fallback| Instant::now().checked_add(fallback));
        loop {
            let now = Instant::now();
            let left = |deadline: Instant| deadline.saturating_duration_since(now);
            // Never quite at once: SQLite may be told another time than the machine's.
            let until = at.map(|at| time_until(at).clamp(Duration::from_millis(1), CLOCK_CHECK));
            let wait = [self.deadline.map(left), fallback.map(left), until];
            match subscription.wait(wait.into_iter().flatten().min())? {
                Wake::Update => return Ok(None),
                Wake::Woken => return Ok(Some(Next::Woken)),
                Wake::Timeout => {}
            }
            let now = Instant::now();
            let is_over = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
            if is_over(fallback) || at.is_some_and(|at| time_until(at).is_zero()) {
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
    let at = u64::try_from(at).unwrap_or(0);
    UNIX_EPOCH
        .checked_add(Duration::from_secs(at))
        .and_then(|at| at.duration_since(SystemTime::now()).ok())
        .unwrap_or(Duration::ZERO)
}
