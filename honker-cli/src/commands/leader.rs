//! `honker schedule-leader`: fires the schedules.

use std::io::Write;

use clap::Args;
use honker_core::consume::{Leader, Next};
use honker_core::database::Database;
use honker_core::schedule::{Fire, FireStatus};

use crate::failure::{Failure, Result, say};
use crate::file::{self, Create, Db, File};
use crate::moment;
use crate::show::Screen;
use crate::signals::{CurrentWaiter, Signals};
use crate::system;
use crate::trouble::Trouble;

/// Fire the schedules, for hosts on which no program of their own does
///
/// Of all that run on a file one leads; the others stand by and take over when it ends or dies. It also does the file's
/// maintenance. Each fire is a line. SIGTERM and SIGINT give the leadership up.
///
/// Trouble that passes (the file is busy, the disk full) is said once and waited out. A file that is replaced is opened anew.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker schedule-leader app.db
  honker schedule-leader --json >> fires.ndjson")]
pub struct ScheduleLeader {
    #[command(flatten)]
    file: File,
    /// Print each fire as JSON: name, queue, fire_at, job_id, and status if no job was enqueued
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    create: Create,
}

impl ScheduleLeader {
    pub fn run(self, db: &Db) -> Result {
        let mut database = db.open_to_write(&self.file, &self.create)?;
        let path = file::again(db.path_or(&self.file)?, &database);
        let waiters = CurrentWaiter::default();
        let waking = waiters.clone();
        let signals = Signals::watch(move || waking.wake())?;
        loop {
            let ended = self.lead(&database, &signals, &waiters);
            let closed = database.close();
            match ended {
                Ok(()) => return Ok(closed?),
                Err(Failure::Replaced(_)) => {
                    say("the file was replaced; going on with the new one");
                    database = file::open(&path)?;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Leads, or stands by, until a signal comes, or the file is replaced.
    fn lead(&self, database: &Database, signals: &Signals, waiters: &CurrentWaiter) -> Result {
        let mut leader = Leader::new(database, own_name())?;
        waiters.set(&leader.waiter());
        let mut trouble = Trouble::default();
        let mut warned = 0;
        while signals.count() == 0 {
            match leader.next(None) {
                Ok(next) => {
                    trouble.is_over();
                    if let Next::Item(fires) = next {
                        self.print(&fires)?;
                    }
                }
                Err(error) => trouble.wait_out(error, || signals.count() > 0)?,
            }
            let warnings = database.status()?.warnings;
            for warning in warnings.iter().skip(warned) {
                say(crate::text::one_line(&warning.text));
            }
            warned = warnings.len();
        }
        Ok(leader.resign()?)
    }

    fn print(&self, fires: &[Fire]) -> Result {
        let mut screen = Screen::new();
        for fire in fires {
            if self.json {
                writeln!(screen, "{}", crate::show::json(fire)?)?;
                continue;
            }
            let (at, name) = (moment::show(fire.fire_at), crate::text::one_line(&fire.name));
            let queue = crate::text::one_line(&fire.queue);
            let job = fire.job_id.map_or_else(|| "no job".to_owned(), |id| format!("job {id}"));
            let status = match fire.status {
                FireStatus::Enqueued => String::new(),
                FireStatus::Exists => ", which has the unique key".to_owned(),
                FireStatus::Replaced => ", which it has replaced".to_owned(),
                FireStatus::Skipped => ", because the last one is not over".to_owned(),
            };
            writeln!(screen, "{at} '{name}': {job} in '{queue}'{status}")?;
        }
        Ok(screen.flush()?)
    }
}

/// What a worker or a leader is called that was given no name: unique among all that run.
pub fn own_name() -> String {
    format!("honker-{}-{}", system::host(), std::process::id())
}
