//! A subscription to a stream: every event of a topic, in order, and how far its consumer has come.
//!
//! An event is *finished* when the next one is asked for, or when the consumer says so ([`StreamSubscription::ack`]). Only
//! finished events are saved, so a consumer that dies in the middle of one sees it again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::wait::{Next, Patience};
use crate::Result;
use crate::database::{Database, LastWrite, Write};
use crate::stream::Event;
use crate::watch::{Subscription, Waker};

/// How many events are read at once.
const BATCH: i64 = 256;

/// How often it looks without having been woken.
const FALLBACK: Duration = Duration::from_secs(15);

/// How a subscription reads and saves.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamOptions {
    /// Whose offset is read and saved; `None` saves nothing.
    pub consumer: Option<String>,
    /// Where to begin: after this offset. `None`: after the consumer's saved offset, or from the beginning.
    pub from_offset: Option<i64>,
    /// After how many finished events the offset is saved. Default 1000; 0: never because of a number.
    pub save_every_n: u64,
    /// After what time the offset is saved, if there is something to save. Default 1 s; zero: never because of the time.
    /// If both are 0, only [`StreamSubscription::save`] saves; otherwise dropping the subscription, and closing the
    /// database, do as well, if that does not take long (100 ms and 1 s).
    pub save_every: Duration,
}

impl Default for StreamOptions {
    fn default() -> Self {
        StreamOptions {
            consumer: None,
            from_offset: None,
            save_every_n: 1000,
            save_every: Duration::from_secs(1),
        }
    }
}

/// See the module documentation of [`crate::consume`].
pub struct StreamSubscription {
    database: Database,
    subscription: Arc<Subscription>,
    topic: Arc<str>,
    consumer: Option<Arc<str>>,
    options: StreamOptions,
    /// Saves the offset.
    last_write: LastWrite,
    read: VecDeque<Event>,
    /// Everything up to here has been read.
    position: i64,
    /// The event that was delivered and is not finished.
    in_hand: Option<i64>,
    /// Everything up to here is finished.
    finished: i64,
    /// Nothing up to here has to be saved: it has been, or it lies before where we began.
    saved: i64,
    finished_since_save: u64,
    saved_at: Instant,
}

impl StreamSubscription {
    /// A subscription to `topic`.
    pub fn new(database: &Database, topic: impl Into<String>, options: StreamOptions) -> Result<Self> {
        StreamSubscription::on(database, Arc::new(database.subscribe()?), topic, options)
    }

    /// As [`StreamSubscription::new`], waiting with a subscription to commits that others wait with as well, in turns.
    pub fn on(
        database: &Database,
        subscription: Arc<Subscription>,
        topic: impl Into<String>,
        options: StreamOptions,
    ) -> Result<Self> {
        let topic: Arc<str> = topic.into().into();
        let saved = match &options.consumer {
            Some(consumer) => database.stream_get_offset(consumer, &topic)?,
            None => 0,
        };
        let start = options.from_offset.unwrap_or(saved);
        Ok(StreamSubscription {
            database: database.clone(),
            subscription,
            topic,
            consumer: options.consumer.as_deref().map(Arc::from),
            last_write: LastWrite::new(database),
            options,
            read: VecDeque::new(),
            position: start,
            in_hand: None,
            finished: start,
            saved: saved.max(start),
            finished_since_save: 0,
            saved_at: Instant::now(),
        })
    }

    /// The next event, which finishes the one before; waits for it for at most `timeout` (`None`: without end).
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Next<Event>> {
        let mut patience = Patience::new(&self.database, timeout);
        self.ack()?;
        loop {
            if let Some(event) = self.read.pop_front() {
                self.in_hand = Some(event.offset);
                return Ok(Next::Item(event));
            }
            let read = self.database.stream_read_since(&self.topic, self.position, BATCH)?;
            if let Some(last) = read.last() {
                self.position = last.offset;
                self.read = read.into();
                continue;
            }
            let fallback = self.until_save().map_or(FALLBACK, |left| left.min(FALLBACK));
            let next = patience.wait(&self.subscription, None, Some(fallback))?;
            if self.until_save().is_some_and(|left| left.is_zero()) {
                self.save()?;
            }
            if let Some(next) = next {
                return Ok(next);
            }
        }
    }

    /// The event in hand is finished. An error is one of saving that: it stays finished, and is saved by a later call.
    pub fn ack(&mut self) -> Result<()> {
        if let Some(offset) = self.in_hand.take() {
            self.finished = offset;
            self.finished_since_save += 1;
            self.note_last_write();
        }
        let every_n = self.options.save_every_n;
        if (every_n > 0 && self.finished_since_save >= every_n)
            || self.until_save().is_some_and(|left| left.is_zero())
        {
            self.save()?;
        }
        Ok(())
    }

    /// Saves the offset of the last finished event now. Nothing is written if there is nothing new, or no consumer.
    pub fn save(&mut self) -> Result<()> {
        if let Some(consumer) = &self.options.consumer
            && self.finished > self.saved
        {
            self.database.stream_save_offset(consumer, &self.topic, self.finished)?;
            self.saved = self.finished;
            self.note_last_write();
        }
        self.finished_since_save = 0;
        self.saved_at = Instant::now();
        Ok(())
    }

    /// What is to be saved if the subscription ends now.
    fn note_last_write(&self) {
        let saves_by_itself = self.options.save_every_n > 0 || !self.options.save_every.is_zero();
        let consumer = self.consumer.clone().filter(|_| saves_by_itself && self.finished > self.saved);
        self.last_write.set(consumer.map(|consumer| Write::SaveOffset {
            consumer,
            topic: Arc::clone(&self.topic),
            offset: self.finished,
        }));
    }

    /// The offset of the last event that was delivered; where it began if there was none.
    pub fn offset(&self) -> i64 {
        self.in_hand.unwrap_or(self.finished)
    }

    /// How long it is until the time makes us save; `None` if there is nothing to save.
    fn until_save(&self) -> Option<Duration> {
        let anything = self.options.consumer.is_some() && self.finished > self.saved;
        (anything && !self.options.save_every.is_zero())
            .then(|| self.options.save_every.saturating_sub(self.saved_at.elapsed()))
    }

    /// Ends [`StreamSubscription::next`] from another thread.
    pub fn waker(&self) -> Waker {
        self.subscription.waker()
    }

    /// What this waits with, for event loops.
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }
}
