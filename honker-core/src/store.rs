//! A SQLite connection as the operations see it.
//!
//! A [`Store`] borrows a connection that somebody else owns, keeps the operations' statements prepared on it, and gives
//! them the one thing SQLite does not: a unit of work that is atomic whether or not the caller has a transaction open
//! ([`Store::atomic`]).
//!
//! Threads: a store is used under its connection's rule, by one thread at a time. It may be *re-entered*: a trigger of
//! the user's on one of our tables may call one of our SQL functions while a statement of ours is running. A statement
//! is therefore taken out of its slot while it runs; whoever finds the slot empty prepares its own copy. How deep that
//! may go is limited ([`Store::enter`]).

use std::cell::{Cell, OnceCell, RefCell};
use std::ffi::c_int;
use std::sync::Arc;

use rusqlite::ffi;

use crate::bound::Budget;
use crate::counters::Tally;
use crate::features::Features;
use crate::queue::{LookInVain, Settings};
use crate::statement::{Row, Sql, Statement, Value, last_error};
use crate::unit::Unit;
use crate::version::{self, LastLook};
use crate::{Error, Result, guard};

/// Is told of claims that their holders settle, by who runs the operation.
pub(crate) trait SettlementListener: Send + Sync {
    /// Whether there is anybody who wants to know.
    fn is_listening(&self) -> bool;
    /// How many settlements it has been told of in the open transaction.
    fn told(&self) -> usize;
    /// The claim is about to be settled. Until the transaction is committed it may still turn out otherwise.
    fn begin(&self, id: i64, worker_id: &str);
    /// All but the first so many were not made, or undone.
    fn forget(&self, but: usize);
}

/// How deep calls of our SQL functions may be nested in each other. Two or three levels are a design; a trigger that
/// fires itself through a function would otherwise go on until the stack is used up, and SQLite cannot see it.
const DEPTH_MAX: u32 = 32;

/// The operations' view of one SQLite connection. See the module documentation.
pub struct Store {
    db: *mut ffi::sqlite3,
    slots: RefCell<Vec<Option<Statement>>>,
    /// Whether somebody will finalise our statements when the connection closes: the guard, when it is armed
    /// ([`crate::guard`]), or else whoever made this store.
    guarded: Cell<bool>,
    /// How many calls of our SQL functions are running, one within the other.
    depth: Cell<u32>,
    /// The last look at the version of the file's schema.
    last_look: LastLook,
    /// How many units ([`Store::atomic`]) are running that have looked at it under the lock: nobody can change it.
    looked: Cell<u32>,
    listener: OnceCell<Arc<dyn SettlementListener>>,
    tally: OnceCell<Arc<Tally>>,
    /// That of the connection beside which this one reads.
    tally_beside: OnceCell<Arc<Tally>>,
    /// What is left of the bounded work of a transaction that calls share.
    budget: Cell<Option<Budget>>,
    /// Whether SQL that is not ours may have run in the open transaction, and have made triggers.
    foreign_sql: Cell<bool>,
    /// How many of the connection's changes were undone by units.
    undone: Cell<u32>,
    /// How many rows had been changed when the unit began that is the transaction.
    changes_before: Cell<Option<u32>>,
    /// The last look for jobs that wait in vain.
    look_in_vain: RefCell<LookInVain>,
    /// The last settings of a queue that were read, and the text that they were read from (`queue/settings.rs`).
    last_settings: RefCell<(String, Settings)>,
}

// SAFETY: a connection, and with it its statements, may move between threads as long as one uses it at a time. That is
// what SQLite's "serialized" mode enforces with the connection's mutex, which is held whenever it calls one of our
// functions, and what its "multi-thread" mode demands of the host.
unsafe impl Send for Store {}
// SAFETY: as above: shared between the functions registered on one connection, never used by two threads at a time.
unsafe impl Sync for Store {}

/// A statement that a store keeps prepared, for tests and diagnosis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedStatement {
    /// Its text.
    pub sql: String,
    /// How often SQLite planned it again since it was prepared.
    pub reprepares: i32,
}

// Takes the write lock and changes nothing: no page becomes dirty and nobody is woken. The notifications table is the
// one that exists on every connection that has our functions, bootstrapped or not.
static SQL_LOCK: Sql = Sql::new("DELETE FROM main._honker_notifications WHERE 0");

impl Store {
    /// A store over an open connection.
    ///
    /// # Safety
    /// `db` must be an open connection. It must stay open as long as the store is used, and before it is closed the
    /// statements must be gone: through [`Store::clear`], by dropping the store, or because [`crate::sql::register`]
    /// has put a guard on the connection that sees to it.
    pub unsafe fn from_handle(db: *mut ffi::sqlite3) -> Self {
        Store {
            db,
            slots: RefCell::default(),
            guarded: Cell::new(true),
            depth: Cell::new(0),
            last_look: LastLook::default(),
            looked: Cell::new(0),
            listener: OnceCell::new(),
            tally: OnceCell::new(),
            tally_beside: OnceCell::new(),
            budget: Cell::new(None),
            foreign_sql: Cell::new(true),
            undone: Cell::new(0),
            changes_before: Cell::new(None),
            look_in_vain: RefCell::default(),
            last_settings: RefCell::default(),
        }
    }

    /// Tells `listener` of settlements from now on.
    #[cfg(feature = "runtime")]
    pub(crate) fn listen(&self, listener: Arc<dyn SettlementListener>) {
        let _ = self.listener.set(listener);
    }

    /// Counts with `tally` from now on.
    #[cfg(feature = "runtime")]
    pub(crate) fn count_with(&self, tally: Arc<Tally>) {
        let _ = self.tally.set(tally);
    }

    /// Who counts, if anybody.
    pub(crate) fn tally(&self) -> Option<&Tally> {
        self.tally.get().map(|tally| &**tally)
    }

    /// Reads beside a connection that counts with `tally` from now on.
    #[cfg(feature = "runtime")]
    pub(crate) fn read_beside(&self, tally: Arc<Tally>) {
        let _ = self.tally_beside.set(tally);
    }

    /// Who counts on the connection beside which this one reads.
    pub(crate) fn tally_beside(&self) -> Option<&Tally> {
        self.tally_beside.get().map(|tally| &**tally)
    }

    /// Who has to be told of settlements, if anybody.
    pub(crate) fn listener(&self) -> Option<&dyn SettlementListener> {
        self.listener.get().map(|listener| &**listener).filter(|listener| listener.is_listening())
    }

    /// Runs an operation by which `worker_id` settles a claim, if it says that it has.
    pub(crate) fn settling(
        &self,
        id: i64,
        worker_id: &str,
        operation: impl FnOnce() -> Result<bool>,
    ) -> Result<bool> {
        let Some(listener) = self.listener() else { return operation() };
        let told = listener.told();
        listener.begin(id, worker_id);
        let settled = operation();
        if !matches!(settled, Ok(true)) {
            listener.forget(told);
        }
        settled
    }

    /// Says whether SQL that is not ours may have run in the open transaction. Unless somebody says otherwise, it may.
    #[cfg(feature = "runtime")]
    pub(crate) fn set_foreign_sql(&self, foreign_sql: bool) {
        self.foreign_sql.set(foreign_sql);
    }

    /// How often SQLite has planned a statement, which is run for that.
    pub(crate) fn plans(&self, sql: &'static Sql) -> Result<i32> {
        self.with(sql, |statement| {
            statement.run(&[], |_| ())?;
            Ok(statement.reprepares())
        })
    }

    /// What is left of the bounded work of the open transaction, if calls share it.
    pub(crate) fn budget(&self) -> Option<Budget> {
        self.budget.get()
    }

    /// Sets what bounded work calls may do in the open transaction, which they share; `None`: each as much as one may.
    pub(crate) fn set_budget(&self, budget: Option<Budget>) {
        self.budget.set(budget);
    }

    pub(crate) fn handle(&self) -> *mut ffi::sqlite3 {
        self.db
    }

    pub(crate) fn look_in_vain(&self) -> &RefCell<LookInVain> {
        &self.look_in_vain
    }

    pub(crate) fn last_settings(&self) -> &RefCell<(String, Settings)> {
        &self.last_settings
    }

    pub(crate) fn last_look(&self) -> &LastLook {
        &self.last_look
    }

    pub(crate) fn set_guarded(&self, guarded: bool) {
        self.guarded.set(guarded);
    }

    pub(crate) fn is_guarded(&self) -> bool {
        self.guarded.get()
    }

    /// Finalises all statements. The next operation prepares its own again.
    pub fn clear(&self) {
        // Taken out first: finalising may call back into this store (a trace callback of the host's).
        let statements = std::mem::take(&mut *self.slots.borrow_mut());
        drop(statements);
        self.last_look.forget();
    }

    /// The statements this store holds prepared just now.
    pub fn prepared_statements(&self) -> Vec<PreparedStatement> {
        let slots = self.slots.borrow();
        let held = slots.iter().flatten();
        held.map(|statement| PreparedStatement { sql: statement.sql(), reprepares: statement.reprepares() })
            .collect()
    }

    /// The current second, as `unixepoch()` has it on this connection.
    pub fn now(&self) -> Result<i64> {
        const UNIX_EPOCH_JULIAN_MS: i64 = 210_866_760_000_000;
        let mut vfs: *mut ffi::sqlite3_vfs = std::ptr::null_mut();
        let mut julian_ms = 0;
        // SAFETY: this control fills in a pointer. The VFS lives as long as its connections; the two methods are those that
        // SQLite itself calls for `unixepoch()`, in the same way. A statement would do the same at the price of a twentieth
        // of an enqueue.
        let code = unsafe {
            let code = self.control(ffi::SQLITE_FCNTL_VFS_POINTER, &raw mut vfs);
            match vfs.as_ref() {
                Some(methods) if code == ffi::SQLITE_OK => {
                    match (methods.iVersion, methods.xCurrentTimeInt64, methods.xCurrentTime) {
                        (2.., Some(time), _) => time(vfs, &raw mut julian_ms),
                        (_, _, Some(time)) => {
                            let mut days = 0.0;
                            let code = time(vfs, &raw mut days);
                            julian_ms = (days * 86_400_000.0) as i64;
                            code
                        }
                        _ => ffi::SQLITE_ERROR,
                    }
                }
                _ if code != ffi::SQLITE_OK => code,
                _ => ffi::SQLITE_ERROR,
            }
        };
        if code != ffi::SQLITE_OK {
            return Err(Error::from_sqlite(code, "the time cannot be had from SQLite's VFS"));
        }
        Ok((julian_ms - UNIX_EPOCH_JULIAN_MS).div_euclid(1000))
    }

    /// Asks something of the main database's file; SQLite's result code.
    ///
    /// # Safety
    /// `answer` is what this control fills in.
    pub(crate) unsafe fn control<T>(&self, control: c_int, answer: *mut T) -> c_int {
        // The main database has no name here: to find it by name is what would cost most.
        // SAFETY: the connection is open; the caller vouches for the rest.
        unsafe { ffi::sqlite3_file_control(self.db, std::ptr::null(), control, answer.cast()) }
    }

    /// Runs a statement that returns no rows; the number of rows it changed.
    pub(crate) fn execute(&self, sql: &'static Sql, parameters: &[Value<'_>]) -> Result<i64> {
        self.with(sql, |statement| {
            statement.run(parameters, |_| ())?;
            Ok(self.changes())
        })
    }

    /// Runs an INSERT; the row id it gave. An error if a trigger kept the row from being inserted.
    pub(crate) fn insert(&self, sql: &'static Sql, parameters: &[Value<'_>]) -> Result<i64> {
        self.with(sql, |statement| {
            statement.run(parameters, |_| ())?;
            if self.changes() == 0 {
                return Err(Error::ignored("inserted", "the table"));
            }
            // SAFETY: the connection is open.
            Ok(unsafe { ffi::sqlite3_last_insert_rowid(self.db) })
        })
    }

    /// How many rows have been changed through this connection, but for what units have undone.
    pub(crate) fn total_changes(&self) -> u32 {
        self.connection_changes().wrapping_sub(self.undone.get())
    }

    /// All changes since [`Store::total_changes`] was this are undone.
    pub(crate) fn undo_changes(&self, total: u32) {
        self.undone.set(self.connection_changes().wrapping_sub(total));
    }

    /// Names the state of the file as this connection sees it: the same twice is the same file, but for what is undone.
    pub(crate) fn state(&self) -> Result<(i64, u32)> {
        // The first tells of others' commits.
        Ok((version::data_version(self)?.unwrap_or_default(), self.connection_changes()))
    }

    /// Whether this connection is known to have changed nothing that could still be undone.
    pub(crate) fn has_nothing_to_undo(&self) -> bool {
        !self.in_transaction() || self.changes_before.get() == Some(self.connection_changes())
    }

    fn connection_changes(&self) -> u32 {
        // SAFETY: the connection is open. (The count in 64 bits is not in every host's SQLite.)
        unsafe { ffi::sqlite3_total_changes(self.db) }.cast_unsigned()
    }

    fn changes(&self) -> i64 {
        // SAFETY: the connection is open.
        i64::from(unsafe { ffi::sqlite3_changes(self.db) })
    }

    /// Runs a statement to its end; its first row, if there was one.
    pub(crate) fn query_one<T>(
        &self,
        sql: &'static Sql,
        parameters: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> T,
    ) -> Result<Option<T>> {
        let mut first = None;
        self.with(sql, |statement| {
            statement.run(parameters, |row| {
                if first.is_none() {
                    first = Some(read(row));
                }
            })
        })?;
        Ok(first)
    }

    /// Runs a statement to its end; all its rows.
    pub(crate) fn query<T>(
        &self,
        sql: &'static Sql,
        parameters: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> T,
    ) -> Result<Vec<T>> {
        let mut rows = Vec::new();
        self.with(sql, |statement| statement.run(parameters, |row| rows.push(read(row))))?;
        Ok(rows)
    }

    /// Runs a SELECT, handing its rows to `each` until that answers `false`.
    pub(crate) fn query_while(
        &self,
        sql: &'static Sql,
        parameters: &[Value<'_>],
        each: impl FnMut(&Row<'_>) -> bool,
    ) -> Result<()> {
        self.with(sql, |statement| statement.run_while(parameters, each))
    }

    /// Runs a statement that is not worth keeping (DDL, migrations).
    pub(crate) fn execute_once(&self, sql: &str) -> Result<()> {
        // SAFETY: the connection is open, and the statement is dropped before this returns.
        unsafe { Statement::prepare(self.db, sql) }?.run(&[], |_| ())
    }

    /// As [`Store::query`], for a statement that is not worth keeping.
    pub(crate) fn query_once<T>(&self, sql: &str, read: impl Fn(&Row<'_>) -> T) -> Result<Vec<T>> {
        let mut rows = Vec::new();
        // SAFETY: as in `execute_once`.
        unsafe { Statement::prepare(self.db, sql) }?.run(&[], |row| rows.push(read(row)))?;
        Ok(rows)
    }

    /// Runs `body` as one unit: all of its writes happen or none, and nobody else sees or makes a change between its
    /// first read and its last write.
    ///
    /// In the caller's transaction this is a savepoint; otherwise it is a transaction of its own. SQLite refuses a
    /// savepoint when we are called from inside a writing statement (`INSERT … VALUES (honker_x())`, a trigger). There
    /// `body` simply runs, and that statement keeps the writes together: all of it is undone if `body` fails, save in a
    /// transaction of the caller's, who then has to roll back (docs/decisions/0001).
    pub(crate) fn atomic<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        let had_written = self.in_transaction() && self.is_writing();
        let unit = Unit::begin(self)?;
        // Locks before the first read: a transaction that reads first and finds another's commit in between cannot be
        // upgraded, and SQLite does not wait for that to change.
        self.lock()?;
        version::check_locked(self, had_written)?;
        let is_outermost = unit.as_ref().is_some_and(Unit::is_outermost);
        if is_outermost {
            self.changes_before.set(Some(self.connection_changes()));
        }
        let body = || {
            let _looked = Count::up(&self.looked);
            body()
        };
        let value = body();
        if is_outermost {
            self.changes_before.set(None);
        }
        let value = value?;
        if let Some(unit) = unit {
            unit.commit()?;
            // A trigger may have made the file use what this connection does not know of.
            if is_outermost && !self.last_look.has_triggers() {
                version::committed(self);
            }
        }
        Ok(value)
    }

    /// Runs a statement that writes, and `read` after it, as one unit: if either fails nothing has happened. Outside of a
    /// transaction that costs nothing; in the caller's there is a savepoint only if there are triggers: without any, `read` must
    /// not fail.
    pub(crate) fn write_and_read<T, U>(
        &self,
        write: impl FnOnce() -> Result<T>,
        read: impl FnOnce(T) -> Result<U>,
    ) -> Result<U> {
        if self.looked.get() > 0 {
            return write().and_then(read);
        }
        let write = || {
            // What it looks at comes after it, and undoes it.
            let _looked = Count::up(&self.looked);
            write()
        };
        self.single_then(write, read, |_| false)
    }

    /// As [`Store::write_and_read`], for a file that does not use what `uses` looks for; `None`, and nothing has happened, if it
    /// does, as far as this connection knows under the write lock.
    pub(crate) fn write_unless_used<T, U>(
        &self,
        uses: fn(Features) -> bool,
        write: impl FnOnce() -> Result<T>,
        read: impl FnOnce(T) -> Result<U>,
    ) -> Result<Option<U>> {
        if uses(self.features()) {
            return Ok(None);
        }
        // Outside of a transaction somebody else's first use is seen only when the statement has run, which is undone then.
        let is_used = Cell::new(false);
        let check = || {
            is_used.set(uses(self.features()));
            if is_used.get() { Err(Error::invalid("a feature is in use")) } else { Ok(()) }
        };
        let written = self
            .write_and_read(|| check().and_then(|()| write()), |value| check().and_then(|()| read(value)));
        if is_used.get() { Ok(None) } else { written.map(Some) }
    }

    /// As [`Store::atomic`], for a body with one statement that writes. In the caller's transaction there is a savepoint only
    /// if there are triggers, or `may_fail` says that something after that statement may. `lock` changes nothing, and takes
    /// the write lock.
    pub(crate) fn write_once<T>(
        &self,
        lock: &'static Sql,
        body: impl FnOnce() -> Result<T>,
        may_fail: impl FnOnce(&Store) -> bool,
    ) -> Result<T> {
        if self.looked.get() > 0 {
            return body();
        }
        let lock = || {
            let _looked = Count::up(&self.looked);
            if self.is_writing() { Ok(0) } else { self.execute(lock, &[]) }
        };
        let body = |_| {
            let _looked = Count::up(&self.looked);
            body()
        };
        self.single_then(lock, body, may_fail)
    }

    /// Takes the write lock, in a transaction that is open.
    pub(crate) fn lock(&self) -> Result<()> {
        self.execute(&SQL_LOCK, &[]).map(drop)
    }

    /// Marks a call of one of our SQL functions as running. An error if too many are, one within the other.
    pub(crate) fn enter(&self) -> Result<Count<'_>> {
        if self.depth.get() == DEPTH_MAX {
            return Err(Error::invalid(format!(
                "honker functions are nested more than {DEPTH_MAX} deep: a trigger seems to fire itself through them"
            )));
        }
        Ok(Count::up(&self.depth))
    }

    /// Whether one of our SQL functions is running, and with it a statement of somebody else's.
    pub(crate) fn is_in_function(&self) -> bool {
        self.depth.get() > 0
    }

    fn with<T>(&self, sql: &'static Sql, body: impl FnOnce(&mut Statement) -> Result<T>) -> Result<T> {
        let slot = sql.slot();
        let taken = self.slots.borrow_mut().get_mut(slot).and_then(Option::take);
        let mut statement = match taken {
            Some(statement) => statement,
            None => {
                if !self.guarded.get() {
                    guard::arm(self)?;
                }
                // SAFETY: the connection is open; whoever closes it clears this store first.
                unsafe { Statement::prepare(self.db, sql.text) }?
            }
        };
        let is_unit = statement.writes() && self.looked.get() == 0 && !std::ptr::eq(sql, &SQL_LOCK);
        let outcome = if is_unit { self.single(|| body(&mut statement)) } else { body(&mut statement) };
        let mut slots = self.slots.borrow_mut();
        if slots.len() <= slot {
            slots.resize_with(slot + 1, || None);
        }
        // A re-entrant call may have put its own copy here in the meantime; the one that comes last stays.
        let previous = slots[slot].replace(statement);
        drop(slots);
        drop(previous);
        outcome
    }

    /// Runs one statement that writes and belongs to no [`Store::atomic`]: all of it happens, or nothing.
    ///
    /// SQLite sees to that by itself, save when a trigger says RAISE(FAIL), which keeps what was done before. In the
    /// caller's transaction only a savepoint could undo that, which would cost every plain call its copies of pages, so
    /// there is one only if there are triggers.
    fn single<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        self.single_then(body, |value| Ok(value), |_| false)
    }

    /// As [`Store::single`], with what is read after the statement: if that fails, nothing happens. `may_fail` is asked in
    /// the caller's transaction whether it may, and costs a savepoint.
    fn single_then<T, U>(
        &self,
        body: impl FnOnce() -> Result<T>,
        then: impl FnOnce(T) -> Result<U>,
        may_fail: impl FnOnce(&Store) -> bool,
    ) -> Result<U> {
        let is_lone = !self.in_transaction();
        if !is_lone {
            version::check_write(self)?;
            if self.foreign_sql.get() {
                version::look_for_triggers(self)?;
            }
            if !self.last_look.has_triggers() && !may_fail(self) {
                return body().and_then(then);
            }
        }
        let unit = Unit::begin(self)?;
        // There is none within a statement of the host's that writes, which has the lock, and may have written before.
        let is_within = is_lone && unit.is_none();
        if is_within {
            version::check_locked(self, true)?;
        }
        let value = body()?;
        if is_lone && !is_within {
            // Under the lock that the statement has taken.
            version::check_locked(self, false)?;
        }
        let value = then(value)?;
        if let Some(unit) = unit {
            unit.commit()?;
        }
        if is_lone && !is_within {
            version::committed(self);
        }
        Ok(value)
    }

    /// Whether a transaction is open, the caller's or that of [`Store::atomic`].
    pub(crate) fn in_transaction(&self) -> bool {
        // SAFETY: the connection is open.
        unsafe { ffi::sqlite3_get_autocommit(self.db) == 0 }
    }

    /// The longest text, in bytes, that this connection takes.
    pub(crate) fn length_max(&self) -> i64 {
        // SAFETY: the connection is open; a negative value asks without setting.
        i64::from(unsafe { ffi::sqlite3_limit(self.db, ffi::SQLITE_LIMIT_LENGTH, -1) })
    }

    /// The longest text, in bytes, that a connection can be told to take.
    pub(crate) fn length_max_of_any(&self) -> i64 {
        // SAFETY: the connection is open. SQLite cuts down what is too much, and answers what was set before: the first
        // call asks for the most there is, the second finds out what that was and sets what there was.
        unsafe {
            let limit = ffi::sqlite3_limit(self.db, ffi::SQLITE_LIMIT_LENGTH, c_int::MAX);
            i64::from(ffi::sqlite3_limit(self.db, ffi::SQLITE_LIMIT_LENGTH, limit))
        }
    }

    /// Whether COMMIT would fail because of a deferred foreign key.
    pub(crate) fn violates_deferred_keys(&self) -> bool {
        let (mut current, mut highest) = (0, 0);
        // SAFETY: the connection is open; SQLite fills both.
        unsafe {
            ffi::sqlite3_db_status(
                self.db,
                ffi::SQLITE_DBSTATUS_DEFERRED_FKS,
                &raw mut current,
                &raw mut highest,
                0,
            );
        }
        current != 0
    }

    /// Whether this connection cannot write to the main database.
    pub(crate) fn is_readonly(&self) -> bool {
        // SAFETY: the connection is open and the name is NUL-terminated.
        unsafe { ffi::sqlite3_db_readonly(self.db, c"main".as_ptr()) == 1 }
    }

    /// Turns a result code of this connection into a result.
    pub(crate) fn check(&self, code: c_int) -> Result<()> {
        if code == ffi::SQLITE_OK {
            return Ok(());
        }
        // SAFETY: the connection is open.
        Err(unsafe { last_error(self.db, code) })
    }
}

/// One of the things that are running, counted until it is dropped.
pub(crate) struct Count<'a>(&'a Cell<u32>);

impl<'a> Count<'a> {
    fn up(cell: &'a Cell<u32>) -> Self {
        cell.set(cell.get() + 1);
        Count(cell)
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
