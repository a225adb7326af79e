//! Listening on a channel.

use std::time::Duration;

use honker_core::consume::Listener;
use honker_core::notify as engine;
use serde::de::DeserializeOwned;

use crate::waiting::{Waker, at_last, in_time};
use crate::{Database, Error, Result, json};

/// A notification. See [`Subscription`] for an example.
///
/// ```
/// # let db = honker::testing::TestDatabase::new()?;
/// let mut news = db.listen("news")?;
/// db.notify("news", &42)?;
/// let notification = news.recv()?;
/// assert_eq!(notification.channel, "news");
/// assert_eq!(notification.payload_as::<i64>()?, 42);
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notification {
    /// Increases from one to the next, over all channels.
    pub id: i64,
    /// Where it was sent.
    pub channel: String,
    /// As it was sent: JSON, unless somebody sent another text.
    pub payload: String,
    /// When it was sent, in seconds since the Unix epoch.
    pub created_at: i64,
}

impl Notification {
    /// The payload as a value of yours. [`Error::Json`] if it is none.
    pub fn payload_as<T: DeserializeOwned>(&self) -> Result<T> {
        json::decode("the payload", self.payload.as_bytes())
    }
}

impl From<engine::Notification> for Notification {
    fn from(notification: engine::Notification) -> Self {
        let engine::Notification { id, channel, payload, created_at } = notification;
        Notification { id, channel, payload, created_at }
    }
}

/// The notifications of a channel from now on, each once, in order. Used by one thread at a time; no thread waits beside it.
///
/// As an iterator it waits for each, and ends when the database is closed.
///
/// ```
/// # let db = honker::testing::TestDatabase::new()?;
/// let mut orders = db.listen("orders")?;
/// db.notify("orders", &serde_json::json!({"id": 42}))?;
/// for notification in orders.by_ref().take(1) {
///     let order: serde_json::Value = notification?.payload_as()?;
///     assert_eq!(order["id"], 42);
/// }
/// assert!(orders.try_next()?.is_none());
/// # Ok::<(), honker::Error>(())
/// ```
pub struct Subscription {
    listener: Listener,
}

impl Subscription {
    pub(crate) fn new(database: &Database, channel: String) -> Result<Self> {
        crate::names::check([("channel", &*channel)])?;
        let listener = Listener::new(database.engine(), channel, Listener::FALLBACK)?;
        Ok(Subscription { listener })
    }

    /// The next notification, waited for without a limit.
    pub fn recv(&mut self) -> Result<Notification> {
        Ok(at_last(self.listener.next(None)?)?.into())
    }

    /// The next notification, if there is one.
    pub fn try_next(&mut self) -> Result<Option<Notification>> {
        self.recv_timeout(Duration::ZERO)
    }

    /// The next notification; `None` if the time was over first.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Notification>> {
        Ok(in_time(self.listener.next(Some(timeout))?)?.map(Into::into))
    }

    /// What ends its waits from another thread.
    pub fn waker(&self) -> Waker {
        Waker(self.listener.waiter())
    }
}

impl Iterator for Subscription {
    type Item = Result<Notification>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.recv() {
            Err(Error::Closed) => None,
            next => Some(next),
        }
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Subscription")
    }
}
