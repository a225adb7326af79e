//! Schedules: when each fires next, and what a tick enqueues.
//!
//! The model does not know the calendar; that is tested elsewhere. It knows `@every` and those few cron lines whose
//! boundaries are a fixed number of seconds apart in UTC, and takes everything else for malformed.

use std::collections::BTreeMap;

use crate::queue::Queue;
use crate::tables::{Row, row};
use crate::{Outcome, Refusal, after};

/// A tick fires at most this many boundaries of one schedule and skips what is left.
pub const FIRES_MAX: usize = 64;

/// The last second of the year 9999, where calendars end.
const CALENDAR_END: i64 = 253_402_300_799;

/// Cron lines, the seconds between their boundaries, and the second of the first one from the epoch on.
pub const CRON_LINES: [(&str, i64, i64); 6] = [
    ("CRON_TZ=UTC * * * * * *", 1, 0),
    ("  CRON_TZ=UTC */10 * * * * * ", 10, 0),
    ("CRON_TZ=UTC * * * * *", 60, 0),
    ("TZ=UTC @hourly", 3600, 0),
    ("CRON_TZ=UTC 30 1-23/2 * * *", 7200, 5400),
    ("CRON_TZ=UTC 5 0 0 * jan-DEC 0-7", 86400, 5),
];

/// A cron line that never matches.
pub const NEVER: &str = "CRON_TZ=UTC 0 0 30 2 *";

/// All schedules, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schedules(pub BTreeMap<String, Schedule>);

/// One schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Where its jobs go.
    pub queue: String,
    /// When it fires, as given.
    pub expression: String,
    /// The payload of its jobs.
    pub payload: String,
    /// Their priority.
    pub priority: i64,
    /// When they expire, in seconds from the boundary.
    pub expires_s: Option<i64>,
    /// The next boundary.
    pub next_fire_at: i64,
    /// Not paused.
    pub enabled: bool,
    /// The budget of its jobs.
    pub max_attempts: i64,
}

/// What to register.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Registration {
    /// The schedule's name.
    pub name: &'static str,
    /// Where its jobs go.
    pub queue: &'static str,
    /// When it fires.
    pub expression: &'static str,
    /// The payload of its jobs.
    pub payload: &'static str,
    /// Their priority.
    pub priority: i64,
    /// When they expire, in seconds from the boundary.
    pub expires_s: Option<i64>,
    /// Their budget, 3 if not given and at least 1.
    pub max_attempts: Option<i64>,
}

/// What to change; `None` stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Changes {
    /// When it fires.
    pub expression: Option<&'static str>,
    /// The payload of its jobs.
    pub payload: Option<&'static str>,
    /// Their priority.
    pub priority: Option<i64>,
    /// Their expiry; `Some(None)` removes it.
    pub expires_s: Option<Option<i64>>,
    /// Their budget; `Some(None)` means 3 again.
    pub max_attempts: Option<Option<i64>>,
}

fn budget(max_attempts: Option<i64>) -> i64 {
    max_attempts.unwrap_or(3).max(1)
}

/// A schedule expression, understood.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    /// So many seconds after the last boundary, whatever the clock says.
    Every(i64),
    /// Whenever the clock has passed a multiple of `period` by `phase` seconds.
    Aligned {
        /// Seconds between boundaries.
        period: i64,
        /// Seconds from the epoch to the first one.
        phase: i64,
    },
    /// Never.
    Never,
}

impl Rule {
    /// Reads an expression.
    pub fn parse(text: &str) -> Outcome<Rule> {
        if let Some((_, period, phase)) = CRON_LINES.iter().find(|(line, ..)| line.trim() == text.trim()) {
            return Ok(Rule::Aligned { period: *period, phase: *phase });
        }
        if text == NEVER {
            return Ok(Rule::Never);
        }
        let Some(interval) = text.trim().strip_prefix("@every") else { return Err(Refusal::Invalid("")) };
        let interval = interval.trim_start();
        let (number, unit) =
            interval.split_at(interval.find(|c: char| !c.is_ascii_digit()).unwrap_or(interval.len()));
        let unit_seconds = match unit {
            "s" => Some(1),
            "m" => Some(60),
            "h" => Some(3600),
            "d" => Some(86400),
            _ => None,
        };
        let seconds =
            number.parse::<i64>().ok().zip(unit_seconds).and_then(|(number, unit)| number.checked_mul(unit));
        seconds.filter(|seconds| *seconds > 0).map(Rule::Every).ok_or(Refusal::Invalid("interval"))
    }

    /// The first boundary strictly after `from`.
    pub fn next_after(self, from: i64) -> Outcome<i64> {
        match self {
            Rule::Every(interval) => after(from, "overflow", interval),
            Rule::Aligned { .. } | Rule::Never if from.saturating_abs() > CALENDAR_END => {
                Err(Refusal::Invalid("out of range"))
            }
            Rule::Aligned { period, phase } => Ok(from + period - (from - phase).rem_euclid(period)),
            Rule::Never => Err(Refusal::Invalid("no schedule match")),
        }
    }

    /// The first boundary strictly after `until` of the series that `boundary` belongs to.
    fn skip_past(self, boundary: i64, until: i64) -> Outcome<i64> {
        let Rule::Every(interval) = self else { return self.next_after(until) };
        let (boundary, until, interval) = (i128::from(boundary), i128::from(until), i128::from(interval));
        let next = until + interval - (until - boundary).rem_euclid(interval);
        i64::try_from(next).map_err(|_| Refusal::Invalid("overflow"))
    }
}

impl Schedules {
    /// Adds a schedule or replaces the one of that name, which stays paused if it was, and keeps its next boundary if
    /// the expression is the same.
    pub fn register(&mut self, now: i64, new: &Registration) -> Outcome<()> {
        let next_fire_at = Rule::parse(new.expression)?.next_after(now)?;
        let old = self.0.get(new.name);
        let kept = old.filter(|old| old.expression == new.expression).map(|old| old.next_fire_at);
        let schedule = Schedule {
            queue: new.queue.to_owned(),
            expression: new.expression.to_owned(),
            payload: new.payload.to_owned(),
            priority: new.priority,
            expires_s: new.expires_s,
            next_fire_at: kept.unwrap_or(next_fire_at),
            enabled: old.is_none_or(|old| old.enabled),
            max_attempts: budget(new.max_attempts),
        };
        self.0.insert(new.name.to_owned(), schedule);
        Ok(())
    }

    /// Removes a schedule; how many rows that were.
    pub fn unregister(&mut self, name: &str) -> i64 {
        i64::from(self.0.remove(name).is_some())
    }

    /// Changes what is given. A new expression starts from now, also if it is the same as before.
    pub fn update(&mut self, now: i64, name: &str, changes: &Changes) -> Outcome<bool> {
        let Some(schedule) = self.0.get_mut(name).filter(|_| *changes != Changes::default()) else {
            return Ok(false);
        };
        if let Some(expression) = changes.expression {
            schedule.next_fire_at = Rule::parse(expression)?.next_after(now)?;
            schedule.expression = expression.to_owned();
        }
        if let Some(payload) = changes.payload {
            schedule.payload = payload.to_owned();
        }
        schedule.priority = changes.priority.unwrap_or(schedule.priority);
        schedule.expires_s = changes.expires_s.unwrap_or(schedule.expires_s);
        schedule.max_attempts = changes.max_attempts.map_or(schedule.max_attempts, budget);
        Ok(true)
    }

    /// Pauses or resumes; whether that changed anything.
    pub fn enable(&mut self, name: &str, enabled: bool) -> bool {
        let other = self.0.get_mut(name).filter(|schedule| schedule.enabled != enabled);
        other.map(|schedule| schedule.enabled = enabled).is_some()
    }

    /// Somebody changes an expression by hand, without a look at the next boundary.
    pub fn raw_expression(&mut self, name: &str, expression: &str) -> bool {
        self.0.get_mut(name).map(|schedule| schedule.expression = expression.to_owned()).is_some()
    }

    /// All schedules, by name.
    pub fn list(&self) -> Vec<Row> {
        self.0.iter().map(|(name, schedule)| schedule.row(name)).collect()
    }

    /// The next boundary of any schedule that is not paused.
    pub fn soonest(&self) -> Option<i64> {
        let fire = self.0.values().filter(|schedule| schedule.enabled && schedule.usable());
        fire.map(|schedule| schedule.next_fire_at).min()
    }

    /// Fires what is due, schedule by schedule in the order of their names; all of it or nothing.
    pub fn tick(&mut self, now: i64, until: i64, jobs: &mut Queue) -> Outcome<Vec<Row>> {
        let (mut schedules, mut queue, mut fires) = (self.clone(), jobs.clone(), Vec::new());
        for (name, schedule) in &mut schedules.0 {
            if schedule.enabled && schedule.next_fire_at <= until && schedule.usable() {
                schedule.fire(name, now, until, &mut queue, &mut fires)?;
            }
        }
        (*self, *jobs) = (schedules, queue);
        Ok(fires)
    }
}

impl Schedule {
    /// Somebody may have stored an expression that says nothing; such a schedule is passed over.
    fn usable(&self) -> bool {
        Rule::parse(&self.expression).and_then(|rule| rule.next_after(self.next_fire_at)).is_ok()
    }

    fn fire(
        &mut self,
        name: &str,
        now: i64,
        until: i64,
        jobs: &mut Queue,
        fires: &mut Vec<Row>,
    ) -> Outcome<()> {
        let rule = Rule::parse(&self.expression)?;
        for _ in 0..FIRES_MAX {
            let boundary = self.next_fire_at;
            let expires_at = self.expires_s.map(|seconds| boundary.saturating_add(seconds));
            let id = jobs.insert_fired(now, self, expires_at);
            fires.push(row![name, &self.queue, boundary, id]);
            self.next_fire_at = rule.next_after(boundary)?;
            if self.next_fire_at > until {
                return Ok(());
            }
        }
        self.next_fire_at = rule.skip_past(self.next_fire_at, until)?;
        Ok(())
    }

    /// As a row of the table, which is also how it is listed.
    pub fn row(&self, name: &str) -> Row {
        row![
            name,
            &self.queue,
            &self.expression,
            &self.payload,
            self.priority,
            self.expires_s,
            self.next_fire_at,
            i64::from(self.enabled),
            self.max_attempts,
        ]
    }
}
