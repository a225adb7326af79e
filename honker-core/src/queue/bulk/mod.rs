//! Jobs looked at and acted on many at a time: lists with a filter, and bulk actions on what a filter finds.
//!
//! Jobs of all kinds are in one order, that of their ids, and are looked at a page at a time; where a page ended is its cursor.
//! A call looks at 10,000 jobs at most, so an answer may be short, or empty, and have a cursor all the same: one that has
//! none is the last. An action looks at a job again, under the lock, before it does anything to it.

mod action;
mod apply;
mod filter;
mod scan;

use serde::{Deserialize, Serialize};

use self::filter::Filter;
use self::scan::{Looked, Page};
use super::options;
use crate::bound::BYTES_MAX;
use crate::statement::Sql;
use crate::{Result, Store, result};

pub use self::apply::{Applied, jobs_apply};
#[cfg(feature = "runtime")]
pub(crate) use self::apply::{apply_to, choose};

/// A job, wherever it is. What it does not have is null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedJob {
    /// The job's id.
    pub id: i64,
    /// The queue it is in, or was in.
    pub queue: String,
    /// As it was enqueued.
    pub payload: String,
    /// `due`, `delayed`, `processing`, `blocked`, `dead` or `done`.
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
    /// Why it died.
    pub last_error: Option<String>,
    /// When it died.
    pub died_at: Option<i64>,
    /// When it was done.
    pub finished_at: Option<i64>,
    /// The result that was saved for it, if it has not expired.
    pub result: Option<String>,
    /// A JSON object of texts, if it was enqueued with one.
    #[serde(with = "options::as_object", default)]
    pub metadata: Option<String>,
    /// What may be only once in its queue.
    pub unique_key: Option<String>,
    /// What it shares with the jobs that are not to run at the same time as it.
    pub concurrency_key: Option<String>,
    /// The batch that it belongs to.
    pub batch_id: Option<i64>,
    /// For how many seconds a worker lets it run.
    pub max_run_s: Option<i64>,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobList {
    /// The jobs, by id.
    pub jobs: Vec<ListedJob>,
    /// Where the next page begins: the key `cursor` of its filter. `None`: there is none.
    pub cursor: Option<i64>,
}

static SQL_LIVE: Sql = Sql::new(
    "SELECT payload, priority, claim_expires_at, attempts, max_attempts, expires_at
     FROM main._honker_live WHERE id = +?1",
);

static SQL_DEAD: Sql = Sql::new(
    "SELECT payload, priority, NULL, attempts, max_attempts, NULL FROM main._honker_dead WHERE id = +?1",
);

static SQL_DONE: Sql = Sql::new(
    "SELECT payload, priority, NULL, attempts, max_attempts, NULL FROM main._honker_done WHERE id = +?1",
);

/// Live, dead and done jobs that a filter finds, a page of them. docs/sql.md says what a filter is.
pub fn jobs_list(store: &Store, now: i64, filter_json: &str) -> Result<JobList> {
    let filter = Filter::parse(filter_json)?;
    let mut jobs = Vec::new();
    let mut bytes = 0;
    // One that is longer than all that is allowed is answered alone.
    let cursor = scan::each(store, now, &filter, &mut |looked| {
        let job = read(store, now, looked)?;
        let length = job.as_ref().map_or(0, |job| job.payload.len() as i64);
        if bytes > 0 && bytes + length > BYTES_MAX {
            return Ok(Page::EndedBefore);
        }
        bytes += length;
        jobs.extend(job);
        Ok(if jobs.len() < filter.limit { Page::GoesOn } else { Page::EndsHere })
    })?;
    Ok(JobList { jobs, cursor })
}

/// The rest of a job that fulfils the filter.
fn read(store: &Store, now: i64, looked: Looked) -> Result<Option<ListedJob>> {
    let sql = match looked.place {
        scan::Place::Live => &SQL_LIVE,
        scan::Place::Dead => &SQL_DEAD,
        scan::Place::Done => &SQL_DONE,
    };
    let (died_at, finished_at) = match looked.place {
        scan::Place::Live => (None, None),
        scan::Place::Dead => (looked.ended_at, None),
        scan::Place::Done => (None, looked.ended_at),
    };
    let options = match looked.options {
        Some(options) => options,
        None => scan::options_of(store, looked.id)?,
    };
    let result = result::get(store, now, looked.id)?;
    store.query_one(sql, &[looked.id.into()], |row| ListedJob {
        id: looked.id,
        queue: looked.queue.clone(),
        payload: row.text(0),
        state: looked.state.clone(),
        priority: row.integer(1),
        run_at: looked.run_at,
        worker_id: looked.worker_id.clone(),
        claim_expires_at: row.optional_integer(2),
        attempts: row.integer(3),
        max_attempts: row.integer(4),
        created_at: looked.created_at,
        expires_at: row.optional_integer(5),
        last_error: looked.last_error.clone(),
        died_at,
        finished_at,
        result: result.clone(),
        metadata: options.metadata.clone(),
        unique_key: options.unique_key.clone(),
        concurrency_key: options.concurrency_key.clone(),
        batch_id: options.batch_id,
        max_run_s: options.max_run_s,
    })
}
