//! Races for wakes. A package looks again by itself after five seconds or more, so a wake that takes longer than
//! [`LOST_AFTER`] has been lost.

use std::time::{Duration, Instant};

use serde_json::json;

use super::Outcome;
use super::arena::{Arena, at_once};
use crate::Effort;
use crate::protocol::Answer;

const LOST_AFTER: Duration = Duration::from_secs(3);

/// One waits, the other enqueues, now before the wait has begun and now after.
pub fn wakes(arena: &Arena, effort: Effort) -> Outcome {
    let waiter = arena.lane(0, "waiter");
    let producer = arena.main(1);
    waiter.must("worker.open", json!({ "on": "q", "as": "worker", "worker": "w" }))?;
    let mut times = Vec::new();
    for turn in 0..effort.turns(150) {
        let ticket = waiter.send("next", json!({ "on": "worker", "timeout_ms": 20_000 }));
        // Odd turns give the waiter the time to fall asleep.
        std::thread::sleep(Duration::from_micros(if turn % 2 == 1 { 1_500 } else { turn as u64 % 97 * 5 }));
        let id = producer.must("queue.enqueue", json!({ "on": "q", "payload": turn }))?["id"].clone();
        let since = Instant::now();
        let answer = waiter.answer(ticket)?;
        times.push(since.elapsed());
        match answer {
            Answer::Ok(answer) if answer["jobs"][0]["id"] == id => {}
            other => return Err(format!("turn {turn}: instead of job {id}: {other}")),
        }
        if since.elapsed() > LOST_AFTER {
            return Err(format!("turn {turn}: the wake was lost, the job came after {:?}", since.elapsed()));
        }
        waiter.must("queue.ack", json!({ "on": "q", "id": id, "worker": "w" }))?;
    }
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_micros();
    Ok(format!(
        "from the commit's answer to the job's: p50 {} µs, p99 {} µs, max {} µs",
        at(50),
        at(99),
        at(100)
    ))
}

/// What waits is closed at any moment: the wait ends, and everything goes on.
pub fn closing(arena: &Arena, effort: Effort) -> Outcome {
    for turn in 0..effort.turns(20) {
        let waiter = arena.lane(turn % 2, "waiter");
        let main = arena.main(turn % 2);
        main.must("worker.open", json!({ "on": "q", "as": "worker", "worker": "w" }))?;
        let ticket = waiter.send("next", json!({ "on": "worker", "timeout_ms": -1 }));
        std::thread::sleep(Duration::from_micros(turn as u64 % 7 * 300));
        let since = Instant::now();
        main.must("close", json!({ "on": "worker" }))?;
        let answer = waiter.answer(ticket)?;
        if matches!(&answer, Answer::Crashed { .. } | Answer::Unsupported(_)) {
            return Err(format!("turn {turn}: {answer}"));
        }
        if since.elapsed() > LOST_AFTER {
            return Err(format!("turn {turn}: the wait went on for {:?}", since.elapsed()));
        }
    }
    Ok(String::new())
}

/// Many listeners on channels of their own, in both processes; both send to all of them.
pub fn storm(arena: &Arena, effort: Effort) -> Outcome {
    let listeners = arena.lanes(4);
    let each = effort.turns(10);
    for (index, lane) in listeners.iter().enumerate() {
        lane.must(
            "listen.open",
            json!({ "on": "db", "as": format!("l{index}"), "channel": format!("c{index}") }),
        )?;
    }
    let senders = [0, 1].map(|index| arena.lane(index, "sender"));
    at_once(&senders, |sender, lane| {
        for n in 0..each {
            for channel in 0..listeners.len() {
                let arguments =
                    json!({ "on": "db", "channel": format!("c{channel}"), "payload": [sender, n] });
                lane.must("notify.send", arguments)?;
            }
        }
        Ok(())
    })?;
    at_once(&listeners, |index, lane| {
        let mut last = [-1; 2];
        let mut last_id = 0;
        for _ in 0..each * 2 {
            let heard = lane.must("next", json!({ "on": format!("l{index}"), "timeout_ms": 3_000 }))?;
            let heard = &heard["notification"];
            let id = heard["id"].as_i64().unwrap_or(0);
            let (sender, n) =
                (heard["payload"][0].as_u64().unwrap_or(0), heard["payload"][1].as_i64().unwrap_or(-1));
            let sender = usize::try_from(sender).unwrap_or(0).min(1);
            if heard["channel"] != format!("c{index}") || id <= last_id || n != last[sender] + 1 {
                return Err(format!("after {last_id}, {last:?} came {heard}"));
            }
            (last_id, last[sender]) = (id, n);
        }
        match lane.ask("next", json!({ "on": format!("l{index}"), "timeout_ms": 0 }))? {
            Answer::Outcome(outcome) if outcome == "TIMEOUT" => Ok(()),
            other => Err(format!("one too many: {other}")),
        }
    })?;
    Ok(String::new())
}

/// Listeners come and go on three lanes while one stays, and hears everything.
pub fn churn(arena: &Arena, effort: Effort) -> Outcome {
    let turns = effort.turns(30);
    let steady = arena.lane(0, "steady");
    steady.must("listen.open", json!({ "on": "db", "as": "steady", "channel": "c" }))?;
    let lanes = arena.lanes(2);
    at_once(&lanes, |index, lane| {
        let name = format!("churn{index}");
        for n in 0..turns {
            if index == 1 {
                lane.must("notify.send", json!({ "on": "db", "channel": "c", "payload": n }))?;
                continue;
            }
            lane.must("listen.open", json!({ "on": "db", "as": name, "channel": "c" }))?;
            match lane.ask("next", json!({ "on": name, "timeout_ms": if n % 2 == 0 { 0 } else { 2 } }))? {
                Answer::Ok(_) | Answer::Outcome(_) => {}
                other => return Err(format!("next: {other}")),
            }
            lane.must("close", json!({ "on": name }))?;
        }
        Ok(())
    })?;
    for n in 0..turns {
        let heard = steady.must("next", json!({ "on": "steady", "timeout_ms": 3_000 }))?;
        if heard["notification"]["payload"] != n {
            return Err(format!("instead of {n}: {heard}"));
        }
    }
    Ok(String::new())
}
