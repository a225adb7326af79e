//! Bulk actions: jobs are chosen without the lock, a page of them, and looked at again under it.

use serde::{Deserialize, Serialize};

use super::action::{Action, Outcome};
use super::filter::Filter;
use super::scan::{self, Page, Place};
use crate::bound::Allowance;
use crate::queue::refusal::past_refusals;
use crate::statement::Sql;
use crate::{Result, Store, version};

static SQL_LIVE_LENGTH: Sql =
    Sql::new("SELECT length(CAST(payload AS BLOB)) FROM main._honker_live WHERE id = +?1");

static SQL_DEAD_LENGTH: Sql =
    Sql::new("SELECT length(CAST(payload AS BLOB)) FROM main._honker_dead WHERE id = +?1");

/// What a bulk action has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// How many jobs were changed.
    pub changed: i64,
    /// How many were passed over because another job has their unique key, or because the file refuses the change.
    pub conflicts: i64,
    /// How many are left; `None` if that would have to be counted.
    pub left: Option<i64>,
    /// Where the next page begins: the key `cursor` of its filter. `None`: there is none.
    pub cursor: Option<i64>,
}

/// The jobs of a page that an action is for.
pub(crate) struct Chosen {
    filter: Filter,
    action: Action,
    ids: Vec<i64>,
    cursor: Option<i64>,
}

/// Chooses the jobs of a page. It only reads.
pub(crate) fn choose(store: &Store, now: i64, filter_json: &str, action: &str) -> Result<Chosen> {
    let action = Action::parse(action)?;
    let mut filter = Filter::parse(filter_json)?;
    filter.states = filter.states.and(action.states());
    let mut ids = Vec::new();
    let cursor = scan::each(store, now, &filter, &mut |job| {
        // A job that the operator has put into two tables is dealt with once.
        if ids.last() != Some(&job.id) {
            ids.push(job.id);
        }
        Ok(if ids.len() < filter.limit { Page::GoesOn } else { Page::EndsHere })
    })?;
    Ok(Chosen { filter, action, ids, cursor })
}

/// Does an action to the jobs of a filter, a page of them: as many as its `limit`, at most 1,000 rows or 8 MB. The jobs that
/// are not in a state that the action is for are left alone.
pub fn jobs_apply(store: &Store, now: i64, filter_json: &str, action: &str) -> Result<Applied> {
    if store.in_transaction() {
        // To read before locking could cost the caller the lock.
        version::check_write(store)?;
    }
    apply_to(store, now, &choose(store, now, filter_json, action)?)
}

/// Does an action to jobs that were chosen, as far as they still fulfil the filter.
pub(crate) fn apply_to(store: &Store, now: i64, chosen: &Chosen) -> Result<Applied> {
    let Chosen { filter, action, ids, .. } = chosen;
    if chosen.is_empty() {
        return Ok(chosen.nothing());
    }
    past_refusals(store, |care| {
        store.atomic(|| {
            let mut applied = chosen.nothing();
            let mut allowance = Allowance::new(store);
            let mut last = None;
            for &id in ids {
                if let Some(job) = scan::look(store, now, filter, id)? {
                    let sql = if job.place == Place::Live { &SQL_LIVE_LENGTH } else { &SQL_DEAD_LENGTH };
                    let length = store.query_one(sql, &[id.into()], |row| row.integer(0))?;
                    if !allowance.admit(length.unwrap_or(0)) || !care.goes_on() {
                        applied.cursor = last;
                        break;
                    }
                    match care.row(id, || action.run(store, now, &job))? {
                        Some(Outcome::Changed) => applied.changed += 1,
                        Some(Outcome::Same) => {}
                        Some(Outcome::KeyTaken) | None => applied.conflicts += 1,
                    }
                }
                last = Some(id);
            }
            care.check()?;
            Ok(applied.counted())
        })
    })
}

impl Chosen {
    /// Whether no job was found.
    pub(crate) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The answer if nothing is done.
    pub(crate) fn nothing(&self) -> Applied {
        Applied { changed: 0, conflicts: 0, left: None, cursor: self.cursor }.counted()
    }
}

impl Applied {
    /// With no further page nothing is left.
    fn counted(self) -> Self {
        Applied { left: self.cursor.is_none().then_some(0), ..self }
    }
}
