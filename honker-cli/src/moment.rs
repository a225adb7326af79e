//! Moments and durations, as people write and read them. Whole seconds since the epoch inside.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Now.
pub fn now() -> i64 {
    Timestamp::now().as_second()
}

/// As people here write it, to the second; the number itself if there is no such date.
pub fn show(at: i64) -> String {
    match Timestamp::from_second(at) {
        Ok(at) => at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => at.to_string(),
    }
}

/// "3 min ago", "in 2 h".
pub fn relative(at: i64, now: i64) -> String {
    match at.saturating_sub(now) {
        0 => "now".to_owned(),
        s if s > 0 => format!("in {}", duration(s)),
        s => format!("{} ago", duration(s.saturating_neg())),
    }
}

/// "42 s", "3 min", "2 h", "5 d".
pub fn duration(s: i64) -> String {
    match s {
        ..120 => format!("{s} s"),
        120..7200 => format!("{} min", s / 60),
        7200..172_800 => format!("{} h", s / 3600),
        _ => format!("{} d", s / 86_400),
    }
}

/// Reads a moment: seconds since the epoch, `2026-11-29T18:00:00Z`, or `2026-11-29 18:00` (also without the time of day) in
/// the zone of this machine.
pub fn parse(text: &str) -> Result<i64, String> {
    if let Ok(s) = text.parse::<i64>() {
        return Ok(s);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.as_second());
    }
    let civil: Result<DateTime, _> = text.parse();
    civil.and_then(|at| at.to_zoned(TimeZone::system())).map(|at| at.timestamp().as_second()).map_err(|_| {
        "expected seconds since the epoch, '2026-11-29T18:00:00Z' or '2026-11-29 18:00'".to_owned()
    })
}
