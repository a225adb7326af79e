//! The machine's clock, for waits that end at one of its seconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often a blocked wait for a second of the machine's clock looks at it: somebody may set it meanwhile.
pub(super) const CLOCK_CHECK: Duration =
    Duration::from_millis(if cfg!(feature = "faults") { 2 } else { 1000 });

/// No look follows another sooner because of the clock: SQLite may be told another time than the machine's, and a wait
/// for a second that is over by one clock and not by the other must not keep a core busy.
pub(super) const WAIT_MIN: Duration = Duration::from_millis(1);

/// How long it is until a second of the machine's clock begins.
pub(super) fn time_until(at: i64) -> Duration {
    let at = Duration::from_secs(u64::try_from(at).unwrap_or(0));
    #[cfg(feature = "faults")]
    if let Some(now) = crate::faults::now() {
        return at.saturating_sub(Duration::from_secs(u64::try_from(now).unwrap_or(0)));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    at.saturating_sub(now)
}
