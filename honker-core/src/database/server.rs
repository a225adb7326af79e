//! What a server's engine has to be able to do: the operations, and what consumers need beside them.
//!
//! The crate honker-postgres implements this. It is not named here: this crate links no client of a server, and the extension
//! knows nothing of one. A call through a trait costs nothing beside the way to a server.
//!
//! An error means that nothing was done, with one exception: if a connection is lost while a call is under way
//! ([`Error::Connection`](crate::Error::Connection)), nobody knows whether the server has committed it.

use std::time::{Duration, Instant};

use super::last_write::Write;
use super::status::Connections;
use super::value::{Rows, Value};
use crate::Result;
use crate::queue::Applied;
use crate::watch::{self, Subscription};

/// What a server's engine says of itself.
#[derive(Debug, Clone)]
pub struct ServerStatus {
    /// Its connections.
    pub connections: Connections,
    /// How it notices commits; none before the first waiter.
    pub watcher: Option<watch::Status>,
    /// The server's version.
    pub version: Option<String>,
}

macro_rules! traits {
    (($store:ident, $now:ident) $(
        $(#[$doc:meta])*
        $kind:ident $name:ident($($argument:ident: $type:ty),*) -> $answer:ty = $body:expr;
    )*) => {
        /// A database on a server. Any thread may call any method at any time.
        ///
        /// The methods that are operations are those of the table (`operations.rs`).
        pub trait Server: Send + Sync {
            /// The URL, without a password.
            fn url(&self) -> &str;

            /// Runs one SQL statement that only reads; its rows.
            fn query(&self, sql: &str, parameters: &[Value]) -> Result<Rows>;

            /// Begins a transaction.
            fn begin(&self) -> Result<Box<dyn ServerTransaction>>;

            /// A subscription to commits by anyone. What is committed after this returned wakes it. And what there is to say of
            /// how they are noticed, if it has not been said yet.
            fn subscribe(&self) -> Result<(Subscription, Option<String>)>;

            /// It waits for nobody, and asks the server nothing.
            fn status(&self) -> ServerStatus;

            /// See [`Database::claimant`](super::Database): the id of this process's instance.
            fn instance_id(&self) -> Option<String>;

            /// Sees to it that others know of the instance, if there is one.
            fn register_instance(&self) -> Result<()>;

            /// When this second of the server's clock begins, by this process's; `None` if that is not known.
            fn instant_of(&self, second: i64) -> Option<Instant>;

            /// Ends what runs, now that the host's signals say so.
            fn interrupt(&self);

            /// Ends what runs in this transaction now.
            fn interrupt_transaction(&self, number: u64);

            /// Writes for a consumer that ends, for at most this time.
            fn write_last(&self, writes: &[Write], at_most: Duration) -> Result<()>;

            /// Ends all calls, now that the host's signals say so, writes what is left to write, and gives up the connections.
            fn close(&self, last_writes: Vec<Write>) -> Result<()>;

            /// See [`Database::jobs_apply`](super::Database::jobs_apply).
            fn jobs_apply(&self, filter_json: &str, action: &str) -> Result<Applied>;

            /// See [`Database::notifications_prune`](super::Database::notifications_prune).
            fn notifications_prune(&self, older_than_s: Option<i64>, max_keep: Option<i64>) -> Result<i64>;

            $(
                $(#[$doc])*
                fn $name(&self, $($argument: $type),*) -> Result<$answer>;
            )*
        }

        /// A transaction on a server. One thread at a time. Dropping it rolls back.
        pub trait ServerTransaction: Send {
            /// What names it to [`Server::interrupt_transaction`].
            fn number(&self) -> u64;

            /// Runs one SQL statement; the number of rows it inserted, updated or deleted.
            fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64>;

            /// Runs one SQL statement; its rows.
            fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<Rows>;

            /// Commits.
            fn commit(self: Box<Self>) -> Result<()>;

            /// Rolls back.
            fn rollback(self: Box<Self>) -> Result<()>;

            /// See [`Transaction::jobs_apply`](super::Transaction::jobs_apply).
            fn jobs_apply(&mut self, filter_json: &str, action: &str) -> Result<Applied>;

            /// See [`Transaction::notifications_prune`](super::Transaction::notifications_prune).
            fn notifications_prune(&mut self, older_than_s: Option<i64>, max_keep: Option<i64>) -> Result<i64>;

            $(
                $(#[$doc])*
                fn $name(&mut self, $($argument: $type),*) -> Result<$answer>;
            )*
        }
    };
}

crate::for_each_operation!(traits);
