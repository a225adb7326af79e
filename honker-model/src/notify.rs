//! Notifications: rows that stay until somebody prunes them.

use std::collections::BTreeMap;

use crate::{Outcome, Refusal, older};

/// All notifications, by id.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Notifications {
    /// The rows.
    pub rows: BTreeMap<i64, Notification>,
    /// The last id given; ids are never given twice.
    pub last_id: i64,
}

/// One notification.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// For whom.
    pub channel: String,
    /// What.
    pub payload: String,
    /// When.
    pub created_at: i64,
}

impl Notifications {
    /// Adds one; its id.
    pub fn notify(&mut self, now: i64, channel: &str, payload: &str) -> i64 {
        self.last_id += 1;
        let notification =
            Notification { channel: channel.to_owned(), payload: payload.to_owned(), created_at: now };
        self.rows.insert(self.last_id, notification);
        self.last_id
    }

    /// Deletes what is too old or not among the `max_keep` newest, each where given.
    pub fn prune(&mut self, now: i64, older_than_s: Option<i64>, max_keep: Option<i64>) -> Outcome<i64> {
        if max_keep.is_some_and(|max_keep| max_keep < 0) {
            return Err(Refusal::Invalid("max_keep must not be negative"));
        }
        let before = self.rows.len();
        let mut rank = before as i64;
        self.rows.retain(|_, row| {
            // In ascending order, so the oldest has as many newer ones as there are rows after it.
            rank -= 1;
            let too_old = older_than_s.is_some_and(|seconds| older(row.created_at, now, seconds));
            let surplus = max_keep.is_some_and(|max_keep| rank >= max_keep);
            !too_old && !surplus
        });
        Ok((before - self.rows.len()) as i64)
    }
}
