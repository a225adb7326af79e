//! How long a job waits after it has failed.

use serde::{Deserialize, Serialize};

/// A delay that would end after the end of time is one of a thousand years.
pub(crate) const DELAY_MAX_S: i64 = 1000 * 366 * 86_400;

/// Delays that grow with each failure: `base_s * factor^(attempts - 1)`, at most `max_s`, times a random factor in
/// `1 ± jitter`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Backoff {
    /// The first delay, in seconds. Default 15; 0 or less: no delay.
    pub base_s: i64,
    /// How much longer each further one is. Default 2.
    pub factor: f64,
    /// The longest, in seconds. Default 3600.
    pub max_s: i64,
    /// So much of it is random, so that jobs that failed together do not come back together. Default 0.1.
    pub jitter: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { base_s: 15, factor: 2.0, max_s: 3600, jitter: 0.1 }
    }
}

impl Backoff {
    /// The delay in seconds after the `attempts`th failure.
    pub fn delay_s(&self, attempts: i64) -> i64 {
        self.delay_with(attempts, fastrand::f64())
    }

    /// The same with a chosen random number from 0 to 1.
    fn delay_with(&self, attempts: i64, random: f64) -> i64 {
        if self.base_s <= 0 {
            return 0;
        }
        // A power that is too large is infinite, and the longest delay is the answer.
        let failures = i32::try_from(attempts.saturating_sub(1).max(0)).unwrap_or(i32::MAX);
        let delay = (self.base_s as f64 * self.factor.powi(failures)).min(self.max_s as f64);
        let delay = delay * (1.0 + self.jitter * (2.0 * random - 1.0));
        // The cast saturates, and a number that is none becomes 0. The time at which the job is due has to be one.
        (delay.round() as i64).clamp(0, DELAY_MAX_S)
    }
}

#[cfg(test)]
mod tests {
    use super::Backoff;

    #[test]
    fn delays_grow_up_to_the_longest() {
        let backoff = Backoff { jitter: 0.0, ..Backoff::default() };
        let delays = [1, 2, 3, 8, 9, 10, 1_000, i64::MAX].map(|attempts| backoff.delay_s(attempts));
        assert_eq!(delays, [15, 30, 60, 1_920, 3_600, 3_600, 3_600, 3_600]);
        assert_eq!([i64::MIN, 0].map(|attempts| backoff.delay_s(attempts)), [15, 15]);
        assert_eq!(Backoff { base_s: 0, ..backoff }.delay_s(3), 0);
        assert_eq!(Backoff { base_s: -1, ..backoff }.delay_s(3), 0);
        assert_eq!(Backoff { factor: 1.0, ..backoff }.delay_s(30), 15);
        let endless = Backoff { base_s: i64::MAX, max_s: i64::MAX, ..backoff };
        assert_eq!(endless.delay_s(1), super::DELAY_MAX_S);
    }

    #[test]
    fn jitter_stays_within_its_bounds() {
        let backoff = Backoff { base_s: 1_000, max_s: 1_000, ..Backoff::default() };
        assert_eq!([0.0, 0.5, 1.0].map(|random| backoff.delay_with(1, random)), [900, 1_000, 1_100]);
    }
}
