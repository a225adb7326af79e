//! `honker_status`: what a connection can tell of itself and of its file, for diagnosis.
//!
//! The status of a database of libhonker has more (its watcher, its connections, its warnings): that is the process's own, and a
//! foreign connection has none of it.

use serde::Serialize;

use super::function::Answer;
use super::json;
use crate::version::FileVersion;
use crate::{Result, Store};

#[derive(Serialize)]
struct Status {
    file: Option<String>,
    journal_mode: Option<String>,
    schema: Option<Schema>,
    versions: Versions,
}

#[derive(Serialize)]
struct Schema {
    version: i64,
    min_version: i64,
}

#[derive(Serialize)]
struct Versions {
    honker: &'static str,
    sqlite: Option<String>,
}

pub(super) fn status(store: &Store) -> Result<Answer> {
    let text = |sql: &str| -> Result<Option<String>> {
        Ok(store.query_once(sql, |row| row.optional_text(0))?.into_iter().next().flatten())
    };
    let file = text("SELECT file FROM pragma_database_list WHERE name = 'main'")?;
    // A file without our tables has no version yet; one that has them and does not say is of the first.
    let tables = "SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = '_honker_live'";
    let schema = match store.query_once(tables, |_| ())?.is_empty() {
        true => None,
        false => {
            let FileVersion { version, min_version } = FileVersion::read(store)?;
            Some(Schema { version, min_version })
        }
    };
    json(&Status {
        // That of a database in memory is the empty text.
        file: file.filter(|file| !file.is_empty()),
        journal_mode: text("PRAGMA main.journal_mode")?,
        schema,
        versions: Versions { honker: env!("CARGO_PKG_VERSION"), sqlite: text("SELECT sqlite_version()")? },
    })
}
