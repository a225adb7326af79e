//! The audit of jobs, orders and schedules.

use std::collections::{HashMap, HashSet};

use rusqlite::Connection;

use super::Findings;
use super::books::Books;
use crate::jobs::name_of;
use crate::schedules::STEADY;

pub fn audit(findings: &mut Findings, books: &Books, file: &Connection) -> rusqlite::Result<String> {
    let live = names(file, "_honker_live")?;
    let dead = names(file, "_honker_dead")?;
    let last: i64 =
        file.query_row("SELECT seq FROM sqlite_sequence WHERE name = '_honker_live'", [], |row| row.get(0))?;

    findings.none("ids given to two jobs", &books.given_twice);
    findings.none("jobs both live and dead", live.keys().filter(|id| dead.contains_key(id)));
    findings.none("jobs acked by who had not claimed them", &books.acked_unclaimed);

    let cancelled = |id: &i64| books.cancelled.contains(id) || books.perhaps_ended.contains(id);
    findings.none("claims lost before their time", books.lost_early.iter().filter(|id| !cancelled(id)));

    // Every id there ever was is in one place.
    for id in 1..=last {
        let present = live.contains_key(&id) || dead.contains_key(&id);
        let ended = books.ended.get(&id).copied().unwrap_or_default();
        let perhaps = books.perhaps_ended.contains(&id);
        let name = || format!("{id} {:?}", books.jobs.get(&id));
        findings.hold("jobs lost", present || ended > 0 || perhaps, name);
        findings.hold("jobs there although acked, cancelled or purged", !present || ended == 0, name);
        findings.hold("jobs ended twice", ended <= 1, name);
    }
    findings.none("ids beyond the last", books.jobs.keys().filter(|id| **id > last));

    // Who is not in the books was enqueued by somebody who was killed.
    let known = || live.iter().chain(&dead).chain(&books.claimed);
    let mut found = HashSet::new();
    for (id, name) in known() {
        if let Some(expected) = books.jobs.get(id) {
            findings
                .hold("jobs with another's payload", name == expected, || format!("{id} {name} {expected}"));
            continue;
        }
        found.insert(*id);
        let doubtful =
            if name.contains(':') { books.doubtful_names.contains(name) } else { books.ticks_in_doubt > 0 };
        findings.hold("jobs that nobody enqueued", doubtful, || format!("{id} {name}"));
    }
    let unknown = (1..=last).filter(|id| !books.jobs.contains_key(id) && !found.contains(id));
    // Of these it is only known that they are gone.
    let unknown = unknown.filter(|id| !books.ended.contains_key(id) && !books.perhaps_ended.contains(id));
    findings.none("ids that nobody was given", unknown);
    for (id, name) in known() {
        findings
            .hold("jobs that were rolled back", !books.rolled_back.contains(name), || format!("{id} {name}"));
    }

    for ((id, attempts), count) in &books.claims {
        // Requeued, a job begins to count anew.
        let at_most = 1 + books.requeued.get(id).copied().unwrap_or_default();
        findings
            .hold("jobs claimed twice", *count <= at_most, || format!("{id}, attempt {attempts}: {count}"));
    }

    let orders = orders(findings, books, file)?;
    schedules(findings, books, file, known().filter(|(id, _)| found.contains(id)))?;
    Ok(format!(
        "jobs {last} (acked {}, live {}, dead {}), orders {orders}, rolled back {}, boundaries fired {}",
        books.acked.len(),
        live.len(),
        dead.len(),
        books.rolled_back.len(),
        books.fires.len()
    ))
}

/// An order is there if, and only if, its job was enqueued and its transaction committed.
fn orders(findings: &mut Findings, books: &Books, file: &Connection) -> rusqlite::Result<usize> {
    let mut statement = file.prepare("SELECT name, job FROM orders")?;
    let orders = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let orders: HashMap<String, i64> = orders.collect::<rusqlite::Result<_>>()?;
    for (name, job) in &books.orders {
        findings.hold("orders lost", orders.get(name) == Some(job), || format!("{name}, job {job}"));
    }
    for (name, job) in &orders {
        let said = books.orders.contains_key(name) || books.doubtful_names.contains(name);
        findings.hold("orders that nobody made", said, || name.clone());
        findings.hold("orders that were rolled back", !books.rolled_back.contains(name), || name.clone());
        let of_job = books.jobs.get(job).or_else(|| books.claimed.get(job));
        findings.hold("orders with another's job", of_job.is_none_or(|of| of == name), || {
            format!("{name} {job}")
        });
    }
    Ok(orders.len())
}

/// Every boundary of the schedule that nobody paused has one job.
fn schedules<'a>(
    findings: &mut Findings,
    books: &Books,
    file: &Connection,
    in_doubt: impl Iterator<Item = (&'a i64, &'a String)>,
) -> rusqlite::Result<()> {
    findings.none("boundaries fired twice", &books.fired_twice);
    let sql = "SELECT next_fire_at FROM _honker_scheduler_tasks WHERE name = ?1";
    let next: i64 = file.query_row(sql, [STEADY], |row| row.get(0))?;
    let fired: HashSet<i64> =
        books.fires.keys().filter(|(name, _)| name == STEADY).map(|(_, boundary)| *boundary).collect();
    let Some(first) = fired.iter().min() else { return Ok(()) };
    let missing = (*first..next).filter(|boundary| !fired.contains(boundary)).count();
    // One fired by a tick in doubt is a job of which nobody was told; those before the first do not count.
    let explained: HashSet<i64> =
        in_doubt.filter(|(_, name)| name.as_str() == STEADY).map(|(id, _)| *id).collect();
    findings.hold("boundaries not fired", missing <= explained.len(), || {
        format!("{missing} of {}, {} explained", next - first, explained.len())
    });
    Ok(())
}

fn names(file: &Connection, table: &str) -> rusqlite::Result<HashMap<i64, String>> {
    let mut statement = file.prepare(&format!("SELECT id, payload FROM {table}"))?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, name_of(&row.get::<_, String>(1)?))))?;
    rows.collect()
}
