//! A listener: the notifications of one channel, from now on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::wait::{Next, Patience};
use crate::Result;
use crate::database::Database;
use crate::notify::Notification;
use crate::watch::{Subscription, Waker};

/// How many notifications are read at once.
const BATCH: i64 = 256;

/// See the module documentation of [`crate::consume`].
pub struct Listener {
    database: Database,
    subscription: Arc<Subscription>,
    channel: String,
    fallback: Option<Duration>,
    last_id: i64,
    read: VecDeque<Notification>,
}

impl Listener {
    /// How often a listener looks without having been woken, unless it is told otherwise.
    pub const FALLBACK: Option<Duration> = Some(Duration::from_secs(15));

    /// A listener for what is sent to `channel` from now on.
    pub fn new(database: &Database, channel: impl Into<String>, fallback: Option<Duration>) -> Result<Self> {
        // In this order: what is committed between the two is in the file, and wakes.
        Listener::on(database, Arc::new(database.subscribe()?), channel, fallback)
    }

    /// As [`Listener::new`], waiting with a subscription that others wait with as well, in turns.
    pub fn on(
        database: &Database,
        subscription: Arc<Subscription>,
        channel: impl Into<String>,
        fallback: Option<Duration>,
    ) -> Result<Self> {
        let last_id = database.notifications_latest()?;
        Ok(Listener {
            database: database.clone(),
            subscription,
            channel: channel.into(),
            fallback,
            last_id,
            read: VecDeque::new(),
        })
    }

    /// The next notification; waits for it for at most `timeout` (`None`: without end).
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Next<Notification>> {
        let mut patience = Patience::new(&self.database, timeout);
        loop {
            if let Some(notification) = self.read.pop_front() {
                return Ok(Next::Item(notification));
            }
            let read = self.database.notifications_read_since(&self.channel, self.last_id, BATCH)?;
            if let Some(last) = read.last() {
                self.last_id = last.id;
                self.read = read.into();
                continue;
            }
            if let Some(next) = patience.wait(&self.subscription, None, self.fallback)? {
                return Ok(next);
            }
        }
    }

    /// Ends [`Listener::next`] from another thread.
    pub fn waker(&self) -> Waker {
        self.subscription.waker()
    }

    /// What this listener waits with, for event loops.
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }
}
