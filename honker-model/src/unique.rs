//! Unique keys: which job has one, until when, and what becomes of a job whose key is taken.

use crate::queue::{EXPIRED, Enqueue, MAX_ATTEMPTS_EXCEEDED, Queue};
use crate::tables::{Row, row};
use crate::{Outcome, after};

/// The key of a job that is enqueued.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unique {
    /// What no two jobs of a queue share.
    pub key: &'static str,
    /// Whether the job has it only while it waits.
    pub until_claimed: bool,
    /// For so many seconds at least it is taken.
    pub for_s: Option<i64>,
    /// Whether a job that waits becomes this one.
    pub replace: bool,
}

/// Who has a key, or had it.
#[derive(Debug, Clone, PartialEq)]
pub struct Holder {
    /// The job.
    pub id: i64,
    /// As in [`Unique`].
    pub until_claimed: bool,
    /// The last of the seconds.
    pub until: Option<i64>,
}

impl Queue {
    /// Adds a job, unless its key is taken; an id, and which it is.
    pub fn enqueue_unique(&mut self, now: i64, job: &Enqueue, unique: &Unique) -> Outcome<Row> {
        let mut all = self.clone();
        let done = all.enqueue_or_meet(now, job, unique);
        if done.is_ok() {
            *self = all;
        }
        done
    }

    fn enqueue_or_meet(&mut self, now: i64, job: &Enqueue, unique: &Unique) -> Outcome<Row> {
        let at = (job.queue.to_owned(), unique.key.to_owned());
        // What is wrong with the job itself is found out first.
        let mut new = self.clone();
        let id = new.enqueue(now, job)?;
        let until = unique.for_s.map(|for_s| after(now, "unique_for_s", for_s - 1)).transpose()?;
        let Some((holder, waits)) = self.holder(now, &at) else {
            // The holder may have been moved to the dead.
            self.enqueue(now, job)?;
            self.options.insert(id, (unique.key.to_owned(), unique.until_claimed));
            self.keys.insert(at, Holder { id, until_claimed: unique.until_claimed, until });
            return Ok(row![id, "enqueued"]);
        };
        if !waits || !unique.replace {
            return Ok(row![holder, "exists"]);
        }
        let new = new.live.remove(&id).expect("it was added just now");
        let old = self.live.get_mut(&holder).expect("it waits");
        let created_at = old.created_at;
        *old = crate::queue::Job { created_at, ..new };
        self.steps.retain(|(id, _), _| *id != holder);
        let key = self.keys.get_mut(&at).expect("it is held");
        key.until = key.until.max(until);
        Ok(row![holder, "replaced"])
    }

    /// Who has a key, and whether that job waits. One that no claim may take any more goes to the dead.
    fn holder(&mut self, now: i64, at: &(String, String)) -> Option<(i64, bool)> {
        let Holder { id, until_claimed, until } = self.keys.get(at)?.clone();
        if let Some(job) = self.live.get(&id)
            && (job.claim.is_none() || job.lapsed(now))
        {
            if job.expired(now) {
                self.dead_letter(now, id, EXPIRED);
            } else if job.exhausted() {
                self.dead_letter(now, id, MAX_ATTEMPTS_EXCEEDED);
            }
        }
        let job = self.live.get(&id);
        let waits = job.is_some_and(|job| job.claim.is_none());
        let has_it = job.is_some() && (waits || !until_claimed);
        (has_it || until.is_some_and(|until| until >= now)).then_some((id, waits))
    }

    /// A job has left the live jobs: its key is free, unless the seconds are not over.
    pub(crate) fn left(&mut self, now: i64, id: i64) {
        self.keys.retain(|_, key| key.id != id || key.until.is_some_and(|until| until >= now));
    }

    /// A job is nowhere any more.
    pub(crate) fn forget(&mut self, id: i64) {
        self.options.remove(&id);
    }

    /// A job waits again, or is to be live again: takes its key if that is free. Whether it may do without, or has it.
    pub(crate) fn take_again(&mut self, now: i64, id: i64, queue: &str) -> bool {
        let Some((key, until_claimed)) = self.options.get(&id).cloned() else { return true };
        let at = (queue.to_owned(), key);
        if self.keys.get(&at).is_some_and(|key| key.id == id) {
            return true;
        }
        if self.holder(now, &at).is_some() {
            return until_claimed;
        }
        self.keys.insert(at, Holder { id, until_claimed, until: None });
        true
    }
}
