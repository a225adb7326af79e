//! What the caller's own SQL may do on a connection that all calls share.
//!
//! A statement of the caller's runs on the one connection that writes, or on one of those that read. What it would leave
//! there, everybody else would find: a transaction ended behind its handle's back, a connection that refuses to write, a
//! file that stays locked. SQLite asks an authorizer about each of these while it compiles a statement, and ours says no;
//! the error names the statement and what to use instead. What is allowed and does not end with the transaction
//! (temporary tables, views and triggers, a limit on the file's size) is undone when that is over (`Handle::tidy`).
//!
//! SQLite plans every prepared statement of a connection anew when an authorizer is installed. It is therefore installed
//! once, when the connection is opened, and says yes to everything unless a statement of the caller's is being compiled:
//! our own statements pay nothing. Used by the thread that uses the connection.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char, c_int, c_void};

use rusqlite::{Connection, ffi};

use crate::{Error, Result};

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The caller's statements run in a transaction of the caller's.
    Writer,
    /// They run one by one, and read.
    Reader,
}

/// Pragmas whose argument is part of the question, or whose effect is undone with the transaction or ends with it
/// (`max_page_count`: see `Handle::tidy`).
const HARMLESS_WITH_ARGUMENT: [&str; 17] = [
    "application_id",
    "defer_foreign_keys",
    "foreign_key_check",
    "foreign_key_list",
    "incremental_vacuum",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "max_page_count",
    "optimize",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
    "user_version",
    "wal_checkpoint",
];

pub(super) struct Authorizer {
    role: Role,
    /// A statement of the caller's is being compiled.
    asked: Cell<bool>,
    /// Why it was refused.
    refusal: RefCell<Option<String>>,
}

impl Authorizer {
    pub(super) fn new(role: Role) -> Box<Self> {
        Box::new(Authorizer { role, asked: Cell::new(false), refusal: RefCell::default() })
    }

    /// Makes it the connection's.
    ///
    /// # Safety
    /// It stays where it is until the connection is closed.
    pub(super) unsafe fn install(&self, connection: &Connection) {
        // SAFETY: the connection is open; the caller vouches for the rest.
        unsafe {
            let this = (&raw const *self).cast_mut().cast();
            ffi::sqlite3_set_authorizer(connection.handle(), Some(authorize), this);
        }
    }

    /// Compiles a statement of the caller's.
    pub(super) fn compile<T>(&self, compile: impl FnOnce() -> rusqlite::Result<T>) -> Result<T> {
        self.asked.set(true);
        let compiled = compile();
        self.asked.set(false);
        let refusal = self.refusal.take();
        compiled.map_err(|error| refusal.map_or_else(|| Error::from_rusqlite(error), Error::Invalid))
    }

    /// Why this cannot be done, if so.
    fn refuse(&self, action: c_int, first: &str, second: Option<&str>) -> Option<String> {
        let statement = first.to_ascii_uppercase();
        match (action, self.role) {
            (ffi::SQLITE_TRANSACTION, Role::Writer) => {
                let instead = match statement.as_str() {
                    "COMMIT" => "commit the transaction with honker_tx_commit",
                    "ROLLBACK" => "roll the transaction back with honker_tx_rollback",
                    _ => "one is open already, and SAVEPOINT nests in it",
                };
                Some(format!("{statement} cannot be a statement of a transaction: {instead}"))
            }
            (ffi::SQLITE_TRANSACTION | ffi::SQLITE_SAVEPOINT, Role::Reader) => {
                let statement = if action == ffi::SQLITE_SAVEPOINT { "SAVEPOINT" } else { &statement };
                Some(format!(
                    "{statement} cannot be a query, which is one statement by itself: begin a transaction with \
                     honker_tx_begin and use honker_tx_query"
                ))
            }
            (ffi::SQLITE_ATTACH | ffi::SQLITE_DETACH, _) => {
                let statement = if action == ffi::SQLITE_ATTACH { "ATTACH" } else { "DETACH" };
                Some(format!(
                    "{statement} is not possible on a connection that all calls share: open the other file by itself, \
                     or use a connection of your own with honker's extension"
                ))
            }
            (ffi::SQLITE_PRAGMA, _) => {
                let name = first.to_ascii_lowercase();
                let value = second?;
                if HARMLESS_WITH_ARGUMENT.contains(&name.as_str()) {
                    return None;
                }
                let instead = match name.as_str() {
                    "busy_timeout" | "journal_mode" | "synchronous" | "wal_autocheckpoint" => {
                        "choose it when the database is opened"
                    }
                    "foreign_keys" => "PRAGMA defer_foreign_keys is for one transaction",
                    _ => "use a connection of your own for it",
                };
                Some(format!(
                    "PRAGMA {name} = {value} is not possible on a connection that all calls share: {instead}"
                ))
            }
            _ => None,
        }
    }
}

/// SQLite's authorizer.
unsafe extern "C" fn authorize(
    this: *mut c_void,
    action: c_int,
    first: *const c_char,
    second: *const c_char,
    _schema: *const c_char,
    _trigger: *const c_char,
) -> c_int {
    // SAFETY: `Authorizer::install` passed it, and it outlives the connection, which one thread uses at a time.
    let this = unsafe { &*this.cast::<Authorizer>() };
    if !this.asked.get() {
        return ffi::SQLITE_OK;
    }
    let text = |text: *const c_char| {
        // SAFETY: SQLite passes NUL-terminated texts that last for the call, or NULL.
        (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
    };
    match this.refuse(action, &text(first).unwrap_or_default(), text(second).as_deref()) {
        Some(refusal) => {
            this.refusal.replace(Some(refusal));
            ffi::SQLITE_DENY
        }
        None => ffi::SQLITE_OK,
    }
}
