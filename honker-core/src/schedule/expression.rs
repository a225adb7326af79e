//! The schedule grammar: text in, next boundary out.
//!
//! An [`Expression`] is a cron line of five or six fields, one of the `@` macros, or `@every` with an interval. Reading
//! one checks everything that can be checked without a clock: whatever parses can be asked for boundaries at any time,
//! and the only questions left are those of the calendar (no such day, the end of time).
//!
//! Invariants:
//! - A boundary is always strictly after the instant it was asked for, so a caller that walks from boundary to boundary
//!   makes progress.
//! - An error names the piece of text at fault and the field it stands in: these texts are all a user of the SQL
//!   functions gets to see.

use super::calendar::{self, Calendar, Values};
use crate::error::{Error, Result};
use jiff::tz::TimeZone;

/// A schedule, read and checked.
#[derive(Debug, Clone)]
pub struct Expression {
    /// As the user wrote it, for error texts.
    text: String,
    rule: Rule,
}

#[derive(Debug, Clone)]
enum Rule {
    /// A fixed number of seconds, zone-free. Always positive.
    Every(i64),
    /// Moments on a wall clock: the one of `zone`, or of the process when the text names none.
    Calendar { calendar: Calendar, zone: Option<TimeZone> },
}

impl Expression {
    /// Reads `text`. White space around it is ignored.
    pub fn parse(text: &str) -> Result<Expression> {
        let text = text.trim();
        let (zone, schedule) = split_zone(text)?;
        let rule = match schedule.strip_prefix("@every") {
            Some(interval) => Rule::Every(parse_interval(interval, schedule)?),
            None => Rule::Calendar { calendar: parse_calendar(schedule)?, zone },
        };
        Ok(Expression { text: text.to_owned(), rule })
    }

    /// The first boundary strictly after `from_unix`.
    ///
    /// For `@every` that is one interval later, whatever the clock says. For a calendar expression without a zone of its
    /// own, the wall clock is that of the process at the time of this call.
    pub fn next_after(&self, from_unix: i64) -> Result<i64> {
        match &self.rule {
            Rule::Every(interval) => from_unix.checked_add(*interval).ok_or_else(|| self.overflow(from_unix)),
            Rule::Calendar { calendar, zone } => {
                let found = match zone {
                    Some(zone) => calendar.next_after(zone, from_unix)?,
                    None => calendar.next_after(&calendar::local_zone()?, from_unix)?,
                };
                found.ok_or_else(|| {
                    Error::invalid(format!(
                        "no schedule match for '{}' within {} years of {from_unix}",
                        self.text,
                        calendar::HORIZON_YEARS
                    ))
                })
            }
        }
    }

    /// The first boundary strictly after `now` of the series that `boundary` belongs to.
    ///
    /// This is how missed boundaries are skipped: an `@every` schedule keeps its phase, it does not start anew at `now`.
    pub fn first_after(&self, boundary: i64, now: i64) -> Result<i64> {
        let Rule::Every(interval) = self.rule else {
            return self.next_after(now);
        };
        // 128 bits hold the distance of any two instants, so only the result can fail to fit.
        let (boundary, now, interval) = (i128::from(boundary), i128::from(now), i128::from(interval));
        let steps = (now - boundary).div_euclid(interval) + 1;
        i64::try_from(boundary + steps * interval).map_err(|_| self.overflow(now))
    }

    fn overflow(&self, from: impl std::fmt::Display) -> Error {
        Error::invalid(format!("the boundary of '{}' after {from} overflows 64 bits", self.text))
    }
}

/// Takes a leading `CRON_TZ=<zone>` or `TZ=<zone>` off the text.
fn split_zone(text: &str) -> Result<(Option<TimeZone>, &str)> {
    let Some(prefixed) = text.strip_prefix("CRON_TZ=").or_else(|| text.strip_prefix("TZ=")) else {
        return Ok((None, text));
    };
    let (name, schedule) = prefixed.split_once(char::is_whitespace).unwrap_or((prefixed, ""));
    Ok((Some(calendar::named_zone(name)?), schedule.trim_start()))
}

/// The seconds of `<n><unit>`, the part of `schedule` that follows `@every`.
fn parse_interval(interval: &str, schedule: &str) -> Result<i64> {
    let invalid = |why: &str| Error::invalid(format!("interval '{schedule}' {why}"));
    let interval = interval.trim_start();
    let digits = interval.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = interval.split_at(digits);
    let unit_seconds: i64 = match unit {
        _ if number.is_empty() => return Err(invalid("must be a positive whole number and a unit")),
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(invalid("must have the unit s, m, h or d directly after the number")),
    };
    // Only digits are left in the number, so all that can be wrong with it is its size.
    match number.parse::<i64>().ok().and_then(|number| number.checked_mul(unit_seconds)) {
        Some(0) => Err(invalid("must be positive")),
        Some(seconds) => Ok(seconds),
        None => Err(invalid("overflows 64 bits of seconds")),
    }
}

const MACROS: &[(&str, &str)] = &[
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

fn parse_calendar(schedule: &str) -> Result<Calendar> {
    let expansion = MACROS.iter().find(|(name, _)| *name == schedule);
    let fields: Vec<&str> = expansion.map_or(schedule, |(_, fields)| fields).split_whitespace().collect();
    let (second, [minute, hour, day, month, weekday]) = match fields[..] {
        [minute, hour, day, month, weekday] => ("0", [minute, hour, day, month, weekday]),
        [second, minute, hour, day, month, weekday] => (second, [minute, hour, day, month, weekday]),
        _ => {
            return Err(Error::invalid(format!(
                "schedule '{schedule}' has {} fields: expected 5 or 6 cron fields, @every or a macro such as @hourly",
                fields.len()
            )));
        }
    };
    Ok(Calendar {
        seconds: SECOND.parse(second)?,
        minutes: MINUTE.parse(minute)?,
        hours: HOUR.parse(hour)?,
        days: DAY_OF_MONTH.parse(day)?,
        months: MONTH.parse(month)?,
        weekdays: DAY_OF_WEEK.parse(weekday)?,
    })
}

/// One of the six columns of a cron line.
struct Field {
    name: &'static str,
    low: u32,
    /// The end of `*`.
    high: u32,
    /// The highest number that may be written. Above `high` only for the day of week, where 7 is Sunday once more.
    limit: u32,
    /// What may be written for `low`, `low + 1` and so on.
    names: &'static [&'static str],
}

const SECOND: Field = Field { name: "second", low: 0, high: 59, limit: 59, names: &[] };
const MINUTE: Field = Field { name: "minute", low: 0, high: 59, limit: 59, names: &[] };
const HOUR: Field = Field { name: "hour", low: 0, high: 23, limit: 23, names: &[] };
const DAY_OF_MONTH: Field = Field { name: "day-of-month", low: 1, high: 31, limit: 31, names: &[] };
const MONTH: Field = Field {
    name: "month",
    low: 1,
    high: 12,
    limit: 12,
    names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
};
const DAY_OF_WEEK: Field = Field {
    name: "day-of-week",
    low: 0,
    high: 6,
    limit: 7,
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
};

/// Stands for every number too large to hold. It is out of range in all fields, and as a step.
const TOO_LARGE: u32 = u32::MAX;

impl Field {
    /// The values of a comma-separated list of items.
    fn parse(&self, text: &str) -> Result<Values> {
        let mut values = Values::default();
        for item in text.split(',') {
            self.add_item(item, &mut values)
                .map_err(|why| Error::invalid(format!("{} field '{text}': {why}", self.name)))?;
        }
        Ok(values)
    }

    /// Adds the values of `*`, `a` or `a-b`, each with or without `/step`.
    fn add_item(&self, item: &str, values: &mut Values) -> std::result::Result<(), String> {
        let (base, step) = match item.split_once('/') {
            Some((base, step)) => (base, parse_step(step)?),
            None => (item, 1),
        };
        let (first, last) = self.parse_base(base)?;
        for value in (first..=last).step_by(step) {
            values.insert(if value > self.high { self.low } else { value });
        }
        Ok(())
    }

    fn parse_base(&self, base: &str) -> std::result::Result<(u32, u32), String> {
        let (low, limit) = (self.low, self.limit);
        if base == "*" {
            return Ok((low, self.high));
        }
        if let Some((first, last)) = base.split_once('-') {
            let (first, last) = (self.parse_value(first)?, self.parse_value(last)?);
            if first < low || last > limit || first > last {
                return Err(format!("range '{base}' is out of range {low}-{limit} or inverted"));
            }
            return Ok((first, last));
        }
        let value = self.parse_value(base)?;
        if value < low || value > limit {
            return Err(format!("{base} is out of range {low}-{limit}"));
        }
        Ok((value, value))
    }

    /// A number or a name, not yet checked against the range.
    fn parse_value(&self, text: &str) -> std::result::Result<u32, String> {
        match (self.low..).zip(self.names).find(|(_, name)| name.eq_ignore_ascii_case(text)) {
            Some((value, _)) => Ok(value),
            None => parse_number(text).map_err(|why| match self.names {
                [first, .., last] => format!("{why}, nor a name from {first} to {last}"),
                _ => why,
            }),
        }
    }
}

/// Checked even where it has no effect: a step of zero is a mistake wherever it stands.
fn parse_step(text: &str) -> std::result::Result<usize, String> {
    match parse_number(text).map_err(|why| format!("step {why}"))? {
        0 => Err(format!("step '{text}' must be positive")),
        TOO_LARGE => Err(format!("step '{text}' is out of range")),
        step => Ok(step as usize),
    }
}

/// Digits only: `str::parse` would let a sign pass.
fn parse_number(text: &str) -> std::result::Result<u32, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("'{text}' is not an integer"));
    }
    Ok(text.parse().unwrap_or(TOO_LARGE))
}
