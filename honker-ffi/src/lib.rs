//! libhonker: what every language package stands on. `include/honker.h` is made from this crate, and is where its users
//! read about it.
//!
//! There is one file per noun, and nothing in them but translation: pointers become Rust values, the call goes to
//! [`honker_core::database::Database`], and what comes back becomes a status, outputs, and perhaps an error. Three pieces
//! carry the weight:
//!
//! - `entry.rs`: every exported function is one call of `entry`, which clears the outputs, stops panics, and turns a
//!   failure into a status and a `honker_error_t`.
//! - `handle.rs`: a handle is a number in a pointer's clothes, looked up in a table. NULL, a closed handle, one of
//!   another kind, or one from before a fork is found out, not followed.
//! - `view.rs`: structs that can grow, read and written by the size that the caller knows.
//!
//! Threads: any function may be called from any thread; what a type adds to that, its documentation says.

// The names are those of the header.
#![allow(non_camel_case_types)]

#[cfg(all(test, unix))]
mod abi;
mod consumer;
mod entry;
#[cfg(feature = "faults")]
mod fault;
mod handle;
mod target;
mod view;

pub mod status;

pub mod version;

pub mod error;

pub mod text;

pub mod db;

pub mod tx;

pub mod query;

pub mod enqueue;

pub mod queue;

pub mod settings;

pub mod jobs;

pub mod waiter;

pub mod updates;

pub mod worker;

pub mod dead;

pub mod bulk;

pub mod batch;

pub mod step;

pub mod notification;

pub mod listener;

pub mod stream;

pub mod subscription;

pub mod result;

pub mod lock;

pub mod rate_limit;

pub mod scheduler;

pub mod fires;

pub mod leader;

pub mod outbox;
