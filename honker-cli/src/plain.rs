//! A schedule in plain words, and its next boundaries in its own zone.

use honker_core::schedule::Expression;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

/// A boundary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Boundary {
    /// In seconds since the epoch.
    pub at: i64,
    /// As a clock of its zone shows it.
    pub local: String,
}

/// The next boundaries after a moment, at most `n`.
pub fn boundaries(expression: &str, after: i64, n: usize) -> Vec<Boundary> {
    let Ok(parsed) = Expression::parse(expression) else { return Vec::new() };
    let zone = zone(expression);
    let next = std::iter::successors(parsed.next_after(after).ok(), |at| parsed.next_after(*at).ok());
    let boundary = |at: i64| {
        let local = Timestamp::from_second(at).map(|at| at.to_zoned(zone.clone()));
        let local =
            local.map_or_else(|_| at.to_string(), |at| at.strftime("%a %Y-%m-%d %H:%M:%S %Z").to_string());
        Boundary { at, local }
    };
    next.take(n).map(boundary).collect()
}

/// The zone that an expression names, or that of this machine.
fn zone(expression: &str) -> TimeZone {
    split(expression).0.and_then(|name| TimeZone::get(name).ok()).unwrap_or_else(TimeZone::system)
}

fn split(expression: &str) -> (Option<&str>, &str) {
    let text = expression.trim();
    match text.strip_prefix("CRON_TZ=").or_else(|| text.strip_prefix("TZ=")) {
        Some(rest) => match rest.split_once(char::is_whitespace) {
            Some((zone, schedule)) => (Some(zone), schedule.trim()),
            None => (Some(rest), ""),
        },
        None => (None, text),
    }
}

/// In plain words: "at 03:00, Monday to Friday (Europe/Berlin)".
pub fn words(expression: &str) -> String {
    let (zone, schedule) = split(expression);
    let words = words_of(schedule);
    match zone {
        Some(zone) => format!("{words} ({zone})"),
        None => words,
    }
}

fn words_of(schedule: &str) -> String {
    if let Some(interval) = schedule.strip_prefix("@every") {
        return format!("every {}", interval.trim());
    }
    let fields: Vec<&str> = match schedule {
        "@yearly" | "@annually" => vec!["0", "0", "1", "1", "*"],
        "@monthly" => vec!["0", "0", "1", "*", "*"],
        "@weekly" => vec!["0", "0", "*", "*", "0"],
        "@daily" | "@midnight" => vec!["0", "0", "*", "*", "*"],
        "@hourly" => vec!["0", "*", "*", "*", "*"],
        other => other.split_whitespace().collect(),
    };
    match fields[..] {
        [minute, hour, day, month, weekday] => {
            format!("{}{}", time(None, minute, hour), days(day, month, weekday))
        }
        [second, minute, hour, day, month, weekday] => {
            format!("{}{}", time(Some(second), minute, hour), days(day, month, weekday))
        }
        _ => schedule.to_owned(),
    }
}

fn time(second: Option<&str>, minute: &str, hour: &str) -> String {
    let number = |field: &str| field.parse::<u8>().ok();
    match (second.map_or(Some(0), number), number(minute), number(hour)) {
        (Some(0), Some(minute), Some(hour)) => format!("at {hour:02}:{minute:02}"),
        (Some(second), Some(minute), Some(hour)) => format!("at {hour:02}:{minute:02}:{second:02}"),
        _ => {
            let second = second.map(|second| unit("second", second)).filter(|_| second != Some("0"));
            let minute = Some(unit("minute", minute)).filter(|_| minute != "*" || second.is_none());
            let hour = Some(unit("hour", hour)).filter(|_| hour != "*");
            let parts: Vec<String> = [second, minute, hour].into_iter().flatten().collect();
            parts.join(", ")
        }
    }
}

/// "every minute", "every 5 minutes", "at minute 7,9".
fn unit(name: &str, field: &str) -> String {
    match field {
        "*" => format!("every {name}"),
        _ => match field.strip_prefix("*/") {
            Some(step) => format!("every {step} {name}s"),
            None if name == "hour" => format!("in hour {field}"),
            None => format!("at {name} {field}"),
        },
    }
}

fn days(day: &str, month: &str, weekday: &str) -> String {
    const WEEKDAYS: [&str; 8] =
        ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let weekday = (weekday != "*").then(|| names(weekday, &WEEKDAYS, 0));
    let day = (day != "*").then(|| format!("day {day} of the month"));
    let mut words = match (day, weekday) {
        (None, None) => String::new(),
        (Some(day), None) => format!(" on {day}"),
        (None, Some(weekday)) => format!(" on {weekday}"),
        // Cron's rule for both: either will do.
        (Some(day), Some(weekday)) => format!(" on {day} or on {weekday}"),
    };
    if month != "*" {
        words += &format!(" in {}", names(month, &MONTHS, 1));
    }
    if words.is_empty() { " every day".to_owned() } else { words }
}

/// "Monday to Friday, Sunday".
fn names(field: &str, all: &[&str], first: usize) -> String {
    let name = |text: &str| {
        let by_number = text.parse::<usize>().ok().and_then(|n| all.get(n.checked_sub(first)?)).copied();
        let by_name =
            all.iter().find(|name| text.len() == 3 && name[..3].eq_ignore_ascii_case(text)).copied();
        by_number.or(by_name).map_or_else(|| text.to_owned(), str::to_owned)
    };
    let part = |part: &str| match part.split_once('-') {
        Some((from, to)) => format!("{} to {}", name(from), name(to)),
        None => name(part),
    };
    field.split(',').map(part).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::{boundaries, words};

    #[test]
    fn schedules_in_plain_words() {
        for (expression, expected) in [
            ("@every 90s", "every 90s"),
            ("0 3 * * *", "at 03:00 every day"),
            ("@hourly", "at minute 0 every day"),
            ("*/5 * * * *", "every 5 minutes every day"),
            ("* * * * *", "every minute every day"),
            ("0 9 * * 1-5", "at 09:00 on Monday to Friday"),
            ("CRON_TZ=Europe/Berlin 30 6 * * MON,7", "at 06:30 on Monday, Sunday (Europe/Berlin)"),
            ("0 0 1 1,7 *", "at 00:00 on day 1 of the month in January, July"),
            ("15 0 3 * * *", "at 03:00:15 every day"),
            ("*/10 * * * * *", "every 10 seconds every day"),
            ("0 0 13 * 5", "at 00:00 on day 13 of the month or on Friday"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(words(expression), expected, "{expression}");
        }
    }

    #[test]
    fn boundaries_are_shown_in_their_own_zone() {
        let found = boundaries("CRON_TZ=Asia/Tokyo 0 3 * * *", 0, 2);
        assert_eq!(found[0].local, "Thu 1970-01-02 03:00:00 JST".replace("Thu", "Fri"));
        assert_eq!(found[1].at - found[0].at, 86_400);
        assert!(boundaries("nonsense", 0, 5).is_empty());
    }
}
