//! Jobs in the order of their ids, wherever they are: the walk that lists and bulk actions choose by.
//!
//! What is read of each is what conditions ask for; payloads are read of those that fulfil them.

use super::filter::Filter;
use crate::statement::{Row, Sql};
use crate::{Result, Store};

/// So many jobs are looked at in one call.
const LOOKED_AT_MAX: i64 = 10_000;

/// The table a job is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Live,
    Dead,
    Done,
}

/// What was read of a job.
#[derive(Debug, Clone)]
pub(super) struct Looked {
    pub(super) id: i64,
    pub(super) place: Place,
    pub(super) queue: String,
    /// As a filter names it.
    pub(super) state: String,
    pub(super) run_at: i64,
    pub(super) worker_id: Option<String>,
    pub(super) created_at: i64,
    pub(super) ended_at: Option<i64>,
    pub(super) last_error: Option<String>,
    /// If the filter has asked for them.
    pub(super) options: Option<JobOptionsRow>,
}

/// The row of a job's options.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct JobOptionsRow {
    pub(super) metadata: Option<String>,
    pub(super) unique_key: Option<String>,
    pub(super) concurrency_key: Option<String>,
    pub(super) batch_id: Option<i64>,
    pub(super) max_run_s: Option<i64>,
}

/// What becomes of a page with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    GoesOn,
    /// The job is its last.
    EndsHere,
    /// The job is the first of the next one.
    EndedBefore,
}

macro_rules! scan {
    ($order:literal) => {
        concat!(
            "SELECT 0, id, queue, state, run_at, worker_id, created_at, NULL, NULL
             FROM main._honker_live WHERE +?3 AND id >= +?1 AND id <= +?2
             UNION ALL
             SELECT 1, id, queue, 'dead', run_at, NULL, created_at, died_at, last_error
             FROM main._honker_dead WHERE +?4 AND id >= +?1 AND id <= +?2
             UNION ALL
             SELECT 2, id, queue, 'done', run_at, NULL, created_at, finished_at, NULL
             FROM main._honker_done WHERE +?5 AND id >= +?1 AND id <= +?2
             ORDER BY 2 ",
            $order,
            " LIMIT +?6"
        )
    };
}
static SQL_NEWEST: Sql = Sql::new(scan!("DESC"));
static SQL_OLDEST: Sql = Sql::new(scan!("ASC"));

macro_rules! members {
    ($order:literal) => {
        concat!(
            "SELECT job_id FROM main._honker_job_options
             WHERE batch_id = +?3 AND job_id >= +?1 AND job_id <= +?2 ORDER BY job_id ",
            $order,
            " LIMIT +?4"
        )
    };
}
static SQL_NEWEST_MEMBERS: Sql = Sql::new(members!("DESC"));
static SQL_OLDEST_MEMBERS: Sql = Sql::new(members!("ASC"));

static SQL_OPTIONS: Sql = Sql::new(
    "SELECT metadata, unique_key, concurrency_key, batch_id, max_run_s
     FROM main._honker_job_options WHERE job_id = +?1",
);

/// Hands the jobs of a filter to `each`, in its order, until that ends the page, or enough was looked at. Where to go on, if
/// there may be more.
pub(super) fn each(
    store: &Store,
    now: i64,
    filter: &Filter,
    each: &mut impl FnMut(Looked) -> Result<Page>,
) -> Result<Option<i64>> {
    let Some(batch_id) = filter.batch_id else {
        return walk(store, now, filter, (filter.min_id, filter.max_id), LOOKED_AT_MAX, each);
    };
    let sql = if filter.newest_first { &SQL_NEWEST_MEMBERS } else { &SQL_OLDEST_MEMBERS };
    let parameters = [filter.min_id.into(), filter.max_id.into(), batch_id.into(), LOOKED_AT_MAX.into()];
    let members = store.query(sql, &parameters, |row| row.integer(0))?;
    let mut before = None;
    for &id in &members {
        let mut page = Page::GoesOn;
        walk(store, now, filter, (id, id), LOOKED_AT_MAX, &mut |job| {
            page = each(job)?;
            Ok(page)
        })?;
        match page {
            Page::GoesOn => before = Some(id),
            Page::EndsHere => return Ok(Some(id)),
            Page::EndedBefore => return Ok(before),
        }
    }
    Ok(members.last().copied().filter(|_| members.len() as i64 == LOOKED_AT_MAX))
}

/// The job of this id, if it still fulfils a filter.
pub(super) fn look(store: &Store, now: i64, filter: &Filter, id: i64) -> Result<Option<Looked>> {
    let mut found = None;
    walk(store, now, filter, (id, id), 3, &mut |job| {
        found.get_or_insert(job);
        Ok(Page::GoesOn)
    })?;
    Ok(found)
}

fn walk(
    store: &Store,
    now: i64,
    filter: &Filter,
    (min_id, max_id): (i64, i64),
    looked_at_max: i64,
    each: &mut impl FnMut(Looked) -> Result<Page>,
) -> Result<Option<i64>> {
    let wants = |names: &[&str]| i64::from(filter.states.any_of(names));
    let parameters = [
        min_id.into(),
        max_id.into(),
        wants(&["due", "delayed", "processing", "blocked"]).into(),
        wants(&["dead"]).into(),
        wants(&["done"]).into(),
        // One more tells whether there is one.
        (looked_at_max + 1).into(),
    ];
    let sql = if filter.newest_first { &SQL_NEWEST } else { &SQL_OLDEST };
    let (mut looked_at, mut last, mut cursor, mut failed) = (0, None, None, None);
    store.query_while(sql, &parameters, |row| {
        let job = read(now, row);
        // The same id may be in two tables, which a page does not separate.
        let is_next = last != Some(job.id);
        if is_next && looked_at >= looked_at_max {
            cursor = last;
            return false;
        }
        looked_at += 1;
        let (id, before) = (job.id, last);
        last = Some(id);
        match admit(store, filter, job).and_then(|job| job.map_or(Ok(Page::GoesOn), &mut *each)) {
            Ok(Page::GoesOn) => true,
            Ok(Page::EndsHere) => {
                cursor = Some(id);
                false
            }
            Ok(Page::EndedBefore) => {
                cursor = before;
                false
            }
            Err(error) => {
                failed = Some(error);
                false
            }
        }
    })?;
    failed.map_or(Ok(cursor), Err)
}

fn admit(store: &Store, filter: &Filter, mut job: Looked) -> Result<Option<Looked>> {
    if !filter.admits_row(&job) {
        return Ok(None);
    }
    if filter.asks_for_options() {
        let options = options_of(store, job.id)?;
        if !filter.admits_options(&options) {
            return Ok(None);
        }
        job.options = Some(options);
    }
    Ok(Some(job))
}

fn read(now: i64, row: &Row<'_>) -> Looked {
    let place = match row.integer(0) {
        0 => Place::Live,
        1 => Place::Dead,
        _ => Place::Done,
    };
    let (stored, run_at) = (row.text(3), row.integer(4));
    let state = match (stored.as_str(), run_at > now) {
        ("pending", true) => "delayed".to_owned(),
        ("pending", false) => "due".to_owned(),
        _ => stored,
    };
    Looked {
        id: row.integer(1),
        place,
        queue: row.text(2),
        state,
        run_at,
        worker_id: row.optional_text(5),
        created_at: row.integer(6),
        ended_at: row.optional_integer(7),
        last_error: row.optional_text(8),
        options: None,
    }
}

pub(super) fn options_of(store: &Store, id: i64) -> Result<JobOptionsRow> {
    let options = store.query_one(&SQL_OPTIONS, &[id.into()], |row| JobOptionsRow {
        metadata: row.optional_text(0),
        unique_key: row.optional_text(1),
        concurrency_key: row.optional_text(2),
        batch_id: row.optional_integer(3),
        max_run_s: row.optional_integer(4),
    })?;
    Ok(options.unwrap_or_default())
}
