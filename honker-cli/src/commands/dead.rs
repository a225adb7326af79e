//! `honker dead`: the dead, one by one or by what they died of.

use clap::Args;
use honker_core::database::Database;
use honker_core::queue::{DeadGroup, DeadJob};

use crate::failure::Result;
use crate::file::{Db, File};
use crate::moment;
use crate::show::{Screen, Show};
use crate::table::{Align, Table, number};

/// List dead jobs, or count them by their error
///
/// Jobs are dead when their attempts are used up, when they have expired, or when their worker has discarded them. They stay
/// until they are retried (honker jobs retry), deleted, or older than their queue keeps them.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker dead app.db
  honker dead --groups --queue emails
  honker dead --json | jq -r '.[].last_error' | sort | uniq -c")]
pub struct Dead {
    #[command(flatten)]
    file: File,
    #[command(flatten)]
    show: Show,
    /// Only of this queue
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// Count them by error, with numbers and ids made equal, and show the newest of each
    #[arg(long)]
    groups: bool,
    /// How many to list at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..),
          conflicts_with = "groups")]
    limit: i64,
}

impl Dead {
    pub fn run(self, db: &Db) -> Result {
        let database = db.look_or(&self.file)?;
        let queue = self.queue.as_deref();
        if self.groups {
            let read = |database: &Database| Ok(database.dead_groups(queue)?);
            self.show.each(&database, read, |groups, screen| draw_groups(groups, moment::now(), screen))
        } else {
            let read = |database: &Database| Ok(database.dead_list(queue, self.limit)?);
            self.show.each(&database, read, |jobs, screen| draw(jobs, moment::now(), screen))
        }
    }
}

fn draw(jobs: &[DeadJob], now: i64, screen: &mut Screen) -> Result {
    use Align::{Left, Right};
    let mut table =
        Table::new(&[("ID", Right), ("QUEUE", Left), ("ATTEMPTS", Right), ("DIED", Right), ("ERROR", Left)]);
    for job in jobs {
        table.row([
            number(job.id),
            job.queue.clone(),
            format!("{}/{}", job.attempts, job.max_attempts),
            moment::relative(job.died_at, now),
            job.last_error.clone().unwrap_or_default(),
        ]);
    }
    table.draw(screen, "No job is dead.")
}

fn draw_groups(groups: &[DeadGroup], now: i64, screen: &mut Screen) -> Result {
    use Align::{Left, Right};
    let mut table =
        Table::new(&[("COUNT", Right), ("NEWEST", Right), ("DIED", Right), ("QUEUE", Left), ("ERROR", Left)]);
    for group in groups {
        table.row([
            number(group.count),
            number(group.newest.id),
            moment::relative(group.newest.died_at, now),
            group.newest.queue.clone(),
            group.error.clone().unwrap_or_default(),
        ]);
    }
    table.draw(screen, "No job is dead.")
}
