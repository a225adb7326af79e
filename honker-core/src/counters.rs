//! What a process counts of its own calls, by queue, and how it gets into the file: `_honker_counters`, by minute.
//!
//! An operation says what it has done (`Tally`); that becomes a count when it is committed, and is forgotten when it is undone.
//! Counts are kept in memory and added to the file by a commit that is made anyway, every ten seconds at most, and when the
//! database is closed. A process that is killed loses what it had not added yet, never a job.
//!
//! Only a store with a tally counts: the one that a database of the runtime writes through. Plain INSERTs and the SQL functions
//! of other connections are not counted. Whoever asks a database for its metrics also gets the counts that it has not added yet.
//!
//! Threads: those of the store. Nothing here is locked while SQLite runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::bound::Allowance;
use crate::queue::{Depth, depths, queues};
use crate::statement::{Sql, Value};
use crate::{Error, Result, Store};

/// How often counts are added to the file.
const EVERY: Duration = Duration::from_secs(10);

/// How often [`metrics`] looks whether a commit that adds counts is over, and how long it waits in between.
const LOOKS_MAX: usize = 5_000;
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// So many claims are remembered at most, to know the queue and the run time of what is settled.
const CLAIMS_MAX: usize = 1 << 15;
const CLAIMS_MIN: usize = 1 << 8;

/// Of the memory for what is said in a transaction, as much is kept for the next.
const EVENTS_KEPT: usize = 1_000;

/// So many queues are remembered when nothing is to be added to the file.
const QUEUES_MAX: usize = 1_000;

/// The upper bounds of the histogram of the queue wait, in whole seconds: the file knows no others. The first is less than one.
pub(crate) const WAIT_S: [i64; 9] = [1, 2, 5, 15, 60, 300, 1_800, 7_200, 43_200];

/// The upper bounds of the histogram of the run time, in milliseconds.
pub(crate) const RUN_MS: [i64; 11] = [5, 20, 50, 100, 500, 1_000, 5_000, 15_000, 60_000, 300_000, 1_800_000];

/// Minutes that are older than a day are added up in the row of this one.
const BEFORE: i64 = 0;
const KEPT_MINUTES: i64 = 24 * 60;

static SQL_ADD: Sql = Sql::new(
    "INSERT INTO main._honker_counters (minute, queue, name, value) VALUES (?1, ?2, ?3, ?4)
     ON CONFLICT (minute, queue, name) DO UPDATE SET value = value + excluded.value",
);

static SQL_OLD: Sql = Sql::new(
    "SELECT 100, minute, queue, name, value FROM main._honker_counters WHERE minute > 0 AND minute < +?1 LIMIT +?2",
);

static SQL_ANY_OLD: Sql =
    Sql::new("SELECT 1 FROM main._honker_counters WHERE minute > 0 AND minute < +?1 LIMIT 1");

static SQL_REMOVE: Sql =
    Sql::new("DELETE FROM main._honker_counters WHERE minute = +?1 AND queue = +?2 AND name = +?3");

static SQL_TOTALS: Sql = Sql::new(
    "SELECT queue, name, sum(value) FROM main._honker_counters GROUP BY queue, name ORDER BY queue, name",
);

/// What is counted of a queue: the first ones are those of [`Totals`], then come the histograms with their sums.
const NAMES: [&str; 29] = [
    "enqueued",
    "claimed",
    "done",
    "retried",
    "released",
    "dead",
    "cancelled",
    "wait_lt_1_s",
    "wait_lt_2_s",
    "wait_lt_5_s",
    "wait_lt_15_s",
    "wait_lt_60_s",
    "wait_lt_300_s",
    "wait_lt_1800_s",
    "wait_lt_7200_s",
    "wait_lt_43200_s",
    "wait_longer",
    "run_le_5_ms",
    "run_le_20_ms",
    "run_le_50_ms",
    "run_le_100_ms",
    "run_le_500_ms",
    "run_le_1000_ms",
    "run_le_5000_ms",
    "run_le_15000_ms",
    "run_le_60000_ms",
    "run_le_300000_ms",
    "run_le_1800000_ms",
    "run_longer",
];
const SUMS: [&str; 2] = ["wait_sum_s", "run_sum_ms"];

const ENQUEUED: usize = 0;
const CLAIMED: usize = 1;
const WAIT: usize = 7;
const RUN: usize = WAIT + WAIT_S.len() + 1;
const WAIT_SUM: usize = NAMES.len();
const RUN_SUM: usize = WAIT_SUM + 1;

/// What a job of the beginning of time is said to have waited for: sums of it stay integers.
const LONGEST_WAIT_S: i64 = 1 << 32;

/// The counts of a queue that the file does not have.
type Counts = [i64; NAMES.len() + SUMS.len()];

fn name(counter: usize) -> &'static str {
    NAMES.get(counter).copied().unwrap_or_else(|| SUMS[counter - NAMES.len()])
}

/// What becomes of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// It was acked.
    Done = 2,
    /// It is to be tried again.
    Retried = 3,
    /// It was given back.
    Released = 4,
    /// It was dead-lettered.
    Dead = 5,
    /// It was cancelled.
    Cancelled = 6,
}

/// What a transaction has done, said by an engine of which several are open at a time.
#[cfg(feature = "runtime")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A job was enqueued, into this queue.
    Enqueued(String),
    /// A job was claimed that had waited for so long.
    Claimed {
        /// Its id.
        id: i64,
        /// Its queue.
        queue: Arc<str>,
        /// How long it had been due.
        wait_s: i64,
    },
    /// A job was settled, dead-lettered or cancelled. Its queue may be left out if this process has claimed it.
    Left {
        /// Its id.
        id: i64,
        /// Its queue.
        queue: Option<String>,
        /// By which way.
        how: Left,
    },
}

/// A queue, by its place in the list of those that were met.
type Place = usize;

/// What was done in a transaction that is not committed yet.
enum Event {
    Enqueued(Place),
    Claimed { id: i64, queue: Place, wait_s: i64 },
    Left { id: i64, queue: Option<Place>, how: Left },
}

/// A claim of this process.
struct Claim {
    queue: Place,
    since: Instant,
}

/// The claims that are remembered, each at the place that its id has modulo their number. Where there is one already, there is
/// room for twice as many, or if that is too much, the newer one takes its place.
#[derive(Default)]
struct Claims(Vec<Option<(i64, Claim)>>);

impl Claims {
    fn knows(&self, id: i64) -> bool {
        matches!(self.0.get(self.slot(id)), Some(Some((known, _))) if *known == id)
    }

    fn remember(&mut self, id: i64, claim: Claim) {
        loop {
            let (slot, count) = (self.slot(id), self.0.len());
            match self.0.get_mut(slot) {
                Some(Some((other, _))) if *other != id && count < CLAIMS_MAX => {}
                Some(free) => {
                    *free = Some((id, claim));
                    return;
                }
                None => {}
            }
            let fewer = std::mem::take(&mut self.0);
            self.0.resize_with((2 * count).max(CLAIMS_MIN), || None);
            for (id, claim) in fewer.into_iter().flatten() {
                let slot = self.slot(id);
                self.0[slot] = Some((id, claim));
            }
        }
    }

    fn take(&mut self, id: i64) -> Option<Claim> {
        let slot = self.slot(id);
        let taken = self.0.get_mut(slot)?.take_if(|(known, _)| *known == id)?;
        Some(taken.1)
    }

    /// The number of places is a power of 2, or none.
    fn slot(&self, id: i64) -> usize {
        id as usize & self.0.len().wrapping_sub(1)
    }
}

/// See the module documentation.
pub struct Tally {
    state: Mutex<State>,
}

/// See [`Tally::not_added`].
struct NotAdded {
    /// How often counts had been added until then.
    adds: u64,
    counts: Vec<Counted>,
}

/// A queue, what was counted of it (a name of `NAMES` or `SUMS`), and how much.
pub type Counted = (String, String, i64);

struct State {
    /// Of the open transaction, in order.
    events: Vec<Event>,
    /// How many of them are claims.
    claims_said: usize,
    places: BTreeMap<Arc<str>, Place>,
    queues: Vec<Queue>,
    /// That of the queue that was met last.
    last: Place,
    /// The open transaction adds counts to the file.
    is_adding: bool,
    /// How often that has begun.
    adds: u64,
    has_counts: bool,
    added_at: Instant,
    claims: Claims,
}

struct Queue {
    name: Arc<str>,
    counts: Counts,
    /// Those that the open transaction adds to the file.
    adding: Counts,
}

impl Default for Tally {
    fn default() -> Self {
        Tally {
            state: Mutex::new(State {
                events: Vec::new(),
                claims_said: 0,
                places: BTreeMap::new(),
                queues: Vec::new(),
                last: 0,
                is_adding: false,
                adds: 0,
                has_counts: false,
                added_at: Instant::now(),
                claims: Claims::default(),
            }),
        }
    }
}

impl Tally {
    /// A job was enqueued.
    pub(crate) fn enqueued(&self, queue: &str) {
        let mut state = self.lock();
        let queue = state.place(queue);
        state.events.push(Event::Enqueued(queue));
    }

    /// A job was claimed that had waited for so long.
    pub(crate) fn claimed(&self, id: i64, queue: &str, wait_s: i64) {
        let mut state = self.lock();
        let queue = state.place(queue);
        state.events.push(Event::Claimed { id, queue, wait_s });
        state.claims_said += 1;
    }

    /// A job was settled, dead-lettered or cancelled. Its queue may be left out if this process has claimed it.
    pub(crate) fn left(&self, id: i64, queue: Option<&str>, how: Left) {
        let mut state = self.lock();
        let queue = queue.map(|queue| state.place(queue));
        state.events.push(Event::Left { id, queue, how });
    }

    /// As [`Tally::left`], of jobs that this process has claimed.
    pub(crate) fn all_left(&self, ids: &[i64], how: Left) {
        self.lock().events.extend(ids.iter().map(|&id| Event::Left { id, queue: None, how }));
    }

    /// Whether this process has claimed the job, as far as it remembers.
    pub fn knows(&self, id: i64) -> bool {
        let state = self.lock();
        let is_said = |event: &Event| matches!(event, Event::Claimed { id: claimed, .. } if *claimed == id);
        // Most transactions that settle many jobs have claimed none.
        state.claims.knows(id) || state.claims_said > 0 && state.events.iter().rev().any(is_said)
    }

    /// Whether this process has claimed all of these jobs, in transactions that are committed.
    pub(crate) fn knows_all(&self, ids: &[i64]) -> bool {
        let state = self.lock();
        ids.iter().all(|id| state.claims.knows(*id))
    }

    /// How much the open transaction has said.
    pub(crate) fn said(&self) -> usize {
        self.lock().events.len()
    }

    /// All but the first so much is undone.
    pub(crate) fn forget(&self, but: usize) {
        let State { events, claims_said, .. } = &mut *self.lock();
        let undone = events.drain(but.min(events.len())..);
        *claims_said -= undone.filter(|event| matches!(event, Event::Claimed { .. })).count();
    }

    /// The open transaction is committed.
    pub(crate) fn committed(&self) {
        let mut state = self.lock();
        if std::mem::take(&mut state.is_adding) {
            state.queues.iter_mut().for_each(|queue| queue.adding = Counts::default());
            // Names may come from users: they are not kept without end, and with them not what is known of claims.
            if state.queues.len() > QUEUES_MAX && state.events.is_empty() && !state.has_counts {
                (state.places, state.queues, state.claims) = Default::default();
            }
        }
        if !state.events.is_empty() {
            state.count_events();
        }
    }

    /// The open transaction is undone, or will never be committed.
    pub(crate) fn undone(&self) {
        let mut state = self.lock();
        state.events.clear();
        state.claims_said = 0;
        if std::mem::take(&mut state.is_adding) {
            state.take_back();
        }
    }

    /// Adds the counts to the file if it is time to, or in any case if it is the `last` time, in the transaction that is open
    /// and about to be committed. An error is none of that transaction's.
    pub(crate) fn add(&self, store: &Store, last: bool) {
        let mut given: Vec<(Arc<str>, &'static str, i64)> = Vec::new();
        {
            let mut state = self.lock();
            if !state.has_counts || !(last || state.added_at.elapsed() >= EVERY) {
                return;
            }
            state.added_at = Instant::now();
            state.has_counts = false;
            state.is_adding = true;
            state.adds += 1;
            for queue in &mut state.queues {
                queue.adding = std::mem::take(&mut queue.counts);
                let counted = queue.adding.iter().enumerate().filter(|(_, value)| **value != 0);
                given
                    .extend(counted.map(|(counter, value)| (Arc::clone(&queue.name), name(counter), *value)));
            }
        }
        let minute = store.now().map(|now| now.div_euclid(60));
        let added = minute.and_then(|minute| {
            store.atomic(|| {
                given.iter().try_for_each(|(queue, name, value)| {
                    let parameters = [minute.into(), (&**queue).into(), (*name).into(), (*value).into()];
                    store.execute(&SQL_ADD, &parameters).map(drop)
                })
            })
        });
        if added.is_err() {
            // The next commit tries again, in a while.
            let mut state = self.lock();
            state.is_adding = false;
            state.take_back();
        }
    }

    /// The counts that the file does not have. `None` while a transaction adds them: nobody else can tell when it has them.
    fn not_added(&self) -> Option<NotAdded> {
        let state = self.lock();
        let counts = state.queues.iter().flat_map(|queue| {
            let counted = queue.counts.iter().enumerate().filter(|(_, value)| **value != 0);
            counted.map(|(counter, value)| (queue.name.to_string(), name(counter).to_owned(), *value))
        });
        (!state.is_adding).then(|| NotAdded { adds: state.adds, counts: counts.collect() })
    }

    /// Whether there is anything that the file does not have.
    #[cfg(feature = "runtime")]
    pub(crate) fn has_counts(&self) -> bool {
        self.lock().has_counts
    }

    /// This was committed.
    #[cfg(feature = "runtime")]
    pub fn count(&self, said: Vec<Said>) {
        if said.is_empty() {
            return;
        }
        let mut state = self.lock();
        let (now, state) = (Instant::now(), &mut *state);
        state.has_counts = true;
        for said in said {
            let event = match said {
                Said::Enqueued(queue) => Event::Enqueued(state.place(&queue)),
                Said::Claimed { id, queue, wait_s } => {
                    Event::Claimed { id, queue: state.place(&queue), wait_s }
                }
                Said::Left { id, queue, how } => {
                    Event::Left { id, queue: queue.map(|queue| state.place(&queue)), how }
                }
            };
            state.count(&event, now);
        }
    }

    /// What is to be added to the server's counts: nothing, unless it is time to or it is to be `at_once`.
    #[cfg(feature = "runtime")]
    pub fn take(&self, at_once: bool) -> Option<Vec<Counted>> {
        let mut state = self.lock();
        if !state.has_counts || !(at_once || state.added_at.elapsed() >= EVERY) {
            return None;
        }
        state.added_at = Instant::now();
        state.has_counts = false;
        let mut taken = Vec::new();
        for queue in &mut state.queues {
            let counts = std::mem::take(&mut queue.counts);
            let counted = counts.into_iter().enumerate().filter(|(_, value)| *value != 0);
            taken.extend(
                counted.map(|(counter, value)| (queue.name.to_string(), name(counter).to_owned(), value)),
            );
        }
        if state.queues.len() > QUEUES_MAX {
            (state.places, state.queues, state.claims) = Default::default();
        }
        Some(taken)
    }

    /// What could not be added is to be added again.
    #[cfg(feature = "runtime")]
    pub fn give_back(&self, counts: Vec<Counted>) {
        let mut state = self.lock();
        state.has_counts = true;
        for (queue, name, value) in counts {
            let place = state.place(&queue);
            let counter = NAMES.iter().chain(&SUMS).position(|known| **known == *name);
            if let Some(counter) = counter {
                state.queues[place].counts[counter] += value;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn place(&mut self, name: &str) -> Place {
        if self.queues.get(self.last).is_some_and(|queue| *queue.name == *name) {
            return self.last;
        }
        if let Some(place) = self.places.get(name) {
            self.last = *place;
            return *place;
        }
        let name: Arc<str> = name.into();
        self.places.insert(Arc::clone(&name), self.queues.len());
        self.queues.push(Queue { name, counts: Counts::default(), adding: Counts::default() });
        self.queues.len() - 1
    }

    /// Counts that could not be added to the file are to be added again.
    fn take_back(&mut self) {
        for queue in &mut self.queues {
            let adding = std::mem::take(&mut queue.adding);
            queue.counts.iter_mut().zip(adding).for_each(|(count, adding)| *count += adding);
        }
        self.has_counts = true;
    }

    fn count_events(&mut self) {
        let now = Instant::now();
        self.has_counts = true;
        self.claims_said = 0;
        let mut events = std::mem::take(&mut self.events);
        events.iter().for_each(|event| self.count(event, now));
        events.clear();
        events.shrink_to(EVENTS_KEPT);
        self.events = events;
    }

    fn count(&mut self, event: &Event, now: Instant) {
        match *event {
            Event::Enqueued(queue) => self.queues[queue].counts[ENQUEUED] += 1,
            Event::Claimed { id, queue, wait_s } => {
                let counts = &mut self.queues[queue].counts;
                counts[CLAIMED] += 1;
                // Less than: what has waited for a second may have waited for nearly two.
                counts[WAIT + WAIT_S.iter().position(|bound| wait_s < *bound).unwrap_or(WAIT_S.len())] += 1;
                counts[WAIT_SUM] += wait_s.clamp(0, LONGEST_WAIT_S);
                self.claims.remember(id, Claim { queue, since: now });
            }
            Event::Left { id, queue, how } => {
                let claim = self.claims.take(id);
                let Some(queue) = queue.or(claim.as_ref().map(|claim| claim.queue)) else { return };
                let counts = &mut self.queues[queue].counts;
                counts[how as usize] += 1;
                if let Some(claim) = claim.filter(|_| how != Left::Cancelled) {
                    let run_ms = now.saturating_duration_since(claim.since).as_millis() as i64;
                    counts[RUN + RUN_MS.iter().position(|bound| run_ms <= *bound).unwrap_or(RUN_MS.len())] +=
                        1;
                    counts[RUN_SUM] += run_ms;
                }
            }
        }
    }
}

/// What is known of the queues of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// By name.
    pub queues: Vec<QueueMetrics>,
}

/// What is known of a queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueueMetrics {
    /// Its name.
    pub queue: String,
    /// What processes have counted of their own calls. It only grows, and is up to ten seconds late.
    pub counts: Totals,
    /// How long claimed jobs had waited since they were due.
    pub wait: Histogram,
    /// How long jobs were held from their claim to their settlement, by the clock of the process that did both.
    pub run: Histogram,
    /// How many jobs there are now.
    pub depth: Depth,
}

/// How often something happened to a job of a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// It was enqueued.
    pub enqueued: i64,
    /// It was claimed.
    pub claimed: i64,
    /// It was acked.
    pub done: i64,
    /// It is to be tried again.
    pub retried: i64,
    /// It was given back without having been tried.
    pub released: i64,
    /// It was dead-lettered.
    pub dead: i64,
    /// It was cancelled.
    pub cancelled: i64,
}

/// How often something took how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// All of it, in seconds.
    pub sum_s: f64,
    /// In ascending order. Each counts what no earlier one does.
    pub buckets: Vec<Bucket>,
}

/// One part of a [`Histogram`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// The upper bound, in seconds; `null` for the last one, which has none. Waits are less, run times at most this.
    pub up_to_s: Option<f64>,
    /// How often.
    pub count: i64,
}

/// What was counted: what the file has, and what the database of this store has not added to it yet.
fn counted(store: &Store) -> Result<Vec<Counted>> {
    let in_file = || store.query(&SQL_TOTALS, &[], |row| (row.text(0), row.text(1), row.integer(2)));
    let Some(tally) = store.tally_beside() else {
        // On the connection that writes nothing is added meanwhile.
        let mut counted = in_file()?;
        counted.extend(
            store.tally().and_then(Tally::not_added).into_iter().flat_map(|not_added| not_added.counts),
        );
        return Ok(counted);
    };
    for _ in 0..LOOKS_MAX {
        if let Some(before) = tally.not_added() {
            let mut counted = in_file()?;
            if tally.not_added().is_some_and(|after| after.adds == before.adds) {
                counted.extend(before.counts);
                return Ok(counted);
            }
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    Err(Error::Busy("database is locked: a commit that adds counts takes too long".into()))
}

/// What is known of the queues of a file: what was counted, and how many jobs there are. It reads all rows of the jobs' indexes:
/// for people and for programs that ask every few seconds.
pub fn metrics(store: &Store, now: i64) -> Result<Metrics> {
    let mut totals: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
    for (queue, name, value) in counted(store)? {
        *totals.entry(queue).or_default().entry(name).or_default() += value;
    }
    let mut depths: BTreeMap<String, Depth> = depths(store, now)?.into_iter().collect();
    let mut names: Vec<String> = totals.keys().chain(depths.keys()).cloned().collect();
    // What another process has counted of a queue may not be in the file yet.
    names.extend(queues(store)?.into_iter().map(|queue| queue.queue));
    names.sort_unstable();
    names.dedup();
    let queues = names.into_iter().map(|queue| {
        let counts = totals.remove(&queue).unwrap_or_default();
        let depth = depths.remove(&queue).unwrap_or_default();
        let of = |name: &str| counts.get(name).copied().unwrap_or(0);
        let histogram = |names: &[&str], bounds: Vec<f64>, sum_s: f64| Histogram {
            sum_s,
            buckets: names
                .iter()
                .zip(bounds.into_iter().map(Some).chain([None]))
                .map(|(name, up_to_s)| Bucket { up_to_s, count: of(name) })
                .collect(),
        };
        let run_bounds = RUN_MS.iter().map(|ms| *ms as f64 / 1000.0).collect();
        QueueMetrics {
            counts: Totals {
                enqueued: of("enqueued"),
                claimed: of("claimed"),
                done: of("done"),
                retried: of("retried"),
                released: of("released"),
                dead: of("dead"),
                cancelled: of("cancelled"),
            },
            wait: histogram(
                &NAMES[WAIT..RUN],
                WAIT_S.iter().map(|s| *s as f64).collect(),
                of("wait_sum_s") as f64,
            ),
            run: histogram(&NAMES[RUN..], run_bounds, of("run_sum_ms") as f64 / 1000.0),
            depth,
            queue,
        }
    });
    Ok(Metrics { queues: queues.collect() })
}

/// Whether there are counts of single minutes that are older than a day.
pub(crate) fn any_old(store: &Store, now: i64) -> Result<bool> {
    let before = now.div_euclid(60) - KEPT_MINUTES;
    Ok(store.query_one(&SQL_ANY_OLD, &[before.into()], |_| ())?.is_some())
}

/// Adds them up, as far as one transaction may; how many rows that were.
pub(crate) fn add_up(store: &Store, now: i64) -> Result<i64> {
    store.atomic(|| {
        let mut allowance = Allowance::new(store);
        let parameters = [(now.div_euclid(60) - KEPT_MINUTES).into(), (allowance.rows() + 1).into()];
        let old = allowance.rows_of(&SQL_OLD, &parameters, |row| {
            (row.integer(1), row.text(2), row.text(3), row.integer(4))
        })?;
        for (minute, queue, name, value) in &old {
            let (queue, name): (Value<'_>, Value<'_>) = (queue.as_str().into(), name.as_str().into());
            store.execute(&SQL_ADD, &[BEFORE.into(), queue, name, (*value).into()])?;
            store.execute(&SQL_REMOVE, &[(*minute).into(), queue, name])?;
        }
        Ok(old.len() as i64)
    })
}
