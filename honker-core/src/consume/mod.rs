//! Consumers: blocking loops over the operations, each a value whose `next` returns what there is or waits for it.
//!
//! Every consumer subscribes *before* it first looks, so that nothing falls between. It then looks, and if there is
//! nothing waits for the earliest of: a wake, the moment from which time alone makes something available, its fallback
//! interval, and the caller's timeout. Between wakes it asks the file nothing.
//!
//! Many consumers wait at one [`Waiter`], which asks the file once for all of them after a commit, and names those that have
//! work. An event loop polls its descriptor, asks it who is [`ready`](Waiter::ready), and calls `next` of those, with no
//! time to wait, until there is no more: one wake may stand for much. A thread that serves one consumer calls its `next`
//! with a time to wait instead.
//!
//! On an error nothing that was there is lost: the next call of `next` looks again, and the waiter names the consumer again
//! after a short while.
//!
//! Threads: a consumer is used by one at a time. Its waiter may be woken and closed by any other; closing the database ends
//! all its consumers with [`Error::Closed`](crate::Error::Closed). What a consumer has to write when it ends, to save its
//! offset or to give up its lock, is written when it is dropped or when the database is closed, whatever comes first
//! (`database/last_write.rs`).

mod clock;
mod leader;
mod listener;
mod maintenance;
mod outbox;
mod readiness;
mod registration;
mod rest;
mod result;
mod settlement;
mod subscription;
mod turns;
mod updates;
mod waiter;
mod worker;
mod worker_options;

pub use self::leader::Leader;
pub use self::listener::Listener;
pub use self::outbox::{Outbox, OutboxOptions, queue_of};
pub use self::registration::Next;
pub use self::result::ResultWait;
pub use self::settlement::{Batch, Claimed, LostJob, Reason, Settled, Settlement, Verdict};
pub use self::subscription::{StreamOptions, StreamSubscription};
pub use self::updates::Updates;
pub use self::waiter::{Ready, Waiter};
pub use self::worker::Worker;
pub use self::worker_options::{WorkerOptions, WorkerQueue};
pub use crate::queue::Backoff;
