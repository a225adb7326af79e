//! Races for events.

use serde_json::json;

use super::Outcome;
use super::arena::{Arena, at_once};
use crate::Effort;

/// Two lanes of each testee publish, one subscribes: all events, in the order of their offsets, each once.
pub fn publishers(arena: &Arena, effort: Effort) -> Outcome {
    let lanes = arena.lanes(3);
    let each = effort.turns(25);
    let publishers = 4;
    for lane in &lanes {
        let topic = lane.name.clone().unwrap_or_default();
        lane.must("stream.open", json!({ "on": "db", "as": topic, "topic": "t" }))?;
    }
    let deliveries = at_once(&lanes, |index, lane| {
        let topic = lane.name.clone().unwrap_or_default();
        if index < publishers {
            for n in 0..each {
                lane.must("stream.publish", json!({ "on": topic, "payload": [index, n] }))?;
            }
            return Ok(Vec::new());
        }
        let name = format!("sub{index}");
        lane.must("stream.subscribe", json!({ "on": topic, "as": name, "consumer": name }))?;
        let mut events = Vec::new();
        for _ in 0..publishers * each {
            let event = lane.must("next", json!({ "on": name, "timeout_ms": 3_000 }))?["event"].clone();
            events.push((event["offset"].as_i64().unwrap_or(0), event["payload"].clone()));
        }
        lane.must("close", json!({ "on": name }))?;
        Ok(events)
    })?;
    let published =
        arena.rows("SELECT \"offset\", payload FROM _honker_stream WHERE topic = 't' ORDER BY \"offset\"")?;
    let published: Vec<_> = published
        .iter()
        .map(|row| {
            let payload = serde_json::from_str(row[1].as_str().unwrap_or("")).unwrap_or_default();
            (row[0].as_i64().unwrap_or(0), payload)
        })
        .collect();
    if published.len() != publishers * each {
        return Err(format!(
            "{} events were published, and {} are there",
            publishers * each,
            published.len()
        ));
    }
    for (index, events) in deliveries.into_iter().enumerate().skip(publishers) {
        if events != published {
            return Err(format!("lane {index} was given other events than there are: {events:?}"));
        }
    }
    Ok(String::new())
}
