//! Time as the test wants it: a SQLite VFS that differs from the default one only in what it says the time is.

use std::ffi::{CStr, CString, c_int};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use rusqlite::ffi;

/// What every test's clock shows at first: 2025-06-15 15:06:40 UTC, a Sunday.
pub const NOW: i64 = 1_750_000_000;

/// A clock that stands still until the test moves it. Copies show the same time.
#[derive(Clone, Copy)]
pub struct Clock {
    now: &'static AtomicI64,
    pub(crate) vfs: &'static CStr,
}

/// The default VFS with a time of its own. SQLite hands the pointer to `base` to every method, the default ones find
/// there what they expect, and the two below what follows it.
#[repr(C)]
struct ClockVfs {
    base: ffi::sqlite3_vfs,
    now: AtomicI64,
}

impl Clock {
    /// A new clock, showing [`NOW`]. It is registered as a VFS for the rest of the process: a connection may use it.
    #[expect(clippy::new_without_default, reason = "registering something for good is no default")]
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("testclock-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let vfs: &'static CStr = Box::leak(CString::new(name).unwrap().into_boxed_c_str());
        // SAFETY: the default VFS exists for the life of the process and is not changed; the copy is leaked, so that it
        // does as well, with its name. Only `now` is ever borrowed from it, the rest is SQLite's to change.
        let now = unsafe {
            let mut base = *ffi::sqlite3_vfs_find(std::ptr::null());
            base.pNext = std::ptr::null_mut();
            base.zName = vfs.as_ptr();
            base.xCurrentTime = Some(current_time);
            base.xCurrentTimeInt64 = Some(current_time_int64);
            let clock = Box::into_raw(Box::new(ClockVfs { base, now: AtomicI64::new(NOW) }));
            assert_eq!(ffi::sqlite3_vfs_register(clock.cast(), 0), ffi::SQLITE_OK);
            &(*clock).now
        };
        Clock { now, vfs }
    }

    /// The time it shows.
    pub fn now(self) -> i64 {
        self.now.load(Ordering::SeqCst)
    }

    /// Sets it.
    pub fn set(self, now: i64) {
        self.now.store(now, Ordering::SeqCst);
    }

    /// Moves it forward, or back.
    pub fn advance(self, seconds: i64) {
        self.now.fetch_add(seconds, Ordering::SeqCst);
    }
}

unsafe extern "C" fn current_time_int64(vfs: *mut ffi::sqlite3_vfs, time: *mut ffi::sqlite3_int64) -> c_int {
    const UNIX_EPOCH_MS: i64 = 210_866_760_000_000;
    // SAFETY: SQLite passes the VFS that `Clock::new` registered, and a place for the answer.
    unsafe { *time = UNIX_EPOCH_MS + (*vfs.cast::<ClockVfs>()).now.load(Ordering::SeqCst) * 1000 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn current_time(vfs: *mut ffi::sqlite3_vfs, time: *mut f64) -> c_int {
    const UNIX_EPOCH_DAYS: f64 = 2_440_587.5;
    // SAFETY: as above.
    unsafe {
        *time = UNIX_EPOCH_DAYS + (*vfs.cast::<ClockVfs>()).now.load(Ordering::SeqCst) as f64 / 86_400.0
    };
    ffi::SQLITE_OK
}
