//! A connection of our own: opened, set up, used, and closed.
//!
//! Used by one thread at a time. The caller's own SQL is `caller_sql.rs`; waiting for other processes is `busy_wait.rs`, and
//! what ends it `signals.rs`.

use std::cell::Cell;
use std::ffi::c_int;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{InterruptHandle, OpenFlags, ffi};

use super::authorizer::{Authorizer, Role};
use super::busy_wait::{BusyWait, sleep_once};
use super::hand::Hands;
use super::last_write::Write;
use super::options::deadline;
use super::signals::Signals;
use super::{Durability, Options};
use crate::counters::Tally;
use crate::identity::{Identity, identity};
use crate::statement::Sql;
use crate::store::SettlementListener;
use crate::watch::Target;
use crate::{Error, Result, Store, queue, sql};

/// A connection and all that belongs to it. Used by one thread at a time.
pub(super) struct Handle {
    // Dropped in this order: the connection, with the statements (`sql::register_on`, or else the store's own end), and
    // last what its handlers look at.
    pub(super) store: Arc<Store>,
    pub(super) connection: rusqlite::Connection,
    busy_wait: Box<BusyWait>,
    pub(super) authorizer: Box<Authorizer>,
    /// The file and its log as they were when the connection that writes was opened.
    files: [Option<Identity>; 2],
    /// The caller's own SQL has run since [`Handle::tidy`] last looked.
    pub(super) untidy: Cell<bool>,
    /// It may have limited the size of the file.
    pub(super) limited: Cell<bool>,
    /// [`Handle::changes`] when the last transaction began.
    began_at: u32,
    /// The version of the schema that was last looked through for deferred foreign keys, and whether it has any.
    deferred_keys: Option<(i64, bool)>,
    /// Told of what this connection settles, if it writes.
    hands: Arc<Hands>,
}

// Our own statements are the store's, the caller's are rusqlite's: neither is ever taken for the other.
static SQL_BEGIN: Sql = Sql::new("BEGIN IMMEDIATE");
static SQL_COMMIT: Sql = Sql::new("COMMIT");
static SQL_ROLLBACK: Sql = Sql::new("ROLLBACK");
static SQL_MARK: Sql = Sql::new("SAVEPOINT _honker_member");
static SQL_KEEP_MARKED: Sql = Sql::new("RELEASE _honker_member");
static SQL_UNDO_MARKED: Sql = Sql::new("ROLLBACK TO _honker_member");
static SQL_NOTHING: Sql = Sql::new("SELECT 1");
static SQL_SCHEMA_VERSION: Sql = Sql::new("PRAGMA main.schema_version");
// A key is deferred by these words only. Where they mean something else a savepoint is made for nothing.
static SQL_HAS_DEFERRED_KEYS: Sql = Sql::new(
    "SELECT EXISTS (SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND sql LIKE '%initially%deferred%')",
);

// SAFETY: a connection may move between threads, with its statements; `busy_wait` and `authorizer` are used only by calls
// on it.
unsafe impl Send for Handle {}

impl Handle {
    /// Opens the one connection that writes, creating the file if need be, and brings its schema up to date.
    pub(super) fn writer(
        path: &str,
        options: &Options,
        signals: &Arc<Signals>,
        hands: &Arc<Hands>,
        tally: &Arc<Tally>,
    ) -> Result<Handle> {
        let flags =
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_URI;
        let connection = rusqlite::Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX);
        let mut handle = Handle::new(
            connection.map_err(Error::from_rusqlite)?,
            Role::Writer,
            options,
            signals,
            signals.interrupts(),
        );
        // SQLite itself is asked, instead of reading its URIs once more.
        if handle.file().is_none() {
            return Err(Error::invalid(format!(
                "'{path}' is an in-memory database, which no other connection or process could see; use a temporary \
                 file"
            )));
        }
        handle.set_journal_mode(options)?;
        handle.set_up(options)?;
        sql::register_on(&handle.connection, &handle.store)?;
        crate::schema::bootstrap(&handle.store)?;
        handle.files = handle.files_now();
        // Asked afterwards: if the file has kept its name until now, what was looked at is what is open.
        if handle.has_moved() {
            return Err(Error::Watcher(format!(
                "'{path}' was moved or replaced while it was being opened; open it again"
            )));
        }
        handle.hands = Arc::clone(hands);
        handle.store.listen(Arc::clone(hands) as Arc<dyn SettlementListener>);
        handle.store.count_with(Arc::clone(tally));
        Ok(handle)
    }

    /// Opens a connection that only reads, beside one that counts with `tally`.
    pub(super) fn reader(
        file: &Target,
        options: &Options,
        signals: &Arc<Signals>,
        tally: &Arc<Tally>,
        interrupts: u64,
    ) -> Result<Handle> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = file.open(flags)?;
        let handle = Handle::new(connection, Role::Reader, options, signals, interrupts);
        handle.set_up(options)?;
        handle.set("query_only", "ON")?;
        handle.store.read_beside(Arc::clone(tally));
        Ok(handle)
    }

    fn new(
        connection: rusqlite::Connection,
        role: Role,
        options: &Options,
        signals: &Arc<Signals>,
        interrupts: u64,
    ) -> Handle {
        let busy_wait = BusyWait::new(options.busy_timeout, signals, interrupts);
        // SAFETY: the connection is open, and the store is dropped before it.
        let store = Arc::new(unsafe { Store::from_handle(connection.handle()) });
        let authorizer = Authorizer::new(role);
        // SAFETY: the connection is open. Both are boxed, so that they stay where they are, and dropped after it.
        unsafe {
            busy_wait.install(&connection);
            authorizer.install(&connection);
        }
        Handle {
            store,
            connection,
            busy_wait,
            authorizer,
            untidy: Cell::new(false),
            limited: Cell::new(false),
            began_at: 0,
            deferred_keys: None,
            files: [None; 2],
            hands: Arc::default(),
        }
    }

    /// The settings that every connection of ours has.
    fn set_up(&self, options: &Options) -> Result<()> {
        let synchronous = match options.durability {
            Durability::Normal => "NORMAL",
            Durability::Full => "FULL",
        };
        let wal_autocheckpoint = options.wal_autocheckpoint.to_string();
        let settings = [
            ("foreign_keys", "ON"),
            ("cache_size", "-32000"),
            ("temp_store", "MEMORY"),
            ("mmap_size", "0"),
            ("synchronous", synchronous),
            ("wal_autocheckpoint", &wal_autocheckpoint),
        ];
        settings.into_iter().try_for_each(|(name, value)| self.set(name, value))
    }

    /// The file behind the connection; `None` if it is not one that others could open.
    pub(super) fn file(&self) -> Option<Target> {
        Target::of(&self.connection)
    }

    /// The file and the log that have our names now.
    fn files_now(&self) -> [Option<Identity>; 2] {
        let path = self.connection.path().unwrap_or_default();
        [identity(path), identity(format!("{path}-wal"))]
    }

    /// What tells the file that the connection that writes has open from all others; `None` where files have no identity.
    pub(super) fn identity(&self) -> Option<Identity> {
        self.files[0]
    }

    /// Whether the file that is open has lost its name.
    fn has_moved(&self) -> bool {
        let mut moved: c_int = 0;
        // SAFETY: the connection is open, the name NUL-terminated, and this control fills in an `int`. Where there is no such
        // control, a file that is open cannot be moved.
        unsafe {
            let (db, main) = (self.connection.handle(), c"main".as_ptr());
            ffi::sqlite3_file_control(db, main, ffi::SQLITE_FCNTL_HAS_MOVED, (&raw mut moved).cast());
        }
        moved != 0
    }

    /// Whether our file or its log is another one now. A log that was only deleted is still everybody's.
    fn is_replaced(&self) -> bool {
        let now = self.files_now();
        let pairs = self.files.iter().zip(&now);
        pairs.into_iter().any(|(before, now)| before.is_some() && now.is_some() && before != now)
    }

    fn set(&self, name: &str, value: &str) -> Result<()> {
        self.connection.pragma_update(None, name, value).map_err(Error::from_rusqlite)
    }

    /// The mode that the file has after it was asked to have this one.
    fn ask_journal_mode(&self, wanted: &str) -> Result<String> {
        let ask = || -> rusqlite::Result<Option<String>> {
            let mut statement = self.connection.prepare(&format!("PRAGMA journal_mode = {wanted}"))?;
            // To its end: the new mode is answered before it is written, and only the end tells whether it could be.
            let answers = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(answers.into_iter().next())
        };
        Ok(ask().map_err(Error::from_rusqlite)?.unwrap_or_default())
    }

    /// Asks until the answer is the mode wanted: SQLite does not wait for the lock that a change of mode takes.
    fn set_journal_mode(&self, options: &Options) -> Result<()> {
        let wanted = options.journal_mode.name();
        let deadline = deadline(options.busy_timeout);
        loop {
            match self.ask_journal_mode(wanted) {
                Ok(mode) if mode == wanted => return Ok(()),
                Ok(mode) => {
                    return Err(Error::invalid(format!(
                        "the journal mode of this file stays '{mode}' and does not become '{wanted}'"
                    )));
                }
                Err(error)
                    if is_busy(&error) && deadline.is_none_or(|deadline| Instant::now() < deadline) =>
                {
                    sleep_once(Duration::from_millis(2));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Runs one call on this connection: an interrupt from now on ends it.
    pub(super) fn call<T>(
        &mut self,
        interrupts: u64,
        body: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.busy_wait.interrupts.set(interrupts);
        self.busy_wait.signals.check(interrupts)?;
        let _inside = Inside::enter();
        body(self).map_err(|error| self.busy_wait.signals.explain(interrupts, error))
    }

    /// What workers of this database have in hand.
    pub(super) fn hands(&self) -> &Hands {
        &self.hands
    }

    /// Asks the file which of the settlements of the open transaction it has, if the caller's own SQL may have undone some.
    pub(super) fn check_hands(&self) -> Result<()> {
        if !self.untidy.get() {
            return Ok(());
        }
        let now = self.store.now()?;
        self.hands.check(|worker_id, held| queue::is_held(&self.store, now, worker_id, held))
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn interrupt_handle(&self) -> InterruptHandle {
        self.connection.get_interrupt_handle()
    }

    pub(super) fn in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// Begins a transaction that may write, waiting for other processes.
    pub(super) fn begin(&mut self, interrupts: u64) -> Result<()> {
        self.began_at = self.changes();
        self.store.set_budget(None);
        self.store.set_foreign_sql(false);
        self.call(interrupts, |handle| handle.run(&SQL_BEGIN))
    }

    /// Commits; whether rows were changed since the transaction began.
    pub(super) fn commit(&mut self) -> Result<bool> {
        let changes_any = self.changes() != self.began_at;
        if changes_any {
            self.count(|tally, store| tally.add(store, false));
        }
        self.call(self.busy_wait.signals.interrupts(), |handle| handle.run(&SQL_COMMIT))?;
        self.count(|tally, _| tally.committed());
        Ok(changes_any)
    }

    fn count(&self, body: impl FnOnce(&Tally, &Store)) {
        if let Some(tally) = self.store.tally() {
            body(tally, &self.store);
        }
    }

    /// Whether there are counts that the file does not have.
    pub(super) fn has_counts(&self) -> bool {
        self.store.tally().is_some_and(Tally::has_counts)
    }

    /// Writes for consumers that end, in a transaction of its own, which undoes one that is open; whether rows were
    /// changed. Waits for other processes no longer than `timeout`, and neither an interrupt nor a close ends that.
    pub(super) fn write_last(&mut self, writes: &[Write], timeout: Duration) -> Result<bool> {
        let before = self.changes();
        self.roll_back()?;
        self.busy_wait.last.set(Some(timeout));
        let committed = self.run(&SQL_BEGIN).and_then(|()| {
            // Each is atomic by itself: one that fails leaves the others alone.
            let written = writes.iter().map(|write| write.run(&self.store)).fold(Ok(()), Result::and);
            self.count(|tally, store| tally.add(store, true));
            self.run(&SQL_COMMIT)?;
            self.count(|tally, _| tally.committed());
            written
        });
        self.busy_wait.last.set(None);
        self.roll_back()?;
        committed.map(|()| self.changes() != before)
    }

    /// How many rows have been changed through this connection, also by what was rolled back with a whole transaction of
    /// several calls; not by what one call has undone.
    pub(super) fn changes(&self) -> u32 {
        self.store.total_changes()
    }

    /// Undoes the open transaction, if there is one. An interrupt does not keep it from that: what a later call did in a
    /// transaction left open would be acknowledged and lost.
    pub(super) fn roll_back(&mut self) -> Result<()> {
        while self.in_transaction() {
            self.undo(&SQL_ROLLBACK)?;
        }
        self.count(|tally, _| tally.undone());
        Ok(())
    }

    /// Whether a call can leave something behind that only COMMIT would refuse: a deferred foreign key, of a table of
    /// the user's that refers to one of ours or is filled by a trigger.
    pub(super) fn has_deferred_keys(&mut self) -> Result<bool> {
        let ask = |sql| self.store.query_one(sql, &[], |row| row.integer(0)).map(Option::unwrap_or_default);
        let version = ask(&SQL_SCHEMA_VERSION)?;
        match self.deferred_keys {
            Some((seen, has)) if seen == version => Ok(has),
            _ => {
                let has = ask(&SQL_HAS_DEFERRED_KEYS)? != 0;
                self.deferred_keys = Some((version, has));
                Ok(has)
            }
        }
    }

    /// Marks a point of the open transaction, to be ended with [`Handle::keep_marked`].
    pub(super) fn mark(&self) -> Result<()> {
        self.run(&SQL_MARK)
    }

    /// Keeps what was done since [`Handle::mark`], unless COMMIT would refuse it: then it is undone.
    pub(super) fn keep_marked(&self) -> Result<()> {
        let outcome = queue::check_keys(&self.store, true);
        if outcome.is_err() {
            self.undo(&SQL_UNDO_MARKED)?;
        }
        self.undo(&SQL_KEEP_MARKED)?;
        outcome
    }

    /// Runs a statement that has to be run however often somebody interrupts.
    pub(super) fn undo(&self, sql: &'static Sql) -> Result<()> {
        uninterrupted(|| self.run(sql))
    }

    fn run(&self, sql: &'static Sql) -> Result<()> {
        self.store.query_one(sql, &[], |_| ()).map(drop)
    }

    /// Closes the connection, undoing what is not committed.
    pub(super) fn close(self) -> Result<()> {
        // An interrupt that hit nothing is remembered until a statement begins, and would keep SQLite from writing the
        // log back as it closes.
        let _ = self.run(&SQL_NOTHING);
        if self.is_replaced() {
            // What now has their names is not ours. The last connection to a file writes its log back and deletes it, by
            // its name. (If this fails, so does closing.)
            let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
        let Handle { store, connection, busy_wait, authorizer, .. } = self;
        drop(store);
        let closed = connection.close().map_err(|(_, error)| Error::from_rusqlite(error));
        drop((busy_wait, authorizer));
        closed
    }
}

/// Repeats what has to be done however often somebody interrupts.
pub(super) fn uninterrupted(mut body: impl FnMut() -> Result<()>) -> Result<()> {
    loop {
        match body() {
            Err(Error::Interrupted(_)) => {}
            done => return done,
        }
    }
}

thread_local! {
    static INSIDE: Cell<u32> = const { Cell::new(0) };
}

/// Marks this thread as being inside of a call.
struct Inside;

impl Inside {
    fn enter() -> Self {
        INSIDE.set(INSIDE.get() + 1);
        Inside
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(INSIDE.get() - 1);
    }
}

/// Whether this thread is inside of a call, and would wait for itself if it closed the database.
pub(super) fn is_inside_call() -> bool {
    INSIDE.get() > 0
}

pub(super) fn is_busy(error: &Error) -> bool {
    matches!(error, Error::Busy(_))
}
