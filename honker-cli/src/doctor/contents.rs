//! What is in the file: damage, clocks that are wrong, locks and work that nobody looks after.

use honker_core::database::{Database, Value};
use honker_core::moving::Stage;
use honker_core::schedule::LEADER_LOCK;
use honker_core::watch::{Method, State};

use super::{Finding, Level};
use crate::confirm::jobs;
use crate::failure::Result;
use crate::moment;
use crate::read;

/// A moment this far ahead is no delay that somebody meant.
const FAR_S: i64 = 20 * 365 * 86_400;

/// A clock that is wrong by less than this is none of our business.
const SKEW_S: i64 = 120;

/// A transaction that is open for longer keeps vacuum from its work.
const OLD_S: i64 = 600;

/// A boundary that is late by more than this was missed.
const MISSED_S: i64 = 30;

/// What there is to say.
pub fn look(database: &Database, late_s: i64, quick: bool) -> Vec<Finding> {
    let now = moment::now();
    let mut findings = Vec::new();
    let mut add = |check: &'static str, found: Result<Vec<Finding>>| match found {
        Ok(found) => findings.extend(found),
        Err(error) => {
            findings.push(Finding::new(check, Level::Bad, error.to_string(), "This could not be looked at."))
        }
    };
    if database.is_remote() {
        add("server", server(database));
    } else {
        add("integrity", integrity(database, quick));
    }
    add("schema", schema(database));
    add("clock", clock(database, now));
    if !database.is_remote() {
        add("rows", malformed(database));
    }
    add("move", moving(database));
    add("locks", locks(database, now));
    add("leader", leader(database, now));
    add("work", work(database, now, late_s));
    add("watcher", watcher(database));
    findings
}

fn integrity(database: &Database, quick: bool) -> Result<Vec<Finding>> {
    let sql = if quick { "PRAGMA quick_check(10)" } else { "PRAGMA integrity_check(10)" };
    let found: Vec<String> = database.query(sql, &[])?.rows.iter().map(|row| read::text(&row[0])).collect();
    if found == ["ok"] {
        return Ok(vec![Finding::ok("integrity", "the file is sound")]);
    }
    let advice = "Stop what uses the file and restore a backup; what can be saved: sqlite3 FILE .recover. Damage comes from network \
                  file systems, from copying a file that is in use, and from bad disks.";
    Ok(vec![Finding::new("integrity", Level::Bad, found.join("; "), advice)])
}

/// What of a server slows a queue down.
fn server(database: &Database) -> Result<Vec<Finding>> {
    const CHECK: &str = "server";
    let sql = "SELECT CAST(coalesce(max(date_part('epoch', clock_timestamp() - xact_start)), 0) AS bigint)
         FROM pg_catalog.pg_stat_activity WHERE xact_start IS NOT NULL AND backend_type = 'client backend'";
    let oldest = number(database, sql, &[])?;
    if oldest > OLD_S {
        let found = format!("a transaction has been open for {}", moment::duration(oldest));
        let advice = "Vacuum removes nothing that came after it, and claims get slower. End it (pg_stat_activity names it), and set \
                      idle_in_transaction_session_timeout.";
        return Ok(vec![Finding::new(CHECK, Level::Warning, found, advice)]);
    }
    let version = database.query("SHOW server_version", &[])?.rows;
    let version = version.first().map_or_else(String::new, |row| read::text(&row[0]));
    Ok(vec![Finding::ok(CHECK, format!("Postgres {version}"))])
}

/// Whether everything is elsewhere, or on its way.
fn moving(database: &Database) -> Result<Vec<Finding>> {
    let Some(found) = database.move_state()? else {
        return Ok(vec![Finding::ok("move", "everything stays here")]);
    };
    let advice = match found.stage {
        Stage::Moved => "Open the other one; this one takes nothing any more.",
        Stage::Moving | Stage::Closed => {
            "Run honker move again, with the same source and target, or with --cancel."
        }
    };
    let message = found.message();
    let message = message.strip_prefix("HONKER_MOVED: ").unwrap_or(&message);
    Ok(vec![Finding::new("move", Level::Warning, message, advice)])
}

fn schema(database: &Database) -> Result<Vec<Finding>> {
    let rows = read::query(database, "SELECT version, min_version FROM main._honker_schema", &[])?.rows;
    let found = rows.first().map_or_else(
        || "no version".to_owned(),
        |row| format!("version {}, writers need {}", read::text(&row[0]), read::text(&row[1])),
    );
    Ok(vec![Finding::ok("schema", found)])
}

/// The first number of the first row.
fn number(database: &Database, sql: &str, parameters: &[Value]) -> Result<i64> {
    let rows = read::query(database, sql, parameters)?.rows;
    Ok(rows.first().and_then(|row| read::integer(&row[0])).unwrap_or(0))
}

fn clock(database: &Database, now: i64) -> Result<Vec<Finding>> {
    const CHECK: &str = "clock";
    let mut findings = Vec::new();
    let sql = "SELECT max(at) FROM (SELECT max(created_at) AS at FROM main._honker_live
         UNION ALL SELECT max(died_at) FROM main._honker_dead
         UNION ALL SELECT max(created_at) FROM main._honker_notifications
         UNION ALL SELECT max(created_at) FROM main._honker_stream) AS times";
    let newest = number(database, sql, &[])?;
    if newest > now.saturating_add(SKEW_S) {
        let found =
            format!("something was written {}, by the clock of this machine", moment::relative(newest, now));
        let advice = "A clock was set back, or one of the programs that write has a wrong one: delays and claims are judged by it.";
        findings.push(Finding::new(CHECK, Level::Warning, found, advice));
    }
    let typed = if database.is_remote() { "" } else { "AND typeof(run_at) = 'integer'" };
    let sql =
        format!("SELECT count(*) FROM main._honker_live WHERE state = 'pending' {typed} AND run_at > ?1");
    let far = number(database, &sql, &[now.saturating_add(FAR_S).into()])?;
    if far > 0 {
        let found = format!("{} due in more than twenty years", jobs(far.cast_unsigned()));
        let advice = "Times are seconds since the epoch: somebody gives milliseconds. honker jobs --state delayed shows them.";
        findings.push(Finding::new(CHECK, Level::Warning, found, advice));
    }
    let sql = "SELECT count(*) FROM main._honker_live WHERE state = 'processing' AND claim_expires_at > ?1";
    let held = number(database, sql, &[now.saturating_add(7 * 86_400).into()])?;
    if held > 0 {
        let found = format!("{} claimed for more than a week", jobs(held.cast_unsigned()));
        let advice = "Should their worker die without a trace, nobody else gets them before that: use a shorter visibility timeout, \
                      which is prolonged while a job runs.";
        findings.push(Finding::new(CHECK, Level::Note, found, advice));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "no time in the file is odd"));
    }
    Ok(findings)
}

fn malformed(database: &Database) -> Result<Vec<Finding>> {
    let sql = "SELECT count(*) FROM main._honker_live WHERE typeof(payload) <> 'text' OR typeof(run_at) <> 'integer'
         OR typeof(priority) <> 'integer' OR typeof(attempts) <> 'integer' OR typeof(max_attempts) <> 'integer'";
    let n = number(database, sql, &[])?;
    if n == 0 {
        return Ok(vec![Finding::ok("rows", "all jobs are well-formed")]);
    }
    let advice = "SQL of somebody's own has written them. Numbers with a fraction are rounded, others become dead as 'malformed row' when a \
                  worker meets them.";
    Ok(vec![Finding::new(
        "rows",
        Level::Warning,
        format!("{} with a column of a wrong type", jobs(n.cast_unsigned())),
        advice,
    )])
}

fn locks(database: &Database, now: i64) -> Result<Vec<Finding>> {
    let locks = read::locks(database, now)?;
    let stale: Vec<&str> = locks
        .iter()
        .filter(|lock| lock.stale && lock.name != LEADER_LOCK)
        .map(|lock| lock.name.as_str())
        .collect();
    if stale.is_empty() {
        return Ok(vec![Finding::ok("locks", format!("{} held, none stale", locks.len()))]);
    }
    let advice = "Their owners died, or went on without renewing them. Anybody may take them; if an owner may still be at work, its time \
                  to live is too short.";
    Ok(vec![Finding::new("locks", Level::Note, format!("stale: {}", stale.join(", ")), advice)])
}

fn leader(database: &Database, now: i64) -> Result<Vec<Finding>> {
    const CHECK: &str = "leader";
    let schedules = database.scheduler_list()?;
    let mut findings: Vec<Finding> = schedules
        .iter()
        .filter_map(|schedule| Some((schedule, schedule.error.as_ref()?)))
        .map(|(schedule, error)| {
            let found = format!("schedule '{}' never fires: {error}", schedule.name);
            Finding::new("schedules", Level::Bad, found, "Register it again: honker schedule add.")
        })
        .collect();
    let soonest =
        schedules.iter().filter(|schedule| schedule.enabled).map(|schedule| schedule.next_fire_at).min();
    let Some(soonest) = soonest else {
        findings.push(Finding::ok(CHECK, "there is no schedule to fire"));
        return Ok(findings);
    };
    let late_s = now.saturating_sub(soonest);
    let holder = database.lock_holder(LEADER_LOCK)?;
    findings.push(match holder {
        Some(holder) if holder.expires_at > now && late_s > MISSED_S => {
            let found = format!("{} leads, and a schedule is {} late", holder.owner, moment::duration(late_s));
            let advice = "It hangs, or the file refuses to enqueue (look at its log); if it died, another one leads within a minute.";
            Finding::new(CHECK, Level::Warning, found, advice)
        }
        Some(holder) if holder.expires_at > now => Finding::ok(CHECK, format!("{} leads", holder.owner)),
        holder => {
            let found = match holder {
                Some(holder) => format!("{} led, and is dead", holder.owner),
                None => "nobody leads".to_owned(),
            };
            let late = if late_s > 0 { format!("; a schedule is {} late", moment::duration(late_s)) } else { String::new() };
            let advice = "Nothing is fired. Start a program that runs the scheduler, or honker schedule-leader.";
            Finding::new(CHECK, Level::Warning, found + &late, advice)
        }
    });
    Ok(findings)
}

fn work(database: &Database, now: i64, late_s: i64) -> Result<Vec<Finding>> {
    const CHECK: &str = "work";
    let mut findings = Vec::new();
    for metrics in database.metrics()?.queues {
        let (queue, depth) = (metrics.queue, metrics.depth);
        let age_s = depth.oldest_due_age_s.unwrap_or(0);
        let due = jobs(depth.due.cast_unsigned());
        if depth.due > 0 && database.queue_settings(&queue)?.paused {
            let found = format!("queue '{queue}' is paused, with {due} due");
            findings.push(Finding::new(CHECK, Level::Note, found, "honker resume lets it go on."));
        } else if depth.due > 0 && age_s > late_s {
            let age = moment::duration(age_s);
            let (found, advice) = if depth.processing == 0 {
                let found = format!("nobody works at queue '{queue}': {due} due, the oldest for {age}");
                (found, "Start a worker for it, or look whether its name is what the workers say.")
            } else {
                let found = format!("queue '{queue}' is late: {due} due, the oldest for {age}");
                (
                    found,
                    "There is more to do than its workers can: more of them, or more at once; honker queues shows its limits.",
                )
            };
            findings.push(Finding::new(CHECK, Level::Warning, found, advice));
        }
        if depth.expired > 0 {
            let found = format!(
                "{} of queue '{queue}' expired without being begun",
                jobs(depth.expired.cast_unsigned())
            );
            findings.push(Finding::new(
                CHECK,
                Level::Note,
                found,
                "A worker, or honker prune, makes them dead.",
            ));
        }
        if depth.dead > 0 {
            let found = format!("{} of queue '{queue}' dead", jobs(depth.dead.cast_unsigned()));
            findings.push(Finding::new(
                CHECK,
                Level::Note,
                found,
                "honker dead --groups says why; honker jobs retry tries again.",
            ));
        }
    }
    let sql = "SELECT count(*) FROM main._honker_live WHERE state = 'processing' AND claim_expires_at < ?1";
    let lapsed = number(database, sql, &[now.saturating_sub(late_s).into()])?;
    if lapsed > 0 {
        let found =
            format!("{} whose claim has lapsed, and that nobody has taken", jobs(lapsed.cast_unsigned()));
        findings.push(Finding::new(
            CHECK,
            Level::Warning,
            found,
            "Their workers died, and no other one works at their queues.",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "no job is late, expired or dead"));
    }
    Ok(findings)
}

fn watcher(database: &Database) -> Result<Vec<Finding>> {
    const CHECK: &str = "watcher";
    let _subscription = database.subscribe()?;
    let status = database.status()?.watcher;
    Ok(vec![match status {
        Some(status) if status.state == State::Watching && status.method == Method::Events => {
            Finding::ok(CHECK, "commits are noticed by events")
        }
        Some(status) => {
            let said: Vec<&str> = status.warnings.iter().map(|warning| warning.text.as_str()).collect();
            let advice = format!("Commits are noticed later, or not at all. {}", said.join(" "));
            let found = format!("{:?}, {:?}", status.state, status.method).to_lowercase();
            Finding::new(CHECK, Level::Warning, found, advice)
        }
        None => Finding::new(CHECK, Level::Note, "there is none", ""),
    }])
}
