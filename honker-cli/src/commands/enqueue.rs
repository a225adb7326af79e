//! `honker enqueue`: a job from the shell.

use clap::{Args, ValueEnum};
use honker_core::queue::{Enqueue as Job, EnqueueStatus, OnConflict, Unique, UniqueUntil};
use serde_json::json;

use crate::failure::Result;
use crate::file::{Create, Db, File};
use crate::filter::{object_of, pair};
use crate::moment;
use crate::payload::Payload;
use crate::show::Screen;

/// Enqueue a job
///
/// Prints the job's id. With --unique-key the id may be that of the job that has the key; --json says so.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker enqueue emails '{\"to\": \"ada@example.com\"}' --db app.db
  honker enqueue reports @report.json --delay-s 3600 --priority 5
  date | honker enqueue log
  honker enqueue sync '{}' --unique-key customer-7

The payload is stored as it is. Workers of honker's packages expect JSON.")]
pub struct Enqueue {
    /// The queue
    #[arg(value_name = "QUEUE")]
    queue: String,
    #[command(flatten)]
    payload: Payload,
    #[command(flatten)]
    create: Create,
    #[command(flatten)]
    options: JobOptions,
    /// Print {"id": …, "status": "enqueued", "exists" or "replaced"}
    #[arg(long)]
    json: bool,
}

/// The options of a job.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Job")]
pub struct JobOptions {
    /// Due in so many seconds
    #[arg(long, value_name = "N", conflicts_with = "run_at")]
    delay_s: Option<i64>,
    /// Due at this time (seconds since the epoch, or a date)
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    run_at: Option<i64>,
    /// Larger is sooner
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    priority: i64,
    /// How often it may be tried; the queue's setting otherwise, which is 3 unless changed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    max_attempts: Option<i64>,
    /// Dead if it was not begun in so many seconds
    #[arg(long, value_name = "N")]
    expires_s: Option<i64>,
    /// How many seconds it may run
    #[arg(long, value_name = "N")]
    max_run_s: Option<i64>,
    /// A text that comes with the job; several may be given
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Jobs of one key run one after another, as far as the queue's setting says
    #[arg(long, value_name = "KEY")]
    concurrency_key: Option<String>,
    /// The batch that it belongs to
    #[arg(long, value_name = "ID")]
    batch: Option<i64>,
    /// Only one job of this key is in the queue
    #[arg(long, value_name = "KEY")]
    unique_key: Option<String>,
    /// How long it has the key
    #[arg(long, value_enum, requires = "unique_key")]
    unique_until: Option<Until>,
    /// It has the key for at least so many seconds
    #[arg(long, value_name = "N", requires = "unique_key")]
    unique_for_s: Option<i64>,
    /// What becomes of a job whose key is taken
    #[arg(long, value_enum, requires = "unique_key")]
    on_conflict: Option<Conflict>,
}

/// How long a job has its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Until {
    /// Until it is done or dead (the default)
    Settled,
    /// Until it is claimed
    Claimed,
}

/// What becomes of a job whose key is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Conflict {
    /// It is not enqueued (the default)
    Keep,
    /// It takes the place of the job that has the key, if that has not begun
    Replace,
}

impl JobOptions {
    /// The job that has these options. `metadata` is what [`JobOptions::metadata`] answers.
    pub fn job<'a>(&'a self, queue: &'a str, payload: &'a str, metadata: Option<&'a str>) -> Job<'a> {
        let unique = self.unique_key.as_deref().map(|key| Unique {
            key,
            until: match self.unique_until {
                Some(Until::Claimed) => UniqueUntil::Claimed,
                _ => UniqueUntil::Settled,
            },
            for_s: self.unique_for_s,
            on_conflict: match self.on_conflict {
                Some(Conflict::Replace) => OnConflict::Replace,
                _ => OnConflict::Keep,
            },
        });
        Job {
            run_at: self.run_at,
            delay_s: self.delay_s,
            priority: self.priority,
            max_attempts: self.max_attempts,
            expires_s: self.expires_s,
            metadata,
            concurrency_key: self.concurrency_key.as_deref(),
            batch_id: self.batch,
            unique,
            max_run_s: self.max_run_s,
            ..Job::new(queue, payload)
        }
    }

    /// As the core takes it.
    pub fn metadata(&self) -> Result<Option<String>> {
        object_of(&self.metadata)
    }
}

impl Enqueue {
    pub fn run(self, db: &Db) -> Result {
        use std::io::Write;
        let payload = self.payload.read()?;
        let metadata = self.options.metadata()?;
        let database = db.open_to_write(&File::default(), &self.create)?;
        let enqueued = database.enqueue(&self.options.job(&self.queue, &payload, metadata.as_deref()))?;
        let mut screen = Screen::new();
        if self.json {
            let status = match enqueued.status {
                EnqueueStatus::Enqueued => "enqueued",
                EnqueueStatus::Exists => "exists",
                EnqueueStatus::Replaced => "replaced",
            };
            writeln!(screen, "{}", json!({ "id": enqueued.id, "status": status }))?;
        } else {
            writeln!(screen, "{}", enqueued.id)?;
        }
        screen.flush()?;
        database.close()?;
        Ok(())
    }
}
