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

use std::borrow::Cow;
use std::ffi::{CStr, c_int};
use std::sync::Arc;

use rusqlite::vtab::{Context, Filters, IndexInfo, Module, VTab, VTabConnection, VTabCursor, sqlite3_vtab};
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
    const MODULE: &Module<Guard> = &Module::eponymous_only_module();
    store.set_guarded(false);
    for name in names() {
        connection
            .create_module(name.as_str(), MODULE, Some(Arc::clone(store)))
            .map_err(|error| Error::invalid(format!("cannot register honker on this connection: {error}")))?;
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

#[repr(C)]
struct Guard {
    base: sqlite3_vtab,
    store: Arc<Store>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.store.set_guarded(false);
        self.store.clear();
    }
}

// SAFETY: `repr(C)` with the base class first, as the trait demands.
unsafe impl VTab<'_> for Guard {
    type Aux = Arc<Store>;
    type Cursor = Rows;

    fn connect(
        _db: &mut VTabConnection,
        aux: Option<&Self::Aux>,
        _module_name: &[u8],
        _database_name: &[u8],
        _table_name: &[u8],
        _args: &[&[u8]],
    ) -> rusqlite::Result<(Cow<'static, CStr>, Self)> {
        let store = aux.ok_or(rusqlite::Error::InvalidQuery)?;
        store.set_guarded(true);
        let guard = Guard { base: sqlite3_vtab::default(), store: Arc::clone(store) };
        Ok((Cow::Borrowed(c"CREATE TABLE x(sql TEXT, reprepares INTEGER)"), guard))
    }

    fn best_index(&self, _info: &mut IndexInfo) -> rusqlite::Result<bool> {
        Ok(true)
    }

    fn open(&mut self) -> rusqlite::Result<Rows> {
        Ok(Rows { base: Default::default(), rows: self.store.prepared_statements(), next: 0 })
    }
}

#[repr(C)]
struct Rows {
    base: rusqlite::vtab::sqlite3_vtab_cursor,
    rows: Vec<PreparedStatement>,
    next: usize,
}

// SAFETY: `repr(C)` with the base class first, as the trait demands.
unsafe impl VTabCursor for Rows {
    fn filter(&mut self, _: c_int, _: Option<&str>, _: &Filters<'_>) -> rusqlite::Result<()> {
        self.next = 0;
        Ok(())
    }

    fn next(&mut self) -> rusqlite::Result<()> {
        self.next += 1;
        Ok(())
    }

    fn eof(&self) -> bool {
        self.next >= self.rows.len()
    }

    fn column(&self, context: &mut Context, column: c_int) -> rusqlite::Result<()> {
        let row = &self.rows[self.next];
        match column {
            0 => context.set_result(&row.sql),
            _ => context.set_result(&row.reprepares),
        }
    }

    fn rowid(&self) -> rusqlite::Result<i64> {
        Ok(self.next as i64)
    }
}
