//! `honker pause`, `resume` and `limit`: what is set for queues.

use std::io::Write;

use clap::Args;
use honker_core::database::Database;
use serde_json::{Map, Value, json};

use crate::act;
use crate::confirm::{Confirm, jobs};
use crate::failure::{Failure, Result};
use crate::file::Db;
use crate::show::Screen;

/// Pause queues: no job of theirs is begun, in whatever process; those that run go on
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker pause emails
  honker pause emails reports --yes")]
pub struct Pause {
    /// The queues
    #[arg(value_name = "QUEUE", required = true)]
    queues: Vec<String>,
    #[command(flatten)]
    confirm: Confirm,
}

/// Let paused queues go on
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker resume emails
  honker queues --json | jq -r '.[] | select(.paused) | .queue' | xargs honker resume --yes")]
pub struct Resume {
    /// The queues
    #[arg(value_name = "QUEUE", required = true)]
    queues: Vec<String>,
    #[command(flatten)]
    confirm: Confirm,
}

/// Set what limits a queue, for every process at once
///
/// `none` takes a limit away. What is not named stays.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker limit emails --concurrency 10
  honker limit api-calls --rate 100/60 --per-key 1
  honker limit emails --rate none --keep-dead-s 604800 --yes")]
pub struct Limit {
    /// The queue
    #[arg(value_name = "QUEUE")]
    queue: String,
    /// So many jobs run at once
    #[arg(long, value_name = "N|none", value_parser = count)]
    concurrency: Option<Value>,
    /// So many of the same concurrency key run at once
    #[arg(long, value_name = "N|none", value_parser = count)]
    per_key: Option<Value>,
    /// So many are begun in so many seconds
    #[arg(long, value_name = "N/SECONDS|none", value_parser = rate)]
    rate: Option<Value>,
    /// How often a job is tried whose enqueue does not say; none: 3
    #[arg(long, value_name = "N|none", value_parser = count)]
    max_attempts: Option<Value>,
    /// How many seconds done jobs are kept; none: not at all
    #[arg(long, value_name = "N|none", value_parser = count)]
    keep_done_s: Option<Value>,
    /// How many seconds dead jobs are kept; none: for ever
    #[arg(long, value_name = "N|none", value_parser = count)]
    keep_dead_s: Option<Value>,
    #[command(flatten)]
    confirm: Confirm,
}

impl Pause {
    pub fn run(self, db: &Db) -> Result {
        set_paused(&db.open()?, &self.queues, self.confirm, true)
    }
}

impl Resume {
    pub fn run(self, db: &Db) -> Result {
        set_paused(&db.open()?, &self.queues, self.confirm, false)
    }
}

fn set_paused(database: &Database, queues: &[String], confirm: Confirm, paused: bool) -> Result {
    let (verb, done) = if paused { ("Pause", "is paused") } else { ("Resume", "goes on") };
    let waiting = |queue: &String| {
        let due = database.queue_stats(queue)?.pending;
        Ok(format!("'{queue}' ({} due)", jobs(due.cast_unsigned())))
    };
    let named: Vec<String> = queues.iter().map(waiting).collect::<Result<_>>()?;
    confirm.ask(&format!("{verb} {}?", named.join(", ")))?;
    let mut screen = Screen::new();
    for queue in queues {
        database.queue_configure(queue, &act::paused(paused))?;
        writeln!(screen, "'{}' {done}", crate::text::one_line(queue))?;
    }
    Ok(screen.flush()?)
}

impl Limit {
    pub fn run(self, db: &Db) -> Result {
        let database = db.open()?;
        let given = [
            ("concurrency", self.concurrency),
            ("concurrency_per_key", self.per_key),
            ("rate", self.rate),
            ("max_attempts", self.max_attempts),
            ("keep_done_s", self.keep_done_s),
            ("keep_dead_s", self.keep_dead_s),
        ];
        let settings: Map<String, Value> =
            given.into_iter().filter_map(|(key, value)| value.map(|value| (key.to_owned(), value))).collect();
        if settings.is_empty() {
            return Err(Failure::Usage("nothing to set: see honker limit --help".to_owned()));
        }
        let settings = Value::Object(settings).to_string();
        let running = database.queue_stats(&self.queue)?.claimed;
        let running = jobs(running.cast_unsigned());
        self.confirm.ask(&format!("Set {settings} for '{}' ({running} running)?", self.queue))?;
        database.queue_configure(&self.queue, &settings)?;
        let mut screen = Screen::new();
        writeln!(screen, "{}", crate::show::json(&database.queue_settings(&self.queue)?)?)?;
        Ok(screen.flush()?)
    }
}

/// A number from 1, or null for `none`.
fn count(text: &str) -> std::result::Result<Value, String> {
    if text == "none" {
        return Ok(Value::Null);
    }
    let n = text.parse::<i64>().ok().filter(|n| *n >= 1);
    n.map(Value::from).ok_or_else(|| "expected a number from 1, or none".to_owned())
}

/// `100/60`, or null for `none`.
fn rate(text: &str) -> std::result::Result<Value, String> {
    if text == "none" {
        return Ok(Value::Null);
    }
    let positive = |text: &str| text.parse::<i64>().ok().filter(|n| *n >= 1);
    let parts = text.split_once('/').and_then(|(limit, per_s)| Some((positive(limit)?, positive(per_s)?)));
    parts
        .map(|(limit, per_s)| json!({ "limit": limit, "per_s": per_s }))
        .ok_or_else(|| "expected jobs per seconds, as 100/60, or none".to_owned())
}
