//! What a batch enqueues when it has finished: a queue, a payload and options, stored as JSON in the batch's row.

use serde_json::{Map, Value as Json, json};

use crate::queue::{self, Enqueue, JobOptions, Unique};
use crate::{Error, Result, Store, given};

/// The key of a callback's metadata that names the batch.
const BATCH_ID: &str = "batch_id";

/// A job that is enqueued later.
pub(super) struct Callback {
    queue: String,
    payload: String,
    /// Of the enqueue, as they were given, without metadata.
    options: JobOptions,
    metadata: Map<String, Json>,
    stored: String,
}

impl Callback {
    /// Reads the callback that is given, or was stored, under this name.
    pub(super) fn read(name: &str, value: &Json) -> Result<Self> {
        let object =
            value.as_object().ok_or_else(|| Error::invalid(format!("{name} must be a JSON object")))?;
        let (mut queue, mut payload, mut options) = (None, None, Map::new());
        for (key, value) in object {
            match (key.as_str(), value) {
                ("queue", Json::String(text)) => queue = Some(text.clone()),
                ("payload", Json::String(text)) => payload = Some(text.clone()),
                ("options", Json::Object(object)) => options = object.clone(),
                ("options", Json::Null) => {}
                ("queue" | "payload", _) => {
                    return Err(Error::invalid(format!("{key} in {name} must be a text")));
                }
                ("options", _) => return Err(Error::invalid(format!("options in {name} must be an object"))),
                _ => return Err(given::unknown(name, key)),
            }
        }
        let missing = |key| Error::invalid(format!("{name} has no '{key}'"));
        let (queue, payload) =
            (queue.ok_or_else(|| missing("queue"))?, payload.ok_or_else(|| missing("payload"))?);
        if let Some(key) = ["batch_id", "member"].into_iter().find(|key| options.contains_key(*key)) {
            // That batch might be sealed by then, and its callback would fail whoever ends the last member.
            return Err(Error::invalid(format!("options in {name} must not have '{key}'")));
        }
        let stored = json!({ "queue": queue, "payload": payload, "options": options }).to_string();
        let argument = format!("options in {name}");
        let metadata = match options.remove("metadata") {
            None | Some(Json::Null) => Map::new(),
            Some(Json::Object(metadata)) => metadata,
            Some(other) => {
                // Says what is wrong with it.
                let only = Map::from_iter([("metadata".to_owned(), other)]);
                return Err(JobOptions::read(&argument, &only)
                    .err()
                    .unwrap_or_else(|| Error::invalid(format!("{argument}: metadata must be an object"))));
            }
        };
        let options = JobOptions::read(&argument, &options)?;
        Ok(Callback { queue, payload, options, metadata, stored })
    }

    /// Reads what [`Callback::stored`] has written.
    fn parse(batch: i64, stored: &str) -> Result<Self> {
        let name = format!("the callback of batch {batch}");
        let value = serde_json::from_str(stored)
            .map_err(|error| Error::invalid(format!("{name} is no JSON any more: {error}")))?;
        Self::read(&name, &value)
    }

    /// The text to be stored.
    pub(super) fn stored(&self) -> String {
        self.stored.clone()
    }

    /// An error if it could not be enqueued: whoever ends the last member is to have no trouble with it.
    pub(super) fn check(&self, store: &Store, now: i64) -> Result<()> {
        // The id that takes most room.
        let metadata = self.metadata(i64::MAX);
        queue::check(store, now, &self.job(&metadata))
    }

    /// Enqueues what was stored for this batch. What cannot be a job, because somebody's SQL has changed it, is dead-lettered as
    /// it is: the members of the batch are not to be kept from ending for it.
    pub(super) fn enqueue(store: &Store, now: i64, batch: i64, stored: &str) -> Result<()> {
        let Ok(callback) = Self::parse(batch, stored) else {
            return queue::enqueue_malformed(store, now, &queue_of(stored), stored);
        };
        let metadata = callback.metadata(batch);
        let mut job = callback.job(&metadata);
        // What fitted when the batch was created is not to overflow later.
        let fits = |seconds: i64| seconds.min(i64::MAX.saturating_sub(now));
        job.delay_s = job.delay_s.map(fits);
        job.expires_s = job.expires_s.map(fits);
        job.unique = job.unique.map(|unique| Unique { for_s: unique.for_s.map(fits), ..unique });
        match queue::check(store, now, &job) {
            Ok(()) => queue::enqueue(store, now, &job).map(drop),
            Err(_) => queue::enqueue_malformed(store, now, &callback.queue, stored),
        }
    }

    fn metadata(&self, batch: i64) -> String {
        let mut metadata = self.metadata.clone();
        metadata.insert(BATCH_ID.to_owned(), Json::String(batch.to_string()));
        Json::Object(metadata).to_string()
    }

    fn job<'a>(&'a self, metadata: &'a str) -> Enqueue<'a> {
        Enqueue { metadata: Some(metadata), ..self.options.job(&self.queue, &self.payload) }
    }
}

/// The queue that a stored callback names, if that can be told.
fn queue_of(stored: &str) -> String {
    let value = serde_json::from_str(stored).unwrap_or(Json::Null);
    value.get("queue").and_then(Json::as_str).unwrap_or_default().to_owned()
}
