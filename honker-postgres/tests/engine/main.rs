//! The engine against a real server: `honker-postgres/tests/with-cluster cargo test -p honker-postgres`. Without one the
//! tests say that they were skipped.

mod counters;
#[cfg(unix)]
mod encryption;
mod ending;
mod files;
mod hostile;
mod jobs;
mod model;
#[cfg(unix)]
mod pooler;
mod rescue;
mod rest;
mod restart;
mod roles;
mod schedules;
mod search_path;
mod statements;
mod support;
mod transactions;
#[path = "../../../honker-model/tests/translation/mod.rs"]
mod translation;
mod waiting;
