//! The audit of streams, notifications, results, locks and rate limits.

use std::collections::HashMap;

use rusqlite::Connection;

use super::Findings;
use super::books::Books;
use crate::services::{KEPT, LIMIT};

pub fn audit(findings: &mut Findings, books: &Books, file: &Connection) -> rusqlite::Result<String> {
    let events = events(findings, books, file)?;
    offsets(findings, books, file)?;
    notifications(findings, books, file)?;
    results(findings, books, file)?;
    let locks = locks(findings, books);
    for ((limit, second), count) in &books.counted {
        findings.hold("rate limits exceeded", *count <= LIMIT, || format!("{limit} at {second}: {count}"));
    }
    Ok(format!(
        "events {events}, notifications {}, results {}, locks held {locks}, seconds with a rate limit {}",
        books.notifications.len(),
        books.results.len(),
        books.counted.len()
    ))
}

fn events(findings: &mut Findings, books: &Books, file: &Connection) -> rusqlite::Result<usize> {
    findings.none("offsets that do not increase", &books.offsets_back);
    let mut statement = file.prepare("SELECT topic, offset, payload FROM _honker_stream ORDER BY offset")?;
    let rows = statement.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
    let events: HashMap<(String, i64), String> = rows.collect::<rusqlite::Result<_>>()?;
    for (place, name) in &books.events {
        findings.hold("events lost", events.get(place) == Some(name), || format!("{place:?} {name}"));
    }
    let mut times: HashMap<&str, usize> = HashMap::new();
    for (place, name) in &events {
        let said = books.events.contains_key(place) || books.doubtful_names.contains(name);
        findings.hold("events that nobody published", said, || format!("{place:?} {name}"));
        let times = times.entry(name).or_default();
        *times += 1;
        findings.hold("events there twice", *times == 1, || name.clone());
    }
    // Who reads on never misses an event: none comes to stand before one that was read.
    let sql = "SELECT count(*) FROM _honker_stream WHERE topic = ?1 AND offset <= ?2";
    for (topic, offset, count) in &books.seen {
        let there: i64 = file.query_row(sql, (topic, offset), |row| row.get(0))?;
        findings.hold("events missed by readers", there == *count, || {
            format!("{topic} up to {offset}: {there}, read {count}")
        });
    }
    Ok(events.len())
}

fn offsets(findings: &mut Findings, books: &Books, file: &Connection) -> rusqlite::Result<()> {
    let sql = "SELECT coalesce(max(offset), 0) FROM _honker_stream_consumers WHERE name = ?1 AND topic = ?2";
    for ((consumer, topic), furthest) in &books.saved {
        let offset: i64 = file.query_row(sql, (consumer, topic), |row| row.get(0))?;
        findings.hold("saved offsets gone back", offset >= *furthest, || {
            format!("{consumer} in {topic}: {offset}, saved was {furthest}")
        });
    }
    Ok(())
}

/// Those that no prune takes have to be there.
fn notifications(findings: &mut Findings, books: &Books, file: &Connection) -> rusqlite::Result<()> {
    let mut statement = file.prepare("SELECT id, payload FROM _honker_notifications")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let there: HashMap<i64, String> = rows.collect::<rusqlite::Result<_>>()?;
    let last = there.keys().max().copied().unwrap_or_default();
    for (id, name) in &books.notifications {
        let found = there.get(id);
        let right = found == Some(name) || (found.is_none() && *id <= last - KEPT);
        findings.hold("notifications lost", right, || format!("{id} {name} {found:?}"));
    }
    // A listener hears what was committed since it began, without a gap; of some nobody was told but it.
    for (first, last, count) in &books.heard {
        let sent = books.notifications.keys().filter(|id| (first..=last).contains(id)).count() as i64;
        findings.hold("notifications missed by listeners", sent <= *count, || {
            format!("{first} to {last}: {sent}, heard {count}")
        });
        findings
            .hold("notifications heard twice", *count <= last - first + 1, || format!("{first} to {last}"));
    }
    for (id, name) in &there {
        let said = books.notifications.contains_key(id) || books.doubtful_names.contains(name);
        findings.hold("notifications that nobody sent", said, || format!("{id} {name}"));
    }
    Ok(())
}

fn results(findings: &mut Findings, books: &Books, file: &Connection) -> rusqlite::Result<()> {
    for (job, (last, perhaps)) in &books.results {
        let sql = "SELECT coalesce((SELECT value FROM _honker_results WHERE job_id = ?1), '0')";
        let value: String = file.query_row(sql, [job], |row| row.get(0))?;
        let number = value.parse().unwrap_or_default();
        let right = number == *last || perhaps.contains(&number);
        findings.hold("results that are not the last", right, || format!("{job}: {value}, last {last}"));
    }
    Ok(())
}

/// Nobody has a lock while another is sure to have it.
fn locks(findings: &mut Findings, books: &Books) -> usize {
    let mut count = 0;
    for (lock, holds) in &books.locks {
        let mut holds = holds.clone();
        holds.sort();
        count += holds.len();
        let mut until = (0, "");
        for (from, end, owner) in &holds {
            findings.hold("locks held by two", *from >= until.0 || owner == until.1, || {
                format!("{lock} by {} until {}, by {owner} from {from}", until.1, until.0)
            });
            until = until.max((*end, owner));
        }
    }
    count
}
