//! Streams: one log for all topics, and how far each consumer of each topic has come.

use std::collections::BTreeMap;

use crate::limited;
use crate::tables::{Row, row};

/// The log and the offsets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stream {
    /// Events by offset.
    pub events: BTreeMap<i64, Event>,
    /// Saved offsets by consumer and topic.
    pub consumers: BTreeMap<(String, String), i64>,
    /// The last offset given.
    pub last_offset: i64,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Where.
    pub topic: String,
    /// The publisher's key.
    pub key: Option<String>,
    /// What.
    pub payload: String,
    /// When.
    pub created_at: i64,
}

impl Event {
    /// As a row of the table, which is also how it is read.
    pub fn row(&self, offset: i64) -> Row {
        row![offset, &self.topic, self.key.as_deref(), &self.payload, self.created_at]
    }
}

impl Stream {
    /// Appends an event; its offset.
    pub fn publish(&mut self, now: i64, topic: &str, key: Option<&str>, payload: &str) -> i64 {
        self.last_offset += 1;
        let event = Event {
            topic: topic.to_owned(),
            key: key.map(str::to_owned),
            payload: payload.to_owned(),
            created_at: now,
        };
        self.events.insert(self.last_offset, event);
        self.last_offset
    }

    /// Events of a topic that come after `offset`.
    pub fn read_since(&self, topic: &str, offset: i64, limit: i64) -> Vec<Row> {
        let events = self.events.iter().filter(|(at, event)| event.topic == topic && **at > offset);
        limited(events.map(|(at, event)| event.row(*at)), limit)
    }

    /// Moves a consumer forward, never back. A first save counts whatever the offset.
    pub fn save_offset(&mut self, consumer: &str, topic: &str, offset: i64) -> bool {
        let key = (consumer.to_owned(), topic.to_owned());
        let advances = self.consumers.get(&key).is_none_or(|saved| offset > *saved);
        if advances {
            self.consumers.insert(key, offset);
        }
        advances
    }

    /// How far a consumer has come.
    pub fn get_offset(&self, consumer: &str, topic: &str) -> i64 {
        self.consumers.get(&(consumer.to_owned(), topic.to_owned())).copied().unwrap_or(0)
    }
}
