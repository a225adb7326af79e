//! Lets the host close its connection although we keep statements prepared on it.
//!
//! `sqlite3_close` refuses a connection with unfinalised statements, and SQLite destroys an extension's functions only
//! after that check. Virtual tables, however, are disconnected before it (this is how FTS and R-Tree give up their own
//! statements). So every connection with our functions has one virtual table, `_honker_statements`; its disconnection
//! finalises our statements. As a virtual table has to show something, it lists them: `SELECT sql, reprepares FROM
//! _honker_statements` tells what is prepared on this connection and how often SQLite had to plan it again.
//!
//! SQLite connects the table when a statement first names it ([`arm`]), and disconnects it in `sqlite3_close` even if
//! the close is then refused for another reason. The store notices and arms the guard again with its next statement.
//!
//! Any table of the user's, in whatever schema, hides a virtual table of this kind. Where one has our name the guard takes
//! another, `_honker_statements_1` and so on.
//!
//! It speaks to SQLite itself: rusqlite's traits for virtual tables are others in each of its versions that we work with.

use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::Arc;

use rusqlite::{Connection, ffi};

use crate::store::PreparedStatement;
use crate::{Error, Result, Store};

const NAME: &str = "_honker_statements";

/// How many names are tried. Nobody has that many tables called so by accident.
const NAMES_MAX: u32 = 100;

/// Registers the guard for `store` on its connection, and arms it.
///
/// Now, and not with the first statement that needs it: to name the table begins to read, and a transaction of the
/// caller's that reads before it writes may lose its chance to ([`Store::atomic`]).
pub(crate) fn install(connection: &Connection, store: &Arc<Store>) -> Result<()> {
    store.set_guarded(false);
    for name in names() {
        register(connection, &name, store)?;
        if try_to_arm(store, &name)? {
            return Ok(());
        }
    }
    Err(hidden())
}

/// Connects the guard. Needed before a statement is kept.
pub(crate) fn arm(store: &Store) -> Result<()> {
    for name in names() {
        if try_to_arm(store, &name)? {
            return Ok(());
        }
    }
    Err(hidden())
}

fn names() -> impl Iterator<Item = String> {
    let further = (1..NAMES_MAX).map(|number| format!("{NAME}_{number}"));
    std::iter::once(NAME.to_owned()).chain(further)
}

fn hidden() -> Error {
    Error::invalid(format!(
        "tables named {NAME}, {NAME}_1, … hide honker's own from it: drop or rename one of them"
    ))
}

/// Whether the guard is connected now; if not, the name is somebody else's.
fn try_to_arm(store: &Store, name: &str) -> Result<bool> {
    match store.query_once(&format!("SELECT 1 FROM {name} LIMIT 0"), |_| ()) {
        Err(error) if error.sqlite_code().is_none_or(|code| code & 0xff != ffi::SQLITE_ERROR) => Err(error),
        // A view that does not work, say.
        _ => Ok(store.is_guarded()),
    }
}

/// Makes the guard of this name one of the connection's virtual tables.
fn register(connection: &Connection, name: &str, store: &Arc<Store>) -> Result<()> {
    let name = CString::new(name).map_err(|_| hidden())?;
    let store = Arc::into_raw(Arc::clone(store)).cast_mut().cast();
    // SAFETY: the connection is open, the module is a constant, and `forget` is given back what `into_raw` made, also if
    // this fails.
    let code = unsafe {
        ffi::sqlite3_create_module_v2(connection.handle(), name.as_ptr(), &MODULE, store, Some(forget))
    };
    match code {
        ffi::SQLITE_OK => Ok(()),
        code => {
            Err(Error::invalid(format!("cannot register honker on this connection: SQLite's error {code}")))
        }
    }
}

unsafe extern "C" fn forget(store: *mut c_void) {
    // SAFETY: `register` made it.
    drop(unsafe { Arc::from_raw(store.cast::<Store>()) });
}

// Without `xCreate` there is one table of it, of its own name, and no statement makes another.
static MODULE: ffi::sqlite3_module = ffi::sqlite3_module {
    iVersion: 1,
    xConnect: Some(connect),
    xBestIndex: Some(best_index),
    xDisconnect: Some(disconnect),
    xOpen: Some(open),
    xClose: Some(close),
    xFilter: Some(filter),
    xNext: Some(next),
    xEof: Some(eof),
    xColumn: Some(column),
    xRowid: Some(rowid),
    // SAFETY: the rest are optional functions, of which NULL is none.
    ..unsafe { std::mem::zeroed() }
};

#[repr(C)]
struct Guard {
    base: ffi::sqlite3_vtab,
    store: Arc<Store>,
}

#[repr(C)]
struct Rows {
    base: ffi::sqlite3_vtab_cursor,
    rows: Vec<PreparedStatement>,
    next: usize,
}

// The functions below are called by SQLite with what it got from them: a `Guard` that `connect` made, a `Rows` that `open`
// made, both alive until `disconnect` and `close`, in the thread that has the connection.

unsafe extern "C" fn connect(
    db: *mut ffi::sqlite3,
    store: *mut c_void,
    _: c_int,
    _: *const *const c_char,
    table: *mut *mut ffi::sqlite3_vtab,
    _: *mut *mut c_char,
) -> c_int {
    // SAFETY: the connection is open, and the text ends with a NUL.
    let code =
        unsafe { ffi::sqlite3_declare_vtab(db, c"CREATE TABLE x(sql TEXT, reprepares INTEGER)".as_ptr()) };
    if code != ffi::SQLITE_OK {
        return code;
    }
    // SAFETY: `register` made it, and SQLite keeps it for as long as the module; the reference here is one more.
    let store = unsafe {
        Arc::increment_strong_count(store.cast::<Store>());
        Arc::from_raw(store.cast::<Store>())
    };
    store.set_guarded(true);
    // SAFETY: SQLite's base is numbers and pointers, and begins as zeros.
    let base = unsafe { std::mem::zeroed() };
    // SAFETY: SQLite passes where to write it.
    unsafe { *table = Box::into_raw(Box::new(Guard { base, store })).cast() };
    ffi::SQLITE_OK
}

unsafe extern "C" fn disconnect(table: *mut ffi::sqlite3_vtab) -> c_int {
    // SAFETY: see above.
    let guard = unsafe { Box::from_raw(table.cast::<Guard>()) };
    guard.store.set_guarded(false);
    guard.store.clear();
    ffi::SQLITE_OK
}

unsafe extern "C" fn best_index(_: *mut ffi::sqlite3_vtab, _: *mut ffi::sqlite3_index_info) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn open(
    table: *mut ffi::sqlite3_vtab,
    cursor: *mut *mut ffi::sqlite3_vtab_cursor,
) -> c_int {
    // SAFETY: see above.
    let rows = unsafe { &*table.cast::<Guard>() }.store.prepared_statements();
    // SAFETY: SQLite's base is a pointer that SQLite sets.
    let base = unsafe { std::mem::zeroed() };
    // SAFETY: SQLite passes where to write it.
    unsafe { *cursor = Box::into_raw(Box::new(Rows { base, rows, next: 0 })).cast() };
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(cursor: *mut ffi::sqlite3_vtab_cursor) -> c_int {
    // SAFETY: see above.
    drop(unsafe { Box::from_raw(cursor.cast::<Rows>()) });
    ffi::SQLITE_OK
}

/// What SQLite calls a cursor.
///
/// # Safety
/// `open` made it, and nobody else uses it meanwhile.
unsafe fn rows<'a>(cursor: *mut ffi::sqlite3_vtab_cursor) -> &'a mut Rows {
    // SAFETY: the caller vouches for it.
    unsafe { &mut *cursor.cast::<Rows>() }
}

unsafe extern "C" fn filter(
    cursor: *mut ffi::sqlite3_vtab_cursor,
    _: c_int,
    _: *const c_char,
    _: c_int,
    _: *mut *mut ffi::sqlite3_value,
) -> c_int {
    // SAFETY: see above.
    unsafe { rows(cursor) }.next = 0;
    ffi::SQLITE_OK
}

unsafe extern "C" fn next(cursor: *mut ffi::sqlite3_vtab_cursor) -> c_int {
    // SAFETY: see above.
    unsafe { rows(cursor) }.next += 1;
    ffi::SQLITE_OK
}

unsafe extern "C" fn eof(cursor: *mut ffi::sqlite3_vtab_cursor) -> c_int {
    // SAFETY: see above.
    let rows = unsafe { rows(cursor) };
    c_int::from(rows.next >= rows.rows.len())
}

unsafe extern "C" fn column(
    cursor: *mut ffi::sqlite3_vtab_cursor,
    context: *mut ffi::sqlite3_context,
    column: c_int,
) -> c_int {
    // SAFETY: see above.
    let rows = unsafe { rows(cursor) };
    let Some(row) = rows.rows.get(rows.next) else { return ffi::SQLITE_ERROR };
    // SAFETY: the context is SQLite's for this call; the text is copied.
    unsafe {
        match (column, c_int::try_from(row.sql.len())) {
            (0, Ok(length)) => {
                ffi::sqlite3_result_text(context, row.sql.as_ptr().cast(), length, ffi::SQLITE_TRANSIENT());
            }
            (0, Err(_)) => ffi::sqlite3_result_error_toobig(context),
            _ => ffi::sqlite3_result_int64(context, row.reprepares.into()),
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn rowid(cursor: *mut ffi::sqlite3_vtab_cursor, rowid: *mut i64) -> c_int {
    // SAFETY: see above; SQLite passes where to write it.
    unsafe { *rowid = rows(cursor).next as i64 };
    ffi::SQLITE_OK
}
