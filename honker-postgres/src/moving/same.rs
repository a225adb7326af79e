//! Whether two names, or two connections, are of one database. A move from one to itself would wait for its own lock, and could be
//! neither finished nor cancelled.

use honker_core::database::{Database, Value};
use honker_core::{Error, Result};

use super::page::{Ask, Side};

/// What is said of it.
pub(super) fn error() -> Error {
    Error::invalid("the source and the target are one database")
}

/// Whether these names are of one database, whoever uses it: the user of a server's URL is no part of where it is.
pub(super) fn names(one: &str, other: &str) -> bool {
    without_user(one) == without_user(other)
}

fn without_user(name: &str) -> &str {
    let Some(rest) = name.strip_prefix("postgres://") else { return name };
    rest.split_once('@').map_or(rest, |(_, rest)| rest)
}

/// Whether two servers' databases are one: the source sees the target's transaction among its own, with its lock.
pub(super) fn servers(source: &Database, target: &mut Side<'_>) -> Result<bool> {
    if !source.is_remote() || !target.database.is_remote() {
        return Ok(false);
    }
    let own = "SELECT pg_catalog.pg_backend_pid(), pg_catalog.pg_current_xact_id()::text";
    let rows = target.ask(own, &[])?;
    let Some([pid, transaction]) = rows.first().and_then(|row| row.first_chunk()) else {
        return Err(Error::Internal("a transaction that has no number".into()));
    };
    // The transaction's number is one of the whole server, and its lock one of the database. One of another server with the same
    // process, number and lock at this moment is not to be expected.
    let sql = "SELECT count(*) FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_locks t USING (pid)
        WHERE pid = ?1 AND l.locktype = 'advisory'
          AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
          AND t.locktype = 'transactionid' AND t.transactionid::text = (CAST(?2 AS bigint) % 4294967296)::text";
    let seen = source.query(sql, &[pid.clone(), transaction.clone()])?.rows;
    Ok(seen.first().and_then(|row| row.first()) != Some(&Value::Integer(0)))
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn the_user_is_no_part_of_the_place() {
        assert!(names("postgres://web@db/app", "postgres://admin@db/app"));
        assert!(!names("postgres://web@db/app", "postgres://web@db2/app"));
        assert!(!names("/srv/me@db/app", "/srv/you@db/app"));
    }
}
