//! Results: one text for each job id, which need not be the id of a job.

use std::collections::BTreeMap;

use crate::{Outcome, ROWS_MAX, after};

/// All results, by job id.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Results(pub BTreeMap<i64, Saved>);

/// One result.
#[derive(Debug, Clone, PartialEq)]
pub struct Saved {
    /// The text.
    pub value: String,
    /// When it was first saved; saving again keeps this.
    pub created_at: i64,
    /// From this second on it is gone for readers.
    pub expires_at: Option<i64>,
}

impl Saved {
    fn expired(&self, now: i64) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}

impl Results {
    /// Saves or replaces one. A `ttl_s` of 0 or less means for ever.
    pub fn save(&mut self, now: i64, job_id: i64, value: &str, ttl_s: i64) -> Outcome<()> {
        let expires_at = if ttl_s > 0 { Some(after(now, "ttl_s", ttl_s)?) } else { None };
        let created_at = self.0.get(&job_id).map_or(now, |saved| saved.created_at);
        self.0.insert(job_id, Saved { value: value.to_owned(), created_at, expires_at });
        Ok(())
    }

    /// The text, unless it has expired.
    pub fn get(&self, now: i64, job_id: i64) -> Option<&str> {
        self.0.get(&job_id).filter(|saved| !saved.expired(now)).map(|saved| saved.value.as_str())
    }

    /// Deletes expired ones.
    pub fn sweep(&mut self, now: i64) -> i64 {
        let expired = self.0.iter().filter(|(_, saved)| saved.expired(now));
        let mut ids: Vec<_> = expired.map(|(id, saved)| (saved.expires_at, *id)).collect();
        ids.sort_unstable();
        ids.truncate(ROWS_MAX);
        ids.iter().for_each(|(_, id)| drop(self.0.remove(id)));
        ids.len() as i64
    }
}
