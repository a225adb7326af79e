//! A subscription to a stream: every event of a topic, in order, and how far its consumer has come.
//!
//! An event is *finished* when the next one is asked for, or when the consumer says so ([`StreamSubscription::ack`]). Only
//! finished events are saved, so a consumer that dies in the middle of one sees it again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::registration::{Look, Next, Registration};
use super::rest::Rest;
use super::waiter::Waiter;
use crate::Result;
use crate::database::{Database, LastWrite, Write};
use crate::outlook::Interest;
use crate::stream::Event;

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
    /// If both are 0, only [`StreamSubscription::save`] saves; otherwise dropping the subscription does as well.
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
    registration: Registration,
    progress: Progress,
    read: VecDeque<Event>,
    /// Everything up to here has been read.
    position: i64,
}

/// How far the consumer is, and what of that is saved.
struct Progress {
    database: Database,
    topic: Arc<str>,
    consumer: Option<Arc<str>>,
    options: StreamOptions,
    /// Saves the offset.
    last_write: LastWrite,
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
    /// A subscription to `topic`, with a waiter of its own.
    pub fn new(database: &Database, topic: impl Into<String>, options: StreamOptions) -> Result<Self> {
        StreamSubscription::on(&Waiter::new(database)?, 0, topic, options)
    }

    /// As [`StreamSubscription::new`], at a waiter that others wait at as well, which names it by `token`.
    pub fn on(waiter: &Waiter, token: u64, topic: impl Into<String>, options: StreamOptions) -> Result<Self> {
        let registration = Registration::new(waiter, token);
        let database = registration.database().clone();
        let topic: Arc<str> = topic.into().into();
        let saved = match &options.consumer {
            Some(consumer) => database.stream_get_offset(consumer, &topic)?,
            None => 0,
        };
        let start = options.from_offset.unwrap_or(saved);
        let progress = Progress {
            last_write: LastWrite::new(&database),
            database,
            topic,
            consumer: options.consumer.as_deref().map(Arc::from),
            options,
            in_hand: None,
            finished: start,
            saved: saved.max(start),
            finished_since_save: 0,
            saved_at: Instant::now(),
        };
        Ok(StreamSubscription { registration, progress, read: VecDeque::new(), position: start })
    }

    /// The next event, which finishes the one before; waits for it for at most `timeout` (`None`: without end).
    ///
    /// While the offset is to be saved and cannot be, that is the error and no further event is delivered. An error that
    /// follows another comes after half a second, or `timeout` if that is shorter.
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Next<Event>> {
        let StreamSubscription { registration, progress, read, position } = self;
        progress.ack().inspect_err(|error| registration.fail_call(timeout, error))?;
        registration.next(timeout, || {
            progress.save_if_due()?;
            if read.is_empty() {
                read.extend(progress.database.stream_read_since(&progress.topic, *position, BATCH)?);
                *position = read.back().map_or(*position, |last| last.offset);
            }
            Ok(match read.pop_front() {
                Some(event) => {
                    progress.in_hand = Some(event.offset);
                    Look::Found(event)
                }
                None => Look::Nothing(progress.waiting_after(*position)),
            })
        })
    }

    /// The event in hand is finished. An error is one of saving that: it stays finished, and is saved by a later call.
    pub fn ack(&mut self) -> Result<()> {
        self.progress.ack()
    }

    /// Saves the offset of the last finished event now. Nothing is written if there is nothing new, or no consumer.
    pub fn save(&mut self) -> Result<()> {
        self.progress.save()
    }

    /// From now on the offset is saved after so many finished events; 0: never because of a number.
    pub fn set_save_every_n(&mut self, n: u64) {
        self.progress.options.save_every_n = n;
        self.progress.note_last_write();
    }

    /// The offset of the last event that was delivered; where it began if there was none.
    pub fn offset(&self) -> i64 {
        self.progress.in_hand.unwrap_or(self.progress.finished)
    }

    /// What this waits with.
    pub fn waiter(&self) -> Waiter {
        self.registration.waiter()
    }
}

impl Progress {
    fn ack(&mut self) -> Result<()> {
        if let Some(offset) = self.in_hand.take() {
            self.finished = offset;
            self.finished_since_save += 1;
            self.note_last_write();
        }
        let every_n = self.options.save_every_n;
        if every_n > 0 && self.finished_since_save >= every_n { self.save() } else { self.save_if_due() }
    }

    /// Saves if the time has come.
    fn save_if_due(&mut self) -> Result<()> {
        if self.save_at().is_some_and(|at| at <= Instant::now()) { self.save() } else { Ok(()) }
    }

    fn save(&mut self) -> Result<()> {
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

    /// When the time makes us save; `None` if there is nothing to save.
    fn save_at(&self) -> Option<Instant> {
        let anything = self.options.consumer.is_some() && self.finished > self.saved;
        (anything && !self.options.save_every.is_zero())
            .then(|| self.saved_at.checked_add(self.options.save_every))
            .flatten()
    }

    /// What a subscription waits for that has read everything up to this offset.
    fn waiting_after(&self, offset: i64) -> Rest {
        let interest = Interest::Events { topic: self.topic.to_string(), after_offset: offset };
        Rest::new(interest, Some(FALLBACK)).after(self.save_at())
    }
}
