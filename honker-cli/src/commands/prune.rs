//! `honker prune`: removes what is not kept any more.

use std::io::Write;

use clap::Args;
use honker_core::database::Database;
use serde::Serialize;

use crate::failure::Result;
use crate::file::{Db, File};
use crate::progress;
use crate::show::Screen;

/// How old the window of a rate limit is that nobody asks for any more.
const RATE_LIMIT_S: i64 = 86_400;

/// Remove what is not kept any more, for hosts on which no worker runs
///
/// Jobs that have expired are dead, results that have expired and old windows of rate limits are removed, and so is whatever the settings of
/// queues, streams and notifications do not keep (the file's maintenance, which any worker does once a minute). The options
/// remove more. Each transaction is short: others work meanwhile.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker prune app.db
  honker prune --dead-older-than-s 604800 --notifications-older-than-s 3600
  17 * * * *  honker prune --db /srv/app/app.db    (in a crontab)")]
pub struct Prune {
    #[command(flatten)]
    file: File,
    /// Dead jobs that died longer ago
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    dead_older_than_s: Option<i64>,
    /// Only dead jobs of this queue
    #[arg(long, value_name = "QUEUE", requires = "dead_older_than_s")]
    queue: Option<String>,
    /// Notifications that are older
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    notifications_older_than_s: Option<i64>,
    /// All notifications but the newest N
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    notifications_keep: Option<i64>,
    /// Print JSON: what was removed
    #[arg(long)]
    json: bool,
}

#[derive(Default, Serialize)]
struct Pruned {
    expired_jobs: i64,
    results: i64,
    rate_limits: i64,
    dead_jobs: i64,
    notifications: i64,
    /// Whether the file's maintenance was due, and done.
    maintenance: bool,
}

impl Prune {
    pub fn run(self, db: &Db) -> Result {
        let database = db.open_or(&self.file)?;
        let bar = progress::bar(None, "pruning");
        let mut pruned = Pruned { maintenance: maintain(&database)?, ..Pruned::default() };
        for queue in database.queue_stats_all()? {
            if queue.expired > 0 {
                pruned.expired_jobs += database.sweep_expired(&queue.queue)?;
            }
        }
        pruned.results = database.result_sweep()?;
        pruned.rate_limits = database.rate_limit_sweep(RATE_LIMIT_S)?;
        if let Some(older_than_s) = self.dead_older_than_s {
            pruned.dead_jobs = database.dead_purge(self.queue.as_deref(), older_than_s)?;
        }
        pruned.notifications =
            database.notifications_prune(self.notifications_older_than_s, self.notifications_keep)?;
        bar.finish_and_clear();
        let mut screen = Screen::new();
        if self.json {
            writeln!(screen, "{}", crate::show::json(&pruned)?)?;
        } else {
            let Pruned { expired_jobs, results, rate_limits, dead_jobs, notifications, maintenance } = pruned;
            writeln!(screen, "{expired_jobs} expired jobs made dead")?;
            writeln!(
                screen,
                "{results} results, {rate_limits} windows of rate limits, {dead_jobs} dead jobs and {notifications} notifications removed"
            )?;
            writeln!(screen, "maintenance {}", if maintenance { "done" } else { "was not due" })?;
        }
        Ok(screen.flush()?)
    }
}

/// A run of the file's maintenance, unless somebody has made one in this minute; whether it did.
pub fn maintain(database: &Database) -> Result<bool> {
    if !database.maintenance_is_due()? {
        return Ok(false);
    }
    let Some(mut run) = database.maintenance_begin()? else { return Ok(false) };
    while !run.is_over() {
        let found = database.maintenance_look(run)?;
        run = match run.after(&found) {
            Some(next) => next,
            None => database.maintenance_step(run, &found)?,
        };
    }
    Ok(true)
}
