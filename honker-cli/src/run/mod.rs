//! `honker run`: a worker whose handler is any program.
//!
//! `handler.rs` is one run of the program, `crew.rs` all that run at the moment, `work.rs` the loop around the core's worker.

mod crew;
mod handler;
mod work;

use clap::Args;

use self::handler::Program;
use self::work::{End, Work};
use crate::failure::{Failure, Result, say};
use crate::file::{self, Create, Db, File};
use crate::signals::{CurrentWaiter, Signals};

/// Work at jobs with a program: it is run once for each
///
/// The payload is on its standard input. In its environment are HONKER_JOB_ID, HONKER_QUEUE, HONKER_ATTEMPT, HONKER_MAX_ATTEMPTS,
/// HONKER_WORKER_ID, HONKER_METADATA (JSON, if the job has any) and HONKER_DB, so that it can call honker itself.
///
/// Its exit code settles the job: 0 it is done; 75 not now: it is due again in --snooze-s seconds, and the attempt does not count; 65 it can
/// never be done: dead; anything else, or a signal: it is tried again later, and dead when its attempts are used up. The end of
/// what it wrote to standard error is the error that the job shows.
///
/// A job that is cancelled, or runs for too long, ends its program: SIGTERM, and SIGKILL --kill-after-s later, to it and what it has
/// started. Claims are prolonged while it runs. Should this worker die, its programs are killed and the jobs are given to
/// others at once.
///
/// SIGTERM and SIGINT drain: no job is begun any more, those that run have --stop-timeout-s; then their programs are ended as above,
/// and the jobs given back without the attempt counting. A second signal does so at once.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker run --queue emails -- ./send-mail.py
  honker run --queue thumbnails --concurrency 4 --max-run-s 60 -- sh -c 'jq -r .url | xargs curl -fsS -o /dev/null'
  honker run --until-empty -- ./import.sh")]
pub struct Run {
    /// A queue to work at; several may be given. `default` if none is
    #[arg(long, value_name = "QUEUE", default_value = "default")]
    queue: Vec<String>,
    /// How many programs run at once
    #[arg(long, short = 'c', value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    concurrency: u32,
    /// In how many seconds a job is due again whose program ended with 75
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(i64).range(0..))]
    snooze_s: i64,
    /// For how many seconds a claim holds if this worker cannot prolong it
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(i64).range(1..))]
    visibility_timeout_s: i64,
    /// How many seconds a job may run, if it does not say itself
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    max_run_s: Option<i64>,
    /// How long SIGTERM waits for jobs that run
    #[arg(long, value_name = "N", default_value_t = 8)]
    stop_timeout_s: u32,
    /// How many seconds after SIGTERM a program gets SIGKILL
    #[arg(long, value_name = "N", default_value_t = 5)]
    kill_after_s: u32,
    /// End when no job is due
    #[arg(long)]
    until_empty: bool,
    /// The worker's name in the file; the machine and the process otherwise
    #[arg(long, value_name = "NAME")]
    worker: Option<String>,
    /// Say nothing of single jobs
    #[arg(long, short = 'q')]
    quiet: bool,
    #[command(flatten)]
    create: Create,
    /// The program and its arguments
    #[arg(value_name = "CMD", last = true, required = true)]
    command: Vec<std::ffi::OsString>,
}

impl Run {
    pub fn run(self, db: &Db) -> Result {
        let mut database = db.open_to_write(&File::default(), &self.create)?;
        let path = file::again(db.path()?, &database);
        let program = Program::new(&self.command, &path)?;
        let waiters = CurrentWaiter::default();
        let waking = waiters.clone();
        let signals = Signals::watch(move || waking.wake())?;
        loop {
            let work = Work::new(&database, &self, &program, &signals, &waiters)?;
            let end = work.run();
            let closed = database.close();
            match end? {
                End::Done => return Ok(closed?),
                End::FileReplaced => {
                    say("the file was replaced; going on with the new one");
                    let opened = file::open(&path);
                    database = opened.map_err(|error| {
                        Failure::Failed(format!("the file was replaced, and the new one: {error}"))
                    })?;
                }
            }
        }
    }
}
