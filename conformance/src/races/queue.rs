//! Races for jobs.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::arena::{Arena, NOW, at_once, numbers};
use super::{Outcome, once};
use crate::Effort;

const LANES: usize = 3;

fn acknowledged_all(arena: &Arena, acked: Vec<Vec<i64>>, wanted: usize) -> Outcome {
    let shares: Vec<String> = acked.iter().map(|ids| ids.len().to_string()).collect();
    let acked = once("an acknowledgement of job", acked.into_iter().flatten())?;
    if acked.len() != wanted {
        return Err(format!("{} jobs were enqueued and {} acknowledged", wanted, acked.len()));
    }
    let left =
        arena.number("SELECT (SELECT count(*) FROM _honker_live) + (SELECT count(*) FROM _honker_dead)")?;
    if left != 0 {
        return Err(format!("{left} jobs are left"));
    }
    Ok(format!("shares {}", shares.join(" ")))
}

/// Every lane enqueues, claims and acknowledges; a job that somebody else may have is never acknowledged.
pub fn claimers(arena: &Arena, effort: Effort) -> Outcome {
    let lanes = arena.lanes(LANES);
    let each = effort.turns(40);
    let (wanted, done) = (each * lanes.len(), AtomicUsize::new(0));
    let acked = at_once(&lanes, |index, lane| {
        let mut mine = Vec::new();
        let mut enqueued = 0;
        while done.load(Ordering::SeqCst) < wanted {
            if enqueued < each {
                lane.must(
                    "queue.enqueue",
                    json!({ "on": "q", "payload": { "lane": index, "n": enqueued } }),
                )?;
                enqueued += 1;
            }
            let n = enqueued % 3 + 1;
            let claimed = lane.must("queue.claim", json!({ "on": "q", "worker": lane.worker(), "n": n }))?;
            for job in claimed["jobs"].as_array().into_iter().flatten() {
                if job["attempts"] != 1 {
                    return Err(format!("a job was given out before: {job}"));
                }
            }
            for id in numbers(&claimed["jobs"], "id") {
                if !lane.may("queue.ack", json!({ "on": "q", "id": id, "worker": lane.worker() }), "LOST")? {
                    return Err(format!("job {id} was lost to nobody"));
                }
                mine.push(id);
                done.fetch_add(1, Ordering::SeqCst);
            }
        }
        Ok(mine)
    })?;
    acknowledged_all(arena, acked, wanted)
}

/// The same with workers that wait for jobs; one lane of each testee enqueues.
pub fn workers(arena: &Arena, effort: Effort) -> Outcome {
    let lanes = arena.lanes(LANES);
    let wanted = effort.turns(60) * 2;
    let done = AtomicUsize::new(0);
    let acked = at_once(&lanes, |index, lane| {
        if index < 2 {
            for n in 0..wanted / 2 {
                lane.must("queue.enqueue", json!({ "on": "q", "payload": n }))?;
            }
            return Ok(Vec::new());
        }
        let name = lane.worker();
        lane.must("worker.open", json!({ "on": "q", "as": name, "worker": name }))?;
        let mut mine = Vec::new();
        while done.load(Ordering::SeqCst) < wanted {
            let ticket = lane.send("next", json!({ "on": name, "timeout_ms": 100 }));
            let jobs = match lane.answer(ticket)? {
                crate::protocol::Answer::Ok(answer) => numbers(&answer["jobs"], "id"),
                crate::protocol::Answer::Outcome(outcome) if outcome == "TIMEOUT" => continue,
                other => return Err(format!("next: {other}")),
            };
            for id in jobs {
                if !lane.may("queue.ack", json!({ "on": "q", "id": id, "worker": name }), "LOST")? {
                    return Err(format!("job {id} was lost to nobody"));
                }
                mine.push(id);
                done.fetch_add(1, Ordering::SeqCst);
            }
        }
        lane.must("close", json!({ "on": name }))?;
        Ok(mine)
    })?;
    acknowledged_all(arena, acked, wanted)
}

/// A job whose claim has lapsed is wanted by all lanes at once: one gets it, and the old holder has lost it.
pub fn lapsed(arena: &Arena, effort: Effort) -> Outcome {
    let lanes = arena.lanes(LANES);
    for turn in 0..effort.turns(5) {
        let id = arena.main(0).must("queue.enqueue", json!({ "on": "q", "payload": turn }))?["id"].clone();
        arena.main(0).must("queue.claim", json!({ "on": "q", "worker": "old", "n": 1 }))?;
        arena.set_clock(NOW + (turn as i64 + 1) * 100)?;
        let claims = at_once(&lanes, |_, lane| {
            let claimed = lane.must("queue.claim", json!({ "on": "q", "worker": lane.worker(), "n": 1 }))?;
            Ok(numbers(&claimed["jobs"], "id").len())
        })?;
        if claims.iter().sum::<usize>() != 1 {
            return Err(format!("turn {turn}: the lanes got {claims:?} jobs of one"));
        }
        if arena.main(0).may("queue.ack", json!({ "on": "q", "id": id, "worker": "old" }), "LOST")? {
            return Err(format!("turn {turn}: the old holder could acknowledge"));
        }
        let winner = &lanes[claims.iter().position(|claimed| *claimed == 1).unwrap_or(0)];
        if !winner.may("queue.ack", json!({ "on": "q", "id": id, "worker": winner.worker() }), "LOST")? {
            return Err(format!("turn {turn}: the new holder could not acknowledge"));
        }
    }
    Ok(String::new())
}

/// Both write business rows and jobs in transactions, every third of which is rolled back.
pub fn transactions(arena: &Arena, effort: Effort) -> Outcome {
    arena.database.execute("CREATE TABLE orders (id TEXT PRIMARY KEY)")?;
    let lanes = arena.lanes(2);
    let each = effort.turns(15);
    at_once(&lanes, |index, lane| {
        let tx = format!("tx{index}");
        for turn in 0..each {
            let order = format!("{index}-{turn}");
            lane.must("tx.begin", json!({ "on": "db", "as": tx }))?;
            lane.must(
                "sql.exec",
                json!({ "on": tx, "sql": "INSERT INTO orders VALUES (?)", "params": [order] }),
            )?;
            lane.must("queue.enqueue", json!({ "on": "q", "tx": tx, "payload": order }))?;
            let end = if turn % 3 == 2 { "tx.rollback" } else { "tx.commit" };
            lane.must(end, json!({ "on": tx }))?;
        }
        Ok(())
    })?;
    let kept = (lanes.len() * (0..each).filter(|turn| turn % 3 != 2).count()) as i64;
    let together =
        arena.number("SELECT count(*) FROM orders JOIN _honker_live ON trim(payload, '\"') = orders.id")?;
    let (orders, jobs) =
        (arena.number("SELECT count(*) FROM orders")?, arena.number("SELECT count(*) FROM _honker_live")?);
    if [together, orders, jobs] != [kept; 3] {
        return Err(format!("{kept} commits: {orders} orders, {jobs} jobs, {together} belong together"));
    }
    Ok(String::new())
}
