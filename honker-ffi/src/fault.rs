//! For tests of the border: a panic in the entry point that is named. Not in a released library.

use std::ffi::{CStr, c_char};
use std::sync::{Mutex, PoisonError};

static PANIC_IN: Mutex<String> = Mutex::new(String::new());

/// The next call of the function of this name panics, once. An empty name means none.
///
/// # Safety
/// `name` is a NUL-terminated text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_fault_panic_in(name: *const c_char) {
    // SAFETY: the caller vouches for it.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
    *PANIC_IN.lock().unwrap_or_else(PoisonError::into_inner) = name;
}

pub(crate) fn strike(name: &str) {
    let mut planted = PANIC_IN.lock().unwrap_or_else(PoisonError::into_inner);
    if *planted == name {
        planted.clear();
        drop(planted);
        panic!("planted by a test");
    }
}
