//! Registering a Rust function as a SQL function.
//!
//! rusqlite's own way is not used because it loses SQLite's result code when an error has a text: a caller could not
//! tell BUSY from anything else. What is kept here: strict argument types with errors that name the argument, errors
//! with code *and* text, panics turned into errors, and `last_insert_rowid()` left as the caller's own INSERT set it.

use std::any::Any;
use std::ffi::{CStr, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::sync::Arc;

use rusqlite::ffi;

use crate::{Error, Result, Store};

/// One SQL function of one arity.
pub(super) struct Function {
    pub(super) name: &'static CStr,
    pub(super) arity: usize,
    pub(super) call: fn(&Store, &Arguments<'_>) -> Result<Answer>,
}

/// What a function answers.
pub(super) enum Answer {
    Null,
    Integer(i64),
    Text(String),
}

impl From<bool> for Answer {
    fn from(value: bool) -> Self {
        Answer::Integer(i64::from(value))
    }
}

/// The arguments of one call. SQLite has checked their number; their types are checked here.
pub(super) struct Arguments<'a> {
    values: &'a [*mut ffi::sqlite3_value],
}

impl<'a> Arguments<'a> {
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn integer(&self, index: usize, name: &str) -> Result<i64> {
        match self.kind(index) {
            // SAFETY: the value belongs to the running call.
            ffi::SQLITE_INTEGER => Ok(unsafe { ffi::sqlite3_value_int64(self.values[index]) }),
            kind => Err(wrong_type(kind, index, name, "INTEGER")),
        }
    }

    pub(super) fn optional_integer(&self, index: usize, name: &str) -> Result<Option<i64>> {
        match self.kind(index) {
            ffi::SQLITE_NULL => Ok(None),
            ffi::SQLITE_INTEGER => self.integer(index, name).map(Some),
            kind => Err(wrong_type(kind, index, name, "INTEGER or NULL")),
        }
    }

    pub(super) fn text(&self, index: usize, name: &str) -> Result<&'a str> {
        match self.kind(index) {
            ffi::SQLITE_TEXT => self.utf8(index, name),
            kind => Err(wrong_type(kind, index, name, "TEXT")),
        }
    }

    pub(super) fn optional_text(&self, index: usize, name: &str) -> Result<Option<&'a str>> {
        match self.kind(index) {
            ffi::SQLITE_NULL => Ok(None),
            ffi::SQLITE_TEXT => self.utf8(index, name).map(Some),
            kind => Err(wrong_type(kind, index, name, "TEXT or NULL")),
        }
    }

    fn kind(&self, index: usize) -> c_int {
        // SAFETY: the value belongs to the running call.
        unsafe { ffi::sqlite3_value_type(self.values[index]) }
    }

    fn utf8(&self, index: usize, name: &str) -> Result<&'a str> {
        let value = self.values[index];
        // SAFETY: the value belongs to the running call, and nothing converts it again before the call ends. The text
        // is asked for before its length, as SQLite demands.
        let bytes = unsafe {
            let text = ffi::sqlite3_value_text(value);
            if text.is_null() {
                return Err(Error::from_sqlite(ffi::SQLITE_NOMEM, "out of memory"));
            }
            slice::from_raw_parts(text, usize::try_from(ffi::sqlite3_value_bytes(value)).unwrap_or(0))
        };
        std::str::from_utf8(bytes)
            .map_err(|_| Error::invalid(format!("{name} (argument at index {index}) is not valid UTF-8")))
    }
}

fn wrong_type(kind: c_int, index: usize, name: &str, expected: &str) -> Error {
    let kind = match kind {
        ffi::SQLITE_NULL => "Null",
        ffi::SQLITE_INTEGER => "Integer",
        ffi::SQLITE_FLOAT => "Real",
        ffi::SQLITE_TEXT => "Text",
        _ => "Blob",
    };
    Error::invalid(format!(
        "Invalid function parameter type {kind} at index {index}: {name} must be {expected}"
    ))
}

/// What SQLite keeps for a function that is registered on a connection.
struct Registered {
    store: Arc<Store>,
    function: &'static Function,
}

/// Puts `function` on the store's connection.
pub(super) fn register(store: &Arc<Store>, function: &'static Function) -> Result<()> {
    let registered = Box::new(Registered { store: Arc::clone(store), function });
    // SAFETY: the connection is open; the name is NUL-terminated and static; SQLite owns the box from here on, also if
    // this fails, and gives it back to `destroy` once.
    let code = unsafe {
        ffi::sqlite3_create_function_v2(
            store.handle(),
            function.name.as_ptr(),
            c_int::try_from(function.arity).unwrap_or(-1),
            ffi::SQLITE_UTF8 | function.flags(),
            Box::into_raw(registered).cast(),
            Some(call),
            None,
            None,
            Some(destroy),
        )
    };
    store.check(code)
}

impl Function {
    fn flags(&self) -> c_int {
        if self.name == c"honker_cron_next_after" {
            // The only function without an effect and without a look at the clock or the file.
            ffi::SQLITE_DETERMINISTIC
        } else if self.name.to_bytes().starts_with(b"honker_update_watcher_") {
            // They open other files, which a view or a trigger of a file that somebody sent must not do.
            ffi::SQLITE_DIRECTONLY
        } else {
            0
        }
    }
}

unsafe extern "C" fn destroy(registered: *mut c_void) {
    // SAFETY: the box that `register` gave away, given back once. Dropping it may drop the store, which cannot panic.
    drop(unsafe { Box::from_raw(registered.cast::<Registered>()) });
}

unsafe extern "C" fn call(
    context: *mut ffi::sqlite3_context,
    count: c_int,
    values: *mut *mut ffi::sqlite3_value,
) {
    // SAFETY: SQLite calls with what `register` gave it, and the box lives as long as the function is registered.
    let registered = unsafe { &*ffi::sqlite3_user_data(context).cast::<Registered>() };
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: `values` points to `count` values for the time of this call; it may be dangling when there are none.
    let values = if count == 0 { &[] } else { unsafe { slice::from_raw_parts(values, count) } };
    let store = &registered.store;

    // SAFETY: the connection is open: it is calling us.
    let last_insert_rowid = unsafe { ffi::sqlite3_last_insert_rowid(store.handle()) };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let _running = store.enter()?;
        (registered.function.call)(store, &Arguments { values })
    }));
    // SAFETY: as above.
    unsafe { ffi::sqlite3_set_last_insert_rowid(store.handle(), last_insert_rowid) };

    let outcome = outcome.unwrap_or_else(|panic| {
        let name = registered.function.name.to_string_lossy();
        Err(Error::invalid(format!("internal error in {name}(), please report it: {}", panic_text(&*panic))))
    });
    // SAFETY: the context is the running call's; texts are copied by SQLite before they are dropped. The code is set
    // after the text, because setting the text resets it.
    unsafe {
        match outcome {
            Ok(Answer::Null) => ffi::sqlite3_result_null(context),
            Ok(Answer::Integer(value)) => ffi::sqlite3_result_int64(context, value),
            Ok(Answer::Text(text)) => match c_int::try_from(text.len()) {
                Ok(length) => {
                    ffi::sqlite3_result_text(context, text.as_ptr().cast(), length, ffi::SQLITE_TRANSIENT())
                }
                Err(_) => ffi::sqlite3_result_error_toobig(context),
            },
            Err(error) => {
                let message = error.to_string();
                let length = c_int::try_from(message.len()).unwrap_or(c_int::MAX);
                ffi::sqlite3_result_error(context, message.as_ptr().cast(), length);
                ffi::sqlite3_result_error_code(context, error.as_sqlite_code());
            }
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic")
}

#[cfg(test)]
mod tests {
    use super::*;

    static PANICS: Function =
        Function { name: c"panics", arity: 0, call: |_, _| panic!("broken on {}", "purpose") };

    #[test]
    fn a_panic_becomes_an_error_and_the_connection_lives_on() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        // SAFETY: the connection outlives the store, which keeps no statement.
        let store = Arc::new(unsafe { Store::from_handle(connection.handle()) });
        register(&store, &PANICS).unwrap();
        let error = connection.query_row("SELECT panics()", [], |_| Ok(())).unwrap_err().to_string();
        assert!(
            error.contains("internal error in panics()") && error.contains("broken on purpose"),
            "{error}"
        );
        let one: i64 = connection.query_row("SELECT 1", [], |row| row.get(0)).unwrap();
        assert_eq!(one, 1);
    }
}
