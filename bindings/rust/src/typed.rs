//! A queue of payloads of one type.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Database, EnqueueOpts, Enqueued, Queue, QueueOpts, Result, Transaction};

/// A queue whose payloads are values of `T`, encoded by serde as JSON. [`WorkerBuilder::typed`](crate::WorkerBuilder::typed)
/// is the other end.
///
/// ```
/// use honker::{EnqueueOpts, QueueOpts, TypedQueue};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Email {
///     to: String,
/// }
///
/// # let db = honker::testing::TestDatabase::new()?;
/// let emails: TypedQueue<Email> = TypedQueue::new(&db, "emails", QueueOpts { max_attempts: 10, ..Default::default() });
/// emails.enqueue(&Email { to: "alice".to_owned() }, EnqueueOpts::default())?;
/// # assert_eq!(emails.queue().claim_one("w")?.unwrap().payload_as::<Email>()?.to, "alice");
/// # Ok::<(), honker::Error>(())
/// ```
pub struct TypedQueue<T> {
    queue: Queue,
    payload: PhantomData<fn(&T) -> T>,
}

impl<T: Serialize + DeserializeOwned> TypedQueue<T> {
    /// The queue of this name.
    pub fn new(database: &Database, name: impl Into<String>, opts: QueueOpts) -> Self {
        TypedQueue { queue: database.queue(name, opts), payload: PhantomData }
    }

    /// The same queue for payloads of any kind.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Enqueues a job; its id.
    pub fn enqueue(&self, payload: &T, opts: EnqueueOpts) -> Result<i64> {
        self.queue.enqueue(payload, opts)
    }

    /// As [`TypedQueue::enqueue`], in a transaction.
    pub fn enqueue_tx(&self, tx: &Transaction, payload: &T, opts: EnqueueOpts) -> Result<i64> {
        self.queue.enqueue_tx(tx, payload, opts)
    }

    /// As [`TypedQueue::enqueue`], and whether the job was enqueued.
    pub fn enqueue_with(&self, payload: &T, opts: EnqueueOpts) -> Result<Enqueued> {
        self.queue.enqueue_with(payload, opts)
    }

    /// Enqueues a job for each: all of them or none; their ids.
    pub fn enqueue_many(&self, payloads: &[T], opts: EnqueueOpts) -> Result<Vec<i64>> {
        self.queue.enqueue_many(payloads, opts)
    }
}

impl<T> Clone for TypedQueue<T> {
    fn clone(&self) -> Self {
        TypedQueue { queue: self.queue.clone(), payload: PhantomData }
    }
}

impl<T> std::fmt::Debug for TypedQueue<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TypedQueue").field(&self.queue).finish()
    }
}
