//! Locks: a name, its owner, and the second from which on anybody may take it over.

use std::collections::BTreeMap;

use crate::{Outcome, Refusal, after};

/// All locks, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Locks(pub BTreeMap<String, Lock>);

/// One lock.
#[derive(Debug, Clone, PartialEq)]
pub struct Lock {
    /// Who has it.
    pub owner: String,
    /// From this second on it is stale.
    pub expires_at: i64,
}

impl Locks {
    /// Takes a free or stale lock. Having it already is a success that changes nothing.
    pub fn acquire(&mut self, now: i64, name: &str, owner: &str, ttl_s: i64) -> Outcome<bool> {
        let expires_at = after(now, "ttl_s", ttl_s)?;
        let free = self.0.get(name).is_none_or(|lock| lock.expires_at <= now);
        if free {
            self.0.insert(name.to_owned(), Lock { owner: owner.to_owned(), expires_at });
        }
        Ok(self.0[name].owner == owner)
    }

    /// Works on a stale lock too, as long as nobody else took it.
    pub fn renew(&mut self, now: i64, name: &str, owner: &str, ttl_s: i64) -> Outcome<bool> {
        if ttl_s <= 0 {
            return Err(Refusal::Invalid("ttl_s must be positive"));
        }
        let expires_at = after(now, "ttl_s", ttl_s)?;
        let owned = self.0.get_mut(name).filter(|lock| lock.owner == owner);
        Ok(owned.map(|lock| lock.expires_at = expires_at).is_some())
    }

    /// Gives an own lock up.
    pub fn release(&mut self, name: &str, owner: &str) -> bool {
        let owned = self.0.get(name).is_some_and(|lock| lock.owner == owner);
        owned && self.0.remove(name).is_some()
    }
}
