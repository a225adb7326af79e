//! libhonker as a program in another language has it: the built shared library, loaded, and called through the C ABI.
//!
//! The benchmarks and the soak use it. [`raw`] is the header in Rust; the rest makes it callable without `unsafe`:
//! a status other than 0 is an `Err`, also the ones that are expected, and what is to be freed is freed when dropped.
//! Handles of databases and transactions are plain values that may be used after they are closed or freed, from any
//! thread, for the library promises to check them: this is no wrapper that keeps a program from its mistakes.
//!
//! The library is loaded once, from `HONKER_LIBRARY_PATH` or from beside the program.

mod database;
mod lease;
mod query;
mod queue;
pub mod raw;
mod schedule;
pub mod status;
mod stream;
mod waiting;

use std::ffi::CStr;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::{fmt, ptr, slice};

pub use database::{Database, Place, Transaction, settings};
pub use query::{Cell, Parameter};
pub use queue::{ClaimedJob, Jobs, enqueue_options};
pub use raw::{EnqueueOptions, NO_TIME, OpenOptions, Status};
pub use schedule::Fire;
pub use stream::Event;
pub use waiting::{Batch, Leader, Listener, Lost, Subscription, Verdict, Waiter, Worker};

/// What a call answered that was not 0.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The status.
    pub status: Status,
    /// What the error said; empty for a positive status.
    pub message: String,
}

/// What a call answers.
pub type Answer<T> = Result<T, Failure>;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", status::name(self.status), self.message)
    }
}

impl std::error::Error for Failure {}

/// The library's functions. Loads it at the first call.
///
/// # Panics
///
/// If it cannot be loaded, or lacks a function.
pub fn functions() -> &'static raw::Functions {
    static FUNCTIONS: OnceLock<raw::Functions> = OnceLock::new();
    FUNCTIONS.get_or_init(|| {
        let path = path();
        let load = || {
            // SAFETY: the library is the one this workspace builds. It is never unloaded.
            unsafe { raw::Functions::find(Box::leak(Box::new(libloading::Library::new(&path)?))) }
        };
        load().unwrap_or_else(|error: libloading::Error| panic!("{}: {error}", path.display()))
    })
}

fn path() -> PathBuf {
    let beside = || {
        let program = std::env::current_exe().unwrap_or_default();
        program.with_file_name(libloading::library_filename("honker"))
    };
    std::env::var_os("HONKER_LIBRARY_PATH").map_or_else(beside, PathBuf::from)
}

/// Makes a call, and takes over the error it leaves.
fn call(function: impl FnOnce(*mut *mut raw::Error) -> Status) -> Answer<()> {
    let mut error = ptr::null_mut();
    let status = function(&mut error);
    if status == status::OK && error.is_null() {
        return Ok(());
    }
    let message = message(error);
    // SAFETY: an error of the library's, or NULL; not used after this.
    unsafe { (functions().honker_error_free)(error) };
    if status == status::OK { Ok(()) } else { Err(Failure { status, message }) }
}

fn message(error: *mut raw::Error) -> String {
    if error.is_null() {
        return String::new();
    }
    // SAFETY: the text ends with a NUL and is valid until the error is freed.
    unsafe { CStr::from_ptr((functions().honker_error_message)(error, ptr::null_mut())) }
        .to_string_lossy()
        .into_owned()
}

static TO_FREE: AtomicIsize = AtomicIsize::new(0);

/// How many handles this program was given and has not freed yet.
pub fn handles_to_free() -> isize {
    TO_FREE.load(Ordering::Relaxed)
}

/// A handle that is freed when dropped.
struct Owned<T> {
    handle: *mut T,
    free: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    fn new(handle: *mut T, free: unsafe extern "C" fn(*mut T)) -> Self {
        TO_FREE.fetch_add(1, Ordering::Relaxed);
        Owned { handle, free }
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        TO_FREE.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: the handle came from the library with this function to free it, and is not used any more.
        unsafe { (self.free)(self.handle) }
    }
}

/// A text that the caller owns, as a string.
fn take_text(function: impl FnOnce(*mut *mut raw::Text, *mut *mut raw::Error) -> Status) -> Answer<String> {
    let mut text = ptr::null_mut();
    call(|error| function(&mut text, error))?;
    let text = Owned::new(text, functions().honker_text_free);
    let mut bytes = raw::Bytes { data: ptr::null(), len: 0 };
    // SAFETY: the handle is open, and the places to write to are there.
    call(|error| unsafe {
        (functions().honker_text_get)(text.handle, &mut bytes.data, &mut bytes.len, error)
    })?;
    Ok(owned(bytes).unwrap_or_default())
}

fn borrowed(text: &str) -> raw::Bytes {
    raw::Bytes { data: text.as_ptr(), len: text.len() }
}

/// A copy of a text that the library shows; `None` if there is none.
fn owned(bytes: raw::Bytes) -> Option<String> {
    if bytes.data.is_null() {
        return None;
    }
    // SAFETY: the callers' handles are open, so that what they show is there.
    let bytes = unsafe { slice::from_raw_parts(bytes.data, bytes.len) };
    Some(std::str::from_utf8(bytes).expect("the library answers UTF-8").to_owned())
}

/// The size of a struct, for its `struct_size`.
fn size_of<T>() -> u32 {
    u32::try_from(std::mem::size_of::<T>()).expect("a small struct")
}
