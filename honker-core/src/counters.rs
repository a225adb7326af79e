//! What a process counts of its own calls, by queue, and how it gets into the file: `_honker_counters`, by minute.
//!
//! An operation says what it has done ([`Tally`]); that becomes a count when it is committed, and is forgotten when it is undone.
//! Counts are kept in memory and added to the file by a commit that is made anyway, every ten seconds at most, and when the
//! database is closed. A process that is killed loses what it had not added yet, never a job.
//!
//! Only a store with a tally counts: the one that a database of the runtime writes through. Plain INSERTs and the SQL functions
//! of other connections are not counted.
//!
//! Threads: those of the store. Nothing here is locked while SQLite runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::bound::Allowance;
use crate::queue::{Depth, depths};
use crate::statement::{Sql, Value};
use crate::{Result, Store};

/// How often counts are added to the file.
const EVERY: Duration = Duration::from_secs(10);

/// So many claims are remembered, to know the queue and the run time of what is settled. The oldest are forgotten first.
const CLAIMS_MAX: usize = 20_000;

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

/// What becomes of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    Done,
    Retried,
    Released,
    Dead,
    Cancelled,
}

impl Left {
    fn name(self) -> &'static str {
        match self {
            Left::Done => "done",
            Left::Retried => "retried",
            Left::Released => "released",
            Left::Dead => "dead",
            Left::Cancelled => "cancelled",
        }
    }
}

/// What was done in a transaction that is not committed yet.
enum Event {
    Enqueued(Arc<str>),
    Claimed { id: i64, queue: Arc<str>, wait_s: i64 },
    Left { id: i64, queue: Option<Arc<str>>, how: Left },
}

/// A claim of this process.
struct Claim {
    queue: Arc<str>,
    since: Instant,
}

type Counts = BTreeMap<(Arc<str>, &'static str), i64>;

/// See the module documentation.
pub(crate) struct Tally {
    state: Mutex<State>,
}

struct State {
    /// Of the open transaction, in order.
    events: Vec<Event>,
    counts: Counts,
    /// Those that the open transaction adds to the file.
    adding: Counts,
    added_at: Instant,
    claims: BTreeMap<i64, Claim>,
    /// The queues there are, each text once.
    queues: std::collections::BTreeSet<Arc<str>>,
}

impl Default for Tally {
    fn default() -> Self {
        Tally {
            state: Mutex::new(State {
                events: Vec::new(),
                counts: Counts::new(),
                adding: Counts::new(),
                added_at: Instant::now(),
                claims: BTreeMap::new(),
                queues: std::collections::BTreeSet::new(),
            }),
        }
    }
}

impl Tally {
    /// A job was enqueued.
    pub(crate) fn enqueued(&self, queue: &str) {
        let mut state = self.lock();
        let queue = state.queue(queue);
        state.events.push(Event::Enqueued(queue));
    }

    /// A job was claimed that had waited for so long.
    pub(crate) fn claimed(&self, id: i64, queue: &Arc<str>, wait_s: i64) {
        self.lock().events.push(Event::Claimed { id, queue: Arc::clone(queue), wait_s });
    }

    /// A job was settled, dead-lettered or cancelled. Its queue may be left out if this process has claimed it.
    pub(crate) fn left(&self, id: i64, queue: Option<&str>, how: Left) {
        let mut state = self.lock();
        let queue = queue.map(|queue| state.queue(queue));
        state.events.push(Event::Left { id, queue, how });
    }

    /// Whether this process has claimed the job, as far as it remembers.
    pub(crate) fn knows(&self, id: i64) -> bool {
        let state = self.lock();
        let claims = state.events.iter().rev();
        state.claims.contains_key(&id)
            || claims
                .into_iter()
                .any(|event| matches!(event, Event::Claimed { id: claimed, .. } if *claimed == id))
    }

    /// How much the open transaction has said.
    pub(crate) fn said(&self) -> usize {
        self.lock().events.len()
    }

    /// All but the first so much is undone.
    pub(crate) fn forget(&self, but: usize) {
        let mut state = self.lock();
        state.events.truncate(but);
    }

    /// The open transaction is committed.
    pub(crate) fn committed(&self) {
        let mut state = self.lock();
        state.adding.clear();
        if state.events.is_empty() {
            return;
        }
        let events = std::mem::take(&mut state.events);
        let now = Instant::now();
        for event in events {
            state.count(event, now);
        }
        while state.claims.len() > CLAIMS_MAX {
            state.claims.pop_first();
        }
    }

    /// The open transaction is undone, or will never be committed.
    pub(crate) fn undone(&self) {
        let mut state = self.lock();
        state.events.clear();
        let adding = std::mem::take(&mut state.adding);
        for (key, value) in adding {
            *state.counts.entry(key).or_default() += value;
        }
    }

    /// Adds the counts to the file if it is time to, or in any case if it is the `last` time, in the transaction that is open
    /// and about to be committed. An error is none of that transaction's.
    pub(crate) fn add(&self, store: &Store, last: bool) {
        let counts = {
            let mut state = self.lock();
            if state.counts.is_empty() || !(last || state.added_at.elapsed() >= EVERY) {
                return;
            }
            state.added_at = Instant::now();
            std::mem::take(&mut state.counts)
        };
        let minute = store.now().map(|now| now.div_euclid(60));
        let added = minute.and_then(|minute| {
            store.atomic(|| {
                counts.iter().try_for_each(|((queue, name), value)| {
                    let parameters = [minute.into(), (&**queue).into(), (*name).into(), (*value).into()];
                    store.execute(&SQL_ADD, &parameters).map(drop)
                })
            })
        });
        let mut state = self.lock();
        match added {
            Ok(()) => state.adding = counts,
            // The next commit tries again, in a while.
            Err(_) => {
                for (key, value) in counts {
                    *state.counts.entry(key).or_default() += value;
                }
            }
        }
    }

    /// Whether there is anything that the file does not have.
    #[cfg(feature = "bundled")]
    pub(crate) fn has_counts(&self) -> bool {
        !self.lock().counts.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn queue(&mut self, name: &str) -> Arc<str> {
        if let Some(queue) = self.queues.get(name) {
            return Arc::clone(queue);
        }
        let queue: Arc<str> = name.into();
        // Names may come from users: they are not kept without end.
        if self.queues.len() >= CLAIMS_MAX {
            self.queues.clear();
        }
        self.queues.insert(Arc::clone(&queue));
        queue
    }

    fn add(&mut self, queue: &Arc<str>, name: &'static str, value: i64) {
        *self.counts.entry((Arc::clone(queue), name)).or_default() += value;
    }

    fn count(&mut self, event: Event, now: Instant) {
        match event {
            Event::Enqueued(queue) => self.add(&queue, "enqueued", 1),
            Event::Claimed { id, queue, wait_s } => {
                self.add(&queue, "claimed", 1);
                self.add(&queue, wait_name(wait_s), 1);
                self.add(&queue, "wait_sum_s", wait_s.max(0));
                self.claims.insert(id, Claim { queue, since: now });
            }
            Event::Left { id, queue, how } => {
                let claim = self.claims.remove(&id);
                let Some(queue) = queue.or_else(|| claim.as_ref().map(|claim| Arc::clone(&claim.queue)))
                else {
                    return;
                };
                self.add(&queue, how.name(), 1);
                if let Some(claim) = claim.filter(|_| how != Left::Cancelled) {
                    let run_ms = now.saturating_duration_since(claim.since).as_millis() as i64;
                    self.add(&queue, run_name(run_ms), 1);
                    self.add(&queue, "run_sum_ms", run_ms);
                }
            }
        }
    }
}

const WAIT_NAMES: [&str; WAIT_S.len() + 1] = [
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
];

const RUN_NAMES: [&str; RUN_MS.len() + 1] = [
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

fn wait_name(wait_s: i64) -> &'static str {
    // Less than: what has waited for a second may have waited for nearly two.
    WAIT_NAMES[WAIT_S.iter().position(|bound| wait_s < *bound).unwrap_or(WAIT_S.len())]
}

fn run_name(run_ms: i64) -> &'static str {
    RUN_NAMES[RUN_MS.iter().position(|bound| run_ms <= *bound).unwrap_or(RUN_MS.len())]
}

/// What is known of the queues of a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metrics {
    /// By name.
    pub queues: Vec<QueueMetrics>,
}

/// What is known of a queue.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Histogram {
    /// All of it, in seconds.
    pub sum_s: f64,
    /// In ascending order. Each counts what no earlier one does.
    pub buckets: Vec<Bucket>,
}

/// One part of a [`Histogram`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bucket {
    /// The upper bound, in seconds; `null` for the last one, which has none. Waits are less, run times at most this.
    pub up_to_s: Option<f64>,
    /// How often.
    pub count: i64,
}

/// What is known of the queues of a file: what was counted, and how many jobs there are. It reads all rows of the jobs' indexes:
/// for people and for programs that ask every few seconds.
pub fn metrics(store: &Store, now: i64) -> Result<Metrics> {
    let mut counted: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
    for (queue, name, value) in
        store.query(&SQL_TOTALS, &[], |row| (row.text(0), row.text(1), row.integer(2)))?
    {
        counted.entry(queue).or_default().insert(name, value);
    }
    let mut depths: BTreeMap<String, Depth> = depths(store, now)?.into_iter().collect();
    let mut names: Vec<String> = counted.keys().chain(depths.keys()).cloned().collect();
    names.sort_unstable();
    names.dedup();
    let queues = names.into_iter().map(|queue| {
        let counts = counted.remove(&queue).unwrap_or_default();
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
            wait: histogram(&WAIT_NAMES, WAIT_S.iter().map(|s| *s as f64).collect(), of("wait_sum_s") as f64),
            run: histogram(&RUN_NAMES, run_bounds, of("run_sum_ms") as f64 / 1000.0),
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
