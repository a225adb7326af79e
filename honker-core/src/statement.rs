//! Prepared statements, held by name.
//!
//! The operations run the same few dozen statements for the life of a connection. Each is a `static` [`Sql`] beside
//! the operation that uses it; the first use on a connection prepares it and [`crate::Store`] keeps it in the slot the
//! `Sql` owns. That costs one array look-up a call, where a cache keyed by the SQL text costs more than the statement.
//!
//! Two rules keep this honest:
//! - A statement that writes is always stepped to the end ([`Statement::step`] until it says `false`). One that is reset
//!   early commits inside `sqlite3_reset`, where SQLite skips its WAL hook, and the WAL would never be checkpointed.
//! - Parameters in comparisons and LIMITs are written `+?1`. With a bare `?1` SQLite plans such a statement again every
//!   time it is bound, which doubles the cost of a claim.
//!
//! This module and [`crate::store`] hold all calls into SQLite's C interface that the operations need. A statement is
//! used by one thread at a time, under the same rule as its connection.

use std::ffi::{CStr, c_int};
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::ffi;

use crate::{Error, Result};

/// The text of one statement and the slot it has in every store.
pub(crate) struct Sql {
    pub(crate) text: &'static str,
    slot: OnceLock<usize>,
}

impl Sql {
    pub(crate) const fn new(text: &'static str) -> Self {
        Sql { text, slot: OnceLock::new() }
    }

    pub(crate) fn slot(&self) -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        *self.slot.get_or_init(|| NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// One parameter value.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Null,
    Integer(i64),
    Text(&'a str),
    #[cfg(feature = "runtime")]
    Blob(&'a [u8]),
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Value::Integer(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Value::Text(value)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// The parameters of a list of ids in a statement.
macro_rules! id_list {
    () => {
        concat!(id_list!(10), ", ", id_list!(10), ", ", id_list!(10), ", ", id_list!(10), ", ", id_list!(10))
    };
    (10) => {
        "+?, +?, +?, +?, +?, +?, +?, +?, +?, +?"
    };
}
pub(crate) use id_list;

/// How many ids such a list has. Those that are not given are NULL.
pub(crate) const ID_LIST_MAX: usize = 50;

/// An owned prepared statement. Dropping it finalises it.
pub(crate) struct Statement {
    raw: NonNull<ffi::sqlite3_stmt>,
    writes: bool,
}

impl Statement {
    /// Prepares `sql`, which must hold exactly one statement.
    ///
    /// # Safety
    /// `db` must be an open connection that outlives the statement.
    pub(crate) unsafe fn prepare(db: *mut ffi::sqlite3, sql: &str) -> Result<Self> {
        let mut raw = std::ptr::null_mut();
        let length = c_int::try_from(sql.len()).map_err(|_| Error::invalid("statement too long"))?;
        let flags = ffi::SQLITE_PREPARE_PERSISTENT;
        // SAFETY: the caller vouches for `db`; text and length belong together, and SQLite copies the text.
        let code = unsafe {
            ffi::sqlite3_prepare_v3(db, sql.as_ptr().cast(), length, flags, &mut raw, std::ptr::null_mut())
        };
        match NonNull::new(raw) {
            Some(raw) if code == ffi::SQLITE_OK => {
                // SAFETY: the statement was prepared just now.
                let is_readonly = unsafe { ffi::sqlite3_stmt_readonly(raw.as_ptr()) != 0 };
                // SQLite counts BEGIN IMMEDIATE among those that write.
                let writes = !is_readonly && !sql.starts_with("BEGIN");
                Ok(Statement { raw, writes })
            }
            // SAFETY: as above.
            _ => Err(unsafe { last_error(db, code) }),
        }
    }

    /// Binds all parameters, in order. The borrowed texts must stay alive until [`Statement::reset`].
    fn bind(&mut self, parameters: &[Value<'_>]) -> Result<()> {
        for (index, value) in (1..).zip(parameters) {
            let raw = self.raw.as_ptr();
            // SAFETY: the statement is ours and not running. Texts are bound without a copy: `reset`, which ends every
            // use, clears the bindings before the borrow ends.
            let code = unsafe {
                match *value {
                    Value::Null => ffi::sqlite3_bind_null(raw, index),
                    Value::Integer(value) => ffi::sqlite3_bind_int64(raw, index, value),
                    #[cfg(feature = "runtime")]
                    Value::Blob(bytes) => match c_int::try_from(bytes.len()) {
                        Ok(length) => ffi::sqlite3_bind_blob(
                            raw,
                            index,
                            bytes.as_ptr().cast(),
                            length,
                            ffi::SQLITE_STATIC(),
                        ),
                        Err(_) => ffi::SQLITE_TOOBIG,
                    },
                    Value::Text(text) => match c_int::try_from(text.len()) {
                        Ok(length) => ffi::sqlite3_bind_text(
                            raw,
                            index,
                            text.as_ptr().cast(),
                            length,
                            ffi::SQLITE_STATIC(),
                        ),
                        Err(_) => ffi::SQLITE_TOOBIG,
                    },
                }
            };
            if code != ffi::SQLITE_OK {
                return Err(self.error(code));
            }
        }
        Ok(())
    }

    /// Runs to the end with these parameters, handing every row to `each`.
    pub(crate) fn run(&mut self, parameters: &[Value<'_>], mut each: impl FnMut(&Row<'_>)) -> Result<()> {
        self.run_while(parameters, |row| {
            each(row);
            true
        })
    }

    /// Runs with these parameters until `each` answers `false`. What ends early must be a SELECT (see above).
    pub(crate) fn run_while(
        &mut self,
        parameters: &[Value<'_>],
        mut each: impl FnMut(&Row<'_>) -> bool,
    ) -> Result<()> {
        // Resets on every way out, so that a failure (or a panic in `each`) leaves no statement in progress.
        let running = Running { statement: self, is_bound: !parameters.is_empty() };
        running.statement.bind(parameters)?;
        while running.statement.step()? {
            if !each(&Row { statement: &*running.statement }) {
                break;
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<bool> {
        // SAFETY: the statement is ours.
        match unsafe { ffi::sqlite3_step(self.raw.as_ptr()) } {
            ffi::SQLITE_ROW => Ok(true),
            ffi::SQLITE_DONE => Ok(false),
            code => Err(self.error(code)),
        }
    }

    fn error(&self, code: c_int) -> Error {
        // SAFETY: the statement is ours, and its connection outlives it.
        unsafe { last_error(ffi::sqlite3_db_handle(self.raw.as_ptr()), code) }
    }

    /// Whether it may change the file. Statements that begin and end transactions and savepoints do not.
    pub(crate) fn writes(&self) -> bool {
        self.writes
    }

    pub(crate) fn sql(&self) -> String {
        // SAFETY: the statement is ours; SQLite keeps its text, NUL-terminated, as long as the statement lives.
        unsafe { CStr::from_ptr(ffi::sqlite3_sql(self.raw.as_ptr())) }.to_string_lossy().into_owned()
    }

    /// How often SQLite had to plan this statement again.
    pub(crate) fn reprepares(&self) -> i32 {
        // SAFETY: the statement is ours; the call only reads (and does not reset) a counter.
        unsafe { ffi::sqlite3_stmt_status(self.raw.as_ptr(), ffi::SQLITE_STMTSTATUS_REPREPARE, 0) }
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        // SAFETY: the statement is ours and this is its last use. The result repeats an error already reported.
        unsafe { ffi::sqlite3_finalize(self.raw.as_ptr()) };
    }
}

struct Running<'a> {
    statement: &'a mut Statement,
    is_bound: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let raw = self.statement.raw.as_ptr();
        // SAFETY: the statement is ours. Both results repeat what `step` reported.
        unsafe {
            ffi::sqlite3_reset(raw);
            if self.is_bound {
                ffi::sqlite3_clear_bindings(raw);
            }
        }
    }
}

/// The current row of a running statement.
pub(crate) struct Row<'a> {
    statement: &'a Statement,
}

impl Row<'_> {
    pub(crate) fn integer(&self, column: c_int) -> i64 {
        // SAFETY: the statement stands on a row; SQLite answers 0 for a column out of range.
        unsafe { ffi::sqlite3_column_int64(self.statement.raw.as_ptr(), column) }
    }

    pub(crate) fn optional_integer(&self, column: c_int) -> Option<i64> {
        (!self.is_null(column)).then(|| self.integer(column))
    }

    /// The column as text. Bytes that are not UTF-8, which only raw SQL can have stored, come out as U+FFFD: a reader
    /// must be able to get past such a row, and the stored bytes stay as they are.
    pub(crate) fn text(&self, column: c_int) -> String {
        let raw = self.statement.raw.as_ptr();
        // SAFETY: the statement stands on a row. The text is asked for before its length, as SQLite demands, and copied
        // before anything else touches the statement.
        let bytes = unsafe {
            let text = ffi::sqlite3_column_text(raw, column);
            if text.is_null() {
                &[]
            } else {
                let length = ffi::sqlite3_column_bytes(raw, column);
                std::slice::from_raw_parts(text, usize::try_from(length).unwrap_or(0))
            }
        };
        match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => String::from_utf8_lossy(bytes).into_owned(),
        }
    }

    pub(crate) fn optional_text(&self, column: c_int) -> Option<String> {
        (!self.is_null(column)).then(|| self.text(column))
    }

    fn is_null(&self, column: c_int) -> bool {
        // SAFETY: the statement stands on a row.
        unsafe { ffi::sqlite3_column_type(self.statement.raw.as_ptr(), column) == ffi::SQLITE_NULL }
    }
}

/// What SQLite says about the call that just failed with `code`.
///
/// # Safety
/// `db` must be an open connection.
pub(crate) unsafe fn last_error(db: *mut ffi::sqlite3, code: c_int) -> Error {
    // SAFETY: the caller vouches for `db`; the message is copied before the next call on it.
    let (extended, mut message) = unsafe {
        let message = CStr::from_ptr(ffi::sqlite3_errmsg(db)).to_string_lossy().into_owned();
        (ffi::sqlite3_extended_errcode(db), message)
    };
    if message.starts_with("no such table: main._honker_") {
        message.push_str(" (run SELECT honker_bootstrap() on this file first)");
    }
    // A call that SQLite refuses before it starts (out of memory, misuse) does not set the connection's own code.
    let code = if extended & 0xff == code & 0xff { extended } else { code };
    Error::from_sqlite(code, message)
}
