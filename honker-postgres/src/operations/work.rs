//! A worker's turn, and what it asks without writing.

use std::sync::Arc;

use honker_core::counters::{Left, Said};
use honker_core::outlook::{Interest, Outlook};
use honker_core::queue::{Claim, Delay, Held, Lost, Outcome, Settlement, Turn, Turned, WorkOutlook};
use honker_core::{Error, Result};
use serde_json::json;
use tokio_postgres::Row;

use super::queue::{claim, claimed};
use crate::failure;
use crate::on::{On, flag, get, int, ints, text, texts};

/// A settlement as the functions take it: the kind, the delay, that which holds if nothing is set for the queue, the error.
fn parts(outcome: &Outcome) -> (&'static str, Option<i64>, Option<i64>, Option<&str>) {
    match outcome {
        Outcome::Ack => ("ack", None, None, None),
        Outcome::Retry { delay: Delay::Given(delay_s), error } => {
            ("retry", Some(*delay_s), None, Some(error))
        }
        Outcome::Retry { delay: Delay::UnlessSet(delay_s), error } => {
            ("retry", None, Some(*delay_s), Some(error))
        }
        Outcome::Fail { error } => ("fail", None, None, Some(error)),
        Outcome::Release { delay_s } => ("release", Some(*delay_s), None, None),
    }
}

fn lost(text: Option<&str>) -> Result<Option<Lost>> {
    match text {
        None => Ok(None),
        Some("gone") => Ok(Some(Lost::Gone)),
        Some("lapsed") => Ok(Some(Lost::Lapsed)),
        Some("taken") => Ok(Some(Lost::Taken)),
        Some(other) => Err(Error::Internal(format!("a claim is said to be '{other}'").into())),
    }
}

fn held_columns(held: &[Held]) -> (Vec<i64>, Vec<i64>) {
    held.iter().map(|held| (held.id, held.attempts)).unzip()
}

pub(crate) fn settle(on: &mut On<'_>, worker_id: &str, settlement: &Settlement) -> Result<bool> {
    on.note_settlement(settlement.id, worker_id);
    let (kind, delay_s, default_s, error) = parts(&settlement.outcome);
    let queues = on.unknown_queues(&[settlement.id])?;
    let settled: bool = on.value(
        "SELECT honker._settle($1, $2, $3, $4, $5, $6), pg_catalog.current_setting('honker.woken', true) AS woken",
        &[text(&worker_id), int(&settlement.id), text(&kind), int(&delay_s), int(&default_s), text(&error)],
    )?;
    if settled && settlement.outcome == Outcome::Ack {
        on.count_done(&[settlement.id], queues);
    }
    Ok(settled)
}

pub(crate) fn turn(on: &mut On<'_>, turn: &Turn<'_>) -> Result<Turned> {
    let n = |limit: &i64| turn.n.min(*limit);
    let done = match (turn.settlements, turn.held, turn.queues) {
        // A worker that had nothing to do takes what has come by the shortest way.
        ([], [], [(queue, limit)]) if n(limit) > 0 => {
            let (worker_id, timeout_s) = (turn.worker_id, turn.timeout_s);
            claim(on, &Claim { queue, worker_id, n: n(limit), timeout_s })
                .map(|step| Turned::new(Vec::new(), Vec::new(), step.jobs, step.more, None))
        }
        _ => turn_by(on, turn, false),
    };
    match done {
        // A trigger of the user's, or a constraint, refuses a part: again, with a savepoint for each.
        Err(
            Error::Constraint(_) | Error::Moved(_) | Error::Sql(_) | Error::TooBig(_) | Error::Invalid(_),
        ) => turn_by(on, turn, true),
        done => done,
    }
}

fn turn_by(on: &mut On<'_>, turn: &Turn<'_>, by_part: bool) -> Result<Turned> {
    // Not noted: who makes turns puts its jobs down by itself, and keeps those whose settlement is refused.
    let ids: Vec<i64> = turn.settlements.iter().map(|settlement| settlement.id).collect();
    let mut queues = on.unknown_queues(&ids)?;
    let parts: Vec<_> = turn.settlements.iter().map(|settlement| parts(&settlement.outcome)).collect();
    let (held_ids, held_attempts) = held_columns(turn.held);
    let frees: Vec<Option<i64>> =
        turn.frees.iter().map(|place| place.and_then(|place| i64::try_from(place).ok())).collect();
    let rows = on.rows(
        "SELECT kind, n, code, message, (job).id, (job).queue, (job).payload, (job).attempts, (job).claim_expires_at, (job).max_attempts,
             (job).run_at, (job).metadata, (job).max_run_s
         FROM honker._turn($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        &[
            text(&turn.worker_id),
            int(&turn.timeout_s),
            ints(&ids),
            texts(&parts.iter().map(|parts| parts.0).collect::<Vec<_>>()),
            ints(&parts.iter().map(|parts| parts.1).collect::<Vec<_>>()),
            ints(&parts.iter().map(|parts| parts.2).collect::<Vec<_>>()),
            texts(&parts.iter().map(|parts| parts.3).collect::<Vec<_>>()),
            ints(&held_ids),
            ints(&held_attempts),
            flag(&turn.prolong),
            texts(&turn.queues.iter().map(|(queue, _)| *queue).collect::<Vec<_>>()),
            ints(&turn.queues.iter().map(|(_, limit)| *limit).collect::<Vec<_>>()),
            ints(&frees),
            int(&turn.n),
            flag(&by_part),
        ],
    )?;
    let turned = read_turn(on, turn, &rows)?;
    for (settlement, settled) in turn.settlements.iter().zip(&turned.settled) {
        if *settled == Ok(true) && settlement.outcome == Outcome::Ack {
            let queue = queues.remove(&settlement.id);
            on.count(Said::Left { id: settlement.id, queue, how: Left::Done });
        }
    }
    turned.claimed.iter().for_each(|job| on.count_claimed(job, turn.timeout_s));
    Ok(turned)
}

fn read_turn(on: &mut On<'_>, turn: &Turn<'_>, rows: &[Row]) -> Result<Turned> {
    let worker_id: Arc<str> = turn.worker_id.into();
    let mut settled = vec![Ok(false); turn.settlements.len()];
    let mut gone = vec![None; turn.held.len()];
    let (mut jobs, mut more, mut refused) = (Vec::new(), false, None);
    let message = |row: &Row| Ok::<_, Error>(get::<Option<String>>(row, 3)?.unwrap_or_default());
    for row in rows {
        let place = get::<Option<i64>>(row, 1)?.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
        let code: Option<&str> = get(row, 2)?;
        match get(row, 0)? {
            "s" => {
                if let Some(settled) = settled.get_mut(place) {
                    *settled = match code {
                        Some("1") => Ok(true),
                        Some("0") | None => Ok(false),
                        Some(code) => Err(failure::of_state(code, message(row)?)),
                    };
                }
            }
            "h" => {
                if let Some(gone) = gone.get_mut(place) {
                    *gone = lost(code)?;
                }
            }
            "j" => {
                let job = claimed(row, 4, &worker_id, jobs.last())?;
                jobs.push(job);
            }
            "m" => more = true,
            "e" => refused = refused.or(Some(failure::of_state(code.unwrap_or("P0001"), message(row)?))),
            "w" => on.hear_items(&message(row)?)?,
            _ => {}
        }
    }
    Ok(Turned::new(settled, gone, jobs, more, refused))
}

pub(crate) fn work_outlook(
    on: &mut On<'_>,
    worker_id: &str,
    held: &[Held],
    queues: &[&str],
) -> Result<WorkOutlook> {
    let (ids, attempts) = held_columns(held);
    let row = on.row(
        "SELECT may_claim, next_at, lost FROM honker._work_outlook($1, $2, $3, $4)",
        &[text(&worker_id), ints(&ids), ints(&attempts), texts(&queues)],
    )?;
    let gone = get::<Option<Vec<Option<&str>>>>(&row, 2)?.unwrap_or_default();
    let gone = gone.into_iter().chain(std::iter::repeat(None)).take(held.len());
    Ok(WorkOutlook {
        may_claim: get(&row, 0)?,
        next_at: get(&row, 1)?,
        lost: gone.map(lost).collect::<Result<_>>()?,
    })
}

pub(crate) fn outlooks(on: &mut On<'_>, interests: &[&Interest]) -> Result<Vec<Result<Outlook>>> {
    let asked: Vec<_> = interests
        .iter()
        .map(|interest| match interest {
            Interest::Commit => json!({ "kind": "commit" }),
            Interest::Jobs { queues, worker_id, held } => {
                let held: Vec<_> = held.iter().map(|held| [held.id, held.attempts]).collect();
                json!({ "kind": "jobs", "worker_id": worker_id, "queues": queues, "held": held })
            }
            Interest::Notifications { channel, after_id } => {
                json!({ "kind": "notifications", "channel": channel, "after": after_id })
            }
            Interest::Events { topic, after_offset } => {
                json!({ "kind": "events", "topic": topic, "after": after_offset })
            }
            Interest::Result { job_id } => json!({ "kind": "result", "job_id": job_id }),
            Interest::Leadership { owner, leads } => {
                json!({ "kind": "leadership", "owner": owner, "leads": leads, "left_out": [] })
            }
        })
        .collect();
    let asked = serde_json::Value::from(asked).to_string();
    let rows = on.rows("SELECT n, work, at, code, message FROM honker._outlooks($1)", &[text(&asked)])?;
    let mut answers = vec![Ok(Outlook::default()); interests.len()];
    for row in &rows {
        let n = usize::try_from(get::<i64>(row, 0)?).unwrap_or(usize::MAX);
        let Some(answer) = answers.get_mut(n) else { continue };
        *answer = match get::<Option<&str>>(row, 3)? {
            Some(code) => Err(failure::of_state(code, get::<Option<String>>(row, 4)?.unwrap_or_default())),
            None => Ok(Outlook { work: get::<Option<bool>>(row, 1)?.unwrap_or(true), at: get(row, 2)? }),
        };
    }
    Ok(answers)
}
