//! Arithmetic on times and durations that come from users: it never wraps.

use crate::{Error, Result};

/// `now + seconds`, or an error that names the argument the seconds came from.
pub(crate) fn after(now: i64, argument: &str, seconds: i64) -> Result<i64> {
    now.checked_add(seconds).ok_or_else(|| {
        Error::invalid(format!("{argument} is out of range: {now} + {seconds} seconds overflows"))
    })
}
