//! Consumers: blocking loops over the operations, each a value whose `next` returns what there is or waits for it.
//!
//! Every consumer subscribes *before* it first looks, so that nothing falls between. It then looks, and if there is
//! nothing waits for the earliest of: a wake, the moment from which time alone makes something available, its fallback
//! interval, and the caller's timeout. Between wakes it asks the file nothing.
//!
//! Several consumers may wait with one subscription, in turns: a wake is taken by the one that waits, and the others look
//! when it is their turn.
//!
//! An event loop waits for the subscription's descriptor, and then calls `next`, with no time to wait, until there is no
//! more: one wake may stand for much. There each consumer needs a subscription of its own, for one could take a wake that
//! another has not looked after.
//!
//! On an error nothing that was there is lost: the next call of `next` looks again.
//!
//! Threads: a consumer is used by one at a time. Its [`Waker`](crate::watch::Waker) is for any other; closing the database
//! ends all its consumers with [`Error::Closed`](crate::Error::Closed). What a consumer has to write when it ends, to save
//! its offset or to give up its lock, is written when it is dropped or when the database is closed, whatever comes first
//! (`database/last_write.rs`).

mod leader;
mod listener;
mod outbox;
mod result;
mod subscription;
mod wait;
mod worker;

pub use self::leader::Leader;
pub use self::listener::Listener;
pub use self::outbox::{Outbox, OutboxOptions, backoff_s, queue_of};
pub use self::result::ResultWait;
pub use self::subscription::{StreamOptions, StreamSubscription};
pub use self::wait::Next;
pub use self::worker::{Settled, Worker, WorkerOptions};
