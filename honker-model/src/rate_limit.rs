//! Rate limits: a count for each name and each window of time.

use std::collections::BTreeMap;

use crate::{Outcome, Refusal, older};

/// Counts by name and start of the window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RateLimits(pub BTreeMap<(String, i64), i64>);

impl RateLimits {
    /// Counts one use in the window that `now` lies in, unless it is full; a refused use is not counted.
    pub fn try_acquire(&mut self, now: i64, name: &str, limit: i64, per_s: i64) -> Outcome<bool> {
        if limit <= 0 || per_s <= 0 {
            return Err(Refusal::Invalid("limit and per must be positive"));
        }
        let window_start = now - now.rem_euclid(per_s);
        let window = (name.to_owned(), window_start);
        let used = self.0.get(&window).copied().unwrap_or(0);
        if used < limit {
            self.0.insert(window, used + 1);
        }
        Ok(used < limit)
    }

    /// Deletes old windows of all names.
    pub fn sweep(&mut self, now: i64, older_than_s: i64) -> i64 {
        let before = self.0.len();
        self.0.retain(|(_, window_start), _| !older(*window_start, now, older_than_s));
        (before - self.0.len()) as i64
    }
}
