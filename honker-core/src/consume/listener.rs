//! A listener: the notifications of one channel, from now on.

use std::collections::VecDeque;
use std::time::Duration;

use super::registration::{Look, Next, Registration};
use super::rest::Rest;
use super::waiter::Waiter;
use crate::Result;
use crate::database::Database;
use crate::notify::Notification;
use crate::outlook::Interest;

/// How many notifications are read at once.
const BATCH: i64 = 256;

/// See the module documentation of [`crate::consume`].
pub struct Listener {
    registration: Registration,
    channel: String,
    fallback: Option<Duration>,
    last_id: i64,
    read: VecDeque<Notification>,
}

impl Listener {
    /// How often a listener looks without having been woken, unless it is told otherwise.
    pub const FALLBACK: Option<Duration> = Some(Duration::from_secs(15));

    /// A listener for what is sent to `channel` from now on, with a waiter of its own.
    pub fn new(database: &Database, channel: impl Into<String>, fallback: Option<Duration>) -> Result<Self> {
        Listener::on(&Waiter::new(database)?, 0, channel, fallback)
    }

    /// As [`Listener::new`], at a waiter that others wait at as well, which names it by `token`.
    pub fn on(
        waiter: &Waiter,
        token: u64,
        channel: impl Into<String>,
        fallback: Option<Duration>,
    ) -> Result<Self> {
        let registration = Registration::new(waiter, token);
        // The waiter was there before: what is committed after this look wakes it.
        let last_id = registration.database().notifications_latest()?;
        Ok(Listener { registration, channel: channel.into(), fallback, last_id, read: VecDeque::new() })
    }

    /// The next notification; waits for it for at most `timeout` (`None`: without end).
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Next<Notification>> {
        let Listener { registration, channel, fallback, last_id, read } = self;
        let database = registration.database().clone();
        registration.next(timeout, || {
            if read.is_empty() {
                read.extend(database.notifications_read_since(channel, *last_id, BATCH)?);
                *last_id = read.back().map_or(*last_id, |last| last.id);
            }
            Ok(match read.pop_front() {
                Some(notification) => Look::Found(notification),
                None => Look::Nothing(listening(channel, *last_id, *fallback)),
            })
        })
    }

    /// What this waits with.
    pub fn waiter(&self) -> Waiter {
        self.registration.waiter()
    }
}

fn listening(channel: &str, after_id: i64, fallback: Option<Duration>) -> Rest {
    Rest::new(Interest::Notifications { channel: channel.to_owned(), after_id }, fallback)
}
