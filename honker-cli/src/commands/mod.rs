//! The commands, a file for each noun.

pub mod bulk;
pub mod completions;
pub mod dead;
pub mod enqueue;
pub mod job;
pub mod jobs;
pub mod leader;
pub mod listen;
pub mod locks;
pub mod migrate;
pub mod moving;
pub mod notify;
pub mod prune;
pub mod publish;
pub mod queues;
pub mod result;
pub mod schedule;
pub mod schedules;
pub mod settings;
pub mod stats;
pub mod streams;
pub mod tail;
