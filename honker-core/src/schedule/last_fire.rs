//! When each schedule fired last, for people who ask whether the job of last night was enqueued: a row of `_honker_settings`.
//!
//! A file that an older program made may have no such table. Nothing is remembered there, and firing goes on.

use super::options::has_table;
use crate::statement::Sql;
use crate::{Result, Store};

static SQL_REMEMBER: Sql = Sql::new(
    "INSERT OR REPLACE INTO main._honker_settings (name, value) VALUES ('schedule.last_fire_at.' || ?1, ?2)",
);

static SQL_FORGET: Sql =
    Sql::new("DELETE FROM main._honker_settings WHERE name = 'schedule.last_fire_at.' || ?1");

/// The schedule has fired this boundary. Belongs into [`Store::atomic`].
pub(super) fn remember(store: &Store, name: &str, boundary: i64) -> Result<()> {
    match store.insert(&SQL_REMEMBER, &[name.into(), boundary.into()]) {
        Err(error) if error.lacks_table("_honker_settings") => Ok(()),
        done => done.map(drop),
    }
}

/// There is no schedule of this name any more. Belongs into [`Store::atomic`].
pub(super) fn forget(store: &Store, name: &str) -> Result<()> {
    if has_table(store)? {
        store.execute(&SQL_FORGET, &[name.into()])?;
    }
    Ok(())
}
