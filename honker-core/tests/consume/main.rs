//! `honker_core::consume`: consumers that claim, read, lead and wait, through files, threads and processes.
//!
//! Nothing here sleeps to let a race happen. A test that needs a certain moment gets it from SQLite itself: a hook runs
//! when a statement of the consumer's has ended ([`statements`]). A test that needs another time sets the process's clocks
//! ([`clock`]); like those that hook statements or fork, it runs in a process of its own. Consumers are mostly made
//! without a fallback: what wakes them then is what is tested, or nothing does.

#![cfg(all(feature = "runtime", target_os = "linux", target_pointer_width = "64"))]

mod clock;
#[path = "../database/support.rs"]
#[allow(dead_code, reason = "the tests of the database use the rest")]
mod common;
mod ending;
mod foreign;
mod full;
mod hand;
mod idle;
mod last_write;
mod leader;
mod leadership;
mod limits;
mod listener;
mod maintenance;
mod may_claim;
mod metrics;
mod outbox;
#[path = "../vfs/process.rs"]
#[allow(dead_code, reason = "the tests of the files use the rest")]
mod process;
mod processes;
mod races;
mod ready;
mod refusals;
mod rescue;
mod result;
mod settling;
mod statements;
mod stream;
mod stream_saving;
mod support;
mod waiting;
mod worker;

/// What a process that [`process::Process`] starts does. By itself this is no test.
#[test]
fn role() {
    let Some(role) = process::role() else { return };
    let roles = processes::ROLES.iter().chain(rescue::ROLES).chain(limits::ROLES);
    match roles.clone().find(|(name, _)| *name == role) {
        Some((_, body)) => body(),
        None => panic!("there is no role {role}"),
    }
}
