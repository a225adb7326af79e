//! The search for the next moment on a wall clock.
//!
//! A [`Calendar`] says which readings of a clock match; this module finds the first instant after a given one at which
//! the clock of a time zone shows such a reading. The search runs over readings, month by month and then by field, so
//! that its cost does not depend on how far away the match is; only the reading found is turned into an instant.
//!
//! Clocks are set forward and back. The rule is that a reading counts when the clock first reaches or passes it:
//! - A reading the clock skips fires at the instant of the jump. Many skipped readings make one boundary, and so does a
//!   skipped one together with the first valid one.
//! - A reading the clock shows twice fires the first time only. Asked from within the second pass, the search goes on to
//!   what the clock has not shown yet.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan};

use crate::error::{Error, Result};
use crate::fork;

/// How far ahead a match is looked for. The rarest date there is, a 29 February on a given weekday, comes within 40.
pub(super) const HORIZON_YEARS: i16 = 100;

/// The last year jiff, and with it everything here, can express.
const LAST_YEAR: i16 = 9999;

/// The numbers, all below 64, that one field of a schedule allows. Never empty once read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Values(u64);

impl Values {
    pub(super) fn insert(&mut self, value: u32) {
        self.0 |= 1 << value;
    }

    fn contains(self, value: i8) -> bool {
        self.at_or_after(value) == Some(value)
    }

    fn first(self) -> i8 {
        self.0.trailing_zeros() as i8
    }

    fn at_or_after(self, value: i8) -> Option<i8> {
        let rest = self.0 & (u64::MAX << value);
        (rest != 0).then_some(rest.trailing_zeros() as i8)
    }
}

/// The readings of a wall clock that match: those where every field does, day of month and day of week alike.
#[derive(Debug, Clone)]
pub(super) struct Calendar {
    pub(super) seconds: Values,
    pub(super) minutes: Values,
    pub(super) hours: Values,
    pub(super) days: Values,
    pub(super) months: Values,
    /// Sunday is 0.
    pub(super) weekdays: Values,
}

impl Calendar {
    /// The first boundary strictly after `from`, or `None` if there is none within [`HORIZON_YEARS`].
    pub(super) fn next_after(&self, zone: &TimeZone, from: i64) -> Result<Option<i64>> {
        let from_instant = Timestamp::from_second(from).map_err(|_| beyond_calendar(from))?;
        let mut reading = zone.to_datetime(from_instant);
        let horizon = reading.year().saturating_add(HORIZON_YEARS);
        loop {
            reading = reading.checked_add(1.second()).map_err(|_| beyond_calendar(from))?;
            reading = match self.first_at_or_after(reading, horizon.min(LAST_YEAR)) {
                Some(match_found) => match_found,
                None if horizon > LAST_YEAR => return Err(beyond_calendar(from)),
                None => return Ok(None),
            };
            let boundary = first_instant_at(zone, reading).map_err(|_| beyond_calendar(from))?;
            // Not after `from` means that the clock has been set back meanwhile and shows this reading a second time.
            if boundary.as_second() > from {
                return Ok(Some(boundary.as_second()));
            }
        }
    }

    fn first_at_or_after(&self, start: DateTime, last_year: i16) -> Option<DateTime> {
        let today = start.date();
        let mut day = self.first_day_at_or_after(today, last_year)?;
        if day == today {
            if let Some((hour, minute, second)) = self.first_time_at_or_after(start) {
                return Some(day.at(hour, minute, second, 0));
            }
            day = self.first_day_at_or_after(day.tomorrow().ok()?, last_year)?;
        }
        Some(day.at(self.hours.first(), self.minutes.first(), self.seconds.first(), 0))
    }

    fn first_day_at_or_after(&self, start: Date, last_year: i16) -> Option<Date> {
        let (mut year, mut month, mut earliest) = (start.year(), start.month(), start.day());
        while year <= last_year {
            if self.months.contains(month) {
                // A date that cannot be built is past the end of its month, and so are all after it.
                while let Some(day) = self.days.at_or_after(earliest)
                    && let Ok(date) = Date::new(year, month, day)
                {
                    if self.weekdays.contains(date.weekday().to_sunday_zero_offset()) {
                        return Some(date);
                    }
                    earliest = day + 1;
                }
            }
            earliest = 1;
            (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        }
        None
    }

    /// The first matching time of the day of `start` that is not before it.
    fn first_time_at_or_after(&self, start: DateTime) -> Option<(i8, i8, i8)> {
        let (hour, minute) = (start.hour(), start.minute());
        if self.hours.contains(hour) {
            if self.minutes.contains(minute)
                && let Some(second) = self.seconds.at_or_after(start.second())
            {
                return Some((hour, minute, second));
            }
            if let Some(minute) = self.minutes.at_or_after(minute + 1) {
                return Some((hour, minute, self.seconds.first()));
            }
        }
        let hour = self.hours.at_or_after(hour + 1)?;
        Some((hour, self.minutes.first(), self.seconds.first()))
    }
}

/// The instant at which the clock of `zone` first reaches or passes `reading`.
fn first_instant_at(zone: &TimeZone, reading: DateTime) -> std::result::Result<Timestamp, jiff::Error> {
    match zone.to_ambiguous_timestamp(reading).offset() {
        AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
            offset.to_timestamp(reading)
        }
        AmbiguousOffset::Gap { before, after } => {
            // Read with the offset of the other side of the jump, a skipped reading lies on this side of it: the jump
            // is between the two. It is the transition that makes the clock pass the reading; a zone may have others
            // near it that only change its abbreviation.
            let latest = before.to_timestamp(reading)?;
            let jump = zone
                .following(after.to_timestamp(reading)?)
                .map(|transition| transition.timestamp())
                .take_while(|instant| *instant <= latest)
                .find(|instant| zone.to_datetime(*instant) > reading);
            Ok(jump.unwrap_or(latest))
        }
    }
}

fn beyond_calendar(from: i64) -> Error {
    Error::invalid(format!(
        "the boundary after {from} is out of range: the calendar covers the years -9999 to 9999"
    ))
}

/// The zone of an IANA name.
///
/// The system's own database goes first, as it may be newer. The compiled-in one fills what it lacks: distributions have
/// begun to leave out names such as US/Eastern, and a schedule in a shared file must mean the same on every machine.
pub(super) fn named_zone(name: &str) -> Result<TimeZone> {
    // jiff's database has locks of its own, which a forked child would otherwise find taken for ever.
    fork::undisturbed(|| find_zone(name)).ok_or_else(|| {
        Error::invalid(format!(
            "unknown time zone '{name}': CRON_TZ= and TZ= take an IANA name such as Europe/Berlin"
        ))
    })
}

fn find_zone(name: &str) -> Option<TimeZone> {
    let found = jiff::tz::db().get(name).or_else(|_| TimeZoneDatabase::bundled().get(name));
    // jiff knows Etc/Unknown as a name for not knowing, with the clock of UTC.
    found.ok().filter(|zone| !zone.is_unknown())
}

/// The zone of the process: what `TZ` says, or else what the system is set to.
///
/// `TZ` is read here at every call, because jiff keeps what it once saw for minutes and programs do change it while they
/// run. A value that cannot be used is an error where C libraries silently take UTC: jobs that run at the wrong hour are
/// worse than jobs that say why they do not run. A system that is set to no zone at all is on UTC, as in C.
pub(super) fn local_zone() -> Result<TimeZone> {
    let Some(value) = std::env::var_os("TZ") else {
        return Ok(fork::undisturbed(TimeZone::system));
    };
    value.to_str().and_then(|value| fork::undisturbed(|| zone_of_variable(value))).ok_or_else(|| {
        Error::invalid(format!(
            "the environment variable TZ is '{}', which is neither a known time zone, nor a POSIX rule, nor the \
             path of a time zone file",
            value.to_string_lossy()
        ))
    })
}

fn zone_of_variable(value: &str) -> Option<TimeZone> {
    let value = value.strip_prefix(':').unwrap_or(value);
    if value.is_empty() {
        return Some(TimeZone::UTC);
    }
    if Path::new(value).is_absolute() {
        return zone_of_file(value);
    }
    // No name is a rule as well, save some that mean the same; and to miss in the database costs more than to parse.
    // `posix/` is where the system keeps its zones a second time, beside those of `right/`, which count leap seconds.
    TimeZone::posix(value).ok().or_else(|| find_zone(value.strip_prefix("posix/").unwrap_or(value)))
}

/// The zone in a compiled file, read again when the file changes.
fn zone_of_file(path: &str) -> Option<TimeZone> {
    static LAST_READ: Mutex<Option<(PathBuf, SystemTime, TimeZone)>> = Mutex::new(None);

    let changed = std::fs::metadata(path).ok()?.modified().ok()?;
    let mut last_read = LAST_READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((known, at, zone)) = &*last_read
        && known.as_path() == Path::new(path)
        && *at == changed
    {
        return Some(zone.clone());
    }
    let zone = TimeZone::tzif(path, &std::fs::read(path).ok()?).ok()?;
    *last_read = Some((PathBuf::from(path), changed, zone.clone()));
    Some(zone)
}
