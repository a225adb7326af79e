//! A database with everything needed to use it from many threads: the runtime's base.
//!
//! A [`Database`] is a file or is on a server (`engine.rs`, the seam between the two; `server.rs`, what a server's engine has to
//! be able to do). All else in here is the engine for files.
//!
//! A file's database owns one connection that writes and a few that read. Calls may come from any thread at any time; those
//! that write at the same moment share a commit (`writer.rs`), and those that read run beside them (`readers.rs`). The
//! settings are those of every honker package (WAL, `synchronous = NORMAL`, busy timeout 5 s, …, [`Options`]).
//!
//! Every operation is a method of [`Database`], and of [`Transaction`]; one table has them all (`operations.rs`). They are
//! all that consumers and surfaces call. [`Store`], and closures over it, stay in here, and nothing of SQLite's own
//! interface shows: what is seen from above is operations, values and errors. docs/decisions/0019-seam.md says why.
//!
//! Waiting for a lock, in the line for the writer or for another process, ends with the busy timeout, with
//! [`Database::interrupt`], and with [`Database::close`], whatever comes first. Once the file has been replaced by another
//! of its name, operations answer [`Error::Watcher`] (`presence.rs`). A handle that a forked child inherits
//! answers [`Error::Forked`] to everything and touches nothing.

mod authorizer;
mod batch;
mod bulk;
mod busy_wait;
mod call;
mod caller_sql;
mod connection;
mod engine;
mod hand;
mod host;
#[cfg(target_os = "linux")]
mod instance;
mod last_write;
mod line;
#[cfg(target_os = "linux")]
mod lock_file;
mod operations;
mod options;
mod presence;
mod readers;
mod remote;
mod server;
mod signals;
mod status;
#[cfg(test)]
mod tests;
mod transaction;
mod value;
mod watching;
mod writer;

use std::ffi::CStr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::InterruptHandle;

use self::connection::Handle;
use self::hand::Hands;
pub(crate) use self::hand::{Hand, InHand};
use self::last_write::LastWrites;
use self::presence::Presence;
use self::readers::{Readers, Use};
use self::transaction::FileTransaction;
use self::watching::Watching;
use self::writer::Writer;
use crate::bound::Step;
use crate::counters::Tally;
#[cfg(feature = "faults")]
use crate::faults::panic_if_planted;
use crate::fork::Process;
use crate::watch::{Subscription, Warnings};
use crate::{Error, Result, Store, vfs};

pub use self::engine::{Database, Interrupts, Transaction};
pub use self::host::{Host, Mark, Settling};
pub(crate) use self::last_write::LastWrite;
pub use self::last_write::Write;
pub(crate) use self::options::deadline;
pub use self::options::{Durability, JournalMode, Nesting, Options};
pub use self::server::{Server, ServerStatus, ServerTransaction};
pub use self::signals::Signals;
pub use self::status::{Connections, Status, Versions};
pub use self::value::{Rows, Value};

/// The version of the SQLite inside, "3.50.1".
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}

/// What the SQLite inside was built from: the date and the hash of its check-in.
pub fn sqlite_source_id() -> String {
    // SAFETY: it takes nothing and returns a static text.
    unsafe { CStr::from_ptr(rusqlite::ffi::sqlite3_sourceid()) }.to_string_lossy().into_owned()
}

/// An open file. Clones are handles to the same one; it is closed with [`FileDatabase::close`], or with the last of them.
#[derive(Clone)]
struct FileDatabase {
    inner: Arc<Inner>,
}

struct Inner {
    process: Process,
    presence: Presence,
    last_writes: LastWrites,
    signals: Arc<Signals>,
    writer: Writer,
    writer_interrupt: InterruptHandle,
    readers: Readers,
    watching: Arc<Watching>,
    hands: Arc<Hands>,
    #[cfg(target_os = "linux")]
    instance: instance::OwnInstance,
    /// What consumers had to say that is no error of theirs.
    warnings: Warnings,
    /// Held while the database is being closed, so that nobody is told it is before it is.
    closing: Mutex<()>,
}

impl FileDatabase {
    /// Opens a file, creating it if need be, and brings its schema up to date.
    ///
    /// `path` is a file name or a `file:` URI. In-memory databases are refused: nobody else could see them. What cannot
    /// be opened, written or read as a database is an error with SQLite's own text.
    fn open(path: impl AsRef<Path>, options: &Options) -> Result<FileDatabase> {
        let path = options::usable_path(path.as_ref())?;
        options.watcher.check()?;
        vfs::install();
        #[cfg(feature = "faults")]
        crate::faults::install_writes();
        let process = Process::current();
        let signals = Arc::new(Signals::default());
        let hands = Arc::new(Hands::default());
        let tally = Arc::new(Tally::default());
        let handle = Handle::writer(path, options, &signals, &hands, &tally)?;
        let file = handle.file().ok_or(Error::Closed)?;
        let identity = handle.identity();
        let watching = Arc::new(Watching::new(file.clone(), identity, options.watcher, Arc::clone(&signals)));
        watching.probe()?;
        let inner = Inner {
            process,
            presence: Presence::new(file.path(), identity),
            last_writes: LastWrites::default(),
            writer_interrupt: handle.interrupt_handle(),
            writer: Writer::new(handle, Arc::clone(&signals), Arc::clone(&watching), options),
            watching,
            readers: Readers::new(file, options.clone(), Arc::clone(&signals), tally),
            signals,
            hands,
            #[cfg(target_os = "linux")]
            instance: instance::OwnInstance::default(),
            warnings: Warnings::default(),
            closing: Mutex::default(),
        };
        Ok(FileDatabase { inner: Arc::new(inner) })
    }

    /// The file, by its absolute path, whatever name it was opened by.
    pub fn path(&self) -> &str {
        self.inner.readers.path()
    }

    /// Runs an operation that writes, and commits it; alone, or in one transaction with calls of other threads.
    /// `body` is run again if another one's call has undone that transaction, so nothing may come of it but its answer.
    fn write<T: Send>(&self, mut body: impl FnMut(&Store, i64) -> Result<T> + Send) -> Result<T> {
        self.inner.check_file()?;
        self.inner.writer.call(|store, now| {
            panic_if_planted();
            body(store, now)
        })
    }

    /// Runs a bounded operation that writes, again and again until nothing is left for it to do, a commit each.
    fn repeat<T: Step + Send>(
        &self,
        body: impl Fn(&Store, i64) -> Result<T> + Send + Sync,
    ) -> Result<T::Answer> {
        self.in_turns(|| self.write(&body))
    }

    /// Takes steps until nothing is left to do, and lets others write after each.
    ///
    /// Threads of this process have their turn because they stand in line before the next step does, of which there is one
    /// in line at a time (`bulk.rs`). Other processes look for a free lock at intervals: they find one if the file is left
    /// alone for as long as it was kept.
    fn in_turns<T: Step>(&self, mut step: impl FnMut() -> Result<T>) -> Result<T::Answer> {
        const PAUSE_MAX: Duration = Duration::from_millis(20);
        let interrupts = Interrupts::begin(&self.inner.signals);
        let mut done: Option<T> = None;
        loop {
            let turn = T::IS_BULK.then(|| self.inner.writer.bulk_turn()).transpose()?;
            let start = Instant::now();
            let next = step()?;
            let goes_on = next.goes_on();
            let all = match done {
                Some(done) => done.then(next),
                None => next,
            };
            if !goes_on {
                return Ok(all.answer());
            }
            done = Some(all);
            std::thread::sleep(start.elapsed().min(PAUSE_MAX));
            drop(turn);
            interrupts.check()?;
        }
    }

    /// Runs an operation that only reads. It sees what is committed, and waits for no writer.
    fn read<T>(&self, body: impl FnOnce(&Store, i64) -> Result<T>) -> Result<T> {
        self.inner.check_file()?;
        self.inner.readers.call(Use::Operation, |handle| {
            let now = handle.store().now()?;
            panic_if_planted();
            body(handle.store(), now)
        })
    }

    /// Runs one SQL statement that only reads; its rows. honker's SQL functions are not there.
    pub fn query(&self, sql: &str, parameters: &[Value]) -> Result<Rows> {
        self.inner.check_file()?;
        self.inner.readers.call(Use::Query, |handle| handle.query(sql, parameters))
    }

    /// Begins a transaction. Waits for the one that is open, if it is another thread's; an error at once if it is this
    /// thread's own.
    pub fn begin(&self) -> Result<FileTransaction> {
        FileTransaction::begin(self)
    }

    /// A subscription to commits, by anyone in any process. What is committed after this returned wakes it. The first
    /// one starts the watcher, unless another database of this process has the file open and watches it already.
    ///
    /// Ends like any other call with an interrupt or a close, should somebody keep the file locked meanwhile.
    ///
    /// And what the watcher has to say that nobody has been told yet: that it had to go over to polling, for instance.
    /// [`FileDatabase::status`] has it as well.
    pub fn subscribe_with_warning(&self) -> Result<(Subscription, Option<String>)> {
        self.inner.check()?;
        self.inner.watching.subscribe()
    }

    /// The state of the database, for diagnosis. It waits for nobody, and reads nothing from the file.
    pub fn status(&self) -> Result<Status> {
        self.inner.check()?;
        let (readers, readers_in_use) = self.inner.readers.counts();
        let connections = Connections {
            writers: usize::from(!self.inner.signals.is_closed()),
            readers,
            readers_in_use,
            readers_max: self.inner.readers.max(),
        };
        Ok(Status {
            file: self.path().to_owned(),
            connections,
            watcher: self.inner.watching.status(),
            warnings: self.inner.warnings.all(),
            versions: Versions::here(),
        })
    }

    /// What consumers have to say that is no error of theirs; [`FileDatabase::status`] tells it.
    pub(crate) fn warnings(&self) -> &Warnings {
        &self.inner.warnings
    }

    fn signals(&self) -> &Arc<Signals> {
        &self.inner.signals
    }

    fn last_writes(&self) -> &LastWrites {
        &self.inner.last_writes
    }

    fn write_last(&self, writes: &[Write], at_most: Duration) -> Result<()> {
        self.inner.check_file()?;
        self.inner.writer.write_last(writes, at_most)
    }

    /// What the workers of this database have in hand.
    pub(crate) fn hands(&self) -> &Hands {
        &self.inner.hands
    }

    /// Elsewhere nobody can tell whether a process is dead: claims are given back when they lapse.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn instance_id(&self) -> Option<String> {
        None
    }

    /// See [`FileDatabase::instance_id`].
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn register_instance(&self) -> Result<()> {
        Ok(())
    }

    /// Ends every call that is running or waiting now with an error (`SQLITE_INTERRUPT`). Later ones are not affected.
    pub fn interrupt(&self) -> Result<()> {
        self.inner.check()?;
        self.inner.signals.interrupt();
        self.inner.writer_interrupt.interrupt();
        self.inner.readers.interrupt();
        self.inner.watching.interrupt();
        Ok(())
    }

    /// Ends what runs in one transaction now with an error (`SQLITE_INTERRUPT`): a statement or an operation that another
    /// thread uses it for. What has not begun yet is not affected, nor is a commit, nor a transaction that is over.
    pub fn interrupt_transaction(&self, number: u64) -> Result<()> {
        self.inner.check()?;
        self.inner.writer.interrupt_transaction(number, &self.inner.writer_interrupt);
        Ok(())
    }

    /// Closes the database: calls that run or wait end with [`Error::Closed`], an open transaction is rolled back,
    /// consumers give up their locks and save their offsets (for which this waits a second at most, should somebody else
    /// keep the file locked), and when this returns the file is nobody's and can be deleted. Closing twice does no harm.
    pub fn close(&self) -> Result<()> {
        self.inner.check()?;
        if connection::is_inside_call() {
            return Err(Error::Misuse("a database cannot be closed from within a call".to_owned()));
        }
        self.inner.close()
    }
}

#[cfg(not(feature = "faults"))]
fn panic_if_planted() {}

impl Inner {
    fn check(&self) -> Result<()> {
        self.process.check()
    }

    /// As `check`, before an operation: the file is the one that was opened.
    fn check_file(&self) -> Result<()> {
        self.check()?;
        // One that is closed says so, whatever became of its file.
        if self.signals.is_closed() { Ok(()) } else { self.presence.check() }
    }

    fn close(&self) -> Result<()> {
        self.signals.close();
        #[cfg(target_os = "linux")]
        self.instance.close(&self.hands);
        self.watching.close();
        let _closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
        let readers = self.readers.close();
        let writer = self.writer.close(&self.writer_interrupt, || self.last_writes.take());
        readers.and(writer)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.process.is_current() {
            // Whoever wants to know whether closing worked calls `close`.
            let _ = self.close();
        } else {
            #[cfg(target_os = "linux")]
            self.instance.forget();
            self.writer.forget();
            self.readers.forget();
        }
    }
}
