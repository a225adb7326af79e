//! Event streams.

use std::time::Duration;

use honker_core::consume::{StreamOptions, StreamSubscription as Consumer};
use honker_core::stream as engine;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::names::check;
use crate::waiting::{Waker, at_last, in_time};
use crate::{Database, Error, Result, Transaction, json};

/// An event of a stream.
///
/// ```
/// # let db = honker::testing::TestDatabase::new()?;
/// let orders = db.stream("orders");
/// let offset = orders.publish_with_key("customer-7", &42)?;
/// let event = orders.read_since(0, 10)?.remove(0);
/// assert_eq!((event.offset, event.key.as_deref()), (offset, Some("customer-7")));
/// assert_eq!(event.payload_as::<i64>()?, 42);
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamEvent {
    /// Its place in the log.
    pub offset: i64,
    /// The topic it was published to.
    pub topic: String,
    /// The publisher's key, if it gave one.
    pub key: Option<String>,
    /// As it was published: JSON, unless somebody published another text.
    pub payload: String,
    /// When it was published, in seconds since the Unix epoch.
    pub created_at: i64,
}

impl StreamEvent {
    /// The payload as a value of yours. [`Error::Json`] if it is none.
    pub fn payload_as<T: DeserializeOwned>(&self) -> Result<T> {
        json::decode("the payload", self.payload.as_bytes())
    }
}

impl From<engine::Event> for StreamEvent {
    fn from(event: engine::Event) -> Self {
        let engine::Event { offset, topic, key, payload, created_at } = event;
        StreamEvent { offset, topic, key, payload, created_at }
    }
}

/// An append-only log of a topic, and how far each of its consumers has come. Cheap to clone, for any thread.
///
/// ```
/// # let db = honker::testing::TestDatabase::new()?;
/// let orders = db.stream("orders");
/// orders.publish(&serde_json::json!({"id": 42}))?;
/// for event in orders.subscribe("mailer")?.take(1) {
///     let event = event?; // finished when the next one is asked for, or with `ack`
///     println!("{}", event.payload);
/// }
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Stream {
    database: Database,
    topic: String,
}

impl Stream {
    pub(crate) fn new(database: &Database, topic: String) -> Self {
        Stream { database: database.clone(), topic }
    }

    /// Its topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Appends an event; its offset.
    pub fn publish<T: Serialize + ?Sized>(&self, payload: &T) -> Result<i64> {
        self.publish_text(None, None, &json::encode("the payload", payload)?)
    }

    /// Appends an event with a key.
    pub fn publish_with_key<T: Serialize + ?Sized>(&self, key: &str, payload: &T) -> Result<i64> {
        self.publish_text(None, Some(key), &json::encode("the payload", payload)?)
    }

    /// Appends an event in a transaction: with its commit.
    pub fn publish_tx<T: Serialize + ?Sized>(&self, tx: &Transaction, payload: &T) -> Result<i64> {
        self.publish_text(Some(tx), None, &json::encode("the payload", payload)?)
    }

    /// As [`Stream::publish_tx`], with a key.
    pub fn publish_with_key_tx<T: Serialize + ?Sized>(
        &self,
        tx: &Transaction,
        key: &str,
        payload: &T,
    ) -> Result<i64> {
        self.publish_text(Some(tx), Some(key), &json::encode("the payload", payload)?)
    }

    /// Appends an event whose payload is stored as it is.
    pub fn publish_text(&self, tx: Option<&Transaction>, key: Option<&str>, payload: &str) -> Result<i64> {
        check([("topic", &*self.topic), ("key", key.unwrap_or_default()), ("payload", payload)])?;
        call!(&self.database, tx, stream_publish(&self.topic, key, payload))
    }

    /// Up to `limit` events after an offset, oldest first; a negative `limit` means all.
    pub fn read_since(&self, offset: i64, limit: i64) -> Result<Vec<StreamEvent>> {
        check([("topic", &*self.topic)])?;
        let events = self.database.engine().stream_read_since(&self.topic, offset, limit)?;
        Ok(events.into_iter().map(Into::into).collect())
    }

    /// Up to `limit` events after the offset that a consumer has saved. Nothing is saved by reading.
    pub fn read_from_consumer(&self, consumer: &str, limit: i64) -> Result<Vec<StreamEvent>> {
        self.read_since(self.get_offset(consumer)?, limit)
    }

    /// Saves that a consumer has finished everything up to an offset; `false` if it was that far already.
    pub fn save_offset(&self, consumer: &str, offset: i64) -> Result<bool> {
        check([("consumer", consumer), ("topic", &self.topic)])?;
        Ok(self.database.engine().stream_save_offset(consumer, &self.topic, offset)?)
    }

    /// As [`Stream::save_offset`], in a transaction: what the events did there is done exactly once.
    pub fn save_offset_tx(&self, tx: &Transaction, consumer: &str, offset: i64) -> Result<bool> {
        check([("consumer", consumer), ("topic", &self.topic)])?;
        call!(&self.database, Some(tx), stream_save_offset(consumer, &self.topic, offset))
    }

    /// The offset that a consumer last saved; 0 if it never did.
    pub fn get_offset(&self, consumer: &str) -> Result<i64> {
        check([("consumer", consumer), ("topic", &self.topic)])?;
        Ok(self.database.engine().stream_get_offset(consumer, &self.topic)?)
    }

    /// The events after the offset that this consumer has saved, and those that come. It saves after 1,000 events and after
    /// a second, whichever comes first.
    pub fn subscribe(&self, consumer: impl Into<String>) -> Result<StreamSubscription> {
        self.subscribe_with(SubscribeOpts { consumer: Some(consumer.into()), ..Default::default() })
    }

    /// As [`Stream::subscribe`], with options.
    pub fn subscribe_with(&self, opts: SubscribeOpts) -> Result<StreamSubscription> {
        StreamSubscription::new(&self.database, &self.topic, opts)
    }

    /// Sets what is kept of the topic, whoever publishes to it: a [`StreamUpdate`](crate::StreamUpdate), or a map of the same
    /// keys, of which null resets one.
    pub fn configure<T: Serialize + ?Sized>(&self, update: &T) -> Result<()> {
        let update = json::encode("the settings", update)?;
        Ok(self.database.engine().stream_configure(&self.topic, &update)?)
    }

    /// Removes the events that are not to be kept; how many those were. Not what a consumer that has saved an offset has
    /// not finished, unless told so. `opts` is a [`TrimOpts`](crate::TrimOpts), or a map of the same keys.
    pub fn trim<T: Serialize + ?Sized>(&self, opts: &T) -> Result<i64> {
        let trim = engine::Trim::parse("opts", &json::encode("the options", opts)?)?;
        Ok(self.database.engine().stream_trim(&self.topic, &trim)?)
    }
}

/// How a subscription reads and saves.
///
/// ```
/// # use honker::SubscribeOpts;
/// # let db = honker::testing::TestDatabase::new()?;
/// let orders = db.stream("orders");
/// orders.publish(&42)?;
/// // Everything from the beginning, and nothing saved.
/// let mut replay = orders.subscribe_with(SubscribeOpts { from_offset: Some(0), ..Default::default() })?;
/// assert!(replay.try_next()?.is_some());
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SubscribeOpts {
    /// Whose offset is read and saved; `None` saves nothing.
    pub consumer: Option<String>,
    /// Where to begin: after this offset. `None`: after the consumer's saved offset, or from the beginning.
    pub from_offset: Option<i64>,
    /// After how many finished events the offset is saved. Default 1000; 0: never because of a number.
    pub save_every_n: u64,
    /// After what time the offset is saved. Default 1 s; zero: never because of the time.
    pub save_every: Duration,
}

impl Default for SubscribeOpts {
    fn default() -> Self {
        let StreamOptions { consumer, from_offset, save_every_n, save_every } = StreamOptions::default();
        SubscribeOpts { consumer, from_offset, save_every_n, save_every }
    }
}

/// Every event of a topic, in order, without gaps. Used by one thread at a time.
///
/// An event is finished when the next one is asked for, or with [`StreamSubscription::ack`]; only finished events are saved,
/// so a consumer that dies in the middle of one sees it again. As an iterator it waits for each, and ends when the database
/// is closed. Dropping it saves the last finished one.
///
/// ```
/// # let db = honker::testing::TestDatabase::new()?;
/// let orders = db.stream("orders");
/// orders.publish(&1)?;
/// orders.publish(&2)?;
/// let mut subscription = orders.subscribe("mailer")?.save_every(1);
/// subscription.recv()?;
/// let second = subscription.recv()?; // the first is finished, and saved
/// assert_eq!(orders.get_offset("mailer")?, second.offset - 1);
/// subscription.ack()?;
/// assert_eq!(orders.get_offset("mailer")?, subscription.offset());
/// # Ok::<(), honker::Error>(())
/// ```
pub struct StreamSubscription {
    topic: String,
    consumer: Consumer,
}

impl StreamSubscription {
    fn new(database: &Database, topic: &str, opts: SubscribeOpts) -> Result<Self> {
        let SubscribeOpts { consumer, from_offset, save_every_n, save_every } = opts;
        check([("topic", topic), ("consumer", consumer.as_deref().unwrap_or_default())])?;
        let options = StreamOptions { consumer, from_offset, save_every_n, save_every };
        let consumer = Consumer::new(database.engine(), topic, options)?;
        Ok(StreamSubscription { topic: topic.to_owned(), consumer })
    }

    /// After how many finished events the offset is saved; 0: never because of a number.
    pub fn save_every(mut self, n: u64) -> Self {
        self.consumer.set_save_every_n(n);
        self
    }

    /// The next event, which finishes the one before; waited for without a limit.
    pub fn recv(&mut self) -> Result<StreamEvent> {
        Ok(at_last(self.consumer.next(None)?)?.into())
    }

    /// The next event, if there is one; it finishes the one before.
    pub fn try_next(&mut self) -> Result<Option<StreamEvent>> {
        self.recv_timeout(Duration::ZERO)
    }

    /// The next event, which finishes the one before; `None` if the time was over first.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<StreamEvent>> {
        Ok(in_time(self.consumer.next(Some(timeout))?)?.map(Into::into))
    }

    /// The event that was given last is finished.
    pub fn ack(&mut self) -> Result<()> {
        Ok(self.consumer.ack()?)
    }

    /// Saves the offset of the last finished event now.
    pub fn save_offset(&mut self) -> Result<()> {
        Ok(self.consumer.save()?)
    }

    /// The offset of the last event that was given; where it began if there was none.
    pub fn offset(&self) -> i64 {
        self.consumer.offset()
    }

    /// What ends its waits from another thread.
    pub fn waker(&self) -> Waker {
        Waker(self.consumer.waiter())
    }
}

impl Iterator for StreamSubscription {
    type Item = Result<StreamEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.recv() {
            Err(Error::Closed) => None,
            next => Some(next),
        }
    }
}

impl std::fmt::Debug for StreamSubscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamSubscription").field("topic", &self.topic).finish_non_exhaustive()
    }
}
