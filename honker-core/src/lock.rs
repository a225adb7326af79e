//! Named locks with an owner and a time to live. A crashed owner blocks others until that is over, and no longer; with a lock that
//! an instance has said is its own, until somebody knows that the instance is dead (`queue/rescue.rs`).

use serde_json::{Value as Json, json};

use crate::statement::Sql;
use crate::{Error, Result, Store, time};

// Inserts where the lock is free, takes over where it is stale, and otherwise changes nothing.
static SQL_TAKE: Sql = Sql::new(
    "INSERT INTO main._honker_locks (name, owner, expires_at) VALUES (?1, ?2, ?3)
     ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, expires_at = excluded.expires_at
     WHERE _honker_locks.expires_at <= ?4",
);

static SQL_OWNED: Sql = Sql::new("SELECT 1 FROM main._honker_locks WHERE name = +?1 AND owner = +?2");

// Whether it is ours, and whether it could be taken.
static SQL_FOUND: Sql =
    Sql::new("SELECT owner = +?2, expires_at <= +?3 FROM main._honker_locks WHERE name = +?1");

const TABLE: &str = "_honker_locks";

static SQL_GET: Sql = Sql::new("SELECT owner, expires_at FROM main._honker_locks WHERE name = +?1");

static SQL_RENEW: Sql =
    Sql::new("UPDATE main._honker_locks SET expires_at = ?3 WHERE name = +?1 AND owner = +?2");

static SQL_RELEASE: Sql = Sql::new("DELETE FROM main._honker_locks WHERE name = +?1 AND owner = +?2");

/// Who has a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The owner that took it.
    pub owner: String,
    /// The second from which on anybody may take it.
    pub expires_at: i64,
}

static SQL_RELEASE_BEYOND: Sql =
    Sql::new("DELETE FROM main._honker_locks WHERE name = +?1 AND expires_at > +?2");

/// Takes the lock for `ttl_s` seconds if it is free or stale. `true` if `owner` has it afterwards; having had it before
/// does not prolong it.
pub fn acquire(store: &Store, now: i64, name: &str, owner: &str, ttl_s: i64) -> Result<bool> {
    let expires_at = time::after(now, "ttl_s", ttl_s)?;
    store.atomic(|| {
        let parameters = [name.into(), owner.into(), expires_at.into(), now.into()];
        if store.execute(&SQL_TAKE, &parameters)? > 0 {
            return Ok(true);
        }
        let parameters = [name.into(), owner.into(), now.into()];
        match store.query_one(&SQL_FOUND, &parameters, |row| (row.integer(0) != 0, row.integer(1) != 0))? {
            Some((is_ours, false)) => Ok(is_ours),
            _ => Err(Error::ignored("locked", TABLE)),
        }
    })
}

/// Who has the lock, and until when; `None` if nobody has, or had and did not give it up.
pub fn holder(store: &Store, name: &str) -> Result<Option<Holder>> {
    store.query_one(&SQL_GET, &[name.into()], |row| Holder { owner: row.text(0), expires_at: row.integer(1) })
}

/// Sets the lock's time to live to `ttl_s` seconds from now, if `owner` still has it: also after it has run out, as
/// long as nobody took it.
pub fn renew(store: &Store, now: i64, name: &str, owner: &str, ttl_s: i64) -> Result<bool> {
    if ttl_s <= 0 {
        return Err(Error::invalid("ttl_s must be positive"));
    }
    let expires_at = time::after(now, "ttl_s", ttl_s)?;
    let parameters = [name.into(), owner.into(), expires_at.into()];
    change_owned(store, name, owner, "renewed", || store.execute(&SQL_RENEW, &parameters))
}

/// Gives the lock up. `false` if `owner` does not have it.
pub fn release(store: &Store, name: &str, owner: &str) -> Result<bool> {
    change_owned(store, name, owner, "released", || store.execute(&SQL_RELEASE, &[name.into(), owner.into()]))
}

/// Whether `owner` had the lock, and `change` has changed it. An error if a trigger kept it from that.
fn change_owned(
    store: &Store,
    name: &str,
    owner: &str,
    done: &str,
    change: impl FnOnce() -> Result<i64>,
) -> Result<bool> {
    let look = |changed| {
        if changed > 0 {
            return Ok(true);
        }
        match store.query_one(&SQL_OWNED, &[name.into(), owner.into()], |_| ())? {
            Some(()) => Err(Error::ignored(done, TABLE)),
            None => Ok(false),
        }
    };
    store.write_and_read(change, look)
}

static SQL_SAY_HELD: Sql =
    Sql::new("UPDATE main._honker_instances SET info = ?2 WHERE id = +?1 AND info IS NOT ?2");

// Its owner may be alive again under the same name: then it is that one's.
static SQL_FREE_HELD: Sql = Sql::new(
    "DELETE FROM main._honker_locks WHERE name = +?1 AND owner = +?2
     AND NOT EXISTS (SELECT 1 FROM main._honker_instances WHERE info = +?3 AND id <> +?4)",
);

/// Says that an instance has a lock that is to be free when it is dead: the only one, or the one that it took last. Belongs into
/// the transaction that takes it.
pub fn say_held(store: &Store, instance: &str, name: &str, owner: &str) -> Result<()> {
    let info = json!({ "lock": name, "owner": owner }).to_string();
    store.execute(&SQL_SAY_HELD, &[instance.into(), info.as_str().into()]).map(drop)
}

/// Frees the lock that a dead instance has said it has (`info`), if it still has it.
pub fn free_held(store: &Store, instance: &str, info: &str) -> Result<()> {
    let held: Json = serde_json::from_str(info).unwrap_or_default();
    if let (Some(name), Some(owner)) = (held["lock"].as_str(), held["owner"].as_str()) {
        store.execute(&SQL_FREE_HELD, &[name.into(), owner.into(), info.into(), instance.into()])?;
    }
    Ok(())
}

/// Takes the lock from whoever has it until later than `latest`.
pub(crate) fn release_beyond(store: &Store, name: &str, latest: i64) -> Result<()> {
    store.execute(&SQL_RELEASE_BEYOND, &[name.into(), latest.into()]).map(drop)
}
