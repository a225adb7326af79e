//! `honker jobs retry`, `cancel`, `delete`, `move` and `run-now`: actions on jobs, by id or by filter.

use std::io::Write;

use clap::{Args, Subcommand};
use honker_core::database::Database;
use serde_json::{Map, Value, json};

use crate::act::{self, COUNT_MAX, Done};
use crate::confirm::{Confirm, jobs};
use crate::failure::{Failure, Result};
use crate::file::Db;
use crate::filter::Filter;
use crate::progress;
use crate::show::Screen;

#[derive(Subcommand, Debug)]
pub enum Bulk {
    Retry(Retry),
    RunNow(RunNow),
    Cancel(Cancel),
    Delete(Delete),
    Move(Move),
}

/// Make dead jobs pending again, with all their attempts
///
/// One whose unique key another job has meanwhile is passed over, and counted.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker jobs retry 42 43
  honker jobs retry --queue emails --error 'connection refused' --yes")]
pub struct Retry {
    #[command(flatten)]
    which: Which,
}

/// Make delayed jobs due now
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker jobs run-now 42
  honker jobs run-now --queue reports --yes")]
pub struct RunNow {
    #[command(flatten)]
    which: Which,
}

/// Remove jobs that are not over; the handler of one that runs is told to stop
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker jobs cancel 42
  honker jobs cancel --queue emails --state due,delayed --metadata tenant=acme")]
pub struct Cancel {
    #[command(flatten)]
    which: Which,
}

/// Delete jobs for good, in whatever state they are
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker jobs delete 42
  honker jobs delete --state dead --ended-to 2026-01-01 --yes")]
pub struct Delete {
    #[command(flatten)]
    which: Which,
}

/// Move jobs that nobody works at to another queue
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker jobs move 42 --to slow
  honker jobs move --queue emails --state dead --to emails-later --yes")]
pub struct Move {
    #[command(flatten)]
    which: Which,
    /// The other queue
    #[arg(long, value_name = "QUEUE")]
    to: String,
}

/// The jobs that are meant.
#[derive(Args, Debug)]
struct Which {
    /// The jobs' ids; otherwise those that the filter finds
    #[arg(value_name = "ID", allow_negative_numbers = true)]
    ids: Vec<i64>,
    #[command(flatten)]
    filter: Filter,
    /// All there are, where neither ids nor a filter are given
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    #[command(flatten)]
    confirm: Confirm,
    /// Only count them
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Print {"changed": …, "conflicts": …}; with --dry-run {"found": …, "at_least": …}
    #[arg(long)]
    json: bool,
}

impl Bulk {
    pub fn run(self, db: &Db) -> Result {
        match self {
            Bulk::Retry(Retry { which }) => which.run(db, "retry", "Retry", "retried"),
            Bulk::RunNow(RunNow { which }) => which.run(db, "run_now", "Make due", "made due"),
            Bulk::Cancel(Cancel { which }) => which.run(db, "cancel", "Cancel", "cancelled"),
            Bulk::Delete(Delete { which }) => which.run(db, "delete", "Delete", "deleted"),
            Bulk::Move(Move { which, to }) => {
                which.run(db, &json!({ "move": to }).to_string(), "Move", "moved")
            }
        }
    }
}

impl Which {
    fn run(self, db: &Db, action: &str, verb: &str, done: &'static str) -> Result {
        if self.ids.is_empty() && !self.filter.is_any() && !self.all {
            return Err(Failure::Usage("which jobs? Give ids, a filter, or --all".to_owned()));
        }
        let database = if self.dry_run { db.look() } else { db.open() }?;
        let filters = self.filters(action);
        let bar = progress::bar(None, "counting");
        let found = count_all(&database, &filters)?;
        bar.finish_and_clear();
        let at_least = found >= COUNT_MAX;
        let several = if at_least { format!("at least {found} jobs") } else { jobs(found) };
        let mut screen = Screen::new();
        if self.dry_run {
            match self.json {
                true => writeln!(screen, "{}", json!({ "found": found, "at_least": at_least }))?,
                false => writeln!(screen, "{several} would be {done}")?,
            }
            return Ok(screen.flush()?);
        }
        if found == 0 && !self.ids.is_empty() {
            return Err(Failure::NotFound(format!("no job of these ids can be {done}")));
        }
        if found > 0 {
            self.confirm.ask(&format!("{verb} {several}?"))?;
        }
        let done_so_far = apply_all(&database, filters, action, found)?;
        if self.json {
            writeln!(screen, "{}", crate::show::json(&done_so_far)?)?;
        } else {
            writeln!(screen, "{} {done}", jobs(done_so_far.changed.cast_unsigned()))?;
            if done_so_far.conflicts > 0 {
                let passed_over = jobs(done_so_far.conflicts.cast_unsigned());
                writeln!(
                    screen,
                    "{passed_over} passed over: another job has the unique key, or the file refuses"
                )?;
            }
        }
        Ok(screen.flush()?)
    }

    /// One filter, or one for each id.
    fn filters(&self, action: &str) -> Vec<Map<String, Value>> {
        let filter = self.filter.object();
        let mut filters = vec![filter.clone()];
        if !self.ids.is_empty() {
            let one = |id: &i64| {
                let mut one = filter.clone();
                one.insert("min_id".to_owned(), (*id).into());
                one.insert("max_id".to_owned(), (*id).into());
                one
            };
            let mut ids = self.ids.clone();
            ids.sort_unstable();
            ids.dedup();
            filters = ids.iter().map(one).collect();
        }
        filters.into_iter().filter_map(|filter| act::narrowed(filter, action)).collect()
    }
}

fn count_all(database: &Database, filters: &[Map<String, Value>]) -> Result<u64> {
    filters.iter().try_fold(0, |sum, filter| Ok(sum + act::count(database, filter.clone(), None)?.found))
}

fn apply_all(
    database: &Database,
    filters: Vec<Map<String, Value>>,
    action: &str,
    found: u64,
) -> Result<Done> {
    let bar = progress::bar(Some(found), "jobs");
    let mut all = Done::default();
    for filter in filters {
        let before = all;
        let done = act::apply(database, filter, action, |done| {
            bar.set_position((before.changed + done.changed + done.conflicts).cast_unsigned());
            true
        });
        let done = done.inspect_err(|_| bar.abandon())?;
        all.changed += done.changed;
        all.conflicts += done.conflicts;
    }
    bar.finish_and_clear();
    Ok(all)
}
