//! Signals without end, as Ruby's `Timeout` and `Thread#kill` send them, keep no call beyond its time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use honker_core::Result;
use rusqlite::ffi;

use crate::support::{File, GUARD, code, enqueue, guarded, is_interrupted, patient_for};

extern "C" fn ignore(_: libc::c_int) {}

/// Runs a call on a thread that gets a signal at least every millisecond until it is done. `meanwhile` gets what the
/// thread has been sent so far.
fn under_signals(call: impl FnOnce() -> Result<i64> + Send, meanwhile: impl Fn(u64)) -> Result<i64> {
    // SAFETY: a handler that does nothing. Without SA_RESTART: system calls end with EINTR.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = ignore as extern "C" fn(libc::c_int) as usize;
        assert_eq!(libc::sigaction(libc::SIGVTALRM, &raw const action, std::ptr::null_mut()), 0);
    }
    let done = AtomicBool::new(false);
    let (tell, told) = channel();
    std::thread::scope(|scope| {
        let calling = scope.spawn(|| {
            // What the kernel may add to each sleep: a sleep that is begun anew for what is left grows by it.
            // SAFETY: a setting of this thread.
            unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 100_000_000_u64) };
            // SAFETY: asks for a number.
            tell.send(unsafe { libc::gettid() }).unwrap();
            let outcome = call();
            done.store(true, Ordering::SeqCst);
            outcome
        });
        let thread = told.recv().unwrap();
        let began = Instant::now();
        let mut sent = 0;
        while !done.load(Ordering::SeqCst) && began.elapsed() < GUARD / 4 {
            // SAFETY: a signal to a thread of this process, for which there is a handler; at worst it has ended.
            unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, libc::SIGVTALRM) };
            sent += 1;
            meanwhile(sent);
            std::thread::sleep(Duration::from_micros(200));
        }
        assert!(done.load(Ordering::SeqCst), "not done after {sent} signals");
        calling.join().unwrap()
    })
}

#[test]
fn a_wait_for_a_lock_ends_at_its_timeout() {
    guarded(|| {
        let file = File::new();
        let timeout = Duration::from_millis(400);
        let database = file.database(&patient_for(timeout));
        let other = file.plain();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let began = Instant::now();
        assert_eq!(code(under_signals(|| enqueue(&database, "p"), |_| {})), ffi::SQLITE_BUSY);
        assert!(began.elapsed() >= timeout);
        other.execute_batch("COMMIT").unwrap();
        enqueue(&database, "p").unwrap();
    });
}

#[test]
fn a_wait_for_a_lock_ends_when_it_is_interrupted() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&patient_for(GUARD));
        let other = file.plain();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let interrupt_once = |sent| {
            if sent == 500 {
                database.interrupt().unwrap();
            }
        };
        let outcome = under_signals(|| enqueue(&database, "p"), interrupt_once);
        assert!(is_interrupted(&outcome), "{outcome:?}");
    });
}
