//! Waiting for the lock of another process.
//!
//! SQLite's busy timeout sleeps up to 100 ms at a time and cannot be ended. Ours waits in slices that grow to 50 ms, and
//! gives up when the timeout is over, when somebody interrupts, or when the database is closed.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ffi};

use super::signals::Signals;

/// What the busy handler of a connection looks at. Used by the thread that uses the connection.
pub(super) struct BusyWait {
    timeout: Duration,
    pub(super) signals: Arc<Signals>,
    /// When the lock that is being waited for was first found taken.
    since: Cell<Option<Instant>>,
    /// Set for the last write of a consumer, which is not ended on purpose: how long that may wait.
    pub(super) last: Cell<Option<Duration>>,
    /// How often the database had been interrupted when the running call began.
    pub(super) interrupts: Cell<u64>,
}

impl BusyWait {
    pub(super) fn new(timeout: Duration, signals: &Arc<Signals>, interrupts: u64) -> Box<Self> {
        Box::new(BusyWait {
            timeout,
            signals: Arc::clone(signals),
            since: Cell::new(None),
            last: Cell::new(None),
            interrupts: Cell::new(interrupts),
        })
    }

    /// Makes it the connection's.
    ///
    /// # Safety
    /// It stays where it is until the connection is closed.
    pub(super) unsafe fn install(&self, connection: &Connection) {
        // SAFETY: the connection is open; the caller vouches for the rest.
        unsafe {
            let this = (&raw const *self).cast_mut().cast();
            ffi::sqlite3_busy_handler(connection.handle(), Some(wait), this);
        }
    }
}

/// SQLite's busy handler.
unsafe extern "C" fn wait(busy_wait: *mut c_void, tries: c_int) -> c_int {
    // SAFETY: `BusyWait::install` passed one that outlives the connection, and only the thread that uses the
    // connection, which is the one that got here, touches its cells.
    let busy_wait = unsafe { &*busy_wait.cast::<BusyWait>() };
    if tries == 0 {
        busy_wait.since.set(Some(Instant::now()));
    }
    let last = busy_wait.last.get();
    if last.is_none() && busy_wait.signals.check(busy_wait.interrupts.get()).is_err() {
        return 0;
    }
    let waited = busy_wait.since.get().map_or(Duration::ZERO, |since| since.elapsed());
    let timeout = last.unwrap_or(busy_wait.timeout);
    let Some(left) = timeout.checked_sub(waited).filter(|left| !left.is_zero()) else {
        return 0;
    };
    // Most locks are held for tens of microseconds.
    const SLICES_US: [u64; 9] = [50, 100, 200, 500, 1_000, 2_000, 5_000, 20_000, 50_000];
    let slice = SLICES_US[usize::try_from(tries).unwrap_or(0).min(SLICES_US.len() - 1)];
    sleep_once(left.min(Duration::from_micros(slice)));
    1
}

/// Sleeps, or returns sooner because of a signal. `std::thread::sleep` goes on sleeping for what is left: a thread that
/// is sent signals without end (Ruby's `Timeout` and `Thread#kill` do that) would never look at the clock again.
pub(super) fn sleep_once(time: Duration) {
    #[cfg(unix)]
    let _ = rustix::thread::nanosleep(
        &time.try_into().unwrap_or(rustix::thread::Timespec { tv_sec: 0, tv_nsec: 0 }),
    );
    #[cfg(not(unix))]
    std::thread::sleep(time);
}
