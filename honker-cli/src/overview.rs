//! The state of a file at one glance: what the page's event stream sends and `honker top` draws.

use std::collections::BTreeMap;

use honker_core::counters::QueueMetrics;
use honker_core::database::{Database, Value};
use honker_core::queue::Settings;
use honker_core::schedule::{LEADER_LOCK, Schedule};
use serde::Serialize;

use crate::failure::Result;
use crate::moment;
use crate::read::{self, integer, text};

/// So many running jobs and notifications are shown.
const RUNNING_MAX: i64 = 200;
const NOTIFICATIONS_MAX: i64 = 50;

/// So many queues, those with the most jobs, and so many schedules.
const QUEUES_MAX: usize = 500;
const SCHEDULES_MAX: usize = 500;

/// See the module documentation.
#[derive(Debug, Clone, Serialize)]
pub struct Overview {
    /// When it was read, in seconds since the epoch.
    pub now: i64,
    /// When it will look otherwise without a commit: a job becomes due, a claim lapses, a schedule fires.
    pub next_at: Option<i64>,
    /// The id that was given to a job last: whatever else is the same, something was enqueued if this differs.
    pub last_job_id: i64,
    /// Differs if streams, locks or rate limits are others, which are not in here.
    pub revision: String,
    /// The queues, by name.
    pub queues: Vec<QueueOverview>,
    /// How many more there are.
    pub queues_left: usize,
    /// Those that hold jobs, by name, each with its jobs.
    pub workers: Vec<WorkerOverview>,
    /// The schedules, by name.
    pub schedules: Vec<Schedule>,
    /// Who leads.
    pub leader: Option<String>,
    /// The latest notifications, the newest first.
    pub notifications: Vec<Notification>,
}

/// A queue.
#[derive(Debug, Clone, Serialize)]
pub struct QueueOverview {
    /// What was counted, and how many jobs there are.
    #[serde(flatten)]
    pub metrics: QueueMetrics,
    /// What is set for it.
    pub settings: Settings,
    /// In the last sixty minutes: jobs done, and tries that failed.
    pub last_hour: LastHour,
}

/// What was counted in the last hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LastHour {
    /// Jobs that were done.
    pub done: i64,
    /// Jobs that were retried or died.
    pub failed: i64,
}

/// A worker and what it holds.
#[derive(Debug, Clone, Serialize)]
pub struct WorkerOverview {
    /// Its name.
    pub worker_id: String,
    /// Its jobs, the next to lapse first.
    pub jobs: Vec<RunningJob>,
}

/// A job that somebody works at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunningJob {
    /// Its id.
    pub id: i64,
    /// Its queue.
    pub queue: String,
    /// The last second in which its claim is valid.
    pub claim_expires_at: i64,
    /// How often it has been claimed.
    pub attempts: i64,
    /// How often it may be.
    pub max_attempts: i64,
}

/// A notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notification {
    /// Its id.
    pub id: i64,
    /// Its channel.
    pub channel: String,
    /// The beginning of its payload.
    pub payload: String,
    /// When it was sent.
    pub created_at: i64,
}

/// Reads it.
pub fn read(database: &Database) -> Result<Overview> {
    let now = moment::now();
    let mut settings: BTreeMap<String, Settings> =
        database.queues()?.into_iter().map(|queue| (queue.queue, queue.settings)).collect();
    let last_hour = last_hour(database, now)?;
    let mut next_at = Vec::new();
    let mut queues = Vec::new();
    let (all, queues_left) = largest(database.metrics()?.queues);
    for metrics in all {
        next_at.push(database.queue_next_claim_at(&metrics.queue)?);
        queues.push(QueueOverview {
            settings: settings.remove(&metrics.queue).unwrap_or_default(),
            last_hour: last_hour.get(&metrics.queue).copied().unwrap_or_default(),
            metrics,
        });
    }
    let workers = workers(database)?;
    next_at.extend(
        workers.iter().flat_map(|worker| &worker.jobs).map(|job| job.claim_expires_at.checked_add(1)),
    );
    let mut schedules = database.scheduler_list()?;
    next_at.extend(
        schedules.iter().filter(|schedule| schedule.enabled).map(|schedule| Some(schedule.next_fire_at)),
    );
    schedules.truncate(SCHEDULES_MAX);
    let leader = database.lock_holder(LEADER_LOCK)?.filter(|holder| holder.expires_at > now);
    next_at.extend(leader.iter().map(|holder| Some(holder.expires_at)));
    let (revision, unlocked_at) = revision(database, now)?;
    next_at.push(unlocked_at);
    Ok(Overview {
        now,
        next_at: next_at.into_iter().flatten().filter(|at| *at > now).min(),
        last_job_id: last_job_id(database)?,
        revision,
        queues,
        queues_left,
        workers,
        schedules,
        leader: leader.map(|holder| holder.owner),
        notifications: notifications(database)?,
    })
}

/// Those that have the most jobs, by name, and how many are left out.
fn largest(mut queues: Vec<QueueMetrics>) -> (Vec<QueueMetrics>, usize) {
    let left = queues.len().saturating_sub(QUEUES_MAX);
    if left > 0 {
        let jobs = |queue: &QueueMetrics| {
            let depth = &queue.depth;
            (depth.due + depth.processing + depth.blocked, depth.dead + depth.delayed, queue.counts.enqueued)
        };
        queues.sort_by_key(|queue| std::cmp::Reverse(jobs(queue)));
        queues.truncate(QUEUES_MAX);
        queues.sort_by(|one, other| one.queue.cmp(&other.queue));
    }
    (queues, left)
}

fn last_job_id(database: &Database) -> Result<i64> {
    read::last_id(database, "live")
}

/// What differs if streams, locks or rate limits are others; and when the next lock becomes stale.
fn revision(database: &Database, now: i64) -> Result<(String, Option<i64>)> {
    let rows = read::query(
        database,
        "SELECT (SELECT min(expires_at) FROM main._honker_locks WHERE expires_at > ?1),
                (SELECT min(\"offset\") FROM main._honker_stream),
                (SELECT count(*) || '/' || coalesce(sum(1.0 * \"offset\"), 0) FROM main._honker_stream_consumers),
                (SELECT count(*) || '/' || coalesce(sum(1.0 * expires_at), 0) FROM main._honker_locks),
                (SELECT count(*) || '/' || coalesce(sum(1.0 * window_start), 0) || '/' || coalesce(sum(1.0 * count), 0)
                 FROM main._honker_rate_limits)",
        &[now.into()],
    )?;
    let Some(row) = rows.rows.first() else { return Ok((String::new(), None)) };
    let parts: Vec<String> = row[1..].iter().map(text).collect();
    Ok((format!("{} {}", read::last_id(database, "stream")?, parts.join(" ")), integer(&row[0])))
}

fn last_hour(database: &Database, now: i64) -> Result<BTreeMap<String, LastHour>> {
    let rows = read::query(
        database,
        "SELECT queue, coalesce(sum(value) FILTER (WHERE name = 'done'), 0),
                coalesce(sum(value) FILTER (WHERE name IN ('retried', 'dead')), 0)
         FROM main._honker_counters WHERE minute > ?1 GROUP BY queue",
        &[(now.div_euclid(60) - 60).into()],
    )?;
    let of_row = |row: Vec<Value>| {
        let count = |at: usize| integer(&row[at]).unwrap_or(0);
        (text(&row[0]), LastHour { done: count(1), failed: count(2) })
    };
    Ok(rows.rows.into_iter().map(of_row).collect())
}

fn workers(database: &Database) -> Result<Vec<WorkerOverview>> {
    let rows = read::query(
        database,
        "SELECT worker_id, id, queue, claim_expires_at, attempts, max_attempts FROM main._honker_live
         WHERE state = 'processing' ORDER BY claim_expires_at LIMIT ?1",
        &[RUNNING_MAX.into()],
    )?;
    let mut workers: BTreeMap<String, Vec<RunningJob>> = BTreeMap::new();
    for row in rows.rows {
        let number = |at: usize| integer(&row[at]).unwrap_or(0);
        workers.entry(text(&row[0])).or_default().push(RunningJob {
            id: number(1),
            queue: text(&row[2]),
            claim_expires_at: number(3),
            attempts: number(4),
            max_attempts: number(5),
        });
    }
    Ok(workers.into_iter().map(|(worker_id, jobs)| WorkerOverview { worker_id, jobs }).collect())
}

fn notifications(database: &Database) -> Result<Vec<Notification>> {
    let rows = read::query(
        database,
        "SELECT id, channel, substr(payload, 1, 500), created_at FROM main._honker_notifications
         ORDER BY id DESC LIMIT ?1",
        &[NOTIFICATIONS_MAX.into()],
    )?;
    let notification = |row: Vec<Value>| Notification {
        id: integer(&row[0]).unwrap_or(0),
        channel: text(&row[1]),
        payload: text(&row[2]),
        created_at: integer(&row[3]).unwrap_or(0),
    };
    Ok(rows.rows.into_iter().map(notification).collect())
}

/// What was counted in one minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Minute {
    /// Minutes since the epoch.
    pub minute: i64,
    /// Jobs that were enqueued.
    pub enqueued: i64,
    /// Jobs that were done.
    pub done: i64,
    /// Jobs that were retried or died.
    pub failed: i64,
}

/// What was counted in each of the last minutes, of one queue or of all; minutes without any are left out.
pub fn history(database: &Database, queue: Option<&str>, minutes: i64) -> Result<Vec<Minute>> {
    let since = moment::now().div_euclid(60) - minutes;
    let rows = read::query(
        database,
        "SELECT minute, coalesce(sum(value) FILTER (WHERE name = 'enqueued'), 0),
                coalesce(sum(value) FILTER (WHERE name = 'done'), 0),
                coalesce(sum(value) FILTER (WHERE name IN ('retried', 'dead')), 0)
         FROM main._honker_counters WHERE minute > ?1 AND (?2 IS NULL OR queue = ?2) GROUP BY minute ORDER BY minute",
        &[since.into(), queue.map_or(Value::Null, Value::from)],
    )?;
    let minute = |row: Vec<Value>| {
        let number = |at: usize| read::integer(&row[at]).unwrap_or(0);
        Minute { minute: number(0), enqueued: number(1), done: number(2), failed: number(3) }
    };
    Ok(rows.rows.into_iter().map(minute).collect())
}
