//! `honker_core::watch`: every commit by anybody is followed by a wake.
//!
//! Who commits is another process, a Python with the system's SQLite ([`foreign`]), unless a test says otherwise. What
//! belongs to a process (threads, descriptors, locks, the working directory, forks) is tested in a process of its own
//! ([`support::alone`]). Nothing here depends on how fast anything is, only on whether it comes.

#![cfg(all(feature = "runtime", target_os = "linux"))]

mod commits;
mod database;
mod deaf;
mod foreign;
mod fork;
mod leading;
mod names;
mod proof;
mod refused;
mod replaced;
mod sharing;
mod subscribers;
mod support;
mod writers;
