//! The clocks of this process, which a test may set.
//!
//! The C library's functions are replaced for the whole binary, so SQLite and Rust's library see the same. Only a test in
//! a process of its own ([`crate::common::alone`]) may set them. A thread that sleeps already does not notice that the
//! monotonic clock was set, so set that before.

use std::sync::atomic::{AtomicI64, Ordering};

static WALL_S: AtomicI64 = AtomicI64::new(0);
static MONOTONIC_MS: AtomicI64 = AtomicI64::new(0);
static STEP_S: AtomicI64 = AtomicI64::new(0);
/// The second that the machine's clock shows for ever; 0 if it goes on.
static STOPPED_S: AtomicI64 = AtomicI64::new(0);

/// Sets the machine's clock so many seconds ahead of what it is.
pub fn set_wall(ahead_s: i64) {
    WALL_S.store(ahead_s, Ordering::SeqCst);
}

/// The machine's clock stands still from now on; the second that it shows.
pub fn stop_wall() -> i64 {
    STOPPED_S.store(second(), Ordering::SeqCst);
    second()
}

/// Sets the clock of `Instant` so many milliseconds ahead of what it is.
pub fn set_monotonic(ahead_ms: i64) {
    MONOTONIC_MS.store(ahead_ms, Ordering::SeqCst);
}

/// From now on a second goes by whenever SQLite asks for the time, and none otherwise.
pub fn step_when_asked(step_s: i64) {
    STEP_S.store(step_s, Ordering::SeqCst);
}

/// The machine's clock, in seconds.
pub fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Its current second.
pub fn second() -> i64 {
    now() as i64
}

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    // SAFETY: the caller passes a place for a time; the system call fills it.
    unsafe {
        let outcome = libc::syscall(libc::SYS_clock_gettime, clock, time);
        if outcome != 0 {
            return -1;
        }
        match clock {
            libc::CLOCK_REALTIME => match STOPPED_S.load(Ordering::SeqCst) {
                0 => (*time).tv_sec += WALL_S.load(Ordering::SeqCst),
                stopped => (*time).tv_sec = stopped,
            },
            libc::CLOCK_MONOTONIC => {
                let ns = (*time).tv_nsec + MONOTONIC_MS.load(Ordering::SeqCst) * 1_000_000;
                (*time).tv_sec += ns.div_euclid(1_000_000_000);
                (*time).tv_nsec = ns.rem_euclid(1_000_000_000);
            }
            _ => {}
        }
    }
    0
}

/// SQLite asks this one.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn gettimeofday(time: *mut libc::timeval, _zone: *mut libc::c_void) -> libc::c_int {
    WALL_S.fetch_add(STEP_S.load(Ordering::SeqCst), Ordering::SeqCst);
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a place for a time, and so is what the caller passed.
    unsafe {
        if clock_gettime(libc::CLOCK_REALTIME, &raw mut now) != 0 {
            return -1;
        }
        (*time).tv_sec = now.tv_sec;
        (*time).tv_usec = now.tv_nsec / 1000;
    }
    0
}
