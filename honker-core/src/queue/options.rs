//! What a job has beside its row: rows of `_honker_job_options`, which live as long as the job is live or dead.
//!
//! Most files have none, and each connection knows whether there may be any (`features.rs`): a job without options costs
//! nothing more.

use std::collections::HashMap;

use serde::{Serialize, Serializer};

use super::{ClaimedJob, Enqueue, unique};
use crate::features::Features;
use crate::statement::{Row, Sql, Value, id_list};
use crate::{Error, Result, Store};

/// The most bytes that the metadata of a job may have.
pub(crate) const METADATA_BYTES_MAX: usize = 8 * 1024;

static SQL_ANY: Sql = Sql::new("SELECT EXISTS (SELECT 1 FROM main._honker_job_options)");

static SQL_ADD: Sql = Sql::new(
    "INSERT INTO main._honker_job_options
       (job_id, metadata, concurrency_key, max_run_s, unique_key, unique_until, batch_id)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
);

// There is a row, unless SQL of somebody's own has deleted it.
static SQL_REPLACE: Sql = Sql::new(
    "INSERT INTO main._honker_job_options
       (job_id, metadata, concurrency_key, max_run_s, unique_key, unique_until)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6)
     ON CONFLICT (job_id) DO UPDATE SET
       metadata = excluded.metadata, concurrency_key = excluded.concurrency_key, max_run_s = excluded.max_run_s",
);

static SQL_METADATA: Sql = Sql::new("SELECT metadata FROM main._honker_job_options WHERE job_id = +?1");

static SQL_OF_CLAIMED: Sql =
    Sql::new("SELECT metadata, max_run_s, concurrency_key FROM main._honker_job_options WHERE job_id = +?1");

static SQL_OF_CANDIDATES: Sql = Sql::new(concat!(
    "SELECT metadata, max_run_s, concurrency_key, job_id FROM main._honker_job_options WHERE job_id IN (",
    id_list!(),
    ")"
));

static SQL_FORGET: Sql = Sql::new("DELETE FROM main._honker_job_options WHERE job_id = +?1");

/// Whether any job has options. A file that nobody has bootstrapped has none.
pub(crate) fn any(store: &Store) -> Result<bool> {
    match store.query_one(&SQL_ANY, &[], |row| row.integer(0) != 0) {
        Ok(any) => Ok(any == Some(true)),
        Err(error) if error.lacks_table("_honker_job_options") => Ok(false),
        Err(error) => Err(error),
    }
}

/// Checks what a caller gives as metadata: a JSON object of texts, not too long.
fn check_metadata(metadata: &str) -> Result<()> {
    if metadata.len() > METADATA_BYTES_MAX {
        return Err(Error::invalid(format!(
            "metadata has {} bytes, more than {METADATA_BYTES_MAX}",
            metadata.len()
        )));
    }
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(metadata)
        .map_err(|error| Error::invalid(format!("metadata must be a JSON object of texts: {error}")))?;
    match object.iter().find(|(_, value)| !value.is_string()) {
        Some((key, _)) => {
            Err(Error::invalid(format!("metadata must be a JSON object of texts: '{key}' is none")))
        }
        None => Ok(()),
    }
}

/// Whether a job that is to be enqueued has more than its row.
pub(super) fn has_any(job: &Enqueue<'_>) -> bool {
    let Enqueue { metadata, unique, concurrency_key, batch_id, member, max_run_s, .. } = job;
    metadata.is_some()
        || unique.is_some()
        || concurrency_key.is_some()
        || batch_id.is_some()
        || member.is_some()
        || max_run_s.is_some()
}

/// An error if the options of a job that is to be enqueued cannot be.
pub(crate) fn check(job: &Enqueue<'_>) -> Result<()> {
    job.metadata.map_or(Ok(()), check_metadata)?;
    if job.concurrency_key == Some("") {
        return Err(Error::invalid("concurrency_key must not be empty"));
    }
    if job.member.is_some() && job.batch_id.is_none() {
        return Err(Error::invalid("member is given without batch_id"));
    }
    if let Some(max_run_s) = job.max_run_s
        && max_run_s < 1
    {
        return Err(Error::invalid(format!("max_run_s must be at least 1, not {max_run_s}")));
    }
    job.unique.as_ref().map_or(Ok(()), unique::check)
}

/// Keeps the options of a job that was enqueued just now. Belongs into [`Store::atomic`].
pub(super) fn add(store: &Store, id: i64, job: &Enqueue<'_>) -> Result<()> {
    let [id, metadata, concurrency_key, max_run_s, unique_key, unique_until] = all_but_batch(id, job);
    let batch_id = Value::from(job.batch_id);
    let parameters = [id, metadata, concurrency_key, max_run_s, unique_key, unique_until, batch_id];
    store.insert(&SQL_ADD, &parameters)?;
    store.set_features(Features { options: true, ..store.features() });
    Ok(())
}

/// Gives a job that has a unique key the options of the job that replaces it. Belongs into [`Store::atomic`].
pub(super) fn replace(store: &Store, id: i64, job: &Enqueue<'_>) -> Result<()> {
    store.insert(&SQL_REPLACE, &all_but_batch(id, job))?;
    store.set_features(Features { options: true, ..store.features() });
    Ok(())
}

fn all_but_batch<'a>(id: i64, job: &Enqueue<'a>) -> [Value<'a>; 6] {
    let unique_key = job.unique.map(|unique| unique.key);
    let unique_until = job.unique.map(|unique| unique.until.text());
    let Enqueue { metadata, concurrency_key, max_run_s, .. } = *job;
    [
        id.into(),
        metadata.into(),
        concurrency_key.into(),
        max_run_s.into(),
        unique_key.into(),
        unique_until.into(),
    ]
}

/// What a job has beside its row that people who look at it want to know.
pub(super) fn of(store: &Store, id: i64) -> Result<OfClaimed> {
    Ok(store.query_one(&SQL_OF_CLAIMED, &[id.into()], OfClaimed::of_row)?.unwrap_or_default())
}

/// The metadata of a job, if there may be any.
pub(super) fn metadata(store: &Store, id: i64) -> Result<Option<String>> {
    Ok(store.query_one(&SQL_METADATA, &[id.into()], |row| row.optional_text(0))?.flatten())
}

/// What a claim has to know of the options of a job.
#[derive(Default)]
pub(super) struct OfClaimed {
    pub(super) metadata: Option<String>,
    pub(super) max_run_s: Option<i64>,
    /// Its concurrency key.
    pub(super) key: Option<String>,
}

impl OfClaimed {
    fn of_row(row: &Row<'_>) -> Self {
        OfClaimed {
            metadata: row.optional_text(0),
            max_run_s: row.optional_integer(1),
            key: row.optional_text(2),
        }
    }

    /// Those of up to [`ID_LIST_MAX`] jobs, of those that have any. Belongs into [`Store::atomic`].
    pub(super) fn read_many(store: &Store, ids: impl Iterator<Item = i64>) -> Result<HashMap<i64, Self>> {
        if !store.features().options {
            return Ok(HashMap::new());
        }
        let ids: Vec<Value<'_>> = ids.map(Value::from).collect();
        let rows = store.query(&SQL_OF_CANDIDATES, &ids, |row| (row.integer(3), Self::of_row(row)))?;
        Ok(rows.into_iter().collect())
    }

    /// Those of a job. Belongs into [`Store::atomic`].
    pub(super) fn read(store: &Store, id: i64) -> Result<Self> {
        if !store.features().options {
            return Ok(OfClaimed::default());
        }
        Ok(store.query_one(&SQL_OF_CLAIMED, &[id.into()], Self::of_row)?.unwrap_or_default())
    }

    /// Adds to the job, which was claimed just now, what its holder has to know; the concurrency key.
    pub(super) fn complete(self, job: &mut ClaimedJob) -> Option<String> {
        (job.metadata, job.max_run_s) = (self.metadata, self.max_run_s);
        self.key
    }
}

/// Metadata in JSON answers, in both directions.
pub(crate) mod as_object {
    use serde::{Deserialize, Deserializer};

    pub(crate) use super::serialize_metadata as serialize;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Option<String>, D::Error> {
        let object = Option::<serde_json::Map<String, serde_json::Value>>::deserialize(deserializer)?;
        Ok(object.map(|object| serde_json::Value::Object(object).to_string()))
    }
}

/// The concurrency key of a job, if it has one.
pub(super) fn key_of(store: &Store, id: i64) -> Result<Option<String>> {
    Ok(store.query_one(&SQL_OF_CLAIMED, &[id.into()], |row| row.optional_text(2))?.flatten())
}

/// Forgets the options of a job that is gone.
pub(super) fn forget(store: &Store, id: i64) -> Result<()> {
    store.execute(&SQL_FORGET, &[id.into()]).map(drop)
}

/// Metadata as part of a JSON answer: an object of texts, or null. What other SQL has stored is made one, value by value, or left
/// out: whoever reads a list of jobs is not to stumble over one of them.
pub(crate) fn serialize_metadata<S: Serializer>(
    metadata: &Option<String>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    let text = metadata.as_deref().unwrap_or("null");
    let object: Option<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(text).ok();
    let texts = object.map(|object| {
        let text = |value| match value {
            text @ serde_json::Value::String(_) => text,
            other => other.to_string().into(),
        };
        object.into_iter().map(|(key, value)| (key, text(value))).collect::<serde_json::Map<_, _>>()
    });
    texts.serialize(serializer)
}
