//! `honker locks`: locks and rate limits.

use std::io::Write;

use clap::Args;
use honker_core::database::Database;
use serde::Serialize;

use crate::failure::Result;
use crate::file::{Db, File};
use crate::moment;
use crate::read::{self, Lock, RateLimit};
use crate::show::{Screen, Show};
use crate::table::{Align, Table, number};

/// Show the locks and the rate limits
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker locks app.db
  honker locks --json | jq '.locks[] | select(.stale)'")]
pub struct Locks {
    #[command(flatten)]
    file: File,
    #[command(flatten)]
    show: Show,
}

#[derive(Serialize)]
struct All {
    locks: Vec<Lock>,
    rate_limits: Vec<RateLimit>,
}

impl Locks {
    pub fn run(self, db: &Db) -> Result {
        let database = db.look_or(&self.file)?;
        let read = |database: &Database| {
            Ok(All {
                locks: read::locks(database, moment::now())?,
                rate_limits: read::rate_limits(database)?,
            })
        };
        self.show.each(&database, read, |all, screen| draw(all, moment::now(), screen))
    }
}

fn draw(all: &All, now: i64, screen: &mut Screen) -> Result {
    use Align::{Left, Right};
    let mut table = Table::new(&[("LOCK", Left), ("STATE", Left), ("OWNER", Left)]);
    for lock in &all.locks {
        let state = match lock.stale {
            true => format!("stale since {}", moment::duration(now.saturating_sub(lock.expires_at))),
            false => format!("for {} more", moment::duration(lock.expires_at.saturating_sub(now))),
        };
        table.row([lock.name.clone(), state, lock.owner.clone()]);
    }
    table.draw(screen, "Nobody has a lock.")?;
    if all.rate_limits.is_empty() {
        return Ok(());
    }
    writeln!(screen)?;
    let mut table = Table::new(&[("RATE LIMIT", Left), ("USED", Right), ("WINDOW BEGAN", Left)]);
    for limit in &all.rate_limits {
        table.row([limit.name.clone(), number(limit.count), moment::relative(limit.window_start, now)]);
    }
    table.draw(screen, "")
}
