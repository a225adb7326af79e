//! Schedules: what they are, and firing them.
//!
//! Only Rust reads expressions. Whoever fires passes the boundaries that are due, and the one after them, to a function that
//! enqueues their jobs if nobody else has fired them meanwhile.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use honker_core::lock::Holder;
use honker_core::queue::options_text;
use honker_core::schedule::{
    Expression, Fire, FireStatus, Leadership, Overlap, Refused, Registration, Schedule, Ticked, Update,
    check_single,
};
use honker_core::{Error, Result};
use serde_json::{Map, Value};

use crate::on::{On, flag, get, int, ints, json, text, texts};

/// How many missed boundaries of one schedule a tick catches up; the rest are skipped.
const FIRES_MAX: usize = 64;

/// For how long a schedule whose expression cannot be used is left out before it is looked at again.
const UNUSABLE_FOR: Duration = Duration::from_secs(60);

/// What an engine remembers of schedules.
#[derive(Default)]
pub(crate) struct Schedules(Mutex<State>);

#[derive(Default)]
struct State {
    /// The names behind the numbers that were given out.
    names: HashMap<i64, String>,
    /// Whose expressions could not be used, and when that was found.
    unusable: HashMap<String, Instant>,
}

impl Schedules {
    /// A number that stands for a schedule.
    fn number(&self, name: &str) -> i64 {
        // FNV-1a.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let number = (hash >> 1) as i64;
        self.lock().names.insert(number, name.to_owned());
        number
    }

    /// The names of those that nobody is to wait for: these, and those that cannot be used.
    fn left_out(&self, numbers: &[i64]) -> Vec<String> {
        let mut state = self.lock();
        state.unusable.retain(|_, since| since.elapsed() < UNUSABLE_FOR);
        let given = numbers.iter().filter_map(|number| state.names.get(number));
        given.chain(state.unusable.keys()).cloned().collect()
    }

    fn set_unusable(&self, name: &str) {
        self.lock().unusable.insert(name.to_owned(), Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now(on: &mut On<'_>) -> Result<i64> {
    on.value("SELECT honker._now()", &[])
}

pub(crate) fn scheduler_register(on: &mut On<'_>, schedule: &Registration<'_>) -> Result<()> {
    let expression = Expression::parse(schedule.expression)?;
    check_single(schedule)?;
    let next_fire_at = expression.next_after(now(on)?)?;
    let Registration { name, expression, job, overlap } = schedule;
    let mut options: Map<String, Value> =
        options_text(job)?.map(|text| json(&text)).transpose()?.unwrap_or_default();
    options.extend(job.delay_s.map(|delay_s| ("delay_s".to_owned(), delay_s.into())));
    let options = (!options.is_empty()).then(|| Value::Object(options).to_string());
    let overlap = match overlap {
        Overlap::Allow => "allow",
        Overlap::Skip => "skip",
    };
    on.row(
        "SELECT honker._schedule_put($1, $2, $3, $4, $5, $6, $7, $8, $9, $10), pg_catalog.current_setting('honker.woken', true) AS woken",
        &[
            text(name),
            text(&job.queue),
            text(expression),
            text(&job.payload),
            int(&job.priority),
            int(&job.expires_s),
            int(&job.max_attempts.map(|named| named.max(1))),
            text(&overlap),
            text(&options),
            int(&next_fire_at),
        ],
    )
    .map(drop)
}

pub(crate) fn scheduler_unregister(on: &mut On<'_>, name: &str) -> Result<i64> {
    on.value("SELECT honker.honker_scheduler_unregister($1), pg_catalog.current_setting('honker.woken', true) AS woken", &[text(&name)])
}

pub(crate) fn scheduler_update(on: &mut On<'_>, name: &str, changes: &Update<'_>) -> Result<bool> {
    if *changes == Update::default() {
        return Ok(false);
    }
    let next_fire_at = match changes.expression {
        None => None,
        Some(text) => {
            let at = now(on)?;
            match Expression::parse(text).and_then(|expression| expression.next_after(at)) {
                Ok(next_fire_at) => Some(next_fire_at),
                // There is nothing wrong with an expression for nothing.
                Err(error) => {
                    return match scheduler_list(on)?.iter().any(|schedule| schedule.name == name) {
                        true => Err(error),
                        false => Ok(false),
                    };
                }
            }
        }
    };
    let max_attempts = changes.max_attempts.flatten().map(|named| named.max(1));
    on.value(
        "SELECT honker._schedule_update($1, $2, $3, $4, $5, $6, $7, $8, $9), pg_catalog.current_setting('honker.woken', true) AS woken",
        &[
            text(&name),
            text(&changes.expression),
            int(&next_fire_at),
            text(&changes.payload),
            int(&changes.priority),
            int(&changes.expires_s.flatten()),
            flag(&changes.expires_s.is_some()),
            int(&max_attempts),
            flag(&changes.max_attempts.is_some()),
        ],
    )
}

pub(crate) fn scheduler_pause(on: &mut On<'_>, name: &str) -> Result<bool> {
    on.is(
        "SELECT honker.honker_scheduler_pause($1), pg_catalog.current_setting('honker.woken', true) AS woken",
        &[text(&name)],
    )
}

pub(crate) fn scheduler_resume(on: &mut On<'_>, name: &str) -> Result<bool> {
    on.is("SELECT honker.honker_scheduler_resume($1), pg_catalog.current_setting('honker.woken', true) AS woken", &[text(&name)])
}

pub(crate) fn scheduler_list(on: &mut On<'_>) -> Result<Vec<Schedule>> {
    let mut all: Vec<Schedule> =
        json(&on.value::<String>("SELECT honker.honker_scheduler_list()::text", &[])?)?;
    for schedule in &mut all {
        let usable = Expression::parse(&schedule.cron_expr)
            .and_then(|expression| expression.next_after(schedule.next_fire_at));
        schedule.error = usable.err().map(|error| error.to_string());
    }
    Ok(all)
}

pub(crate) fn scheduler_soonest(on: &mut On<'_>) -> Result<Option<i64>> {
    let all = scheduler_list(on)?;
    let usable = all.iter().filter(|schedule| schedule.enabled && schedule.error.is_none());
    Ok(usable.map(|schedule| schedule.next_fire_at).min())
}

pub(crate) fn scheduler_tick(on: &mut On<'_>, until: Option<i64>) -> Result<Vec<Fire>> {
    let until = match until {
        Some(until) => until,
        None => now(on)?,
    };
    let ticked = on.unit(|on| fire_due(on, until))?;
    match ticked.refused.into_iter().next() {
        Some(refused) if ticked.fires.is_empty() => Err(refused.error),
        _ => Ok(ticked.fires),
    }
}

pub(crate) fn leadership(on: &mut On<'_>, left_out: &[i64]) -> Result<Leadership> {
    let left_out = on.schedules().left_out(left_out);
    let row =
        on.row("SELECT owner, expires_at, soonest, now FROM honker._leadership($1)", &[texts(&left_out)])?;
    let holder = match (get::<Option<String>>(&row, 0)?, get::<Option<i64>>(&row, 1)?) {
        (Some(owner), Some(expires_at)) => Some(Holder { owner, expires_at }),
        _ => None,
    };
    Ok(Leadership { holder, soonest: get(&row, 2)?, now: get(&row, 3)? })
}

pub(crate) fn lead(
    on: &mut On<'_>,
    owner: &str,
    instance: Option<&str>,
    leads: bool,
) -> Result<Option<Ticked>> {
    on.unit(|on| {
        let proved: bool = on.value(
            "SELECT honker._lead($1, $2, $3), pg_catalog.current_setting('honker.woken', true) AS woken",
            &[text(&owner), text(&instance), flag(&leads)],
        )?;
        if !proved {
            return Ok(None);
        }
        let until = now(on)?;
        fire_due(on, until).map(Some)
    })
}

/// A schedule that has to fire.
struct Due {
    name: String,
    expression: String,
    next_fire_at: i64,
}

/// Fires what is due. A schedule that the server refuses to fire is passed over.
fn fire_due(on: &mut On<'_>, until: i64) -> Result<Ticked> {
    let rows =
        on.rows("SELECT name, cron_expr, next_fire_at FROM honker._schedules_due($1)", &[int(&until)])?;
    let mut ticked = Ticked::default();
    for row in &rows {
        let due = Due { name: get(row, 0)?, expression: get(row, 1)?, next_fire_at: get(row, 2)? };
        // What is wrong with it, the list says.
        let Ok(expression) = due.expression() else {
            on.schedules().set_unusable(&due.name);
            continue;
        };
        let (boundaries, next) = due.boundaries(&expression, until).map_err(|error| match error {
            Error::Invalid(message) => Error::Invalid(format!("schedule '{}': {message}", due.name)),
            other => other,
        })?;
        match on.unit(|on| fire(on, &due, &boundaries, next)) {
            Ok(fires) => ticked.fires.extend(fires),
            Err(error) => match in_schedule(&due.name, error) {
                error @ (Error::Constraint(_) | Error::Sql(_) | Error::TooBig(_)) => {
                    let rowid = on.schedules().number(&due.name);
                    ticked.refused.push(Refused { rowid, error });
                }
                error => return Err(error),
            },
        }
    }
    Ok(ticked)
}

impl Due {
    /// Its expression, if it can be used.
    fn expression(&self) -> Result<Expression> {
        let expression = Expression::parse(&self.expression)?;
        expression.next_after(self.next_fire_at).map(|_| expression)
    }

    /// The boundaries to fire, and the one after them.
    fn boundaries(&self, expression: &Expression, until: i64) -> Result<(Vec<i64>, i64)> {
        let (mut boundaries, mut boundary) = (Vec::new(), self.next_fire_at);
        while boundary <= until {
            if boundaries.len() == FIRES_MAX {
                return Ok((boundaries, expression.first_after(boundary, until)?));
            }
            boundaries.push(boundary);
            boundary = expression.next_after(boundary)?;
        }
        Ok((boundaries, boundary))
    }
}

fn fire(on: &mut On<'_>, due: &Due, boundaries: &[i64], next: i64) -> Result<Vec<Fire>> {
    let rows = on.rows(
        "SELECT name, queue, fire_at, job_id, status, pg_catalog.current_setting('honker.woken', true) AS woken
         FROM honker._schedule_fire($1, $2, $3, $4, $5)",
        &[text(&due.name), text(&due.expression), int(&due.next_fire_at), ints(&boundaries), int(&next)],
    )?;
    let read = |row| {
        Ok(Fire {
            name: get(row, 0)?,
            queue: get(row, 1)?,
            fire_at: get(row, 2)?,
            job_id: get(row, 3)?,
            status: match get(row, 4)? {
                "exists" => FireStatus::Exists,
                "replaced" => FireStatus::Replaced,
                "skipped" => FireStatus::Skipped,
                _ => FireStatus::Enqueued,
            },
        })
    };
    let fires = rows.iter().map(read).collect::<Result<Vec<Fire>>>()?;
    for fire in fires.iter().filter(|fire| fire.status == FireStatus::Enqueued) {
        on.count_enqueued(&fire.queue);
    }
    Ok(fires)
}

/// Says which schedule an error belongs to, if it is about one. What is wrong with its jobs is no error of whoever fires.
fn in_schedule(name: &str, error: Error) -> Error {
    let text = format!("schedule '{name}': {error}");
    match error {
        Error::Invalid(_) | Error::Sql(_) => Error::Sql(text.into()),
        Error::Constraint(_) => Error::Constraint(text.into()),
        Error::TooBig(_) => Error::TooBig(text.into()),
        other => other,
    }
}
