//! The caller's own SQL on a connection of ours: run, and tidied up after.
//!
//! What it may not do at all is `authorizer.rs`. What it leaves behind, for whoever has the connection next, is dropped when
//! its transaction is over.
//!
//! Threads: as for the connection, one at a time.

use rusqlite::config::DbConfig;

use super::connection::{Handle, uninterrupted};
use super::value::{Rows, Value};
use crate::statement::Sql;
use crate::{Error, Result};

// A view goes with its triggers, a virtual table with the tables it keeps its rows in.
static SQL_TEMPORARY: Sql = Sql::new(
    "SELECT type, name FROM temp.sqlite_schema WHERE type <> 'index' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
     ORDER BY type DESC, sql LIKE 'CREATE VIRTUAL %' DESC, rowid DESC",
);
// As it is on a new connection.
static SQL_UNLIMITED: Sql = Sql::new("PRAGMA main.max_page_count = 4294967294");

impl Handle {
    /// Runs one statement of the caller's; the number of rows it changed.
    pub(super) fn execute(&self, sql: &str, parameters: &[Value]) -> Result<u64> {
        let before = self.connection.total_changes();
        self.query(sql, parameters)?;
        // `changes()` keeps its value over a statement that changes nothing.
        Ok(if self.connection.total_changes() == before { 0 } else { self.connection.changes() })
    }

    /// Runs one statement of the caller's; all its rows.
    pub(super) fn query(&self, sql: &str, parameters: &[Value]) -> Result<Rows> {
        if sql.contains('\0') {
            // SQLite would run what comes before it.
            return Err(Error::invalid("the SQL statement contains a NUL"));
        }
        let mut statement = self.authorizer.compile(|| self.connection.prepare_cached(sql))?;
        // Without columns and without effect; or nothing but white space and comments, which SQLite does not run.
        if statement.column_count() == 0 && statement.readonly() && statement.expanded_sql().is_none() {
            return Err(Error::invalid("there is no SQL statement in the text"));
        }
        self.untidy.set(true);
        self.store.set_foreign_sql(true);
        // In the text, because a statement that is kept is not compiled again, and nobody is asked.
        if sql.to_ascii_lowercase().contains("max_page_count") {
            self.limited.set(true);
        }
        let mut rows =
            statement.query(rusqlite::params_from_iter(parameters)).map_err(Error::from_rusqlite)?;
        let mut read = Vec::new();
        while let Some(row) = rows.next().map_err(Error::from_rusqlite)? {
            let values = (0..row.as_ref().column_count()).map(|column| Ok(row.get_ref(column)?.into()));
            read.push(values.collect::<rusqlite::Result<Vec<Value>>>().map_err(Error::from_rusqlite)?);
        }
        drop(rows);
        // Only now: a change of the schema that somebody made since the statement was prepared is noticed as it runs.
        let columns = statement.column_names().into_iter().map(str::to_owned).collect();
        Ok(Rows { columns, rows: read })
    }

    /// Drops what the caller's SQL may have left on the connection that writes once its transaction is over. An interrupt
    /// does not keep it from that: the next call, which may be anybody's, would meet the caller's triggers. Should it
    /// fail otherwise, the end of the next transaction tries again.
    pub(super) fn tidy(&mut self) {
        if !self.untidy.get() {
            return;
        }
        self.store.last_look().doubt();
        let done = uninterrupted(|| self.drop_temporary());
        let done = done.and_then(|()| if self.limited.get() { self.undo(&SQL_UNLIMITED) } else { Ok(()) });
        if done.is_ok() {
            self.untidy.set(false);
            self.limited.set(false);
        }
    }

    fn drop_temporary(&self) -> Result<()> {
        let left = self.store.query(&SQL_TEMPORARY, &[], |row| (row.text(0), row.text(1)))?;
        if left.is_empty() {
            return Ok(());
        }
        // Where they refer to each other, no order of dropping them is allowed.
        self.check_foreign_keys(false)?;
        let dropped = left.iter().try_for_each(|(kind, name)| {
            self.store.execute_once(&format!("DROP {kind} IF EXISTS temp.\"{}\"", name.replace('"', "\"\"")))
        });
        self.check_foreign_keys(true)?;
        dropped
    }

    /// Not by a pragma, which could be interrupted.
    fn check_foreign_keys(&self, on: bool) -> Result<()> {
        self.connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, on)
            .map(drop)
            .map_err(Error::from_rusqlite)
    }
}
