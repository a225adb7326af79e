//! What the holder of a claim does with its job, and cancelling.
//!
//! Every function answers `true` if and only if the file changed because of the call. `false` means that the claim was
//! no longer the caller's to settle: it lapsed, went to another worker, or the job is gone.

use std::cell::Cell;

use super::dead_letter::{Move, move_row, move_to_dead};
use super::leave::{Exit, give_back, leave};
use crate::counters::{Left, Tally};
use crate::statement::{ID_LIST_MAX, Sql, Value, id_list};
use crate::{Error, Result, Store, time};

static SQL_ACK: Sql =
    Sql::new("DELETE FROM main._honker_live WHERE id = ?1 AND worker_id = ?2 AND claim_expires_at >= ?3");

static SQL_ACK_MANY: Sql = Sql::new(concat!(
    "DELETE FROM main._honker_live WHERE worker_id = ?1 AND claim_expires_at >= ?2 AND id IN (",
    id_list!(),
    ")"
));

static SQL_RETRY: Sql = Sql::new(
    "UPDATE main._honker_live
     SET state = 'pending', run_at = ?4, worker_id = NULL, claim_expires_at = NULL
     WHERE id = ?1 AND state = 'processing' AND worker_id = ?2 AND claim_expires_at >= ?3
       AND attempts < max_attempts",
);

static SQL_RELEASE: Sql = Sql::new(
    "UPDATE main._honker_live
     SET state = 'pending', run_at = ?4, worker_id = NULL, claim_expires_at = NULL, attempts = max(attempts - 1, 0)
     WHERE id = ?1 AND state = 'processing' AND worker_id = ?2 AND claim_expires_at >= ?3",
);

static SQL_HEARTBEAT: Sql = Sql::new(
    "UPDATE main._honker_live SET claim_expires_at = ?4
     WHERE id = ?1 AND state = 'processing' AND worker_id = ?2 AND claim_expires_at >= ?3",
);

static SQL_HOLDS: Sql = Sql::new(
    "SELECT 1 FROM main._honker_live
     WHERE id = ?1 AND state = 'processing' AND worker_id = ?2 AND claim_expires_at >= ?3",
);

static SQL_CANCEL: Sql = Sql::new("DELETE FROM main._honker_live WHERE id = ?1");

// Parameters: ?1 id, ?2 now, ?3 error, ?4 worker.
static MOVE_FAILED: Move = move_to_dead!("id = ?1 AND worker_id = ?4 AND claim_expires_at >= ?2");
static MOVE_EXHAUSTED: Move = move_to_dead!(
    "id = ?1 AND state = 'processing' AND worker_id = ?4 AND claim_expires_at >= ?2
     AND attempts >= max_attempts"
);

/// The job is done: removes it.
pub fn ack(store: &Store, now: i64, id: i64, worker_id: &str) -> Result<bool> {
    store.settling(id, worker_id, || {
        leave(store, now, id, Exit::Done, &SQL_ACK, &[id.into(), worker_id.into(), now.into()])
    })
}

/// Acks every job of `ids` that `worker_id` still holds, as one unit; how many those were.
pub fn ack_batch(store: &Store, now: i64, ids: &[i64], worker_id: &str) -> Result<i64> {
    if ids.is_empty() {
        return Ok(0);
    }
    // Together, if nothing has to be known of each, or it turns out that all of them are held. What was done is undone if not,
    // which cannot be within a statement of somebody else's.
    let are_held = Cell::new(true);
    let acked = store.atomic(|| {
        let is_uncountable = |tally: &Tally| store.is_in_function() || !tally.knows_all(ids);
        if store.features().any() || store.listener().is_some() || store.tally().is_some_and(is_uncountable) {
            return ack_each(store, now, ids, worker_id);
        }
        let mut acked = 0;
        for ids in ids.chunks(ID_LIST_MAX) {
            let mut parameters = vec![worker_id.into(), now.into()];
            parameters.extend(ids.iter().map(|&id| Value::from(id)));
            acked += store.execute(&SQL_ACK_MANY, &parameters)?;
        }
        if let Some(tally) = store.tally() {
            are_held.set(usize::try_from(acked) == Ok(ids.len()));
            if !are_held.get() {
                return Err(Error::invalid("not all of them are held"));
            }
            tally.all_left(ids, Left::Done);
        }
        Ok(acked)
    });
    if are_held.get() { acked } else { store.atomic(|| ack_each(store, now, ids, worker_id)) }
}

fn ack_each(store: &Store, now: i64, ids: &[i64], worker_id: &str) -> Result<i64> {
    ids.iter().map(|&id| ack(store, now, id, worker_id).map(i64::from)).sum()
}

/// Reads a JSON array of integer ids, without repetitions, in order of first appearance.
pub fn parse_ids(ids_json: &str) -> Result<Vec<i64>> {
    let mut ids: Vec<i64> = serde_json::from_str(ids_json)
        .map_err(|error| Error::invalid(format!("ids_json must be a JSON array of integer ids: {error}")))?;
    let mut seen = std::collections::HashSet::with_capacity(ids.len());
    ids.retain(|id| seen.insert(*id));
    Ok(ids)
}

/// The job could not be done now: it becomes due again in `delay_s` seconds or, if its attempts are used up, dead with
/// this error.
pub fn retry(store: &Store, now: i64, id: i64, worker_id: &str, delay_s: i64, error: &str) -> Result<bool> {
    let run_at = time::after(now, "delay_s", delay_s)?;
    store.settling(id, worker_id, || retry_at(store, now, id, worker_id, run_at, error))
}

fn retry_at(store: &Store, now: i64, id: i64, worker_id: &str, run_at: i64, error: &str) -> Result<bool> {
    let parameters = [id.into(), worker_id.into(), now.into(), run_at.into()];
    if give_back(store, now, id, Left::Retried, &SQL_RETRY, &parameters)? {
        return Ok(true);
    }
    end(store, now, id, worker_id, error, &MOVE_EXHAUSTED)
}

/// The job can never be done: it is dead with this error, whatever attempts it has left.
pub fn fail(store: &Store, now: i64, id: i64, worker_id: &str, error: &str) -> Result<bool> {
    store.settling(id, worker_id, || end(store, now, id, worker_id, error, &MOVE_FAILED))
}

fn end(store: &Store, now: i64, id: i64, worker_id: &str, error: &str, by: &'static Move) -> Result<bool> {
    store.atomic(|| move_row(store, now, by, id, &[id.into(), now.into(), error.into(), worker_id.into()]))
}

/// The job goes back: it is due again in `delay_s` seconds, and this attempt does not count.
pub fn release(store: &Store, now: i64, id: i64, worker_id: &str, delay_s: i64) -> Result<bool> {
    let run_at = time::after(now, "delay_s", delay_s)?;
    store.settling(id, worker_id, || {
        let parameters = [id.into(), worker_id.into(), now.into(), run_at.into()];
        give_back(store, now, id, Left::Released, &SQL_RELEASE, &parameters)
    })
}

/// The job takes longer: its claim is valid for `extend_s` seconds from now, whatever it was before.
pub fn heartbeat(store: &Store, now: i64, id: i64, worker_id: &str, extend_s: i64) -> Result<bool> {
    let claim_expires_at = time::after(now, "extend_s", extend_s)?;
    let parameters = [id.into(), worker_id.into(), now.into(), claim_expires_at.into()];
    Ok(store.execute(&SQL_HEARTBEAT, &parameters)? > 0)
}

/// Removes a live job whatever its state. Whoever holds it finds its claim gone.
pub fn cancel(store: &Store, now: i64, id: i64) -> Result<bool> {
    leave(store, now, id, Exit::Cancelled, &SQL_CANCEL, &[id.into()])
}

/// Whether `worker_id` has a valid claim on a job.
pub(crate) fn holds(store: &Store, now: i64, id: i64, worker_id: &str) -> Result<bool> {
    let held = store.query_one(&SQL_HOLDS, &[id.into(), worker_id.into(), now.into()], |_| ())?;
    Ok(held.is_some())
}
