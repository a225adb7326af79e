//! The schema `honker` on a server: whether it is there, and installing it.

use honker_core::{Error, Result};
use tokio_postgres::Client;

use crate::on::get;
use crate::session::Session;
use crate::stop::Call;

/// The whole of sql/, to be run as one: the tables, and the functions that hold the logic. Idempotent.
pub const SQL: &str = include_str!(concat!(env!("OUT_DIR"), "/honker.sql"));

/// Replaces the server's clock by one that tests set. To be run after [`SQL`].
pub const TEST_CLOCK_SQL: &str = include_str!("../sql/test_clock.sql");

/// The version of the schema that [`SQL`] installs.
pub const VERSION: i64 = 1;

/// Sees to it that the schema is one that this program can use, installing it if that is wanted.
pub(crate) fn see_to(session: &mut Session, call: &Call, migrate: bool) -> Result<()> {
    let found = look(session, call)?;
    match found {
        Some((version, min_version)) if min_version > VERSION => Err(Error::TooOld(format!(
            "the database was brought up to date by a newer honker (schema version {version}, which version {VERSION} must not \
             write beside); this program has to be updated"
        ))),
        Some((version, _)) if version >= VERSION => Ok(()),
        _ if migrate => install(session, call),
        Some((version, _)) => Err(Error::Unsupported(
            format!(
                "the schema honker of this database is of version {version}, this program needs {VERSION}: run \
                 `honker migrate`, or open it with honker_migrate=on"
            )
            .into(),
        )),
        None => Err(Error::CannotOpen(
            "this database has no schema honker: run `honker migrate`, or open it with honker_migrate=on".into(),
        )),
    }
}

/// The version of the schema, and the oldest program that may use it; `None` if there is none.
pub(crate) fn look(session: &mut Session, call: &Call) -> Result<Option<(i64, i64)>> {
    let there = session.run(call, async |client: &Client| {
        client.query_typed("SELECT pg_catalog.to_regclass('honker._honker_schema') IS NOT NULL", &[]).await
    })?;
    if !there.first().map_or(Ok(false), |row| get(row, 0))? {
        return Ok(None);
    }
    let rows = session.run(call, async |client: &Client| {
        client.query_typed("SELECT version::int8, min_version::int8 FROM honker._honker_schema", &[]).await
    })?;
    rows.first().map(|row| Ok((get(row, 0)?, get(row, 1)?))).transpose()
}

/// Installs the schema, or brings it up to date.
pub(crate) fn install(session: &mut Session, call: &Call) -> Result<()> {
    session.run(call, async |client: &Client| client.batch_execute(SQL).await)
}
