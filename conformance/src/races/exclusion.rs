//! Races for what only one, or only so many, may have.

use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::json;

use super::arena::{Arena, NOW, at_once, numbers};
use super::{Outcome, once};
use crate::Effort;

/// Who is told that it has the lock is the only one until it asks to release it.
pub fn locks(arena: &Arena, effort: Effort) -> Outcome {
    let lanes = arena.lanes(3);
    let holders = AtomicI64::new(0);
    let taken = at_once(&lanes, |_, lane| {
        let mut taken = 0;
        for turn in 0..effort.turns(40) {
            let name = format!("{}-{turn}", lane.worker());
            let arguments = json!({ "on": "db", "as": name, "name": "l", "owner": name, "ttl_s": 60 });
            if !lane.may("lock.acquire", arguments, "HELD")? {
                continue;
            }
            if holders.fetch_add(1, Ordering::SeqCst) != 0 {
                return Err(format!("turn {turn}: the lock has two holders"));
            }
            taken += 1;
            std::thread::yield_now();
            holders.fetch_sub(1, Ordering::SeqCst);
            if !lane.may("lock.release", json!({ "on": name }), "LOST")? {
                return Err(format!("turn {turn}: the holder could not release"));
            }
        }
        Ok(taken)
    })?;
    if taken.iter().sum::<usize>() == 0 {
        return Err("nobody ever got the lock".to_owned());
    }
    Ok(format!("taken {taken:?}"))
}

/// All lanes try at once, in one window: exactly as many get through as may.
pub fn limits(arena: &Arena, effort: Effort) -> Outcome {
    let lanes = arena.lanes(3);
    let tries = effort.turns(20);
    let limit = tries * lanes.len() / 2;
    let passed = at_once(&lanes, |_, lane| {
        let arguments = json!({ "on": "db", "name": "r", "limit": limit, "per_s": 1_000_000 });
        (0..tries)
            .map(|_| lane.may("rate.try", arguments.clone(), "LIMITED").map(usize::from))
            .sum::<Result<usize, _>>()
    })?;
    let (through, counted) =
        (passed.iter().sum::<usize>(), arena.number("SELECT sum(count) FROM _honker_rate_limits")?);
    if through != limit || counted != limit as i64 {
        return Err(format!("{limit} may, {through} did, {counted} were counted"));
    }
    Ok(String::new())
}

/// Every lane ticks at each second: each boundary fires once.
pub fn ticks(arena: &Arena, effort: Effort) -> Outcome {
    let main = arena.main(0);
    main.must(
        "sched.add",
        json!({ "on": "db", "name": "s", "queue": "q", "schedule": "@every 1s", "payload": null }),
    )?;
    let lanes = arena.lanes(3);
    let mut fired = Vec::new();
    let seconds = i64::try_from(effort.turns(10)).unwrap_or(0);
    for second in 1..=seconds {
        arena.set_clock(NOW + second)?;
        let fires = at_once(&lanes, |_, lane| {
            Ok(numbers(&lane.must("sched.tick", json!({ "on": "db" }))?["fires"], "fire_at"))
        })?;
        fired.extend(fires.into_iter().flatten());
    }
    let fired = once("boundary", fired)?;
    let jobs = arena.number("SELECT count(*) FROM _honker_live")?;
    if fired.len() as i64 != seconds || jobs != seconds {
        return Err(format!("{seconds} boundaries: {} fired, {jobs} jobs", fired.len()));
    }
    Ok(String::new())
}
