//! Schedule expressions: what is accepted, what is refused with which words, and where the boundaries fall.
//!
//! Expected instants are written with their offset, so that no expectation depends on a time zone database. Expressions
//! name their zone, so that none depends on the machine; the zone of the process is tested in child processes.

use std::process::Command;
use std::time::{Duration, Instant};

use honker_core::schedule::Expression;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

fn unix(instant: &str) -> i64 {
    instant.parse::<Timestamp>().unwrap_or_else(|why| panic!("{instant}: {why}")).as_second()
}

fn parse(text: &str) -> Expression {
    Expression::parse(text).unwrap_or_else(|why| panic!("'{text}' was refused: {why}"))
}

fn refusal(text: &str) -> String {
    match Expression::parse(text) {
        Ok(_) => panic!("'{text}' was accepted"),
        Err(why) => why.to_string(),
    }
}

/// Each line is an expression, an instant, and the boundaries that follow it one after the other.
#[track_caller]
fn check_table(zone: &str, table: &str) {
    for line in table.lines() {
        let [text, from, expected] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("no line of the table: {line}");
        };
        let expression = parse(&format!("CRON_TZ={zone} {text}"));
        let mut now = unix(from);
        for boundary in expected.split(", ") {
            let next = expression.next_after(now).unwrap();
            let shown = Timestamp::from_second(next).unwrap();
            assert_eq!(next, unix(boundary), "{line}: expected {boundary} after {now}, got {shown}");
            now = next;
        }
    }
}

/// Both expressions have the same boundaries.
#[track_caller]
fn check_same(text: &str, other: &str) {
    let (mut now, text_parsed, other_parsed) = (unix("2026-01-01T00:00:00Z"), parse(text), parse(other));
    for _ in 0..200 {
        let next = text_parsed.next_after(now).unwrap();
        assert_eq!(next, other_parsed.next_after(now).unwrap(), "'{text}' and '{other}' after {now}");
        now = next;
    }
}

mod boundaries;
mod clock_changes;
mod grammar;
mod reference;
mod zone_of_the_process;
