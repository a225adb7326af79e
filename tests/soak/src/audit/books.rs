//! What all the ledgers of a run say, by subject.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use crate::ledger::{Effect, Line};

#[derive(Default)]
pub struct Books {
    pub ledgers: usize,
    /// Calls that have returned and did something.
    pub done: u64,
    /// Calls that a kill has left open.
    pub in_doubt: u64,
    pub complaints: Vec<String>,
    /// Names of what may or may not have been done.
    pub doubtful_names: HashSet<String>,
    /// The name of each job.
    pub jobs: HashMap<i64, String>,
    /// Ids that were given to more than one job.
    pub given_twice: Vec<i64>,
    /// How often each job was acked, cancelled or purged for sure.
    pub ended: HashMap<i64, u32>,
    /// Jobs that may have been.
    pub perhaps_ended: HashSet<i64>,
    pub acked: HashSet<i64>,
    pub cancelled: HashSet<i64>,
    /// Claims that were somebody else's, or nobody's, before their time was over.
    pub lost_early: Vec<i64>,
    /// How often each job was claimed with that number of attempts.
    pub claims: HashMap<(i64, i64), i64>,
    /// The name each job was claimed by.
    pub claimed: HashMap<i64, String>,
    /// Acks of jobs that their actor has not claimed before.
    pub acked_unclaimed: Vec<i64>,
    /// How often each job was requeued, or given back with its attempt.
    pub requeued: HashMap<i64, i64>,
    pub orders: HashMap<String, i64>,
    pub rolled_back: HashSet<String>,
    /// Name, by topic and offset.
    pub events: HashMap<(String, i64), String>,
    /// Two offsets in the wrong order, or the same twice.
    pub offsets_back: Vec<String>,
    /// The furthest offset that was saved, by consumer and topic.
    pub saved: HashMap<(String, String), i64>,
    /// The last of what each reader saw: topic, offset, how many up to there.
    pub seen: Vec<(String, i64, i64)>,
    pub notifications: HashMap<i64, String>,
    /// The first and last that each listener heard, and how many those were.
    pub heard: Vec<(i64, i64, i64)>,
    /// The last value of each result, and those that may have come after it.
    pub results: HashMap<i64, (u64, Vec<u64>)>,
    /// For each lock who had it from when until when.
    pub locks: HashMap<String, Vec<(i64, i64, String)>>,
    /// How often each rate limit was used in a second.
    pub counted: HashMap<(String, i64), i64>,
    /// The job of each schedule's boundaries.
    pub fires: HashMap<(String, i64), i64>,
    pub fired_twice: Vec<String>,
    pub ticks_in_doubt: usize,
}

impl Books {
    pub fn read(directory: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        let mut books = Books::default();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "ledger") {
                let actor = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                books.ledger(&actor, &fs::read_to_string(&path)?)?;
            }
        }
        Ok(books)
    }

    fn ledger(&mut self, actor: &str, text: &str) -> Result<(), Box<dyn std::error::Error>> {
        self.ledgers += 1;
        let mut page = Page::default();
        let mut intent = Vec::new();
        // A last line without an end was being written when the process was killed.
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            match serde_json::from_str(line)? {
                Line::Intent(effects) => {
                    intent = effects;
                    page.open = true;
                }
                Line::Done(effects) => {
                    self.done += 1;
                    page.open = false;
                    effects.into_iter().for_each(|effect| self.certain(actor, &mut page, effect));
                }
                Line::NotDone => page.open = false,
                Line::Complaint(text) => self.complaints.push(format!("{actor}: {text}")),
            }
        }
        if page.open {
            self.in_doubt += 1;
            intent.into_iter().for_each(|effect| self.doubtful(effect));
        }
        let held = page
            .locks
            .into_iter()
            .flat_map(|(lock, holds)| holds.into_iter().map(move |hold| (lock.clone(), hold)));
        for (lock, (from, until)) in held {
            self.locks.entry(lock).or_default().push((from, until, actor.to_owned()));
        }
        self.heard.extend(page.heard.into_iter().map(|(first, (last, count))| (first, last, count)));
        self.seen.extend(page.seen.into_iter().map(|(topic, (offset, count))| (topic, offset, count)));
        Ok(())
    }

    fn certain(&mut self, actor: &str, page: &mut Page, effect: Effect) {
        match effect {
            Effect::Enqueued(id, name) => self.job(id, name),
            Effect::Claimed(id, attempts, name) => {
                *self.claims.entry((id, attempts)).or_default() += 1;
                self.claimed.insert(id, name);
                page.claimed.insert(id);
            }
            Effect::Acked(id) => {
                if !page.claimed.contains(&id) {
                    self.acked_unclaimed.push(id);
                }
                *self.ended.entry(id).or_default() += 1;
                self.acked.insert(id);
            }
            Effect::PerhapsAcked(id) => drop(self.perhaps_ended.insert(id)),
            Effect::Cancelled(id) => {
                *self.ended.entry(id).or_default() += 1;
                self.cancelled.insert(id);
            }
            Effect::Purged(id) => *self.ended.entry(id).or_default() += 1,
            Effect::LostEarly(id) => self.lost_early.push(id),
            Effect::Requeued(id) | Effect::Released(id) => *self.requeued.entry(id).or_default() += 1,
            Effect::Ordered(name, job) => drop(self.orders.insert(name, job)),
            Effect::RolledBack(name) => drop(self.rolled_back.insert(name)),
            Effect::Published(topic, offset, name) => {
                // Each actor publishes one after the other.
                if std::mem::replace(&mut page.offset, offset) >= offset {
                    self.offsets_back.push(format!("{actor} was given {offset} after a larger one"));
                }
                if let Some(other) = self.events.insert((topic, offset), name) {
                    self.offsets_back.push(format!("{offset} was given to {other} already"));
                }
            }
            Effect::Saved(consumer, topic, offset) => {
                let furthest = self.saved.entry((consumer, topic)).or_default();
                *furthest = offset.max(*furthest);
            }
            Effect::Seen(topic, offset, count) => drop(page.seen.insert(topic, (offset, count))),
            Effect::Notified(id, name) => drop(self.notifications.insert(id, name)),
            Effect::Heard(first, last, count) => drop(page.heard.insert(first, (last, count))),
            Effect::Result(job, number) => drop(self.results.insert(job, (number, Vec::new()))),
            Effect::Locked(lock, from, until) => page.locked(lock, from, until),
            Effect::Unlocked(lock, at) => page.unlocked(&lock, at),
            Effect::Counted(limit, second) => *self.counted.entry((limit, second)).or_default() += 1,
            Effect::Fired(schedule, boundary, job) => {
                self.job(job, schedule.clone());
                if self.fires.insert((schedule.clone(), boundary), job).is_some() {
                    self.fired_twice.push(format!("{schedule} at {boundary}"));
                }
            }
        }
    }

    fn doubtful(&mut self, effect: Effect) {
        match effect {
            Effect::Enqueued(_, name)
            | Effect::Ordered(name, _)
            | Effect::Published(_, _, name)
            | Effect::Notified(_, name) => drop(self.doubtful_names.insert(name)),
            Effect::Acked(id) | Effect::PerhapsAcked(id) | Effect::Cancelled(id) | Effect::Purged(id) => {
                self.perhaps_ended.insert(id);
            }
            Effect::Requeued(id) | Effect::Released(id) => *self.requeued.entry(id).or_default() += 1,
            Effect::Result(job, number) => self.results.entry(job).or_default().1.push(number),
            Effect::Fired(..) => self.ticks_in_doubt += 1,
            // What is missing from the books does no harm to what is checked.
            _ => {}
        }
    }

    fn job(&mut self, id: i64, name: String) {
        if self.jobs.insert(id, name).is_some() {
            self.given_twice.push(id);
        }
    }
}

/// What is only to be known within a ledger.
#[derive(Default)]
struct Page {
    /// Whether the last intent has nothing behind it.
    open: bool,
    claimed: HashSet<i64>,
    offset: i64,
    seen: HashMap<String, (i64, i64)>,
    heard: HashMap<i64, (i64, i64)>,
    locks: HashMap<String, Vec<(i64, i64)>>,
}

impl Page {
    fn locked(&mut self, lock: String, from: i64, until: i64) {
        let holds = self.locks.entry(lock).or_default();
        match holds.last_mut() {
            // Prolonged in time, or not, or taken anew.
            Some((_, end)) if *end > from => *end = until.max(from),
            _ if from < until => holds.push((from, until)),
            _ => {}
        }
    }

    fn unlocked(&mut self, lock: &str, at: i64) {
        if let Some((_, end)) = self.locks.get_mut(lock).and_then(|holds| holds.last_mut()) {
            *end = (*end).min(at);
        }
    }
}
