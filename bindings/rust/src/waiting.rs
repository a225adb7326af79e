//! What all waits have in common.

use honker_core::consume::{Next, Waiter};

use crate::{Error, Result};

/// Ends a wait of what it was got from, from any thread.
///
/// ```
/// # use honker::Error;
/// # let db = honker::testing::TestDatabase::new()?;
/// let mut news = db.listen("news")?;
/// let waker = news.waker();
/// let waiting = std::thread::spawn(move || news.recv());
/// waker.wake();
/// assert!(matches!(waiting.join().unwrap(), Err(Error::Woken)));
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Clone)]
pub struct Waker(pub(crate) Waiter);

impl Waker {
    /// Ends the wait that is running, or else the next one, with [`Error::Woken`].
    pub fn wake(&self) {
        self.0.wake();
    }

    /// Ends the wait that is running, and all that come, with [`Error::Closed`].
    pub fn close(&self) {
        self.0.close();
    }
}

impl std::fmt::Debug for Waker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waker")
    }
}

/// What was waited for; `None` if the time was over.
pub(crate) fn in_time<T>(next: Next<T>) -> Result<Option<T>> {
    match next {
        Next::Item(item) => Ok(Some(item)),
        Next::Timeout => Ok(None),
        Next::Woken => Err(Error::Woken),
    }
}

/// What was waited for without a limit.
pub(crate) fn at_last<T>(next: Next<T>) -> Result<T> {
    in_time(next)?.ok_or_else(|| Error::Timeout("the wait is over".to_owned()))
}
