//! Looking at queues without changing them.

use serde::Serialize;

use super::claim::{EXPIRED_IN_PLACE_MAX, highest_priority};
use crate::statement::{Row, Sql};
use crate::{Result, Store};

/// A row of `_honker_live`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Job {
    /// The job's id.
    pub id: i64,
    /// The queue it is in.
    pub queue: String,
    /// As it was enqueued.
    pub payload: String,
    /// `pending` or `processing`.
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
}

/// How many jobs of a queue are in which condition. Each job counts once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
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

static SQL_ANY_DUE: Sql = Sql::new(
    "SELECT 1 FROM main._honker_live
     WHERE state = 'pending' AND queue = +?1 AND priority = +?2 AND run_at <= +?3
       AND (expires_at IS NULL OR expires_at > +?3) LIMIT 1",
);

static SQL_EXPIRED: Sql = Sql::new(
    "SELECT count(*) FROM (SELECT 1 FROM main._honker_live
     WHERE state = 'pending' AND expires_at IS NOT NULL AND queue = +?1 AND expires_at <= +?2 LIMIT +?3)",
);

static SQL_ANY_LAPSED: Sql = Sql::new(
    "SELECT 1 FROM main._honker_live
     WHERE state = 'processing' AND queue = +?1 AND claim_expires_at < +?2 LIMIT 1",
);

static SQL_NEXT_DUE: Sql = Sql::new(
    "SELECT run_at FROM main._honker_live
     WHERE state = 'pending' AND queue = +?1 AND priority = +?2 AND run_at > +?3
       AND attempts < max_attempts AND (expires_at IS NULL OR expires_at > +?3)
     ORDER BY run_at LIMIT 1",
);

static SQL_NEXT_LAPSE: Sql = Sql::new(
    "SELECT claim_expires_at FROM main._honker_live
     WHERE state = 'processing' AND queue = +?1 AND claim_expires_at >= +?2
       AND attempts < max_attempts AND (expires_at IS NULL OR expires_at > +?2)
     ORDER BY claim_expires_at LIMIT 1",
);

macro_rules! stats {
    ($of_queue:literal) => {
        concat!(
            "SELECT queue, sum(pending), sum(delayed), sum(claimed), sum(expired), sum(dead) FROM (
               SELECT queue,
                      run_at <= ?1 AND (expires_at IS NULL OR expires_at > ?1) AS pending,
                      run_at > ?1 AND (expires_at IS NULL OR expires_at > ?1) AS delayed,
                      0 AS claimed,
                      expires_at IS NOT NULL AND expires_at <= ?1 AS expired,
                      0 AS dead
               FROM main._honker_live WHERE state = 'pending'",
            $of_queue,
            "  UNION ALL
               SELECT queue, 0, 0, 1, 0, 0 FROM main._honker_live WHERE state = 'processing'",
            $of_queue,
            "  UNION ALL
               SELECT queue, 0, 0, 0, 0, 1 FROM main._honker_dead WHERE true",
            $of_queue,
            ") GROUP BY queue ORDER BY queue"
        )
    };
}
static SQL_STATS: Sql = Sql::new(stats!(" AND queue = +?2"));
static SQL_STATS_ALL: Sql = Sql::new(stats!(""));

/// A live job; `None` if it was acked, cancelled, is dead, or never was.
pub fn get_job(store: &Store, id: i64) -> Result<Option<Job>> {
    store.query_one(&SQL_GET, &[id.into()], |row| Job {
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
    })
}

/// The earliest future second at which a claim on `queue` could start to succeed without a further commit: the next
/// pending job becoming due, or the next claim lapsing.
pub fn next_claim_at(store: &Store, now: i64, queue: &str) -> Result<Option<i64>> {
    let lapse = store.query_one(&SQL_NEXT_LAPSE, &[queue.into(), now.into()], |row| row.integer(0))?;
    let mut earliest = lapse.and_then(|last_valid| last_valid.checked_add(1));
    let mut at_most = i64::MAX;
    while let Some(priority) = highest_priority(store, queue, at_most)? {
        let parameters = [queue.into(), priority.into(), now.into()];
        let due = store.query_one(&SQL_NEXT_DUE, &parameters, |row| row.integer(0))?;
        earliest = [earliest, due].into_iter().flatten().min();
        match priority.checked_sub(1) {
            Some(below) => at_most = below,
            None => break,
        }
    }
    Ok(earliest)
}

/// Whether a claim on `queue` would do something now: take a job, or bury what can never be taken. It takes no lock,
/// which is what a worker that was woken for another queue's sake should not do.
pub fn may_claim(store: &Store, now: i64, queue: &str) -> Result<bool> {
    if store.query_one(&SQL_ANY_LAPSED, &[queue.into(), now.into()], |_| ())?.is_some() {
        return Ok(true);
    }
    // The few that a claim leaves where they are do not count, and are stepped over here as they are there.
    let limit = EXPIRED_IN_PLACE_MAX + 1;
    let expired =
        store.query_one(&SQL_EXPIRED, &[queue.into(), now.into(), limit.into()], |row| row.integer(0))?;
    if expired >= Some(limit) {
        return Ok(true);
    }
    let mut at_most = i64::MAX;
    while let Some(priority) = highest_priority(store, queue, at_most)? {
        let parameters = [queue.into(), priority.into(), now.into()];
        if store.query_one(&SQL_ANY_DUE, &parameters, |_| ())?.is_some() {
            return Ok(true);
        }
        match priority.checked_sub(1) {
            Some(below) => at_most = below,
            None => break,
        }
    }
    Ok(false)
}

/// The counts of one queue; all zero if there is nothing in it. Reads the queue's rows: for people, not for hot paths.
pub fn stats(store: &Store, now: i64, queue: &str) -> Result<QueueStats> {
    let row = store.query_one(&SQL_STATS, &[now.into(), queue.into()], read_stats)?;
    Ok(row.unwrap_or_else(|| QueueStats { queue: queue.to_owned(), ..QueueStats::default() }))
}

/// The counts of every queue that has a live or dead job, by name.
pub fn stats_all(store: &Store, now: i64) -> Result<Vec<QueueStats>> {
    store.query(&SQL_STATS_ALL, &[now.into()], read_stats)
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
