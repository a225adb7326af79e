//! Looking at queues without changing them.

use serde::{Deserialize, Serialize};

use super::blocked::{self, Keys};
use super::clear::{self, Obstacles};
use super::conditions::{delayed, exceptional, immediate, in_flight};
use super::limits::{self, Gate, Limits};
use super::options;
use super::walk::Queue;
use crate::bound::ROWS_MAX;
use crate::statement::{Row, Sql};
use crate::{Result, Store};

/// A row of `_honker_live`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The job's id.
    pub id: i64,
    /// The queue it is in.
    pub queue: String,
    /// As it was enqueued.
    pub payload: String,
    /// `pending` or `processing`. One that waits for a slot of its concurrency key is pending.
    pub state: String,
    /// Larger is sooner.
    pub priority: i64,
    /// When it becomes, or became, due.
    pub run_at: i64,
    /// Who holds it.
    pub worker_id: Option<String>,
    /// The last second in which its claim is valid.
    pub claim_expires_at: Option<i64>,
    /// How often it has been claimed.
    pub attempts: i64,
    /// How often it may be.
    pub max_attempts: i64,
    /// When it was enqueued.
    pub created_at: i64,
    /// From when on it may not be claimed any more.
    pub expires_at: Option<i64>,
    /// A JSON object of texts, if it was enqueued with one. Not among the keys of the JSON otherwise.
    #[serde(skip_serializing_if = "Option::is_none", with = "super::options::as_object", default)]
    pub metadata: Option<String>,
    /// What it shares with the jobs that are not to run at the same time as it. As for the metadata, so is the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency_key: Option<String>,
    /// For how many seconds a worker lets it run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_run_s: Option<i64>,
}

/// How many jobs of a queue are in which condition. Each job counts once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStats {
    /// The queue.
    pub queue: String,
    /// Pending and due.
    pub pending: i64,
    /// Pending and not yet due.
    pub delayed: i64,
    /// Claimed, whether or not the claim has lapsed.
    pub claimed: i64,
    /// Pending, past the expiry, waiting for a sweep.
    pub expired: i64,
    /// Dead.
    pub dead: i64,
}

static SQL_GET: Sql = Sql::new(
    "SELECT id, queue, payload, state, priority, run_at, worker_id, claim_expires_at, attempts, max_attempts,
            created_at, expires_at
     FROM main._honker_live WHERE id = ?1",
);

static SQL_NEXT_LAPSE: Sql = Sql::new(concat!(
    "SELECT claim_expires_at, expires_at <= ?2 FROM main._honker_live WHERE ",
    in_flight!(),
    " AND queue = +?1 AND claim_expires_at >= +?2 ORDER BY claim_expires_at LIMIT +?3"
));

/// Those among the plain pending jobs, each of which is in the index that `$condition` names with all that is asked for.
macro_rules! plain_stats {
    ($condition:expr, $of_queue:literal) => {
        concat!(
            "SELECT queue, sum(run_at <= ?1) AS pending, sum(run_at > ?1) AS delayed, 0 AS claimed, 0 AS expired,
                    0 AS dead, min(run_at) AS oldest
             FROM main._honker_live WHERE ",
            $condition,
            $of_queue,
            " GROUP BY queue"
        )
    };
}
// Counted part by part, each in the order of its index, so that what is left to sort are some rows for each queue. Jobs that
// expire are in the index of the exceptions as well, where those that have expired are found.
macro_rules! stats {
    ($of_queue:literal) => {
        concat!(
            "SELECT queue, sum(pending), sum(delayed), sum(claimed), sum(expired), sum(dead), min(oldest) FROM ( ",
            plain_stats!(immediate!(), $of_queue),
            " UNION ALL ",
            plain_stats!(delayed!(), $of_queue),
            " UNION ALL
               SELECT queue, sum(attempts >= max_attempts AND NOT expired AND run_at <= ?1)
                        - sum(attempts < max_attempts AND expired AND run_at <= ?1),
                      sum(attempts >= max_attempts AND NOT expired AND run_at > ?1)
                        - sum(attempts < max_attempts AND expired AND run_at > ?1),
                      0, sum(expired), 0, NULL
               FROM (SELECT queue, attempts, max_attempts, run_at, expires_at IS NOT NULL AND expires_at <= ?1 AS expired
                     FROM main._honker_live WHERE ",
            exceptional!(),
            " AND state = 'pending'",
            $of_queue,
            ") WHERE expired OR attempts >= max_attempts GROUP BY queue
               UNION ALL
               SELECT queue, 0, 0, count(*), 0, 0, NULL FROM main._honker_live WHERE state = 'processing'",
            $of_queue,
            " GROUP BY queue
               UNION ALL
               SELECT queue, 0, 0, 0, 0, count(*), NULL FROM main._honker_dead WHERE true",
            $of_queue,
            " GROUP BY queue) GROUP BY queue ORDER BY queue"
        )
    };
}
static SQL_STATS: Sql = Sql::new(stats!(" AND queue = +?2"));
static SQL_STATS_ALL: Sql = Sql::new(stats!(""));

// Those that wait for a slot of their key, which are in no index of the others.
macro_rules! blocked_stats {
    ($of_queue:literal) => {
        concat!(
            "SELECT blocked.queue, sum(live.run_at <= ?1 AND (live.expires_at IS NULL OR live.expires_at > ?1)),
                    sum(live.run_at > ?1 AND (live.expires_at IS NULL OR live.expires_at > ?1)), 0,
                    sum(live.expires_at IS NOT NULL AND live.expires_at <= ?1), 0
             FROM main._honker_blocked blocked CROSS JOIN main._honker_live live ON live.id = blocked.job_id
             WHERE live.state = 'blocked' AND live.queue = blocked.queue",
            $of_queue,
            " GROUP BY blocked.queue ORDER BY blocked.queue"
        )
    };
}
static SQL_BLOCKED_STATS: Sql = Sql::new(blocked_stats!(" AND blocked.queue = +?2"));
static SQL_BLOCKED_STATS_ALL: Sql = Sql::new(blocked_stats!(""));

/// A live job; `None` if it was acked, cancelled, is dead, or never was.
pub fn get_job(store: &Store, id: i64) -> Result<Option<Job>> {
    let mut job = store.query_one(&SQL_GET, &[id.into()], |row| Job {
        id: row.integer(0),
        queue: row.text(1),
        payload: row.text(2),
        state: row.text(3),
        priority: row.integer(4),
        run_at: row.integer(5),
        worker_id: row.optional_text(6),
        claim_expires_at: row.optional_integer(7),
        attempts: row.integer(8),
        max_attempts: row.integer(9),
        created_at: row.integer(10),
        expires_at: row.optional_integer(11),
        metadata: None,
        concurrency_key: None,
        max_run_s: None,
    })?;
    if let Some(job) = &mut job
        && options::any(store)?
    {
        let options::OfClaimed { metadata, max_run_s, key } = options::of(store, id)?;
        (job.metadata, job.concurrency_key, job.max_run_s) = (metadata, key, max_run_s);
    }
    if let Some(job) = &mut job
        && job.state == "blocked"
    {
        "pending".clone_into(&mut job.state);
    }
    Ok(job)
}

/// The earliest future second at which a claim on `queue` could start to succeed without a further commit: the next
/// pending job becoming due, or the next claim lapsing, and the end of what limits claims. It is `now` if a claim in this
/// second would move rows out of the way of others. Jobs that can be claimed already do not count, unless a limit keeps
/// them from it. `None` also if the queue is paused.
///
/// Among claimed jobs, more than 1,000 that have expired meanwhile are not stepped over: the answer may then be early. So it
/// may be if what a limit keeps from being claimed expires before that.
pub fn next_claim_at(store: &Store, now: i64, queue: &str) -> Result<Option<i64>> {
    let look = Look::new(store, now, queue)?;
    match look.gate {
        Gate::Paused => Ok(None),
        Gate::Until(at) if look.any_now()? => Ok(Some(at)),
        Gate::Until(at) => Ok(look.next()?.map(|next| next.max(at))),
        Gate::Open if look.would_move_any()? => Ok(Some(now)),
        Gate::Open => look.next(),
    }
}

/// A look at what a claim would find.
struct Look<'a> {
    store: &'a Store,
    now: i64,
    queue: &'a str,
    limits: Option<Limits>,
    /// Whether a job waits for a slot of its key, or did.
    any_blocked: bool,
    gate: Gate,
    obstacles: Obstacles,
    pending: Queue<'a>,
}

impl<'a> Look<'a> {
    fn new(store: &'a Store, now: i64, queue: &'a str) -> Result<Self> {
        let limits = limits::read(store, queue)?;
        let gate = limits.as_ref().map_or(Ok(Gate::Open), |limits| limits.gate(store, now, queue))?;
        let any_blocked = blocked::any_of(store, queue)?;
        let obstacles = clear::look(store, now, queue)?;
        let stepped_over = obstacles.expired_in_place(store, now, queue)?;
        let pending = Queue { store, now, name: queue, stepped_over };
        Ok(Look { store, now, queue, limits, any_blocked, gate, obstacles, pending })
    }

    /// Whether a claim would take a job or move any row, if no limit kept it from that.
    fn any_now(&self) -> Result<bool> {
        Ok(self.obstacles.any_lapsed()
            || self.obstacles.would_be_cleared(self.store, self.now, self.queue)?
            || self.pending.any_due()?
            || self.any_comes_back()?)
    }

    /// Whether a claim of one job would move any row beside those that it takes.
    fn would_move_any(&self) -> Result<bool> {
        let Look { store, now, queue, .. } = *self;
        if self.obstacles.would_be_cleared(store, now, queue)? {
            return Ok(true);
        }
        let Some(per_key) = self.limits.as_ref().and_then(Limits::per_key) else {
            return self.any_comes_back();
        };
        let lapsed = self.obstacles.lapsed_in_place(store, now, queue)?;
        match self.pending.first(1, lapsed)?.first() {
            Some(first) => match options::key_of(store, first.id)? {
                Some(key) => Keys::new(store, now, queue, per_key).is_saturated(&key),
                None => Ok(false),
            },
            None => self.any_comes_back(),
        }
    }

    /// Whether a claim that finds no job would make blocked ones pending.
    fn any_comes_back(&self) -> Result<bool> {
        if !self.any_blocked {
            return Ok(false);
        }
        match self.limits.as_ref().and_then(Limits::per_key) {
            Some(per_key) => blocked::any_waiting_in_vain(self.store, self.now, self.queue, per_key),
            None => Ok(true),
        }
    }

    /// When time alone makes a job due.
    fn next(&self) -> Result<Option<i64>> {
        let Look { store, now, queue, .. } = *self;
        let lapse = if self.any_blocked {
            // Each claim that lapses may free the slot for which a job waits, whatever becomes of its own.
            blocked::first_lapse(store, now, queue)?.and_then(|last_valid| last_valid.checked_add(1))
        } else {
            next_lapse(store, now, queue)?
        };
        Ok([lapse, self.pending.next_due()?].into_iter().flatten().min())
    }
}

/// The second in which the next claim will have lapsed.
fn next_lapse(store: &Store, now: i64, queue: &str) -> Result<Option<i64>> {
    let mut last_valid = None;
    let (mut looked_at, mut found) = (0, false);
    store.query_while(&SQL_NEXT_LAPSE, &[queue.into(), now.into(), ROWS_MAX.into()], |row| {
        looked_at += 1;
        found = row.integer(1) == 0;
        last_valid = Some(row.integer(0));
        !found
    })?;
    Ok(last_valid.filter(|_| found || looked_at == ROWS_MAX).and_then(|last_valid| last_valid.checked_add(1)))
}

/// Whether a claim on `queue` would do something now: take a job, or move rows out of the way. It takes no lock, which
/// is what a worker that was woken for another queue's sake should not do.
pub fn may_claim(store: &Store, now: i64, queue: &str) -> Result<bool> {
    let look = Look::new(store, now, queue)?;
    Ok(look.gate == Gate::Open && look.any_now()?)
}

/// The counts of one queue; all zero if there is nothing in it. Reads the queue's rows: for people, not for hot paths.
pub fn stats(store: &Store, now: i64, queue: &str) -> Result<QueueStats> {
    let parameters = [now.into(), queue.into()];
    let row = store.query_one(&SQL_STATS, &parameters, read_stats)?;
    let mut stats = row.unwrap_or_else(|| QueueStats { queue: queue.to_owned(), ..QueueStats::default() });
    if blocked::any(store)? {
        let blocked = store.query_one(&SQL_BLOCKED_STATS, &parameters, read_stats)?;
        blocked.iter().for_each(|blocked| stats.add(blocked));
    }
    Ok(stats)
}

/// The counts of every queue that has a live or dead job, by name.
pub fn stats_all(store: &Store, now: i64) -> Result<Vec<QueueStats>> {
    let mut all = store.query(&SQL_STATS_ALL, &[now.into()], read_stats)?;
    if blocked::any(store)? {
        for blocked in store.query(&SQL_BLOCKED_STATS_ALL, &[now.into()], read_stats)? {
            match all.binary_search_by(|stats| stats.queue.cmp(&blocked.queue)) {
                Ok(at) => all[at].add(&blocked),
                Err(at) => all.insert(at, blocked),
            }
        }
    }
    Ok(all)
}

/// How many jobs a queue has, by what they wait for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Depth {
    /// Pending, due.
    pub due: i64,
    /// Pending, not due yet.
    pub delayed: i64,
    /// Claimed, whether or not the claim has lapsed.
    pub processing: i64,
    /// Set aside until a slot of their key is free.
    pub blocked: i64,
    /// Pending, past the expiry.
    pub expired: i64,
    /// Dead.
    pub dead: i64,
    /// For how many seconds the oldest due job has been due; `null` if none is.
    pub oldest_due_age_s: Option<i64>,
}

/// The depth of every queue that has a live or dead job, by name.
pub(crate) fn depths(store: &Store, now: i64) -> Result<Vec<(String, Depth)>> {
    let mut all =
        store.query(&SQL_STATS_ALL, &[now.into()], |row| (read_stats(row), row.optional_integer(6)))?;
    let blocked = match blocked::any(store)? {
        true => store.query(&SQL_BLOCKED_STATS_ALL, &[now.into()], read_stats)?,
        false => Vec::new(),
    };
    for blocked in &blocked {
        if let Err(at) = all.binary_search_by(|(stats, _)| stats.queue.cmp(&blocked.queue)) {
            all.insert(at, (QueueStats { queue: blocked.queue.clone(), ..QueueStats::default() }, None));
        }
    }
    let depth = |(stats, oldest): (QueueStats, Option<i64>)| {
        let found = blocked.binary_search_by(|blocked| blocked.queue.cmp(&stats.queue));
        let blocked = found.map_or(QueueStats::default(), |at| blocked[at].clone());
        let depth = Depth {
            due: stats.pending,
            delayed: stats.delayed,
            processing: stats.claimed,
            blocked: blocked.pending + blocked.delayed,
            expired: stats.expired + blocked.expired,
            dead: stats.dead,
            oldest_due_age_s: oldest.filter(|_| stats.pending > 0).map(|at| now.saturating_sub(at).max(0)),
        };
        (stats.queue, depth)
    };
    Ok(all.into_iter().map(depth).collect())
}

impl QueueStats {
    fn add(&mut self, other: &QueueStats) {
        self.pending += other.pending;
        self.delayed += other.delayed;
        self.claimed += other.claimed;
        self.expired += other.expired;
        self.dead += other.dead;
    }
}

fn read_stats(row: &Row<'_>) -> QueueStats {
    QueueStats {
        queue: row.text(0),
        pending: row.integer(1),
        delayed: row.integer(2),
        claimed: row.integer(3),
        expired: row.integer(4),
        dead: row.integer(5),
    }
}
