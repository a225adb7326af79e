//! The caller's own SQL.

use honker_core::database::{Rows, Value};

use crate::db::honker_db_t;
use crate::entry::{Failure, Result, entry, entry_without_status};
use crate::error::honker_error_t;
use crate::handle;
use crate::status::{HONKER_INVALID, HONKER_OK, honker_status_t};
use crate::text::{honker_bytes_t, slice, text};
use crate::tx::honker_tx_t;

/// `value_type`: NULL.
pub const HONKER_TYPE_NULL: u32 = 0;
/// `value_type`: a 64-bit integer, in `integer`.
pub const HONKER_TYPE_INTEGER: u32 = 1;
/// `value_type`: a floating-point number, in `real`.
pub const HONKER_TYPE_REAL: u32 = 2;
/// `value_type`: UTF-8 text, in `bytes`.
pub const HONKER_TYPE_TEXT: u32 = 3;
/// `value_type`: bytes, in `bytes`.
pub const HONKER_TYPE_BLOB: u32 = 4;

/// A parameter or a column.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct honker_value_t {
    /// One of HONKER_TYPE_*. It says which of the other fields counts; those that do not are 0 in a result.
    pub value_type: u32,
    /// 0.
    pub reserved: u32,
    /// An integer.
    pub integer: i64,
    /// A floating-point number.
    pub real: f64,
    /// A text or a blob.
    pub bytes: honker_bytes_t,
}

/// The rows of a query. They do not change: any thread may read them.
pub struct honker_rows_t(Rows);

/// Runs one statement of SQL in a transaction; how many rows it inserted, updated or deleted. All of honker's SQL
/// functions are there.
///
/// The connection is shared with all other calls, so what would outlast the transaction or end it is HONKER_INVALID, and
/// the message names what to use instead: BEGIN, COMMIT and ROLLBACK, ATTACH and DETACH, and pragmas that set something
/// for the connection or the file (those that ask are allowed, and so are SAVEPOINT, RELEASE and ROLLBACK TO). Temporary
/// tables, views and triggers are dropped when the transaction is over.
///
/// `params` are the values of ?1, ?2, … in order, and may be NULL if there are none; a statement
/// with more or fewer parameters is HONKER_INVALID.
///
/// # Safety
/// `sql` is valid for reading `sql_len` bytes, `params` for `params_len` values and what they point to, `changes_out`
/// and `err` are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_tx_execute(
    tx: *mut honker_tx_t,
    sql: *const u8,
    sql_len: usize,
    params: *const honker_value_t,
    params_len: usize,
    changes_out: *mut i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_tx_execute", err, changes_out, |changes| {
            let tx = handle::get(tx)?;
            let (sql, params) = (text("sql", sql, sql_len)?, values(params, params_len)?);
            let changed = tx.with(|transaction| Ok(transaction.execute(sql, &params)?))?;
            changes.set(i64::try_from(changed).unwrap_or(i64::MAX));
            Ok(HONKER_OK)
        })
    }
}

/// Runs one statement of SQL in a transaction; its rows, to be freed with `honker_rows_free`. They see what the
/// transaction has done so far. Parameters as for `honker_tx_execute`.
///
/// # Safety
/// As for `honker_tx_execute`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_tx_query(
    tx: *mut honker_tx_t,
    sql: *const u8,
    sql_len: usize,
    params: *const honker_value_t,
    params_len: usize,
    rows_out: *mut *mut honker_rows_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_tx_query", err, rows_out, |rows| {
            let tx = handle::get(tx)?;
            let (sql, params) = (text("sql", sql, sql_len)?, values(params, params_len)?);
            rows.set(handle::put(honker_rows_t(
                tx.with(|transaction| Ok(transaction.query(sql, &params)?))?,
            )));
            Ok(HONKER_OK)
        })
    }
}

/// Runs one statement of SQL that only reads; its rows, to be freed with `honker_rows_free`. They are what is committed.
/// honker's SQL functions are not there, and a statement that writes is HONKER_READONLY. What `honker_tx_execute` refuses
/// is refused here, and SAVEPOINT as well. Parameters as for `honker_tx_execute`.
///
/// One of the connections that read is kept for honker's own operations: queries that take long keep only each other
/// waiting (HONKER_BUSY after the busy timeout).
///
/// # Safety
/// As for `honker_tx_execute`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_query(
    db: *mut honker_db_t,
    sql: *const u8,
    sql_len: usize,
    params: *const honker_value_t,
    params_len: usize,
    rows_out: *mut *mut honker_rows_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_query", err, rows_out, |rows| {
            let db = handle::get(db)?;
            let (sql, params) = (text("sql", sql, sql_len)?, values(params, params_len)?);
            rows.set(handle::put(honker_rows_t(db.database.query(sql, &params)?)));
            Ok(HONKER_OK)
        })
    }
}

/// How many rows and columns there are.
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_rows_size(
    rows: *const honker_rows_t,
    rows_out: *mut usize,
    columns_out: *mut usize,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_rows_size", err, (rows_out, columns_out), |(length, width)| {
            let rows = handle::get(rows)?;
            length.set(rows.0.rows.len());
            width.set(rows.0.columns.len());
            Ok(HONKER_OK)
        })
    }
}

/// The name of a column, counted from 0, without a NUL behind it, valid until the rows are freed, and its length.
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_rows_column(
    rows: *const honker_rows_t,
    column: usize,
    name_out: *mut *const u8,
    len_out: *mut usize,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_rows_column", err, (name_out, len_out), |(name, len)| {
            let rows = handle::get(rows)?;
            let column = rows.0.columns.get(column).ok_or_else(|| beyond("column", column))?;
            let bytes = honker_bytes_t::of(column);
            name.set(bytes.data);
            len.set(bytes.len);
            Ok(HONKER_OK)
        })
    }
}

/// The value in a row and a column, both counted from 0. Its bytes are valid until the rows are freed.
///
/// # Safety
/// `value_out` and `err` are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_rows_get(
    rows: *const honker_rows_t,
    row: usize,
    column: usize,
    value_out: *mut honker_value_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_rows_get", err, value_out, |value| {
            let rows = handle::get(rows)?;
            let columns = rows.0.rows.get(row).ok_or_else(|| beyond("row", row))?;
            value.set(lent(columns.get(column).ok_or_else(|| beyond("column", column))?));
            Ok(HONKER_OK)
        })
    }
}

/// Frees rows. NULL is allowed, and freeing twice does no harm.
///
/// # Safety
/// Any value may be passed; a handle is checked, not followed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_rows_free(rows: *mut honker_rows_t) {
    entry_without_status("honker_rows_free", || drop(handle::take(rows)));
}

impl crate::entry::Plain for honker_value_t {}

pub(crate) fn beyond(what: &str, index: usize) -> Failure {
    Failure::new(HONKER_INVALID, format!("there is no {what} {index}"))
}

/// # Safety
/// `params` is valid for `len` values, and they for what they point to.
unsafe fn values(params: *const honker_value_t, len: usize) -> Result<Vec<Value>> {
    // SAFETY: the caller vouches for it.
    let params = unsafe { slice("params", params, len) }?;
    // SAFETY: as above.
    (1..).zip(params).map(|(number, value)| unsafe { owned(number, value) }).collect()
}

/// # Safety
/// `value` is valid for what it points to.
unsafe fn owned(number: usize, value: &honker_value_t) -> Result<Value> {
    let argument = || format!("parameter {number}");
    let honker_bytes_t { data, len } = value.bytes;
    Ok(match value.value_type {
        HONKER_TYPE_NULL => Value::Null,
        HONKER_TYPE_INTEGER => Value::Integer(value.integer),
        HONKER_TYPE_REAL => Value::Real(value.real),
        // SAFETY: the caller vouches for it.
        HONKER_TYPE_TEXT => Value::Text(unsafe { text(&argument(), data, len) }?.to_owned()),
        // SAFETY: as above.
        HONKER_TYPE_BLOB => Value::Blob(unsafe { slice(&argument(), data, len) }?.to_vec()),
        other => {
            return Err(Failure::new(HONKER_INVALID, format!("{}: there is no type {other}", argument())));
        }
    })
}

fn lent(value: &Value) -> honker_value_t {
    let mut lent = honker_value_t {
        value_type: HONKER_TYPE_NULL,
        reserved: 0,
        integer: 0,
        real: 0.0,
        bytes: honker_bytes_t::NONE,
    };
    match value {
        Value::Null => {}
        Value::Integer(integer) => (lent.value_type, lent.integer) = (HONKER_TYPE_INTEGER, *integer),
        Value::Real(real) => (lent.value_type, lent.real) = (HONKER_TYPE_REAL, *real),
        Value::Text(text) => (lent.value_type, lent.bytes) = (HONKER_TYPE_TEXT, honker_bytes_t::of(text)),
        Value::Blob(blob) => (lent.value_type, lent.bytes) = (HONKER_TYPE_BLOB, honker_bytes_t::of(blob)),
    }
    lent
}
