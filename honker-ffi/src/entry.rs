//! The border: what every exported function goes through.
//!
//! In this order: the outputs are cleared, so that a caller who does not look at the status finds nothing in them; the
//! body runs, and a panic in it ends here; a failure becomes a status and, if the caller asked for it, an error object.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use honker_core::Error;

use crate::error::honker_error_t;
use crate::handle;
use crate::status::{self, HONKER_INVALID, HONKER_NULL_ARG, HONKER_PANIC, honker_status_t};

pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// Why a call has failed.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) status: honker_status_t,
    /// SQLite's extended result code, or 0.
    pub(crate) sqlite_code: i32,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(status: honker_status_t, message: impl Into<String>) -> Self {
        Failure { status, sqlite_code: 0, message: message.into() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure {
            status: status::of(&error),
            sqlite_code: error.sqlite_code().unwrap_or(0),
            message: error.to_string(),
        }
    }
}

/// Runs the body of the exported function `name`.
///
/// # Safety
/// `outputs` and `err` are pointers of the caller's: NULL, or valid for writing.
pub(crate) unsafe fn entry<O: Outputs>(
    name: &'static str,
    err: *mut *mut honker_error_t,
    outputs: O,
    body: impl FnOnce(O::Cells) -> Result<honker_status_t>,
) -> honker_status_t {
    if !err.is_null() {
        // SAFETY: the caller vouches for it.
        unsafe { err.write(std::ptr::null_mut()) };
    }
    keep_panics_quiet();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the caller vouches for them.
        let cells = unsafe { outputs.clear(name) }?;
        #[cfg(feature = "faults")]
        crate::fault::fire(name);
        body(cells)
    }));
    let failure = match outcome {
        Ok(Ok(status)) => return status,
        Ok(Err(failure)) => failure,
        Err(panic) => {
            let text = format!("{name}: a bug of honker's: {}{}", text_of(&*panic), PLACE.take());
            Failure::new(HONKER_PANIC, text)
        }
    };
    let status = failure.status;
    if !err.is_null() {
        // SAFETY: the caller vouches for it.
        unsafe { err.write(handle::put(honker_error_t::from(failure))) };
    }
    status
}

/// As [`entry`], for functions that cannot fail: a panic in them has nowhere to go.
pub(crate) fn entry_without_status(name: &'static str, body: impl FnOnce()) {
    keep_panics_quiet();
    let _ = catch_unwind(AssertUnwindSafe(|| {
        #[cfg(feature = "faults")]
        crate::fault::fire(name);
        let _ = name;
        body();
    }));
}

thread_local! {
    /// Where the last panic of this thread happened.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A library does not write to its host's standard error, which is what Rust does with a panic: its text and its place
/// go into the error instead. The hook is that of our copy of Rust's library only.
fn keep_panics_quiet() {
    static ONCE: Once = Once::new();
    if cfg!(not(test)) {
        ONCE.call_once(|| {
            std::panic::set_hook(Box::new(|panic| {
                let place = panic.location().map(|place| format!(" ({place})")).unwrap_or_default();
                let _ = PLACE.try_with(|last| last.replace(place));
            }));
        });
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// Where a call writes what it returns.
pub(crate) struct Cell<T>(*mut T);

impl<T: Copy> Cell<T> {
    pub(crate) fn set(&self, value: T) {
        // SAFETY: `Outputs::clear` made this from a pointer that its caller vouched for.
        unsafe { self.0.write(value) };
    }
}

/// The outputs of a function: none, one, or two.
pub(crate) trait Outputs {
    type Cells;

    /// Sets all of them to zero or NULL. An error if a pointer is NULL.
    ///
    /// # Safety
    /// Each is NULL or valid for writing.
    unsafe fn clear(self, name: &str) -> Result<Self::Cells>;
}

impl Outputs for () {
    type Cells = ();
    unsafe fn clear(self, _: &str) -> Result<()> {
        Ok(())
    }
}

impl<T: Plain> Outputs for *mut T {
    type Cells = Cell<T>;
    unsafe fn clear(self, name: &str) -> Result<Cell<T>> {
        if self.is_null() {
            return Err(null_output(name));
        }
        // SAFETY: the caller vouches for it, and zero is a value of every plain type.
        unsafe { self.write_bytes(0, 1) };
        Ok(Cell(self))
    }
}

impl<A: Outputs, B: Outputs> Outputs for (A, B) {
    type Cells = (A::Cells, B::Cells);
    unsafe fn clear(self, name: &str) -> Result<Self::Cells> {
        // SAFETY: the caller vouches for both. Each is cleared, whatever is the matter with the other.
        let (first, second) = unsafe { (self.0.clear(name), self.1.clear(name)) };
        Ok((first?, second?))
    }
}

/// An output that is an array of the caller's.
pub(crate) struct Array<T> {
    pub(crate) data: *mut T,
    pub(crate) len: usize,
}

impl<T: Plain> Outputs for Array<T> {
    type Cells = ArrayCell<T>;
    unsafe fn clear(self, name: &str) -> Result<ArrayCell<T>> {
        if self.len == 0 {
            return Ok(ArrayCell(self));
        }
        if self.data.is_null() {
            return Err(null_output(name));
        }
        if self.len > isize::MAX as usize / size_of::<T>() {
            return Err(Failure::new(
                HONKER_INVALID,
                format!("{name}: a length of {} cannot be right", self.len),
            ));
        }
        // SAFETY: the caller vouches for it, and zero is a value of every plain type. Byte by byte it need not be aligned.
        unsafe { self.data.cast::<u8>().write_bytes(0, self.len * size_of::<T>()) };
        Ok(ArrayCell(self))
    }
}

/// An array that has been cleared.
pub(crate) struct ArrayCell<T>(Array<T>);

impl<T: Plain> ArrayCell<T> {
    /// Fills it in, as far as there is something.
    pub(crate) fn set(&self, values: &[T]) {
        let len = values.len().min(self.0.len);
        // SAFETY: `Outputs::clear` made this from an array that its caller vouched for.
        unsafe {
            let to = self.0.data.cast::<u8>();
            std::ptr::copy_nonoverlapping(values.as_ptr().cast(), to, len * size_of::<T>());
        }
    }
}

pub(crate) fn null_output(name: &str) -> Failure {
    Failure::new(HONKER_NULL_ARG, format!("{name}: an output is NULL"))
}

/// A type of which all zeros is a value.
pub(crate) trait Plain: Copy {}
impl Plain for i64 {}
impl Plain for u64 {}
impl Plain for usize {}
impl Plain for crate::enqueue::honker_enqueue_result_t {}
impl<T> Plain for *mut T {}
impl<T> Plain for *const T {}
