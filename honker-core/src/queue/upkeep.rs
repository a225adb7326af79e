//! What maintenance does for queues: it removes what is kept no longer, mends rows that no claim has met, and finds what
//! belongs to jobs that are nowhere, because somebody's SQL has removed them.

use super::leave::{Exit, after, count, forget, gone};
use super::refusal::past_refusals;
use super::settings::Settings;
use super::{blocked, clear};
use crate::bound::Allowance;
use crate::queue::conditions::{exceptional, malformed};
use crate::statement::Sql;
use crate::{Result, Store, batch};

static SQL_DONE_QUEUES: Sql = Sql::new(
    "WITH RECURSIVE names (name) AS (
         SELECT min(queue) FROM main._honker_done
         UNION ALL
         SELECT (SELECT min(queue) FROM main._honker_done WHERE queue > names.name)
         FROM names WHERE names.name IS NOT NULL)
     SELECT name FROM names WHERE name IS NOT NULL",
);

/// A table of jobs that have ended, those of a queue that did so at a time or earlier, and how one is removed.
struct Ended {
    exit: Exit,
    select: Sql,
    delete: Sql,
}

static DONE: Ended = Ended {
    exit: Exit::Done,
    select: Sql::new(
        "SELECT length(CAST(payload AS BLOB)), id FROM main._honker_done
         WHERE queue = +?1 AND finished_at <= +?2 ORDER BY finished_at LIMIT +?3",
    ),
    delete: Sql::new("DELETE FROM main._honker_done WHERE id = +?1"),
};

static SQL_QUEUES: Sql = Sql::new("SELECT name, settings FROM main._honker_queues");

static DEAD: Ended = Ended {
    exit: Exit::Dead,
    select: Sql::new(
        "SELECT length(CAST(payload AS BLOB)), id FROM main._honker_dead
         WHERE queue = +?1 AND died_at <= +?2 ORDER BY died_at LIMIT +?3",
    ),
    delete: Sql::new("DELETE FROM main._honker_dead WHERE id = +?1"),
};

static SQL_MALFORMED_QUEUES: Sql = Sql::new(concat!(
    "WITH RECURSIVE names (name) AS (
         SELECT min(queue) FROM main._honker_live WHERE ",
    exceptional!(),
    "    UNION ALL
         SELECT (SELECT min(queue) FROM main._honker_live WHERE ",
    exceptional!(),
    "            AND queue > names.name)
         FROM names WHERE names.name IS NOT NULL)
     SELECT name FROM names
     WHERE name IS NOT NULL AND EXISTS (SELECT 1 FROM main._honker_live WHERE ",
    malformed!(),
    " AND queue = names.name)"
));

/// Whether there is a row that no claim can read.
pub(crate) fn any_malformed(store: &Store) -> Result<bool> {
    Ok(store.query_one(&SQL_MALFORMED_QUEUES, &[], |_| ())?.is_some())
}

/// Removes done jobs whose time is over, at most 1,000; how many those were.
pub(crate) fn expire_done(store: &Store, now: i64) -> Result<i64> {
    store.atomic(|| {
        let mut allowance = Allowance::new(store);
        let mut removed = 0;
        for queue in store.query(&SQL_DONE_QUEUES, &[], |row| row.text(0))? {
            let before = now.saturating_sub(Settings::of(store, &queue)?.keep_done_s);
            removed += remove(store, now, &mut allowance, &queue, before, &DONE)?;
        }
        Ok(removed)
    })
}

/// Removes dead jobs whose time is over, at most 1,000; how many those were.
pub(crate) fn expire_dead(store: &Store, now: i64) -> Result<i64> {
    store.atomic(|| {
        let mut allowance = Allowance::new(store);
        let mut removed = 0;
        let read =
            |row: &crate::statement::Row<'_>| (row.text(0), Settings::of_row(&row.text(1)).keep_dead_s);
        for (queue, keep_s) in store.query(&SQL_QUEUES, &[], read)? {
            let Some(keep_s) = keep_s else { continue };
            let before = now.saturating_sub(keep_s);
            removed += remove(store, now, &mut allowance, &queue, before, &DEAD)?;
        }
        Ok(removed)
    })
}

/// Removes jobs that ended at `before` or earlier, with what belonged to them. Belongs into [`Store::atomic`].
fn remove(
    store: &Store,
    now: i64,
    allowance: &mut Allowance<'_>,
    queue: &str,
    before: i64,
    table: &'static Ended,
) -> Result<i64> {
    if allowance.refused() {
        return Ok(0);
    }
    let parameters = [queue.into(), before.into(), (allowance.rows() + 1).into()];
    let mut removed = 0;
    for id in allowance.rows_of(&table.select, &parameters, |row| row.integer(1))? {
        if store.execute(&table.delete, &[id.into()])? > 0 {
            gone(store, now, id, table.exit)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Mends malformed rows of all queues, as a claim of theirs would, at most 1,000; how many those were.
pub(crate) fn mend_malformed(store: &Store, now: i64) -> Result<i64> {
    past_refusals(store, |care| {
        store.atomic(|| {
            let mut allowance = Allowance::new(store);
            let mut mended = 0;
            for queue in store.query(&SQL_MALFORMED_QUEUES, &[], |row| row.text(0))? {
                if !allowance.refused() {
                    mended += clear::malformed(store, now, &queue, &mut allowance, care)?;
                }
            }
            care.check()?;
            care.finish();
            Ok(mended)
        })
    })
}

/// Rows that belong to jobs, by job. Each look takes a bounded number of them, beside the writer; what it finds is looked at
/// again under the lock.
pub(crate) struct Scan {
    /// The job of each row from one on, and whether the row is to be mended: parameters are the id before the first, the
    /// number of rows, and the time.
    look: Sql,
    /// Whether anything was mended. Belongs into [`Store::atomic`].
    mend: fn(&Store, i64, i64) -> Result<bool>,
}

/// So many rows are looked at in one look, of which this many may be mended in one transaction.
const LOOKED_AT_MAX: i64 = 10_000;

macro_rules! nowhere {
    ($id:literal) => {
        concat!(
            "NOT EXISTS (SELECT 1 FROM main._honker_live WHERE id = ",
            $id,
            ") AND NOT EXISTS (SELECT 1 FROM main._honker_dead WHERE id = ",
            $id,
            ") AND NOT EXISTS (SELECT 1 FROM main._honker_done WHERE id = ",
            $id,
            ")"
        )
    };
}

static SQL_IS_NOWHERE: Sql = Sql::new(concat!("SELECT ", nowhere!("+?1")));

static SQL_COUNTED_AS: Sql = Sql::new("SELECT batch_exit FROM main._honker_job_options WHERE job_id = +?1");

static SQL_FREE_KEYS: Sql = Sql::new(
    "DELETE FROM main._honker_unique WHERE job_id = +?1 AND (until IS NULL OR until < ?2 OR until >= '')
       AND NOT EXISTS (SELECT 1 FROM main._honker_live WHERE id = +?1)",
);

static SQL_STATE: Sql = Sql::new("SELECT state FROM main._honker_live WHERE id = +?1");

static SQL_IS_SET_ASIDE: Sql = Sql::new("SELECT 1 FROM main._honker_blocked WHERE job_id = +?1");

static SQL_ENDED: Sql = Sql::new(
    "SELECT EXISTS (SELECT 1 FROM main._honker_live WHERE id = +?1),
            EXISTS (SELECT 1 FROM main._honker_dead WHERE id = +?1)",
);

/// Options of jobs that are nowhere, and of members of batches that are counted as pending and not live.
pub(crate) static OPTIONS: Scan = Scan {
    look: Sql::new(concat!(
        "SELECT job_id, ",
        nowhere!("job_id"),
        " OR batch_id IS NOT NULL AND batch_exit IS NULL
               AND NOT EXISTS (SELECT 1 FROM main._honker_live WHERE id = job_id)
         FROM main._honker_job_options WHERE job_id > +?1 ORDER BY job_id LIMIT +?2"
    )),
    mend: |store, now, id| Ok(let_go(store, now, id)? || count_ended(store, now, id)?),
};

/// Steps of jobs that are nowhere.
pub(crate) static STEPS: Scan = Scan {
    look: Sql::new(concat!(
        "SELECT job_id, ",
        nowhere!("job_id"),
        " FROM main._honker_steps WHERE job_id > +?1 ORDER BY job_id LIMIT +?2"
    )),
    mend: let_go,
};

/// Batches, by their own ids: those whose members nobody has counted.
pub(crate) static BATCHES: Scan =
    Scan { look: Sql::new(batch::LOOK_UNCOUNTED), mend: |store, now, id| batch::recount(store, now, id) };

/// Unique keys that nothing holds any more.
pub(crate) static KEYS: Scan = Scan {
    look: Sql::new(
        "SELECT job_id, (until IS NULL OR until < ?3 OR until >= '')
           AND NOT EXISTS (SELECT 1 FROM main._honker_live WHERE id = job_id)
         FROM main._honker_unique WHERE job_id > +?1 ORDER BY job_id LIMIT +?2",
    ),
    mend: |store, now, id| Ok(store.execute(&SQL_FREE_KEYS, &[id.into(), now.into()])? > 0),
};

/// Slots of jobs that are not claimed any more.
pub(crate) static SLOTS: Scan = Scan {
    look: Sql::new(
        "SELECT job_id, (SELECT state FROM main._honker_live WHERE id = job_id) IS NOT 'processing'
         FROM main._honker_slots WHERE job_id > +?1 ORDER BY job_id LIMIT +?2",
    ),
    mend: |store, now, id| {
        if state(store, id)?.as_deref() == Some("processing") {
            return Ok(false);
        }
        blocked::free_slot(store, now, id).map(|()| true)
    },
};

/// Rows of jobs that are not blocked any more.
pub(crate) static BLOCKED: Scan = Scan {
    look: Sql::new(
        "SELECT job_id, (SELECT state FROM main._honker_live WHERE id = job_id) IS NOT 'blocked'
         FROM main._honker_blocked WHERE job_id > +?1 ORDER BY job_id LIMIT +?2",
    ),
    mend: |store, _, id| {
        if state(store, id)?.as_deref() == Some("blocked") {
            return Ok(false);
        }
        blocked::forget(store, id).map(|()| true)
    },
};

/// Blocked jobs that nobody would bring back. The one scan of all live jobs: it is made where jobs may be blocked, also if
/// nothing but their rows says so any more.
pub(crate) static LIVE: Scan = Scan {
    look: Sql::new(
        "SELECT id, state = 'blocked' AND NOT EXISTS (SELECT 1 FROM main._honker_blocked WHERE job_id = id)
         FROM main._honker_live WHERE id > +?1 
           AND EXISTS (SELECT 1 FROM main._honker_schema WHERE min_version >= 3) ORDER BY id LIMIT +?2",
    ),
    mend: |store, _, id| {
        if store.query_one(&SQL_IS_SET_ASIDE, &[id.into()], |_| ())?.is_some() {
            return Ok(false);
        }
        blocked::unblock(store, id)
    },
};

fn state(store: &Store, id: i64) -> Result<Option<String>> {
    store.query_one(&SQL_STATE, &[id.into()], |row| row.text(0))
}

/// A job that somebody has removed leaves by the door after all.
fn let_go(store: &Store, now: i64, id: i64) -> Result<bool> {
    let is_nowhere = store.query_one(&SQL_IS_NOWHERE, &[id.into()], |row| row.integer(0) != 0)?;
    if is_nowhere != Some(true) {
        return Ok(false);
    }
    // What its batch has counted it as stays so.
    let counted = store.query_one(&SQL_COUNTED_AS, &[id.into()], |row| row.optional_text(0))?.flatten();
    let exit = match counted.as_deref() {
        Some("dead") => Exit::Dead,
        Some("cancelled") => Exit::Cancelled,
        _ => Exit::Done,
    };
    after(store, now, id, exit)?;
    forget(store, id).map(|()| true)
}

/// A member of a batch that somebody has taken out of the live table is counted by where it is; whether it is not live.
fn count_ended(store: &Store, now: i64, id: i64) -> Result<bool> {
    let found =
        store.query_one(&SQL_ENDED, &[id.into()], |row| (row.integer(0) != 0, row.integer(1) != 0))?;
    match found {
        Some((false, is_dead)) => {
            count(store, now, id, if is_dead { Exit::Dead } else { Exit::Done }, true).map(|()| true)
        }
        _ => Ok(false),
    }
}

/// What a look has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// The jobs whose rows are to be mended.
    pub(crate) jobs: Vec<i64>,
    /// The last that was looked at; `None` if there are no more.
    pub(crate) last: Option<i64>,
}

impl Scan {
    /// Looks at the rows of jobs with larger ids than `after`.
    pub(crate) fn look(&'static self, store: &Store, now: i64, after: i64) -> Result<Stray> {
        let (mut jobs, mut last, mut looked_at) = (Vec::new(), after, 0);
        let parameters = [after.into(), LOOKED_AT_MAX.into(), now.into()];
        // Only one of them asks for the time.
        let parameters = if self.look.text.contains("?3") { &parameters[..] } else { &parameters[..2] };
        store.query_while(&self.look, parameters, |row| {
            looked_at += 1;
            last = row.integer(0);
            if row.integer(1) != 0 && jobs.last() != Some(&last) {
                jobs.push(last);
            }
            (jobs.len() as i64) < crate::bound::ROWS_MAX
        })?;
        let is_over = looked_at < LOOKED_AT_MAX && (jobs.len() as i64) < crate::bound::ROWS_MAX;
        Ok(Stray { jobs, last: (!is_over).then_some(last) })
    }

    /// Mends what a look has found, and is still so; how many jobs those were.
    pub(crate) fn mend(&'static self, store: &Store, now: i64, jobs: &[i64]) -> Result<i64> {
        past_refusals(store, |care| {
            store.atomic(|| {
                let mut mended = 0;
                for &id in jobs {
                    mended += i64::from(care.row(id, || (self.mend)(store, now, id))? == Some(true));
                }
                care.check()?;
                care.finish();
                Ok(mended)
            })
        })
    }
}
