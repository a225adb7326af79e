//! The statuses of the C ABI, as include/honker.h lists them.

#![allow(missing_docs, reason = "the header describes them")]

use std::ffi::CStr;

use crate::{Status, functions};

pub const OK: Status = 0;
pub const EMPTY: Status = 1;
pub const TIMEOUT: Status = 2;
pub const WOKEN: Status = 3;
pub const LOST: Status = 4;
pub const HELD: Status = 5;
pub const LIMITED: Status = 6;
pub const CLOSED: Status = 7;
pub const EXISTS: Status = 8;
pub const REPLACED: Status = 9;
pub const INTERNAL: Status = -1;
pub const BUSY: Status = -2;
pub const CONSTRAINT: Status = -3;
pub const IO: Status = -4;
pub const CORRUPT: Status = -5;
pub const FULL: Status = -6;
pub const READONLY: Status = -7;
pub const CANNOT_OPEN: Status = -8;
pub const SQL: Status = -9;
pub const SCHEMA: Status = -10;
pub const TOO_BIG: Status = -11;
pub const ABORTED: Status = -12;
pub const MISUSE: Status = -20;
pub const NULL_ARG: Status = -21;
pub const UTF8: Status = -22;
pub const INVALID: Status = -23;
pub const NOT_FOUND: Status = -24;
pub const CLOSED_HANDLE: Status = -25;
pub const FORKED: Status = -26;
pub const UNSUPPORTED: Status = -27;
pub const INTERRUPTED: Status = -28;
pub const PANIC: Status = -29;
pub const WATCHER: Status = -30;
pub const SYSTEM: Status = -31;
pub const TOO_OLD: Status = -32;
pub const CONNECTION: Status = -33;
pub const MOVED: Status = -34;

/// The name of a status: "HONKER_BUSY".
pub fn name(status: Status) -> &'static str {
    // SAFETY: the text is static and ends with a NUL.
    unsafe { CStr::from_ptr((functions().honker_status_name)(status)) }.to_str().expect("a name in ASCII")
}
