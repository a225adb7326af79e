//! Watchers by number as SQL functions, for hosts that cannot call C.

use std::time::Duration;

use super::function::{Answer, Arguments};
use crate::watch::handles;
use crate::{Error, Result, Store};

pub(super) fn open(_: &Store, arguments: &Arguments<'_>) -> Result<Answer> {
    let path = arguments.text(0, "db_path")?;
    let backend = arguments
        .optional_text(1, "backend")
        .map_err(|error| Error::invalid(format!("unknown watcher backend: {error}")))?;
    let poll_interval_ms = match arguments.len() {
        2 => None,
        _ => arguments.optional_integer(2, "poll_interval_ms")?,
    };
    // What is negative is refused as 0 is.
    let poll_interval_ms = u64::try_from(poll_interval_ms.unwrap_or(1)).unwrap_or(0);
    handles::open(path, backend, poll_interval_ms).map(Answer::Integer)
}

pub(super) fn wait(_: &Store, arguments: &Arguments<'_>) -> Result<Answer> {
    let handle = arguments.integer(0, "handle")?;
    let timeout_ms = u64::try_from(arguments.integer(1, "timeout_ms")?).unwrap_or(0);
    let woken = handles::wait(handle, Duration::from_millis(timeout_ms));
    Ok(Answer::Integer(woken.map_or(-1, i64::from)))
}

pub(super) fn close(_: &Store, arguments: &Arguments<'_>) -> Result<Answer> {
    handles::close(arguments.integer(0, "handle")?);
    Ok(Answer::Integer(1))
}
