//! For tests of the border: a panic in the entry point that is named. Not in a released library.

use std::ffi::{CStr, c_char};
use std::sync::{Mutex, MutexGuard, PoisonError};

use honker_core::faults;
use honker_core::fork::PerProcess;

// A forked child must not find the lock taken by a thread that it does not have.
static PANIC_IN: PerProcess<Mutex<String>> = PerProcess::new();

/// Behind a name: not at the beginning of the call but in the operation, where a transaction is open.
const INSIDE: &str = " inside";

/// The next call of the function of this name panics, once: before it has done anything, or, if " inside" stands behind
/// the name, when it uses the database. An empty name means none.
///
/// # Safety
/// `name` is a NUL-terminated text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_fault_panic_in(name: *const c_char) {
    // SAFETY: the caller vouches for it.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
    *planted() = name;
    faults::plant_panic(false);
}

pub(crate) fn fire(name: &str) {
    faults::called(name);
    let mut planted = planted();
    if *planted == name {
        planted.clear();
        drop(planted);
        panic!("planted by a test");
    }
    if planted.strip_suffix(INSIDE) == Some(name) {
        planted.clear();
        faults::plant_panic(true);
    }
}

fn planted() -> MutexGuard<'static, String> {
    PANIC_IN.get().lock().unwrap_or_else(PoisonError::into_inner)
}
