//! What a job has beside its row: rows of `_honker_job_options`, which live as long as the job is live or dead.
//!
//! Most files have none. Each connection knows whether there may be any ([`Store::may_have_options`]), so that a job
//! without options costs nothing more.

use serde::{Serialize, Serializer};

use crate::statement::{Sql, Value};
use crate::{Error, Result, Store};

/// The most bytes that the metadata of a job may have.
pub(crate) const METADATA_BYTES_MAX: usize = 8 * 1024;

static SQL_ANY: Sql = Sql::new("SELECT EXISTS (SELECT 1 FROM main._honker_job_options)");

static SQL_ADD: Sql = Sql::new("INSERT INTO main._honker_job_options (job_id, metadata) VALUES (?1, ?2)");

static SQL_METADATA: Sql = Sql::new("SELECT metadata FROM main._honker_job_options WHERE job_id = +?1");

static SQL_FORGET: Sql = Sql::new("DELETE FROM main._honker_job_options WHERE job_id = +?1");

/// Whether any job has options. A file that nobody has bootstrapped has none.
pub(crate) fn any(store: &Store) -> Result<bool> {
    match store.query_one(&SQL_ANY, &[], |row| row.integer(0) != 0) {
        Ok(any) => Ok(any == Some(true)),
        Err(error) if error.to_string().starts_with("no such table: main._honker_job_options") => Ok(false),
        Err(error) => Err(error),
    }
}

/// Checks what a caller gives as metadata: a JSON object of texts, not too long.
pub(super) fn check_metadata(metadata: &str) -> Result<()> {
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

/// Gives a job that was enqueued just now its metadata. Belongs into [`Store::atomic`].
pub(super) fn add(store: &Store, id: i64, metadata: &str) -> Result<()> {
    store.insert(&SQL_ADD, &[id.into(), metadata.into()])?;
    store.has_options();
    Ok(())
}

/// The metadata of a job, if there may be any.
pub(super) fn metadata(store: &Store, id: i64) -> Result<Option<String>> {
    Ok(store.query_one(&SQL_METADATA, &[id.into()], |row| row.optional_text(0))?.flatten())
}

/// Removes the live job that `delete` deletes, and what belongs to it; whether there was one. This is the way by which a
/// job leaves for good; a dead one keeps its options.
pub(super) fn leave(store: &Store, id: i64, delete: &'static Sql, parameters: &[Value<'_>]) -> Result<bool> {
    if store.may_have_options() {
        return store.atomic(|| {
            let left = store.execute(delete, parameters)? > 0;
            if left {
                forget(store, id)?;
            }
            Ok(left)
        });
    }
    let left = store.execute(delete, parameters)? > 0;
    // Somebody else's options were seen only as the row was deleted, which is done. Ids are not used again: if this cannot
    // be done as well, a row is left that nobody asks for.
    if left {
        let _ = forget(store, id);
    }
    Ok(left)
}

/// Removes what belongs to a job that is gone.
pub(super) fn forget(store: &Store, id: i64) -> Result<()> {
    if store.may_have_options() {
        store.execute(&SQL_FORGET, &[id.into()])?;
    }
    Ok(())
}

/// Metadata as part of a JSON answer: the object itself.
pub(crate) fn serialize_metadata<S: Serializer>(
    metadata: &Option<String>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    let text = metadata.as_deref().unwrap_or("null");
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value) => value.serialize(serializer),
        // Other SQL has stored it.
        Err(_) => text.serialize(serializer),
    }
}
