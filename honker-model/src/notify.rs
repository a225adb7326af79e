//! Notifications: rows that stay until somebody prunes them.

use std::collections::BTreeMap;

use crate::{Outcome, ROWS_MAX, Refusal, older};

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
        let surplus = max_keep.map_or(0, |max_keep| {
            self.rows.len().saturating_sub(usize::try_from(max_keep).unwrap_or(usize::MAX))
        });
        let mut pruned: Vec<i64> = self.rows.keys().take(surplus).copied().collect();
        let mut old: Vec<(i64, i64)> =
            self.rows.iter().skip(surplus).map(|(id, row)| (row.created_at, *id)).collect();
        old.retain(|(created_at, _)| older_than_s.is_some_and(|seconds| older(*created_at, now, seconds)));
        old.sort_unstable();
        pruned.extend(old.into_iter().map(|(_, id)| id));
        pruned.truncate(ROWS_MAX);
        pruned.iter().for_each(|id| drop(self.rows.remove(id)));
        Ok(pruned.len() as i64)
    }
}
