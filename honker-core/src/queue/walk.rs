//! Which jobs are first in a queue.
//!
//! The claim order is priority, run time, id. Immediate jobs are walked one distinct priority at a time, from the
//! highest: one seek for each, since they are all due. Delayed jobs may have any number of priorities at which nothing is
//! due yet, so they are walked the same way only for a few steps; after that it is cheaper to read those that are due in
//! the order of their run time, and to sort them. Both ways are bounded. If there are too many for either, the order is
//! exact among the rows that were looked at.

use std::cmp::Reverse;
use std::collections::HashSet;

use super::conditions::{delayed, delayed_by_priority, immediate};
use crate::bound::ROWS_MAX;
use crate::statement::{Sql, Value};
use crate::{Result, Store};

/// So many priorities in a row without a job to take are stepped over before the due jobs are read instead.
const FRUITLESS_MAX: i64 = 16;

macro_rules! highest_priority {
    ($condition:expr) => {
        concat!(
            "SELECT priority FROM main._honker_live WHERE ",
            $condition,
            " AND queue = +?1 AND priority <= +?2 ORDER BY priority DESC LIMIT 1"
        )
    };
}
macro_rules! due {
    ($condition:expr) => {
        concat!(
            "SELECT id, run_at FROM main._honker_live WHERE ",
            $condition,
            " AND queue = +?1 AND priority = +?2 AND run_at <= +?3 ORDER BY run_at, id LIMIT +?4"
        )
    };
}

/// The statements that walk the jobs of one condition.
struct Walk {
    highest_priority: &'static Sql,
    due: &'static Sql,
}

static IMMEDIATE: Walk = {
    static HIGHEST_PRIORITY: Sql = Sql::new(highest_priority!(immediate!()));
    static DUE: Sql = Sql::new(due!(immediate!()));
    Walk { highest_priority: &HIGHEST_PRIORITY, due: &DUE }
};

static DELAYED: Walk = {
    static HIGHEST_PRIORITY: Sql = Sql::new(highest_priority!(delayed_by_priority!()));
    static DUE: Sql = Sql::new(due!(delayed_by_priority!()));
    Walk { highest_priority: &HIGHEST_PRIORITY, due: &DUE }
};

static SQL_DELAYED_DUE: Sql = Sql::new(concat!(
    "SELECT id, priority, run_at FROM main._honker_live WHERE ",
    delayed!(),
    " AND queue = +?1 AND run_at <= +?2 ORDER BY run_at LIMIT +?3"
));

static SQL_NEXT_DELAYED: Sql = Sql::new(concat!(
    "SELECT id, run_at FROM main._honker_live WHERE ",
    delayed!(),
    " AND queue = +?1 AND run_at > +?2 ORDER BY run_at LIMIT +?3"
));

static SQL_NEXT_IMMEDIATE: Sql = Sql::new(concat!(
    "SELECT id, run_at FROM main._honker_live WHERE ",
    immediate!(),
    " AND queue = +?1 AND priority = +?2 AND run_at > +?3 ORDER BY run_at LIMIT +?4"
));

/// A job that may be claimed.
#[derive(Clone, Copy)]
pub(super) struct Candidate {
    pub(super) id: i64,
    pub(super) priority: i64,
    pub(super) run_at: i64,
}

impl Candidate {
    fn claim_order(&self) -> (Reverse<i64>, i64, i64) {
        (Reverse(self.priority), self.run_at, self.id)
    }
}

/// A queue at a certain second. Jobs in `stepped_over` are not there.
pub(super) struct Queue<'a> {
    pub(super) store: &'a Store,
    pub(super) now: i64,
    pub(super) name: &'a str,
    pub(super) stepped_over: HashSet<i64>,
}

/// Where a walk is.
struct Steps {
    at_most: Option<i64>,
    found: Vec<Candidate>,
}

impl Queue<'_> {
    /// The first `limit` of `lapsed` and of the due pending jobs, in claim order.
    pub(super) fn first(&self, limit: usize, lapsed: Vec<Candidate>) -> Result<Vec<Candidate>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut steps = Steps::new();
        self.walk(&IMMEDIATE, limit, ROWS_MAX, &mut steps)?;
        let mut first = steps.found;
        let others = self.delayed(limit)?;
        if !lapsed.is_empty() || !others.is_empty() {
            first.extend(lapsed);
            first.extend(others);
            first.sort_unstable_by_key(Candidate::claim_order);
            first.truncate(limit);
        }
        Ok(first)
    }

    /// Whether all that can be taken is immediate, and nothing among it is stepped over.
    pub(super) fn only_immediate(&self) -> Result<bool> {
        Ok(self.stepped_over.is_empty() && self.delayed_due(1)?.is_empty())
    }

    /// Goes from priority to priority of the immediate jobs. `take` takes up to so many of one and says how many those
    /// were, until there are `limit`, or as many priorities had none as may be stepped over.
    pub(super) fn each_priority(
        &self,
        limit: usize,
        mut take: impl FnMut(i64, usize) -> Result<usize>,
    ) -> Result<()> {
        let (mut left, mut fruitless, mut at_most) = (limit, 0, Some(i64::MAX));
        while left > 0 && fruitless < ROWS_MAX {
            let Some(priority) = self.highest_priority(&IMMEDIATE, at_most)? else { break };
            let taken = take(priority, left)?;
            left = left.saturating_sub(taken);
            fruitless += i64::from(taken == 0);
            at_most = priority.checked_sub(1);
        }
        Ok(())
    }

    /// Whether a pending job is due.
    pub(super) fn any_due(&self) -> Result<bool> {
        let mut steps = Steps::new();
        self.walk(&IMMEDIATE, 1, ROWS_MAX, &mut steps)?;
        Ok(!steps.found.is_empty() || !self.delayed_due(1)?.is_empty())
    }

    /// When the next pending job becomes due.
    pub(super) fn next_due(&self) -> Result<Option<i64>> {
        let limit = self.beside_stepped_over(1).into();
        let parameters = [self.name.into(), self.now.into(), limit];
        let mut next = self.earliest(&SQL_NEXT_DELAYED, &parameters)?;
        // There are some if the clock was set back.
        let mut at_most = Some(i64::MAX);
        for _ in 0..ROWS_MAX {
            let Some(priority) = self.highest_priority(&IMMEDIATE, at_most)? else { break };
            let parameters = [self.name.into(), priority.into(), self.now.into(), limit];
            let at = self.earliest(&SQL_NEXT_IMMEDIATE, &parameters)?;
            next = next.into_iter().chain(at).min();
            at_most = priority.checked_sub(1);
        }
        Ok(next)
    }

    fn earliest(&self, sql: &'static Sql, parameters: &[Value<'_>]) -> Result<Option<i64>> {
        let jobs = self.store.query(sql, parameters, |row| (row.integer(0), row.integer(1)))?;
        Ok(jobs.into_iter().find(|(id, _)| !self.stepped_over.contains(id)).map(|(_, run_at)| run_at))
    }

    /// The first `limit` delayed jobs that are due.
    fn delayed(&self, limit: usize) -> Result<Vec<Candidate>> {
        if self.delayed_due(1)?.is_empty() {
            return Ok(Vec::new());
        }
        let mut steps = Steps::new();
        self.walk(&DELAYED, limit, FRUITLESS_MAX, &mut steps)?;
        if steps.over(limit) {
            return Ok(steps.found);
        }
        let readable = limit.max(ROWS_MAX as usize);
        let mut due = self.delayed_due(readable.saturating_add(1))?;
        if due.len() > readable {
            self.walk(&DELAYED, limit, ROWS_MAX, &mut steps)?;
            if steps.over(limit) {
                return Ok(steps.found);
            }
            let found: HashSet<i64> = steps.found.iter().map(|candidate| candidate.id).collect();
            due.retain(|candidate| !found.contains(&candidate.id));
            due.extend(steps.found);
        }
        due.sort_unstable_by_key(Candidate::claim_order);
        due.truncate(limit);
        Ok(due)
    }

    /// Up to `limit` delayed jobs that are due, those first that became so first.
    fn delayed_due(&self, limit: usize) -> Result<Vec<Candidate>> {
        let parameters = [self.name.into(), self.now.into(), self.beside_stepped_over(limit).into()];
        let mut due = self.store.query(&SQL_DELAYED_DUE, &parameters, |row| Candidate {
            id: row.integer(0),
            priority: row.integer(1),
            run_at: row.integer(2),
        })?;
        due.retain(|candidate| !self.stepped_over.contains(&candidate.id));
        due.truncate(limit);
        Ok(due)
    }

    /// Goes from priority to priority until `limit` jobs are found, or so many priorities had none.
    fn walk(&self, walk: &Walk, limit: usize, fruitless_max: i64, steps: &mut Steps) -> Result<()> {
        let mut fruitless = 0;
        while steps.found.len() < limit && fruitless < fruitless_max {
            let Some(priority) = self.highest_priority(walk, steps.at_most)? else {
                steps.at_most = None;
                break;
            };
            let before = steps.found.len();
            let wanted = self.beside_stepped_over(limit - before);
            let parameters = [self.name.into(), priority.into(), self.now.into(), wanted.into()];
            let due = self.store.query(walk.due, &parameters, |row| Candidate {
                id: row.integer(0),
                priority,
                run_at: row.integer(1),
            })?;
            let claimable = due.into_iter().filter(|candidate| !self.stepped_over.contains(&candidate.id));
            steps.found.extend(claimable.take(limit - before));
            fruitless += i64::from(steps.found.len() == before);
            steps.at_most = priority.checked_sub(1);
        }
        Ok(())
    }

    /// The highest priority that is no higher than `at_most`.
    fn highest_priority(&self, walk: &Walk, at_most: Option<i64>) -> Result<Option<i64>> {
        let Some(at_most) = at_most else { return Ok(None) };
        let parameters = [self.name.into(), at_most.into()];
        self.store.query_one(walk.highest_priority, &parameters, |row| row.integer(0))
    }

    /// How many rows have to be read so that so many of them are not stepped over.
    fn beside_stepped_over(&self, wanted: usize) -> i64 {
        i64::try_from(wanted.saturating_add(self.stepped_over.len())).unwrap_or(i64::MAX)
    }
}

impl Steps {
    fn new() -> Self {
        Steps { at_most: Some(i64::MAX), found: Vec::new() }
    }

    /// Whether `limit` jobs are found, or all there are.
    fn over(&self, limit: usize) -> bool {
        self.found.len() >= limit || self.at_most.is_none()
    }
}
