//! The seam: a [`Database`] is a file or a server, and every call of it goes to the one or the other.
//!
//! Nothing is done here. Each method chooses the engine: [`FileDatabase`] (this module's other files), whose operations are
//! functions over a connection, or [`Remote`], behind which the crate honker-postgres calls the SQL functions of a server. Both
//! take the same arguments and give the same answers, so that consumers and surfaces do not know which it is.
//! docs/decisions/0051-engines.md says why it is cut here.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::hand::Hands;
use super::last_write::{LastWrites, Write};
use super::options::Options;
use super::remote::{Remote, RemoteTransaction};
use super::server::Server;
use super::signals::Signals;
use super::status::Status;
use super::transaction::FileTransaction;
use super::value::{Rows, Value};
use super::{FileDatabase, Host};
use crate::Result;
use crate::queue::Applied;
use crate::watch::{Subscription, Warnings};

/// An open database. Clones are handles to the same one; it is closed with [`Database::close`], or with the last of them.
#[derive(Clone)]
pub struct Database {
    engine: Engine,
}

#[derive(Clone)]
enum Engine {
    File(FileDatabase),
    Server(Arc<Remote>),
}

/// An open transaction. On a file it holds the database's only writer: other calls that write wait until it is over, for as
/// long as the busy timeout. On a server it holds a connection.
///
/// It may be moved to another thread, and is used by one at a time. Dropping it rolls back. Should the process die, or
/// the database be closed, it never happened.
pub struct Transaction {
    engine: TransactionEngine,
}

enum TransactionEngine {
    File(FileTransaction),
    Server(RemoteTransaction),
}

/// Calls the same method of the engine, whichever it is.
macro_rules! choose {
    ($engine:expr, $it:ident => $body:expr) => {
        match $engine {
            Engine::File($it) => $body,
            Engine::Server($it) => $body,
        }
    };
}

impl Database {
    /// Opens a file, creating it if need be, and brings its schema up to date.
    ///
    /// `path` is a file name or a `file:` URI. In-memory databases are refused: nobody else could see them. What cannot
    /// be opened, written or read as a database is an error with SQLite's own text.
    pub fn open(path: impl AsRef<Path>, options: &Options) -> Result<Database> {
        Ok(Database { engine: Engine::File(FileDatabase::open(path, options)?) })
    }

    /// A database on a server, by an engine that `connect` makes for this host.
    pub fn over(connect: impl FnOnce(&Arc<Host>) -> Result<Arc<dyn Server>>) -> Result<Database> {
        Ok(Database { engine: Engine::Server(Arc::new(Remote::new(connect)?)) })
    }

    /// Whether it is on a server: a look at it is a way there and back, and what it can tell of a commit is which queue, topic
    /// or channel it was about.
    pub fn is_remote(&self) -> bool {
        matches!(self.engine, Engine::Server(_))
    }

    /// The file, by its absolute path, whatever name it was opened by; or the server's URL, without a password.
    pub fn path(&self) -> &str {
        choose!(&self.engine, it => it.path())
    }

    /// Runs one SQL statement that only reads; its rows. On a file honker's SQL functions are not there.
    pub fn query(&self, sql: &str, parameters: &[Value]) -> Result<Rows> {
        choose!(&self.engine, it => it.query(sql, parameters))
    }

    /// Begins a transaction. On a file it waits for the one that is open, if it is another thread's; an error at once if it is
    /// this thread's own.
    pub fn begin(&self) -> Result<Transaction> {
        let engine = match &self.engine {
            Engine::File(file) => TransactionEngine::File(file.begin()?),
            Engine::Server(remote) => TransactionEngine::Server(RemoteTransaction::begin(remote)?),
        };
        Ok(Transaction { engine })
    }

    /// A subscription to commits, by anyone in any process. What is committed after this returned wakes it.
    ///
    /// Ends like any other call with an interrupt or a close, should somebody keep the file locked meanwhile.
    pub fn subscribe(&self) -> Result<Subscription> {
        Ok(self.subscribe_with_warning()?.0)
    }

    /// As [`Database::subscribe`], and what the watcher has to say that nobody has been told yet: that it had to go over
    /// to polling, for instance. [`Database::status`] has it as well.
    pub fn subscribe_with_warning(&self) -> Result<(Subscription, Option<String>)> {
        choose!(&self.engine, it => it.subscribe_with_warning())
    }

    /// The state of the database, for diagnosis. It waits for nobody, and reads nothing from the file or the server.
    pub fn status(&self) -> Result<Status> {
        choose!(&self.engine, it => it.status())
    }

    /// What consumers have to say that is no error of theirs; [`Database::status`] tells it.
    pub(crate) fn warnings(&self) -> &Warnings {
        choose!(&self.engine, it => it.warnings())
    }

    /// What the workers of this database have in hand.
    pub(crate) fn hands(&self) -> &Hands {
        choose!(&self.engine, it => it.hands())
    }

    /// The id under which others find out whether this process is alive; `None`, and a warning, if there can be none.
    pub(crate) fn instance_id(&self) -> Option<String> {
        choose!(&self.engine, it => it.instance_id())
    }

    /// Under what name a worker claims: its id and the instance, or, if there can be none, the id as it is.
    pub(crate) fn claimant(&self, worker_id: &str) -> String {
        match self.instance_id() {
            Some(instance) => format!("{worker_id}@{instance}"),
            None => worker_id.to_owned(),
        }
    }

    /// Sees to it that others know of the instance, if there is one. To be called before a worker claims, or a candidate leads.
    pub(crate) fn register_instance(&self) -> Result<()> {
        choose!(&self.engine, it => it.register_instance())
    }

    /// When something is due that the database has said a second for: a second of this machine's clock, or a moment, where the
    /// clock is a server's.
    pub(crate) fn due(&self, second: Option<i64>) -> (Option<i64>, Option<Instant>) {
        // A clock that the conformance suite sets is the machine's and the server's.
        #[cfg(feature = "faults")]
        if crate::faults::now().is_some() {
            return (second, None);
        }
        let instant = match &self.engine {
            Engine::File(_) => None,
            Engine::Server(remote) => second.and_then(|second| remote.instant_of(second)),
        };
        if instant.is_some() { (None, instant) } else { (second, None) }
    }

    /// What tells a call that begins now, and is made of several, whether it has been interrupted.
    pub(crate) fn interrupts(&self) -> Interrupts {
        choose!(&self.engine, it => Interrupts::begin(it.signals()))
    }

    /// Ends every call that is running or waiting now with an error (interrupted). Later ones are not affected.
    pub fn interrupt(&self) -> Result<()> {
        choose!(&self.engine, it => it.interrupt())
    }

    /// Ends what runs in one transaction now with an error (interrupted): a statement or an operation that another
    /// thread uses it for. What has not begun yet is not affected, nor is a commit, nor a transaction that is over.
    pub fn interrupt_transaction(&self, number: u64) -> Result<()> {
        choose!(&self.engine, it => it.interrupt_transaction(number))
    }

    pub(super) fn last_writes(&self) -> &LastWrites {
        choose!(&self.engine, it => it.last_writes())
    }

    /// Writes for a consumer that ends, and waits no longer than `at_most`.
    pub(super) fn write_last(&self, writes: &[Write], at_most: Duration) -> Result<()> {
        choose!(&self.engine, it => it.write_last(writes, at_most))
    }

    /// Closes the database: calls that run or wait end with [`Error::Closed`](crate::Error::Closed), an open transaction is
    /// rolled back, consumers give up their locks and save their offsets (for which this waits a second at most, should
    /// somebody else keep the file locked), and when this returns the file is nobody's and can be deleted. Closing twice does
    /// no harm.
    pub fn close(&self) -> Result<()> {
        choose!(&self.engine, it => it.close())
    }

    /// Does an action to the jobs that a filter finds, a page of them. On a file they are chosen beside the writer, and looked
    /// at again under the lock. docs/sql.md says what a filter and an action are.
    pub fn jobs_apply(&self, filter_json: &str, action: &str) -> Result<Applied> {
        match &self.engine {
            Engine::File(file) => file.jobs_apply(filter_json, action),
            Engine::Server(remote) => remote.server()?.jobs_apply(filter_json, action),
        }
    }

    /// Removes the notifications that are older than `older_than_s` seconds, and those that are not among the `max_keep`
    /// newest, each where given; how many those were. The newest are counted beside the writer, once; at most 1,000 are
    /// removed in a commit.
    pub fn notifications_prune(&self, older_than_s: Option<i64>, max_keep: Option<i64>) -> Result<i64> {
        match &self.engine {
            Engine::File(file) => file.notifications_prune(older_than_s, max_keep),
            Engine::Server(remote) => remote.server()?.notifications_prune(older_than_s, max_keep),
        }
    }
}

impl Transaction {
    /// What names it to [`Database::interrupt_transaction`].
    pub fn number(&self) -> u64 {
        match &self.engine {
            TransactionEngine::File(file) => file.number(),
            TransactionEngine::Server(server) => server.number(),
        }
    }

    /// Runs one SQL statement; the number of rows it inserted, updated or deleted.
    pub fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64> {
        match &mut self.engine {
            TransactionEngine::File(file) => file.execute(sql, parameters),
            TransactionEngine::Server(server) => server.get()?.execute(sql, parameters),
        }
    }

    /// Runs one SQL statement; its rows. All of honker's SQL functions are there.
    pub fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<Rows> {
        match &mut self.engine {
            TransactionEngine::File(file) => file.query(sql, parameters),
            TransactionEngine::Server(server) => server.get()?.query(sql, parameters),
        }
    }

    /// Commits. On an error nothing of the transaction has happened; on a server whose connection is lost at that moment
    /// nobody knows.
    pub fn commit(self) -> Result<()> {
        match self.engine {
            TransactionEngine::File(file) => file.commit(),
            TransactionEngine::Server(server) => server.take()?.commit(),
        }
    }

    /// Rolls back.
    pub fn rollback(self) -> Result<()> {
        match self.engine {
            TransactionEngine::File(file) => file.rollback(),
            TransactionEngine::Server(server) => server.take()?.rollback(),
        }
    }

    /// Does an action to the jobs that a filter finds, a page of them.
    pub fn jobs_apply(&mut self, filter_json: &str, action: &str) -> Result<Applied> {
        match &mut self.engine {
            TransactionEngine::File(file) => file.jobs_apply(filter_json, action),
            TransactionEngine::Server(server) => server.get()?.jobs_apply(filter_json, action),
        }
    }

    /// Removes the notifications that are older than `older_than_s` seconds, and those that are not among the `max_keep`
    /// newest, each where given, at most 1,000; how many those were.
    pub fn notifications_prune(&mut self, older_than_s: Option<i64>, max_keep: Option<i64>) -> Result<i64> {
        match &mut self.engine {
            TransactionEngine::File(file) => file.notifications_prune(older_than_s, max_keep),
            TransactionEngine::Server(server) => server.get()?.notifications_prune(older_than_s, max_keep),
        }
    }
}

macro_rules! methods {
    (($store:ident, $now:ident) $(
        $(#[$doc:meta])*
        $kind:ident $name:ident($($argument:ident: $type:ty),*) -> $answer:ty = $body:expr;
    )*) => {
        impl Database {
            $(
                $(#[$doc])*
                pub fn $name(&self, $($argument: $type),*) -> Result<$answer> {
                    match &self.engine {
                        Engine::File(file) => file.$name($($argument),*),
                        Engine::Server(remote) => remote.server()?.$name($($argument),*),
                    }
                }
            )*
        }

        impl Transaction {
            $(
                $(#[$doc])*
                pub fn $name(&mut self, $($argument: $type),*) -> Result<$answer> {
                    match &mut self.engine {
                        TransactionEngine::File(file) => file.$name($($argument),*),
                        TransactionEngine::Server(server) => server.get()?.$name($($argument),*),
                    }
                }
            )*
        }
    };
}

crate::for_each_operation!(methods);

/// See `Database::interrupts`.
pub struct Interrupts {
    signals: Arc<Signals>,
    before: u64,
}

impl Interrupts {
    /// Of a call that begins now.
    pub fn begin(signals: &Arc<Signals>) -> Self {
        Interrupts { signals: Arc::clone(signals), before: signals.interrupts() }
    }

    /// An error if the database has been interrupted since, or closed.
    pub fn check(&self) -> Result<()> {
        self.signals.check(self.before)
    }
}
