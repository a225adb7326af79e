//! `honker jobs`: lists of jobs, and (see `bulk.rs`) actions on them.

use clap::{Args, ValueEnum};
use honker_core::database::Database;
use honker_core::queue::ListedJob;
use serde_json::Value;

use crate::failure::Result;
use crate::file::{Db, File};
use crate::filter::Filter;
use crate::moment;
use crate::show::{Screen, Show};
use crate::table::{Align, Table, number};

/// How many jobs the core lists at once.
const PAGE_MAX: usize = 1_000;

/// List jobs (live, blocked, dead and done ones), or act on them
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  honker jobs app.db
  honker jobs --queue emails --state due,delayed --order oldest
  honker jobs --error timeout --json | jq -r '.[].payload'"
)]
pub struct Jobs {
    #[command(subcommand)]
    action: Option<super::bulk::Bulk>,
    #[command(flatten)]
    file: File,
    #[command(flatten)]
    show: Show,
    #[command(flatten)]
    filter: Filter,
    /// Which come first
    #[arg(long, value_enum, default_value_t = Order::Newest)]
    order: Order,
    /// How many to list at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
}

/// By id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Order {
    /// The newest first
    Newest,
    /// The oldest first
    Oldest,
}

impl Jobs {
    pub fn run(self, db: &Db) -> Result {
        if let Some(action) = self.action {
            return action.run(db);
        }
        let database = db.look_or(&self.file)?;
        let order = if self.order == Order::Newest { "newest" } else { "oldest" };
        let mut filter = self.filter.object();
        filter.insert("order".to_owned(), order.into());
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let read = |database: &Database| list(database, filter.clone(), limit);
        self.show.each(&database, read, |jobs, screen| draw(jobs, moment::now(), screen))
    }
}

/// Up to `limit` jobs that a filter finds, from as many pages as it takes.
pub fn list(
    database: &Database,
    mut filter: serde_json::Map<String, Value>,
    limit: usize,
) -> Result<Vec<ListedJob>> {
    let mut jobs = Vec::new();
    loop {
        filter.insert("limit".to_owned(), (limit - jobs.len()).min(PAGE_MAX).into());
        let page = database.jobs_list(&Value::Object(filter.clone()).to_string())?;
        jobs.extend(page.jobs);
        match page.cursor {
            Some(cursor) if jobs.len() < limit => filter.insert("cursor".to_owned(), cursor.into()),
            _ => return Ok(jobs),
        };
    }
}

fn draw(jobs: &[ListedJob], now: i64, screen: &mut Screen) -> Result {
    use Align::{Left, Right};
    let mut table = Table::new(&[
        ("ID", Right),
        ("QUEUE", Left),
        ("STATE", Left),
        ("ATTEMPTS", Right),
        ("ENQUEUED", Right),
        ("WHEN", Left),
        ("PAYLOAD", Left),
    ]);
    for job in jobs {
        table.row([
            number(job.id),
            job.queue.clone(),
            job.state.clone(),
            format!("{}/{}", job.attempts, job.max_attempts),
            moment::relative(job.created_at, now),
            when(job, now),
            job.payload.clone(),
        ]);
    }
    table.draw(screen, "No job is like that.")
}

/// What there is to say about the time of a job in its state.
fn when(job: &ListedJob, now: i64) -> String {
    match (job.state.as_str(), job.claim_expires_at) {
        ("delayed", _) => format!("due {}", moment::relative(job.run_at, now)),
        ("processing", Some(last)) if last >= now => {
            format!("claimed for {} more", moment::duration(last.saturating_sub(now)))
        }
        ("processing", _) => "its claim has lapsed".to_owned(),
        ("dead", _) => {
            job.died_at.map_or_else(String::new, |at| format!("died {}", moment::relative(at, now)))
        }
        ("done", _) => {
            job.finished_at.map_or_else(String::new, |at| format!("done {}", moment::relative(at, now)))
        }
        _ => format!("due since {}", moment::duration(now.saturating_sub(job.run_at).max(0))),
    }
}
