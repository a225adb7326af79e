//! Text: what callers pass, and what they are given.

use serde::Serialize;

use crate::entry::{Failure, Result, entry, entry_without_status};
use crate::error::honker_error_t;
use crate::handle;
use crate::status::{
    HONKER_INTERNAL, HONKER_INVALID, HONKER_NULL_ARG, HONKER_OK, HONKER_UTF8, honker_status_t,
};

/// A piece of memory that belongs to somebody else.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct honker_bytes_t {
    /// Where it begins; NULL is allowed if `len` is 0.
    pub data: *const u8,
    /// Its length in bytes.
    pub len: usize,
}

impl honker_bytes_t {
    pub(crate) const NONE: honker_bytes_t = honker_bytes_t { data: std::ptr::null(), len: 0 };

    /// Lends bytes out, for as long as the object lives that owns them.
    ///
    /// Rust's pointer to nothing is a small number, which some languages take for a corrupt pointer (Go ends the
    /// process). Nothing is therefore at an address that exists.
    ///
    /// Not inlined: what the optimiser makes of the length of a text that may be missing, valgrind takes for a use of
    /// memory that nobody has written.
    #[inline(never)]
    pub(crate) fn of(bytes: &(impl AsRef<[u8]> + ?Sized)) -> Self {
        let bytes = bytes.as_ref();
        honker_bytes_t {
            data: if bytes.is_empty() { EMPTY.as_ptr() } else { bytes.as_ptr() },
            len: bytes.len(),
        }
    }
}

static EMPTY: [u8; 1] = [0];

/// A text that the caller owns. It does not change: any thread may read it.
pub struct honker_text_t(String);

/// Gives a text to the caller.
pub(crate) fn put(text: String) -> *mut honker_text_t {
    handle::put(honker_text_t(text))
}

/// Gives a value to the caller as JSON.
pub(crate) fn put_json(value: &impl Serialize) -> Result<*mut honker_text_t> {
    let json = serde_json::to_string(value)
        .map_err(|error| Failure::new(HONKER_INTERNAL, format!("no JSON could be made: {error}")))?;
    Ok(put(json))
}

/// The bytes of a text, UTF-8 without a NUL behind them, valid until it is freed, and their number.
///
/// # Safety
/// `data_out`, `len_out` and `err` are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_text_get(
    text: *const honker_text_t,
    data_out: *mut *const u8,
    len_out: *mut usize,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_text_get", err, (data_out, len_out), |(data, len)| {
            let text = handle::get(text)?;
            let bytes = honker_bytes_t::of(&text.0);
            data.set(bytes.data);
            len.set(bytes.len);
            Ok(HONKER_OK)
        })
    }
}

/// Frees a text. NULL is allowed, and freeing twice does no harm.
///
/// # Safety
/// Any value may be passed; a handle is checked, not followed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_text_free(text: *mut honker_text_t) {
    entry_without_status("honker_text_free", || drop(handle::take(text)));
}

/// The array that a caller passes as `argument`.
///
/// # Safety
/// `data` is NULL or valid for reading `len` elements, as long as what this returns is used.
pub(crate) unsafe fn slice<'a, T>(argument: &str, data: *const T, len: usize) -> Result<&'a [T]> {
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(Failure::new(HONKER_NULL_ARG, format!("{argument} is NULL, but its length is {len}")));
    }
    if len > isize::MAX as usize / size_of::<T>() {
        return Err(Failure::new(HONKER_INVALID, format!("{argument}: a length of {len} cannot be right")));
    }
    if !data.is_aligned() {
        return Err(Failure::new(HONKER_INVALID, format!("{argument} is not aligned")));
    }
    // SAFETY: the caller vouches for it; address and length are such as a slice can have.
    Ok(unsafe { std::slice::from_raw_parts(data, len) })
}

/// The text that a caller passes as `argument`.
///
/// # Safety
/// As for [`slice`].
pub(crate) unsafe fn text<'a>(argument: &str, data: *const u8, len: usize) -> Result<&'a str> {
    // SAFETY: the caller vouches for it.
    let bytes = unsafe { slice(argument, data, len) }?;
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Failure::new(HONKER_UTF8, format!("{argument} is not valid UTF-8: {error}")))?;
    if text.contains('\0') {
        return Err(Failure::new(HONKER_INVALID, format!("{argument} contains a NUL")));
    }
    Ok(text)
}

/// The text that a caller may pass as `argument`: NULL is none.
///
/// # Safety
/// As for [`slice`].
pub(crate) unsafe fn optional_text<'a>(
    argument: &str,
    data: *const u8,
    len: usize,
) -> Result<Option<&'a str>> {
    if data.is_null() && len == 0 {
        return Ok(None);
    }
    // SAFETY: the caller vouches for it.
    unsafe { text(argument, data, len) }.map(Some)
}
