//! `honker_core::database`: many threads on one file, sharing commits, waiting, interrupted, closed and forked.
//!
//! What SQLite ends up with is always looked at through a plain connection that knows nothing of honker.

#![cfg(feature = "runtime")]

mod batches;
mod bounded;
mod calls;
mod closing;
#[allow(dead_code, reason = "the tests of waking use the rest")]
#[path = "../watch/foreign.rs"]
#[expect(dead_code, reason = "not all of it is needed here")]
mod foreign;
#[cfg(target_os = "linux")]
mod fork;
mod interrupting;
mod line;
mod names;
mod open;
mod readers;
#[cfg(unix)]
mod replaced;
mod schema_version;
mod settings;
mod shared_connection;
#[cfg(target_os = "linux")]
mod signals;
mod storms;
mod support;
mod transactions;
mod values;
mod waiting;
