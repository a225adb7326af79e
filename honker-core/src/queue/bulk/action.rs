//! What a bulk action does to one job.

use serde_json::{Map, Value};

use super::filter::States;
use super::scan::{Looked, Place};
use crate::queue::leave::{Exit, gone};
use crate::queue::{Requeued, blocked, cancel, dead_requeue, unique};
use crate::statement::Sql;
use crate::{Error, Result, Store};

static SQL_RUN_NOW: Sql =
    Sql::new("UPDATE main._honker_live SET run_at = ?2 WHERE id = ?1 AND state = 'pending' AND run_at > ?2");

static SQL_MOVE: Sql = Sql::new(
    "UPDATE main._honker_live SET queue = ?2 WHERE id = ?1 AND state IN ('pending', 'blocked') AND queue <> ?2",
);

static SQL_MOVE_DEAD: Sql = Sql::new("UPDATE main._honker_dead SET queue = ?2 WHERE id = ?1 AND queue <> ?2");

static SQL_PRIORITY: Sql =
    Sql::new("UPDATE main._honker_live SET priority = ?2 WHERE id = ?1 AND priority <> ?2");

static SQL_DELETE_DEAD: Sql = Sql::new("DELETE FROM main._honker_dead WHERE id = +?1");

static SQL_DELETE_DONE: Sql = Sql::new("DELETE FROM main._honker_done WHERE id = +?1");

/// See docs/sql.md.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Retry,
    RunNow,
    Cancel,
    Delete,
    Move(String),
    Priority(i64),
}

/// What has become of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Changed,
    /// It is so already.
    Same,
    /// Another job has its unique key.
    KeyTaken,
}

impl Action {
    /// Reads `retry`, `run_now`, `cancel` or `delete`, or an object: `{"move": queue}`, `{"priority": number}`.
    pub(crate) fn parse(action: &str) -> Result<Self> {
        let object: Option<Map<String, Value>> = serde_json::from_str(action).ok();
        let only = object.as_ref().filter(|object| object.len() == 1).and_then(|object| object.iter().next());
        match (action, only) {
            ("retry", _) => Ok(Action::Retry),
            ("run_now", _) => Ok(Action::RunNow),
            ("cancel", _) => Ok(Action::Cancel),
            ("delete", _) => Ok(Action::Delete),
            (_, Some((key, Value::String(queue)))) if key == "move" => Ok(Action::Move(queue.clone())),
            (_, Some((key, value))) if key == "priority" && value.is_i64() => {
                Ok(Action::Priority(value.as_i64().unwrap_or_default()))
            }
            _ => {
                let shown: String = action.chars().take(40).collect();
                Err(Error::invalid(format!(
                    "action must be retry, run_now, cancel, delete, {{\"move\": queue}} or {{\"priority\": integer}}, not \
                     {shown}"
                )))
            }
        }
    }

    /// The states of jobs that it does anything to.
    pub(super) fn states(&self) -> States {
        match self {
            Action::Retry => States::of(&["dead"]),
            Action::RunNow => States::of(&["delayed"]),
            Action::Cancel | Action::Priority(_) => States::of(&["due", "delayed", "processing", "blocked"]),
            Action::Delete => States::ALL,
            Action::Move(_) => States::of(&["due", "delayed", "blocked", "dead"]),
        }
    }

    /// Does it. Belongs into [`Store::atomic`].
    pub(super) fn run(&self, store: &Store, now: i64, job: &Looked) -> Result<Outcome> {
        let id = job.id;
        let changed = |changed: bool| if changed { Outcome::Changed } else { Outcome::Same };
        match (self, job.place) {
            (Action::Retry, _) => Ok(match dead_requeue(store, now, id)? {
                Requeued::Requeued => Outcome::Changed,
                Requeued::NotFound => Outcome::Same,
                Requeued::KeyTaken => Outcome::KeyTaken,
            }),
            (Action::RunNow, _) => Ok(changed(store.execute(&SQL_RUN_NOW, &[id.into(), now.into()])? > 0)),
            (Action::Cancel, _) | (Action::Delete, Place::Live) => cancel(store, now, id).map(changed),
            (Action::Delete, Place::Dead) => {
                delete(store, now, id, Exit::Dead, &SQL_DELETE_DEAD).map(changed)
            }
            (Action::Delete, Place::Done) => {
                delete(store, now, id, Exit::Done, &SQL_DELETE_DONE).map(changed)
            }
            (Action::Move(queue), Place::Dead) => {
                Ok(changed(store.execute(&SQL_MOVE_DEAD, &[id.into(), queue.as_str().into()])? > 0))
            }
            (Action::Move(queue), _) if job.queue == *queue => Ok(Outcome::Same),
            (Action::Move(queue), _) => {
                if store.features().options && !unique::may_move(store, now, id, queue)? {
                    return Ok(Outcome::KeyTaken);
                }
                let moved = store.execute(&SQL_MOVE, &[id.into(), queue.as_str().into()])? > 0;
                wait_anew(store, job, moved).map(changed)
            }
            (Action::Priority(priority), _) => {
                let set = store.execute(&SQL_PRIORITY, &[id.into(), (*priority).into()])? > 0;
                wait_anew(store, job, set).map(changed)
            }
        }
    }
}

/// A job that waits for a slot has been changed: a claim finds its new place.
fn wait_anew(store: &Store, job: &Looked, changed: bool) -> Result<bool> {
    if changed && job.state == "blocked" {
        blocked::unblock(store, job.id)?;
    }
    Ok(changed)
}

fn delete(store: &Store, now: i64, id: i64, exit: Exit, sql: &'static Sql) -> Result<bool> {
    let deleted = store.execute(sql, &[id.into()])? > 0;
    if deleted {
        gone(store, now, id, exit)?;
    }
    Ok(deleted)
}
