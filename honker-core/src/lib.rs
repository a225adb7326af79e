//! The behaviour of honker: a durable job queue, event streams, notify/listen, locks, rate limits, results and a cron
//! scheduler, all of it rows in the SQLite file an application already has.
//!
//! This crate is the *operations* layer. An operation is a function over a [`Store`] (a SQLite connection with the
//! operations' statements prepared), a clock value, and its arguments. It runs in the caller's transaction when there
//! is one and is otherwise atomic by itself: a crash or a second connection never sees a half-done move. What every
//! operation does, to the second, is tested in `tests/`; `docs/sql.md` describes it for users.
//!
//! [`sql::register`] makes the operations SQL functions of a connection. Times are whole seconds since the Unix epoch,
//! durations whole seconds. Operations start no thread, print nothing, and do not touch the connection's settings.
//!
//! With the feature `runtime` there is also the *runtime* above them: `database::Database`, a file with the connections
//! to use it from many threads, and `vfs`, which makes that safe beside another SQLite in the same process. It links the
//! system's SQLite, or with the feature `bundled` one that is compiled in.
//!
//! **This crate promises nothing to anybody but honker's own**, which name its exact version: any release may change any of
//! it. Programs use the crate `honker`.

pub mod batch;
mod bound;
#[cfg(feature = "runtime")]
pub mod consume;
#[cfg(feature = "faults")]
pub mod control;
pub mod counters;
#[cfg(feature = "runtime")]
pub mod database;
mod error;
#[cfg(feature = "faults")]
pub mod faults;
mod features;
pub mod fork;
mod given;
mod guard;
mod identity;
pub mod lock;
pub mod maintenance;
pub mod moving;
pub mod news;
pub mod notify;
pub mod outlook;
pub mod queue;
pub mod rate_limit;
pub mod result;
pub mod schedule;
pub mod schema;
pub mod sql;
mod statement;
pub mod step;
mod store;
pub mod stream;
mod time;
mod unit;
mod version;
#[cfg(feature = "runtime")]
pub mod vfs;
pub mod watch;

pub use error::{Cause, Error, Result, is_of_move};
pub use store::{PreparedStatement, Store};
