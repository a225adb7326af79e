//! Instances, and what becomes of the jobs of dead ones.
//!
//! A worker that can be rescued claims as `<its id>@<instance>`, an instance being an open database of a process. Who is alive
//! is not in the file: it is a lock that the kernel frees when the process ends (`database/instance.rs`), and a row of
//! `_honker_instances` says which one. The functions here are told who is dead.
//!
//! The row also names the lock that the instance has taken in the table of locks ([`lock::say_held`]): the scheduler's lead, which
//! is free as soon as its holder is known to be dead. Locks that users take belong to no instance, since their owners are names
//! that any process may use.

use super::clear::give_back;
use super::dead_letter::{Reason, dead_letter};
use crate::bound::ROWS_MAX;
use crate::statement::{Sql, Value};
use crate::{Error, Result, Store, lock};

/// A row of `_honker_instances`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The id of the file that its lock is in, in hexadecimal digits.
    pub file_id: String,
    /// Where its lock is in that file.
    pub byte: i64,
}

/// Who is behind an instance, for people who look at the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registrant<'a> {
    /// The process.
    pub pid: i64,
    /// The name of its machine.
    pub host: &'a str,
}

static SQL_INSTANCES: Sql = Sql::new("SELECT id, lower(hex(file_id)), byte FROM main._honker_instances");

static SQL_REGISTER: Sql = Sql::new(
    "INSERT INTO main._honker_instances (id, file_id, byte, pid, host, started_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6)
     ON CONFLICT (id) DO UPDATE SET file_id = excluded.file_id, byte = excluded.byte",
);

static SQL_IS_REGISTERED: Sql = Sql::new(
    "SELECT info FROM main._honker_instances WHERE id = +?1 AND lower(hex(file_id)) = +?2 AND byte = +?3",
);

static SQL_FORGET: Sql = Sql::new("DELETE FROM main._honker_instances WHERE id = +?1");

// Along the index of all that is claimed.
static SQL_CLAIMS: Sql = Sql::new(
    "SELECT id FROM main._honker_live WHERE state = 'processing' AND substr(worker_id, -33) = '@' || ?1 LIMIT +?2",
);

static SQL_CLAIM: Sql = Sql::new(
    "SELECT attempts >= max_attempts FROM main._honker_live
     WHERE id = ?1 AND state = 'processing' AND substr(worker_id, -33) = '@' || ?2",
);

/// All instances that have said that they are there.
pub fn instances(store: &Store) -> Result<Vec<Instance>> {
    store.query(&SQL_INSTANCES, &[], |row| Instance {
        id: row.text(0),
        file_id: row.text(1),
        byte: row.integer(2),
    })
}

/// Says that an instance is there, or that its lock is elsewhere now. Its lock has to be taken before.
pub fn instance_register(
    store: &Store,
    now: i64,
    instance: &Instance,
    registrant: Registrant<'_>,
) -> Result<()> {
    let Instance { id, file_id, byte } = instance;
    let file_id = bytes(file_id).ok_or_else(|| Error::invalid("file_id must be hexadecimal digits"))?;
    let parameters = [
        id.as_str().into(),
        Value::Blob(&file_id),
        (*byte).into(),
        registrant.pid.into(),
        registrant.host.into(),
        now.into(),
    ];
    store.insert(&SQL_REGISTER, &parameters).map(drop)
}

/// Not by SQLite's `unhex`, which is younger than the oldest SQLite that we work with.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// Jobs that an instance has claimed, at most as many as one call of [`rescue`] gives back. It reads all claims of the file.
pub fn instance_claims(store: &Store, instance: &str) -> Result<Vec<i64>> {
    store.query(&SQL_CLAIMS, &[instance.into(), ROWS_MAX.into()], |row| row.integer(0))
}

/// Gives back these jobs of an instance that is dead, as far as it still has them: they are pending again, as they were before
/// they were claimed, but for the attempt; one whose attempts are exhausted is dead. With `is_all` the instance is forgotten, and
/// the lock that it held is free. How many jobs those were; nothing happens if somebody else has done it, or if its row does not say any more what it said when its
/// lock was found free: it has gone over to another lock file since, and lives.
pub fn rescue(store: &Store, now: i64, dead: &Instance, ids: &[i64], is_all: bool) -> Result<i64> {
    let Instance { id: instance, file_id, byte } = dead;
    let instance = instance.as_str();
    store.atomic(|| {
        let place = [instance.into(), file_id.as_str().into(), (*byte).into()];
        let Some(info) = store.query_one(&SQL_IS_REGISTERED, &place, |row| row.optional_text(0))? else {
            return Ok(0);
        };
        let mut rescued = 0;
        for &id in ids {
            match store.query_one(&SQL_CLAIM, &[id.into(), instance.into()], |row| row.integer(0) != 0)? {
                None => continue,
                Some(true) => dead_letter(store, now, id, Reason::MaxAttemptsExceeded)?,
                Some(false) => give_back(store, now, id)?,
            }
            rescued += 1;
        }
        if is_all {
            info.map_or(Ok(()), |info| lock::free_held(store, instance, &info))?;
            store.execute(&SQL_FORGET, &[instance.into()])?;
        }
        Ok(rescued)
    })
}
